/* SPDX-License-Identifier: BSD-2-Clause */
/* One JSON object a line; names and order as in kp-query(1). */
#include "export_int.h"

#include <arpa/inet.h>
#include <sys/socket.h>

struct json { struct memo tasks, peers, objs, stacks; };

/* Above 2^53 many readers round: such numbers are strings. */
static const uint64_t EXACT = 1ull << 53;

static void put_u64(struct kp_buf *b, uint64_t v)
{
	if (v <= EXACT) {
		kp_buf_u64(b, v);
		return;
	}
	kp_buf_char(b, '"');
	kp_buf_u64(b, v);
	kp_buf_char(b, '"');
}

static void put_i64(struct kp_buf *b, int64_t v)
{
	if (v >= 0) {
		put_u64(b, v);
		return;
	}
	if (v < -(int64_t)EXACT)
		kp_buf_char(b, '"');
	kp_buf_i64(b, v);
	if (v < -(int64_t)EXACT)
		kp_buf_char(b, '"');
}

static void put_text(struct kp_buf *b, const void *p, size_t len)
{
	kp_buf_char(b, '"');
	kp_buf_json(b, p, len);
	kp_buf_char(b, '"');
}

static void key_u64(struct kp_buf *b, const char *key, uint64_t v)
{
	if (!v)
		return;
	kp_buf_str(b, key);
	put_u64(b, v);
}

static void key_str(struct kp_buf *b, const char *key, const struct kp_str *s)
{
	if (!s || !s->len)
		return;
	kp_buf_str(b, key);
	put_text(b, s->p, s->len);
}

static void put_task(struct kp_export *x, const struct kp_task *t)
{
	struct json *j = x->own;
	const struct memo_slot *m = kp_memo_get(&j->tasks, t);
	struct kp_buf *b = &x->buf;
	size_t at = b->len;

	if (m) {
		kp_buf_add(b, m->p, m->len);
		return;
	}
	key_u64(b, ",\"pid\":", t->tgid);
	key_u64(b, ",\"tid\":", t->tid);
	key_str(b, ",\"comm\":", t->comm);
	key_u64(b, ",\"start\":", t->start);
	key_str(b, ",\"exe\":", t->exe);
	key_str(b, ",\"cgroup\":", kp_export_cgroup(t));
	if (!b->err)
		kp_memo_put(&j->tasks, t, b->p + at, b->len - at);
}

static void put_peer(struct kp_export *x, const struct kp_task *t)
{
	struct json *j = x->own;
	const struct memo_slot *m = kp_memo_get(&j->peers, t);
	struct kp_buf *b = &x->buf;
	size_t at = b->len;

	if (m) {
		kp_buf_add(b, m->p, m->len);
		return;
	}
	PUT(b, ",\"peer\":{\"pid\":");
	kp_buf_u64(b, t->tgid);
	PUT(b, ",\"tid\":");
	kp_buf_u64(b, t->tid);
	key_str(b, ",\"comm\":", t->comm);
	key_u64(b, ",\"start\":", t->start);
	kp_buf_char(b, '}');
	if (!b->err)
		kp_memo_put(&j->peers, t, b->p + at, b->len - at);
}

static void put_addr(struct kp_buf *b, const char *key, uint8_t family, const uint8_t *addr)
{
	char text[INET6_ADDRSTRLEN];

	if (!inet_ntop(family, addr, text, sizeof(text)))
		return;
	kp_buf_str(b, key);
	kp_buf_str(b, text);
	kp_buf_char(b, '"');
}

static void put_obj(struct kp_export *x, const struct kp_obj *o)
{
	static const char *const type[] = { "none", "file", "socket", "pipe", "anon", "device", "futex", "cgroup", "lock", "name" };
	struct json *j = x->own;
	const struct memo_slot *m = kp_memo_get(&j->objs, o);
	struct kp_buf *b = &x->buf;
	size_t at = b->len;

	if (m) {
		kp_buf_add(b, m->p, m->len);
		return;
	}
	PUT(b, ",\"obj\":{\"type\":\"");
	kp_buf_str(b, o->type < sizeof(type) / sizeof(type[0]) ? type[o->type] : "other");
	kp_buf_char(b, '"');
	key_str(b, ",\"name\":", o->name);
	key_u64(b, ",\"id\":", o->id);
	key_u64(b, ",\"dev\":", o->dev);
	key_u64(b, ",\"family\":", o->family);
	key_u64(b, ",\"proto\":", o->proto);
	if (o->family == AF_INET || o->family == AF_INET6) {
		put_addr(b, ",\"laddr\":\"", o->family, o->laddr);
		key_u64(b, ",\"lport\":", o->lport);
		put_addr(b, ",\"raddr\":\"", o->family, o->raddr);
		key_u64(b, ",\"rport\":", o->rport);
	}
	kp_buf_char(b, '}');
	if (!b->err)
		kp_memo_put(&j->objs, o, b->p + at, b->len - at);
}

