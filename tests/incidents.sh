#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/incidents.sh [RUNS] [FAULT...]  the demo again and again: was each fault found, and its culprit?
# Resumable: runs that are in the table are not made again (remove it to start anew). The table is
# $KP_INCIDENTS, default build/incidents.tsv: fault, run, status, seconds, what the verdict said, what the witness said.
set -u
cd "$(dirname "$0")/.." || exit 1
runs=${1:-10}
shift
faults=("$@")
[ ${#faults[@]} -gt 0 ] || faults=(memory cpu disk lock none)
bin=${KP_BIN:-build/bin}
table=${KP_INCIDENTS:-build/incidents.tsv}
mkdir -p "$(dirname "$table")"
touch "$table"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

one() {	# FAULT RUN
	local rc said saw from=$SECONDS
	FAULT=$1 KP_BIN=$bin OUT=$out/demo timeout -k 20 150 examples/checkout/run.sh >"$out/log" 2>&1 </dev/null
	rc=$?
	said=$(grep -a '^verdict: ' "$out/log" | tail -n 1)
	saw=$(grep -aE ' (agree|DIFFER)$' "$out/log" | awk '{ k = $NF == "agree" ? "agrees" : "DIFFERS"; $NF = ""; printf "%s%s(%s)", s, $0, k; s = "; " }')
	[ -n "$said" ] || said=$(tail -n 1 "$out/log" | tr '\t' ' ')
	printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$rc" "$((SECONDS - from))" "$said" "$saw" >>"$table"
	if [ "$rc" != 0 ] && [ -n "${KEEP:-}" ]; then
		mkdir -p "$KEEP/$1.$2"
		cp -r "$out/log" "$out/demo/." "$KEEP/$1.$2/"
	fi
}

for f in "${faults[@]}"; do
	for ((i = 1; i <= runs; i++)); do
		grep -q "^$f	$i	" "$table" || one "$f" "$i"
		grep "^$f	$i	" "$table" | tail -n 1 | awk -F'\t' '{ printf "%s %s-%s (%s s): %s\n", $3 == 0 ? "ok" : "not ok", $1, $2, $4, $5 }'
	done
done

passed=0 failed=0
for f in "${faults[@]}"; do
	good=$(awk -F'\t' -v f="$f" -v n="$runs" '$1 == f && $2 <= n && $3 == 0 { s++ } END { print s + 0 }' "$table")
	differ=$(awk -F'\t' -v f="$f" -v n="$runs" '$1 == f && $2 <= n && /DIFFERS/ { s++ } END { print s + 0 }' "$table")
	printf '%-8s %d of %d right, the witness differs in %d\n' "$f" "$good" "$runs" "$differ"
	passed=$((passed + good)) failed=$((failed + runs - good))
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
