#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# zstd -dc x.kp | kpread.py: the rows as `kp-query -f json` prints them. Written from man/kp-stream.5 and
# kp-query(1) alone, so that the tests have a second opinion; it takes the stream to be sound.
import datetime, heapq, ipaddress, sys
import cbor2

COLS = "kind end dur flags cpu task peer a0 a1 a2 a3 a4 a5 ret obj stack stack2 dlen service op request trace span txn log".split()
FLAGS = "open inferred truncated sampled compat keyframe softirq hardirq kernel sanitized slow".split()
TYPES = "none file socket pipe anon device futex cgroup lock name".split()
TYPED = {64: (1, 0), 69: (2, 0), 70: (4, 0), 71: (8, 0), 72: (1, 1), 77: (2, 1), 78: (4, 1), 79: (8, 1)}
HIDDEN = [int(x, 16) for x in """0-1f 7f-9f ad-ad 34f-34f 61c-61c 115f-1160 17b4-17b5 180b-180f 200b-200f 2028-202e
	2060-206f 3164-3164 d800-f8ff fdd0-fdef fe00-fe0f feff-feff ffa0-ffa0 fff0-fffb fffe-ffff 110bd-110bd 110cd-110cd
	13430-1345f 1bca0-1bca3 1d173-1d17a 1fffe-1ffff 2fffe-2ffff 3fffe-10ffff""".replace("-", " ").split()]
M64 = 2**64 - 1
signed = lambda v, bits=64: (v & (1 << bits) - 1) - ((v >> bits - 1 & 1) << bits)
num = lambda v: str(v) if abs(v) <= 2**53 else '"%d"' % v


def text(raw):
	"""The one escape: \\xNN for what is not printable UTF-8; inside JSON its backslash is doubled."""
	hide = lambda c: c == "\\" or any(HIDDEN[i] <= ord(c) <= HIDDEN[i + 1] for i in range(0, len(HIDDEN), 2))
	byte = lambda c: [ord(c) - 0xdc00] if 0xdc80 <= ord(c) <= 0xdcff else c.encode()  # surrogateescape: no UTF-8
	s = bytes(raw).decode("utf-8", "surrogateescape")
	return '"%s"' % "".join("".join("\\\\x%02x" % b for b in byte(c)) if hide(c) else '\\"' if c == '"' else c for c in s)


def column(coding, item, n, col):
	if coding == "":
		w, s = TYPED[item.tag]
		return [int.from_bytes(item.value[i * w:i * w + w], "little", signed=s) & M64 for i in range(n)]
	w, how = len(item) // n, coding.split()
	v = [int.from_bytes(item[i::n], "little") for i in range(n)]
	if "delta" in how or "zigzag" in how:
		v = [u >> 1 ^ -(u & 1) for u in v]
	if "delta" in how:
		for i in range(1, n):
			v[i] += v[i - 1]
	out = v[:]
	if "group" in how:
		for i, p in enumerate(sorted(range(n), key=lambda r: (col["kind"][r], col["task"][r]))):
			out[p] = v[i]
	return [x & M64 for x in out]


def rows(block, *items):
	n, at, col = block["rows"], 0, {name: [0] * block["rows"] for name in COLS}
	data = b""
	for (name, coding, *_), item in zip(block["cols"], items):
		if name == "data":
			data = item
		elif name in col:
			col[name] = column(coding, item, n, col)
	for i in range(n):
		row = {name: col[name][i] for name in COLS}
		row["data"], at = data[at:at + row["dlen"]], at + row["dlen"]
		yield row


