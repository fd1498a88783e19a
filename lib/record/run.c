/* SPDX-License-Identifier: BSD-2-Clause */
/* The recorder at work: records in from the rings, rows out in order of time, and what is done now and then. */
#include "rec.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <kp/util.h>

enum {
	HELD_MAX = 64 << 20,	/* bytes of records that wait to be put in order and written */
	EMIT_MAX = 10 * MS,	/* so long rows are written until the rings are looked at again */
	POOL_MAX = 64 << 20,	/* bytes of the pool after which a new one is begun */
	OPEN_MIN = 1000 * MS,	/* operations that last so long are told of before they end */
};
#define OPEN_EVERY	(10 * SEC)
#define KEY_EVERY	(60 * SEC)
#define CLOCK_EVERY	(10 * SEC)

/* ---- rows out ---- */

static bool tells_of_event(const struct kp_row *row)
{
	return !(row->flags & KP_F_OPEN) && row->kind != KP_K_CLOCK_SYNC && row->kind != KP_K_LOSS_KERNEL &&
		row->kind != KP_K_LOSS_SHED && row->kind != KP_K_BUDGET_STEP;
}

/*
 * The kernel side leaves out what an excluded process does, but not what the scheduler and the counters say of it.
 * A switch away from it is kept without its name: it tells how long the next one waited for the CPU.
 */
bool kp_rec_left_out(const struct kp_record *r, struct kp_row *row)
{
	for (uint32_t i = 0; row->task && i < r->excluded.n; i++)
		if (row->task->tgid == r->excluded.pid[i]) {
			if (row->kind != KP_K_SCHED_SWITCH)
				return true;
			row->task = NULL;
			return false;
		}
	return false;
}

static int give(struct kp_record *r, struct kp_row *row)
{
	if (kp_rec_left_out(r, row))
		return 0;
	if (tells_of_event(row)) {
		if (r->counted_out)
			return 0;
		r->st.events++;
		r->counted_out = r->o.count && r->st.events == r->o.count;
	}
	/* Came after later ones were written: it keeps its start and ends a little later. */
	if (row->end < r->last_end) {
		r->st.late++;
		if (row->dur)
			row->dur += r->last_end - row->end;
		row->end = r->last_end;
	}
	r->last_end = row->end;
	return r->sink->row(r->sink->arg, row, r->err);
}

/* The last thread of a process is gone, and with it what is counted for the process. */
static void note_exit(struct kp_record *r, const void *rec, uint32_t len)
{
	struct kp_ev ev;

	if (!kp_ev_parse(&ev, rec, len) && ev.h->nargs > 2 && ev.a[2])
		kp_counts_exited(r->counts, ev.h->tgid, ev.h->end + (r->source.boot0 - r->source.mono0));
}

/* What the last queue holds. */
struct own { struct kp_row row; uint32_t tgid; uint64_t start; };

static int emit_one(struct kp_record *r, const struct kp_merged *m)
{
	struct kp_row row;
	int rc;

	if (m->queue == r->ncpu) {
		struct own own;

		memcpy(&own, m->rec, sizeof(own));
		if (own.tgid)
			own.row.task = kp_resolve_task(r->res, own.tgid, own.tgid, own.start);
		return give(r, &own.row);
	}
	if (((const struct ev_head *)m->rec)->kind == KP_K_PROC_EXIT)
		note_exit(r, m->rec, m->len);
	rc = kp_decode(r->dec, m->rec, m->len, &row);
	if (rc < 0)
		r->st.bad++;
	return rc > 0 ? give(r, &row) : 0;
}

/* All that ended by then, in order. */
static int emit(struct kp_record *r, uint64_t upto)
{
	struct kp_merged m;
	int rc = 0;

	kp_merge_begin(&r->merge);
	while (!rc && kp_merge_next(&r->merge, upto, &m))
		rc = emit_one(r, &m);
	return rc;
}

