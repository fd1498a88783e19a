#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Input that is no stream, and output that cannot be written: one clear line and the right exit status, in every tool.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	mkstream=${KP_BUILD:-$ROOT/build}/tests/mkstream
	query=$KP_BIN/kp-query
	cd "$BATS_TEST_TMPDIR" || return
}

# Every tool that reads streams says what: TOOL: ... in one line, status 1.
each_tool_says() { # PATTERN FILE
	local t
	for t in query enrich causal dot; do
		[ -x "$KP_BIN/kp-$t" ] || continue
		local args=()
		[ $t = causal ] && args=(--slowest 1)
		run --separate-stderr -1 "$KP_BIN/kp-$t" "${args[@]}" "$2"
		echo "kp-$t: $stderr"
		[ -z "$output" ]
		[ "${#stderr_lines[@]}" = 1 ]
		[[ $stderr == "kp-$t: "$1 ]]
	done
}

@test "a text file" {
	echo 'Nov 25 02:45:00 web1 kernel: nothing to see' >log.txt
	each_tool_says '*log.txt: not a kp stream*text*' log.txt
}

@test "an empty file" {
	: >empty.kp
	each_tool_says '*empty.kp: *empty*' empty.kp
}

@test "another program's zstd file" {
	command -v zstd >/dev/null || skip "zstd is missing"
	seq 1 5000 | zstd -q >other.zst
	each_tool_says '*other.zst: not a kp stream*' other.zst
}

@test "bytes of no kind" {
	head -c 5000 /dev/urandom >noise
	each_tool_says '*noise: not a kp stream*' noise
}

@test "a file that is not there, a directory without segments" {
	each_tool_says '*nowhere.kp: No such file or directory' nowhere.kp
	mkdir dir
	each_tool_says '*dir: no segments*' dir
}

@test "standard input that is empty or text" {
	run -1 "$query" - </dev/null
	[ "$output" = "kp-query: standard input: empty" ]
	run -1 "$query" <<<'hello there, this is text'
	[[ $output == "kp-query: standard input: not a kp stream"* ]]
}

@test "a path that is not UTF-8, a path with a terminal sequence" {
	bad=$'x\xff\033[2J'
	run -1 "$query" "$bad"
	[ "$output" = 'kp-query: x\xff\x1b[2J: No such file or directory' ]
	"$mkstream" -n 100 >"$bad"
	"$query" -f json "$bad" >got
	[ "$(wc -l <got)" = 100 ]
	head -c -10 "$bad" >"$bad.torn"
	run --separate-stderr -0 "$query" -f json "$bad.torn"
	[[ $stderr == 'kp-query: x\xff\x1b[2J.torn: torn'* ]]
}

@test "a full disk" {
	"$mkstream" -n 1000 >a.kp
	for f in text json csv kp; do
		run --separate-stderr -1 bash -c '"$0" -q -f $1 a.kp >/dev/full' "$query" $f
		echo "$f: $stderr"
		[ "${#stderr_lines[@]}" = 1 ]
		[[ $stderr == "kp-query: "*": No space left on device" ]]
	done
	for o in --info --kinds --help --version; do
		run -1 bash -c '"$0" $1 a.kp >/dev/full' "$query" $o
		[[ $output == "kp-query: "*"No space left on device" ]]
	done
}

@test "no right to read or to write" {
	[ "$(id -u)" != 0 ] || skip "root may do anything"
	"$mkstream" -n 100 >a.kp
	chmod 0 a.kp
	run -1 "$query" a.kp
	[ "$output" = "kp-query: a.kp: Permission denied" ]
}

@test "an output that cannot be created" {
	"$mkstream" -n 100 >a.kp
	run -1 "$query" -o missing/x.kp a.kp
	[ "$output" = "kp-query: missing/x.kp: cannot write: No such file or directory" ]
}

@test "wrong options: status 2 and where to look" {
	run -2 "$query" --frobnicate
	[[ $output == *"try 'kp-query --help'" ]]
	run -2 "$query" -f
	[[ $output == *"a value is missing after '-f'"* ]]
}

@test "where standard input and error are closed, nothing that is said goes into the output" {
	"$mkstream" >rows.kp
	head -c $(($(stat -c %s rows.kp) - 20)) rows.kp >torn.kp
	"$query" -o out.kp torn.kp <&- 2>&-
	run ! grep -a -q 'kp-query:' out.kp
	"$query" -q --strict -o /dev/null out.kp
	run -1 --separate-stderr bash -c '"$1" -f text <&-' - "$query"
	[[ $stderr == *'Bad file descriptor'* ]]
	run -1 --separate-stderr bash -c '"$1" -f text rows.kp >&-' - "$query"
	[[ $stderr == *'Bad file descriptor'* ]]
}
