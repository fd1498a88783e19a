/* SPDX-License-Identifier: BSD-2-Clause */
#include "export_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

static const struct format *const formats[] = { &kp_format_text, &kp_format_json, &kp_format_csv, &kp_format_kp };
enum { NFORMATS = sizeof(formats) / sizeof(formats[0]), WRITE_AT = 1 << 17 };

const char *kp_export_name(unsigned i)
{
	return i < NFORMATS ? formats[i]->name : NULL;
}

static const struct format *find(const char *name, struct kp_err *err)
{
	struct kp_buf known = { 0 };

	for (int i = 0; i < NFORMATS; i++)
		if (!strcmp(formats[i]->name, name))
			return formats[i];
	for (int i = 0; i < NFORMATS; i++)
		kp_buf_printf(&known, "%s%s", i ? ", " : "", formats[i]->name);
	kp_err(err, EINVAL, "no format '%s': there are %.*s", name, (int)known.len, known.err ? "" : (char *)known.p);
	kp_buf_free(&known);
	return NULL;
}

int kp_export_binary(const char *name, struct kp_err *err)
{
	const struct format *f = find(name, err);

	return f ? f->binary : -EINVAL;
}

int kp_export_open(struct kp_export **out, const char *name, int fd, const struct kp_export_opts *o, struct kp_err *err)
{
	const struct format *f = find(name, err);
	struct kp_export *x;
	int rc = 0;

	*out = NULL;
	if (!f)
		return -EINVAL;
	x = calloc(1, sizeof(*x));
	if (!x)
		return kp_err(err, ENOMEM, "no memory");
	x->own = calloc(1, f->size ? f->size : 1);
	if (!x->own) {
		free(x);
		return kp_err(err, ENOMEM, "no memory");
	}
	x->f = f;
	x->o = *o;
	x->fd = fd;
	if (f->open)
		rc = f->open(x, err);
	if (rc)
		kp_export_close(x, false, 0, NULL);
	else
		*out = x;
	return rc;
}

static int write_buf(struct kp_export *x, struct kp_err *err)
{
	int rc = x->buf.err;

	if (!rc)
		rc = kp_write_all(x->fd, x->buf.p, x->buf.len);
	x->buf.len = 0;
	return rc ? kp_err(err, rc, "write: %s", strerror(-rc)) : 0;
}

static int write_full(struct kp_export *x, int rc, struct kp_err *err)
{
	if (!rc && x->buf.err)
		rc = kp_err(err, x->buf.err, "no memory");
	return rc || x->buf.len < WRITE_AT ? rc : write_buf(x, err);
}

int kp_export_row(struct kp_export *x, const struct kp_row *row, struct kp_err *err)
{
	return write_full(x, x->f->row(x, row, err), err);
}

int kp_export_graph(struct kp_export *x, const struct kp_graph *g, struct kp_err *err)
{
	return x->f->graph ? write_full(x, x->f->graph(x, g, err), err) : 0;
}

int kp_export_flush(struct kp_export *x, struct kp_err *err)
{
	int rc = x->buf.len ? write_buf(x, err) : 0;

	return rc || !x->f->flush ? rc : x->f->flush(x, err);
}

int kp_export_forget(struct kp_export *x, struct kp_err *err)
{
	return x->f->forget ? x->f->forget(x, err) : 0;
}

int kp_export_close(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err)
{
	int rc = 0;

	if (!x)
		return 0;
	if (ok)
		rc = write_buf(x, err);
	if (x->f->close) {
		int e = x->f->close(x, ok && !rc, rows_in, rc ? NULL : err);

		rc = rc ? rc : e;
	}
	kp_buf_free(&x->buf);
	free(x->own);
	free(x);
	return rc;
}

const struct kp_source *kp_export_source(const struct kp_export *x, const struct kp_row *row)
{
	const struct kp_header *h = kp_reader_header(x->o.reader);

	return h && row->source < h->nsources ? &h->sources[row->source] : NULL;
}

bool kp_export_time(const struct kp_export *x, const struct kp_row *row, char buf[48])
{
	const struct kp_source *s = kp_export_source(x, row);

	if (!s || !s->real0)
		return false;
	kp_fmt_wall(buf, kp_reader_wall(x->o.reader, row->source, row->end), x->o.utc ? 0 : s->utc_offset);
	return true;
}

const struct kp_str *kp_export_cgroup(const struct kp_task *t)
{
	return t->cgroup[KP_CG_MEMORY] ? t->cgroup[KP_CG_MEMORY] : t->cgroup[KP_CG_UNIFIED];
}

int kp_export_arg(struct kp_buf *b, uint8_t unit, uint64_t v)
{
	int32_t fd = (int32_t)v;

	if (unit == KP_U_FD && fd < 0 && fd != AT_FDCWD)
		return kp_buf_i64(b, fd);
	if (unit == KP_U_SECTOR && v == UINT64_MAX)	/* a flush has none */
		return kp_buf_str(b, "none");
	return kp_unit_put(b, unit, v);
}

const char *kp_export_flag(uint32_t flags, unsigned *i)
{
	static const char *const name[] = { "open", "inferred", "truncated", "sampled", "compat", "keyframe", "softirq",
					    "hardirq", "kernel", "sanitized", "slow" };

	while (*i < sizeof(name) / sizeof(name[0])) {
		unsigned bit = (*i)++;

		if (flags & 1u << bit)
			return name[bit];
	}
	return NULL;
}

static struct memo_slot *slot_of(const struct memo *m, const void *key)
{
	uint64_t h = (uintptr_t)key * 0x9e3779b97f4a7c15ull;

	return &m->slot[h >> 52];
}

const struct memo_slot *kp_memo_get(const struct memo *m, const void *key)
{
	const struct memo_slot *s;

	if (!m->slot)
		return NULL;
	s = slot_of(m, key);
	return s->key == key ? s : NULL;
}

int kp_memo_put(struct memo *m, const void *key, const void *p, size_t len)
{
	struct memo_slot *s;
	char *copy;

	if (!m->slot && !(m->slot = calloc(MEMO_SLOTS, sizeof(*m->slot))))
		return -ENOMEM;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	s = slot_of(m, key);
	free(s->p);
	memcpy(copy, p, len);
	*s = (struct memo_slot){ key, copy, len, 0 };
	for (size_t i = 0; i < len; i++)	/* columns: bytes that do not continue a character */
		s->width += (copy[i] & 0xc0) != 0x80;
	return 0;
}

void kp_memo_free(struct memo *m)
{
	for (int i = 0; m->slot && i < MEMO_SLOTS; i++)
		free(m->slot[i].p);
	free(m->slot);
	m->slot = NULL;
}
