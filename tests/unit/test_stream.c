/* SPDX-License-Identifier: BSD-2-Clause */
/* What is written is read: rows, sources, keyframes, graphs, chunks; in order, within limits of time. */
#include "stream_rows.h"

#include "stream/hash.h"

#define ROWS 3000

static const uint8_t payload[64] = "some bytes of a message, with \0 in it";

struct back {			/* a stream being read */
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_reader *r;
	unsigned found;
	char line[300];
};

static void on_found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	struct back *b = arg;

	(void)f;
	(void)input;
	b->found++;
	snprintf(b->line, sizeof(b->line), "%s", line);
}

static int back_open(struct back *b, const char *const *paths, uint32_t n, const struct kp_read_opts *opts)
{
	struct kp_read_opts o = opts ? *opts : (struct kp_read_opts){ 0 };
	struct kp_err err = { "" };

	memset(b, 0, sizeof(*b));
	assert_int_equal(kp_pool_new(&b->pool), 0);
	assert_int_equal(kp_kinds_new(&b->kinds), 0);
	o.found = on_found;
	o.found_arg = b;
	return kp_reader_open(&b->r, paths, n, b->pool, b->kinds, &o, &err);
}

static void back_close(struct back *b)
{
	kp_reader_close(b->r);
	kp_kinds_free(b->kinds);
	kp_pool_free(b->pool);
}

static int next(struct back *b, const struct kp_row **row)
{
	struct kp_err err = { "" };
	int rc = kp_reader_next(b->r, row, &err);

	if (rc < 0)
		fail_msg("%s", err.msg);
	return rc;
}

static int write_rows(struct world *w, const struct kp_row *rows, uint32_t n, const struct kp_write_opts *o)
{
	int fd = memfd_create("stream", 0);
	struct kp_writer *kw;
	struct kp_err err = { "" };

	assert_int_equal(kp_writer_open(&kw, fd, false, &w->h, w->kinds, o, &err), 0);
	for (uint32_t i = 0; i < n; i++)
		if (kp_writer_row(kw, &rows[i], &err))
			fail_msg("row %u: %s", i, err.msg);
	assert_int_equal(kp_writer_close(kw, n, &err), 0);
	return fd;
}

static struct kp_row *make_rows(struct world *w, uint32_t n, uint32_t nsources)
{
	struct kp_row *rows = calloc(n, sizeof(*rows));
	uint64_t t = 5000;

	assert_non_null(rows);
	for (uint32_t i = 0; i < n; i++) {
		rows[i] = row_make(w, t, payload);
		/* each source's wall clock is 10 ns ahead of the one before: this is the merged order */
		rows[i].source = (uint32_t)(rnd(w) % nsources);
		rows[i].end -= rows[i].source * 10;
		if (rows[i].dur > rows[i].end)
			rows[i].dur = rows[i].end;
		t += 100 + rnd(w) % 1000;
	}
	return rows;
}

static void check_same(int fd, const struct kp_row *rows, uint32_t n)
{
	char path[32];
	const char *p = fd_path(path, fd);
	const struct kp_row *row;
	struct back b;
	uint32_t i = 0;

	assert_int_equal(back_open(&b, &p, 1, NULL), 0);
	for (; next(&b, &row); i++) {
		assert_true(i < n);
		same_row(row, &rows[i]);
	}
	assert_int_equal(i, n);
	assert_int_equal(b.found, 0);
	back_close(&b);
}

static void round_trip(uint32_t nsources, const struct kp_write_opts *o, uint64_t seed)
{
	struct world w;
	struct kp_row *rows;
	int fd;

	world_init(&w, nsources, seed);
	rows = make_rows(&w, ROWS, nsources);
	fd = write_rows(&w, rows, ROWS, o);
	check_same(fd, rows, ROWS);
	close(fd);
	free(rows);
	world_free(&w);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip(1, NULL, 1);
	round_trip(1, &(struct kp_write_opts){ .block_rows = 1 }, 2);
	round_trip(1, &(struct kp_write_opts){ .block_rows = 100, .level = 3 }, 3);
	round_trip(1, &(struct kp_write_opts){ .block_bytes = 5000 }, 4);
	round_trip(3, &(struct kp_write_opts){ .block_rows = 77 }, 5);
	round_trip(3, NULL, 6);
}

