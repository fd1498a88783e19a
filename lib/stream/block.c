/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a block back: dictionaries into the pool, columns into arrays of 64-bit values. */
#include "block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct colspec { int16_t col; uint8_t coding; };

struct decoder {
	struct kp_dec d, tasks, objs, stacks;	/* dictionaries are read when the strings are known */
	struct kp_block *b;
	struct kp_pool *pool;
	struct kp_scratch *s;
	struct colspec *spec;	uint32_t nspec;
	size_t used;		/* of the block's room */
	bool ordered;		/* scratch has the order by groups */
};

/* Room for a list whose length comes from outside: every element takes at least a byte that is there. */
static void *list(struct kp_dec *d, uint32_t n, size_t size)
{
	void *p;

	if (!n || d->err || !kp_dec_spend(d, n * size))
		return NULL;
	p = calloc(n, size);
	if (!p)
		d->err = -ENOMEM;
	return p;
}

static const struct kp_str *ref_str(struct kp_dec *d, const struct kp_block *b)
{
	uint64_t ix = kp_dec_uint(d, b->nstr);

	return ix && !d->err ? b->str[ix - 1] : NULL;
}

static void done(struct kp_dec *d, const void *p)
{
	if (!d->err && !p)
		d->err = -ENOMEM;
}

static void more(struct kp_dec *d, uint32_t n, uint32_t known)
{
	for (; n > known && !d->err; n--)
		kp_dec_skip(d);
}

static void dec_strs(struct decoder *x)
{
	struct kp_dec *d = &x->d;
	uint32_t n = kp_dec_array(d);

	if (n > KP_MAX_STRS || x->b->str)
		return kp_dec_fail(d);
	x->b->str = list(d, n, sizeof(*x->b->str));
	for (uint32_t i = 0; i < n && !d->err; i++) {
		struct kp_view v = kp_dec_bytes(d);

		if (d->err || !kp_dec_spend(d, v.len + 16))
			return;
		done(d, x->b->str[i] = kp_pool_str(x->pool, v.p, v.len));
		x->b->nstr = i + 1;
	}
}

static void dec_tasks(struct decoder *x)
{
	struct kp_dec *d = &x->tasks;
	uint32_t n = d->p ? kp_dec_array(d) : 0;

	x->b->task = list(d, n, sizeof(*x->b->task));
	for (uint32_t i = 0; i < n && !d->err; i++) {
		struct kp_task t;
		uint32_t m = kp_dec_array(d);

		memset(&t, 0, sizeof(t));
		if (m < 8 + KP_CG_MAX)
			kp_dec_fail(d);
		t.tid = kp_dec_uint(d, UINT32_MAX);
		t.tgid = kp_dec_uint(d, UINT32_MAX);
		t.start = kp_dec_uint(d, UINT64_MAX);
		t.ns_tid = kp_dec_uint(d, UINT32_MAX);
		t.ns_tgid = kp_dec_uint(d, UINT32_MAX);
		t.kthread = kp_dec_uint(d, 1);
		t.comm = ref_str(d, x->b);
		t.exe = ref_str(d, x->b);
		for (int c = 0; c < KP_CG_MAX; c++)
			t.cgroup[c] = ref_str(d, x->b);
		more(d, m, 8 + KP_CG_MAX);
		if (d->err)
			return;
		done(d, x->b->task[i] = kp_pool_task(x->pool, &t));
		x->b->ntask = i + 1;
	}
}

static void dec_addr(struct kp_dec *d, uint8_t addr[16])
{
	struct kp_view v = kp_dec_bytes(d);

	if (v.len > 16)
		kp_dec_fail(d);
	else
		memcpy(addr, v.p, v.len);
}

static void dec_objs(struct decoder *x)
{
	struct kp_dec *d = &x->objs;
	uint32_t n = d->p ? kp_dec_array(d) : 0;

	x->b->obj = list(d, n, sizeof(*x->b->obj));
	for (uint32_t i = 0; i < n && !d->err; i++) {
		struct kp_obj o;
		uint32_t m = kp_dec_array(d), known = 4;

		memset(&o, 0, sizeof(o));
		if (m < 4)
			kp_dec_fail(d);
		o.type = kp_dec_uint(d, UINT8_MAX);
		o.dev = kp_dec_uint(d, UINT32_MAX);
		o.id = kp_dec_uint(d, UINT64_MAX);
		o.name = ref_str(d, x->b);
		if (m >= 10) {
			known = 10;
			o.family = kp_dec_uint(d, UINT8_MAX);
			o.proto = kp_dec_uint(d, UINT8_MAX);
			dec_addr(d, o.laddr);
			o.lport = kp_dec_uint(d, UINT16_MAX);
			dec_addr(d, o.raddr);
			o.rport = kp_dec_uint(d, UINT16_MAX);
		}
		more(d, m, known);
		if (d->err)
			return;
		done(d, x->b->obj[i] = kp_pool_obj(x->pool, &o));
		x->b->nobj = i + 1;
	}
}

