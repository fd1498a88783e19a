/* SPDX-License-Identifier: BSD-2-Clause */
/* kp-causal: explains why requests were slow, and who made them so. See kp-causal(1). */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kp/causal.h>
#include <kp/expr.h>
#include <kp/util.h>

enum { O_TID = 256, O_PID, O_SINCE, O_UNTIL, O_STRICT };

static const struct kp_opt opts[] = {
	{ -1, NULL, NULL, "What to explain" },
	{ 'r', "request", "ID", "the request with this id" },
	{ 't', "trace", "ID", "the trace with this id" },
	{ 'x', "txn", "ID", "the database transaction with this id" },
	{ 'n', "slowest", "N", "the N slowest requests (default: 1)" },
	{ O_TID, "tid", "TID", "what this thread did" },
	{ O_PID, "pid", "PID", "what the busiest thread of this process did" },
	{ O_SINCE, "since", "TIME", "with --tid or --pid: from TIME on: 02:45, 2026-11-25T02:45:00+01:00, -10m, @1764038700" },
	{ O_UNTIL, "until", "TIME", "with --tid or --pid: until TIME" },
	{ -1, NULL, NULL, "What to write" },
	{ 'f', "format", "text|json|kp", "default: text on a terminal, else the stream with the explanations in it (kp)" },
	{ 'D', "delimiter", "STRING", "kp: write STRING after each chunk, for kcat -D" },
	{ O_STRICT, "strict", NULL, "damage in the input is an error" },
	{ 0 },
};

static const struct kp_tool tool = {
	.name = "kp-causal",
	.usage = "[OPTION]... [FILE]...",
	.about = "Explains why a request was slow: what it waited for, nanosecond by nanosecond, and whose doing that was.",
	.opts = opts,
	.examples = "  kp-enrich rec.kp | kp-causal --request req-9f21\n"
		    "  kp-record -d 5 | kp-enrich | kp-causal --slowest 3 | kp-dot -f svg > why.svg\n",
};

struct args {
	struct kp_common common;
	struct kp_select_opts sel;
	const char *format;
	struct kp_write_opts write;
	bool chosen, strict;
	int argc;
	char *const *argv;
};

struct run {
	const struct args *a;
	struct kp_again *in;
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_reader *r;		/* the first pass: its header numbers the sources */
	struct kp_scan *scan;
	struct kp_writer *w;		/* kp */
	FILE *f;			/* text, json */
	bool json, progress;
	uint32_t nsrc;
	uint64_t rows, began, shown;
};

static int number(const char *opt, const char *val, uint32_t max, uint32_t *out, struct kp_err *err)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(val, &end, 10);
	if (errno || *end || *val < '0' || *val > '9' || !n || n > max)
		return kp_err(err, EINVAL, "--%s takes a number from 1 to %u, not %s", opt, max, val);
	*out = (uint32_t)n;
	return 0;
}

static int choose(struct args *a, enum kp_select by, const char *id, struct kp_err *err)
{
	if (a->chosen)
		return kp_err(err, EINVAL, "choose one of --request, --trace, --txn, --slowest, --tid, --pid");
	if (id && !*id)
		return kp_err(err, EINVAL, "an id cannot be empty");
	a->chosen = true;
	a->sel.by = by;
	a->sel.id = id;
	return 0;
}

static int take(void *arg, int key, const char *val, struct kp_err *err)
{
	struct args *a = arg;
	uint64_t t;
	int rc;

	switch (key) {
	case 'r': return choose(a, KP_SEL_REQUEST, val, err);
	case 't': return choose(a, KP_SEL_TRACE, val, err);
	case 'x': return choose(a, KP_SEL_TXN, val, err);
	case 'n':
		rc = choose(a, KP_SEL_SLOWEST, NULL, err);
		return rc ? rc : number("slowest", val, 1000, &a->sel.n, err);
	case O_TID: case O_PID:
		a->sel.process = key == O_PID;
		rc = choose(a, KP_SEL_TASK, NULL, err);
		return rc ? rc : number(key == O_PID ? "pid" : "tid", val, INT32_MAX, &a->sel.tid, err);
	case O_SINCE: case O_UNTIL:
		if (kp_parse_time(val, kp_now_wall(), 0, &t))
			return kp_err(err, EINVAL, "%s: not a time: give it like 2026-11-25T02:45:30+01:00, 02:45, -10m or @seconds", val);
		*(key == O_SINCE ? &a->sel.since : &a->sel.until) = val;
		break;
	case 'f':
		if (strcmp(val, "text") != 0 && strcmp(val, "json") != 0 && strcmp(val, "kp") != 0)
			return kp_err(err, EINVAL, "--format is text, json or kp, not %s", val);
		a->format = val;
		break;
	case 'D':
		if (!*val)
			return kp_err(err, EINVAL, "--delimiter: want a string that is not empty");
		a->write.delimiter = val;
		break;
	case O_STRICT: a->strict = true; break;
	}
	return 0;
}

