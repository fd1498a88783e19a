/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text from outside: first the one escape of all tools, then Graphviz's and
 * XML's own. Every character with a meaning in either becomes a numeric or
 * named entity, which both kinds of label and the SVG keep as it is.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"

static int entity(struct kp_buf *b, char c)
{
	switch (c) {
	case '&': return kp_buf_add(b, "&amp;", 5);
	case '<': return kp_buf_add(b, "&lt;", 4);
	case '>': return kp_buf_add(b, "&gt;", 4);
	case '"': return kp_buf_add(b, "&quot;", 6);
	case '\\': return kp_buf_add(b, "&#92;", 5);
	default: return kp_buf_add(b, &c, 1);
	}
}

/* "\\xNN" at p, as kp_escape writes it? */
static bool is_escape(const char *p)
{
	return p[0] == '\\' && p[1] == 'x' && isxdigit((unsigned char)p[2]) && isxdigit((unsigned char)p[3]);
}

/*
 * Strings in a graph are escaped already, but a file may have been written by
 * anybody: what lies between two escapes goes through the escape again, which
 * changes nothing in what is clean. So no backslash is left but that of \xNN:
 * Graphviz would replace \N and \G by names, even where it was an entity.
 */
static char *clean(const char *s)
{
	struct kp_buf b = { 0 };
	size_t n;

	for (; *s; s += n) {
		char *e;

		if (is_escape(s)) {
			kp_buf_add(&b, s, n = 4);
			continue;
		}
		for (n = 1; s[n] && !is_escape(s + n); n++)
			;
		e = kp_escape_dup(s, n);
		if (e)
			kp_buf_add(&b, e, strlen(e));
		else
			b.err = -ENOMEM;
		free(e);
	}
	kp_buf_add(&b, "", 1);
	if (!b.err)
		return (char *)b.p;
	kp_buf_free(&b);
	return NULL;
}

static bool head_of_char(char c) { return ((unsigned char)c & 0xc0) != 0x80; }

static uint32_t chars(const char *s)
{
	uint32_t n = 0;

	for (; *s; s++)
		n += head_of_char(*s);
	return n;
}

/* May a line end in front of this character, which stands behind that one? Rather not in a word or a number. */
static bool breaks(char here, char before, uint32_t line, uint32_t width, uint32_t left)
{
	if (here == ' ')
		return line >= width;
	if (left < 10)
		return false;
	return line >= width + width / 2 || (line >= width && strchr("/,;:._-", before));
}

/* Of n characters the first `lead` and the last `tail` are shown. */
static int text_cut(struct kp_buf *b, const char *s, uint32_t lead, uint32_t tail, uint32_t width)
{
	char *c = clean(s);
	uint32_t n, at = 0, line = 0;
	bool cut;

	if (!c)
		return b->err = -ENOMEM;
	n = chars(c);
	cut = n > lead + tail + 1;
	for (const char *p = c; *p; p++) {
		if (head_of_char(*p) && ++at == lead + 1 && cut)
			kp_buf_add(b, "…", strlen("…"));
		if (cut && at > lead && at <= n - tail)
			continue;
		if (head_of_char(*p)) {
			if (width && p > c && breaks(*p, p[-1], line, width, n - at)) {
				kp_buf_add(b, "<br/>", 5);
				line = 0;
				if (*p == ' ')
					continue;
			}
			line++;
		}
		entity(b, *p);
	}
	free(c);
	return b->err;
}

int kp_text_short(struct kp_buf *b, const char *s, uint32_t max, uint32_t width)
{
	uint32_t lead = max * 2 / 3;	/* the beginning says more than the end */

	return text_cut(b, s, lead - 1, max - lead, width);
}

int kp_text_lead(struct kp_buf *b, const char *s, uint32_t max, uint32_t width) { return text_cut(b, s, max - 1, 0, width); }

int kp_text(struct kp_buf *b, const char *s) { return kp_text_short(b, s, UINT32_MAX / 2, 0); }

int kp_text_who(struct kp_buf *b, const struct kp_who *w)
{
	if (!*w->comm && !w->tgid)
		return b->err;
	kp_text_short(b, *w->comm ? w->comm : "?", 40, 0);
	kp_buf_printf(b, "[%u]", w->tgid ? w->tgid : w->tid);
	if (*w->service && strcmp(w->service, w->comm)) {
		kp_buf_printf(b, " of ");
		kp_text_short(b, w->service, 40, 0);
	}
	return b->err;
}

int kp_text_share(struct kp_buf *b, double share)
{
	if (share >= 0.0995)
		return kp_buf_printf(b, "%.0f %%", share * 100);
	if (share >= 0.001)
		return kp_buf_printf(b, "%.1f %%", share * 100);
	return kp_buf_printf(b, "&lt; 0.1 %%");
}
