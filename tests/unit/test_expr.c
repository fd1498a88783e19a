/* SPDX-License-Identifier: BSD-2-Clause */
#include <kp/expr.h>
#include <kp/pool.h>
#include <kp/stream.h>
#include <kp/util.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

struct world {
	struct kp_kinds *kinds;
	struct kp_pool *pool;
	struct kp_task task, peer;
	struct kp_row row;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct kp_str *frames[2];
	struct kp_obj o = { .type = KP_OBJ_FILE, .id = 16402 };

	assert_int_equal(kp_kinds_new(&w->kinds), 0);
	assert_int_equal(kp_pool_new(&w->pool), 0);
	w->task = (struct kp_task){ .tid = 3105, .tgid = 3101, .comm = kp_pool_cstr(w->pool, "postgres"),
				    .exe = kp_pool_cstr(w->pool, "/usr/lib/postgres") };
	w->task.cgroup[KP_CG_CPU] = kp_pool_cstr(w->pool, "/system");
	w->task.cgroup[KP_CG_MEMORY] = kp_pool_cstr(w->pool, "/db");
	w->peer = (struct kp_task){ .tid = 9, .tgid = 9, .comm = kp_pool_str(w->pool, "b\x1b*d", 4) };
	o.name = kp_pool_cstr(w->pool, "/var/lib/base/16402");
	frames[0] = kp_pool_cstr(w->pool, "io_schedule+0x12");
	frames[1] = kp_pool_cstr(w->pool, "folio_wait_bit_common+0x9f");
	w->row = (struct kp_row){ .end = 1000000000, .dur = 12000000, .kind = KP_K_SYS_pread64, .cpu = 1, .task = &w->task,
				  .peer = &w->peer, .a = { 5, 0x7f00, 8192, 4096 }, .ret = -5, .obj = kp_pool_obj(w->pool, &o),
				  .stack = kp_pool_stack(w->pool, frames, 2), .flags = KP_F_SLOW,
				  .data = (const uint8_t *)"GET /x\0y", .data_len = 8 };
	w->row.ctx[KP_CTX_REQUEST] = kp_pool_cstr(w->pool, "req-9f21");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kp_pool_free(w->pool);
	kp_kinds_free(w->kinds);
	free(w);
	return 0;
}

static bool eval(struct world *w, const char *text)
{
	struct kp_err err = { "" };
	struct kp_expr *e;
	bool hit;

	if (kp_expr_parse(&e, text, w->kinds, &err))
		fail_msg("%s: %s", text, err.msg);
	hit = kp_expr_match(e, &w->row);
	assert_int_equal(hit, kp_expr_match(e, &w->row));	/* caches give the same again */
	kp_expr_free(e);
	return hit;
}

