#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-record's profiles, and that it keeps to its CPU budget: what is left out is counted, told, and taken up again.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	record=$KP_BIN/kp-record
	query=$KP_BIN/kp-query
	cd "$BATS_TEST_TMPDIR" || return
	case $BATS_TEST_DESCRIPTION in
	*'(anywhere)') ;;
	*)
		[ "$(id -u)" = 0 ] || skip "recording needs root"
		[ -r /sys/kernel/btf/vmlinux ] || skip "this kernel has no BTF"
		;;
	esac
}

# rows FILE KINDS: as JSON, keyframes left out
rows() { "$query" -q -f json -e "$2" "$1" | { grep -v '"flags":[^]]*keyframe' || true; }; }
# total ROWS KIND...: sum of "count" of rows about these kinds, by number, but for unknown ones
total() {
	local f=$1
	shift
	awk -v want=" $* " '
		match($0, /"count":"?[0-9]+/) { n = substr($0, RSTART, RLENGTH); gsub(/[^0-9]/, "", n) }
		match($0, /"kind":[0-9]+/) { k = substr($0, RSTART + 7, RLENGTH - 7); if (index(want, " " k " ") && length(n) < 15) s += n }
		END { printf "%d\n", s }' "$f"
}
# seen FILE: reads and writes of dd: rows, those summed up, those lost or left out; in rows, sums, lost
seen() {
	rows "$1" 'sys.read,sys.write' >calls
	rows "$1" count.sys | grep '"comm":"dd"' >sums || true
	rows "$1" 'loss.*' >losses || true
	nrows=$(grep -c '"comm":"dd"' calls || true) nsums=$(total sums 4096 4097) nlost=$(total losses 0 4096 4097)
	unknown=$(grep -c '"count":"18446744073709551615"' losses || true)
	echo "$1: $nrows rows, $nsums summed up, $nlost lost or left out, $unknown times unknown"
}
steps() { rows "$1" budget.step; }

@test "profiles are those of the manual (anywhere)" {
	"$record" --profile help >have
	sed -nE 's/^\.It (Em )?(profile|light|default|full) Ta /\2 Ta /p' "$ROOT/man/kp-record.1" | sed -E 's/ Ta (Em )?/\t/g' >said
	diff <(cut -f 1-6 have) said
	[ "$(wc -l <said)" = 4 ]
	while read -r _ kinds; do
		[ "$kinds" = '*' ] || grep -qxF ".Dl $kinds" "$ROOT/man/kp-record.1"
	done < <(cut -f 1,7 have | sed 1d)
}

@test "a profile or a budget that is none is a mistake (anywhere)" {
	run -2 "$record" --profile heavy -d 1 -o f.kp
	[[ $output == *light*default*full*heavy* ]]
	for bad in 0 101 -1 2x nan 'off%' ''; do
		run -2 "$record" --cpu-budget "$bad" -d 1 -o f.kp
		[[ $output == *--cpu-budget* ]]
	done
}

@test "light: short calls are counted, exactly; errors and what is slow have rows" {
	N=200000
	for n in 0 $N; do
		"$record" -q --cpu-budget off --profile light -o "$n.kp" -- dd if=/dev/zero of=/dev/null bs=1 count="$n" 2>/dev/null
		seen "$n.kp"
		[ "$unknown" = 0 ]
		eval "all$n=$((nrows + nsums + nlost))"
	done
	# shellcheck disable=SC2154
	[ $((all200000 - all0)) = $((2 * N)) ]
	[ "$nrows" -lt 2000 ]
	# the sums hold what was read: a byte each
	rows $N.kp count.sys | grep '"comm":"dd"' | grep '"kind":4096,' | grep -q '"name":"sys.read"'
	"$record" -q --cpu-budget off --profile light -o e.kp -- sh -c 'for i in 1 2 3 4 5; do cat /no/such/$i; done; exec sleep 0.05' 2>/dev/null
	[ "$(rows e.kp sys.openat | grep -c '"ret":-2,.*/no/such/')" = 5 ]
	[ "$(rows e.kp 'sys.clock_nanosleep,sys.nanosleep' | grep -c '"comm":"sleep"')" = 1 ]
	[ "$(rows e.kp sched.wake | grep '"comm":"sleep"' | grep -c '"stack":')" -ge 1 ]
	[ "$(rows e.kp sys.close | wc -l)" -gt 5 ]
	[ "$(rows e.kp sched.migrate | wc -l)" = 0 ]
}

@test "what is asked for by -e or --min-dur is recorded as that says, whatever the profile" {
	"$record" -q --cpu-budget off --profile light -e sys.read -o f.kp -- dd if=/dev/zero of=/dev/null bs=1 count=1000 2>/dev/null
	[ "$(rows f.kp sys.read | grep -c '"comm":"dd"')" -ge 1000 ]
	"$record" -q --cpu-budget off --profile light --min-dur 1ns -o g.kp -- dd if=/dev/zero of=/dev/null bs=1 count=1000 2>/dev/null
	[ "$(rows g.kp sys.read | grep -c '"comm":"dd"')" -ge 1000 ]
	[ "$(rows g.kp count.sys | wc -l)" = 0 ]
}

@test "full takes stacks of programs in slow calls" {
	"$record" -q --cpu-budget off --profile full -o f.kp -- sleep 0.05
	[ "$(rows f.kp 'sys.clock_nanosleep,sys.nanosleep' | grep '"comm":"sleep"' | grep -c '"stack":\["0x')" = 1 ]
}

@test "without a budget nothing is left out, whatever it costs" {
	N=300000
	for n in 0 $N; do
		"$record" -q --cpu-budget off -e 'sys.read,sys.write' -o "$n.kp" -- dd if=/dev/zero of=/dev/null bs=1 count="$n" 2>/dev/null
		seen "$n.kp"
		[ "$nsums" = 0 ]
		eval "all$n=$((nrows + nlost))"
	done
	[ $((all300000 - all0)) = $((2 * N)) ]
	[ "$(rows $N.kp 'budget.step,loss.shed' | wc -l)" = 0 ]
}

@test "above the budget steps are taken, each call is accounted for, and when it is quiet all come back" {
	# Ten times what is the default, and calls of dd only: other tests that run beside must not count.
	timeout 40 "$record" -q --cpu-budget 20% -e 'sys.*' -o f.kp -- sh -c 'sleep 1; timeout 2 dd if=/dev/zero of=/dev/null bs=1; sleep 10' 2>/dev/null
	seen f.kp
	steps f.kp
	[ "$nsums" -gt 10000 ]
	steps f.kp | grep -v '"open"' >taken
	[ "$(head -1 taken | grep -c '"on":1,"step":1,')" = 1 ]
	# why: more was used than there is
	grep '"on":1' taken | sed -E 's/.*"used":([0-9]+),"budget":([0-9]+).*/\1 \2/' | awk '$2 != 200000000 || $1 <= $2 { exit 1 }'
	# they were taken back, the last one first, and it is said for how long they held
	last=$(sed -nE '/"on":0/q; s/.*"on":1,"step":([0-9]+),.*/\1/p' taken | tail -1)
	[ "$(grep '"on":0' taken | head -1 | grep "\"step\":$last," | grep -c '"dur":[0-9]\{9,\}')" = 1 ]
	# where hooks were off, it is said
	if grep -q '"step":4,' taken; then [ "$unknown" -gt 0 ]; else [ "$unknown" = 0 ]; fi
}

@test "a load that summing up makes cheaper is counted to the last call, unless hooks are off" {
	# reads and writes in portions, 60000 calls a second, and says how many
	cat >paced.py <<-'END'
		import os, time
		z, n, n1 = os.open('/dev/zero', os.O_RDONLY), os.open('/dev/null', os.O_WRONLY), 0
		end = time.monotonic() + 4
		while time.monotonic() < end:
		    for i in range(300):
		        os.write(n, os.read(z, 1))
		    n1 += 300
		    time.sleep(0.01)
		print(n1)
	END
	"$record" -q --cpu-budget 1% -o f.kp -e 'sys.*' -- sh -c 'exec python3 paced.py >n' 2>/dev/null
	n=$(cat n)
	rows f.kp sys.write | grep -c '"comm":"python3".*/dev/null' >rows.n || true
	rows f.kp count.sys | grep '"comm":"python3"' >sums || true
	rows f.kp 'loss.*' >losses || true
	got=$(($(cat rows.n) + $(total sums 4097) + $(total losses 0 4097)))
	echo "$n writes: $(cat rows.n) rows, $(total sums 4097) summed up, $(total losses 0 4097) lost or left out"
	steps f.kp
	[ "$(total sums 4097)" -gt 0 ]
	# what else it writes, where that is summed up, too: its own start and the number; calls are missing only where hooks were off
	if grep -q '"count":"18446744073709551615"' losses; then [ "$got" -le $((n + 100)) ]; else [ "$got" -ge "$n" ] && [ "$got" -le $((n + 100)) ]; fi
}
