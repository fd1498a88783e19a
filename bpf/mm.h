/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* mm.*: faults, reclaim, the OOM killer. */

SEC("tp_btf/page_fault_user")
int BPF_PROG(page_fault_user, unsigned long addr, struct pt_regs *regs, unsigned long error)
{
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	__u64 now;

	if (!t)
		return 0;
	now = bpf_ktime_get_ns();
	if (t->pend & PEND_REFAULT)
		write_refault(p, t, now);
	t->pend = PEND_FAULT;
	t->fault_at = now;
	t->fault_addr = addr;
	t->fault_ip = regs_ip(regs);
	t->fault_err = error;
	return 0;
}

/* ---- reclaim ---- */

static __always_inline int reclaim_begin(int order, unsigned int gfp)
{
	struct task_state *t = state_of(me());

	if (t) {
		t->reclaim_at = bpf_ktime_get_ns();
		t->reclaim_order = order;
		t->reclaim_gfp = gfp;
	}
	return 0;
}

static __always_inline int reclaim_end(unsigned long pages, bool memcg)
{
	struct { struct ev_head h; __u64 a[4]; } r;
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	struct proc_count *c;
	__u64 now, began;

	if (cfg.count_mem && pages && (c = count_of(p)))
		__sync_fetch_and_add(&c->reclaimed, pages);
	if (!t || !t->reclaim_at)
		return 0;
	began = t->reclaim_at;
	t->reclaim_at = 0;
	if (!live.on || !wanted(p, t))
		return 0;
	now = bpf_ktime_get_ns();
	head(&r.h, KP_K_MM_RECLAIM, 4, 0, 0, now, now - began, p);
	r.a[0] = memcg;
	r.a[1] = pages;
	r.a[2] = t->reclaim_gfp;
	r.a[3] = t->reclaim_order;
	emit(&r, sizeof r, KP_K_MM_RECLAIM);
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int BPF_PROG(mm_vmscan_direct_reclaim_begin, int order, unsigned int gfp) { return reclaim_begin(order, gfp); }

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int BPF_PROG(mm_vmscan_direct_reclaim_end, unsigned long pages) { return reclaim_end(pages, false); }

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int BPF_PROG(mm_vmscan_memcg_reclaim_begin, int order, unsigned int gfp) { return reclaim_begin(order, gfp); }

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int BPF_PROG(mm_vmscan_memcg_reclaim_end, unsigned long pages) { return reclaim_end(pages, true); }

SEC("tp_btf/mm_vmscan_throttled")
int BPF_PROG(mm_vmscan_throttled, int nid, int timeout, int delayed, int why)
{
	struct { struct ev_head h; __u64 a[2]; } r;
	struct task_struct *p = me();

	if (!wanted_me(p))
		return 0;
	head(&r.h, KP_K_MM_THROTTLED, 2, 0, 0, bpf_ktime_get_ns(), delayed * 1000ull, p);
	r.a[0] = why;
	r.a[1] = timeout * 1000ull;
	emit(&r, sizeof r, KP_K_MM_THROTTLED);
	return 0;
}

SEC("tp_btf/mark_victim")
int BPF_PROG(mark_victim, struct task_struct *victim)
{
	struct { struct ev_head h; __u64 a[3]; struct ev_peer victim; struct ev_name name; } r;
	struct task_struct *p = me();
	struct mm_struct *mm;

	if (!live.on)
		return 0;	/* one of these is wanted whoever it is */
	__builtin_memset(&r, 0, sizeof r);
	head(&r.h, KP_K_MM_OOM, 3, EX_PEER | EX_NAME, 0, bpf_ktime_get_ns(), 0, p);
	if (!bpf_core_field_exists(((struct trace_event_raw_mark_victim *)0)->uid)) {
		r.victim.tid = r.victim.tgid = ctx[0];	/* before 6.9 there is the number alone */
	} else {
		mm = BPF_CORE_READ(victim, mm);
		r.a[0] = rss(mm, 1);
		r.a[1] = rss(mm, 0);
		r.a[2] = (__s64)BPF_CORE_READ(victim, signal, oom_score_adj);
		peer_read(&r.victim, victim);
		BPF_CORE_READ_STR_INTO(&r.name.comm, victim, comm);
	}
	emit(&r, sizeof r, KP_K_MM_OOM);
	return 0;
}

SEC("tp_btf/mm_vmscan_kswapd_wake")
int BPF_PROG(mm_vmscan_kswapd_wake, int nid, int zid, int order)
{
	struct task_state *t = state_of(me());

	if (t) {
		if (!t->kswapd_at)
			t->kswapd_at = bpf_ktime_get_ns();
		t->kswapd_nid = nid;
		t->kswapd_order = order;
	}
	return 0;
}

SEC("tp_btf/mm_vmscan_kswapd_sleep")
int BPF_PROG(mm_vmscan_kswapd_sleep, int nid)
{
	struct { struct ev_head h; __u64 a[2]; } r;
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	__u64 now = bpf_ktime_get_ns();

	if (!t || !t->kswapd_at)
		return 0;
	if (live.on && (t->want == WANT_YES || !any_filter())) {
		head(&r.h, KP_K_MM_KSWAPD, 2, 0, F_KERNEL, now, now - t->kswapd_at, p);
		r.a[0] = nid;
		r.a[1] = t->kswapd_order;
		emit(&r, sizeof r, KP_K_MM_KSWAPD);
	}
	t->kswapd_at = 0;
	return 0;
}

SEC("tp_btf/rss_stat")
int BPF_PROG(rss_stat, struct mm_struct *mm, int member)
{
	struct task_struct *p = me();
	struct proc_count *c;
	__u32 tgid;

	if (member != 1)
		return 0;
	if (mm == p->mm) {
		c = count_of(p);
	} else {	/* somebody else's memory, in reclaim: only of those that are known */
		tgid = BPF_CORE_READ(mm, owner, tgid);
		c = bpf_map_lookup_elem(&counts, &tgid);
	}
	if (c) {
		c->anon = rss(mm, 1);
		c->anon_seen = 1;
	}
	return 0;
}

SEC("tp_btf/writeback_dirty_folio")
int BPF_PROG(writeback_dirty_folio, struct folio *folio)
{
	struct proc_count *c = count_of(me());

	if (c)
		__sync_fetch_and_add(&c->dirtied, folio_pages(folio));
	return 0;
}
