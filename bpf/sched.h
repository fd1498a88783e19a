/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* sched.*: who had the CPU, who waited for it, who woke whom. */

struct rec_switch { struct ev_head h; __u64 a[3]; struct ev_peer peer; };

static __always_inline void write_switch(struct task_struct *prev, struct task_struct *next, __u64 now, __u64 ran, __u32 state, __u64 delay)
{
	struct rec_switch r;

	if (shed_switch(ran > delay ? ran : delay, KP_K_SCHED_SWITCH))
		return;
	head(&r.h, KP_K_SCHED_SWITCH, 3, EX_PEER, 0, now, ran, prev);
	r.a[0] = state;
	r.a[1] = next->pid;
	r.a[2] = delay;
	peer(&r.peer, next);
	emit(&r, sizeof r, KP_K_SCHED_SWITCH);
}

/*
 * It has been woken and runs, but no switch told so: a switch away from some tasks is hidden by some kernels (of
 * hosts of virtual machines). It has queued for the CPU until now; on the way out of a call that is nearly all of it.
 */
static __noinline int came_unseen(struct task_struct *p, struct task_state *t, __u64 now)
{
	struct cpu_state *c = this_cpu();
	struct rec_switch r;
	__u64 queued = now - t->run_at;

	t->run_at = t->off_since = t->early = 0;
	t->on_since = now;
	if (t->asleep_in)
		back_on_cpu(p, t, now);
	if (live.on && wanted(p, t)) {
		head(&r.h, KP_K_SCHED_SWITCH, 3, EX_PEER, 0, now, c && c->switch_at ? now - c->switch_at : 0, p);
		r.h.tid = r.h.tgid = EV_NOBODY;
		r.h.start = 0;
		r.a[0] = 0;
		r.a[1] = p->pid;
		r.a[2] = queued;
		peer(&r.peer, p);
		emit(&r, sizeof r, KP_K_SCHED_SWITCH);
	}
	if (c)
		c->switch_at = now;
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)
{
	struct task_state *tp = state_of(prev), *tn = state_of(next);
	__u64 now = bpf_ktime_get_ns(), ran = 0, delay = 0;
	__u32 state = preempt ? 0 : prev_state;
	struct cpu_state *c = this_cpu();
	bool want = false;

	if (c)
		c->switch_at = now;

	if (tp) {
		fresh(tp);
		if (tp->on_since)
			ran = now - tp->on_since;
		if (tp->early < tp->on_since)
			tp->early = 0;	/* that was before */
		tp->on_since = 0;
		tp->off_state = state;
		tp->off_since = state ? now : 0;
		tp->run_at = state ? 0 : now;
		leave_cpu(prev, tp, ran, state);
		if (state && tp->sum_n)
			sums_due(prev, tp, now);
		want = wanted(prev, tp);
	}
	if (tn) {
		fresh(tn);
		if (tn->run_at)
			delay = now > tn->run_at ? now - tn->run_at : 0;
		else if (tn->off_since && tn->early)
			delay = now - tn->off_since;	/* it has not slept at all */
		tn->early = 0;
		tn->on_since = now;
		tn->run_at = tn->off_since = 0;
		want |= wanted(next, tn);
		if (tn->asleep_in)
			back_on_cpu(next, tn, now);
	}
	if (!tp || !tn)
		want |= !any_filter();	/* no memory for its state: then without the times */
	if (live.on && want)
		write_switch(prev, next, now, ran, state, delay);
	return 0;
}

static __always_inline void write_wake(struct task_struct *p, struct task_struct *waker, struct task_state *t, __u64 now, __u16 irq)
{
	__u64 slept = now > t->off_since ? now - t->off_since : 0;	/* it may be falling asleep on another CPU just now */
	__u16 flags = irq;
	struct scratch *s;
	struct rec_switch r;
	__u32 size = sizeof r;

	if (cfg.stack_min && slept >= cfg.stack_min)
		flags |= F_SLOW;
	else if (cfg.stack_min && (bpf_get_prandom_u32() * cfg.stack_min) >> 32 < slept)
		flags |= F_SAMPLED;
	else if (shed_switch(slept, KP_K_SCHED_WAKE))
		return;
	head(&r.h, KP_K_SCHED_WAKE, 3, EX_PEER, flags, now, slept, p);
	r.a[0] = irq & F_HARDIRQ ? 2 : irq & F_SOFTIRQ ? 1 : 0;
	r.a[1] = t->off_state;
	r.a[2] = cpu_of(p);
	peer(&r.peer, waker);
	/* While it is still on its way off the CPU its stack cannot be read. */
	if (!(flags & (F_SLOW | F_SAMPLED)) || p->on_cpu || !(s = scratch(SCRATCH_WAKE))) {
		emit(&r, sizeof r, KP_K_SCHED_WAKE);
		return;
	}
	r.h.extra |= EX_STACK | EX_STACK2;
	__builtin_memcpy(s->b, &r, sizeof r);
	size = put_stack(s, size, p, 0);
	size = put_stack(s, size, waker, 0);
	emit(s->b, size & 2047, KP_K_SCHED_WAKE);
}

SEC("tp_btf/sched_waking")
int BPF_PROG(sched_waking, struct task_struct *p)
{
	struct task_state *t = state_of(p), *w;
	struct task_struct *waker = me();
	__u16 irq = irq_flags();
	bool want;
	__u64 now;

	if (!t) {
		if (live.on)
			count_one(&drops, KP_K_SCHED_WAKE);
		return 0;
	}
	now = bpf_ktime_get_ns();
	fresh(t);
	if (!t->off_since && !t->on_since) {
		if (t->run_at || p->on_cpu || !live.since)
			return 0;	/* woken already */
		t->off_since = live.since;	/* asleep since before the recording: at least so long */
		t->off_state = BPF_CORE_READ(p, __state);
	}
	if (!t->off_since) {
		t->early = now;
		return 0;
	}
	t->run_at = now;
	want = wanted(p, t);
	if (!want && any_filter() && !irq && t->want != WANT_EXCLUDED) {
		w = known_state_of(waker);
		want = w && w->want == WANT_YES;
	}
	if (want && live.on)
		write_wake(p, waker, t, now, irq);
	t->off_since = 0;
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(sched_wakeup_new, struct task_struct *p)
{
	struct task_state *t = state_of(p);

	if (t) {
		fresh(t);
		t->run_at = bpf_ktime_get_ns();
	}
	return 0;
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(sched_migrate_task, struct task_struct *p, int to)
{
	struct { struct ev_head h; __u64 a[2]; } r;
	struct task_state *t;

	if (!live.on || !(t = state_of(p)) || !wanted(p, t))
		return 0;
	head(&r.h, KP_K_SCHED_MIGRATE, 2, 0, irq_flags(), bpf_ktime_get_ns(), 0, p);
	r.a[0] = cpu_of(p);
	r.a[1] = to;
	emit(&r, sizeof r, KP_K_SCHED_MIGRATE);
	return 0;
}
