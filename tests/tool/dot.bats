#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-dot with streams that test_dot writes: c checkout that failed, q quiet, b big, d deep, h hostile.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	graphs=${KP_BUILD:-$ROOT/build}/tests/test_dot
	dot=$KP_BIN/kp-dot
	cd "$BATS_TEST_TMPDIR" || return
	"$graphs" c-req-9f21 q-req-0042 c-req-77aa >three.kp
	"$graphs" - >none.kp
}

# A command with a terminal as its standard output; what it writes there.
on_a_terminal() { script -qec "$1" /dev/null </dev/null; }

@test "one pipe makes an SVG with each request's id" {
	"$dot" <three.kp >x.svg
	python3 -c 'import xml.dom.minidom, sys; xml.dom.minidom.parse("x.svg")'
	[ "$(grep -c 'class="cluster"' x.svg)" = 3 ]
	grep -q 'c-req-9f21' x.svg
	grep -q 'q-req-0042' x.svg
	grep -q 'c-req-77aa' x.svg
}

@test "the root cause and its culprit are marked once for each request that failed" {
	"$dot" three.kp >x.svg
	[ "$(grep -o 'ROOT CAUSE' x.svg | wc -l)" = 2 ]
	[ "$(grep -o 'CULPRIT' x.svg | wc -l)" = 2 ]
	grep -q 'batch\[4721\]' x.svg
}

@test "files and streams one behind the other are one picture" {
	"$graphs" c-one >one.kp
	"$graphs" q-two >two.kp
	cat one.kp two.kp | "$dot" - >cat.svg
	"$dot" one.kp two.kp >files.svg
	for f in cat files; do
		[ "$(grep -c 'class="cluster"' $f.svg)" = 2 ]
	done
}

@test "png: as asked for, or as the name says" {
	"$dot" -f png three.kp >a.png
	"$dot" -o b.png three.kp
	[ "$(head -c 8 a.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ]
	cmp a.png b.png
}

@test "dot: Graphviz reads the source" {
	"$dot" -f dot three.kp >x.dot
	"$dot" -o x.gv three.kp
	cmp x.dot x.gv
	grep -q '^digraph' x.dot
	if command -v dot >/dev/null; then
		dot -Tplain x.dot >x.plain
		grep -q '^stop' x.plain
	fi
}

@test "a terminal gets the source, never a picture in bytes" {
	command -v script >/dev/null || skip "script is missing"
	run on_a_terminal "'$dot' three.kp"
	[ "$status" = 0 ]
	[[ $output == digraph* ]]
	run on_a_terminal "'$dot' -f png three.kp"
	[ "$status" = 1 ]
	[[ $output == *kp-dot:* && $output != *PNG* ]]
}

@test "hostile text stays text" {
	"$graphs" h >h.kp
	"$dot" h.kp >h.svg
	python3 -c 'import xml.dom.minidom; xml.dom.minidom.parse("h.svg")'
	[ "$(grep -c 'class="node"' h.svg)" = 2 ]
	run grep -c $'\x1b' h.svg
	[ "$output" = 0 ]
}

@test "no more nodes than asked for" {
	"$graphs" b-big >big.kp
	"$dot" -f svg big.kp >x.svg
	[ "$(grep -c 'class="node"' x.svg)" -le 25 ]
	grep -q '201 others' x.svg
	"$dot" -f svg -n 4 big.kp >x.svg
	[ "$(grep -c 'class="node"' x.svg)" = 4 ]
	grep -q 'ROOT CAUSE' x.svg
	grep -q 'CULPRIT' x.svg
}

@test "no graph: one line, exit 1, nothing written" {
	run --separate-stderr "$dot" none.kp
	[ "$status" = 1 ]
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr == "kp-dot: none.kp: no graph"*kp-causal* ]]
}

@test "what is no stream: one line, exit 1" {
	: >empty.kp
	echo hello >text.kp
	for f in empty.kp text.kp missing.kp; do
		run --separate-stderr "$dot" $f
		[ "$status" = 1 ]
		[ "${#stderr_lines[@]}" = 1 ]
		[[ $stderr == *"$f"* ]]
	done
}

@test "a torn stream: what is whole is drawn, and it is said once" {
	"$graphs" c-one >one.kp
	cat one.kp one.kp >both.kp
	head -c $(($(stat -c %s one.kp) + 200)) both.kp >torn.kp
	run --separate-stderr "$dot" -f svg torn.kp
	[ "$status" = 0 ]
	[[ $output == *c-one* ]]
	[ "${#stderr_lines[@]}" = 1 ]
	run --separate-stderr "$dot" -q -f svg torn.kp
	[ -z "$stderr" ]
}

@test "usage errors are exit 2 and name the option" {
	run --separate-stderr "$dot" -f jpeg three.kp
	[ "$status" = 2 ]
	[[ $stderr == *--format*jpeg* ]]
	for n in 2 x 1001 -5 ''; do
		run --separate-stderr "$dot" -n "$n" three.kp
		[ "$status" = 2 ]
		[[ $stderr == *--nodes* ]]
	done
	run "$dot" --no-such-thing
	[ "$status" = 2 ]
}

@test "a full disk is told, a closed pipe is not" {
	run --separate-stderr "$dot" -f svg -o /dev/full three.kp
	[ "$status" = 1 ]
	[[ $stderr == *"No space left"* ]]
	run --separate-stderr bash -c "'$dot' -f svg three.kp | true; echo \${PIPESTATUS[0]}"
	[ "$output" = 0 ]
	[ -z "$stderr" ]
}

@test "-v says how many, -h shows two examples" {
	run --separate-stderr "$dot" -v -o x.svg three.kp
	[[ $stderr == "kp-dot: 3 requests drawn as svg" ]]
	run "$dot" --help
	[ "$status" = 0 ]
	[ "$(grep -c '^  kp-enrich .*kp-dot' <<<"$output")" = 2 ]
}