static void holds(void **state)
{
	static const char *const yes[] = {
		"kind == \"sys.pread64\"", "kind == sys.pread64", "kind == \"sys.*\"", "kind == sys.*", "kind != \"sched.*\"",
		"kind in (\"sys.read\", \"sys.pread64\")", "kind ~ '^sys\\.p'", "dur > 10ms && dur < 0.02s", "dur == 12000000",
		"start == 988ms", "pid == 3101 && tid != pid", "comm == \"post*\"", "comm == \"*gre*\" and not comm == \"x\"",
		"comm ~ \"^p.*s$\"", "comm !~ \"^x\"", "exe has \"postgres\"", "cgroup == \"/db\"", "cgroup == \"/system\"",
		"count > 4k", "count == 8KiB", "fd == 5 && pos == 0x1000", "ret == -EIO", "ret == EIO", "ret < 0", "failed",
		"failed == true", "slow && !open", "stack has \"folio_wait\"", "stack == \"io_schedule*\"", "stack ~ 'wait_bit'",
		"obj has \"base/16402\"", "obj == \"/var/lib/*\"", "obj.id == 16402", "obj.type == \"file\"", "request",
		"request in (\"a\", \"req-*\")", "data has 'GET'", "data ~ \"^GET\"", "data == \"GET /x\\x00y\"", "peer.pid == 9",
		"peer.comm == \"b\\x1b\\*d\"", "peer.tid == peer.pid", "peer.comm != comm", "true", "!false", "cpu",
		"(((dur > 1ms)))", "dur>1ms&&(open||slow)", "open || slow && failed", "!(open && slow)", "arg.fd == 5", "count > pos",
		"!open && ! inferred && !!slow", "comm != \"postgre\"", "comm != \"postgresq\"",
	};
	static const char *const no[] = {
		"kind == \"sys.read\"", "kind != \"sys.*\"", "dur > 12ms", "open", "cgroup != \"/db\"", "cgroup == \"/\"", "count > 8k",
		"nfds > 0", "nfds <= 0", "!(nfds > 0) && open", "nfds != 3", "trace", "trace != \"x\"", "trace !~ \"x\"", "stack2 has \"a\"",
		"host == \"*\"", "host", "comm has \"*\"", "data == \"GET /x\"", "comm == \"postgre\"", "comm == \"*x\"", "false", "slow && open || failed && open",
		"peer.exe", "stack != \"io_schedule*\"", "ns.pid == 1", "obj.lport == 80", "tid == peer.tid", "state == D", "op", "ret > 0",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		if (!eval(w, yes[i]))
			fail_msg("should hold: %s", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		if (eval(w, no[i]))
			fail_msg("should not hold: %s", no[i]);
}

static void units(void **state)
{
	struct world *w = *state;

	w->row.kind = KP_K_SCHED_SWITCH;
	w->row.a[0] = 0x2002;	/* uninterruptible, freezable */
	assert_true(eval(w, "state == D"));
	assert_true(eval(w, "state in (R, \"D\")"));
	assert_false(eval(w, "state == S"));
	assert_false(eval(w, "ret"));		/* this kind has no result */
	w->row.kind = KP_K_TCP_STATE;
	w->row.a[1] = 1;
	assert_true(eval(w, "new == ESTABLISHED"));
	w->row.kind = KP_K_SIG_SEND;
	w->row.a[0] = 9;
	w->row.a[1] = (uint64_t)-6;
	assert_true(eval(w, "sig == SIGKILL && code == -6 && code < 0"));
	w->row.kind = KP_K_SYS_openat;
	w->row.a[0] = (uint32_t)-100;
	assert_true(eval(w, "dfd == -100"));
	w->row.kind = KP_K_CLOCK_SYNC;
	w->row.a[0] = UINT64_MAX;
	assert_true(eval(w, "boot == 18446744073709551615 && boot > 0"));
	w->row.kind = 60000;	/* nobody knows it */
	assert_false(eval(w, "kind == \"*\" || boot || kind != \"tcp.*\" || failed"));
}

static void hosts(void **state)
{
	struct world *w = *state;
	struct kp_source src = { .host = kp_pool_cstr(w->pool, "web1") };
	struct kp_header h = { .sources = &src, .nsources = 1 };
	struct kp_expr *e;

	assert_int_equal(kp_expr_parse(&e, "host == \"web*\"", w->kinds, NULL), 0);
	assert_false(kp_expr_match(e, &w->row));
	kp_expr_header(e, &h);
	assert_true(kp_expr_match(e, &w->row));
	w->row.source = 1;
	assert_false(kp_expr_match(e, &w->row));
	kp_expr_free(e);
}

static void mistakes(void **state)
{
	static const struct { const char *text, *want; } t[] = {
		{ "", "column 1: a name expected, but the expression ends here" },
		{ "cmm == \"x\"", "column 1: unknown name 'cmm': did you mean 'comm'?" },
		{ "dur > 1ms && cuont > 3", "column 14: unknown name 'cuont': did you mean 'count'?" },
		{ "zzzzzzzzz", "column 1: unknown name 'zzzzzzzzz' (" },
		{ "kind == \"sys.raed\"", "column 9: no kind 'sys.raed': did you mean 'sys.read'?" },
		{ "kind in (sys.read, sysred.*)", "column 20: no kind 'sysred.*'" },
		{ "dur > 10xs", "column 7: no such number" },
		{ "dur > 1.5", "column 7: no such number" },
		{ "dur > 99999999999999999999", "column 7: no such number" },
		{ "dur > 20000000000000d", "column 7: no such number" },
		{ "dur = 3", "column 5: '=' is no operator: use '=='" },
		{ "open & slow", "column 6: use '&&' and '||'" },
		{ "comm == \"abc", "column 9: this text has no closing quote" },
		{ "comm == postgres", "column 9: 'comm' is text: write it in quotes, \"postgres\"" },
		{ "comm == 3", "column 9: 'comm' is text" },
		{ "comm > \"a\"", "column 6: '>' compares numbers, and 'comm' is text" },
		{ "comm == pid", "column 9: 'comm' and 'pid' can't be compared" },
		{ "dur == \"x\"", "column 8: 'dur' is a number, not text" },
		{ "dur ~ \"x\"", "column 7: '~' matches text, and 'dur' is a number" },
		{ "comm ~ \"a(b\"", "column 12: missing closing parenthesis" },
		{ "comm ~ \"\\C\"", "column 11: " },
		{ "(open", "column 6: '&&', '||' or ')' expected, but the expression ends here" },
		{ "open)", "column 5: '&&', '||' or the end expected, not ')'" },
		{ "open slow", "column 6: '&&', '||' or the end expected, not 'slow'" },
		{ "10ms < dur", "column 1: a comparison starts with a name" },
		{ "ret == ENOENTT", "column 8: unknown name 'ENOENTT'" },
		{ "kind in sys.read", "column 9: '(' after 'in' expected" },
		{ "open ; slow", "column 6: unexpected character" },
		{ "dur has \"x\"", "column 5: 'has' looks into text" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct kp_err err = { "" };
		struct kp_expr *e;

		assert_int_equal(kp_expr_parse(&e, t[i].text, w->kinds, &err), -EINVAL);
		assert_null(e);
		if (!strstr(err.msg, t[i].want))
			fail_msg("'%s' gave '%s', not '%s'", t[i].text, err.msg, t[i].want);
	}
}

static char *repeat(const char *s, int n, const char *tail)
{
	char *out = malloc(strlen(s) * n + strlen(tail) + 1), *p = out;

	for (int i = 0; i < n; i++)
		p = stpcpy(p, s);
	strcpy(p, tail);
	return out;
}

/* Hostile text must not exhaust the stack, memory or time. */
static void limits(void **state)
{
	struct { const char *s; int n; const char *tail; bool ok; } t[] = {
		{ "(", 65000, "open", false }, { "!", 65000, "open", false }, { "!(", 30, "open", false },
		{ "open || ", 900, "open", true }, { "open || ", 8000, "open", false }, { "open && ", 900, "slow", true },
		{ "!", 60, "open", true }, { " ", 70000, "open", false }, { "cpu in (1", 1, ")", true },
	};
	struct world *w = *state;
	struct kp_expr *e;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char *s = repeat(t[i].s, t[i].n, t[i].tail);

		assert_int_equal(kp_expr_parse(&e, s, w->kinds, NULL), t[i].ok ? 0 : -EINVAL);
		if (e)
			kp_expr_match(e, &w->row);
		kp_expr_free(e);
		free(s);
	}
	/* a pattern that backtracks for ever gives up */
	char *data = repeat("a", 60000, "");
	w->row.data = (const uint8_t *)data;
	w->row.data_len = 60000;
	assert_false(eval(w, "data ~ \"^(a+)+$b\""));
	assert_false(eval(w, "data == \"*a*a*a*a*a*b\""));
	free(data);
}

/* ---- a random tree, evaluated slowly here and as text by the library ---- */

static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 20) % n;
}

