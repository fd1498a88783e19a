#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-query with streams that mkstream writes: the same rows on every machine.

bats_require_minimum_version 1.5.0

setup_file() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export KP_BIN=${KP_BIN:-$ROOT/build/bin}
	export mkstream=${KP_BUILD:-$ROOT/build}/tests/mkstream
	export query=$KP_BIN/kp-query
	export S=$BATS_FILE_TMPDIR
	export PYTHON=${PYTHON:-python3}
	"$mkstream" -n 5000 --gap 20000 >"$S/a.kp"		# 100 s
	"$mkstream" -n 3000 --sources 2 --graph --hostile >"$S/h.kp"
	"$query" -q -f json "$S/a.kp" >"$S/a.json"
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# A command with a terminal as its standard output; what it writes there.
on_a_terminal() { TERM=xterm script -qec "$1" /dev/null </dev/null; }

# The rows of a.json for which a Python expression over the row r is true; name() is what a missing member is.
expect() {
	"$PYTHON" - "$1" <<'END'
import json, sys
want = compile(sys.argv[1], "want", "eval")
import os
for line in open(os.environ["S"] + "/a.json"):
    r = json.loads(line)
    for k in ("pid", "ret", "cpu"): r.setdefault(k, 0)
    for k in ("comm", "obj", "args", "peer"): r.setdefault(k, {})
    if eval(want, {"r": r}): sys.stdout.write(line)
END
}

same_rows() { # PYTHON KP-QUERY-ARGUMENT...
	expect "$1" >expected
	shift
	"$query" -q -f json "$@" "$S/a.kp" >got
	[ -s expected ]
	cmp expected got
}

@test "json: every line is an object, and every row is there once" {
	[ "$(wc -l <"$S/a.json")" = 5000 ]
	"$PYTHON" -c 'import json, sys
for l in sys.stdin:
    r = json.loads(l)
    assert list(r)[:3] == ["end", "dur", "kind"], l' <"$S/a.json"
}

@test "an expression chooses the rows that it should" {
	same_rows 'r["kind"] == "sys.write" and r["dur"] > 1000000 and r["comm"] == "postgres"' \
		'kind == "sys.write" && dur > 1ms && comm == "postgres"'
	same_rows 'r["kind"] == "sys.read" and r["ret"] < 0' 'kind == "sys.read" && failed'
	same_rows 'r["kind"] == "sys.read" and r["args"]["count"] >= 4096' -w 'kind == "sys.read" and count >= 4k'
	same_rows 'r["peer"] and r["peer"]["comm"] == "batch"' -w 'peer.comm == "batch"'
}

@test "an operand is an expression if it is no file" {
	"$query" -q -f json 'pid == 3101' "$S/a.kp" >got
	"$query" -q -f json -w 'pid == 3101' "$S/a.kp" >same
	cmp got same
	"$query" -q -f json "$S/a.kp" 'pid == 3101' >got
	cmp got same
	run -1 "$query" 'pid == 3101' nowhere.kp
	[ "$output" = "kp-query: nowhere.kp: No such file or directory" ]
	"$query" -q -f json failed "$S/a.kp" >got
	[ -s got ]
	cp "$S/a.kp" failed
	"$query" -q -f json failed >got
	cmp got "$S/a.json"
}

@test "kinds are chosen by name and glob" {
	same_rows 'r["kind"].startswith("sys.") or r["kind"] == "sched.wake"' -e 'sys.*,sched.wake'
	run -2 "$query" -e '' "$S/a.kp"
	run -2 "$query" -e 'sys.raed' "$S/a.kp"
	[ "$output" = "kp-query: no kind matches 'sys.raed': kp-query --kinds lists them" ]
	same_rows 'r["kind"] == "zz.custom"' -e 'zz.*'		# that only the stream knows
	same_rows 'r["kind"] == "zz.custom" and r["args"]["second"] > 5' 'kind == "zz.custom" && second > 5'
}

