/* SPDX-License-Identifier: BSD-2-Clause */
/* An explanation as a story for a tired person: what happened when, why, whose doing, and how that is known. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "story.h"

enum { WIDTH = 110, WHO = 20, WHAT = 35, CAUSE = 15, WHY = 59, SEEN = 32 };

struct out {
	FILE *f;
	const struct kp_graph *g;
	bool color;
	const struct st_line *root; /* the longest of the root cause */
	struct { uint32_t source, tgid; } seen[SEEN]; uint32_t nseen;	/* named with their pid once */
};

#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define YELLOW "\033[1;33m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

static const char *paint(const struct out *o, const char *c)
{
	return o->color ? c : "";
}

/* "750 ms" "4.2 ms" "1.25 s": as much as one wants to hear. */
static char *about(char buf[32], uint64_t ns)
{
	if (ns >= 9999500 && ns < 999500000)
		snprintf(buf, 32, "%.0f ms", (double)ns / 1e6);
	else if (ns < 1000)
		snprintf(buf, 32, "%s", ns ? "0.0 ms" : "0 ms");
	else
		kp_fmt_dur(buf, ns);
	return buf;
}

/* Text in a column: cut to it with a ~, or filled up with blanks. Counts characters, not bytes. */
static void column(FILE *f, const char *s, unsigned width, bool fill)
{
	unsigned n = 0, all = 0;

	for (const char *p = s; *p; p++)
		all += (*p & 0xc0) != 0x80;
	for (; *s && n < (all > width ? width - 1 : width); n++)
		do
			fputc(*s++, f);
		while ((*s & 0xc0) == 0x80);
	if (all > width) {
		fputc('~', f);
		n++;
	}
	for (; fill && n < width; n++)
		fputc(' ', f);
}

static void named(char *buf, size_t cap, const struct kp_who *w)
{
	if (w->tgid)
		snprintf(buf, cap, "%.*s[%u]", (int)(cap < 64 ? 0 : cap - 16), w->comm, w->tgid);
	else
		snprintf(buf, cap, "%s", *w->comm ? w->comm : "-");
}

/* The pid goes with a name where it comes up first. */
static void named_once(struct out *o, char *buf, size_t cap, const struct kp_who *w)
{
	for (uint32_t i = 0; i < o->nseen; i++)
		if (o->seen[i].source == w->source && o->seen[i].tgid == w->tgid) {
			snprintf(buf, cap, "%s", w->comm);
			return;
		}
	if (o->nseen < SEEN) {
		o->seen[o->nseen].source = w->source;
		o->seen[o->nseen++].tgid = w->tgid;
	}
	named(buf, cap, w);
}

/* ---- the head ---- */

static void outcome(const struct kp_graph *g, char *buf, size_t cap)
{
	char all[32], limit[32], late[32];
	uint64_t gave_up = g->dur - g->late;

	about(all, g->dur);
	about(late, g->late);
	about(limit, g->limit ? g->limit : gave_up);
	if (!strcmp(g->outcome, "open"))
		snprintf(buf, cap, "not answered after %s, when the recording ended", all);
	else if (g->late)
		snprintf(buf, cap, "FAILED after %s; the answer came at %s, %s too late", limit, all, late);
	else if (!strcmp(g->outcome, "timeout") || !strcmp(g->outcome, "failed"))
		snprintf(buf, cap, "FAILED after %s", all);
	else
		snprintf(buf, cap, "took %s", all);
}

static unsigned chars(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) != 0x80;
	return n;
}

static void head(struct out *o)
{
	const struct kp_graph *g = o->g;
	const char *id = *g->request ? g->request : *g->trace ? g->trace : g->txn;
	char who[96], end[160];
	unsigned n;

	named_once(o, who, sizeof(who), &g->target);
	outcome(g, end, sizeof(end));
	fputs(paint(o, BOLD), o->f);
	n = (*id ? 2 : 0) + (*g->op ? 2 : 0) + 2 + chars(end);
	if (*id) {
		column(o->f, id, 40, false);
		fputs("  ", o->f);
	}
	if (*g->op) {
		column(o->f, g->op, 40, false);
		fputs("  ", o->f);
	}
	column(o->f, who, 40, false);
	n += (chars(id) < 40 ? chars(id) : 40) + (chars(g->op) < 40 ? chars(g->op) : 40) + (chars(who) < 40 ? chars(who) : 40);
	fputs(n > WIDTH ? "\n  " : "  ", o->f);
	fprintf(o->f, "%s%s%s\n\n", strncmp(end, "took", 4) ? paint(o, RED) : "", end, paint(o, PLAIN));
}

/* ---- the chain ---- */

