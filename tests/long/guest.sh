#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The first process of a small machine that kernels.bats starts: provokes events and looks whether they were recorded.
# Says "KP ok NAME", "KP not ok NAME: why" on the console; KP done at the end.
export PATH=/bin:/sbin LD_LIBRARY_PATH=/lib HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cg /sys/fs/cgroup
echo 1 >/proc/sys/kernel/printk
cd /tmp || exit 1
while read -r m; do insmod "/mod/$m"; done </modules
ip link set lo up

# rows FILE KINDS: as JSON, without those that say how everything was
rows() { kp-query -q -f json -e "$2" "$1" | grep -v '"flags":[^]]*keyframe'; }
# some NAME COUNT MIN [MAX]: was it seen often enough, and not too often?
some() {
	if [ "$2" -ge "$3" ] && [ "$2" -le "${4:-$2}" ]; then echo "KP ok $1"; else echo "KP not ok $1: $2, not $3${4:+ to $4}"; fi
}

calls() {
	kp-record -o r.kp -- dd if=/dev/zero of=/dev/null bs=1 count=1000 2>said
	some 'recording ends well' "$(grep -c ' 0 lost' said)" 1
	[ -s r.kp ] || cat said
	some 'calls of dd' "$(rows r.kp sys.read | grep '"fd":0,' | grep -c '"ret":1,')" 1000 1000
	some 'what descriptors refer to' "$(rows r.kp sys.read | grep '"fd":0,' | grep -c '"name":"/dev/zero"')" 1000 1000
	some 'exec' "$(rows r.kp proc.exec | grep -c '"comm":"dd"')" 1 1
	some 'exit' "$(rows r.kp proc.exit | grep -c '"comm":"dd"')" 1 1
	kp-query -q --info r.kp | sed -n '/^Event sources/,/^$/p' | grep 'not recorded' | sed 's/^/KP missing/'
}

sleeps() {
	kp-record -q -o s.kp -- sh -c 'sleep 0.05; sleep 0.05; true & wait'
	some 'sleeps with their stacks' "$(rows s.kp sched.wake | grep '"comm":"sleep"' | grep '"stack":' | grep -c nanosleep)" 2
	some 'wakers with their stacks' "$(rows s.kp sched.wake | grep '"comm":"sleep"' | grep '"stack2":\["try_to_wake_up' | grep -c hrtimer)" 2
	some 'switches' "$(rows s.kp sched.switch | grep -c '"comm":"sleep"')" 2
	some 'fork' "$(rows s.kp proc.fork | grep -c '"comm":"sh"')" 3 4
}

hangs() {
	mkfifo never
	sh -c 'read -r x <>never' &
	p=$!
	sleep 0.2
	kp-record -q -d 1 -o h.kp
	kill $p
	some 'who hangs' "$(rows h.kp sched.sleep | grep "\"pid\":$p," | grep '"open"' | grep -c '"stack":')" 1
	some 'in which call' "$(rows h.kp 'sys.*' | grep "\"pid\":$p," | grep '"open"' | grep -c '"inferred"')" 1
}

talks() {
	printf 'GET /item HTTP/1.1\r\nX-Request-ID: k-1\r\n\r\n' >ask
	kp-record -q -o t.kp -- sh -c 'nc -l -p 8080 </dev/null >got & sleep 0.3; nc 127.0.0.1 8080 <ask; wait'
	rows t.kp tcp.send | grep k-1 | sed 's/.*"pos":\([0-9]*\).*/\1/' >sent
	rows t.kp tcp.recv | grep k-1 | sed 's/.*"pos":\([0-9]*\).*/\1/' >received
	some 'messages' "$(grep -c . sent)" 1
	some 'both ends at one position' "$(grep -cxf sent received)" 1
	some 'connections' "$(rows t.kp 'tcp.connect,tcp.accept' | wc -l)" 2
	some 'states' "$(rows t.kp tcp.state | wc -l)" 4
}

disk() {
	mkdir -p /mnt
	mount -t ext4 /dev/vda /mnt || { echo 'KP not ok disk: no /dev/vda'; return; }
	kp-record -q -o w.kp -- dd if=/dev/zero of=/mnt/f bs=1M count=64 conv=fsync 2>said
	some 'writes to the device' "$(rows w.kp blk.write | wc -l)" 1
	some 'fsync' "$(rows w.kp sys.fsync | grep -c '/mnt/f')" 1 1
	some 'fsync in ext4' "$(rows w.kp fs.sync | wc -l)" 1
	umount /mnt
	mount -t ext4 /dev/vda /mnt
	kp-record -q -o d.kp -- dd if=/mnt/f of=/dev/null bs=1M 2>said
	some 'reads, and whose' "$(rows d.kp blk.read | grep -c '"comm":"dd"')" 16
}

