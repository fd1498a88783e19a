#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What `make install` leaves: a filter of somebody else's is built from it alone and runs in a pipe; tools, man pages, completions.

bats_require_minimum_version 1.5.0

setup_file() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	export ROOT KP_BUILD=${KP_BUILD:-$ROOT/build}
	export TREE=$BATS_FILE_TMPDIR/tree SHIPPED=$ROOT/examples/checkout/incident.kp
	export SAN=
	local args=(B="$KP_BUILD")
	case $KP_BUILD in	# what was built with the sanitizers has to be linked with them
	*/asan) args=(B="${KP_BUILD%/asan}" MODE=asan) SAN=-fsanitize=address,undefined ;;
	esac
	make -s -C "$ROOT" "${args[@]}" install DESTDIR="$TREE" PREFIX=/usr
	# pkg-config sees nothing but the tree
	export PKG_CONFIG_LIBDIR=$TREE/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$TREE
	unset PKG_CONFIG_PATH
	TOOLS=$(cd "$ROOT/cmd" && printf '%s ' kp-*.c)
	export TOOLS=${TOOLS//.c/}
}

setup() { cd "$BATS_TEST_TMPDIR" || return; }

# dropkind KINDS: a stream without the rows of these kinds, and how many went; as one would write it from the headers.
write_filter() {
	cat >dropkind.c <<-'END'
		#include <stdio.h>
		#include <kp/stream.h>

		int main(int argc, char **argv)
		{
			struct kp_read_opts ro = { .strict = true };
			struct kp_write_opts wo = { 0 };
			struct kp_err err = { "" };
			struct kp_pool *pool = NULL;
			struct kp_kinds *kinds = NULL;
			struct kp_reader *r = NULL;
			struct kp_writer *w = NULL;
			struct kp_header h = { 0 };
			const struct kp_row *row;
			unsigned long in = 0, dropped = 0;
			int rc = kp_pool_new(&pool);

			if (!rc) rc = kp_kinds_new(&kinds);
			if (!rc) rc = kp_reader_open(&r, NULL, 0, pool, kinds, &ro, &err);
			if (!rc) rc = kp_header_pass(&h, kp_reader_header(r), pool, "dropkind", argc, argv);
			if (!rc) rc = kp_writer_open(&w, 1, false, &h, kinds, &wo, &err);
			while (!rc && (rc = kp_reader_next(r, &row, &err)) > 0) {
				in++;
				rc = 0;
				if (argc > 1 && kp_kind_match(kp_kind_by_id(kinds, row->kind), argv[1]))
					dropped++;
				else
					rc = kp_writer_row(w, row, &err);
			}
			if (!rc) rc = kp_writer_update(w, kp_reader_header(r), &err);
			if (w && !rc) rc = kp_writer_close(w, in, &err);
			else if (w) kp_writer_abandon(w);
			if (rc)
				fprintf(stderr, "dropkind: %s\n", err.msg);
			else
				fprintf(stderr, "dropped %lu of %lu\n", dropped, in);
			kp_header_free(&h);
			kp_reader_close(r);
			kp_kinds_free(kinds);
			kp_pool_free(pool);
			return rc != 0;
		}
	END
}

# Nothing of the sources may be found by the compiler: it is told of no directory but by pkg-config.
build_filter() {
	write_filter
	# shellcheck disable=SC2046,SC2086
	cc -std=gnu11 -Wall -Wextra -Werror $SAN $(pkg-config --cflags libkp) -MMD -o dropkind dropkind.c $(pkg-config --libs libkp)
	run -1 grep -F "$ROOT/" dropkind.d
	grep -qF "$TREE/usr/include/kp/stream.h" dropkind.d
}

@test "a filter written from the installed headers drops what kp-query's expression drops" {
	build_filter
	./dropkind 'sched.*,tcp.recv' <"$SHIPPED" 2>said | "$TREE/usr/bin/kp-query" -q -f json >got
	"$TREE/usr/bin/kp-query" -q -f json 'kind !~ "^sched\." && kind != "tcp.recv"' "$SHIPPED" >expected
	[ -s expected ]
	cmp expected got
	all=$("$TREE/usr/bin/kp-query" -q -f json "$SHIPPED" | wc -l)
	[ "$(cat said)" = "dropped $((all - $(wc -l <expected))) of $all" ]
	[ "$all" -gt "$(wc -l <expected)" ]
}

@test "its stream is whole and tells that it went through the filter, and how many rows did" {
	build_filter
	./dropkind 'sched.*' <"$SHIPPED" 2>said >out.kp
	"$TREE/usr/bin/kp-query" --info -f json out.kp >info
	rows=$(jq '.rows' info)
	jq -e '.complete == true and (.provenance | length == 2) and .provenance[1].tool == "dropkind"' info
	[ "$(jq -r '.provenance[1] | "\(.args) \(.rows_in) \(.rows_out)"' info)" = "sched.* $(sed 's/.* of //' said) $rows" ]
}

