# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Control groups: the database and the batch job share one with a memory limit
# ("db"); a bystander has one of its own ("other"). Version 1 or 2.

CG_VERSION='' CG_MEM='' CG_IO='' CG_CPU=''

# cg_mount CONTROLLER: where version 1 has it.
cg_mount() {
	awk -v c="$1" '$3 == "cgroup" { n = split($4, o, ","); for (i = 1; i <= n; i++) if (o[i] == c) { print $2; exit } }' /proc/mounts
}

cg_find() {
	local v2 m
	v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	if [ -n "$v2" ] && grep -qw memory "$v2/cgroup.controllers" && grep -qw io "$v2/cgroup.controllers"; then
		CG_VERSION=2 CG_MEM=$v2 CG_IO=$v2
		grep -qw cpu "$v2/cgroup.controllers" && CG_CPU=$v2
		return 0
	fi
	m=$(cg_mount memory)
	[ -n "$m" ] || return 1
	CG_VERSION=1 CG_MEM=$m CG_IO=$(cg_mount blkio) CG_CPU=$(cg_mount cpu)
	[ -n "$CG_IO" ]
}

# The directories of all the hierarchies that we use, each once.
cg_bases() { printf '%s\n' "$CG_MEM" "$CG_IO" "$CG_CPU" | awk 'NF && !seen[$0]++'; }

cg_remove() {
	local i
	for ((i = 0; i < 40; i++)); do
		rmdir "$1" 2>/dev/null && return 0
		[ -d "$1" ] || return 0
		sleep 0.05
	done
}

cg_setup() {
	local base g
	CG_NAME=kpdemo
	[ ! -e "$CG_MEM/$CG_NAME" ] || CG_NAME=kpdemo-$$
	if [ "$CG_VERSION" = 2 ]; then
		# the root group is allowed to have both processes and children
		put "+memory +io${CG_CPU:+ +cpu}" "$CG_MEM/cgroup.subtree_control"
	fi
	while read -r base; do
		run mkdir "$base/$CG_NAME"
		undo cg_remove "$base/$CG_NAME"
		if [ "$CG_VERSION" = 2 ]; then
			put "+memory +io${CG_CPU:+ +cpu}" "$base/$CG_NAME/cgroup.subtree_control"
		fi
		for g in db other; do
			run mkdir "$base/$CG_NAME/$g"
			undo cg_remove "$base/$CG_NAME/$g"
		done
	done < <(cg_bases)
}

# cg_join GROUP: moves the calling shell.
cg_join() {
	local base
	while read -r base; do
		printf '%s\n' "$BASHPID" >"$base/$CG_NAME/$1/cgroup.procs"
	done < <(cg_bases)
}

# cg_limit_memory GROUP MB: never into swap.
cg_limit_memory() {
	local d=$CG_MEM/$CG_NAME/$1
	if [ "$CG_VERSION" = 2 ]; then
		[ ! -e "$d/memory.swap.max" ] || put 0 "$d/memory.swap.max"
		put $(($2 * 1048576)) "$d/memory.max"
	else
		put 0 "$d/memory.swappiness"
		put $(($2 * 1048576)) "$d/memory.limit_in_bytes"
	fi
}

# cg_favour_cpu TIMES: so many times the CPU time that others get where they want the same CPU.
cg_favour_cpu() {
	[ -n "$CG_CPU" ] || return 0
	if [ "$CG_VERSION" = 2 ]; then
		put $(($1 * 100)) "$CG_CPU/$CG_NAME/cpu.weight"
	else
		put $(($1 * 1024)) "$CG_CPU/$CG_NAME/cpu.shares"
	fi
}

# cg_limit_reads GROUP MAJ:MIN IOPS
cg_limit_reads() {
	if [ "$CG_VERSION" = 2 ]; then
		put "$2 riops=$3" "$CG_IO/$CG_NAME/$1/io.max"
	else
		put "$2 $3" "$CG_IO/$CG_NAME/$1/blkio.throttle.read_iops_device"
	fi
}

cg_memory_mb() {
	local f=$CG_MEM/$CG_NAME/$1/memory.current
	[ -e "$f" ] || f=$CG_MEM/$CG_NAME/$1/memory.usage_in_bytes
	echo $(($(cat "$f") / 1048576))
}
