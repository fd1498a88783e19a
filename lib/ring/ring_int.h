/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/ring: the segments and their directory, and the threads that sync and rewrite. */
#ifndef KP_RING_INT_H
#define KP_RING_INT_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <kp/ring.h>

#define RING_SEC 1000000000ull

/* ---- seg.c: names, and which segments have to go ---- */

enum { RING_NAME = 32 };	/* "20261125T030000.123456Z.kp" and its NUL fit */

/* The name of a segment begun then (wall clock, us): names sort as times do. */
void ring_name(char name[RING_NAME], uint64_t us);
/* Is it the name of a segment? Nothing else in the directory is ever touched. */
bool ring_name_is(const char *name, uint64_t *us);

struct ring_seg {
	uint64_t us;		/* its name */
	uint64_t bytes;		/* on disk */
	uint64_t end;		/* last written to: wall clock, ns */
	bool loose;		/* its blocks are of a second, and small */
};
/* The oldest first. The one being written is not among them. */
struct ring_segs { struct ring_seg *seg; uint32_t n, cap; uint64_t bytes; };
int ring_segs_add(struct ring_segs *s, const struct ring_seg *seg);	/* the newest; 0 or -ENOMEM */
struct ring_seg *ring_segs_find(struct ring_segs *s, uint64_t us);	/* NULL: no longer there */
void ring_segs_drop(struct ring_segs *s, uint32_t i);
void ring_segs_free(struct ring_segs *s);

struct ring_limits { uint64_t size, age, min_free; };
/* other: bytes of what else there is and soon will be; now: ns; free: bytes of the file system. */
struct ring_state { uint64_t other, now, free; };
/* How many of the oldest have to go. */
uint32_t ring_surplus(const struct ring_segs *s, const struct ring_limits *l, const struct ring_state *st);

/* How large a segment becomes, and how long it is written to at most (ns). */
uint64_t ring_seg_size(uint64_t ring_size);
uint64_t ring_seg_time(uint64_t ring_age);

/* ---- dir.c: the directory ---- */

struct ring_dir { int fd, lock; mode_t mode; gid_t gid; bool chown; const char *path; };
int ring_dir_open(struct ring_dir *d, const char *path, const char *group, struct kp_err *err);
void ring_dir_close(struct ring_dir *d);
/* What segments it holds. Removes copies that were begun by a recorder that was killed. */
int ring_dir_scan(const struct ring_dir *d, struct ring_segs *s, struct kp_err *err);
/* A new file; fd or -errno. */
int ring_dir_create(const struct ring_dir *d, const char *name);
/* Bytes on disk and the time of the last write, of a file that is no link; 0 or -errno. */
int ring_dir_stat(const struct ring_dir *d, const char *name, struct ring_seg *seg);
uint64_t ring_fd_bytes(int fd);
void ring_temp_name(char temp[RING_NAME], const char *name);	/* which readers pass over */

/* ---- sync.c: a thread that waits for the disk ---- */

struct ring_sync { pthread_t thread; int pipe[2]; bool started; atomic_int pending, failed /* -errno */; };
void ring_sync_init(struct ring_sync *s);
/* fd is synced and closed soon, now and then here. */
void ring_sync_close(struct ring_sync *s, int fd);
/* The same of a copy of fd, but not while there is something to be done. */
void ring_sync_later(struct ring_sync *s, int fd);
void ring_sync_end(struct ring_sync *s);	/* waits for all of it */

/* ---- rewrite.c: a thread that packs segments anew ---- */

enum ring_job { RING_IDLE, RING_BUSY, RING_DONE };
struct ring_rewrite {
	pthread_t thread;
	bool started;
	sem_t go;
	atomic_int state;	/* enum ring_job: the thread owns what follows while it is busy */
	atomic_bool stop, cancel;
	const struct ring_dir *dir;
	int level;
	bool sync;
	struct ring_seg seg;	/* in: which; out: the copy */
	int rc;
};
void ring_rewrite_init(struct ring_rewrite *w, const struct ring_dir *dir, int level, bool sync);
/* Makes a copy of a segment under its temporary name, until state is RING_DONE. Only when it is RING_IDLE. */
void ring_rewrite_begin(struct ring_rewrite *w, const struct ring_seg *seg);
void ring_rewrite_end(struct ring_rewrite *w);	/* gives up what is under way */
/* What the thread does. 0 or -errno, and then there is no copy. */
int ring_rewrite_copy(struct ring_rewrite *w, struct kp_err *err);

#endif