/* Every chunk is a stream of its own, and no larger than was asked for. */
static void test_chunks(void **state)
{
	struct kp_write_opts o = { .chunk_bytes = 150000, .delimiter = "\n--cut--\n" };
	struct world w;
	struct kp_row *rows;
	uint8_t *all;
	off_t size;
	uint32_t seen = 0, chunks = 0;
	int fd;

	(void)state;
	world_init(&w, 2, 7);
	rows = make_rows(&w, ROWS * 4, 2);
	fd = write_rows(&w, rows, ROWS * 4, &o);
	size = lseek(fd, 0, SEEK_END);
	all = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	for (off_t at = 0; at < size;) {
		uint8_t *end = memmem(all + at, (size_t)(size - at), o.delimiter, 9);
		int part = memfd_create("chunk", 0);
		const struct kp_row *row;
		struct back b;
		char path[32];
		const char *p = fd_path(path, part);

		assert_non_null(end);
		assert_true(end - all - at <= 150000);
		assert_int_equal(write(part, all + at, (size_t)(end - all - at)), end - all - at);
		assert_int_equal(back_open(&b, &p, 1, NULL), 0);
		while (next(&b, &row))
			same_row(row, &rows[seen++]);
		assert_int_equal(b.found, 0);
		back_close(&b);
		close(part);
		chunks++;
		at = end - all + 9;
	}
	assert_int_equal(seen, ROWS * 4);
	assert_true(chunks > 1);
	munmap(all, (size_t)size);
	close(fd);
	free(rows);
	world_free(&w);
}

static int open_with(struct world *w, const char *delimiter, struct kp_err *err)
{
	struct kp_writer *kw;
	int fd = memfd_create("delimiter", 0);
	int rc = kp_writer_open(&kw, fd, true, &w->h, w->kinds, &(struct kp_write_opts){ .delimiter = delimiter }, err);

	if (!rc)
		rc = kp_writer_close(kw, 0, err);
	else
		close(fd);
	return rc;
}

