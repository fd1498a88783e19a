/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Items. Where an index stands in front, its item is taken as the index
 * describes it, or passed over. Where there is none (the stream was compressed
 * anew, or not at all, or the index is damaged), zstd frames are unpacked one
 * after the other and cut into items by the grammar of CBOR.
 */
#include "items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZMAGIC 0xFD2FB528u

static uint32_t le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_index(const uint8_t *p, size_t n)
{
	return n >= 12 && le32(p) == KP_INDEX_MAGIC && !memcmp(p + 8, "KPIX", 4);
}

static bool is_skippable(const uint8_t *p)
{
	return (le32(p) & 0xfffffff0u) == 0x184D2A50u;
}

int kp_items_open(struct kp_items *it, const char *path, struct kp_err *err)
{
	int rc;

	memset(it, 0, sizeof(*it));
	it->path = path;
	rc = kp_in_open(&it->in, path, err);
	if (rc)
		return rc;
	it->zd = ZSTD_createDCtx();
	if (!it->zd) {
		kp_in_close(&it->in);
		return kp_err(err, ENOMEM, "out of memory");
	}
	ZSTD_DCtx_setParameter(it->zd, ZSTD_d_windowLogMax, KP_WINDOW_LOG);
	return 0;
}

void kp_items_close(struct kp_items *it)
{
	kp_in_close(&it->in);
	ZSTD_freeDCtx(it->zd);
	kp_buf_free(&it->plain);
	it->zd = NULL;
}

void kp_items_bad(struct kp_items *it)
{
	if (!it->bad++)
		it->first_bad = it->in.off;
}

static void drop_plain(struct kp_items *it)
{
	it->plain.len = it->plain_at = 0;
	it->scan = (struct kp_scan){ 0 };
	it->in_frame = false;
	it->item_out = false;
}

/* On to where an item may begin: an index, or a zstd frame. */
static int find_next(struct kp_items *it)
{
	drop_plain(it);
	it->resync = true;
	it->raw = false;
	for (;;) {
		ssize_t have = kp_in_fill(&it->in, 4096);
		const uint8_t *p = kp_in_at(&it->in);
		ssize_t i;

		if (have < 0)
			return (int)have;
		for (i = 0; i + 12 <= have; i++)
			if (is_index(p + i, have - i) || le32(p + i) == ZMAGIC)
				break;
		if (i + 12 > have && have < 4096) {	/* the end */
			kp_in_take(&it->in, have);
			return 0;
		}
		kp_in_take(&it->in, i);
		if (i + 12 <= have)
			return 0;
	}
}

static int damaged(struct kp_items *it, size_t pass)
{
	kp_items_bad(it);
	kp_in_take(&it->in, pass);
	return find_next(it);
}

/* What lies behind is unknown: it is lost, and so is what was begun. */
static int torn(struct kp_items *it)
{
	ssize_t have;

	it->torn = true;
	drop_plain(it);
	while ((have = kp_in_fill(&it->in, 1)) > 0)
		kp_in_take(&it->in, have);
	return (int)have;
}

/* ---- items with an index ---- */

static int unpack_frames(struct kp_items *it, const struct kp_index *x)
{
	const uint8_t *p = kp_in_at(&it->in);

	drop_plain(it);
	for (uint32_t i = 0; i < x->nframes; i++) {
		struct kp_frame f = kp_index_frame(x, i);
		unsigned long long size = ZSTD_getFrameContentSize(p, f.size);
		size_t n;

		if (kp_frame_hash(p, f.size) != f.hash)
			return -EBADMSG;
		if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > KP_MAX_ITEM - it->plain.len)
			return -EBADMSG;
		if (kp_buf_reserve(&it->plain, size + 1))
			return -ENOMEM;
		n = ZSTD_decompressDCtx(it->zd, it->plain.p + it->plain.len, size, p, f.size);
		if (ZSTD_isError(n) || n != size)
			return -EBADMSG;
		it->plain.len += n;
		p += f.size;
	}
	return 0;
}

static int take_indexed(struct kp_items *it, size_t head, struct kp_index *x, struct kp_item_in *out)
{
	uint64_t total = 0;
	ssize_t have;
	int rc;

	for (uint32_t i = 0; i < x->nframes; i++)
		total += kp_index_frame(x, i).size;
	out->has_index = true;
	out->type = x->type;
	out->index = *x;
	if (x->type == KP_I_BLOCK && it->want && !it->want(it->arg, x)) {
		it->skipped_blocks++;
		it->skipped_bytes += total;
		rc = kp_in_skip(&it->in, head + total);
		if (rc == 1)
			it->torn = true;
		return rc < 0 ? rc : 0;
	}
	have = total > 2 * KP_MAX_ITEM ? 0 : kp_in_fill(&it->in, head + total);
	if (have < 0)
		return (int)have;
	if ((uint64_t)have < head + total) {
		rc = torn(it);
		out->bad = true;
		return rc ? rc : 1;
	}
	/* the buffer may have moved: the frames are found from the index anew */
	x->frames = kp_in_at(&it->in) + head - 8 - (size_t)x->nframes * 8;
	kp_in_take(&it->in, head);
	rc = unpack_frames(it, x);
	kp_in_take(&it->in, total);
	if (rc == -EBADMSG) {
		kp_items_bad(it);
		drop_plain(it);
		out->bad = true;
		return 1;
	}
	out->p = it->plain.p;
	out->n = it->plain.len;
	it->item_out = true;
	return rc ? rc : 1;
}

