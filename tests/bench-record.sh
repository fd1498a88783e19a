#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# What a recorder that runs all the time costs those beside it: switches, services, a mixed load, and a load that is
# hard to record. Measured side by side in one run, in turns; medians. Needs root. For system calls see bench.sh.
#
#   KP_BIN=DIR   the tools           STORM=PROGRAM  the hard load (built from tests/tool/storm.c)
#   ROUNDS=5     turns               SERVICE=5      seconds of each service in each turn
#   MIXED=15     seconds of mixed load              HARD=60  seconds of the hard one
#   REDIS_PORT=26379  where nobody listens
set -u
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
KP_BIN=$(realpath -m "${KP_BIN:-$root/build/bin}")
STORM=$(realpath -m "${STORM:-$root/build/tests/storm}")
ROUNDS=${ROUNDS:-5} SERVICE=${SERVICE:-5} MIXED=${MIXED:-15} HARD=${HARD:-60} REDIS_PORT=${REDIS_PORT:-26379}
export LC_ALL=C

W=$(mktemp -d "${TMPDIR:-/tmp}/kp-bench.XXXXXX") || exit 1
MOUNTED=no PG='' REDIS=''
# shellcheck source-path=SCRIPTDIR
. "$root/tests/benchlib.sh"
leave() {
	end
	pg_stop
	[ -z "$REDIS" ] || { kill "$REDIS"; wait "$REDIS"; } 2>/dev/null
	[ $MOUNTED = no ] || umount /sys/kernel/tracing
	progress ''
	rm -rf "$W"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }
ratio() { div "$1" "$2" 3; }

# What a recorder has used, before it is ended: "CPU seconds, MiB at most"
used() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.2f ", ($12 + $13) / hz }' "/proc/$REC/stat" 2>/dev/null || printf -- '- '
	awk '/^VmHWM/ { printf "%.0f\n", $2 / 1024 }' "/proc/$REC/status" 2>/dev/null || echo -
}

kp() {	# OPTIONS...: a recorder, ready
	rm -f "$W/x.kp"
	begin "$KP_BIN/kp-record" "${BUDGET[@]}" -o "$W/x.kp" "$@"
	until_true test -s "$W/x.kp" && sleep 0.3
}

# ---- switches ----

pipe_bench() { "$@" taskset -c "$CPU" perf bench -f simple sched pipe -l 400000 2>/dev/null | awk '/^[0-9.]+$/ { print }'; }

switches() {
	local i b k p
	for ((i = 1; i <= ROUNDS; i++)); do
		progress "switches, turn $i of $ROUNDS"
		pipe_bench env >>"$W/pipe.bare"
		kp -e 'sched.*' && pipe_bench env >>"$W/pipe.kp"
		end
		pipe_bench perf record -q -m 4M -o "$W/x.data" -e sched:sched_switch -e sched:sched_waking -- >>"$W/pipe.perf"
		rm -f "$W/x.data"
	done
	b=$(median <"$W/pipe.bare") k=$(median <"$W/pipe.kp") p=$(median <"$W/pipe.perf")
	printf '\n%-44s %10s %10s\n' 'perf bench sched pipe, one CPU' 'seconds' 'to bare'
	printf '%-44s %10s %10s\n' 'bare' "$b" '1.000' "kp-record -e 'sched.*', late stacks" "$k" "$(ratio "$k" "$b")" \
		'perf record, switch and waking, no stacks' "$p" "$(ratio "$p" "$b")"
}

# ---- services ----

as_postgres() { setpriv --reuid postgres --regid postgres --init-groups env -C / LC_ALL=C "$@"; }

