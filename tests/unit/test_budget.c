/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left out, in which order, and taken up again, as the load comes and goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "record/budget.h"

enum { CALLS, SWITCHES, MESSAGES, SYS_HOOKS, MEM_HOOKS, NET_HOOKS, SCHED_HOOKS };
#define LOOK 250000000ull
#define MAX 1000

/* So many events a second of a class, and what each takes: in full, shortened by its first step, and with hooks off. */
struct source { double rate, full, less; };
struct host { struct source src[COST_CLASSES]; double own; };

struct run {
	struct kp_budget b;
	uint64_t now;
	int change[MAX];
	uint64_t at[MAX];
	uint32_t n;
};

static const uint32_t steps_of[COST_CLASSES][2] = {
	[COST_SYS] = { CALLS, SYS_HOOKS }, [COST_SCHED] = { SWITCHES, SCHED_HOOKS }, [COST_NET] = { MESSAGES, NET_HOOKS },
	[COST_MEM] = { MEM_HOOKS, MEM_HOOKS },
};

static void load_of(const struct host *h, uint32_t active, struct kp_load *l)
{
	memset(l, 0, sizeof(*l));
	l->dt = LOOK;
	l->ns[COST_REST] = h->own / 4;
	for (uint32_t c = COST_REST + 1; c < COST_CLASSES; c++) {
		const struct source *s = &h->src[c];

		if (active >> steps_of[c][1] & 1)
			continue;
		l->runs[c] = s->rate / 4;
		l->ns[c] = l->runs[c] * (active >> steps_of[c][0] & 1 ? s->less : s->full);
	}
}

static void go(struct run *r, const struct host *h, double seconds)
{
	struct kp_load l;

	for (int i = 0; i < seconds * 4; i++) {
		r->now += LOOK;
		load_of(h, r->b.active, &l);
		int to = kp_budget_look(&r->b, r->now, &l);

		if (!to)
			continue;
		assert_true(r->n < MAX);
		r->at[r->n] = r->now;
		r->change[r->n++] = to;
	}
}

static void begin(struct run *r, uint32_t fixed)
{
	memset(r, 0, sizeof(*r));
	kp_budget_init(&r->b, 20e6, fixed);	/* 2 % */
	r->now = 1000 * LOOK;
}

static const struct host idle = { .own = 4e6 };

static void nothing_is_left_out_within_the_budget(void **state)
{
	const struct host h = { .src[COST_SYS] = { 20000, 400, 150 }, .src[COST_SCHED] = { 10000, 500, 200 }, .own = 5e6 };
	struct run r;

	begin(&r, 0);
	go(&r, &h, 60);
	assert_int_equal(r.n, 0);
	assert_true(r.b.used > 17e6 && r.b.used < 19e6);
}

/* Summaries are enough: one step down, and none up while the load stays, however long. */
static void a_step_load_does_not_oscillate(void **state)
{
	const struct host h = { .src[COST_SYS] = { 60000, 900, 150 }, .own = 4e6 };
	struct run r;

	begin(&r, 0);
	go(&r, &idle, 10);
	go(&r, &h, 600);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.change[0], CALLS + 1);
	go(&r, &idle, 10);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.change[1], -(CALLS + 1));
	assert_int_equal(r.b.active, 0);
}

/* A little above, a little below: between the two it stays as it is. */
static void around_the_budget_it_stays(void **state)
{
	const struct host over = { .src[COST_SYS] = { 52000, 400, 100 }, .own = 1e6 };
	const struct host under = { .src[COST_SYS] = { 46000, 400, 100 }, .own = 1e6 };
	struct run r;

	begin(&r, 0);
	for (int i = 0; i < 50; i++) {
		go(&r, &over, 2);
		go(&r, &under, 2);
	}
	assert_int_equal(r.n, 1);
}

