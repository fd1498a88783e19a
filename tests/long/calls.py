#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# calls.py raw|cooked|old KINDS ROWS TRACE [DIR]: system calls as kp-record saw them (kp-query -f json) against what strace saw of
# the same run, call by call and argument by argument. KINDS is `kp-query --kinds -f json`.
#   raw     strace -f -n -e raw=all: numbers as they were in the registers, the result, the error
#   cooked  strace -f -n -yy: signs, what is a number and what is none, paths, what descriptors refer to
#   old     as raw: only the calls that a 64-bit program makes as a 32-bit one
# DIR is where the program ran. A line for each difference, then how many calls and how many different ones were compared. 1 when something differs.
import errno, json, os, re, sys

# What cannot be compared, and why.
NEVER = {
	"exit": "does not return; proc.exit tells of it",
	"exit_group": "does not return; proc.exit tells of it",
}
NO_ARGUMENTS = {
	"execve": "when it succeeds, the registers and the memory are another program's; the path is compared",
}
OLD_NAMES = {"mmap2": "mmap"}	# 32-bit names of the same calls
NAMELESS = {"memfd_create"}	# what it gives is in no directory: the row's object is the new file, without a name
# strace has not the kernel's number of arguments: of the two halves of a position the first is enough for it, and
# calls younger than itself it shows with all six registers.
OTHER_COUNT = {"preadv", "pwritev"}
YOUNG = 451
# Decimal for strace, but flags, or whatever another argument says: hex is right.
HEX_IS_RIGHT = {("fcntl", "arg"), ("swapon", "swap_flags")}
# The program's bytes are no names: a row has the address.
BYTES = {"buf", "buff", "ubuf", "value", "u_msg_ptr", "_payload", "arg2"}
LINE = re.compile(r"^(\d+) +\[ *([0-9]+)\] (.*)$")
M32, M64 = 2**32 - 1, 2**64 - 1


def signed(v, bits=64):
	v &= (1 << bits) - 1
	return v - (v >> bits - 1 << bits)


def split(text):
	"""Arguments as strace prints them, up to the closing bracket, and what follows it."""
	close = {"(": ")", "[": "]", "{": "}", "<": ">"}
	out, open_, at, i, quote = [], [], 0, 0, False
	while i < len(text):
		c = text[i]
		if quote:
			i += c == "\\"
			quote = c != '"'
		elif c == '"':
			quote = True
		elif c in "([{" or c == "<" and text[i - 1].isalnum() and text[i + 1] != "<":	# 3</dev/null<char 1:3>>, not 1<<2
			open_.append(close[c])
		elif open_ and c == open_[-1]:
			open_.pop()
		elif c == ")" and not open_:
			break
		elif c == "," and not open_:
			out.append(text[at:i].strip())
			at = i + 1
		i += 1
	last = text[at:i].strip()
	return out + [last] if last else out, text[i + 1:]


def traced(path):
	"""pid -> [(number, name, arguments, result)], in the order in which they ended."""
	begun, done = {}, {}
	for line in open(path, errors="replace"):
		m = LINE.match(line.rstrip("\n"))
		if not m or m[3].startswith(("---", "+++")):
			continue
		pid, nr, text = int(m[1]), int(m[2]), m[3]
		if text.endswith("<unfinished ...>"):
			begun[pid] = text[: -len("<unfinished ...>")].rstrip()
			continue
		resumed = re.match(r"<\.\.\. \S+ resumed>(.*)$", text)
		if resumed:
			text = begun.pop(pid) + resumed[1]
		name, _, rest = text.partition("(")
		args, tail = split(rest)
		done.setdefault(pid, []).append((nr, name, args, tail.partition("=")[2].strip()))
	return done


def recorded(path):
	done = {}
	for line in open(path):
		r = json.loads(line)
		if "open" not in r.get("flags", ()) and r.get("comm") != "strace":
			done.setdefault(r["tid"], []).append(r)
	return done


def result(text):
	"""What the kernel returned, as strace tells it; None when it does not."""
	m = re.match(r"-1 (E\w+) \((?:Unknown error (\d+))?", text)
	if m:
		return -int(m[2]) if m[2] else -getattr(errno, m[1])
	m = re.match(r"(-?0x[0-9a-f]+|-?\d+)", text)
	return None if not m else int(m[1], 8) if re.fullmatch("0[0-7]+", m[1]) else int(m[1], 0)


def same_path(told, name, dir_):
	"""A name as it was given in DIR, and the one that the kernel has for the same file."""
	return bool(name) and (name == told or os.path.realpath(os.path.join(dir_, name)) == os.path.realpath(told))


def same_object(told, obj, dir_):
	"""told: what strace -yy has between the brackets behind a descriptor."""
	kind, name = obj.get("type"), obj.get("name", "")
	if m := re.match(r"pipe:\[(\d+)\]", told):
		return kind == "pipe" and obj.get("id") == int(m[1])
	if m := re.match(r"(?:UNIX|UNIX-STREAM|UNIX-DGRAM|socket|TCP|UDP|NETLINK):\[(\d+)", told):
		return kind == "socket" and obj.get("id") == int(m[1])
	if told.startswith("anon_inode:"):
		return kind == "anon"
	if told.startswith(("/memfd:", "pid:")):
		return kind in ("file", "anon")	# it has a name for nobody else
	return same_path(re.sub(r"<char \d+:\d+>$|\(deleted\)$", "", told), name, dir_)


