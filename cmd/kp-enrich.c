/* SPDX-License-Identifier: BSD-2-Clause */
/* kp-enrich: gives rows the request, trace, service and operation that they belong to. See kp-enrich(1). */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kp/enrich.h>
#include <kp/stream.h>
#include <kp/util.h>

#define LIVE_MS 100	/* a pipe gets what there is this often */

enum { O_STRICT = 256 };

static const struct kp_opt opts[] = {
	{ 's', "spans", "FILE", "join OpenTelemetry spans: OTLP in JSON, one export request a line" },
	{ 'm', "map", "FILE", "name services by: comm|exe|port|cgroup TAB value TAB service" },
	{ 'a', "all", NULL, "on a terminal: also the requests that others are made of" },
	{ O_STRICT, "strict", NULL, "damage in the input is an error" },
	{ 'D', "delimiter", "STRING", "write STRING after each chunk, for kcat -D" },
	{ 0 },
};

static const struct kp_tool tool = {
	.name = "kp-enrich",
	.usage = "[OPTION]... [FILE]...",
	.about = "Joins kernel events to requests, traces and services; merges the streams of several hosts.",
	.opts = opts,
	.examples = "  kp-enrich --spans spans.jsonl rec.kp | kp-causal --request req-9f21\n"
		    "  kp-enrich web1.kp db1.kp\n",
};

struct args {
	struct kp_common common;
	const char *spans[16], *map;
	unsigned nspans;
	bool all, strict;
	struct kp_write_opts write;
	int argc;
	char *const *argv;
};

/* One run: what comes in, what it is joined with, where it goes. */
struct run {
	const struct args *a;
	struct kp_pool *pool, *values;	/* of the header, and of rows */
	size_t renew;			/* bytes of names after which values is renewed */
	struct kp_kinds *kinds;
	struct kp_reader *r;
	struct kp_enrich *e;
	struct kp_writer *w;		/* NULL: for a person, to stdout */
	uint32_t nsrc;			/* sources that are known to e and to w */
	bool live;			/* out is a pipe: somebody may be waiting */
	uint64_t flushed;
};

static int take(void *arg, int key, const char *val, struct kp_err *err)
{
	struct args *a = arg;

	switch (key) {
	case 's':
		if (a->nspans == sizeof(a->spans) / sizeof(*a->spans))
			return kp_err(err, EINVAL, "--spans: more than %u files", a->nspans);
		a->spans[a->nspans++] = val;
		break;
	case 'm': a->map = val; break;
	case 'a': a->all = true; break;
	case O_STRICT: a->strict = true; break;
	case 'D':
		if (!*val)
			return kp_err(err, EINVAL, "--delimiter: want a string that is not empty");
		a->write.delimiter = val;
		break;
	}
	return 0;
}

static void found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	const struct args *a = arg;

	if (!a->common.quiet)
		kp_warn(&tool, "%s: %s", input, line);
}

static int open_reader(struct run *x, const char *const *paths, uint32_t n, const struct kp_read_opts *ro, struct kp_err *err)
{
	int rc;

	if (kp_pool_new(&x->pool) || kp_pool_new(&x->values) || kp_kinds_new(&x->kinds))
		return kp_err(err, ENOMEM, "out of memory");
	rc = kp_reader_open(&x->r, paths, n, x->pool, x->kinds, ro, err);
	x->renew = kp_pool_limit(0);
	return !rc && kp_reader_renew(x->r, x->values) ? kp_err(err, ENOMEM, "out of memory") : rc;
}

static void close_reader(struct run *x)
{
	kp_reader_close(x->r);
	kp_kinds_free(x->kinds);
	kp_pool_free(x->values);
	kp_pool_free(x->pool);
}

/* ---- for a person ---- */

static void column(const struct kp_str *s, const char *none, int width)
{
	char text[256];

	kp_escape(text, sizeof(text), s ? s->p : none, s ? s->len : strlen(none));
	printf("%-*s  ", width, text);
}

/* 02:45:30.123456  req-9f21  api-worker[2847]  POST /checkout  750.3 ms  504 */
static int print_request(void *arg, const struct kp_request *q, struct kp_err *err)
{
	const struct run *x = arg;
	const struct kp_header *h = kp_reader_header(x->r);
	const struct kp_str *id = q->request ? q->request : q->trace;
	const char *service = q->service ? q->service->p : "-";
	char when[48], dur[32], name[256];

	if ((q->inner || (!q->op && !id)) && !x->a->all)
		return 0;
	kp_fmt_wall(when, kp_reader_wall(x->r, q->source, q->start), h->sources[q->source].utc_offset);
	printf("%.15s  ", strchr(when, 'T') ? strchr(when, 'T') + 1 : when);
	column(id, "-", 16);
	kp_escape(name, sizeof(name), service, strlen(service));
	printf("%s[%u]%*s", name, q->task->tgid, (int)(strlen(name) < 16 ? 18 - strlen(name) : 2), "");
	column(q->op, "-", 24);
	printf("%9s", kp_fmt_dur(dur, q->dur));
	if (q->open)
		printf("  not answered");
	else if (q->status > 1)
		printf("  %d", q->status);
	else if (q->failed)
		printf("  failed");
	putchar('\n');
	return fflush(stdout) ? kp_err(err, errno, "standard output: %s", strerror(errno)) : 0;
}