/* The same, but the rings must not fill up meanwhile: there may be names to look up, or a slow disk. */
static int emit_some(struct kp_record *r, uint64_t upto, uint64_t now)
{
	struct kp_merged m;
	uint32_t n = 0;
	int rc = 0;

	r->behind = false;
	kp_merge_begin(&r->merge);
	while (!rc && !r->behind && kp_merge_next(&r->merge, upto, &m)) {
		rc = emit_one(r, &m);
		r->behind = ++n % 16 == 0 && kp_now_mono() - now > EMIT_MAX;
	}
	return rc;
}

int kp_rec_queue(struct kp_record *r, const struct kp_row *row)
{
	return kp_rec_queue_of(r, row, 0, 0);
}

int kp_rec_queue_of(struct kp_record *r, const struct kp_row *row, uint32_t tgid, uint64_t start)
{
	const struct own own = { *row, tgid, start };

	return kp_merge_add(&r->merge, r->ncpu, row->end, &own, sizeof(own));
}

/* ---- records in ---- */

struct into { struct kp_record *r; uint32_t cpu; };

static int take(void *arg, const void *rec, uint32_t len)
{
	const struct into *in = arg;

	if (len < sizeof(struct ev_head)) {
		in->r->st.bad++;
		return 0;
	}
	kp_shed_record(in->r->shed, ((const struct ev_head *)rec)->kind);
	return kp_merge_add(&in->r->merge, in->cpu, ((const struct ev_head *)rec)->end, rec, len);
}

int kp_rec_drain(struct kp_record *r)
{
	uint64_t used, now = kp_now_mono();
	long n;

	if (r->last_drain && now - r->last_drain > r->st.gap_max)
		r->st.gap_max = now - r->last_drain;
	r->last_drain = now;
	for (uint32_t i = 0; i < r->ncpu; i++) {
		struct into in = { r, i };

		if (!r->ring[i].consumer)
			continue;
		used = kp_ring_used(&r->ring[i]);
		r->pressed |= used > r->ring_size / 2;
		if (used > r->st.ring_max)
			r->st.ring_max = used;
		n = kp_ring_drain(&r->ring[i], take, &in);
		if (n < 0)
			return (int)n;
	}
	return 0;
}

/* ---- what is done from time to time ---- */

static int clock_row(struct kp_record *r, uint64_t now)
{
	struct kp_row row = { 0 };

	kp_clock_row(&row);
	r->next_clock = now + CLOCK_EVERY;
	return kp_rec_queue(r, &row);
}

/* A step of the wall clock shows between two looks; slewing takes longer. */
static bool clock_stepped(struct kp_record *r)
{
	int64_t off = (int64_t)(kp_now_wall() - kp_now_mono()), d = off - r->wall_off;

	r->wall_off = off;
	return d > 5 * MS || d < -5 * MS;
}

static int queue_polled(void *arg, const struct kp_row *row)
{
	struct kp_record *r = arg;

	return kp_rec_wants(r, row->kind) ? kp_rec_queue(r, row) : 0;
}

/*
 * Before tasks are looked at as they are now, the events that made them so must have been told. That may be a
 * second's worth of rows: the rings are looked after meanwhile.
 */
static int catch_up(struct kp_record *r)
{
	uint64_t upto = kp_now_mono();
	int rc = kp_rec_drain(r);

	if (!rc)
		rc = emit_some(r, upto, kp_now_mono());
	while (!rc && r->behind) {
		if (r->merge.bytes < HELD_MAX)
			rc = kp_rec_drain(r);
		if (!rc)
			rc = emit_some(r, upto, kp_now_mono());
	}
	return rc;
}

