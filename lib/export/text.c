/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line a row, for people: time, duration, who, what with which arguments,
 * on what, result, and the request it was for. Columns up to the operation
 * have fixed places, so that the eye can run down one of them.
 */
#include "export_int.h"

#include <errno.h>
#include <stdlib.h>

enum { OBJ_TEXT = 32768, WHO_WIDTH = 24, KIND_WIDTH = 14, HOST_MAX = 20, DUR_WIDTH = 9 };
#define SLOW (10 * 1000000ull)

#define RED "\033[31m"
#define ALARM "\033[1;31m"
#define YELLOW "\033[33m"
#define DIM "\033[2m"
#define OFF "\033[0m"

struct text {
	struct memo tasks, objs;
	char *obj;
	uint32_t hosts;		/* sources when host_width was found */
	uint32_t host_width;	/* 0: one host, no column */
	struct text_clock clock;
};

/* What a row's peer is to its task. */
static const struct role { uint16_t kind; const char *word; } roles[] = {
	{ KP_K_SCHED_SWITCH, "to " }, { KP_K_SCHED_WAKE, "woken by " }, { KP_K_PROC_FORK, "made " }, { KP_K_SIG_SEND, "to " },
	{ KP_K_MM_REFAULT, "evicted by " }, { KP_K_MM_OOM, "killed " }, { KP_K_LOCK_WAIT, "held by " }, { KP_K_KEY_TASK, "child of " },
};

static const char *role(uint16_t kind)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (roles[i].kind == kind)
			return roles[i].word;
	return "peer ";
}

/* Only where the duration is one that somebody waited for. */
static bool is_slow(const struct kp_row *r)
{
	return r->dur >= SLOW && (kp_kind_is_syscall(r->kind) || (r->kind > KP_K_TCP_STATE && r->kind < KP_K_CG_LIMIT) ||
				  r->kind == KP_K_NET_SEND || r->kind == KP_K_NET_RECV);
}

static void pad(struct kp_buf *b, uint32_t have, uint32_t want)
{
	static const char blanks[] = "                                ";
	uint32_t n = have < want ? want - have : 0;

	kp_buf_add(b, blanks, n < sizeof(blanks) ? n : sizeof(blanks) - 1);
}

static void color(struct kp_export *x, const char *c)
{
	if (x->o.color)
		kp_buf_str(&x->buf, c);
}

/* Appends "comm[pid]" or "comm[pid/tid]"; returns its width. */
static uint32_t put_who(struct kp_export *x, const struct kp_task *t)
{
	struct text *s = x->own;
	const struct memo_slot *m = kp_memo_get(&s->tasks, t);
	struct kp_buf *b = &x->buf;
	size_t at = b->len;

	if (m) {
		kp_buf_add(b, m->p, m->len);
		return m->width;
	}
	if (t->comm)
		kp_buf_escape(b, t->comm->p, t->comm->len);
	else
		kp_buf_char(b, '?');
	kp_buf_char(b, '[');
	kp_buf_u64(b, t->tgid);
	if (t->tid != t->tgid) {
		kp_buf_char(b, '/');
		kp_buf_u64(b, t->tid);
	}
	kp_buf_char(b, ']');
	if (b->err)
		return 0;
	kp_memo_put(&s->tasks, t, b->p + at, b->len - at);
	m = kp_memo_get(&s->tasks, t);
	return m ? m->width : b->len - at;
}

static void put_obj(struct kp_export *x, const struct kp_obj *o)
{
	struct text *s = x->own;
	const struct memo_slot *m = kp_memo_get(&s->objs, o);

	if (m) {
		kp_buf_add(&x->buf, m->p, m->len);
		return;
	}
	kp_fmt_obj(s->obj, OBJ_TEXT, o);
	kp_buf_str(&x->buf, s->obj);
	kp_memo_put(&s->objs, o, s->obj, strlen(s->obj));
}