/* ---- the run ---- */

static int put_row(void *arg, const struct kp_row *row, struct kp_err *err)
{
	const struct run *x = arg;

	return x->w ? kp_writer_row(x->w, row, err) : 0;
}

static int know_sources(struct run *x, struct kp_err *err)
{
	const struct kp_header *h = kp_reader_header(x->r);
	int rc = 0;

	for (uint32_t i = 0; i < h->nsources && !rc; i++) {
		const struct kp_source *s = &h->sources[i];

		rc = kp_enrich_source(x->e, i, s, (int64_t)(kp_reader_wall(x->r, i, s->mono0) - s->mono0));
	}
	if (rc)
		return kp_err(err, ENOMEM, "out of memory");
	if (x->w && x->nsrc && h->nsources > x->nsrc)
		rc = kp_writer_update(x->w, h, err);
	x->nsrc = h->nsources;
	return rc;
}

static int one_row(struct run *x, const struct kp_row *row, struct kp_err *err)
{
	const struct kp_header *h = kp_reader_header(x->r);
	uint64_t now;
	int rc = h->nsources > x->nsrc ? know_sources(x, err) : 0;

	if (!rc && row->kind == KP_K_CLOCK_SYNC)
		rc = kp_enrich_source(x->e, row->source, &h->sources[row->source],
				      (int64_t)(kp_reader_wall(x->r, row->source, row->end) - row->end)) ?
		     kp_err(err, ENOMEM, "out of memory") : 0;
	if (!rc)
		rc = kp_enrich_row(x->e, row, err);
	if (rc || !x->live || !x->w)
		return rc;
	now = kp_now_mono();
	if (now - x->flushed < LIVE_MS * 1000000ull)
		return 0;
	x->flushed = now;
	return kp_writer_flush(x->w, err);
}

/* Between two rows: new names without end must not take memory without end. */
static int renew(struct run *x, struct kp_err *err)
{
	struct kp_pool *pool;
	int rc = 0;

	if (kp_pool_bytes(x->values) + kp_enrich_bytes(x->e) < x->renew)
		return 0;
	if (x->w)
		rc = kp_writer_flush(x->w, err);
	if (rc)
		return rc;
	if (kp_pool_new(&pool))
		return kp_err(err, ENOMEM, "out of memory");
	rc = kp_reader_renew(x->r, pool);
	if (!rc)
		rc = kp_enrich_renew(x->e, pool);
	kp_pool_free(x->values);
	x->values = pool;
	x->renew = kp_pool_limit(kp_pool_bytes(pool) + kp_enrich_bytes(x->e));
	return rc ? kp_err(err, ENOMEM, "out of memory") : 0;
}

static int all_rows(struct run *x, uint64_t *rows, struct kp_err *err)
{
	const struct kp_row *row;
	int rc = know_sources(x, err);

	while (!rc) {
		int more = kp_reader_next(x->r, &row, err);

		if (more < 0)
			return more;
		rc = kp_reader_pass_graphs(x->r, x->w, err);
		if (!more || rc)
			break;
		++*rows;
		rc = one_row(x, row, err);
		if (!rc)
			rc = renew(x, err);
	}
	return rc ? rc : kp_enrich_end(x->e, err);
}

static int join_with(struct run *x, bool person, struct kp_err *err)
{
	int rc = kp_enrich_new(&x->e, 0, put_row, x, err);

	for (unsigned i = 0; i < x->a->nspans && !rc; i++)
		rc = kp_enrich_spans(x->e, x->a->spans[i], err);
	if (!rc && x->a->map)
		rc = kp_enrich_map(x->e, x->a->map, err);
	if (!rc && person)
		kp_enrich_requests(x->e, print_request, x);
	return rc;
}

static int open_writer(struct run *x, int fd, struct kp_err *err)
{
	struct kp_write_opts wo = x->a->write;
	struct kp_header h;
	struct stat st;
	int rc;

	x->live = !fstat(fd, &st) && !S_ISREG(st.st_mode);
	wo.concat = true;
	rc = kp_header_pass(&h, kp_reader_header(x->r), x->pool, tool.name, x->a->argc, x->a->argv);
	if (rc)
		return kp_err(err, -rc, "out of memory");
	rc = kp_writer_open(&x->w, fd, false, &h, x->kinds, &wo, err);
	kp_header_free(&h);
	return rc;
}

