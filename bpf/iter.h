/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Every task as it is now: for keyframes, and for what has not ended yet. */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct it_task);
} it_buf SEC(".maps");

/* The call that the task is inside since `begun` (0: before there was anybody to see it), and what its descriptor names. */
static __always_inline void it_call(struct it_task *o, struct task_struct *p, __u32 nr, __u64 begun)
{
	struct sys_info *si = info_of(nr);
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(p);
	struct ev_file f = {};

	o->sys_start = begun;
	o->sys_nr = si->nr;
	for (int i = 0; i < EV_ARGS; i++)
		o->a[i] = i < si->nargs ? sys_arg(regs, i, nr >= SYS_MAX) : 0;
	if (si->fdarg >= 0 && si->strarg < 0 && file_of_fd(&f, p, sys_arg(regs, si->fdarg, nr >= SYS_MAX))) {
		o->fddev = f.dev;
		o->fdmode = f.mode;
		o->fdino = f.ino;
	}
}

/* Asleep in a call whose beginning was not seen: its number is still among the registers with which it came. */
static __always_inline int it_called(struct task_struct *p)
{
#if defined(__TARGET_ARCH_x86)
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(p);
	__u32 nr = regs->orig_ax;	/* an interrupt or a fault: not a number of a call */

	if (p->flags & PF_KTHREAD || (long)regs->ax != -38 || nr >= SYS_MAX)	/* ENOSYS, until there is a result */
		return -1;
	if (is_compat(p))
		nr += SYS_MAX;
	return info_of(nr)->want ? (int)nr : -1;
#else
	return -1;
#endif
}

SEC("iter/task")
int it_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *p = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct task_state *t;
	struct it_task *o;
	__u32 zero = 0;
	long n;
	int nr;

	if (!p || !(o = bpf_map_lookup_elem(&it_buf, &zero)))
		return 0;
	__builtin_memset(o, 0, sizeof *o);
	o->tid = p->pid;
	o->tgid = p->tgid;
	o->ns_tid = ns_id(p);
	o->ns_tgid = ns_id(p->group_leader);
	o->start = p->start_boottime;
	o->now = bpf_ktime_get_ns();
	o->ppid = p->real_parent->tgid;
	o->pstart = p->real_parent->group_leader->start_boottime;
	o->state = p->__state;
	o->flags = p->flags;
	o->nice = p->static_prio - 120;
	o->policy = p->policy;
	o->utime = p->utime;
	if (p->mm) {
		o->anon = rss(p->mm, 1);
		o->file = rss(p->mm, 0);
	}
	bpf_probe_read_kernel_str(o->comm, sizeof o->comm, p->comm);
	o->sys_nr = -1;
	t = state_of(p);
	if (t) {
		wanted(p, t);
		fresh(t);
		if (live.sum_flush)
			write_sums(p, t, o->now);
		o->want = t->want;
		o->off_since = t->off_since;
		if (entered(t))
			it_call(o, p, t->nr, t->enter);
	}
	if (o->state && !p->on_cpu) {
		if (o->sys_nr < 0 && (nr = it_called(p)) >= 0)
			it_call(o, p, nr, 0);
		n = bpf_get_task_stack(p, o->frame, sizeof o->frame, 0);
		o->nframes = n > 0 ? (__u32)n / 8 : 0;
	}
	bpf_seq_write(seq, o, sizeof *o);
	return 0;
}
