/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* proc.*, sig.*: births, deaths and renamings. They come for every task, since the recorder names tasks by them. */

struct rec_fork { struct ev_head h; __u64 a[3]; struct ev_peer child; struct ev_name name; };
struct rec_exit { struct ev_head h; __u64 a[3]; struct ev_name name; };

static __always_inline void name_of(struct ev_name *n, struct task_struct *p)
{
	bpf_probe_read_kernel_str(n->comm, sizeof n->comm, p->comm);
}

/* The thread's id as it sees it itself. */
static __always_inline __u32 ns_id(const struct task_struct *p)
{
	struct pid *pid = BPF_CORE_READ(p, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	char *ids = (char *)__builtin_preserve_access_index(&pid->numbers[0]);
	int nr = 0;

	if (level < 32)
		bpf_core_read(&nr, sizeof nr, &((struct upid *)(ids + level * bpf_core_type_size(struct upid)))->nr);
	return nr;
}

/* Flags for a life-cycle record: those who are not wanted are known all the same. */
static __always_inline __u16 life_flags(struct task_struct *p)
{
	struct task_state *t = state_of(p);

	return (t && wanted(p, t) ? 0 : EVF_TABLE) | (p->flags & PF_KTHREAD ? F_KERNEL : 0);
}

/* A string of the kernel into the scratch record at off; returns the offset behind it. */
static __always_inline __u32 put_kernel_str(struct scratch *s, __u32 off, const char *from)
{
	struct ev_bytes *e = (void *)(s->b + (off & 1023));
	long n = bpf_probe_read_kernel_str(e + 1, EV_STR, from);

	e->len = n > 0 ? n - 1 : 0;
	e->tag = 0;
	return off + sizeof *e + (n > 0 ? (n + 6) & 0x1f8 : 0);
}

static __always_inline __u32 put_name(struct scratch *s, __u32 off, struct task_struct *p)
{
	name_of((void *)(s->b + (off & 1023)), p);
	return off + sizeof(struct ev_name);
}

static __always_inline __u64 clone_flags(struct task_struct *p)
{
	struct pt_regs *regs;
	__u64 flags = 0;
	__u32 nr;

	if (p->flags & PF_KTHREAD)
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(p);
	nr = call_nr(p);
	switch (info_of(nr)->nr) {
	case NR_vfork:
		return 0x4100;	/* CLONE_VFORK | CLONE_VM */
	case NR_clone:
		return sys_arg(regs, 0, nr >= SYS_MAX) & ~0xffull;
	case NR_clone3:
		bpf_probe_read_user(&flags, sizeof flags, (void *)sys_arg(regs, 0, nr >= SYS_MAX));
		return flags;
	}
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = parent->tgid, ctgid = child->tgid, one = 1;
	struct rec_fork r;

	if (cfg.filter_pid && tgid != ctgid && bpf_map_lookup_elem(&pids, &tgid))
		bpf_map_update_elem(&pids, &ctgid, &one, BPF_ANY);
	if (!live.on)
		return 0;
	head(&r.h, KP_K_PROC_FORK, 3, EX_PEER | EX_NAME, life_flags(parent), bpf_ktime_get_ns(), 0, parent);
	r.a[0] = clone_flags(parent);
	r.a[1] = ns_id(child);
	r.a[2] = ns_id(child->group_leader);
	r.h.ret = child->pid;
	peer(&r.child, child);
	name_of(&r.name, child);
	emit(&r, sizeof r, KP_K_PROC_FORK);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(sched_process_exec, struct task_struct *p, int old, struct linux_binprm *bprm)
{
	struct task_state *t = state_of(p);
	struct scratch *s;
	__u64 *a;
	struct ev_head *h;
	__u32 off;

	if (t)
		t->want = WANT_UNKNOWN;
	if (!live.on || !(s = scratch(SCRATCH_TASK)))
		return 0;
	h = (void *)s->b;
	a = (void *)(h + 1);
	head(h, KP_K_PROC_EXEC, 2, EX_STR | EX_NAME, life_flags(p), bpf_ktime_get_ns(), 0, p);
	a[0] = ns_id(p);
	a[1] = ns_id(p->group_leader);
	h->ret = old;
	off = put_kernel_str(s, sizeof *h + 16, bprm->filename);
	off = put_name(s, off, p);
	emit(s->b, off & 1023, KP_K_PROC_EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(sched_process_exit, struct task_struct *p)
{
	struct task_state *t = state_of(p);
	__u64 now = bpf_ktime_get_ns();
	__u32 tgid = p->tgid;
	struct rec_exit r;
	bool last = p->signal->live.counter == 0;

	if (t) {
		t->enter = 0;	/* exit does not return */
		if (t->pend & PEND_REFAULT)
			write_refault(p, t, now);
		t->pend = 0;
		flush_cpu(p, t);
		if (t->sum_n)
			write_sums(p, t, now);
	}
	if (live.on) {
		head(&r.h, KP_K_PROC_EXIT, 3, EX_NAME, life_flags(p), now, bpf_ktime_get_boot_ns() - p->start_boottime, p);
		r.a[0] = (__u32)p->exit_code >> 8 & 0xff;
		r.a[1] = p->exit_code & 0x7f;
		r.a[2] = last;
		name_of(&r.name, p);
		emit(&r, sizeof r, KP_K_PROC_EXIT);
	}
	if (cfg.filter_pid && last)
		bpf_map_delete_elem(&pids, &tgid);
	return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename, struct task_struct *p, const char *name)
{
	struct task_state *t = state_of(p);
	struct scratch *s;
	struct ev_head *h;
	__u16 flags, nr;
	__u32 off;

	if (!live.on || !t || !(s = scratch(SCRATCH_TASK)))
		return 0;
	flags = life_flags(p);
	nr = info_of(call_nr(p))->nr;
	if (nr == NR_execve || nr == NR_execveat)
		flags |= EVF_TABLE;	/* the exec says so itself */
	h = (void *)s->b;
	head(h, KP_K_PROC_COMM, 0, EX_STR | EX_NAME, flags, bpf_ktime_get_ns(), 0, p);
	off = put_kernel_str(s, sizeof *h, name);
	bpf_probe_read_kernel_str(s->b + (off & 1023), 16, name);
	emit(s->b, (off & 1023) + 16, KP_K_PROC_COMM);
	t->want = WANT_UNKNOWN;
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(cgroup_attach_task, struct cgroup *to, const char *path, struct task_struct *p, bool all)
{
	struct scratch *s = scratch(SCRATCH_TASK);
	struct ev_head *h;
	__u32 off;

	if (cfg.filter_cgroup)
		__sync_fetch_and_add(&live.gen, 1);
	if (!live.on || !s)
		return 0;
	h = (void *)s->b;
	head(h, KP_K_PROC_CGROUP, 1, EX_STR, life_flags(p), bpf_ktime_get_ns(), 0, p);
	*(__u64 *)(h + 1) = all;
	h->ret = to->root->hierarchy_id;
	off = put_kernel_str(s, sizeof *h + 8, path);
	emit(s->b, off & 1023, KP_K_PROC_CGROUP);
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(signal_generate, int sig, struct kernel_siginfo *info, struct task_struct *to, int group, int result)
{
	struct { struct ev_head h; __u64 a[2]; struct ev_peer to; } r;
	struct task_struct *p = me();
	__u16 flags = irq_flags();
	struct task_state *t;
	__u64 special = 0;

	if (!wanted_any(p, flags)) {
		if (!live.on || !(t = state_of(to)) || !wanted(to, t))
			return 0;
	}
	head(&r.h, KP_K_SIG_SEND, 2, EX_PEER, flags, bpf_ktime_get_ns(), 0, p);
	r.a[0] = sig;
	/* 0 and 1 stand for SI_USER and SI_KERNEL; read as a number, since for the verifier no argument is 0 */
	bpf_probe_read_kernel(&special, sizeof special, &ctx[1]);
	r.a[1] = special > 1 ? (__s64)BPF_CORE_READ(info, si_code) : special ? 0x80 : 0;
	peer(&r.to, to);
	emit(&r, sizeof r, KP_K_SIG_SEND);
	return 0;
}
