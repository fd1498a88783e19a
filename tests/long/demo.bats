#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The demo: each fault is found, and whatever ends it, the machine is as it was before. QUICK=1 makes one run of each sort.
# It uses control groups and loop devices of the machine: one at a time.

bats_require_minimum_version 1.5.0

setup_file() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export ROOT KP_BIN=${KP_BIN:-$ROOT/build/bin} KP_BUILD=${KP_BUILD:-$ROOT/build}
	export EX=${KP_EXAMPLES:-$ROOT/build/examples}/checkout
	export DEMO=$ROOT/examples/checkout/run.sh
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	# a place for the demo's temporary files, in which nothing may be left; the database's user has to reach it
	TMPDIR=$(mktemp -d /tmp/kpdemo-test.XXXXXX)
	chmod 755 "$TMPDIR"
	export TMPDIR OUT=$PWD/out KPDEMO_TEST=$BATS_TEST_NUMBER.$$
	demo=
}

teardown() {
	if [ -n "$demo" ]; then
		kill -TERM "$demo" 2>/dev/null
		wait "$demo"
	fi
	rm -rf "$TMPDIR"
}

needs_recording() {
	[ "$(id -u)" = 0 ] || skip "not root"
	timeout 20 "$KP_BIN/kp-record" -q -n 1 -o probe.kp || skip "kp-record cannot record here"
}

not_quick() { [ -z "${QUICK:-}" ] || skip "left out by QUICK"; }

# What the demo changes on the machine, as text.
machine() {
	echo "# mounts"
	cut -d' ' -f1-3 /proc/mounts
	echo "# loop and dm devices"
	losetup -n -l -O NAME,BACK-FILE
	ls /dev/mapper
	echo "# control groups"
	awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r d; do find "$d" -maxdepth 1 -name 'kpdemo*'; done
	echo "# network namespaces, shared memory"
	ip netns list
	find /dev/shm -mindepth 1 -maxdepth 1 -printf 'shm %f\n'
	ipcs -m | awk 'NR > 3 && $2 != "" { print "shm", $2 }'
	echo "# sysctl"
	cat /proc/sys/kernel/task_delayacct
	echo "# temporary files"
	ls -A "$TMPDIR"
	find /tmp /var/tmp -maxdepth 1 -name 'kpdemo.*'
	echo "# processes"
	processes
}

# Those that the demo started: by an environment variable, or (postgres writes over that) by their directory.
processes() {
	local p
	for p in /proc/[0-9]*; do
		[ "$p" != "/proc/$BASHPID" ] || continue
		if [[ $(readlink "$p/cwd") == @("$TMPDIR"|/tmp/kpdemo.|/var/tmp/kpdemo.)* ]] ||
			{ tr '\0' '\n' <"$p/environ" | grep -qx "IS_DEMO=$KPDEMO_TEST"; } 2>/dev/null; then
			echo "${p#/proc/} $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)"
		fi
	done
}

# The kernel takes its time over some of it. That another PostgreSQL has ended meanwhile is no matter.
as_before() {
	local i
	for ((i = 0; i < 20; i++)); do
		machine >after 2>/dev/null
		diff before after >changed || true
		grep -q '^[<>] ' <(grep -v '^< shm' changed) || return 0
		sleep 0.1
	done
	cat changed
	return 1
}

# start_demo FAULT: in a session of its own as from a terminal, where Ctrl-C goes to all of its processes.
start_demo() {
	machine >before 2>/dev/null
	FAULT=$1 IS_DEMO=$KPDEMO_TEST setsid env --default-signal=INT,TERM,HUP,PIPE "$DEMO" >log 2>&1 </dev/null 3>&- &
	demo=$!
}

# end_demo STATUS: within half a minute, with this status, and nothing is left.
end_demo() {
	local i rc=0
	for ((i = 0; i < 300; i++)); do
		kill -0 "$demo" 2>/dev/null || break
		sleep 0.1
	done
	[ "$i" -lt 300 ] || { echo "still runs after 30 s"; tail -n 20 log; return 1; }
	wait "$demo" || rc=$?
	demo=
	[ "$rc" = "$1" ] || { echo "status $rc rather than $1"; tail -n 30 log; return 1; }
	as_before
}

