/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling a block. A column that has only seen zeroes costs nothing: it is
 * brought up to the present row when the first other value comes.
 */
#include "block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRY_EVERY 64	/* blocks between two searches for a column's best coding: for each column in another block */
_Static_assert(2 * KP_COL_DATA <= TRY_EVERY, "each column has a block of its own");
#define INDEX_TASKS 256	/* more tasks than that are not listed */

const char *const kp_col_names[KP_COL_MAX] = {
	"kind", "task", "end", "dur", "flags", "cpu", "peer", "a0", "a1", "a2", "a3", "a4", "a5", "ret", "obj", "stack", "stack2",
	"dlen", "service", "op", "request", "trace", "span", "txn", "log", "data",
};

/* What was best for a mixed load, until the first trial. By number, see columns.c: 1 as it is, 2 delta, 3 group, 5 group delta. */
static const uint8_t first_coding[KP_COL_DATA] = {
	[KP_COL_KIND] = 1, [KP_COL_TASK] = 1, [KP_COL_END] = 2, [KP_COL_DUR] = 5, [KP_COL_FLAGS] = 3, [KP_COL_CPU] = 3, [KP_COL_PEER] = 3,
	[KP_COL_A0] = 3, [KP_COL_A0 + 1] = 5, [KP_COL_A0 + 2] = 3, [KP_COL_A0 + 3] = 3, [KP_COL_A0 + 4] = 3, [KP_COL_A5] = 3,
	[KP_COL_RET] = 5, [KP_COL_OBJ] = 5, [KP_COL_STACK] = 3, [KP_COL_STACK2] = 3, [KP_COL_DLEN] = 3,
	[KP_COL_CTX ... KP_COL_DATA - 1] = 3,
};

int kp_col_by_name(struct kp_view name)
{
	for (int i = 0; i < KP_COL_MAX; i++)
		if (kp_view_is(name, kp_col_names[i]))
			return i;
	return -1;
}

