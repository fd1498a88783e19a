/* SPDX-License-Identifier: BSD-2-Clause */
/* Header and end record. */
#include "stream_int.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define F(ty, st, key, member) { key, KP_FT_##ty, offsetof(struct st, member), 0, NULL }
#define LIST(st, key, member, count, sub) { key, KP_FT_LIST, offsetof(struct st, member), offsetof(struct st, count), sub }
#define REC(fields, st) { fields, sizeof(fields) / sizeof((fields)[0]), sizeof(struct st) }

static const struct kp_field f_source[] = {
	F(ID, kp_source, "machine", machine_id), F(ID, kp_source, "boot", boot_id), F(ID, kp_source, "session", session),
	F(STR, kp_source, "host", host), F(STR, kp_source, "kernel", kernel), F(STR, kp_source, "arch", arch), F(STR, kp_source, "tz", tz),
	F(I32, kp_source, "utc_offset", utc_offset), F(U32, kp_source, "cpus", cpus), F(U32, kp_source, "page_size", page_size),
	F(U32, kp_source, "hz", hz), F(U64, kp_source, "mono0", mono0), F(U64, kp_source, "real0", real0),
	F(U64, kp_source, "boot0", boot0), F(I64, kp_source, "shift", shift), F(U64, kp_source, "shift_err", shift_err),
};
const struct kp_rec kp_rec_source = REC(f_source, kp_source);

static const struct kp_field f_hook[] = {
	F(STR, kp_hook, "what", what), F(STR, kp_hook, "how", how), F(STR, kp_hook, "note", note), F(U32, kp_hook, "source", source),
};
const struct kp_rec kp_rec_hook = REC(f_hook, kp_hook);

static const struct kp_field f_prov[] = {
	F(STR, kp_prov, "tool", tool), F(STR, kp_prov, "version", version), F(STR, kp_prov, "args", args),
	F(U64, kp_prov, "start", start), F(U64, kp_prov, "end", end), F(U64, kp_prov, "rows_in", rows_in), F(U64, kp_prov, "rows_out", rows_out),
};
const struct kp_rec kp_rec_prov = REC(f_prov, kp_prov);

static const struct kp_field f_end[] = {
	F(U64, kp_end, "rows", rows), F(U64, kp_end, "blocks", blocks), F(U64, kp_end, "graphs", graphs),
	LIST(kp_end, "prov", prov, nprov, &kp_rec_prov),
};
const struct kp_rec kp_rec_end = REC(f_end, kp_end);

uint64_t kp_session_hash(const struct kp_source *s)
{
	return kp_hash(s->session, strlen(s->session), 0);
}

static void encode_kinds(struct kp_buf *b, const struct kp_kinds *kinds)
{
	const struct kp_kind *k;
	uint32_t n = 0;

	for (k = kp_kind_next(kinds, 0); k; k = kp_kind_next(kinds, k->id + 1u))
		n++;
	kp_enc_array(b, n);
	for (k = kp_kind_next(kinds, 0); k; k = kp_kind_next(kinds, k->id + 1u)) {
		kp_enc_array(b, 5);
		kp_enc_uint(b, k->id);
		kp_enc_text(b, k->name);
		kp_enc_text(b, k->args);
		kp_enc_text(b, k->ret);
		kp_enc_text(b, k->help);
	}
}

void kp_header_encode(struct kp_buf *b, const struct kp_header *h, const struct kp_kinds *kinds, uint64_t chunk)
{
	kp_enc_tag(b, KP_TAG_SELF);
	kp_enc_map(b, 8);
	kp_enc_text(b, "t");
	kp_enc_text(b, "header");
	kp_enc_text(b, "version");
	kp_enc_uint(b, h->version);
	kp_enc_text(b, "incompatible");
	kp_enc_uint(b, h->incompatible);
	kp_enc_text(b, "chunk");
	kp_enc_uint(b, chunk);
	kp_enc_text(b, "sources");
	kp_rec_list_encode(b, &kp_rec_source, h->sources, h->nsources);
	kp_enc_text(b, "hooks");
	kp_rec_list_encode(b, &kp_rec_hook, h->hooks, h->nhooks);
	kp_enc_text(b, "prov");
	kp_rec_list_encode(b, &kp_rec_prov, h->prov, h->nprov);
	kp_enc_text(b, "kinds");
	encode_kinds(b, kinds);
}

static char *text_dup(struct kp_dec *d)
{
	struct kp_view v = kp_dec_text(d);
	char *s;

	if (d->err || memchr(v.p, 0, v.len) || !kp_dec_spend(d, v.len + 1)) {
		kp_dec_fail(d);
		return NULL;
	}
	s = strndup((const char *)v.p, v.len);
	if (!s)
		d->err = -ENOMEM;
	return s;
}

static int add_remap(struct kp_header_in *in, uint16_t from, uint16_t to)
{
	struct kp_remap *m;

	if (in->nremap == KP_MAX_CLASHES)
		return -EBADMSG;
	m = realloc(in->remap, (in->nremap + 1) * sizeof(*m));
	if (!m)
		return -ENOMEM;
	in->remap = m;
	m[in->nremap++] = (struct kp_remap){ from, to };
	return 0;
}