class Compare:
	def __init__(self, kinds, dir_):
		self.dir = dir_
		self.old = False
		self.kinds = {k["id"] - 4096: k for k in kinds if k["name"].startswith("sys.")}
		self.by_name = {k["name"]: k for k in kinds}
		self.wrong, self.calls, self.names = [], 0, set()

	def say(self, name, what):
		self.wrong.append("%s: %s" % (name, what))

	def raw_args(self, nr, name, units, told, row):
		if len(told) != len(units) and name not in OTHER_COUNT and not (nr >= YOUNG and len(told) == 6):
			self.say(name, "%d arguments, strace has %d" % (len(units), len(told)))
		for (arg, unit), text in zip(units, told):
			v, t = int(row["args"][arg]), int(text, 0)
			if unit in ("fd", "tid"):
				good = v == signed(t, 32)
			elif unit == "signed number":
				good = v == signed(t) or not t >> 32 and v == signed(t, 32)
			elif unit == "user or group":
				good = v == (-1 if t & M32 == M32 else t & M32)
			elif unit == "offset":
				good = v == signed(t, 32 if self.old else 64)
			else:
				good = v == t
			if not good:
				self.say(name, "%s is %s, strace has %s" % (arg, v, text))

	def cooked_args(self, name, units, told, row, want):
		obj = row.get("obj", {})
		strings = [unquoted(t) for (_, u), t in zip(units, told) if u == "string"]
		for i, ((arg, unit), text) in enumerate(zip(units, told)):
			v = int(row["args"][arg])
			fd = re.match(r"(-?\d+)<(.*)>$", text)
			if fd and unit == "fd":
				if v != int(fd[1]):
					self.say(name, "%s is %d, strace has %s" % (arg, v, fd[1]))
				if i == self.fdarg(units) and not strings and not same_object(fd[2], obj, self.dir):
					self.say(name, "%s is %s, strace has %s" % (arg, obj, fd[2]))
			elif re.fullmatch(r"-?(0|[1-9]\d*)", text):
				if v != (signed(int(text)) if unit == "offset" else int(text)):	# strace has no negative lengths
					self.say(name, "%s is %d, strace has %s" % (arg, v, text))
				if v and unit in ("hex", "address", "octal") and (name, arg) not in HEX_IS_RIGHT:
					self.say(name, "%s is printed as %s, strace has a number: %s" % (arg, unit, text))
			elif re.fullmatch(r"0[0-7]+", text) and v != int(text, 8):
				self.say(name, "%s is %o, strace has %s" % (arg, v, text))
			elif unquoted(text) and unit != "string" and arg not in BYTES:
				self.say(name, "%s is no string, strace has %s" % (arg, text[:40]))
		if name in NAMELESS and want >= 0:
			return
		if strings and strings[0] and obj.get("name") != strings[0] and not same_path(os.path.join(self.dir, strings[0]), obj.get("name"), self.dir):
			self.say(name, "the path is %s, strace has %s" % (obj, strings[0]))

	def fdarg(self, units):
		return next((i for i, (_, u) in enumerate(units) if u == "fd"), -1)

	def call(self, row, call, raw):
		nr, name, told, ret = call
		kind = self.by_name["sys." + OLD_NAMES.get(name, name)] if self.old else self.kinds[nr]
		name = kind["name"][4:]
		if row["kind"] != kind["name"]:
			self.say(row["kind"], "strace has %d, %s" % (nr, name))
			return False
		self.calls += 1
		self.names.add(name)
		units = [(a["name"], a["unit"]) for a in kind["args"]]
		want = result(ret)
		if not raw:
			self.cooked_args(name, units, told, row, want)
		elif name not in NO_ARGUMENTS or want:
			self.raw_args(nr, name, units, told, row)
		if want is not None and "ret" in row and int(row["ret"]) != (want if want < 0 else signed(want)):
			self.say(name, "returned %s, strace has %s" % (row["ret"], ret))
		fd = re.match(r"\d+<(.*)>$", ret)
		if fd and not raw and kind["ret"] == "fd" and not same_object(fd[1], row.get("obj", {}), self.dir):
			self.say(name, "gave %s, strace has %s" % (row.get("obj"), fd[1]))
		return True

	def task(self, rows, calls, raw):
		if self.old:	# the same number is another call there
			calls = [c for c in calls if c[0] not in self.kinds or self.kinds[c[0]]["name"] != "sys." + c[1]]
			rows = [r for r in rows if "compat" in r.get("flags", ())]
		else:
			calls = [c for c in calls if c[0] in self.kinds]	# others are no kinds: there is no call of this number
		calls = [c for c in calls if c[1] not in NEVER and c[3] != "?"]	# ?: it has not returned
		if len(rows) != len(calls):
			self.say("task", "%d calls, strace has %d" % (len(rows), len(calls)))
		for row, call in zip(rows, calls):
			if not self.call(row, call, raw):
				break


def unquoted(text):
	m = re.fullmatch(r'"(.*)"(?:\.\.\.)?', text)
	return m[1] if m else None


def main():
	raw = sys.argv[1] != "cooked"
	c = Compare(json.load(open(sys.argv[2])), os.path.abspath(sys.argv[5]) if len(sys.argv) > 5 else os.getcwd())
	c.old = sys.argv[1] == "old"
	rows, calls = recorded(sys.argv[3]), traced(sys.argv[4])
	for pid, list_ in calls.items():
		c.task(rows.get(pid, []), list_, raw)
	for w in c.wrong:
		print(w)
	print("%d calls of %d kinds compared, %d differences" % (c.calls, len(c.names), len(c.wrong)))
	return 1 if c.wrong else 0


if __name__ == "__main__":
	sys.exit(main())
