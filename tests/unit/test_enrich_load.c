/* SPDX-License-Identifier: BSD-2-Clause */
/* Much of everything: requests a second, bytes a message, statements a connection, rows at once. */
#include "enrich_rows.h"

#define POST(id) "POST /checkout?x=1 HTTP/1.1\r\nX-Request-ID: " id "\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n\r\n"
#define READ KP_K_SYS_pread64

enum { WEB = 8080, DB = 5432, C1 = 40001, D1 = 50001 };

/* Thousands of requests a second in one thread: none is forgotten before its rows have left. */
static void busy_thread(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 10, "redis");
	unsigned in[600], wait[600];
	char text[128], want[16];

	for (int i = 0; i < 600; i++) {
		double t = 10 + i * 0.3;

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nX-Request-ID: q%d\r\n\r\n", i);
		recv_n(w, a, t, WEB, C1 + i % 7, text, strlen(text));
		in[i] = row(w, READ, a, t + 0.01, t + 0.02);
		tx(w, a, t + 0.1, WEB, C1 + i % 7, OK);
		wait[i] = row(w, KP_K_SYS_epoll_wait, a, t + 0.11, t + 0.29);
	}
	done(w);
	for (int i = 0; i < 600; i++) {
		snprintf(want, sizeof(want), "q%d", i);
		assert_string_equal(req(w, in[i]), want);
		assert_string_equal(req(w, wait[i]), "");
	}
	world_free(w);
}

/* A body in many sends: who asked is known from the first of them, however late the other end reads. */
static void long_body(void **state)
{
	struct world *w = world_new();
	const struct kp_task *api = task(w, 10, 10, "api"), *up = task(w, 20, 20, "up");
	unsigned in;
	uint32_t all;

	rx(w, api, 9, WEB, C1, POST("r1"));
	tx(w, api, 10, D1, 9000, "POST /store HTTP/1.1\r\n\r\n");
	for (int i = 0; i < 100; i++)
		send_n(w, api, 10.1 + i * 0.1, D1, 9000, NULL, 1000);
	all = w->seq[D1];
	w->seq[D1] = all - 100 * 1000;
	rx(w, up, 30, 9000, D1, "POST /store HTTP/1.1\r\n\r\n");
	w->seq[D1] = all;
	recv_n(w, up, 31, 9000, D1, NULL, 100 * 1000);
	in = row(w, READ, up, 32, 33);
	done(w);
	assert_string_equal(req(w, in), "r1");
	assert_string_equal(op(w, in), "POST /store");
	world_free(w);
}

/* A pool prepares hundreds of statements on a connection. */
static void many_statements(void **state)
{
	struct world *w = world_new();
	const struct kp_task *db = task(w, 20, 20, "postgres");
	char m[128], want[32];
	unsigned in;

	memcpy(m, "B\0\0\0\x10\0" "s001\0\0\0\0\0\0", 17);	/* prepared before the recording */
	recv_n(w, db, 9, DB, D1, m, 17);
	in = row(w, READ, db, 9.1, 9.2);
	send_n(w, db, 9.5, DB, D1, "2\0\0\0\4Z\0\0\0\5I", 11);
	assert_int_equal(kp_enrich_flush(w->e, NULL), 0);
	assert_string_equal(op(w, in), "EXECUTE s001");
	for (int i = 0; i < 300; i++) {
		int n = 5 + snprintf(m + 5, sizeof(m) - 5, "s%03d%cSELECT 1 FROM t%03d%c%c", i, 0, i, 0, 0) + 1;

		memcpy(m, (char[]){ 'P', 0, 0, 0, n - 1 }, 5);
		recv_n(w, db, 10 + i, DB, D1, m, n);
		send_n(w, db, 10.5 + i, DB, D1, "1\0\0\0\4Z\0\0\0\5I", 11);
	}
	for (int i = 0; i < 300; i += 37) {
		double t = 1000 + i;

		memcpy(m, "B\0\0\0\x10\0", 6);
		snprintf(m + 6, sizeof(m) - 6, "s%03d", i);
		memset(m + 11, 0, 6);
		recv_n(w, db, t, DB, D1, m, 17);
		in = row(w, READ, db, t + 0.1, t + 0.2);
		send_n(w, db, t + 0.5, DB, D1, "2\0\0\0\4Z\0\0\0\5I", 11);
		assert_int_equal(kp_enrich_flush(w->e, NULL), 0);
		snprintf(want, sizeof(want), "SELECT t%03d", i);
		assert_string_equal(op(w, in), want);
	}
	world_free(w);
}

static int count(void *arg, const struct kp_row *row, struct kp_err *err)
{
	uint64_t *n = arg;

	assert_int_equal(row->a[0], *n);
	++*n;
	return 0;
}

/* A flood: more rows within the window than are held. None is lost, and memory does not grow without end. */
static void flood(void **state)
{
	enum { ROWS = 300000 };
	struct kp_source s = { .boot_id = "b" };
	struct kp_row r = { .kind = READ, .dur = 10 };
	struct kp_enrich *e;
	uint64_t n = 0;

	assert_int_equal(kp_enrich_new(&e, 0, count, &n, NULL), 0);
	assert_int_equal(kp_enrich_source(e, 0, &s, 0), 0);
	for (uint64_t i = 0; i < ROWS; i++) {
		r.end = 1000 * MS + i * 100;
		r.a[0] = i;
		assert_int_equal(kp_enrich_row(e, &r, NULL), 0);
	}
	assert_in_range(n, ROWS - 262144, ROWS - 262144 + 1);
	assert_int_equal(kp_enrich_end(e, NULL), 0);
	assert_int_equal(n, ROWS);
	kp_enrich_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(busy_thread), cmocka_unit_test(long_body), cmocka_unit_test(many_statements),
		cmocka_unit_test(flood),
	};

	return run_both_ways(tests);
}
