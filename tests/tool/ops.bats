#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-record as something that runs on every host: what it says of the host and of itself, and what it may do.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	export record=$KP_BIN/kp-record query=$KP_BIN/kp-query
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

rows() { "$query" -q -f json -e "$2" "$1" | grep -v '"flags":[^]]*keyframe'; }
whole() { "$query" -q --info "$1" | grep -A1 '^Whole' | grep -q yes; }
nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$@"; }
# until COMMAND...: waits for it to succeed
until_true() {
	for ((i = 0; i < 100; i++)); do
		"$@" && return
		sleep 0.05
	done
	return 1
}
# The present recorder's line of /proc/PID/status
status() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
settled() { [ "$(status "$1" NoNewPrivs)" = 1 ]; }

# ---- --check ----

@test "--check says of each thing whether it is there, and a recording has the hooks that it names" {
	run -0 --separate-stderr "$record" --check
	# shellcheck disable=SC2154
	[ -z "$stderr" ]
	printf '%s\n' "${lines[@]}" >check
	run ! grep -vE '^(ok|missing) ' check
	for what in kernel CAP_BPF CAP_PERFMON BTF tracefs lockdown kallsyms cgroups PSI 'delay accounting' 'ring buffers' hook; do
		grep -qE "^(ok|missing) +$what" check
	done
	grep -qE '^ok +recording' check
	"$record" -q -d 0.1 -o f.kp
	"$query" -q --info f.kp | sed -n '/^Event sources/,/^$/p' | grep -c tp_btf/ >attached
	[ "$(grep -cE '^ok +hook .*(tp_btf|fentry|fexit|kprobe)' check)" = "$(cat attached)" ]
}

@test "--check without privilege fails, and says what to do" {
	run -1 --separate-stderr nobody "$record" --check
	[[ $output == *"missing  CAP_BPF "*"root"* ]]
	[[ $output == *"missing  recording "*"root"* ]]
	# what the kernel has can be seen all the same
	[[ $output == *"ok       hook "*sched_switch* ]]
}

@test "--check sees what is hidden" {
	command -v unshare >/dev/null || skip "unshare is missing"
	run -0 setpriv --bounding-set=-syslog --inh-caps=-syslog "$record" --check
	[[ $output == *"missing  CAP_SYSLOG "* ]]
	[[ $output == *"missing  kallsyms "* ]] || [ "$(cat /proc/sys/kernel/kptr_restrict)" = 0 ]
	run unshare -m sh -c 'mount -t tmpfs none /sys/kernel/btf 2>/dev/null || mount -t tmpfs none /sys || exit 77; exec "$record" --check'
	[ "$status" != 77 ] || skip "/sys cannot be hidden here"
	[ "$status" = 1 ]
	[[ $output == *"missing  BTF "*CONFIG_DEBUG_INFO_BTF* ]]
	[[ $output == *"missing  recording "* ]]
}

# ---- --sources ----

@test "--sources has a source for every kind, and counts their runs" {
	dd if=/dev/zero of=/dev/null bs=1 2>dd.txt &
	pids+=($!)
	"$record" --sources --cpu-budget off -d 2 >sources
	kill -USR1 $! # now it says how many it has done, and in what time
	until_true grep -q copied dd.txt
	kill -KILL $!
	"$query" --kinds >kinds
	"${PYTHON:-python3}" - <<-'END'
		import fnmatch, re
		said = open("dd.txt").read()
		rate = int(re.search(r"(\d+)\+0 records out", said).group(1)) / float(re.search(r"copied, ([\d.e-]+) s", said).group(1))
		lines = open("sources").read().splitlines()
		assert lines[0].split() == ["SOURCE", "HOOK", "RUNS/s", "ns/RUN", "%", "CPU", "KINDS"], lines[0]
		globs = [g for l in lines[1:] for g in l.split()[-1].split(",")]
		kinds = re.findall(r"^\s*([a-z]+\.[a-z0-9_]+)", open("kinds").read(), re.M)
		assert len(kinds) > 300
		# loss.stream is what a reader says of a damaged file
		none = [k for k in kinds if k != "loss.stream" and not any(fnmatch.fnmatch(k, g) for g in globs)]
		assert set(none) <= {"irq.soft"}, none
		calls = next(l for l in lines if l.startswith("sys_exit ")).split()
		# a read and a write each time; others make calls, too, and a busy machine is not always as fast
		print(rate, calls)
		assert 2 * rate / 8 <= float(calls[2]) <= 2 * rate * 3 + 1e6, calls
		assert 5 <= float(calls[3]) <= 20000, calls
	END
}

