# SPDX-License-Identifier: BSD-2-Clause
# proc.*, sig.*: life of tasks against /proc and wait(2), signals against what sigwaitinfo(2) says of them.
import ctypes, os, signal, threading, time
from base import *

SELF = {"prctl": 157, "tgkill": 234, "rt_sigqueueinfo": 129, "clone": 56, "kill": 62}


def start_of(pid):
	return int(stat_of(pid)[19])


def life():
	seen = {"me": os.getpid(), "parent_start": start_of(os.getpid()), "forks": [], "exits": []}
	go, went = os.pipe(), os.pipe()
	for how in (0, 7, "kill", "exec", "name"):
		begin = now()
		pid = os.fork()
		if not pid:
			if how == "name":
				buf = ctypes.create_string_buffer(b"new \"name\"")
				call(SELF["prctl"], 15, buf, 0, 0, 0)
				os.write(went[1], text("/proc/self/comm").encode())
			os.read(go[0], 1)
			if how == "exec":
				os.execv("/bin/sh", ["sh", "-c", "exit 3"])
			if how == "kill":
				os.kill(os.getpid(), signal.SIGKILL)
			os._exit(how if how != "name" else 0)
		started, forked = start_of(pid), now()
		if how == "name":
			seen["named"] = [pid, os.read(went[0], 100).decode().strip()]
		os.write(go[1], b"x")
		_, status = os.waitpid(pid, 0)
		seen["forks"].append([pid, started])
		seen["exits"].append([pid, os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
				      os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, begin, forked, now()])
		if how == "exec":
			seen["exec"] = pid
	t = threading.Thread(target=lambda: seen.update(thread=threading.get_native_id(), threads=os.listdir("/proc/self/task")))
	t.start()
	t.join()
	return seen


def groups():
	"""Into a group of our own and back."""
	for dir_ in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
		mine = "%s/kp-kinds-%d" % (dir_, os.getpid())
		try:
			os.mkdir(mine)
			break
		except OSError:
			pass
	else:
		skip("no cgroup can be made here")
	child = os.fork()
	if not child:
		signal.pause()
	begin = now()
	try:
		with open(mine + "/cgroup.procs", "w") as f:
			f.write(str(child))
		end = now()
		paths = [line.split(":", 2)[2] for line in text("/proc/%d/cgroup" % child).splitlines() if "kp-kinds" in line]
	finally:
		os.kill(child, signal.SIGKILL)
		os.waitpid(child, 0)
		os.rmdir(mine)
	return {"child": child, "begin": begin, "end": end, "path": paths[0]}


class Siginfo(ctypes.Structure):
	_fields_ = [("signo", ctypes.c_int), ("errno", ctypes.c_int), ("code", ctypes.c_int), ("pad", ctypes.c_int),
		    ("pid", ctypes.c_int), ("uid", ctypes.c_uint), ("value", ctypes.c_long), ("rest", ctypes.c_char * 96)]


def signals():
	"""Signals of several origins, each taken in turn: what sigwaitinfo says came."""
	all_ = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGRTMIN + 3}
	signal.pthread_sigmask(signal.SIG_BLOCK, all_)
	signal.signal(signal.SIGPIPE, signal.SIG_DFL)
	me, got = os.getpid(), []

	def take():
		i = signal.sigwaitinfo(all_)
		got.append([now(), i.si_signo, i.si_code, i.si_pid])

	os.kill(me, signal.SIGUSR1)
	take()
	call(SELF["tgkill"], me, me, int(signal.SIGUSR2))
	take()
	info = Siginfo(signo=signal.SIGRTMIN + 3, code=-1, pid=me, uid=0, value=77)
	call(SELF["rt_sigqueueinfo"], me, int(signal.SIGRTMIN + 3), ctypes.byref(info))
	take()
	signal.setitimer(signal.ITIMER_REAL, 0.01)
	take()
	r, w = os.pipe()
	os.close(r)
	try:
		os.write(w, b"x")
	except BrokenPipeError:
		pass
	take()
	if not os.fork():
		os._exit(0)
	take()
	os.wait()
	if not os.fork():
		os._exit(os.execv("/bin/sh", ["sh", "-c", "kill -USR1 %d" % me]))
	while len(got) < 8:
		take()
	os.wait()
	bad = os.fork()
	if not bad:
		ctypes.string_at(8)	# SIGSEGV, of which nobody sends it
	_, status = os.waitpid(bad, 0)
	return {"me": me, "got": got, "bad": [bad, os.WTERMSIG(status)]}


