# SPDX-License-Identifier: BSD-2-Clause
# kprobe: `make demo` or `make check` on a bare machine; `make help` lists the rest.

CLANG   ?= clang
# Ubuntu's /usr/sbin/bpftool is a wrapper that refuses other kernels than its own.
BPFTOOL ?= $(firstword $(wildcard /usr/lib/linux-tools/*/bpftool) $(shell command -v bpftool) /usr/sbin/bpftool)
PREFIX  ?= /usr/local
DESTDIR ?=
B       ?= build
MODE    ?= release

WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
CFLAGS  ?= -O2 -g
SAN     := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

# What is generated does not depend on how the rest is compiled: all modes share it.
G       := $(B)/gen
ifeq ($(MODE),release)
else ifeq ($(MODE),asan)
override CFLAGS := -O1 -g $(SAN)
else ifeq ($(MODE),clang)
override CC := $(CLANG)
else ifeq ($(MODE),fuzz)
override CC := $(CLANG)
override CFLAGS := -O1 -g $(SAN) -fsanitize=fuzzer-no-link
else
$(error MODE is release, asan, clang or fuzz)
endif
ifneq ($(MODE),release)
override B := $(B)/$(MODE)
endif
LDSAN   := $(filter -fsanitize=address%,$(CFLAGS))
KCFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude -Ilib -I. -I$(G) $(CFLAGS) -MMD -MP
ARCH    := $(shell uname -m | sed -e s/x86_64/x86/ -e s/aarch64/arm64/)

TOOLS   := $(patsubst cmd/%.c,%,$(wildcard cmd/kp-*.c))
LIBSRC  := $(wildcard lib/*/*.c)
LIBOBJ  := $(patsubst lib/%.c,$(B)/lib/%.o,$(LIBSRC))
BPFSRC  := $(wildcard bpf/*.bpf.c)
SKEL    := $(patsubst bpf/%.bpf.c,$(G)/%.skel.h,$(BPFSRC))

# What each tool needs beyond the stream; kp-record and kp-query stay light for use over ssh.
LIBS_BASE := -lcbor -lzstd
LIBS_kp-record := -lbpf -lelf -lz -lpthread
LIBS_kp-query  := -lpcre2-8
LIBS_kp-enrich := -ljansson
LIBS_kp-causal := -ljansson -lpcre2-8
LIBS_kp-dot    := -lgvc -lcgraph
VERSION  = $(shell sed -n 's/^.define KP_VERSION "\(.*\)"/\1/p' include/kp/util.h)

all: deps tools
tools: $(TOOLS:%=$(B)/bin/%)

help:
	@echo 'make [all]     build the tools into $(B)/bin'
	@echo 'make demo      build all and run the main job: a slow checkout, recorded and explained'
	@echo '               (FAULT=memory|cpu|disk|lock|none chooses what goes wrong)'
	@echo 'make check     build all and run the quick tests (under 10 minutes)'
	@echo 'make check-world [QUICK=1]   the long tests: sanitizers, fuzzing, clang, lint'
	@echo 'make incidents  the demo ten times for each fault: is the culprit found every time?'
	@echo 'make bench     measure the cost of recording beside perf and bpftrace'
	@echo 'make bench-record  what it costs services, switches and a mixed load, beside perf'
	@echo 'make lint      compilers, clang-tidy, mandoc, shellcheck, house rules'
	@echo 'make fuzz [FUZZ_TIME=30]     each fuzz target for so many seconds'
	@echo 'make completions             write completions/ anew from the tools'
	@echo 'make install DESTDIR= PREFIX=/usr/local'
	@echo 'make clean'

# A plain build never installs packages, but says how to; demo and check do install them, as root.
deps:
	@tests/deps.sh --check build

demo:
	@tests/deps.sh build demo
	@$(MAKE) --no-print-directory -j$(shell nproc) tools examples
	@$(MAKE) --no-print-directory demo-run

# exec: make tells its own child that it has to end, and a shell between would not pass that on.
demo-run: tools examples
	@exec env KP_BIN=$(abspath $(B)/bin) EX=$(abspath $(B)/examples/checkout) examples/checkout/run.sh

# The programs of the demo stand for somebody's application: they know nothing of kprobe.
EXAMPLES := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*/*.c))
examples: $(EXAMPLES)

$(B)/examples/%: examples/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(filter-out -Wshadow,$(WARN)) $(CFLAGS) $$(pkg-config --cflags libpq) $< -Wl,--as-needed $$(pkg-config --libs libpq) -ljansson -pthread -lm -o $@

install: tools
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/kp $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/kprobe
	sed 's|/usr/local/bin|$(PREFIX)/bin|' examples/systemd/kprobe.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/kprobe.service
	chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/kprobe.service
	install -m 644 examples/systemd/record.conf $(DESTDIR)$(PREFIX)/share/doc/kprobe
	install -m 755 $(TOOLS:%=$(B)/bin/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 include/kp/* $(DESTDIR)$(PREFIX)/include/kp
	install -m 644 $(B)/libkp.a $(DESTDIR)$(PREFIX)/lib
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: libkp' \
		'Description: reads, writes and explains kprobe streams (with --static: also all that kp-query, kp-causal and kp-dot need)' \
		'Version: $(VERSION)' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lkp $(LIBS_BASE)' \
		'Libs.private: $(sort $(foreach t,$(TOOLS),$(LIBS_$t)))' >$(DESTDIR)$(PREFIX)/lib/pkgconfig/libkp.pc
	chmod 644 $(DESTDIR)$(PREFIX)/lib/pkgconfig/libkp.pc
	for s in 1 5 7; do for m in man/*.$$s; do \
		[ ! -f $$m ] || install -m 644 $$m $(DESTDIR)$(PREFIX)/share/man/man$$s || exit 1; done; done
	for t in $(TOOLS); do [ ! -f completions/kp.fish ] || \
		install -m 644 completions/kp.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$t.fish || exit 1; done
	for t in $(TOOLS); do [ ! -f completions/kp.bash ] || \
		install -m 644 completions/kp.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$t || exit 1; done
	[ ! -f completions/_kp ] || install -m 644 completions/_kp $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_kp

completions: tools
	completions/generate $(abspath $(B)/bin) completions

clean:
	rm -rf $(B)

.PHONY: all tools help deps demo demo-run examples install completions clean
.DELETE_ON_ERROR:
.SECONDARY:

# One archive: the linker takes from it only what a tool calls.
$(B)/libkp.a: $(LIBOBJ)
	@rm -f $@
	$(AR) rcs $@ $(LIBOBJ)

$(B)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CC) $(KCFLAGS) -c $< -o $@

$(B)/cmd/%.o: cmd/%.c
	@mkdir -p $(@D)
	$(CC) $(KCFLAGS) -c $< -o $@

$(B)/bin/%: $(B)/cmd/%.o $(B)/libkp.a
	@mkdir -p $(@D)
	$(CC) $(LDSAN) $(LDFLAGS) $< $(B)/libkp.a $(LIBS_$*) $(LIBS_BASE) -o $@

$(G)/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -target bpf -D__TARGET_ARCH_$(ARCH) -Wall -Werror -Iinclude -Ibpf -c $< -o $@
	llvm-strip -g $@

$(G)/%.skel.h: $(G)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

# Only the recorder includes skeletons.
$(filter $(B)/lib/record/%,$(LIBOBJ)): | $(SKEL)

-include $(LIBOBJ:.o=.d) $(TOOLS:%=$(B)/cmd/%.d)
include $(wildcard tests/*.mk)