@test "--sources without privilege lists them without their cost" {
	run -0 --separate-stderr nobody "$record" --sources
	[[ $stderr == *root* ]]
	grep -qE '^sched_switch +[a-z_]+/[a-z_]+ +- +- +- +sched' <<<"$output"
	run -2 "$record" --sources -- true
	run -2 "$record" --sources --check
}

# ---- --dry-run ----

@test "--dry-run says what a recording would be, and leaves nothing" {
	work=(dd if=/dev/zero of=/dev/null bs=1 count=300000)
	run -0 --separate-stderr "$record" --dry-run 20 --cpu-budget off -e 'sys.read,sys.write' -- "${work[@]}"
	[ -z "$(find . -name "*.kp")" ]
	echo "$output" >said
	"$record" -q --cpu-budget off -e 'sys.read,sys.write' -o f.kp -- "${work[@]}" 2>/dev/null
	bytes=$(stat -c %s f.kp)
	"${PYTHON:-python3}" - "$bytes" <<-'END'
		import re, sys
		said = open("said").read()
		rate, s, lost = re.search(r"^([\d.]+) events/s over ([\d.]+) s, (\d+) lost", said).groups()
		n = float(rate) * float(s) + int(lost)
		assert 600000 <= n * 1.05 and n < 680000, said	# the time is rounded
		assert re.search(r"sys +[\d.]+ rows/s", said)
		gb = float(re.search(r"([\d.]+) GB a day", said).group(1))
		real = int(sys.argv[1]) / float(s) * 86400 / 1e9
		print(said, real)
		assert real / 2.5 < gb < real * 1.5
		assert re.search(r"[\d.]+ user, [\d.]+ system, [\d.]+ in the kernel's hooks", said)
		hours = float(re.search(r"A ring of 2.0 GiB would last ([\d.]+) hours", said).group(1))
		assert abs(hours - 2.147483648 / gb * 24) < 0.1 + 0.02 * hours
	END
	run -2 "$record" --dry-run 0
	[ "${#lines[@]}" = 1 ]
}

# ---- privileges ----

@test "once it records it has few privileges, for good, and is spared by the OOM killer" {
	[ "$(cat /proc/self/oom_score_adj)" = 0 ] || skip "oom_score_adj was set here already"
	"$record" -q -o f.kp &
	pids+=($!)
	until_true settled $!
	# CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYSLOG, CAP_BPF: 2, 19, 34, 39
	kept=$(printf '%016x' $((1 << 2 | 1 << 19 | 1 << 34 | 1 << 39)))
	for set in CapEff CapPrm; do [ "$(status $! $set)" = "$kept" ]; done
	[ $((0x$(status $! CapBnd) & ~0x$kept)) = 0 ]
	[ "$(status $! CapInh)" = 0000000000000000 ]
	# to lower it needs CAP_SYS_RESOURCE (24)
	allowed=$((0x$(status $$ CapEff) >> 24 & 1))
	[ "$(cat /proc/$!/oom_score_adj)" = $((-500 * allowed)) ]
	kill -TERM $!
	wait $!
	whole f.kp
}

@test "a command keeps the privileges that it would have had" {
	cat >show <<-'END'
		grep -E '^(Cap|NoNewPrivs)' /proc/self/status
		cat /proc/self/oom_score_adj
		nice
	END
	sh show >before
	"$record" -q -o f.kp -- sh show >after
	diff before after
}

