/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads by identity, connections by their two ends. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "en.h"

/* How long a connection is remembered on which nothing happens; the ends of all may not have been recorded. */
#define IDLE (3600 * 1000 * EN_MS)
#define MANY 16384		/* 70 MB */
#define SWEEP (1000 * EN_MS)

static uint32_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ b * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;

	return (uint32_t)((x ^ x >> 29) * 0xc4ceb9fe1a85ec53ull >> 32);
}

static uint32_t thread_hash(uint32_t machine, uint32_t tid, uint64_t start)
{
	return mix((uint64_t)machine << 32 | tid, start);
}

/* Builds a table of indices anew; hash_of gives each entry's hash. */
static uint32_t *table_new(uint32_t cap)
{
	uint32_t *h = malloc(cap * sizeof(*h));

	if (h)
		memset(h, 0xff, cap * sizeof(*h));
	return h;
}

static void table_put(uint32_t *h, uint32_t cap, uint32_t hash, uint32_t i)
{
	uint32_t k = hash & (cap - 1);

	while (h[k] != UINT32_MAX)
		k = (k + 1) & (cap - 1);
	h[k] = i;
}

static int thread_rehash(struct kp_enrich *e)
{
	uint32_t cap = 64, *h;

	while (cap < e->nth * 3)
		cap *= 2;
	h = table_new(cap);
	if (!h)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->nth; i++)
		table_put(h, cap, thread_hash(e->th[i].machine, e->th[i].tid, e->th[i].start), i);
	free(e->th_hash);
	e->th_hash = h;
	e->th_hcap = cap;
	return 0;
}

static int thread_of(struct kp_enrich *e, uint32_t machine, const struct kp_task *t, uint32_t *out)
{
	uint32_t hash = thread_hash(machine, t->tid, t->start), i;

	if (e->nth * 2 >= e->th_hcap && thread_rehash(e))
		return -ENOMEM;
	for (uint32_t k = hash & (e->th_hcap - 1); (i = e->th_hash[k]) != UINT32_MAX; k = (k + 1) & (e->th_hcap - 1)) {
		const struct en_thread *th = &e->th[i];

		if (th->tid == t->tid && th->start == t->start && th->machine == machine) {
			*out = i;
			return 0;
		}
	}
	if (e->nth == e->cap_th) {
		uint32_t cap = e->cap_th ? e->cap_th * 2 : 64;
		struct en_thread *n = realloc(e->th, cap * sizeof(*n));

		if (!n)
			return -ENOMEM;
		e->th = n;
		e->cap_th = cap;
	}
	*out = e->nth++;
	e->th[*out] = (struct en_thread){ .machine = machine, .tid = t->tid,
					  .tgid = t->tgid, .ns_tgid = t->ns_tgid, .start = t->start,
					  .last = e->now };
	table_put(e->th_hash, e->th_hcap, hash, *out);
	return 0;
}

static int task_rehash(struct kp_enrich *e)
{
	uint32_t cap = 64, *h;

	while (cap < e->ntask * 3)
		cap *= 2;
	h = table_new(cap);
	if (!h)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->ntask; i++)
		table_put(h, cap, mix((uintptr_t)e->task[i].task, e->task[i].source), i);
	free(e->task_hash);
	e->task_hash = h;
	e->task_hcap = cap;
	return 0;
}

