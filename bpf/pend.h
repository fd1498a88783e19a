/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Operations whose end no tracepoint tells: they end as the task is back on a CPU, or begins something else. */

struct rec_fault { struct ev_head h; __u64 a[3]; };
struct rec_dirty { struct ev_head h; __u64 a[3]; struct ev_file dev; };
struct rec_refault { struct ev_head h; __u64 a[3]; struct ev_peer by; struct ev_file file; };

static __noinline int write_refault(struct task_struct *p, struct task_state *t, __u64 now)
{
	struct rec_refault r;

	t->pend &= ~PEND_REFAULT;
	if (!live.on || t->want != WANT_YES)	/* judged not long ago: no call here, the stack is short */
		return 0;
	head(&r.h, KP_K_MM_REFAULT, 3, EX_PEER | EX_FILE, 0, now, now - t->rf.begin, p);
	r.a[0] = t->rf.pages;
	r.a[1] = t->rf.age;
	r.a[2] = t->rf.how;
	r.by = t->rf.by;
	r.file = t->rf.file;
	emit(&r, sizeof r, KP_K_MM_REFAULT);
	return 0;
}

/* Since when threads are in an uninterruptible sleep, for who has but their number (blk.h). */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} sleepers SEC(".maps");

/* prev leaves the CPU: keep its counters, and see whether its fault is over or has put it to sleep. */
static __always_inline void leave_cpu(struct task_struct *p, struct task_state *t, __u64 ran, __u32 state)
{
	t->cpu_ns += ran;
	if (t->cpu_ns >= 1000000 || state & TASK_DEAD || p->maj_flt != t->maj_seen)
		flush_cpu(p, t);
	if (!state)
		return;
	if (live.bio_owner && state & TASK_UNINTERRUPTIBLE) {
		__u32 tid = p->pid;

		bpf_map_update_elem(&sleepers, &tid, &t->off_since, BPF_ANY);
	}
	if (!t->pend)
		return;
	/* The registers are those of the last entry from the program: of the fault as long as it lasts. */
	if (t->pend & PEND_FAULT && regs_ip((struct pt_regs *)bpf_task_pt_regs(p)) != t->fault_ip)
		t->pend &= ~PEND_FAULT;
	t->asleep_in = t->pend;
}

static __noinline int write_fault(struct task_struct *p, struct task_state *t, __u64 now)
{
	struct rec_fault r;

	head(&r.h, KP_K_MM_FAULT, 3, 0, 0, now, now - t->fault_at, p);
	r.a[0] = t->fault_addr;
	r.a[1] = t->fault_ip;
	r.a[2] = t->fault_err;
	t->fault_at = now;
	if (r.h.dur >= cfg.min_dur)
		emit(&r, sizeof r, KP_K_MM_FAULT);
	return 0;
}

static __noinline int write_dirty(struct task_struct *p, struct task_state *t, __u64 now)
{
	struct rec_dirty r;

	head(&r.h, KP_K_FS_DIRTY_WAIT, 3, EX_FILE, 0, now, now - t->dirty_at, p);
	r.a[0] = t->dirty;
	r.a[1] = t->dirty_limit;
	r.a[2] = r.h.dur;
	r.dev.dev = t->dirty_dev;
	r.dev.mode = S_IFBLK;
	r.dev.ino = 0;
	emit(&r, sizeof r, KP_K_FS_DIRTY_WAIT);
	return 0;
}

static __noinline int back_on_cpu(struct task_struct *p, struct task_state *t, __u64 now)
{
	__u32 in = t->asleep_in;
	bool want = live.on && wanted(p, t);

	t->asleep_in = 0;
	if (want && in & PEND_FAULT)
		write_fault(p, t, now);
	if (want && in & PEND_DIRTY)
		write_dirty(p, t, now);
	if (t->pend & PEND_REFAULT && in & PEND_FAULT)
		write_refault(p, t, now);
	t->pend &= ~PEND_DIRTY;
	return 0;
}
