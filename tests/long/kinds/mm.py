# SPDX-License-Identifier: BSD-2-Clause
# mm.*: faults against getrusage and /proc/self/maps; reclaim, pages that are read again, and the OOM killer in a cgroup
# of our own, against its counters, perf's tracepoints and the kernel's log.
import ctypes, mmap, os, re, resource, signal, subprocess, time
from base import *


def limited(mib):
	"""A cgroup with a limit: its directory, version."""
	import host
	n = str(mib << 20)
	return host.group("memory", ([("memory.limit_in_bytes", n)], [("memory.max", n)]))


def leave(path):
	"""Everybody in it is killed, and it goes."""
	for pid in text(path + "/cgroup.procs").split():
		os.kill(int(pid), signal.SIGKILL)
	for _ in range(50):
		try:
			return os.rmdir(path)
		except OSError:
			time.sleep(0.05)


def cold(name, mib):
	"""A file none of which is in memory."""
	fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
	for _ in range(mib):
		os.write(fd, os.urandom(1 << 20))
	os.fsync(fd)
	os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
	return fd


def on_disk():
	if run("stat", "-fc", "%T", ".").strip() in ("tmpfs", "ramfs", "overlayfs"):
		skip("no file system on a disk here")


def faults():
	on_disk()
	fd = cold("faulted", 4)
	m = mmap.mmap(fd, 4 << 20, flags=mmap.MAP_PRIVATE)
	base = ctypes.addressof(ctypes.c_char.from_buffer(m))
	m.madvise(mmap.MADV_RANDOM)
	os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
	a, touched = resource.getrusage(resource.RUSAGE_SELF).ru_majflt, []
	for i in range(16):
		at = (i << 18) + 77 * i
		begin = now()
		if i % 2:
			m[at] = 1
		else:
			m[at]
		touched.append([base + at, i % 2, begin, now()])
	b = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
	code = [[int(x, 16) for x in l.split()[0].split("-")] for l in text("/proc/self/maps").splitlines() if "x" in l.split()[1]]
	return {"touched": touched, "major": b - a, "code": code, "me": os.getpid()}


