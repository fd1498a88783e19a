/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How it works: rows enter a window. As they enter, messages open and close
 * pieces of work ("this thread works for that request from here to there"); as
 * they leave, each row looks up which piece of work its beginning lies in.
 * A piece of work that came by message knows who sent it and when; whose
 * request that was is asked only when it is needed, by then the sender's own
 * rows are all in.
 *
 * All times in here are on one line: monotonic plus the shift of the source.
 */
#ifndef EN_H
#define EN_H

#include <kp/enrich.h>
#include <kp/kinds.h>
#include <kp/pool.h>
#include <kp/proto.h>

#define EN_MS 1000000ull
#define EN_NEVER UINT64_MAX
/* A syscall's row begins a little before the message inside it. */
#define EN_SYSCALL_SLACK EN_MS

enum { EN_SENDS = 16, EN_GOTS = 8, EN_QUEUE = 32, EN_STMTS = 512, EN_DEPTH = 16, EN_PIPES = 1024 };

enum en_type { EN_SERVER /* received a request, until it answered */, EN_CALL /* sent one, until the answer came */ };

struct en_ids { const struct kp_str *op, *request, *trace, *parent, *txn; }; /* parent: span id in the traceparent */

struct en_work {
	uint32_t refs;
	uint8_t type;
	bool answered, resolved, busy;
	bool failed, inner;	/* inner: part of a request that a server's thread is at */
	bool spread;		/* something was asked for it, or it was handed on */
	int status;		/* of the answer, as struct kp_msg has it */
	uint32_t task;		/* who received it: index + 1 */
	uint32_t th;		/* who works; after an answer: who answered */
	uint64_t begin, end;	/* end: EN_NEVER while open */
	uint64_t answer;	/* end of its latest answer: becomes end unless more follows */
	struct en_ids ids;	/* its message's own; when resolved: inherited ones too */
	bool has_from;
	uint32_t from;		/* who sent it, */
	uint64_t from_t;	/* and when: whatever that thread worked for then */
	uint32_t sport;		/* server: its port */
	uint32_t moved;		/* see kp_enrich.moved */
	const struct en_span *span; /* server span that continues the message's traceparent */
};

/* From `at` on the thread worked for w; w NULL: for nobody. */
struct en_seg {
	uint64_t at;
	struct en_work *w;
	bool handed;
	bool more;		/* other work from before may still be open here */
};

/* A thread woken out of a send on a Unix socket, and what it received then: see unix.c. */
struct en_half { const struct kp_obj *obj; uint32_t source; uint64_t bytes; };
struct en_hand { uint64_t t; uint32_t to; struct en_half sent, got; };

struct en_thread {
	uint32_t machine, tid, tgid, ns_tgid;
	uint64_t start, last;
	bool exited;
	struct en_work *pending;/* answered, and perhaps not to its end */
	struct en_work *loose;	/* received in a protocol that we do not speak: there may never be an answer */
	const struct kp_str *port_service;
	uint64_t wake_t; uint32_t wake_by;	/* who woke it last: index + 1 */
	struct en_hand hand;	/* whom it woke last */
	struct en_seg *seg;	/* in order of at */
	uint32_t nseg, cap;
};

struct en_sent {
	uint32_t from, to;	/* stream positions; unused where there are none */
	uint64_t start, end;
	uint32_t th;
	struct en_ids ids;
	uint8_t msg;		/* enum kp_msg_type */
	bool matched, position;
};

struct en_got { uint32_t from, to; uint64_t end; struct en_work *w; }; /* a receive that waits for its send */

struct en_queue { struct en_work *w[EN_QUEUE]; uint32_t n; };

/* What travels between the ends of a connection, which two machines may have recorded. */
struct en_wire {
	uint32_t refs, moved;
	int8_t spoke;		/* which end sent last */
	struct en_sent sent[2][EN_SENDS]; uint32_t nsent[2];	/* by the sender's end */
	struct en_got got[2][EN_GOTS]; uint32_t ngot[2];		/* likewise */
};

