/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages that were waited for: read for the first time, or again; and memory that had to be freed first. */
#include <errno.h>

#include <kp/kinds.h>

#include "walk.h"

#define BEFORE (20 * KC_MS)	/* pages enter the cache right before the wait, but the thread may have been queued between */

static int note(struct kc_walk *k, struct kc_fault **v, uint32_t *n, uint32_t *cap, const struct kc_ev *ev, uint64_t ns)
{
	if (*n == *cap) {
		struct kc_fault *f = kc_grow(*v, cap, sizeof(*f));

		if (!f)
			return k->err = -ENOMEM;
		*v = f;
	}
	(*v)[(*n)++] = (struct kc_fault){ ev, ns };
	return 0;
}

/* When the sleep before this one ended: what came into the cache since then belongs to this one. */
static uint64_t since_when(struct kc_walk *k, const struct kc_wait *t)
{
	const struct kc_thread *th = &k->w->th[t->th];
	const struct kc_piece *p = t->p;
	uint64_t least = p->from > BEFORE ? p->from - BEFORE : 0;

	while (p > th->piece && p[-1].state != KC_BLOCKED && p[-1].from > least)
		p--;
	if (p > th->piece && p[-1].state == KC_BLOCKED && p[-1].to > least)
		return p[-1].to;
	return least;
}

/* The operation of which the wait is a part: what was read again is told when that ends, with how long it took. */
struct op { uint64_t since, until; };

static struct op operation(struct kc_walk *k, const struct kc_wait *t)
{
	struct op o = { since_when(k, t), t->p->to };
	const struct kc_ev *e;

	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[t->th].mem, t->p->from, t->p->to, &i)); )
		if (e->kind == KP_K_MM_REFAULT && e->dur) {
			o.since = kc_start(e) < o.since ? kc_start(e) : o.since;
			o.until = e->t > o.until ? e->t : o.until;
		}
	return o;
}

/* A device may stand on another, and each has a request for the same page: the one that read most counts. */
static uint64_t pages_read(struct kc_walk *k, const struct kc_wait *t, struct op o)
{
	struct { uint32_t dev; uint64_t bytes; } of[8];
	uint32_t n = 0, d;
	const struct kc_ev *e;
	uint64_t most = 0;

	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[t->th].blk, o.since, o.until, &i)); ) {
		if (e->kind != KP_K_BLK_READ || kc_start(e) < o.since || !e->obj)
			continue;
		for (d = 0; d < n && of[d].dev != e->obj->dev; d++)
			;
		if (d == 8)
			continue;
		if (d == n) {
			of[n].dev = e->obj->dev;
			of[n++].bytes = 0;
		}
		of[d].bytes += e->a[1];
		if (of[d].bytes > most)
			most = of[d].bytes;
	}
	return most / 4096;
}

static bool belongs(const struct kc_wait *t, struct op o, const struct kc_ev *e, const struct kp_obj *file)
{
	if (e->kind != KP_K_MM_REFAULT || (file && (!e->obj || e->obj->id != file->id || e->obj->dev != file->dev)))
		return false;
	return e->dur ? kc_start(e) < t->p->to && e->t > t->p->from : e->t >= o.since && e->t <= t->p->to;
}

/* Pages that the operation cannot do without; what is read ahead behind them is read, too, but was not waited for. 0: unknown. */
static uint64_t pages_asked(const struct kc_wait *t)
{
	if (t->fault && !t->sys)
		return 1;
	if (t->sys && (t->sys->kind == KP_K_SYS_read || t->sys->kind == KP_K_SYS_pread64 || t->sys->kind == KP_K_SYS_write ||
		       t->sys->kind == KP_K_SYS_pwrite64))
		return (t->sys->a[2] + 4095) / 4096;
	return 0;
}

