#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# tests/run.sh [-t SECONDS] [-r DIR] [-q] [-s] ITEM...
#
# Runs test programs, each of which speaks TAP: cmocka programs, *.bats files and scripts. ITEM is a path, or
# LABEL=PATH, or `VAR=VALUE ... PATH` in one argument to run it with these variables. The last line is
# "N passed, N failed, N skipped" and the exit status says the same: 0 only if something ran and nothing failed.
# A crash, a time-out, an early end and a program without any result are failures.
#   -t  limit for one item (default 300)     -r  remember in DIR what passed, and do not run it again unchanged
#   -q  only failures and totals             -s  sort of machine that should skip nothing: skips fail
set -u
shopt -s extglob
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
limit=300 resume='' quiet=no strict=no
while getopts t:r:qs opt; do
	case $opt in
	t) limit=$OPTARG ;;
	r) resume=$OPTARG ;;
	q) quiet=yes ;;
	s) strict=yes ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))

tmp=$(mktemp -d "${TMPDIR:-/tmp}/kp-tests.XXXXXX") || exit 1
child=
cleanup() { rm -rf "$tmp"; }
trap cleanup EXIT
# timeout(1) makes the item a process group of its own, so ^C has to be passed on.
trap '[ -n "$child" ] && kill -TERM "$child" 2>/dev/null; exit 130' INT TERM HUP

export LC_ALL=C.UTF-8 KP_SRC=$root
export KP_BIN=${KP_BIN:-$root/build/bin}
export CMOCKA_MESSAGE_OUTPUT=TAP BATS_TEST_TIMEOUT=${BATS_TEST_TIMEOUT:-120}
if [ -x /usr/bin/python3 ]; then export PYTHON=/usr/bin/python3; else export PYTHON=python3; fi
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:detect_leaks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$root/tests/lsan.supp:print_suppressions=0}
unset NO_COLOR MAKEFLAGS MFLAGS MAKELEVEL KP_COLOR

passed=0 failed=0 skipped=0
failures=() skips=()

say() { [ "$quiet" = yes ] || printf '%s\n' "$*"; }