# Rows that overlap the limits, by the wall clock of 2026-11-25T02:45:00+01:00 = 1795571100 s, mono 1000 s.
@test "times: since, until and around, however they are written" {
	a='r["end"] >= 1010 * 10**9' b='r["end"] - r["dur"] <= 1020 * 10**9'
	same_rows "$a" --since 02:45:10
	same_rows "$b" --until 2026-11-25T01:45:20Z
	same_rows "$a and $b" --since @1795571110 --until 02:45:20
	same_rows "$a and $b" --around 02:45:15,5s
	same_rows 'r["end"] >= 1030 * 10**9 and r["end"] - r["dur"] <= 1090 * 10**9' --around 02:46
	last=$(tail -n 1 "$S/a.json" | sed 's/.*"end":\([0-9]*\).*/\1/')
	same_rows "r['end'] >= $last - 10**10" --since -10s
	for f in --since --until --around; do
		run -2 "$query" $f 25:00 "$S/a.kp"
		[[ $output == "kp-query: $f: no time: '25:00'"* ]]
	done
	run -2 "$query" --around 02:45,x "$S/a.kp"
	run -2 "$query" --around 02:45 --since 02:44 "$S/a.kp"
	run -2 "$query" --since 02:46 --until 02:45 "$S/a.kp"
}

@test "times mean the same on a pipe" {
	"$query" -q -f json --around 02:45:15,5s "$S/a.kp" >file
	"$query" -q -f json --around 02:45:15,5s <"$S/a.kp" >stdin
	"$query" -q -f json --around 02:45:15,5s < <(cat "$S/a.kp") >pipe
	[ -s file ]
	cmp file stdin
	cmp file pipe
}

@test "a time that was not recorded: what was is said" {
	run --separate-stderr -0 "$query" -f json --around 05:00 "$S/a.kp"
	[ -z "$output" ]
	[[ $stderr == "kp-query: no such row in that time; the recording covers 2026-11-25T02:45:00."*" to 2026-11-25T02:46:"* ]]
}

@test "-n: so many rows" {
	"$query" -q -f json -n 7 -e sys.read "$S/a.kp" >got
	"$query" -q -f json -e sys.read "$S/a.kp" | head -n 7 >same
	cmp got same
	for n in 0 x -1 ''; do run -2 "$query" -n "$n" "$S/a.kp"; done
}

@test "kp: a stream passes through, and says so" {
	"$query" "$S/a.kp" >b.kp
	"$query" -q -f json b.kp | cmp - "$S/a.json"
	"$query" -e sys.read "$S/a.kp" | "$query" -q -f json -e sys.read >got
	"$query" -q -f json -e sys.read "$S/a.kp" | cmp - got
	"$query" --info -f json b.kp >info.json
	"$PYTHON" -c 'import json
p = json.load(open("info.json"))["provenance"]
assert [x["tool"] for x in p] == ["mkstream", "kp-query"], p
assert p[1]["args"].endswith("/a.kp") and p[1]["rows_in"] == p[1]["rows_out"] == 5000, p'
	cat "$S/a.kp" "$S/h.kp" | "$query" - >c.kp
	cat "$S/a.kp" "$S/h.kp" | "$query" -q -f json >plain
	"$query" -q -f json c.kp | cmp - plain
}

@test "kp: graphs pass through" {
	"$query" "$S/h.kp" >b.kp
	"$query" --info -f json b.kp | grep -q '"graphs":2,'
}

@test "kp: what keeps a stream whole stays, losses above all" {
	"$query" -e sys.read "$S/a.kp" >b.kp
	"$query" -q -f json b.kp >got
	expect 'r["kind"] in ("sys.read", "clock.sync") or r["kind"].startswith(("loss.", "proc.", "key."))' >expected
	sort expected >e; sort got >g
	cmp e g
	grep -q loss.kernel got
}

