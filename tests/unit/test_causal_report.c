/* SPDX-License-Identifier: BSD-2-Clause */
/* What a person and a program are told: shape, width, escapes, large numbers; and that random rows never break the account. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <unistd.h>

#include "causal_rows.h"

static char *told(const struct kp_graph *g, bool color)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	assert_int_equal(kp_report_text(f, g, color), 0);
	fclose(f);
	return text;
}

static json_t *parsed(const struct kp_graph *g)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	json_error_t e;
	json_t *j;

	assert_int_equal(kp_report_json(f, g), 0);
	fclose(f);
	assert_non_null(strchr(text, '\n'));
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);	/* one line */
	j = json_loads(text, 0, &e);
	if (!j)
		fail_msg("%s: %s", e.text, text);
	free(text);
	return j;
}

static void check_lines(const char *text)
{
	unsigned lines = 0;

	for (const char *p = text; *p; lines++) {
		unsigned width = 0;

		for (; *p && *p != '\n'; p++) {
			assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
			width += (*p & 0xc0) != 0x80;
		}
		if (width > 110)
			fail_msg("%u wide: %.*s", width, 150, p - width);
		p += *p == '\n';
	}
	assert_true(lines <= 45);
}

/* The example of the issue: refaults in the database, the worker gives up after 750 ms. */
static struct rows *checkout(const char *path, const char *culprit_comm)
{
	struct rows *w = rows_new();
	struct thread th = server(w, "/api"), db = thread(w, 3101, 3101, "postgres", "/kpdemo", -500);
	struct thread hog = thread(w, 4721, 4721, culprit_comm, "/kpdemo", -9000);
	const struct kp_obj *data = file(w, path, 16402), *disk = device(w, "loop0", 9);

	grows(w, &hog, -6000, 900, 640, 300);
	sys(w, KP_K_SYS_epoll_wait, &db, -450, 1.25, 1);
	sleeps(w, &db, -450, 1.23, S, "ep_poll+0x1", NULL, SOFTIRQ);
	tx_sql(w, &th, 1.2, DBCLIENT, SQL, "SELECT price FROM items");
	rx_sql(w, &db, 1.26, SQL, DBCLIENT, "SELECT price FROM items");
	sys(w, KP_K_SYS_poll, &th, 1.21, 750.03, 0);
	sleeps(w, &th, 1.22, 750, S, "poll_schedule_timeout+0x1", NULL, HARDIRQ);
	for (int i = 0; i < 94; i++) {
		double at = 2 + 8.4 * i;

		refault(w, &db, at - 0.005, 1, 500, &hog, data);
		reads(w, &db, at, at + 8.2, data, disk);
	}
	sys(w, KP_K_SYS_fdatasync, &db, 793.9, 810.1, 0)->obj = file(w, "pg_wal/000000010000000000000001", 9);
	sleeps(w, &db, 794, 810, D, NULL, NULL, HARDIRQ);
	answer_sql(w, &db, 812.3, SQL, DBCLIENT);
	until(w, &db, 813);
	tx(w, &th, 750.1, HTTP, CLIENT, HTTP_504);
	until(w, &th, 750.3);
	return w;
}

static void the_story(void **state)
{
	struct rows *w = checkout("base/16384/16402", "batch");
	const struct kp_graph *g = explain(w);
	char *text = told(g, false);
	static const char *const parts[] = {
		"req-1  POST /checkout  api-worker[2847]  FAILED after 750 ms; the answer came at 812 ms, 62 ms too late\n\n",
		"     0.0 ms  api-worker          request received\n",
		"postgres[3101]      SELECT items",
		"reads again base/16384/16402, evicted by batch[4721]",
		"memory.refault  <- root cause\n",
		"   750.0     api-worker          gives up (poll, 750.0 ms), answers 504",
		"<- failure\n",
		"   812.3     postgres            SELECT items answered, nobody is waiting\n\n",
		"cause            share      time   culprit                 why\n",
		"memory.refault    95 %    771 ms   batch[4721]             observed: 94 of 94 pages evicted in its",
		"inferred: it grew by ",
		"/kpdemo in",
		"disk.sync          2 %     16 ms   -",
		"unknown            0 %      0 ms\n",
		"without memory.refault: 41 ms\n",
		"began 2025-11-25T02:45:00",
	};
	const char *at = text;

	check_lines(text);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		const char *found = strstr(at, parts[i]);

		if (!found)
			fail_msg("\"%s\" is not in:\n%s", parts[i], text);
		at = found;
	}
	free(text);
	text = told(g, true);
	assert_non_null(strstr(text, "\033["));
	free(text);
	rows_free(w);
}

