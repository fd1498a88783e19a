/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets: a row names its own end only, and there are no positions. Which
 * two ends are one connection is seen when one wakes the other: the waker is
 * inside of its send then, and what the woken thread receives next, if it is as
 * long and of the same bytes, is that message.
 */
#include <sys/socket.h>

#include "en.h"

#define SOON (50 * EN_MS)	/* within which a woken thread receives what it was woken for */

bool en_is_unix(const struct kp_row *r)
{
	return r->obj && r->obj->type == KP_OBJ_SOCKET && r->obj->id && r->obj->family != AF_INET && r->obj->family != AF_INET6;
}

void en_unix_wake(struct kp_enrich *e, uint32_t by, uint32_t th, uint64_t t)
{
	e->th[th].wake_t = t;
	e->th[th].wake_by = by + 1;
	e->th[by].hand = (struct en_hand){ .t = t, .to = th };
}

static struct en_half half(const struct kp_row *r)
{
	uint64_t h = 0xcbf29ce484222325ull ^ (uint64_t)r->ret;

	for (uint32_t i = 0; i < r->data_len; i++)
		h = (h ^ r->data[i]) * 0x100000001b3ull;
	return (struct en_half){ r->obj, r->source, h };
}

static void pair(struct kp_enrich *e, struct en_hand *h)
{
	struct kp_row s = { .obj = h->sent.obj, .source = h->sent.source }, r = { .obj = h->got.obj, .source = h->got.source };
	struct en_conn *a, *b;
	int side;

	if (!s.obj || !r.obj || s.obj == r.obj || h->sent.bytes != h->got.bytes)
		return;
	a = en_conn_of(e, &s, &side);
	b = en_conn_of(e, &r, &side);
	if (a && b && a != b && a->wire->refs == 1 && b->wire->refs == 1)
		en_wire_join(e, a, b);
}

/* Before the message is handled. */
void en_unix_got(struct kp_enrich *e, const struct en_held *h)
{
	struct en_thread *th = &e->th[h->th - 1];
	struct en_hand *hand;

	if (!th->wake_by)
		return;
	hand = &e->th[th->wake_by - 1].hand;
	th->wake_by = 0;
	if (hand->to != h->th - 1 || hand->t != th->wake_t || h->t > hand->t + SOON)
		return;
	hand->got = half(&h->row);
	pair(e, hand);
}

/* Behind it. */
void en_unix_sent(struct kp_enrich *e, const struct en_held *h)
{
	struct en_hand *hand = &e->th[h->th - 1].hand;

	if (!hand->t || hand->t > h->t || hand->t < h->t - h->row.dur)
		return;
	hand->sent = half(&h->row);
	pair(e, hand);
}
