/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * While it is recorded a segment gets a block a second at least, so that readers
 * see it and a kill loses little; such blocks are larger than they need to be.
 * When it has ended a thread packs it into full blocks, with what CPU and disk
 * nobody else wants.
 */
#include "ring_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { POOL_MAX = 8 << 20, LOOK_EVERY = 1024 };
#define KEY_APART (1 * RING_SEC)	/* rows of two keyframes are farther apart than those of one */

struct copy {
	struct ring_rewrite *w;
	struct kp_pool *texts, *values;
	struct kp_kinds *kinds;
	struct kp_reader *in;
	struct kp_writer *out;
	uint64_t rows;
	bool in_key;
	uint64_t key_end;
};

/* Values that nothing refers to any more. */
static int renew(struct copy *c, struct kp_err *err)
{
	struct kp_pool *pool;
	int rc = kp_writer_flush(c->out, err);

	if (rc)
		return rc;
	if (kp_pool_new(&pool))
		return kp_err(err, ENOMEM, "out of memory");
	rc = kp_reader_renew(c->in, pool);
	kp_pool_free(c->values);
	c->values = pool;
	return rc;
}

/* The rows of a keyframe lie among those of what happened meanwhile. */
static int follow_key(struct copy *c, const struct kp_row *row, struct kp_err *err)
{
	int rc = 0;

	if (c->in_key && row->end > c->key_end + KEY_APART) {
		c->in_key = false;
		rc = kp_writer_key_end(c->out, c->key_end, err);
	}
	if (rc || !(row->flags & KP_F_KEYFRAME))
		return rc;
	if (!c->in_key)	/* what is older comes first */
		rc = kp_writer_flush(c->out, err) ?: kp_writer_key_begin(c->out, row->end, err);
	c->in_key = true;
	c->key_end = row->end;
	return rc;
}

static int copy_rows(struct copy *c, struct kp_err *err)
{
	const struct kp_row *row;
	struct kp_read_stats st;
	int rc;

	while ((rc = kp_reader_next(c->in, &row, err)) == 1) {
		rc = follow_key(c, row, err);
		if (!rc)
			rc = kp_writer_row(c->out, row, err);
		if (!rc && ++c->rows % LOOK_EVERY == 0) {
			if (c->w->stop || c->w->cancel)
				rc = kp_err(err, ECANCELED, "given up");
			else if (kp_pool_bytes(c->values) > POOL_MAX)
				rc = renew(c, err);
		}
		if (rc)
			return rc;
	}
	kp_reader_stats(c->in, &st);
	if (!rc && !st.complete)
		rc = kp_err(err, EBADMSG, "not complete");
	if (!rc && c->in_key)
		rc = kp_writer_key_end(c->out, c->key_end, err);
	return rc;
}

/* The descriptor is that of the file, whatever its name stands for by now. */
static int open_both(struct copy *c, int in, int out, struct kp_err *err)
{
	struct kp_write_opts wo = { .level = c->w->level };
	struct kp_read_opts ro = { .strict = true };
	char path[40];
	const char *p = path;
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
	if (kp_pool_new(&c->texts) || kp_pool_new(&c->values) || kp_kinds_new(&c->kinds))
		return kp_err(err, ENOMEM, "out of memory");
	rc = kp_reader_open(&c->in, &p, 1, c->texts, c->kinds, &ro, err);
	if (!rc && kp_reader_renew(c->in, c->values))
		rc = kp_err(err, ENOMEM, "out of memory");
	return rc ? rc : kp_writer_open(&c->out, out, false, kp_reader_header(c->in), c->kinds, &wo, err);
}

static int fill(struct ring_rewrite *w, int in, int out, struct kp_err *err)
{
	struct copy c = { .w = w };
	int rc = open_both(&c, in, out, err), rc2;

	if (!rc)
		rc = copy_rows(&c, err);
	if (c.out && rc) {
		kp_writer_abandon(c.out);
	} else if (c.out) {
		rc2 = kp_writer_close(c.out, c.rows, err);
		rc = rc ? rc : rc2;
	}
	kp_reader_close(c.in);
	kp_kinds_free(c.kinds);
	kp_pool_free(c.values);
	kp_pool_free(c.texts);
	return rc;
}

int ring_rewrite_copy(struct ring_rewrite *w, struct kp_err *err)
{
	char name[RING_NAME], temp[RING_NAME];
	struct timespec times[2] = { 0 };
	int in, out, rc;

	ring_name(name, w->seg.us);
	ring_temp_name(temp, name);
	in = openat(w->dir->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return kp_err(err, errno, "%s: %s", name, strerror(errno));
	out = ring_dir_create(w->dir, temp);
	if (out < 0) {
		close(in);
		return kp_err(err, -out, "%s: %s", temp, strerror(-out));
	}
	rc = fill(w, in, out, err);
	/* It is as old as what it holds. */
	times[0].tv_sec = times[1].tv_sec = (time_t)(w->seg.end / RING_SEC);
	times[0].tv_nsec = times[1].tv_nsec = (long)(w->seg.end % RING_SEC);
	if (!rc && (futimens(out, times) || (w->sync && fsync(out))))
		rc = kp_err(err, errno, "%s: %s", temp, strerror(errno));
	w->seg.bytes = ring_fd_bytes(out);
	if (close(out) && !rc)
		rc = kp_err(err, errno, "%s: %s", temp, strerror(errno));
	close(in);
	if (rc)
		unlinkat(w->dir->fd, temp, 0);
	return rc;
}

static void *run(void *arg)
{
	struct ring_rewrite *w = arg;
	struct sched_param none = { 0 };
	struct kp_err err;

	sched_setscheduler(0, SCHED_IDLE, &none); /* of this thread alone */
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
	for (;;) {
		while (sem_wait(&w->go) && errno == EINTR)
			;
		if (w->stop)
			return NULL;
		w->rc = ring_rewrite_copy(w, &err);
		w->state = RING_DONE;
	}
}

void ring_rewrite_init(struct ring_rewrite *w, const struct ring_dir *dir, int level, bool sync)
{
	memset(w, 0, sizeof(*w));
	sem_init(&w->go, 0, 0);
	w->dir = dir;
	w->level = level;
	w->sync = sync;
}

/* The thread begins with the first job: it has no more privileges then than the recorder has kept. */
static int start(struct ring_rewrite *w)
{
	sigset_t all, old;
	int rc;

	if (w->started)
		return 0;
	sigfillset(&all); /* signals are for the recorder */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = !rc;
	return -rc;
}

void ring_rewrite_begin(struct ring_rewrite *w, const struct ring_seg *seg)
{
	w->seg = *seg;
	w->cancel = false;
	w->rc = start(w);
	w->state = w->rc ? RING_DONE : RING_BUSY;
	if (!w->rc)
		sem_post(&w->go);
}

void ring_rewrite_end(struct ring_rewrite *w)
{
	struct sched_param none = { 0 };

	w->stop = true;
	if (w->started) {
		/* on a busy host its turn might not come */
		pthread_setschedparam(w->thread, SCHED_OTHER, &none);
		sem_post(&w->go);
		pthread_join(w->thread, NULL);
	}
	sem_destroy(&w->go);
}
