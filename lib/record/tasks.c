/* SPDX-License-Identifier: BSD-2-Clause */
/* All tasks at one moment: keyframes, and operations that have not ended. */
#include "rec.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <kp/util.h>

#include "kprobe.skel.h"

enum { STEP = 5 * MS };	/* of a keyframe between two looks at the rings */

static int more_room(struct kp_record *r)
{
	uint32_t cap = r->task_cap ? 2 * r->task_cap : 512;
	void *p = realloc(r->task, cap * sizeof(*r->task));

	if (!p)
		return -ENOMEM;
	r->task = p;
	r->task_cap = cap;
	return 0;
}

/*
 * Who was asleep before the recording and still is has not been seen to fall asleep: it is so since we began, at
 * least. So it is with the call that it is inside. Threads of the kernel that have nothing to do are no news.
 */
static void add_old_sleepers(struct kp_record *r)
{
	enum { KTHREAD = 0x200000, UNINTERRUPTIBLE = 2, NOLOAD = 0x400 }; /* PF_*, TASK_* of the kernel */

	for (uint32_t i = 0; i < r->ntask; i++) {
		struct it_task *t = &r->task[i];
		bool idle = (t->flags & KTHREAD) && (!(t->state & UNINTERRUPTIBLE) || (t->state & NOLOAD));

		if (t->state && !t->off_since && t->nframes && !idle)
			t->off_since = r->skel->bss->live.since; /* 0: nobody watches now */
		if (t->sys_nr >= 0 && !t->sys_start) {
			t->sys_start = t->off_since;
			t->at_least = 1;
		}
	}
}

int kp_rec_look(struct kp_record *r)
{
	size_t len = 0;
	ssize_t n = 1;
	int fd, rc = 0;

	r->ntask = 0;
	if (!r->iter)
		return 0;
	fd = bpf_iter_create(bpf_link__fd(r->iter));
	if (fd < 0)
		return -errno;
	while (n > 0 && !rc) {
		if (r->task_cap * sizeof(*r->task) - len < 65536)
			rc = more_room(r);
		if (rc)
			break;
		n = read(fd, (char *)r->task + len, r->task_cap * sizeof(*r->task) - len);
		if (n > 0)
			len += n;
		else if (n < 0 && (errno == EINTR || errno == EAGAIN))
			n = 1;
		else if (n < 0)
			rc = -errno;
	}
	close(fd);
	r->ntask = len / sizeof(*r->task);
	add_old_sleepers(r);
	return rc;
}

int kp_rec_flush_sums(struct kp_record *r)
{
	int rc;

	if (!r->skel->bss->live.shed)
		return 0;
	__atomic_store_n(&r->skel->bss->live.sum_flush, 1, __ATOMIC_RELEASE);
	rc = kp_rec_look(r);
	__atomic_store_n(&r->skel->bss->live.sum_flush, 0, __ATOMIC_RELEASE);
	return rc;
}

/* Rows of a keyframe go straight to the sink: they have no order. */
static int emit_key(void *arg, const struct kp_row *row)
{
	struct kp_record *r = arg;

	struct kp_row copy = *row;

	if (((row->flags & KP_F_OPEN) && !kp_rec_wants(r, row->kind)) || kp_rec_left_out(r, &copy))
		return 0;
	return r->sink->row(r->sink->arg, row, r->err);
}

static int emit_queue(void *arg, const struct kp_row *row)
{
	struct kp_record *r = arg;

	return kp_rec_wants(r, row->kind) ? kp_rec_queue(r, row) : 0;
}

int kp_rec_keyframe(struct kp_record *r)
{
	int rc = r->sink->key_begin ? r->sink->key_begin(r->sink->arg, kp_now_mono(), r->err) : 0, more = 1;

	if (!rc)
		rc = kp_rec_look(r);
	if (!rc)
		rc = kp_resolve_key_begin(r->res, r->ntask ? r->task : NULL, r->ntask, emit_key, r);
	if (!rc)
		rc = kp_resolve_open(r->res, r->task, r->ntask, 0, KP_F_KEYFRAME, emit_key, r);
	/* On a host with many files open it takes a while, in which the rings must not fill up. */
	while (!rc && more > 0) {
		more = kp_resolve_key_step(r->res, STEP, emit_key, r);
		rc = more < 0 ? more : kp_rec_drain(r);
	}
	if (!rc && r->sink->key_end)
		rc = r->sink->key_end(r->sink->arg, kp_now_mono(), r->err);
	return rc;
}

int kp_rec_open(struct kp_record *r, uint64_t min_dur)
{
	return kp_resolve_open(r->res, r->task, r->ntask, min_dur, 0, emit_queue, r);
}
