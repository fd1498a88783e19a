# SPDX-License-Identifier: BSD-2-Clause
# What the lint scripts share: check NAME COMMAND... runs the command; what it prints are the findings, and any
# finding or a failing status makes the check fail. note LINE says something that is not a failure.
checks=0 bad=0

check() {
	local name=$1 found rc
	shift
	found=$("$@" 2>&1)
	rc=$?
	checks=$((checks + 1))
	if [ -z "$found" ] && [ $rc -eq 0 ]; then
		echo "ok $checks - $name"
		return
	fi
	bad=$((bad + 1))
	echo "not ok $checks - $name"
	[ $rc -eq 0 ] || echo "# status $rc"
	printf '%s\n' "$found" | head -n 100 | sed 's/^/#   /'
}

skip_check() {
	checks=$((checks + 1))
	echo "ok $checks - $1 # skip $2"
}

note() { echo "# $*"; }

# Prints the plan at the end, as TAP allows, and is the exit status.
end_checks() {
	echo "1..$checks"
	[ "$bad" -eq 0 ]
}
