/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream without end: what is over is forgotten when pools are renewed, what is not stays. */
#include "enrich_rows.h"

#define POST(id) "POST /checkout HTTP/1.1\r\nX-Request-ID: " id "\r\n\r\n"
#define READ KP_K_SYS_pread64
#define HOUR (3600 * 1000.0)

enum { WEB = 8080, C1 = 40001 };

static int count(void *arg, const struct kp_row *row, struct kp_err *err)
{
	++*(uint64_t *)arg;
	return 0;
}

static void renew(struct kp_enrich *e, struct kp_pool **values)
{
	struct kp_pool *next;

	assert_int_equal(kp_pool_new(&next), 0);
	assert_int_equal(kp_enrich_renew(e, next), 0);
	kp_pool_free(*values);
	*values = next;
}

/* A thread of a name of its own every 200 ms of the stream, for that long; the bytes that are held at the end. */
static size_t threads(double ms, bool exits)
{
	struct kp_pool *values;
	struct kp_enrich *e;
	uint64_t n = 0, all = 0;
	size_t bytes;

	assert_int_equal(kp_pool_new(&values), 0);
	assert_int_equal(kp_enrich_new(&e, 0, count, &n, NULL), 0);
	assert_int_equal(kp_enrich_source(e, 0, &(struct kp_source){ .boot_id = "b0" }, 0), 0);
	for (double at = 200; at < ms; at += 200, all++) {
		char name[32];
		struct kp_task t = { .tid = 1 + all, .tgid = 1 + all, .start = 1 + all };
		struct kp_row r = { .kind = READ, .end = (uint64_t)(at * MS), .dur = MS };

		snprintf(name, sizeof(name), "thread%u", (unsigned)all);
		t.comm = kp_pool_cstr(values, name);
		r.task = kp_pool_task(values, &t);
		assert_int_equal(kp_enrich_row(e, &r, NULL), 0);
		r.kind = exits ? KP_K_PROC_EXIT : READ;
		r.end++;
		assert_int_equal(kp_enrich_row(e, &r, NULL), 0);
		if (all % 5000 == 4999)
			renew(e, &values);
	}
	renew(e, &values);
	bytes = kp_pool_bytes(values) + kp_enrich_bytes(e);
	assert_int_equal(kp_enrich_end(e, NULL), 0);
	assert_int_equal(n, 2 * all);
	kp_enrich_free(e);
	kp_pool_free(values);
	return bytes;
}

/* Threads that ended are gone after seconds, whose end was not recorded after an hour in which they did nothing. */
static void over(void **state)
{
	size_t one = threads(1.5 * HOUR, false), three = threads(3 * HOUR, false);

	assert_in_range(three, one * 9 / 10, one * 11 / 10);
	assert_in_range(threads(1.5 * HOUR, true), 0, one / 20);
}

/* A request takes its time: its thread sleeps through many renewals, and knows for whom when it goes on. */
static void long_request(void **state)
{
	struct world *w = world_new();
	const struct kp_task *api = task(w, 10, 10, "api"), *other = task(w, 20, 20, "other");
	unsigned in, idle;

	rx(w, api, 1000, WEB, C1, POST("r1"));
	for (int i = 1; i < 1000; i++)
		row(w, READ, other, 1000 + i * 1000 - 1, 1000 + i * 1000);
	in = row(w, READ, api, 1001000, 1001001);
	tx(w, api, 1001002, WEB, C1, "HTTP/1.1 200 OK\r\n\r\n");
	row(w, KP_K_SYS_epoll_wait, api, 1001003, 1001100);
	idle = row(w, READ, api, 1001110, 1001120);
	done(w);
	assert_string_equal(req(w, in), "r1");
	assert_string_equal(op(w, in), "POST /checkout");
	assert_string_equal(got(w, in, KP_CTX_SERVICE), "api");
	assert_string_equal(req(w, idle), "");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(over), cmocka_unit_test(long_request) };

	renews = true;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
