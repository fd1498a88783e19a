/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes the rows of a target's window in, each once, to where the walk will look for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kp/proto.h>

#include "world.h"

#define MEM_LOOKBACK (60 * KC_SEC)	/* how long ago what made memory scarce may have been */
#define DETAIL_BEFORE (1 * KC_SEC)	/* the state of threads at the start comes from rows before it */
#define LATE_MIN (1 * KC_SEC)		/* answers that come after the caller gave up */
#define LATE_MAX (30 * KC_SEC)
#define WALL_SLACK (5 * KC_SEC)		/* wall clocks of several hosts, and steps of them */
#define MAX_EVENTS 6000000u		/* 1 GB: more is a window that nobody can explain */
#define NO_SLEEP 2000u			/* ns: a call this short did not sleep */

/* Where a boot's monotonic clock stands on the one line of all sources. */
static int64_t place_of(const struct kp_source *s)
{
	return (int64_t)((uint64_t)s->shift + (s->base ? (uint64_t)s->base : s->real0 - s->mono0));
}

int64_t kp_unify(const struct kp_header *h, uint32_t source)
{
	const struct kp_source *s = &h->sources[source], *z = &h->sources[0];

	/* sessions on one boot share its clock */
	if (!source || kc_host_of(h, source) == 0)
		return (int64_t)((uint64_t)s->shift - (uint64_t)z->shift);
	return place_of(s) - place_of(z);
}

int kp_world_new(struct kp_world **out, struct kp_pool *pool, const struct kp_target *t)
{
	struct kp_world *w = calloc(1, sizeof(*w));
	uint64_t dur = t->end - t->start, late = dur < LATE_MIN ? LATE_MIN : dur > LATE_MAX ? LATE_MAX : dur;

	if (!w)
		return -ENOMEM;
	w->pool = pool;
	w->target = *t;
	w->from = t->start > DETAIL_BEFORE ? t->start - DETAIL_BEFORE : 0;
	w->to = t->end + late;
	w->mem_from = t->start > MEM_LOOKBACK ? t->start - MEM_LOOKBACK : 0;
	w->sorted = true;
	w->first = UINT64_MAX;
	*out = w;
	return 0;
}

void kp_world_window(const struct kp_world *w, uint64_t *since, uint64_t *until)
{
	*since = w->mem_from;
	*until = w->to;
}

void kp_world_limits(const struct kp_world *w, const struct kp_header *h, const struct kp_reader *r, struct kp_read_opts *ro)
{
	bool one_clock = true;

	for (uint32_t i = 1; i < h->nsources; i++)
		one_clock = one_clock && !kp_unify(h, i);
	if (one_clock) {
		ro->since = w->mem_from;
		ro->until = w->to;
		return;
	}
	ro->since_wall = kp_reader_wall(r, 0, w->mem_from) - WALL_SLACK;
	ro->until_wall = kp_reader_wall(r, 0, w->to) + WALL_SLACK;
}

static void list_free(struct kc_list *l)
{
	free(l->v);
	l->v = NULL;
}

void kp_world_free(struct kp_world *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->nth; i++) {
		struct kc_thread *t = &w->th[i];

		list_free(&t->sched);
		list_free(&t->sys);
		list_free(&t->mem);
		list_free(&t->blk);
		list_free(&t->msg);
		free(t->piece);
	}
	for (uint32_t i = 0; i < w->nconn; i++) {
		for (int s = 0; s < 2; s++) {
			list_free(&w->conn[i].send[s]);
			list_free(&w->conn[i].recv[s]);
		}
		list_free(&w->conn[i].other);
	}
	for (uint32_t i = 0; i < w->ndev; i++)
		list_free(&w->dev[i].io);
	for (uint32_t i = 0; i < w->ncpu; i++)
		list_free(&w->cpu[i]);
	list_free(&w->count);
	list_free(&w->keys);
	list_free(&w->cg);
	list_free(&w->faults);
	list_free(&w->reclaim);
	list_free(&w->sig);
	list_free(&w->oom);
	free(w->ev);
	free(w->th);
	free(w->th_hash);
	free(w->tp_key);
	free(w->tp_val);
	free(w->conn);
	free(w->conn_hash);
	free(w->dev);
	free(w->cpu);
	free(w);
}

