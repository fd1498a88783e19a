# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2034 # the other parts read these
# What can go wrong. Each fault sets what the world looks like before it, and
# has one culprit: the process in CULPRIT.

CULPRIT=''
LIMIT_MB=${LIMIT_MB:-250}	# of the group with database, batch job and the idle bystander
WARM=100	# percent of the table that is in the page cache at the start
PIN=''		# CPU of database and service, empty: any

fault_plan() {
	case $FAULT in
	memory)
		READ_IOPS=${READ_IOPS:-60} READS=${READS:-40}
		KINDS=memory.refault,memory.reclaim
		;;
	cpu)
		READ_IOPS=${READ_IOPS:-120} READS=${READS:-40}
		PIN=$(($(getconf _NPROCESSORS_ONLN) - 1))
		KINDS=cpu.contention
		;;
	disk)
		# part of the table was never read, so that the database needs its disk; not disk.throttled: the limit is on the
		# lower device, and what the database waits for is a request at the upper one, all of the time
		READ_IOPS=${READ_IOPS:-500} READS=${READS:-40} WARM=40
		KINDS=disk.read,disk.write,disk.sync
		;;
	lock)
		READ_IOPS=${READ_IOPS:-120} READS=${READS:-40}
		KINDS=lock
		;;
	none)
		READ_IOPS=${READ_IOPS:-120} READS=${READS:-40}
		KINDS=
		;;
	*) die "FAULT=$FAULT: memory, cpu, disk, lock or none" ;;
	esac
}

# Files and bystanders, before the recording.
fault_prepare() {
	printf '%4096s' prices >"$W/prices"
	# what else runs on a busy machine would be to blame, too, and rightly
	if [ "$FAULT" = cpu ]; then cg_favour_cpu 10; fi
	if [ "$FAULT" = disk ]; then
		run dd if=/dev/urandom "of=$MNT/archive" bs=1M count=64 status=none
	fi
}

bystanders_before() {
	# allocated long ago in the same group, and has slept since
	start db idle "$EX/batch" idle --name idle --mb 30
	until_true 100 grep -q ready "$LOGS/idle" || die "the idle bystander did not start"
}

bystanders_now() {
	# grows more than the batch job, at the same time, in a group of its own
	start other hog "$EX/batch" memory --name hog --mb 300 --over 4
}

fault_start() {
	case $FAULT in
	memory) start db batch "$EX/batch" memory --mb 150 --over 2.5 --churn 20 ;;
	cpu) start db batch "$EX/batch" cpu --threads 32 --cpu "$PIN" --nice -10 ;;
	disk) start db batch "$EX/batch" disk --file "$MNT/archive" --depth 64 ;;
	lock) start - batch "$EX/batch" lock --file "$W/prices" --hold 1500 --gap 100 ;;
	none) return 0 ;;
	esac
	CULPRIT=$STARTED
}
