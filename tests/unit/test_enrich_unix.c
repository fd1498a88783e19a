/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix sockets: the other end is found by who wakes whom, and only by that. */
#include "enrich_rows.h"

#define POST(id) "POST /checkout HTTP/1.1\r\nX-Request-ID: " id "\r\n\r\n"
#define READY "C\0\0\0\x0dSELECT 1\0Z\0\0\0\5I"
#define READ KP_K_SYS_pread64

enum { WEB = 8080, C1 = 40001 };

static struct kp_row message(struct world *w, bool send, const struct kp_task *t, double from, double to, uint64_t id,
			     const void *bytes, size_t n)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_UNIX, .id = id };

	return (struct kp_row){ .kind = send ? KP_K_NET_SEND : KP_K_NET_RECV, .task = t, .end = (uint64_t)(to * MS),
				.dur = (uint64_t)((to - from) * MS), .obj = kp_pool_obj(w->pool, &o), .ret = n, .data = bytes, .data_len = n };
}

static struct kp_row wake(const struct kp_task *t, const struct kp_task *by, double ms, uint64_t ctx)
{
	return (struct kp_row){ .kind = KP_K_SCHED_WAKE, .task = t, .peer = by, .end = (uint64_t)(ms * MS), .dur = MS, .a = { ctx } };
}

/* The first request finds the pair, whichever row comes first; the second needs no wake. */
static void pair(bool recv_first)
{
	struct world *w = world_new();
	const struct kp_task *api = task(w, 10, 10, "api"), *db = task(w, 20, 20, "postgres");
	struct kp_row r[3];
	unsigned one, idle, two;
	char q[64];
	size_t n = query(q, "SELECT * FROM items");

	rx(w, api, 10, WEB, C1, POST("r1"));
	r[0] = wake(db, api, 11.01, 0);
	r[1] = message(w, true, api, 11, recv_first ? 11.2 : 11.05, 101, q, n);
	r[2] = message(w, false, db, 11.05, 11.1, 102, q, n);
	put(w, &r[0]);
	put(w, &r[recv_first ? 2 : 1]);
	put(w, &r[recv_first ? 1 : 2]);
	one = row(w, READ, db, 12, 13);
	r[0] = message(w, true, db, 14, 14.1, 102, READY, sizeof(READY) - 1);
	r[1] = message(w, false, api, 14, 14.2, 101, READY, sizeof(READY) - 1);
	put(w, &r[0]);
	put(w, &r[1]);
	tx(w, api, 15, WEB, C1, "HTTP/1.1 200 OK\r\n\r\n");
	idle = row(w, READ, db, 16, 17);
	rx(w, api, 20, WEB, C1, POST("r2"));
	r[0] = message(w, true, api, 21, 21.1, 101, q, n);
	r[1] = message(w, false, db, 21, 21.2, 102, q, n);
	put(w, &r[0]);
	put(w, &r[1]);
	two = row(w, READ, db, 22, 23);
	done(w);
	assert_string_equal(req(w, one), "r1");
	assert_string_equal(op(w, one), "SELECT items");
	assert_string_equal(req(w, idle), "");
	assert_string_equal(req(w, two), "r2");
	world_free(w);
}

static void send_first(void **state)
{
	pair(false);
}

static void recv_first(void **state)
{
	pair(true);
}

/* Woken in an interrupt, too late, by another message than it received: nobody's. */
static void no_proof(void **state)
{
	char q[64], other[64];
	size_t n = query(q, "SELECT * FROM items"), m = query(other, "SELECT * FROM orders");

	for (int how = 0; how < 4; how++) {
		struct world *w = world_new();
		const struct kp_task *api = task(w, 10, 10, "api"), *db = task(w, 20, 20, "postgres");
		double late = how == 1 ? 100 : 0;
		struct kp_row r[] = {
			wake(db, api, how == 3 ? 10.5 : 11.01, how == 0), message(w, true, api, 11, 11.05, 101, q, n),
			message(w, false, db, 11.05 + late, 11.1 + late, 102, how == 2 ? other : q, how == 2 ? m : n),
		};
		unsigned in;

		rx(w, api, 10, WEB, C1, POST("r1"));
		for (int i = 0; i < 3; i++)
			put(w, &r[i]);
		in = row(w, READ, db, 12 + late, 13 + late);
		done(w);
		assert_string_equal(req(w, in), "");
		assert_string_equal(op(w, in), how == 2 ? "SELECT orders" : "SELECT items");
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(send_first), cmocka_unit_test(recv_first), cmocka_unit_test(no_proof),
	};

	return run_both_ways(tests);
}