def test():
	rows, seen = record("proc", "life", "proc.*")
	me = seen["me"]
	got = {r["ret"]: r for r in rows if r["kind"] == "proc.fork" and r["pid"] == me}
	for pid, ticks in seen["forks"]:
		r = got[pid]
		same("proc.fork: start of %d in ticks" % pid, r["peer"]["start"] // TICK, ticks)
		same("proc.fork: flags (CHILD_SETTID, CHILD_CLEARTID)", hex(r["args"]["flags"]), hex(0x1200000))
		same("proc.fork: peer is a process", [r["peer"]["pid"], r["peer"]["tid"]], [pid, pid])
	t = [r for r in got.values() if r["peer"]["pid"] == me]
	same("proc.fork: a thread", [str(r["ret"]) for r in t if r["ret"] == seen["thread"]], [t for t in seen["threads"] if t == str(seen["thread"])])
	say("proc.fork: a thread's flags", t[0]["args"]["flags"] & 0x10900 == 0x10900)
	same("proc.fork: start of the parent in ticks", t[0]["start"] // TICK, seen["parent_start"])
	for pid, code, sig, begin, forked, end in seen["exits"]:
		r = [r for r in rows if r["kind"] == "proc.exit" and r["tid"] == pid][0]
		same("proc.exit: code, signal", [r["args"]["code"], r["args"]["signal"]], [code, sig])
		between("proc.exit: end", r["end"], forked, end)
		between("proc.exit: its life", r["dur"], r["end"] - forked, r["end"] - begin)
	r = [r for r in rows if r["kind"] == "proc.exec" and r["pid"] == seen["exec"]]
	same("proc.exec: path, name", [(r["obj"]["name"], r["comm"]) for r in r], [("/bin/sh", "sh")])
	r = [r for r in rows if r["kind"] == "proc.comm" and r["pid"] == seen["named"][0]]
	same("proc.comm: name", [(r["obj"]["name"], r["comm"]) for r in r], [(seen["named"][1],) * 2])

	rows, seen = record("proc", "signals", "sig.send")
	got = [[r["args"]["sig"], r["args"]["code"], r.get("pid", 0)] for r in rows if r.get("peer", {}).get("pid") == seen["me"]]
	# the C library makes SI_TKILL (-6) SI_USER for who waits
	got = [[sig, 0 if code == -6 else code, pid] for sig, code, pid in got][:len(seen["got"])]	# then, SIGCHLD of the last child
	want = [[sig, code, pid] for _, sig, code, pid in seen["got"]]
	same("sig.send: signals", [g[:2] for g in got], [w[:2] for w in want])
	say("sig.send: senders", all(g[2] == w[2] for g, w in zip(got, want) if w[2]))
	got = [[r["args"]["sig"], r["args"]["code"]] for r in rows if r.get("peer", {}).get("pid") == seen["bad"][0]]
	same("sig.send: a fault (SEGV_MAPERR)", got, [[seen["bad"][1], 1]])

	rows, seen = record("proc", "groups", "proc.cgroup")
	got = [r for r in rows if r["pid"] == seen["child"]]
	same("proc.cgroup: path", [r["obj"]["name"] for r in got], [seen["path"]])
	between("proc.cgroup: when", got[0]["end"], seen["begin"], seen["end"])