static void put_stack(struct kp_export *x, const char *key, const struct kp_stack *st)
{
	struct json *j = x->own;
	const struct memo_slot *m = kp_memo_get(&j->stacks, st);
	struct kp_buf *b = &x->buf;
	size_t at;

	kp_buf_str(b, key);
	at = b->len;
	if (m) {
		kp_buf_add(b, m->p, m->len);
		return;
	}
	kp_buf_char(b, '[');
	for (uint32_t i = 0; i < st->n; i++) {
		if (i)
			kp_buf_char(b, ',');
		put_text(b, st->frame[i]->p, st->frame[i]->len);
	}
	kp_buf_char(b, ']');
	if (!b->err)
		kp_memo_put(&j->stacks, st, b->p + at, b->len - at);
}

static void put_args(struct kp_buf *b, const struct kp_kind *k, const struct kp_row *row)
{
	PUT(b, ",\"args\":{");
	for (int i = 0; i < k->nargs; i++) {
		kp_buf_str(b, i ? ",\"" : "\"");
		kp_buf_json(b, k->arg[i], strlen(k->arg[i]));
		PUT(b, "\":");
		if (k->unit[i] == KP_U_FD || k->unit[i] == KP_U_TID)	/* an int in a register */
			put_i64(b, (int32_t)row->a[i]);
		else if (kp_unit_signed(k->unit[i]))
			put_i64(b, (int64_t)row->a[i]);
		else
			put_u64(b, row->a[i]);
	}
	kp_buf_char(b, '}');
}

static void put_flags(struct kp_buf *b, uint32_t flags)
{
	const char *name;
	unsigned i = 0, n = 0;

	while ((name = kp_export_flag(flags, &i))) {
		kp_buf_str(b, n++ ? "\",\"" : ",\"flags\":[\"");
		kp_buf_str(b, name);
	}
	if (n)
		PUT(b, "\"]");
}

static void put_head(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	const struct kp_source *src = kp_export_source(x, row);
	struct kp_buf *b = &x->buf;
	char time[48];

	PUT(b, "{\"end\":");
	put_u64(b, row->end);
	PUT(b, ",\"dur\":");
	put_u64(b, row->dur);
	PUT(b, ",\"kind\":");
	if (k)
		put_text(b, k->name, strlen(k->name));
	else
		kp_buf_printf(b, "\"#%u\"", row->kind);
	key_u64(b, ",\"cpu\":", row->cpu);
	key_str(b, ",\"host\":", src ? src->host : NULL);
	if (kp_export_time(x, row, time)) {
		PUT(b, ",\"time\":\"");
		kp_buf_str(b, time);
		kp_buf_char(b, '"');
	}
}

static int json_row(struct kp_export *x, const struct kp_row *row, struct kp_err *err)
{
	static const char *const ctx[KP_CTX_MAX] = { ",\"service\":", ",\"op\":", ",\"request\":", ",\"trace\":", ",\"span\":",
						     ",\"txn\":", ",\"log\":" };
	const struct kp_kind *k = kp_kind_by_id(x->o.kinds, row->kind);
	struct kp_buf *b = &x->buf;

	put_head(x, k, row);
	if (row->task)
		put_task(x, row->task);
	if (row->peer)
		put_peer(x, row->peer);
	if (k && k->nargs)
		put_args(b, k, row);
	if (k && k->ret_unit != KP_U_NONE) {
		PUT(b, ",\"ret\":");
		put_i64(b, row->ret);
	}
	if (row->obj && row->obj->type != KP_OBJ_NONE)
		put_obj(x, row->obj);
	if (row->stack)
		put_stack(x, ",\"stack\":", row->stack);
	if (row->stack2)
		put_stack(x, ",\"stack2\":", row->stack2);
	if (row->data_len) {
		PUT(b, ",\"data\":");
		put_text(b, row->data, row->data_len);
	}
	put_flags(b, row->flags);
	for (int i = 0; i < KP_CTX_MAX; i++)
		key_str(b, ctx[i], row->ctx[i]);
	key_u64(b, ",\"source\":", row->source);
	PUT(b, "}\n");
	return 0;
}

static int json_forget(struct kp_export *x, struct kp_err *err)
{
	struct json *j = x->own;

	kp_memo_free(&j->tasks);
	kp_memo_free(&j->peers);
	kp_memo_free(&j->objs);
	kp_memo_free(&j->stacks);
	return 0;
}

static int json_close(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err)
{
	return json_forget(x, err);
}

const struct format kp_format_json = {
	.name = "json", .size = sizeof(struct json), .row = json_row, .forget = json_forget, .close = json_close,
};