static void as_json(void **state)
{
	struct rows *w = checkout("base/16384/16402", "batch");
	const struct kp_graph *g = explain(w);
	json_t *j, *target, *c, *p;
	double shares = 0;
	json_int_t at = 0;
	size_t i;

	w->g->start += (1ull << 60);	/* uptime of a machine that never rests: only large numbers change */
	for (i = 0; i < g->nsteps; i++)
		w->g->steps[i].from += (1ull << 60);
	j = parsed(g);
	target = json_object_get(j, "target");
	assert_string_equal(json_string_value(json_object_get(target, "request")), "req-1");
	assert_string_equal(json_string_value(json_object_get(target, "op")), "POST /checkout");
	assert_string_equal(json_string_value(json_object_get(target, "outcome")), "timeout");
	assert_string_equal(json_string_value(json_object_get(target, "host")), "db1");
	assert_int_equal(json_integer_value(json_object_get(target, "pid")), 2847);
	assert_int_equal(json_integer_value(json_object_get(target, "limit_ns")), 750 * MS);
	assert_int_equal(strtoull(json_string_value(json_object_get(target, "start_ns")), NULL, 10), g->start);
	json_array_foreach(json_object_get(j, "causes"), i, c) {
		assert_int_equal(json_integer_value(json_object_get(c, "rank")), i + 1);
		shares += json_number_value(json_object_get(c, "share"));
		if (!i) {
			assert_string_equal(json_string_value(json_object_get(c, "kind")), "memory.refault");
			assert_int_equal(json_integer_value(json_object_get(json_object_get(c, "culprit"), "pid")), 4721);
			assert_string_equal(json_string_value(json_object_get(json_object_get(c, "culprit"), "cgroup")), "/kpdemo");
			assert_int_equal(json_integer_value(json_object_get(json_object_get(c, "victim"), "pid")), 3101);
			assert_true(json_is_true(json_object_get(c, "root")));
			assert_int_equal(json_integer_value(json_object_get(c, "counterfactual_dur_ns")), g->dur - g->causes[0].ns);
			assert_true(json_array_size(json_object_get(c, "evidence")) > 1);
		} else {
			assert_true(json_is_null(json_object_get(c, "culprit")));
		}
	}
	assert_true(shares > 0.999 && shares < 1.001);
	json_array_foreach(json_object_get(j, "path"), i, p) {
		assert_int_equal(json_integer_value(json_object_get(p, "from_ns")), at);
		at += json_integer_value(json_object_get(p, "dur_ns"));
	}
	assert_int_equal(at, g->dur);
	json_decref(j);
	rows_free(w);
}

