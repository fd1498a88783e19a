/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring at work: the segment that is written, its end and the next one's begin, and what has to go. */
#include "ring_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <kp/util.h>

enum {
	LOOK_EVERY = 16384,	/* rows */
	FULL_ENOUGH = 32768,	/* rows a block: packing them anew would save a tenth at most */
};
#define SAY_EVERY (60 * RING_SEC)	/* a line about one trouble */

enum trouble { FULL, SHORT, SYNC, TROUBLES };

struct kp_diskring {
	struct kp_diskring_opts o;
	struct ring_dir dir;
	struct ring_segs segs;
	uint64_t seg_size, seg_time;
	/* being written */
	const struct kp_header *hdr;
	const struct kp_kinds *kinds;
	struct kp_writer *w;
	int fd;
	uint64_t us, begun;	/* its name; monotonic */
	uint64_t rows;		/* of all, for what is done now and then */
	struct ring_sync sync;
	struct ring_rewrite rewrite;
	uint64_t copy_bytes;	/* that it may take, 0: nothing is under way */
	struct kp_diskring_stats st; /* of segments that have ended */
	uint64_t said[TROUBLES];
	char text[200];		/* of the line that tells of them */
};

/* Of a trouble that lasts, once a minute. */
static void say(struct kp_diskring *r, enum trouble t, const char *fmt, ...)
{
	uint64_t now = kp_now_mono();
	va_list ap;

	if (!r->o.say || (r->said[t] && now - r->said[t] < SAY_EVERY))
		return;
	r->said[t] = now;
	va_start(ap, fmt);
	vsnprintf(r->text, sizeof(r->text), fmt, ap);
	va_end(ap);
	r->o.say(r->o.say_arg, 0, r->text);
}

/* ---- what has to go ---- */

static void remove_oldest(struct kp_diskring *r)
{
	char name[RING_NAME];

	ring_name(name, r->segs.seg[0].us);
	unlinkat(r->dir.fd, name, 0);
	ring_segs_drop(&r->segs, 0);
	r->st.removed++;
}

static uint64_t live_bytes(const struct kp_diskring *r)
{
	struct kp_write_stats ws = { 0 };

	if (r->w)
		kp_writer_stats(r->w, &ws);
	return ws.bytes;
}

/* What is not in the list: a whole segment for the one being written, lest it be too late, and the copy that is being made. */
static uint64_t others(const struct kp_diskring *r)
{
	uint64_t live = r->fd >= 0 ? ring_fd_bytes(r->fd) : 0;

	return (live > r->seg_size ? live : r->seg_size) + r->copy_bytes;
}

/* What its file system has free, and should have. */
static void look_at_disk(const struct kp_diskring *r, uint64_t *free_bytes, uint64_t *min_free)
{
	struct statvfs fs;

	*free_bytes = UINT64_MAX;
	*min_free = r->o.free_bytes;
	if (fstatvfs(r->dir.fd, &fs))
		return;
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (r->o.free_part > 0)
		*min_free = (uint64_t)((double)fs.f_blocks * (double)fs.f_frsize * r->o.free_part);
}

static void keep_limits(struct kp_diskring *r)
{
	struct ring_limits l = { .size = r->o.size, .age = r->o.age };
	struct ring_state st = { .other = others(r), .now = kp_now_wall() };
	uint32_t n;

	look_at_disk(r, &st.free, &l.min_free);
	n = ring_surplus(&r->segs, &l, &st);
	if (n && n == r->segs.n && st.free < l.min_free)
		say(r, SHORT, "%s: too little is free on its file system (--min-free): only the present segment is kept", r->o.dir);
	while (n--)
		remove_oldest(r);
}

/* A ring that has less room than it may take has smaller segments, too. */
static uint64_t present_seg_size(const struct kp_diskring *r)
{
	uint64_t free_bytes, min_free, room;

	look_at_disk(r, &free_bytes, &min_free);
	room = r->segs.bytes + (free_bytes > min_free ? free_bytes - min_free : 0);
	return ring_seg_size(room < r->o.size ? room : r->o.size);
}

/* Somebody may have removed some by hand. */
static void look_again(struct kp_diskring *r)
{
	char name[RING_NAME];

	for (uint32_t i = r->segs.n; i--; ) {
		struct ring_seg seg = r->segs.seg[i];

		ring_name(name, seg.us);
		if (ring_dir_stat(&r->dir, name, &seg)) {
			ring_segs_drop(&r->segs, i);
			continue;
		}
		r->segs.bytes += seg.bytes - r->segs.seg[i].bytes;
		r->segs.seg[i] = seg;
	}
}

