/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unix sockets: a row names one end only, and there are no positions. Which two
 * ends belong together is seen when one wakes the other: the waker is inside
 * of its send then, and what the woken thread receives next is that message.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <kp/kinds.h>

#include "world.h"

#define SOON (50 * KC_MS)	/* within which a woken thread receives what it was woken for */

static bool is_unix(const struct kc_ev *e)
{
	return e->obj && e->obj->type == KP_OBJ_SOCKET && !e->obj->rport && e->conn != KC_NONE &&
	       (e->obj->family == AF_UNIX || !e->obj->family);
}

static const struct kc_ev *sent_at(const struct kp_world *w, uint32_t th, uint64_t t)
{
	const struct kc_list *l = &w->th[th].msg;
	const struct kc_ev *e;

	for (uint32_t i = KC_NONE; (e = kc_overlap(w, l, t, t, &i)); )
		if (e->kind == KP_K_NET_SEND && is_unix(e))
			return e;
	return NULL;
}

static const struct kc_ev *received_after(const struct kp_world *w, uint32_t th, uint64_t t)
{
	const struct kc_list *l = &w->th[th].msg;

	for (uint32_t i = kc_list_from(w, l, t); i < l->n; i++) {
		const struct kc_ev *e = &w->ev[l->v[i]];

		if (e->t > t + SOON)
			break;
		if (e->kind == KP_K_NET_RECV && is_unix(e))
			return e;
	}
	return NULL;
}

static int move(struct kp_world *w, struct kc_list *to, struct kc_list *from, uint32_t conn)
{
	for (uint32_t i = 0; i < from->n; i++) {
		struct kc_ev *e = &w->ev[from->v[i]];

		e->conn = conn;
		e->side = 1;
		if (kc_list_add(to, from->v[i], e->dur))
			return -ENOMEM;
	}
	from->n = 0;
	return 0;
}

/* Makes b the other end of a. */
static int join(struct kp_world *w, uint32_t a, uint32_t b)
{
	struct kc_conn *x = &w->conn[a], *y = &w->conn[b];
	int rc;

	x->joined = y->joined = true;
	rc = move(w, &x->send[1], &y->send[0], a);
	return rc ? rc : move(w, &x->recv[1], &y->recv[0], a);
}

/* Lists are in order of time. */
int kc_unix_pairs(struct kp_world *w)
{
	int rc = 0;

	for (uint32_t i = 0; i < w->nev && !rc; i++) {
		const struct kc_ev *e = &w->ev[i], *s, *r;

		if (e->kind != KP_K_SCHED_WAKE || e->a[0] || e->th == KC_NONE || e->pth == KC_NONE)
			continue;
		s = sent_at(w, e->pth, e->t);
		r = s ? received_after(w, e->th, e->t) : NULL;
		if (r && s->conn != r->conn && !w->conn[s->conn].joined && !w->conn[r->conn].joined)
			rc = join(w, s->conn, r->conn);
	}
	return rc;
}
