# SPDX-License-Identifier: BSD-2-Clause
# blk.*, fs.*: on a loop device of our own, against /sys/block/*/stat, /proc/fs/jbd2, and what was asked for.
import atexit, fcntl, mmap, os, signal, struct, subprocess, threading, time
from base import *


def loop(mib):
	"""A loop device on a new file: its name. It goes away with us."""
	img = os.path.abspath("disk.img")
	subprocess.run(["truncate", "-s", "%dM" % mib, img], check=True)
	p = subprocess.run(["losetup", "-f", "--show", "--direct-io=off", img], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
	if p.returncode:
		skip("no loop device: " + p.stderr.strip())
	dev = p.stdout.strip()
	atexit.register(subprocess.run, ["losetup", "-d", dev])
	return dev


def mounted(dev):
	subprocess.run(["mke2fs", "-q", "-t", "ext4", "-F", dev], check=True)
	os.makedirs("mnt", exist_ok=True)
	if subprocess.run(["mount", "-t", "ext4", dev, "mnt"]).returncode:
		skip("no ext4 here")
	atexit.register(subprocess.run, ["umount", "mnt"])
	return os.path.abspath("mnt")


def stat(dev):
	"""Requests, sectors and milliseconds: of reads, writes, discards, flushes."""
	v = list(map(int, text("/sys/block/%s/stat" % os.path.basename(dev)).split()))
	return {"read": [v[0], v[2], v[3]], "write": [v[4], v[6], v[7]], "discard": [v[11], v[13], v[14]], "flush": [v[15], 0, v[16]]}


def delta(a, b):
	return {k: [y - x for x, y in zip(a[k], b[k])] for k in a}


def aligned(n):
	return memoryview(mmap.mmap(-1, n))


def device_number(dev):
	st = os.stat(dev)
	return os.major(st.st_rdev) << 20 | os.minor(st.st_rdev)


def requests():
	dev = loop(64)
	os.sync()
	fd = os.open(dev, os.O_RDWR | os.O_DIRECT)
	a, asked = stat(dev), []

	def ask(kind, offset, n, call_):
		begin = now()
		call_()
		asked.append([kind, offset // 512, n, begin, now()])

	for off, n in ((1 << 20, 4096), (3 << 20, 65536), (5 << 20, 4096)):
		ask("write", off, n, lambda: os.pwritev(fd, [aligned(n)], off))
		ask("read", off, n, lambda: os.preadv(fd, [aligned(n)], off))
	ask("flush", -512, 0, lambda: os.fsync(fd))
	ask("discard", 8 << 20, 1 << 20, lambda: fcntl.ioctl(fd, 0x1277, struct.pack("QQ", 8 << 20, 1 << 20)))
	os.close(fd)
	return {"asked": asked, "stat": delta(a, stat(dev)), "dev": device_number(dev), "name": dev}


def throttled():
	dev = loop(64)
	dir_ = mounted(dev)
	with open(dir_ + "/f", "wb") as f:
		f.write(b"x" * (8 << 20))
		os.fsync(f.fileno())
		os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
	number = "%d:%d" % (os.major(os.stat(dev).st_rdev), os.minor(os.stat(dev).st_rdev))
	v1, v2 = "/sys/fs/cgroup/blkio", "/sys/fs/cgroup"
	path = "%s/kp-kinds-%d" % (v1 if os.path.isdir(v1) else v2, os.getpid())
	try:
		if not os.path.isdir(v1):
			with open(v2 + "/cgroup.subtree_control", "w") as f:
				f.write("+io")
		os.mkdir(path)
	except OSError as e:
		skip("no cgroup for I/O: %s" % e)
	atexit.register(os.rmdir, path)
	try:
		with open(path + ("/blkio.throttle.read_bps_device" if os.path.isdir(v1) else "/io.max"), "w") as f:
			f.write("%s %s" % (number, "1048576" if os.path.isdir(v1) else "rbps=1048576"))
	except OSError as e:
		skip("no throttling of I/O: %s" % e)
	child, (r, w) = None, os.pipe()
	child = os.fork()
	if not child:
		with open(path + "/cgroup.procs", "w") as f:
			f.write(str(os.getpid()))
		seen = []
		for i in range(8):	# directly, and through the page cache
			fd = os.open(dir_ + "/f", os.O_RDONLY | (os.O_DIRECT if i % 2 else 0))
			os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
			begin = now()
			os.preadv(fd, [aligned(131072)], i << 20)
			seen.append([i, begin, now()])
			os.close(fd)
		os.write(w, json.dumps(seen).encode())
		os._exit(0)
	os.waitpid(child, 0)
	return {"child": child, "reads": json.loads(os.read(r, 65536)), "dev": device_number(dev), "stat": stat(dev)}


def commits():
	dev = loop(64)
	dir_ = mounted(dev)
	info = "/proc/fs/jbd2/%s-8/info" % os.path.basename(dev)

	def transactions():
		os.sync()
		return int(text(info).split()[0]) if os.path.exists(info) else None

	def head():
		"""Of the journal's superblock: the sequence number of the first transaction in it."""
		out = run("dumpe2fs", dev)
		return [int(l.split(":")[1], 0) for l in out.splitlines() if l.startswith("Journal sequence")][0]

	begin, a, seen = now(), transactions(), []
	for i in range(5):
		fd = os.open("%s/f%d" % (dir_, i), os.O_RDWR | os.O_CREAT)
		os.write(fd, b"x" * 10000)
		t = now()
		(os.fdatasync if i % 2 else os.fsync)(fd)
		seen.append([os.fstat(fd).st_ino, i % 2, "%s/f%d" % (dir_, i), t, now()])
		os.close(fd)
	b = transactions()
	return {"me": os.getpid(), "dev": device_number(dev), "begin": begin, "transactions": [a, b], "syncs": seen, "sequence": head(), "end": now()}


def dirty():
	"""Writes more to a slow file system than its device's share of memory: strict limits hold it alone."""
	dev = loop(256)
	dir_ = mounted(dev)
	bdi = "/sys/class/bdi/%d:%d" % (os.major(os.stat(dev).st_rdev), os.minor(os.stat(dev).st_rdev))
	try:
		for name, value in (("strict_limit", "1"), ("max_bytes", "2097152")):
			with open(bdi + "/" + name, "w") as f:
				f.write(value)
	except OSError as e:
		skip("no limit of a device's own: %s" % e)
	fd = os.open(dir_ + "/much", os.O_WRONLY | os.O_CREAT)
	begin, end, slow = now(), now() + 2000 * MS, 0
	at = 0
	while now() < end:
		t = now()
		os.pwrite(fd, b"x" * 65536, at)
		t = now() - t
		at = (at + 65536) % (100 << 20)
		slow += t if t > MS else 0
	os.close(fd)
	return {"me": os.getpid(), "dev": device_number(dev), "slow": slow, "begin": begin, "end": now()}


def test_requests():
	rows, seen = record("disk", "requests", "blk.*", "--all")
	rows = [r for r in rows if r["obj"].get("dev") == seen["dev"] or r["obj"].get("id") == seen["dev"]]
	say("blk.*: rows of %s: %d" % (seen["name"], len(rows)), rows)
	# a flush is an empty write for who asked for it, and then a request of its own
	empty = len([r for r in rows if r["kind"] == "blk.flush"]) - seen["stat"]["flush"][0]
	for kind, (n, sectors, ms) in seen["stat"].items():
		mine = [r for r in rows if r["kind"] == "blk." + kind]
		same("blk.%s: requests" % kind, len(mine), n - empty if kind == "write" else n + empty if kind == "flush" else n)
		if kind != "flush":
			same("blk.%s: sectors" % kind, sum(r["args"]["bytes"] for r in mine) // 512, sectors)
		near("blk.%s: ms" % kind, sum(r["dur"] for r in mine) / MS, ms, 0.1, 2 + n)
		say("blk.%s: queue + service is dur" % kind, all(r["args"]["queue"] + r["args"]["service"] == r["dur"] for r in mine))
		same("blk.%s: result" % kind, {r["ret"] for r in mine} - {0}, set())
	for kind, sector, n, begin, end in seen["asked"]:
		got = [r for r in rows if r["kind"] == "blk." + kind and begin <= r["end"] <= end]
		if kind == "flush":
			say("blk.flush: one inside fsync", len(got) >= 1)
			continue
		same("blk.%s: sector, bytes" % kind, [(r["args"]["sector"], r["args"]["bytes"]) for r in got], [(sector, n)])
		between("blk.%s: dur" % kind, got[0]["dur"], 1, end - begin)
	say("blk.*: its name", all(r["obj"].get("name", "").endswith(os.path.basename(seen["name"])) for r in rows))


def test_throttled():
	rows, seen = record("disk", "throttled", "blk.*", "--all")
	rows = [r for r in rows if r["kind"] == "blk.bio" and r.get("pid") == seen["child"]]
	slow = [r for r in seen["reads"] if r[2] - r[1] > 100 * MS]
	say("blk.bio: %d were held back, %d rows" % (len(slow), len(rows)), len(slow) >= 3 and len(rows) >= len(slow) - 1)
	for r in rows:
		n, begin, end = [s for s in seen["reads"] if s[1] <= r["end"] <= s[2]][0]
		between("blk.bio: held back in a read that took so long", r["dur"], 1, end - begin)
		same("blk.bio: bytes", r["args"]["bytes"], 131072)
		same("blk.bio: operation", r["args"]["op"], 0)
	near("blk.bio: time in all, in ms", sum(r["dur"] for r in rows) / MS, sum(s[2] - s[1] for s in slow) / MS, 0.3, 50)


def test_commits():
	rows, seen = record("disk", "commits", "fs.*,sys.openat", "--all")	# a name is known by the call that opened it
	c = [r for r in rows if r["kind"] == "fs.commit" and seen["dev"] in (r["obj"].get("dev"), r["obj"].get("id"))]
	tids = [r["args"]["tid"] for r in c]
	say("fs.commit: tids one after the other: %s" % tids, tids == list(range(tids[0], tids[0] + len(tids))))
	if seen["transactions"][0] is not None:
		between_ = [r for r in c if r["end"] >= seen["begin"]]
		a, b = seen["transactions"]
		near("fs.commit: commits", len(between_), b - a, 0, 1)
	s = [r for r in rows if r["kind"] == "fs.sync" and r["pid"] == seen["me"]]
	same("fs.sync: files, datasync", [[r["obj"].get("id"), r["args"]["datasync"]] for r in s], [x[:2] for x in seen["syncs"]])
	same("fs.sync: names", [r["obj"].get("name") for r in s], [x[2] for x in seen["syncs"]])
	for r, x in zip(s, seen["syncs"]):
		between("fs.sync: dur", r["dur"], 1, x[4] - x[3])
		inside = [q for q in c if x[3] <= q["end"] <= x[4]]
		say("fs.sync: a commit in it took no longer", all(q["dur"] <= r["dur"] for q in inside))


def test_dirty():
	rows, seen = record("disk", "dirty", "fs.dirty_wait,sys.pwrite64")
	mine = [r for r in rows if r["kind"] == "fs.dirty_wait" and r.get("pid") == seen["me"]]
	say("fs.dirty_wait: %d rows" % len(mine), len(mine) >= 5)
	same("fs.dirty_wait: device", {seen["dev"] in (r["obj"].get("dev"), r["obj"].get("id")) for r in mine}, {True})
	near("fs.dirty_wait: in all, ms", sum(r["dur"] for r in mine) / MS, seen["slow"] / MS, 0.2, 100)
	say("fs.dirty_wait: it slept as long as it was told to, or longer", all(r["dur"] >= r["args"]["pause"] - 5 * MS for r in mine))
	say("fs.dirty_wait: more than the half of the limit was dirty", all(r["args"]["limit"] > 0 for r in mine))
	calls = [r for r in rows if r["kind"] == "sys.pwrite64"]
	say("fs.dirty_wait: each inside a write", all(any(c["end"] - c["dur"] <= r["end"] <= c["end"] for c in calls) for r in mine))


def test():
	for t in (test_requests, test_throttled, test_commits, test_dirty):
		t()
