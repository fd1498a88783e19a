#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# tests/deps.sh [--check] SET...  sees to it that the packages of the sets build, demo, test, lint, bench, services, kernels are there:
# installs what is missing as root on a Debian-like system, else prints the one command that does.
# With --check it never installs.

build="gcc libc6-dev make pkg-config clang llvm libbpf-dev libelf-dev zlib1g-dev bpftool libcbor-dev libxxhash-dev libzstd-dev libgraphviz-dev libjansson-dev libpcre2-dev"
demo="postgresql libpq-dev jq iproute2 procps util-linux e2fsprogs mount kmod"
test="bats libcmocka-dev mandoc shellcheck zstd jq graphviz fonts-dejavu-core python3 python3-cbor2 python3-zstandard strace procps psmisc iproute2 util-linux e2fsprogs mount libclang-rt-dev"
lint="clang-tidy clang mandoc shellcheck"
bench="bpftrace linux-perf coreutils"
services="postgresql redis-server redis-tools stress-ng"
kernels="qemu-system-x86 busybox-static cpio kmod e2fsprogs linux-perf"

# Ubuntu has these under other names, and before Debian 12 the sanitizers came with clang.
debian_like_names() {
	sed -e 's/[[:space:]]\{1,\}/\n/g' | while read -r p; do
		[ -n "$p" ] || continue
		case $p in
		bpftool) known bpftool || p="linux-tools-common linux-tools-generic" ;;
		linux-perf) known linux-perf || p="linux-tools-common linux-tools-generic" ;;
		libclang-rt-dev) known libclang-rt-dev || p= ;;
		esac
		printf '%s ' "$p"
	done
}

known() {
	dpkg-query -W "$1" >/dev/null 2>&1 || apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'
}

missing() {
	for p; do
		case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) in
		installed) ;;
		*) printf '%s ' "$p" ;;
		esac
	done
}

check=no
[ "${1-}" = --check ] && { check=yes; shift; }
[ $# -gt 0 ] || { echo "usage: tests/deps.sh [--check] build|demo|test|lint|bench|services|kernels..." >&2; exit 2; }

want=
for set; do
	case $set in
	build) want="$want $build" ;;
	demo) want="$want $demo" ;;
	test) want="$want $test" ;;
	lint) want="$want $lint" ;;
	bench) want="$want $bench" ;;
	services) want="$want $services" ;;
	kernels) want="$want $kernels" ;;
	*) echo "tests/deps.sh: no such set: $set" >&2; exit 2 ;;
	esac
done

# On other systems we cannot tell what is there: the compiler will.
command -v dpkg-query >/dev/null 2>&1 || exit 0

# The usual case, everything is there, costs one dpkg-query.
# shellcheck disable=SC2086
n=$(dpkg-query -W -f '${db:Status-Status}\n' $want 2>/dev/null | grep -c '^installed$')
# shellcheck disable=SC2086
uniq=$(printf '%s\n' $want | sort -u | wc -l)
[ "$n" -ge "$uniq" ] && exit 0

# shellcheck disable=SC2046
lacks=$(missing $(echo "$want" | debian_like_names))
[ -n "$lacks" ] || exit 0
lacks=${lacks% }

command="apt-get install --no-install-recommends -y $lacks"
if [ "$check" = yes ] || [ "$(id -u)" != 0 ]; then
	[ "$(id -u)" = 0 ] || command="sudo $command"
	printf 'kprobe: packages are missing; install them with:\n%s\n' "$command" >&2
	exit 1
fi

printf 'kprobe: installing %s\n' "$lacks" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
# The lists of a fresh container are empty, so names are only known for sure after an update.
if ! apt-get update -q >"$log" 2>&1; then
	tail -n 5 "$log" >&2
fi
# shellcheck disable=SC2046
lacks=$(missing $(echo "$want" | debian_like_names))
# shellcheck disable=SC2086
if ! apt-get install --no-install-recommends -y -q -o DPkg::Lock::Timeout=120 $lacks >"$log" 2>&1; then
	tail -n 15 "$log" >&2
	printf 'kprobe: could not install them; try:\n%s\n' "$command" >&2
	exit 1
fi
