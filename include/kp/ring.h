/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring on disk: a directory of segments, each a stream that can be read
 * alone, of which the oldest are removed as new ones come. All is called by the
 * thread that records; two threads of the ring's own do what may take long.
 *
 *	kp_diskring_open(&r, &opts, &err);		takes the directory
 *	kp_diskring_begin(r, header, kinds, &err);	the first segment
 *	kp_diskring_row ... flush ... full, turn
 *	kp_diskring_end(r, &err);
 *	kp_diskring_free(r);
 */
#ifndef KP_RING_H
#define KP_RING_H

#include <stdbool.h>

#include <kp/err.h>
#include <kp/stream.h>

/* When what was written is forced to the disk: what a kill of the recorder leaves is the same with all of them. */
enum kp_diskring_sync { KP_SYNC_SECOND, KP_SYNC_SEGMENT, KP_SYNC_NEVER };

struct kp_diskring_opts {
	const char *dir;
	uint64_t size;		/* bytes on disk, of all segments */
	uint64_t age;		/* ns: what is older goes; 0: no limit */
	double free_part;	/* of the file system that stays free for others; 0: no limit */
	uint64_t free_bytes;	/* the same in bytes */
	uint8_t sync;		/* enum kp_diskring_sync */
	const char *group;	/* may read it; NULL: nobody but the owner */
	int level;		/* of zstd, as in struct kp_write_opts */
	/* What there is to say while it works; level 0 important, 1 details. NULL: keep quiet */
	void (*say)(void *arg, int level, const char *line); void *say_arg;
};

#define KP_DISKRING_DEFAULT { .size = 2ull << 30, .age = 24ull * 3600 * 1000000000, .free_part = 0.05 }

/* Takes one of kp-record's options, by its long name, with its value: --ring, --ring-size ... -EINVAL with a line. */
int kp_diskring_opt(struct kp_diskring_opts *o, const char *name, const char *val, struct kp_err *err);

struct kp_diskring;

/*
 * Makes the directory if it is not there, locks it, and finds the segments that it holds. -EBUSY: another one
 * records there; -ENOTDIR, -EPERM: it is none that is safe to write into.
 */
int kp_diskring_open(struct kp_diskring **out, const struct kp_diskring_opts *o, struct kp_err *err);
/* Begins the first segment. Header and kinds must live until kp_diskring_end. */
int kp_diskring_begin(struct kp_diskring *r, const struct kp_header *hdr, const struct kp_kinds *kinds, struct kp_err *err);
/*
 * What a struct kp_record_sink calls, and therefore with the ring as a bare pointer; between kp_diskring_begin and
 * kp_diskring_end.
 */
int kp_diskring_row(void *ring, const struct kp_row *row, struct kp_err *err);
int kp_diskring_key_begin(void *ring, uint64_t t0, struct kp_err *err);
int kp_diskring_key_end(void *ring, uint64_t t1, struct kp_err *err);
/* Once a second: readers see what there is; what is older or more than it may be goes. */
int kp_diskring_flush(void *ring, struct kp_err *err);
/* Several times a second: looks after the ring. true: the segment is full, kp_diskring_turn should be called. */
bool kp_diskring_full(void *ring);
/* Ends the segment and begins the next. A keyframe should follow. */
int kp_diskring_turn(void *ring, struct kp_err *err);

struct kp_diskring_stats {
	uint64_t rows, bytes;		/* written in this run */
	uint64_t removed;		/* segments that went since they were old or too many */
	uint64_t rewritten, before, after; /* segments packed anew, and their bytes */
	uint64_t segments, held;	/* that are there now, and their bytes */
};
void kp_diskring_stats(const struct kp_diskring *r, struct kp_diskring_stats *st);
/* Ends the segment. */
int kp_diskring_end(struct kp_diskring *r, struct kp_err *err);
void kp_diskring_free(struct kp_diskring *r);	/* NULL is fine */

#endif
