/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* blk.*: a row for each request when it is completed; its task is who submitted it, not who happens to issue it. */

struct rq_state { __u64 at, issued, sector; __u32 bytes, dev, kind, want, inflight, kthread; struct ev_peer owner; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct rq_state);
} rqs SEC(".maps");

/* Requests in flight per device and process; process 0: of all. */
struct flight_key { __u32 dev, tgid; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flight_key);
	__type(value, __s64);
} flights SEC(".maps");

/* Who waits for a page that is being read: the owner of a bio that its cgroup's limit has put off. */
struct waiter { __u64 at; struct ev_peer who; __u32 want, pad; };
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct waiter);
} waiters SEC(".maps");

enum { REQ_OP_READ = 0, REQ_OP_WRITE = 1, REQ_OP_FLUSH = 2 };

static __always_inline __s64 flight_add(__u32 dev, __u32 tgid, __s64 by)
{
	struct flight_key key = { dev, tgid };
	__s64 *n = bpf_map_lookup_elem(&flights, &key), one = 1;

	if (n)
		return __sync_fetch_and_add(n, by);
	if (by > 0)
		bpf_map_update_elem(&flights, &key, &one, BPF_ANY);
	return 0;
}

static __always_inline __u32 dev_of_disk(const struct gendisk *d)
{
	return (__u32)BPF_CORE_READ(d, major) << 20 | BPF_CORE_READ(d, first_minor);
}

static __noinline int remember_waiter(const struct folio *folio, struct task_struct *p)
{
	struct task_state *t = state_of(p);
	__u64 key = (__u64)folio;
	struct waiter w = { .at = bpf_ktime_get_ns() };

	peer(&w.who, p);
	w.want = t && wanted(p, t);
	bpf_map_update_elem(&waiters, &key, &w, BPF_ANY);
	return 0;
}

/* The page will be somebody else's, for whom kernel threads may read, too. */
static __always_inline void forget_waiter(const struct folio *folio)
{
	__u64 key = (__u64)folio;

	bpf_map_delete_elem(&waiters, &key);
}

static __always_inline bool is_iomap_dio(const struct bio *bio)
{
	return bpf_core_field_exists(((struct iomap_dio *)0)->submit.waiter) && &iomap_dio_bio_end_io &&
	       BPF_CORE_READ(bio, bi_end_io) == (void *)&iomap_dio_bio_end_io;
}

/*
 * Whose a bio is that a kernel thread submits, as the cgroup's I/O limit has let it go: who waits for its page,
 * or does direct I/O with it. Nothing tells when it was put off: not later than its owner went to sleep.
 */
static __noinline int waiter_of(const struct bio *bio, struct waiter *w)
{
	bool reads = (BPF_CORE_READ(bio, bi_opf) & 0xff) == REQ_OP_READ;	/* nobody waits for what is written back */
	__u64 key = reads ? (__u64)BPF_CORE_READ(bio, bi_io_vec, bv_page) : 0;
	struct waiter *known = key ? bpf_map_lookup_elem(&waiters, &key) : NULL;
	const struct iomap_dio *dio;
	struct task_struct *p;
	__u64 *at;

	if (known) {
		*w = *known;
		return true;
	}
	if (!is_iomap_dio(bio))
		return false;
	dio = BPF_CORE_READ(bio, bi_private);
	p = BPF_CORE_READ(dio, submit.waiter);
	if (!p)
		return false;
	peer_read(&w->who, p);
	at = bpf_map_lookup_elem(&sleepers, &w->who.tid);
	w->at = at && BPF_CORE_READ(p, __state) ? *at : 0;
	w->want = !cfg.filter_comm && !cfg.filter_cgroup && (!cfg.filter_pid || bpf_map_lookup_elem(&pids, &w->who.tgid));
	return true;
}

static __always_inline __u32 blk_kind(__u32 op, __u32 bytes)
{
	switch (op & 0xff) {
	case REQ_OP_READ: return KP_K_BLK_READ;
	case REQ_OP_WRITE: return bytes ? KP_K_BLK_WRITE : KP_K_BLK_FLUSH;
	case REQ_OP_FLUSH: return KP_K_BLK_FLUSH;
	}
	return KP_K_BLK_DISCARD;
}

