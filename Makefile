# lqnet. `make help` lists the targets; V=1 shows the commands.

# Everything that building needs, and what testing needs besides, as Debian 12 names it.
BUILD_PACKAGES := gcc libc6-dev make libopenblas-pthread-dev libjansson-dev libxxhash-dev libprotobuf-c-dev \
            protobuf-c-compiler libonnx-dev libturbojpeg0-dev libpng-dev libmicrohttpd-dev libgnutls28-dev \
            libinih-dev libsqlite3-dev zlib1g-dev
# Another architecture's compiler and libraries: make CROSS=aarch64-linux-gnu-
CROSS    ?=
ifneq ($(CROSS),)
CC       := $(CROSS)gcc
AR       := $(CROSS)ar
FOREIGN  := $(patsubst aarch64-%,arm64,$(patsubst x86_64-%,amd64,$(CROSS)))
NATIVE   := make protobuf-c-compiler libonnx-dev
BUILD_PACKAGES := gcc-$(subst _,-,$(CROSS:-=)) $(NATIVE) $(addsuffix :$(FOREIGN),$(filter-out gcc $(NATIVE),$(BUILD_PACKAGES)))
endif
PACKAGES := $(BUILD_PACKAGES) check clang-format clang-tidy groff-base libcurl4-gnutls-dev curl libsimde-dev libyaml-dev
LOAD_PACKAGES := wrk curl
FUZZ_PACKAGES := clang libclang-rt-14-dev
ARM_PACKAGES := gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
DEB_PACKAGES := dpkg-dev debhelper fakeroot lintian debootstrap curl
FUZZ_CC  ?= clang
DEPS     ?= PACKAGES
VERSION  := $(shell sed -n 's/^.define LQ_VERSION "\(.*\)"/\1/p' engine/lq.h)

PREFIX   ?= /usr/local
SYSCONFDIR ?= /etc
STATEDIR ?= /var/lib/lqnet
UNITDIR  ?= $(PREFIX)/lib/systemd/system
LISTEN   ?= 127.0.0.1:8080
FLAVOUR  ?= release
$(if $(filter release asan tsan fuzz,$(FLAVOUR)),,$(error FLAVOUR is '$(FLAVOUR)', expected release, asan, tsan or fuzz))
BUILD    := build/$(CROSS)$(FLAVOUR)
MULTI    := $(shell $(CC) -print-multiarch 2>/dev/null)
# The serial build of OpenBLAS is not safe to call from several threads at once; this one is, and is told
# to use one thread for each call (engine/ops/gemm.c).
BLAS     := openblas-pthread

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(CI),-Werror)
FLAGS    := -std=c11 -D_GNU_SOURCE $(WARNINGS) -ffp-contract=off -fvisibility=hidden -pthread -MMD -MP \
            -Iengine -Iserver -Itests -Ibuild/gen -isystem /usr/include/$(MULTI)/$(BLAS)
CLI_LIBS := -lgnutls
SERVER_LIBS := -lmicrohttpd -lgnutls -linih -lsqlite3 -lz
LIBS     := -L/usr/lib/$(MULTI)/$(BLAS) -Wl,-rpath,/usr/lib/$(MULTI)/$(BLAS) -lopenblas -ljansson -lxxhash \
            -lprotobuf-c -lturbojpeg -lpng16 -lm -lpthread

HARDEN_release  := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
# Programs leave out what they do not call.
SMALL_release   := -ffunction-sections -fdata-sections
TRIM_release    := -Wl,--gc-sections
SANITIZE_asan   := -fsanitize=address,undefined -fno-sanitize-recover=all
SANITIZE_tsan   := -fsanitize=thread
SANITIZE_fuzz   := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS    += $(HARDEN_$(FLAVOUR)) $(SMALL_$(FLAVOUR)) $(SANITIZE_$(FLAVOUR))
LDFLAGS  += $(TRIM_$(FLAVOUR)) $(SANITIZE_$(FLAVOUR))