static void dec_stacks(struct decoder *x)
{
	struct kp_dec *d = &x->stacks;
	uint32_t n = d->p ? kp_dec_array(d) : 0;
	const struct kp_str *frame[KP_MAX_FRAMES];

	x->b->stack = list(d, n, sizeof(*x->b->stack));
	for (uint32_t i = 0; i < n && !d->err; i++) {
		uint32_t m = kp_dec_array(d);

		if (m > KP_MAX_FRAMES || !kp_dec_spend(d, m * sizeof(*frame)))
			kp_dec_fail(d);
		for (uint32_t j = 0; j < m && !d->err; j++) {
			frame[j] = ref_str(d, x->b);
			if (!frame[j])
				kp_dec_fail(d);
		}
		if (d->err)
			return;
		done(d, x->b->stack[i] = kp_pool_stack(x->pool, frame, m));
		x->b->nstack = i + 1;
	}
}

static void dec_cols(struct decoder *x)
{
	struct kp_dec *d = &x->d;
	uint32_t n = kp_dec_array(d);

	if (x->spec)
		return kp_dec_fail(d);
	x->spec = list(d, n, sizeof(*x->spec));
	for (uint32_t i = 0; i < n && !d->err; i++) {
		uint32_t m = kp_dec_array(d);
		int col, coding;

		if (m < 2)
			kp_dec_fail(d);
		col = kp_col_by_name(kp_dec_text(d));
		coding = kp_coding_by_name(kp_dec_text(d));
		more(d, m, 2);
		if (col >= 0 && coding < 0)
			kp_dec_fail(d);
		if (!d->err)
			x->spec[i] = (struct colspec){ col, coding < 0 ? 0 : coding };
		x->nspec = i + 1;
	}
}

/* Where a member is, to be read later. */
static struct kp_dec later(struct kp_dec *d)
{
	struct kp_dec at = *d;

	kp_dec_skip(d);
	at.left = d->err ? 0 : (size_t)(d->p - at.p);
	return at;
}

static void dec_map(struct decoder *x)
{
	struct kp_dec *d = &x->d;
	struct kp_block *b = x->b;
	struct kp_view t = { NULL, 0 };

	for (uint32_t m = kp_dec_map(d); m && !d->err; m--) {
		struct kp_view key = kp_dec_text(d);

		if (kp_view_is(key, "t"))
			t = kp_dec_text(d);
		else if (kp_view_is(key, "source"))
			b->head.source = kp_dec_uint(d, UINT32_MAX);
		else if (kp_view_is(key, "seq"))
			b->head.seq = kp_dec_uint(d, UINT64_MAX);
		else if (kp_view_is(key, "session"))
			b->head.session = kp_dec_uint(d, UINT64_MAX);
		else if (kp_view_is(key, "rows"))
			b->n = kp_dec_uint(d, KP_MAX_ROWS);
		else if (kp_view_is(key, "flags"))
			b->head.flags = kp_dec_uint(d, UINT8_MAX);
		else if (kp_view_is(key, "t0"))
			b->head.t0 = kp_dec_uint(d, UINT64_MAX);
		else if (kp_view_is(key, "t1"))
			b->head.t1 = kp_dec_uint(d, UINT64_MAX);
		else if (kp_view_is(key, "tasks"))
			x->tasks = later(d);
		else if (kp_view_is(key, "objs"))
			x->objs = later(d);
		else if (kp_view_is(key, "stacks"))
			x->stacks = later(d);
		else if (kp_view_is(key, "strs"))
			dec_strs(x);
		else if (kp_view_is(key, "cols"))
			dec_cols(x);
		else
			kp_dec_skip(d);
	}
	if (!kp_view_is(t, "block") || !b->n)
		kp_dec_fail(d);
}

