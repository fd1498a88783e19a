/* SPDX-License-Identifier: BSD-2-Clause */
/* --help and shell completion, from a tool's option table. */
#include "opts.h"

#include <errno.h>
#include <string.h>

enum { INDENT = 28, WIDTH = 79 };

/* Text wrapped behind what has been printed up to column `at`. */
static void wrap(const char *s, int at)
{
	if (at > INDENT - 2) {
		putchar('\n');
		at = 0;
	}
	printf("%*s", INDENT - at, "");
	at = INDENT;
	while (*s) {
		int n = (int)strcspn(s, " ");

		if (at > INDENT && at + 1 + n > WIDTH) {
			printf("\n%*s", INDENT, "");
			at = INDENT;
		} else if (at > INDENT) {
			putchar(' ');
			at++;
		}
		printf("%.*s", n, s);
		at += n;
		s += n;
		s += strspn(s, " ");
	}
	putchar('\n');
}

static void help_rows(const struct kp_opt *o)
{
	for (; o->key; o++) {
		int at;

		if (o->key < 0) {
			printf("\n%s:\n", o->help);
			continue;
		}
		at = o->key < 256 ? printf("  -%c, ", o->key) : printf("      ");
		at += printf("--%s", o->name);
		if (o->arg)
			at += printf("%c%s", o->key < 256 ? ' ' : '=', o->arg);
		wrap(o->help, at);
	}
}

void kp_opts_help(const struct kp_tool *t)
{
	printf("Usage: %s %s\n%s\n", t->name, t->usage, t->about);
	if (t->opts && t->opts[0].key) {
		if (t->opts[0].key > 0)
			puts("\nOptions:");
		help_rows(t->opts);
	}
	puts("\nFor every tool:");
	help_rows(kp_common_opts);
	if (t->examples)
		printf("\nExamples:\n%s%s", t->examples, t->examples[strlen(t->examples) - 1] == '\n' ? "" : "\n");
	printf("\nMore: man %s\n", t->name);
}

static bool ends(const char *s, const char *tail)
{
	size_t a = strlen(s), b = strlen(tail);

	return a >= b && !strcmp(s + a - b, tail);
}

static bool takes_file(const char *arg)
{
	return ends(arg, "FILE") || ends(arg, "PATH") || ends(arg, "DIR");
}

/* The values of "a|b|c" with blanks between them. */
static void print_values(const char *arg)
{
	for (; *arg; arg++)
		putchar(*arg == '|' ? ' ' : *arg);
}

/* kp-query -> kp_query, since a function's name has no dash everywhere */
static void print_func(const struct kp_tool *t)
{
	putchar('_');
	for (const char *s = t->name; *s; s++)
		putchar(*s == '-' ? '_' : *s);
}

static void bash(const struct kp_tool *t)
{
	const struct kp_opt *o;

	printf("# bash completion for %s\n", t->name);
	print_func(t);
	puts("() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n\tCOMPREPLY=()\n\tcase $prev in");
	for (size_t i = 0; (o = kp_opt_next(t, &i));) {
		if (!o->arg || takes_file(o->arg))
			continue;
		putchar('\t');
		if (o->key < 256)
			printf("-%c|", o->key);
		printf("--%s) ", o->name);
		if (strchr(o->arg, '|')) {
			fputs("mapfile -t COMPREPLY < <(compgen -W '", stdout);
			print_values(o->arg);
			fputs("' -- \"$cur\"); ", stdout);
		}
		puts("return ;;");
	}
	fputs("\tesac\n\tif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W '", stdout);
	for (size_t i = 0; (o = kp_opt_next(t, &i));) {
		if (o->key < 256)
			printf("-%c ", o->key);
		printf("--%s ", o->name);
	}
	fputs("' -- \"$cur\")\n\telse\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\tfi\n}\n"
	      "complete -o filenames -F ", stdout);
	print_func(t);
	printf(" %s\n", t->name);
}

/* Text inside '...' of zsh or fish; in zsh's specifications [ ] : mean something, too. */
static void quoted(const char *s, bool zsh)
{
	for (; *s; s++) {
		if (*s == '\'')
			fputs(zsh ? "'\\''" : "\\'", stdout);
		else if (zsh && strchr("[]:", *s))
			printf("\\%c", *s);
		else if (*s == '\\')
			fputs("\\\\", stdout);
		else
			putchar(*s);
	}
}

static void zsh_rest(const struct kp_opt *o)
{
	printf("'[");
	quoted(o->help, true);
	putchar(']');
	if (o->arg && strchr(o->arg, '|')) {
		fputs(":value:(", stdout);
		print_values(o->arg);
		putchar(')');
	} else if (o->arg) {
		putchar(':');
		quoted(o->arg, true);
		fputs(takes_file(o->arg) ? ":_files" : ": ", stdout);
	}
	fputs("' \\\n", stdout);
}

static void zsh(const struct kp_tool *t)
{
	const struct kp_opt *o;

	printf("#compdef %s\n_arguments -s \\\n", t->name);
	for (size_t i = 0; (o = kp_opt_next(t, &i));) {
		if (o->key < 256)
			printf("\t'(-%c --%s)'{-%c%s,--%s%s}", o->key, o->name, o->key, o->arg ? "+" : "",
			       o->name, o->arg ? "=" : "");
		else
			printf("\t--%s%s", o->name, o->arg ? "=" : "");
		zsh_rest(o);
	}
	puts("\t'*:FILE:_files'");
}

static void fish(const struct kp_tool *t)
{
	const struct kp_opt *o;

	printf("# fish completion for %s\n", t->name);
	for (size_t i = 0; (o = kp_opt_next(t, &i));) {
		printf("complete -c %s", t->name);
		if (o->key < 256)
			printf(" -s %c", o->key);
		printf(" -l %s", o->name);
		if (o->arg)
			fputs(takes_file(o->arg) ? " -r" : " -x", stdout);
		if (o->arg && strchr(o->arg, '|')) {
			fputs(" -a '", stdout);
			print_values(o->arg);
			putchar('\'');
		}
		fputs(" -d '", stdout);
		quoted(o->help, false);
		puts("'");
	}
}

int kp_opts_completion(const struct kp_tool *t, const char *shell)
{
	if (!strcmp(shell, "bash"))
		bash(t);
	else if (!strcmp(shell, "zsh"))
		zsh(t);
	else if (!strcmp(shell, "fish"))
		fish(t);
	else
		return -EINVAL;
	return 0;
}