static void offset(struct out *o, uint64_t t, bool unit)
{
	uint64_t ns = t > o->g->start ? t - o->g->start : 0;

	if (o->g->dur < 1000000)
		fprintf(o->f, "%8.1f%s  ", (double)ns / 1e3, unit ? " us" : "   ");
	else if (o->g->dur < 100000000000)
		fprintf(o->f, "%8.1f%s  ", (double)ns / 1e6, unit ? " ms" : "   ");
	else
		fprintf(o->f, "%8.2f%s  ", (double)ns / 1e9, unit ? " s " : "   ");
}

static void put_mark(struct out *o, const struct kp_mark *m, bool unit)
{
	char who[96];
	bool bad = m->type == KP_MARK_GAVE_UP;

	named_once(o, who, sizeof(who), &m->who);
	fputs(bad ? paint(o, YELLOW) : "", o->f);
	offset(o, m->ts, unit);
	column(o->f, who, WHO - 1, true);
	fputc(' ', o->f);
	column(o->f, m->what, bad ? WHAT + 13 + CAUSE : 75, bad);
	fputs(bad ? "  <- failure" : "", o->f);
	fprintf(o->f, "%s\n", bad ? paint(o, PLAIN) : "");
}

/* "evicted by": how a culprit comes into it. */
static const char *by(uint16_t kind)
{
	switch (kind) {
	case KP_C_MEMORY_REFAULT: return "evicted by";
	case KP_C_MEMORY_RECLAIM: return "made scarce by";
	case KP_C_LOCK: case KP_C_FS_LOCK: return "held by";
	case KP_C_CPU_CONTENTION: return "taken by";
	case KP_C_CPU_THROTTLED: return "quota used by";
	case KP_C_DISK_READ: case KP_C_DISK_WRITE: case KP_C_DISK_SYNC: case KP_C_DISK_THROTTLED: return "behind";
	case KP_C_PROCESS_STOPPED: return "by";
	}
	return "due to";
}

/* "reads again /srv/data/base/5/16384" in width characters: of a path the end tells most. */
static void shorten(const char *what, unsigned width, char *buf, size_t cap)
{
	const char *path = strchr(what, '/'), *end = what + strlen(what);
	size_t head = path ? (size_t)(path - what) : 0;
	unsigned n = chars(what), room;

	snprintf(buf, cap, "%s", what);
	if (n <= width || !path || head + 4 > width || head + 1 >= cap)
		return;
	for (room = width - (unsigned)head - 1; room; room--)
		do
			end--;
		while ((*end & 0xc0) == 0x80);
	snprintf(buf + head, cap - head, "~%s", end);
}

/* What is too long loses something of its own, but not the culprit behind it. */
static void with_culprit(const char *what, const struct kp_cause *c, unsigned width, char *buf, size_t cap)
{
	char who[96], tail[160], head[400];
	unsigned room, n = 0;
	size_t k = 0;

	named(who, sizeof(who), &c->blame[0].who);
	snprintf(tail, sizeof(tail), ", %s %s", by(c->kind), who);
	room = chars(tail) < width ? width - chars(tail) : 0;
	if (chars(what) > room && !strncmp(what, "waits for ", 10))
		what += strncmp(what + 10, "a ", 2) ? 10 : 12;
	shorten(what, room, head, sizeof(head));
	if (chars(head) > room && room < 14)	/* a few letters tell nothing */
		room = 0;
	for (; head[k] && n < room; n++)
		do
			k++;
		while ((head[k] & 0xc0) == 0x80);
	snprintf(buf, cap, "%.*s%s", (int)k, head, k ? tail : tail + 2);
}

static void what_of(const struct out *o, const struct st_line *l, unsigned width, char *buf, size_t cap)
{
	const struct kp_cause *c = l->cause < o->g->ncauses ? &o->g->causes[l->cause] : NULL;
	size_t n = 0;

	if (!c) {
		for (uint32_t i = 0; i < l->nasked && i < 4 && n < cap; i++)
			n += (size_t)snprintf(buf + n, cap - n, "%s%s", i ? ", " : "", l->asked[i]);
		if (l->nasked > 4 && n < cap)
			snprintf(buf + n, cap - n, ", ...");
		if (!l->nasked)
			snprintf(buf, cap, "is waited for");
		return;
	}
	if (c->kind == KP_C_CPU_SELF)
		snprintf(buf, cap, "%s", l->what && *l->what ? l->what : l->depth ? "runs" : "own work");
	else if (!c->nblame)
		shorten(l->what && *l->what ? l->what : kp_cause_help(c->kind), width, buf, cap);
	else
		with_culprit(l->what && *l->what ? l->what : kp_cause_name(c->kind), c, width, buf, cap);
}

