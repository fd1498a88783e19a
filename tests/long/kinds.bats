#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Every kind of row is provoked, and its arguments are compared with what a second witness tells of the same run.
# kinds/table says for each kind which test does it and how; kinds/NAME.py are the tests; system calls are compared
# with strace, argument by argument.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export KP_BIN=${KP_BIN:-$ROOT/build/bin} PYTHON=${PYTHON:-python3} PATH=$PATH:/sbin:/usr/sbin
	kinds=$BATS_TEST_DIRNAME/kinds
	calls="$PYTHON -B $BATS_TEST_DIRNAME/calls.py"
	cd "$BATS_TEST_TMPDIR" || return
	[ "$BATS_TEST_NUMBER" = 1 ] || [ "$(id -u)" = 0 ] || skip "recording needs root"
}

slow() { [ -z "$QUICK" ] || skip "QUICK"; }

# provoked NAME: kinds/NAME.py
provoked() {
	rc=0
	timeout -k 5 200 "$PYTHON" -B "$kinds/base.py" "$1" >said 2>&1 || rc=$?
	cat said
	[ $rc != 77 ] || skip "$(sed -n 's/^SKIP //p' said)"
	[ $rc = 0 ]
}

@test "every kind has a test" {
	"$KP_BIN/kp-query" --kinds -f json | "$PYTHON" -c '
import json, os, re, sys
kinds, root, wrong = sys.argv[1], sys.argv[2], 0
want = [k["name"] for k in json.load(sys.stdin) if not k["name"].startswith("sys.")]
table = {}
for line in open(kinds + "/table"):
    if line.strip() and line[0] != "#":
        cells = [c.strip() for c in line.split("|")]
        table[cells[0]] = cells[1:]
for k in want:
    if k not in table:
        print(k, "has no line in", kinds + "/table")
        wrong = 1
for k, (test, *rest) in table.items():
    file, _, name = test.partition(": ")
    path = os.path.join(root, file) if name else os.path.join(kinds, file + ".py")
    if k not in want:
        why = "is no kind"
    elif file == "none":
        why = "" if name else "has neither a test nor a reason"
    elif not os.path.exists(path):
        why = "has no " + path
    elif name and not re.search(r"^(@test \"%s\"|%s\(\)) \{" % (re.escape(name), re.escape(name)), open(path).read(), re.M):
        why = "has no test \"%s\" in %s" % (name, file)
    elif not name and not re.search(r"\"(%s|%s\.%%s):" % (re.escape(k), k.partition(".")[0]), open(path).read() + open(kinds + "/host.py").read()):
        why = "is not compared in " + path
    elif len(rest) != 3 or not all(rest[1:]):
        why = "says not what is compared with what"
    else:
        why = ""
    if why:
        print(k, why)
        wrong = 1
sys.exit(wrong)' "$kinds" "$ROOT"
}

# traced WHAT STRACE-OPTION...: calls.c under strace under kp-record, in rows and trace
traced() {
	command -v strace >/dev/null || skip "no strace"
	command -v cc >/dev/null || skip "no compiler"
	cc -O1 -o calls "$BATS_TEST_DIRNAME/calls.c"
	local arg=$1
	shift
	mkdir dir
	# shellcheck disable=SC2086
	(cd dir && "$KP_BIN/kp-record" -q --cpu-budget off -e 'sys.*' -o ../f.kp -- strace -f -n -o ../trace "$@" ../calls $arg)
	"$KP_BIN/kp-query" --kinds -f json >kinds.json
	"$KP_BIN/kp-query" -q -f json -e 'sys.*' f.kp >rows
	[ "$("$KP_BIN/kp-query" -q -f json -e 'loss.kernel' f.kp | grep -vc '"count":0,')" = 0 ]
}

@test "system calls: registers, results and errors are those of strace" {
	[ "$(uname -m)" = x86_64 ] || skip "x86-64 only"
	traced '' -e raw=all
	$calls raw kinds.json rows trace dir | tee said
	[ "$(sed -n 's/.* calls of \([0-9]*\) kinds compared.*/\1/p' said)" -ge 300 ]
	$calls raw kinds.json rows trace dir >/dev/null
}

@test "system calls: signs, units, paths and what descriptors refer to are those of strace" {
	[ "$(uname -m)" = x86_64 ] || skip "x86-64 only"
	traced '' -yy -s 200
	$calls cooked kinds.json rows trace dir | tee said
	[ "$(sed -n 's/.* calls of \([0-9]*\) kinds compared.*/\1/p' said)" -ge 300 ]
	$calls cooked kinds.json rows trace dir >/dev/null
}

@test "system calls of 32-bit programs are those of strace" {
	[ "$(uname -m)" = x86_64 ] || skip "x86-64 only"
	traced -32 -e raw=all
	grep -q compat rows || skip "this kernel takes no 32-bit calls"
	$calls old kinds.json rows trace | tee said
	[ "$(sed -n 's/.* calls of \([0-9]*\) kinds compared.*/\1/p' said)" -ge 10 ]
	$calls old kinds.json rows trace >/dev/null
}

@test "sched" { provoked sched; }

@test "proc, sig" { provoked proc; }

@test "net, tcp" { provoked net; }

@test "key, clock, cg, count" {
	slow
	provoked host
}

@test "cg.pressure" {
	slow
	provoked pressure
}

@test "blk, fs" {
	slow
	provoked disk
}

@test "mm" {
	slow
	provoked mm
}

@test "lock" {
	slow
	provoked lock
}