static int next_indexed(struct kp_items *it, struct kp_item_in *out)
{
	uint64_t len = le32(kp_in_at(&it->in) + 4);
	struct kp_index x;
	ssize_t have;

	if (len > KP_MAX_INDEX)
		return damaged(it, 8);
	have = kp_in_fill(&it->in, 8 + len);
	if (have < 0)
		return (int)have;
	if ((uint64_t)have < 8 + len)
		/* cut, unless the length itself is wrong and something lies behind */
		return kp_index_torn(kp_in_at(&it->in), have) ? torn(it) : damaged(it, 8);
	if (kp_index_decode(&x, kp_in_at(&it->in), 8 + len))
		return damaged(it, 8);
	return take_indexed(it, 8 + len, &x, out);
}

/* ---- items without ---- */

/* More plain bytes. 1: some; 0: the input's end; 2: the end of a frame, nothing new. */
static int pull(struct kp_items *it)
{
	ZSTD_inBuffer zi;
	ZSTD_outBuffer zo;
	ssize_t have;
	size_t rc;

	if (it->plain.len >= KP_MAX_ITEM)
		return -EBADMSG;
	have = kp_in_fill(&it->in, 1);
	if (have <= 0)
		return (int)have;
	if (kp_buf_reserve(&it->plain, 128 << 10))
		return -ENOMEM;
	if (it->raw) {
		if (have > 128 << 10)
			have = 128 << 10;
		kp_buf_add(&it->plain, kp_in_at(&it->in), have);
		kp_in_take(&it->in, have);
		return 1;
	}
	zi = (ZSTD_inBuffer){ kp_in_at(&it->in), have, 0 };
	zo = (ZSTD_outBuffer){ it->plain.p + it->plain.len, it->plain.cap - it->plain.len, 0 };
	if (!it->in_frame)
		ZSTD_DCtx_reset(it->zd, ZSTD_reset_session_only);
	rc = ZSTD_decompressStream(it->zd, &zo, &zi);
	if (ZSTD_isError(rc))
		return -EBADMSG;
	kp_in_take(&it->in, zi.pos);
	it->plain.len += zo.pos;
	it->in_frame = rc != 0;
	return zo.pos ? 1 : 2;
}

static uint8_t type_of(const uint8_t *p, size_t n)
{
	struct kp_dec d = { .p = p, .left = n };
	struct kp_tok t = kp_dec_peek(&d);

	if (t.type == KP_T_TAG && t.u == KP_TAG_SELF) {
		kp_dec_any(&d);
		t = kp_dec_peek(&d);
	}
	if (t.type == KP_T_ARRAY) {
		kp_dec_any(&d);
		t = kp_dec_peek(&d);
	}
	if (t.type != KP_T_MAP)
		return 0;
	for (uint32_t m = kp_dec_map(&d); m && !d.err; m--) {
		if (kp_view_is(kp_dec_text(&d), "t")) {
			struct kp_view v = kp_dec_text(&d);

			return kp_view_is(v, "header") ? KP_I_HEADER : kp_view_is(v, "block") ? KP_I_BLOCK :
			       kp_view_is(v, "graph") ? KP_I_GRAPH : kp_view_is(v, "end") ? KP_I_END : 0;
		}
		kp_dec_skip(&d);
	}
	return 0;
}

/* Can another frame continue the item that is begun? */
static bool frame_follows(struct kp_items *it)
{
	return kp_in_fill(&it->in, 4) >= 4 && le32(kp_in_at(&it->in)) == ZMAGIC;
}

/* 1: an item; 2: no item is begun; else as kp_items_next. */
static int next_plain(struct kp_items *it, struct kp_item_in *out)
{
	size_t left = it->plain.len - it->plain_at;
	int rc;

	if (it->plain_at) {	/* what was handed out before is no longer needed */
		memmove(it->plain.p, it->plain.p + it->plain_at, left);
		it->plain.len = left;
		it->plain_at = 0;
	}
	for (;;) {
		rc = it->plain.len ? kp_scan_item(&it->scan, it->plain.p, it->plain.len) : 0;
		if (rc == 1) {
			out->p = it->plain.p;
			out->n = it->plain_at = it->scan.pos;
			out->type = type_of(out->p, out->n);
			it->scan = (struct kp_scan){ 0 };
			return 1;
		}
		if (!rc && !it->plain.len && !it->in_frame && !it->raw && !frame_follows(it))
			return 2;
		if (!rc && it->plain.len && !it->in_frame && !it->raw && !frame_follows(it))
			rc = kp_in_fill(&it->in, 4) < 4 ? 0 : -EBADMSG;
		else if (!rc)
			rc = pull(it);
		if (rc > 0)
			continue;
		if (!rc && it->raw && !it->plain.len)
			return 0;
		if (!rc)
			return torn(it) ? -EIO : 2;
		if (rc != -EBADMSG)
			return rc;
		rc = damaged(it, it->in.len > it->in.at);
		return rc ? rc : 2;
	}
}