pg_start() {
	local d
	for d in /usr/lib/postgresql/*/bin /usr/bin; do [ ! -x "$d/initdb" ] || PGBIN=$d; done
	[ -n "${PGBIN:-}" ] && command -v pgbench >/dev/null && id postgres >/dev/null 2>&1 || return 1
	chmod 711 "$W"
	install -d -o postgres "$W/pg"
	as_postgres "$PGBIN/initdb" -D "$W/pg" -A trust -N >"$W/pg.log" 2>&1 || return 1
	as_postgres "$PGBIN/pg_ctl" -D "$W/pg" -l "$W/pg/log" -w -o "-k $W/pg -c listen_addresses=" start >>"$W/pg.log" 2>&1 </dev/null || return 1
	PG=yes
	as_postgres pgbench -h "$W/pg" -i -q -s 10 postgres >>"$W/pg.log" 2>&1
}

pg_stop() { [ -z "$PG" ] || as_postgres "$PGBIN/pg_ctl" -D "$W/pg" -w -m immediate stop >/dev/null 2>&1; }

redis_start() {
	local i
	command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null || return 1
	! redis-cli -p "$REDIS_PORT" ping >/dev/null 2>&1 || die "somebody listens on port $REDIS_PORT: set REDIS_PORT"
	redis-server --bind 127.0.0.1 --port "$REDIS_PORT" --save '' --appendonly no >"$W/redis.log" 2>&1 &
	REDIS=$!
	for ((i = 0; i < 50; i++)); do redis-cli -p "$REDIS_PORT" ping >/dev/null 2>&1 && return 0; sleep 0.1; done
	return 1
}

# transactions, requests a second
run_pgbench() { as_postgres pgbench -h "$W/pg" -c 4 -T "$SERVICE" postgres 2>/dev/null | awk '/^tps/ { print $3 }'; }
run_redis() { redis-benchmark -p "$REDIS_PORT" -c 50 -n $((SERVICE * 20000)) -t get --csv 2>/dev/null | awk -F'"' '/GET/ { print $4 }'; }

# service NAME: in turns bare and with each profile
service() {
	local i name=$1 m
	for ((i = 1; i <= ROUNDS; i++)); do
		progress "$name, turn $i of $ROUNDS"
		"run_$name" >>"$W/$name.bare"
		for m in "${MODES[@]}"; do
			# shellcheck disable=SC2086
			kp ${m#default} && "run_$name" >>"$W/$name.${m##* }"
			end
			kp_lost >>"$W/$name.${m##* }.lost"
		done
	done
	m=$(median <"$W/$name.bare")
	printf '%-44s %10s %10s %10s\n' "$name, bare" "$m" '1.000' -
	for i in "${MODES[@]}"; do
		printf '%-44s %10s %10s %10s\n' "$name, kp-record${i#default}" "$(median <"$W/$name.${i##* }")" \
			"$(ratio "$(median <"$W/$name.${i##* }")" "$m")" "$(median <"$W/$name.${i##* }.lost")"
	done
}

services() {
	printf '\n%-44s %10s %10s %10s\n' "services, $SERVICE s a turn" 'per second' 'to bare' 'lost'
	if pg_start; then service pgbench; else echo 'pgbench: skipped, no PostgreSQL'; fi
	if redis_start; then service redis; else echo 'redis: skipped, no Redis'; fi
}

# ---- mixed ----

# Compilers, a database, a key-value store and, where it is there, stress-ng, for MIXED seconds.
mixed_load() {
	local pids=() p
	(cd "$root" && until_time "$MIXED" compile) >/dev/null 2>&1 &
	pids+=($!)
	[ -z "$PG" ] || { as_postgres pgbench -h "$W/pg" -c 2 -R 300 -T "$MIXED" postgres >/dev/null 2>&1 & pids+=($!); }
	[ -z "$REDIS" ] || { until_time "$MIXED" redis-benchmark -p "$REDIS_PORT" -c 10 -n 20000 -t get,set -q >/dev/null 2>&1 & pids+=($!); }
	! command -v stress-ng >/dev/null || { stress-ng -q --hdd 1 --pipe 1 --hdd-bytes 64m --temp-path "$W" -t "$MIXED" >/dev/null 2>&1 & pids+=($!); }
	for p in "${pids[@]}"; do wait "$p"; done
}

compile() {
	local f
	for f in lib/*/*.c; do cc -Iinclude -Ilib -I. -D_GNU_SOURCE -fsyntax-only "$f"; done
}

until_time() {	# SECONDS COMMAND...: again and again
	local end=$((SECONDS + $1))
	shift
	while [ $SECONDS -lt $end ]; do "$@"; done
}

