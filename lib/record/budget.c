/* SPDX-License-Identifier: BSD-2-Clause */
#include "budget.h"

#include <string.h>

#define SECOND		1000000000ull
#define WAIT_COUNTED	(SECOND / 2)	/* how much would come is known */
#define WAIT_BLIND	(2 * SECOND)	/* hooks are off: only trying tells */
#define WAIT_MAX	(64 * SECOND)
#define RETAKEN		(10 * SECOND)	/* had to be taken again that soon: it was given back too early */
#define FORGIVEN	(60 * SECOND)

const struct kp_budget_step kp_budget_steps[KP_BUDGET_STEPS] = {
	{ "short system calls", COST_SYS, SHED_CALLS, NULL },
	{ "short switches and wake-ups", COST_SCHED, SHED_SWITCHES, NULL },
	{ "short messages", COST_NET, SHED_MESSAGES, NULL },
	{ "system calls", COST_SYS, 0, "sys_enter,sys_exit" },
	{ "memory counters", COST_MEM, 0, "rss_stat,writeback_dirty_folio,mm_filemap_*" },
	{ "messages", COST_NET, 0, "sock_send_length,sock_recv_length" },
	{ "scheduling", COST_SCHED, 0, "sched_switch,sched_waking,sched_wakeup_new,sched_migrate_task" },
};

void kp_budget_init(struct kp_budget *b, double budget, uint32_t fixed)
{
	memset(b, 0, sizeof(*b));
	b->budget = budget;
	for (uint32_t i = 0; i < KP_BUDGET_STEPS; i++) {
		b->step[i].wait = kp_budget_steps[i].shed ? WAIT_COUNTED : WAIT_BLIND;
		if (kp_budget_steps[i].shed & fixed)
			b->fixed |= 1u << i;
	}
	b->active = b->fixed;
}

/* Of a class per second, over the looks since the last change. */
static double used_by(const struct kp_budget *b, uint32_t class)
{
	double ns = 0, dt = 0;

	for (uint32_t i = 0; i < b->nlook; i++) {
		ns += b->look[i].ns[class];
		dt += b->look[i].dt;
	}
	return dt > 0 ? ns * SECOND / dt : 0;
}

static double runs_of(const struct kp_budget *b, uint32_t class)
{
	double runs = 0, dt = 0;

	for (uint32_t i = 0; i < b->nlook; i++) {
		runs += b->look[i].runs[class];
		dt += b->look[i].dt;
	}
	return dt > 0 ? runs * SECOND / dt : 0;
}

static void changed(struct kp_budget *b)
{
	b->nlook = 0;
	b->settling = true;
	b->quiet_since = 0;
}

static int take(struct kp_budget *b, uint64_t now, uint32_t i)
{
	if (b->step[i].back && now - b->step[i].back < RETAKEN)
		b->step[i].wait = b->step[i].wait * 2 < WAIT_MAX ? b->step[i].wait * 2 : WAIT_MAX;
	else if (now - b->step[i].back > FORGIVEN)
		b->step[i].wait = kp_budget_steps[i].shed ? WAIT_COUNTED : WAIT_BLIND;
	b->step[i].taken = now;
	b->step[i].saved = 0;
	b->step[i].runs = runs_of(b, kp_budget_steps[i].class);
	b->measuring = i + 1;
	b->before = b->used;
	b->active |= 1u << i;
	changed(b);
	return (int)i + 1;
}

/*
 * One after the other, but for those that would save next to nothing: who makes a million calls a second is no reason
 * to leave messages out. A burst has to last for a second, unless it is big.
 */
static int go_down(struct kp_budget *b, uint64_t now)
{
	if (b->used <= b->budget || (b->nlook < KP_BUDGET_SPAN && b->used <= 4 * b->budget))
		return 0;
	for (uint32_t i = 0; i < KP_BUDGET_STEPS; i++)
		if (!(b->active >> i & 1) && used_by(b, kp_budget_steps[i].class) >= b->used / 10)
			return take(b, now, i);
	return 0;
}

/* What recording would take without the step, as far as that can be known. */
static double would_use(const struct kp_budget *b, uint32_t i)
{
	double ratio = 0;

	if (kp_budget_steps[i].shed && b->step[i].runs > 0)
		ratio = runs_of(b, kp_budget_steps[i].class) / b->step[i].runs;
	return b->used + b->step[i].saved * ratio;
}

static int go_up(struct kp_budget *b, uint64_t now)
{
	uint32_t mine = b->active & ~b->fixed, i = KP_BUDGET_STEPS - 1;

	if (!mine || b->nlook < KP_BUDGET_SPAN)
		return 0;
	while (!(mine >> i & 1))
		i--;
	if (would_use(b, i) >= b->budget * 3 / 4) {
		b->quiet_since = 0;
		return 0;
	}
	if (!b->quiet_since)
		b->quiet_since = now;
	if (now - b->quiet_since < b->step[i].wait)
		return 0;
	b->step[i].back = now;
	b->measuring = 0;
	b->active &= ~(1u << i);
	changed(b);
	return -(int)i - 1;
}

int kp_budget_look(struct kp_budget *b, uint64_t now, const struct kp_load *l)
{
	int rc;

	if (b->settling) {
		b->settling = false;
		return 0;
	}
	if (b->nlook == KP_BUDGET_SPAN)
		memmove(b->look, b->look + 1, sizeof(b->look) - sizeof(*b->look));
	else
		b->nlook++;
	b->look[b->nlook - 1] = *l;
	b->used = 0;
	for (uint32_t c = 0; c < COST_CLASSES; c++)
		b->used += used_by(b, c);
	if (b->measuring && b->used < b->before)
		b->step[b->measuring - 1].saved = b->before - b->used;
	if (b->nlook == KP_BUDGET_SPAN)
		b->measuring = 0;
	rc = go_down(b, now);
	return rc ? rc : go_up(b, now);
}
