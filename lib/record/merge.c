/* SPDX-License-Identifier: BSD-2-Clause */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kp_merge_init(struct kp_merge *m, uint32_t nqueues)
{
	memset(m, 0, sizeof(*m));
	m->q = calloc(nqueues, sizeof(*m->q));
	m->heap = calloc(nqueues, sizeof(*m->heap));
	if (!m->q || !m->heap) {
		kp_merge_free(m);
		return -ENOMEM;
	}
	m->nq = nqueues;
	return 0;
}

void kp_merge_free(struct kp_merge *m)
{
	for (uint32_t i = 0; m->q && i < m->nq; i++) {
		free(m->q[i].ent);
		free(m->q[i].buf);
	}
	free(m->q);
	free(m->heap);
	memset(m, 0, sizeof(*m));
}

static int grow(struct kp_merge_queue *q, size_t need)
{
	if (q->n == q->cap) {
		uint32_t cap = q->cap ? 2 * q->cap : 1024;
		void *p = realloc(q->ent, cap * sizeof(*q->ent));

		if (!p)
			return -ENOMEM;
		q->ent = p;
		q->cap = cap;
	}
	if (q->buf_cap - q->len < need) {
		size_t cap = q->buf_cap ? 2 * q->buf_cap : 1 << 16;
		void *p;

		while (cap - q->len < need)
			cap *= 2;
		p = realloc(q->buf, cap);
		if (!p)
			return -ENOMEM;
		q->buf = p;
		q->buf_cap = cap;
	}
	return 0;
}

/* What has been handed out makes room once it is the greater part: each byte is moved at most once on average. */
static void compact(struct kp_merge_queue *q)
{
	uint32_t first = UINT32_MAX, left = q->n - q->head;

	if (!q->head || q->head < left)
		return;
	for (uint32_t i = q->head; i < q->n; i++)
		if (q->ent[i].off < first)
			first = q->ent[i].off;
	if (left) {
		memmove(q->ent, q->ent + q->head, left * sizeof(*q->ent));
		memmove(q->buf, q->buf + 8 * (size_t)first, q->len - 8 * (size_t)first);
		for (uint32_t i = 0; i < left; i++)
			q->ent[i].off -= first;
		q->len -= 8 * (size_t)first;
	} else {
		q->len = 0;
	}
	q->head = 0;
	q->n = left;
}

int kp_merge_add(struct kp_merge *m, uint32_t queue, uint64_t end, const void *rec, uint32_t len)
{
	struct kp_merge_queue *q = &m->q[queue];
	uint32_t padded = (len + 7) & ~7u, i;

	if ((q->n == q->cap || q->buf_cap - q->len < padded) && grow(q, padded))
		return -ENOMEM;
	for (i = q->n; i > q->head && q->ent[i - 1].end > end; i--)
		q->ent[i] = q->ent[i - 1];
	q->ent[i] = (struct kp_merge_ent){ end, (uint32_t)(q->len / 8), len };
	memcpy(q->buf + q->len, rec, len);
	q->len += padded;
	q->n++;
	m->bytes += padded;
	return 0;
}

static uint64_t key(const struct kp_merge *m, uint32_t queue)
{
	return m->q[queue].ent[m->q[queue].head].end;
}

static void sift(struct kp_merge *m, uint32_t i)
{
	uint32_t v = m->heap[i], c;
	uint64_t k = key(m, v);

	for (; (c = 2 * i + 1) < m->nheap; i = c) {
		if (c + 1 < m->nheap && key(m, m->heap[c + 1]) < key(m, m->heap[c]))
			c++;
		if (key(m, m->heap[c]) >= k)
			break;
		m->heap[i] = m->heap[c];
	}
	m->heap[i] = v;
}

void kp_merge_begin(struct kp_merge *m)
{
	m->nheap = 0;
	for (uint32_t i = 0; i < m->nq; i++) {
		compact(&m->q[i]);
		if (m->q[i].head < m->q[i].n)
			m->heap[m->nheap++] = i;
	}
	for (uint32_t i = m->nheap / 2; i-- > 0;)
		sift(m, i);
}

int kp_merge_next(struct kp_merge *m, uint64_t upto, struct kp_merged *out)
{
	const struct kp_merge_ent *e;
	struct kp_merge_queue *q;
	uint32_t top;

	if (!m->nheap)
		return 0;
	top = m->heap[0];
	q = &m->q[top];
	e = &q->ent[q->head];
	if (e->end > upto)
		return 0;
	*out = (struct kp_merged){ e->end, q->buf + 8 * (size_t)e->off, e->len, top };
	m->bytes -= (e->len + 7) & ~7u;
	if (++q->head == q->n)
		m->heap[0] = m->heap[--m->nheap];
	if (m->nheap)
		sift(m, 0);
	return 1;
}