static void put_line(struct out *o, const struct st_line *l, bool unit)
{
	const struct kp_cause *c = l->cause < o->g->ncauses ? &o->g->causes[l->cause] : NULL;
	bool root = l == o->root;
	unsigned in = l->depth < 1 ? 0 : (c ? l->depth : l->depth - 1) * 2;
	unsigned room = c && l->depth ? WHO + WHAT - in : WHAT - in;
	char who[96], what[600], d[32];

	what_of(o, l, room, what, sizeof(what));
	fputs(root ? paint(o, RED) : "", o->f);
	offset(o, l->from, unit);
	fprintf(o->f, "%*s", (int)in, "");
	if (c && l->depth) {
		column(o->f, what, room, true);
	} else {
		named_once(o, who, sizeof(who), l->who);
		column(o->f, who, WHO - 1, true);
		fputc(' ', o->f);
		column(o->f, what, room, true);
	}
	fprintf(o->f, "%10s", kp_fmt_dur(d, l->ns));
	if (c)
		fprintf(o->f, "   %s", kp_cause_name(c->kind));
	if (root)
		fprintf(o->f, "%*s<- root cause%s", (int)(CAUSE - strlen(kp_cause_name(c->kind)) + 1), "", paint(o, PLAIN));
	fputc('\n', o->f);
}

/* The request was received as good as at once: that comes first, whatever its first microseconds were. */
static bool at_once(const struct kp_graph *g, const struct kp_mark *m)
{
	return m->type == KP_MARK_START && (m->ts - g->start) * 100 < g->dur;
}

static int chain(struct out *o)
{
	struct st_story s = { 0 };
	uint32_t m = 0, n = o->g->nmarks;
	const struct kp_mark *mark = o->g->marks;
	bool unit = true;
	int rc = st_tell(&s, o->g);
	char d[32];

	for (uint32_t i = 0; !rc && i < s.norder; i++) {
		const struct st_line *l = &s.line[s.order[i]];
		const struct kp_cause *c = l->cause < o->g->ncauses ? &o->g->causes[l->cause] : NULL;

		if (c && c->root && c->kind != KP_C_CPU_SELF && (!o->root || l->ns > o->root->ns))
			o->root = l;
	}
	for (uint32_t i = 0; !rc && i < s.norder; i++) {
		const struct st_line *l = &s.line[s.order[i]];

		for (; l->parent == ST_NONE && m < n && (mark[m].ts <= l->from || at_once(o->g, &mark[m])); unit = false)
			put_mark(o, &mark[m++], unit);
		put_line(o, l, unit);
		unit = false;
	}
	for (; !rc && m < n; unit = false)
		put_mark(o, &mark[m++], unit);
	if (!rc && s.nleft && s.left_out * 100 >= o->g->dur)
		fprintf(o->f, "%*s%s(%u smaller: %s)%s\n", 13, "", paint(o, DIM), s.nleft, about(d, s.left_out), paint(o, PLAIN));
	st_free(&s);
	return rc;
}

/* ---- the table ---- */

/* Text from here to the right edge, broken between words, the next lines under the first. */
static void wrapped(FILE *f, const char *s, unsigned at)
{
	unsigned room = WIDTH - at, n = 0;

	while (*s) {
		size_t word = strcspn(s, " ");
		unsigned w = 0;

		for (size_t i = 0; i < word; i++)
			w += (s[i] & 0xc0) != 0x80;
		if (n && n + 1 + w > room) {
			fprintf(f, "\n%*s", (int)at, "");
			n = 0;
		}
		if (n)
			fputc(' ', f);
		n += w + (n ? 1 : 0);
		fwrite(s, 1, word, f);
		s += word + strspn(s + word, " ");
	}
}

static void why_nobody(const struct kp_graph *g, const struct kp_cause *c, char *buf, size_t cap)
{
	const struct kp_evidence *e = c->nev ? &c->ev[0] : NULL;

	*buf = 0;
	if (c->kind == KP_C_CPU_SELF)
		return;
	if (c->kind == KP_C_UNKNOWN) {
		if (c->ns && g->losses)
			snprintf(buf, cap, "%llu rows were lost meanwhile", (unsigned long long)g->losses);
		return;
	}
	if (e)
		snprintf(buf, cap, "%s: %s%s%s%s", e->observed ? "observed" : "inferred", e->what, *c->object ? " (" : "", c->object,
			 *c->object ? ")" : "");
}

