# SPDX-License-Identifier: BSD-2-Clause
# lock.*: two processes that write one file queue for its lock; perf's lock:contention_* see the same.
import os
from base import *


def writers():
	fd = os.open("shared", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
	watch = perf("lock:contention_begin,lock:contention_end", 2)
	pids, data = [], b"x" * (1 << 20)
	begin = now()
	for _ in range(2):
		pid = os.fork()
		if not pid:
			end = now() + 500 * MS
			while now() < end:
				os.pwrite(fd, data, 0)
			os._exit(0)
		pids.append(pid)
	for pid in pids:
		os.waitpid(pid, 0)
	end = now()
	events = told(watch, pids, r"lock:contention_(begin|end):\s+(0x[0-9a-f]+) \((?:flags|ret)=(.*)\)")
	if events is None:
		skip("perf sees no tracepoints here")
	return {"pids": pids, "begin": begin, "end": end, "events": events}


BITS = {"SPIN": 1, "READ": 2, "WRITE": 4, "RT": 8, "PERCPU": 16, "MUTEX": 32}


def test():
	rows, seen = record("lock", "writers", "lock.wait")
	rows = [r for r in rows if r["tid"] in seen["pids"]]
	waits, open_ = {}, {}
	for tid, at, (what, lock, rest) in seen["events"]:
		lock = int(lock, 16)
		if what == "begin":
			open_.setdefault((tid, lock), [at, sum(BITS[b] for b in rest.split("|"))])
		elif (tid, lock) in open_:
			begin, flags = open_.pop((tid, lock))
			waits.setdefault((tid, lock), []).append([begin, at, flags, int(rest)])
	say("lock.wait: %d rows, perf has %d waits" % (len(rows), sum(map(len, waits.values()))), rows and waits)
	found = 0
	for r in rows:
		for begin, end, flags, ret in waits.get((r["tid"], int(r["args"]["lock"])), ()):
			# the two programs at a tracepoint run one after the other
			if abs(end - r["end"]) < 50000 and abs(begin - (r["end"] - r["dur"])) < 50000:
				found += flags == r["args"]["type"] and ret == r["ret"]
				break
	near("lock.wait: rows whose lock, type, begin, end and result perf has, too", found, len(rows), 0.02)
	shared = max(waits, key=lambda k: len(waits[k]))[1]
	mine = [r for r in rows if int(r["args"]["lock"]) == shared]
	other = dict(zip(seen["pids"], reversed(seen["pids"])))
	told = [r for r in mine if "peer" in r]
	say("lock.wait: of the file's lock %d of %d rows have an owner" % (len(told), len(mine)), told)
	near("lock.wait: it is the other writer", sum(r["peer"]["tid"] == other[r["tid"]] for r in told), len(told), 0.1)
	say("lock.wait: where", all(any("write" in f for f in r["stack"]) for r in mine))