/* A connection as one machine sees it: private addresses may be those of another pair elsewhere. */
struct en_conn {
	struct en_conn *next;	/* in its bucket */
	uint64_t key[6];
	uint32_t machine;
	uint64_t last;
	int8_t client;		/* which end asks, -1 not known */
	uint8_t side;		/* of a Unix socket: which end of its wire it is */
	bool closed, spoken;	/* spoken: in a protocol that we know */
	struct en_wire *wire;
	struct en_queue srv, call;	/* asked and not answered, oldest first */
	struct en_work *last_srv, *last_call;	/* answered last: more of the answer may follow */
	struct en_stmt { const struct kp_str *name, *op; } *stmt; uint32_t nstmt, cap_stmt;
	const struct kp_str *txn;
	char tx;		/* state of the transaction at the last answer, 0 not seen */
};

struct en_task {	/* what is known of a kp_task value */
	const struct kp_task *task;
	uint32_t source, thread;
	bool spanless;		/* no span names its pid */
	bool svc_known, svc_strong;	/* strong: from a span or the map, given to each of its rows */
	const struct kp_str *service;
};

struct en_held {
	struct kp_row row;
	uint64_t t;
	uint32_t task, th;	/* indices + 1, 0 none */
	struct en_work *own;	/* a message's own work, whatever its thread does */
};

struct en_source {
	const struct kp_str *host;
	char boot[40];
	uint32_t machine;	/* the first source of the same boot: their threads are the same */
	int64_t shift, wall_off; /* shift: to the one line */
	bool known;
};

struct en_span {
	const struct kp_str *trace, *id, *parent, *name, *service, *request, *host, *container, *exe;
	uint64_t start, end;	/* wall clock */
	uint32_t pid;		/* 0 not told */
	uint8_t kind;		/* OTLP: 1 internal 2 server 3 client 4 producer 5 consumer */
	bool failed, matched;
	bool claimed;		/* a thread of its process is known to be the one that serves its trace */
};

struct en_spans {
	struct en_span *v; uint32_t n, cap;
	uint32_t *by_pid, *by_trace;	/* by (pid, start); by (trace, start) */
	uint64_t *top; uint32_t width;	/* tree over by_pid: the latest end below each node; width leaves */
	bool sorted;
	uint64_t bad_lines, bad_line;
};

struct en_rule { uint8_t key; const struct kp_str *value, *name; uint16_t port; };

/* EN_PIPES are remembered; of two in one place the later stays. */
struct en_pipe {
	uint64_t id;
	uint32_t machine;
	bool mixed;		/* unread bytes are of several requests */
	uint64_t unread, wrote;	/* wrote: end of the last write */
	struct en_work *w;	/* whose they are; NULL nobody's */
	/* a read whose write's row is yet to come */
	uint64_t owed, read_end;
	uint32_t reader;
};

struct kp_enrich {
	struct kp_pool *pool;
	uint32_t moved;		/* how often kp_enrich_renew was called: what bears the same number was met already */
	kp_enrich_fn emit; void *arg;
	uint64_t hold, now, swept;
	struct en_held *ring; uint32_t head, count, cap;	/* cap: a power of two */
	struct en_thread *th; uint32_t nth, cap_th;
	uint32_t *th_hash, th_hcap;
	struct en_task *task; uint32_t ntask, cap_task;
	uint32_t *task_hash, task_hcap;
	struct en_conn **conn; uint32_t nconn, conn_cap;
	struct en_source *src; uint32_t nsrc;
	struct en_spans spans;
	struct en_rule *rule; uint32_t nrule;
	struct en_pipe *pipe;
	uint32_t txns;
	kp_request_fn tell; void *tell_arg;
	struct en_work **req; uint32_t nreq, cap_req;	/* not told yet, in order of begin */
	struct kp_enrich_stats st;
};

/* work.c */
struct en_work *en_work_new(struct kp_enrich *e, uint8_t type, uint32_t th, uint64_t begin);
struct en_work *en_work_ref(struct en_work *w);
void en_work_put(struct en_work *w);			/* NULL is fine */
static inline bool en_alive(const struct en_work *w, uint64_t t) { return w->begin <= t && t < w->end; }
int en_turn(struct kp_enrich *e, struct en_thread *th, uint64_t at, struct en_work *w, bool handed); /* 0 or -ENOMEM */
void en_reopened(struct en_thread *th, uint64_t t);	/* work that had ended at t has not */
/* What the thread worked for at t: server's work first, else a call. waiting: several at once are nobody's. */
struct en_work *en_work_at(const struct en_thread *th, uint64_t t, bool waiting);
struct en_work *en_work_of(const struct en_thread *th, uint64_t t, uint8_t type, bool waiting);
void en_resolve(struct kp_enrich *e, struct en_work *w, int depth);
void en_queue_push(struct en_queue *q, struct en_work *w);
struct en_work *en_queue_pop(struct en_queue *q);	/* with its reference; NULL empty */

