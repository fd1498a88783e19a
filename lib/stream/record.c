/* SPDX-License-Identifier: BSD-2-Clause */
/* Structures as CBOR maps, by a table of their members: one encoder, decoder and destructor for all of them. */
#include "stream_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 40

/* Members are read and written through memcpy: their offsets come from a table, not from a type. */
static uint64_t load(const struct kp_field *f, const char *rec)
{
	const char *p = rec + f->off;

	switch (f->type) {
	case KP_FT_U8: return *(const uint8_t *)p;
	case KP_FT_U16: return *(const uint16_t *)(const void *)p;
	case KP_FT_U32: return *(const uint32_t *)(const void *)p;
	case KP_FT_I32: return (uint64_t)(int64_t)*(const int32_t *)(const void *)p;
	case KP_FT_BOOL: return *(const bool *)p;
	case KP_FT_CSTR: return *(char *const *)(const void *)p && **(char *const *)(const void *)p;
	case KP_FT_STR: return *(const struct kp_str *const *)(const void *)p && (*(const struct kp_str *const *)(const void *)p)->len;
	case KP_FT_ID: return *p;
	default: return *(const uint64_t *)(const void *)p;
	}
}

static uint32_t *count_of(const struct kp_field *f, const void *rec)
{
	return (uint32_t *)(void *)((char *)rec + f->count_off);
}

static void **list_of(const struct kp_field *f, const void *rec)
{
	return (void **)(void *)((char *)rec + f->off);
}

static bool present(const struct kp_field *f, const char *rec)
{
	if (f->type == KP_FT_LIST)
		return *count_of(f, rec);
	if (f->type != KP_FT_REC)
		return load(f, rec);
	for (uint16_t i = 0; i < f->sub->n; i++)
		if (present(&f->sub->f[i], rec + f->off))
			return true;
	return false;
}

static void encode_field(struct kp_buf *b, const struct kp_field *f, const char *rec)
{
	const char *p = rec + f->off, *s;

	switch (f->type) {
	case KP_FT_I32:
	case KP_FT_I64:
		kp_enc_int(b, (int64_t)load(f, rec));
		break;
	case KP_FT_F64:
		kp_enc_double(b, *(const double *)(const void *)p);
		break;
	case KP_FT_BOOL:
		kp_enc_bool(b, load(f, rec));
		break;
	case KP_FT_CSTR:
		s = *(char *const *)(const void *)p;
		kp_enc_bytes(b, s, strlen(s));
		break;
	case KP_FT_STR:
		kp_enc_str(b, *(const struct kp_str *const *)(const void *)p);
		break;
	case KP_FT_ID:
		kp_enc_bytes(b, p, strnlen(p, ID_MAX));
		break;
	case KP_FT_REC:
		kp_rec_encode(b, f->sub, p, NULL);
		break;
	case KP_FT_LIST:
		kp_rec_list_encode(b, f->sub, *list_of(f, rec), *count_of(f, rec));
		break;
	default:
		kp_enc_uint(b, load(f, rec));
	}
}

void kp_rec_encode(struct kp_buf *b, const struct kp_rec *r, const void *rec, const char *t)
{
	uint32_t n = t != NULL;

	for (uint16_t i = 0; i < r->n; i++)
		n += present(&r->f[i], rec);
	kp_enc_map(b, n);
	if (t) {
		kp_enc_text(b, "t");
		kp_enc_text(b, t);
	}
	for (uint16_t i = 0; i < r->n; i++)
		if (present(&r->f[i], rec)) {
			kp_enc_text(b, r->f[i].key);
			encode_field(b, &r->f[i], rec);
		}
}

void kp_rec_list_encode(struct kp_buf *b, const struct kp_rec *r, const void *list, uint32_t n)
{
	kp_enc_array(b, n);
	for (uint32_t i = 0; i < n; i++)
		kp_rec_encode(b, r, (const char *)list + (size_t)i * r->size, NULL);
}

/* A graph's strings go to pages and terminals: they are escaped again if whoever wrote them did not. */
static char *safe_cstr(struct kp_dec *d, struct kp_view v)
{
	char *raw = NULL, *out = NULL;
	size_t need;

	if (v.len && memchr(v.p, 0, v.len))
		kp_dec_fail(d);
	if (!kp_dec_spend(d, v.len + 48))
		return NULL;
	raw = malloc(v.len + 1);
	if (!raw)
		goto nomem;
	if (v.len)
		memcpy(raw, v.p, v.len);
	raw[v.len] = 0;
	need = kp_escape_line(NULL, 0, raw);
	if (need == v.len)
		return raw;
	if (!kp_dec_spend(d, need))
		goto out;
	out = malloc(need + 1);
	if (!out)
		goto nomem;
	kp_escape_line(out, need + 1, raw);
	goto out;
nomem:
	d->err = -ENOMEM;
out:
	free(raw);
	return out;
}

