/* SPDX-License-Identifier: BSD-2-Clause */
/* kp-query: prints and filters streams. See kp-query(1). */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kp/export.h>
#include <kp/query.h>
#include <kp/util.h>

#define FLUSH 100000000	/* ns */

enum { O_SINCE = 256, O_UNTIL, O_AROUND, O_KINDS, O_INFO, O_STRICT, O_UTC };

static const struct kp_opt opts[] = {
	{ -1, NULL, NULL, "Which rows" },
	{ 'w', "where", "EXPR", "those for which EXPR is true; an operand that is no file may be EXPR, too" },
	{ 'e', "events", "KINDS", "those of these kinds, as in 'sys.*,tcp.*'" },
	{ O_SINCE, "since", "TIME", "not before TIME: 02:45, 2026-11-25T02:45:00+01:00, -10m, @1764038700" },
	{ O_UNTIL, "until", "TIME", "not after TIME" },
	{ O_AROUND, "around", "TIME", "30 s before and after TIME; TIME,2m: two minutes" },
	{ 'n', "count", "N", "the first N" },
	{ -1, NULL, NULL, "What to print" },
	{ 'f', "format", "text|json|csv|kp", "default: text on a terminal, and into a pipe or a file the stream (kp), for other kp- tools" },
	{ O_INFO, "info", NULL, "what the stream says about itself: hosts, time range, losses, damage, counts" },
	{ O_KINDS, "kinds", NULL, "the kinds of rows there are, their arguments and meaning" },
	{ O_UTC, "utc", NULL, "times in UTC rather than in the zone of the host" },
	{ O_STRICT, "strict", NULL, "damage in the input is an error" },
	{ 0 },
};

static const struct kp_tool tool = {
	.name = "kp-query",
	.usage = "[OPTION]... [EXPR] [FILE]...",
	.about = "Prints and filters recordings: files, directories of segments, or - for standard input.",
	.opts = opts,
	.examples = "  kp-query 'kind == \"sys.write\" && dur > 10ms && comm == \"postgres\"' rec.kp\n"
		    "  kp-query --around 02:47 /var/lib/kprobe | kp-causal --slowest 3\n",
};

struct args {
	struct kp_common common;
	struct kp_query_opts q;
	const char *format;
	bool info, kinds, utc;
	bool misused;		/* what was asked for makes no sense */
	struct kp_query *query;
	struct kp_export *export;
	uint64_t flushed;
	int flush_rc;
	struct kp_err flush_err;
	int fd;			/* of the output, -1 not opened yet */
	bool progress;		/* a progress line may be shown */
	uint64_t began, shown;
};

static int take(void *arg, int key, const char *val, struct kp_err *err)
{
	struct args *a = arg;
	char *end;
	int rc;

	switch (key) {
	case 'w': a->q.where = val; break;
	case 'e': a->q.kinds = val; break;
	case O_SINCE: a->q.since = val; break;
	case O_UNTIL: a->q.until = val; break;
	case O_AROUND: a->q.around = val; break;
	case O_INFO: a->info = true; break;
	case O_KINDS: a->kinds = true; break;
	case O_STRICT: a->q.strict = true; break;
	case O_UTC: a->utc = true; break;
	case 'n':
		errno = 0;
		a->q.count = strtoull(val, &end, 10);
		if (errno || *end || *val < '0' || *val > '9' || !a->q.count)
			return kp_err(err, EINVAL, "--count takes a number from 1 on, not %s", val);
		break;
	case 'f':
		rc = kp_export_binary(val, err);
		if (rc < 0)
			return rc;
		a->format = val;
		break;
	}
	return 0;
}

static void clear_progress(struct args *a)
{
	if (a->shown)
		fputs("\r\033[K", stderr);
	a->shown = 0;
}

static void found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	struct args *a = arg;

	clear_progress(a);
	if (!a->common.quiet)
		kp_warn(&tool, "%s: %s", input, line);
}

/* From the second second on, five times a second. */
static void progress(void *arg)
{
	struct args *a = arg;
	uint64_t now = kp_now_mono();
	struct kp_query_stats st;
	char done[32], all[32];

	if (!a->query || !a->progress || now - a->began < 1000000000 || now - a->shown < 200000000)
		return;
	kp_query_stats(a->query, &st);
	a->shown = now;
	fprintf(stderr, "\r%s: %s", tool.name, kp_fmt_bytes(done, st.bytes));
	if (st.total)
		fprintf(stderr, " of %s (%d %%)", kp_fmt_bytes(all, st.total), (int)(100.0 * (double)st.bytes / (double)st.total));
	fprintf(stderr, ", %llu rows\033[K", (unsigned long long)st.rows_in);
}

