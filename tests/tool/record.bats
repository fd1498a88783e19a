#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-record, for real: short recordings of short commands, counted against what the commands are known to do.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	record=$KP_BIN/kp-record
	export query=$KP_BIN/kp-query
	cd "$BATS_TEST_TMPDIR" || return
	case $BATS_TEST_DESCRIPTION in
	*'(anywhere)') ;;
	*)
		[ "$(id -u)" = 0 ] || skip "recording needs root"
		[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
		;;
	esac
	pids=()
}

teardown() {
	for p in ${pids[@]+"${pids[@]}"}; do kill -KILL "$p" 2>/dev/null; done
	true
}

# rows FILE KINDS: as JSON, keyframes left out
rows() { "$query" -q -f json -e "$2" "$1" | grep -v '"flags":[^]]*keyframe'; }
count() { rows "$@" | wc -l; }
# lost FILE KIND...: sum of the counts of loss rows for these kinds, by number
lost() {
	local f=$1 sum=0 n k
	shift
	while read -r n k; do
		for want; do [ "$k" != "$want" ] || sum=$((sum + n)); done
	done < <("$query" -q -f json -e 'loss.kernel' "$f" | sed -E 's/.*"count":([0-9]+).*/\1 &/; s/^([0-9]+) .*"kind":([0-9]+).*/\1 \2/')
	echo "$sum"
}
whole() { "$query" -q --info "$1" | grep -A1 '^Whole' | grep -q yes; }

@test "a command is recorded from its exec to its exit" {
	run -0 --separate-stderr "$record" -o f.kp -- /bin/true
	[ -z "$output" ]
	# shellcheck disable=SC2154
	[[ $stderr == *" events, "*" lost" ]]
	whole f.kp
	[ "$(rows f.kp proc.exec | grep -c '/bin/true')" = 1 ]
	[ "$(rows f.kp proc.exit | grep -c '"comm":"true"')" = 1 ]
	[ "$(stat -c %a f.kp)" = 600 ]
	# names of event sources do not run into what they are hooked to, however long they are
	"$query" --info f.kp | grep -q ' tp_btf/mm_filemap_delete_from_page_cache'
}

@test "the command's exit status is passed on" {
	run -7 "$record" -q -o f.kp -- sh -c 'exit 7'
	run -143 "$record" -q -o f.kp -- sh -c 'kill -TERM $$'
	run -127 "$record" -q -o f.kp -- /no/such/command
	[[ $output == *"/no/such/command"* ]]
	run -126 "$record" -q -o f.kp -- /dev/null
	run -125 "$record" -q -o /no/such/dir/f.kp -- true
	[[ $output == *"/no/such/dir/f.kp"* ]]
}

@test "a command does not run when it cannot be recorded" {
	run -125 "$record" -q -o /no/such/dir/f.kp -- touch ran
	[ ! -e ran ]
}

@test "the command's output does not get into the stream" {
	"$record" -q -- echo 'not a stream' >f.kp 2>text
	grep -q 'not a stream' text
	whole f.kp
}

@test "-e takes names and globs, and only these come" {
	"$record" -q -e 'sys.open*,proc.exec' -o f.kp -- cat /dev/null
	[ "$(count f.kp 'sys.openat')" -gt 0 ]
	[ "$(count f.kp 'proc.exec')" = 1 ]
	[ "$(count f.kp 'sys.read,sys.close,sched.*,proc.exit')" = 0 ]
}

@test "-e with a name that is none is a mistake, and the nearest is named (anywhere)" {
	run -2 "$record" -e sys.raed -d 1 -o f.kp
	[[ $output == *"sys.raed"*"sys.read"* ]]
	[ "${#lines[@]}" = 1 ]
}

@test "-n ends after exactly so many events" {
	"$record" -q -n 1000 -o f.kp -- dd if=/dev/zero of=/dev/null bs=1 count=100000 2>/dev/null
	n=$("$query" -q -f json f.kp | grep -vc -e '"kind":"clock' -e '"kind":"loss' -e 'keyframe' -e '"open"')
	[ "$n" = 1000 ]
	whole f.kp
}

@test "-d ends after so long" {
	SECONDS=0
	"$record" -q -d 1 -o f.kp
	[ "$SECONDS" -le 3 ]
	whole f.kp
}

