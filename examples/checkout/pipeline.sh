# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# kprobe itself: record, then explain one request.

RECORDER=''

# Can this machine record? Says why not in WHY_NOT.
can_record() {
	WHY_NOT=''
	if [ "$(id -u)" != 0 ]; then
		WHY_NOT='not root'
	elif ! WHY_NOT=$(timeout 20 "$KP_BIN/kp-record" -q -n 1 -o "$W/probe.kp" 2>&1 </dev/null | tail -1; exit "${PIPESTATUS[0]}"); then
		WHY_NOT=${WHY_NOT:-kp-record does not run}
	else
		WHY_NOT=''
	fi
	rm -f "$W/probe.kp"
	[ -z "$WHY_NOT" ]
}

record_start() {
	rm -f "$OUT/checkout.kp"
	start - record "$KP_BIN/kp-record" -o "$OUT/checkout.kp"
	RECORDER=$STARTED
	until_true 200 test -s "$OUT/checkout.kp" || die "kp-record wrote nothing in 10 s: $(tail -1 "$LOGS/record")"
}

record_stop() {
	local rc=0
	show "kill -INT $RECORDER    # Ctrl-C ends a recording"
	kill -INT "$RECORDER"
	gone "$RECORDER" 150 || die 'kp-record did not end'
	wait "$RECORDER" || rc=$?
	[ "$rc" = 0 ] || die "kp-record ended with status $rc: $(tail -1 "$LOGS/record")"
	note "$(tail -1 "$LOGS/record")"
}

# explain RECORDING REQUEST: story, why.json, why.svg
explain() {
	local kp
	kp=$(words "$1")
	(
		PATH=$KP_BIN:$PATH
		sh_run "kp-enrich $kp | kp-causal --request $2 -f text"
		sh_run "kp-enrich -q $kp | kp-causal --request $2 -f json > $(words "$OUT/why.json")"
		sh_run "kp-enrich -q $kp | kp-causal --request $2 | kp-dot -f svg > $(words "$OUT/why.svg")"
	)
}

# judge: compares what kp-causal said with what we know. Status 1 when it differs.
judge() {
	local args=(--request "$REQUEST")
	if [ -n "$CULPRIT" ]; then
		args+=(--kind "$KINDS" --pid "$CULPRIT")
	else
		args+=(--none)
	fi
	if [ -s "$OUT/witness.csv" ] && [ -s "$OUT/load.log" ]; then
		args+=(--witness "$OUT/witness.csv" --log "$OUT/load.log")
		[ "${WITNESS:-}" != strict ] || args+=(--strict)
	fi
	show "verdict $(words "${args[@]}" "$OUT/why.json")"
	"$EX/verdict" "${args[@]}" "$OUT/why.json"
}

# Where nothing can be recorded: the recording that ships with the sources.
explain_shipped() {
	local kp=$HERE/incident.kp
	[ -s "$kp" ] || die "cannot record here ($WHY_NOT), and there is no $kp"
	# shellcheck source=/dev/null
	. "$HERE/incident.env"
	echo "cannot record here ($WHY_NOT): this is the recording that ships with kprobe, made by this demo with FAULT=$FAULT"
	rm -f "$OUT/witness.csv" "$OUT/load.log"
	build_programs verdict
	explain "$kp" "$REQUEST" && judge
}

# SHIP=1: this run's recording becomes the shipped one.
ship() {
	run cp "$OUT/checkout.kp" "$HERE/incident.kp"
	printf 'FAULT=%s\nREQUEST=%s\nCULPRIT=%s\nKINDS=%s\n' "$FAULT" "$REQUEST" "$CULPRIT" "$KINDS" >"$HERE/incident.env"
	note "incident.kp: $(stat -c %s "$HERE/incident.kp") bytes"
}
