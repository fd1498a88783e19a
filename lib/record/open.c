/* SPDX-License-Identifier: BSD-2-Clause */
/* What has not ended yet: the call a task is inside, and its sleep, so that what hangs is to be seen. */
#include <linux/types.h>
#include <string.h>

#include <bpf/event.h>

#include "resolve_int.h"

static const struct kp_obj *object(struct kp_resolve *r, const struct it_task *t, const struct kp_kind *k)
{
	int fd = k && k->fdarg >= 0 && k->fdarg < EV_ARGS ? (int)t->a[k->fdarg] : -1;

	if (t->fdino || t->fdmode)
		return kp_resolve_file(r, t->fddev, t->fdmode, t->fdino, t->tgid, fd);
	if (t->sys_nr == KP_K_SYS_futex - KP_K_SYS)
		return kp_resolve_futex(r, t->tgid, t->a[0]);
	return NULL;
}

static int inside(struct kp_resolve *r, const struct it_task *t, const struct kp_row *base, kp_resolve_emit emit, void *arg)
{
	struct kp_row row = *base;
	const struct kp_kind *k;

	row.kind = KP_K_SYS + t->sys_nr;
	row.dur = t->now - t->sys_start;
	row.flags |= t->at_least ? KP_F_INFERRED : 0;
	k = r->o.kinds ? kp_kind_by_id(r->o.kinds, row.kind) : NULL;
	for (int i = 0; k && i < k->nargs && i < EV_ARGS; i++)
		row.a[i] = t->a[i];
	row.obj = object(r, t, k);
	return emit(arg, &row);
}

static int asleep(struct kp_resolve *r, const struct it_task *t, const struct kp_row *base, kp_resolve_emit emit, void *arg)
{
	struct kp_row row = *base;
	uint64_t addr[EV_FRAMES];
	uint32_t n = t->nframes < EV_FRAMES ? t->nframes : EV_FRAMES;

	memcpy(addr, t->frame, n * sizeof(*addr));
	row.kind = KP_K_SCHED_SLEEP;
	row.dur = t->now - t->off_since;
	row.a[0] = t->state;
	row.stack = kp_resolve_stack(r, addr, n);
	return emit(arg, &row);
}

static bool since(uint64_t begun, uint64_t now, uint64_t min_dur)
{
	return begun && now > begun && now - begun >= min_dur;
}

int kp_resolve_open(struct kp_resolve *r, const struct it_task *rec, uint32_t n, uint64_t min_dur, uint32_t flags,
		    kp_resolve_emit emit, void *arg)
{
	int rc = 0;

	for (uint32_t i = 0; i < n && !rc; i++) {
		const struct it_task *t = &rec[i];
		bool sys = t->sys_nr >= 0 && t->sys_nr < KP_K_SYS_END - KP_K_SYS && since(t->sys_start, t->now, min_dur);
		bool sleep = t->state && since(t->off_since, t->now, min_dur);
		struct kp_row base = { .end = t->now, .flags = KP_F_OPEN | flags };

		if (t->want == WANT_NO || t->want == WANT_EXCLUDED || (!sys && !sleep))
			continue;
		base.task = kp_resolve_task(r, t->tid, t->tgid, t->start);
		if (t->flags & RS_KTHREAD)
			base.flags |= KP_F_KERNEL;
		if (sys)
			rc = inside(r, t, &base, emit, arg);
		if (sleep && !rc)
			rc = asleep(r, t, &base, emit, arg);
	}
	return rc;
}
