# SPDX-License-Identifier: BSD-2-Clause
# key.*, clock.sync, cg.*, count.*: what is polled or counted, against /proc, the cgroups' own files and the clocks.
import os, resource, signal, socket, subprocess, time
from base import *


def still():
	"""Two children that change no more: one asleep, one stopped; files open."""
	sleeper = os.fork()
	if not sleeper:
		os.nice(5)
		x = bytearray(b"x" * (8 << 20))
		end = time.process_time() + 0.05
		while time.process_time() < end:
			pass
		os.open("/dev/null", os.O_WRONLY)
		os.open("file", os.O_RDWR | os.O_CREAT, 0o600)
		signal.pause()
		x.clear()
	stopped = os.fork()
	if not stopped:
		os.kill(os.getpid(), signal.SIGSTOP)
	return {"pids": [sleeper, stopped]}


def observe(pid):
	st, status = stat_of(pid), fields("/proc/%d/status" % pid)
	fds = {}
	for fd in os.listdir("/proc/%d/fd" % pid):
		path = "/proc/%d/fd/%s" % (pid, fd)
		fds[int(fd)] = [os.readlink(path), int(text("/proc/%d/fdinfo/%s" % (pid, fd)).split("flags:")[1].split()[0], 8) & 3]
	return {"state": st[0], "ppid": int(st[1]), "utime": int(st[11]), "nice": int(st[16]), "policy": int(st[38]), "start": int(st[19]),
		"anon": status["RssAnon"] * 1024 // PAGE, "file": (status["RssFile"] + status["RssShmem"]) * 1024 // PAGE, "fds": fds}


def key():
	pids = still()["pids"]
	time.sleep(0.3)
	try:
		before = now()
		mem = fields("/proc/meminfo")
		subprocess.run([BIN + "/kp-record", "-q", "-d", "0.5", "-o", "k.kp"], check=True)
		load = float(text("/proc/loadavg").split()[0])
		seen = {pid: observe(pid) for pid in pids}
	finally:
		for pid in pids:
			os.kill(pid, signal.SIGKILL)
			os.waitpid(pid, 0)
	rows = rows_of("k.kp", "key.*")
	letters = {0: "R", 1: "S", 2: "D", 4: "T"}
	for pid, s in seen.items():
		r = [r for r in rows if r["kind"] == "key.task" and r.get("pid") == pid][-1]
		a = r["args"]
		same("key.task: state", letters.get(a["state"] & 0xff), s["state"])
		near("key.task: utime in ticks", a["utime"] // TICK, s["utime"], 0, 1)
		same("key.task: nice, policy, parent", [a["nice"], a["policy"], r["peer"]["pid"]], [s["nice"], s["policy"], s["ppid"]])
		# both are sums over CPUs that may lag behind by a batch
		near("key.task: anon", a["anon"], s["anon"], 0, 64)
		near("key.task: file", a["file"], s["file"], 0, 64)
		same("key.task: start in ticks", r["start"] // TICK, s["start"])
		near("key.task: its age", r["dur"], r["end"] - (s["start"] * TICK), 0, 2 * TICK)
		got = {r["args"]["fd"]: [r.get("obj", {}).get("name", ""), r["args"]["flags"]] for r in rows if r["kind"] == "key.file" and r.get("pid") == pid}
		same("key.file: descriptors", sorted(got), sorted(s["fds"]))
		for fd, (path, flags) in s["fds"].items():
			if path.startswith("/"):
				same("key.file: file, flags", got[fd], [path, flags])
	a = [r for r in rows if r["kind"] == "key.host"][0]["args"]
	same("key.host: mem_total", a["mem_total"], mem["MemTotal"] * 1024)
	for name, mine in (("MemFree", "mem_free"), ("Cached", "mem_cached")):
		near("key.host: " + mine, a[mine], mem[name] * 1024, 0.1, 512 << 20)
	near("key.host: load", a["load"] / 100, load, 0.2, 0.5)


def clock():
	def read():
		return [time.clock_gettime_ns(c) for c in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_REALTIME, time.CLOCK_TAI)]

	a = read()
	subprocess.run([BIN + "/kp-record", "-q", "-d", "0.3", "-e", "clock.*", "-o", "c.kp"], check=True)
	b = read()
	rows = rows_of("c.kp", "clock.sync")
	say("clock.sync: %d rows" % len(rows), len(rows) >= 1)
	for r in rows:
		between("clock.sync: end", r["end"], a[0], b[0])
		for i, name in enumerate(("boot", "real", "tai"), 1):
			# a clock that is being disciplined drifts, though by far less than this
			near("clock.sync: %s minus monotonic" % name, int(r["args"][name]) - r["end"], a[i] - a[0], 0, 100000)
		between("clock.sync: width", r["args"]["width"], 1, 10 * MS)


def group(controller, files):
	"""A cgroup with some files written: its directory. files: of version 1, of version 2."""
	for dir_, which in (("/sys/fs/cgroup/" + controller, 0), ("/sys/fs/cgroup/cpu,cpuacct" if controller == "cpu" else "", 0), ("/sys/fs/cgroup", 1)):
		path = "%s/kp-kinds-%d" % (dir_, os.getpid())
		if not dir_ or not os.path.isdir(dir_):
			continue
		try:
			if which:
				with open(dir_ + "/cgroup.subtree_control", "w") as f:
					f.write("+" + controller)
			os.mkdir(path)
		except OSError:
			continue
		try:
			for name, value in files[which]:
				with open(path + "/" + name, "w") as f:
					f.write(value)
			return path, which + 1
		except OSError:
			os.rmdir(path)
	skip("no cgroup with %s can be made here" % controller)


def in_group(path, *command):
	return subprocess.Popen(["sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', path, *command])


def cg():
	path, version = group("memory", ([("memory.limit_in_bytes", "16777216")], [("memory.max", "16777216")]))
	p = in_group(path, "sh", "-c", "head -c 40000000 /dev/zero >big; sleep 60 & wait")
	time.sleep(1)
	try:
		subprocess.run([BIN + "/kp-record", "-q", "-d", "1.2", "-e", "cg.*", "-o", "g.kp"], check=True)
		if version == 1:
			want = [int(text(path + "/memory.limit_in_bytes")), int(text(path + "/memory.usage_in_bytes")), int(text(path + "/memory.failcnt"))]
		else:
			want = [int(text(path + "/memory.max")), int(text(path + "/memory.current")), fields(path + "/memory.events")["max"]]
		procs = text(path + "/cgroup.procs").split()
	finally:
		for pid in text(path + "/cgroup.procs").split():
			os.kill(int(pid), signal.SIGKILL)
		p.wait()
		time.sleep(0.1)
		os.rmdir(path)
	got = [r["args"] for r in rows_of("g.kp", "cg.limit") if r.get("obj", {}).get("name", "").endswith(os.path.basename(path))]
	same("cg.limit: limit", [a["limit"] for a in got[-1:]], want[:1])
	near("cg.limit: usage", got[-1]["usage"], want[1], 0.02, 1 << 20)
	same("cg.limit: failcnt", got[-1]["failcnt"], want[2])
	say("cg.limit: it was hit", want[2] > 0)

	path, version = group("cpu", ([("cpu.cfs_period_us", "50000"), ("cpu.cfs_quota_us", "5000")], [("cpu.max", "5000 50000")]))
	p = in_group(path, "sh", "-c", "while :; do :; done")
	time.sleep(0.3)

	def throttled():
		s = fields(path + "/cpu.stat")
		return [s["nr_throttled"], s["throttled_time"] if version == 1 else s["throttled_usec"] * 1000]

	try:
		a = throttled()
		subprocess.run([BIN + "/kp-record", "-q", "-d", "1.2", "-e", "cg.*", "-o", "g.kp"], check=True)
		b = throttled()
	finally:
		p.kill()
		p.wait()
		time.sleep(0.1)
		os.rmdir(path)
	got = [r["args"] for r in rows_of("g.kp", "cg.cpu") if r.get("obj", {}).get("name", "").endswith(os.path.basename(path))]
	same("cg.cpu: quota, period", [got[0]["quota"], got[0]["period"]], [5 * MS, 50 * MS])
	for r in got:
		between("cg.cpu: throttled", r["throttled"], a[0], b[0])
		between("cg.cpu: throttled_ns", r["throttled_ns"], a[1], b[1])
	say("cg.cpu: it was throttled", got[-1]["throttled"] > got[0]["throttled"])


def pressure():
	if not os.path.exists("/proc/pressure/memory"):
		skip("this kernel measures no pressure")

	def total(what, line):
		return int([l for l in text("/proc/pressure/" + what).splitlines() if l.startswith(line)][0].rpartition("total=")[2]) * 1000

	def read():
		return {"some_cpu": total("cpu", "some"), "some_mem": total("memory", "some"), "full_mem": total("memory", "full"),
			"some_io": total("io", "some"), "full_io": total("io", "full")}

	busy = [subprocess.Popen(["timeout", "2", "sh", "-c", "while :; do :; done"]) for _ in range(4)]
	a = read()
	subprocess.run([BIN + "/kp-record", "-q", "-d", "1.2", "-e", "cg.pressure", "-o", "p.kp"], check=True)
	b = read()
	for p in busy:
		p.wait()
	got = [r["args"] for r in rows_of("p.kp", "cg.pressure") if "obj" not in r]
	say("cg.pressure: %d rows of the host" % len(got), len(got) >= 1)
	for r in got:
		for name, v in r.items():
			between("cg.pressure: " + name, v, a[name], b[name])


def counts():
	"""Work of every sort that is counted, in a child whose counters are read when it has done it and stays."""
	r, w = os.pipe()
	done, wait = os.pipe(), os.pipe()
	child = os.fork()
	if not child:
		time.sleep(1.1)			# there is a reading before
		a = resource.getrusage(resource.RUSAGE_SELF)
		io = fields("/proc/self/io")
		status = fields("/proc/self/status")
		x, y = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
		for _ in range(100):
			x.send(b"x" * 1000)
			y.recv(2000)
		with open("written", "wb") as f:
			for _ in range(20):
				f.write(b"y" * (1 << 20))
			f.flush()
			os.fsync(f.fileno())
			os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
		with open("written", "rb") as f:
			os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
			while f.read(1 << 20):
				pass
		grown = bytearray(b"z" * (32 << 20))
		end = time.process_time() + 0.2
		while time.process_time() < end:
			pass
		b = resource.getrusage(resource.RUSAGE_SELF)
		io2 = fields("/proc/self/io")
		status2 = fields("/proc/self/status")
		os.write(done[1], json.dumps({"cpu": b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime, "major": b.ru_majflt - a.ru_majflt,
			"rbytes": io2["read_bytes"] - io["read_bytes"], "wbytes": io2["write_bytes"] - io["write_bytes"],
			"anon": status2["RssAnon"] * 1024 // PAGE, "grown": (status2["RssAnon"] - status["RssAnon"]) * 1024 // PAGE}).encode())
		os.read(wait[0], 1)
		os._exit(len(grown) & 0)
	seen = json.loads(os.read(done[0], 4096))
	time.sleep(1.2)				# and one after it
	os.write(wait[1], b"x")
	os.waitpid(child, 0)
	fs = run("stat", "-fc", "%T", ".").strip()
	return {**seen, "child": child, "fs": fs}


def irqs():
	def read():
		return [list(map(int, l.split()[1:9])) for l in text("/proc/stat").splitlines() if l.startswith("cpu") and l[3] != " "]

	a, at = read(), now()
	r, w = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	r.bind(("127.0.0.1", 0))
	end = now() + 2000 * MS
	while now() < end:	# each goes through a softirq
		w.sendto(b"x" * 1000, r.getsockname())
		r.recv(2000)
	return {"before": a, "after": read(), "from": at, "to": now()}


def test():
	key()
	clock()
	cg()
	rows, seen = record("host", "counts", "count.*")
	mine = [r for r in rows if r.get("pid") == seen["child"]]
	total = lambda kind, arg: sum(r["args"][arg] for r in mine if r["kind"] == kind)
	near("count.io: cpu", total("count.io", "cpu") / 1e9, seen["cpu"], 0.05, 0.03)
	same("count.io: tx, rx", [total("count.io", "tx"), total("count.io", "rx")], [100000, 100000])
	mem = [r for r in mine if r["kind"] == "count.mem"]
	near("count.mem: anon", mem[-1]["args"]["anon"], seen["anon"], 0, 64)
	near("count.mem: grown", sum(r["ret"] for r in mem), seen["grown"], 0.02, 128)
	same("count.mem: major", total("count.mem", "major"), seen["major"])
	if seen["fs"] != "tmpfs":
		near("count.io: rbytes", total("count.io", "rbytes"), seen["rbytes"], 0.02, 1 << 16)
		near("count.io: wbytes", total("count.io", "wbytes"), seen["wbytes"], 0.02, 1 << 20)
		near("count.mem: dirtied", total("count.mem", "dirtied"), (20 << 20) // PAGE, 0.01, 16)
		near("count.mem: evicted", total("count.mem", "evicted"), (20 << 20) // PAGE, 0.01, 16)
		near("count.mem: filled", total("count.mem", "filled"), 2 * (20 << 20) // PAGE, 0.01, 64)

	rows, seen = record("host", "irqs", "count.irq", "--all")
	for cpu, (a, b) in enumerate(zip(seen["before"], seen["after"])):
		got = [r["args"] for r in rows if r.get("cpu", 0) == cpu]
		# /proc/stat counts ticks, and rows come once a second: no more than that they agree roughly
		near("count.irq: hard + soft of CPU %d in ms" % cpu, sum(r["hard"] + r["soft"] for r in got) / MS,
		     (b[5] + b[6] - a[5] - a[6]) * TICK / MS, 0.6, 200)
		near("count.irq: steal of CPU %d in ticks" % cpu, sum(r["steal"] for r in got) // TICK, b[7] - a[7], 0.6, 100)
	say("count.irq: soft", sum(r["args"]["soft"] for r in rows) > 10 * MS)
