# SPDX-License-Identifier: BSD-2-Clause
# net.*, tcp.*: in a network namespace of our own, against the packets themselves (a packet socket, or the other end of
# a tunnel, which is us), ss, /proc/net/snmp, and what the sockets say of themselves.
import ctypes, errno, fcntl, os, socket, struct, subprocess, threading, time
from base import *

STATES = {1: "ESTAB", 2: "SYN-SENT", 3: "SYN-RECV", 4: "FIN-WAIT-1", 5: "FIN-WAIT-2", 6: "TIME-WAIT", 7: "UNCONN", 8: "CLOSE-WAIT",
	  9: "LAST-ACK", 10: "LISTEN", 11: "CLOSING", 12: "SYN-RECV"}
M32 = 2**32 - 1


def own_net():
	if libc.unshare(0x40000000):
		skip("no network namespace of our own: errno %d" % ctypes.get_errno())
	run("ip", "link", "set", "lo", "up")


def snmp(proto):
	names, values = [l.split()[1:] for l in text("/proc/net/snmp").splitlines() if l.startswith(proto + ":")]
	return dict(zip(names, map(int, values)))


def ends(s):
	l, r = s.getsockname(), s.getpeername()
	return [l[0], l[1], r[0], r[1], os.fstat(s.fileno()).st_ino]


def messages():
	own_net()
	a, b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	a.bind(("127.0.0.1", 0))
	b.bind(("127.0.0.2", 0))
	a.connect(b.getsockname())
	b.connect(a.getsockname())
	u, v = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
	before, n = snmp("Udp"), []
	for i in range(1, 6):
		n.append([a.send(b"udp message %d" % i * i), len(b.recv(1000))])
	before_unix = now()
	for i in range(1, 4):
		n.append([u.send(b"unix message" * i), len(v.recv(10))])	# truncated: the rest is lost
	try:
		a.sendto(b"x" * 70000, b.getsockname())
	except OSError as e:
		failed = -e.errno
	after = snmp("Udp")
	return {"a": ends(a), "b": ends(b), "u": os.fstat(u.fileno()).st_ino, "v": os.fstat(v.fileno()).st_ino, "n": n, "failed": failed,
		"out": after["OutDatagrams"] - before["OutDatagrams"], "in": after["InDatagrams"] - before["InDatagrams"], "unix": before_unix}


def tcp_of(packet):
	"""Of an IPv4 packet: ports, sequence numbers, flags, length of its data."""
	ihl, total = (packet[0] & 15) * 4, struct.unpack("!H", packet[2:4])[0]
	sport, dport, seq, ack, off, flags = struct.unpack("!HHIIBB", packet[ihl:ihl + 14])
	return sport, dport, seq, ack, flags, total - ihl - (off >> 4) * 4


def state_by_ss(port, peer):
	out = [l.split() for l in run("ss", "-tanH").splitlines()]
	return ([l[0] for l in out if l[3].endswith(":%d" % port) and l[4].endswith(":%d" % peer)] or ["UNCONN"])[0]


