/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices: own requests, and who else had requests in flight that ours had to share the device with. */
#include <kp/kinds.h>

#include "walk.h"

#define MATTERS 2	/* others are to blame if on average at least 1 / MATTERS of a request of theirs was in flight */

static bool is_request(uint16_t kind)
{
	return kind >= KP_K_BLK_READ && kind <= KP_K_BLK_DISCARD;
}

/* The request that the wait was for: own, and the one of the wait's end; else the longest that overlaps. */
static const struct kc_ev *own_request(struct kc_walk *k, const struct kc_wait *t)
{
	const struct kc_ev *e, *best = NULL;
	uint64_t most = 0;

	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[t->th].blk, t->from, t->to, &i)); ) {
		uint64_t ns = kc_overlap_ns(kc_start(e), e->t, t->from, t->to);

		if (is_request(e->kind) && ns > most) {
			most = ns;
			best = e;
		}
	}
	return best;
}

/* Requests that the kernel made on the thread's behalf (journal, writeback): done when the thread was woken. */
static const struct kc_ev *on_behalf(struct kc_walk *k, const struct kc_wait *t)
{
	const struct kc_ev *e, *best = NULL;
	uint64_t most = (t->to - t->from) / 4;

	for (uint32_t d = 0; d < k->w->ndev; d++)
		for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->dev[d].io, t->from, t->to, &i)); ) {
			uint64_t ns = kc_overlap_ns(kc_start(e), e->t, t->from, t->to);

			if (is_request(e->kind) && ns > most && (e->th == KC_NONE || kc_is_kthread(k->w, e->th))) {
				most = ns;
				best = e;
			}
		}
	return best;
}

static const struct kc_dev *dev_of(const struct kp_world *w, const struct kc_ev *e, uint32_t host)
{
	for (uint32_t d = 0; e && e->obj && d < w->ndev; d++)
		if (w->dev[d].host == host && w->dev[d].dev == e->obj->dev)
			return &w->dev[d];
	return NULL;
}

/* Weight: the time that each of others' requests was in flight with ours. Ours keeps its own part of the blame. */
static void share_device(struct kc_walk *k, const struct kc_wait *t, const struct kc_ev *r, struct kc_verdict *v)
{
	const struct kc_dev *d = dev_of(k->w, r, k->w->th[t->th].host);
	uint64_t a = kc_start(r) > t->from ? kc_start(r) : t->from, b = r->t < t->to ? r->t : t->to, others = 0;
	const struct kc_ev *e;

	if (!d || b <= a)
		return;
	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &d->io, a, b, &i)); ) {
		uint64_t ns = kc_overlap_ns(kc_start(e), e->t, a, b);

		if (e == r || !is_request(e->kind) || e->th == KC_NONE || kc_same_proc(k->w, e->th, t->th) ||
		    kc_is_kthread(k->w, e->th))
			continue;
		others += ns;
		kc_accuse(v, e->th, ns, "had requests in flight at the same device");
	}
	if (others < (b - a) / MATTERS)
		v->nculprit = 0;
	else
		kc_accuse(v, t->th, b - a, "its own request");
}

void kc_disk_others(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_ev *r = own_request(k, t);

	if (!r)
		r = on_behalf(k, t);
	if (!r)
		return;
	v->ev = r;
	v->says = "the request that was waited for";
	v->obj = r->obj;
	share_device(k, t, r, v);
}

/*
 * A bio that the wait was for: it went on its way before the wait was over, and nobody can have waited for it much
 * earlier. Others are of an earlier owner of the same page.
 */
static bool waited_for(const struct kc_wait *t, const struct kc_ev *e)
{
	return e->kind == KP_K_BLK_BIO && e->t <= t->p->to && kc_start(e) + KC_MS >= t->p->from;
}