# The moment at which a line that matches stands in the log.
at() {
	local i
	for ((i = 0; i < 600; i++)); do
		! grep -qE "$1" log || return 0
		kill -0 "$demo" || break
		sleep 0.05
	done
	echo "no such moment: $1"
	cat log
	return 1
}

found() { # FAULT
	local who kind request late told
	needs_recording
	start_demo "$1"
	end_demo 0
	tail -n 5 log
	grep -qE '^verdict: .*: right$' log
	[ -s out/checkout.kp ]
	head -c 200 out/why.svg | grep -q '<?xml'
	grep -q '</svg>' out/why.svg
	jq -e '([.causes[].share] | add) > 0.999' out/why.json
	if [ "$1" != none ]; then
		who=$(sed -nE 's/^\$ verdict .* --pid ([0-9]+) .*/\1/p' log)
		[ -n "$who" ]
		[ "$(jq '.causes[0].culprit.pid' out/why.json)" = "$who" ]
		grep -qE "[^0-9]${who}[^0-9]" out/why.svg
		kind=$(jq -r '.causes[0].kind' out/why.json)
		grep -qF "$kind" out/why.svg
		request=$(sed -nE 's/^# the request to explain: ([^ ]+) .*/\1/p' log)
		late=$(sed -nE "s/^  api-worker: $request: the database's answer came ([0-9]+)\..*/\1/p" log)
		told=$(sed -nE 's/^ *FAILED after [0-9]+ ms; the answer came at ([0-9.]+ m?s),.*/\1/p' log | awk '{ print int($2 == "s" ? $1 * 1000 : $1) }')
		echo "the service: the answer came at $late ms; the story: $told ms"
		# the lock is not waited for in the database, so that no answer of it can come
		[ "$1" != lock ] || grep -q "^  api-worker: $request: .*no answer of the database is to come" log
		if [ -n "$late" ]; then
			[ "$told" -ge $((late - 10)) ]
			[ "$told" -le $((late + 20)) ]
		fi
		case $1 in memory | disk) [ -n "$late" ] ;; esac
	fi
}

@test "memory: found, and everything is undone" { found memory; }
@test "cpu: found, and everything is undone" { not_quick; found cpu; }
@test "disk: found, and everything is undone" { not_quick; found disk; }
@test "lock: found, and everything is undone" { not_quick; found lock; }

@test "none: nobody is blamed, and everything is undone, in a private TMPDIR, too" {
	not_quick
	chmod 700 "$TMPDIR"
	found none
}

# ctrl_c FAULT MOMENT [SECONDS]: as a terminal does it
ctrl_c() {
	needs_recording
	start_demo "$1"
	at "$2"
	sleep "${3:-0}"
	kill -INT -- "-$demo"
	end_demo 130
}

# term FAULT MOMENT [SECONDS] [SIGNAL STATUS]: as kill(1) does it, only to the script
term() {
	needs_recording
	start_demo "$1"
	at "$2"
	sleep "${3:-0}"
	kill -s "${4:-TERM}" "$demo"
	end_demo "${5:-143}"
}

@test "Ctrl-C while the disk is made" { not_quick; ctrl_c disk '^\$ mkfs'; }
@test "Ctrl-C in initdb" { not_quick; ctrl_c disk '^\$ initdb' 0.3; }
@test "Ctrl-C while PostgreSQL starts" { not_quick; ctrl_c disk '^\$ pg_ctl .* start'; }
@test "Ctrl-C while the table is loaded" { not_quick; ctrl_c disk '^\$ psql .*CREATE TABLE' 0.3; }
@test "Ctrl-C under load" { ctrl_c disk '^# something goes wrong' 0.5; }
@test "Ctrl-C in the analysis" { not_quick; ctrl_c memory '^# why' 0.5; }
@test "TERM while PostgreSQL starts" { not_quick; term disk '^\$ pg_ctl .* start'; }
@test "TERM under load" { not_quick; term disk '^# recording' 1; }
@test "TERM in the analysis" { not_quick; term memory '^# why' 0.5; }
@test "HUP, as of a lost ssh, under load" { not_quick; term disk '^# recording' 1 HUP 129; }