/* ---- all items ---- */

static const char *looks_like(const uint8_t *p, size_t n)
{
	static const struct { const char *magic; uint8_t len; const char *what; } known[] = {
		{ "PERFILE2", 8, "a perf.data file" }, { "\x1f\x8b", 2, "gzip data" }, { "\xd4\xc3\xb2\xa1", 4, "a pcap file" },
		{ "\x0a\x0d\x0d\x0a", 4, "a pcapng file" }, { "\x7f" "ELF", 4, "an ELF file" }, { "BZh", 3, "bzip2 data" },
		{ "\xfd" "7zXZ", 5, "xz data" }, { "SQLite format 3", 15, "an SQLite database" }, { "{", 1, "JSON" }, { "[{", 2, "JSON" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (n >= known[i].len && !memcmp(p, known[i].magic, known[i].len))
			return known[i].what;
	for (size_t i = 0; i < n && i < 256; i++)
		if (p[i] < 7 || (p[i] > 13 && p[i] < 27) || p[i] == 127)
			return "other data";
	return "text";
}

static int refuse(const struct kp_items *it, const char *what, struct kp_err *err)
{
	return kp_err(err, EBADMSG, "%s: not a kp stream: it looks like %s", strcmp(it->path, "-") ? it->path : "standard input", what);
}

/* Looks at the first bytes of an input, which may be cut or damaged and a kp stream all the same. */
static int begin(struct kp_items *it, struct kp_err *err)
{
	static const uint8_t index[4] = { 0x5b, 0x2a, 0x4d, 0x18 };
	ssize_t have = kp_in_fill(&it->in, 12);
	const uint8_t *p = kp_in_at(&it->in);

	if (have < 0)
		return (int)have;
	if (!have)
		return kp_err(err, ENODATA, "%s: empty", strcmp(it->path, "-") ? it->path : "standard input");
	if (have >= 3 && !memcmp(p, "\xd9\xd9\xf7", 3))
		it->raw = true;
	else if (have < 4 ? memcmp(p, index, have) != 0
			  : le32(p) != ZMAGIC && !is_skippable(p) && (have < 12 || memcmp(p + 8, "KPIX", 4) != 0))
		return refuse(it, looks_like(p, have), err);
	return 0;
}

static int next_any(struct kp_items *it, struct kp_item_in *out)
{
	ssize_t have;
	const uint8_t *p;

	if (it->raw || it->in_frame || it->plain.len > it->plain_at) {
		int rc = next_plain(it, out);

		if (rc != 2)
			return rc;
	}
	for (;;) {
		have = kp_in_fill(&it->in, 12);
		p = kp_in_at(&it->in);
		if (have <= 0)
			return (int)have;
		if (have < 8) {
			if (torn(it))
				return -EIO;
			return 0;
		}
		if (is_index(p, have)) {
			int rc;

			*out = (struct kp_item_in){ 0 };
			rc = next_indexed(it, out);
			if (rc)
				return rc;
		} else if (le32(p) == ZMAGIC) {
			int rc = next_plain(it, out);

			if (rc != 2)
				return rc;
		} else if (is_skippable(p) && le32(p) != KP_INDEX_MAGIC && (have < 12 || memcmp(p + 8, "KPIX", 4) != 0)) {
			int rc = kp_in_skip(&it->in, 8 + (uint64_t)le32(p + 4));

			if (rc == 1)
				it->torn = true;
			if (rc < 0)
				return rc;
		} else if (have < 12 && le32(p) == KP_INDEX_MAGIC) {
			if (torn(it))
				return -EIO;
		} else {
			int rc = damaged(it, 1);

			if (rc)
				return rc;
		}
	}
}

int kp_items_next(struct kp_items *it, struct kp_item_in *out, struct kp_err *err)
{
	uint64_t off = it->in.off;
	int rc = 0;

	if (it->item_out)
		drop_plain(it);
	if (!it->seen)
		rc = begin(it, err);
	while (!rc) {
		*out = (struct kp_item_in){ 0 };
		rc = next_any(it, out);
		if (rc != 1)
			break;
		if (!it->seen && !it->bad && !out->has_index && out->type != KP_I_HEADER && out->type != KP_I_BLOCK)
			return refuse(it, it->raw ? "CBOR of something else" : "a zstd file of something else", err);
		it->seen = true;
		if (it->resync && !out->type && !out->bad)
			rc = 0;	/* the rest of what was damaged */
		else
			it->resync = false;
	}
	it->bytes += it->in.off - off;
	if (!rc && !it->seen && it->bad && !it->torn)
		return refuse(it, "a zstd file of something else", err);
	it->seen = true;
	if (rc < 0 && rc != -EBADMSG && rc != -ENODATA)
		return kp_err(err, -rc, "%s: %s", it->path, strerror(-rc));
	return rc;
}