/* table.c */
int en_task_of(struct kp_enrich *e, uint32_t source, const struct kp_task *t, uint32_t *task); /* index + 1 */
struct en_conn *en_conn_of(struct kp_enrich *e, const struct kp_row *row, int *side); /* NULL: no memory, or not told which */
/* The two ends of a connection between machines. false: it is none, or its ends are not known. */
bool en_ends(const struct kp_obj *o, uint64_t local[3], uint64_t remote[3]);
void en_conn_free(struct en_conn *c);
void en_wire_clear(struct en_wire *w);
void en_thread_clear(struct en_thread *th);	/* forgets what it worked for */
int en_tables_rehash(struct kp_enrich *e);	/* when entries have moved; 0 or -ENOMEM */
bool en_sweep(struct kp_enrich *e);	/* true: a second is over */

/* message.c, track.c */
int en_message(struct kp_enrich *e, struct en_held *h);
int en_track(struct kp_enrich *e, struct en_held *h);
/* Has the thread work of its own: a request that it received itself? */
bool en_busy(const struct en_thread *th, uint64_t t);
/* b is the other end of a. */
void en_wire_join(struct kp_enrich *e, struct en_conn *a, struct en_conn *b);
/* The connection's end closed: who asked there gave up, who served there is done. */
void en_conn_end(struct en_conn *c, int side, uint64_t t);
void en_conn_reset(struct en_conn *c, uint64_t t);	/* the same two ends, but another connection */
uint32_t en_machine(const struct kp_enrich *e, uint32_t source);
/* th waits (or ends): what it had answered is answered to its end. */
void en_settle(struct en_thread *th);

/* unix.c */
bool en_is_unix(const struct kp_row *r);
void en_unix_wake(struct kp_enrich *e, uint32_t by, uint32_t th, uint64_t t);
void en_unix_got(struct kp_enrich *e, const struct en_held *h);
void en_unix_sent(struct kp_enrich *e, const struct en_held *h);

/* pipe.c */
int en_pipe(struct kp_enrich *e, struct en_held *h);	/* a read or a write; 0 or -ENOMEM */
void en_pipes_free(struct kp_enrich *e);

/* request.c */
int en_request_begun(struct kp_enrich *e, struct en_work *w);
int en_requests_told(struct kp_enrich *e, bool all, struct kp_err *err); /* those that are over, or all */
void en_requests_free(struct kp_enrich *e);

/* name.c */
struct en_ids en_msg_ids(struct kp_enrich *e, struct en_conn *c, const struct kp_msg *m);
void en_txn_asked(struct kp_enrich *e, struct en_conn *c, struct en_work *w, uint32_t tgid);
void en_txn_answered(struct kp_enrich *e, struct en_conn *c, char tx, uint32_t tgid);

/* fill.c */
void en_fill(struct kp_enrich *e, struct en_held *h);

/* spans.c */
int en_span_add(struct kp_enrich *e, const struct en_span *s);
int en_spans_sort(struct kp_enrich *e);
/* The innermost span of the thread's process around t (in source time) that fits the trace (NULL: the only trace there). */
struct en_span *en_span_at(struct kp_enrich *e, const struct kp_task *task, uint32_t source, uint64_t mono,
			   const struct kp_str *trace);
bool en_span_any(const struct kp_enrich *e, const struct kp_task *task);
/* The span that a message with this traceparent began: same trace, that parent, a server's. */
struct en_span *en_span_child(struct kp_enrich *e, const struct kp_str *trace, const struct kp_str *parent);
void en_span_claim(struct kp_enrich *e, const struct kp_str *trace, const struct en_thread *th);
const struct kp_str *en_span_request(struct kp_enrich *e, const struct kp_str *trace);
const struct kp_str *en_span_service(struct kp_enrich *e, const struct kp_task *task, uint32_t source);

/* service.c */
const struct kp_str *en_service(struct kp_enrich *e, struct en_task *t, const struct en_thread *th, bool *strong);
const struct kp_str *en_port_service(struct kp_enrich *e, uint16_t port);

#endif
