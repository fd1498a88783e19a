/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A comparison with something that a row does not have is false, whatever the
 * operator. A field with several values (cgroup: one per controller; stack:
 * frames) is equal, matches or has if one of them does.
 */
#include "expr_int.h"

#include <stdlib.h>
#include <string.h>

enum { OBJ_TEXT = 32768 };

void kp_expr_header(struct kp_expr *e, const struct kp_header *h)
{
	e->hdr = h;
}

static bool get_arg(struct kp_expr *e, const struct arg_name *a, const struct kp_row *row, num_t *v)
{
	const struct kp_kind *k;
	uint8_t at = a->at[row->kind];

	if (at == 1)
		return false;
	k = kp_kind_by_id(e->kinds, row->kind);
	if (!at) {
		at = 1;
		for (int i = 0; k && i < k->nargs; i++)
			if (!strcmp(k->arg[i], a->name))
				at = i + 2;
		if (k)	/* a kind may become known with a later header */
			a->at[row->kind] = at;
		if (at == 1)
			return false;
	}
	uint64_t u = row->a[at - 2];
	uint8_t unit = k->unit[at - 2];

	if (unit == KP_U_FD || unit == KP_U_TID)
		*v = (int32_t)u;
	else
		*v = kp_unit_signed(unit) ? (num_t)(int64_t)u : (num_t)u;
	return true;
}

static bool get_task_num(const struct field *f, const struct kp_row *row, num_t *v)
{
	const struct kp_task *t = f->peer ? row->peer : row->task;

	if (!t)
		return false;
	switch (f->get) {
	case G_PID: *v = t->tgid; return true;
	case G_TID: *v = t->tid; return true;
	case G_NSPID: *v = t->ns_tgid; return t->ns_tgid;
	case G_NSTID: *v = t->ns_tid; return t->ns_tid;
	default: *v = t->kthread; return true;
	}
}

static bool get_obj_num(const struct field *f, const struct kp_obj *o, num_t *v)
{
	if (!o)
		return false;
	switch (f->get) {
	case G_OBJ_ID: *v = o->id; return true;
	case G_OBJ_DEV: *v = o->dev; return true;
	case G_OBJ_LPORT: *v = o->lport; return o->type == KP_OBJ_SOCKET;
	default: *v = o->rport; return o->type == KP_OBJ_SOCKET;
	}
}

static bool get_num(struct kp_expr *e, const struct field *f, const struct kp_row *row, num_t *v)
{
	const struct kp_kind *k;

	switch (f->get) {
	case G_FLAG: *v = !!(row->flags & f->arg); return true;
	case G_END: *v = row->end; return true;
	case G_DUR: *v = row->dur; return true;
	case G_START: *v = kp_row_start(row); return true;
	case G_CPU: *v = row->cpu; return true;
	case G_SOURCE: *v = row->source; return true;
	case G_ARG: return get_arg(e, &e->args[f->arg], row, v);
	case G_FAILED: *v = kp_failed(kp_kind_by_id(e->kinds, row->kind), row->ret); return true;
	case G_RET:
		k = kp_kind_by_id(e->kinds, row->kind);
		*v = row->ret;
		return k && k->ret_unit != KP_U_NONE;
	case G_OBJ_ID: case G_OBJ_DEV: case G_OBJ_LPORT: case G_OBJ_RPORT:
		return get_obj_num(f, row->obj, v);
	default: return get_task_num(f, row, v);
	}
}

static bool of_str(const struct kp_str *s, struct text *t)
{
	if (!s)
		return false;
	*t = (struct text){ (const uint8_t *)s->p, s->len };
	return true;
}

static bool of_cstr(const char *s, struct text *t)
{
	*t = (struct text){ (const uint8_t *)s, strlen(s) };
	return true;
}

/* The obj as printed, but with its bytes as they are. */
static bool obj_text(struct kp_expr *e, const struct kp_obj *o, struct text *t)
{
	if (!o || o->type == KP_OBJ_NONE)
		return false;
	if (o->name && o->name->len && o->type != KP_OBJ_SOCKET)
		return of_str(o->name, t);
	if (!e->objbuf && !(e->objbuf = malloc(OBJ_TEXT)))
		return false;
	if (e->obj_of != o) {
		kp_fmt_obj(e->objbuf, OBJ_TEXT, o);
		e->objlen = kp_unescape(e->objbuf);
		e->obj_of = o;
	}
	*t = (struct text){ (const uint8_t *)e->objbuf, e->objlen };
	return true;
}

static bool obj_type(const struct kp_obj *o, struct text *t)
{
	static const char *const name[] = { "none", "file", "socket", "pipe", "anon", "device", "futex", "cgroup", "lock", "name" };

	return o && o->type < sizeof(name) / sizeof(name[0]) && of_cstr(name[o->type], t);
}

static bool task_text(const struct field *f, const struct kp_row *row, uint32_t i, struct text *t)
{
	const struct kp_task *task = f->peer ? row->peer : row->task;

	if (!task)
		return false;
	if (f->get != G_CGROUP)
		return !i && of_str(f->get == G_COMM ? task->comm : task->exe, t);
	for (int c = 0; c < KP_CG_MAX; c++)
		if (task->cgroup[c] && i-- == 0)
			return of_str(task->cgroup[c], t);
	return false;
}

