#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The whole of `make lint`: the house rules, both compilers without a warning, clang-tidy.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
cd "$root" || exit 1
. tests/lint/tap.bash
build=${KP_BUILD:-$root/build}

quietly() { local out; out=$("$@" 2>&1) || { printf '%s\n' "$out" | tail -n 60; return 1; }; }

compiler() { quietly make --no-print-directory -j"$(nproc)" B="$build" MODE="$1" tools unit examples; }

house() {
	local out
	out=$(KP_BUILD=$build tests/lint/house.sh)
	grep -A 100 '^not ok' <<<"$out" | grep -v '^ok'
	grep -q '^1\.\.' <<<"$out" || echo "tests/lint/house.sh ended early"
}

# The programs in the kernel for each architecture, whatever this machine is.
bpf_for() {
	local out
	out=$(mktemp) || return
	quietly "${CLANG:-clang}" -g -O2 -target bpf -D__TARGET_ARCH_"$1" -Wall -Werror -Iinclude -Ibpf -c bpf/kprobe.bpf.c -o "$out"
	rm -f "$out"
}

# xargs gives the files first, clang-tidy wants the flags behind "--".
tidy_all() {
	local flags="-std=gnu11 -D_GNU_SOURCE -Iinclude -Ilib -I. -Itests -I$build/gen -I/usr/include/postgresql"
	# shellcheck disable=SC2016
	find lib cmd -name '*.c' -print0 | flags=$flags xargs -0 -r -n 3 -P "$(nproc)" \
		sh -c 'clang-tidy --quiet --config-file=tests/lint/clang-tidy "$@" -- $flags 2>/dev/null' tidy |
		grep -E '(warning|error):' | grep -v '\.skel\.h:' | sort -u
	return 0
}

check "house rules" house
check "gcc is content" compiler release
check "clang is content" compiler clang
check "the BPF programs compile for x86-64" bpf_for x86
check "the BPF programs compile for arm64" bpf_for arm64
if command -v clang-tidy >/dev/null; then
	check "clang-tidy is content" tidy_all
else
	skip_check "clang-tidy is content" "clang-tidy is missing"
fi
end_checks