/* The pool only grows: when it has, all that refers to it goes out and a new one is begun. */
static int renew_pool(struct kp_record *r)
{
	struct kp_pool *pool;
	int rc;

	if (!r->sink->flush || kp_pool_bytes(r->pool) < POOL_MAX)
		return 0;
	rc = catch_up(r);
	if (!rc)
		rc = r->sink->flush(r->sink->arg, r->err);
	if (!rc)
		rc = kp_pool_new(&pool);
	if (rc)
		return rc;
	rc = kp_resolve_move(r->res, pool);
	kp_pool_free(r->pool);
	r->pool = r->dec->pool = pool;
	return rc;
}

static int keyframe(struct kp_record *r, uint64_t now)
{
	int rc = catch_up(r);

	r->next_key = now + KEY_EVERY;
	kp_shed_apart_begin(r->shed);
	if (!rc)
		rc = kp_rec_keyframe(r);
	kp_shed_apart_end(r->shed, now);
	return rc;
}

/* The sink begins with something new, from which on all must be understood again. */
static int turn(struct kp_record *r, uint64_t now)
{
	int rc = catch_up(r);

	if (!rc)
		rc = r->sink->turn(r->sink->arg, r->err);
	if (!rc)
		rc = clock_row(r, kp_now_mono());
	return rc ? rc : keyframe(r, now);
}

static int each_second(struct kp_record *r, uint64_t now)
{
	int rc = kp_resolve_poll(r->res, now, queue_polled, r);

	r->next_second = now + SEC;
	if (kp_rec_more_rings(r)) /* what happens on a new CPU is counted as lost, then */
		kp_rec_say(r, 1, "no buffer for a CPU that has come online");
	if (!rc && now >= r->next_open) {
		r->next_open = now + OPEN_EVERY;
		rc = catch_up(r);
		if (!rc)
			rc = kp_rec_look(r);
		if (!rc)
			rc = kp_rec_open(r, r->o.min_dur > OPEN_MIN ? r->o.min_dur : OPEN_MIN);
	}
	if (!rc && now >= r->next_key)
		rc = keyframe(r, now);
	if (!rc)
		rc = renew_pool(r);
	if (!rc && r->sink->flush)
		rc = r->sink->flush(r->sink->arg, r->err);
	if (r->o.second)
		r->o.second(r->o.say_arg, &r->st);
	return rc;
}

/* Readers of a pipe that have gone are noticed even when there is nothing to write. */
static int check_pipe(const struct kp_record *r)
{
	struct pollfd p = { .fd = r->o.stream_fd };

	return p.fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & POLLERR) ? -EPIPE : 0;
}

static int tick(struct kp_record *r, uint64_t now)
{
	bool second = now >= r->next_second;
	int rc = check_pipe(r);

	r->next_tick = now + TICK;
	kp_resolve_tick(r->res, now);
	if (!rc)
		rc = kp_counts_read(r->counts, r, now);
	now = kp_now_mono(); /* our own rows are in order, too */
	/* Where no ring was half full, none has overflowed. */
	if (!rc && (r->pressed || second)) {
		r->pressed = false;
		rc = kp_losses_read(r->losses, r, now);
	}
	if (!rc && (clock_stepped(r) || now >= r->next_clock))
		rc = clock_row(r, now);
	if (!rc && second)
		rc = each_second(r, now);
	if (!rc && r->sink->full && r->sink->full(r->sink->arg))
		rc = turn(r, now);
	return rc ? rc : kp_shed_look(r->shed, r, kp_now_mono());
}

/* ---- running ---- */

static bool done(struct kp_record *r, uint64_t now)
{
	bool running = r->child.pid && !kp_child_ended(&r->child, false);

	if (r->counted_out || (r->o.duration && now - r->started >= r->o.duration))
		return true;
	if (r->child.pid && !running)
		return true;
	/* The first stop goes to the command, if that has begun. */
	return r->stops > (running && kp_child_gone(&r->child) ? 1 : 0);
}