/* A million calls a second cost too much even where nothing is done with them: the hooks go, within two seconds. */
static void too_many_calls_cost_the_hooks(void **state)
{
	const struct host h = { .src[COST_SYS] = { 2000000, 400, 100 }, .src[COST_SCHED] = { 500, 500, 200 }, .own = 4e6 };
	struct run r;
	uint64_t began;
	double off = 0, on = 0, last;

	begin(&r, 0);
	began = r.now;
	go(&r, &h, 600);
	assert_int_equal(r.change[0], CALLS + 1);
	assert_int_equal(r.change[1], SYS_HOOKS + 1);	/* switches and messages are not what it costs */
	assert_true(r.at[1] - began <= 2000000000ull);
	/* it tries again, less and less often */
	assert_true(r.n > 4 && r.n < 40);
	last = r.at[1];
	for (uint32_t i = 2; i < r.n; i++) {
		assert_int_equal(r.change[i], i % 2 ? SYS_HOOKS + 1 : -(SYS_HOOKS + 1));
		*(i % 2 ? &on : &off) += r.at[i] - last;
		last = r.at[i];
	}
	assert_true(on * 0.2e9 / (on + off) < 20e6);	/* and trying stays within the budget */
	go(&r, &idle, 90);
	assert_int_equal(r.b.active, 0);
	assert_int_equal(r.change[r.n - 1], -(CALLS + 1));
}

/* Everything at once: the documented order down, and the same backwards up. */
static void the_order_is_fixed(void **state)
{
	const struct host h = { .src[COST_SYS] = { 300000, 400, 390 }, .src[COST_SCHED] = { 300000, 400, 390 },
				.src[COST_NET] = { 300000, 400, 390 }, .src[COST_MEM] = { 300000, 400, 390 } };
	struct run r;

	begin(&r, 0);
	go(&r, &h, 4);
	assert_int_equal(r.n, KP_BUDGET_STEPS);
	for (int i = 0; i < KP_BUDGET_STEPS; i++)
		assert_int_equal(r.change[i], i + 1);
	go(&r, &idle, 60);
	assert_int_equal(r.n, 2 * KP_BUDGET_STEPS);
	for (int i = 0; i < KP_BUDGET_STEPS; i++)
		assert_int_equal(r.change[KP_BUDGET_STEPS + i], -(KP_BUDGET_STEPS - i));
}

/* What leaving out does not make cheaper is no reason to leave out. */
static void own_cost_sheds_nothing(void **state)
{
	const struct host h = { .src[COST_SYS] = { 2000, 400, 150 }, .own = 50e6 };
	struct run r;

	begin(&r, 0);
	go(&r, &h, 60);
	assert_int_equal(r.n, 0);
}

/* A burst that is over in half a second, and not big, is none of our business. */
static void a_short_burst_is_let_pass(void **state)
{
	const struct host h = { .src[COST_SYS] = { 70000, 400, 150 } };
	struct run r;

	begin(&r, 0);
	go(&r, &idle, 5);
	go(&r, &h, 0.5);
	go(&r, &idle, 5);
	assert_int_equal(r.n, 0);
}

/* A profile's own are neither taken nor given back. */
static void what_a_profile_sheds_stays(void **state)
{
	const struct host h = { .src[COST_SYS] = { 200000, 400, 150 } };
	struct run r;

	begin(&r, SHED_CALLS);
	assert_int_equal(r.b.active, 1u << CALLS);
	go(&r, &h, 3);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.change[0], SYS_HOOKS + 1);
	go(&r, &idle, 30);
	assert_int_equal(r.b.active, 1u << CALLS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left_out_within_the_budget),
		cmocka_unit_test(a_step_load_does_not_oscillate),
		cmocka_unit_test(around_the_budget_it_stays),
		cmocka_unit_test(too_many_calls_cost_the_hooks),
		cmocka_unit_test(the_order_is_fixed),
		cmocka_unit_test(own_cost_sheds_nothing),
		cmocka_unit_test(a_short_burst_is_let_pass),
		cmocka_unit_test(what_a_profile_sheds_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
