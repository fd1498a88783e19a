#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The tools on kernels of Debian, in small machines under qemu (in software: no KVM is needed): guest.sh runs there.
# Kernels are fetched once, as packages, into $KP_KERNELS (kernels/ in the build directory).

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	store=${KP_KERNELS:-${KP_BUILD:-$ROOT/build}/kernels}
	for c in qemu-system-x86_64 busybox cpio depmod mke2fs apt-get dpkg-deb; do
		PATH=$PATH:/sbin:/usr/sbin command -v $c >/dev/null || skip "no $c: tests/deps.sh kernels"
	done
	PATH=$PATH:/sbin:/usr/sbin
	mkdir -p "$store"
	cd "$BATS_TEST_TMPDIR" || return
}

# kernel SERIES: unpacked in $dir, its release in $release
kernel() {
	local pkg
	pkg=$(apt-cache search "^linux-image-${1/./[.]}[.][0-9][.0-9+deb-]*-cloud-amd64\$" | cut -d' ' -f1 | sort -V | tail -n 1)
	[ -n "$pkg" ] || skip "no package of a kernel $1 here"
	release=${pkg#linux-image-}
	dir=$store/$release
	[ ! -e "$dir/ready" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir"
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download "$pkg") || skip "$pkg cannot be fetched"
	dpkg-deb -x "$dir"/*.deb "$dir"
	rm "$dir"/*.deb
	depmod -b "$dir" "$release"
	touch "$dir/ready"
}

# The first file system of the machine: busybox, our tools with their libraries, the modules of its disk.
root() {
	local f m
	mkdir -p root/bin root/lib root/lib64 root/mod root/proc root/sys root/dev root/tmp root/sbin
	cp "$(command -v busybox)" root/bin/busybox
	for f in $(busybox --list); do [ "$f" = busybox ] || ln -sf busybox "root/bin/$f"; done
	cp "$KP_BIN"/kp-query root/bin/
	# Emulated in software everything costs a multiple: nothing is to be left out for it but where guest.sh says so.
	cp "$KP_BIN"/kp-record root/lib/kp-record
	printf '#!/bin/sh\nexec /lib/kp-record --cpu-budget off "$@"\n' >root/bin/kp-record
	chmod 755 root/bin/kp-record
	for f in $(ldd "$KP_BIN/kp-record" "$KP_BIN/kp-query" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u); do cp -L "$f" root/lib/; done
	cp -L root/lib/ld-linux-x86-64.so.2 root/lib64/
	for m in virtio_pci virtio_blk; do modprobe -d "$dir" -S "$release" --show-depends $m; done |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >modules
	while read -r m; do
		cp "$m" root/mod/
		echo "${m##*/}"
	done <modules >root/modules
	cp "$BATS_TEST_DIRNAME/guest.sh" root/init
	chmod 755 root/init
	(cd root && find . | cpio -o -H newc 2>/dev/null | gzip -1) >initrd
}

boots() {
	kernel "$1"
	root
	truncate -s 256M disk
	mke2fs -q -t ext4 -F disk
	# one thread for both CPUs: a kernel that patches its own code for tracepoints under load is more than the other way can do
	timeout -k 5 600 qemu-system-x86_64 -accel tcg,thread=single -cpu max -m 1024 -smp 2 -nographic -no-reboot -nodefaults -serial stdio \
		-kernel "$dir/boot/vmlinuz-$release" -initrd initrd -append 'console=ttyS0 quiet panic=-1 mitigations=off' \
		-drive file=disk,format=raw,if=virtio </dev/null 2>&1 | tr -d '\r' >console || true
	sed -n 's/^.*KP /KP /p' console >said
	sed 's/^/# /' said
	[ "$(tail -n 1 said)" = 'KP done' ] || { tail -n 30 console; false; }
	[ "$(grep -c '^KP not ok' said)" = 0 ]
	[ "$(grep -c '^KP ok' said)" -ge 25 ]
}

@test "Linux 6.1" { boots 6.1; }

@test "Linux 6.12" { boots 6.12; }