/* Its own refaults; where it has none, those of whoever was reading the same file for it (readahead of another). */
static uint64_t refaults(struct kc_walk *k, const struct kc_wait *t, struct op o, bool own, uint64_t ns, const struct kc_ev **ev)
{
	const struct kc_list *l = own ? &k->w->th[t->th].mem : &k->w->faults;
	const struct kp_obj *file = t->sys ? t->sys->obj : NULL;
	const struct kc_ev *e;
	uint64_t pages = 0;

	if (!own && (!file || file->type != KP_OBJ_FILE))
		return 0;
	for (int pass = 0; pass < (ns ? 2 : 1); pass++)
		for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, l, o.since, o.until, &i)); ) {
			if (!belongs(t, o, e, own ? NULL : file))
				continue;
			*ev = e;
			if (!pass)
				pages += e->a[0];
			else if (pages && note(k, &k->fault, &k->nfault, &k->cap_fault, e, ns * e->a[0] / pages))
				return 0;
		}
	return pages;
}

static void describe(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kp_obj *file = t->sys && t->sys->obj && t->sys->obj->type == KP_OBJ_FILE ? t->sys->obj :
				    v->ev && v->ev->obj && v->ev->obj->type == KP_OBJ_FILE ? v->ev->obj : NULL;

	if (file)
		v->obj = file;
	if (file && file->name && file->name->len)
		v->what = kc_what(k, "%s %.*s", v->kind == KP_C_MEMORY_REFAULT ? "reads again" : t->fault ? "faults in" : "reads",
				  (int)file->name->len, file->name->p);
	else
		v->what = kc_what(k, t->fault ? "page fault" : "reads");
}

int kc_cause_page(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	struct op o = operation(k, t);
	uint64_t read = pages_read(k, t, o), again;
	const struct kc_ev *ev = NULL;
	bool own = true;

	again = refaults(k, t, o, true, 0, &ev);
	if (!again && !read) {
		own = false;
		o.since = t->p->from > KC_SEC ? t->p->from - KC_SEC : 0;
		again = refaults(k, t, o, false, 0, &ev);
	}
	kc_leaf(v, t->fault && !t->sys ? KP_C_MEMORY_FAULT : KP_C_DISK_READ, true);
	if (own && pages_asked(t) && read > pages_asked(t))
		read = pages_asked(t);
	if (again) {
		double part = again >= read ? 1 : (double)again / (double)read;

		/* the page that was asked for decides where nearly all or nearly none were there before */
		part = part > 0.9 ? 1 : part < 0.1 ? 0 : part;
		v->part = part;
		if (part > 0) {
			v->kind = KP_C_MEMORY_REFAULT;
			v->ev = ev;
			v->says = "pages that had been in memory were read again";
			refaults(k, t, o, own, (uint64_t)(part * (double)(t->to - t->from)), &ev);
		}
	}
	if (v->kind != KP_C_MEMORY_REFAULT && !kc_throttled(k, t, v)) {
		kc_disk_others(k, t, v);
		if (v->nculprit)	/* it is the disk that is slow, not the fault */
			v->kind = v->rest = KP_C_DISK_READ;
	}
	describe(k, t, v);
	return 1;
}

int kc_cause_reclaim(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	const struct kc_ev *e, *best = NULL;
	uint64_t ns = 0;

	if (t->class == KC_W_SWAP) {
		kc_leaf(v, KP_C_MEMORY_SWAP, true);
		kc_disk_others(k, t, v);
		v->what = kc_what(k, "reads back from swap");
		return 1;
	}
	for (uint32_t i = KC_NONE; (e = kc_overlap(k->w, &k->w->th[t->th].mem, t->from, t->to, &i)); ) {
		uint64_t n = kc_overlap_ns(kc_start(e), e->t, t->from, t->to);

		if ((e->kind == KP_K_MM_RECLAIM || e->kind == KP_K_MM_THROTTLED) && (n > ns || (n == ns && e->kind == KP_K_MM_RECLAIM))) {
			ns = n;
			best = e;
		}
	}
	kc_leaf(v, t->class == KC_W_OOM ? KP_C_MEMORY_OOM : KP_C_MEMORY_RECLAIM, true);
	v->ev = best ? best : t->wake;
	v->says = "had to free memory itself";
	v->what = kc_what(k, "frees memory");
	if (v->kind == KP_C_MEMORY_RECLAIM && v->ev)
		note(k, &k->recl, &k->nrecl, &k->cap_recl, v->ev, t->to - t->from);
	return 1;
}