/* Names from outside are data. */
static void hostile(void **state)
{
	static const char *const evil[] = { "\033[2J\033]0;x\007", "a\nb\rc", "\xff\xfe\x80", "\"},{\"x\":\"", "\xe2\x80\xaegnp", "%s%n%d", "" };

	for (size_t i = 0; i < sizeof(evil) / sizeof(*evil); i++) {
		struct rows *w = checkout(evil[i], evil[i]);
		const struct kp_graph *g;
		const char *what;
		char *text;
		json_t *j;

		for (unsigned k = 0; k < w->n; k++) {
			struct kp_row *r = &w->v[k];

			for (int x = 0; x < KP_CTX_MAX; x++)
				if (x != KP_CTX_REQUEST)
					r->ctx[x] = str(w, evil[i]);
			if (r->task) {	/* every name there is */
				struct kp_task t = *r->task;

				t.comm = str(w, evil[i]);
				for (int x = 0; x < KP_CG_MAX; x++)
					t.cgroup[x] = str(w, evil[i]);
				r->task = kp_pool_task(w->pool, &t);
			}
		}
		w->src[0].host = str(w, evil[i]);
		g = explain(w);
		text = told(g, false);
		check_lines(text);
		free(text);
		j = parsed(g);
		what = json_string_value(json_object_get(json_object_get(j, "target"), "comm"));
		for (const char *c = what; *c; c++)
			assert_true((unsigned char)*c >= ' ' && (unsigned char)*c < 0x7f);
		json_decref(j);
		rows_free(w);
	}
}

static void very_long(void **state)
{
	char name[3000];
	struct rows *w;
	char *text;

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	w = checkout(name, name);
	for (unsigned k = 0; k < w->n; k++) {
		w->v[k].ctx[KP_CTX_OP] = str(w, name);
		w->v[k].ctx[KP_CTX_SERVICE] = str(w, name);
	}
	text = told(explain(w), false);
	check_lines(text);
	free(text);
	json_decref(parsed(w->g));
	rows_free(w);
}

/* ---- random rows: nothing of them makes sense, and the account is whole all the same ---- */

static uint64_t rnd(uint64_t *s)
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void random_row(struct rows *w, uint64_t *s, const struct thread *th, unsigned nth)
{
	static const uint16_t kinds[] = {
		KP_K_SCHED_SWITCH, KP_K_SCHED_SWITCH, KP_K_SCHED_SWITCH, KP_K_SCHED_WAKE, KP_K_SCHED_WAKE, KP_K_SCHED_SLEEP, KP_K_PROC_EXIT,
		KP_K_SIG_SEND, KP_K_TCP_SEND, KP_K_TCP_RECV, KP_K_NET_SEND, KP_K_NET_RECV, KP_K_TCP_STATE, KP_K_TCP_RETRANSMIT,
		KP_K_TCP_CONNECT, KP_K_BLK_READ, KP_K_BLK_WRITE, KP_K_BLK_BIO, KP_K_MM_FAULT, KP_K_MM_RECLAIM, KP_K_MM_REFAULT,
		KP_K_MM_THROTTLED, KP_K_FS_SYNC, KP_K_FS_COMMIT, KP_K_LOCK_WAIT, KP_K_CG_CPU, KP_K_CG_LIMIT, KP_K_COUNT_MEM, KP_K_KEY_TASK,
		KP_K_SYS_futex, KP_K_SYS_poll, KP_K_SYS_read, KP_K_SYS_fsync, KP_K_SYS_recvfrom, KP_K_SYS_flock, KP_K_LOSS_KERNEL,
	};
	static const char *const frames[] = {
		"futex_do_wait", "ep_poll", "sk_wait_data", "folio_wait_bit_common", "rwsem_down_read_slowpath", "do_nanosleep",
		"locks_lock_inode_wait", "anon_pipe_read", "do_wait", "reclaim_throttle", "do_swap_page", "balance_dirty_pages",
		"wait_transaction_locked", "do_signal_stop", "request_wait_answer", "sk_stream_wait_memory", "nothing_known",
	};
	static const char *const says[] = { HTTP_REQ("req-1"), HTTP_REQ("req-2"), HTTP_OK, HTTP_504, "x" };
	double end = (double)(rnd(s) % 1000000) / 1000, dur = (double)(rnd(s) % 50000) / 1000;
	uint16_t kind = kinds[rnd(s) % (sizeof(kinds) / sizeof(*kinds))];
	int ports[] = { CLIENT, HTTP, DBCLIENT, SQL }, p = (int)(rnd(s) % 4);
	struct kp_row *r;

	if (kind >= KP_K_NET_SEND && kind <= KP_K_TCP_RECV) {
		const char *m = says[rnd(s) % 5];

		r = message(w, kind, &th[rnd(s) % nth], end, sock(w, ports[p], ports[p ^ 1]), m, strlen(m));
		r->dur = rnd(s) % 2 ? 5000 : (uint64_t)(dur * 1e6);
		r->ret = rnd(s) % 8 ? r->ret : -(int64_t)(rnd(s) % 120);
	} else {
		r = event(w, kind, &th[rnd(s) % nth], end - dur, end);
		r->ret = (int64_t)(rnd(s) % 3) - 1;
		r->obj = rnd(s) % 3 ? file(w, "/f", 1 + rnd(s) % 2) : kind >= KP_K_TCP_STATE && kind <= KP_K_TCP_RESET ?
			 sock(w, ports[p], ports[p ^ 1]) : NULL;
	}
	for (int i = 0; i < 6; i++)
		r->a[i] = rnd(s) % 4 ? rnd(s) % 6 : rnd(s);
	if (kind == KP_K_TCP_SEND || kind == KP_K_TCP_RECV)
		r->a[0] = rnd(s) % 1000;
	if (rnd(s) % 4)
		r->peer = th[rnd(s) % nth].t;
	if (rnd(s) % 2)
		r->stack = stack(w, "schedule", frames[rnd(s) % (sizeof(frames) / sizeof(*frames))]);
	if (!(rnd(s) % 20))
		r->flags = KP_F_OPEN;
	if (!(rnd(s) % 50))
		r->task = NULL;
	r->cpu = (uint16_t)(rnd(s) % 3);
}