def stream():
	"""A connection over loopback, every packet of which we see."""
	own_net()
	tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x800))
	before = snmp("Tcp")
	l = socket.create_server(("127.0.0.1", 0))
	port = l.getsockname()[1]
	begin = now()
	c = socket.create_connection(("127.0.0.1", port))
	connected = [begin, now()]
	s, _ = l.accept()
	sent, received, states = [], [], []
	for i in (1, 3, 1000, 40000):
		begin = now()
		n = c.send(b"%d" % (i % 10) * i)
		sent.append([n, begin, now()])
		time.sleep(0.01)
		while n > 0:
			got = len(s.recv(15000))
			n -= got
			unread = struct.unpack("i", fcntl.ioctl(s.fileno(), 0x541b, b"1234"))[0]
			received.append([got, unread])
	mine, theirs = ends(c), ends(s)
	look = lambda: states.append([now(), state_by_ss(mine[1], port), state_by_ss(port, mine[1])])
	look()
	c.shutdown(socket.SHUT_WR)
	time.sleep(0.05)
	look()
	s.close()
	c.close()
	time.sleep(0.05)
	look()
	refused = socket.socket()
	begin = now()
	try:
		refused.connect(("127.0.0.1", 1))
	except OSError as e:
		failed = [-e.errno, begin, now()]
	# with unread data: reset by who closes
	c = socket.create_connection(("127.0.0.1", port))
	s, _ = l.accept()
	c.send(b"unread")
	time.sleep(0.02)
	reset = [c.getsockname()[1], port]
	s.close()
	time.sleep(0.02)
	tap.setblocking(False)
	packets = []
	try:
		while True:
			p, addr = tap.recvfrom(65536)
			if addr[2] == 4:	# loopback has each twice: outgoing and coming in
				continue
			packets.append(tcp_of(p))
	except BlockingIOError:
		pass
	after = snmp("Tcp")
	return {"port": port, "mine": mine, "theirs": theirs, "sent": sent, "received": received, "states": states, "failed": failed, "connected": connected,
		"packets": packets, "reset": reset, "snmp": {k: after[k] - before[k] for k in after}}