memory() {
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p /sys/fs/cgroup/small
	echo 16M >/sys/fs/cgroup/small/memory.max
	umount /mnt && mount -t ext4 /dev/vda /mnt	# nothing of the file is in memory
	kp-record -q -o m.kp -- sh -c 'echo 0 >/sys/fs/cgroup/small/cgroup.procs
		dd if=/mnt/f of=/dev/null bs=64k; dd if=/mnt/f of=/dev/null bs=64k' 2>said
	some 'reclaim' "$(rows m.kp mm.reclaim | grep -c '"comm":"dd"')" 1
	some 'pages read again' "$(rows m.kp mm.refault | grep '"comm":"dd"' | grep -c '/mnt/f')" 1
	some 'limits' "$(rows m.kp cg.limit | grep small | grep -c '"limit":16777216')" 1
	some 'counters' "$(rows m.kp 'count.*' | grep -c '"comm":"dd"')" 1
	kp-record -q -o k.kp -- sh -c 'echo 0 >/sys/fs/cgroup/small/cgroup.procs; tail /dev/zero' 2>said
	some 'killed for want of memory' "$(rows k.kp 'mm.oom*' | wc -l)" 1
}

# The whole machine runs out of memory: what the kernel's own tracing says of it is the second witness.
pressure() {
	t=/sys/kernel/tracing
	mount -t tracefs tr $t
	for e in throttled kswapd_wake kswapd_sleep; do echo 1 >$t/events/vmscan/mm_vmscan_$e/enable; done
	kp-record -q -e 'mm.*' --all -o p.kp -- sh -c 'dd if=/mnt/f of=/dev/null bs=1M; tail /dev/zero' 2>said
	cat $t/trace >traced
	rows p.kp mm.kswapd >slept
	some 'kswapd runs' "$(grep -c . slept)" 1 "$(grep -c kswapd_sleep: traced)"
	some 'kswapd runs on this node' "$(grep -vc '"nid":0,' slept)" 0 0
	sed -n 's/.*mm_vmscan_throttled: nid=.* usec_timeout=\([0-9]*\) usect\?_delayed=\([0-9]*\) .*/\1000 \2000/p' traced | sort >want
	rows p.kp mm.throttled | sed 's/.*"dur":\([0-9]*\),.*"timeout":\([0-9]*\).*/\2 \1/' | sort >got
	some 'who is held back in reclaim, and how long' "$(cmp -s want got && echo 1)" 1
	some 'killed for want of memory in all' "$(rows p.kp mm.oom | grep '"peer"' | grep -c '"comm":"tail"')" 1
}

filters() {
	kp-record -q -e 'sys.read' --comm dd -o f.kp -- sh -c 'dd if=/dev/zero of=/dev/null count=50; cat /init >/dev/null' 2>said
	some 'by name' "$(rows f.kp sys.read | grep -vc '"comm":"dd"')" 0 0
	some 'by name, all of it' "$(rows f.kp sys.read | grep -c '"fd":0,')" 50
	kp-record -q --min-dur 40ms -e 'sys.*' -o g.kp -- sh -c 'sleep 0.05; cat /init >/dev/null'
	some 'by duration' "$(rows g.kp sys.openat | wc -l)" 0 0
	some 'by duration, the long' "$(rows g.kp 'sys.clock_nanosleep,sys.nanosleep' | wc -l)" 1 1
}

budget() {
	kp-record -q --profile light -o l.kp -- dd if=/dev/zero of=/dev/null bs=1 count=1000 2>said
	n=$(rows l.kp count.sys | grep '"comm":"dd"' | sed -nE 's/.*"kind":4096,"count":([0-9]+).*/\1/p' | awk '{ s += $1 } END { print s + 0 }')
	some 'calls summed up' "$n" 900
	some 'those and the slow ones' "$((n + $(rows l.kp sys.read | grep -c '"comm":"dd"')))" 1000 1010
	# an emulated machine uses less than that when it is quiet, and more while dd runs
	/lib/kp-record -q --cpu-budget 20 -d 20 -o b.kp 2>said &
	until [ -s b.kp ]; do sleep 0.2; done
	timeout 6 dd if=/dev/zero of=/dev/null bs=1 2>/dev/null
	wait
	some 'steps down' "$(rows b.kp budget.step | grep -c '"on":1,')" 1
	some 'steps up' "$(rows b.kp budget.step | grep -c '"on":0,')" 1
	some 'records that cannot be' "$(grep -c 'cannot be' said)" 0 0
}

for t in calls hangs sleeps talks disk memory filters pressure budget; do $t; done
echo 'KP done'
poweroff -f
