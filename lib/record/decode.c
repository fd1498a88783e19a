/* SPDX-License-Identifier: BSD-2-Clause */
#include "decode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <kp/proto.h>

/* ---- taking apart ---- */

struct cursor { const char *p; uint32_t left; };

static const void *skip(struct cursor *c, uint64_t n)
{
	const char *p = c->p;

	n = (n + 7) & ~7ull;
	if (n > c->left)
		return NULL;
	c->p += n;
	c->left -= n;
	return p;
}

static const char *bytes(struct cursor *c, uint32_t *len, uint32_t *tag)
{
	const struct ev_bytes *b = skip(c, sizeof(*b));

	if (!b)
		return NULL;
	*len = b->len;
	*tag = b->tag;
	return skip(c, b->len);
}

static const __u64 *frames(struct cursor *c, uint32_t *n, bool *user)
{
	const struct ev_stack *s = skip(c, sizeof(*s));

	if (!s || s->n > EV_FRAMES)
		return NULL;
	*n = s->n;
	*user |= s->user;
	return skip(c, 8ull * s->n);
}

static const char *comm(struct cursor *c, uint32_t *len)
{
	const struct ev_name *n = skip(c, sizeof(*n));

	if (n)
		*len = strnlen(n->comm, sizeof(n->comm));
	return n ? n->comm : NULL;
}

int kp_ev_parse(struct kp_ev *ev, const void *rec, uint32_t len)
{
	struct cursor c = { rec, len };
	uint32_t none;
	uint8_t x;

	*ev = (struct kp_ev){ .h = skip(&c, sizeof(*ev->h)) };
	if (!ev->h || ev->h->nargs > EV_ARGS || ev->h->kind >= EV_MAX_KIND)
		return -EBADMSG;
	ev->a = skip(&c, 8ull * ev->h->nargs);
	x = ev->h->extra;
	if (!ev->a ||
	    ((x & EX_PEER) && !(ev->peer = skip(&c, sizeof(*ev->peer)))) ||
	    ((x & EX_FILE) && !(ev->file = skip(&c, sizeof(*ev->file)))) ||
	    ((x & EX_SOCK) && !(ev->sock = skip(&c, sizeof(*ev->sock)))) ||
	    ((x & EX_STR) && !(ev->str = bytes(&c, &ev->str_len, &none))) ||
	    ((x & EX_DATA) && !(ev->data = bytes(&c, &ev->data_len, &ev->data_all))) ||
	    ((x & EX_STACK) && !(ev->stack = frames(&c, &ev->nstack, &ev->user))) ||
	    ((x & EX_STACK2) && !(ev->stack2 = frames(&c, &ev->nstack2, &ev->user))) ||
	    ((x & EX_NAME) && !(ev->comm = comm(&c, &ev->comm_len))))
		return -EBADMSG;
	return 0;
}

/* ---- kinds that are more than their arguments ---- */

static struct kp_ids task_ids(const struct kp_ev *ev)
{
	return (struct kp_ids){ .tid = ev->h->tid, .tgid = ev->h->tgid, .start = ev->h->start };
}

static void fork_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	struct kp_ids parent = task_ids(ev), child = { 0 };

	if (!ev->peer || ev->h->nargs < 3)
		return;
	child = (struct kp_ids){ ev->peer->tid, ev->peer->tgid, ev->peer->start, ev->a[1], ev->a[2] };
	row->peer = kp_resolve_forked(d->res, &parent, &child);
}

static void exec_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	struct kp_ids t = task_ids(ev);

	if (ev->h->nargs >= 2) {
		t.ns_tid = ev->a[0];
		t.ns_tgid = ev->a[1];
	}
	row->task = kp_resolve_execed(d->res, &t, ev->str, ev->str_len, ev->comm, ev->comm_len);
	if (ev->file && ev->str)
		row->obj = kp_resolve_opened(d->res, ev->file->dev, ev->file->mode, ev->file->ino, t.tgid, AT_FDCWD,
					     ev->str, ev->str_len);
}

static void exit_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	struct kp_ids t = task_ids(ev);

	/* Of what began before the recording and ended before the first keyframe, this is all that tells its name. */
	if (ev->comm && !(row->task && row->task->comm))
		kp_resolve_renamed(d->res, &t, ev->comm, ev->comm_len);
	row->task = kp_resolve_exited(d->res, &t, ev->h->end);
}

static void comm_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	struct kp_ids t = task_ids(ev);

	if (!ev->str)
		return;
	row->task = kp_resolve_renamed(d->res, &t, ev->str, ev->str_len);
	row->obj = kp_resolve_name(d->res, ev->str, ev->str_len);
}

static void cgroup_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	struct kp_ids t = task_ids(ev);

	if (!ev->str)
		return;
	row->task = kp_resolve_moved(d->res, &t, ev->h->ret, ev->str, ev->str_len, ev->h->nargs && ev->a[0]);
	row->obj = kp_resolve_cgroup(d->res, ev->str, ev->str_len);
}