static void dec_dicts(struct decoder *x)
{
	struct kp_dec *part[] = { &x->tasks, &x->objs, &x->stacks };

	for (int i = 0; i < 3 && !x->d.err; i++) {
		part[i]->budget = x->d.budget;
		if (i == 0)
			dec_tasks(x);
		else if (i == 1)
			dec_objs(x);
		else
			dec_stacks(x);
		x->d.budget = part[i]->budget;
		if (part[i]->err)
			x->d.err = part[i]->err;
	}
}

/* Blocks come one after the other and are alike: the room of one is good for the next. */
static void get_room(struct decoder *x)
{
	struct kp_room *have = x->s->room, *r = &x->b->room;
	size_t need = 0;

	for (uint32_t i = 0; i < x->nspec; i++)
		need += x->spec[i].col >= 0 && x->spec[i].col < KP_COL_DATA ? x->b->n : 0;
	if (!kp_dec_spend(&x->d, need * sizeof(*r->v)))
		return;
	for (int i = 0; i < KP_ROOMS && !r->v; i++)
		if (have[i].cap >= need) {
			*r = have[i];
			have[i] = (struct kp_room){ 0 };
		}
	if (r->v)
		return;
	r->v = malloc((need + 1) * sizeof(*r->v));
	r->cap = need;
	if (!r->v)
		x->d.err = -ENOMEM;
}

static void put_room(struct kp_room r, struct kp_scratch *s)
{
	for (int i = 0; s && i < KP_ROOMS && r.v; i++)
		if (s->room[i].cap < r.cap || !s->room[i].v) {
			struct kp_room old = s->room[i];

			s->room[i] = r;
			r = old;
		}
	free(r.v);
}

static bool within(const uint64_t *v, uint32_t n, uint64_t max)
{
	uint64_t over = 0;

	for (uint32_t i = 0; v && i < n; i++)
		over |= v[i] > max;
	return !over;
}

/* The order that grouped columns are in, once kind and task are known. */
static bool order(struct decoder *x)
{
	const struct kp_block *b = x->b;
	const uint64_t *kind = b->c[KP_COL_KIND], *task = b->c[KP_COL_TASK];

	if (x->ordered)
		return true;
	if (!kind || !within(kind, b->n, UINT16_MAX) || !within(task, b->n, KP_GROUPS - 1))
		return false;
	kp_group_order(kind, task, b->n, x->s->perm, x->s->perm2, x->s->count);
	x->ordered = true;
	return true;
}

static void dec_column(struct decoder *x, struct colspec spec)
{
	struct kp_dec *d = &x->d;
	struct kp_block *b = x->b;
	struct kp_view v;

	if (spec.col < 0) {
		b->unknown_columns++;
		kp_dec_skip(d);
	} else if (spec.col == KP_COL_DATA) {
		v = kp_dec_bytes(d);
		if (d->err || b->data || !kp_dec_spend(d, v.len + 1))
			return kp_dec_fail(d);
		b->data = malloc(v.len + 1);
		if (!b->data) {
			d->err = -ENOMEM;
			return;
		}
		memcpy(b->data, v.p, v.len);
		b->data_len = v.len;
	} else {
		if (b->c[spec.col])
			return kp_dec_fail(d);
		if (spec.col <= KP_COL_TASK ? x->ordered || kp_coding_grouped(spec.coding) : kp_coding_grouped(spec.coding) && !order(x))
			return kp_dec_fail(d);
		b->c[spec.col] = b->room.v + x->used;
		x->used += b->n;
		if (!d->err)
			kp_column_decode(d, spec.coding, b->c[spec.col], b->n, x->s->perm);
	}
}

/* Whoever reads rows relies on these. */
static bool sound(const struct kp_block *b)
{
	uint64_t data = 0;
	uint32_t n = b->n;

	for (int i = 0; i < KP_CTX_MAX; i++)
		if (!within(b->c[KP_COL_CTX + i], n, b->nstr))
			return false;
	for (uint32_t i = 0; b->c[KP_COL_DLEN] && i < n; i++) {
		if (b->c[KP_COL_DLEN][i] > b->data_len)
			return false;
		data += b->c[KP_COL_DLEN][i];
	}
	for (uint32_t i = 0; b->c[KP_COL_DUR] && i < n; i++)
		if (b->c[KP_COL_DUR][i] > (b->c[KP_COL_END] ? b->c[KP_COL_END][i] : 0))
			return false;
	return data <= b->data_len && within(b->c[KP_COL_END], n, KP_MAX_TIME - 1) && within(b->c[KP_COL_TASK], n, b->ntask) && within(b->c[KP_COL_PEER], n, b->ntask) &&
	       within(b->c[KP_COL_OBJ], n, b->nobj) && within(b->c[KP_COL_STACK], n, b->nstack) &&
	       within(b->c[KP_COL_STACK2], n, b->nstack) && within(b->c[KP_COL_KIND], n, UINT16_MAX) &&
	       within(b->c[KP_COL_CPU], n, UINT16_MAX) && within(b->c[KP_COL_FLAGS], n, UINT32_MAX);
}

