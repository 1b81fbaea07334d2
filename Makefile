# lqnet - builds what stands so far: the integer kernels and their tests.
PACKAGES := gcc libc6-dev make check clang-format
CFLAGS   ?= -O2
FLAGS    := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -ffp-contract=off -Iengine $(if $(CI),-Werror)
KERNELS  := $(wildcard engine/kernels/*.c)
HEADERS  := $(wildcard engine/*.h engine/*/*.h)
SOURCES  := $(KERNELS) $(wildcard tests/kernels/*.c)

all: build/release/test_gemm ## build

build/%/test_gemm: tests/kernels/test_gemm.c $(KERNELS) $(HEADERS)
	mkdir -p $(@D)
	$(CC) $(FLAGS) $(CFLAGS) $(SANITIZE) $(filter %.c,$^) -o $@ -lcheck -lsubunit -lrt -lm -lpthread

build/asan/test_gemm: SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -g

test: deps ## install what is missing, build, run the tests
	$(MAKE) all
	build/release/test_gemm

asan: build/asan/test_gemm ## the tests under the address and undefined-behaviour sanitizers
	CK_FORK=no build/asan/test_gemm

layers: ## every header stands alone; the kernels know no other room
	for h in $(HEADERS); do $(CC) $(FLAGS) -fsyntax-only -x c $$h || exit 1; done
	! grep -nE 'include "(tensor|base|quant|ops|graph|format|image|train)/' engine/kernels/*.[ch]

lint: ## formatting of the C sources
	clang-format --dry-run -Werror $(SOURCES) $(wildcard engine/kernels/*.h)

format: ## format them
	clang-format -i $(SOURCES) $(wildcard engine/kernels/*.h)

deps: ## install the missing Debian packages
	@missing=$$(dpkg-query -W -f '$${Package} $${Status}\n' $(PACKAGES) 2>/dev/null | \
	  awk '/ installed$$/ { have[$$1] = 1 } END { n = split("$(PACKAGES)", p, " "); \
	  for (i = 1; i <= n; i++) if (!have[p[i]]) print p[i] }'); \
	if [ -n "$$missing" ]; then apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y $$missing; fi

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' Makefile

.PHONY: all test asan layers lint format deps clean help
