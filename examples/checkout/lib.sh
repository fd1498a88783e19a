# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What the other parts share: shown commands, background processes, undoing.

# -- shown commands ---------------------------------------------------------

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	DIM=$'\e[36m' BOLD=$'\e[1m' PLAIN=$'\e[0m'
else
	DIM='' BOLD='' PLAIN=''
fi

step() { printf '\n%s# %s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '  %s\n' "$*"; }
show() { printf '%s$ %s%s\n' "$DIM" "$*" "$PLAIN"; }
die() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# A command line as one would type it.
words() {
	local w out=''
	for w; do
		case $w in
		*[!A-Za-z0-9_@%+=:,./-]* | '') w="'${w//\'/\'\\\'\'}'" ;;
		esac
		out+="${out:+ }$w"
	done
	printf '%s' "$out"
}

# run COMMAND...: shows it and runs it; its output goes to the log unless it fails.
run() {
	show "$(words "$@")"
	"$@" >>"$LOGS/commands" 2>&1 </dev/null || {
		local rc=$?
		tail -5 "$LOGS/commands" >&2
		die "failed with status $rc: $(words "$@")"
	}
}

# put VALUE FILE: echo VALUE > FILE
put() {
	show "echo $1 > $2"
	printf '%s\n' "$1" >"$2" || die "cannot write $1 to $2"
}

# sh_run 'SHELL TEXT': shows and runs a pipeline; its output is for the reader.
sh_run() {
	show "$1"
	bash -o pipefail -c "$1" </dev/null
}

# -- undoing ----------------------------------------------------------------

UNDO=()
undo() { UNDO+=("$(words "$@")"); }
undo_all() {
	local i
	set +e
	for ((i = ${#UNDO[@]} - 1; i >= 0; i--)); do
		eval "${UNDO[i]}" >>"$LOGS/undo" 2>&1
	done
	UNDO=()
	set -e
}

# gone PID [TRIES]: waits until a process has ended (10 a second).
gone() {
	local i
	for ((i = 0; i < ${2:-50}; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

# finish PID [SIGNAL] [TRIES]: ends a process that we started, and waits for it.
finish() {
	kill -s "${2:-TERM}" "$1" 2>/dev/null || return 0
	gone "$1" "${3:-50}" || kill -s KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null || true
}

# -- background processes ---------------------------------------------------

# start GROUP LOG COMMAND...: runs it in a control group ("-": none); its pid is in STARTED.
start() {
	local group=$1 log=$2
	shift 2
	show "$(words "$@") &$([ "$group" = - ] || printf '    # in group %s' "$group")"
	(
		trap - INT TERM EXIT
		[ "$group" = - ] || cg_join "$group"
		exec "$@"
	) >>"$LOGS/$log" 2>&1 </dev/null &
	STARTED=$!
	undo finish "$STARTED"
}

# until_true TRIES COMMAND...: 20 tries a second.
until_true() {
	local i n=$1
	shift
	for ((i = 0; i < n; i++)); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	return 1
}

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a TCP port below the ephemeral range that nobody listens on.
free_port() {
	local p
	while :; do
		p=$((20000 + RANDOM % 10000))
		port_in_use "$p" || break
	done
	printf '%s' "$p"
}
