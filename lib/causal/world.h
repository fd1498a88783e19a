/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rows of a target's window, sorted to threads, CPUs, devices and
 * connections. Everything the walk asks for is a binary search in a list.
 */
#ifndef KC_WORLD_H
#define KC_WORLD_H

#include <kp/causal.h>
#include <kp/row.h>

#define KC_MS 1000000ull
#define KC_SEC 1000000000ull
#define KC_NONE UINT32_MAX

/* A row in unified time, less what the analysis never asks for. */
struct kc_ev {
	uint64_t t, dur;
	uint64_t own;		/* end in its source's own time: part of its identity */
	uint64_t a[6];
	int64_t ret;
	const struct kp_obj *obj;
	const struct kp_stack *stack, *stack2;
	const struct kp_task *task, *peer;
	const struct kp_str *request, *op, *label; /* label: what a message says, "SELECT items" */
	uint32_t th, pth;	/* threads of task and peer, KC_NONE */
	uint32_t flags, source;
	uint32_t conn;		/* messages: index of the connection */
	uint16_t kind, cpu;
	uint8_t msg;		/* enum kp_msg_type */
	uint8_t side;		/* messages: which end of the connection, 0 or 1 */
	int status;
};

static inline uint64_t kc_start(const struct kc_ev *e) { return e->t - e->dur; }

/* Indices of events in order of t; longest: the largest dur among them. */
struct kc_list { uint32_t *v; uint32_t n, cap; uint64_t longest; };

enum kc_state { KC_RUNNING, KC_RUNNABLE, KC_BLOCKED, KC_NOTHING };

struct kc_piece {	/* of a thread's life; pieces are in order and do not overlap */
	uint64_t from, to;
	uint8_t state;		/* enum kc_state */
	uint16_t cpu;
	bool open;		/* blocked, and nothing ended it in this window */
	uint32_t pstate;	/* task state it left the CPU with */
	uint32_t wake;		/* blocked: the sched.wake or sched.sleep that tells of it, KC_NONE */
};

struct kc_thread {
	uint32_t host, tid, tgid, source;
	uint64_t start;
	uint64_t born; uint32_t parent;	/* when and by whom it was made, 0 not seen */
	const struct kp_task *task;	/* as seen last */
	const struct kp_str *service;
	struct kc_list sched, sys, mem, blk, msg;
	struct kc_piece *piece;	uint32_t npiece, cap_piece;
	bool built;
};

struct kc_conn {	/* one TCP or other connection, both ends; key is the 4-tuple with the smaller end first */
	struct kp_obj key;
	uint32_t host;		/* loopback names differ per host; KC_NONE when the addresses are global */
	struct kc_list send[2], recv[2], other; /* per end; other: retransmits, states */
	int8_t client;		/* which end asks, -1 not known */
	bool joined;		/* a Unix socket whose other end is known */
};

struct kc_dev { uint32_t host, dev; const struct kp_obj *obj; struct kc_list io; };

struct kc_proc { uint32_t host, tgid; uint32_t th; /* a thread of it, the leader where known */ };

struct kp_world {
	struct kp_pool *pool;
	struct kp_target target;
	uint64_t from, to, mem_from;	/* detail window, and from when on memory's history is kept */
	struct kc_ev *ev;	uint32_t nev, cap_ev;
	struct kc_thread *th;	uint32_t nth, cap_th;
	uint32_t *th_hash;	uint32_t th_cap;
	const struct kp_task **tp_key; uint32_t *tp_val; uint32_t tp_cap, tp_n; /* kp_task pointer -> thread */
	struct kc_conn *conn;	uint32_t nconn, cap_conn;
	uint32_t *conn_hash;	uint32_t conn_hcap;
	struct kc_dev *dev;	uint32_t ndev, cap_dev;
	struct kc_list *cpu;	uint32_t ncpu;	/* sched.switch per CPU (host 0..: host * 4096 + cpu is folded) */
	struct kc_list count, keys, cg, faults;	/* count.mem, key.task, cg.*, mm.refault */
	struct kc_list reclaim, sig, oom;
	uint64_t losses;	/* rows lost between from and to */
	uint64_t first, last;	/* of the events kept */
	bool sorted;
};

