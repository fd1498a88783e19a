# SPDX-License-Identifier: BSD-2-Clause
# sched.*: switches, wakes and moves of one thread against its own counters in /proc.
import os, signal, threading, time
from base import *


def counters():
	status, sched = fields("/proc/thread-self/status"), fields("/proc/thread-self/sched")
	run_, delay, _ = map(int, text("/proc/thread-self/schedstat").split())
	return {"at": now(), "voluntary": status["voluntary_ctxt_switches"], "forced": status["nonvoluntary_ctxt_switches"],
		"moves": sched["se.nr_migrations"], "ran": run_, "delay": delay, "tid": threading.get_native_id()}


def busy(ms):
	end = now() + ms * MS
	while now() < end:
		pass


def switches():
	"""Sleeps, and shares a CPU with another that is busy, too."""
	os.sched_setaffinity(0, {0})
	other = os.fork()
	if not other:
		busy(700)
		os._exit(0)
	sleeps = []
	a = counters()
	for i in range(10):
		begin = now()
		time.sleep(0.01)
		sleeps.append([begin, now()])
		busy(20)
	b = counters()
	os.waitpid(other, 0)
	return {"before": a, "after": b, "sleeps": sleeps}


def wakes():
	"""A child waits in read(2) on a pipe, and is woken by us; another waits for ever."""
	r, w = os.pipe()
	r2, w2 = os.pipe()
	child = os.fork()
	if not child:
		os.read(r, 1)
		os._exit(0)
	never = os.fork()
	if not never:
		os.read(r2, 1)		# it holds the other end itself
		os._exit(0)
	time.sleep(0.05)
	state, cpu = stat_of(child)[0], int(stat_of(child)[36])
	try:
		where = [line.split()[1].split("+")[0] for line in open("/proc/%d/stack" % child)]
	except OSError:
		where = []
	begin = now()
	os.write(w, b"x")
	end = now()
	os.waitpid(child, 0)
	time.sleep(0.2)
	return {"me": os.getpid(), "child": child, "never": never, "state": state, "cpu": cpu, "never_state": stat_of(never)[0], "stack": where, "begin": begin, "end": end}


def moves():
	if os.sysconf("SC_NPROCESSORS_ONLN") < 2:
		skip("one CPU only")
	os.sched_setaffinity(0, {0})
	busy(2)
	a, seen = counters(), []
	for i in range(20):
		begin = now()
		os.sched_setaffinity(0, {(i + 1) % 2})
		busy(1)
		seen.append([begin, int(stat_of(os.getpid())[36])])
	return {"before": a, "after": counters(), "seen": seen}


def test():
	rows, seen = record("sched", "switches", "sched.*")
	a, b = seen["before"], seen["after"]
	inside = [r for r in rows if a["at"] < r["end"] < b["at"]]
	off = [r for r in inside if r["kind"] == "sched.switch" and r.get("tid") == a["tid"]]
	on = [r for r in inside if r["kind"] == "sched.switch" and r["args"]["next"] == a["tid"]]
	near("sched.switch: switches that it wanted", sum(r["args"]["state"] != 0 for r in off), b["voluntary"] - a["voluntary"], 0, 1)
	near("sched.switch: switches that it was forced to", sum(r["args"]["state"] == 0 for r in off), b["forced"] - a["forced"], 0, 1)
	near("sched.switch: time on the CPU", sum(r["dur"] for r in off), b["ran"] - a["ran"], 0.05, 5 * MS)
	near("sched.switch: time in the queue", sum(r["args"]["delay"] for r in on), b["delay"] - a["delay"], 0.05, 5 * MS)
	say("sched.switch: next is its peer", all(r["peer"]["tid"] == a["tid"] for r in on))
	wakes_ = [r for r in inside if r["kind"] == "sched.wake" and r.get("tid") == a["tid"]]
	same("sched.wake: wakes", len(wakes_), len(seen["sleeps"]))
	for r, (begin, end) in zip(wakes_, seen["sleeps"]):
		between("sched.wake: slept", r["dur"], 9.5 * MS, end - begin)
		between("sched.wake: woken at", r["end"], begin + 10 * MS, end)
		same("sched.wake: state, context", [r["args"]["state"] & 0xff, r["args"]["ctx"]], [1, 2])

	rows, seen = record("sched", "wakes", "sched.*")
	os.kill(seen["never"], signal.SIGKILL)
	got = [r for r in rows if r["kind"] == "sched.wake" and r.get("tid") == seen["child"] and seen["begin"] <= r["end"] <= seen["end"]]
	same("sched.wake: by a write", len(got), 1)
	same("sched.wake: waker, context", [(r["peer"]["tid"], r["args"]["ctx"]) for r in got], [(seen["me"], 0)])
	same("sched.wake: where it ran last", got[0]["args"]["target"], seen["cpu"])
	say("sched.wake: asleep in %s, /proc/PID/stack has %s" % (got[0].get("stack"), seen["stack"]),
	    not seen["stack"] or [f.split("+")[0] for f in got[0]["stack"]][-len(seen["stack"]):] == seen["stack"])
	same("sched.wake: state", got[0]["args"]["state"] & 0xff, {"S": 1, "D": 2}[seen["state"]])
	got = [r for r in rows if r["kind"] == "sched.sleep" and r.get("tid") == seen["never"] and "open" in r.get("flags", ())]
	same("sched.sleep: one that does not end", len(got), 1)
	same("sched.sleep: state", got[0]["args"]["state"] & 0xff, {"S": 1}[seen["never_state"]])
	say("sched.sleep: where: %s" % got[0]["stack"], any("pipe_read" in f for f in got[0]["stack"]))
	between("sched.sleep: since", got[0]["dur"], 200 * MS, 5000 * MS)

	rows, seen = record("sched", "moves", "sched.migrate")
	a, b = seen["before"], seen["after"]
	got = [r for r in rows if r.get("tid") == a["tid"] and a["at"] < r["end"] < b["at"]]
	same("sched.migrate: moves", len(got), b["moves"] - a["moves"])
	same("sched.migrate: to", [r["args"]["to"] for r in got], [cpu for _, cpu in seen["seen"]])
	same("sched.migrate: from", [r["args"]["from"] for r in got], [1 - cpu for _, cpu in seen["seen"]])
