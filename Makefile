# SPDX-License-Identifier: BSD-2-Clause
# kprobe: `make demo` or `make check` on a bare machine; `make help` lists the rest.

CC      ?= gcc
CLANG   ?= clang
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
PREFIX  ?= /usr/local
DESTDIR ?=
B       ?= build
MODE    ?= release

WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
CFLAGS  ?= -O2 -g
SAN     := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(MODE),asan)
B       := build/asan
CFLAGS  := -O1 -g $(SAN)
LDFLAGS += $(SAN)
endif
KCFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -Iinclude -Ilib -I$(B)/gen $(CFLAGS) -MMD -MP

TOOLS   := $(patsubst cmd/%.c,%,$(wildcard cmd/kp-*.c))
LIBSRC  := $(wildcard lib/*/*.c)
LIBOBJ  := $(patsubst lib/%.c,$(B)/lib/%.o,$(LIBSRC))
BPFSRC  := $(wildcard bpf/*.bpf.c)
SKEL    := $(patsubst bpf/%.bpf.c,$(B)/gen/%.skel.h,$(BPFSRC))

# What each tool needs beyond the stream; kp-record and kp-query stay light for use over ssh.
LIBS_BASE := -lcbor -lzstd
LIBS_kp-record := -lbpf -lelf -lz
LIBS_kp-query  := -lpcre2-8
LIBS_kp-enrich := -ljansson
LIBS_kp-causal := -ljansson -lpcre2-8
LIBS_kp-dot    := -lgvc -lcgraph

all: $(TOOLS:%=$(B)/bin/%)

help:
	@echo 'make [all]     build the tools into $(B)/bin'
	@echo 'make demo      build all and run the main job: a slow checkout, recorded and explained'
	@echo 'make check     build all and run the quick tests (under 10 minutes)'
	@echo 'make check-world [QUICK=1]   the long tests'
	@echo 'make bench     measure the cost of recording beside perf and bpftrace'
	@echo 'make lint      compilers, clang-tidy, mandoc, shellcheck'
	@echo 'make install DESTDIR= PREFIX=/usr/local'

.PHONY: all help
.DELETE_ON_ERROR:

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
	$(CC) $(LDFLAGS) $< $(B)/libkp.a $(LIBS_$*) $(LIBS_BASE) -o $@

$(B)/gen/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) -g -O2 -target bpf -D__TARGET_ARCH_x86 -Wall -Werror -Iinclude -Ibpf -c $< -o $@
	llvm-strip -g $@

$(B)/gen/%.skel.h: $(B)/gen/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $(subst -,_,$*)_bpf > $@

$(LIBOBJ): | $(SKEL)

-include $(LIBOBJ:.o=.d) $(TOOLS:%=$(B)/cmd/%.d)
include $(wildcard tests/*.mk)
