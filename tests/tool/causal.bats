#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-causal with streams that test_causal_report writes: a checkout that failed, six requests, hostile names.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	rows=${KP_BUILD:-$ROOT/build}/tests/test_causal_report
	causal=$KP_BIN/kp-causal
	query=$KP_BIN/kp-query
	py=${PYTHON:-python3}
	cd "$BATS_TEST_TMPDIR" || return
	"$rows" checkout >checkout.kp
	"$rows" load >load.kp
}

# A command with a terminal as its standard output; what it writes there.
on_a_terminal() { script -qec "$1" /dev/null </dev/null | tr -d '\r'; }

# A pipe, not a file.
piped() { cat "$1"; }

one_line() { [ "$(wc -l <<<"$1")" = 1 ]; }

@test "a terminal gets the story, with the root cause, the culprit and the failure" {
	on_a_terminal "NO_COLOR=1 $causal --request req-1 checkout.kp" >story
	grep -q '^req-1  POST /checkout  api-worker\[2847\]  FAILED after 750 ms; the answer came at 812 ms, 62 ms too late$' story
	grep -q 'evicted by batch\[4721\] .* memory.refault  <- root cause$' story
	grep -q 'gives up (poll, 750.0 ms).*<- failure$' story
	grep -q '^without memory.refault: ' story
	run ! grep -q $'\033' story
	[ "$(wc -L <story)" -le 110 ]
	[ "$(wc -l <story)" -le 30 ]
}

@test "colour only on a terminal and never with NO_COLOR" {
	on_a_terminal "env -u NO_COLOR TERM=xterm $causal checkout.kp" | grep -q $'\033\[1;31m'
	"$causal" -f text checkout.kp >plain
	run ! grep -q $'\033' plain
}

@test "into a pipe the stream goes on, every row as it was, with the explanation in it" {
	"$causal" checkout.kp | cat >out.kp
	"$query" -f json checkout.kp >before
	"$query" -f json out.kp >after
	[ -s before ]
	cmp before after
	"$KP_BIN/kp-dot" -f dot out.kp | grep -q req-1
	"$query" --info out.kp | grep -q kp-causal
	"$query" --info out.kp >info 2>&1
	run ! grep -q torn info
}

@test "several targets are several explanations, the slowest first" {
	"$causal" --slowest 3 -f json load.kp >three
	"$py" - <<-'END'
		import json
		t = [json.loads(l)["target"] for l in open("three")]
		assert [x["request"] for x in t] == ["req-6", "req-5", "req-4"], t
	END
	"$causal" -n 100 -f json load.kp | grep -c . | grep -qx 6
}

@test "json: the causes are the whole time, and the path is without gaps" {
	"$causal" -r req-1 -f json checkout.kp >why.json
	"$py" - <<-'END'
		import json
		w = json.load(open("why.json"))
		assert set(w) == {"target", "causes", "path", "marks"}, set(w)
		assert abs(sum(c["share"] for c in w["causes"]) - 1) < 1e-4
		assert sum(c["ns"] for c in w["causes"]) == w["target"]["dur_ns"]
		first = w["causes"][0]
		assert first["kind"] == "memory.refault" and first["culprit"]["pid"] == 4721, first
		assert first["counterfactual_dur_ns"] == w["target"]["dur_ns"] - first["ns"]
		at = 0
		for p in w["path"]:
		    assert p["from_ns"] == at, p
		    at += p["dur_ns"]
		assert at == w["target"]["dur_ns"]
		assert w["target"]["outcome"] == "timeout" and w["target"]["limit_ns"] == 750000000
	END
}

@test "a pipe is read as a file is, also in the middle of one, and without a place to keep it in \$TMPDIR it is said so" {
	"$causal" -f json checkout.kp >file
	head -c 100 /dev/zero >text.bin
	piped checkout.kp | "$causal" -f json >pipe
	"$causal" -f json - <checkout.kp >redirected
	cmp file pipe
	cmp file redirected
	mkfifo fifo
	cat checkout.kp >fifo &
	"$causal" -f json fifo >named
	cmp file named
	cat text.bin checkout.kp >both
	{ head -c 100 >/dev/null; "$causal" -f json; } <both >rest
	cmp file rest
	run -1 bash -c "cat checkout.kp | TMPDIR=/nowhere/at/all '$causal' -f json"
	one_line "$output"
	[[ $output == *TMPDIR* ]]
}

@test "nothing is left behind in \$TMPDIR" {
	mkdir tmp
	piped checkout.kp | TMPDIR=$PWD/tmp "$causal" -f json >/dev/null
	[ -z "$(ls -A tmp)" ]
}

