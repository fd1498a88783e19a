/* SPDX-License-Identifier: BSD-2-Clause */
/* Interning: equal content is the same pointer, other content another one, and it stays where it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <kp/pool.h>

static uint64_t seed = 7;

static uint64_t rnd(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 33;
}

static void test_strings(void **state)
{
	enum { N = 20000 };
	const struct kp_str **s = calloc(N, sizeof(*s));
	struct kp_pool *p;
	uint8_t b[8];

	(void)state;
	assert_int_equal(kp_pool_new(&p), 0);
	for (uint32_t i = 0; i < N; i++) {
		memcpy(b, &i, 4);	/* NULs, and bytes that are no UTF-8 */
		memcpy(b + 4, &i, 4);
		s[i] = kp_pool_str(p, b, 1 + i % 8);
		assert_non_null(s[i]);
		assert_int_equal(s[i]->p[s[i]->len], 0);
	}
	for (uint32_t k = 0; k < 20000; k++) {
		const struct kp_str *x = s[rnd() % N], *y = s[rnd() % N];
		bool same = x->len == y->len && !memcmp(x->p, y->p, x->len);

		assert_int_equal(x == y, same);
		memcpy(b, x->p, x->len);
		assert_ptr_equal(kp_pool_str(p, b, x->len), x);
	}
	/* the empty string is one, and prefixes are others */
	assert_ptr_equal(kp_pool_str(p, NULL, 0), kp_pool_cstr(p, ""));
	assert_ptr_not_equal(kp_pool_cstr(p, "ab"), kp_pool_cstr(p, "abc"));
	assert_ptr_not_equal(kp_pool_str(p, "a\0b", 3), kp_pool_cstr(p, "a"));
	assert_true(kp_pool_bytes(p) > N * 8);
	kp_pool_free(p);
	free(s);
}

/* Fills with what was in memory before, so that padding is never the same. */
static void noise(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)rnd();
}

struct choice { struct kp_pool *p; const struct kp_str *s[3]; };

static struct kp_task some_task(const struct choice *c, uint32_t bits)
{
	struct kp_task t;

	noise(&t, sizeof(t));
	t.tid = 1 + (bits & 1);
	t.tgid = 1 + (bits >> 1 & 1);
	t.start = bits >> 2 & 1;
	t.ns_tid = bits >> 3 & 1;
	t.ns_tgid = bits >> 4 & 1;
	t.comm = c->s[bits >> 5 & 1];
	t.exe = c->s[bits >> 6 & 1];
	for (int i = 0; i < KP_CG_MAX; i++)
		t.cgroup[i] = c->s[2];
	t.cgroup[KP_CG_FREEZER] = c->s[bits >> 7 & 1];
	t.kthread = bits >> 8 & 1;
	return t;
}

static struct kp_obj some_obj(const struct choice *c, uint32_t bits)
{
	struct kp_obj o;

	noise(&o, sizeof(o));
	o.type = 1 + (bits & 1);
	o.family = bits >> 1 & 1;
	o.proto = bits >> 2 & 1;
	o.lport = bits >> 3 & 1;
	o.rport = bits >> 4 & 1;
	memset(o.laddr, bits >> 5 & 1, sizeof(o.laddr));
	memset(o.raddr, bits >> 6 & 1, sizeof(o.raddr));
	o.dev = bits >> 7 & 1;
	o.id = bits >> 8 & 1;
	o.name = c->s[bits >> 9 & 1];
	return o;
}