static void decode_kind(struct kp_dec *d, struct kp_header_in *in, struct kp_kinds *kinds)
{
	uint32_t n = kp_dec_array(d);
	char *s[4] = { NULL };
	uint16_t id, as;
	int rc;

	if (n < 5)
		kp_dec_fail(d);
	as = id = kp_dec_uint(d, UINT16_MAX);
	for (int i = 0; i < 4 && !d->err; i++)
		s[i] = text_dup(d);
	for (; n > 5 && !d->err; n--)
		kp_dec_skip(d);
	if (!d->err) {
		rc = kp_kinds_add(kinds, &as, s[0], s[1], s[2], s[3]);
		if (rc == -ENOSPC)	/* all ids are taken */
			rc = -EBADMSG;
		if (rc == -EEXIST)
			rc = add_remap(in, id, as);
		if (rc)
			d->err = rc;
	}
	for (int i = 0; i < 4; i++)
		free(s[i]);
}

static void decode_member(struct kp_dec *d, struct kp_view key, struct kp_header_in *in, struct kp_pool *pool, struct kp_kinds *kinds)
{
	struct kp_header *h = &in->h;

	if (kp_view_is(key, "version"))
		h->version = kp_dec_uint(d, UINT32_MAX);
	else if (kp_view_is(key, "incompatible"))
		h->incompatible = kp_dec_uint(d, UINT64_MAX);
	else if (kp_view_is(key, "chunk"))
		in->chunk = kp_dec_uint(d, UINT64_MAX);
	else if (kp_view_is(key, "sources") && !h->sources)
		kp_rec_list_decode(d, &kp_rec_source, (void **)&h->sources, &h->nsources, pool);
	else if (kp_view_is(key, "hooks") && !h->hooks)
		kp_rec_list_decode(d, &kp_rec_hook, (void **)&h->hooks, &h->nhooks, pool);
	else if (kp_view_is(key, "prov") && !h->prov)
		kp_rec_list_decode(d, &kp_rec_prov, (void **)&h->prov, &h->nprov, pool);
	else if (kp_view_is(key, "kinds"))
		for (uint32_t n = kp_dec_array(d); n && !d->err; n--)
			decode_kind(d, in, kinds);
	else
		kp_dec_skip(d);
}

static bool sane(const struct kp_header *h)
{
	for (uint32_t i = 0; i < h->nsources; i++) {
		const struct kp_source *s = &h->sources[i];

		if (s->mono0 >= KP_MAX_TIME || s->real0 >= KP_MAX_WALL || s->shift >= (int64_t)KP_MAX_TIME || s->shift <= -(int64_t)KP_MAX_TIME)
			return false;
	}
	return true;
}

int kp_header_decode(struct kp_header_in *in, const uint8_t *p, size_t n, struct kp_pool *pool, struct kp_kinds *kinds)
{
	struct kp_dec d = { .p = p, .left = n, .budget = KP_MAX_ITEM };

	memset(in, 0, sizeof(*in));
	if (kp_dec_peek(&d).type == KP_T_TAG)
		kp_dec_any(&d);
	for (uint32_t m = kp_dec_map(&d); m && !d.err; m--)
		decode_member(&d, kp_dec_text(&d), in, pool, kinds);
	if (!d.err && (d.left || !in->h.version || in->h.nsources > KP_MAX_SOURCES || !sane(&in->h)))
		kp_dec_fail(&d);
	if (!d.err && in->h.incompatible)
		d.err = -ENOTSUP;
	if (d.err)
		kp_header_in_free(in);
	return d.err;
}

void kp_header_in_free(struct kp_header_in *in)
{
	kp_header_free(&in->h);
	free(in->remap);
	memset(in, 0, sizeof(*in));
}

void kp_header_free(struct kp_header *h)
{
	free(h->sources);
	free(h->hooks);
	free(h->prov);
	memset(h, 0, sizeof(*h));
}

static int copy_list(void *out, const void *in, uint32_t n, size_t size, uint32_t more)
{
	void *p = NULL;

	if (n + more) {
		p = calloc(n + more, size);
		if (!p)
			return -ENOMEM;
		if (n)
			memcpy(p, in, n * size);
	}
	*(void **)out = p;
	return 0;
}

int kp_header_copy(struct kp_header *out, const struct kp_header *in, uint32_t more_prov)
{
	*out = (struct kp_header){ .version = in->version, .incompatible = in->incompatible };
	if (copy_list(&out->sources, in->sources, in->nsources, sizeof(*in->sources), 0) ||
	    copy_list(&out->hooks, in->hooks, in->nhooks, sizeof(*in->hooks), 0) ||
	    copy_list(&out->prov, in->prov, in->nprov, sizeof(*in->prov), more_prov)) {
		kp_header_free(out);
		return -ENOMEM;
	}
	out->nsources = in->nsources;
	out->nhooks = in->nhooks;
	out->nprov = in->nprov;
	return 0;
}

int kp_header_pass(struct kp_header *out, const struct kp_header *in, struct kp_pool *pool, const char *tool, int argc, char *const *argv)
{
	static const struct kp_header none = { .version = 1 };
	struct kp_buf args = { 0 };
	struct kp_prov *p;
	int err = kp_header_copy(out, in ? in : &none, 1);

	if (err || !out->prov)
		return err;
	for (int i = 1; i < argc; i++) {
		if (i > 1)
			kp_buf_char(&args, ' ');
		kp_buf_str(&args, argv[i]);
	}
	p = &out->prov[out->nprov++];
	p->tool = kp_pool_cstr(pool, tool);
	p->version = kp_pool_cstr(pool, KP_VERSION);
	p->args = kp_pool_str(pool, args.p, args.len);
	p->start = kp_now_wall();
	err = args.err || !p->tool || !p->version || !p->args ? -ENOMEM : 0;
	kp_buf_free(&args);
	if (err)
		kp_header_free(out);
	return err;
}
