/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stream need not end, and pools and tables only grow: now and then what is
 * over is dropped and the rest moved. Threads and tasks are known by their
 * index, so all that names one is told its new place.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

#define SEC (1000 * EN_MS)
enum { MANY = 1 << 16, GONE = UINT32_MAX };

struct move {
	struct kp_enrich *e;
	struct kp_pool *own, *values;	/* where texts of ours, and values of rows, go */
	uint32_t *th, *task;		/* by old index: the new one, or GONE; at first just whether it is needed */
	bool failed;
};

/* Has it a request that nobody has answered? */
static bool at_work(const struct en_thread *th)
{
	for (uint32_t i = 0; i < th->nseg; i++) {
		const struct en_work *w = th->seg[i].w;

		if (w && w->end == EN_NEVER && !w->answered)
			return true;
	}
	return false;
}

/* How long a thread is remembered of which there is no row; the ends of all may not have been recorded. */
static uint64_t patience(const struct kp_enrich *e, const struct en_thread *th)
{
	if (e->nth >= 4 * MANY)
		return 10 * SEC;
	return e->nth < MANY || at_work(th) ? 3600 * SEC : 60 * SEC;
}

/* ---- everything that refers to threads, tasks and texts ---- */

typedef void (*work_fn)(struct move *m, struct en_work *w);
typedef void (*wire_fn)(struct move *m, struct en_wire *w);

static void queue_works(struct move *m, const struct en_queue *q, work_fn fn)
{
	for (uint32_t i = 0; i < q->n; i++)
		fn(m, q->w[i]);
}

/* Calls fn for every piece of work, for some more than once. */
static void conn_works(struct move *m, const struct en_conn *c, work_fn fn)
{
	queue_works(m, &c->srv, fn);
	queue_works(m, &c->call, fn);
	if (c->last_srv)
		fn(m, c->last_srv);
	if (c->last_call)
		fn(m, c->last_call);
	for (int i = 0; i < 2 * EN_GOTS; i++)
		if (c->wire->got[i / EN_GOTS][i % EN_GOTS].w)
			fn(m, c->wire->got[i / EN_GOTS][i % EN_GOTS].w);
}

static void thread_works(struct move *m, const struct en_thread *th, work_fn fn)
{
	for (uint32_t i = 0; i < th->nseg; i++)
		if (th->seg[i].w)
			fn(m, th->seg[i].w);
	if (th->pending)
		fn(m, th->pending);
	if (th->loose)
		fn(m, th->loose);
}

static void all_works(struct move *m, work_fn fn, wire_fn wire)
{
	struct kp_enrich *e = m->e;

	for (uint32_t i = 0; i < e->nth; i++)
		thread_works(m, &e->th[i], fn);
	for (uint32_t i = 0; i < e->conn_cap; i++)
		for (struct en_conn *c = e->conn[i]; c; c = c->next) {
			conn_works(m, c, fn);
			wire(m, c->wire);
		}
	for (uint32_t i = 0; i < e->nreq; i++)
		fn(m, e->req[i]);
	for (uint32_t i = 0; e->pipe && i < EN_PIPES; i++)
		if (e->pipe[i].w)
			fn(m, e->pipe[i].w);
	for (uint32_t i = 0; i < e->count; i++) {
		struct en_work *w = e->ring[(e->head + i) & (e->cap - 1)].own;

		if (w)
			fn(m, w);
	}
}

static uint32_t sents(const struct en_wire *w, int side)
{
	return w->nsent[side] < EN_SENDS ? w->nsent[side] : EN_SENDS;
}

/* ---- who is still needed ---- */

static void need_task(struct move *m, uint32_t task)
{
	m->task[task] = 0;
	m->th[m->e->task[task].thread] = 0;
}

static void need_work(struct move *m, struct en_work *w)
{
	m->th[w->th] = 0;
	if (w->has_from && !w->resolved)
		m->th[w->from] = 0;
	if (w->task)
		need_task(m, w->task - 1);
}

