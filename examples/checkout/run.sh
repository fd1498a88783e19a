#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# A checkout fails at night: which job did it? Sets up a shop, breaks it, records
# it with kprobe and lets kprobe say why. Cleans up after itself.
#
#   FAULT=memory|cpu|disk|lock|none   what goes wrong (memory)
#   N=2000     checkouts at most         SEED=n     makes ids and items (random)
#   NO_RECORD=1  without kprobe          AFTER=1    measures again after the fault
#   WITNESS=0|1|strict  compare with the kernel's delay accounting (1)
#   KP_BIN=dir the tools                 OUT=dir    results: why.svg, why.json, checkout.kp
#   LIMIT_MB READ_IOPS READS CONNS PAUSE  the world, see faults.sh
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KP_BIN=$(realpath -m "${KP_BIN:-$HERE/../../build/bin}")
EX=$(realpath -m "${EX:-$KP_BIN/../examples/checkout}")
OUT=$(realpath -m "${OUT:-$KP_BIN/../demo}")
FAULT=${FAULT:-memory}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
CONNS=${CONNS:-2} PAUSE=${PAUSE:-20}
PATH=$PATH:/usr/sbin:/sbin

# A place for temporary files that the database's user can reach, too: $TMPDIR may be private.
for W in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
	W=$(mktemp -d "$W/kpdemo.XXXXXX")
	chmod 755 "$W"
	if [ "$(id -u)" != 0 ] || ! id postgres >/dev/null 2>&1; then break; fi
	! setpriv --reuid postgres --clear-groups test -x "$W" || break
	rmdir "$W"
done
LOGS=$W/logs
mkdir -p "$LOGS" "$OUT"

# shellcheck source=lib.sh
. "$HERE/lib.sh"
# shellcheck source=cgroups.sh
. "$HERE/cgroups.sh"
# shellcheck source=disk.sh
. "$HERE/disk.sh"
# shellcheck source=postgres.sh
. "$HERE/postgres.sh"
# shellcheck source=faults.sh
. "$HERE/faults.sh"
# shellcheck source=pipeline.sh
. "$HERE/pipeline.sh"

# What we started ends with us, on any way out.
WATCHDOG=''
leave() {
	local rc=$?
	set +e
	trap '' INT TERM HUP PIPE
	trap - EXIT
	[ -z "$WATCHDOG" ] || kill "$WATCHDOG"
	undo_all
	if [ "$rc" != 0 ]; then
		rm -rf "$OUT/logs"
		cp -r "$LOGS" "$OUT/logs" && printf 'demo: logs are in %s\n' "$OUT/logs" >&2
	fi
	rm -rf --one-file-system "$W" || true
	exit "$rc"
}
trap leave EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

need() {
	local c
	for c; do
		command -v "$c" >/dev/null || die "$c is missing; apt-get install postgresql libpq-dev gcc util-linux e2fsprogs"
	done
}

# build_programs NAME...: the small programs, for who starts this script without make.
build_programs() {
	local p libs
	mkdir -p "$EX"
	for p; do
		[ "$EX/$p" -nt "$HERE/$p.c" ] && continue
		case $p in
		api-worker) libs='-lpq -pthread' ;;
		verdict) libs='-ljansson -lm' ;;
		*) libs='-pthread' ;;
		esac
		# shellcheck disable=SC2086
		run "${CC:-cc}" -O2 -g -Wall -Wextra -std=gnu11 "$HERE/$p.c" -o "$EX/$p" $libs
	done
}

witness_before() {
	local f=/proc/sys/kernel/task_delayacct
	[ "${WITNESS:-1}" != 0 ] && [ -e "$f" ] || return 0
	# must be on before the database's processes are made
	[ "$(cat "$f")" = 1 ] || undo sysctl -q kernel.task_delayacct=0
	run sysctl kernel.task_delayacct=1
}

witness_start() {
	rm -f "$OUT/witness.csv"
	[ "${WITNESS:-1}" != 0 ] && [ "$(cat /proc/sys/kernel/task_delayacct 2>/dev/null)" = 1 ] || return 0
	local tids
	mapfile -t tids < <(pg_backends)
	start - witness "$EX/witness" -o "$OUT/witness.csv" "${tids[@]}"
	WITNESS_PID=$STARTED
}

# failed_first: the request to explain, as soon as it is known
failed_first() { awk '$4 != 200 { print $1; exit }' "$OUT/load.log"; }

# The recording goes on until the database has answered to what had failed by then, so that it holds when that was.
await_late_answer() {
	local id
	id=$(failed_first)
	[ -z "$id" ] || until_true 60 grep -q "^api-worker: $id: " "$LOGS/api" || note "no answer of the database to $id yet"
}

# figures TEXT: p50 and slowest of the log lines on stdin
figures() {
	awk '{ print $3, $4 }' | sort -n | awk -v what="$1" '
		{ t[NR] = $1; if ($2 != 200) bad++ }
		END { if (NR) printf "  %-14s %4d checkouts, %d failed; p50 %.1f ms, slowest %.1f ms\n", what, NR, bad, t[int((NR + 1) / 2)], t[NR] }'
}