static void clear_progress(struct run *x)
{
	if (x->shown)
		fputs("\r\033[K", stderr);
	x->shown = 0;
}

static void progress(struct run *x, const char *what)
{
	uint64_t now = kp_now_mono();

	if (!x->progress || now - x->began < 1000000000 || now - x->shown < 200000000)
		return;
	x->shown = now;
	fprintf(stderr, "\r%s: %s: %llu rows\033[K", tool.name, what, (unsigned long long)x->rows);
}

static void found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	struct run *x = arg;

	clear_progress(x);
	if (!x->a->common.quiet)
		kp_warn(&tool, "%s: %s", kp_again_name(x->in, input), line);
}

/* ---- the first pass ---- */

static int pass_row(struct run *x, const struct kp_row *row, struct kp_err *err)
{
	const struct kp_header *h = kp_reader_header(x->r);
	int rc = 0;

	if (!x->w)
		return 0;
	if (h->nsources > x->nsrc)
		rc = kp_writer_update(x->w, h, err);
	x->nsrc = h->nsources;
	return rc ? rc : kp_writer_row(x->w, row, err);
}

static int scan(struct run *x, struct kp_err *err)
{
	const struct kp_row *row;
	int rc, more;

	while ((more = kp_reader_next(x->r, &row, err)) > 0) {
		rc = kp_scan_row(x->scan, kp_reader_header(x->r), row, err);
		rc = rc ? rc : pass_row(x, row, err);
		rc = rc ? rc : kp_reader_pass_graphs(x->r, x->w, err);
		if (rc)
			return rc;
		if (!(++x->rows & 4095))
			progress(x, "looks for requests");
	}
	return more ? more : kp_reader_pass_graphs(x->r, x->w, err);
}

/* ---- the second, for each target ---- */

/* Sources are numbered as they are met, and what is skipped is not met. */
static uint32_t same_source(const struct kp_header *h, const struct kp_source *s)
{
	for (uint32_t i = 0; i < h->nsources; i++)
		if (!strcmp(h->sources[i].session, s->session) && !strcmp(h->sources[i].boot_id, s->boot_id) &&
		    !strcmp(h->sources[i].machine_id, s->machine_id))
			return i;
	return UINT32_MAX;
}

static int load(struct run *x, struct kp_world *w, struct kp_err *err)
{
	const struct kp_header *h = kp_reader_header(x->r);
	struct kp_read_opts ro = { .strict = x->a->strict, .loss_rows = true };
	const struct kp_row *row;
	const char *const *paths;
	struct kp_reader *r = NULL;
	uint32_t n;
	int rc, more;

	kp_world_limits(w, h, x->r, &ro);
	paths = kp_again_paths(x->in, &n);
	rc = kp_reader_open(&r, paths, n, x->pool, x->kinds, &ro, err);
	while (!rc) {
		struct kp_row mine;

		more = kp_reader_next(r, &row, err);
		if (more <= 0) {
			rc = more;
			break;
		}
		mine = *row;
		mine.source = same_source(h, &kp_reader_header(r)->sources[row->source]);
		if (mine.source != UINT32_MAX)
			rc = kp_world_row(w, h, &mine, err);
		if (!(++x->rows & 4095))
			progress(x, "explains");
	}
	kp_reader_close(r);
	return rc;
}

static int put(struct run *x, const struct kp_graph *g, bool first, struct kp_err *err)
{
	int rc;

	if (x->w)
		return kp_writer_graph(x->w, g, err);
	clear_progress(x);
	if (!x->json && !first)
		fputc('\n', x->f);
	rc = x->json ? kp_report_json(x->f, g) : kp_report_text(x->f, g, kp_color(x->f));
	return rc ? kp_err(err, -rc, "%s: %s", x->a->common.out ? x->a->common.out : "standard output", strerror(-rc)) : 0;
}

static int explain(struct run *x, const struct kp_target *t, bool first, struct kp_err *err)
{
	struct kp_world *w = NULL;
	struct kp_graph *g = NULL;
	int rc = kp_world_new(&w, x->pool, t);

	if (rc)
		return kp_err(err, -rc, "out of memory");
	rc = load(x, w, err);
	if (!rc)
		rc = kp_world_explain(w, kp_reader_header(x->r), &g, err);
	if (!rc)
		rc = put(x, g, first, err);
	kp_graph_free(g);
	kp_world_free(w);
	return rc;
}

/* ---- the run ---- */

