# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# What the benches share: recorders in the background, and arithmetic. Sourced; needs W, a directory of the run's own.
REC=''

die() { echo "bench: $*" >&2; exit 1; }
progress() { [ ! -t 2 ] || printf '\r\e[K%s' "$*" >&2; }
# div A B DECIMALS
div() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { if (b > 0) printf "%.*f", n, a / b; else print "-" }'; }

# num TEXT: 0 where there is no number
num() { case $1 in '' | *[!0-9]*) echo 0 ;; *) echo "$1" ;; esac; }

# ---- recorders in the background ----

# A session of its own, since ^C is for us; and SIGINT must end it, which a shell switches off in the background.
begin() {
	setsid env --default-signal=INT "$@" >"$W/out" 2>"$W/err" </dev/null &
	REC=$!
}

until_true() {
	local i
	for ((i = 0; i < 150; i++)); do
		"$@" && return 0
		kill -0 "$REC" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

# end: as ^C does, and by force after 30 s.
end() {
	local i
	[ -n "$REC" ] || return 0
	kill -INT "$REC" 2>/dev/null
	for ((i = 0; i < 600; i++)); do
		kill -0 "$REC" 2>/dev/null || break
		sleep 0.05
	done
	kill -KILL "$REC" 2>/dev/null
	wait "$REC" 2>/dev/null
	REC=''
}

# "kp-record: 12 events, 1.0 KiB (5.6 bytes each), 0 lost"
kp_events() { sed -nE 's/^kp-record: ([0-9]+) events,.*/\1/p' "$W/err" | tail -1; }
kp_lost() { sed -nE 's/^kp-record: .* ([0-9]+) lost$/\1/p' "$W/err" | tail -1; }
perf_events() { timeout 120 perf report --stats -i "$1" 2>/dev/null | awk '$1 == "SAMPLE" && $2 == "events:" { print $3; exit }'; }