def tunnel():
	"""The other end of our tunnel is ourselves: it answers a SYN when we want, and acknowledges nothing."""
	own_net()
	try:
		t = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
	except OSError:
		skip("no /dev/net/tun")
	fcntl.ioctl(t, 0x400454ca, struct.pack("16sH22x", b"kinds0", 0x1001))
	run("ip", "addr", "add", "10.9.9.1/24", "dev", "kinds0")
	run("ip", "link", "set", "kinds0", "up")
	seen = []

	def checksum(b):
		b += b"\0" * (len(b) % 2)
		x = sum(struct.unpack("!%dH" % (len(b) // 2), b))
		while x >> 16:
			x = (x & 0xffff) + (x >> 16)
		return ~x & 0xffff

	def answer(p, seq, ack, flags):
		src, dst = p[16:20], p[12:16]
		sport, dport = struct.unpack("!HH", p[20:24])
		tcp = struct.pack("!HHIIBBHHH", dport, sport, seq & M32, ack & M32, 0x50, flags, 60000, 0, 0)
		sum_ = checksum(src + dst + struct.pack("!BBH", 0, 6, len(tcp)) + tcp)
		tcp = tcp[:16] + struct.pack("!H", sum_) + tcp[18:]
		ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, src, dst)
		ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
		os.write(t, ip + tcp)

	def packets(until):
		while now() < until:
			try:
				p = os.read(t, 4096)
			except BlockingIOError:
				time.sleep(0.001)
				continue
			if p[0] >> 4 == 4 and p[9] == 6:
				seen.append([now(), *tcp_of(p)])
				yield p

	before = snmp("Tcp")
	ports, errors = [], []
	for answered in (2, 1):		# to the second SYN, after a second; to the first
		c = socket.socket()
		c.setblocking(False)
		c.connect_ex(("10.9.9.2", 7777))
		ports.append(c.getsockname()[1])
		for p in packets(now() + 5000 * MS):
			answered -= seen[-1][5] >> 1 & 1	# SYN
			if not answered:
				answer(p, 1000, seen[-1][3] + 1, 0x12)
				break
		time.sleep(0.02)
		last = p
		if len(ports) == 2:
			c.send(b"never acknowledged")
			for p in packets(now() + 1500 * MS):
				last = p
		answer(last, 1001, seen[-1][3] + 1, 0x14)	# RST, ACK
		time.sleep(0.02)
		errors.append(c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
		c.close()
	after = snmp("Tcp")
	return {"ports": ports, "packets": seen, "errors": errors, "snmp": {k: after[k] - before[k] for k in after}}


def test_messages():
	rows, seen = record("net", "messages", "net.*", "--payload", "64")
	udp = [r for r in rows if r["obj"].get("proto") == 17]
	send, recv = [[r for r in udp if r["kind"] == k] for k in ("net.send", "net.recv")]
	good = [r for r in send if r["ret"] >= 0]
	same("net.send: datagrams", len(good), seen["out"])
	same("net.recv: datagrams", len(recv), seen["in"])
	same("net.send: bytes", [r["ret"] for r in good], [n for n, _ in seen["n"][:5]])
	same("net.recv: bytes", [r["ret"] for r in recv], [n for _, n in seen["n"][:5]])
	same("net.send: an error", [r["ret"] for r in send if r["ret"] < 0], [seen["failed"]])
	address = lambda r: [r["obj"].get(k) for k in ("laddr", "lport", "raddr", "rport", "id")]
	say("net.send: whose: %s, getsockname has %s" % (address(send[0]), seen["a"]), all(address(r) == seen["a"] for r in send))
	say("net.recv: whose: %s, getsockname has %s" % (address(recv[0]), seen["b"]), all(address(r) == seen["b"] for r in recv))
	same("net.send: data", [r["data"] for r in good], [("udp message %d" % i * i)[:64] for i in range(1, 6)])
	unix = [r for r in rows if r["obj"].get("family") == 1 and r["end"] > seen["unix"]]
	same("net.send: of a Unix socket", [[r["ret"], r["obj"]["id"]] for r in unix if r["kind"] == "net.send"], [[n, seen["u"]] for n, _ in seen["n"][5:]])
	same("net.recv: of a Unix socket", [[r["ret"], r["obj"]["id"]] for r in unix if r["kind"] == "net.recv"], [[n, seen["v"]] for _, n in seen["n"][5:]])


def test_stream():
	rows, seen = record("net", "stream", "tcp.*", "--payload", "8")
	mine, theirs, port = seen["mine"], seen["theirs"], seen["port"]
	# its own port is not there yet when it is opened, and gone when it is closed
	of = lambda end: [r for r in rows if r["obj"].get("lport", end[1] if r["end"] < seen["states"][-1][0] else 0) == end[1] and
			  r["obj"].get("rport") == end[3]]
	kind = lambda rs, k: [r for r in rs if r["kind"] == k]
	syn = [p for p in seen["packets"] if p[0] == mine[1] and p[4] & 0x12 == 2][0]
	first = syn[2] + 1
	ends_at, end = [], first
	for n, _, _ in seen["sent"]:
		end += n
		ends_at.append(end & M32)
	send = kind(of(mine), "tcp.send")
	same("tcp.send: bytes", [r["ret"] for r in send], [n for n, _, _ in seen["sent"]])
	same("tcp.send: positions", [r["args"]["pos"] for r in send], ends_at)
	say("tcp.send: positions are in the packets", {p[2] + p[5] & M32 for p in seen["packets"] if p[0] == mine[1] and p[5]} >= set(ends_at))
	for r, (n, begin, after) in zip(send, seen["sent"]):
		between("tcp.send: when", r["end"], begin, after)
		between("tcp.send: unacked", r["args"]["unacked"], 0, n)
	same("tcp.send: data", [r["data"] for r in send], ["1", "333", "00000000", "00000000"])
	say("tcp.send: whose", all([r["obj"].get(k) for k in ("laddr", "lport", "raddr", "rport", "id")] == mine for r in send))
	recv = kind(of(theirs), "tcp.recv")
	end, at = first, []
	for n, _ in seen["received"]:
		end += n
		at.append(end & M32)
	same("tcp.recv: bytes, unread", [[r["ret"], r["args"]["unread"]] for r in recv if r["ret"] > 0], seen["received"])
	same("tcp.recv: positions", [r["args"]["pos"] for r in recv if r["ret"] > 0], at)
	say("tcp.recv: whose", all(r["obj"].get("id") == theirs[4] for r in recv))
	for at_, client, server in seen["states"]:
		for name, end, want in (("client", mine, client), ("server", theirs, server)):
			got = [r for r in kind(of(end), "tcp.state") if r["end"] < at_]
			# the rest of a closed connection is another, small socket, that has no rows
			if want != "TIME-WAIT":
				same("tcp.state: of the %s, ss" % name, STATES[got[-1]["args"]["new"]], want)
	for end in (mine, theirs):
		st = kind(of(end), "tcp.state")
		say("tcp.state: each begins where the one before ended: %s" % [[r["args"]["old"], r["args"]["new"]] for r in st],
		    all(a["args"]["new"] == b["args"]["old"] for a, b in zip(st, st[1:])))
		say("tcp.state: time in the old state: %s" % [[r["dur"], r["end"]] for r in st], all(abs(b["end"] - a["end"] - b["dur"]) < 100000 for a, b in zip(st, st[1:])))
	# a connection that is refused is opened, too
	got = kind(rows, "tcp.connect")
	same("tcp.connect: connections", len(got), seen["snmp"]["ActiveOpens"])
	between("tcp.connect: time", kind(of(mine), "tcp.connect")[0]["dur"], 1000, seen["connected"][1] - seen["connected"][0])
	bad = [r for r in got if r["obj"].get("rport") == 1]
	same("tcp.connect: refused", [r["ret"] for r in bad], seen["failed"][:1])
	between("tcp.connect: refused when", bad[0]["end"], *seen["failed"][1:])
	same("tcp.accept: connections", len(kind(rows, "tcp.accept")), seen["snmp"]["PassiveOpens"])
	same("tcp.accept: whose", [r["obj"].get("rport") for r in kind(rows, "tcp.accept")], [mine[1], seen["reset"][0]])
	same("tcp.retransmit: none", len(kind(rows, "tcp.retransmit")), seen["snmp"]["RetransSegs"])
	rst = sorted([p[0], p[1]] for p in seen["packets"] if p[4] & 4)
	got = sorted([r["obj"].get("lport", port), r["obj"].get("rport")] for r in kind(rows, "tcp.reset") if r["args"]["sent"])
	# one that no socket sends, of a port where nobody listens, has no row of who sent it
	same("tcp.reset: sent", got, [r for r in rst if r[0] != 1])
	got = sorted([r["obj"].get("rport"), r["obj"].get("lport")] for r in kind(rows, "tcp.reset") if not r["args"]["sent"])
	same("tcp.reset: received", got, rst)


def test_tunnel():
	rows, seen = record("net", "tunnel", "tcp.*")
	times = {}
	for p in seen["packets"]:
		if p[6] or p[5] & 2:	# data, or SYN
			times.setdefault(p[3], []).append(p[0])
	want = sorted((t, seq) for seq, ts in times.items() for t in ts[1:])
	got = [r for r in rows if r["kind"] == "tcp.retransmit"]
	same("tcp.retransmit: how many", len(got), seen["snmp"]["RetransSegs"])
	same("tcp.retransmit: positions", [r["args"]["seq"] for r in got], [seq for _, seq in want])
	same("tcp.retransmit: states", [r["args"]["state"] for r in got], [2] + [1] * (len(want) - 1))
	say("tcp.retransmit: when", all(0 <= t - r["end"] < 150 * MS for r, (t, _) in zip(got, want)))
	say("tcp.retransmit: of data, too: %d" % len(want), len(want) >= 3)
	same("tcp.reset: received", [[r["obj"].get("lport"), r["args"]["sent"]] for r in rows if r["kind"] == "tcp.reset"], [[p, 0] for p in seen["ports"]])
	same("tcp.reset: and so the sockets say", seen["errors"], [errno.ECONNRESET] * 2)
	c = [r for r in rows if r["kind"] == "tcp.connect"]
	near("tcp.connect: SYN to established", c[0]["dur"], seen["packets"][1][0] - seen["packets"][0][0], 0, 150 * MS)


def test():
	test_messages()
	test_stream()
	test_tunnel()