/* list.c */
int kc_list_add(struct kc_list *l, uint32_t i, uint64_t dur);
uint32_t kc_list_from(const struct kp_world *w, const struct kc_list *l, uint64_t t); /* first with ev.t >= t */
/* Iterates over what overlaps [a, b]: start with *i = KC_NONE; NULL at the end. */
const struct kc_ev *kc_overlap(const struct kp_world *w, const struct kc_list *l, uint64_t a, uint64_t b, uint32_t *i);
/* The last event of l with t <= at (and the first with t >= at), NULL none. */
const struct kc_ev *kc_last(const struct kp_world *w, const struct kc_list *l, uint64_t at);
const struct kc_ev *kc_next(const struct kp_world *w, const struct kc_list *l, uint64_t at);
void *kc_grow(void *p, uint32_t *cap, size_t size); /* doubles; NULL: no memory, p is still good */

/* threads.c */
uint32_t kc_thread_of(struct kp_world *w, uint32_t host, uint32_t source, const struct kp_task *t);
uint32_t kc_host_of(const struct kp_header *h, uint32_t source);
uint64_t kc_overlap_ns(uint64_t a1, uint64_t b1, uint64_t a2, uint64_t b2);
const struct kp_str *kc_cgroup(const struct kp_world *w, uint32_t th, enum kp_cg which);
bool kc_cg_below(const char *path, size_t n, const char *root, size_t len); /* the group itself, or one in it */
bool kc_same_proc(const struct kp_world *w, uint32_t a, uint32_t b);
bool kc_is_idle(const struct kp_world *w, uint32_t th);
bool kc_is_kthread(const struct kp_world *w, uint32_t th);

/* conn.c */
/* One key for both ends of a connection; where: the host whose loopback it is, or whose Unix socket, else KC_NONE. */
void kc_conn_key(const struct kp_obj *o, uint32_t host, struct kp_obj *key, uint32_t *where, uint8_t *side);
uint32_t kc_conn_hash(const struct kp_obj *key, uint32_t where);
bool kc_conn_same(const struct kp_obj *a, const struct kp_obj *b);
int kc_conn_add(struct kp_world *w, uint32_t host, struct kc_ev *e, uint32_t idx);
void kc_conn_roles(struct kp_world *w);
/* The send that delivered the bytes up to where recv e stands, NULL: its sender was not recorded. */
const struct kc_ev *kc_sent_for(const struct kp_world *w, const struct kc_ev *recv);
/* The call that a message answers: the send of side that the other end had read last before at; NULL unknown. */
const struct kc_ev *kc_call_of(const struct kp_world *w, const struct kc_ev *answer);
/* What thread's process asked for and had no answer to at time t: its last such send, NULL none. */
const struct kc_ev *kc_outstanding(const struct kp_world *w, uint32_t th, uint64_t t, uint64_t since);
/* The other end's first answer after t on the connection that call went out on, to its end; NULL none. */
const struct kc_ev *kc_answer_after(const struct kp_world *w, const struct kc_ev *call, uint64_t t);
const struct kp_str *kc_asked(const struct kp_world *w, const struct kc_ev *call); /* in words, NULL not known */
uint32_t kc_reader_of(const struct kp_world *w, const struct kc_ev *call); /* thread that read it, KC_NONE */

/* unix.c: joins the two ends of Unix sockets; 0 or -ENOMEM */
int kc_unix_pairs(struct kp_world *w);

/* timeline.c */
int kc_timeline(struct kp_world *w, uint32_t th);
/* The piece with from < t <= to, NULL: nothing known. */
const struct kc_piece *kc_piece_at(const struct kp_world *w, uint32_t th, uint64_t t);
const struct kc_ev *kc_sys_at(const struct kp_world *w, uint32_t th, uint64_t t); /* the call it was inside at t */

#endif