/*
 * The input is a pipe with nothing in it: whoever watches a host wants to see what there is. Not more often than
 * ten times a second, though, since blocks of a few rows do not compress.
 */
static void idle(void *arg, int fd)
{
	struct args *a = arg;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t since = kp_now_mono() - a->flushed;

	if (!a->export || a->flush_rc || (since < FLUSH && poll(&p, 1, (int)((FLUSH - since) / 1000000) + 1)))
		return;
	a->flush_rc = kp_export_flush(a->export, &a->flush_err);
	a->flushed = kp_now_mono();
}

static int renew(void *arg, struct kp_err *err)
{
	struct args *a = arg;

	return a->export ? kp_export_forget(a->export, err) : 0;
}

/* An operand that is no file, but can be read as an expression. */
static bool is_expression(const char *s)
{
	struct kp_err ignored;

	if (!strcmp(s, "-") || !access(s, F_OK))
		return false;
	return strpbrk(s, "=<>~!&|()\"' ") || !kp_query_check(s, &ignored);
}

static int misuse(struct args *a, int rc)
{
	a->misused |= rc == -EINVAL;
	return rc;
}

/* It may stand before or behind the files; it is moved to the front. Returns where the files begin. */
static int take_expression(struct args *a, char **argv, int first, int argc)
{
	for (int i = first; i < argc; i++) {
		char *s = argv[i];

		if (!is_expression(s))
			continue;
		memmove(argv + first + 1, argv + first, (i - first) * sizeof(*argv));
		argv[first] = s;
		a->q.where = s;
		return first + 1;
	}
	return first;
}