/* What memory blame needs from long before the target; the rest is wanted in the detail window only. */
static bool is_history(uint16_t kind)
{
	switch (kind) {
	case KP_K_COUNT_MEM: case KP_K_KEY_TASK: case KP_K_CG_LIMIT: case KP_K_CG_CPU: case KP_K_MM_REFAULT:
	case KP_K_MM_RECLAIM:
		return true;
	}
	return false;
}

static int add_sched(struct kp_world *w, const struct kc_ev *e, uint32_t i, uint32_t host)
{
	uint32_t slot = host * 4096 + (e->cpu & 4095);
	int rc = e->th != KC_NONE ? kc_list_add(&w->th[e->th].sched, i, e->dur) : 0;

	if (rc || e->kind != KP_K_SCHED_SWITCH)
		return rc;
	if (e->pth != KC_NONE && e->pth != e->th) {
		rc = kc_list_add(&w->th[e->pth].sched, i, e->dur);
		if (rc)
			return rc;
	}
	if (slot >= w->ncpu) {
		uint32_t n = (slot | 15) + 1;
		struct kc_list *l = reallocarray(w->cpu, n, sizeof(*l));

		if (!l)
			return -ENOMEM;
		memset(l + w->ncpu, 0, (n - w->ncpu) * sizeof(*l));
		w->cpu = l;
		w->ncpu = n;
	}
	return kc_list_add(&w->cpu[slot], i, e->dur);
}

static int add_blk(struct kp_world *w, const struct kc_ev *e, uint32_t i, uint32_t host)
{
	struct kc_dev *d = NULL;
	int rc = e->th != KC_NONE ? kc_list_add(&w->th[e->th].blk, i, e->dur) : 0;

	if (rc || !e->obj)
		return rc;
	for (uint32_t k = 0; k < w->ndev && !d; k++)
		if (w->dev[k].host == host && w->dev[k].dev == e->obj->dev)
			d = &w->dev[k];
	if (!d) {
		if (w->ndev == w->cap_dev) {
			struct kc_dev *n = kc_grow(w->dev, &w->cap_dev, sizeof(*n));

			if (!n)
				return -ENOMEM;
			w->dev = n;
		}
		d = &w->dev[w->ndev++];
		*d = (struct kc_dev){ .host = host, .dev = e->obj->dev, .obj = e->obj };
	}
	return kc_list_add(&d->io, i, e->dur);
}

static int add_mem(struct kp_world *w, const struct kc_ev *e, uint32_t i)
{
	struct kc_list *also = NULL;
	int rc = e->th != KC_NONE ? kc_list_add(&w->th[e->th].mem, i, e->dur) : 0;

	if (rc)
		return rc;
	switch (e->kind) {
	case KP_K_MM_REFAULT: also = &w->faults; break;
	case KP_K_MM_RECLAIM: also = &w->reclaim; break;
	}
	return also ? kc_list_add(also, i, e->dur) : 0;
}

