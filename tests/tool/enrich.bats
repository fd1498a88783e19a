#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# kp-enrich with streams that test_enrich_stream writes: a customer asks the api for five checkouts, one a second, and
# the api asks the database; req-2 takes the database 800 ms, and the api gives up after 750.

bats_require_minimum_version 1.5.0

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	scene=${KP_BUILD:-$ROOT/build}/tests/test_enrich_stream
	enrich=$KP_BIN/kp-enrich query=$KP_BIN/kp-query
	cd "$BATS_TEST_TMPDIR" || return
	"$scene" all >all.kp
}

# A command with a terminal as its standard output; what it writes there.
on_a_terminal() { script -qec "$1" /dev/null </dev/null; }

# Columns of rows, tab-separated, "" where there is nothing.
columns() { "$query" -f json "$1" | jq -r "[$2] | map(. // \"\") | @tsv"; }

# OTLP of the api's work for each checkout, but for the last.
spans() {
	local i
	for i in 0 1 2 3; do
		printf '{"resourceSpans":[{"resource":{"attributes":[{"key":"process.pid","value":{"intValue":"10"}},'
		printf '{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[{"traceId":"%032x",' $((i + 1))
		printf '"spanId":"%016x","parentSpanId":"b7ad6b7169203331","name":"checkout","kind":2,' $((i + 16))
		printf '"startTimeUnixNano":"176403870%d000100000","endTimeUnixNano":"176403870%d900000000"}]}]}]}\n' $((i + 1)) $((i + 1))
	done
}

@test "the database's rows are those of the request, until it has answered" {
	"$enrich" -q all.kp >x.kp
	columns x.kp .comm,.kind,.request,.op,.trace >x
	for i in 0 1 2 3 4; do
		trace=$(printf '%032x' $((i + 1)))
		[ "$(grep -c "^postgres	[a-z.]*	req-$i	SELECT items	$trace\$" x)" = 4 ]
		grep -q "^postgres	blk.read	req-$i	" x
		grep -q "^postgres	mm.refault	req-$i	" x
		grep -q "^api	sys.getpid	req-$i	POST /checkout	" x
		[ "$(grep -c "^loadgen	tcp.*	req-$i	POST /checkout	" x)" = 2 ]
	done
	grep -q '^api	sys.poll	req-2	POST /checkout' x
	[ "$(grep -c '^postgres	sys.getpid			' x)" = 5 ]
	[ "$(cut -f 3 x | sort -u | wc -l)" = 6 ]
}

@test "nothing else about a row changes, and no row is lost" {
	"$enrich" -q all.kp >x.kp
	strip='del(.service, .op, .request, .trace, .span, .txn)'
	"$query" -f json all.kp | jq -c "$strip" >before
	"$query" -f json x.kp | jq -c "$strip" >after
	[ "$(wc -l <before)" -gt 60 ]
	cmp before after
	"$enrich" -q x.kp | "$query" -f json - >twice
	"$query" -f json x.kp | cmp - twice
}

@test "two hosts whose clocks differ: one line, and requests go from one to the other" {
	"$scene" web >web.kp
	"$scene" db >db.kp
	run --separate-stderr "$enrich" -v -o two.kp web.kp db.kp
	[ "$status" = 0 ]
	[[ ${stderr_lines[0]} == "kp-enrich: db1: clock shifted by -5.0 ms, give or take 120.0 us" ]]
	columns two.kp .host,.comm,.kind,.request,.op >x
	for i in 0 1 2 3 4; do
		[ "$(grep -c "^db1	postgres	[a-z.]*	req-$i	SELECT items\$" x)" = 4 ]
	done
	# what is received was sent before: sends and receives take turns
	[ "$(columns two.kp .kind | grep ^tcp | uniq | wc -l)" = 40 ]
	# the other way round the other clock moves
	run --separate-stderr "$enrich" -v -o other.kp db.kp web.kp
	[[ ${stderr_lines[0]} == "kp-enrich: web1: clock shifted by 5.0 ms, give or take 120.0 us" ]]
	columns other.kp .comm,.kind,.request,.op >y
	cut -f 2- x | sort | cmp - <(sort y)
	# once is enough
	"$enrich" -q two.kp | "$query" --info -f json - >info
	jq -e '[.. | .shift? // empty] | any(. == -5000000 or . == "-5000000")' info || grep -q -- -5000000 info
}

@test "one pipe: standard input and output" {
	"$enrich" -q <all.kp >x.kp
	"$enrich" -q - <all.kp | cat >y.kp
	"$enrich" -q -o z.kp all.kp
	for f in x y z; do
		[ "$(columns $f.kp .request | grep -c req-)" = 56 ]
	done
}

@test "a terminal gets a line for each request" {
	command -v script >/dev/null || skip "script is missing"
	run on_a_terminal "'$enrich' -q all.kp"
	[ "$status" = 0 ]
	[ "${#lines[@]}" = 5 ]
	[[ ${lines[0]} =~ ^03:45:01\.000100\ +req-0\ +api\[10\]\ +POST\ /checkout\ +9\.9\ ms\ +200 ]]
	[[ ${lines[2]} =~ ^03:45:03\.000100\ +req-2\ +api\[10\]\ +POST\ /checkout\ +751\.9\ ms\ +504 ]]
	run on_a_terminal "'$enrich' -qa all.kp"
	[ "${#lines[@]}" = 10 ]
	[[ $output == *"postgres[20] "*"SELECT items "*" 799.9 ms"* ]]
}