ARCH     := $(firstword $(subst -, ,$(MULTI)))
ENGINE   := $(wildcard engine/*.c engine/*/*.c $(if $(filter x86_64,$(ARCH)),engine/kernels/x86/*.c) \
              $(if $(filter aarch64,$(ARCH)),engine/kernels/arm/*.c))
SERVER   := $(wildcard server/*.c $(patsubst %,server/%/*.c,codec http infer jobs models observe routes))
CLI      := $(wildcard server/cli/*.c)
MANUAL   := server/manual/manual.c
SUPPORT  := $(wildcard tests/support/*.c)
TESTS    := $(wildcard tests/unit/test_*.c tests/kernels/test_*.c tests/http/test_*.c tests/fuzz/test_*.c \
              $(if $(SANITIZE_$(FLAVOUR)),,tests/golden/test_*.c))
BENCHES  := $(wildcard tests/bench/bench_*.c)
LIMITS   := tests/bench/limits.c $(if $(filter x86_64,$(ARCH)),$(wildcard tests/bench/limits_*.c))
FUZZ     := $(addprefix tests/fuzz/,targets.c files.c bodies.c http.c)
LOAD     := tests/bench/load_tool.c tests/bench/flood.c
CORRUPT  := tests/bench/corrupt.c
HEADERS  := $(wildcard engine/*.h engine/*/*.h engine/*/*/*.h server/*.h server/*/*.h tests/support/*.h tests/bench/*.h tests/fuzz/*.h tests/kernels/*/*.h)
SOURCES  := $(ENGINE) $(SERVER) $(CLI) $(MANUAL) $(SUPPORT) $(TESTS) $(BENCHES) $(LIMITS) $(LOAD) $(CORRUPT) $(FUZZ) tests/fuzz/fuzz.c $(wildcard tests/kernels/*/*.c)

objects   = $(patsubst %.c,$(BUILD)/%.o,$(1))
TIDY     := $(patsubst %.c,build/tidy/%.ok,$(ENGINE) $(SERVER) $(CLI) $(MANUAL))
PROGRAMS := $(BUILD)/lqnet $(BUILD)/lqnetd
# Suites that compute, once more with the kernels of tier avx512 compiled through SIMDe.
SIMDE    := $(if $(filter x86_64,$(ARCH)),$(patsubst tests/%.c,$(BUILD)/simde/%,$(wildcard tests/kernels/test_*.c) \
              $(addprefix tests/unit/test_,byte_weights.c conv_pixels.c epilogue.c filtering.c session.c)))
SUITES   := $(patsubst %.c,$(BUILD)/%,$(TESTS))
GENERATED := $(if $(wildcard engine/format/onnx.c),build/gen/onnx.pb-c.c)

Q        := $(if $(V),,@)
say       = $(if $(V),,@echo "  $(1) $@")

all: $(BUILD)/liblq.a $(PROGRAMS) ## build the library and the programs
	@:

$(BUILD)/liblq.a: $(call objects,$(ENGINE) $(GENERATED))
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/lqnet: $(call objects,$(CLI)) $(BUILD)/liblq.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ $(CLI_LIBS) $(LIBS) -o $@

$(BUILD)/lqnetd: $(call objects,$(SERVER)) $(BUILD)/liblq.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ $(SERVER_LIBS) $(LIBS) -o $@

# Manual pages and completion, from the tables of both programs.
$(BUILD)/manual/manual: $(call objects,$(MANUAL) $(filter-out server/cli/main.c,$(CLI))) $(BUILD)/libserver.a $(BUILD)/liblq.a
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ $(CLI_LIBS) $(SERVER_LIBS) $(LIBS) -o $@

$(BUILD)/manual/lqnet.1: $(BUILD)/manual/manual
	$(call say,GEN)
	$(Q)$< $(@D)

# Suites may look inside both libraries and into the daemon.
$(SUITES): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(SUPPORT)) $(BUILD)/libserver.a $(BUILD)/liblq.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) -lcheck -lsubunit -lrt -lcurl -lyaml $(SERVER_LIBS) $(LIBS) -o $@

$(BUILD)/tests/fuzz/test_fuzz $(BUILD)/tests/fuzz/fuzz: $(call objects,$(FUZZ))
$(BUILD)/tests/fuzz/fuzz: $(call objects,tests/fuzz/fuzz.c $(SUPPORT)) $(BUILD)/libserver.a $(BUILD)/liblq.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer $(filter %.o,$^) $(filter %.a,$^) -lcheck -lsubunit -lrt -lcurl $(SERVER_LIBS) $(LIBS) -o $@

SIMDE_OBJECTS := $(patsubst %.c,$(BUILD)/simde/%.o,$(wildcard engine/kernels/x86/*_avx512.c))
$(SIMDE): $(BUILD)/simde/%: $(BUILD)/tests/%.o $(SIMDE_OBJECTS) $(call objects,tests/kernels/simde/detect.c $(SUPPORT)) $(BUILD)/libserver.a $(BUILD)/liblq.a
	@mkdir -p $(@D)
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) -Wl,--wrap=lq_cpu_detect $^ -lcheck -lsubunit -lrt -lcurl -lyaml $(SERVER_LIBS) $(LIBS) -o $@

$(SIMDE_OBJECTS): private FLAGS += $(ISA_avx2) -Wno-psabi -include tests/kernels/simde/avx512.h
$(SIMDE_OBJECTS): $(BUILD)/simde/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/libserver.a: $(call objects,$(filter-out server/main.c,$(SERVER)))
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(FLAGS) $(CFLAGS) -c $< -o $@

# Generated code is not ours to warn about.
$(BUILD)/build/gen/%.o: private WARNINGS := -w
# The inner loops live from vectorization. Those of training are vectors already, C's transforms are for x86 without AVX2, and
# what infers shapes has none.
UNVECTORIZED := %/train_c.c %/op.c %/infer_layers.c %/infer_maps.c %/infer_shapes.c $(if $(filter x86_64,$(ARCH)),%/winograd_c.c %/squares_c.c)
$(call objects,$(filter-out $(UNVECTORIZED),$(wildcard engine/kernels/*_c.c engine/kernels/*/*.c engine/ops/*.c tests/bench/limits*.c))): private CFLAGS += -O3
# Instructions that a tier may use: only its own files, which run only where the CPU has them.
ISA_avx2   := -mavx2 -mfma -mpopcnt
ISA_avxvnni := $(ISA_avx2) -mavxvnni
ISA_avx512 := $(ISA_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi -mavx512vnni -mavx512vpopcntdq -mavx512bitalg
ISA_amx    := $(ISA_avx512) -mamx-tile -mamx-int8
define tier
$(call objects,$(wildcard engine/kernels/*/*_$(1).c tests/bench/*_$(1).c)) \
$(patsubst %.c,build/tidy/%.ok,$(wildcard engine/kernels/*/*_$(1).c)): private FLAGS += $(ISA_$(1))
endef
$(foreach t,avx2 avxvnni avx512 amx,$(eval $(call tier,$(t))))

