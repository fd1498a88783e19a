/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pipe carries work on: who reads what a request's thread wrote works for that
 * request. What several requests wrote into one read is nobody's.
 */
#include <errno.h>
#include <stdlib.h>

#include "en.h"

static struct en_pipe *pipe_of(struct kp_enrich *e, const struct kp_row *r)
{
	uint32_t machine = en_machine(e, r->source);
	uint64_t k = (r->obj->id ^ (uint64_t)machine << 48) * 0x9e3779b97f4a7c15ull;
	struct en_pipe *p;

	if (!e->pipe && !(e->pipe = calloc(EN_PIPES, sizeof(*e->pipe))))
		return NULL;
	p = &e->pipe[k >> 54];
	if (p->id != r->obj->id || p->machine != machine) {
		en_work_put(p->w);
		*p = (struct en_pipe){ .id = r->obj->id, .machine = machine };
	}
	return p;
}

static int carry(struct kp_enrich *e, uint32_t to, uint64_t t, struct en_work *w)
{
	struct en_thread *th = &e->th[to];

	if (en_busy(th, t))
		return 0;
	if (w)
		w->spread = true;
	if (w && en_alive(w, t))
		return en_work_of(th, t, EN_SERVER, false) == w ? 0 : en_turn(e, th, t, w, true);
	return th->nseg && th->seg[th->nseg - 1].handed ? en_turn(e, th, t, NULL, false) : 0;
}

static int wrote(struct kp_enrich *e, struct en_held *h, struct en_pipe *p)
{
	uint64_t start = h->t - h->row.dur, n = h->row.ret;
	struct en_work *w = en_work_of(&e->th[h->th - 1], start, EN_SERVER, false);
	int rc = 0;

	if (p->owed && start <= p->read_end) {
		if (p->reader != h->th - 1)
			rc = carry(e, p->reader, p->read_end, w);
		n -= p->owed < n ? p->owed : n;
	}
	p->owed = 0;
	if (!n)
		return rc;
	p->mixed = p->unread && (p->mixed || p->w != w);
	p->unread += n;
	p->wrote = h->t;
	if (w)
		en_work_ref(w);
	en_work_put(p->w);
	p->w = w;
	return rc;
}

static int was_read(struct kp_enrich *e, struct en_held *h, struct en_pipe *p)
{
	uint64_t n = h->row.ret;
	int rc = 0;

	if (!p->unread) {
		p->owed = n;
		p->read_end = h->t;
		p->reader = h->th - 1;
		return 0;
	}
	rc = carry(e, h->th - 1, h->t, p->mixed ? NULL : p->w);
	p->unread -= n < p->unread ? n : p->unread;
	p->mixed &= p->unread != 0;
	return rc;
}

int en_pipe(struct kp_enrich *e, struct en_held *h)
{
	const struct kp_row *r = &h->row;
	struct en_pipe *p;

	if (!r->obj || r->obj->type != KP_OBJ_PIPE || r->ret <= 0)
		return 0;
	p = pipe_of(e, r);
	if (!p)
		return -ENOMEM;
	if (r->kind == KP_K_SYS_write || r->kind == KP_K_SYS_writev)
		return wrote(e, h, p);
	return was_read(e, h, p);
}

void en_pipes_free(struct kp_enrich *e)
{
	for (int i = 0; e->pipe && i < EN_PIPES; i++)
		en_work_put(e->pipe[i].w);
	free(e->pipe);
}
