/* SPDX-License-Identifier: BSD-2-Clause */
#include "opts.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const struct kp_opt kp_common_opts[] = {
	{ 'o', "output", "FILE", "write to FILE instead of standard output" },
	{ 'q', "quiet", NULL, "say nothing on standard error but errors" },
	{ 'v', "verbose", NULL, "say more (twice: still more)" },
	{ 'h', "help", NULL, "show this help" },
	{ 'V', "version", NULL, "show the version" },
	{ 0 },
};

static size_t own_count(const struct kp_tool *t)
{
	size_t n = 0;

	while (t->opts && t->opts[n].key)
		n++;
	return n;
}

const struct kp_opt *kp_opt_next(const struct kp_tool *t, size_t *i)
{
	size_t own = own_count(t);

	while (*i < own && t->opts[*i].key < 0)
		(*i)++;
	const struct kp_opt *o = *i < own ? &t->opts[*i] : &kp_common_opts[*i - own];

	if (!o->key)
		return NULL;
	(*i)++;
	return o;
}

/* "short long arg" lines, "-" for what an option does not have: what a man page must mention. */
static void print_options(const struct kp_tool *t)
{
	const struct kp_opt *o;

	for (size_t i = 0; (o = kp_opt_next(t, &i));) {
		char s[3] = { '-', o->key < 256 ? o->key : 0 };

		printf("%s --%s %s\n", s, o->name, o->arg ? o->arg : "-");
	}
}

struct getopt_tables { char *shorts; struct option *longs; };

static int make_tables(const struct kp_tool *t, bool stop, struct getopt_tables *g)
{
	size_t n = own_count(t) + 8, nl = 0, ns = 0;
	const struct kp_opt *o;

	g->longs = calloc(n, sizeof(*g->longs));
	g->shorts = calloc(n, 2);
	if (!g->longs || !g->shorts)
		return -ENOMEM;
	if (stop)
		g->shorts[ns++] = '+';
	g->shorts[ns++] = ':';
	for (size_t i = 0; (o = kp_opt_next(t, &i));) {
		g->longs[nl++] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, o->key };
		if (o->key >= 256)
			continue;
		g->shorts[ns++] = o->key;
		if (o->arg)
			g->shorts[ns++] = ':';
	}
	g->longs[nl++] = (struct option){ "completion", required_argument, NULL, KP_OPT_COMPLETION };
	g->longs[nl] = (struct option){ "options", no_argument, NULL, KP_OPT_OPTIONS };
	return 0;
}

static int usage(const struct kp_tool *t, const char *what, const char *opt, size_t len)
{
	kp_warn(t, "%s '%.*s': try '%s --help'", what, (int)len, opt, t->name);
	return KP_EXIT_USAGE;
}

static int unknown(const struct kp_tool *t, char **argv)
{
	const char *arg = argv[optind - 1];
	char s[3] = { '-', optopt };

	if (strncmp(arg, "--", 2))
		return usage(t, "unknown option", s, 2);
	if (optopt)	/* getopt knows it, but it was given a value */
		return usage(t, "no value may be given with", arg, strcspn(arg, "="));
	return usage(t, "unknown or ambiguous option", arg, strcspn(arg, "="));
}

static int missing(const struct kp_tool *t, char **argv)
{
	const char *arg = argv[optind - 1];
	char s[3] = { '-', optopt };

	if (optopt < 256 && strncmp(arg, "--", 2))
		return usage(t, "a value is missing after", s, 2);
	return usage(t, "a value is missing after", arg, strlen(arg));
}

/* Help and the like may go into a full disk or a closed pipe, too. */
static int printed(const struct kp_tool *t)
{
	struct kp_err err;

	errno = 0;
	if (fflush(stdout) || ferror(stdout))
		return kp_complain(t, kp_err(&err, errno ? errno : EIO, "write: %s", strerror(errno ? errno : EIO)), &err);
	return KP_EXIT_OK;
}

/* An option that all tools have: 1 go on, 0 exit with *status. */
static int common(const struct kp_tool *t, int key, char **argv, struct kp_common *c, int *status)
{
	switch (key) {
	case 'o': c->out = optarg; return 1;
	case 'q': c->quiet = true; return 1;
	case 'v': c->verbose++; return 1;
	case 'h': kp_opts_help(t); break;
	case 'V': printf("%s (kprobe) %s\n", t->name, KP_VERSION); break;
	case KP_OPT_OPTIONS: print_options(t); break;
	case KP_OPT_COMPLETION:
		if (!kp_opts_completion(t, optarg))
			break;
		*status = usage(t, "--completion takes bash, zsh or fish, not", optarg, strlen(optarg));
		return 0;
	case ':': *status = missing(t, argv); return 0;
	default: *status = unknown(t, argv); return 0;
	}
	*status = printed(t);
	return 0;
}

static bool is_own(const struct kp_tool *t, int key)
{
	for (size_t i = 0; i < own_count(t); i++)
		if (t->opts[i].key == key)
			return true;
	return false;
}

int kp_opts(const struct kp_tool *t, int argc, char **argv, bool stop, struct kp_common *c,
	    int (*fn)(void *arg, int key, const char *val, struct kp_err *err), void *arg, int *status)
{
	struct getopt_tables g = { 0 };
	struct kp_err err = { "" };
	int key, rc = -1;

	kp_reserve_std();
	memset(c, 0, sizeof(*c));
	if (make_tables(t, stop, &g)) {
		*status = kp_complain(t, -ENOMEM, NULL);
		goto out;
	}
	opterr = 0;
	optind = 0;	/* glibc: start afresh */
	while ((key = getopt_long(argc, argv, g.shorts, g.longs, NULL)) != -1) {
		if (key != ':' && key != '?' && is_own(t, key)) {
			int e = fn(arg, key, optarg, &err);

			if (e < 0) {
				kp_complain(t, e, &err);
				*status = KP_EXIT_USAGE;
				goto out;
			}
		} else if (!common(t, key, argv, c, status)) {
			goto out;
		}
	}
	*status = KP_EXIT_OK;
	rc = optind;
out:
	free(g.shorts);
	free(g.longs);
	return rc;
}
