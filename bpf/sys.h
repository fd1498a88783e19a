/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* sys.*: a row at the exit of each system call. This is the hottest path: every ns here is paid millions of times. */

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long id)
{
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	__u32 nr = id & ~0x40000000ul;	/* x32 has the same numbers */
	struct sys_info *si;
	__u64 now;

	if (!t || nr >= SYS_MAX)
		return 0;
	if (is_compat(p))
		nr += SYS_MAX;
	now = bpf_ktime_get_ns();
	if (t->pend) {
		if (t->pend & PEND_REFAULT)
			write_refault(p, t, now);
		t->pend = 0;
	}
	si = info_of(nr);
	t->nr = nr;
	t->sys_gen = live.sys_gen;
	t->enter = 0;
	if (!live.on || !si->want || !wanted(p, t))
		return 0;
	if (si->enter_fd) {
		t->file.dev = t->file.mode = 0;
		file_of_fd(&t->file, p, sys_arg(regs, si->fdarg, nr >= SYS_MAX));
	}
	t->enter = now;
	return 0;
}

/* A string of the program into the scratch record at off; returns the offset behind it. */
static __always_inline __u32 put_user_str(struct scratch *s, __u32 off, __u64 from)
{
	struct ev_bytes *e = (void *)(s->b + (off & 255));
	long n = bpf_probe_read_user_str(e + 1, EV_STR, (void *)from);
	struct ev_head *h = (void *)s->b;

	if (n <= 1)
		return off;	/* empty, not in memory, or the program's memory is gone (exec) */
	e->len = n - 1;
	e->tag = 0;
	h->extra |= EX_STR;
	if (n == EV_STR)
		h->flags |= F_TRUNCATED;
	return off + sizeof *e + ((n + 6) & 0x1f8);
}

/* Does the call give a descriptor and no path, as fstat of the C library does it (AT_EMPTY_PATH)? */
static __always_inline bool empty_path(__u64 at)
{
	char c = 'x';

	return !bpf_probe_read_user(&c, 1, (void *)at) && !c;
}

/* The rare rest of a record: addresses, strings, stacks. Returns its size. */
static __noinline __u32 sys_extras(struct scratch *s, struct sys_info *si, struct task_struct *p, __u32 off, __u32 fd)
{
	struct ev_head *h = (void *)s->b;
	const struct file *f;

	if (si->sock && (h->extra & EX_FILE) && (f = file_at(p, fd))) {
		off = put_sock_of_file(s, off, f);
		h->extra |= EX_SOCK;
	}
	if (si->strarg >= 0)
		off = put_user_str(s, off, *(__u64 *)(s->b + sizeof *h + (si->strarg & 7) * 8));
	if (cfg.user_stack && cfg.stack_min && h->dur >= cfg.stack_min) {
		off = put_stack(s, off, p, BPF_F_USER_STACK);
		h->extra |= EX_STACK;
	}
	return off & 1023;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	struct task_struct *p = me();
	struct task_state *t = known_state_of(p);
	__u64 now, began;
	struct sys_info *si;
	struct scratch *s;
	struct ev_head *h;
	struct ev_file *file;
	__u32 nr, n, off, kind, fd;
	bool compat, has_file = false;
	__u64 *a;

	if (!t)
		return 0;
	fresh(t);
	if (t->run_at && t->off_state)
		came_unseen(p, t, bpf_ktime_get_ns());
	began = entered(t);
	if (!began)
		return 0;
	nr = t->nr;
	si = info_of(nr);
	if (!bpf_core_type_exists(struct trace_event_raw_sock_msg_length))
		message_by_call(p, regs, si->nr, ret);
	t->enter = 0;
	now = bpf_ktime_get_ns();
	if (t->pend & PEND_REFAULT) {
		write_refault(p, t, now);
		t->pend &= ~PEND_REFAULT;
	}
	if (now - began < cfg.min_dur)
		return 0;
	compat = nr >= SYS_MAX;
	kind = KP_K_SYS + si->nr;
	if (live.shed & SHED_CALLS && ret >= 0 && now - began < cfg.call_short && !si->keep) {
		sum_call(p, t, si, now, now - began, ret);
		return 0;
	}
	if (!(s = scratch(SCRATCH_TASK)))
		return 0;
	h = (void *)s->b;
	a = (void *)(h + 1);
	n = si->nargs > EV_ARGS ? EV_ARGS : si->nargs;
	head(h, kind, n, 0, compat ? F_COMPAT : 0, now, now - began, p);
	h->ret = ret;
	/* all of them: cheaper than to ask, what is too much is written over */
	a[0] = sys_arg(regs, 0, compat);
	a[1] = sys_arg(regs, 1, compat);
	a[2] = sys_arg(regs, 2, compat);
	a[3] = sys_arg(regs, 3, compat);
	a[4] = sys_arg(regs, 4, compat);
	a[5] = sys_arg(regs, 5, compat);
	off = sizeof *h + n * 8;
	file = (void *)(s->b + off);
	fd = ret;
	if (si->enter_fd) {
		*file = t->file;
		has_file = t->file.mode;
	} else if (si->retfd && ret >= 0) {
		has_file = file_of_fd(file, p, fd);
	} else if (si->fdarg >= 0 && (si->strarg < 0 || empty_path(a[si->strarg & 7]))) {
		fd = a[si->fdarg & 7];
		has_file = file_of_fd(file, p, fd);
	}
	if (has_file) {
		h->extra = EX_FILE;
		off += sizeof *file;
	}
	if (si->sock || si->strarg >= 0 || (cfg.user_stack && cfg.stack_min && now - began >= cfg.stack_min))
		off = sys_extras(s, si, p, off, fd);
	emit(s->b, off & 1023, kind);
	return 0;
}