# Sleeps of 1 ms and more of which both stacks are there, in per cent.
stacks() {
	"$KP_BIN/kp-query" -q -f json -w 'kind == "sched.wake" && dur >= 1ms' "$1" |
		awk '{ n++ } /"stack":/ && /"stack2":/ { both++ } END { if (n) printf "%.2f", 100 * both / n; else print "-" }'
}

mixed() {
	local u n bytes
	progress 'mixed load: kp-record'
	kp
	mixed_load
	u=$(used)
	end
	n=$(kp_events) bytes=$(stat -c %s "$W/x.kp")
	printf '\n%-30s %9s %10s %9s %7s %6s %6s %9s\n' "mixed load, $MIXED s" events bytes bytes/ev lost 'CPU s' MiB 'stacks %'
	# shellcheck disable=SC2086
	printf '%-30s %9s %10s %9s %7s %6s %6s %9s\n' 'kp-record' "$n" "$bytes" "$(div "$bytes" "$n" 2)" "$(kp_lost)" $u "$(stacks "$W/x.kp")"
	rm -f "$W/x.kp"
	progress 'mixed load: perf record -z'
	begin perf record -q -z -a -m 4M -o "$W/x.data" -e 'raw_syscalls:*' -e sched:sched_switch -e sched:sched_waking \
		-e 'block:block_rq_*' -e 'sock:sock_send_length' -e 'sock:sock_recv_length'
	sleep 1
	mixed_load
	u=$(used)
	end
	n=$(num "$(perf_events "$W/x.data")") bytes=$(stat -c %s "$W/x.data" 2>/dev/null || echo 0)
	# shellcheck disable=SC2086
	printf '%-30s %9s %10s %9s %7s %6s %6s %9s\n' 'perf record -z, most of these' "$n" "$bytes" "$(div "$bytes" "$n" 2)" - $u -
	rm -f "$W/x.data"
}

# ---- hard to record ----

hard() {
	local dd did u n
	[ -x "$STORM" ] || { echo 'storm: skipped, it is not built'; return; }
	progress "200 threads, 1000 programs a second, dd: $HARD s"
	kp
	timeout "$HARD" dd if=/dev/zero of=/dev/null bs=1 2>/dev/null &
	dd=$!
	did=$(cd "$W" && "$STORM" "$HARD")
	wait $dd
	u=$(used)
	end
	n=$(kp_events)
	printf '\n%-44s %10s %10s %10s %6s %6s\n' "storm and dd, $HARD s" 'events' 'a second' 'lost' 'CPU s' MiB
	# shellcheck disable=SC2086
	printf '%-44s %10s %10s %10s %6s %6s\n' "kp-record (hand-overs, programs: $did)" "$n" "$(div "$n" "$HARD" 0)" "$(kp_lost)" $u
}

look_around() {
	[ "$(id -u)" = 0 ] || die 'needs root, as recording does'
	[ -x "$KP_BIN/kp-record" ] || die "there is no kp-record in $KP_BIN: make tools"
	perf --version >/dev/null 2>&1 || die 'perf is missing, or not made for this kernel'
	CPU=$(awk '/^Cpus_allowed_list/ { sub(/.*[,-]/, "", $2); print $2 }' /proc/self/status)
	if [ ! -e /sys/kernel/tracing/events/raw_syscalls ]; then
		mount -t tracefs tracefs /sys/kernel/tracing 2>"$W/err" || die "no tracefs: $(head -1 "$W/err")"
		MOUNTED=yes
	fi
	# what sheds load is switched off: these are figures of everything recorded
	BUDGET=() MODES=(default)
	if "$KP_BIN/kp-record" --help | grep -q -- --cpu-budget; then BUDGET=(--cpu-budget off); fi
	if "$KP_BIN/kp-record" --help | grep -q -- --profile; then MODES+=(' --profile light'); fi
	awk -v cpus="$(nproc)" '$1 > cpus / 2 { print "bench: this machine is busy (load " $1 "): the figures will be, too" }' /proc/loadavg >&2
}

look_around
switches
services
mixed
hard