build/gen/onnx.pb-c.c: /usr/include/onnx/onnx.proto
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)protoc-c --proto_path=$(<D) --c_out=$(@D) $<
$(call objects,$(wildcard engine/format/*.c tests/support/onnx_text.c)): $(GENERATED)

run: deps ## install what is missing, build, serve, show how to classify a picture (LISTEN=HOST:PORT)
	@$(MAKE) --no-print-directory all
	@sh etc/demo.sh $(BUILD) $(LISTEN)

suites: $(SUITES) $(if $(SANITIZE_$(FLAVOUR)),,$(SIMDE)) $(PROGRAMS)
	@sh tests/run.sh $(BUILD) $(if $(T),$(filter %/test_$(T),$(filter-out %.a %/lqnet %/lqnetd,$^)),$(filter-out %/lqnet %/lqnetd,$^))

test: deps ## install what is missing, build, run the tests (T=name: one suite)
	@$(MAKE) --no-print-directory suites

$(patsubst %.c,$(BUILD)/%,$(BENCHES)): $(BUILD)/%: $(BUILD)/%.o $(call objects,$(LIMITS)) $(BUILD)/libserver.a $(BUILD)/liblq.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ $(SERVER_LIBS) $(LIBS) -o $@

$(patsubst %.c,$(BUILD)/%,$(LOAD)): $(BUILD)/%: $(BUILD)/%.o
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ -lmicrohttpd -lturbojpeg -o $@

$(patsubst %.c,$(BUILD)/%,$(CORRUPT)): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/liblq.a
	$(call say,LD)
	$(Q)$(CC) $(LDFLAGS) $^ $(LIBS) -o $@

shift: $(BUILD)/lqnet $(BUILD)/tests/bench/corrupt ## fine-tuning on shifted images (MODEL=FILE.lq of CIFAR-10, LQ_DATA=folder)
	@sh tests/bench/shift.sh $(BUILD) $(MODEL) $(LQ_DATA)/cifar-10-batches-bin

load: $(PROGRAMS) $(patsubst %.c,$(BUILD)/%,$(LOAD)) ## the daemon under load (PART=..., see tests/bench/load.sh)
	@$(MAKE) --no-print-directory deps DEPS=LOAD_PACKAGES
	@bash tests/bench/load.sh $(BUILD) $(PART)

clients: $(PROGRAMS) ## the daemon, called by the protocol's clients where they are (PYTHON=python3, OIP=open_inference_rest.yaml)
	@sh tests/clients/run.sh $(BUILD)

soak: $(BUILD)/tests/http/test_repository $(BUILD)/tests/http/test_kills ## the same for minutes, 500 loads and unloads, 200 kills
	@EACH=60 ROUNDS=1 $(MAKE) --no-print-directory load
	@LQ_CYCLES=500 LQ_KILLS=200 LQ_LIMIT=3000 sh tests/run.sh $(BUILD) $^

bench: bench-kernels bench-networks bench-training ## speed of kernels and networks (JSON=1: a JSON object a line; see CONTRIBUTING.md)

bench-kernels: $(patsubst %.c,$(BUILD)/%,$(filter-out %/bench_step.c,$(BENCHES)))
	@for b in $^; do $$b $(if $(JSON),--json) || exit 1; done

bench-networks: $(BUILD)/lqnet
	@JSON=$(JSON) sh tests/bench/networks.sh $<

bench-training: $(BUILD)/tests/bench/bench_step
	@sh tests/bench/training.sh $<

# Tier neon: the suites of kernels built for arm64 and run under an emulator, or by an arm64 CPU.
ARM      := build/arm64
ARM_CC   ?= aarch64-linux-gnu-gcc
ARM_RUN  ?= qemu-aarch64
ARM_SUITES := $(patsubst tests/kernels/%.c,$(ARM)/%,$(wildcard tests/kernels/test_*.c))
arm_objects = $(patsubst %.c,$(ARM)/%.o,$(1))
ARM_ENGINE := engine/base/cpu.c $(wildcard engine/kernels/*.c engine/kernels/arm/*.c)
ARM_FLAGS := -std=c11 -D_GNU_SOURCE $(WARNINGS) -O2 -g -ffp-contract=off -MMD -MP -Iengine -Itests -Itests/kernels/plain

$(ARM_SUITES): $(ARM)/%: $(call arm_objects,tests/kernels/%.c $(ARM_ENGINE) $(addprefix tests/support/,guard.c suite.c tiers.c))
	$(call say,LD)
	$(Q)$(ARM_CC) -static $^ -lm -o $@

$(ARM)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(ARM_CC) $(ARM_FLAGS) $(if $(findstring engine/kernels/,$<),-O3) -c $< -o $@

neon: ## the tests of kernels for arm64, under qemu
	@$(MAKE) --no-print-directory deps DEPS=ARM_PACKAGES
	@$(MAKE) --no-print-directory neon-suites

neon-suites: $(ARM_SUITES)
	@LQ_RUN="$(ARM_RUN)" sh tests/run.sh $(ARM) $(ARM_SUITES)

asan: ## the tests under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory suites FLAVOUR=asan

tsan: ## the tests under the thread sanitizer
	@$(MAKE) --no-print-directory suites FLAVOUR=tsan

fuzz: ## look for inputs that break a target (T=NAME, else all; SECONDS=60 for each; tests/fuzz/targets.h lists them)
	@$(MAKE) --no-print-directory deps DEPS=FUZZ_PACKAGES
	@$(MAKE) --no-print-directory FLAVOUR=fuzz CC="$(FUZZ_CC)" WARNINGS=-w build/fuzz/tests/fuzz/fuzz
	@for t in $(or $(T),$(notdir $(wildcard tests/fuzz/corpus/*))); do \
	  mkdir -p build/fuzz/found/$$t; \
	  LQ_FUZZ=$$t build/fuzz/tests/fuzz/fuzz -max_total_time=$(or $(SECONDS),60) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$t- build/fuzz/found/$$t tests/fuzz/corpus/$$t $$(ls -d tests/fuzz/regress/$$t 2>/dev/null) || exit 1; \
	done

layers: ## arrows point down only
	@sh tests/layers.sh

lint: ## formatting and static analysis of the C sources
	@clang-format --dry-run -Werror $(SOURCES) $(HEADERS)
	@$(MAKE) --no-print-directory $(TIDY)

# Analysed once for each state of a file and of the headers it includes.
$(TIDY): build/tidy/%.ok: %.c $(BUILD)/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY)
	$(Q)clang-tidy --quiet --warnings-as-errors='*' $< -- $(FLAGS) 2>/dev/null && touch $@

format: ## format them
	clang-format -i $(SOURCES) $(HEADERS)

deps: ## install the missing Debian packages (DEPS=BUILD_PACKAGES: not those for tests)
	@missing=; for p in $($(DEPS)); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q ' installed$$' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else \
	    echo "missing packages:$$missing; install them as root" >&2; exit 1; fi; \
	  $(if $(FOREIGN),$$sudo dpkg --add-architecture $(FOREIGN) &&) $$sudo apt-get update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y --no-install-recommends $$missing; fi

install-programs: all
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/lqnet $(BUILD)/lqnetd
	install -d $(DESTDIR)$(SYSCONFDIR)/lqnet
	sed 's,^models = .*,models = $(STATEDIR)/models,' etc/lqnetd.conf >$(DESTDIR)$(SYSCONFDIR)/lqnet/lqnetd.conf
	chmod 644 $(DESTDIR)$(SYSCONFDIR)/lqnet/lqnetd.conf

install: install-programs $(BUILD)/manual/lqnet.1 ## into $(DESTDIR)$(PREFIX), the configuration into $(DESTDIR)$(SYSCONFDIR)
	install -d $(DESTDIR)$(UNITDIR)
	sed 's,/usr/local/bin,$(PREFIX)/bin,;s,/etc/lqnet,$(SYSCONFDIR)/lqnet,' etc/lqnetd.service >$(DESTDIR)$(UNITDIR)/lqnetd.service
	chmod 644 $(DESTDIR)$(UNITDIR)/lqnetd.service
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 $(BUILD)/manual/lqnet.1
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 $(BUILD)/manual/lqnetd.conf.5
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 $(BUILD)/manual/lqnetd.8
	install -D -m 644 $(BUILD)/manual/lqnet.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lqnet
	install -D -m 644 $(BUILD)/manual/lqnetd.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/lqnetd

dist: ## a tarball of what is committed: build/lqnet-VERSION.tar.gz
	@mkdir -p build
	git archive --prefix=lqnet-$(VERSION)/ -o build/lqnet-$(VERSION).tar.gz HEAD

deb: dist ## a Debian package, checked by lintian: build/lqnet_VERSION_ARCH.deb
	@$(MAKE) --no-print-directory deps DEPS=BUILD_PACKAGES
	@$(MAKE) --no-print-directory deps DEPS=DEB_PACKAGES
	sh etc/deb.sh build/lqnet-$(VERSION).tar.gz "$(BUILD_PACKAGES)"
	lintian --fail-on error,warning build/lqnet_$(VERSION)_*.deb

deb-test: ## install, serve, upgrade and purge it in a bare root (MODEL=FILE.lq PICTURE=FILE.jpg; as root)
	@sh tests/deb.sh build/lqnet_$(VERSION)_$$(dpkg --print-architecture).deb $(MODEL) $(PICTURE)

# docker, or podman's tools where no daemon runs; a local base image for these: docker/base-image.sh.
IMAGE    ?= lqnet:$(VERSION)
PLATFORM ?= linux/$(shell dpkg --print-architecture)
image: ## the container image (IMAGE=NAME:TAG PLATFORM=linux/arm64), by buildah or docker
	@if command -v buildah >/dev/null; then \
	  buildah $${STORAGE:---storage-driver vfs} bud --isolation chroot --format docker --platform $(PLATFORM) \
	    --build-arg BUILDPLATFORM=linux/$$(dpkg --print-architecture) -f docker/Dockerfile -t $(IMAGE) .; \
	else docker build --platform $(PLATFORM) -f docker/Dockerfile -t $(IMAGE) .; fi

image-test: ## run it locked down and look at it from outside (MODEL=FILE.lq FOLDER=pictures; as root, podman and runc)
	@sh tests/image.sh $(IMAGE) $(MODEL) $(FOLDER)

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.* \#\# .*/\1/p' Makefile) suites bench-kernels bench-networks bench-training neon-suites install-programs
-include $(patsubst %.c,$(BUILD)/%.d,$(SOURCES)) $(SIMDE_OBJECTS:.o=.d) \
    $(wildcard $(ARM)/*/*/*.d $(ARM)/*/*/*/*.d)
