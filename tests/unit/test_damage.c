/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small file cut at every offset, and with every byte changed in turn: what is
 * read is part of what was written, what is missing is counted, it is said once.
 */
#include "stream_rows.h"

#include <zstd.h>

#include "stream/stream_int.h"

#define ROWS 120

static const uint8_t payload[64] = "bytes";

struct result { uint32_t rows, found; enum kp_finding what; uint64_t bad_rows; int rc; };

static void on_found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	struct result *res = arg;

	(void)input;
	assert_non_null(line);
	res->found++;
	res->what = f;
}

/* Reads file and sees to it that each row is one of rows, in order. */
static struct result read_back(int fd, const struct kp_row *rows, struct kp_kinds *kinds, bool strict)
{
	struct result res = { 0 };
	struct kp_read_opts o = { .found = on_found, .found_arg = &res, .strict = strict };
	struct kp_pool *pool;
	struct kp_reader *r = NULL;
	struct kp_read_stats st = { 0 };
	struct kp_err err = { "" };
	const struct kp_row *row;
	char path[32];
	const char *p = fd_path(path, fd);
	uint32_t at = 0;

	assert_int_equal(kp_pool_new(&pool), 0);
	res.rc = kp_reader_open(&r, &p, 1, pool, kinds, &o, &err);
	while (!res.rc && (res.rc = kp_reader_next(r, &row, &err)) == 1) {
		while (at < ROWS && rows[at].end != row->end)
			at++;
		assert_true(at < ROWS);
		same_row(row, &rows[at++]);
		res.rows++;
		res.rc = 0;
	}
	if (r)
		kp_reader_stats(r, &st);
	res.bad_rows = st.bad_rows;
	if (res.rc)
		assert_true(strlen(err.msg) > 0 && !strchr(err.msg, '\n'));
	kp_reader_close(r);
	kp_pool_free(pool);
	return res;
}

static void put(int fd, const uint8_t *p, size_t n)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, p, n, 0), n);
}

struct small { struct world w; struct kp_row rows[ROWS]; uint8_t *p; size_t n; int fd; };

/* Three blocks of two sources, and no long kind table: the file is to be small. */
static void small_make_as(struct small *s, const char *session)
{
	struct kp_writer *kw;
	struct kp_err err;
	uint64_t t = 1000;

	world_init(&s->w, 2, 99 + strlen(session));
	for (int i = 0; i < 2; i++)
		snprintf(s->w.src[i].session, sizeof(s->w.src[i].session), "%s%d", session, i);
	s->fd = memfd_create("small", 0);
	assert_int_equal(kp_writer_open(&kw, s->fd, false, &s->w.h, s->w.kinds, &(struct kp_write_opts){ .block_rows = 50 }, &err), 0);
	for (uint32_t i = 0; i < ROWS; i++) {
		s->rows[i] = row_make(&s->w, t, payload);
		s->rows[i].source = (uint32_t)(rnd(&s->w) % 2);
		t += 50 + rnd(&s->w) % 1000;
		assert_int_equal(kp_writer_row(kw, &s->rows[i], &err), 0);
	}
	assert_int_equal(kp_writer_close(kw, ROWS, &err), 0);
	s->n = (size_t)lseek(s->fd, 0, SEEK_END);
	s->p = malloc(s->n);
	assert_int_equal(pread(s->fd, s->p, s->n, 0), s->n);
}

static void small_make(struct small *s)
{
	small_make_as(s, "one");
}

static void small_free(struct small *s)
{
	free(s->p);
	close(s->fd);
	world_free(&s->w);
}

/* Where item number i begins, and what it is. */
static size_t item_at(const struct small *s, int i, struct kp_index *x)
{
	size_t at = 0;

	for (;; i--) {
		size_t head = 8 + (size_t)(s->p[at + 4] | s->p[at + 5] << 8 | s->p[at + 6] << 16);

		assert_int_equal(kp_index_decode(x, s->p + at, head), 0);
		if (!i)
			return at;
		at += head;
		for (uint32_t f = 0; f < x->nframes; f++)
			at += kp_index_frame(x, f).size;
	}
}

static void test_cut(void **state)
{
	struct small s;
	struct result res;
	struct kp_index x;
	uint32_t last = 0;
	size_t first;

	(void)state;
	small_make(&s);
	first = item_at(&s, 1, &x);
	/* the first kilobytes are the header's kinds: every 31st offset of them will do */
	for (size_t n = 1; n <= s.n; n += n < first && n > 200 ? 31 : 1) {
		put(s.fd, s.p, n);
		res = read_back(s.fd, s.rows, s.w.kinds, false);
		if (res.rc)
			fail_msg("cut at %zu: error %d", n, res.rc);
		assert_int_equal(res.found, n < s.n);
		if (n < s.n)
			assert_true(res.what == KP_TORN || res.what == KP_NO_END);
		assert_true(res.rows >= last);
		last = res.rows;
		if (n % 50 == 0 && n < s.n)
			assert_int_equal(read_back(s.fd, s.rows, s.w.kinds, true).rc, -EBADMSG);
	}
	assert_int_equal(last, ROWS);
	put(s.fd, s.p, 0);
	assert_int_equal(read_back(s.fd, s.rows, s.w.kinds, false).rc, -ENODATA);
	small_free(&s);
}