/* Held back by its group's I/O limit before it became a request at all: who else used up the limit? */
bool kc_throttled(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kp_str *cg = kc_cgroup(k->w, t->th, KP_CG_BLKIO);
	const struct kc_ev *e, *bio = NULL, *r = own_request(k, t);
	uint64_t held = 0;

	/* it was a request all the time: what was held back is that of a device below */
	if (r && kc_overlap_ns(kc_start(r), r->t, t->from, t->to) >= (t->to - t->from) / 2)
		return false;
	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[t->th].blk, t->from, t->to, &i)); )
		if (waited_for(t, e)) {
			uint64_t ns = kc_overlap_ns(kc_start(e), e->t, t->from, t->to);

			if (ns > held) {
				held = ns;
				bio = e;
			}
		}
	if (!bio || held < (t->to - t->from) / 2)
		return false;
	kc_leaf(v, KP_C_DISK_THROTTLED, true);
	v->ev = bio;
	v->says = "the I/O was held back before it became a request";
	v->obj = bio->obj;
	for (uint32_t d = 0; d < k->w->ndev; d++) {
		if (bio->obj && k->w->dev[d].dev != bio->obj->dev)
			continue;
		for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->dev[d].io, t->from, t->to, &i)); )
			if (e->kind == KP_K_BLK_BIO && e->th != KC_NONE && !kc_same_proc(k->w, e->th, t->th) &&
			    kc_cgroup(k->w, e->th, KP_CG_BLKIO) == cg)
				kc_accuse(v, e->th, kc_overlap_ns(kc_start(e), e->t, t->from, t->to),
					  "used the same group's I/O limit");
	}
	return true;
}

static uint16_t kind_of(struct kc_walk *k, const struct kc_wait *t, const struct kc_ev *r)
{
	if (t->class == KC_W_SYNC)
		return KP_C_DISK_SYNC;
	if (r)
		return r->kind == KP_K_BLK_READ ? KP_C_DISK_READ : r->kind == KP_K_BLK_FLUSH ? KP_C_DISK_SYNC : KP_C_DISK_WRITE;
	if (!t->sys)
		return KP_C_DISK_READ;
	switch (t->sys->kind) {
	case KP_K_SYS_write: case KP_K_SYS_pwrite64: case KP_K_SYS_writev: case KP_K_SYS_pwritev: case KP_K_SYS_pwritev2:
	case KP_K_SYS_unlink: case KP_K_SYS_unlinkat: case KP_K_SYS_ftruncate: case KP_K_SYS_fallocate:
		return KP_C_DISK_WRITE;
	}
	return KP_C_DISK_READ;
}

static const char *verb(uint16_t kind)
{
	return kind == KP_C_DISK_SYNC ? "syncs" : kind == KP_C_DISK_WRITE ? "writes" : "reads";
}

int kc_cause_disk(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	uint16_t kind = kind_of(k, t, own_request(k, t));
	const struct kp_obj *file = t->sys ? t->sys->obj : NULL;

	kc_leaf(v, kind, true);
	if (!kc_throttled(k, t, v))
		kc_disk_others(k, t, v);
	if (v->kind == KP_C_DISK_SYNC && file)
		v->obj = file;
	if (file && file->type == KP_OBJ_FILE && file->name)
		v->what = kc_what(k, "%s %.*s", verb(kind), (int)file->name->len, file->name->p);
	else if (v->obj && v->obj->name)
		v->what = kc_what(k, "%s %.*s", verb(kind), (int)v->obj->name->len, v->obj->name->p);
	else
		v->what = kc_what(k, "%s", verb(kind));
	return 1;
}

/* Whoever made the pages dirty that had to be written first: the wait is theirs by the number of pages. */
static void blame_dirty(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	uint64_t since = t->from > 10 * KC_SEC ? t->from - 10 * KC_SEC : 0;

	for (uint32_t i = kc_list_from(k->w, &k->w->count, since); i < k->w->count.n; i++) {
		const struct kc_ev *e = &k->w->ev[k->w->count.v[i]];

		if (e->t > t->to)
			break;
		if (e->th != KC_NONE && e->a[4] && !kc_is_kthread(k->w, e->th))
			kc_accuse(v, e->th, e->a[4], kc_same_proc(k->w, e->th, t->th) ? "made the pages dirty itself" :
				  "made pages dirty in the 10 s before");
	}
	kc_scale(v, t->to - t->from);
}

int kc_cause_fs(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	kc_leaf(v, t->class == KC_W_DIRTY ? KP_C_FS_WRITEBACK : KP_C_FS_JOURNAL, true);
	v->what = kc_what(k, t->class == KC_W_DIRTY ? "paused: too much is dirty" : "waits for the journal");
	if (t->class == KC_W_DIRTY) {
		blame_dirty(k, t, v);
		v->ev = t->wake;
		v->says = "asleep in balance_dirty_pages";
		return 1;
	}
	/* the journal writes for all: whose requests were in its way */
	kc_disk_others(k, t, v);
	if (!v->ev) {
		v->ev = t->wake;
		v->says = "asleep in the journal";
	}
	return 1;
}