/* After an error what there is goes out, but without its end, so that nobody takes it for whole. */
static int close_writer(struct run *x, uint64_t rows, int rc, struct kp_err *err)
{
	if (!x->w)
		return rc;
	if (!rc)
		rc = kp_writer_update(x->w, kp_reader_header(x->r), err);
	if (!rc)
		return kp_writer_close(x->w, rows, err);
	kp_writer_abandon(x->w);
	return rc;
}

static void say_totals(const struct run *x)
{
	struct kp_enrich_stats st;
	struct kp_buf b = { 0 };

	kp_enrich_stats(x->e, &st);
	kp_buf_printf(&b, "%" PRIu64 " rows, %.1f %% joined; %" PRIu64 " requests; of those sent %" PRIu64 " were seen to arrive, %"
		      PRIu64 " not", st.rows, st.rows ? 100.0 * st.attributed / st.rows : 0.0, st.requests, st.sends_matched,
		      st.sends_unmatched);
	if (x->a->nspans)
		kp_buf_printf(&b, "; %" PRIu64 " of %" PRIu64 " spans found", st.spans_matched, st.spans);
	if (st.bad_lines)
		kp_buf_printf(&b, "; %" PRIu64 " lines of spans could not be read, the first is %" PRIu64, st.bad_lines, st.bad_line);
	if (!b.err)
		kp_warn(&tool, "%.*s", (int)b.len, (const char *)b.p);
	kp_buf_free(&b);
}

static void say_shifts(const struct run *x)
{
	const struct kp_header *h = kp_reader_header(x->r);

	for (uint32_t i = 0; i < h->nsources; i++) {
		const struct kp_source *s = &h->sources[i];
		char by[32], bound[32];

		if (!s->shift && !s->shift_err)
			continue;
		kp_fmt_dur(by, s->shift < 0 ? -(uint64_t)s->shift : (uint64_t)s->shift);
		kp_warn(&tool, "%s: clock shifted by %s%s, give or take %s", s->host ? s->host->p : "?", s->shift < 0 ? "-" : "", by,
			s->shift_err == UINT64_MAX ? "what is not known: messages went one way only" : kp_fmt_dur(bound, s->shift_err));
	}
}

static int run(const struct args *a, const char *const *paths, uint32_t n, struct kp_err *err)
{
	bool person = !a->common.out && isatty(STDOUT_FILENO);
	struct kp_read_opts ro = { .found = found, .found_arg = (void *)a, .loss_rows = true, .strict = a->strict };
	struct kp_shift *shifts = NULL;
	struct run x = { .a = a };
	uint64_t rows = 0;
	int fd = -1, rc;

	rc = join_with(&x, person, err);
	if (!rc)
		rc = kp_clocks_learn(paths, n, &shifts, &ro.nshifts, err);
	ro.shifts = shifts;
	if (!rc)
		rc = open_reader(&x, paths, n, &ro, err);
	if (!rc && !person) {
		fd = kp_open_out(a->common.out, err);
		rc = fd < 0 ? fd : kp_check_binary_out(fd, err);
		rc = rc ? rc : open_writer(&x, fd, err);
	}
	if (!rc)
		rc = all_rows(&x, &rows, err);
	rc = close_writer(&x, rows, rc, err);
	/* A full disk may be told only now. */
	if (fd > STDOUT_FILENO && close(fd) && !rc)
		rc = kp_err(err, errno, "%s: %s", a->common.out, strerror(errno));
	if (!rc && a->common.verbose)
		say_shifts(&x);
	if (!rc && !a->common.quiet)
		say_totals(&x);
	kp_enrich_free(x.e);
	close_reader(&x);
	free(shifts);
	return rc;
}

static int twice_stdin(const struct args *a, const char *const *paths, uint32_t n)
{
	int uses = !n;

	for (uint32_t i = 0; i < n; i++)
		uses += !strcmp(paths[i], "-");
	for (unsigned i = 0; i < a->nspans; i++)
		uses += !strcmp(a->spans[i], "-");
	return uses + (a->map && !strcmp(a->map, "-")) > 1;
}

int main(int argc, char **argv)
{
	struct args a = { .argc = argc, .argv = argv };
	int status, first, rc;
	struct kp_err err = { "" };

	first = kp_opts(&tool, argc, argv, false, &a.common, take, &a, &status);
	if (first < 0)
		return status;
	/* its own arguments stand in the header, where the delimiter must not be */
	for (int i = 1; a.write.delimiter && i < first; i++)
		if (strstr(argv[i], a.write.delimiter))
			argv[i] = (char *)"...";
	signal(SIGPIPE, SIG_IGN);
	if (twice_stdin(&a, (const char *const *)argv + first, argc - first)) {
		kp_warn(&tool, "standard input can be one thing only: the stream, --spans or --map");
		return KP_EXIT_USAGE;
	}
	rc = run(&a, (const char *const *)argv + first, argc - first, &err);
	return kp_complain(&tool, rc, &err);
}
