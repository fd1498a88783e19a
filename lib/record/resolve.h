/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From raw ids, as the kernel side sends them, to the interned values of a
 * row. What events do not tell is read from /proc and cgroupfs, within a
 * budget of time per second, so that a host with very many threads is not
 * slowed: what the budget does not allow stays unknown and, for tasks, is
 * tried again in kp_resolve_tick. A process that has gone is no error.
 *
 * Pointers that are returned are interned in the pool and live as long as it.
 * NULL means "not known" or "no memory": a row without it is still a row.
 * Units: times are ns; `start` of a task is CLOCK_BOOTTIME, as the kernel has
 * it; `now` and `end` are CLOCK_MONOTONIC. Devices are the kernel's dev_t
 * (major << 20 | minor). One resolver belongs to one thread.
 */
#ifndef KP_RECORD_RESOLVE_H
#define KP_RECORD_RESOLVE_H

#include <kp/err.h>
#include <kp/kinds.h>
#include <kp/pool.h>
#include <kp/row.h>
#include <kp/stream.h>

struct ev_sock;		/* bpf/event.h */
struct it_task;

struct kp_resolve;

struct kp_resolve_opts {	/* zeroed members are the defaults */
	const struct kp_kinds *kinds;	/* how many arguments a call has, for open rows; must outlive r; NULL: none are kept */
	uint64_t budget;		/* ns a second for /proc, and half of it for cgroupfs, 0: 20 ms; keyframes come on top */
	uint64_t burst;			/* ns that may be spent at once after a rest (and at the start), 0: 500 ms */
	uint64_t grace;			/* ns that an ended task is still known, 0: 5 s */
	uint32_t max_files, max_socks;	/* entries, rounded up to a power of two; 0: 65536, 16384 */
	const char *proc, *kallsyms;	/* for tests: other places than /proc and /proc/kallsyms */
};

/* o may be NULL. The pool is the caller's and outlives r or is replaced by kp_resolve_move. 0 or -ENOMEM. */
int kp_resolve_new(struct kp_resolve **out, struct kp_pool *pool, const struct kp_resolve_opts *o, struct kp_err *err);
void kp_resolve_free(struct kp_resolve *r);	/* NULL is fine */

/*
 * Goes over to another pool, since one grows for as long as it lives: what is still remembered is interned
 * there. Rows that hold values of the old pool must have been written before it is freed. 0 or -ENOMEM
 * (then some things were forgotten, but nothing points to the old pool).
 */
int kp_resolve_move(struct kp_resolve *r, struct kp_pool *pool);

/* Once in 100 ms or so: forgets ended tasks, reads what was put off, refills the budget. */
void kp_resolve_tick(struct kp_resolve *r, uint64_t now);

struct kp_resolve_stats {
	uint64_t tasks, files, socks;	/* remembered now */
	uint64_t proc_reads, proc_ns;	/* looks into /proc and cgroupfs, and the time they took */
	uint64_t put_off;		/* looks that the budget did not allow */
	uint64_t pending;		/* tasks that wait to be read */
};
void kp_resolve_stats(const struct kp_resolve *r, struct kp_resolve_stats *st);

/* ---- tasks ---- */

struct kp_ids {		/* who, as a record says it */
	uint32_t tid, tgid;
	uint64_t start;		/* 0 unknown: then the task that has the tid now is meant */
	uint32_t ns_tid, ns_tgid; /* 0 unknown */
};

/*
 * The hot path. Never NULL but for lack of memory: what /proc no longer tells leaves comm, exe and cgroup NULL.
 * tid 0 is the idle task, "swapper".
 */
const struct kp_task *kp_resolve_task(struct kp_resolve *r, uint32_t tid, uint32_t tgid, uint64_t start);
/*
 * Events, to be told in order of time. All return the task as it is from now on (as kp_resolve_task).
 * A child has its parent's comm, exe and cgroups until it changes them. comm is any bytes, at most 16.
 */
const struct kp_task *kp_resolve_forked(struct kp_resolve *r, const struct kp_ids *parent, const struct kp_ids *child);
/* path: the program as it was named, may be relative or NULL; then /proc tells, if the process is still there. */
const struct kp_task *kp_resolve_execed(struct kp_resolve *r, const struct kp_ids *t, const void *path, size_t path_len,
					const void *comm, size_t comm_len);
const struct kp_task *kp_resolve_renamed(struct kp_resolve *r, const struct kp_ids *t, const void *comm, size_t len);
/* hierarchy: the kernel's id of the cgroup tree, 0 for v2. whole: all threads of the process were moved. */
const struct kp_task *kp_resolve_moved(struct kp_resolve *r, const struct kp_ids *t, uint32_t hierarchy,
				       const void *path, size_t len, bool whole);