@test "a command that became another user's still gets our signals" {
	"$record" -q -o f.kp -- setpriv --reuid=65534 --regid=65534 --clear-groups sleep 60 &
	pids+=($!)
	until_true settled $!
	until_true pgrep -u 65534 -P $! -x sleep
	kill -TERM $!
	rc=0
	wait $! || rc=$?
	[ $rc = 143 ]
}

# What only somebody with privileges can see of others: their programs and files, and the kernel's functions.
@test "names of other users' processes, files and stacks are known without those privileges" {
	cp "$(command -v sleep)" otherssleep
	chmod 755 . otherssleep
	mkdir private
	chown 65534 private
	chmod 700 private
	# shellcheck disable=SC2016
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all bash -c 'exec 7>private/held; while :; do echo x >&7; ./otherssleep 0.02; done' &
	pids+=($!)
	until_true test -e private/held
	"$record" -q -d 1 -o f.kp
	"$query" -q -f json f.kp >all
	grep '"key.file"' all | grep "\"pid\":${pids[0]}," | grep -q private/held
	grep '"sys.write"' all | grep "\"pid\":${pids[0]}," | grep -q private/held
	grep '"sys.clock_nanosleep"' all | grep -q '"exe":"[^"]*/otherssleep"'
	grep '"sched.wake"' all | grep '"comm":"otherssleep"' | grep -q nanosleep
}

# ---- --metrics ----

cat_metrics='
import re, sys
def parse(path):
    seen, types, help = {}, {}, set()
    text = open(path).read()
    assert text.endswith("\n")
    family = None
    for line in text.splitlines():
        m = re.fullmatch(r"# HELP ([a-z_:][a-z0-9_:]*) (.+)", line)
        if m:
            assert m.group(1) not in help, line
            help.add(m.group(1)); family = m.group(1); continue
        m = re.fullmatch(r"# TYPE ([a-z_:][a-z0-9_:]*) (counter|gauge)", line)
        if m:
            assert m.group(1) == family and family not in types, line
            types[family] = m.group(2); continue
        m = re.fullmatch(r"([a-z_:][a-z0-9_:]*)(\{((?:[a-z_]+=\"[^\"\\\n]*\",?)*)\})? (-?[0-9.]+(?:e[+-]?\d+)?)", line)
        assert m, line
        assert m.group(1) == family, "samples of a metric stand together: " + line
        key = (m.group(1), m.group(3) or "")
        assert key not in seen, line
        seen[key] = float(m.group(4))
    assert set(types) == help
    for name, t in types.items():
        assert name.startswith("kprobe_")
        assert (t == "counter") == name.endswith("_total"), name
        assert re.search(r"_(total|info|bytes|ratio|seconds|hooks)$", name), name + ": no unit"
        assert not re.search(r"(milliseconds|_ms|_ns|kib|percent)", name)
    return seen
'

@test "--metrics agrees with what was recorded, in Prometheus' format" {
	run -0 --separate-stderr "$record" --buffer 4k --metrics m.prom -e 'sys.*,sched.*' -o f.kp -- dd if=/dev/zero of=/dev/null bs=1 count=200000
	[ "$(stat -c %a m.prom)" = 644 ]
	[ -z "$(find . -name "m.prom?*")" ]
	echo "$stderr" | tail -n 1 >told
	"$query" -q --info f.kp | sed -n '/^Event sources/,/^$/p' >hooks
	"${PYTHON:-python3}" - <<-END
		$cat_metrics
		import os, time
		m = parse("m.prom")
		events, lost = re.search(r"(\d+) events, .* (\d+) lost", open("told").read()).groups()
		assert m["kprobe_events_total", ""] == int(events) > 0
		assert sum(v for k, v in m.items() if k[0] == "kprobe_events_lost_total") == int(lost) > 0
		assert m["kprobe_events_lost_total", 'group="sys",reason="buffer"'] > 0
		# what is written after it: the end of the stream
		assert 0 <= os.stat("f.kp").st_size - m["kprobe_written_bytes_total", ""] < 2000000
		assert m["kprobe_buffer_size_bytes", ""] == 4096
		assert 0.5 < m["kprobe_buffer_fill_max_ratio", ""] <= 1
		assert 0 < m["kprobe_cpu_seconds_total", 'mode="user"'] < 20
		assert 1 << 20 < m["kprobe_resident_memory_bytes", ""] < 1 << 29
		attached = open("hooks").read().count("tp_btf/")
		assert m["kprobe_hooks", 'state="attached"'] == attached > 0
		assert m["kprobe_hooks", 'state="unwanted"'] > 0
		now = time.time()
		assert now - 30 < m["kprobe_start_time_seconds", ""] <= m["kprobe_last_event_timestamp_seconds", ""] <= now
	END
}

