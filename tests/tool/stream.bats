#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The stream, read by kp-query and by kpread.py, which was written from kp-stream(5): both say the same. And what
# kp-query says of streams that are cut, damaged, or none.

bats_require_minimum_version 1.5.0

setup_file() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export KP_BIN=${KP_BIN:-$ROOT/build/bin}
	export mkstream=${KP_BUILD:-$ROOT/build}/tests/mkstream
	export query=$KP_BIN/kp-query
	export reader=$ROOT/tests/kpread.py
	export PYTHON=${PYTHON:-python3}
	export S=$BATS_FILE_TMPDIR
	"$mkstream" -n 3000 >"$S/a.kp"
	"$mkstream" -n 4000 -s 2 --sources 3 --block-rows 250 --hostile --graph >"$S/b.kp"
	"$mkstream" -n 2000 -s 3 --sources 2 --gap 20000 >"$S/c.kp"	# 20 s: several clock rows
	"$mkstream" -n 150 --sources 2 --block-rows 30 --hostile >"$S/small.kp"
	"$query" -q -f json "$S/small.kp" >"$S/small.json"
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# The rows of a CBOR sequence on standard input, as the second reader sees them.
second() { "$PYTHON" "$reader"; }

same() { # FILE
	"$query" -q -f json "$1" >first.json
	zstd -dc "$1" | second >second.json
	[ -s first.json ]
	cmp first.json second.json
}

@test "two readers, one page: rows of every kind, keyframes, losses, clocks" {
	same "$S/a.kp"
	[ "$(wc -l <first.json)" = 3000 ]
	same "$S/c.kp"
}

@test "two readers: several sources, small blocks, graphs, hostile names" {
	same "$S/b.kp"
	[ "$(wc -l <first.json)" = 4000 ]
	grep -q '"source":2' first.json
	grep -q 'x1b\[31mred' first.json
	run ! grep -q $'\033' first.json
}

@test "compressed anew, and not at all, it is the same stream" {
	"$query" -q -f json "$S/b.kp" >want
	zstd -dc "$S/b.kp" >bare
	zstd -q <bare >anew.kp
	zstd -q -19 --no-check <bare >harder.kp
	for f in bare anew.kp harder.kp; do
		"$query" -q -f json $f >got
		cmp want got
		"$query" -q -f json - <$f >got
		cmp want got
	done
	second <bare >got
	cmp want got
}

@test "concatenated streams are a stream" {
	cat "$S/a.kp" "$S/b.kp" "$S/c.kp" >all.kp
	same all.kp
	[ "$(wc -l <first.json)" = 9000 ]
	# the same file twice is its rows twice, of one source
	cat "$S/b.kp" "$S/b.kp" >twice.kp
	same twice.kp
	[ "$(wc -l <first.json)" = 8000 ]
	run ! grep -q '"source":3' first.json
	# plain, compressed and bare parts do not mix in one file, but frames of any sort do
	zstd -dc "$S/a.kp" | zstd -q >a2.kp
	cat "$S/c.kp" a2.kp >mixed.kp
	same mixed.kp
}

@test "what a filter writes is a stream with the same rows, and says what it went through" {
	"$query" -q -f json "$S/a.kp" >want
	"$query" -q -f kp "$S/a.kp" >out.kp
	same out.kp
	cmp want first.json
	cat "$S/a.kp" "$S/b.kp" >all.kp
	"$query" -q -f kp all.kp | "$query" -q -f kp - >out.kp
	same out.kp
	# the sources of b.kp are not quite in step: larger blocks bring them closer to each other
	"$query" -q -f json all.kp | sort >want
	"$query" -f json --strict out.kp 2>said | sort | cmp want -
	run ! grep -E 'torn|damaged' said
	"$query" --info out.kp >info
	[ "$(grep -cE 'kp-query [0-9].* rows in' info)" = 2 ]
}

