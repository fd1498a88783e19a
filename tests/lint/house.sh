#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The house rules that can be checked in seconds: layout, layers, licences, globals, man pages, completions, shell.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
cd "$root" || exit 1
. tests/lint/tap.bash
bin=${KP_BIN:-$root/build/bin}
build=${KP_BUILD:-$root/build}

# A checkout is asked for the files that belong to it, an unpacked archive for all but what was built.
sources() {
	if [ -d .git ] && command -v git >/dev/null; then
		git -c safe.directory='*' ls-files --cached --others --exclude-standard | while read -r f; do [ -f "$f" ] && echo "$f"; done
	else
		find . -type f -not -path './build/*' | sed 's|^\./||'
	fi
}
sources=$(sources)
of() { grep -E "$1" <<<"$sources"; }

top_level() {
	cut -d/ -f1 <<<"$sources" | sort -u |
		grep -vxE 'Makefile|README\.md|LICENSE|cmd|lib|bpf|include|man|completions|tests|examples|\.ci|\.gitignore'
	return 0
}

licences() {
	local f
	for f in $(of '\.(c|h|def|sh|bash|bats|mk|py|md)$|^Makefile$|^\.ci/|^completions/generate$'); do
		case $f in *.md) continue ;; esac
		head -n 5 "$f" | grep -q 'SPDX-License-Identifier:' || echo "$f: no SPDX-License-Identifier in its first lines"
	done
}

# A machine's own paths and registries have no place in a repository, nor have promises.
leftovers() {
	local f
	for f in $(of '^(cmd|lib|bpf|include|man|tests|examples|completions|\.ci)/|^Makefile$|^README'); do
		case $f in tests/lint/house.sh | *.kp | *.png) continue ;; esac
		grep -nHIE '\b(TODO|FIXME|XXX|HACK)\b|/[w]ork/|not implemented|placeholder' "$f"
	done
	return 0
}

# lib/DIR may use its own layer's own files and the layers below: job -> expr, proto, sym -> stream -> util.
layer() {
	case $1 in
	util) echo 0 ;;
	stream) echo 1 ;;
	expr | proto | sym) echo 2 ;;
	*) echo 3 ;;
	esac
}

# The layer that a header in include/kp belongs to: the record model is everybody's.
header_dir() {
	case $1 in
	err | util | row | kinds | kinds.def | syscalls.def | causes | causes.def | pool | graph) echo util ;;
	dot) echo graph ;;
	*) echo "${1%.def}" ;;
	esac
}