@test "--metrics is there from the beginning, and replaced as a whole" {
	"$record" -q --metrics m.prom -o f.kp &
	pids+=($!)
	until_true test -e m.prom
	exec 9<m.prom
	cp m.prom first
	sleep 1
	kill -TERM $!
	wait $!
	# who had the old one open still reads the old one
	cmp first - <&9
	run ! cmp -s first m.prom
	"${PYTHON:-python3}" -c "$cat_metrics
parse('first'); parse('m.prom')"
}

@test "--metrics goes into another user's directory, and one that is missing is one line" {
	mkdir theirs
	chown 65534 theirs
	chmod 755 theirs
	"$record" -q --metrics theirs/m.prom -d 0.2 -o f.kp
	grep -qE '^kprobe_events_total [1-9]' theirs/m.prom
	run -1 "$record" --metrics no/such/m.prom -d 1 -o f.kp
	[[ $output == *no/such/m.prom* ]]
	[ "$(grep -c metrics <<<"$output")" -le 1 ]
}

# ---- service manager ----

# Runs the recorder under a socket of our own. READY must mean that what happens from then on is recorded.
notified() {
	"${PYTHON:-python3}" - "$@" <<-'END'
		import os, signal, socket, subprocess, sys, time
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		name = sys.argv[1]
		s.bind("\0" + name[1:] if name[0] == "@" else name)
		s.settimeout(20)
		env = dict(os.environ, NOTIFY_SOCKET=name, WATCHDOG_USEC="3000000")
		env.pop("WATCHDOG_PID", None)
		p = subprocess.Popen([os.environ["record"], "-q", "-o", "f.kp"] + sys.argv[2:], env=env)
		got = [s.recv(4096).decode()]
		assert got == ["READY=1"], got
		try: os.rmdir("/no-such-dir-after-ready")
		except OSError: pass
		end = time.time() + 2.5
		while time.time() < end:
		    s.settimeout(max(0.01, end - time.time()))
		    try: got.append(s.recv(4096).decode())
		    except socket.timeout: break
		assert got.count("WATCHDOG=1") >= 2, got
		assert any(g.startswith("STATUS=") and "events/s" in g for g in got), got
		assert "STOPPING=1" not in got
		p.send_signal(signal.SIGTERM)
		s.settimeout(2)
		while "STOPPING=1" not in got: got.append(s.recv(4096).decode())
		assert p.wait(2) == 0
	END
}

@test "a service manager is told when it is ready, alive and ending" {
	notified "$PWD/socket"
	rows f.kp sys.rmdir | grep -q no-such-dir-after-ready
	notified "@kprobe-test-$$" -e sys.rmdir
	rows f.kp sys.rmdir | grep -q no-such-dir-after-ready
	# a watchdog that is meant for another process is not ours
	WATCHDOG_USEC=1 WATCHDOG_PID=1 NOTIFY_SOCKET=$PWD/nobody-listens run -0 "$record" -d 0.2 -o f.kp
	[[ $output == *NOTIFY_SOCKET* ]]
}

@test "TERM ends it within 2 seconds while the host is busy" {
	for _ in 1 2; do
		dd if=/dev/zero of=/dev/null bs=1 2>/dev/null &
		pids+=($!)
	done
	sh -c 'while :; do /bin/true; done' &
	pids+=($!)
	"$record" -q -o f.kp &
	pids+=($!)
	until_true settled $!
	sleep 2
	begun=$(date +%s%N)
	kill -TERM $!
	wait $!
	took=$((($(date +%s%N) - begun) / 1000000))
	echo "$took ms"
	[ "$took" -le 2000 ]
	whole f.kp
}