@test "the end record has the counts, and every item an index" {
	zstd -dc "$S/b.kp" >bare
	"$PYTHON" - bare <<'END'
import sys, cbor2
items = []
with open(sys.argv[1], "rb") as f:
    d = cbor2.CBORDecoder(f)
    while True:
        try: items.append(d.decode())
        except EOFError: break
blocks = [x for x in items if isinstance(x, list)]
end = items[-1]
assert items[0]["t"] == "header" and items[0]["version"] == 1
assert end["t"] == "end" and end["rows"] == 4000 == sum(b[0]["rows"] for b in blocks)
assert end["blocks"] == len(blocks) and end["graphs"] == sum(isinstance(x, dict) and x["t"] == "graph" for x in items) == 2
for s in range(3):
    mine = [b[0] for b in blocks if b[0]["source"] == s]
    assert [b["seq"] for b in mine] == list(range(len(mine)))
END
	zstd -l "$S/b.kp" | awk 'NR == 2 { exit !($2 > 3) }'
}

# What kp-query prints of a damaged file is part of what was there, each source in order; it says so once and ends with 0, or
# with 1 if --strict; and rows that are missing are no fewer than it counts.
part_of() { # FILE
	local status=0
	"$query" -f json "$1" >got 2>said || status=$?
	[ "$status" = 0 ]
	[ "$(grep -cE 'torn|damaged' said)" = 1 ]
	run ! grep -v '^kp-query: ' said
	"$PYTHON" - "$S/small.json" got <<'END'
import collections, json, sys
want, got = (open(f).read().splitlines() for f in sys.argv[1:])
assert not collections.Counter(got) - collections.Counter(want), "a row that was not written"
last = {}
for r in map(json.loads, got):
    if "keyframe" not in r.get("flags", []):
        assert r["end"] >= last.get(r.get("source"), 0), "out of order"
        last[r.get("source")] = r["end"]
END
	status=0
	"$query" -q --strict -f json "$1" >/dev/null 2>&1 || status=$?
	[ "$status" = 1 ]
}

@test "cut off anywhere: what was before the cut, torn, 0 or 1 with --strict" {
	size=$(stat -c %s "$S/small.kp")
	for at in 1 2 3 4 7 8 11 12 13 40 71 72 79 80 81 500 4000 $((size - 1)) $((size - 9)) $((size - 80)) $((size - 300)); do
		head -c "$at" "$S/small.kp" >cut.kp
		part_of cut.kp
		grep -q torn said
	done
	last=0
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do	# more of the file is more of the rows
		head -c $((size * i / 12)) "$S/small.kp" >cut.kp
		[ "$i" = 12 ] || part_of cut.kp
		"$query" -q -f json cut.kp 2>/dev/null >got
		[ "$(wc -l <got)" -ge "$last" ]
		last=$(wc -l <got)
	done
	[ "$last" = 150 ]
	: >empty
	run --separate-stderr "$query" empty
	[ "$status" = 1 ]
	[ "$stderr" = "kp-query: empty: empty" ]
}