static void put_culprit(struct out *o, const struct kp_blame *b, const char *why, double confidence)
{
	char who[96], text[900];

	if (b)
		named(who, sizeof(who), &b->who);
	else
		snprintf(who, sizeof(who), "%s", *why ? "-" : "");
	if (!*who && !*why)
		return;
	fputs("   ", o->f);
	column(o->f, who, 22, *why != 0);
	fputs("  ", o->f);
	snprintf(text, sizeof(text), "%s%s", why, b && confidence < 0.5 ? " (not certain)" : "");
	wrapped(o->f, text, WHY);
}

static void put_cause(struct out *o, const struct kp_cause *c)
{
	char d[32], share[16], why[600];
	int n;

	if (c->ns && c->share < 0.005)
		snprintf(share, sizeof(share), "<1 %%");
	else
		snprintf(share, sizeof(share), "%.0f %%", c->share * 100);
	fprintf(o->f, "%s%-15s%s %6s %9s", c->root ? paint(o, RED) : "", kp_cause_name(c->kind), c->root ? paint(o, PLAIN) : "", share,
		about(d, c->ns));
	if (c->nblame) {	/* the line is that of the whole cause: say so where others have a part in it */
		n = c->blame[0].share < 0.945 ? snprintf(why, sizeof(why), "%.0f %% of it; ", c->blame[0].share * 100) : 0;
		snprintf(why + n, sizeof(why) - (size_t)n, "%s", c->blame[0].why);
		put_culprit(o, &c->blame[0], why, c->confidence);
	} else {
		why_nobody(o->g, c, why, sizeof(why));
		put_culprit(o, NULL, why, 1);
	}
	fputc('\n', o->f);
	for (uint32_t i = 1; i < c->nblame && i < 3 && c->blame[i].share >= 0.1 && c->blame[i].share * c->share >= 0.02; i++) {
		fprintf(o->f, "%15s %5.0f %% %9s", "", c->blame[i].share * c->share * 100,
			about(d, (uint64_t)(c->blame[i].share * (double)c->ns)));
		put_culprit(o, &c->blame[i], c->blame[i].why, c->confidence);
		fputc('\n', o->f);
	}
}

static void table(struct out *o)
{
	const struct kp_graph *g = o->g;
	const struct kp_cause *root = NULL;
	uint64_t ns = 0;
	uint32_t n = 0;
	char d[32];

	fprintf(o->f, "\n%s%-15s %6s %9s   %-22s  %s%s\n", paint(o, DIM), "cause", "share", "time", "culprit", "why", paint(o, PLAIN));
	for (uint32_t i = 0; i < g->ncauses; i++) {
		const struct kp_cause *c = &g->causes[i];

		if (c->root)
			root = c;
		if (c->share < 0.005 && !c->root && c->kind != KP_C_UNKNOWN) {
			ns += c->ns;
			n++;
		} else if (c->kind != KP_C_UNKNOWN) {
			put_cause(o, c);
		}
	}
	if (n)
		fprintf(o->f, "%-15s %6s %9s\n", n == 1 ? "1 other" : "others", ns * 200 < g->dur ? "<1 %" : "1 %", about(d, ns));
	for (uint32_t i = 0; i < g->ncauses; i++)
		if (g->causes[i].kind == KP_C_UNKNOWN)
			put_cause(o, &g->causes[i]);
	if (root && root->kind != KP_C_CPU_SELF)
		fprintf(o->f, "%swithout %s: %s%s\n", paint(o, BOLD), kp_cause_name(root->kind), about(d, root->counterfactual),
			paint(o, PLAIN));
}

static void foot(struct out *o)
{
	const struct kp_graph *g = o->g;
	char wall[48], *frac, *zone;

	kp_fmt_wall(wall, g->real0, 0);
	frac = strchr(wall, '.');	/* to the ms */
	zone = frac ? frac + strspn(frac, ".0123456789") : NULL;
	if (frac && zone > frac + 4)
		memmove(frac + 4, zone, strlen(zone) + 1);
	fprintf(o->f, "%sbegan %s%s%s%s\n", paint(o, DIM), wall, *g->target.host ? " on " : "", g->target.host,
		paint(o, PLAIN));
	if (g->losses)
		fprintf(o->f, "%s%llu rows were lost meanwhile: something may be missing here%s\n", paint(o, YELLOW),
			(unsigned long long)g->losses, paint(o, PLAIN));
}

int kp_report_text(FILE *f, const struct kp_graph *g, bool color)
{
	struct out o = { .f = f, .g = g, .color = color };
	int rc;

	head(&o);
	rc = chain(&o);
	if (rc)
		return rc;
	table(&o);
	foot(&o);
	if (fflush(f))	/* here, while errno says why */
		return -errno;
	return ferror(f) ? -EIO : 0;
}
