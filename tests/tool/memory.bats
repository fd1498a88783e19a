#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A pipe that never ends, and hardly a name that comes twice: the filters run for days, in memory that has a bound.

bats_require_minimum_version 1.5.0

setup_file() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	"${KP_BUILD:-$ROOT/build}/tests/mknames" -n 2000000 >"$BATS_FILE_TMPDIR/names.kp"
}

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	KP_BIN=${KP_BIN:-$ROOT/build/bin}
	export PYTHON=${PYTHON:-python3}
	if grep -q __asan_init "$KP_BIN/kp-query"; then skip "the sanitizer keeps what is freed for a while"; fi
	cd "$BATS_TEST_TMPDIR" || return
}

# peak COMMAND...: runs it over the names as a pipe, and sets mib to the most memory that it had.
peak() {
	mib=$("$PYTHON" - "$BATS_FILE_TMPDIR/names.kp" "$@" <<-'END'
		import resource, subprocess, sys
		cat = subprocess.Popen(["cat", sys.argv[1]], stdout=subprocess.PIPE)
		with open("out", "w") as out:
		    if subprocess.call(sys.argv[2:], stdin=cat.stdout, stdout=out) or cat.wait():
		        sys.exit(1)
		print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
	END
	)
	echo "$*: $mib MiB"
}

@test "kp-query prints, and each name as it is" {
	peak "$KP_BIN/kp-query" -f json
	[ "$mib" -lt 200 ]
	# process N opens part-N.c: an address that was used again must not bring back an old name
	grep -o 'part-[0-9a-f]*' out | sed 's/part-0*//' >names
	awk 'BEGIN { for (i = 1; i <= 266667; i++) printf "%x\n", i }' | cmp - names
}

@test "kp-query passes on" {
	peak "$KP_BIN/kp-query" -f kp
	[ "$mib" -lt 200 ]
	run -0 --separate-stderr "$KP_BIN/kp-query" --info -f json out
	[ "$(jq .rows <<<"$output")" -ge 2000000 ]
}

@test "kp-query looks for what hardly ever comes" {
	peak "$KP_BIN/kp-query" -f json 'comm == "cc1-1e240"'
	[ "$mib" -lt 200 ]
	grep -q 'part-000000000001e240.c' out
	[ "$(wc -l <out)" = 6 ]
}

@test "kp-enrich" {
	peak "$KP_BIN/kp-enrich" -q
	[ "$mib" -lt 280 ]
	mv out enriched.kp
	"$KP_BIN/kp-query" -f json 'kind == "sys.openat" && obj ~ "part-"' enriched.kp | grep -o 'req-[0-9a-f]*' | sed 's/req-//' >requests
	awk 'BEGIN { for (i = 1; i <= 266667; i++) printf "%x\n", i }' | cmp - requests
}