static int place(struct kp_world *w, struct kc_ev *e, uint32_t i, uint32_t host)
{
	switch (e->kind) {
	case KP_K_SCHED_SWITCH: case KP_K_SCHED_WAKE: case KP_K_SCHED_SLEEP: case KP_K_PROC_EXIT:
		return add_sched(w, e, i, host);
	case KP_K_PROC_FORK:
		if (e->pth != KC_NONE && e->th != KC_NONE && e->th != e->pth) {
			w->th[e->pth].born = e->t;
			w->th[e->pth].parent = e->th;
		}
		return 0;
	case KP_K_NET_SEND: case KP_K_NET_RECV: case KP_K_TCP_SEND: case KP_K_TCP_RECV: case KP_K_TCP_STATE:
	case KP_K_TCP_CONNECT: case KP_K_TCP_ACCEPT: case KP_K_TCP_RETRANSMIT: case KP_K_TCP_RESET:
		return kc_conn_add(w, host, e, i);
	case KP_K_BLK_READ: case KP_K_BLK_WRITE: case KP_K_BLK_FLUSH: case KP_K_BLK_DISCARD: case KP_K_BLK_BIO:
		return add_blk(w, e, i, host);
	case KP_K_MM_FAULT: case KP_K_MM_RECLAIM: case KP_K_MM_THROTTLED: case KP_K_MM_REFAULT:
	case KP_K_FS_DIRTY_WAIT: case KP_K_FS_SYNC: case KP_K_LOCK_WAIT:
		return add_mem(w, e, i);
	case KP_K_COUNT_MEM:
		return kc_list_add(&w->count, i, e->dur);
	case KP_K_KEY_TASK:
		return kc_list_add(&w->keys, i, 0);
	case KP_K_CG_LIMIT: case KP_K_CG_CPU:
		return kc_list_add(&w->cg, i, e->dur);
	case KP_K_SIG_SEND:
		return e->pth != KC_NONE ? kc_list_add(&w->sig, i, e->dur) : 0;
	case KP_K_MM_OOM:
		return e->pth != KC_NONE ? kc_list_add(&w->oom, i, e->dur) : 0;
	}
	if (kp_kind_is_syscall(e->kind) && e->th != KC_NONE)
		return kc_list_add(&w->th[e->th].sys, i, e->dur);
	return 0;
}

/* What a message says, in words, so that its bytes need not be kept. */
static int read_message(struct kp_world *w, struct kc_ev *e, const struct kp_row *r)
{
	struct kp_msg m;
	char buf[160];
	int n;

	if (!r->data_len || !kp_proto_parse(r->data, r->data_len, &m))
		return 0;
	e->msg = m.type;
	e->status = m.failed && !m.status ? 500 : m.status;
	if (!m.verb.len)
		return 0;
	n = snprintf(buf, sizeof(buf), "%.*s%s%.*s", (int)m.verb.len, m.verb.p, m.target.len ? " " : "",
		     (int)(m.target.len > 100 ? 100 : m.target.len), m.target.len ? m.target.p : "");
	e->label = kp_pool_str(w->pool, buf, n < (int)sizeof(buf) ? (size_t)n : sizeof(buf) - 1);
	return e->label ? 0 : -ENOMEM;
}

static bool is_loss(uint16_t kind)
{
	return kind == KP_K_LOSS_KERNEL || kind == KP_K_LOSS_SHED || kind == KP_K_LOSS_STREAM;
}

/* Most rows are calls that did not sleep, which explain nothing. */
static bool is_wanted(const struct kp_row *r)
{
	switch (r->kind) {
	case KP_K_SCHED_SWITCH: case KP_K_SCHED_WAKE: case KP_K_SCHED_SLEEP: case KP_K_PROC_EXIT: case KP_K_PROC_FORK:
	case KP_K_NET_SEND: case KP_K_NET_RECV: case KP_K_TCP_SEND: case KP_K_TCP_RECV: case KP_K_TCP_STATE:
	case KP_K_TCP_CONNECT: case KP_K_TCP_ACCEPT: case KP_K_TCP_RETRANSMIT: case KP_K_TCP_RESET:
	case KP_K_BLK_READ: case KP_K_BLK_WRITE: case KP_K_BLK_FLUSH: case KP_K_BLK_DISCARD: case KP_K_BLK_BIO:
	case KP_K_MM_FAULT: case KP_K_MM_RECLAIM: case KP_K_MM_THROTTLED: case KP_K_MM_REFAULT:
	case KP_K_FS_DIRTY_WAIT: case KP_K_FS_SYNC: case KP_K_LOCK_WAIT: case KP_K_COUNT_MEM:
	case KP_K_KEY_TASK: case KP_K_CG_LIMIT: case KP_K_CG_CPU: case KP_K_SIG_SEND: case KP_K_MM_OOM:
		return true;
	}
	return kp_kind_is_syscall(r->kind) && (r->dur >= NO_SLEEP || (r->flags & KP_F_OPEN));
}

