/* SPDX-License-Identifier: BSD-2-Clause */
/* An explanation as one line of JSON; kp-causal(1) tells the shape. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <kp/causal.h>
#include <kp/util.h>

#define EXACT (1ull << 53)	/* many readers round above */

static void key(struct kp_buf *b, const char *k)
{
	if (b->len && !strchr("{[", b->p[b->len - 1]))
		kp_buf_char(b, ',');
	kp_buf_printf(b, "\"%s\":", k);
}

/* The graph's texts are escaped already: what is left is JSON's own. */
static void text(struct kp_buf *b, const char *s)
{
	kp_buf_char(b, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			kp_buf_char(b, '\\');
		if ((unsigned char)*s >= ' ')
			kp_buf_char(b, *s);
		else
			kp_buf_printf(b, "\\u%04x", *s);
	}
	kp_buf_char(b, '"');
}

static void str(struct kp_buf *b, const char *k, const char *s)
{
	key(b, k);
	text(b, s ? s : "");
}

static void num(struct kp_buf *b, const char *k, uint64_t v)
{
	key(b, k);
	if (v > EXACT)
		kp_buf_char(b, '"');
	kp_buf_u64(b, v);
	if (v > EXACT)
		kp_buf_char(b, '"');
}

static void real(struct kp_buf *b, const char *k, double v)
{
	key(b, k);
	kp_buf_printf(b, "%.6f", v);
}

static void flag(struct kp_buf *b, const char *k, bool v)
{
	key(b, k);
	kp_buf_str(b, v ? "true" : "false");
}

static void open_(struct kp_buf *b, const char *k, char c)
{
	key(b, k);
	kp_buf_char(b, c);
}

/* The next member of an array. */
static void item(struct kp_buf *b)
{
	if (b->len && b->p[b->len - 1] != '[')
		kp_buf_char(b, ',');
	kp_buf_char(b, '{');
}

static void who(struct kp_buf *b, const struct kp_who *w)
{
	str(b, "host", w->host);
	num(b, "pid", w->tgid);
	num(b, "tid", w->tid);
	str(b, "comm", w->comm);
	str(b, "cgroup", w->cgroup);
	str(b, "service", w->service);
}

static void target(struct kp_buf *b, const struct kp_graph *g)
{
	char wall[48];

	open_(b, "target", '{');
	str(b, "request", g->request);
	str(b, "trace", g->trace);
	str(b, "txn", g->txn);
	str(b, "service", g->service);
	str(b, "op", g->op);
	str(b, "host", g->target.host);
	num(b, "pid", g->target.tgid);
	num(b, "tid", g->target.tid);
	str(b, "comm", g->target.comm);
	num(b, "start_ns", g->start);
	num(b, "dur_ns", g->dur);
	str(b, "start", kp_fmt_wall(wall, g->real0, 0));
	str(b, "outcome", g->outcome);
	num(b, "limit_ns", g->limit);
	num(b, "late_ns", g->late);
	num(b, "lost_rows", g->losses);
	kp_buf_char(b, '}');
}

static void evidence(struct kp_buf *b, const struct kp_cause *c)
{
	open_(b, "evidence", '[');
	for (uint32_t i = 0; i < c->nev; i++) {
		const struct kp_evidence *e = &c->ev[i];

		item(b);
		num(b, "ts", e->ts);
		str(b, "kind", e->kind);
		str(b, "what", e->what);
		flag(b, "observed", e->observed);
		if (e->row) {
			key(b, "row");
			kp_buf_printf(b, "\"%016llx\"", (unsigned long long)e->row);
		}
		kp_buf_char(b, '}');
	}
	kp_buf_char(b, ']');
}

static void blame(struct kp_buf *b, const struct kp_cause *c)
{
	key(b, "culprit");
	if (c->nblame) {
		kp_buf_char(b, '{');
		who(b, &c->blame[0].who);
		kp_buf_char(b, '}');
	} else {
		kp_buf_str(b, "null");
	}
	open_(b, "culprits", '[');
	for (uint32_t i = 0; i < c->nblame; i++) {
		item(b);
		who(b, &c->blame[i].who);
		real(b, "share", c->blame[i].share);
		str(b, "why", c->blame[i].why);
		kp_buf_char(b, '}');
	}
	kp_buf_char(b, ']');
}

static void causes(struct kp_buf *b, const struct kp_graph *g)
{
	open_(b, "causes", '[');
	for (uint32_t i = 0; i < g->ncauses; i++) {
		const struct kp_cause *c = &g->causes[i];

		item(b);
		num(b, "rank", i + 1);
		str(b, "kind", kp_cause_name(c->kind));
		num(b, "ns", c->ns);
		real(b, "share", c->share);
		open_(b, "victim", '{');
		who(b, &c->victim);
		kp_buf_char(b, '}');
		blame(b, c);
		str(b, "object", c->object);
		flag(b, "observed", c->observed);
		flag(b, "root", c->root);
		real(b, "confidence", c->confidence);
		str(b, "runner_up", c->runner_up);
		num(b, "counterfactual_dur_ns", c->counterfactual);
		evidence(b, c);
		kp_buf_char(b, '}');
	}
	kp_buf_char(b, ']');
}

static void path(struct kp_buf *b, const struct kp_graph *g)
{
	static const char *const states[] = { "running", "runnable", "blocked", "remote" };

	open_(b, "path", '[');
	for (uint32_t i = 0; i < g->nsteps; i++) {
		const struct kp_step *s = &g->steps[i];

		item(b);
		num(b, "from_ns", s->from - g->start);
		num(b, "dur_ns", s->dur);
		str(b, "host", s->who.host);
		num(b, "pid", s->who.tgid);
		num(b, "tid", s->who.tid);
		str(b, "comm", s->who.comm);
		str(b, "service", s->who.service);
		num(b, "depth", s->depth);
		str(b, "state", s->state < 4 ? states[s->state] : "");
		str(b, "cause", s->cause < g->ncauses ? kp_cause_name(g->causes[s->cause].kind) : "unknown");
		str(b, "what", s->what);
		kp_buf_char(b, '}');
	}
	kp_buf_char(b, ']');
}

static void marks(struct kp_buf *b, const struct kp_graph *g)
{
	static const char *const types[] = { "start", "note", "gave_up", "late", "end", "log" };

	open_(b, "marks", '[');
	for (uint32_t i = 0; i < g->nmarks; i++) {
		const struct kp_mark *m = &g->marks[i];

		item(b);
		num(b, "at_ns", m->ts > g->start ? m->ts - g->start : 0);
		str(b, "type", m->type < 6 ? types[m->type] : "");
		str(b, "comm", m->who.comm);
		num(b, "pid", m->who.tgid);
		str(b, "what", m->what);
		kp_buf_char(b, '}');
	}
	kp_buf_char(b, ']');
}

int kp_report_json(FILE *f, const struct kp_graph *g)
{
	struct kp_buf b = { 0 };
	int rc;

	kp_buf_char(&b, '{');
	target(&b, g);
	causes(&b, g);
	path(&b, g);
	marks(&b, g);
	kp_buf_str(&b, "}\n");
	rc = b.err;
	if (!rc && fwrite(b.p, 1, b.len, f) != b.len)
		rc = -errno;
	kp_buf_free(&b);
	return rc;
}