@test "hostile names stay text" {
	command -v script >/dev/null || skip "script is missing"
	"$scene" hostile >h.kp
	run on_a_terminal "'$enrich' -q h.kp"
	[ "${#lines[@]}" = 5 ]
	[[ ${lines[0]} == *'\x1b]0;pwned\x07\x0a\xff[10]'* ]]
	[[ $output != *$'\x1b'* ]]
}

@test "spans: by process and time" {
	spans >spans.jsonl
	run --separate-stderr "$enrich" --spans spans.jsonl -o x.kp all.kp
	[[ $stderr == *"; 4 of 4 spans found" ]]
	columns x.kp .comm,.kind,.request,.span,.service >x
	[ "$(grep -c '^api	[a-z.]*	req-1	0000000000000011	shop$' x)" = 5 ]
	[ "$(grep -c '^api	[a-z.]*	req-4		shop$' x)" = 5 ]
	[ "$(grep -c '^postgres	.*shop$' x)" = 0 ]
	# all of a file as one value, from standard input
	spans | jq -s . >pretty.json
	"$enrich" -q --spans - all.kp <pretty.json >y.kp
	columns y.kp .comm,.kind,.request,.span,.service | cmp - x
}

@test "spans: lines that are none are counted, the others used" {
	{ echo no; spans; echo '{"resourceSpans":'; } >spans.jsonl
	run --separate-stderr "$enrich" -s spans.jsonl -o x.kp all.kp
	[ "$status" = 0 ]
	[[ $stderr == *"4 of 4 spans found; 2 lines of spans could not be read, the first is 1" ]]
}

@test "a map names services" {
	printf 'comm\tpost*\torders db\nport\t8080\tfront\n' >map
	"$enrich" -q --map map all.kp >x.kp
	[ "$(columns x.kp .comm,.service | sort -u | tr '\t\n' '=;')" = "=;api=front;loadgen=loadgen;postgres=orders db;" ]
	for bad in 'comm x y' $'host\tx\ty' $'port\tno\ty' $'comm\tx\t'; do
		printf 'comm\ta\tb\n%s\n' "$bad" >map
		run --separate-stderr "$enrich" --map map all.kp
		[ "$status" = 1 ]
		[[ $stderr == "kp-enrich: map: line 2: "* ]]
		[ -z "$output" ]
	done
}

@test "it says that the data went through it, and passes graphs" {
	"$enrich" -q all.kp >x.kp
	"$query" --info -f text x.kp >info
	grep -q 'kp-enrich 0.1: -q all.kp *(62 rows in, 62 out)' info
	grep -q 'scene 1' info
	graphs=${KP_BUILD:-$ROOT/build}/tests/test_dot
	"$graphs" c-one q-two >g.kp
	"$enrich" -q g.kp | "$KP_BIN/kp-dot" -f svg - >x.svg
	[ "$(grep -c 'class="cluster"' x.svg)" = 2 ]
}

@test "chunks with a delimiter for kcat" {
	"$enrich" -q -D '#=#=chunk=#=#' all.kp >x
	[ "$(tail -c 13 x)" = '#=#=chunk=#=#' ]
	head -c -13 x >x.kp
	[ "$(columns x.kp .request | grep -c req-)" = 56 ]
}

@test "live: rows come while the recording goes on" {
	(
		"$scene" live 3>&- &
		echo $! >pid
		wait $!
	) | "$enrich" -q 3>&- | cat >live.kp 3>&- &
	sleep 3
	columns live.kp .comm,.request 2>/dev/null >x
	kill "$(cat pid)"
	wait $!
	[ "$(grep -c '^postgres	req-0' x)" = 4 ]
	[ "$(grep -c '^postgres	req-3' x)" = 4 ]
}

@test "what is no stream, no file, no room: one line, exit 1" {
	: >empty.kp
	echo hello >text.kp
	for f in empty.kp text.kp missing.kp; do
		run --separate-stderr "$enrich" $f
		[ "$status" = 1 ]
		[ "${#stderr_lines[@]}" = 1 ]
		[[ $stderr == "kp-enrich: $f"* ]]
	done
	run --separate-stderr "$enrich" --spans missing.json all.kp
	[ "$status" = 1 ]
	[[ $stderr == "kp-enrich: missing.json: "* ]]
	run --separate-stderr bash -c "'$enrich' -o /dev/full all.kp"
	[ "$status" = 1 ]
	[[ $stderr == *"No space left"* ]]
	run --separate-stderr bash -c "'$enrich' -q all.kp | true; echo \${PIPESTATUS[0]}"
	[ "$output" = 0 ]
	[ -z "$stderr" ]
}

@test "a torn stream: what is whole is joined, and it is said once" {
	head -c -300 all.kp >torn.kp
	run --separate-stderr "$enrich" -o x.kp torn.kp
	[ "$status" = 0 ]
	[ "${#stderr_lines[@]}" = 2 ]
	[[ ${stderr_lines[0]} == "kp-enrich: torn.kp: "* ]]
	run "$enrich" --strict -o x.kp torn.kp
	[ "$status" = 1 ]
	run "$query" --strict -f json x.kp	# it does not look whole
	[ "$status" = 1 ]
}

@test "usage errors are exit 2 and name the option" {
	run --separate-stderr "$enrich" --delimiter '' all.kp
	[ "$status" = 2 ]
	[[ $stderr == *--delimiter* ]]
	run --separate-stderr "$enrich" --spans - --map - all.kp
	[ "$status" = 2 ]
	run --separate-stderr "$enrich" --spans -
	[ "$status" = 2 ]
	[[ $stderr == *"standard input"* ]]
	run "$enrich" --no-such-thing
	[ "$status" = 2 ]
	run "$enrich" --help
	[ "$status" = 0 ]
	[[ $output == *"kp-enrich --spans"* ]]
}
