/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Counters per process, for what is too frequent for rows. */

static __always_inline struct proc_count *count_of(struct task_struct *p)
{
	struct proc_count *c, fresh = {};
	__u32 tgid = p->tgid;

	if (!tgid)
		return NULL;
	c = bpf_map_lookup_elem(&counts, &tgid);
	fresh.start = p->group_leader->start_boottime;
	if (c && c->start == fresh.start)
		return c;
	bpf_map_update_elem(&counts, &tgid, &fresh, BPF_ANY);	/* new, or the number is another process' now */
	return bpf_map_lookup_elem(&counts, &tgid);
}

static __noinline int flush_cpu(struct task_struct *p, struct task_state *t)
{
	struct proc_count *c;
	__u64 major = p->maj_flt;

	if (!cfg.count_io && !cfg.count_mem)
		return 0;
	if ((c = count_of(p))) {
		__sync_fetch_and_add(&c->cpu, t->cpu_ns);
		__sync_fetch_and_add(&c->major, major - t->maj_seen);
	}
	t->cpu_ns = 0;
	t->maj_seen = major;
	return 0;
}

/* Pages of one sort that the process has: 0 file, 1 anonymous. */
static __always_inline __s64 rss(struct mm_struct *mm, int sort)
{
	__s64 n;

	if (bpf_core_type_exists(struct mm_rss_stat))
		n = sort ? BPF_CORE_READ((struct mm_struct___old *)mm, rss_stat.count[1].counter)
			 : BPF_CORE_READ((struct mm_struct___old *)mm, rss_stat.count[0].counter);
	else
		n = sort ? BPF_CORE_READ(mm, rss_stat[1].count) : BPF_CORE_READ(mm, rss_stat[0].count);
	return n < 0 ? 0 : n;
}

static __always_inline __u64 folio_flags(const struct folio *f)
{
	if (bpf_core_field_exists(((struct folio___memdesc *)0)->flags.f))
		return BPF_CORE_READ((const struct folio___memdesc *)f, flags.f);
	return BPF_CORE_READ(f, flags);
}

static __always_inline __u32 folio_pages(const struct folio *f)
{
	__u32 order;

	if (!(folio_flags(f) >> bpf_core_enum_value(enum pageflags, PG_head) & 1))
		return 1;
	order = bpf_core_field_exists(((struct folio___order *)0)->_folio_order) ?
		BPF_CORE_READ((const struct folio___order *)f, _folio_order) : BPF_CORE_READ(f, _flags_1) & 0xff;
	return order < 10 ? 1u << order : 1;
}