layers() {
	local file line dir to
	while IFS=: read -r file line; do
		dir=${file#lib/}
		dir=${dir%%/*}
		to=$(sed -nE 's/.*#[[:space:]]*include[[:space:]]*[<"]([^">]+)[">].*/\1/p' <<<"$line")
		case $to in
		kp/*) to=${to#kp/}; to=$(header_dir "${to%.h}") ;;
		../*) echo "$file: includes $to: paths through .. hide a dependency"; continue ;;
		*/*) to=${to%%/*}; [ -d "lib/$to" ] || continue ;;
		*) continue ;;
		esac
		[ "$to" = "$dir" ] || [ "$(layer "$to")" -lt "$(layer "$dir")" ] ||
			echo "$file: lib/$dir must not include anything of $to"
	done < <(grep -HE '^[[:space:]]*#[[:space:]]*include' $(of '^lib/.*\.[ch]$') /dev/null)
}

# What the includes hide, the linker shows: who calls whom.
calls() {
	local o
	[ -d "$build/lib" ] || { echo "nothing is built in $build"; return; }
	for o in $(of '^lib/.*\.c$'); do
		o=$build/${o%.c}.o
		[ -f "$o" ] && nm -A "$o"
	done | awk -v base="$build/lib/" '
		BEGIN { L["util"] = 0; L["stream"] = 1; L["expr"] = L["proto"] = L["sym"] = 2 }
		function layer(d) { return d in L ? L[d] : 3 }
		{
			split(substr($0, length(base) + 1), part, "/"); dir = part[1]
			name = $NF; type = $(NF - 1)
			if (type == "T" || type == "D" || type == "R" || type == "B") def[name] = dir
			else if (type == "U") use[dir " " name] = 1
		}
		END {
			for (u in use) {
				split(u, p, " ")
				if (!(p[2] in def) || def[p[2]] == p[1]) continue
				if (layer(def[p[2]]) >= layer(p[1])) print "lib/" p[1] " calls " p[2] " of lib/" def[p[2]]
			}
		}' | sort
}

# Variables that can change, in sections .data and .bss, thread-local ones too. Constant tables are in .rodata and .data.rel.ro.
globals() {
	local o
	for o in $(of '^lib/.*\.c$'); do
		o=$build/${o%.c}.o
		[ -f "$o" ] && objdump -t "$o" | awk -v o="lib/${o#"$build"/lib/}" \
			'NF > 2 && $(NF - 2) ~ /^\.(data|bss|tdata|tbss)(\.rel(\.local)?)?$/ && $(NF - 1) !~ /^0+$/ && $NF !~ /^\./ { print o ": variable " $NF }'
	done
	return 0
}

lengths() {
	local f n
	for f in $(of '^(cmd|lib|bpf|include)/.*\.[ch]$|^tests/.*\.(c|sh|py)$|^examples/.*\.(c|sh)$'); do
		n=$(wc -l <"$f")
		[ "$n" -le 600 ] || echo "$f: $n lines, the limit is 500"
	done
}

long_files() {
	local f n
	for f in $(of '^(cmd|lib|bpf|include)/.*\.[ch]$'); do
		n=$(wc -l <"$f")
		[ "$n" -le 500 ] || note "$f: $n lines, over 500"
	done
}

man_lint() {
	local m
	for m in $(of '^man/.*\.[157]$'); do
		mandoc -T lint -W warning "$m"
	done
}

man_pages() {
	local t m s l
	for t in "$bin"/kp-*; do
		[ -x "$t" ] || { echo "no tools in $bin"; return; }
		m=man/${t##*/}.1
		[ -f "$m" ] || { echo "${t##*/}: no $m"; continue; }
		while read -r s l _; do
			l=${l#--}
			# mdoc writes an option as "Fl -name", "Fl n", or both on a line.
			grep -qE -- "Fl (.* )?(\\\\?-){1,2}${l//-/\\\\?-}([^a-z-]|\$)" "$m" || echo "$m: --$l is missing"
			[ "$s" = - ] || grep -qE -- "Fl ([A-Za-z]*${s#-}|.* Fl ${s#-})( |\$)" "$m" || echo "$m: $s is missing"
		done < <("$t" --options)
	done
	for m in $(of '^man/kp-.*\.1$'); do
		t=${m#man/}
		[ -f "cmd/${t%.1}.c" ] || echo "$m: there is no such tool"
	done
}

completions_fresh() {
	local d
	d=$(mktemp -d) || return
	completions/generate "$bin" "$d" && diff -rq --exclude=generate completions "$d"
	rm -rf "$d"
}

shell() {
	local f
	for f in $(of '\.(sh|bash|bats)$|^\.ci/|^completions/generate$'); do
		# 1091: files that are sourced; 2016, 2030, 2031: bats runs each test in a subshell
		case $f in
		*.bats) shellcheck -e 1091,2016,2030,2031,2154 "$f" ;;
		tests/lint/*) shellcheck -e 1091,2046,2034 -s bash "$f" ;;
		*.bash) shellcheck -e 1091,2034,2154 -s bash "$f" ;;
		*) shellcheck -e 1091 "$f" ;;
		esac
	done
}

check "nothing but the agreed names at the top" top_level
check "every file names its licence" licences
check "no leftovers" leftovers
check "includes point one way" layers
check "calls point one way" calls
check "no variable in lib/ that can change" globals
check "files are short" lengths
long_files
if command -v mandoc >/dev/null; then
	check "man pages are clean" man_lint
else
	skip_check "man pages are clean" "mandoc is missing"
fi
check "man pages name every option" man_pages
check "completions are those of the tools" completions_fresh
if command -v shellcheck >/dev/null; then
	check "shell scripts are clean" shell
else
	skip_check "shell scripts are clean" "shellcheck is missing"
fi
end_checks
