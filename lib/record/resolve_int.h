/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the resolver share. */
#ifndef KP_RECORD_RESOLVE_INT_H
#define KP_RECORD_RESOLVE_INT_H

#include <kp/sym.h>
#include <kp/util.h>

#include "resolve.h"

#define RS_MS 1000000ull
#define RS_SEC 1000000000ull
#define RS_NONE UINT32_MAX
#define RS_PATH 4096

enum { RS_FRONT = 4096, RS_FRAMES = 4096, RS_WAYS = 8, RS_PENDING = 65536, RS_HIER = 64, RS_NETNS = 16, RS_GROUPS = 1024 };
enum { RS_KTHREAD = 0x00200000 /* PF_KTHREAD of a task's flags */ };

/* A thread. Chained by tid and, with the others of its process, by tgid; indices into kp_resolve.task. */
struct rs_task {
	const struct kp_task *t;	/* as it is now; NULL: slot is free */
	uint64_t dead;			/* forget it then, 0: alive */
	uint32_t next;			/* same hash of tid; free list */
	uint32_t tg_next, tg_prev;	/* same hash of tgid */
	uint32_t dead_next;
	uint32_t seen;			/* the keyframe that saw it last */
	bool loaded;			/* /proc was asked, or it is the child of one that was */
	bool pending;			/* waits in the queue */
};

/* The front of the tables of tasks: one entry a slot, by tid. */
struct rs_front { uint64_t start; const struct kp_task *t; uint32_t tid; };

/* Objects by a key, RS_WAYS to a set, the most recently used first. */
struct rs_ent {
	uint64_t k1;
	uint32_t k2;
	uint32_t retry;			/* in seconds of r->now: look again from then on; 0 never */
	const struct kp_obj *o;		/* NULL: free */
};
struct rs_cache { struct rs_ent *e; uint32_t sets; uint64_t n; };

struct rs_frame { uint64_t addr; const struct kp_str *s; };

/* A cgroup whose limits are polled, and what was said of it last. */
struct rs_group {
	const struct kp_str *path;
	uint8_t which;			/* KP_CG_MEMORY, KP_CG_CPU or KP_CG_UNIFIED (pressure) */
	bool said;
	uint64_t last[5];
};

struct rs_mount { char *dir, *root; size_t root_len; }; /* where a controller's tree is mounted, and which part of it */

struct rs_key;				/* a keyframe under way, keyframe.c */

struct kp_resolve {
	struct kp_pool *pool;
	struct kp_resolve_opts o;
	int proc;			/* /proc */
	uint32_t hz;
	uint64_t now;			/* of the last tick or poll */
	int64_t tokens;			/* ns of /proc that may be spent */
	uint64_t refilled;
	struct kp_resolve_stats st;

	struct rs_front front[RS_FRONT];
	struct rs_task *task; uint32_t ntask, cap_task, free_task;
	uint32_t *by_tid, *by_tgid, heads; /* heads: a power of two */
	uint32_t dead_first, dead_last;
	struct kp_ids *pending; uint32_t pend_first, npending;
	uint8_t hier[RS_HIER];		/* v1 hierarchy id -> bits of enum kp_cg */
	uint32_t gen;			/* keyframes so far */
	char pidns[64];			/* our own, as its link says */

	struct rs_cache files, socks, tuples;
	uint32_t pipefs, sockfs, anonfs; /* devices */
	struct { uint64_t ino, when; } netns[RS_NETNS];

	struct kp_sym *sym;
	bool sym_tried;
	uint64_t sym_when, sym_wait;
	struct rs_frame frame[RS_FRAMES];

	struct rs_key *key;
	struct rs_group *group; uint32_t ngroup, poll_next; /* of RS_GROUPS */
	uint16_t *group_hash;		/* index + 1, of 2 * RS_GROUPS */
	struct rs_mount mount[KP_CG_MAX];
	bool v2[KP_CG_MAX];		/* the controller is on the unified tree */
	struct rs_group host;		/* its pressure */
	char *buf;			/* 64 KiB for a file of /proc */
};

enum { RS_BUF = 65536 };