static void find_hosts(struct kp_export *x)
{
	const struct kp_header *h = kp_reader_header(x->o.reader);
	struct text *s = x->own;
	const struct kp_str *first = NULL;
	bool several = false;
	uint32_t widest = 4;

	for (uint32_t i = 0; h && i < h->nsources; i++) {
		const struct kp_str *n = h->sources[i].host;

		if (!n)
			continue;
		several |= first && n != first;
		first = n;
		size_t len = kp_escape(NULL, 0, n->p, n->len);

		if (len > widest)
			widest = len < HOST_MAX ? len : HOST_MAX;
	}
	s->hosts = h ? h->nsources : 0;
	s->host_width = several ? widest : 0;
}

static void put_host(struct kp_export *x, const struct kp_row *row)
{
	const struct kp_header *h = kp_reader_header(x->o.reader);
	const struct kp_source *src = kp_export_source(x, row);
	struct text *s = x->own;
	size_t at;

	if (h && s->hosts != h->nsources)
		find_hosts(x);
	if (!s->host_width)
		return;
	at = x->buf.len;
	if (src && src->host)
		kp_buf_escape(&x->buf, src->host->p, src->host->len);
	pad(&x->buf, x->buf.len - at, s->host_width);
	PUT(&x->buf, "  ");
}

static void put_dur(struct kp_export *x, const struct kp_row *row)
{
	bool slow = is_slow(row);
	char d[32];
	uint32_t n;

	if (!row->dur) {
		pad(&x->buf, 0, DUR_WIDTH);
		return;
	}
	n = strlen(kp_fmt_dur(d, row->dur));
	pad(&x->buf, n + !!(row->flags & KP_F_OPEN), DUR_WIDTH);
	if (slow)
		color(x, YELLOW);
	if (row->flags & KP_F_OPEN)	/* so long already */
		kp_buf_char(&x->buf, '>');
	kp_buf_add(&x->buf, d, n);
	if (slow)
		color(x, OFF);
}

/* A duration inside a list of arguments, without its blank. */
static void put_arg_dur(struct kp_buf *b, uint64_t ns)
{
	char d[32], *blank;

	kp_fmt_dur(d, ns);
	blank = strchr(d, ' ');
	kp_buf_add(b, d, blank - d);
	kp_buf_str(b, blank + 1);
}

static bool hidden_arg(const struct kp_export *x, const struct kp_kind *k, const struct kp_row *row, int i)
{
	if (x->o.verbose)
		return false;
	if (k->unit[i] == KP_U_PTR || k->unit[i] == KP_U_STR)
		return true;
	/* said in words */
	return (k->id == KP_K_SCHED_WAKE && i == 0) || (k->id == KP_K_SCHED_SWITCH && i == 1) ||
	       ((k->id == KP_K_SCHED_WAKE || k->id == KP_K_SCHED_SWITCH) && i == 2 && !row->a[i]);
}

static void put_args(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;

	for (int i = 0; i < k->nargs; i++) {
		if (hidden_arg(x, k, row, i))
			continue;
		kp_buf_char(b, ' ');
		kp_buf_escape(b, k->arg[i], strlen(k->arg[i]));
		kp_buf_char(b, '=');
		if (k->unit[i] == KP_U_NS)
			put_arg_dur(b, row->a[i]);
		else
			kp_export_arg(b, k->unit[i], row->a[i]);
	}
}

static void put_peer(struct kp_export *x, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;
	bool irq = row->kind == KP_K_SCHED_WAKE && row->a[0];

	if (irq) {	/* whoever was running there has nothing to do with it */
		PUT(b, " woken by a ");
		kp_unit_put(b, KP_U_CTX, row->a[0]);
		if (!x->o.verbose || !row->peer)
			return;
		PUT(b, " (over ");
		put_who(x, row->peer);
		kp_buf_char(b, ')');
	} else if (row->peer) {
		kp_buf_char(b, ' ');
		kp_buf_str(b, role(row->kind));
		put_who(x, row->peer);
	}
}

