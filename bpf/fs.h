/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* fs.*: throttled writers, journal commits, fsync. */

/*
 * The arguments changed in 6.15, and the trace event's fields with them. Two functions, since the verifier
 * refuses an index into them that the compiler has computed.
 */
static __noinline long dirty_now(__u64 *ctx, struct task_state *t)
{
	struct dirty_throttle_control *dtc = (void *)ctx[1];

	t->dirty = BPF_CORE_READ(dtc, dirty);
	t->dirty_limit = BPF_CORE_READ(dtc, limit);
	return ctx[6];
}

static __noinline long dirty_before(__u64 *ctx, struct task_state *t)
{
	t->dirty_limit = ctx[1];
	t->dirty = ctx[3];
	return ctx[10];
}

SEC("tp_btf/balance_dirty_pages")
int BPF_PROG(balance_dirty_pages, struct bdi_writeback *wb)
{
	struct task_state *t = state_of(me());
	long pause;

	if (!t)
		return 0;
	if (bpf_core_field_exists(((struct trace_event_raw_balance_dirty_pages *)0)->wb_setpoint))
		pause = dirty_now(ctx, t);
	else
		pause = dirty_before(ctx, t);
	if (pause <= 0)
		return 0;	/* it goes on at once */
	t->dirty_dev = BPF_CORE_READ(wb, bdi, owner, devt);
	t->dirty_at = bpf_ktime_get_ns();
	t->pend |= PEND_DIRTY;	/* the pause begins now: sched_switch sees its end */
	return 0;
}

struct rec_commit { struct ev_head h; __u64 a; struct ev_file dev; };

SEC("tp_btf/jbd2_start_commit")
int BPF_PROG(jbd2_start_commit, struct journal_s *j, struct transaction_s *tr)
{
	struct task_state *t = state_of(me());

	if (t)
		t->commit_at = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/jbd2_end_commit")
int BPF_PROG(jbd2_end_commit, struct journal_s *j, struct transaction_s *tr)
{
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	struct rec_commit r;
	__u64 now;

	if (!t || !t->commit_at)
		return 0;
	now = bpf_ktime_get_ns();
	if (live.on && now - t->commit_at >= cfg.min_dur) {
		head(&r.h, KP_K_FS_COMMIT, 1, EX_FILE, p->flags & PF_KTHREAD ? F_KERNEL : 0, now, now - t->commit_at, p);
		r.a = tr->t_tid;
		r.dev.dev = j->j_fs_dev->bd_dev;
		r.dev.mode = S_IFBLK;
		r.dev.ino = 0;
		emit(&r, sizeof r, KP_K_FS_COMMIT);
	}
	t->commit_at = 0;
	return 0;
}

SEC("tp_btf/ext4_sync_file_enter")
int BPF_PROG(ext4_sync_file_enter, struct file *f, int datasync)
{
	struct task_state *t = state_of(me());

	if (!t)
		return 0;
	t->sync_at = bpf_ktime_get_ns();
	t->sync_datasync = datasync;
	return 0;
}

SEC("tp_btf/ext4_sync_file_exit")
int BPF_PROG(ext4_sync_file_exit, struct inode *inode, int ret)
{
	struct { struct ev_head h; __u64 a; struct ev_file file; } r;
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	__u64 now, began;

	if (!t || !t->sync_at)
		return 0;
	now = bpf_ktime_get_ns();
	began = t->sync_at;
	t->sync_at = 0;
	if (!live.on || !wanted(p, t) || now - began < cfg.min_dur)
		return 0;
	head(&r.h, KP_K_FS_SYNC, 1, EX_FILE, 0, now, now - began, p);
	r.h.ret = ret;
	r.a = t->sync_datasync;
	r.file.ino = inode->i_ino;
	r.file.mode = inode->i_mode;
	r.file.dev = inode->i_sb->s_dev;
	emit(&r, sizeof r, KP_K_FS_SYNC);
	return 0;
}