class Reader:
	def __init__(self):
		self.sources, self.base, self.clock = [], {}, {}

	def header(self, h):
		self.local, self.kinds = [], {k[0]: k for k in h["kinds"]}
		for s in h["sources"]:
			s = {"shift": 0, "mono0": 0, "real0": 0, **s}
			key = [s.get(k, 0) for k in ("machine", "boot", "session", "host", "mono0", "real0")]
			if key not in self.sources:
				self.sources.append(key)
			ix = self.sources.index(key)
			base = s["real0"] - s["mono0"]
			line = self.base.setdefault(s.get("boot") or ix, base) + s["shift"]
			self.clock.setdefault(ix, [(0, base)])
			self.local.append((ix, line, s))

	def merged(self, epoch):
		def lane(block):
			ix, line, source = self.local[block[0]["source"]]
			for row in rows(*block):
				yield row["end"] + line, row, block[0], ix, source
		for _, row, block, ix, source in heapq.merge(*map(lane, epoch), key=lambda x: x[0]):
			yield row, block, ix, source

	def wall(self, ix, mono):
		return mono + [off for since, off in self.clock[ix] if since <= mono][-1]

	def json(self, row, block, ix, src):
		_, kind, args, ret, *_ = self.kinds.get(row["kind"], (0, "#%d" % row["kind"], "", ""))
		end, a1, clock = row["end"], row["a1"], self.clock[ix]
		if kind == "clock.sync" and a1 and abs(a1 - self.wall(ix, end)) >= 1000 and (len(clock) == 1 or clock[-1][0] < end):
			clock.append((end, a1 - end))
		strs = lambda ref: block["strs"][ref - 1] if ref else b""
		out = ['"end":' + num(end), '"dur":' + num(row["dur"]), '"kind":' + text(kind.encode())]
		key = lambda name, v, to=num, o=out: o.append('"%s":%s' % (name, to(v))) if v else None
		key("cpu", row["cpu"])
		key("host", src.get("host"), text)
		if src["real0"]:
			s, ns = divmod(self.wall(ix, end), 10**9)
			zone = datetime.timezone(datetime.timedelta(seconds=src.get("utc_offset", 0)))
			t = datetime.datetime.fromtimestamp(s, zone).isoformat()
			out.append('"time":"%s.%09d%s"' % (t[:19], ns, t[19:25]))
		for who in "task", "peer":
			if row[who]:
				tid, tgid, start, _, _, _, comm, exe, uni, _, mem, *_ = block["tasks"][row[who] - 1]
				o = out if who == "task" else ['"pid":%d' % tgid, '"tid":%d' % tid]
				if who == "task":
					key("pid", tgid), key("tid", tid)
				key("comm", strs(comm), text, o), key("start", start, o=o)
				if who == "task":
					key("exe", strs(exe), text), key("cgroup", strs(mem or uni), text)
				else:
					out.append('"peer":{%s}' % ",".join(o))
		words = [w.partition(":") for w in args.split()[:6]]
		value = lambda v, unit: num(signed(v, 32) if unit in ("fd", "tid") else signed(v) if unit in ("i", "err", "off", "id") else v)
		if words:
			out.append('"args":{%s}' % ",".join('"%s":%s' % (w[0][:15], value(row["a%d" % i], w[2])) for i, w in enumerate(words)))
		if ret:
			out.append('"ret":' + num(signed(row["ret"])))
		if row["obj"]:
			typ, dev, oid, name, fam, proto, la, lp, ra, rp, *_ = block["objs"][row["obj"] - 1] + [0, 0, b"", 0, b"", 0]
			o = ['"type":"%s"' % (TYPES[typ] if typ < len(TYPES) else "other")]
			key("name", strs(name), text, o)
			for k, v in ("id", oid), ("dev", dev), ("family", fam), ("proto", proto):
				key(k, v, o=o)
			addr = lambda a: ipaddress.ip_address(a.ljust(4 if fam == 2 else 16, b"\0"))
			if fam in (2, 10):
				o.append('"laddr":"%s"' % addr(la)), key("lport", lp, o=o)
				o.append('"raddr":"%s"' % addr(ra)), key("rport", rp, o=o)
			if typ:
				out.append('"obj":{%s}' % ",".join(o))
		for k in "stack", "stack2":
			key(k, row[k], lambda ref: "[%s]" % ",".join(text(strs(f)) for f in block["stacks"][ref - 1]))
		key("data", row["data"], text)
		key("flags", [f for i, f in enumerate(FLAGS) if row["flags"] >> i & 1], lambda f: '["%s"]' % '","'.join(f))
		for k in COLS[-7:]:
			key(k, strs(row[k]), text)
		key("source", ix)
		return "{%s}" % ",".join(out)


def main():
	reader, epoch, decoder = Reader(), [], cbor2.CBORDecoder(sys.stdin.buffer)
	out = open(1, "w", encoding="utf-8", newline="\n")
	while True:
		try:
			item = decoder.decode()
		except EOFError:
			break
		if isinstance(item, list):
			epoch.append(item)
			if item[0].get("flags", 0) & 2:
				continue
			for row in reader.merged(epoch):
				out.write(reader.json(*row) + "\n")
			epoch = []
		elif item.get("t") == "header":
			reader.header(item)


main()