/* proc.c: /proc within the budget. rs_begin: a time to give to rs_end, 0: not now. */
uint64_t rs_begin(struct kp_resolve *r);
void rs_end(struct kp_resolve *r, uint64_t begun);
void rs_refill(struct kp_resolve *r, uint64_t now);
/* A file below /proc into buf, NUL-terminated, at most cap - 1 bytes: length or -errno. */
ssize_t rs_read(struct kp_resolve *r, char *buf, size_t cap, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
ssize_t rs_link(struct kp_resolve *r, char *buf, size_t cap, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
ssize_t rs_read_at(int dir, const char *path, char *buf, size_t cap);

struct rs_stat {
	const char *comm; size_t comm_len; /* into the text */
	char state;
	uint32_t ppid, flags, policy;
	int32_t nice;
	uint64_t ticks, utime, rss;	/* start and user time in ticks of r->hz; pages */
};
int rs_parse_stat(char *text, size_t len, struct rs_stat *st);
/* Sets the members of cg whose controllers the lines of a /proc/PID/cgroup name. */
void rs_parse_cgroup(struct kp_resolve *r, const char *text, size_t len, const struct kp_str *cg[KP_CG_MAX]);
/* Which controllers a list like "cpu,cpuacct" means, as bits of enum kp_cg. */
uint8_t rs_controllers(const char *list, size_t len);
int rs_read_hierarchies(struct kp_resolve *r);
const struct kp_str *rs_exe(struct kp_resolve *r, uint32_t tgid); /* NULL: gone, or a kernel thread */
/*
 * Fills what t does not have yet, if it still runs; sib: another thread of its process that has been read, or
 * NULL. fresh: an iterator has told its comm just now. false: the budget does not allow it now.
 */
bool rs_load(struct kp_resolve *r, struct kp_task *t, const struct kp_task *sib, bool fresh);
/* start of a task in ticks, as its stat has it */
static inline uint64_t rs_ticks(const struct kp_resolve *r, uint64_t start) { return start / (RS_SEC / r->hz); }

/* task.c */
int rs_tasks_new(struct kp_resolve *r);
void rs_tasks_free(struct kp_resolve *r);
void rs_tasks_tick(struct kp_resolve *r, uint64_t now);
int rs_tasks_move(struct kp_resolve *r);
/* The entry of a task that is known, RS_NONE. */
uint32_t rs_task_find(const struct kp_resolve *r, uint32_t tid, uint64_t start);
/* As kp_resolve_task, with what an iterator or a keyframe knows already (NULL: nothing). */
struct rs_known { const char *comm; size_t comm_len; uint32_t ns_tid, ns_tgid; bool kthread, later /* /proc can wait */; };
uint32_t rs_task_get(struct kp_resolve *r, uint32_t tid, uint32_t tgid, uint64_t start, const struct rs_known *k);
/* A new entry, of which nothing has been read yet; RS_NONE: no memory. */
uint32_t rs_task_add(struct kp_resolve *r, const struct kp_task *t);
/* The first entry of those that may belong to this process; the next is its tg_next, RS_NONE ends. */
uint32_t rs_task_of(const struct kp_resolve *r, uint32_t tgid);
/* What is true of the task from now on; its old value stays good for rows that have it. */
void rs_task_become(struct kp_resolve *r, uint32_t i, const struct kp_task *now);
/* /proc is asked for it when the budget allows it. */
void rs_task_put_off(struct kp_resolve *r, uint32_t i);
/* It has ended: known for a while yet, as the rings of other CPUs may still name it. */
void rs_task_bury(struct kp_resolve *r, uint32_t i, uint64_t now);
/* Tasks that began before boot (CLOCK_BOOTTIME) and that keyframe r->gen has not seen are gone: their exit was lost. */
void rs_tasks_sweep(struct kp_resolve *r, uint64_t boot);

/* object.c, socket.c */
int rs_cache_new(struct rs_cache *c, uint32_t entries);
struct rs_ent *rs_cache_get(struct rs_cache *c, uint64_t k1, uint32_t k2);
struct rs_ent *rs_cache_put(struct rs_cache *c, uint64_t k1, uint32_t k2, const struct kp_obj *o);
int rs_cache_move(struct kp_resolve *r, struct rs_cache *c);
/* name of fd if it is (dev, ino): length, 0 no name, -ENOENT not that, -EAGAIN no budget. */
ssize_t rs_fd_name(struct kp_resolve *r, uint32_t dev, uint64_t ino, uint32_t tgid, int fd, char *buf, size_t cap);
/* Learns what /proc says of a descriptor; the object. */
const struct kp_obj *rs_fd_learn(struct kp_resolve *r, uint32_t dev, uint32_t mode, uint64_t ino, uint32_t tgid, int fd, const char *name, size_t len);
const struct kp_obj *rs_sock_by_ino(struct kp_resolve *r, uint32_t dev, uint64_t ino, uint32_t tgid);
uint8_t rs_type(const struct kp_resolve *r, uint32_t dev, uint32_t mode);

/* poll.c */
int rs_poll_new(struct kp_resolve *r);
void rs_poll_note(struct kp_resolve *r, const struct kp_task *t);
int rs_poll_move(struct kp_resolve *r);
void rs_poll_free(struct kp_resolve *r);

/* keyframe.c */
void rs_key_free(struct kp_resolve *r);
int rs_key_move(struct kp_resolve *r);

static inline uint64_t rs_mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ b * 0x9e3779b97f4a7c15ull) * 0xff51afd7ed558ccdull;

	return (x ^ x >> 29) * 0xc4ceb9fe1a85ec53ull >> 16;
}

static inline uint32_t rs_dev(unsigned major, unsigned minor) { return major << 20 | (minor & 0xfffff); }

#endif
