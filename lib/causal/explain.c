/* SPDX-License-Identifier: BSD-2-Clause */
/* The steps of an explanation in their order, and its result as a graph. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kp/kinds.h>
#include <kp/proto.h>
#include <kp/util.h>

#include "walk.h"

#define WORTH_BLAME (1 * KC_MS)	/* and 2 %: nobody is accused of less */
#define MIN_BLAME 0.05		/* of the cause: culprits below are not listed */
#define MIN_OTHERS 0.2		/* of the cause: if others have less to do with it, it is nobody's doing */

static int by_time(const void *a, const void *b, void *arg)
{
	const struct kp_world *w = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (w->ev[x].t != w->ev[y].t)
		return w->ev[x].t < w->ev[y].t ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void sort_list(struct kp_world *w, struct kc_list *l)
{
	if (l->n)
		qsort_r(l->v, l->n, sizeof(*l->v), by_time, w);
}

/* Rows come in order but for open ones, keyframes, and what several sources were merged from. */
static void sort_all(struct kp_world *w)
{
	if (w->sorted)
		return;
	sort_list(w, &w->count);
	sort_list(w, &w->keys);
	sort_list(w, &w->cg);
	sort_list(w, &w->faults);
	sort_list(w, &w->reclaim);
	sort_list(w, &w->sig);
	sort_list(w, &w->oom);
	for (uint32_t i = 0; i < w->ncpu; i++)
		sort_list(w, &w->cpu[i]);
	for (uint32_t i = 0; i < w->ndev; i++)
		sort_list(w, &w->dev[i].io);
	for (uint32_t i = 0; i < w->nth; i++) {
		struct kc_thread *t = &w->th[i];

		sort_list(w, &t->sched);
		sort_list(w, &t->sys);
		sort_list(w, &t->mem);
		sort_list(w, &t->blk);
		sort_list(w, &t->msg);
	}
	for (uint32_t i = 0; i < w->nconn; i++) {
		for (int s = 0; s < 2; s++) {
			sort_list(w, &w->conn[i].send[s]);
			sort_list(w, &w->conn[i].recv[s]);
		}
		sort_list(w, &w->conn[i].other);
	}
	w->sorted = true;
}

static char *dup(struct kc_walk *k, const struct kp_str *s)
{
	char *p = s ? kp_escape_dup(s->p, s->len) : strdup("");

	if (!p)
		k->err = -ENOMEM;
	return p;
}

static char *say(struct kc_walk *k, const char *s)
{
	char *p = strdup(s ? s : "");

	if (!p)
		k->err = -ENOMEM;
	return p;
}

void kc_who(struct kc_walk *k, uint32_t th, struct kp_who *who)
{
	const struct kc_thread *t = th == KC_NONE ? NULL : &k->w->th[th];

	memset(who, 0, sizeof(*who));
	if (t) {
		who->source = t->source;
		who->tid = t->tid;
		who->tgid = t->tgid;
		who->start = t->start;
	}
	who->comm = dup(k, t ? t->task->comm : NULL);
	who->service = dup(k, t ? t->service : NULL);
	who->cgroup = dup(k, th == KC_NONE ? NULL : kc_cgroup(k->w, th, KP_CG_MEMORY));
	who->host = dup(k, t ? k->h->sources[t->source].host : NULL);
}

/* Is the other a party of its own? A thread of the same process may hold a lock or the CPU, but owns the same memory. */
static bool other_party(struct kc_walk *k, uint16_t kind, uint32_t th, uint32_t victim)
{
	if (th == victim)
		return false;
	return kind == KP_C_LOCK || kind == KP_C_CPU_CONTENTION || kind == KP_C_CPU_THROTTLED || !kc_same_proc(k->w, th, victim);
}

static char *why(struct kc_walk *k, uint16_t kind, const struct kc_agg *a, const struct kc_blame *b, bool first)
{
	/* who ran, who let a lock go and who sent a signal is seen; who filled a queue or the memory is concluded */
	bool seen = kind == KP_C_CPU_CONTENTION || kind == KP_C_LOCK || kind == KP_C_PROCESS_STOPPED || kind == KP_C_NET_WINDOW;
	char buf[512];

	if (first && (a->why[0][0] || a->why[1][0]))
		snprintf(buf, sizeof(buf), "%s%s%s%s%s", a->why[0][0] ? "observed: " : "", a->why[0],
			 a->why[0][0] && a->why[1][0] ? "; " : "", a->why[1][0] ? "inferred: " : "", a->why[1]);
	else
		snprintf(buf, sizeof(buf), "%s: it %s", seen ? "observed" : "inferred", b->why ? b->why : "took part");
	return say(k, buf);
}

static void put_blame(struct kc_walk *k, uint16_t kind, struct kp_cause *c)
{
	struct kc_agg *a = &k->agg[kind];
	double others = 0;

	if (c->ns < WORTH_BLAME && c->share < 0.02)
		return;
	for (uint32_t i = 0; i < a->nblame; i++)
		if (other_party(k, kind, a->blame[i].th, a->victim))
			others += a->blame[i].ns;
	if (!a->nblame || others < MIN_OTHERS * (double)c->ns)
		return;
	c->blame = calloc(a->nblame, sizeof(*c->blame));
	if (!c->blame) {
		k->err = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < a->nblame; i++) {
		struct kp_blame *b = &c->blame[c->nblame];

		b->share = a->blame[i].ns / (double)c->ns;
		if (b->share < MIN_BLAME || !other_party(k, kind, a->blame[i].th, a->victim))
			continue;
		kc_who(k, a->blame[i].th, &b->who);
		b->why = why(k, kind, a, &a->blame[i], !c->nblame);
		c->nblame++;
	}
}

static const char *kind_name(uint16_t kind)
{
	switch (kind) {
#define KP_KIND(id, sym, name, args, ret, help) case id: return name;
#include <kp/kinds.def>
#undef KP_KIND
#define KP_SYSCALL(nr, name, args, ret, fdarg) case KP_K_SYS + (nr): return "sys." #name;
#include <kp/syscalls.def>
#undef KP_SYSCALL
	}
	return "";
}

static int longer(const void *x, const void *y)
{
	const struct kc_proof *a = x, *b = y;

	return a->ns < b->ns ? 1 : a->ns > b->ns ? -1 : 0;
}

static void put_evidence(struct kc_walk *k, struct kc_agg *a, struct kp_cause *c)
{
	if (a->nproof)	/* that of the longest wait says the most */
		qsort(a->proof, a->nproof, sizeof(*a->proof), longer);
	c->ev = calloc(a->nproof + 2, sizeof(*c->ev));
	if (!c->ev) {
		k->err = -ENOMEM;
		return;
	}
	for (int i = 0; i < 2; i++)
		if (a->why[i][0]) {
			c->ev[c->nev] = (struct kp_evidence){ .kind = say(k, ""), .what = say(k, a->why[i]), .observed = !i };
			c->nev++;
		}
	for (uint32_t i = 0; i < a->nproof; i++) {
		const struct kc_ev *e = a->proof[i].ev;
		struct kp_row row = { .end = e->own, .kind = e->kind, .source = e->source, .task = e->task };

		c->ev[c->nev] = (struct kp_evidence){ .row = kp_row_id(k->h, &row), .ts = e->own, .observed = a->proof[i].observed,
						      .kind = say(k, kind_name(e->kind)), .what = say(k, a->proof[i].says) };
		c->nev++;
	}
}

static double confidence(struct kc_walk *k, const struct kc_agg *a)
{
	double c = a->confidence ? a->confidence : a->observed_ns * 2 >= a->ns ? 0.9 : 0.5;

	return k->w->losses ? c * 0.7 : c;
}

static int more_ns(const void *x, const void *y)
{
	const struct kp_cause *a = x, *b = y;

	return a->ns < b->ns ? 1 : a->ns > b->ns ? -1 : (int)a->kind - (int)b->kind;
}

/*
 * What could be better: not the target's own work, unless there is nothing else to speak of. Where more is unknown
 * than anything else took, the root cause may be in that.
 */
static void mark_root(struct kp_graph *g)
{
	struct kp_cause *best = NULL, *self = NULL;
	uint64_t unknown = 0;

	for (uint32_t i = 0; i < g->ncauses; i++) {
		struct kp_cause *c = &g->causes[i];

		if (c->kind == KP_C_CPU_SELF)
			self = c;
		else if (c->kind == KP_C_UNKNOWN)
			unknown = c->ns;
		else if (!best)
			best = c;
	}
	best = best && best->ns >= unknown ? best : NULL;
	self = self && self->ns >= unknown ? self : NULL;
	if (best && (best->share >= 0.1 || !self || best->ns >= self->ns))
		best->root = true;
	else if (self)
		self->root = true;
}

static void put_causes(struct kc_walk *k, struct kp_graph *g)
{
	char obj[300];

	g->causes = calloc(KP_C_MAX, sizeof(*g->causes));
	if (!g->causes) {
		k->err = -ENOMEM;
		return;
	}
	for (int i = 0; i < KP_C_MAX; i++) {
		const uint16_t kind = (uint16_t)i;
		struct kc_agg *a = &k->agg[kind];
		struct kp_cause *c = &g->causes[g->ncauses];

		if (!a->ns && kind != KP_C_UNKNOWN)	/* unknown is always told, also that there is none */
			continue;
		c->kind = kind;
		c->ns = a->ns;
		c->share = g->dur ? (double)a->ns / (double)g->dur : 0;
		c->observed = a->ns && a->observed_ns * 2 >= a->ns;
		c->confidence = kind == KP_C_UNKNOWN ? 0 : confidence(k, a);
		c->counterfactual = g->dur - a->ns;
		c->runner_up = say(k, "");
		c->object = say(k, a->obj ? kp_fmt_obj(obj, sizeof(obj), a->obj) : "");
		kc_who(k, a->ns ? a->victim : KC_NONE, &c->victim);
		put_blame(k, kind, c);
		put_evidence(k, a, c);
		g->ncauses++;
		if (k->err)
			return;
	}
	qsort(g->causes, g->ncauses, sizeof(*g->causes), more_ns);
	mark_root(g);
}

static uint32_t index_of(const struct kp_graph *g, uint16_t kind)
{
	for (uint32_t i = 0; i < g->ncauses; i++)
		if (g->causes[i].kind == kind)
			return i;
	return 0;
}

static uint64_t own_time(struct kc_walk *k, uint64_t t)
{
	return t - (uint64_t)kp_unify(k->h, k->w->target.source);
}

static void put_steps(struct kc_walk *k, struct kp_graph *g)
{
	g->steps = calloc(k->nstep ? k->nstep : 1, sizeof(*g->steps));
	if (!g->steps) {
		k->err = -ENOMEM;
		return;
	}
	for (uint32_t i = 0; i < k->nstep && !k->err; i++) {
		const struct kc_step *s = &k->step[k->nstep - 1 - i];
		struct kp_step *o = &g->steps[i];

		*o = (struct kp_step){ .from = own_time(k, s->from), .dur = s->to - s->from, .state = s->state, .depth = s->depth,
				       .cause = index_of(g, s->kind), .what = dup(k, s->what) };
		kc_who(k, s->th, &o->who);
		g->nsteps++;
	}
}

static void mark(struct kc_walk *k, struct kp_graph *g, uint64_t t, uint8_t type, uint32_t th, const char *what)
{
	struct kp_mark *m = &g->marks[g->nmarks++];

	*m = (struct kp_mark){ .ts = own_time(k, t), .type = type, .what = say(k, what) };
	kc_who(k, th, &m->who);
}

static void mark_give_up(struct kc_walk *k, struct kp_graph *g)
{
	const struct kp_target *t = &k->w->target;
	char buf[200], d[32], st[32] = "";

	if (t->status && !t->gave_up)
		snprintf(st, sizeof(st), ", answers %d", t->status);
	if (k->timeout)
		snprintf(buf, sizeof(buf), "gives up (%s, %s)%s", kc_sys_name(k->timeout), kp_fmt_dur(d, k->limit), st);
	else if (k->limit)
		snprintf(buf, sizeof(buf), "gives up (%s)%s", kp_fmt_dur(d, k->limit), st);
	else
		snprintf(buf, sizeof(buf), "gives up%s", st);
	mark(k, g, k->give_up, KP_MARK_GAVE_UP, k->give_up_th, buf);
}

static void put_marks(struct kc_walk *k, struct kp_graph *g, uint32_t th)
{
	const struct kp_target *t = &k->w->target;
	const struct kp_str *asked = k->call ? kc_asked(k->w, k->call) : NULL;
	bool request = t->conn || t->request || t->trace || t->txn;
	char buf[200], label[120] = "";

	g->marks = calloc(6, sizeof(*g->marks));
	if (!g->marks) {
		k->err = -ENOMEM;
		return;
	}
	mark(k, g, request && t->recv > t->start ? t->recv : t->start, KP_MARK_START, th, request ? "request received" : "from here");
	if (k->give_up)
		mark_give_up(k, g);
	if (k->late) {
		if (asked)
			kp_escape(label, sizeof(label), asked->p, asked->len);
		snprintf(buf, sizeof(buf), "%s%sanswered, nobody is waiting", label, *label ? " " : "");
		mark(k, g, k->late, KP_MARK_LATE, k->late_th, buf);
	} else if (t->status && !t->open && !k->give_up) {
		snprintf(buf, sizeof(buf), "answers %d", t->status);
		mark(k, g, t->end, KP_MARK_END, th, buf);
	} else if (request && t->failed && !t->status && !k->give_up) {
		kc_how_it_ended(k, th, buf, sizeof(buf));
		mark(k, g, t->end, KP_MARK_END, th, buf);
	} else if (t->open) {
		mark(k, g, t->end, KP_MARK_END, th, "not answered when the recording ended");
	}
}

int kc_graph(struct kc_walk *k, uint32_t th, struct kp_graph **out)
{
	const struct kp_target *t = &k->w->target;
	const struct kp_source *src = &k->h->sources[t->source];
	struct kp_graph *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->request = dup(k, t->request);
	g->trace = dup(k, t->trace);
	g->txn = dup(k, t->txn);
	g->service = dup(k, t->service ? t->service : k->w->th[th].service);
	g->op = dup(k, t->op);
	g->outcome = say(k, k->timed_out ? "timeout" : k->failed ? "failed" : t->open ? "open" : "ok");
	kc_who(k, th, &g->target);
	g->start = own_time(k, k->start);
	g->dur = k->end - k->start;
	g->limit = k->limit;
	g->late = k->late && k->late > k->give_up ? k->late - k->give_up : 0;
	g->real0 = src->real0 + (g->start - src->mono0);
	g->losses = k->w->losses;
	if (!k->err)
		put_causes(k, g);
	if (!k->err)
		put_steps(k, g);
	if (!k->err)
		put_marks(k, g, th);
	if (!k->err)
		k->err = kc_nodes(k, g);
	if (k->err) {
		kp_graph_free(g);
		return k->err;
	}
	*out = g;
	return 0;
}

/*
 * The request had been sent, but the thread that was to serve it answered others until then: 0, or their last answer.
 * What it did before that is not this request's business.
 */
static const struct kc_ev *busy_until(const struct kc_walk *k, uint32_t th)
{
	const struct kp_target *g = &k->w->target;
	const struct kc_list *l = &k->w->th[th].msg;
	uint32_t i = g->caller && g->recv > g->start ? kc_list_from(k->w, l, g->recv) : 0;

	while (i--) {
		const struct kc_ev *e = &k->w->ev[l->v[i]];

		if (e->t <= g->start)
			break;
		if ((e->kind == KP_K_TCP_SEND || e->kind == KP_K_NET_SEND) && e->msg == KP_MSG_RESPONSE)
			return e;
	}
	return NULL;
}

static int wait_for_worker(struct kc_walk *k, uint32_t th, const struct kc_ev *busy)
{
	struct kc_verdict v = { .kind = KP_C_UNKNOWN };

	kc_leaf(&v, KP_C_NET_ACCEPT, true);
	v.ev = busy;
	v.says = "the thread that was to serve it answered another request until then";
	v.obj = busy->obj;
	v.what = kc_what(k, "waits for a free worker");
	return kc_give(k, th, k->start, busy->t, &v, KP_ST_BLOCKED);
}

/* From the late answer; or from where the caller had read it, to where it was given; then from there. */
static int walk(struct kc_walk *k, uint32_t th)
{
	const struct kp_target *t = &k->w->target;
	const struct kc_ev *busy = busy_until(k, th);
	uint64_t start = k->start, from = busy ? busy->t : start;
	uint32_t caller;
	int rc = 0;

	if (!k->answer && k->end > t->end) {
		caller = kc_thread_of(k->w, kc_host_of(k->h, t->caller_source), t->caller_source, t->caller);
		k->start = t->end;
		rc = caller == KC_NONE ? -ENOMEM : kc_walk(k, caller, k->end, KC_NONE, 0);
		k->start = start;
	}
	k->start = from;
	if (!rc && k->answer)
		rc = kc_walk(k, k->answer->th, k->end, k->call->th, k->call->t);
	else if (!rc)
		rc = kc_walk(k, th, t->end, KC_NONE, 0);
	k->start = start;
	return rc || !busy ? rc : wait_for_worker(k, th, busy);
}

int kp_world_explain(struct kp_world *w, const struct kp_header *h, struct kp_graph **g, struct kp_err *err)
{
	struct kc_walk k = { .w = w, .h = h, .start = w->target.start };
	uint32_t th = kc_thread_of(w, kc_host_of(h, w->target.source), w->target.source, w->target.task);
	int rc;

	if (th == KC_NONE)
		return kp_err(err, -ENOMEM, "no memory");
	k.target = th;
	sort_all(w);
	if (kc_unix_pairs(w))
		return kp_err(err, -ENOMEM, "no memory");
	kc_conn_roles(w);
	kc_outcome(&k, th);
	rc = walk(&k, th);
	if (!rc) {
		kc_finish(&k);
		rc = k.err ? k.err : kc_graph(&k, th, g);
	}
	kc_walk_free(&k);
	return rc ? kp_err(err, rc, "no memory for the account of the request") : 0;
}
