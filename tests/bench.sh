#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What recording costs, beside perf and bpftrace: all measured in one run, in turns, so that whatever else the
# machine does meets all alike. Needs root. Ends by itself within a few minutes.
#
#   KP_BIN=DIR       the tools                 ROUNDS=5         turns; the best of each counts, the median is shown, too
#   COUNT=1000000    reads and writes a turn   LOAD_SECONDS=5   of mixed load
#
# A system call is one row to kprobe (arguments, result, duration, what the descriptor refers to) and two events to
# perf (enter, exit). Both have 4 MB of buffer a CPU. "lost": what a recorder dropped in the turn that counts.
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
KP_BIN=$(realpath -m "${KP_BIN:-$root/build/bin}")
ROUNDS=${ROUNDS:-5} COUNT=${COUNT:-1000000} LOAD_SECONDS=${LOAD_SECONDS:-5}
export LC_ALL=C

W=$(mktemp -d "${TMPDIR:-/tmp}/kp-bench.XXXXXX") || exit 1
MOUNTED=no
# shellcheck source-path=SCRIPTDIR
. "$root/tests/benchlib.sh"
leave() {
	end
	[ $MOUNTED = no ] || umount /sys/kernel/tracing
	progress ''
	rm -rf "$W"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

declare -A SKIP	# TOOL -> why it is not measured


# ---- added time of each system call ----

# dd's own figure, without the start of a process: ns for COUNT reads and writes. Words before it: who runs it.
timed_dd() {
	timeout 120 "$@" taskset -c "$CPU" dd if=/dev/zero of=/dev/null bs=1 count="$COUNT" 2>"$W/dd" >&2
	awk '/ copied, / { sub(/.* copied, /, ""); printf "%.0f\n", $1 * 1e9 }' "$W/dd"
}

# Each sets T (ns) and L (lost); status 1 when it could not record, with the reason in $W/err.
run_bare() { T=$(timed_dd) L=-; }

run_kp() {
	begin "$KP_BIN/kp-record" --cpu-budget off -o "$W/dd.kp" "$@" # what is left out costs nothing
	until_true test -s "$W/dd.kp" && sleep 0.3 || return 1
	T=$(timed_dd)
	end
	L=$(kp_lost)
	rm -f "$W/dd.kp"
	[ "$(num "$(kp_events)")" -ge "$COUNT" ] || { echo 'it did not record the load' >"$W/err"; return 1; }
}
run_kp_sys() { run_kp -e 'sys.*'; }

run_perf() {
	local n
	T=$(timed_dd perf record -q -m 4M -e 'raw_syscalls:*' -o "$W/dd.data" --)
	n=$(num "$(perf_events "$W/dd.data")")
	rm -f "$W/dd.data"
	[ "$n" -ge "$COUNT" ] || { grep -v records "$W/dd" >"$W/err"; return 1; }
	L=$((n < 4 * COUNT ? 4 * COUNT - n : 0))
}

run_bpftrace() {
	begin stdbuf -oL bpftrace -e 'tracepoint:raw_syscalls:sys_enter, tracepoint:raw_syscalls:sys_exit { @ = count(); }'
	until_true grep -q Attaching "$W/out" && sleep 1 || return 1
	T=$(timed_dd)
	end
	L=-
	[ "$(num "$(awk '/^@:/ { print $2 }' "$W/out")")" -ge $((4 * COUNT)) ] || { echo 'it did not count the load' >"$W/err"; return 1; }
}

declare -A TITLE=(
	[bare]='bare'
	[kp]='kp-record, all kinds'
	[kp_sys]="kp-record -e 'sys.*'"
	[perf]="perf record -e 'raw_syscalls:*'"
	[bpftrace]='bpftrace, counting only'
)
TOOLS=(bare kp kp_sys perf bpftrace)

turns() {
	local i t
	for ((i = 1; i <= ROUNDS; i++)); do
		for t in "${TOOLS[@]}"; do
			[ -z "${SKIP[$t]-}" ] || continue
			progress "turn $i of $ROUNDS: ${TITLE[$t]}"
			T='' L=''
			if "run_$t" && [ -n "$T" ]; then
				echo "$T $L" >>"$W/$t.times"
			else
				end
				SKIP[$t]=$(tail -1 "$W/err" | cut -c1-100)
				SKIP[$t]=${SKIP[$t]:-it did not run}
			fi
		done
	done
}

# The turn that counts, "ns lost": the fastest of those that lost least, as dropping events is cheaper than writing them.
turn() { sort -k2,2n -k1,1n "$W/$1.times" | head -1; }
best() { turn "$1" | cut -d' ' -f1; }
lost() { turn "$1" | cut -d' ' -f2; }
median() { sort -n "$W/$1.times" | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }
added() { awk -v a="$1" -v b="$2" -v n=$((2 * COUNT)) 'BEGIN { printf "%.0f", (a - b) / n }'; }

time_table() {
	local t b0 m0 b
	b0=$(best bare) m0=$(median bare)
	printf '\n%-34s %9s %10s %8s %8s %10s\n' "dd bs=1, $((2 * COUNT)) system calls" 'ns/call' 'added ns' '(median)' 'ratio' 'lost'
	for t in "${TOOLS[@]}"; do
		if [ -n "${SKIP[$t]-}" ]; then
			printf '%-34s skipped: %s\n' "${TITLE[$t]}" "${SKIP[$t]}"
			continue
		fi
		b=$(best "$t")
		printf '%-34s %9s %10s %8s %8s %10s\n' "${TITLE[$t]}" "$(div "$b" $((2 * COUNT)) 0)" "$(added "$b" "$b0")" \
			"$(added "$(median "$t")" "$m0")" "$(div "$b" "$b0" 2)" "$(lost "$t")"
	done
}

# ---- bytes an event, and reading them again ----

# Files, pipes, sorting and a request with its answer over TCP, again and again.
write_load() {
	cat >"$W/echo.py" <<'PY'
import os, socket
s = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    c = socket.create_connection(s.getsockname())
    for i in range(3000):
        c.sendall(b"GET /item/%d HTTP/1.1\r\nX-Request-ID: r%d\r\n\r\n" % (i, i))
        c.recv(4096)
    os._exit(0)
c, _ = s.accept()
while c.recv(4096):
    c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
os.wait()
PY
	cat >"$W/load" <<'SH'
end=$(($(date +%s) + $1))
while [ "$(date +%s)" -lt "$end" ]; do
	find /usr/share -xdev -type f -newermt 2001-01-01 | sort -r | tail -1
	dd if=/dev/zero of="$2/file" bs=4k count=4000 status=none
	dd if="$2/file" bs=512 status=none | sort | wc -c
	python3 "$2/echo.py"
done >/dev/null 2>&1
SH
}

mixed() {
	local n bytes
	write_load
	progress "mixed load: kp-record"
	timeout $((LOAD_SECONDS * 6 + 60)) "$KP_BIN/kp-record" --cpu-budget off -o "$W/mixed.kp" -e 'sys.*,sched.switch,sched.wake' -- \
		sh "$W/load" "$LOAD_SECONDS" "$W" 2>"$W/err" || SKIP[mixed_kp]=$(tail -1 "$W/err")
	n=$(kp_events)
	if [ "${n:-0}" -gt 0 ]; then
		bytes=$(stat -c %s "$W/mixed.kp")
		MIXED[kp]="$n $bytes $(kp_lost)"
	fi
	[ -z "${SKIP[perf]-}" ] || { SKIP[mixed_perf]=${SKIP[perf]}; return; }
	progress "mixed load: perf record -z"
	timeout $((LOAD_SECONDS * 6 + 60)) perf record -q -z -m 4M -o "$W/mixed.data" -e 'raw_syscalls:*' -e sched:sched_switch \
		-e sched:sched_waking -- sh "$W/load" "$LOAD_SECONDS" "$W" 2>"$W/err" || SKIP[mixed_perf]=$(tail -1 "$W/err")
	n=$(perf_events "$W/mixed.data")
	[ "${n:-0}" -eq 0 ] || MIXED[perf]="$n $(stat -c %s "$W/mixed.data") -"
}

# rate COMMAND...: lines a second of what it prints, at most for 60 s
rate() {
	local t0 t1 n
	t0=$(date +%s%N)
	n=$(timeout 60 "$@" 2>/dev/null | head -n 1000000 | wc -l)
	t1=$(date +%s%N)
	div "$n" "$(div $((t1 - t0)) 1000000000 6)" 0
}

mixed_row() {	# TITLE KEY RATE
	local n bytes lost
	if [ -z "${MIXED[$2]-}" ]; then
		printf '%-34s skipped: %s\n' "$1" "${SKIP[mixed_$2]:-it recorded nothing}"
		return
	fi
	read -r n bytes lost <<<"${MIXED[$2]}"
	printf '%-34s %9s %10s %8s %8s %10s %12s\n' "$1" "$n" "$bytes" "$(div "$bytes" "$n" 2)" '' "$lost" "$3"
}

mixed_table() {
	local q='' s=''
	progress "reading them again"
	[ -z "${MIXED[kp]-}" ] || [ ! -x "$KP_BIN/kp-query" ] || q=$(rate "$KP_BIN/kp-query" -f json "$W/mixed.kp")
	[ -z "${MIXED[perf]-}" ] || s=$(rate perf script -i "$W/mixed.data")
	progress ''
	printf '\n%-34s %9s %10s %8s %8s %10s %12s\n' "mixed load, $LOAD_SECONDS s" 'events' 'bytes' 'bytes/ev' '' 'lost' 'read, rows/s'
	mixed_row 'kp-record; kp-query -f json' kp "$q"
	mixed_row 'perf record -z; perf script' perf "$s"
	QUERY_RATE=$q
}

# ---- all of it ----

# One line to keep: figures are worth nothing without the kind of machine.
line() {
	local kp='' n bytes lost
	[ -z "${MIXED[kp]-}" ] || { read -r n bytes lost <<<"${MIXED[kp]}"; kp=$(div "$bytes" "$n" 2); }
	printf '\n| date | machine | kp-record added ns/call | perf | bpftrace | kp bytes/event | kp-query rows/s |\n'
	printf '|---|---|---|---|---|---|---|\n'
	printf '| %s | %s CPUs, %s, Linux %s, %s | %s | %s | %s | %s | %s |\n' "$(date -u +%F)" "$(nproc)" "$(uname -m)" \
		"$(uname -r | cut -d. -f1,2)" "$(virtual)" "$(figure kp)" "$(figure perf)" "$(figure bpftrace)" "${kp:--}" "${QUERY_RATE:--}"
}
figure() { if [ -n "${SKIP[$1]-}" ]; then echo -; else added "$(best "$1")" "$(best bare)"; fi; }
virtual() { if grep -qw hypervisor /proc/cpuinfo; then echo virtual; else echo 'bare metal'; fi; }

look_around() {
	[ "$(id -u)" = 0 ] || die 'needs root, as recording does'
	[ -x "$KP_BIN/kp-record" ] || die "there is no kp-record in $KP_BIN: make tools"
	# a CPU for the load; recorders go where they like
	CPU=$(awk '/^Cpus_allowed_list/ { sub(/.*[,-]/, "", $2); print $2 }' /proc/self/status)
	if [ ! -e /sys/kernel/tracing/events/raw_syscalls ]; then
		if mount -t tracefs tracefs /sys/kernel/tracing 2>"$W/err"; then
			MOUNTED=yes
		else
			SKIP[perf]="no tracefs: $(head -1 "$W/err")" SKIP[bpftrace]="no tracefs"
		fi
	fi
	perf --version >/dev/null 2>&1 || SKIP[perf]='perf is missing, or not made for this kernel'
	awk -v cpus="$(nproc)" '$1 > cpus / 2 { print "bench: this machine is busy (load " $1 "): the figures will be, too" }' /proc/loadavg >&2
	command -v bpftrace >/dev/null || SKIP[bpftrace]='bpftrace is missing'
}

declare -A MIXED
QUERY_RATE=
look_around
turns
[ -s "$W/bare.times" ] || die 'dd did not run'
progress ''
time_table
mixed
mixed_table
line
[ -z "${SKIP[kp]-}" ] || die "kp-record: ${SKIP[kp]}"