int en_task_of(struct kp_enrich *e, uint32_t source, const struct kp_task *t, uint32_t *task)
{
	uint32_t hash = mix((uintptr_t)t, source), i, th;
	int rc;

	if (e->ntask * 2 >= e->task_hcap && task_rehash(e))
		return -ENOMEM;
	for (uint32_t k = hash & (e->task_hcap - 1); (i = e->task_hash[k]) != UINT32_MAX; k = (k + 1) & (e->task_hcap - 1))
		if (e->task[i].task == t && e->task[i].source == source) {
			*task = i + 1;
			return 0;
		}
	rc = thread_of(e, en_machine(e, source), t, &th);
	if (rc)
		return rc;
	if (e->ntask == e->cap_task) {
		uint32_t cap = e->cap_task ? e->cap_task * 2 : 64;
		struct en_task *n = realloc(e->task, cap * sizeof(*n));

		if (!n)
			return -ENOMEM;
		e->task = n;
		e->cap_task = cap;
	}
	e->task[e->ntask] = (struct en_task){ .task = t, .source = source, .thread = th,
					       .spanless = !e->spans.n || !en_span_any(e, t) };
	table_put(e->task_hash, e->task_hcap, hash, e->ntask);
	*task = ++e->ntask;
	return 0;
}

int en_tables_rehash(struct kp_enrich *e)
{
	return thread_rehash(e) || task_rehash(e) ? -ENOMEM : 0;
}

/* ---- connections ---- */

static void end_of(const struct kp_obj *o, bool remote, uint64_t k[3])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *a = remote ? o->raddr : o->laddr;
	size_t n = o->family == AF_INET6 ? 16 : 4;

	k[0] = k[1] = 0;
	if (n == 16 && !memcmp(a, mapped, 12)) {	/* one form, whichever family the socket has */
		a += 12;
		n = 4;
	}
	memcpy(k, a, n);
	k[2] = remote ? o->rport : o->lport;
}

static bool loopback(const uint64_t k[3])
{
	static const uint8_t one[16] = { [15] = 1 };

	return *(const uint8_t *)k == 127 || !memcmp(k, one, 16);
}

bool en_ends(const struct kp_obj *o, uint64_t local[3], uint64_t remote[3])
{
	if (!o || o->type != KP_OBJ_SOCKET || !o->rport || (o->family != AF_INET && o->family != AF_INET6))
		return false;
	end_of(o, false, local);
	end_of(o, true, remote);
	return !loopback(local) && !loopback(remote);
}

/* The same key for both ends, and which of them the row's is. */
static bool conn_key(const struct kp_row *row, uint32_t machine, uint64_t key[6], int *side)
{
	const struct kp_obj *o = row->obj;
	uint64_t l[3] = { 0 }, r[3] = { 0 };
	bool host = false;

	if (!o || o->type != KP_OBJ_SOCKET)
		return false;
	if (o->family == AF_INET || o->family == AF_INET6) {
		if (!o->rport)
			return false;
		end_of(o, false, l);
		end_of(o, true, r);
		host = loopback(l) || loopback(r);
	} else {	/* Unix and others: by cookie, and the peer's where the recorder could tell */
		l[0] = o->id;
		memcpy(r, o->raddr, 8);
		host = true;
		if (!o->id)
			return false;
	}
	l[2] |= (uint64_t)o->proto << 16 | (uint64_t)(o->family == AF_UNIX) << 31;
	l[2] |= host ? (uint64_t)(machine + 1) << 32 : 0;
	r[2] |= l[2] & ~0xffffull;
	*side = memcmp(l, r, sizeof(l)) > 0;
	memcpy(key, *side ? r : l, sizeof(l));
	memcpy(key + 3, *side ? l : r, sizeof(l));
	return true;
}

static uint32_t conn_hash(const uint64_t key[6])
{
	return mix(mix(key[0] ^ key[1] << 1, key[2]), mix(key[3] ^ key[4] << 1, key[5]) + 0x1234567ull);
}

static int conn_rehash(struct kp_enrich *e)
{
	uint32_t cap = e->conn_cap ? e->conn_cap * 2 : 64;
	struct en_conn **n = calloc(cap, sizeof(*n));

	if (!n)
		return -ENOMEM;
	for (uint32_t i = 0; i < e->conn_cap; i++)
		for (struct en_conn *c = e->conn[i], *next; c; c = next) {
			uint32_t k = conn_hash(c->key) & (cap - 1);

			next = c->next;
			c->next = n[k];
			n[k] = c;
		}
	free(e->conn);
	e->conn = n;
	e->conn_cap = cap;
	return 0;
}

