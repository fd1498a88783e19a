/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The page cache: which pages have left memory in whose context, and who had
 * to read them again. No row per page: sums per task, file and evictor.
 */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct page_key);
	__type(value, struct page_gone);
} gone SEC(".maps");

enum { GONE_SHIFT = 4, GONE_PAGES = 1 << GONE_SHIFT };	/* pages an entry */
enum { HOW_RECLAIM = 1, HOW_DROPPED = 2 };
enum { REFAULT_SPAN = 10000000 };	/* ns: one row for so long at most */

/* Why a page goes now: the reasons that somebody may have to answer for. Truncation is none. */
static __always_inline __u32 why_gone(struct task_struct *p)
{
	struct task_state *t;
	const struct file *f;
	struct pt_regs *regs;
	__u32 call, nr;
	__u64 now;

	if (p->flags & PF_MEMALLOC)
		return HOW_RECLAIM;
	if (p->flags & PF_KTHREAD || !(t = known_state_of(p)))
		return 0;
	call = call_nr(p);
	nr = info_of(call)->nr;
	if (nr == NR_fadvise64)
		return HOW_DROPPED;
	if (nr != NR_write)
		return 0;
	now = bpf_ktime_get_ns();
	if (now - t->drop_at > 1000000) {
		regs = (struct pt_regs *)bpf_task_pt_regs(p);
		f = file_at(p, sys_arg(regs, 0, call >= SYS_MAX));
		t->drop_yes = f && BPF_CORE_READ(f, f_inode, i_sb, s_magic) == PROC_SUPER_MAGIC;
		t->drop_at = now;
	}
	return t->drop_yes ? HOW_DROPPED : 0;
}

/* Which of the entry's pages the folio covers. */
static __always_inline __u16 part_of(__u64 entry, __u64 first, __u32 n)
{
	__u64 from = entry << GONE_SHIFT, lo = first > from ? first - from : 0;
	__u64 hi = first + n < from + GONE_PAGES ? first + n - from : GONE_PAGES;

	return (1u << hi) - (1u << lo);
}

static __noinline int remember_gone(const struct folio *folio, struct task_struct *p, __u32 how, __u32 n)
{
	struct page_gone *old, g = {};
	struct page_key key = {};
	struct inode *host = folio->mapping->host;
	__u64 first = folio->index, e = first >> GONE_SHIFT;

	key.ino = host->i_ino;
	key.dev = host->i_sb->s_dev;
	g.ts = bpf_ktime_get_ns();
	g.start = p->start_boottime;
	g.tid = p->pid;
	g.tgid = p->tgid;
	g.how = how;
	for (int i = 0; i < 33 && e << GONE_SHIFT < first + n; i++, e++) {
		key.index = e;
		g.mask = part_of(e, first, n);
		old = bpf_map_lookup_elem(&gone, &key);
		if (old)
			g.mask |= old->mask;
		bpf_map_update_elem(&gone, &key, &g, BPF_ANY);
	}
	return 0;
}

SEC("tp_btf/mm_filemap_delete_from_page_cache")
int BPF_PROG(mm_filemap_delete_from_page_cache, struct folio *folio)
{
	struct task_struct *p = me();
	__u32 n = folio_pages(folio), how;
	struct proc_count *c;

	if (live.bio_owner)
		forget_waiter(folio);
	how = why_gone(p);
	if (!how)
		return 0;
	if (cfg.count_mem && (c = count_of(p)))
		__sync_fetch_and_add(&c->evicted, n);
	if (cfg.refault)
		remember_gone(folio, p, how, n);
	return 0;
}

static __always_inline __u32 bits(__u32 v)
{
	v -= v >> 1 & 0x5555;
	v = (v & 0x3333) + (v >> 2 & 0x3333);
	v = (v + (v >> 4)) & 0x0f0f;
	return (v + (v >> 8)) & 0x1f;
}

/* Pages that are back: on the task's account, a row when it was another evictor or file before. */
static __noinline int refaulted(struct task_struct *p, struct task_state *t, struct page_gone *g, struct ev_file *f, __u32 pages)
{
	struct refault *rf = &t->rf;
	__u64 now = bpf_ktime_get_ns();

	if (t->pend & PEND_REFAULT && (rf->by.tid != g->tid || rf->by.start != g->start || rf->how != g->how ||
				       rf->file.ino != f->ino || rf->file.dev != f->dev || now - rf->begin > REFAULT_SPAN))
		write_refault(p, t, now);
	if (!(t->pend & PEND_REFAULT)) {
		t->pend |= PEND_REFAULT;
		rf->begin = now;
		rf->age = now - g->ts;
		rf->pages = 0;
		rf->how = g->how;
		rf->file = *f;
		rf->by.tid = g->tid;
		rf->by.tgid = g->tgid;
		rf->by.start = g->start;
	}
	rf->pages += pages;
	return 0;
}

static __noinline int find_gone(const struct folio *folio, struct task_struct *p, __u32 n)
{
	struct inode *host = folio->mapping->host;
	struct ev_file f = { .dev = host->i_sb->s_dev, .mode = host->i_mode, .ino = host->i_ino };
	struct page_key key = { .ino = f.ino, .dev = f.dev };
	__u64 first = folio->index, e = first >> GONE_SHIFT;
	struct page_gone *g;
	struct task_state *t;
	__u16 back;

	for (int i = 0; i < 33 && e << GONE_SHIFT < first + n; i++, e++) {
		key.index = e;
		g = bpf_map_lookup_elem(&gone, &key);
		if (!g || !(back = g->mask & part_of(e, first, n)))
			continue;
		if ((t = state_of(p)))
			refaulted(p, t, g, &f, bits(back));
		g->mask &= ~back;
		if (!g->mask)
			bpf_map_delete_elem(&gone, &key);
	}
	return 0;
}

SEC("tp_btf/mm_filemap_add_to_page_cache")
int BPF_PROG(mm_filemap_add_to_page_cache, struct folio *folio)
{
	struct task_struct *p = me();
	__u32 n = folio_pages(folio);
	struct proc_count *c;

	if (cfg.count_mem && (c = count_of(p)))
		__sync_fetch_and_add(&c->filled, n);
	if (cfg.refault)
		find_gone(folio, p, n);
	if (live.bio_owner)
		remember_waiter(folio, p);
	return 0;
}
