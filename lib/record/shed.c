/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeps recording within its CPU budget: what it takes is measured four times a second, budget.c says what to leave out
 * or to take up again, here it is done, and told in rows.
 */
#include "rec.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <kp/util.h>

#include "budget.h"
#include "kprobe.skel.h"

enum { LOOK_EVERY = 250 * MS, RECORD_NS = 3000 /* a record takes the recorder so long at most, names and compression and all */ };

/*
 * What a run takes beside the program, in ns: the way there and back, and for system calls that of the kernel's slow way
 * in and out (a call with two programs that do nothing takes 125 longer).
 */
static const uint8_t run_ns[COST_CLASSES] = { [COST_REST] = 20, [COST_SYS] = 62, [COST_SCHED] = 20, [COST_NET] = 20, [COST_MEM] = 20 };

struct kp_shed {
	struct kp_budget b;
	int map;
	uint32_t ncpu;
	struct cost *cost;		/* as read, one a CPU */
	double runs[COST_CLASSES], ns[COST_CLASSES]; /* so far, at the last look */
	uint64_t records[COST_CLASSES];	/* since the last look */
	uint64_t own, apart_from;	/* CPU time at the last look, when something apart began */
	uint64_t apart;			/* CPU time since the last look that is not of rows */
	uint64_t apart_at;		/* when that was */
	double spread;			/* ns a second of it, over the time since it came before that */
	uint64_t last, next;
	uint64_t told;			/* until then it was told that hooks are off */
	bool stuck;			/* hooks could not be put on again: no more of it */
};

/* User and system, all threads. */
static uint64_t own_cpu(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u))
		return 0;
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SEC + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000ull;
}

static uint32_t class_of(uint16_t kind)
{
	if (kind >= KP_K_SYS || kind == KP_K_COUNT_SYS)
		return COST_SYS;
	if (kind < KP_K_PROC_FORK)
		return COST_SCHED;
	if (kind >= KP_K_NET_SEND && kind < KP_K_BLK_READ)
		return COST_NET;
	return kind >= KP_K_MM_FAULT && kind < KP_K_FS_DIRTY_WAIT ? COST_MEM : COST_REST;
}

uint32_t kp_shed_step_of(uint16_t kind)
{
	for (uint32_t i = 0; i < KP_BUDGET_STEPS; i++)
		if (kp_budget_steps[i].class == class_of(kind))
			return i + 1;
	return 0;
}

/* A second's thousandth of a CPU is a million ns. */
int kp_shed_new(struct kp_shed **out, struct kp_record *r)
{
	struct kp_shed *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return -ENOMEM;
	kp_budget_init(&s->b, (double)MS * (r->o.cpu_budget ? r->o.cpu_budget : 20),
		       r->skel->bss->live.shed | (r->skel->rodata->cfg.message_min ? SHED_MESSAGES : 0));
	s->map = kp_rec_map_fd(r, "costs");
	s->ncpu = r->ncpu;
	s->cost = calloc(r->ncpu, sizeof(*s->cost));
	return s->cost ? 0 : -ENOMEM;
}

void kp_shed_free(struct kp_shed *s)
{
	if (s)
		free(s->cost);
	free(s);
}

void kp_shed_record(struct kp_shed *s, uint16_t kind)
{
	if (s)
		s->records[class_of(kind)]++;
}

void kp_shed_apart_begin(struct kp_shed *s)
{
	if (s)
		s->apart_from = own_cpu();
}

void kp_shed_apart_end(struct kp_shed *s, uint64_t now)
{
	uint64_t took, every;

	if (!s)
		return;
	took = own_cpu() - s->apart_from;
	s->apart += took;
	every = s->apart_at && now > s->apart_at ? now - s->apart_at : 60 * SEC;
	s->spread = (double)took * SEC / every;
	s->apart_at = now;
}

/* ---- measuring ---- */

static void read_programs(struct kp_shed *s, struct kp_load *l)
{
	double runs[COST_CLASSES] = { 0 }, ns[COST_CLASSES] = { 0 };
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(s->map, &zero, s->cost))
		return;
	for (uint32_t cpu = 0; cpu < s->ncpu; cpu++)
		for (uint32_t c = 0; c < COST_CLASSES; c++) {
			runs[c] += (double)s->cost[cpu].runs[c] * COST_EVERY;
			ns[c] += (double)s->cost[cpu].ns[c] * COST_EVERY;
		}
	for (uint32_t c = 0; c < COST_CLASSES; c++) {
		l->runs[c] = runs[c] - s->runs[c];
		l->ns[c] = ns[c] - s->ns[c] + run_ns[c] * l->runs[c];
	}
	memcpy(s->runs, runs, sizeof(runs));
	memcpy(s->ns, ns, sizeof(ns));
}

/* The recorder's own time, shared out by the records that it has worked on; what is more than they take would stay. */
static void read_own(struct kp_shed *s, struct kp_load *l)
{
	uint64_t own = own_cpu(), all = 0;
	double took = (double)(own - s->own) - s->apart, rows;

	for (uint32_t c = 0; c < COST_CLASSES; c++)
		all += s->records[c];
	if (took < 0)
		took = 0;
	rows = took < (double)RECORD_NS * all ? took : (double)RECORD_NS * all;
	for (uint32_t c = 0; all && c < COST_CLASSES; c++)
		l->ns[c] += rows * s->records[c] / all;
	l->ns[COST_REST] += took - rows + s->spread * l->dt / SEC;
	memset(s->records, 0, sizeof(s->records));
	s->own = own;
	s->apart = 0;
}

/* ---- doing ---- */