static void need_wire(struct move *m, struct en_wire *w)
{
	for (int s = 0; s < 2; s++)
		for (uint32_t i = 0; i < sents(w, s); i++)
			m->th[w->sent[s][i].th] = 0;
}

static void need_thread(struct move *m, uint32_t i)
{
	struct en_thread *th = &m->e->th[i];
	uint64_t since = m->e->now > th->last ? m->e->now - th->last : 0;
	bool idle = since > 10 * SEC && since > patience(m->e, th);

	if (idle)
		en_thread_clear(th);
	if (!idle && (!th->exited || th->nseg || th->pending || th->loose))
		m->th[i] = 0;
}

static void find_needed(struct move *m)
{
	struct kp_enrich *e = m->e;

	memset(m->th, 0xff, e->nth * sizeof(*m->th));
	memset(m->task, 0xff, e->ntask * sizeof(*m->task));
	for (uint32_t i = 0; i < e->nth; i++)
		need_thread(m, i);
	for (uint32_t i = 0; i < e->count; i++) {
		const struct en_held *h = &e->ring[(e->head + i) & (e->cap - 1)];

		if (h->task)
			need_task(m, h->task - 1);
	}
	for (uint32_t i = 0; e->pipe && i < EN_PIPES; i++)
		if (e->pipe[i].owed)
			m->th[e->pipe[i].reader] = 0;
	all_works(m, need_work, need_wire);
}

/* ---- the tables, without who is not ---- */

static void *shrunk(void *p, uint32_t n, uint32_t *cap, size_t size)
{
	void *q = *cap > 4 * n + 64 ? realloc(p, (2 * n + 64) * size) : NULL;

	if (q)
		*cap = 2 * n + 64;
	return q ? q : p;
}

static void pack(struct move *m)
{
	struct kp_enrich *e = m->e;
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->nth; i++) {
		if (m->th[i] == GONE) {
			en_thread_clear(&e->th[i]);
			continue;
		}
		e->th[n] = e->th[i];
		m->th[i] = n++;
	}
	e->nth = n;
	n = 0;
	for (uint32_t i = 0; i < e->ntask; i++)
		if (m->task[i] != GONE) {
			e->task[n] = e->task[i];
			m->task[i] = n++;
		}
	e->ntask = n;
	e->th = shrunk(e->th, e->nth, &e->cap_th, sizeof(*e->th));
	e->task = shrunk(e->task, e->ntask, &e->cap_task, sizeof(*e->task));
}

/* ---- the move ---- */

static void text(struct move *m, const struct kp_str **s)
{
	if (*s && !(*s = kp_pool_str(m->own, (*s)->p, (*s)->len)))
		m->failed = true;
}

static void ids(struct move *m, struct en_ids *i)
{
	text(m, &i->op);
	text(m, &i->request);
	text(m, &i->trace);
	text(m, &i->parent);
	text(m, &i->txn);
}

static void values(struct move *m, struct kp_row *row)
{
	m->failed |= kp_pool_adopt(m->values, row) != 0;
}

static void move_work(struct move *m, struct en_work *w)
{
	if (w->moved == m->e->moved)
		return;
	w->moved = m->e->moved;
	w->th = m->th[w->th];
	w->has_from &= !w->resolved;
	w->from = w->has_from ? m->th[w->from] : 0;
	w->task = w->task ? m->task[w->task - 1] + 1 : 0;
	ids(m, &w->ids);
}

static void move_wire(struct move *m, struct en_wire *w)
{
	if (w->moved == m->e->moved)
		return;
	w->moved = m->e->moved;
	for (int s = 0; s < 2; s++)
		for (uint32_t i = 0; i < sents(w, s); i++) {
			w->sent[s][i].th = m->th[w->sent[s][i].th];
			ids(m, &w->sent[s][i].ids);
		}
}