static void random_rows(void **state)
{
	unsigned explained = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		static const struct kp_select_opts o[] = {
			{ .by = KP_SEL_REQUEST, .id = "req-1" }, { .by = KP_SEL_SLOWEST, .n = 1 }, { .by = KP_SEL_TASK, .tid = 11 },
		};
		struct rows *w = rows_new();
		struct thread th[6];
		const struct kp_target *t;
		uint64_t s = seed;
		uint32_t n;
		char *text;

		for (unsigned i = 0; i < 6; i++)
			th[i] = thread(w, 10 + i / 2, 10 + i, i % 2 ? "odd" : "even", i < 3 ? "/a" : "/b/c", 0);
		for (unsigned i = 0; i < 400; i++)
			random_row(w, &s, th, 6);
		if (!scan(w, &o[seed % 3], &t, &n)) {
			explain_target(w, t);
			text = told(w->g, false);
			check_lines(text);
			free(text);
			json_decref(parsed(w->g));
			explained++;
		}
		rows_free(w);
	}
	assert_true(explained > 200);
}

/* Writes a scene as a stream, for the tests of the tool. */
static int write_scene(const char *name)
{
	struct rows *w = !strcmp(name, "checkout") ? checkout("base/16384/16402", "batch") :
			 !strcmp(name, "hostile") ? checkout("\033[2J\nx", "\033]0;evil\007") : rows_new();
	struct kp_kinds *kinds;
	struct kp_writer *out;
	struct kp_err err;
	int rc;

	if (!strcmp(name, "load"))
		load(w, 6);
	else if (strcmp(name, "checkout") && strcmp(name, "hostile"))
		return 2;
	qsort(w->v, w->n, sizeof(*w->v), by_end);
	rc = kp_kinds_new(&kinds) || kp_writer_open(&out, STDOUT_FILENO, false, &w->h, kinds, NULL, &err);
	for (unsigned i = 0; i < w->n && !rc; i++)
		rc = kp_writer_row(out, &w->v[i], &err);
	rc = rc ? rc : kp_writer_close(out, 0, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.msg);
	kp_kinds_free(kinds);
	rows_free(w);
	return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_story), cmocka_unit_test(as_json), cmocka_unit_test(hostile), cmocka_unit_test(very_long),
		cmocka_unit_test(random_rows),
	};

	return argc > 1 ? write_scene(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