static __noinline int rq_begin(struct request *rq)
{
	struct task_struct *p = me();
	__u64 key = (__u64)rq;
	struct rq_state r = { .at = bpf_ktime_get_ns() };
	struct proc_count *c;
	struct task_state *t;
	struct waiter w;
	bool put_off = false;
	__s64 all, own;

	r.sector = rq->__sector;
	r.bytes = rq->__data_len;
	r.kind = blk_kind(rq->cmd_flags, r.bytes);
	r.dev = dev_of_disk(rq->q->disk);
	r.kthread = !!(p->flags & PF_KTHREAD);
	peer(&r.owner, p);
	put_off = r.kthread && live.bio_owner && rq->bio && waiter_of(rq->bio, &w);
	if (put_off) {
		r.owner = w.who;
		r.kthread = w.who.tid == p->pid;
		r.want = w.want;
	} else {
		t = state_of(p);
		r.want = t && wanted(p, t);
	}
	all = flight_add(r.dev, 0, 1);
	own = flight_add(r.dev, r.owner.tgid, 1);
	r.inflight = all > own ? all - own : 0;
	if (bpf_map_update_elem(&rqs, &key, &r, BPF_ANY)) {
		flight_add(r.dev, 0, -1);
		flight_add(r.dev, r.owner.tgid, -1);
		if (live.on && r.want)
			count_one(&drops, r.kind);
	}
	if (cfg.count_io && !put_off && (c = count_of(p))) {
		if (r.kind == KP_K_BLK_READ)
			__sync_fetch_and_add(&c->rbytes, r.bytes);
		else if (r.kind == KP_K_BLK_WRITE)
			__sync_fetch_and_add(&c->wbytes, r.bytes);
	}
	return 0;
}

static __always_inline void rq_forget(__u64 key, struct rq_state *r)
{
	flight_add(r->dev, 0, -1);
	flight_add(r->dev, r->owner.tgid, -1);
	bpf_map_delete_elem(&rqs, &key);
}

SEC("tp_btf/block_io_start")
int BPF_PROG(block_io_start, struct request *rq)
{
	return rq_begin(rq);
}

/* Where there is no block_io_start, or not for this request. */
SEC("tp_btf/block_rq_insert")
int BPF_PROG(block_rq_insert, struct request *rq)
{
	__u64 key = (__u64)rq;

	return bpf_map_lookup_elem(&rqs, &key) ? 0 : rq_begin(rq);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_rq_issue, struct request *rq)
{
	__u64 key = (__u64)rq;
	struct rq_state *r = bpf_map_lookup_elem(&rqs, &key);

	if (!r) {
		rq_begin(rq);
		r = bpf_map_lookup_elem(&rqs, &key);
	}
	if (!r)
		return 0;
	r->issued = bpf_ktime_get_ns();
	r->bytes = rq->__data_len;	/* it may have been merged with others since */
	r->sector = rq->__sector;
	return 0;
}

SEC("tp_btf/block_rq_requeue")
int BPF_PROG(block_rq_requeue, struct request *rq)
{
	__u64 key = (__u64)rq;
	struct rq_state *r = bpf_map_lookup_elem(&rqs, &key);

	if (r)
		r->issued = 0;
	return 0;
}

SEC("tp_btf/block_rq_merge")
int BPF_PROG(block_rq_merge, struct request *rq)
{
	__u64 key = (__u64)rq;
	struct rq_state *r = bpf_map_lookup_elem(&rqs, &key);

	if (r)
		rq_forget(key, r);
	return 0;
}

/* blk_status_t as errno; what is not here is an I/O error. */
static __always_inline int blk_errno(__u8 status)
{
	switch (status) {
	case 0: return 0;
	case 1: return -95;	/* EOPNOTSUPP */
	case 2: return -110;	/* ETIMEDOUT */
	case 3: return -28;	/* ENOSPC */
	case 4: return -67;	/* ENOLINK */
	case 5: return -121;	/* EREMOTEIO */
	case 6: return -52;	/* EBADE */
	case 7: return -61;	/* ENODATA */
	case 8: return -84;	/* EILSEQ */
	case 9: return -12;	/* ENOMEM */
	}
	return -EIO;
}