static void test_flip(void **state)
{
	struct small s;
	struct kp_index x;
	size_t first;

	(void)state;
	small_make(&s);
	first = item_at(&s, 1, &x);
	for (size_t i = 0; i < s.n; i += i < first && i > 200 ? 31 : 1) {
		static const uint8_t flips[] = { 0x01, 0x80, 0xff };
		uint8_t was = s.p[i];
		struct result res;

		s.p[i] ^= flips[i % 3];
		put(s.fd, s.p, s.n);
		res = read_back(s.fd, s.rows, s.w.kinds, false);
		if (res.rc || res.found != 1)
			fail_msg("byte %zu of %zu: error %d, told %u times", i, s.n, res.rc, res.found);
		if (res.rows + res.bad_rows != ROWS)
			fail_msg("byte %zu of %zu: %u rows read, %llu counted as bad, of %d", i, s.n, res.rows, (unsigned long long)res.bad_rows, ROWS);
		s.p[i] = was;
	}
	small_free(&s);
}

/* A block that is gone with its index leaves no trace but the count in the end record. */
static void test_hole(void **state)
{
	struct small s;
	struct kp_index x;
	struct result res;
	size_t from, to;

	(void)state;
	small_make(&s);
	from = item_at(&s, 2, &x);
	assert_int_equal(x.type, KP_I_BLOCK);
	to = item_at(&s, 3, &x);
	memmove(s.p + from, s.p + to, s.n - to);
	put(s.fd, s.p, s.n - (to - from));
	res = read_back(s.fd, s.rows, s.w.kinds, false);
	assert_int_equal(res.rc, 0);
	assert_int_equal(res.found, 1);
	assert_int_equal(res.what, KP_DAMAGED);
	assert_true(res.bad_rows > 0);
	assert_int_equal(res.rows + res.bad_rows, ROWS);
	small_free(&s);
}

/* Two files joined, and the end of the first and the header of the second are gone: nobody can say whose rows follow. */
static void test_header_lost(void **state)
{
	struct small s, t;
	struct kp_index x;
	struct result res;
	size_t from, to;
	uint8_t *p;

	(void)state;
	small_make(&s);
	small_make_as(&t, "two");
	for (int i = 0;; i++) {
		from = item_at(&s, i, &x);
		if (x.type == KP_I_END)
			break;
	}
	to = item_at(&t, 1, &x);
	p = malloc(s.n + t.n);
	memcpy(p, s.p, s.n);
	memcpy(p + s.n, t.p, t.n);
	memset(p + from, 0, s.n - from + to);
	put(s.fd, p, s.n + t.n);
	res = read_back(s.fd, s.rows, s.w.kinds, false);
	assert_int_equal(res.rc, 0);
	assert_int_equal(res.rows, ROWS);
	assert_int_equal(res.bad_rows, ROWS);
	assert_int_equal(res.found, 1);
	free(p);
	small_free(&s);
	small_free(&t);
}

/* Damage of any other sort: no crash, no row that was not written. */
static void test_noise(void **state)
{
	struct small s;
	uint8_t *p;

	(void)state;
	small_make(&s);
	p = malloc(2 * s.n);
	for (int round = 0; round < 400; round++) {
		size_t n = s.n, at, len;

		memcpy(p, s.p, n);
		for (int k = 0; k < 1 + round % 5; k++) {
			at = rnd(&s.w) % n;
			len = rnd(&s.w) % (n - at);
			if (len > 300)
				len = 300;
			switch (rnd(&s.w) % 3) {
			case 0:		/* overwritten */
				memset(p + at, (int)rnd(&s.w), len);
				break;
			case 1:		/* lost */
				memmove(p + at, p + at + len, n - at - len);
				n -= len;
				break;
			default:	/* something in between */
				if (n + len > 2 * s.n)
					break;
				memmove(p + at + len, p + at, n - at);
				memset(p + at, 'x', len);
				n += len;
			}
		}
		put(s.fd, p, n);
		read_back(s.fd, s.rows, s.w.kinds, false);
	}
	free(p);
	small_free(&s);
}

static void refuse(const char *bytes, size_t n, const char *why)
{
	struct kp_pool *pool;
	struct kp_kinds *kinds;
	struct kp_reader *r = NULL;
	struct kp_err err = { "" };
	int fd = memfd_create("other", 0);
	char path[32];
	const char *p = fd_path(path, fd);

	assert_int_equal(kp_pool_new(&pool), 0);
	assert_int_equal(kp_kinds_new(&kinds), 0);
	put(fd, (const uint8_t *)bytes, n);
	assert_true(kp_reader_open(&r, &p, 1, pool, kinds, NULL, &err) < 0);
	if (!strstr(err.msg, why))
		fail_msg("said \"%s\", not \"%s\"", err.msg, why);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
	close(fd);
}

static void test_other(void **state)
{
	char z[200];
	size_t n = ZSTD_compress(z, sizeof(z), "Hello, this is text\n", 20, 1);

	(void)state;
	refuse("", 0, "empty");
	refuse("hello\n", 6, "text");
	refuse("{\"a\":1}", 7, "JSON");
	refuse("\x1f\x8b\x08", 3, "gzip");
	refuse("PERFILE2xxxxxxxx", 16, "perf.data");
	refuse(z, n, "zstd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut), cmocka_unit_test(test_flip), cmocka_unit_test(test_hole), cmocka_unit_test(test_header_lost),
		cmocka_unit_test(test_noise), cmocka_unit_test(test_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