/* The output is opened when the input was found good, and never over it. */
static int open_out(struct args *a, struct kp_err *err)
{
	struct stat out, in;

	if (a->common.out && strcmp(a->common.out, "-") != 0 && !stat(a->common.out, &out) && S_ISREG(out.st_mode))
		for (uint32_t i = 0; i < a->q.npaths; i++)
			if (!stat(a->q.paths[i], &in) && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
				return misuse(a, kp_err(err, EINVAL, "%s: is input and output: write to another file", a->common.out));
	a->fd = kp_open_out(a->common.out, err);
	return a->fd < 0 ? a->fd : 0;
}

static int pass_graphs(struct args *a, struct kp_export *x, struct kp_err *err)
{
	struct kp_graph *g;
	int rc = 0;

	while (!rc && kp_reader_graph(kp_query_reader(a->query), &g) == 1) {
		rc = kp_export_graph(x, g, err);
		kp_graph_free(g);
	}
	return rc;
}

static int print_rows(struct args *a, struct kp_export *x, struct kp_err *err)
{
	const struct kp_row *row;
	int rc;

	while ((rc = kp_query_next(a->query, &row, err)) > 0) {
		rc = kp_export_row(x, row, err);
		if (!rc)
			rc = pass_graphs(a, x, err);
		if (!rc && a->flush_rc) {
			*err = a->flush_err;
			rc = a->flush_rc;
		}
		if (rc)
			return rc;
	}
	return rc ? rc : pass_graphs(a, x, err);
}

/* What the rows alone do not tell: why there are none, and what is missing between them. */
static void remarks(const struct args *a)
{
	char from[48], to[48];
	struct kp_query_stats st;

	kp_query_stats(a->query, &st);
	if (a->common.quiet)
		return;
	if (!st.rows_out && (st.since || st.until) && st.end)
		kp_warn(&tool, "no such row in that time; the recording covers %s to %s", kp_fmt_wall(from, st.begin, st.utc_offset),
			kp_fmt_wall(to, st.end, st.utc_offset));
	if (!(a->q.keep & (KP_QUERY_LOSSES | KP_QUERY_CONTEXT)) && !a->q.count && (st.lost || st.lost_unknown))
		kp_warn(&tool, "%llu%s rows were lost while this was recorded: -e 'loss.*' shows where", (unsigned long long)st.lost,
			st.lost_unknown ? " and more" : "");
}

static int query(struct args *a, int argc, char **argv, struct kp_err *err)
{
	bool terminal = !a->common.out && isatty(STDOUT_FILENO);
	const char *format = a->format ? a->format : terminal ? "text" : "kp";
	struct kp_export_opts xo = { .utc = a->utc, .verbose = a->common.verbose, .tool = tool.name, .argc = argc, .argv = argv };
	struct kp_export *x = NULL;
	struct kp_query_stats st;
	int rc = kp_export_binary(format, err), e;

	if (rc > 0 && terminal)
		rc = kp_check_binary_out(STDOUT_FILENO, err);
	if (rc < 0)
		return rc;
	if (!strcmp(format, "text"))
		a->q.keep = KP_QUERY_LOSSES | (a->common.verbose < 2 ? KP_QUERY_NO_NOISE : 0);
	else if (!strcmp(format, "kp"))
		a->q.keep = KP_QUERY_CONTEXT;
	rc = misuse(a, kp_query_open(&a->query, &a->q, err));
	if (!rc)
		rc = open_out(a, err);
	if (rc)
		return rc;
	xo.kinds = kp_query_kinds(a->query);
	xo.pool = kp_query_pool(a->query);
	xo.reader = kp_query_reader(a->query);
	xo.color = terminal && kp_color(stdout);
	rc = kp_export_open(&x, format, a->fd, &xo, err);
	a->export = x;
	if (!rc)
		rc = print_rows(a, x, err);
	a->export = NULL;
	kp_query_stats(a->query, &st);
	e = kp_export_close(x, !rc, st.rows_in, err);
	clear_progress(a);
	if (!rc && !e)
		remarks(a);
	return rc ? rc : e;
}

static int report(struct args *a, struct kp_err *err)
{
	bool json = a->format && !strcmp(a->format, "json");
	struct kp_buf b = { 0 };
	int rc = 0;

	if (a->format && !json && strcmp(a->format, "text") != 0)
		return misuse(a, kp_err(err, EINVAL, "--%s prints text or json, not %s", a->info ? "info" : "kinds", a->format));
	if (a->kinds)
		rc = kp_query_list_kinds(&b, a->q.kinds, json, err);
	else if (!(rc = misuse(a, kp_query_open(&a->query, &a->q, err))))
		rc = kp_query_info(a->query, &b, json, err);
	clear_progress(a);
	if (!rc)
		rc = open_out(a, err);
	if (!rc && (rc = kp_write_all(a->fd, b.p, b.len)))
		kp_err(err, rc, "write: %s", strerror(-rc));
	kp_buf_free(&b);
	return rc;
}

static void once(int sig)
{
}

/*
 * Ctrl-C in `kp-record | kp-query` reaches both: the recorder ends its recording, and that end shall still be passed
 * on. A second one ends this, too.
 */
static void let_the_pipe_end(const struct args *a)
{
	struct sigaction sa = { .sa_handler = once, .sa_flags = SA_RESTART | SA_RESETHAND }, old;
	bool reads = !a->q.npaths;
	struct stat st;

	for (uint32_t i = 0; i < a->q.npaths; i++)
		reads |= !strcmp(a->q.paths[i], "-");
	if (reads && !fstat(STDIN_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) &&
	    !sigaction(SIGINT, NULL, &old) && old.sa_handler != SIG_IGN)
		sigaction(SIGINT, &sa, NULL);
}

int main(int argc, char **argv)
{
	struct args a = { .began = kp_now_mono(), .fd = -1 };
	struct kp_err err = { "" };
	int status, first, rc;

	a.q.found = found;
	a.q.tick = progress;
	a.q.idle = idle;
	a.q.renew = renew;
	a.q.found_arg = a.q.tick_arg = a.q.idle_arg = a.q.renew_arg = &a;
	first = kp_opts(&tool, argc, argv, false, &a.common, take, &a, &status);
	if (first < 0)
		return status;
	if (!a.q.where && !a.kinds)
		first = take_expression(&a, argv, first, argc);
	a.q.paths = (const char *const *)argv + first;
	a.q.npaths = argc - first;
	if (!a.q.npaths && !a.kinds && isatty(STDIN_FILENO)) {
		kp_warn(&tool, "no file given, and standard input is a terminal: try '%s --help'", tool.name);
		return KP_EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	let_the_pipe_end(&a);
	a.progress = !a.common.quiet && isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO);
	rc = a.info || a.kinds ? report(&a, &err) : query(&a, argc, argv, &err);
	kp_query_close(a.query);
	/* a full disk may be told only now */
	if (a.fd >= 0 && close(a.fd) && !rc)
		rc = kp_err(&err, errno, "%s: %s", a.common.out ? a.common.out : "standard output", strerror(errno));
	status = kp_complain(&tool, rc, &err);
	return a.misused ? KP_EXIT_USAGE : status;
}