@test "TERM to make, which has to pass it on" {
	not_quick
	needs_recording
	machine >before 2>/dev/null
	FAULT=disk IS_DEMO=$KPDEMO_TEST setsid env --default-signal=INT,TERM,HUP,PIPE \
		make -s -C "$ROOT" B="$KP_BUILD" demo-run >log 2>&1 </dev/null 3>&- &
	demo=$!
	at '^# recording'
	kill -TERM "$demo"
	end_demo 143
}

@test "nobody reads its output any more: it ends and everything is undone" {
	not_quick
	needs_recording
	mkfifo pipe
	machine >before 2>/dev/null
	head -n 12 <pipe >log &
	FAULT=disk IS_DEMO=$KPDEMO_TEST setsid env --default-signal=INT,TERM,HUP,PIPE "$DEMO" >pipe 2>err </dev/null 3>&- &
	demo=$!
	end_demo 141
	[ "$(wc -l <log)" = 12 ]
}

# For who may not record, in a directory that he can read.
shipped() {
	chmod 755 "$d"
	mkdir "$d/bin" "$d/ex" "$d/demo"
	cp "$KP_BIN"/kp-* "$d/bin"
	cp "$EX/verdict" "$d/ex"
	cp "$ROOT"/examples/checkout/*.sh "$ROOT"/examples/checkout/incident.* "$d/demo"
	mkdir -m 777 "$d/out" "$d/tmp"
	chmod -R a+rX "$d"
	as=()
	[ "$(id -u)" != 0 ] || as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	cd "$d" || return
	env -u FAULT KP_BIN="$d/bin" EX="$d/ex" OUT="$d/out" TMPDIR="$d/tmp" "${as[@]}" "$d/demo/run.sh" >"$d/log" 2>&1 </dev/null
}

@test "without privilege: the shipped recording is explained, one line says why, status 0" {
	d=$(mktemp -d /tmp/kpdemo-user.XXXXXX)
	rc=0
	shipped || rc=$?
	cp -r "$d/log" "$d/out" "$BATS_TEST_TMPDIR/"
	left=$(ls -A "$d/tmp")
	cd "$BATS_TEST_TMPDIR" || return
	rm -rf "$d"
	cat log
	[ "$rc" = 0 ]
	[ -z "$left" ]
	[ "$(grep -c '^cannot record here (not root): ' log)" = 1 ]
	[ "$(head -n 1 log | cut -d: -f1)" = "cannot record here (not root)" ]
	run ! grep '^demo: ' log
	grep -qE '^verdict: .*: right$' log
	grep -q '</svg>' out/why.svg

	# the verdict tells another culprit, another kind and another request from the right one
	# shellcheck source=/dev/null
	. "$ROOT/examples/checkout/incident.env"
	args=(--request "$REQUEST" --kind "$KINDS")
	"$EX/verdict" "${args[@]}" --pid "$CULPRIT" out/why.json
	jq ".causes[0].culprit.pid = $((CULPRIT + 1))" out/why.json >other.json
	run -1 "$EX/verdict" "${args[@]}" --pid "$CULPRIT" other.json
	[[ "$output" == *"[$((CULPRIT + 1))]"*WRONG ]]
	run -1 "$EX/verdict" "${args[@]}" --pid $((CULPRIT + 1)) out/why.json
	run -1 "$EX/verdict" --request "$REQUEST" --kind lock --pid "$CULPRIT" out/why.json
	run -1 "$EX/verdict" --request req-none --kind "$KINDS" --pid "$CULPRIT" out/why.json
	run -1 "$EX/verdict" --request "$REQUEST" --none out/why.json
	jq '.causes[0].share += 0.01' out/why.json >more.json
	run -1 "$EX/verdict" "${args[@]}" --pid "$CULPRIT" more.json
	run -2 "$EX/verdict" --kind "$KINDS"
}