@test "every call is recorded or counted as lost: seen by dd itself" {
	N=200000
	for buffer in 4k 64k; do
		"$record" -q --buffer $buffer -e 'sys.read,sys.write' -o none.kp -- dd if=/dev/zero of=/dev/null bs=1 count=0 2>/dev/null
		"$record" -q --buffer $buffer -e 'sys.read,sys.write' -o f.kp -- dd if=/dev/zero of=/dev/null bs=1 count=$N 2>/dev/null
		base=$(($(count none.kp 'sys.read,sys.write') + $(lost none.kp 0 4096 4097)))
		got=$(count f.kp 'sys.read,sys.write') lost=$(lost f.kp 0 4096 4097)
		echo "$buffer: $got rows, $lost lost, $base for dd itself"
		[ $((got + lost - base)) = $((2 * N)) ]
		[ $buffer != 4k ] || [ "$lost" -gt 0 ]
	done
}

@test "with a reader that is slow, too" {
	N=400000
	"$record" -q -e 'sys.read,sys.write' -- dd if=/dev/zero of=/dev/null bs=1 count=0 2>/dev/null >none.kp
	"$record" -q --buffer 64k -e 'sys.read,sys.write' -- dd if=/dev/zero of=/dev/null bs=1 count=$N 2>/dev/null | { sleep 1; cat; } >f.kp
	base=$(count none.kp 'sys.read,sys.write') got=$(count f.kp 'sys.read,sys.write') lost=$(lost f.kp 0 4096 4097)
	echo "$got rows, $lost lost, $base for dd itself"
	[ $((got + lost - base)) = $((2 * N)) ]
	[ "$lost" -gt 0 ]
	whole f.kp
}

@test "losses are told on standard error, too" {
	run -0 --separate-stderr "$record" --buffer 4k -e 'sys.read,sys.write' -o f.kp -- sh -c 'dd if=/dev/zero of=/dev/null bs=1 count=200000 2>/dev/null'
	total=$("$query" -q -f json -e 'loss.kernel' f.kp | sed -E 's/.*"count":([0-9]+).*/\1/' | awk '{ s += $1 } END { print s + 0 }')
	[ "$total" -gt 0 ]
	[[ $stderr == *" $total lost" ]]
}

@test "-p records this process and what it starts, and nobody else" {
	sh -c 'while :; do /bin/true; done' &
	pids+=($!)
	sh -c 'while :; do :; read -r x </proc/uptime; done' &
	pids+=($!)
	"$record" -q -p "${pids[0]}" -e 'sys.*,proc.*' -d 1 -o f.kp
	[ "$(rows f.kp 'sys.*' | grep -c "\"pid\":${pids[0]},")" -gt 0 ]
	[ "$(rows f.kp 'proc.exec' | grep -c /bin/true)" -gt 0 ]
	[ "$(rows f.kp 'sys.*,proc.*' | grep -c "\"pid\":${pids[1]},")" = 0 ]
	run -1 "$record" -p 4194303 -d 1 -o g.kp
	[[ $output == *4194303* ]]
}

@test "--all records others while a command runs" {
	sh -c 'while :; do read -r x </proc/uptime; done' &
	pids+=($!)
	"$record" -q -e 'sys.read' -o f.kp -- sleep 0.3
	[ "$(rows f.kp sys.read | grep -c "\"pid\":${pids[0]},")" = 0 ]
	"$record" -q --all -e 'sys.read' -o f.kp -- sleep 0.3
	[ "$(rows f.kp sys.read | grep -c "\"pid\":${pids[0]},")" -gt 0 ]
}

@test "a sleep is recorded with its stack and its waker's, from --stack-min on" {
	"$record" -q -e 'sched.wake' -o f.kp -- sleep 0.05
	rows f.kp sched.wake | grep '"comm":"sleep"' | grep -q 'nanosleep'
	"$record" -q --stack-min 0 -e 'sched.wake' -o f.kp -- sleep 0.05
	rows f.kp sched.wake | grep -q '"comm":"sleep"'
	[ "$(rows f.kp sched.wake | grep -c '"stack"')" = 0 ]
}

@test "--comm records tasks of this name only" {
	"$record" -q --comm dd -e 'sys.*' -o f.kp -- sh -c 'dd if=/dev/zero of=/dev/null count=100 2>/dev/null; cat /dev/null'
	[ "$(rows f.kp sys.read | grep -c '"comm":"dd"')" -ge 100 ]
	[ "$(rows f.kp 'sys.*' | grep -vc '"comm":"dd"')" = 0 ]
}

