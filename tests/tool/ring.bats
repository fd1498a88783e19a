#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-record --ring, for real: bounds, kills, readers meanwhile, and whose directory it is.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	# A ring is filled and its rows are counted, on a busy machine: nothing may be left out for what it costs.
	record=$BATS_TEST_TMPDIR/record
	printf '#!/bin/sh\nexec "%s" --cpu-budget off "$@"\n' "$KP_BIN/kp-record" >"$record"
	chmod 755 "$record"
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
	if mountpoint -q small 2>/dev/null; then umount -l small; fi
	true
}

rows() { "$query" -q -f json "$@"; }
# ring OPTION...: a recorder in the background, in $rec
ring() {
	"$record" --ring r "$@" 2>err &
	rec=$!
	pids+=("$rec")
}
# Until it records: the first segment is there.
begun() {
	for _ in $(seq 100); do
		if compgen -G 'r/*.kp' >/dev/null; then return 0; fi
		sleep 0.05
	done
	cat err
	return 1
}
# Something to record, all kinds of it: load SECONDS [CALLS [REST]]
load() {
	local end=$((SECONDS + $1))
	while [ "$SECONDS" -lt "$end" ]; do
		dd if=/dev/zero of=/dev/null bs=1 count="${2:-100000}" 2>/dev/null
		ls -R /etc >/dev/null 2>&1
		sleep "${3:-0}"
	done
}

@test "without -d it records until a signal, and the ring is whole" {
	ring
	begun
	sleep 1.2
	/bin/true
	kill -TERM "$rec"
	wait "$rec"
	[[ $(cat err) == *" events, "*" lost" ]]
	"$query" --strict -q --info r | grep -A1 '^Whole' | grep -q yes
	[ "$(rows -e proc.exec r | grep -c '"/bin/true"\|/bin/true')" -ge 1 ]
}

@test "under load it keeps its size, and readers never fail" {
	local most=0 n
	ring --ring-size 4M
	begun
	load 4 &
	pids+=($!)
	(
		while :; do
			"$query" -q -f json -e 'proc.*' r >/dev/null || echo failed >>bad
			"$query" -q r >/dev/null || echo failed >>bad
			echo >>reads
		done
	) &
	reader=$!
	pids+=("$reader")
	for _ in $(seq 40); do
		n=$(du -s --block-size=1 r 2>/dev/null | cut -f1) # a file that goes meanwhile is no error
		[ "$n" -le "$most" ] || most=$n
		sleep 0.1
	done
	kill "$reader"
	wait "$reader" || true
	kill -TERM "$rec"
	wait "$rec"
	[ ! -e bad ]
	[ "$(wc -l <reads)" -ge 3 ]
	echo "at most $most bytes"
	# one segment is 256k
	[ "$most" -le $((4 * 1048576 + 262144)) ]
	# and it was full
	[ "$most" -ge $((3 * 1048576)) ]
	# what has gone was the oldest: what there is, is without holes
	"$query" --strict -q r >/dev/null
}

@test "no call is lost or told twice where one segment ends and the next begins" {
	local n lost=0 k
	"$record" -q --ring r --ring-age 16s -e 'sys.read' -- sh -c '
		for _ in $(seq 20); do dd if=/dev/zero of=/dev/null bs=1 count=5000 2>/dev/null; sleep 0.1; done'
	[ "$(find r -name '*.kp' | wc -l)" -ge 3 ]
	n=$(rows -e sys.read r | grep -c '"comm":"dd".*"count":1}')
	while read -r k; do lost=$((lost + k)); done < <(rows -e loss.kernel r | sed -E 's/.*"count":([0-9]+).*/\1/')
	echo "$n calls, $lost lost"
	[ "$n" -le 100000 ]
	[ $((n + lost)) -ge 100000 ]
}

