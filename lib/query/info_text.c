/* SPDX-License-Identifier: BSD-2-Clause */
#include "info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void text(struct kp_buf *b, const struct kp_str *s)
{
	if (s)
		kp_buf_escape(b, s->p, s->len);
}

static bool has(const struct kp_str *s)
{
	return s && s->len;
}

static void heading(struct kp_buf *b, const char *what)
{
	kp_buf_printf(b, "%s%s\n", b->len ? "\n" : "", what);
}

/* "2026-11-25 02:45:00.123456" */
static void wall(struct kp_buf *b, uint64_t t, int32_t offset)
{
	char s[48];

	kp_fmt_wall(s, t, offset);
	s[10] = ' ';
	kp_buf_add(b, s, 26);
}

static void zone(struct kp_buf *b, const struct kp_source *s)
{
	char w[48];

	kp_fmt_wall(w, 0, s->utc_offset);
	kp_buf_str(b, "UTC");
	if (s->utc_offset)
		kp_buf_str(b, w + strlen(w) - 6);
	if (has(s->tz)) {
		kp_buf_str(b, " (");
		text(b, s->tz);
		kp_buf_char(b, ')');
	}
}

static void put_sources(struct kp_buf *b, const struct info *i)
{
	heading(b, i->h->nsources == 1 ? "Source" : "Sources");
	for (uint32_t n = 0; n < i->h->nsources; n++) {
		const struct kp_source *s = &i->h->sources[n];

		kp_buf_printf(b, "  %u  ", n);
		if (has(s->host))
			text(b, s->host);
		else
			kp_buf_str(b, "(no host name)");
		kp_buf_str(b, "  ");
		text(b, s->kernel);
		kp_buf_char(b, ' ');
		text(b, s->arch);
		kp_buf_printf(b, ", %u CPU%s, ", s->cpus, s->cpus == 1 ? "" : "s");
		zone(b, s);
		kp_buf_str(b, "\n     session ");
		kp_buf_escape(b, s->session, strnlen(s->session, sizeof(s->session)));
		kp_buf_str(b, ", boot ");
		kp_buf_escape(b, s->boot_id, strnlen(s->boot_id, sizeof(s->boot_id)));
		kp_buf_char(b, '\n');
		if (s->shift || s->shift_err)
			kp_buf_printf(b, "     clock shifted by %lld ns to fit the others, give or take %llu ns\n",
				      (long long)s->shift, (unsigned long long)s->shift_err);
	}
}

static void put_range(struct kp_buf *b, const struct info *i)
{
	const struct kp_source *s = i->h->nsources ? i->h->sources : NULL;
	char d[32];

	heading(b, "Time");
	if (!i->begin || !s) {
		kp_buf_str(b, "  not known\n");
		return;
	}
	kp_buf_str(b, "  ");
	wall(b, i->begin, s->utc_offset);
	kp_buf_str(b, "  to  ");
	wall(b, i->end, s->utc_offset);
	kp_buf_printf(b, "  %s, ", kp_fmt_dur(d, i->end - i->begin));
	zone(b, s);
	kp_buf_char(b, '\n');
}

static void put_size(struct kp_buf *b, const struct info *i)
{
	char n[32];

	heading(b, "Size");
	kp_buf_printf(b, "  %llu row%s in %llu block%s, %s", (unsigned long long)i->rows, i->rows == 1 ? "" : "s",
		      (unsigned long long)i->st.blocks, i->st.blocks == 1 ? "" : "s", kp_fmt_bytes(n, i->st.bytes));
	if (i->rows && !i->st.skipped_blocks)
		kp_buf_printf(b, ", %.1f bytes a row", (double)i->st.bytes / (double)i->rows);
	if (i->st.skipped_blocks)
		kp_buf_printf(b, "; %llu blocks of other times were skipped", (unsigned long long)i->st.skipped_blocks);
	if (i->graphs)
		kp_buf_printf(b, "; %llu graph%s", (unsigned long long)i->graphs, i->graphs == 1 ? "" : "s");
	kp_buf_char(b, '\n');
}

static void put_damage(struct kp_buf *b, const struct info *i)
{
	const struct kp_read_stats *st = &i->st;

	heading(b, "Whole");
	if (st->damaged)
		kp_buf_printf(b, "  damaged: %llu block%s with %llu row%s could not be read\n", (unsigned long long)st->bad_blocks,
			      st->bad_blocks == 1 ? "" : "s", (unsigned long long)st->bad_rows, st->bad_rows == 1 ? "" : "s");
	if (st->torn)
		kp_buf_str(b, "  torn: it ends in the middle of something; all before that was read\n");
	if (!st->damaged && !st->torn)
		kp_buf_str(b, st->complete ? "  yes\n" : "  it has no end record: still being written, or its writer was killed\n");
	if (st->unknown_items || st->unknown_columns)
		kp_buf_printf(b, "  made by a newer version: %llu items and %llu columns are not understood and were left out\n",
			      (unsigned long long)st->unknown_items, (unsigned long long)st->unknown_columns);
}