static void move_half(struct move *m, struct en_half *h)
{
	struct kp_row r = { .obj = h->obj };

	values(m, &r);
	h->obj = r.obj;
}

static void move_tables(struct move *m)
{
	struct kp_enrich *e = m->e;

	for (uint32_t i = 0; i < e->nth; i++) {
		struct en_thread *th = &e->th[i];
		uint32_t by = th->wake_by ? m->th[th->wake_by - 1] : GONE;

		th->wake_by = by == GONE ? 0 : by + 1;
		th->hand.to = th->hand.t && th->hand.to != GONE ? m->th[th->hand.to] : GONE;
		move_half(m, &th->hand.sent);
		move_half(m, &th->hand.got);
		text(m, &th->port_service);
	}
	for (uint32_t i = 0; i < e->ntask; i++) {
		struct en_task *t = &e->task[i];
		struct kp_row r = { .task = t->task };

		values(m, &r);
		t->task = r.task;
		t->thread = m->th[t->thread];
		text(m, &t->service);
	}
	for (uint32_t i = 0; i < e->count; i++) {
		struct en_held *h = &e->ring[(e->head + i) & (e->cap - 1)];

		values(m, &h->row);
		h->th = h->th ? m->th[h->th - 1] + 1 : 0;
		h->task = h->task ? m->task[h->task - 1] + 1 : 0;
	}
	for (uint32_t i = 0; e->pipe && i < EN_PIPES; i++)
		e->pipe[i].reader = e->pipe[i].owed ? m->th[e->pipe[i].reader] : 0;
}

static void move_conn(struct move *m, struct en_conn *c)
{
	for (uint32_t i = 0; i < c->nstmt && i < c->cap_stmt; i++) {
		text(m, &c->stmt[i].name);
		text(m, &c->stmt[i].op);
	}
	text(m, &c->txn);
}

/* What was read before the first row stays, but is compared with what messages say: it goes along. */
static int move_spans(struct move *m)
{
	struct kp_enrich *e = m->e;

	for (uint32_t i = 0; i < e->nrule; i++) {
		text(m, &e->rule[i].value);
		text(m, &e->rule[i].name);
	}
	for (uint32_t i = 0; i < e->nsrc; i++)
		text(m, &e->src[i].host);
	for (uint32_t i = 0; i < e->spans.n; i++) {
		struct en_span *s = &e->spans.v[i];
		const struct kp_str **all[] = { &s->trace, &s->id, &s->parent, &s->name, &s->service, &s->request, &s->host, &s->container, &s->exe };

		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
			text(m, all[k]);
	}
	return e->spans.n ? en_spans_sort(e) : 0;	/* traces are in order of their addresses */
}

size_t kp_enrich_bytes(const struct kp_enrich *e)
{
	return kp_pool_bytes(e->pool) + e->nth * sizeof(*e->th) + e->ntask * sizeof(*e->task);
}

int kp_enrich_renew(struct kp_enrich *e, struct kp_pool *pool)
{
	struct move m = { .e = e, .values = pool };
	int rc = -ENOMEM;

	m.th = malloc((e->nth + 1) * sizeof(*m.th));
	m.task = malloc((e->ntask + 1) * sizeof(*m.task));
	if (!m.th || !m.task || kp_pool_new(&m.own))
		goto out;
	e->moved++;
	find_needed(&m);
	pack(&m);
	move_tables(&m);
	all_works(&m, move_work, move_wire);
	for (uint32_t i = 0; i < e->conn_cap; i++)
		for (struct en_conn *c = e->conn[i]; c; c = c->next)
			move_conn(&m, c);
	rc = move_spans(&m);
	kp_pool_free(e->pool);
	e->pool = m.own;
	if (!rc)
		rc = m.failed ? -ENOMEM : en_tables_rehash(e);
out:
	free(m.th);
	free(m.task);
	return rc;
}