@test "-g records a control group only" {
	for dir in /sys/fs/cgroup /sys/fs/cgroup/memory /sys/fs/cgroup/unified; do
		mkdir "$dir/kp-test-$$" 2>/dev/null || continue
		[ -e "$dir/kp-test-$$/cgroup.procs" ] && break
		rmdir "$dir/kp-test-$$"
	done
	group=$dir/kp-test-$$
	[ -e "$group/cgroup.procs" ] || skip "no cgroup can be made here"
	export group
	"$record" -q -g "$group" -e 'sys.read' -o f.kp -- sh -c '
		(echo 0 >"$group/cgroup.procs"; exec dd if=/dev/zero of=/dev/null bs=1 count=1000)
		dd if=/dev/zero of=/dev/null bs=7 count=1000' 2>/dev/null
	rmdir "$group"
	[ "$(rows f.kp sys.read | grep -c '"count":1}')" = 1000 ]
	[ "$(rows f.kp sys.read | grep -c '"count":7}')" = 0 ]
	run -1 "$record" -g /no/such/group -d 1 -o g.kp
	[[ $output == */no/such/group* ]]
}

# cpu_group: a group with a quota of a tenth of a CPU, in $group
cpu_group() {
	for dir in /sys/fs/cgroup/cpu /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup; do
		group=$dir/kp-test-$$
		mkdir "$group" 2>/dev/null || continue
		{ echo 5000 >"$group/cpu.cfs_quota_us" && echo 50000 >"$group/cpu.cfs_period_us"; } 2>/dev/null && return
		{ echo '5000 50000' >"$group/cpu.max"; } 2>/dev/null && return
		rmdir "$group"
	done
	skip "no group with a CPU quota can be made here"
}

@test "a quota is told at once, and what it did until the end" {
	cpu_group
	sh -c 'while :; do :; done' &
	pids+=($!)
	echo $! >"$group/cgroup.procs"
	sleep 0.2
	"$record" -q -d 0.6 -o f.kp
	kill -KILL "${pids[0]}"
	wait "${pids[0]}" || true
	rmdir "$group"
	rows f.kp cg.cpu | grep "kp-test-$$\"" | sed -E 's/.*"quota":([0-9]+).*"throttled":([0-9]+).*/\1 \2/' >told
	[ "$(wc -l <told)" -ge 2 ]
	read -r quota first <told
	[ "$quota" = 5000000 ]
	[ $(($(tail -n 1 told | cut -d' ' -f2) - first)) -ge 5 ]
}

@test "--min-dur leaves out what was shorter" {
	"$record" -q --min-dur 50ms -e 'sys.*' -o f.kp -- sh -c 'sleep 0.1; cat /dev/null'
	[ "$(rows f.kp 'sys.clock_nanosleep' | wc -l)" = 1 ]
	[ "$(rows f.kp 'sys.openat' | wc -l)" = 0 ]
}

@test "interrupted, it ends its stream properly" {
	for sig in INT TERM; do
		"$record" -q -o f.kp &
		sleep 1 # it does not matter how far it has come
		kill -$sig $!
		wait $!
		whole f.kp
	done
}

@test "interrupted while it is set up, it ends, and the command has not run" {
	for wait in 0 0.01 0.05 0.1; do
		rm -f ran
		"$record" -q -o f.kp -- touch ran &
		sleep $wait
		kill -TERM $!
		rc=0
		wait $! || rc=$?
		# before its handlers are there, or after the command was let go
		[ $rc = 125 ] || [ $rc = 143 ] || [ -e ran ]
	done
}

@test "a signal reaches the command, whose end ends the recording" {
	"$record" -q -o f.kp -- sh -c 'trap "exit 9" TERM; : >ready; while :; do sleep 0.05; done' &
	for ((i = 0; i < 100; i++)); do
		[ -e ready ] && break
		sleep 0.1
	done
	kill -TERM $!
	rc=0
	wait $! || rc=$?
	[ $rc = 9 ]
	whole f.kp
}

@test "a call that has not ended is written as open" {
	"$record" -q -e 'sys.*' -o f.kp -- sh -c 'sleep 600 & echo $! >pid; sleep 0.3'
	pids+=("$(cat pid)")
	rows f.kp 'sys.clock_nanosleep' | grep "\"pid\":${pids[0]}," | grep -q '"open"'
	[ "$(rows f.kp 'sys.clock_nanosleep' | grep -v "\"pid\":${pids[0]}," | grep -c '"open"')" = 0 ]
}

@test "who was asleep before the recording is seen, with its stack" {
	sleep 600 &
	pids+=($!)
	"$record" -q -p $! -d 0.5 -o f.kp
	rows f.kp 'sched.sleep' | grep "\"pid\":${pids[0]}," | grep '"open"' | grep -q nanosleep
	# and so is the call that it is inside, at least since we look
	rows f.kp 'sys.clock_nanosleep' | grep "\"pid\":${pids[0]}," | grep '"open"' | grep -q '"inferred"'
}