static void decode_str(struct kp_dec *d, const struct kp_str **s, struct kp_pool *pool)
{
	struct kp_view v = kp_dec_bytes(d);

	if (d->err || !kp_dec_spend(d, v.len + 32))
		return;
	*s = kp_pool_str(pool, v.p, v.len);
	if (!*s)
		d->err = -ENOMEM;
}

static void decode_id(struct kp_dec *d, char *id)
{
	struct kp_view v = kp_dec_bytes(d);

	if (v.len >= ID_MAX || (v.len && memchr(v.p, 0, v.len)))
		kp_dec_fail(d);
	else
		memcpy(id, v.p, v.len);
}

static void decode_field(struct kp_dec *d, const struct kp_field *f, char *rec, struct kp_pool *pool)
{
	char *p = rec + f->off;
	int64_t i;

	switch (f->type) {
	case KP_FT_U8: *(uint8_t *)p = kp_dec_uint(d, UINT8_MAX); break;
	case KP_FT_U16: *(uint16_t *)(void *)p = kp_dec_uint(d, UINT16_MAX); break;
	case KP_FT_U32: *(uint32_t *)(void *)p = kp_dec_uint(d, UINT32_MAX); break;
	case KP_FT_U64: *(uint64_t *)(void *)p = kp_dec_uint(d, UINT64_MAX); break;
	case KP_FT_I64: *(int64_t *)(void *)p = kp_dec_int(d); break;
	case KP_FT_F64: *(double *)(void *)p = kp_dec_double(d); break;
	case KP_FT_BOOL: *(bool *)p = kp_dec_bool(d); break;
	case KP_FT_STR: decode_str(d, (const struct kp_str **)(void *)p, pool); break;
	case KP_FT_ID: decode_id(d, p); break;
	case KP_FT_REC: kp_rec_decode(d, f->sub, p, pool); break;
	case KP_FT_I32:
		i = kp_dec_int(d);
		if (i != (int32_t)i)
			kp_dec_fail(d);
		else
			*(int32_t *)(void *)p = i;
		break;
	case KP_FT_CSTR:
		free(*(char **)(void *)p);	/* the same key twice */
		*(char **)(void *)p = safe_cstr(d, kp_dec_bytes(d));
		break;
	case KP_FT_LIST:
		if (*list_of(f, rec))
			kp_dec_fail(d);
		else
			kp_rec_list_decode(d, f->sub, list_of(f, rec), count_of(f, rec), pool);
		break;
	}
}

/* Owned strings that the map left out are empty, not NULL. */
static void fill_empty(struct kp_dec *d, const struct kp_rec *r, char *rec)
{
	for (uint16_t i = 0; i < r->n; i++) {
		const struct kp_field *f = &r->f[i];

		if (f->type == KP_FT_REC)
			fill_empty(d, f->sub, rec + f->off);
		else if (f->type == KP_FT_CSTR && !*(char **)(void *)(rec + f->off))
			*(char **)(void *)(rec + f->off) = safe_cstr(d, (struct kp_view){ (const uint8_t *)"", 0 });
	}
}

void kp_rec_decode(struct kp_dec *d, const struct kp_rec *r, void *rec, struct kp_pool *pool)
{
	for (uint32_t n = kp_dec_map(d); n && !d->err; n--) {
		struct kp_view key = kp_dec_text(d);
		uint16_t i = 0;

		while (i < r->n && !kp_view_is(key, r->f[i].key))
			i++;
		if (i < r->n)
			decode_field(d, &r->f[i], rec, pool);
		else
			kp_dec_skip(d);
	}
	if (!d->err)
		fill_empty(d, r, rec);
}

/* The list grows as its elements really arrive, so a large count alone allocates nothing. */
void kp_rec_list_decode(struct kp_dec *d, const struct kp_rec *r, void **list, uint32_t *n, struct kp_pool *pool)
{
	uint32_t want = kp_dec_array(d), cap = 0;

	for (uint32_t i = 0; i < want && !d->err; i++) {
		if (!kp_dec_spend(d, r->size))
			return;
		if (i == cap) {
			uint32_t more = cap ? cap * 2 : 4;
			char *p = realloc(*list, (size_t)more * r->size);

			if (!p) {
				d->err = -ENOMEM;
				return;
			}
			memset(p + (size_t)cap * r->size, 0, (size_t)(more - cap) * r->size);
			*list = p;
			cap = more;
		}
		*n = i + 1;
		kp_rec_decode(d, r, (char *)*list + (size_t)i * r->size, pool);
	}
}

void kp_rec_free(const struct kp_rec *r, void *rec)
{
	for (uint16_t i = 0; i < r->n; i++) {
		const struct kp_field *f = &r->f[i];
		char *p = (char *)rec + f->off;

		if (f->type == KP_FT_CSTR) {
			free(*(char **)(void *)p);
		} else if (f->type == KP_FT_REC) {
			kp_rec_free(f->sub, p);
		} else if (f->type == KP_FT_LIST) {
			for (uint32_t j = 0; j < *count_of(f, rec); j++)
				kp_rec_free(f->sub, (char *)*list_of(f, rec) + (size_t)j * f->sub->size);
			free(*list_of(f, rec));
		}
	}
}
