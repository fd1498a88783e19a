/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CSV as in RFC 4180, for spreadsheets and statistics: a header line, then a
 * line a row. Text cells that a spreadsheet would take for a formula get a
 * quote in front: a comm may be "=cmd|...".
 */
#include "export_int.h"

#include <errno.h>
#include <stdlib.h>

enum { OBJ_TEXT = 32768 };

struct csv { struct memo tasks, objs; char *obj; struct kp_buf cell; };

static const char header[] = "time,host,end,dur,kind,cpu,pid,tid,comm,args,ret,obj,flags,service,op,request\r\n";

/* Text that is escaped already: no control characters, no line breaks. */
static void put_cell(struct kp_buf *b, const char *s, size_t len)
{
	bool formula = len && strchr("=+-@", s[0]), quote = formula;

	for (size_t i = 0; i < len && !quote; i++)
		quote = s[i] == '"' || s[i] == ',' || s[i] == ';' || s[i] == '\'' || s[i] == ' ';
	if (!quote) {
		kp_buf_add(b, s, len);
		return;
	}
	kp_buf_str(b, formula ? "\"'" : "\"");
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '"')
			kp_buf_char(b, '"');
		kp_buf_char(b, s[i]);
	}
	kp_buf_char(b, '"');
}

static void put_str(struct kp_export *x, const struct kp_str *s)
{
	struct csv *c = x->own;

	if (!s || !s->len)
		return;
	c->cell.len = 0;
	kp_buf_escape(&c->cell, s->p, s->len);
	put_cell(&x->buf, (const char *)c->cell.p, c->cell.len);
}

/* pid, tid, comm */
static void put_task(struct kp_export *x, const struct kp_task *t)
{
	struct csv *c = x->own;
	const struct memo_slot *m = t ? kp_memo_get(&c->tasks, t) : NULL;
	struct kp_buf *b = &x->buf;
	size_t at = b->len;

	if (!t) {
		PUT(b, ",,");
		return;
	}
	if (m) {
		kp_buf_add(b, m->p, m->len);
		return;
	}
	kp_buf_u64(b, t->tgid);
	kp_buf_char(b, ',');
	kp_buf_u64(b, t->tid);
	kp_buf_char(b, ',');
	put_str(x, t->comm);
	if (!b->err)
		kp_memo_put(&c->tasks, t, b->p + at, b->len - at);
}

static void put_obj(struct kp_export *x, const struct kp_obj *o)
{
	struct csv *c = x->own;
	const struct memo_slot *m = o ? kp_memo_get(&c->objs, o) : NULL;
	size_t at = x->buf.len;

	if (!o)
		return;
	if (m) {
		kp_buf_add(&x->buf, m->p, m->len);
		return;
	}
	kp_fmt_obj(c->obj, OBJ_TEXT, o);
	put_cell(&x->buf, c->obj, strlen(c->obj));
	if (!x->buf.err)
		kp_memo_put(&c->objs, o, x->buf.p + at, x->buf.len - at);
}

/* Names where a unit has names, plain numbers where it measures. */
static void put_args(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	struct csv *c = x->own;
	struct kp_buf *a = &c->cell;

	a->len = 0;
	for (int i = 0; i < k->nargs; i++) {
		if (i)
			kp_buf_char(a, ' ');
		kp_buf_escape(a, k->arg[i], strlen(k->arg[i]));
		kp_buf_char(a, '=');
		if (k->unit[i] == KP_U_NS)
			kp_buf_u64(a, row->a[i]);
		else
			kp_export_arg(a, k->unit[i], row->a[i]);
	}
	if (a->len)
		put_cell(&x->buf, (const char *)a->p, a->len);
}

static void put_flags(struct kp_buf *b, uint32_t flags)
{
	const char *name;
	unsigned i = 0, n = 0;

	while ((name = kp_export_flag(flags, &i))) {
		kp_buf_str(b, n++ ? " " : "\"");
		kp_buf_str(b, name);
	}
	if (n)
		kp_buf_char(b, '"');
}

static void put_head(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	const struct kp_source *src = kp_export_source(x, row);
	struct kp_buf *b = &x->buf;
	struct csv *c = x->own;
	char time[48];

	if (kp_export_time(x, row, time))
		kp_buf_str(b, time);
	kp_buf_char(b, ',');
	put_str(x, src ? src->host : NULL);
	kp_buf_char(b, ',');
	kp_buf_u64(b, row->end);
	kp_buf_char(b, ',');
	kp_buf_u64(b, row->dur);
	kp_buf_char(b, ',');
	c->cell.len = 0;
	if (k)
		kp_buf_escape(&c->cell, k->name, strlen(k->name));
	else
		kp_buf_printf(&c->cell, "#%u", row->kind);
	put_cell(b, (const char *)c->cell.p, c->cell.len);
	kp_buf_char(b, ',');
	kp_buf_u64(b, row->cpu);
	kp_buf_char(b, ',');
}

static int csv_row(struct kp_export *x, const struct kp_row *row, struct kp_err *err)
{
	const struct kp_kind *k = kp_kind_by_id(x->o.kinds, row->kind);
	struct kp_buf *b = &x->buf;
	struct csv *c = x->own;

	put_head(x, k, row);
	put_task(x, row->task);
	kp_buf_char(b, ',');
	if (k)
		put_args(x, k, row);
	kp_buf_char(b, ',');
	if (k && k->ret_unit != KP_U_NONE)
		kp_buf_i64(b, row->ret);
	kp_buf_char(b, ',');
	put_obj(x, row->obj);
	kp_buf_char(b, ',');
	put_flags(b, row->flags);
	for (int i = KP_CTX_SERVICE; i <= KP_CTX_REQUEST; i++) {
		kp_buf_char(b, ',');
		put_str(x, row->ctx[i]);
	}
	PUT(b, "\r\n");
	return c->cell.err ? kp_err(err, c->cell.err, "no memory") : 0;
}

static int csv_open(struct kp_export *x, struct kp_err *err)
{
	struct csv *c = x->own;

	c->obj = malloc(OBJ_TEXT);
	return c->obj && !kp_buf_str(&x->buf, header) ? 0 : kp_err(err, ENOMEM, "no memory");
}

static int csv_forget(struct kp_export *x, struct kp_err *err)
{
	struct csv *c = x->own;

	kp_memo_free(&c->tasks);
	kp_memo_free(&c->objs);
	return 0;
}

static int csv_close(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err)
{
	struct csv *c = x->own;

	csv_forget(x, err);
	kp_buf_free(&c->cell);
	free(c->obj);
	return 0;
}

const struct format kp_format_csv = {
	.name = "csv", .size = sizeof(struct csv), .open = csv_open, .row = csv_row, .forget = csv_forget, .close = csv_close,
};
