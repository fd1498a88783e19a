# SPDX-License-Identifier: BSD-2-Clause
# What the tests of this directory share: a body is run under kp-record and says what it did and what a second witness
# told it; the rows are compared with that.
import ctypes, json, os, re, subprocess, sys, time

BIN = os.environ["KP_BIN"]
PYTHON = os.environ.get("PYTHON", sys.executable)
HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = 1000000000 // os.sysconf("SC_CLK_TCK")
MS = 1000000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Skip(Exception):
	pass


def skip(why):
	raise Skip(why)


def now():
	return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def call(nr, *args):
	r = libc.syscall(ctypes.c_long(nr), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
	return -ctypes.get_errno() if r == -1 else r


def text(path):
	with open(path) as f:
		return f.read()


def fields(path):
	"""Files such as /proc/self/status: name -> first number or word."""
	out = {}
	for line in text(path).splitlines():
		name, _, value = line.partition(":")
		if not _:
			name, _, value = line.partition(" ")
		value = value.split()
		if value:
			out[name.strip()] = int(value[0]) if value[0].lstrip("-").isdigit() else value[0]
	return out


def stat_of(pid, tid=None):
	"""/proc/PID/stat from the state on: [0] is field 3 of proc(5)."""
	return text("/proc/%d/task/%d/stat" % (pid, tid or pid)).rpartition(")")[2].split()


def run(*command):
	return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def rows_of(file, kinds, *opts):
	out = subprocess.run([BIN + "/kp-query", "-q", "-f", "json", "-e", kinds, *opts, file], stdout=subprocess.PIPE, check=True)
	return [json.loads(line) for line in out.stdout.splitlines()]


def record(module, body, kinds, *opts, keyframes=False):
	"""Runs the function `body` of the module (a file of this directory) under kp-record: the rows, and what it returned."""
	# all of it, whatever it costs on a busy machine
	subprocess.run([BIN + "/kp-record", "-q", "--cpu-budget", "off", "-o", "f.kp", "-e", kinds, *opts, "--",
			PYTHON, HERE + "/base.py", module, body], check=True)
	with open("seen.json") as f:
		seen = json.load(f)
	if "skip" in seen:
		skip(seen["skip"])
	rows = rows_of("f.kp", kinds)
	lost = [r for r in rows_of("f.kp", "loss.*") if r["args"]["count"]]
	assert not lost, "rows were lost: %s" % lost
	return [r for r in rows if keyframes or "keyframe" not in r.get("flags", ())], seen


def perf(events, seconds):
	"""perf watches events of the whole machine for a while; None where it cannot."""
	if os.path.exists("started"):
		os.unlink("started")
	try:
		p = subprocess.Popen(["perf", "record", "-q", "-k", "mono", "-o", "perf.data", "-e", events, "-a", "--",
				      "sh", "-c", ">started; exec sleep %d" % seconds], stderr=subprocess.DEVNULL)
	except OSError:
		return None
	while not os.path.exists("started"):
		if p.poll() is not None:
			return None
		time.sleep(0.01)
	return p


def told(p, tids, pattern):
	"""[tid, time, what the pattern found] in each event of these tasks; None where perf does not work."""
	if not p or p.wait():
		return None
	out = subprocess.run(["perf", "script", "-i", "perf.data", "--ns", "-F", "tid,time,event,trace"], stdout=subprocess.PIPE,
			     stderr=subprocess.DEVNULL, text=True).stdout
	found = []
	for line in out.splitlines():
		m = re.match(r"\s*(\d+)\s+(\d+)\.(\d{9}):\s+(.*)", line)
		if m and int(m[1]) in tids:
			found.append([int(m[1]), int(m[2] + m[3]), re.search(pattern, m[4]).groups()])
	return found


wrong = []


def say(what, ok):
	print("%s %s" % ("   " if ok else "NOT", what))
	if not ok:
		wrong.append(what)


def same(what, got, want):
	say("%s: %s, the witness has %s" % (what, got, want), got == want)


def near(what, got, want, share=0.05, by=0):
	say("%s: %s, the witness has %s" % (what, got, want), abs(got - want) <= share * abs(want) + by)


def between(what, got, low, high):
	say("%s: %s, the witness has %s to %s" % (what, got, low, high), low <= got <= high)


def main():
	sys.dont_write_bytecode = True
	sys.path.insert(0, HERE)
	module = __import__(sys.argv[1])
	if len(sys.argv) > 2:		# under kp-record
		try:
			seen = getattr(module, sys.argv[2])()
		except Skip as e:
			seen = {"skip": str(e)}
		with open("seen.json", "w") as f:
			json.dump(seen, f)
		return 0
	base = sys.modules["base"]	# the module's own copy of this file
	try:
		module.test()
	except (Skip, base.Skip) as e:
		print("SKIP", e)
		return 77
	return 1 if base.wrong else 0


if __name__ == "__main__":
	sys.exit(main())