static struct en_conn *conn_new(const uint64_t key[6], uint32_t machine, struct en_wire *wire)
{
	struct en_conn *c = calloc(1, sizeof(*c));

	if (c && !wire)
		wire = calloc(1, sizeof(*wire));
	if (!c || !wire) {
		free(c);
		return NULL;
	}
	memcpy(c->key, key, sizeof(c->key));
	c->machine = machine;
	c->client = -1;
	c->wire = wire;
	wire->refs++;
	return c;
}

struct en_conn *en_conn_of(struct kp_enrich *e, const struct kp_row *row, int *side)
{
	uint32_t machine = en_machine(e, row->source), k;
	struct en_conn *c, *other = NULL;
	uint64_t key[6];

	if (!conn_key(row, machine, key, side) || (e->nconn >= e->conn_cap && conn_rehash(e)))
		return NULL;
	k = conn_hash(key) & (e->conn_cap - 1);
	for (c = e->conn[k]; c; c = c->next) {
		if (memcmp(c->key, key, sizeof(key)))
			continue;
		if (c->machine == machine)
			break;
		other = c;
	}
	if (!c) {
		c = conn_new(key, machine, other ? other->wire : NULL);
		if (!c)
			return NULL;
		c->next = e->conn[k];
		e->conn[k] = c;
		e->nconn++;
	}
	c->last = e->now;
	if (en_is_unix(row))
		*side = c->side;
	return c;
}

void en_wire_clear(struct en_wire *w)
{
	for (int s = 0; s < 2; s++) {
		for (uint32_t i = 0; i < EN_GOTS; i++) {
			en_work_put(w->got[s][i].w);
			w->got[s][i].w = NULL;
		}
		w->nsent[s] = 0;
	}
}

void en_conn_free(struct en_conn *c)
{
	struct en_work *w;

	while ((w = en_queue_pop(&c->srv)) || (w = en_queue_pop(&c->call)))
		en_work_put(w);
	if (!--c->wire->refs) {
		en_wire_clear(c->wire);
		free(c->wire);
	}
	en_work_put(c->last_srv);
	en_work_put(c->last_call);
	free(c->stmt);
	free(c);
}

void en_thread_clear(struct en_thread *th)
{
	for (uint32_t k = 0; k < th->nseg; k++)
		en_work_put(th->seg[k].w);
	free(th->seg);
	th->seg = NULL;
	th->nseg = th->cap = 0;
	en_work_put(th->pending);
	th->pending = NULL;
	en_work_put(th->loose);
	th->loose = NULL;
}

static uint64_t patience(const struct kp_enrich *e)
{
	return e->nconn < MANY ? IDLE : e->nconn < 4 * MANY ? 10 * SWEEP : SWEEP;
}

/* Once a second of the stream: forget what is over. A thread keeps its slot until kp_enrich_renew. */
bool en_sweep(struct kp_enrich *e)
{
	uint64_t longest = patience(e);

	if (e->now < e->swept + SWEEP)
		return false;
	e->swept = e->now;
	for (uint32_t i = 0; i < e->conn_cap; i++)
		for (struct en_conn **p = &e->conn[i], *c; (c = *p);) {
			uint64_t idle = e->now > c->last ? e->now - c->last : 0;

			if (idle > (c->closed ? 4 * e->hold : longest)) {
				*p = c->next;
				en_conn_free(c);
				e->nconn--;
			} else {
				p = &c->next;
			}
		}
	for (uint32_t i = 0; i < e->nth; i++) {
		struct en_thread *th = &e->th[i];

		if (!th->exited || e->now < th->last + 8 * e->hold || !th->nseg)
			continue;
		en_thread_clear(th);
	}
	return true;
}
