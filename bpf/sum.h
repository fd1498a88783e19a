/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * count.sys: short calls that succeeded, told of together. They are summed up where the task keeps its state, so that
 * a call costs no map and only the task itself, or who looks when no program runs any more, touches them: exact.
 */
#define SUM_EVERY	100000000ull	/* ns: so often a busy task tells */
#define SUM_LAST	1000000000ull	/* any other one */
enum { SUM_BUSY = 64 };

struct rec_sum { struct ev_head h; __u64 a[5]; };

static __noinline int write_sum(struct task_struct *p, struct task_state *t, __u32 i, __u64 now)
{
	struct call_sum *s = &t->sum[i & (SUM_SLOTS - 1)];
	struct rec_sum r;

	head(&r.h, KP_K_COUNT_SYS, 5, 0, 0, now, now - t->sum_since, p);
	r.a[0] = KP_K_SYS + s->nr;
	r.a[1] = s->n;
	r.a[2] = s->total;
	r.a[3] = s->longest;
	r.a[4] = s->bytes;
	/* Without room it is the calls that are lost. */
	emit_of(&r, sizeof r, KP_K_SYS + s->nr, s->n);
	s->n = 0;
	s->total = s->longest = s->bytes = 0;
	return 0;
}

static __noinline int write_sums(struct task_struct *p, struct task_state *t, __u64 now)
{
	for (__u32 i = 0; i < SUM_SLOTS; i++)
		if (t->sum[i].n)
			write_sum(p, t, i, now);
	t->sum_n = 0;
	return 0;
}

static __always_inline void sums_due(struct task_struct *p, struct task_state *t, __u64 now)
{
	if (now - t->sum_since >= (t->sum_n >= SUM_BUSY ? SUM_EVERY : SUM_LAST))
		write_sums(p, t, now);
}

static __always_inline void sum_call(struct task_struct *p, struct task_state *t, struct sys_info *si, __u64 now, __u64 dur, long ret)
{
	__u32 nr = si->nr, i = nr & (SUM_SLOTS - 1);
	struct call_sum *s = &t->sum[i];

	if (s->n && s->nr != nr)
		write_sum(p, t, i, now);	/* another call has its place */
	if (!t->sum_n)
		t->sum_since = now - dur;
	t->sum_n++;
	s->nr = nr;
	s->n++;
	s->total += dur;
	if (dur > s->longest)
		s->longest = dur;
	if (si->bytes)
		s->bytes += ret;
	sums_due(p, t, now);
}