/* A delimiter that also occurs inside would tear messages: it is refused. */
static void test_delimiter(void **state)
{
	static const char *const inside[] = { "\x5b\x2a\x4d\x18P", "KPIX\x01\x01", "1234567" };
	struct world w;
	struct kp_err err = { "" };

	(void)state;
	world_init(&w, 1, 9);
	assert_int_equal(open_with(&w, "12345678", &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(open_with(&w, inside[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "needs 8"));
	}
	/* bytes of the compressed header, as the writer will make it again */
	for (int k = 0; k < 200; k++) {
		char d[9] = "";
		int fd = write_rows(&w, NULL, 0, &(struct kp_write_opts){ .chunk_bytes = 900000 });

		assert_int_equal(pread(fd, d, 8, 200 + 8 * k), 8);
		close(fd);
		if (strlen(d) < 8)
			continue;
		assert_int_equal(open_with(&w, d, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "occurs inside"));
	}
	world_free(&w);
}

static void le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

/* The identity of a row as kp-stream(5) defines it; every part of it counts, nothing else does. */
static void test_row_id(void **state)
{
	struct world w;
	struct kp_row r, other;
	uint8_t id[40] = { 0 };
	uint64_t want;

	(void)state;
	world_init(&w, 2, 50);
	r = row_make(&w, 123456789, payload);
	r.source = 1;
	r.task = w.task[3];
	le(id, kp_hash("session1", 8, 0), 8);
	le(id + 8, r.task->start, 8);
	le(id + 16, r.end, 8);
	le(id + 24, r.task->tid, 4);
	le(id + 28, r.task->tgid, 4);
	le(id + 32, r.kind, 2);
	want = kp_hash(id, sizeof(id), 0);
	assert_true(kp_row_id(&w.h, &r) == want);
	other = r;
	other.dur++;
	other.a[0]++;
	other.ret++;
	other.obj = w.obj[1];
	assert_true(kp_row_id(&w.h, &other) == want);
	for (int i = 0; i < 4; i++) {
		other = r;
		if (i == 0)
			other.end++;
		else if (i == 1)
			other.source = 0;
		else if (i == 2)
			other.task = w.task[4];
		else
			other.kind++;
		assert_true(kp_row_id(&w.h, &other) != want);
	}
	world_free(&w);
}

/* Blocks of paths that are all different and long stay within what a reader accepts; so do stacks. */
static void test_long_names(void **state)
{
	enum { N = 12000 };
	struct world w;
	struct kp_row *rows = calloc(N, sizeof(*rows));
	const struct kp_str *deep[300];
	char path[4096];
	int fd;

	(void)state;
	world_init(&w, 1, 41);
	memset(path, 'x', sizeof(path));
	for (uint32_t i = 0; i < 300; i++)
		deep[i] = w.str[i % 8];
	for (uint32_t i = 0; i < N; i++) {
		struct kp_obj o = { .type = KP_OBJ_FILE, .id = i };

		memcpy(path, &i, sizeof(i));
		o.name = kp_pool_str(w.pool, path, sizeof(path));
		rows[i] = (struct kp_row){ .end = 1000 + i, .kind = KP_K_SYS_read, .obj = kp_pool_obj(w.pool, &o) };
	}
	fd = write_rows(&w, rows, N - 1, NULL);
	check_same(fd, rows, N - 1);
	close(fd);
	/* a name of 20 MB: nobody needs more than its beginning */
	char *huge = malloc(20 << 20);

	assert_non_null(huge);
	memset(huge, 'y', 20 << 20);
	for (int i = 0; i < 24; i++) {
		huge[0] = (char)i;
		rows[i].ctx[KP_CTX_OP] = kp_pool_str(w.pool, huge, i ? 2 << 20 : 20 << 20);
	}
	fd = write_rows(&w, rows, 24, NULL);
	for (int i = 0; i < 24; i++) {
		huge[0] = (char)i;
		rows[i].ctx[KP_CTX_OP] = kp_pool_str(w.pool, huge, 1 << 20);
	}
	check_same(fd, rows, 24);
	close(fd);
	free(huge);
	memset(&rows[0].ctx, 0, sizeof(rows[0].ctx));
	rows[0].stack = kp_pool_stack(w.pool, deep, 300);
	fd = write_rows(&w, rows, 1, NULL);
	rows[0].stack = kp_pool_stack(w.pool, deep, 256);
	check_same(fd, rows, 1);
	close(fd);
	free(rows);
	world_free(&w);
}

/* A filter learns of sources as it goes: what it writes is whole, and everything is in it. */
static void test_update(void **state)
{
	struct world w;
	struct kp_row *rows;
	struct kp_writer *kw;
	struct kp_err err = { "" };
	int fd = memfd_create("update", 0);

	(void)state;
	world_init(&w, 2, 40);
	rows = make_rows(&w, 600, 2);
	for (int i = 0; i < 300; i++)
		rows[i].source = 0;
	w.h.nsources = 1;
	assert_int_equal(kp_writer_open(&kw, fd, false, &w.h, w.kinds, NULL, &err), 0);
	for (int i = 0; i < 600; i++) {
		if (i == 300) {
			w.h.nsources = 2;
			assert_int_equal(kp_writer_update(kw, &w.h, &err), 0);
		}
		assert_int_equal(kp_writer_row(kw, &rows[i], &err), 0);
	}
	assert_int_equal(kp_writer_close(kw, 600, &err), 0);
	check_same(fd, rows, 600);
	close(fd);
	free(rows);
	world_free(&w);
}

/* Limits of time give the rows that touch them, and skip blocks that hold none. */
static void test_limits(void **state)
{
	struct world w;
	struct kp_row *rows;
	struct kp_read_opts o = { 0 };
	struct kp_read_stats st;
	const struct kp_row *row;
	struct back b;
	char path[32];
	const char *p;
	int fd;

	(void)state;
	world_init(&w, 1, 8);
	rows = make_rows(&w, ROWS, 1);
	for (uint32_t i = 0; i < ROWS; i++)
		rows[i].dur %= 5000;
	fd = write_rows(&w, rows, ROWS, &(struct kp_write_opts){ .block_rows = 50 });
	p = fd_path(path, fd);
	for (int wall = 0; wall <= 1; wall++) {
		uint64_t since = rows[ROWS / 2].end, until = since + 100000, off = w.src[0].real0 - w.src[0].mono0;

		o = (struct kp_read_opts){ 0 };
		*(wall ? &o.since_wall : &o.since) = wall ? since + off : since;
		*(wall ? &o.until_wall : &o.until) = wall ? until + off : until;
		assert_int_equal(back_open(&b, &p, 1, &o), 0);
		for (uint32_t i = 0; i < ROWS; i++)
			if (rows[i].end >= since && kp_row_start(&rows[i]) <= until) {
				assert_int_equal(next(&b, &row), 1);
				same_row(row, &rows[i]);
			}
		assert_int_equal(next(&b, &row), 0);
		kp_reader_stats(b.r, &st);
		assert_true(st.skipped_blocks > ROWS / 50 / 2);
		back_close(&b);
	}
	close(fd);
	free(rows);
	world_free(&w);
}

/* Two files of two hosts come as one, in order of wall time; the same file twice comes twice. */
static void test_merge(void **state)
{
	struct world w[2];
	struct kp_row *rows[2];
	int fd[2];
	char path[2][32];
	const char *p[3];
	const struct kp_row *row;
	struct back b;
	uint64_t last = 0;
	uint32_t n = 0, at[2] = { 0, 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		world_init(&w[i], 1, 10 + (uint64_t)i);
		snprintf(w[i].src[0].session, 40, "other%d", i);
		snprintf(w[i].src[0].boot_id, 40, "boot-%d", i);
		w[i].src[0].real0 += i * 1000000;
		rows[i] = make_rows(&w[i], ROWS, 1);
		fd[i] = write_rows(&w[i], rows[i], ROWS, NULL);
		p[i] = fd_path(path[i], fd[i]);
	}
	assert_int_equal(back_open(&b, p, 2, NULL), 0);
	assert_int_equal(kp_reader_header(b.r)->nsources, 2);
	for (; next(&b, &row); n++) {
		struct kp_row want = rows[row->source][at[row->source]++];

		assert_true(kp_reader_wall(b.r, row->source, row->end) >= last);
		last = kp_reader_wall(b.r, row->source, row->end);
		want.source = row->source;
		same_row(row, &want);
	}
	assert_int_equal(n, 2 * ROWS);
	back_close(&b);
	p[2] = p[0];
	assert_int_equal(back_open(&b, (const char *[]){ p[0], p[2] }, 2, NULL), 0);
	for (n = 0; next(&b, &row); n++)
		;
	assert_int_equal(n, 2 * ROWS);
	assert_int_equal(kp_reader_header(b.r)->nsources, 1);
	back_close(&b);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		free(rows[i]);
		world_free(&w[i]);
	}
}

static void test_keyframe(void **state)
{
	struct world w;
	struct kp_writer *kw;
	struct kp_err err;
	struct kp_row *rows;
	const struct kp_row *row;
	struct back b;
	int fd = memfd_create("key", 0);
	uint32_t keys = 0, others = 0;
	char path[32];
	const char *p = fd_path(path, fd);

	(void)state;
	world_init(&w, 1, 20);
	rows = make_rows(&w, 100, 1);
	assert_int_equal(kp_writer_open(&kw, fd, false, &w.h, w.kinds, NULL, &err), 0);
	for (int i = 0; i < 50; i++)
		assert_int_equal(kp_writer_row(kw, &rows[i], &err), 0);
	assert_int_equal(kp_writer_key_begin(kw, rows[49].end, &err), 0);
	for (int i = 99; i >= 50; i--) {	/* in any order */
		rows[i].flags |= KP_F_KEYFRAME;
		assert_int_equal(kp_writer_row(kw, &rows[i], &err), 0);
	}
	assert_int_equal(kp_writer_key_end(kw, rows[99].end, &err), 0);
	/* a row that goes back in time is refused, and the writer goes on */
	assert_int_equal(kp_writer_row(kw, &rows[3], &err), -EINVAL);
	rows[60].flags = 0;
	assert_int_equal(kp_writer_row(kw, &rows[60], &err), 0);
	assert_int_equal(kp_writer_close(kw, 0, &err), 0);
	/* keyframe rows come whatever the limits */
	assert_int_equal(back_open(&b, &p, 1, &(struct kp_read_opts){ .since = rows[60].end }), 0);
	while (next(&b, &row))
		*(row->flags & KP_F_KEYFRAME ? &keys : &others) += 1;
	assert_int_equal(keys, 50);
	assert_true(others >= 1);
	back_close(&b);
	close(fd);
	free(rows);
	world_free(&w);
}

/* A graph comes back as it was; more of them in order. */
static void test_graph(void **state)
{
	struct kp_step steps[2] = { { .from = 7, .dur = 9, .what = (char *)"SELECT", .who = { 0, 1, 2, 3, (char *)"a", (char *)"", (char *)"", (char *)"" }, .depth = 1 } };
	struct kp_cause cause = { .kind = KP_C_LOCK, .ns = 5, .share = 0.25, .root = true, .object = (char *)"o", .runner_up = (char *)"" };
	struct kp_graph g = { .request = (char *)"req-1", .trace = (char *)"", .txn = (char *)"", .service = (char *)"", .op = (char *)"\\x1b",
		.outcome = (char *)"ok", .start = 100, .dur = 1000, .causes = &cause, .ncauses = 1, .steps = steps, .nsteps = 2 };
	struct kp_who none = { .comm = (char *)"", .service = (char *)"", .cgroup = (char *)"", .host = (char *)"" };
	struct kp_graph *got;
	struct world w;
	struct kp_writer *kw;
	struct kp_err err;
	const struct kp_row *row;
	struct back b;
	int fd = memfd_create("graph", 0);
	char path[32];
	const char *p = fd_path(path, fd);

	(void)state;
	g.target = cause.victim = none;
	steps[1] = steps[0];
	steps[1].from = 16;
	world_init(&w, 1, 30);
	assert_int_equal(kp_writer_open(&kw, fd, false, &w.h, w.kinds, NULL, &err), 0);
	assert_int_equal(kp_writer_graph(kw, &g, &err), 0);
	g.request = (char *)"req-2";
	assert_int_equal(kp_writer_graph(kw, &g, &err), 0);
	assert_int_equal(kp_writer_close(kw, 0, &err), 0);
	assert_int_equal(back_open(&b, &p, 1, NULL), 0);
	assert_int_equal(next(&b, &row), 0);
	assert_int_equal(kp_reader_graph(b.r, &got), 1);
	assert_string_equal(got->request, "req-1");
	assert_string_equal(got->op, "\\x1b");
	assert_int_equal(got->nsteps, 2);
	assert_string_equal(got->steps[1].what, "SELECT");
	assert_int_equal(got->steps[1].who.start, 3);
	assert_true(got->causes[0].root && got->causes[0].share > 0.2 && got->causes[0].share < 0.3);
	kp_graph_free(got);
	assert_int_equal(kp_reader_graph(b.r, &got), 1);
	assert_string_equal(got->request, "req-2");
	kp_graph_free(got);
	assert_int_equal(kp_reader_graph(b.r, &got), 0);
	back_close(&b);
	close(fd);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_chunks), cmocka_unit_test(test_delimiter), cmocka_unit_test(test_update), cmocka_unit_test(test_long_names), cmocka_unit_test(test_row_id),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_merge), cmocka_unit_test(test_keyframe), cmocka_unit_test(test_graph),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