SEC("tp_btf/block_rq_complete")
int BPF_PROG(block_rq_complete, struct request *rq, __u8 status, unsigned int bytes)
{
	struct { struct ev_head h; __u64 a[5]; struct ev_file dev; } e;
	__u64 key = (__u64)rq, now;
	struct rq_state *r = bpf_map_lookup_elem(&rqs, &key);

	if (!r)
		return 0;
	if (!status && bytes < rq->__data_len)
		return 0;	/* a part of it */
	now = bpf_ktime_get_ns();
	if (live.on && r->want && now - r->at >= cfg.min_dur) {
		head(&e.h, r->kind, 5, EX_FILE, r->kthread ? F_KERNEL : 0, now, now - r->at, me());
		e.h.tid = r->owner.tid;
		e.h.tgid = r->owner.tgid;
		e.h.start = r->owner.start;
		e.h.ret = blk_errno(status);
		e.a[0] = r->sector;
		e.a[1] = r->bytes;
		e.a[2] = r->issued ? r->issued - r->at : now - r->at;
		e.a[3] = r->issued ? now - r->issued : 0;
		e.a[4] = r->inflight;
		e.dev.dev = r->dev;
		e.dev.mode = S_IFBLK;
		e.dev.ino = 0;
		emit(&e, sizeof e, r->kind);
	}
	rq_forget(key, r);
	return 0;
}

/* ---- bios that are held back before they become requests ---- */

static __noinline int write_bio(const struct bio *bio, struct ev_peer *who, __u64 now, __u64 since)
{
	struct { struct ev_head h; __u64 a[3]; struct ev_file dev; } e;

	head(&e.h, KP_K_BLK_BIO, 3, EX_FILE, 0, now, now - since, me());
	e.h.tid = who->tid;
	e.h.tgid = who->tgid;
	e.h.start = who->start;
	e.a[0] = BPF_CORE_READ(bio, bi_iter.bi_sector);
	e.a[1] = BPF_CORE_READ(bio, bi_iter.bi_size);
	e.a[2] = BPF_CORE_READ(bio, bi_opf) & 0xff;
	e.dev.dev = dev_of_disk(BPF_CORE_READ(bio, bi_bdev, bd_disk));
	e.dev.mode = S_IFBLK;
	e.dev.ino = 0;
	emit(&e, sizeof e, KP_K_BLK_BIO);
	return 0;
}

/* Behind the cgroup's limit: a bio that was put off comes here from a kernel thread. */
SEC("tp_btf/block_bio_queue")
int BPF_PROG(block_bio_queue, struct bio *bio)
{
	struct task_struct *p = me();
	struct task_state *t = state_of(p);
	__u64 now = bpf_ktime_get_ns();
	struct waiter w;

	if (!t)
		return 0;
	t->bio = (__u64)bio;
	t->bio_at = now;
	if (!live.on || !(p->flags & PF_KTHREAD))
		return 0;
	if (!live.bio_owner) {	/* from now on it is worth while to remember who waits */
		live.bio_owner = (bio->bi_opf & 0xff) == REQ_OP_READ || is_iomap_dio(bio);
		return 0;
	}
	if (!waiter_of(bio, &w) || !w.want || !w.at)
		return 0;
	if (now - w.at >= cfg.blk_wait_min)
		write_bio(bio, &w.who, now, w.at);
	return 0;
}

/* It has got its request: between the two the queue was full, or writeback throttling or a cost model held it. */
SEC("tp_btf/block_getrq")
int BPF_PROG(block_getrq, struct bio *bio)
{
	struct task_struct *p = me();
	struct task_state *t = known_state_of(p);
	struct ev_peer self;
	__u64 now;

	if (!t || t->bio != (__u64)bio)
		return 0;
	t->bio = 0;
	now = bpf_ktime_get_ns();
	if (!live.on || now - t->bio_at < cfg.blk_wait_min || !wanted(p, t))
		return 0;
	peer(&self, p);
	write_bio(bio, &self, now, t->bio_at);
	return 0;
}
