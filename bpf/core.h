/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What all programs share: maps, the state of a task, and writing a record. */
#ifndef KP_BPF_CORE_H
#define KP_BPF_CORE_H

const volatile struct rec_cfg cfg = {};
struct rec_live live = {};
struct sys_info sys_info[2 * SYS_MAX] = {};

/* What goes on in a task: the first two end when it is back on a CPU. */
enum { PEND_FAULT = 1, PEND_DIRTY = 2, PEND_REFAULT = 4 };

/* Pages that a task has read again, not yet written as a row. */
struct refault { __u64 begin, age, pages, how; struct ev_file file; struct ev_peer by; };

/* The short calls of one number that a task has made. */
struct call_sum { __u64 total, longest, bytes; __u32 n; __u16 nr, pad; };
enum { SUM_SLOTS = 16 };

/* One a thread; what every syscall and switch needs comes first. */
struct task_state {
	__u64 enter;		/* of the present syscall, 0: none, or its row is not wanted */
	__u64 off_since, on_since, run_at; /* asleep, on a CPU, runnable since */
	__u64 early;		/* woken while it was on its way off the CPU */
	__u16 gen, sched_gen;	/* rec_live.gen and .sched_gen when want and the times above were found */
	__u32 off_state;
	__u16 nr;		/* index into sys_info of the present syscall, or of the last one */
	__u8 want, pend;
	__u16 sys_gen;		/* rec_live.sys_gen when enter and nr were found */
	__u8 asleep_in, pad0;	/* the bits of pend in which it has gone to sleep */
	__u64 cpu_ns, maj_seen;
	struct ev_file file;	/* of a descriptor that is being closed */
	__u64 fault_at, fault_addr, fault_ip, fault_err;
	__u64 dirty_at, dirty, dirty_limit;
	__u64 reclaim_at, reclaim_order, reclaim_gfp;
	__u64 lock_at, lock, lock_flags;
	struct ev_peer lock_owner;
	__u64 commit_at, sync_at, sync_datasync, kswapd_at, kswapd_nid, kswapd_order;
	__u64 drop_at, drop_yes; /* when it was looked whether it writes to drop_caches, and the answer */
	struct ev_file sync_file;
	__u32 dirty_dev, sum_n;
	__u64 bio, bio_at;	/* the last one handed to the block layer */
	struct refault rf;
	__u64 sum_since;	/* calls that are told of together, see sum.h: since then, sum_n of them */
	struct call_sum sum[SUM_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); });
} rings SEC(".maps");

struct count_map {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EV_MAX_KIND);
	__type(key, __u32);
	__type(value, __u64);
};
struct count_map drops SEC(".maps");
struct count_map shed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

struct pid_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
};
struct pid_map excluded SEC(".maps");
struct pid_map pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct proc_count);
} counts SEC(".maps");

/*
 * Where records with strings, payload or stacks are put together (twice the payload, so that the verifier sees
 * that a piece behind another fits). A slot for each program that may interrupt
 * another one.
 */
enum { SCRATCH_TASK, SCRATCH_WAKE, SCRATCH_LOCK, SCRATCH_MAX };
enum { SCRATCH_HEAD = 256, SCRATCH_SIZE = SCRATCH_HEAD + 2 * EV_DATA + 1024 };
struct scratch { char b[SCRATCH_SIZE]; };
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_MAX);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* By the kernel's number, or struct task_state.nr. The compiler must not conclude that the mask is idle. */
static __always_inline struct sys_info *info_of(__u32 nr)
{
	barrier_var(nr);
	return &sys_info[nr & (2 * SYS_MAX - 1)];
}

static __always_inline struct cpu_state *this_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cpus, &zero);
}

static __always_inline struct scratch *scratch(__u32 slot)
{
	return bpf_map_lookup_elem(&scratches, &slot);
}

static __always_inline void count_more(void *map, __u32 kind, __u64 more)
{
	__u64 *n = bpf_map_lookup_elem(map, &kind);

	if (n)
		__sync_fetch_and_add(n, more);	/* an interrupt may count, too */
}