/* Value i of a text field; false behind the last. */
static bool get_text(struct kp_expr *e, const struct field *f, const struct kp_row *row, uint32_t i, struct text *t)
{
	const struct kp_stack *st = f->get == G_STACK ? row->stack : row->stack2;
	const struct kp_kind *k;

	switch (f->get) {
	case G_COMM: case G_EXE: case G_CGROUP:
		return task_text(f, row, i, t);
	case G_STACK: case G_STACK2:
		return st && i < st->n && of_str(st->frame[i], t);
	}
	if (i)
		return false;
	switch (f->get) {
	case G_KIND:
		k = kp_kind_by_id(e->kinds, row->kind);
		return k && of_cstr(k->name, t);
	case G_HOST: return e->hdr && row->source < e->hdr->nsources && of_str(e->hdr->sources[row->source].host, t);
	case G_OBJ: return obj_text(e, row->obj, t);
	case G_OBJ_TYPE: return obj_type(row->obj, t);
	case G_CTX: return of_str(row->ctx[f->arg], t);
	default:
		*t = (struct text){ row->data, row->data_len };
		return row->data_len;
	}
}

static bool contains(const struct konst *k, const struct text *t)
{
	for (size_t i = 0; i + k->len <= t->len; i++) {
		size_t j = 0;

		/* a star is just a star where a part is looked for */
		while (j < k->len && (k->pat[j] == WILD ? '*' : k->pat[j]) == t->p[i + j])
			j++;
		if (j == k->len)
			return true;
	}
	return false;
}

static bool one_text(struct kp_expr *e, const struct node *n, const struct text *t)
{
	if (n->re)
		return pcre2_match(n->re, (PCRE2_SPTR)t->p, t->len, 0, 0, n->md, e->mctx) >= 0;
	for (uint32_t i = 0; i < n->nk; i++)
		if (n->op == N_HAS ? contains(&n->k[i], t) : kp_expr_glob(&n->k[i], t->p, t->len))
			return true;
	return false;
}

static bool same_texts(struct kp_expr *e, const struct node *n, const struct kp_row *row, const struct text *t)
{
	struct text u;

	/* an obj's text lives in one buffer: both sides can only be the row's own */
	for (uint32_t i = 0; get_text(e, &n->r, row, i, &u); i++)
		if (t->len == u.len && !memcmp(t->p, u.p, t->len))
			return true;
	return false;
}

static bool match_text(struct kp_expr *e, const struct node *n, const struct kp_row *row)
{
	bool negative = n->op == N_NE || n->op == N_NMATCH, any = false, hit = false;
	struct text t, u;

	if (n->r.name && !get_text(e, &n->r, row, 0, &u))
		return false;
	for (uint32_t i = 0; !hit && get_text(e, &n->l, row, i, &t); i++) {
		any = true;
		hit = n->r.name ? same_texts(e, n, row, &t) : one_text(e, n, &t);
	}
	return negative ? any && !hit : hit;
}

/* Kinds are few and rows many: the answer is kept per kind. */
static bool match_kind(struct kp_expr *e, struct node *n, const struct kp_row *row)
{
	uint8_t *c;
	bool hit;

	if (!n->kind_cache)
		n->kind_cache = kp_expr_alloc(e, UINT16_MAX + 1);
	c = n->kind_cache ? &n->kind_cache[row->kind] : NULL;
	if (c && *c)
		return *c == 2;
	hit = match_text(e, n, row);
	if (c && kp_kind_by_id(e->kinds, row->kind))
		*c = hit ? 2 : 1;
	return hit;
}

static bool compare(uint8_t op, num_t a, num_t b)
{
	switch (op) {
	case N_EQ: return a == b;
	case N_NE: return a != b;
	case N_LT: return a < b;
	case N_LE: return a <= b;
	case N_GT: return a > b;
	default: return a >= b;
	}
}

static bool match_num(struct kp_expr *e, const struct node *n, const struct kp_row *row)
{
	num_t a, b;

	if (!get_num(e, &n->l, row, &a))
		return false;
	if (n->r.name)
		return get_num(e, &n->r, row, &b) && compare(n->op, a, b);
	for (uint32_t i = 0; i < n->nk; i++) {
		num_t v = n->k[i].state ? kp_state_letter((uint64_t)a) : a;

		if (compare(n->op, v, n->k[i].num))
			return true;
	}
	return false;
}

static bool has_value(struct kp_expr *e, const struct field *f, const struct kp_row *row)
{
	struct text t;
	num_t v;

	if (f->type == F_TEXT)
		return get_text(e, f, row, 0, &t) && t.len;
	return get_num(e, f, row, &v) && v;
}

static bool match(struct kp_expr *e, struct node *n, const struct kp_row *row)
{
	switch (n->op) {
	case N_AND:
		for (struct node *c = n->first; c; c = c->next)
			if (!match(e, c, row))
				return false;
		return true;
	case N_OR:
		for (struct node *c = n->first; c; c = c->next)
			if (match(e, c, row))
				return true;
		return false;
	case N_NOT: return !match(e, n->first, row);
	case N_TRUE: return true;
	case N_FALSE: return false;
	case N_HAS_VALUE: return has_value(e, &n->l, row);
	}
	if (n->l.type != F_TEXT)
		return match_num(e, n, row);
	if (n->l.get == G_KIND && !n->r.name)
		return match_kind(e, n, row);
	return match_text(e, n, row);
}

bool kp_expr_match(struct kp_expr *e, const struct kp_row *row)
{
	/* a pool may have been freed and its address used again since the last row of another reader */
	e->obj_of = NULL;
	return match(e, e->root, row);
}