static void put_losses(struct kp_buf *b, const struct info *i)
{
	heading(b, "Losses");
	if (!i->gaps) {
		kp_buf_str(b, "  none\n");
		return;
	}
	kp_buf_printf(b, "  %llu row%s in %llu gap%s", (unsigned long long)i->lost, i->lost == 1 ? "" : "s",
		      (unsigned long long)i->gaps, i->gaps == 1 ? "" : "s");
	if (i->unknown_gaps)
		kp_buf_printf(b, ", and an unknown number in %llu of them", (unsigned long long)i->unknown_gaps);
	kp_buf_str(b, "; where: kp-query -f text -e 'loss.*'\n");
}

struct counted { const struct kp_kind *k; uint64_t n; };

static int by_count(const void *a, const void *b)
{
	const struct counted *x = a, *y = b;

	return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->k->name, y->k->name);
}

static int put_kinds(struct kp_buf *b, const struct info *i)
{
	const struct kp_kind *k;
	struct counted *c;
	size_t n = 0;

	heading(b, "Kinds");
	for (uint32_t id = 0; (k = kp_kind_next(i->kinds, id)); id = k->id + 1u)
		n += i->count[k->id] != 0;
	c = calloc(n + 1, sizeof(*c));
	if (!c)
		return b->err = -ENOMEM;
	n = 0;
	for (uint32_t id = 0; (k = kp_kind_next(i->kinds, id)); id = k->id + 1u)
		if (i->count[k->id])
			c[n++] = (struct counted){ k, i->count[k->id] };
	qsort(c, n, sizeof(*c), by_count);
	for (size_t j = 0; j < n; j++) {
		kp_buf_printf(b, "  %12llu  ", (unsigned long long)c[j].n);
		kp_buf_escape(b, c[j].k->name, strlen(c[j].k->name));
		kp_buf_char(b, '\n');
	}
	if (!n)
		kp_buf_str(b, "  no rows\n");
	free(c);
	return b->err;
}

static void put_hooks(struct kp_buf *b, const struct info *i)
{
	if (!i->h->nhooks)
		return;
	heading(b, "Event sources");
	for (uint32_t n = 0; n < i->h->nhooks; n++) {
		const struct kp_hook *h = &i->h->hooks[n];
		size_t at;

		kp_buf_str(b, "  ");
		if (i->h->nsources > 1)
			kp_buf_printf(b, "%u  ", h->source);
		at = b->len;
		text(b, h->what);
		while (!b->err && b->len - at < 26)
			kp_buf_char(b, ' ');
		kp_buf_str(b, "  ");
		if (has(h->how))
			text(b, h->how);
		else
			kp_buf_str(b, "not recorded");
		if (has(h->note)) {
			kp_buf_str(b, ": ");
			text(b, h->note);
		}
		kp_buf_char(b, '\n');
	}
}

static void put_prov(struct kp_buf *b, const struct info *i)
{
	int32_t offset = i->h->nsources ? i->h->sources[0].utc_offset : 0;

	heading(b, "Went through");
	for (uint32_t n = 0; n < i->h->nprov; n++) {
		const struct kp_prov *p = &i->h->prov[n];

		kp_buf_str(b, "  ");
		if (p->start)
			wall(b, p->start, offset);
		kp_buf_str(b, "  ");
		text(b, p->tool);
		kp_buf_char(b, ' ');
		text(b, p->version);
		if (has(p->args)) {
			kp_buf_str(b, ": ");
			text(b, p->args);
		}
		if (p->end)
			kp_buf_printf(b, "  (%llu rows in, %llu out)", (unsigned long long)p->rows_in, (unsigned long long)p->rows_out);
		kp_buf_char(b, '\n');
	}
	if (!i->h->nprov)
		kp_buf_str(b, "  not told\n");
}

int kp_info_text(struct kp_buf *b, const struct info *i)
{
	put_sources(b, i);
	put_range(b, i);
	put_size(b, i);
	put_damage(b, i);
	put_losses(b, i);
	put_prov(b, i);
	put_hooks(b, i);
	put_kinds(b, i);
	return b->err;
}
