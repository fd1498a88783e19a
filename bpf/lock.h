/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* lock.*: waits for kernel locks in which a task may sleep. Spinning locks are too hot and too short. */

enum { LCB_F_SPIN = 1, LCB_F_READ = 2, LCB_F_WRITE = 4, LCB_F_RT = 8, LCB_F_PERCPU = 16, LCB_F_MUTEX = 32 };

SEC("tp_btf/contention_begin")
int BPF_PROG(contention_begin, void *lock, unsigned int flags)
{
	struct task_struct *p, *owner = NULL;
	struct task_state *t;
	__u64 word = 0;

	if (flags & LCB_F_SPIN && !(flags & LCB_F_MUTEX))
		return 0;
	p = me();
	t = state_of(p);
	if (!t || (t->lock_at && t->lock == (__u64)lock && t->lock_flags & LCB_F_SPIN))
		return 0;	/* a mutex says it twice: when it begins to spin, and when it goes to sleep */
	t->lock = (__u64)lock;
	t->lock_flags = flags;
	t->lock_at = bpf_ktime_get_ns();
	/* The owner's word of both is the task with marks in the low bits; of a lock that readers hold it is one of them. */
	if (!bpf_core_field_exists(((struct mutex *)0)->owner.counter))
		;	/* a real-time kernel: both are something else */
	else if (flags & LCB_F_MUTEX)
		word = BPF_CORE_READ((struct mutex *)lock, owner.counter);
	else if (flags & (LCB_F_READ | LCB_F_WRITE) && !(flags & LCB_F_PERCPU))
		word = BPF_CORE_READ((struct rw_semaphore *)lock, owner.counter);
	owner = (void *)(word & ~7ull);
	t->lock_owner.tid = 0;
	if (owner)
		peer_read(&t->lock_owner, owner);
	return 0;
}

SEC("tp_btf/contention_end")
int BPF_PROG(contention_end, void *lock, int ret)
{
	struct { struct ev_head h; __u64 a[2]; struct ev_peer owner; } r;
	struct task_struct *p = me();
	struct task_state *t = known_state_of(p);
	struct scratch *s;
	__u32 size = sizeof r;
	__u64 now;

	if (!t || !t->lock_at || t->lock != (__u64)lock)
		return 0;
	if (t->lock_at < t->enter) {	/* left over: the end of an earlier wait was missed */
		t->lock_at = 0;
		return 0;
	}
	now = bpf_ktime_get_ns();
	if (live.on && now - t->lock_at >= cfg.lock_min && wanted(p, t) && (s = scratch(SCRATCH_LOCK))) {
		head(&r.h, KP_K_LOCK_WAIT, 2, EX_STACK, 0, now, now - t->lock_at, p);
		r.h.ret = ret;
		r.a[0] = (__u64)lock;
		r.a[1] = t->lock_flags;
		r.owner = t->lock_owner;
		if (r.owner.tid)
			r.h.extra |= EX_PEER;
		else
			size -= sizeof r.owner;
		__builtin_memcpy(s->b, &r, sizeof r);
		size = put_stack(s, size, p, 0);
		emit(s->b, size & 1023, KP_K_LOCK_WAIT);
	}
	t->lock_at = 0;
	return 0;
}
