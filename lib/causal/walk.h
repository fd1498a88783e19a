/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk and what it is made of: a wait is classified (wait.c, by the table
 * of frames), a rule of the table of causes judges it (cause_*.c), and the
 * walk goes on where the verdict says. Aggregates are per cause kind.
 */
#ifndef KC_WALK_H
#define KC_WALK_H

#include <kp/causes.h>

#include "world.h"

enum kc_class {	/* what a thread was asleep in */
	KC_W_UNKNOWN, KC_W_FUTEX, KC_W_FLOCK, KC_W_KLOCK, KC_W_SYSV, KC_W_RECLAIM, KC_W_SWAP, KC_W_OOM, KC_W_PAGE, KC_W_DIO,
	KC_W_BUFFER, KC_W_BLKQ, KC_W_SYNC, KC_W_JOURNAL, KC_W_DIRTY, KC_W_RECV, KC_W_SEND, KC_W_CONNECT, KC_W_ACCEPT,
	KC_W_POLL, KC_W_EVENT, KC_W_PIPE, KC_W_CHILD, KC_W_TIMER, KC_W_SIGNAL, KC_W_STOPPED, KC_W_FUSE, KC_W_QUOTA,
};
#define KC_IS(class) (1u << (class))

struct kc_wait {
	uint32_t th;
	const struct kc_piece *p;
	uint64_t from, to;	/* the part of the piece that is to be explained */
	const struct kc_ev *sys, *wake, *fault; /* the call around it, how it ended, the page fault around it; NULL none */
	enum kc_class class;
	bool by_stack;		/* the class is seen, not concluded */
};

struct kc_culprit { uint32_t th; uint64_t weight; const char *why; };

#define KC_CULPRITS 32
struct kc_verdict {
	uint16_t kind;		/* leaf: of the whole wait. follow: of the gap between `at` and the end of the wait */
	uint16_t rest;		/* leaf: of what `part` leaves */
	double part;		/* leaf: how much of the wait is `kind` */
	bool observed;
	bool follow;		/* go on in thread `next` at time `at`; come back to `back` at `floor` */
	uint32_t next, back;
	uint64_t at, floor;
	const struct kc_ev *busy; /* follow: until this `next` worked for others, NULL it did not */
	bool held;		/* leaf: thread `holder` had the lock at the end of the wait, and how that is known */
	uint32_t holder;
	const char *how;
	const struct kp_str *what;
	const struct kp_obj *obj;
	const struct kc_ev *ev;	/* evidence, NULL none */
	const char *says;	/* what it shows */
	struct kc_culprit culprit[KC_CULPRITS];
	uint32_t nculprit;
};

struct kc_step { uint64_t from, to; uint32_t th, depth; uint16_t kind; uint8_t state; const struct kp_str *what; };

struct kc_blame { uint32_t th; double ns, longest; const char *why; }; /* of a process; th: its thread of the longest part */
struct kc_proof { const struct kc_ev *ev; const char *says; uint64_t ns; bool observed; };

#define KC_PROOFS 6
struct kc_agg {		/* one cause kind of the target */
	uint64_t ns, observed_ns;
	struct kc_blame *blame; uint32_t nblame, cap_blame;
	struct kc_proof proof[KC_PROOFS]; uint32_t nproof;
	const struct kp_obj *obj; uint64_t obj_ns; /* of the longest wait */
	uint32_t victim; uint64_t victim_ns; /* of the longest wait */
	double confidence;
	char why[2][200];	/* in words: observed, inferred */
};

/* A refault of a wait of the path, and how much of the path's time it stands for. */
struct kc_fault { const struct kc_ev *ev; uint64_t ns; };

struct kc_walk {
	struct kp_world *w;
	const struct kp_header *h;
	uint64_t start, end;
	uint32_t target;	/* the thread that is asked about */
	struct kc_step *step;	uint32_t nstep, cap_step;
	struct kc_agg agg[KP_C_MAX];
	struct kc_fault *fault;	uint32_t nfault, cap_fault;
	struct kc_fault *recl;	uint32_t nrecl, cap_recl;
	uint64_t give_up, late;	/* unified times; 0 not */
	const struct kc_ev *call; /* that nobody waited for when it was answered */
	const struct kc_ev *answer;
	uint64_t limit;
	const struct kc_ev *timeout; /* the wait that ran out */
	uint32_t give_up_th, late_th;
	bool failed, timed_out;
	struct { const struct kc_ev *ev; uint32_t th; double part; } quota; /* cause_cpu.c: computed last */
	int err;
};