static void put_ret(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;
	bool bad = kp_failed(k, row->ret);

	if (row->flags & KP_F_OPEN) {
		color(x, YELLOW);
		PUT(b, " ... has not ended");
		color(x, OFF);
		return;
	}
	if (!k || k->ret_unit == KP_U_NONE || (k->id == KP_K_PROC_FORK && row->peer))
		return;
	PUT(b, " = ");
	if (bad)
		color(x, RED);
	kp_unit_put(b, bad ? KP_U_ERR : k->ret_unit, (uint64_t)row->ret);
	if (bad)
		color(x, OFF);
}

/* Flags that change what a row means; the others are details. */
static void put_flags(struct kp_export *x, const struct kp_row *row)
{
	uint32_t details = KP_F_COMPAT | KP_F_KEYFRAME | KP_F_KERNEL | KP_F_SANITIZED | KP_F_SLOW, flags = row->flags;
	const char *name, *sep = " {";
	unsigned i = 0;

	if (row->kind == KP_K_SCHED_WAKE)	/* said in words */
		details |= KP_F_SOFTIRQ | KP_F_HARDIRQ;
	flags &= ~(uint32_t)KP_F_OPEN & (x->o.verbose ? UINT32_MAX : ~details);
	if (!flags)
		return;
	while ((name = kp_export_flag(flags, &i))) {
		kp_buf_str(&x->buf, sep);
		kp_buf_str(&x->buf, name);
		sep = " ";
	}
	if (*sep == ' ' && !sep[1])
		kp_buf_char(&x->buf, '}');
}

static void put_ctx(struct kp_export *x, const struct kp_row *row)
{
	static const char *const name[KP_CTX_MAX] = { "", "", "", "trace=", "span=", "txn=", "log=" };
	static const uint8_t order[] = { KP_CTX_REQUEST, KP_CTX_SERVICE, KP_CTX_OP, KP_CTX_TRACE, KP_CTX_SPAN, KP_CTX_TXN, KP_CTX_LOG };
	struct kp_buf *b = &x->buf;
	bool any = false;

	for (size_t i = 0; i < (x->o.verbose ? sizeof(order) : 3); i++) {
		const struct kp_str *s = row->ctx[order[i]];

		if (!s || !s->len)
			continue;
		if (!any)
			color(x, DIM);
		kp_buf_str(b, any ? ", " : "  [");
		any = true;
		kp_buf_str(b, name[order[i]]);
		kp_buf_escape(b, s->p, s->len);
	}
	if (!any)
		return;
	kp_buf_char(b, ']');
	color(x, OFF);
}

static void put_stack(struct kp_export *x, const char *of, const struct kp_stack *st)
{
	struct kp_buf *b = &x->buf;

	for (uint32_t i = 0; st && i < st->n; i++) {
		pad(b, 0, 15 + 1 + DUR_WIDTH + 2);
		kp_buf_str(b, i ? "         " : of);
		kp_buf_escape(b, st->frame[i]->p, st->frame[i]->len);
		kp_buf_char(b, '\n');
	}
}

/* -v: what takes lines of its own. */
static void put_more(struct kp_export *x, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;
	bool wake = row->kind == KP_K_SCHED_WAKE;

	put_stack(x, wake ? "sleeper: " : "stack:   ", row->stack);
	put_stack(x, wake ? "waker:   " : "stack2:  ", row->stack2);
	if (!row->data_len)
		return;
	pad(b, 0, 15 + 1 + DUR_WIDTH + 2);
	PUT(b, "data:    ");
	kp_buf_escape(b, row->data, row->data_len);
	kp_buf_char(b, '\n');
}