static int grow(struct kp_build_col *c, uint32_t n)
{
	uint32_t cap = c->cap ? c->cap : 256;
	uint64_t *v;

	while (cap < n)
		cap *= 2;
	v = realloc(c->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->v = v;
	c->cap = cap;
	return 0;
}

static inline int put(struct kp_build *b, enum kp_col col, uint64_t v)
{
	struct kp_build_col *c = &b->c[col];

	if (!v)
		return 0;
	if (b->n >= c->cap && grow(c, b->n + 1))
		return -ENOMEM;
	if (c->filled < b->n)
		memset(c->v + c->filled, 0, (b->n - c->filled) * sizeof(*c->v));
	c->v[b->n] = v;
	c->filled = b->n + 1;
	return 0;
}

static uint32_t kept(const struct kp_str *s)
{
	return s->len < KP_MAX_STR ? s->len : KP_MAX_STR;
}

/* New strings count with all their bytes: a block of long paths is full before it has many rows. */
static int note_str(struct kp_build *b, const struct kp_str *s)
{
	uint32_t ix, before = b->str.n;

	if (kp_dict_ix(&b->str, s, &ix))
		return -ENOMEM;
	if (b->str.n != before)
		b->extra_bytes += kept(s) + 9;
	return 0;
}

static int note_task(struct kp_build *b, const struct kp_task *t)
{
	int err = note_str(b, t->comm) | note_str(b, t->exe);

	for (int i = 0; i < KP_CG_MAX; i++)
		err |= note_str(b, t->cgroup[i]);
	b->extra_bytes += 70;
	return err;
}

static int note_obj(struct kp_build *b, const struct kp_obj *o)
{
	b->extra_bytes += 80;
	return note_str(b, o->name);
}

static uint32_t frames(const struct kp_stack *s)
{
	return s->n < KP_MAX_FRAMES ? s->n : KP_MAX_FRAMES;
}

static int note_stack(struct kp_build *b, const struct kp_stack *s)
{
	int err = 0;

	for (uint32_t i = 0; i < frames(s); i++)
		err |= note_str(b, s->frame[i]);
	b->extra_bytes += 5 * frames(s) + 5;
	return err;
}

/* A reference into a dictionary; 1 if the value is new there. */
static inline int put_dict(struct kp_build *b, enum kp_col col, struct kp_dict *d, const void *p)
{
	uint32_t ix, before = d->n;

	if (!p)
		return 0;
	if (kp_dict_ix(d, p, &ix) || put(b, col, ix))
		return -ENOMEM;
	return d->n != before;
}

static int put_task(struct kp_build *b, enum kp_col col, const struct kp_task *t)
{
	int rc = put_dict(b, col, &b->task, t);

	return rc > 0 ? note_task(b, t) : rc;
}

static int put_stack(struct kp_build *b, enum kp_col col, const struct kp_stack *s)
{
	int rc = put_dict(b, col, &b->stack, s);

	return rc > 0 ? note_stack(b, s) : rc;
}

static int put_obj(struct kp_build *b, const struct kp_obj *o)
{
	int rc = put_dict(b, KP_COL_OBJ, &b->obj, o);

	return rc > 0 ? note_obj(b, o) : rc;
}

static int put_str(struct kp_build *b, enum kp_col col, const struct kp_str *s)
{
	return s ? note_str(b, s) | (put_dict(b, col, &b->str, s) < 0 ? -ENOMEM : 0) : 0;
}

int kp_build_row(struct kp_build *b, const struct kp_row *r)
{
	uint64_t start = kp_row_start(r);
	int err = 0;

	err |= put(b, KP_COL_END, r->end);
	err |= put(b, KP_COL_DUR, r->dur);
	err |= put(b, KP_COL_KIND, r->kind);
	err |= put(b, KP_COL_FLAGS, r->flags);
	err |= put(b, KP_COL_CPU, r->cpu);
	err |= put_task(b, KP_COL_TASK, r->task);
	err |= put_task(b, KP_COL_PEER, r->peer);
	for (int i = 0; i < 6; i++)
		err |= put(b, KP_COL_A0 + i, r->a[i]);
	err |= put(b, KP_COL_RET, (uint64_t)r->ret);
	err |= put_obj(b, r->obj);
	err |= put_stack(b, KP_COL_STACK, r->stack);
	err |= put_stack(b, KP_COL_STACK2, r->stack2);
	err |= put(b, KP_COL_DLEN, r->data_len);
	for (int i = 0; i < KP_CTX_MAX; i++)
		err |= put_str(b, KP_COL_CTX + i, r->ctx[i]);
	if (r->data_len)
		err |= kp_buf_add(&b->data, r->data, r->data_len);
	if (err)
		return -ENOMEM;
	if (!b->n || start < b->min_start)
		b->min_start = start;
	if (r->end > b->max_end)
		b->max_end = r->end;
	if (r->dur > b->max_dur)
		b->max_dur = r->dur;
	b->kinds[r->kind / 64] |= 1ull << r->kind % 64;
	b->n++;
	return 0;
}

uint64_t kp_build_bytes(const struct kp_build *b)
{
	uint64_t cols = 0;

	for (int i = 0; i < KP_COL_DATA; i++)
		cols += b->c[i].filled != 0;
	return cols * b->n * sizeof(uint64_t) + b->data.len + b->extra_bytes;
}

/* ---- packing ---- */

int kp_scratch_init(struct kp_scratch *s)
{
	memset(s, 0, sizeof(*s));
	s->tmp = malloc(KP_MAX_ROWS * sizeof(*s->tmp));
	s->perm = malloc(KP_MAX_ROWS * sizeof(*s->perm));
	s->perm2 = malloc(KP_MAX_ROWS * sizeof(*s->perm2));
	s->count = calloc(KP_GROUPS, sizeof(*s->count));
	if (s->tmp && s->perm && s->perm2 && s->count)
		return 0;
	kp_scratch_free(s);
	return -ENOMEM;
}

void kp_scratch_free(struct kp_scratch *s)
{
	free(s->tmp);
	free(s->perm);
	free(s->perm2);
	free(s->count);
	for (int i = 0; i < KP_ROOMS; i++)
		free(s->room[i].v);
	memset(s, 0, sizeof(*s));
}

/* Which coding makes this column smallest: tried out, since it depends on what the system does. */
static int choose(struct kp_build *b, int col, struct kp_packer *p, const struct kp_scratch *s)
{
	size_t best = SIZE_MAX, n;

	for (unsigned i = 0; i < KP_CODINGS; i++) {
		if (col <= KP_COL_TASK && kp_coding_grouped(i))
			continue;
		p->plain.len = 0;
		if (kp_column_encode(&p->plain, i, b->c[col].v, b->n, s->perm, s->tmp, col == KP_COL_RET) ||
		    kp_buf_reserve(&p->frames, ZSTD_compressBound(p->plain.len)))
			return -ENOMEM;
		n = ZSTD_compress2(p->zc, p->frames.p + p->frames.len, p->frames.cap - p->frames.len, p->plain.p, p->plain.len);
		if (!ZSTD_isError(n) && n < best) {
			best = n;
			b->coding[col] = i;
		}
	}
	p->plain.len = 0;
	return 0;
}

static int pack_column(struct kp_build *b, int col, struct kp_packer *p, struct kp_scratch *s)
{
	if (kp_column_encode(&p->plain, b->coding[col], b->c[col].v, b->n, s->perm, s->tmp, col == KP_COL_RET))
		return -ENOMEM;
	return kp_packer_frame(p);
}

static int str_ix(struct kp_build *b, const struct kp_str *s, uint32_t *ix)
{
	return kp_dict_ix(&b->str, s, ix);
}

static int enc_str(struct kp_build *b, struct kp_buf *o, const struct kp_str *s)
{
	uint32_t ix;
	int err = str_ix(b, s, &ix);

	kp_enc_uint(o, ix);
	return err;
}

static int enc_task(struct kp_build *b, struct kp_buf *o, const struct kp_task *t)
{
	int err = 0;

	kp_enc_array(o, 8 + KP_CG_MAX);
	kp_enc_uint(o, t->tid);
	kp_enc_uint(o, t->tgid);
	kp_enc_uint(o, t->start);
	kp_enc_uint(o, t->ns_tid);
	kp_enc_uint(o, t->ns_tgid);
	kp_enc_uint(o, t->kthread);
	err |= enc_str(b, o, t->comm);
	err |= enc_str(b, o, t->exe);
	for (int i = 0; i < KP_CG_MAX; i++)
		err |= enc_str(b, o, t->cgroup[i]);
	return err;
}

static size_t addr_len(const struct kp_obj *o, const uint8_t *addr)
{
	size_t n = o->family == 2 /* AF_INET */ ? 4 : 16;

	while (n && !addr[n - 1])
		n--;
	return n;
}

static int enc_obj(struct kp_build *b, struct kp_buf *out, const struct kp_obj *o)
{
	int err;

	kp_enc_array(out, o->type == KP_OBJ_SOCKET ? 10 : 4);
	kp_enc_uint(out, o->type);
	kp_enc_uint(out, o->dev);
	kp_enc_uint(out, o->id);
	err = enc_str(b, out, o->name);
	if (o->type != KP_OBJ_SOCKET)
		return err;
	kp_enc_uint(out, o->family);
	kp_enc_uint(out, o->proto);
	kp_enc_bytes(out, o->laddr, addr_len(o, o->laddr));
	kp_enc_uint(out, o->lport);
	kp_enc_bytes(out, o->raddr, addr_len(o, o->raddr));
	kp_enc_uint(out, o->rport);
	return err;
}

static int enc_dicts(struct kp_build *b, struct kp_buf *o)
{
	int err = 0;

	kp_enc_text(o, "tasks");
	kp_enc_array(o, b->task.n);
	for (uint32_t i = 0; i < b->task.n; i++)
		err |= enc_task(b, o, b->task.val[i]);
	kp_enc_text(o, "objs");
	kp_enc_array(o, b->obj.n);
	for (uint32_t i = 0; i < b->obj.n; i++)
		err |= enc_obj(b, o, b->obj.val[i]);
	kp_enc_text(o, "stacks");
	kp_enc_array(o, b->stack.n);
	for (uint32_t i = 0; i < b->stack.n; i++) {
		const struct kp_stack *s = b->stack.val[i];

		kp_enc_array(o, frames(s));
		for (uint32_t j = 0; j < frames(s); j++)
			err |= enc_str(b, o, s->frame[j]);
	}
	kp_enc_text(o, "strs");	/* last, as the others add to it */
	kp_enc_array(o, b->str.n);
	for (uint32_t i = 0; i < b->str.n; i++) {
		const struct kp_str *s = b->str.val[i];

		kp_enc_bytes(o, s->p, kept(s));
	}
	return err || o->err ? -ENOMEM : 0;
}

static int pack_map(struct kp_build *b, const struct kp_block_head *h, uint32_t ncols, struct kp_packer *p)
{
	struct kp_buf *o = &p->plain;
	bool key = h->flags & KP_IX_KEYFRAME;

	kp_enc_array(o, 1 + ncols);
	kp_enc_map(o, 13 + (key ? 2 : 0));
	kp_enc_text(o, "t");
	kp_enc_text(o, "block");
	kp_enc_text(o, "source");
	kp_enc_uint(o, h->source);
	kp_enc_text(o, "seq");
	kp_enc_uint(o, h->seq);
	kp_enc_text(o, "session");
	kp_enc_uint(o, h->session);
	kp_enc_text(o, "rows");
	kp_enc_uint(o, b->n);
	kp_enc_text(o, "start");
	kp_enc_uint(o, b->min_start);
	kp_enc_text(o, "end");
	kp_enc_uint(o, b->max_end);
	kp_enc_text(o, "flags");
	kp_enc_uint(o, h->flags);
	if (key) {
		kp_enc_text(o, "t0");
		kp_enc_uint(o, h->t0);
		kp_enc_text(o, "t1");
		kp_enc_uint(o, h->t1);
	}
	if (enc_dicts(b, o))
		return -ENOMEM;
	kp_enc_text(o, "cols");
	kp_enc_array(o, ncols);
	for (int i = 0; i < KP_COL_DATA; i++)
		if (b->c[i].filled) {
			kp_enc_array(o, 2);
			kp_enc_text(o, kp_col_names[i]);
			kp_enc_text(o, kp_coding_name(b->coding[i]));
		}
	if (b->data.len) {
		kp_enc_array(o, 2);
		kp_enc_text(o, kp_col_names[KP_COL_DATA]);
		kp_enc_text(o, "");
	}
	return kp_packer_frame(p);
}

static int pack_end(struct kp_build *b, const struct kp_block_head *h, struct kp_packer *p)
{
	struct kp_index x = { .type = KP_I_BLOCK, .flags = h->flags, .source = h->source, .rows = b->n, .seq = h->seq,
		.min_start = b->min_start, .max_end = b->max_end, .max_dur = b->max_dur, .ntasks = KP_IX_ANY_TASKS };
	uint16_t kinds[1024];
	uint32_t tasks[INDEX_TASKS * 2];

	for (uint32_t i = 0; i < 65536; i++) {
		if (!b->kinds[i / 64])
			i |= 63;
		else if (b->kinds[i / 64] >> i % 64 & 1) {
			if (x.nkinds == 1024) {
				x.nkinds = KP_IX_ANY_KINDS;
				break;
			}
			kinds[x.nkinds++] = i;
		}
	}
	x.kinds = kinds;
	if (b->task.n <= INDEX_TASKS) {
		x.ntasks = b->task.n;
		for (uint32_t i = 0; i < b->task.n; i++) {
			const struct kp_task *t = b->task.val[i];

			tasks[i * 2] = t->tid;
			tasks[i * 2 + 1] = t->tgid;
		}
	}
	x.tasks = tasks;
	return kp_packer_end(p, &x);
}

static void empty(struct kp_build *b)
{
	for (int i = 0; i < KP_COL_DATA; i++)
		b->c[i].filled = 0;
	kp_dict_clear(&b->task);
	kp_dict_clear(&b->obj);
	kp_dict_clear(&b->stack);
	kp_dict_clear(&b->str);
	memset(b->kinds, 0, sizeof(b->kinds));
	b->data.len = 0;
	b->min_start = b->max_end = b->max_dur = b->extra_bytes = 0;
	b->n = 0;
	b->blocks++;
}

int kp_build_pack(struct kp_build *b, const struct kp_block_head *h, struct kp_packer *p, struct kp_scratch *s)
{
	uint32_t ncols = b->data.len != 0;
	int err = b->data.err;

	kp_packer_begin(p);
	/* every column to its full length; kind is never left out, so that every block has one */
	for (int i = 0; i < KP_COL_DATA && !err; i++) {
		struct kp_build_col *c = &b->c[i];

		if (!c->filled && i != KP_COL_KIND)
			continue;
		ncols++;
		if (c->cap < b->n)
			err = grow(c, b->n);
		if (!err)
			memset(c->v + c->filled, 0, (b->n - c->filled) * sizeof(*c->v));
		c->filled = b->n;
	}
	if (!err)
		kp_group_order(b->c[KP_COL_KIND].v, b->c[KP_COL_TASK].filled ? b->c[KP_COL_TASK].v : NULL, b->n, s->perm, s->perm2, s->count);
	if (!b->blocks)
		memcpy(b->coding, first_coding, sizeof(b->coding));
	for (int i = 0; i < KP_COL_DATA && !err; i++)
		if (b->c[i].filled && b->blocks % TRY_EVERY == (uint64_t)i * 2)
			err = choose(b, i, p, s);
	if (!err)
		err = pack_map(b, h, ncols, p);
	for (int i = 0; i < KP_COL_DATA && !err; i++)
		if (b->c[i].filled)
			err = pack_column(b, i, p, s);
	if (!err && b->data.len) {
		kp_enc_bytes(&p->plain, b->data.p, b->data.len);
		err = kp_packer_frame(p);
	}
	if (!err)
		err = pack_end(b, h, p);
	empty(b);
	return err;
}

void kp_build_free(struct kp_build *b)
{
	for (int i = 0; i < KP_COL_DATA; i++)
		free(b->c[i].v);
	kp_buf_free(&b->data);
	kp_dict_free(&b->task);
	kp_dict_free(&b->obj);
	kp_dict_free(&b->stack);
	kp_dict_free(&b->str);
}