static __always_inline void count_one(void *map, __u32 kind)
{
	count_more(map, kind, 1);
}

/* Puts a record that tells of n events into this CPU's ring, and wakes the consumer once in a while. */
static __always_inline void emit_of(const void *rec, __u32 size, __u32 kind, __u64 n)
{
	__u32 cpu = bpf_get_smp_processor_id();
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	struct cpu_state *c = this_cpu();
	__u64 how = BPF_RB_NO_WAKEUP;

	if (!c)
		return;
	c->queued += size + 8;
	if (c->queued >= cfg.wake_bytes) {
		how = BPF_RB_FORCE_WAKEUP;
		c->queued = 0;
	}
	if (ring && !bpf_ringbuf_output(ring, (void *)rec, size, how))
		return;
	if (how == BPF_RB_FORCE_WAKEUP)
		c->queued = cfg.wake_bytes;	/* nobody was woken: the next one that finds room does it */
	count_more(&drops, kind, n);
}

static __always_inline void emit(const void *rec, __u32 size, __u32 kind)
{
	emit_of(rec, size, kind, 1);
}

/* In an interrupt the present task is a bystander. */
static __always_inline __u16 irq_flags(void)
{
	struct cpu_state *c = this_cpu();

	return !c ? 0 : (c->hard_at ? F_HARDIRQ : 0) | (c->soft_at ? F_SOFTIRQ : 0);
}

static __always_inline struct task_struct *me(void)
{
	return bpf_get_current_task_btf();
}

static __always_inline struct task_state *state_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline struct task_state *known_state_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, NULL, 0);
}

static __always_inline void head(struct ev_head *h, __u32 kind, __u8 nargs, __u8 extra, __u16 flags, __u64 end, __u64 dur,
				 struct task_struct *p)
{
	h->kind = kind;
	h->nargs = nargs;
	h->extra = extra;
	h->flags = flags;
	h->cpu = bpf_get_smp_processor_id();
	h->end = end;
	h->dur = dur;
	h->tid = p->pid;
	h->tgid = p->tgid;
	h->start = p->start_boottime;
	h->ret = 0;
}

static __always_inline void peer(struct ev_peer *e, struct task_struct *p)
{
	e->tid = p->pid;
	e->tgid = p->tgid;
	e->start = p->start_boottime;
}

/* The same of a pointer that was read from memory. */
static __always_inline void peer_read(struct ev_peer *e, const struct task_struct *p)
{
	e->tid = BPF_CORE_READ(p, pid);
	e->tgid = BPF_CORE_READ(p, tgid);
	e->start = BPF_CORE_READ(p, start_boottime);
}

/*
 * A typed pointer out of one that was read from memory: its members are then loaded without a helper's call
 * each. From 6.2 on; callers have the slow way, too.
 */
#define CAN_CAST() bpf_core_enum_value_exists(enum special_kfunc_type, KF_bpf_rdonly_cast)
#define CAST(p, type) ((struct type *)bpf_rdonly_cast((const void *)(p), bpf_core_type_id_kernel(struct type)))

/* dev_t of the kernel is the one we write: major << 20 | minor. */
static __always_inline void file_of_inode(struct ev_file *e, const struct inode *i)
{
	if (CAN_CAST()) {
		struct inode *n = CAST(i, inode);

		e->ino = n->i_ino;
		e->mode = n->i_mode;
		e->dev = n->i_sb->s_dev;
	} else {
		e->ino = BPF_CORE_READ(i, i_ino);
		e->mode = BPF_CORE_READ(i, i_mode);
		e->dev = BPF_CORE_READ(i, i_sb, s_dev);
	}
}

/* The open file of a descriptor of the present task, NULL none. */
static __always_inline const struct file *file_at(struct task_struct *p, __u32 fd)
{
	struct files_struct *files = p->files;
	struct file *f = NULL;

	if (!files)
		return NULL;
	if (CAN_CAST()) {
		struct fdtable *t = files->fdt;

		if (fd >= t->max_fds)
			return NULL;
		return (const struct file *)CAST(t->fd + fd, list_head)->next; /* any type that begins with a pointer */
	}
	if (fd < BPF_CORE_READ(files, fdt, max_fds))
		bpf_probe_read_kernel(&f, sizeof f, BPF_CORE_READ(files, fdt, fd) + fd);
	return f;
}