/* A hole in the recording: nobody shall read past it. */
static void put_loss(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;

	color(x, ALARM);
	PUT(b, "*** ");
	if (row->a[0] == UINT64_MAX)
		PUT(b, "an unknown number of");
	else
		kp_buf_u64(b, row->a[0]);
	kp_buf_str(b, row->a[0] == 1 ? " row is" : " rows are");
	PUT(b, " missing here: ");
	if (row->kind == KP_K_LOSS_KERNEL) {
		PUT(b, "the buffer was full on CPU ");
		kp_buf_u64(b, row->cpu);
	} else if (row->kind == KP_K_LOSS_SHED) {
		PUT(b, "left out to keep within the CPU budget, step ");
		kp_buf_u64(b, row->a[2]);
	} else {
		PUT(b, "damaged blocks: ");
		kp_buf_u64(b, row->a[1]);
	}
	const struct kp_kind *of = row->kind != KP_K_LOSS_STREAM && row->a[1] <= UINT16_MAX && row->a[1] ?
				   kp_kind_by_id(x->o.kinds, row->a[1]) : NULL;

	if (of) {
		PUT(b, ", ");
		kp_buf_escape(b, of->name, strlen(of->name));
		PUT(b, " only");
	}
	if (row->dur) {
		PUT(b, ", in the last ");
		put_arg_dur(b, row->dur);
	}
	PUT(b, " (");
	kp_buf_str(b, k->name);
	kp_buf_char(b, ')');
	color(x, OFF);
	kp_buf_char(b, '\n');
}

static void put_kind(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;
	size_t at = b->len;

	if (k) {
		kp_buf_escape(b, k->name, strlen(k->name));
	} else {
		kp_buf_char(b, '#');
		kp_buf_u64(b, row->kind);
	}
	pad(b, b->len - at, KIND_WIDTH);
}

static void put_rest(struct kp_export *x, const struct kp_kind *k, const struct kp_row *row)
{
	struct kp_buf *b = &x->buf;

	put_peer(x, row);
	if (row->obj && row->obj->type != KP_OBJ_NONE) {
		kp_buf_char(b, ' ');
		put_obj(x, row->obj);
	}
	if (k)
		put_args(x, k, row);
	put_ret(x, k, row);
	if (x->o.verbose) {
		PUT(b, " cpu=");
		kp_buf_u64(b, row->cpu);
	}
	put_flags(x, row);
	put_ctx(x, row);
}

/* Whoever was interrupted stands in parentheses: it did not do this. (Rows of the scheduler are about their task.) */
static void put_task(struct kp_export *x, const struct kp_row *row)
{
	bool bystander = row->flags & (KP_F_SOFTIRQ | KP_F_HARDIRQ) && row->kind >= KP_K_PROC_FORK && row->task;
	uint32_t width = 0;

	if (bystander)
		kp_buf_char(&x->buf, '(');
	if (row->task)
		width = put_who(x, row->task);
	if (bystander)
		kp_buf_char(&x->buf, ')');
	pad(&x->buf, width + 2 * bystander, WHO_WIDTH);
}

static int text_row(struct kp_export *x, const struct kp_row *row, struct kp_err *err)
{
	const struct kp_kind *k = kp_kind_by_id(x->o.kinds, row->kind);
	bool loss = row->kind >= KP_K_LOSS_KERNEL && row->kind <= KP_K_LOSS_STREAM;
	struct text *s = x->own;
	struct kp_buf *b = &x->buf;

	kp_text_time(x, &s->clock, row);
	kp_buf_char(b, ' ');
	if (loss) {
		PUT(b, "   ");
		put_host(x, row);
		put_loss(x, k, row);
		return 0;
	}
	put_dur(x, row);
	PUT(b, "  ");
	put_host(x, row);
	put_task(x, row);
	kp_buf_char(b, ' ');
	put_kind(x, k, row);
	put_rest(x, k, row);
	while (b->len && b->p[b->len - 1] == ' ')
		b->len--;
	kp_buf_char(b, '\n');
	if (x->o.verbose)
		put_more(x, row);
	return 0;
}

static int text_open(struct kp_export *x, struct kp_err *err)
{
	struct text *s = x->own;

	s->obj = malloc(OBJ_TEXT);
	return s->obj ? 0 : kp_err(err, ENOMEM, "no memory");
}

static int text_forget(struct kp_export *x, struct kp_err *err)
{
	struct text *s = x->own;

	kp_memo_free(&s->tasks);
	kp_memo_free(&s->objs);
	return 0;
}

static int text_close(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err)
{
	struct text *s = x->own;

	text_forget(x, err);
	free(s->obj);
	return 0;
}

const struct format kp_format_text = {
	.name = "text", .size = sizeof(struct text), .open = text_open, .row = text_row, .forget = text_forget, .close = text_close,
};