@test "changed bytes: damaged, the rest is read" {
	"$PYTHON" - "$S/small.kp" <<'END'
import sys
d = open(sys.argv[1], "rb").read()
for i in range(24):
    at = len(d) * i // 24 + 3
    open("flip%d" % i, "wb").write(d[:at] + bytes([d[at] ^ (0xff if i % 2 else 1)]) + d[at + 1:])
open("zero", "wb").write(d[:len(d) // 2] + bytes(2000) + d[len(d) // 2 + 2000:])
open("hole", "wb").write(d[:len(d) // 2] + d[len(d) // 2 + 2000:])
open("more", "wb").write(d[:len(d) // 2] + b"x" * 777 + d[len(d) // 2:])
END
	for f in flip* zero hole more; do
		part_of "$f"
		grep -q damaged said
	done
}

@test "a filter tells those behind it what it had to leave out" {
	"$PYTHON" - "$S/small.kp" <<'END'
import sys
d = bytearray(open(sys.argv[1], "rb").read())
d[len(d) * 3 // 4] ^= 0x55
open("bad.kp", "wb").write(d)
END
	"$query" -f kp bad.kp >filtered.kp 2>said
	grep -q damaged said
	"$query" -q -f json filtered.kp >got
	lost=$("$PYTHON" -c '
import json, sys
print(sum(int(r["args"]["count"]) for r in map(json.loads, open("got")) if r["kind"] == "loss.stream"))')
	kept=$(grep -vc '"kind":"loss.stream"' got)
	[ "$lost" -gt 0 ]
	[ $((lost + kept)) = 150 ]
	"$query" --strict -q -f json filtered.kp >/dev/null
}

@test "what is no stream is refused in one line that says what it looks like" {
	echo 'hello, this is text' >text
	echo '{"a": 1}' >json
	zstd -q <text >text.zst
	head -c 3000 /dev/zero >zeroes
	printf '\200\1\2\3' >other
	for f in text json text.zst zeroes other "$query"; do
		run --separate-stderr "$query" -f json "$f"
		[ "$status" = 1 ]
		[ -z "$output" ]
		[ "$(printf '%s\n' "$stderr" | wc -l)" = 1 ]
		[[ $stderr == *"not a kp stream"* ]]
	done
	[[ $stderr == *ELF* ]]
	mkdir dir
	run --separate-stderr "$query" dir
	[ "$status" = 1 ]
	[[ $stderr == *"no segments"* ]]
}

@test "a small file that claims to be large takes no memory" {
	"$PYTHON" - "$S/small.kp" <<'END'
import cbor2, struct, sys, zstandard
d = open(sys.argv[1], "rb").read()
raw = zstandard.ZstdDecompressor().stream_reader(d, read_across_frames=True).read()
z = zstandard.ZstdCompressor(level=19, write_checksum=True)
def header(h):		# the first item alone
    import io
    f = io.BytesIO(raw); cbor2.CBORDecoder(f).decode(); return raw[:f.tell()]
head = header(raw)
def session(h):		# what the blocks call it
    import io
    f = io.BytesIO(raw); d = cbor2.CBORDecoder(f); d.decode(); return d.decode()[0]["session"]
def block(**more):
    m = {"t": "block", "source": 0, "session": session(head), "seq": 0, "rows": 65536, "cols": [["kind", "planes"]], **more}
    return cbor2.dumps([m, bytes(65536)])
write = lambda name, b: open(name, "wb").write(b)
write("m-array", head + b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff")
write("m-string", head + b"\x5b\x00\x00\x00\xff\xff\xff\xff\xff")
write("m-deep", head + b"\x81" * 100000)
write("m-zeroes.zst", z.compress(head + b"\x5a\x7f\xff\xff\xff" + bytes(200 << 20)))
write("m-strs.zst", z.compress(head + block(strs=[b""] * 5000000)))
write("m-tasks.zst", z.compress(head + block(tasks=[[0] * 13] * 1000000, strs=[])))
write("m-sources.zst", z.compress(b"\xd9\xd9\xf7" + cbor2.dumps({"t": "header", "version": 1, "sources": [{}] * 2000000})))
write("m-rows.zst", z.compress(head + block(cols=[["kind", "planes"]] + [["a%d" % (i % 6), "planes"] for i in range(1000)])))
cols = "a0 a1 a2 a3 a4 a5 end flags cpu ret dlen".split()
many = [["kind", "planes"]] + [[c, "planes"] for c in cols]
one = cbor2.dumps([{"t": "block", "source": 0, "session": session(head), "seq": 0, "rows": 65536, "flags": 2, "cols": many}] + [bytes(65536)] * 12)
write("m-epoch.zst", z.compress(head + one * 60))
write("m-index", struct.pack("<II4sBBBBIIIHHII4Q", 0x184D2A5B, 0xffff0000, b"KPIX", 1, 2, 0, 0, 1 << 30, 0, 65535, 0, 0, 0, 0, 0, 0, 0, 0))
END
	case $(nm -a "$query" 2>/dev/null) in *__asan_init*) limit=400000 ;; *) limit=65536 ;; esac
	for f in m-*; do
		"$PYTHON" - "$limit" "$query" -f json "$f" 2>said <<'END' || { cat said; return 1; }
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
if status not in (0, 1) or used > int(sys.argv[1]): sys.exit("%s: status %d, %d KiB" % (sys.argv[-1], status, used))
END
		[ "$(wc -l <said)" = 1 ]
	done
}