@test "kp: a cut stream begins with a keyframe of that moment" {
	"$mkstream" -s 9 -n 20000 --gap 5000 >a.kp		# in which tasks end
	"$query" -q -f json -e 'key.*,proc.*' a.kp >all
	"$query" --since 02:46 a.kp >b.kp
	"$query" -q -f json -e 'key.*' b.kp >keys
	"$PYTHON" - <<'END'
import json
alive, files, gone = set(), set(), set()
cut = 1060 * 10**9
for l in open("all"):
    r = json.loads(l)
    if r["end"] >= cut: continue
    who = (r.get("tid", 0), r.get("start", 0))
    if r["kind"] == "key.task": alive.add(who)
    if r["kind"] == "key.file": files.add((who, r["args"]["fd"]))
    if r["kind"] == "proc.fork": alive.add((r["peer"]["tid"], r["peer"].get("start", 0)))
    if r["kind"] == "proc.exit": alive.discard(who); gone.add(who)
got, fds = set(), set()
for l in open("keys"):
    r = json.loads(l)
    assert "keyframe" in r["flags"] and r["end"] < cut, r
    who = (r.get("tid", 0), r.get("start", 0))
    if r["kind"] == "key.task": got.add(who)
    if r["kind"] == "key.file": fds.add((who, r["args"]["fd"]))
assert got == alive, (got ^ alive)
assert gone - alive, "the test needs a task that ended"
assert fds == {f for f in files if f[0] in alive}, fds ^ files
END
}

@test "text is for a terminal, the stream for a pipe" {
	on_a_terminal "'$query' '$S/a.kp'" >seen
	grep -q 'Wednesday 2026-11-25, UTC+01:00 (Europe/Madrid)' seen
	grep -q $'\033' seen
	NO_COLOR=1 on_a_terminal "'$query' '$S/a.kp'" >seen
	run ! grep -q $'\033' seen
	run on_a_terminal "'$query' -f kp '$S/a.kp'"
	[[ $output == *"not writing binary to a terminal"* ]]
	"$query" -f text "$S/a.kp" >plain
	run ! grep -q $'\033' plain
	"$query" "$S/a.kp" | "$query" -q -f text | cmp - plain
}

