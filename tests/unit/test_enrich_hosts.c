/* SPDX-License-Identifier: BSD-2-Clause */
/* Several hosts: their clocks on one line, and requests from one to the other. */
#include "enrich_rows.h"

#define READ KP_K_SYS_pread64

enum { WEB = 0, DB = 1, OTHER = 2 };

static const struct kp_obj *remote(struct world *w, int laddr, uint16_t lport, int raddr, uint16_t rport)
{
	struct kp_obj o = { .type = KP_OBJ_SOCKET, .family = AF_INET, .proto = 6, .lport = lport, .rport = rport,
			    .laddr = { 10, 0, 0, laddr }, .raddr = { 10, 0, 0, raddr } };

	return kp_pool_obj(w->pool, &o);
}

static struct kp_row message(struct world *w, uint32_t source, const struct kp_task *t, double ms, bool send,
			     const struct kp_obj *o, uint32_t pos, int64_t n)
{
	return (struct kp_row){ .kind = send ? KP_K_TCP_SEND : KP_K_TCP_RECV, .source = source, .task = t,
				.end = (uint64_t)(ms * MS), .dur = 1000, .obj = o, .a = { pos }, .ret = n };
}

static const struct kp_source three[] = {
	{ .boot_id = "web", .base = 1000 * (int64_t)MS }, { .boot_id = "db", .base = 400 * (int64_t)MS },
	{ .boot_id = "db", .base = 400 * (int64_t)MS }, { .boot_id = "far" },
};
static const struct kp_header header = { .sources = (struct kp_source *)three, .nsources = 4 };

/* The database's clock is 5 ms ahead; messages take 0.2 to 0.4 ms. ms: true time since the web host's boot. */
static void exchange(struct kp_clocks *c, struct world *w, double ms, uint32_t pos, uint32_t db)
{
	static const double late[] = { 0.4, 0.2, 0.3 };
	const struct kp_obj *a = remote(w, 1, 50001, 2, 5432), *b = remote(w, 2, 5432, 1, 50001);
	double net = late[pos % 3], ahead = 600 + 5;
	struct kp_row r[] = {
		message(w, WEB, NULL, ms, true, a, pos, 10), message(w, db, NULL, ms + net + ahead, false, b, pos, 10),
		message(w, db, NULL, ms + 1 + ahead, true, b, pos, 20), message(w, WEB, NULL, ms + 1 + net, false, a, pos, 20),
	};

	/* by the clocks as they are the database's rows come much later: in any order */
	for (int i = 0; i < 4; i++)
		assert_int_equal(kp_clocks_row(c, &header, &r[pos % 2 ? i : 3 - i]), 0);
}

static void both_ways(void **state)
{
	struct world *w = world_new();
	struct kp_clocks *c;
	int64_t shift[4];
	uint64_t err[4];

	assert_int_equal(kp_clocks_new(&c), 0);
	for (uint32_t i = 0; i < 30; i++)
		exchange(c, w, 10 + i, 1000 + i, i % 2 ? DB : OTHER);
	assert_int_equal(kp_clocks_solve(c, &header, shift, err, 4), 2);
	assert_int_equal(shift[WEB], 0);
	assert_in_range(llabs(shift[DB] + 5 * (int64_t)MS), 0, 0.21 * MS);
	assert_in_range(err[DB], 0.15 * MS, 0.25 * MS);
	assert_int_equal(shift[OTHER], shift[DB]);	/* the same boot, another recorder */
	assert_int_equal(err[OTHER], err[DB]);
	assert_int_equal(shift[3], 0);			/* nobody spoke with it */
	kp_clocks_free(c);
	world_free(w);
}

