#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/fuzz.sh: each fuzz target in $KP_FUZZ for $FUZZ_TIME seconds, as TAP. Seeds: tests/fuzz/seeds/NAME/.
# What libFuzzer finds stays in $KP_FUZZ/NAME.found, and its corpus, for the next run, in $KP_FUZZ/NAME.corpus.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
dir=${KP_FUZZ:-$root/build/fuzz/tests} seconds=${FUZZ_TIME:-30}
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:allocator_may_return_null=1}

targets=()
for t in "$root"/tests/fuzz/fuzz_*.c; do
	[ -f "$t" ] && targets+=("$(basename "$t" .c)")
done
echo "1..${#targets[@]}"
n=0 bad=0
for t in ${targets[@]+"${targets[@]}"}; do
	n=$((n + 1))
	name=${t#fuzz_}
	mkdir -p "$dir/$name.corpus" "$dir/$name.found"
	seeds=()
	[ -d "$root/tests/fuzz/seeds/$name" ] && seeds=("$root/tests/fuzz/seeds/$name")
	log=$dir/$name.log
	timeout -k 10 $((seconds + 60)) "$dir/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=256 \
		-max_len=65536 -print_final_stats=1 -artifact_prefix="$dir/$name.found/" \
		"$dir/$name.corpus" ${seeds[@]+"${seeds[@]}"} >"$log" 2>&1
	rc=$?
	runs=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
	# A target that cannot even start, or never gets anywhere, has tested nothing.
	if [ $rc -eq 0 ] && [ "${runs:-0}" -gt 100 ]; then
		echo "ok $n - $t: $runs inputs in $seconds s"
	else
		bad=1
		echo "not ok $n - $t: status $rc after ${runs:-0} inputs; see $log"
		tail -n 40 "$log" | sed 's/^/# /'
	fi
done
exit $bad