@test "it records neither itself nor its readers" {
	cp "$(command -v cat)" reads-it
	# somebody else, whose calls do come: a machine may be idle but for the recorder and who reads it
	sh -c 'while sleep 0.05; do :; done' &
	pids+=($!)
	{ "$record" -q -d 1 -e 'sys.*' & echo $! >pid; wait $!; } | ./reads-it | cat >f.kp
	whole f.kp
	[ "$(rows f.kp 'sys.*' | grep -c "\"pid\":${pids[0]},")" -gt 0 ]
	[ "$(rows f.kp 'sys.*' | grep -c "\"pid\":$(cat pid),")" = 0 ]
	[ "$(rows f.kp 'sys.*' | grep -c '"comm":"reads-it"')" = 0 ]
	# asked for, they are
	{ "$record" -q --no-exclude -d 1 -e 'sys.*' & echo $! >pid; wait $!; } | ./reads-it >f.kp
	[ "$(rows f.kp 'sys.*' | grep -c "\"pid\":$(cat pid),")" -gt 0 ]
	[ "$(rows f.kp 'sys.*' | grep -c '"comm":"reads-it"')" -gt 0 ]
}

@test "rows come through a pipe within a second or so" {
	mkfifo pipe
	"$record" -q -e 'sys.kill' >pipe &
	rec=$!
	sh -c 'while sleep 0.2; do kill -0 $$; done' &
	pids+=($!)
	# what has come after some seconds, while the recorder goes on; it cannot be a whole stream yet
	timeout 5 cat pipe >f.kp || true
	wait $rec
	[ "$(count f.kp sys.kill)" -ge 5 ]
}

@test "a reader that has gone ends it quietly" {
	run -0 --separate-stderr bash -c '"$1" | head -c 100 >/dev/null; exit ${PIPESTATUS[0]}' - "$record"
	[[ $stderr != *[Pp]ipe* ]]
	# also when there is nothing to write
	run -0 timeout 5 bash -c '"$1" -q -e sys.sync | true; exit ${PIPESTATUS[0]}' - "$record"
	[ -z "$output" ]
}

@test "it does not write to a terminal (anywhere)" {
	run -1 script -qec "'$record' -d 1" /dev/null </dev/null
	[[ $output == *"-o FILE"* ]]
	[ "${#lines[@]}" = 1 ]
}

@test "a full disk is one line and a failure" {
	run -1 "$record" -q -d 1 -o /dev/full
	[[ $output == *"/dev/full"* || $output == *"No space left"* ]]
	[ "${#lines[@]}" = 1 ]
}

@test "without privilege one line says what to do" {
	command -v setpriv >/dev/null || skip "setpriv is missing"
	run -1 setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$KP_BIN/kp-record" -d 1 -o /dev/null
	[[ $output == *root* ]]
	[ "${#lines[@]}" = 1 ]
	run -125 setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$KP_BIN/kp-record" -o /dev/null -- true
}

@test "wrong options are one line and status 2 (anywhere)" {
	for o in '-d x' '-d 0' '-d 0ms' '--comm=' '-e sys.raed' '-e ,' '-n 0' '-p 1,x' '--buffer 3' '--payload 9999' '--level 99' '--min-dur 1parsec' '--min-dur 5' '--stack-min 1' '--delimiter='; do
		# shellcheck disable=SC2086
		run -2 timeout 20 "$record" $o -o f.kp
		[ "${#lines[@]}" = 1 ]
	done
	[ ! -e f.kp ]
}

# One HTTP request over loopback, with a secret in each place where there may be one.
exchange() {
	cat >http.py <<-'END'
		import socket, threading
		s = socket.create_server(("127.0.0.1", 0))
		def serve():
		    c, _ = s.accept()
		    c.recv(4096)
		    c.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: SECRET-cookie\r\nContent-Length: 11\r\n\r\nSECRET-body")
		    c.close()
		t = threading.Thread(target=serve); t.start()
		c = socket.create_connection(s.getsockname())
		c.sendall(b"POST /pay?card=SECRET-query HTTP/1.1\r\nHost: x\r\nAuthorization: SECRET-auth\r\nX-Request-ID: req-4711\r\nContent-Length: 11\r\n\r\nSECRET-post")
		c.recv(4096); t.join()
	END
	"$record" -q "$@" -o f.kp -- "${PYTHON:-python3}" http.py
	zstd -dcq f.kp >plain
}

@test "--ids keeps the ids of messages and no secret" {
	command -v zstd >/dev/null || skip "zstd is missing"
	exchange
	grep -qa 'req-4711' plain
	grep -qa '/pay' plain
	run -1 grep -a SECRET plain
	[ "$(rows f.kp tcp.send | grep -c 'sanitized')" -gt 0 ]
}