/* Three-valued on purpose: a missing operand makes its comparison false, and nothing else. */
static bool num_of(const struct world *w, int which, __int128 *v)
{
	const struct kp_row *r = &w->row;

	switch (which) {
	case 0: *v = r->dur; return true;
	case 1: *v = r->ret; return r->kind != KP_K_SCHED_SWITCH;
	case 2: *v = r->task ? r->task->tid : 0; return r->task;
	case 3: *v = r->kind == KP_K_SYS_read ? r->a[2] : r->kind == KP_K_SYS_sendfile ? r->a[3] : 0;
		return r->kind != KP_K_SCHED_SWITCH;
	default: *v = r->cpu; return true;
	}
}

static bool glob(const char *p, const char *s)
{
	if (!*p)
		return !*s;
	if (*p == '*')
		return glob(p + 1, s) || (*s && glob(p, s + 1));
	return *p == *s && glob(p + 1, s + 1);
}

static bool random_num(struct world *w, struct kp_buf *b)
{
	static const char *const name[] = { "dur", "ret", "tid", "count", "cpu" };
	static const char *const op[] = { "==", "!=", "<", "<=", ">", ">=" };
	int f = rnd(5), o = rnd(6), c = (int)rnd(5) - 2;
	__int128 v = 0;
	bool k = rnd(4) == 0, has = num_of(w, f, &v), r;

	r = o == 0 ? v == (k ? c * 1024 : c) : o == 1 ? v != (k ? c * 1024 : c) : o == 2 ? v < (k ? c * 1024 : c) :
	    o == 3 ? v <= (k ? c * 1024 : c) : o == 4 ? v > (k ? c * 1024 : c) : v >= (k ? c * 1024 : c);
	kp_buf_printf(b, rnd(2) ? "%s %s %d%s" : "%s%s%d%s", name[f], op[o], c, k ? "k" : "");
	return has && r;
}