@test "on a terminal a line says how it goes" {
	command -v script >/dev/null || skip "script is missing"
	run -0 script -qec "'$record' -d 2.5 -o f.kp" /dev/null </dev/null
	[[ $output =~ [0-9]+\ events/s,\ [0-9]+\ lost,\ [0-9.]+\ [KM]?i?B,\ [0-9.]+\ %\ CPU ]]
}

# ---- --config ----

@test "--config takes options from a file, and what comes behind it on the command line counts" {
	cat >c.conf <<-'END'
		# comment
		events sys.read

		  buffer = 64k
		quiet
		duration 60
		output	other.kp
	END
	run -0 --separate-stderr "$record" --config c.conf -o f.kp -- cat /dev/null
	[ -z "$stderr" ]
	[ ! -e other.kp ]
	[ "$(rows f.kp sys.read | wc -l)" -gt 0 ]
	[ "$(rows f.kp sys.close | wc -l)" = 0 ]
	"$record" --config c.conf -d 0.2
	whole other.kp
}

@test "mistakes in a file are one line with its number (anywhere)" {
	bad() {
		printf '# x\n%s\n' "$1" >c.conf
		run -2 "$record" --config c.conf --check
		[ "${#lines[@]}" = 1 ]
		[[ $output == *"c.conf:2: "*"$2"* ]]
	}
	bad 'evens sys.*' "'evens'"
	bad '-e sys.*' "'-e'"
	bad 'events' 'value'
	bad 'quiet yes' 'no value'
	bad 'events sys.raed' 'sys.read'
	bad 'level 99' '--level'
	bad 'help' 'no meaning'
	bad 'config c.conf' '--config'
	run -2 "$record" --config no-such.conf --check
	[[ $output == *no-such.conf* ]]
	echo 'level 3' >c.conf
	chmod o+w c.conf
	run -2 "$record" --config c.conf --check
	[[ $output == *'chmod o-w'* ]]
}

@test "the example of a configuration is one, and the unit reads it (anywhere)" {
	command -v systemd-analyze >/dev/null || skip "systemd-analyze is missing"
	sed "s|/usr/local/bin/kp-record|$record|; /^Documentation/d" "$ROOT/examples/systemd/kprobe.service" >kprobe.service
	grep -q "^ExecStart=$record --config /etc/kprobe/record.conf" kprobe.service
	run -0 systemd-analyze verify ./kprobe.service
	[ -z "$output" ]
	cp "$ROOT/examples/systemd/record.conf" record.conf
	chmod 644 record.conf
	# also what is commented out
	sed 's/^#\([a-z]\)/\1/' record.conf >all.conf
	run -0 --separate-stderr "$record" --config all.conf --sources -d 0.1
}

@test "with the capabilities of the unit, a ring and metrics it does its job" {
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$ROOT/examples/systemd/kprobe.service" | tr ' ' '\n' | sed 's/^CAP_/+/' | tr "[:upper:]" "[:lower:]" | paste -sd,)
	printf 'ring %s/ring\nmetrics %s/m.prom\nquiet\n' "$PWD" "$PWD" >c.conf
	setpriv --bounding-set "-all,$caps" --inh-caps=-all --no-new-privs "$record" --config c.conf &
	pids+=($!)
	until_true settled $!
	until_true grep -q kprobe_events_total m.prom
	sleep 1
	kill -TERM $!
	wait $!
	[ "$("$query" -q -f json -e 'sys.*' ring | wc -l)" -gt 0 ]
	"${PYTHON:-python3}" -c "$cat_metrics
m = parse('m.prom')
assert m['kprobe_events_total', ''] > 0 and m['kprobe_written_bytes_total', ''] > 0
assert m['kprobe_hooks', 'state=\"missing\"'] == 0 or m['kprobe_hooks', 'state=\"attached\"'] > 20"
}
