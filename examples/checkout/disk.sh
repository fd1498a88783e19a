# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# A slow disk of our own: a loop device on a file, and on that another loop
# device with the file system. The group's limit of reads per second is set on
# the lower one: so a read of the upper one is a request that takes its time,
# and others queue up behind it, as with a slow disk or a cloud volume.

DISK_LOWER='' DISK_UPPER='' MNT=''

loop_attach() {
	# direct: past the page cache, which would keep a second copy
	losetup --find --show --direct-io=on "$1" 2>/dev/null || losetup --find --show "$1"
}

disk_setup() {
	local img=$W/disk.img
	MNT=$W/disk
	run truncate -s 1G "$img"
	show "losetup --find --show --direct-io=on $img"
	DISK_LOWER=$(loop_attach "$img") || die "no loop device to be had"
	undo losetup -d "$DISK_LOWER"
	show "losetup --find --show --direct-io=on $DISK_LOWER"
	DISK_UPPER=$(loop_attach "$DISK_LOWER") || die "no second loop device to be had"
	undo losetup -d "$DISK_UPPER"
	note "$DISK_UPPER on $DISK_LOWER on $img"
	run mkfs.ext4 -q -N 8192 -E nodiscard "$DISK_UPPER"
	run mkdir "$MNT"
	disk_mount
}

disk_mount() {
	run mount -o noatime "$DISK_UPPER" "$MNT"
	undo disk_umount
}

disk_umount() {
	local i
	mountpoint -q "$MNT" || return 0
	for ((i = 0; i < 20; i++)); do
		umount "$MNT" && return 0
		sleep 0.1
	done
	umount -l "$MNT"
}

# Empties the page cache of this file system, and of no other.
disk_remount() {
	run umount "$MNT"
	run mount -o noatime "$DISK_UPPER" "$MNT"
}

disk_number() { cat "/sys/class/block/${DISK_LOWER##*/}/dev"; }