@test "--no-ids keeps nothing, --payload what was asked for" {
	command -v zstd >/dev/null || skip "zstd is missing"
	exchange --no-ids
	[ "$(count f.kp tcp.send)" -ge 2 ]
	run -1 grep -a -e req-4711 -e SECRET plain
	exchange --payload 4096
	grep -qa 'SECRET-post' plain
	exchange --payload 20
	run -1 grep -a SECRET-auth plain
	grep -qa 'POST /pay?card=SECRE' plain
}

@test "both ends of a connection are seen, at the same positions" {
	exchange
	[ "$(rows f.kp tcp.connect | wc -l)" -ge 1 ]
	rows f.kp tcp.send | grep -o '"pos":[0-9]*' | sort >sent
	rows f.kp tcp.recv | grep -o '"pos":[0-9]*' | sort >received
	[ -s sent ]
	[ -n "$(comm -12 sent received)" ]
}

@test "names of files are known by what opened them" {
	echo text >a.txt
	"$record" -q -o f.kp -- cat a.txt
	rows f.kp sys.read | grep '"comm":"cat"' | grep -q '"name":"[^"]*a\.txt"'
}

@test "with a delimiter each chunk is a stream of its own" {
	"$record" -q --delimiter '@@@END@@@' -o all -- dd if=/dev/zero of=/dev/null bs=1 count=1000 2>/dev/null
	"${PYTHON:-python3}" -c '
import sys
chunks = open("all", "rb").read().split(b"@@@END@@@")
assert chunks.pop() == b"", "a delimiter is last"
for i, c in enumerate(chunks): open("chunk%d.kp" % i, "wb").write(c)'
	[ "$("$query" -q -f json -e 'sys.write' chunk*.kp | grep -c '"fd":1,.*"count":1}')" = 1000 ]
}

@test "system calls of 32-bit programs are told apart by the flag compat" {
	[ "$(uname -m)" = x86_64 ] || skip "x86-64 only"
	command -v cc >/dev/null || skip "no compiler"
	# a 64-bit program that enters the kernel as a 32-bit one does
	cat >old.c <<-'END'
		int main(void)
		{
			long r;
			for (int i = 0; i < 10; i++)
				__asm__ volatile("int $0x80" : "=a"(r) : "a"(20), "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11");
			return r < 0;
		}
	END
	cc -O1 old.c -o old
	./old || skip "this kernel takes no 32-bit calls"
	"$record" -q -e sys.getpid -o f.kp -- ./old
	[ "$(rows f.kp sys.getpid | grep -c compat)" = 10 ]
}

@test "counters of a process agree with what the kernel says it used" {
	cp "$(command -v dd)" ddtest	# others may run a dd, too
	"$record" -q -e 'count.*,proc.exit' -o f.kp -- bash -c 'TIMEFORMAT="%U %S"
		time ./ddtest if=/dev/zero of=/dev/null bs=64k count=200000 2>/dev/null
		./ddtest if=/dev/zero of=big bs=1M count=20 2>/dev/null' 2>used
	"${PYTHON:-python3}" - <<-'END'
		import json, subprocess, sys, os
		used = sum(map(float, open("used").read().split()))
		out = subprocess.run([os.environ["query"], "-q", "-f", "json", "-e", "count.*", "f.kp"], stdout=subprocess.PIPE, check=True).stdout
		cpu = dirtied = 0
		per = {}
		for line in out.splitlines():
		    r = json.loads(line)
		    if r.get("comm") != "ddtest": continue
		    if r["kind"] == "count.io": per[r["pid"]] = per.get(r["pid"], 0) + r["args"]["cpu"]
		    if r["kind"] == "count.mem": dirtied += r["args"]["dirtied"]
		cpu = next(iter(per.values())) / 1e9	# the first one was timed
		print("cpu", cpu, "used", used, "dirtied", dirtied)
		assert abs(cpu - used) < 0.02 + 0.1 * used
		fs = subprocess.run(["stat", "-fc", "%T", "."], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
		assert fs == "tmpfs" or dirtied >= 20 << 8
	END
}

@test "counters are of processes that are known, and of the time of the recording" {
	(while :; do /bin/true; done) &
	pids+=($!)
	for _ in 1 2 3; do
		"$record" -q -d 1 -e 'count.*' -o f.kp
		[ "$(count f.kp 'count.io')" -gt 100 ]
		run ! grep -v '"comm"' <(rows f.kp 'count.io,count.mem')
	done
}
