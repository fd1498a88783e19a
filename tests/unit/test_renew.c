/* SPDX-License-Identifier: BSD-2-Clause */
/* Readers whose pool is renewed: the same rows come, and nothing points into a pool that was freed. */
#include "stream_rows.h"

enum { ROWS = 1500, SOURCES = 2, INPUTS = 2 };

struct in { struct kp_pool *pool, *values; struct kp_kinds *kinds; struct kp_reader *r; };

static void in_open(struct in *in, const char *const *paths)
{
	struct kp_err err = { "" };

	assert_int_equal(kp_pool_new(&in->pool), 0);
	assert_int_equal(kp_pool_new(&in->values), 0);
	assert_int_equal(kp_kinds_new(&in->kinds), 0);
	assert_int_equal(kp_reader_open(&in->r, paths, INPUTS, in->pool, in->kinds, NULL, &err), 0);
	assert_int_equal(kp_reader_renew(in->r, in->values), 0);
}

static void in_close(struct in *in)
{
	kp_reader_close(in->r);
	kp_kinds_free(in->kinds);
	kp_pool_free(in->values);
	kp_pool_free(in->pool);
}

static void renew(struct in *in)
{
	struct kp_pool *p;

	assert_int_equal(kp_pool_new(&p), 0);
	assert_int_equal(kp_reader_renew(in->r, p), 0);
	kp_pool_free(in->values);
	in->values = p;
}

/* Both inputs have two sources and blocks of a few rows, so that there is always more read than handed out. */
static int write_input(uint64_t seed)
{
	static const uint8_t payload[64] = "payload";
	struct kp_write_opts o = { .block_rows = 37 };
	struct kp_err err = { "" };
	int fd = memfd_create("stream", 0);
	struct kp_writer *kw;
	struct world w;

	world_init(&w, SOURCES, seed);
	for (int i = 0; i < SOURCES; i++)
		snprintf(w.src[i].session, sizeof(w.src[i].session), "s%d-%d", (int)seed, i);
	assert_int_equal(kp_writer_open(&kw, fd, false, &w.h, w.kinds, &o, &err), 0);
	for (uint64_t i = 0; i < ROWS; i++) {
		struct kp_row r = row_make(&w, 5000 + 100 * i, payload);

		r.source = rnd(&w) % SOURCES;
		assert_int_equal(kp_writer_row(kw, &r, &err), 0);
	}
	assert_int_equal(kp_writer_close(kw, ROWS, &err), 0);
	world_free(&w);
	return fd;
}

/* every: between how many rows; 1: also the row that is held is in the new pool. */
static void read_renewing(uint32_t every)
{
	int fd[INPUTS] = { write_input(1), write_input(2) };
	const struct kp_row *a, *b;
	const char *p[INPUTS];
	char path[INPUTS][32];
	struct in plain, renewed;
	struct kp_err err = { "" };
	uint32_t n = 0;

	for (int i = 0; i < INPUTS; i++)
		p[i] = fd_path(path[i], fd[i]);
	in_open(&plain, p);
	in_open(&renewed, p);
	while (kp_reader_next(plain.r, &a, &err) == 1) {
		assert_int_equal(kp_reader_next(renewed.r, &b, &err), 1);
		if (++n % every == 0)
			renew(&renewed);
		same_row(a, b);
		assert_true(!b->obj || b->obj == kp_pool_obj(renewed.values, b->obj));
		assert_true(!b->task || b->task == kp_pool_task(renewed.values, b->task));
	}
	assert_int_equal(n, INPUTS * ROWS);
	assert_int_equal(kp_reader_next(renewed.r, &b, &err), 0);
	/* headers are not renewed */
	assert_int_equal(kp_reader_header(renewed.r)->nsources, INPUTS * SOURCES);
	assert_string_equal(kp_reader_header(renewed.r)->sources[1].host->p, kp_reader_header(plain.r)->sources[1].host->p);
	in_close(&plain);
	in_close(&renewed);
	for (int i = 0; i < INPUTS; i++)
		close(fd[i]);
}

static void each_row(void **state)
{
	read_renewing(1);
}

static void now_and_then(void **state)
{
	read_renewing(100);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_row), cmocka_unit_test(now_and_then) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
