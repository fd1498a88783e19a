/* SPDX-License-Identifier: BSD-2-Clause */
#include "info.h"

#include <string.h>

static void str(struct kp_buf *b, const char *key, const void *p, size_t len)
{
	kp_buf_printf(b, "%s\"%s\":\"", b->len && b->p[b->len - 1] != '{' ? "," : "", key);
	kp_buf_json(b, p, len);
	kp_buf_char(b, '"');
}

static void text(struct kp_buf *b, const char *key, const struct kp_str *s)
{
	str(b, key, s ? s->p : "", s ? s->len : 0);
}

/* Above 2^53 many readers round. */
static void num(struct kp_buf *b, const char *key, uint64_t v)
{
	const char *quote = v > 1ull << 53 ? "\"" : "";

	kp_buf_printf(b, "%s\"%s\":%s%llu%s", b->len && b->p[b->len - 1] != '{' ? "," : "", key, quote, (unsigned long long)v, quote);
}

static void flag(struct kp_buf *b, const char *key, bool v)
{
	kp_buf_printf(b, ",\"%s\":%s", key, v ? "true" : "false");
}

static void wall(struct kp_buf *b, const char *key, uint64_t t, int32_t offset)
{
	char s[48];

	if (!t)
		return;
	kp_fmt_wall(s, t, offset);
	str(b, key, s, strlen(s));
}

static void put_source(struct kp_buf *b, const struct kp_source *s)
{
	text(b, "host", s->host);
	str(b, "machine", s->machine_id, strnlen(s->machine_id, sizeof(s->machine_id)));
	str(b, "boot", s->boot_id, strnlen(s->boot_id, sizeof(s->boot_id)));
	str(b, "session", s->session, strnlen(s->session, sizeof(s->session)));
	text(b, "kernel", s->kernel);
	text(b, "arch", s->arch);
	text(b, "tz", s->tz);
	kp_buf_printf(b, ",\"utc_offset\":%d", s->utc_offset);
	num(b, "cpus", s->cpus);
	num(b, "page_size", s->page_size);
	num(b, "hz", s->hz);
	num(b, "mono0", s->mono0);
	num(b, "real0", s->real0);
	num(b, "boot0", s->boot0);
	kp_buf_printf(b, ",\"shift\":%lld", (long long)s->shift);
	num(b, "shift_err", s->shift_err);
}

static void put_hook(struct kp_buf *b, const struct kp_hook *h)
{
	num(b, "source", h->source);
	text(b, "what", h->what);
	text(b, "how", h->how);
	text(b, "note", h->note);
}

static void put_prov(struct kp_buf *b, const struct kp_prov *p, int32_t offset)
{
	text(b, "tool", p->tool);
	text(b, "version", p->version);
	text(b, "args", p->args);
	wall(b, "start", p->start, offset);
	wall(b, "end", p->end, offset);
	num(b, "rows_in", p->rows_in);
	num(b, "rows_out", p->rows_out);
}

static void put_lists(struct kp_buf *b, const struct info *i)
{
	int32_t offset = i->h->nsources ? i->h->sources[0].utc_offset : 0;

	kp_buf_str(b, ",\"sources\":[");
	for (uint32_t n = 0; n < i->h->nsources; n++) {
		kp_buf_str(b, n ? ",{" : "{");
		put_source(b, &i->h->sources[n]);
		kp_buf_char(b, '}');
	}
	kp_buf_str(b, "],\"hooks\":[");
	for (uint32_t n = 0; n < i->h->nhooks; n++) {
		kp_buf_str(b, n ? ",{" : "{");
		put_hook(b, &i->h->hooks[n]);
		kp_buf_char(b, '}');
	}
	kp_buf_str(b, "],\"provenance\":[");
	for (uint32_t n = 0; n < i->h->nprov; n++) {
		kp_buf_str(b, n ? ",{" : "{");
		put_prov(b, &i->h->prov[n], offset);
		kp_buf_char(b, '}');
	}
	kp_buf_char(b, ']');
}

static void put_kinds(struct kp_buf *b, const struct info *i)
{
	const struct kp_kind *k;

	kp_buf_str(b, ",\"kinds\":{");
	for (uint32_t id = 0; (k = kp_kind_next(i->kinds, id)); id = k->id + 1u)
		if (i->count[k->id]) {
			kp_buf_str(b, b->len && b->p[b->len - 1] != '{' ? ",\"" : "\"");
			kp_buf_json(b, k->name, strlen(k->name));
			kp_buf_printf(b, "\":%llu", (unsigned long long)i->count[k->id]);
		}
	kp_buf_char(b, '}');
}

int kp_info_json(struct kp_buf *b, const struct info *i)
{
	int32_t offset = i->h->nsources ? i->h->sources[0].utc_offset : 0;

	kp_buf_char(b, '{');
	num(b, "version", i->h->version);
	wall(b, "begin", i->begin, offset);
	wall(b, "end", i->end, offset);
	num(b, "rows", i->rows);
	num(b, "blocks", i->st.blocks);
	num(b, "bytes", i->st.bytes);
	num(b, "graphs", i->graphs);
	flag(b, "complete", i->st.complete);
	flag(b, "torn", i->st.torn);
	flag(b, "damaged", i->st.damaged);
	num(b, "bad_blocks", i->st.bad_blocks);
	num(b, "bad_rows", i->st.bad_rows);
	num(b, "lost", i->lost);
	num(b, "gaps", i->gaps);
	num(b, "unknown_gaps", i->unknown_gaps);
	put_lists(b, i);
	put_kinds(b, i);
	kp_buf_str(b, "}\n");
	return b->err;
}