static __always_inline bool file_of_fd(struct ev_file *e, struct task_struct *p, __u32 fd)
{
	const struct file *f = file_at(p, fd);

	if (!f)
		return false;
	file_of_inode(e, CAN_CAST() ? CAST(f, file)->f_inode : BPF_CORE_READ(f, f_inode));
	return true;
}

/* The i-th argument of the system call. */
static __always_inline __u64 sys_arg(const struct pt_regs *r, int i, bool compat)
{
#if defined(__TARGET_ARCH_x86)
	switch (i) {
	case 0: return compat ? (__u32)r->bx : r->di;
	case 1: return compat ? (__u32)r->cx : r->si;
	case 2: return compat ? (__u32)r->dx : r->dx;
	case 3: return compat ? (__u32)r->si : r->r10;
	case 4: return compat ? (__u32)r->di : r->r8;
	case 5: return compat ? (__u32)r->bp : r->r9;
	}
#elif defined(__TARGET_ARCH_arm64)
	switch (i) {
	case 0: return r->orig_x0;
	case 1: return r->regs[1];
	case 2: return r->regs[2];
	case 3: return r->regs[3];
	case 4: return r->regs[4];
	case 5: return r->regs[5];
	}
#endif
	return 0;
}

static __always_inline __u64 regs_ip(const struct pt_regs *r)
{
#if defined(__TARGET_ARCH_x86)
	return r->ip;
#else
	return r->pc;
#endif
}

static __always_inline bool is_compat(struct task_struct *p)
{
#if defined(__TARGET_ARCH_x86)
	return p->thread_info.status & TS_COMPAT;
#else
	return false;
#endif
}

/* Where it runs, is queued or ran last: not wake_cpu, which says already where it is to be. */
static __always_inline __u32 cpu_of(const struct task_struct *p)
{
	if (bpf_core_field_exists(p->thread_info.cpu))
		return BPF_CORE_READ(p, thread_info.cpu);
	return BPF_CORE_READ((const struct task_struct___cpu *)p, cpu);
}

/*
 * The system call that the present task is in, as sys_info is indexed: from its registers, since nobody looks at the
 * entries of calls when none is recorded. Where it is in none, an entry that is all zero.
 */
static __always_inline __u32 call_nr(struct task_struct *p)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(p);
#if defined(__TARGET_ARCH_x86)
	__u32 nr = regs->orig_ax & ~0x40000000ul;
#elif defined(__TARGET_ARCH_arm64)
	__u32 nr = regs->syscallno;
#endif

	if (nr >= SYS_MAX)
		return 2 * SYS_MAX - 1;
	return is_compat(p) ? nr + SYS_MAX : nr;
}

/* When the present call began; 0: not in one, or its beginning was not seen since the hooks hang again. */
static __always_inline __u64 entered(const struct task_state *t)
{
	return t->sys_gen == (__u16)live.sys_gen ? t->enter : 0;
}

/* Times from before the hooks of the scheduler hung again say nothing now. */
static __always_inline void fresh(struct task_state *t)
{
	if (t->sched_gen == (__u16)live.sched_gen)
		return;
	t->on_since = t->off_since = t->run_at = t->early = 0;
	t->asleep_in = 0;
	t->sched_gen = live.sched_gen;
}

/* A stack into the scratch record at off; returns the offset behind it. */
static __always_inline __u32 put_stack(struct scratch *s, __u32 off, struct task_struct *p, __u64 flags)
{
	struct ev_stack *e = (void *)(s->b + (off & 1023));
	long n = bpf_get_task_stack(p, e + 1, EV_FRAMES * 8, flags);

	e->n = n > 0 ? (__u32)n / 8 : 0;
	e->user = flags == BPF_F_USER_STACK;
	return off + sizeof *e + (n > 0 ? n & 511 : 0);
}

#endif