static bool random_text(struct world *w, struct kp_buf *b)
{
	char pat[6] = "";
	const char *s = w->row.task && w->row.task->comm ? w->row.task->comm->p : NULL;
	int n = rnd(5), how = rnd(3);

	for (int i = 0; i < n; i++)
		pat[i] = "ab*"[rnd(how == 2 ? 2 : 3)];
	static const char *const op[] = { "==", "!=", "has" };
	kp_buf_printf(b, "comm %s \"%s\"", op[how], pat);
	if (!s)
		return false;
	return how == 2 ? strstr(s, pat) != NULL : glob(pat, s) == (how == 0);
}

static bool random_leaf(struct world *w, struct kp_buf *b)
{
	const struct kp_row *r = &w->row;

	switch (rnd(4)) {
	case 0: return random_num(w, b);
	case 1: return random_text(w, b);
	case 2:
		kp_buf_str(b, "kind in (\"sched.*\", sys.read)");
		return r->kind != KP_K_SYS_sendfile;
	default:
		kp_buf_str(b, rnd(2) ? "open" : "open == true");
		return r->flags & KP_F_OPEN;
	}
}

/* level: 0 may be a disjunction, 1 a conjunction, 2 must stand by itself */
static bool random_tree(struct world *w, struct kp_buf *b, int depth, int level)
{
	int what = depth ? rnd(5) : 4;
	bool r, paren;

	if (what < 2) {	/* 0 or, 1 and */
		paren = level > what || rnd(4) == 0;
		kp_buf_str(b, paren ? "(" : "");
		r = what;
		for (int i = 0, n = 2 + rnd(3); i < n; i++) {
			bool x;

			kp_buf_str(b, !i ? "" : what ? " && " : " || ");
			x = random_tree(w, b, depth - 1, what + 1);
			r = what ? r & x : r | x;
		}
		kp_buf_str(b, paren ? ")" : "");
		return r;
	}
	if (what == 2) {
		kp_buf_char(b, '!');
		return !random_tree(w, b, depth - 1, 2);
	}
	return random_leaf(w, b);
}

static void random_row(struct world *w, struct kp_task *t)
{
	static const uint16_t kinds[] = { KP_K_SYS_read, KP_K_SYS_sendfile, KP_K_SCHED_SWITCH };
	char comm[5] = "";

	memset(&w->row, 0, sizeof(w->row));
	memset(t, 0, sizeof(*t));
	for (int i = 0, n = rnd(5); i < n; i++)
		comm[i] = "ab"[rnd(2)];
	t->comm = rnd(5) ? kp_pool_cstr(w->pool, comm) : NULL;
	t->tid = rnd(4);
	w->row.task = rnd(5) ? t : NULL;
	w->row.kind = kinds[rnd(3)];
	w->row.dur = rnd(4);
	w->row.ret = (int)rnd(5) - 2;
	w->row.cpu = rnd(3);
	for (int i = 0; i < 6; i++)
		w->row.a[i] = rnd(2) ? rnd(4) : 1024 * rnd(3);
	w->row.flags = rnd(2) ? KP_F_OPEN : 0;
}

static void random_trees(void **state)
{
	struct world *w = *state;
	const char *n = getenv("KP_ROUNDS");
	int rounds = n ? atoi(n) : 1000;

	for (int i = 0; i < rounds; i++) {
		uint64_t tree = seed = 0x9e3779b97f4a7c15ull * (i + 1);
		struct kp_expr *e = NULL;
		struct kp_task t;

		for (int row = 0; row < 20; row++) {
			struct kp_buf b = { 0 };
			struct kp_err err = { "" };
			bool want;

			seed = tree + row * 2 + 1;
			random_row(w, &t);
			seed = tree;	/* the same text for each row */
			want = random_tree(w, &b, 4, 0);
			kp_buf_char(&b, 0);
			assert_int_equal(b.err, 0);
			if (!e && kp_expr_parse(&e, (char *)b.p, w->kinds, &err))
				fail_msg("%s: %s", b.p, err.msg);
			if (kp_expr_match(e, &w->row) != want)
				fail_msg("round %d row %d: %s is not %d", i, row, b.p, want);
			kp_buf_free(&b);
		}
		kp_expr_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(holds, setup, teardown), cmocka_unit_test_setup_teardown(units, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts, setup, teardown), cmocka_unit_test_setup_teardown(mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(limits, setup, teardown), cmocka_unit_test_setup_teardown(random_trees, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