@test "the filter fits between the other tools: the request is still explained" {
	build_filter
	# shellcheck source=/dev/null
	. "$ROOT/examples/checkout/incident.env"
	bin=$TREE/usr/bin
	./dropkind 'sys.madvise' <"$SHIPPED" 2>said | "$bin/kp-enrich" -q | "$bin/kp-causal" -q --request "$REQUEST" -f json >why.json
	[ "$(jq -r '.causes[0].culprit.pid' why.json)" = "$CULPRIT" ]
}

@test "bad input of the filter: one line, status 1, and no stream that looks whole" {
	build_filter
	run -1 --separate-stderr ./dropkind x <<<'no stream'
	[ -z "$output" ]
	[[ "$stderr" == dropkind:* ]]
	head -c 600000 "$SHIPPED" >half.kp
	run -1 --separate-stderr sh -c './dropkind x <half.kp >torn.kp'
	[[ "$stderr" == dropkind:* ]]
	[ "${#stderr_lines[@]}" = 1 ]
	"$TREE/usr/bin/kp-query" -q --info -f json torn.kp | jq -e '.complete == false and .rows > 0'
}

@test "every installed header compiles alone" {
	local h n=0
	for h in "$TREE"/usr/include/kp/*.h; do
		printf '#include <kp/%s>\n#include <kp/%s>\n' "${h##*/}" "${h##*/}" >one.c
		# shellcheck disable=SC2046
		cc -std=gnu11 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags libkp) one.c
		n=$((n + 1))
	done
	[ "$n" = "$(find "$ROOT/include/kp" -name '*.h' | wc -l)" ]
}

@test "libkp.pc: the version of the tools; all of the library links with --static" {
	[ "$(pkg-config --modversion libkp)" = "$("$TREE/usr/bin/kp-query" -V | awk '{ print $NF }')" ]
	printf 'int main(void) { return 0; }\n' >all.c
	# shellcheck disable=SC2046,SC2086
	cc $SAN all.c -Wl,--whole-archive "$TREE/usr/lib/libkp.a" -Wl,--no-whole-archive $(pkg-config --static --libs libkp) -o all
	./all
}

@test "every installed tool runs, has its man page, and the man pages refer to pages that are there" {
	local t page
	for t in $TOOLS; do
		[ "$(env -i "$TREE/usr/bin/$t" -V)" = "$t (kprobe) $(pkg-config --modversion libkp)" ]
		env -i "$TREE/usr/bin/$t" --help | grep -q "^Usage: $t "
		grep -q "^\.Nm $t" "$TREE/usr/share/man/man1/$t.1"
	done
	[ "$(find "$TREE/usr/bin" -type f | wc -l)" = "$(wc -w <<<"$TOOLS")" ]
	for page in "$ROOT"/man/*.[1-8]; do
		cmp "$page" "$TREE/usr/share/man/man${page##*.}/${page##*/}"
	done
	grep -hoE '^\.Xr kp[a-z-]* [0-9]' "$TREE"/usr/share/man/man?/* | sort -u | while read -r _ page s; do
		[ -e "$TREE/usr/share/man/man$s/$page.$s" ] || { echo "no $page($s)"; return 1; }
	done
}

@test "completions are where bash, zsh and fish look, and those of bash complete" {
	local t
	for t in $TOOLS; do
		[ -s "$TREE/usr/share/fish/vendor_completions.d/$t.fish" ]
		head -n 1 "$TREE/usr/share/zsh/site-functions/_kp" | grep -qw -- "$t"
		# shellcheck disable=SC2016
		PATH=$TREE/usr/bin:$PATH bash --norc -c '
			. "$1"
			f=$(complete -p "$2" | sed "s/.* -F \([^ ]*\) .*/\1/")
			COMP_WORDS=("$2" --outp) COMP_CWORD=1 COMP_LINE="$2 --outp" COMP_POINT=$((${#2} + 7))
			"$f" "$2" --outp "$2"
			[ "${COMPREPLY[0]% }" = --output ]' - "$TREE/usr/share/bash-completion/completions/$t" "$t"
	done
}

@test "installing again over what is there works, and all may read it whatever the umask" {
	local args=(B="$KP_BUILD")
	[ -z "$SAN" ] || args=(B="${KP_BUILD%/asan}" MODE=asan)
	mkdir tree
	for _ in 1 2; do
		(umask 077 && make -s -C "$ROOT" "${args[@]}" install DESTDIR="$PWD/tree" PREFIX=/usr)
	done
	diff -r "$TREE" tree
	[ -z "$(find tree/usr -type f ! -perm -444)" ]
	[ -z "$(find tree/usr -type d ! -perm -555)" ]
	[ -z "$(find tree/usr/bin -type f ! -perm 755)" ]
}