/* A recorder does not name itself when it leaves a CPU; whoever gave way to it did. */
static uint32_t last_on_cpu(const struct kp_world *w, uint32_t slot)
{
	const struct kc_list *l = slot < w->ncpu ? &w->cpu[slot] : NULL;

	return l && l->n ? w->ev[l->v[l->n - 1]].pth : KC_NONE;
}

static int keep(struct kp_world *w, const struct kp_header *h, const struct kp_row *r, uint64_t t)
{
	uint32_t host = kc_host_of(h, r->source), i = w->nev;
	struct kc_ev *e;
	int rc;

	if (w->nev == w->cap_ev) {
		struct kc_ev *n = kc_grow(w->ev, &w->cap_ev, sizeof(*n));

		if (!n)
			return -ENOMEM;
		w->ev = n;
	}
	e = &w->ev[i];
	*e = (struct kc_ev){ .t = t, .dur = r->dur, .own = r->end, .ret = r->ret, .obj = r->obj, .stack = r->stack,
			     .stack2 = r->stack2, .task = r->task, .peer = r->peer, .flags = r->flags,
			     .request = r->ctx[KP_CTX_REQUEST] ? r->ctx[KP_CTX_REQUEST] : r->ctx[KP_CTX_TRACE],
			     .op = r->ctx[KP_CTX_OP], .source = r->source,
			     .conn = KC_NONE, .kind = r->kind, .cpu = r->cpu };
	memcpy(e->a, r->a, sizeof(e->a));
	e->th = kc_thread_of(w, host, r->source, r->task);
	e->pth = kc_thread_of(w, host, r->source, r->peer);
	if (r->kind == KP_K_SCHED_SWITCH && !r->task)
		e->th = last_on_cpu(w, host * 4096 + (r->cpu & 4095));
	if ((r->task && e->th == KC_NONE) || (r->peer && e->pth == KC_NONE))
		return -ENOMEM;
	if (r->ctx[KP_CTX_SERVICE] && e->th != KC_NONE)
		w->th[e->th].service = r->ctx[KP_CTX_SERVICE];
	rc = read_message(w, e, r);
	if (!rc)
		rc = place(w, e, i, host);
	if (rc)
		return rc;
	w->nev++;
	if (i && w->ev[i - 1].t > t)
		w->sorted = false;
	return 0;
}

int kp_world_row(struct kp_world *w, const struct kp_header *h, const struct kp_row *r, struct kp_err *err)
{
	uint64_t t = r->end + (uint64_t)kp_unify(h, r->source), start = t - r->dur;
	uint64_t since = is_history(r->kind) ? w->mem_from : w->from;
	int rc;

	if (t < since || start > w->to)
		return 0;
	if (is_loss(r->kind)) {
		if (t >= w->target.start && start <= w->target.end)
			w->losses += r->a[0] == UINT64_MAX ? 1 : r->a[0];
		return 0;
	}
	if (!is_wanted(r))
		return 0;
	if (w->nev >= MAX_EVENTS)
		return kp_err(err, -EFBIG, "the window has over %u events: explain a shorter one (--since, --until)",
			      MAX_EVENTS);
	if (t < w->first)
		w->first = t;
	if (t > w->last)
		w->last = t;
	rc = keep(w, h, r, t);
	return rc ? kp_err(err, rc, "no memory for %u events", w->nev) : 0;
}
