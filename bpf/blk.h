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

static __always_inline struct waiter *waiter_of(const struct bio *bio)
{
	__u64 key = bio ? (__u64)BPF_CORE_READ(bio, bi_io_vec, bv_page) : 0;

	return key ? bpf_map_lookup_elem(&waiters, &key) : NULL;
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

static __noinline int rq_begin(struct request *rq, bool account)
{
	struct task_struct *p = me();
	__u64 key = (__u64)rq;
	struct rq_state r = { .at = bpf_ktime_get_ns() };
	struct proc_count *c;
	struct task_state *t;
	struct waiter *w = NULL;
	__s64 all, own;

	r.sector = rq->__sector;
	r.bytes = rq->__data_len;
	r.kind = blk_kind(rq->cmd_flags, r.bytes);
	r.dev = dev_of_disk(rq->q->disk);
	r.kthread = !!(p->flags & PF_KTHREAD);
	peer(&r.owner, p);
	if (r.kthread && live.bio_owner && (w = waiter_of(rq->bio))) {
		r.owner = w->who;
		r.kthread = 0;
		r.want = w->want;
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
	if (cfg.count_io && !w && (c = count_of(p))) {
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
	return rq_begin(rq, true);
}

/* Where there is no block_io_start, or not for this request. */
SEC("tp_btf/block_rq_insert")
int BPF_PROG(block_rq_insert, struct request *rq)
{
	__u64 key = (__u64)rq;

	return bpf_map_lookup_elem(&rqs, &key) ? 0 : rq_begin(rq, true);
}

SEC("tp_btf/block_rq_issue")
int BPF_PROG(block_rq_issue, struct request *rq)
{
	__u64 key = (__u64)rq;
	struct rq_state *r = bpf_map_lookup_elem(&rqs, &key);

	if (!r) {
		rq_begin(rq, true);
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