static int open_in(struct run *x, const char *const *paths, uint32_t n, struct kp_err *err)
{
	const struct kp_read_opts ro = { .found = found, .found_arg = x, .strict = x->a->strict, .loss_rows = true };
	int rc;

	if (kp_pool_new(&x->pool) || kp_kinds_new(&x->kinds) || kp_scan_new(&x->scan, x->pool, &x->a->sel))
		return kp_err(err, ENOMEM, "out of memory");
	rc = kp_again_open(&x->in, paths, n, err);
	if (rc)
		return rc;
	paths = kp_again_paths(x->in, &n);
	return kp_reader_open(&x->r, paths, n, x->pool, x->kinds, &ro, err);
}

static int open_out(struct run *x, struct kp_err *err)
{
	const char *format = x->a->format;
	struct kp_write_opts wo = x->a->write;
	struct kp_header h;
	int fd = kp_open_out(x->a->common.out, err), rc;

	if (fd < 0)
		return fd;
	if (!format)
		format = isatty(fd) ? "text" : "kp";
	x->json = !strcmp(format, "json");
	if (x->json || !strcmp(format, "text")) {
		x->f = fdopen(fd, "w");
		return x->f ? 0 : kp_err(err, errno, "%s", strerror(errno));
	}
	rc = kp_check_binary_out(fd, err);
	if (rc)
		return rc;
	wo.concat = true;
	rc = kp_header_pass(&h, kp_reader_header(x->r), x->pool, tool.name, x->a->argc, x->a->argv);
	if (rc)
		return kp_err(err, -rc, "out of memory");
	x->nsrc = h.nsources;
	rc = kp_writer_open(&x->w, fd, true, &h, x->kinds, &wo, err);
	kp_header_free(&h);
	return rc;
}

/* Ends the output also where nothing was found: the stream goes on through a pipeline. A full disk is told only now. */
static int close_out(struct run *x, int rc, struct kp_err *err)
{
	const char *name = x->a->common.out ? x->a->common.out : "standard output";
	struct kp_err later;
	struct kp_err *e = rc ? &later : err;
	uint64_t rows;
	int rc2 = 0;

	if (x->w) {
		struct kp_write_stats st;

		kp_writer_stats(x->w, &st);
		rows = st.rows;
		rc2 = rc && rc != -ENOENT ? 0 : kp_writer_update(x->w, kp_reader_header(x->r), e);
		if (!rc2)
			rc2 = kp_writer_close(x->w, rows, e);
		else
			kp_writer_close(x->w, rows, NULL);
	} else if (x->f) {
		bool bad = ferror(x->f);

		if ((fclose(x->f) || bad))
			rc2 = kp_err(e, errno ? errno : EIO, "%s: %s", name, strerror(errno ? errno : EIO));
	}
	return rc ? rc : rc2;
}

static int run(const struct args *a, const char *const *paths, uint32_t npaths, struct kp_err *err)
{
	struct run x = { .a = a, .began = kp_now_mono(), .progress = !a->common.quiet && isatty(STDERR_FILENO) };
	const struct kp_target *t;
	uint32_t n = 0;
	int rc;

	rc = open_in(&x, paths, npaths, err);
	rc = rc ? rc : open_out(&x, err);
	rc = rc ? rc : scan(&x, err);
	if (!rc)
		rc = kp_scan_targets(x.scan, kp_reader_header(x.r), x.r, &t, &n, err);
	for (uint32_t i = 0; i < n && !rc; i++)
		rc = explain(&x, &t[i], !i, err);
	rc = kp_again_err(x.in, rc, err);
	clear_progress(&x);
	if (!rc && a->common.verbose)
		kp_warn(&tool, "%llu rows read in all, in %u passes; %u explained", (unsigned long long)x.rows, n + 1, n);
	rc = close_out(&x, rc, err);
	kp_reader_close(x.r);
	kp_scan_free(x.scan);
	kp_kinds_free(x.kinds);
	kp_pool_free(x.pool);
	kp_again_close(x.in);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = { .argc = argc, .argv = argv, .sel = { .by = KP_SEL_SLOWEST, .n = 1 } };
	struct kp_err err = { "" };
	int status, first, rc;

	first = kp_opts(&tool, argc, argv, false, &a.common, take, &a, &status);
	if (first < 0)
		return status;
	if ((a.sel.since || a.sel.until) && a.sel.by != KP_SEL_TASK) {
		kp_warn(&tool, "--since and --until go with --tid or --pid; to cut a recording use kp-query");
		return KP_EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	/* known before a long input is read */
	rc = a.format && !strcmp(a.format, "kp") && !a.common.out ? kp_check_binary_out(STDOUT_FILENO, &err) : 0;
	if (!rc)
		rc = run(&a, (const char *const *)argv + first, (uint32_t)(argc - first), &err);
	return kp_complain(&tool, rc, &err);
}
