# lqnet - builds what stands so far: the quantizer, the integer kernels, their tests.
PACKAGES := gcc libc6-dev make check clang-format
CFLAGS   ?= -O2
FLAGS    := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -ffp-contract=off -Iengine -Itests $(if $(CI),-Werror)
ENGINE   := $(wildcard engine/*/*.c)
HEADERS  := $(wildcard engine/*.h engine/*/*.h)
SUPPORT  := $(wildcard tests/support/*.c)
TESTS    := $(wildcard tests/*/test_*.c)
SOURCES  := $(ENGINE) $(TESTS) $(wildcard tests/support/*.[ch]) $(wildcard engine/kernels/*.h)
programs  = $(patsubst tests/%.c,build/$(1)/%,$(TESTS))

all: $(call programs,release) ## build

LINK      = $(CC) $(FLAGS) $(CFLAGS) $(1) $< $(ENGINE) $(SUPPORT) -o $@ -lcheck -lsubunit -lrt -lm -lpthread
COMMA    := ,
INPUTS   := $(ENGINE) $(SUPPORT) $(HEADERS)
MAKEFLAGS += --no-builtin-rules

build/release/%: tests/%.c $(INPUTS)
	mkdir -p $(@D)
	$(call LINK)

build/asan/%: tests/%.c $(INPUTS)
	mkdir -p $(@D)
	$(call LINK,-g -fsanitize=address$(COMMA)undefined -fno-sanitize-recover=all)

build/tsan/%: tests/%.c $(INPUTS)
	mkdir -p $(@D)
	$(call LINK,-g -fsanitize=thread)

test: deps ## install what is missing, build, run the tests
	$(MAKE) all
	for t in $(call programs,release); do $$t || exit 1; done

asan: $(call programs,asan) ## the tests under the address and undefined-behaviour sanitizers
	for t in $^; do CK_FORK=no $$t || exit 1; done

tsan: $(call programs,tsan) ## the tests under the thread sanitizer
	for t in $^; do CK_FORK=no TSAN_OPTIONS=halt_on_error=1 $$t || exit 1; done

layers: ## every header stands alone; the kernels know no other room
	for h in $(HEADERS); do $(CC) $(FLAGS) -fsyntax-only -x c $$h || exit 1; done
	! grep -nE 'include "(tensor|base|quant|ops|graph|format|image|train)/' engine/kernels/*.[ch]

lint: ## formatting of the C sources
	clang-format --dry-run -Werror $(SOURCES)

format: ## format them
	clang-format -i $(SOURCES)

deps: ## install the missing Debian packages
	@missing=$$(dpkg-query -W -f '$${Package} $${Status}\n' $(PACKAGES) 2>/dev/null | \
	  awk '/ installed$$/ { have[$$1] = 1 } END { n = split("$(PACKAGES)", p, " "); \
	  for (i = 1; i <= n; i++) if (!have[p[i]]) print p[i] }'); \
	if [ -n "$$missing" ]; then apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y $$missing; fi

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' Makefile

.PHONY: all test asan tsan layers lint format deps clean help