loadgen() {	# SUFFIX-OF-SEED OPTIONS...
	local s=$1
	shift
	"$EX/loadgen" --port "$PORT" -c "$CONNS" --pause "$PAUSE" --seed "$SEED$s" "$@"
}

main() {
	fault_plan
	step "the shop: database, service, customers (FAULT=$FAULT SEED=$SEED)"
	need psql setpriv losetup mkfs.ext4 awk
	build_programs api-worker loadgen batch witness verdict
	cg_setup
	disk_setup
	fault_prepare
	pg_setup
	disk_remount
	cg_limit_memory db "$LIMIT_MB"
	witness_before
	bystanders_before
	pg_start
	pg_warm "$WARM"
	cg_limit_reads db "$(disk_number)" "$READ_IOPS"

	PORT=$(free_port)
	start - api ${PIN:+taskset -c "$PIN"} "$EX/api-worker" --port "$PORT" --workers 4 --timeout 750ms --reads "$READS" --items "$ITEMS" \
		--prices "$W/prices" --seed "$SEED" --db "host=127.0.0.1 port=$PG_PORT user=postgres dbname=postgres sslmode=disable gssencmode=disable application_name=api-worker"
	until_true 100 port_in_use "$PORT" || die "api-worker does not start: $(tail -1 "$LOGS/api")"
	loadgen 0 -n 80 -c 4 --pause 0 --label '  warm-up' --log "$OUT/warm.log"
	note "the group has $(cg_memory_mb db) of $LIMIT_MB MB"

	step 'recording'
	witness_start
	[ -n "${NO_RECORD:-}" ] || record_start
	rm -f "$OUT/load.log"
	show "loadgen --port $PORT -c $CONNS --pause $PAUSE -n $N --until-failure &"
	loadgen 1 -n "$N" --until-failure --max-seconds 16 --log "$OUT/load.log" >"$LOGS/load" 2>&1 &
	local load=$! before=0
	undo finish "$load"
	bystanders_now
	if [ "$FAULT" != none ]; then
		sleep 2
		before=$(wc -l <"$OUT/load.log")
		step "something goes wrong: $FAULT"
		fault_start
	fi
	wait "$load" || die "loadgen failed: $(tail -1 "$LOGS/load")"
	await_late_answer
	[ -n "${NO_RECORD:-}" ] || record_stop
	[ -z "${WITNESS_PID:-}" ] || finish "$WITNESS_PID" INT
	note "the group has $(cg_memory_mb db) of $LIMIT_MB MB"
	[ -z "$CULPRIT" ] || kill -0 "$CULPRIT" || die "the batch job ended early: $(tail -1 "$LOGS/batch")"
	if [ "$before" -gt 0 ]; then head -n "$before" "$OUT/load.log" | figures 'before:'; fi
	tail -n +$((before + 1)) "$OUT/load.log" | figures "${CULPRIT:+with the fault:}"
	grep "^api-worker: $(failed_first): " "$LOGS/api" | sed 's/^/  /' || true
	if [ -n "${AFTER:-}" ]; then
		[ -z "$CULPRIT" ] || finish "$CULPRIT"
		cg_limit_reads db "$(disk_number)" 100000
		pg_warm 100
		cg_limit_reads db "$(disk_number)" "$READ_IOPS"
		loadgen 2 -n 20 --log /dev/null >/dev/null
		loadgen 3 -n 60 --label '  after' --log "$OUT/after.log"
	fi

	REQUEST=$(failed_first)
	if [ -z "$REQUEST" ]; then
		REQUEST=$(sort -k3,3nr "$OUT/load.log" | awk 'NR == 1 { print $1 }')
	fi
	step "the request to explain: $(grep "^$REQUEST " "$OUT/load.log")"
}

rm -f "$OUT"/*.log "$OUT"/why.*
# never longer than that, whatever hangs (read waits without a child that would be left over)
(trap - INT TERM EXIT; read -rt 90 <> <(:) || kill -TERM $$) >/dev/null 2>&1 &
WATCHDOG=$!
disown
N=${N:-$([ "$FAULT" = none ] && echo 200 || echo 2000)}
REQUEST='' WHY_NOT=''

if [ -z "${NO_RECORD:-}" ]; then
	if ! can_record; then
		explain_shipped
		exit
	fi
fi
if [ "$(id -u)" != 0 ]; then die "needs root: loop devices, control groups"; fi
if ! cg_find; then
	# shellcheck disable=SC2034 # explain_shipped says it
	WHY_NOT="no memory and block I/O control groups"
	explain_shipped
	exit
fi
pg_find || die 'PostgreSQL is missing; apt-get install postgresql libpq-dev'
main
undo_all	# the shop is not needed any more
[ -z "${NO_RECORD:-}" ] || exit 0
step 'why'
[ -z "${SHIP:-}" ] || ship
explain "$OUT/checkout.kp" "$REQUEST"
step 'verdict'
judge
note "results are in $OUT: why.svg why.json checkout.kp"