static void device_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	if (ev->file)
		row->obj = kp_resolve_device(d->res, ev->file->dev);
}

static void calls_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	const struct kp_kind *k = ev->h->nargs && ev->a[0] <= UINT16_MAX ? kp_kind_by_id(d->kinds, ev->a[0]) : NULL;

	if (k)
		row->obj = kp_resolve_name(d->res, k->name, strlen(k->name));
}

static void state_row(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	enum { CLOSED = 7 }; /* TCP_CLOSE of the kernel */

	if (ev->sock && ev->h->nargs > 1 && ev->a[1] == CLOSED)
		kp_resolve_sock_closed(d->res, ev->sock);
}

static const struct {
	uint16_t kind;
	void (*fn)(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row);
} special[] = {
	{ 0, NULL },
	{ KP_K_PROC_FORK, fork_row },
	{ KP_K_PROC_EXEC, exec_row },
	{ KP_K_PROC_EXIT, exit_row },
	{ KP_K_PROC_COMM, comm_row },
	{ KP_K_PROC_CGROUP, cgroup_row },
	{ KP_K_TCP_STATE, state_row },
	{ KP_K_BLK_READ, device_row },
	{ KP_K_BLK_WRITE, device_row },
	{ KP_K_BLK_FLUSH, device_row },
	{ KP_K_BLK_DISCARD, device_row },
	{ KP_K_BLK_BIO, device_row },
	{ KP_K_FS_DIRTY_WAIT, device_row },
	{ KP_K_FS_COMMIT, device_row },
	{ KP_K_COUNT_SYS, calls_row },
};

/* ---- rows ---- */

void kp_decode_init(struct kp_decode *d, struct kp_resolve *res, struct kp_pool *pool, const struct kp_kinds *kinds,
		    const char *patterns)
{
	const struct kp_kind *k;

	memset(d, 0, sizeof(*d));
	d->res = res;
	d->pool = pool;
	d->kinds = kinds;
	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)) && k->id < EV_MAX_KIND; id = k->id + 1u) {
		struct kp_decode_kind *dk = &d->kind[k->id];
		bool sys = kp_kind_is_syscall(k->id), string = false, path = false;

		*dk = (struct kp_decode_kind){ .known = 1, .fdarg = -1, .dirarg = -1, .futexarg = -1, .shortoff = -1 };
		dk->nargs = k->nargs;
		dk->has_ret = *k->ret != 0;
		/* What stands for rows that were left out belongs to them. */
		dk->wanted = !patterns || kp_kind_match(k, patterns) || k->id == KP_K_COUNT_SYS;
		for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
			if (special[i].fn && special[i].kind == k->id)
				dk->special = (uint8_t)i;
		for (int i = k->nargs; sys && i-- > 0;) {
			string |= k->unit[i] == KP_U_STR;
			path |= k->unit[i] == KP_U_STR && (strstr(k->arg[i], "path") || !strcmp(k->arg[i], "filename"));
			dk->ints |= (k->unit[i] == KP_U_INT) << i;
			dk->ids |= (k->unit[i] == KP_U_ID) << i;
			if (k->unit[i] == KP_U_OFF && (k->id == KP_K_SYS_lseek || k->id == KP_K_SYS_truncate || k->id == KP_K_SYS_ftruncate))
				dk->shortoff = i;
			if (!strcmp(k->arg[i], "dfd") || !strcmp(k->arg[i], "dirfd"))
				dk->dirarg = i;
			if (!strcmp(k->arg[i], "uaddr"))
				dk->futexarg = i;
		}
		if (!sys)
			continue;
		dk->retfd = k->ret_unit == KP_U_FD;
		dk->opens = path && dk->retfd;
		dk->fdarg = string ? -1 : k->fdarg;
	}
}

static const struct kp_obj *object(struct kp_decode *d, const struct kp_decode_kind *k, const struct kp_ev *ev)
{
	const struct ev_file *f = ev->file;
	int fd = -1;

	if (ev->sock)
		return kp_resolve_sock(d->res, ev->sock);
	if (f && k->opens && ev->str && ev->h->ret >= 0)
		return kp_resolve_opened(d->res, f->dev, f->mode, f->ino, ev->h->tgid,
					 k->dirarg >= 0 && k->dirarg < ev->h->nargs ? (int)ev->a[k->dirarg] : AT_FDCWD, ev->str, ev->str_len);
	if (f) {
		if (k->retfd)
			fd = (int)ev->h->ret;
		else if (k->fdarg >= 0 && k->fdarg < ev->h->nargs)
			fd = (int)ev->a[k->fdarg];
		return kp_resolve_file(d->res, f->dev, f->mode, f->ino, ev->h->tgid, fd);
	}
	if (ev->str && ev->str_len)
		return kp_resolve_name(d->res, ev->str, ev->str_len);
	if (k->futexarg >= 0 && k->futexarg < ev->h->nargs)
		return kp_resolve_futex(d->res, ev->h->tgid, ev->a[k->futexarg]);
	return NULL;
}