/* The disk is full: the oldest make room. */
static int stuck(void *arg, int rc)
{
	struct kp_diskring *r = arg;

	if (rc != -ENOSPC && rc != -EDQUOT)
		return rc;
	r->rewrite.cancel = true;
	if (!r->segs.n)
		return rc;
	say(r, FULL, "%s: %s: the oldest segments make room", r->o.dir, strerror(-rc));
	remove_oldest(r);
	return 0;
}

/* ---- segments ---- */

/* Readers see it when its header is written: never an empty file. */
static int publish(struct kp_diskring *r, const char *temp, const char *name, struct kp_err *err)
{
	/* the name is later than all others that were there, and nobody else makes files here */
	if (renameat(r->dir.fd, temp, r->dir.fd, name))
		return kp_err(err, errno, "%s/%s: %s", r->o.dir, name, strerror(errno));
	if (r->o.sync != KP_SYNC_NEVER)	/* so that the name is there, too */
		ring_sync_later(&r->sync, r->dir.fd);
	return 0;
}

static int begin_segment(struct kp_diskring *r, struct kp_err *err)
{
	struct kp_write_opts wo = { .level = r->o.level, .stuck = stuck, .stuck_arg = r };
	uint64_t last = r->segs.n ? r->segs.seg[r->segs.n - 1].us : 0, us = kp_now_wall() / 1000;
	char name[RING_NAME], temp[RING_NAME];
	int rc;

	r->seg_size = present_seg_size(r);
	wo.block_bytes = (uint32_t)(2 * r->seg_size); /* before compression */
	/* The wall clock may have been set back: in the ring time goes on. */
	if (last < r->us)
		last = r->us;
	r->us = us > last ? us : last + 1;
	ring_name(name, r->us);
	ring_temp_name(temp, name);
	do
		r->fd = ring_dir_create(&r->dir, temp);
	while (r->fd < 0 && !stuck(r, r->fd));
	if (r->fd < 0)
		return kp_err(err, -r->fd, "%s: cannot make a segment: %s", r->o.dir, strerror(-r->fd));
	r->begun = kp_now_mono();
	rc = kp_writer_open(&r->w, r->fd, false, r->hdr, r->kinds, &wo, err);
	if (!rc)
		rc = publish(r, temp, name, err);
	if (rc) {
		unlinkat(r->dir.fd, temp, 0);
		kp_writer_abandon(r->w);
		r->w = NULL;
		close(r->fd);
		r->fd = -1;
	}
	return rc;
}

static int end_segment(struct kp_diskring *r, struct kp_err *err)
{
	struct ring_seg seg = { .us = r->us, .end = kp_now_wall() };
	struct kp_write_stats ws;
	int rc = kp_writer_flush(r->w, err), rc2;

	kp_writer_stats(r->w, &ws);
	seg.loose = ws.rows < ws.blocks * FULL_ENOUGH;
	r->st.rows += ws.rows;
	r->st.bytes += ws.bytes;
	if (rc)
		kp_writer_abandon(r->w);
	else
		rc = kp_writer_close(r->w, ws.rows, err);
	r->w = NULL;
	seg.bytes = ring_fd_bytes(r->fd);
	if (r->o.sync != KP_SYNC_NEVER)
		ring_sync_close(&r->sync, r->fd);
	else
		close(r->fd);
	r->fd = -1;
	rc2 = ring_segs_add(&r->segs, &seg);
	return rc ? rc : rc2 ? kp_err(err, ENOMEM, "out of memory") : 0;
}

int kp_diskring_turn(void *ring, struct kp_err *err)
{
	struct kp_diskring *r = ring;
	int rc = end_segment(r, err);

	if (!rc)
		look_again(r);
	if (!rc)
		rc = begin_segment(r, err);
	keep_limits(r);
	return rc;
}

/* ---- packing them anew ---- */

/* The copy takes the place of what it was made from, if that is still there and larger. */
static void take_copy(struct kp_diskring *r)
{
	const struct ring_seg *copy = &r->rewrite.seg;
	struct ring_seg *seg = ring_segs_find(&r->segs, copy->us);
	char name[RING_NAME], temp[RING_NAME];

	ring_name(name, copy->us);
	ring_temp_name(temp, name);
	if (seg)
		seg->loose = false;	/* also when it failed: it would again */
	if (!r->rewrite.rc && seg && copy->bytes < seg->bytes && !renameat(r->dir.fd, temp, r->dir.fd, name)) {
		r->st.rewritten++;
		r->st.before += seg->bytes;
		r->st.after += copy->bytes;
		r->segs.bytes -= seg->bytes - copy->bytes;
		seg->bytes = copy->bytes;
	} else if (!r->rewrite.rc) {
		unlinkat(r->dir.fd, temp, 0);
	}
	r->rewrite.state = RING_IDLE;
	r->copy_bytes = 0;
}