READER = """
import os, sys, json
def read():
	fd = os.open("again", os.O_RDONLY)
	while os.read(fd, 1 << 17): pass
	return fd
read(); read()
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def stat_in(path):
	out = {}
	for l in text(path + "/memory.stat").splitlines():
		k, v = l.split()
		out[k] = int(v)
	return out


def again():
	"""A file that does not fit is read twice in a cgroup; then one is dropped, and read again."""
	on_disk()
	os.close(cold("again", 40))
	path, version = limited(20)
	watch = perf("vmscan:mm_vmscan_memcg_reclaim_end", 5)
	p = subprocess.Popen(["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', path, PYTHON, "-c", READER],
			     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
	try:
		pid = int(p.stdout.readline())
		time.sleep(2.2)		# the kernel gathers these every two seconds
		s = stat_in(path)
	finally:
		p.stdin.close()
		p.wait()
		leave(path)
	gone = {"refault": s.get("workingset_refault_file"), "reclaimed": told(watch, [pid], r"nr_reclaimed=(\d+)")}
	fd = os.open("dropped", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
	os.write(fd, b"x" * 300 * PAGE)
	os.fsync(fd)
	t = now()
	os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
	dropped = now()
	time.sleep(0.1)
	os.pread(fd, 200 * PAGE, 0)
	# as many as mincore says are there again: read-ahead may have brought some more
	m = mmap.mmap(fd, 300 * PAGE, flags=mmap.MAP_PRIVATE)
	vec = ctypes.create_string_buffer(300)
	call(27, ctypes.c_long(ctypes.addressof(ctypes.c_char.from_buffer(m))), 300 * PAGE, vec)
	os.close(fd)
	return {"pid": pid, **gone, "me": os.getpid(), "dropped": [t, dropped], "there": sum(b & 1 for b in vec.raw), "name": os.path.abspath("dropped"),
		"ino": os.stat("dropped").st_ino}


def oom():
	path, _ = limited(16)
	begin = now()
	p = subprocess.Popen(["sh", "-c", 'echo $$ >"$0/cgroup.procs"; echo 300 >/proc/self/oom_score_adj; exec "$@"', path, PYTHON, "-c",
			      "x = [bytearray(1 << 20) for _ in range(100)]"])
	status = p.wait()
	end = now()
	leave(path)
	log = [l for l in run("dmesg").splitlines() if "Killed process %d " % p.pid in l]
	return {"pid": p.pid, "status": status, "log": log[-1] if log else None, "begin": begin, "end": end}


def test_faults():
	rows, seen = record("mm", "faults", "mm.fault")
	got = [r for r in rows if r["pid"] == seen["me"]]
	asked = {a: (w, b, e) for a, w, b, e in seen["touched"]}
	mine = {}
	for r in got:
		if int(r["args"]["addr"]) in asked:
			mine.setdefault(int(r["args"]["addr"]), []).append(r)
	same("mm.fault: of all that we touched", len(mine), len(asked))
	near("mm.fault: faults that slept, of major ones", len(mine), seen["major"], 0, 1)
	for addr, rs in mine.items():
		write, begin, end = asked[addr]
		say("mm.fault: when", all(begin <= r["end"] - r["dur"] and r["end"] <= end for r in rs))
		same("mm.fault: error (4 from user space, 2 a write)", {r["args"]["error"] for r in rs}, {6 if write else 4})
		say("mm.fault: ip is in the program's code", all(any(a <= int(r["args"]["ip"]) < b for a, b in seen["code"]) for r in rs))


def test_again():
	rows, seen = record("mm", "again", "mm.refault,mm.reclaim,sys.openat,count.mem")
	mine = [r for r in rows if r["kind"] == "mm.reclaim" and r["pid"] == seen["pid"]]
	if seen["reclaimed"] is None:
		print("    mm.reclaim: no perf")
	else:
		same("mm.reclaim: pages", [r["args"]["reclaimed"] for r in mine], [int(n) for _, _, (n,) in seen["reclaimed"]])
	same("mm.reclaim: for a cgroup's limit", {r["args"]["memcg"] for r in mine}, {1})
	near("count.mem: reclaimed", sum(r["args"]["reclaimed"] for r in rows if r["kind"] == "count.mem" and r["pid"] == seen["pid"]),
	     sum(r["args"]["reclaimed"] for r in mine), 0.03, 0)
	back = [r for r in rows if r["kind"] == "mm.refault" and r["pid"] == seen["pid"]]
	same("mm.refault: first what was dropped when the file was made, then what the reader reclaimed itself",
	     {(r["args"]["how"], r["peer"]["pid"]) for r in back}, {(2, seen["me"]), (1, seen["pid"])})
	back = [r for r in back if r["args"]["how"] == 1]
	if seen["refault"] is not None:
		near("mm.refault: pages", sum(r["args"]["pages"] for r in back), seen["refault"], 0.05, 64)
	back = [r for r in rows if r["kind"] == "mm.refault" and r["pid"] == seen["me"] and r["obj"].get("id") == seen["ino"]]
	same("mm.refault: of pages dropped", sum(r["args"]["pages"] for r in back), seen["there"])
	same("mm.refault: how, by whom, file", {(r["args"]["how"], r["peer"]["pid"], os.path.abspath(r["obj"].get("name"))) for r in back}, {(2, seen["me"], seen["name"])})
	for r in back[:1]:
		first = r["end"] - r["dur"]
		between("mm.refault: age", r["args"]["age"], first - seen["dropped"][1] - MS, first - seen["dropped"][0] + MS)


def test_oom():
	rows, seen = record("mm", "oom", "mm.oom")
	same("mm.oom: it was killed", seen["status"], -9)
	got = [r for r in rows if r["kind"] == "mm.oom" and seen["begin"] <= r["end"] <= seen["end"]]
	same("mm.oom: whom", [r["peer"]["pid"] for r in got], [seen["pid"]])
	same("mm.oom: whose allocation", [r["pid"] for r in got], [seen["pid"]])
	if seen["log"]:
		m = re.search(r"anon-rss:(\d+)kB, file-rss:(\d+)kB.*oom_score_adj:(\d+)", seen["log"])
		a = got[0]["args"]
		near("mm.oom: anon", a["anon"], int(m[1]) * 1024 // PAGE, 0.02, 64)
		near("mm.oom: file", a["file"], int(m[2]) * 1024 // PAGE, 0.02, 64)
		same("mm.oom: adj", a["adj"], int(m[3]))
	else:
		say("mm.oom: the kernel's log has it", False)


def test():
	for t in (test_faults, test_again, test_oom):
		t()
