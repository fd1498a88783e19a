/* SPDX-License-Identifier: BSD-2-Clause */
/* The window: rows go in at one end, named they come out at the other. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

#define HOLD (250 * EN_MS)
#define MAX_HELD (1u << 18)	/* rows, 75 MB; when more come the window is as long as that allows */

int kp_enrich_new(struct kp_enrich **out, uint64_t hold, kp_enrich_fn emit, void *arg, struct kp_err *err)
{
	struct kp_enrich *e = calloc(1, sizeof(*e));

	*out = NULL;
	if (!e || kp_pool_new(&e->pool)) {
		free(e);
		return kp_err(err, ENOMEM, "out of memory");
	}
	e->hold = hold ? hold : HOLD;
	e->emit = emit;
	e->arg = arg;
	*out = e;
	return 0;
}

static void drop(struct en_held *h)
{
	en_work_put(h->own);
	free((void *)h->row.data);
}

void kp_enrich_free(struct kp_enrich *e)
{
	if (!e)
		return;
	for (uint32_t i = 0; i < e->count; i++)
		drop(&e->ring[(e->head + i) & (e->cap - 1)]);
	for (uint32_t i = 0; i < e->conn_cap; i++)
		for (struct en_conn *c = e->conn[i], *next; c; c = next) {
			next = c->next;
			en_conn_free(c);
		}
	for (uint32_t i = 0; i < e->nth; i++)
		en_thread_clear(&e->th[i]);
	en_pipes_free(e);
	en_requests_free(e);
	free(e->ring);
	free(e->conn);
	free(e->th);
	free(e->th_hash);
	free(e->task);
	free(e->task_hash);
	free(e->src);
	free(e->rule);
	free(e->spans.v);
	free(e->spans.by_pid);
	free(e->spans.by_trace);
	free(e->spans.top);
	kp_pool_free(e->pool);
	free(e);
}

uint32_t en_machine(const struct kp_enrich *e, uint32_t source)
{
	return source < e->nsrc ? e->src[source].machine : source;
}

int kp_enrich_source(struct kp_enrich *e, uint32_t source, const struct kp_source *s, int64_t wall_off)
{
	struct en_source *src;

	if (source >= e->nsrc) {
		struct en_source *n = realloc(e->src, (source + 1) * sizeof(*n));

		if (!n)
			return -ENOMEM;
		for (uint32_t i = e->nsrc; i <= source; i++)
			n[i] = (struct en_source){ .machine = i };
		e->src = n;
		e->nsrc = source + 1;
	}
	src = &e->src[source];
	src->shift = s->base + s->shift;
	src->wall_off = wall_off;
	if (src->known)
		return 0;
	src->known = true;
	src->host = s->host ? kp_pool_str(e->pool, s->host->p, s->host->len) : NULL;
	memcpy(src->boot, s->boot_id, sizeof(src->boot));
	for (uint32_t i = 0; i < source && *src->boot; i++)
		if (!memcmp(e->src[i].boot, src->boot, sizeof(src->boot))) {
			src->machine = e->src[i].machine;
			break;
		}
	return 0;
}

static int let_go(struct kp_enrich *e, struct kp_err *err)
{
	struct en_held *h = &e->ring[e->head];
	int rc;

	en_fill(e, h);
	rc = e->emit(e->arg, &h->row, err);
	drop(h);
	e->head = (e->head + 1) & (e->cap - 1);
	e->count--;
	return rc;
}

static int grow(struct kp_enrich *e)
{
	uint32_t cap = e->cap ? e->cap * 2 : 1024;
	struct en_held *n = malloc(cap * sizeof(*n));

	if (!n)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->count; i++)
		n[i] = e->ring[(e->head + i) & (e->cap - 1)];
	free(e->ring);
	e->ring = n;
	e->head = 0;
	e->cap = cap;
	return 0;
}

static int take(struct kp_enrich *e, const struct kp_row *row, struct en_held *h)
{
	int rc = 0;

	h->row = *row;
	h->row.data = NULL;
	h->own = NULL;
	h->task = h->th = 0;
	h->t = row->end + (row->source < e->nsrc ? (uint64_t)e->src[row->source].shift : 0);
	if (row->data_len) {
		uint8_t *d = malloc(row->data_len);

		if (!d)
			return -ENOMEM;
		memcpy(d, row->data, row->data_len);
		h->row.data = d;
	}
	if (row->task && row->task->tid) {	/* tid 0 is each CPU's idle task */
		rc = en_task_of(e, row->source, row->task, &h->task);
		h->th = rc ? 0 : e->task[h->task - 1].thread + 1;
		if (h->th && !e->th[h->th - 1].exited)
			e->th[h->th - 1].last = h->t;
	}
	return rc;
}

int kp_enrich_row(struct kp_enrich *e, const struct kp_row *row, struct kp_err *err)
{
	struct en_held *h;
	int rc = 0;

	if (e->count == e->cap) {
		rc = e->cap >= MAX_HELD ? let_go(e, err) : grow(e);
		if (rc)
			return rc == -ENOMEM ? kp_err(err, ENOMEM, "out of memory for %u held rows", e->count) : rc;
	}
	h = &e->ring[(e->head + e->count) & (e->cap - 1)];
	rc = take(e, row, h);
	e->count++;
	e->st.rows++;
	if (h->t > e->now)
		e->now = h->t;
	if (!rc)
		rc = en_track(e, h);
	if (rc)
		return kp_err(err, -rc, "out of memory");
	while (e->count && e->ring[e->head].t + e->hold < e->now && !rc)
		rc = let_go(e, err);
	if (en_sweep(e) && !rc)
		rc = en_requests_told(e, false, err);
	return rc;
}

int kp_enrich_flush(struct kp_enrich *e, struct kp_err *err)
{
	int rc = 0;

	while (e->count && !rc)
		rc = let_go(e, err);
	return rc ? rc : en_requests_told(e, false, err);
}

int kp_enrich_end(struct kp_enrich *e, struct kp_err *err)
{
	int rc = kp_enrich_flush(e, err);

	return rc ? rc : en_requests_told(e, true, err);
}

void kp_enrich_stats(const struct kp_enrich *e, struct kp_enrich_stats *st)
{
	*st = e->st;
	st->sends_unmatched -= st->sends_matched;
	for (uint32_t i = 0; i < e->spans.n; i++)
		st->spans_matched += e->spans.v[i].matched;
}