@test "killed at any moment it can be read up to the last second, and goes on" {
	local last now f n=0
	load 20 100 0.05 &
	pids+=($!)
	for wait in 1.5 2.1 1.3 1.9 1.7; do
		ring -q --ring-size 16M
		sleep "$wait"
		kill -KILL "$rec"
		now=$(date +%s%N)
		wait "$rec" || true
		compgen -G 'r/*.kp' >/dev/null || continue
		f=$(find r -name '*.kp' | sort | tail -n 1)
		if [ "$f" = "${prev-}" ]; then continue; fi	# it was killed before it began
		prev=$f
		n=$((n + 1))
		# a second, and what the machine needed to get to it
		last=$(rows "$f" | tail -n 1 | sed -E 's/.*"time":"([^"]+)".*/\1/')
		# killed within its first second there may be none: then since it began
		[ -n "$last" ] || last=$(basename "$f" | sed -E 's/(....)(..)(..)T(..)(..)(..\.[0-9]+)Z.kp/\1-\2-\3T\4:\5:\6Z/')
		last=$(date -d "$last" +%s%N)
		echo "$f: $(((now - last) / 1000000)) ms"
		[ $((now - last)) -lt 2000000000 ]
	done
	[ "$n" -ge 3 ]
	for f in r/*.kp; do "$query" -q "$f" >/dev/null; done
	run -0 --separate-stderr "$query" -q r
	# all that was there is there still
	[ "$("$query" -q --info r | grep -c ' session ')" = "$n" ]
	# who begins now ends what was begun, and only that
	"$record" -q --ring r --ring-size 16M -d 0.3
	[ "$("$query" -q --info r | grep -c ' session ')" = $((n + 1)) ]
	[ -z "$(find r -name '.*.kp')" ]
}

@test "without its oldest segments the rest still knows names of processes, files and sockets" {
	local first
	sleep 60 9<"$ROOT/README.md" &
	pids+=($!)
	"${PYTHON:-python3}" -c '
import os, socket, time
s = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname()); a = s.accept()[0]
f = open("/etc/passwd")
while True:
    os.pread(f.fileno(), 10, 0); c.send(b"x"); a.recv(1); time.sleep(0.05)
' &
	pids+=($!)
	py=$!
	sleep 0.5
	"$record" -q --ring r --ring-size 64M --ring-age 16s -d 3.5
	first=$(find r -name '*.kp' | sort | head -n 1)
	[ "$(find r -name '*.kp' | wc -l)" -ge 3 ]
	rm "$first"
	for f in r/*.kp; do
		# all there is to know, in each of them alone
		rows "$f" | grep "\"pid\":$py," >seen
		[ "$(grep -c '"kind":"key.task"' seen)" -ge 1 ]
		grep '"kind":"sys.pread64"' seen | grep -q '/etc/passwd'
		grep '"kind":"tcp.send"' seen | grep -q '127.0.0.1'
		[ "$(grep '"kind":"sys.pread64"' seen | grep -vc '"comm":"python')" = 0 ]
		rows -e key.file "$f" | grep -q README.md
	done
	"$query" --strict -q r >/dev/null
}

@test "two recorders do not get in each other's way" {
	ring -q
	begun
	run -1 "$record" --ring r -d 1
	[[ $output == "kp-record: r: process $rec records there already" ]]
	kill -INT "$rec"
	wait "$rec"
	"$record" -q --ring r -d 0.2
}

@test "no link is followed" {
	mkdir -m 700 real r
	ln -s real link
	run -1 "$record" --ring link -d 0.2
	[[ $output == *"link"*"not followed"* ]]
	run -1 "$record" --ring link/ -d 0.2
	[ -z "$(ls -A real)" ]
	echo precious >victim
	ln -s ../victim r/lock
	run -1 "$record" --ring r -d 0.2
	[[ $output == *"r/lock: a link"* ]]
	rm r/lock
	# what has the name of a segment and is a link is nobody's segment, and what it leads to stays
	ln -s ../victim r/20200101T000000.000000Z.kp
	ln -s ../victim r/.20200101T000000.000000Z.kp
	"$record" -q --ring r --ring-size 1M -d 0.5
	[ "$(cat victim)" = precious ]
	chmod 770 r
	run -1 "$record" --ring r -d 0.2
	[[ $output == *"others may write"* ]]
}

@test "only the owner can read it, and a group with --group" {
	"$record" -q --ring r -d 0.3
	[ "$(stat -c %a r)" = 700 ]
	[ "$(stat -c %a r/*.kp r/lock | sort -u)" = 600 ]
	getent group adm >/dev/null || skip "no group adm"
	"$record" -q --ring g --group adm --ring-age 16s -d 1.5
	[ "$(stat -c %a:%G g)" = 750:adm ]
	[ "$(stat -c %a:%G g/*.kp | sort -u)" = 640:adm ]
	run -1 "$record" --ring g --group no-such-group -d 0.2
	[[ $output == *"no such group"* ]]
}

@test "on a full disk the oldest make room, and without any it is one line and a failure" {
	mkdir -m 700 small
	mount -t tmpfs -o size=4M,mode=700 none small || skip "no mount here"
	# an old one that takes nearly all
	head -c 3800k /dev/zero >small/20200101T000000.000000Z.kp
	load 4 20000 0.02 &
	pids+=($!)
	run -0 --separate-stderr "$record" --ring small --ring-size 1G --min-free 0 --ring-age 16s -d 3
	# shellcheck disable=SC2154
	[[ $stderr == *"No space left on device: the oldest segments make room"*" lost" ]]
	[ "$(printf '%s\n' "$stderr" | wc -l)" = 2 ]
	[ ! -e small/20200101T000000.000000Z.kp ]
	"$query" --strict -q small >/dev/null
	rm small/*.kp
	# not even a header fits
	head -c 5M /dev/zero >small/other 2>/dev/null || true
	run -1 --separate-stderr "$record" --ring small --ring-size 1G --min-free 0 -d 4
	[ "$(printf '%s\n' "$stderr" | wc -l)" = 1 ]
	[[ $stderr == *"No space left on device"* ]]
}

@test "--min-free leaves room for others" {
	mkdir -m 700 small
	mount -t tmpfs -o size=8M,mode=700 none small || skip "no mount here"
	# 8M less 70 % is 2.4M, less what is not ours is 1.4M: for neither of them
	head -c 1800k /dev/zero >small/20200101T000000.000000Z.kp
	head -c 1800k /dev/zero >small/20200101T000001.000000Z.kp
	head -c 1M /dev/zero >small/other
	"$record" -q --ring small --ring-size 1G --min-free 70% -d 0.5
	[ ! -e small/20200101T000000.000000Z.kp ]
	[ ! -e small/20200101T000001.000000Z.kp ]
	[ -s small/other ]
	"$query" --strict -q small >/dev/null
	head -c 1800k /dev/zero >small/20200101T000001.000000Z.kp
	"$record" -q --ring small --ring-size 1G --min-free 2M -d 0.5
	[ -s small/20200101T000001.000000Z.kp ]
}

@test "wrong options are one line and status 2 (anywhere)" {
	local line
	while read -r line; do
		# shellcheck disable=SC2086
		run -2 "$record" $line
		[ "${#lines[@]}" = 1 ]
	done <<-END
		--ring r -o x.kp
		--ring r --delimiter 0123456789abcdef
		--ring-size 2G
		--group adm
		--ring r --ring-size 1k
		--ring r --ring-age 1s
		--ring r --ring-age 5
		--ring r --min-free 95%
		--ring r --min-free lots
		--ring r --fsync often
	END
	[ ! -e r ]
}