@test "text: losses stand out whatever was asked for; keyframes and clocks only when asked for" {
	"$query" -f text -w false "$S/a.kp" >got
	[ "$(grep -c '\*\*\* .* missing here: .*(loss.kernel)$' got)" = "$(grep -c loss.kernel "$S/a.json")" ]
	for how in -ekey.\*,clock.sync -vv; do
		"$query" -f text "$how" "$S/a.kp" >got
		[ "$(grep -c ' key\.\(task\|file\) ' got)" = "$(grep -c '"kind":"key' "$S/a.json")" ]
		grep -q ' clock.sync ' got
	done
	"$query" -f text -w keyframe "$S/a.kp" | grep -q ' key.task '
	"$query" -f text "$S/a.kp" >got
	run ! grep -E ' (key\.|clock\.)' got
}

@test "text: a column for the host when there are several" {
	"$query" -f text "$S/h.kp" | grep -E '^[0-9:.]{15} .{9}  db1 '
	run ! bash -c '"$query" -f text "$S/a.kp" | grep -q "  web1 "'
}

@test "losses between rows that JSON and CSV do not show are told" {
	lost=$("$PYTHON" -c 'import json, os
print(sum(int(r["args"]["count"]) for r in map(json.loads, open(os.environ["S"] + "/a.json"))
	if r["kind"] == "loss.kernel" and int(r["args"]["count"]) < 2**64 - 1))')
	run --separate-stderr -0 "$query" -f csv -e sys.read "$S/a.kp"
	[[ $stderr == "kp-query: $lost "*"rows were lost while this was recorded: -e 'loss.*' shows where" ]]
	run --separate-stderr -0 "$query" -q -f csv -e sys.read "$S/a.kp"
	[ -z "$stderr" ]
}

@test "csv is what a CSV reader expects" {
	"$query" -q -f csv "$S/h.kp" >got.csv
	"$query" -q -f json "$S/h.kp" >got.json
	"$PYTHON" - <<'END'
import csv, json
rows = list(csv.DictReader(open("got.csv", newline="")))
objs = [json.loads(l) for l in open("got.json")]
assert len(rows) == len(objs) == 3000
for c, j in zip(rows, objs):
    assert None not in c and None not in c.values(), c
    assert c["end"] == str(j["end"]) and c["dur"] == str(j["dur"]) and c["kind"] == j["kind"], (c, j)
    assert c["time"] == j["time"] and c["ret"] == str(j.get("ret", "")), (c, j)
    comm = j.get("comm", "")
    assert c["comm"] == ("'" + comm if comm[:1] in "=+-@" and comm else comm), (c, j)
    for k in "comm", "obj", "args", "service", "op", "request", "host":
        assert c[k][:1] not in tuple("=+-@"), c
END
}

@test "what comes from outside is escaped in every format" {
	for f in text json csv; do
		"$query" -q -vv -f $f "$S/h.kp" >got
		run ! grep -qP '[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]' got
		"$PYTHON" -c 'open("got", encoding="utf-8", newline="").read()'
		grep -qF '\x1b' got
		run ! grep -q $'\xe2\x80\xae' got
	done
	"$query" --info "$S/h.kp" >got
	run ! grep -q $'\033' got
	# the way back: what is printed can be asked for
	"$query" -q -f json 'comm == "\xff\xfe\x5cx41"' "$S/h.kp" >got
	[ -s got ]
	"$query" -q -f json 'obj has "\xff\xfe(\xc3("' "$S/h.kp" >got
	[ -s got ]
}

@test "--info counts what there is" {
	"$query" --info -f json "$S/a.kp" >info.json
	"$PYTHON" - <<'END'
import collections, json, os
i = json.load(open("info.json"))
rows = [json.loads(l) for l in open(os.environ["S"] + "/a.json")]
assert i["kinds"] == dict(collections.Counter(r["kind"] for r in rows))
assert i["rows"] == 5000 and i["complete"] and not i["torn"] and not i["damaged"]
n = [int(r["args"]["count"]) for r in rows if r["kind"] == "loss.kernel"]
assert i["gaps"] == len(n) and i["unknown_gaps"] == n.count(2**64 - 1)
assert i["lost"] == sum(c for c in n if c != 2**64 - 1)
assert i["begin"] == rows[0]["time"] and i["end"] == rows[-1]["time"]
assert i["hooks"][2] == {"source": 0, "what": "sock_send_length", "how": "", "note": "kernel 6.12.9 has no such tracepoint"}
assert i["sources"][0]["host"] == "web1"
END
	"$query" --info "$S/a.kp" >got
	grep -q 'sock_send_length *not recorded: kernel 6.12.9 has no such tracepoint' got
	grep -q '5000 rows in' got
	run -2 "$query" --info -f csv "$S/a.kp"
}

@test "--kinds is the table" {
	"$query" --kinds >got
	grep -A1 '^sched.wake ' got | grep -q 'task was woken by peer'
	grep -q '^sys.openat .*flags (open flags).*-> fd$' got
	"$query" --kinds -f json | "$PYTHON" -c 'import json, sys
k = {x["name"]: x for x in json.load(sys.stdin)}
assert k["sys.read"]["id"] == 4096 and k["sys.read"]["args"][2] == {"name": "count", "unit": "bytes"}, k["sys.read"]'
	[ "$("$query" --kinds -e 'tcp.*' | grep -c '^tcp\.')" = 7 ]
	run -1 "$query" --kinds -e nothing
}

@test "torn and damaged streams: said once, and the rest is printed" {
	head -c -100 "$S/a.kp" >torn.kp
	run --separate-stderr -0 "$query" -q -f json torn.kp
	[ -z "$stderr" ]
	run --separate-stderr -0 "$query" -f text torn.kp
	[ "${#stderr_lines[@]}" = 1 ]
	[[ $stderr == "kp-query: torn.kp: torn: "* ]]
	run -1 "$query" --strict -f text torn.kp
	"$query" --info torn.kp 2>/dev/null | grep -q '^  torn: '
}

@test "what could not be read to its end is not passed on as whole" {
	head -c -100 "$S/a.kp" >torn.kp
	run -1 bash -c '"$query" --strict torn.kp >out.kp'
	run --separate-stderr -0 "$query" -f json out.kp
	[[ $stderr == *"kp-query: out.kp: torn: "* ]]
	# without --strict the hole was told, and is in the stream as a loss
	"$query" torn.kp 2>told >out.kp
	grep -q torn told
	run --separate-stderr -0 "$query" -q --strict -f json out.kp
}

@test "a time of day is the last one in the recording; days are told apart" {
	"$mkstream" -n 3000 --gap 60000000 >days.kp		# a row a minute, 50 hours
	end=$("$query" -q -f json days.kp | tail -n 1 | grep -o '"time":"[^"]*')
	[[ $end == *2026-11-27T0[3-6]:* ]]
	for t in 23:00:26 01:00:27 12:00:26; do
		"$query" -q -f json --since ${t%:*} days.kp -n 1 >got
		grep -q "\"time\":\"2026-11-${t##*:}T${t%:*}" got
	done
	[ "$("$query" -f text days.kp | grep -c '^[A-Z][a-z]*day 2026-11-2[567], UTC+01:00')" = 3 ]
	# on a pipe, whose end is not known, it is the first one
	"$query" -q -f json --since 12:00 <days.kp -n 1 | grep -q '"time":"2026-11-25T12:00'
}

@test "it never writes over its own input" {
	cp "$S/a.kp" a.kp
	run -2 "$query" -o a.kp a.kp
	[ "$output" = "kp-query: a.kp: is input and output: write to another file" ]
	cmp a.kp "$S/a.kp"
	"$query" -o b.kp a.kp
	"$query" -q -f json b.kp | cmp - "$S/a.json"
	[ "$(stat -c %a b.kp)" = 600 ]
	# nor does it leave an empty file behind when there was nothing to read
	run -1 "$query" -o c.kp missing.kp
	[ ! -e c.kp ]
}

@test "a reader that had enough is no error" {
	for f in text json csv kp; do
		run --separate-stderr -0 bash -c 'set -o pipefail; "$query" -f $0 "$S/a.kp" "$S/a.kp" "$S/a.kp" | head -c 10' $f
		[ -z "$stderr" ]
	done
}

# A fifo with half a stream in it; $pid reads it.
half_a_stream() {
	mkfifo pipe
	env --default-signal=INT "$query" -q -f json <pipe >got &
	pid=$!
	exec 9>pipe
	head -c 20000 "$S/a.kp" >&9
	sleep 0.5
}

@test "Ctrl-C ends the recorder in front of the pipe: what it still says is passed on" {
	half_a_stream
	kill -INT $pid
	sleep 0.2
	tail -c +20001 "$S/a.kp" >&9
	exec 9>&-
	wait $pid
	cmp got "$S/a.json"
}

@test "Ctrl-C twice is enough" {
	half_a_stream
	kill -INT $pid
	sleep 0.2
	kill -INT $pid
	rc=0
	wait $pid || rc=$?
	exec 9>&-
	[ $rc = 130 ]
}

@test "rows come while the pipe is still open" {
	mkfifo pipe
	"$query" -q -f text <pipe >got &
	pid=$!
	exec 9>pipe
	head -c -50 "$S/a.kp" >&9
	for _ in {1..50}; do
		[ ! -s got ] || break
		sleep 0.1
	done
	[ -s got ]
	exec 9>&-
	wait "$pid"
}

@test "json is what an independent reader makes of the stream" {
	"$PYTHON" -c 'import cbor2' 2>/dev/null || skip "python3-cbor2 is missing"
	cat "$S/a.kp" "$S/h.kp" >both.kp
	"$query" -e 'sched.*,zz.*' "$S/h.kp" >some.kp
	for f in "$S/a.kp" "$S/h.kp" both.kp some.kp; do
		zstd -dc "$f" | "$PYTHON" "$BATS_TEST_DIRNAME/../kpread.py" >expected
		"$query" -q -f json "$f" >got
		[ -s got ]
		cmp expected got
	done
}

@test "a mistake in an expression is shown where it is" {
	run -2 "$query" 'kind == "sys.wrte"' "$S/a.kp"
	[ "$output" = "kp-query: expression, column 9: no kind 'sys.wrte': did you mean 'sys.write'?" ]
	run -2 "$query" 'dur >' "$S/a.kp"
	run -2 "$query" -w 'com == "x"' "$S/a.kp"
	[[ $output == *"did you mean 'comm'?" ]]
	run -2 "$query" -f xml "$S/a.kp"
	[ "$output" = "kp-query: no format 'xml': there are text, json, csv, kp" ]
}
