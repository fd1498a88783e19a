/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Whose rows are wanted. Judged once a task and kept with it until filters change. */

static __always_inline bool any_filter(void)
{
	return cfg.filter_pid || cfg.filter_comm || cfg.filter_cgroup;
}

/* Is the task in the cgroup asked for, or below it? */
static __always_inline bool in_cgroup(struct task_struct *p)
{
	struct css_set *set = BPF_CORE_READ(p, cgroups);
	struct cgroup_subsys_state *css = NULL;
	struct cgroup *top;

	if (cfg.cgroup_subsys < 16) {
		struct cgroup_subsys_state **all = &set->subsys[0];

		bpf_probe_read_kernel(&css, sizeof css, all + cfg.cgroup_subsys);
	} else {
		top = BPF_CORE_READ(set, dfl_cgrp);
		css = &top->self;
	}
	for (int level = 0; css && level < 12; level++) {
		if (BPF_CORE_READ(css, cgroup, kn, id) == cfg.cgroup_id)
			return true;
		css = BPF_CORE_READ(css, parent);
	}
	return false;
}

static __noinline int judge(struct task_struct *p, struct task_state *t)
{
	__u32 tgid = p->tgid;
	__u8 want = WANT_YES;

	if (cfg.exclude && bpf_map_lookup_elem(&excluded, &tgid)) {
		want = WANT_EXCLUDED;
	} else if (cfg.filter_pid && !bpf_map_lookup_elem(&pids, &tgid)) {
		want = WANT_NO;
	} else if (cfg.filter_comm) {
		for (int i = 0; i < 16; i++) {
			if (p->comm[i] != cfg.comm[i]) {
				want = WANT_NO;
				break;
			}
			if (!cfg.comm[i])
				break;
		}
	}
	if (want == WANT_YES && cfg.filter_cgroup && !in_cgroup(p))
		want = WANT_NO;
	t->gen = (__u16)live.gen;
	t->want = want;
	return 0;
}

static __always_inline bool wanted(struct task_struct *p, struct task_state *t)
{
	if (t->want == WANT_UNKNOWN || t->gen != (__u16)live.gen)
		judge(p, t);
	return t->want == WANT_YES;
}

/* The present task and its state, when its rows are wanted now. */
static __always_inline struct task_state *wanted_me(struct task_struct *p)
{
	struct task_state *t;

	if (!live.on)
		return NULL;
	t = state_of(p);
	return t && wanted(p, t) ? t : NULL;
}

/* The same for what comes in interrupts, where the present task is anybody: only exclusion counts. */
static __always_inline bool wanted_any(struct task_struct *p, __u16 flags)
{
	struct task_state *t;

	if (!live.on)
		return false;
	if (flags & (F_SOFTIRQ | F_HARDIRQ))
		return true;
	t = state_of(p);
	return t && wanted(p, t);
}

/* Left out, and counted, to keep the recorder within its budget? Never what failed or was slow. */
static __always_inline bool shed_message(__u64 dur, long ret, __u32 kind)
{
	if (ret < 0 || dur >= CALL_SHORT || !(live.shed & SHED_MESSAGES))
		return false;
	count_one(&shed, kind);
	return true;
}

static __always_inline bool shed_switch(__u64 dur, __u32 kind)
{
	if (dur >= SWITCH_SHORT || !(live.shed & SHED_SWITCHES))
		return false;
	count_one(&shed, kind);
	return true;
}