@test "not found: what the recording covers and the nearest ids, status 1, and the stream goes on" {
	run -1 --separate-stderr "$causal" --request req-77 load.kp
	# shellcheck disable=SC2154
	one_line "$stderr"
	[[ $stderr == "kp-causal: request req-77 is not in the recording; it covers 2025-11-25T02:45:00.000+00:00 to "*"; nearest: req-1"* ]]
	"$causal" --request req-77 load.kp 2>/dev/null >out.kp || true
	cmp <("$query" -f json load.kp) <("$query" -f json out.kp)
	run -1 "$causal" --tid 4242 -f text load.kp
	[[ $output == *"thread 4242 did nothing"* ]]
}

@test "a thread and an interval" {
	"$causal" --pid 105 --since @1764038700.26 --until @1764038700.30 -f json load.kp >why.json
	grep -q '"dur_ns":40000000,' why.json
	run -1 "$causal" --pid 105 --since @1764038700.30 --until @1764038700.26 -f json load.kp
	one_line "$output"
}

@test "wrong command lines are told from failures" {
	run -2 "$causal" --request a --slowest 2 load.kp
	run -2 "$causal" --slowest 0 load.kp
	run -2 "$causal" --slowest -1 load.kp
	run -2 "$causal" --request '' load.kp
	run -2 "$causal" --since 02:45 load.kp
	run -2 "$causal" --pid 1 --since nonsense load.kp
	run -2 "$causal" -f svg load.kp
	run -2 "$causal" --no-such-option
	run -0 "$causal" --help
	[[ $output == *"kp-causal --request req-9f21"* ]]
	run -0 "$causal" -V
}

@test "what is no stream is told in one line" {
	echo "some text, which is no recording at all" >text
	: >empty
	for f in text empty missing.kp; do
		run -1 "$causal" -f text "$f"
		one_line "$output"
		[[ $output == kp-causal:*"$f"* ]]
	done
	run -1 bash -c "'$causal' -f text <text"
	one_line "$output"
	[[ $output == *"standard input"* ]]
}

@test "a torn recording is used as far as it goes, and said to be torn once" {
	head -c $(($(stat -c %s checkout.kp) - 40)) checkout.kp >torn.kp
	run -0 --separate-stderr "$causal" -f json torn.kp
	one_line "$stderr"
	[[ $stderr == *torn.kp*torn* ]]
	[[ $output == *memory.refault* ]]
	run -0 --separate-stderr "$causal" -q -f json torn.kp
	[ -z "$stderr" ]
	run -1 "$causal" --strict -f json torn.kp
	run -0 --separate-stderr bash -c "'$causal' -f json <torn.kp"
	[[ $stderr == *"standard input"* ]]
}

@test "a full disk is told, a reader that had enough is not" {
	for f in text json kp; do
		run -1 "$causal" -f "$f" -o /dev/full checkout.kp
		one_line "$output"
	done
	run -0 bash -c "set -o pipefail; '$causal' -n 6 -f json load.kp | head -c 1 >/dev/null; exit \${PIPESTATUS[0]}"
	run -0 bash -c "set -o pipefail; '$causal' -n 6 -f text load.kp 2>err | head -c 1 >/dev/null; cat err; exit \${PIPESTATUS[0]}"
	[ -z "$output" ]
}

@test "never binary to a terminal" {
	on_a_terminal "$causal -f kp checkout.kp" >out || true
	grep -q 'kp-causal:' out
	[ "$(wc -l <out)" = 1 ]
}

@test "names from outside reach neither terminal nor JSON as they are" {
	"$rows" hostile >hostile.kp
	on_a_terminal "NO_COLOR=1 $causal hostile.kp" >story
	run ! grep -q $'\033\|\007' story
	grep -q '\\x1b' story
	"$causal" -f json hostile.kp | "$py" -c 'import json, sys; json.load(sys.stdin)'
	run ! grep -q $'\033' <("$causal" -f json hostile.kp)
}

@test "the page has each cause of the table" {
	page=$ROOT/man/kp-causal.1
	n=0
	while read -r name; do
		grep -qE "^\.It (Li|Cm) ${name//./\\.}\$" "$page" || { echo "$name is missing"; return 1; }
		n=$((n + 1))
	done < <(sed -nE 's/^KP_CAUSE\([^"]*"([^"]*)".*/\1/p' "$ROOT/include/kp/causes.def")
	[ "$n" -gt 30 ]
}