/* Each member tells values apart, and nothing else does. */
static void test_members(void **state)
{
	const struct kp_task *task[512], *t;
	const struct kp_obj *obj[1024], *o;
	struct choice c = { 0 };

	(void)state;
	assert_int_equal(kp_pool_new(&c.p), 0);
	c.s[1] = kp_pool_cstr(c.p, "one");
	c.s[2] = kp_pool_cstr(c.p, "two");
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 512; i++) {
			struct kp_task in = some_task(&c, i);

			t = kp_pool_task(c.p, &in);
			assert_non_null(t);
			if (round)
				assert_ptr_equal(t, task[i]);
			for (uint32_t k = 0; !round && k < i; k++)
				assert_ptr_not_equal(t, task[k]);
			task[i] = t;
		}
		for (uint32_t i = 0; i < 1024; i++) {
			struct kp_obj in = some_obj(&c, i);

			o = kp_pool_obj(c.p, &in);
			assert_non_null(o);
			if (round)
				assert_ptr_equal(o, obj[i]);
			for (uint32_t k = 0; !round && k < i; k++)
				assert_ptr_not_equal(o, obj[k]);
			obj[i] = o;
		}
	}
	kp_pool_free(c.p);
}

static void test_stacks(void **state)
{
	const struct kp_str *f[3];
	const struct kp_stack *a, *b;
	struct kp_pool *p;

	(void)state;
	assert_int_equal(kp_pool_new(&p), 0);
	f[0] = kp_pool_cstr(p, "a+0x1");
	f[1] = kp_pool_cstr(p, "b+0x2");
	f[2] = f[0];
	a = kp_pool_stack(p, f, 2);
	b = kp_pool_stack(p, f + 1, 2);
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(kp_pool_stack(p, f, 2), a);
	assert_ptr_not_equal(kp_pool_stack(p, f, 3), a);
	assert_ptr_not_equal(kp_pool_stack(p, f, 1), a);
	assert_int_equal(kp_pool_stack(p, f, 0)->n, 0);
	assert_int_equal(b->n, 2);
	assert_ptr_equal(b->frame[1], f[2]);
	assert_null(kp_pool_stack(p, f, UINT16_MAX + 1));
	kp_pool_free(p);
}

/* A row's values in another pool: equal content, and the first pool is no longer needed. */
static void test_adopt(void **state)
{
	struct choice c = { 0 };
	struct kp_pool *q;
	struct kp_task t;
	struct kp_obj o;
	struct kp_row r, again;
	const struct kp_str *f[2];

	(void)state;
	assert_int_equal(kp_pool_new(&c.p), 0);
	assert_int_equal(kp_pool_new(&q), 0);
	kp_pool_cstr(q, "something else");
	c.s[1] = kp_pool_cstr(c.p, "one");
	c.s[2] = kp_pool_str(c.p, "t\0o", 3);
	t = some_task(&c, 511);
	o = some_obj(&c, 1023);
	f[0] = c.s[1];
	f[1] = c.s[2];
	memset(&r, 0, sizeof(r));
	r.task = kp_pool_task(c.p, &t);
	r.obj = kp_pool_obj(c.p, &o);
	r.stack2 = kp_pool_stack(c.p, f, 2);
	r.ctx[KP_CTX_LOG] = c.s[2];
	again = r;
	assert_int_equal(kp_pool_adopt(q, &r), 0);
	assert_int_equal(kp_pool_adopt(q, &again), 0);
	assert_ptr_not_equal(r.ctx[KP_CTX_LOG], c.s[2]);
	kp_pool_free(c.p);
	assert_ptr_equal(r.task, again.task);
	assert_ptr_equal(r.obj, again.obj);
	assert_ptr_equal(r.stack2, again.stack2);
	assert_null(r.peer);
	assert_null(r.stack);
	assert_string_equal(r.task->comm->p, "one");
	assert_ptr_equal(r.task->cgroup[KP_CG_CPU], r.ctx[KP_CTX_LOG]);
	assert_ptr_equal(r.stack2->frame[1], r.ctx[KP_CTX_LOG]);
	assert_ptr_equal(r.obj->name, r.task->comm);
	assert_memory_equal(r.ctx[KP_CTX_LOG]->p, "t\0o", 4);
	kp_pool_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings), cmocka_unit_test(test_members), cmocka_unit_test(test_stacks), cmocka_unit_test(test_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