/*
 * A negative int may come in a register with the upper half 0. Where that is not so the argument is a long, or signed
 * already. A user or group is unsigned, but for the one number that means none.
 */
static void sign_ints(const struct kp_decode_kind *k, struct kp_row *row)
{
	for (int i = 0; k->ints >> i; i++)
		if (k->ints >> i & 1 && !(row->a[i] >> 32))
			row->a[i] = (uint64_t)(int64_t)(int32_t)row->a[i];
	for (int i = 0; k->ids >> i; i++)
		if (k->ids >> i & 1)
			row->a[i] = (uint32_t)row->a[i] == UINT32_MAX ? UINT64_MAX : (uint32_t)row->a[i];
	if (k->shortoff >= 0 && row->flags & KP_F_COMPAT)
		row->a[k->shortoff] = (uint64_t)(int64_t)(int32_t)row->a[k->shortoff];
}

/* Addresses of a program: what they mean only its own files could tell. */
static const struct kp_stack *user_stack(struct kp_decode *d, const __u64 *addr, uint32_t n)
{
	const struct kp_str *frame[EV_FRAMES];
	char hex[24];

	for (uint32_t i = 0; i < n; i++) {
		snprintf(hex, sizeof(hex), "0x%llx", (unsigned long long)addr[i]);
		frame[i] = kp_pool_cstr(d->pool, hex);
		if (!frame[i])
			return NULL;
	}
	return kp_pool_stack(d->pool, frame, n);
}

static void keep_data(struct kp_decode *d, const struct kp_ev *ev, struct kp_row *row)
{
	if (d->payload) {
		row->data = (const uint8_t *)ev->data;
		row->data_len = ev->data_len < d->payload ? ev->data_len : d->payload;
		if (row->data_len < ev->data_all)
			row->flags |= KP_F_TRUNCATED;
	} else if (d->ids) {
		row->data = d->kept;
		row->data_len = kp_proto_keep(ev->data, ev->data_len, d->kept, sizeof(d->kept));
		row->flags &= ~KP_F_TRUNCATED;
		if (row->data_len)
			row->flags |= KP_F_SANITIZED;
	}
}

int kp_decode(struct kp_decode *d, const void *rec, uint32_t len, struct kp_row *row)
{
	const struct kp_decode_kind *k;
	struct kp_ev ev;

	if (kp_ev_parse(&ev, rec, len) || !d->kind[ev.h->kind].known)
		return -EBADMSG;
	k = &d->kind[ev.h->kind];
	/* Those that teach nothing are left out by the kernel side already; a rest may be under way. */
	if (!k->wanted && !k->special && !k->opens)
		return 0;
	*row = (struct kp_row){ .end = ev.h->end, .dur = ev.h->dur, .kind = ev.h->kind, .cpu = ev.h->cpu,
				.flags = ev.h->flags, .ret = ev.h->ret };
	/* One CPU may have looked at the clock just before another wrote down when it began: that is less than nothing. */
	if (row->dur > row->end)
		row->dur = 0;
	if (ev.h->tid != EV_NOBODY)
		row->task = kp_resolve_task(d->res, ev.h->tid, ev.h->tgid, ev.h->start);
	memcpy(row->a, ev.a, 8 * ev.h->nargs);
	sign_ints(k, row);
	row->obj = object(d, k, &ev);
	/* the address of its path was one of the program before */
	if (!row->obj && !row->ret && (row->kind == KP_K_SYS_execve || row->kind == KP_K_SYS_execveat) && row->task && row->task->exe)
		row->obj = kp_resolve_name(d->res, row->task->exe->p, row->task->exe->len);
	if (k->special)
		special[k->special].fn(d, &ev, row);
	if (!k->wanted || (ev.h->flags & EVF_TABLE))
		return 0;
	for (uint32_t i = k->nargs; i < ev.h->nargs; i++)
		row->a[i] = 0;
	if (!k->has_ret)
		row->ret = 0;
	if (ev.peer && !row->peer)
		row->peer = kp_resolve_task(d->res, ev.peer->tid, ev.peer->tgid, ev.peer->start);
	if (ev.nstack && ev.user)
		row->stack = user_stack(d, ev.stack, ev.nstack);
	else if (ev.nstack)
		row->stack = kp_resolve_stack(d->res, (const uint64_t *)ev.stack, ev.nstack);
	if (ev.nstack2)
		row->stack2 = kp_resolve_stack(d->res, (const uint64_t *)ev.stack2, ev.nstack2);
	if (ev.data)
		keep_data(d, &ev, row);
	return 1;
}
