/* SPDX-License-Identifier: BSD-2-Clause */
/* What events say of tasks: forked, become another program, renamed, moved to another cgroup, gone. */
#include <string.h>

#include "resolve_int.h"

enum { COMM_MAX = 16 };

/* It begins as what its parent is. */
static struct kp_task child_of(const struct kp_task *parent, const struct kp_ids *child)
{
	struct kp_task t = *parent;

	t.tid = child->tid;
	t.tgid = child->tgid;
	t.start = child->start;
	t.ns_tid = child->ns_tid;
	t.ns_tgid = child->ns_tgid;
	return t;
}

const struct kp_task *kp_resolve_forked(struct kp_resolve *r, const struct kp_ids *parent, const struct kp_ids *child)
{
	uint32_t p = rs_task_get(r, parent->tid, parent->tgid, parent->start, NULL);
	uint32_t i = rs_task_find(r, child->tid, child->start);
	bool known = i != RS_NONE && child->start;	/* a keyframe or a counter was faster */
	struct kp_task t;

	if (known && (r->task[i].t->comm || p == RS_NONE))
		return r->task[i].t;
	if (p == RS_NONE)
		return kp_resolve_task(r, child->tid, child->tgid, child->start);
	t = child_of(r->task[p].t, child);
	if (known) {
		rs_task_become(r, i, &t);
		return r->task[i].t;
	}
	i = rs_task_add(r, &t);
	if (i == RS_NONE)
		return NULL;
	r->task[i].loaded = r->task[p].loaded && child->ns_tid && t.comm;
	rs_poll_note(r, r->task[i].t);
	/* it has nothing of a parent that was gone before it could be read, but may itself still be there */
	if (!r->task[i].loaded)
		rs_task_put_off(r, i);
	return r->task[i].t;
}

static uint32_t changed(struct kp_resolve *r, const struct kp_ids *id, struct kp_task *t)
{
	uint32_t i = rs_task_get(r, id->tid, id->tgid, id->start, NULL);

	if (i != RS_NONE)
		*t = *r->task[i].t;
	return i;
}

static const struct kp_str *comm_str(struct kp_resolve *r, const void *p, size_t len)
{
	return kp_pool_str(r->pool, p, strnlen(p, len < COMM_MAX ? len : COMM_MAX));
}

/* Only an absolute name says which file it was; one through a descriptor does not, though it looks so. */
static const struct kp_str *exe_of(struct kp_resolve *r, const struct kp_ids *id, const char *path, size_t len)
{
	struct rs_stat st;
	const struct kp_str *exe = NULL;
	uint64_t begun;
	ssize_t n;

	if (len && path[0] == '/' && !(len > 8 && !memcmp(path, "/dev/fd/", 8)) && !(len > 6 && !memcmp(path, "/proc/", 6)))
		return kp_pool_str(r->pool, path, len);
	begun = rs_begin(r);
	if (begun) {
		n = rs_read(r, r->buf, RS_BUF, "%u/stat", id->tgid);
		if (n > 0 && !rs_parse_stat(r->buf, n, &st) && (!id->start || st.ticks == rs_ticks(r, id->start)))
			exe = rs_exe(r, id->tgid);
		rs_end(r, begun);
	}
	return exe || !len ? exe : kp_pool_str(r->pool, path, len);
}

const struct kp_task *kp_resolve_execed(struct kp_resolve *r, const struct kp_ids *id, const void *path, size_t path_len,
					const void *comm, size_t comm_len)
{
	struct kp_task t;
	uint32_t i = changed(r, id, &t);

	if (i == RS_NONE)
		return NULL;
	t.exe = exe_of(r, id, path, path ? strnlen(path, path_len) : 0);
	if (comm)
		t.comm = comm_str(r, comm, comm_len);
	if (id->ns_tid) {
		t.ns_tid = id->ns_tid;
		t.ns_tgid = id->ns_tgid;
	}
	rs_task_become(r, i, &t);
	return r->task[i].t;
}

const struct kp_task *kp_resolve_renamed(struct kp_resolve *r, const struct kp_ids *id, const void *comm, size_t len)
{
	struct kp_task t;
	uint32_t i = changed(r, id, &t);

	if (i == RS_NONE)
		return NULL;
	t.comm = comm_str(r, comm, len);
	rs_task_become(r, i, &t);
	return r->task[i].t;
}

static void move_slot(struct kp_resolve *r, uint32_t i, uint8_t bits, const struct kp_str *path)
{
	struct kp_task t = *r->task[i].t;

	for (int c = 0; c < KP_CG_MAX; c++)
		if (bits & 1 << c)
			t.cgroup[c] = path;
	rs_task_become(r, i, &t);
}

const struct kp_task *kp_resolve_moved(struct kp_resolve *r, const struct kp_ids *id, uint32_t hierarchy,
				       const void *path, size_t len, bool whole)
{
	uint32_t i = rs_task_get(r, id->tid, id->tgid, id->start, NULL);
	const struct kp_str *s = kp_pool_str(r->pool, path, strnlen(path, len));
	uint8_t bits;

	if (i == RS_NONE || !s)
		return NULL;
	if (hierarchy && (hierarchy >= RS_HIER || !r->hier[hierarchy]))
		rs_read_hierarchies(r); /* mounted just now, or one without a controller that we name */
	bits = hierarchy < RS_HIER ? r->hier[hierarchy] : 0;
	if (!bits)
		return r->task[i].t;
	move_slot(r, i, bits, s);
	if (whole)
		for (uint32_t k = rs_task_of(r, id->tgid); k != RS_NONE; k = r->task[k].tg_next)
			if (k != i && r->task[k].t->tgid == id->tgid && !r->task[k].dead)
				move_slot(r, k, bits, s);
	return r->task[i].t;
}

const struct kp_task *kp_resolve_exited(struct kp_resolve *r, const struct kp_ids *id, uint64_t now)
{
	uint32_t i = rs_task_get(r, id->tid, id->tgid, id->start, NULL);

	if (i == RS_NONE)
		return NULL;
	if (!r->task[i].dead && id->tid)
		rs_task_bury(r, i, now);
	return r->task[i].t;
}