/* With the hooks off, what tasks remember grows stale; those that are just running have set it once more. */
static void forget(struct kp_record *r, uint32_t class)
{
	struct rec_live *live = &r->skel->bss->live;

	if (class == COST_SYS)
		__atomic_add_fetch(&live->sys_gen, 1, __ATOMIC_RELEASE);
	if (class == COST_SCHED)
		__atomic_add_fetch(&live->sched_gen, 1, __ATOMIC_RELEASE);
}

static void set(struct kp_record *r, uint32_t bits)
{
	__atomic_store_n(&r->skel->bss->live.shed, bits, __ATOMIC_RELEASE);
}

static void take(struct kp_record *r, const struct kp_budget_step *step)
{
	if (step->shed) {
		set(r, r->skel->bss->live.shed | step->shed);
		return;
	}
	if (step->class == COST_SCHED)	/* who sleeps may have run meanwhile */
		__atomic_store_n(&r->skel->bss->live.since, 0, __ATOMIC_RELEASE);
	forget(r, step->class);
	kp_hooks_off(&r->hooks, step->hooks);
	forget(r, step->class);
}

static int give_back(struct kp_record *r, const struct kp_budget_step *step)
{
	int rc;

	if (step->shed) {
		set(r, r->skel->bss->live.shed & ~step->shed);
		return 0;
	}
	forget(r, step->class);
	if (step->class == COST_SCHED)
		__atomic_store_n(&r->skel->bss->live.since, kp_now_mono(), __ATOMIC_RELEASE);
	rc = kp_hooks_on(&r->hooks, step->hooks);
	return rc < 0 ? rc : 0;
}

/* ---- telling ---- */

static int tell(struct kp_shed *s, struct kp_record *r, uint32_t i, bool on, uint32_t flags, uint64_t now)
{
	const struct kp_budget_step *step = &kp_budget_steps[i];
	struct kp_row row = { .end = now, .kind = KP_K_BUDGET_STEP, .flags = flags,
			      .a = { on, i + 1, (uint64_t)s->b.used, (uint64_t)s->b.budget } };

	if (!on || flags)
		row.dur = now - s->b.step[i].taken;
	row.obj = kp_resolve_name(r->res, step->name, strlen(step->name));
	if (!flags)
		kp_rec_say(r, 1, "%s%s %s: recording took %.1f %% of a CPU, of a budget of %.1f %%", step->name,
			   step->hooks ? "" : ",", on ? "not recorded" : "recorded again", s->b.used / 1e7, s->b.budget / 1e7);
	return kp_rec_queue(r, &row);
}

/* While hooks are off nobody knows how much is missing: said once a second, so that each window has it. */
static int tell_off(struct kp_shed *s, struct kp_record *r, uint64_t now)
{
	int rc = 0;

	for (uint32_t i = 0; i < KP_BUDGET_STEPS && !rc; i++) {
		uint64_t since = s->told > s->b.step[i].taken ? s->told : s->b.step[i].taken;
		struct kp_row row = { .end = now, .dur = now - since, .kind = KP_K_LOSS_SHED, .a = { UINT64_MAX, 0, i + 1 } };

		if (kp_budget_steps[i].hooks && s->b.active >> i & 1)
			rc = kp_rec_queue(r, &row);
	}
	s->told = now;
	return rc;
}

static int step(struct kp_shed *s, struct kp_record *r, uint64_t now)
{
	uint32_t before = s->b.active;
	struct kp_load l = { .dt = now - s->last };
	int to, rc;

	read_programs(s, &l);
	read_own(s, &l);
	if (s->stuck)
		return 0;
	to = kp_budget_look(&s->b, now, &l);
	if (!to)
		return 0;
	if (to > 0) {
		take(r, &kp_budget_steps[to - 1]);
		return tell(s, r, to - 1, true, 0, now);
	}
	/* Until it was on again. */
	rc = give_back(r, &kp_budget_steps[-to - 1]);
	if (rc) {
		kp_rec_say(r, 0, "%s: the hooks cannot be put on again (%s): not recorded any more", kp_budget_steps[-to - 1].name,
			   strerror(-rc));
		s->b.active = before;
		s->stuck = true;
		return 0;
	}
	s->b.active = before;
	now = kp_now_mono();
	rc = kp_budget_steps[-to - 1].hooks ? tell_off(s, r, now) : 0;
	s->b.active = before & ~(1u << (-to - 1));
	return rc ? rc : tell(s, r, -to - 1, false, 0, now);
}

int kp_shed_look(struct kp_shed *s, struct kp_record *r, uint64_t now)
{
	int rc = 0;

	if (!s || now < s->next)
		return 0;
	if (!s->last) {		/* what setting up took is not of any row */
		struct kp_load first = { .dt = 1 };

		read_programs(s, &first);
		read_own(s, &first);
	} else {
		rc = step(s, r, now);
	}
	s->last = now;
	/* What is far too much has been so for too long already. */
	s->next = now + (s->b.used > 4 * s->b.budget ? TICK : LOOK_EVERY);
	now = kp_now_mono();	/* putting hooks on takes a while */
	if (!rc && now - s->told >= SEC)
		rc = tell_off(s, r, now);
	return rc;
}

int kp_shed_finish(struct kp_shed *s, struct kp_record *r, uint64_t now)
{
	int rc = s ? tell_off(s, r, now) : 0;

	for (uint32_t i = 0; s && i < KP_BUDGET_STEPS && !rc; i++)
		if ((s->b.active & ~s->b.fixed) >> i & 1)
			rc = tell(s, r, i, true, KP_F_OPEN, now);
	return rc;
}