/* frames.c */
enum kc_class kc_class_of_stack(const struct kp_stack *s);
const char *kc_class_name(enum kc_class c);
/* wait.c */
void kc_wait_at(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to, struct kc_wait *out);
const struct kp_str *kc_what(struct kc_walk *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool kc_by_task(const struct kc_walk *k, const struct kc_wait *t); /* woken by a task that meant it */
bool kc_timed_out(const struct kc_wait *t);
const char *kc_sys_name(const struct kc_ev *sys);

/* causes.c: the table */
void kc_judge(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
void kc_finish(struct kc_walk *k);	/* blame that needs the whole path */
void kc_leaf(struct kc_verdict *v, uint16_t kind, bool observed);
void kc_follow(struct kc_verdict *v, uint32_t next, uint64_t at, uint64_t floor, uint32_t back, uint16_t gap);
void kc_accuse(struct kc_verdict *v, uint32_t th, uint64_t weight, const char *why);
void kc_scale(struct kc_verdict *v, uint64_t ns); /* the culprits' weights become their parts of ns */
void kc_blame_add(struct kc_walk *k, uint16_t kind, uint32_t th, double ns, const char *why);
void kc_proof_add(struct kc_agg *a, const struct kc_ev *ev, const char *says, uint64_t ns, bool observed);

/* One file each; 1: judged, 0: not mine. */
int kc_cause_stopped(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_quota(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_reclaim(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_page(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_disk(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_fs(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_lock(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_futex(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_message(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_net(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_resumed(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_timer(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
int kc_cause_waker(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
/* cause_cpu.c: a piece of running or of waiting for a CPU */
void kc_cause_cpu(struct kc_walk *k, uint32_t th, const struct kc_piece *p, uint64_t from, uint64_t to, struct kc_verdict *v);
/*
 * cause_lock.c: h is a wait of a thread while it kept t waiting: who had the same lock before it, KC_NONE: that was
 * another wait. cause_net.c: the signal that ended a wait.
 */
uint32_t kc_lock_before(struct kc_walk *k, const struct kc_wait *t, const struct kc_wait *h);
bool kc_works_for(struct kc_walk *k, uint32_t who, const struct kc_wait *t); /* who ended the wait: no holder of a lock */
void kc_lock_meanwhile(struct kc_walk *k); /* what the holder did with it */
const struct kc_ev *kc_signalled(struct kc_walk *k, const struct kc_wait *t);
/* cause_disk.c: who else was at the device of ev meanwhile */
bool kc_throttled(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
void kc_disk_others(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
/* blame_memory.c */
void kc_blame_refault(struct kc_walk *k);
void kc_blame_reclaim(struct kc_walk *k);

/* walk.c: from thread th at time `end` back to `start`; back/floor: the caller to return to, KC_NONE none */
int kc_walk(struct kc_walk *k, uint32_t th, uint64_t end, uint32_t back, uint64_t floor);
/* Gives [from, to], which ends where the walk has come to, to a verdict. */
int kc_give(struct kc_walk *k, uint32_t th, uint64_t from, uint64_t to, const struct kc_verdict *v, uint8_t st);
/* outcome.c: who gave up when, what came late */
void kc_outcome(struct kc_walk *k, uint32_t th);
/* Closed without an answer: in words, how that came. */
void kc_how_it_ended(struct kc_walk *k, uint32_t th, char *buf, size_t cap);
/* explain.c, nodes.c */
int kc_graph(struct kc_walk *k, uint32_t th, struct kp_graph **out);
void kc_who(struct kc_walk *k, uint32_t th, struct kp_who *who);
int kc_nodes(struct kc_walk *k, struct kp_graph *g);
void kc_walk_free(struct kc_walk *k);

#endif
