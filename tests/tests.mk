# SPDX-License-Identifier: BSD-2-Clause
# Tests: tests/unit/test_*.c (cmocka), tests/tool/*.bats, tests/fuzz/fuzz_*.c (libFuzzer), tests/long/*.bats (check-world).

UNIT    := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
FUZZ    := $(patsubst tests/fuzz/%.c,$(B)/tests/%,$(wildcard tests/fuzz/fuzz_*.c))
BATS    := $(wildcard tests/tool/*.bats)
LONG    := $(wildcard tests/long/*.bats)
# Programs that tests run, such as the one that writes streams for them.
HELPERS := $(patsubst tests/tool/%.c,$(B)/tests/%,$(wildcard tests/tool/*.c))
FUZZ_TIME ?= 30

# Every library, but only what a test really calls stays in it.
TEST_LIBS := -Wl,--as-needed -lbpf -lelf -lz -lpcre2-8 -ljansson -lgvc -lcgraph $(LIBS_BASE) -lm -lpthread

# exec: so that TERM sent to make reaches it.
RUN      := exec env KP_BIN=$(abspath $(B)/bin) KP_BUILD=$(abspath $(B)) KP_EXAMPLES=$(abspath $(B)/examples) tests/run.sh
RUN_ASAN := exec env KP_BIN=$(abspath $(B)/asan/bin) KP_BUILD=$(abspath $(B)/asan) KP_EXAMPLES=$(abspath $(B)/examples) tests/run.sh
SUB      := $(MAKE) --no-print-directory -j$(shell nproc)

# Test programs are no library: their functions need no prototypes elsewhere.
$(B)/tests/test_%: tests/unit/test_%.c $(B)/libkp.a
	@mkdir -p $(@D)
	$(CC) $(KCFLAGS) -Itests -MF $@.d $< $(LDSAN) $(B)/libkp.a $(TEST_LIBS) -lcmocka -o $@

$(B)/tests/fuzz_%: tests/fuzz/fuzz_%.c $(B)/libkp.a
	@mkdir -p $(@D)
	$(CC) $(KCFLAGS) -Wno-missing-prototypes -Itests -MF $@.d $< -fsanitize=fuzzer $(LDSAN) $(B)/libkp.a $(TEST_LIBS) -o $@

$(B)/tests/%: tests/tool/%.c $(B)/libkp.a
	@mkdir -p $(@D)
	$(CC) $(KCFLAGS) -Itests -MF $@.d $< $(LDSAN) $(B)/libkp.a $(TEST_LIBS) -o $@

unit: $(UNIT)
helpers: $(HELPERS)
fuzzers: $(FUZZ)

# One test by name: make test-stream, make test-stream MODE=asan
test-%: $(B)/tests/test_%
	@$(RUN) $<

check:
	@tests/deps.sh build demo test
	@$(SUB) tools unit helpers examples
	@$(SUB) MODE=asan unit
	@$(SUB) check-run

# The sanitizers see every unit test; the tools themselves are run with them in check-world.
check-run:
	@$(RUN) lint=tests/lint/house.sh $(UNIT) $(BATS) \
		$(foreach t,$(notdir $(UNIT)),asan/$t=$(B)/asan/tests/$t)

# Resumable: what passed is not run again until it or a tool changes (rm -r $(B)/world starts anew).
check-world:
	@tests/deps.sh build demo test lint kernels
	@$(SUB) tools unit helpers examples
	@$(SUB) MODE=asan tools unit helpers
	@$(SUB) MODE=fuzz fuzzers
	@$(SUB) check-world-run

check-world-run:
	@$(RUN) -t 3600 -r $(B)/world "QUICK=$(QUICK) lint=tests/lint/lint.sh" \
		$(foreach t,$(notdir $(UNIT)),asan/$t=$(B)/asan/tests/$t) \
		$(foreach t,$(BATS),"KP_BIN=$(abspath $(B)/asan/bin) KP_BUILD=$(abspath $(B)/asan) BATS_TEST_TIMEOUT=600 asan/$(notdir $t)=$t") \
		"KP_FUZZ=$(abspath $(B)/fuzz/tests) FUZZ_TIME=$(if $(QUICK),30,600) fuzz=tests/fuzz.sh" \
		$(foreach t,$(LONG),"QUICK=$(QUICK) BATS_TEST_TIMEOUT=1800 $(notdir $t)=$t")

fuzz:
	@tests/deps.sh build test
	@$(SUB) MODE=fuzz fuzzers
	@KP_FUZZ=$(abspath $(B)/fuzz/tests) FUZZ_TIME=$(FUZZ_TIME) tests/fuzz.sh

lint:
	@tests/deps.sh build test lint
	@$(SUB) tools unit examples
	@tests/run.sh -t 3600 lint=tests/lint/lint.sh

# The demo ten times for each fault: make incidents [RUNS=10] [FAULTS='memory none']
RUNS ?= 10
incidents:
	@tests/deps.sh build demo
	@$(SUB) tools examples
	@exec env KP_BIN=$(abspath $(B)/bin) KP_INCIDENTS=$(B)/incidents.tsv tests/incidents.sh $(RUNS) $(FAULTS)

bench:
	@tests/deps.sh build bench
	@$(SUB) tools
	@KP_BIN=$(abspath $(B)/bin) tests/bench.sh

# What a recorder that runs all the time costs switches, services and a mixed load: some 8 minutes.
bench-record:
	@tests/deps.sh build bench services
	@$(SUB) tools helpers
	@exec env KP_BIN=$(abspath $(B)/bin) STORM=$(abspath $(B)/tests/storm) tests/bench-record.sh

.PHONY: bench-record unit helpers fuzzers check check-run check-world check-world-run fuzz lint bench incidents

-include $(wildcard $(B)/tests/*.d)