int kp_block_decode(struct kp_block **out, const uint8_t *p, size_t n, struct kp_pool *pool, struct kp_scratch *s)
{
	struct decoder x = { .d = { .p = p, .left = n, .budget = 2 * KP_MAX_ITEM }, .pool = pool, .s = s };
	uint32_t parts;
	int err;

	*out = NULL;
	x.b = calloc(1, sizeof(*x.b));
	if (!x.b)
		return -ENOMEM;
	parts = kp_dec_array(&x.d);
	dec_map(&x);
	if (parts != x.nspec + 1)
		kp_dec_fail(&x.d);
	if (!x.d.err)
		get_room(&x);
	if (!x.d.err)
		dec_dicts(&x);
	for (uint32_t i = 0; i < x.nspec && !x.d.err; i++)
		dec_column(&x, x.spec[i]);
	if (!x.d.err && (x.d.left || !sound(x.b)))
		kp_dec_fail(&x.d);
	x.b->bytes = n + x.used * sizeof(uint64_t);
	err = x.d.err;
	free(x.spec);
	if (err)
		kp_block_free(x.b, s);
	else
		*out = x.b;
	return err;
}

void kp_block_free(struct kp_block *b, struct kp_scratch *s)
{
	if (!b)
		return;
	put_room(b->room, s);
	free(b->data);
	free(b->task);
	free(b->obj);
	free(b->stack);
	free(b->str);
	free(b);
}

int kp_block_move(struct kp_block *b, struct kp_pool *pool)
{
	for (uint32_t i = 0; i < b->nstr || i < b->ntask || i < b->nobj || i < b->nstack; i++) {
		struct kp_row v = {
			.ctx = { i < b->nstr ? b->str[i] : NULL }, .task = i < b->ntask ? b->task[i] : NULL,
			.obj = i < b->nobj ? b->obj[i] : NULL, .stack = i < b->nstack ? b->stack[i] : NULL,
		};

		if (kp_pool_adopt(pool, &v))
			return -ENOMEM;
		if (i < b->nstr)
			b->str[i] = v.ctx[0];
		if (i < b->ntask)
			b->task[i] = v.task;
		if (i < b->nobj)
			b->obj[i] = v.obj;
		if (i < b->nstack)
			b->stack[i] = v.stack;
	}
	return 0;
}

static inline uint64_t at(const struct kp_block *b, enum kp_col col)
{
	return b->c[col] ? b->c[col][b->next] : 0;
}

#define REF(dict, col) ((ix = at(b, col)) ? b->dict[ix - 1] : NULL)

void kp_block_row(struct kp_block *b, struct kp_row *r)
{
	uint64_t ix;

	r->end = at(b, KP_COL_END);
	r->dur = at(b, KP_COL_DUR);
	r->kind = at(b, KP_COL_KIND);
	r->flags = at(b, KP_COL_FLAGS);
	r->cpu = at(b, KP_COL_CPU);
	r->source = b->head.source;
	r->task = REF(task, KP_COL_TASK);
	r->peer = REF(task, KP_COL_PEER);
	for (int i = 0; i < 6; i++)
		r->a[i] = at(b, KP_COL_A0 + i);
	r->ret = (int64_t)at(b, KP_COL_RET);
	r->obj = REF(obj, KP_COL_OBJ);
	r->stack = REF(stack, KP_COL_STACK);
	r->stack2 = REF(stack, KP_COL_STACK2);
	r->data_len = at(b, KP_COL_DLEN);
	r->data = r->data_len ? b->data + b->data_at : NULL;
	b->data_at += r->data_len;
	for (int i = 0; i < KP_CTX_MAX; i++)
		r->ctx[i] = REF(str, KP_COL_CTX + i);
	b->next++;
}