/* One direction only: no more than needed, and the error is not known. */
static void one_way(void **state)
{
	struct world *w = world_new();
	const struct kp_obj *a = remote(w, 1, 50001, 2, 5432), *b = remote(w, 2, 5432, 1, 50001);
	struct kp_row s = message(w, WEB, NULL, 100, true, a, 7, 10), r = message(w, DB, NULL, 695, false, b, 7, 10);
	struct kp_row other = message(w, DB, NULL, 100, false, b, 8, 10);
	struct kp_clocks *c;
	int64_t shift[4];
	uint64_t err[4];

	assert_int_equal(kp_clocks_new(&c), 0);
	kp_clocks_row(c, &header, &s);
	kp_clocks_row(c, &header, &other);	/* another message */
	assert_int_equal(kp_clocks_solve(c, &header, shift, err, 4), 0);
	kp_clocks_row(c, &header, &r);
	assert_int_equal(kp_clocks_solve(c, &header, shift, err, 4), 2);
	assert_int_equal(shift[DB], 5 * (int64_t)MS - 1000);	/* from the call's start */
	assert_true(err[DB] == UINT64_MAX);
	kp_clocks_free(c);
	world_free(w);
}

/* Loopback and container addresses are on every host: equal ones are not one connection. */
static void private_addresses(void **state)
{
	struct world *w = world_new();
	const struct kp_task *a = task(w, 10, 10, "api"), *b = task(w, 10, 10, "api");
	const struct kp_obj *o = remote(w, 1, 8080, 2, 40001);
	static const char one[] = "GET /one HTTP/1.1\r\nX-Request-ID: r1\r\n\r\n", two[] = "GET /two HTTP/1.1\r\nX-Request-ID: r2\r\n\r\n";
	struct kp_row r1 = message(w, 0, a, 10, false, o, 1000, sizeof(one) - 1);
	struct kp_row r2 = message(w, 1, b, 20, false, o, 77000, sizeof(two) - 1), x;
	unsigned first, second;

	assert_int_equal(kp_enrich_source(w->e, 1, &(struct kp_source){ .boot_id = "b1" }, 0), 0);
	r1.data = (const uint8_t *)one;
	r2.data = (const uint8_t *)two;
	r1.data_len = r1.ret;
	r2.data_len = r2.ret;
	put(w, &r1);
	put(w, &r2);
	x = (struct kp_row){ .kind = READ, .source = 0, .task = a, .end = 31 * MS, .dur = MS, .a = { [5] = 100001 } };
	put(w, &x);
	first = 100001;
	x.source = 1;
	x.a[5] = second = 100002;
	put(w, &x);
	done(w);
	assert_string_equal(req(w, first), "r1");
	assert_string_equal(req(w, second), "r2");
	world_free(w);
}

/* The web host asks, the database's host answers: its rows are the request's, by position on the connection. */
static void across(void **state)
{
	struct world *w = world_new();
	const struct kp_task *api = task(w, 10, 10, "api"), *db = task(w, 10, 10, "postgres");
	const struct kp_obj *out = remote(w, 1, 50001, 2, 5432), *in = remote(w, 2, 5432, 1, 50001);
	struct kp_row s, r, x = { .kind = KP_K_BLK_READ, .source = 1, .task = db, .dur = MS, .a = { [5] = 200001 } };
	char q[64];
	size_t n = query(q, "SELECT * FROM items");

	assert_int_equal(kp_enrich_source(w->e, 1, &(struct kp_source){ .boot_id = "b1", .base = 500 * (int64_t)MS,
									.shift = -3 * (int64_t)MS }, 0), 0);
	rx(w, api, 1010, 8080, 40001, "GET /one HTTP/1.1\r\nX-Request-ID: r1\r\n\r\n");
	s = message(w, 0, api, 1011, true, out, 5000, n);
	r = message(w, 1, db, 1012 - 497, false, in, 5000, n);
	s.data = r.data = (const uint8_t *)q;
	s.data_len = r.data_len = n;
	put(w, &s);
	put(w, &r);
	x.end = (1020 - 497) * MS;
	put(w, &x);
	done(w);
	assert_string_equal(req(w, 200001), "r1");
	assert_string_equal(op(w, 200001), "SELECT items");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways), cmocka_unit_test(one_way), cmocka_unit_test(private_addresses),
		cmocka_unit_test(across),
	};

	return run_both_ways(tests);
}