static int wait_for_more(struct kp_record *r, uint64_t now)
{
	uint64_t until = r->behind ? now : r->next_tick, ms;
	struct epoll_event e[16];
	uint64_t told;

	if (r->o.duration && r->started + r->o.duration < until)
		until = r->started + r->o.duration;
	ms = until > now ? (until - now + MS - 1) / MS : 0;
	if (epoll_wait(r->epfd, e, sizeof(e) / sizeof(*e), (int)ms) < 0 && errno != EINTR)
		return -errno;
	if (r->stops && read(r->stopfd, &told, sizeof(told)) < 0)
		return 0; /* taken already */
	return 0;
}

static int begin(struct kp_record *r)
{
	uint64_t now = kp_now_mono();
	int rc;

	r->last_end = 0;
	r->wall_off = (int64_t)(kp_now_wall() - now);
	r->next_tick = now + TICK;
	r->next_second = now + SEC;
	r->next_open = now + OPEN_EVERY;
	r->next_key = now + KEY_EVERY;
	rc = clock_row(r, now);
	if (!rc)
		rc = kp_counts_read(r->counts, r, now);
	if (!rc)
		rc = kp_rec_keyframe(r);
	if (!rc)	/* limits are known from the first second on, too */
		rc = kp_resolve_poll(r->res, now, queue_polled, r);
	if (!rc && r->child.pid && !r->stops)
		kp_child_go(&r->child);
	return rc;
}

/* A record that is still being written holds up those behind it; all are complete soon after nobody writes any more. */
static int drain_all(struct kp_record *r)
{
	uint64_t left;
	int rc = 0;

	for (int tries = 0; tries < 100 && !rc; tries++) {
		rc = kp_rec_drain(r);
		left = 0;
		for (uint32_t i = 0; i < r->ncpu; i++)
			left += r->ring[i].consumer ? kp_ring_used(&r->ring[i]) : 0;
		if (!left)
			break;
		usleep(1000);
	}
	return rc;
}

/* What is still under way, counted or not ended when it was over. */
static int finish(struct kp_record *r)
{
	uint64_t now;
	int rc = catch_up(r);

	if (!rc)
		rc = kp_rec_look(r);
	if (!rc)
		rc = kp_rec_open(r, r->o.min_dur);
	if (!rc)
		rc = kp_resolve_poll(r->res, kp_now_mono(), queue_polled, r);
	/* Before: the programs go one by one, and who begins then would be counted, but not known. */
	if (!rc)
		rc = kp_counts_read(r->counts, r, kp_now_mono());
	kp_rec_detach(r);
	if (!rc)
		rc = drain_all(r);
	if (!rc)
		rc = kp_rec_flush_sums(r);
	if (!rc)
		rc = drain_all(r);
	now = kp_now_mono();
	if (!rc)
		rc = kp_losses_read(r->losses, r, now);
	if (!rc)
		rc = kp_shed_finish(r->shed, r, now);
	if (!rc)
		rc = clock_row(r, now);
	return rc ? rc : emit(r, UINT64_MAX);
}

int kp_record_run(struct kp_record *r, const struct kp_record_sink *sink, struct kp_err *err)
{
	uint64_t now;
	int rc;

	err->msg[0] = 0;
	r->sink = sink;
	r->err = err;
	rc = begin(r);
	now = kp_now_mono();
	while (!rc && !done(r, now)) {
		rc = wait_for_more(r, now);
		/* What ended before now and is not in a ring yet is late, see HOLD. */
		now = kp_now_mono();
		/* When the sink cannot keep up, the kernel drops and counts, rather than memory growing. */
		if (!rc && r->merge.bytes < HELD_MAX)
			rc = kp_rec_drain(r);
		if (!rc && now >= r->next_tick)
			rc = tick(r, now);
		if (!rc)
			rc = emit_some(r, now - HOLD, now);
	}
	if (!rc)
		rc = finish(r);
	if (rc && !err->msg[0])
		kp_err(err, -rc, "recording: %s", strerror(-rc));
	return rc;
}