/* Those that will be kept longest first: on a busy host not all get their turn. */
static void next_copy(struct kp_diskring *r)
{
	for (uint32_t i = r->segs.n; i--; )
		if (r->segs.seg[i].loose) {
			r->copy_bytes = r->segs.seg[i].bytes;
			ring_rewrite_begin(&r->rewrite, &r->segs.seg[i]);
			keep_limits(r);
			return;
		}
}

/* ---- the ring ---- */

int kp_diskring_open(struct kp_diskring **out, const struct kp_diskring_opts *o, struct kp_err *err)
{
	struct kp_diskring *r = calloc(1, sizeof(*r));
	int rc;

	*out = NULL;
	if (!r)
		return kp_err(err, ENOMEM, "out of memory");
	r->o = *o;
	r->fd = -1;
	r->seg_size = ring_seg_size(o->size);
	r->seg_time = ring_seg_time(o->age);
	rc = ring_dir_open(&r->dir, o->dir, o->group, err);
	if (!rc)
		rc = ring_dir_scan(&r->dir, &r->segs, err);
	ring_sync_init(&r->sync);
	ring_rewrite_init(&r->rewrite, &r->dir, o->level, o->sync != KP_SYNC_NEVER);
	if (rc)
		kp_diskring_free(r);
	else
		*out = r;
	return rc;
}

int kp_diskring_begin(struct kp_diskring *r, const struct kp_header *hdr, const struct kp_kinds *kinds, struct kp_err *err)
{
	r->hdr = hdr;
	r->kinds = kinds;
	keep_limits(r);
	return begin_segment(r, err);
}

int kp_diskring_row(void *ring, const struct kp_row *row, struct kp_err *err)
{
	struct kp_diskring *r = ring;
	int rc = kp_writer_row(r->w, row, err);

	/* A recorder that is behind may hand out very much before it asks whether the segment is full. */
	if (!rc && ++r->rows % LOOK_EVERY == 0 && live_bytes(r) > r->seg_size)
		keep_limits(r);
	return rc;
}

int kp_diskring_key_begin(void *ring, uint64_t t0, struct kp_err *err)
{
	struct kp_diskring *r = ring;

	return kp_writer_key_begin(r->w, t0, err);
}

int kp_diskring_key_end(void *ring, uint64_t t1, struct kp_err *err)
{
	struct kp_diskring *r = ring;

	return kp_writer_key_end(r->w, t1, err);
}

int kp_diskring_flush(void *ring, struct kp_err *err)
{
	struct kp_diskring *r = ring;
	int rc = kp_writer_flush(r->w, err), failed = atomic_exchange(&r->sync.failed, 0);

	if (!rc && r->o.sync == KP_SYNC_SECOND)
		ring_sync_later(&r->sync, r->fd);
	if (failed)
		say(r, SYNC, "%s: what was written did not reach the disk: %s", r->o.dir, strerror(-failed));
	keep_limits(r);
	return rc;
}

bool kp_diskring_full(void *ring)
{
	struct kp_diskring *r = ring;

	if (r->rewrite.state == RING_DONE)
		take_copy(r);
	if (r->rewrite.state == RING_IDLE)
		next_copy(r);
	return live_bytes(r) >= r->seg_size || kp_now_mono() - r->begun >= r->seg_time;
}

void kp_diskring_stats(const struct kp_diskring *r, struct kp_diskring_stats *st)
{
	struct kp_write_stats ws = { 0 };

	*st = r->st;
	if (r->w)
		kp_writer_stats(r->w, &ws);
	st->rows += ws.rows;
	st->bytes += ws.bytes;
	st->segments = r->segs.n + (r->w ? 1 : 0);
	st->held = r->segs.bytes + (r->w ? ring_fd_bytes(r->fd) : 0);
}

int kp_diskring_end(struct kp_diskring *r, struct kp_err *err)
{
	return r->w ? end_segment(r, err) : 0;
}

void kp_diskring_free(struct kp_diskring *r)
{
	if (!r)
		return;
	ring_rewrite_end(&r->rewrite);
	if (r->rewrite.state == RING_DONE)
		take_copy(r);
	ring_sync_end(&r->sync);
	ring_segs_free(&r->segs);
	ring_dir_close(&r->dir);
	free(r);
}
