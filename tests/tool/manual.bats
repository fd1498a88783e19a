#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What the overview lists is what the program knows.

@test "kprobe(7) has each cause of the table, with its meaning, and no other" {
	cd "$BATS_TEST_DIRNAME/../.." || return
	sed -nE 's/^KP_CAUSE\([^"]*"([^"]*)", "([^"]*)"\)$/\1 \2/p' include/kp/causes.def >"$BATS_TEST_TMPDIR/table"
	sed -nE '/^\.Ss Causes/,/^\.El/p' man/kprobe.7 | sed -nE '/^\.It /{s/^\.It //;N;s/\n/ /p}' >"$BATS_TEST_TMPDIR/page"
	[ -s "$BATS_TEST_TMPDIR/table" ]
	diff "$BATS_TEST_TMPDIR/table" "$BATS_TEST_TMPDIR/page"
}

@test "README names each tool" {
	cd "$BATS_TEST_DIRNAME/../.." || return
	for t in cmd/kp-*.c; do
		t=${t##*/}
		grep -q "${t%.c}" README.md
	done
}