/* Remembered for opts.grace more, since rows of other CPUs may still name it. */
const struct kp_task *kp_resolve_exited(struct kp_resolve *r, const struct kp_ids *t, uint64_t now);

/* ---- objects ---- */

/*
 * What descriptor fd of tgid (-1: no descriptor) refers to; mode is the inode's i_mode, of which the type of the
 * object follows: 0 in S_IFMT is an anonymous inode (eventfd, epoll ...). The name comes from what was learned,
 * else from /proc. Never NULL but for lack of memory.
 */
const struct kp_obj *kp_resolve_file(struct kp_resolve *r, uint32_t dev, uint32_t mode, uint64_t ino, uint32_t tgid, int fd);
/*
 * Learns the name of a file from the open call that gave it. A relative path is made absolute through dirfd
 * (AT_FDCWD or a descriptor) of tgid where that is cheap, else stays as it is.
 */
const struct kp_obj *kp_resolve_opened(struct kp_resolve *r, uint32_t dev, uint32_t mode, uint64_t ino,
				       uint32_t tgid, int dirfd, const void *path, size_t len);
/*
 * A socket with its addresses; teaches them for its inode, so that read(2) on its descriptor shows them too.
 * A socket that has no inode yet or any more (accept queue, closing) gets that of its connection, if known.
 */
const struct kp_obj *kp_resolve_sock(struct kp_resolve *r, const struct ev_sock *s);
/* The connection is over: its addresses may be used by another one from now on. */
void kp_resolve_sock_closed(struct kp_resolve *r, const struct ev_sock *s);
/* Sockets that were there before us. Once, at the start; takes at most about the burst. */
void kp_resolve_sock_preload(struct kp_resolve *r);

const struct kp_obj *kp_resolve_device(struct kp_resolve *r, uint32_t dev);	/* a block device: "sda1" */
/* id: address; dev: tgid, since addresses of two processes are not comparable. */
const struct kp_obj *kp_resolve_futex(struct kp_resolve *r, uint32_t tgid, uint64_t addr);
const struct kp_obj *kp_resolve_cgroup(struct kp_resolve *r, const void *path, size_t len); /* KP_OBJ_CGROUP */
const struct kp_obj *kp_resolve_name(struct kp_resolve *r, const void *text, size_t len); /* KP_OBJ_NAME */

/* Kernel addresses (innermost first) as "function+0x12 [module]"; NULL for n = 0. Loads kallsyms when first called. */
const struct kp_stack *kp_resolve_stack(struct kp_resolve *r, const uint64_t *addr, uint32_t n);

/* ---- rows ---- */

/* Takes a row that lives only during the call; returns 0, or an error that ends what emits and is returned by it. */
typedef int (*kp_resolve_emit)(void *arg, const struct kp_row *row);

/*
 * A keyframe, begun with the records of the task iterator (one after the other, each sizeof(struct it_task);
 * rec NULL: /proc tells instead). Emits key.host and key.task, one a thread, and notes the processes whose
 * descriptors the steps will emit as key.file. Tasks that were remembered but are gone are forgotten.
 * All rows have KP_F_KEYFRAME. Of processes that are not wanted (it_task.want) only key.task is given.
 */
int kp_resolve_key_begin(struct kp_resolve *r, const struct it_task *rec, uint32_t n, kp_resolve_emit emit, void *arg);
/* Goes on for about max_ns: 1 there is more, 0 done, -errno of emit. A new keyframe drops what is left of an old one. */
int kp_resolve_key_step(struct kp_resolve *r, uint64_t max_ns, kp_resolve_emit emit, void *arg);

/*
 * What has not ended: a row with KP_F_OPEN for each task inside a call (sys.*) and asleep (sched.sleep) for at
 * least min_dur. Rows end at it_task.now, which ascends. flags are added. Unwanted tasks are left out.
 */
int kp_resolve_open(struct kp_resolve *r, const struct it_task *rec, uint32_t n, uint64_t min_dur, uint32_t flags,
		    kp_resolve_emit emit, void *arg);

/*
 * Limits, quotas and pressure of the cgroups that tasks were seen in, and of those above them: cg.limit, cg.cpu,
 * cg.pressure, where they changed since the last call; limit and quota 0: none. Once a second; rows end at now.
 */
int kp_resolve_poll(struct kp_resolve *r, uint64_t now, kp_resolve_emit emit, void *arg);

/* ---- clock.c: no resolver needed ---- */

/* Fills a clock.sync row: the clocks read together, in the narrowest of several tries. */
void kp_clock_row(struct kp_row *row);
/* Everything but shift: this host, this boot, this session. 0 or -ENOMEM. */
int kp_source_fill(struct kp_source *s, struct kp_pool *pool, struct kp_err *err);

#endif