# What an item depends on, as one hash: how it is called, it, the tools, and what tests share.
fingerprint() {
	{ printf '%s\n' "$@"; sha256sum "$2" "$KP_BIN"/kp-* "$root"/tests/*/*.bash "$root"/tests/*/*.py "$root"/man/*; } 2>/dev/null |
		sha256sum | cut -c1-32
}

# Reads TAP, prints "P F S PLAN", and on fd 3 a line per failure ("F name") and skip ("S name: reason").
# cmocka writes a skipped test as `not ok 3 # SKIP name` and has no reason; the line printed before it is the reason.
count() {
	awk '
	function out(tag, s) { print tag " " s > "/dev/fd/3" }
	/^1\.\.[0-9]+/ { sub(/^1\.\./, ""); plan += $1; last = ""; next }
	/^(not )?ok [0-9]+.*# *[Ss][Kk][Ii][Pp]/ {
		s++; name = $0; why = $0
		sub(/^(not )?ok [0-9]+( -)? */, "", name); sub(/ *# *[Ss][Kk][Ii][Pp].*/, "", name)
		sub(/.*# *[Ss][Kk][Ii][Pp] */, "", why); gsub(/^\(|\)$/, "", why)
		if (name == "") { name = why; why = last }
		if (why == "") why = "no reason given"
		out("S", name ": " why); last = ""; next
	}
	/^not ok/ { f++; sub(/^not ok *[0-9]*( -)? */, ""); out("F", $0); last = ""; next }
	/^ok/ { p++; last = ""; next }
	/^[^#]/ { last = $0 }
	END { print p + 0, f + 0, s + 0, plan + 0 }'
}

# run_one LABEL PATH [VAR=VALUE]...
run_one() {
	local label=$1 path=$2 rc p f s plan mark='' began=$SECONDS KP_BIN=$KP_BIN v
	shift 2
	for v; do [[ $v == KP_BIN=* ]] && KP_BIN=${v#*=}; done
	if [ -n "$resume" ]; then
		mark=$resume/${label//[^A-Za-z0-9_.-]/_}.$(fingerprint "$label" "$path" "$@")
		if [ -f "$mark" ]; then
			read -r p s <"$mark"
			passed=$((passed + p)) skipped=$((skipped + s))
			say "ok    $label: $p passed before, nothing has changed since"
			return
		fi
	fi
	local -a cmd=("$path")
	[[ $path == *.bats ]] && cmd=(bats --tap "$path")
	mkdir -p "$tmp/t"
	(cd "$root" && exec env "TMPDIR=$tmp/t" "PATH=$KP_BIN:$PATH:/usr/sbin:/sbin" "$@" timeout -k 10 "$limit" "${cmd[@]}") </dev/null >"$tmp/out" 2>&1 &
	child=$!
	wait "$child" 2>/dev/null
	rc=$?
	child=
	rm -rf "$tmp/t"
	: >"$tmp/notes"
	read -r p f s plan < <(count <"$tmp/out" 3>"$tmp/notes")

	# A program that says less than it planned, or fails without saying why, has failed once more.
	local why=
	if [ $rc -eq 124 ] || [ $rc -eq 137 ]; then why="no end after $limit s"
	elif [ $rc -gt 128 ]; then why="killed by signal $((rc - 128))"
	elif [ $((p + f + s)) -lt "$plan" ]; then why="ended early, status $rc: $((p + f + s)) of $plan results"
	elif [ $rc -ne 0 ] && [ "$f" -eq 0 ]; then why="exit status $rc, but no test failed"
	elif [ $((p + f + s)) -eq 0 ]; then why="no test ran"
	fi
	if [ -n "$why" ]; then
		f=$((f + 1))
		printf 'F (%s)\n' "$why" >>"$tmp/notes"
	fi
	if [ "$strict" = yes ] && [ "$s" -gt 0 ]; then
		f=$((f + s)) s=0
		sed -i 's/^S /F skipped, which is not wanted here: /' "$tmp/notes"
	fi

	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	local tag line
	while read -r tag line; do
		case $tag in
		F) failures+=("$label: $line") ;;
		S) skips+=("$label: $line") ;;
		esac
	done <"$tmp/notes"
	if [ "$f" -gt 0 ]; then
		printf 'FAIL  %s: %d passed, %d failed, %d skipped (%d s)\n' "$label" "$p" "$f" "$s" $((SECONDS - began))
		tail -n 200 "$tmp/out" | LC_ALL=C tr -c '\t\n\040-\176' '?' | sed 's/^/      | /'
	else
		say "ok    $label: $p passed$([ "$s" -gt 0 ] && echo ", $s skipped") ($((SECONDS - began)) s)"
		[ -n "$mark" ] && mkdir -p "$resume" && echo "$p $s" >"$mark"
	fi
}

for item; do
	vars=()
	while [[ $item =~ ^[A-Z][A-Z0-9_]*=[^\ ]*\  ]]; do
		vars+=("${item%%+( )*}")
		item=${item#*+( )}
	done
	label=${item##*/}
	if [[ $item == *=* ]]; then
		label=${item%%=*}
		item=${item#*=}
	fi
	case $item in /*) ;; *) item=$PWD/$item ;; esac
	run_one "$label" "$item" ${vars[@]+"${vars[@]}"}
done

[ ${#skips[@]} -eq 0 ] || { echo; printf 'skipped  %s\n' "${skips[@]}"; }
[ ${#failures[@]} -eq 0 ] || { echo; printf 'failed   %s\n' "${failures[@]}"; }
[ $((passed + failed)) -gt 0 ] || { failed=1; echo 'failed   no test ran'; }
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
