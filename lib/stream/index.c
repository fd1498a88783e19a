/* SPDX-License-Identifier: BSD-2-Clause */
/* The index of an item: a zstd skippable frame of little-endian fields that carries a hash of itself. */
#include "stream_int.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "hash.h"

#define HEAD	8	/* of a skippable frame: magic, length */
#define FIXED	64
#define VERSION	1

uint32_t kp_frame_hash(const void *p, size_t n)
{
	return (uint32_t)kp_hash(p, n, 0);
}

static void put16(struct kp_buf *b, uint16_t v)
{
	v = htole16(v);
	kp_buf_add(b, &v, sizeof(v));
}

static void put32(struct kp_buf *b, uint32_t v)
{
	v = htole32(v);
	kp_buf_add(b, &v, sizeof(v));
}

static void put64(struct kp_buf *b, uint64_t v)
{
	v = htole64(v);
	kp_buf_add(b, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
	return p[0] | p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static size_t size_of(uint32_t nkinds, uint32_t ntasks, uint32_t nframes)
{
	size_t kinds = nkinds == KP_IX_ANY_KINDS ? 0 : nkinds, tasks = ntasks == KP_IX_ANY_TASKS ? 0 : ntasks;

	return FIXED + (kinds + kinds % 2) * 2 + tasks * 8 + (size_t)nframes * 8 + 8;
}

void kp_index_encode(struct kp_buf *b, const struct kp_index *x, const struct kp_frame *frames)
{
	size_t at = b->len;
	uint32_t nkinds = x->nkinds == KP_IX_ANY_KINDS ? 0 : x->nkinds;

	put32(b, KP_INDEX_MAGIC);
	put32(b, size_of(x->nkinds, x->ntasks, x->nframes));
	kp_buf_add(b, "KPIX", 4);
	kp_buf_add(b, (uint8_t[]){ VERSION, x->type, x->flags, 0 }, 4);
	put32(b, x->nframes);
	put32(b, x->source);
	put32(b, x->rows);
	put16(b, x->nkinds);
	put16(b, 0);
	put32(b, x->ntasks);
	put32(b, 0);
	put64(b, x->seq);
	put64(b, x->min_start);
	put64(b, x->max_end);
	put64(b, x->max_dur);
	for (uint32_t i = 0; i < nkinds; i++)
		put16(b, x->kinds[i]);
	if (nkinds % 2)
		put16(b, 0);
	for (uint32_t i = 0; x->ntasks != KP_IX_ANY_TASKS && i < x->ntasks * 2; i++)
		put32(b, x->tasks[i]);
	for (uint32_t i = 0; i < x->nframes; i++) {
		put32(b, frames[i].size);
		put32(b, frames[i].hash);
	}
	if (!b->err)
		put64(b, kp_hash(b->p + at, b->len - at, 0));
}

int kp_index_decode(struct kp_index *x, const uint8_t *p, size_t n)
{
	const uint8_t *f = p + HEAD;

	memset(x, 0, sizeof(*x));
	if (n < HEAD + FIXED + 8 || n > HEAD + KP_MAX_INDEX || memcmp(f, "KPIX", 4) || f[4] != VERSION)
		return -EBADMSG;
	if (get64(p + n - 8) != kp_hash(p, n - 8, 0))
		return -EBADMSG;
	x->type = f[5];
	x->flags = f[6];
	x->nframes = get32(f + 8);
	x->source = get32(f + 12);
	x->rows = get32(f + 16);
	x->nkinds = get16(f + 20);
	x->ntasks = get32(f + 24);
	x->seq = get64(f + 32);
	x->min_start = get64(f + 40);
	x->max_end = get64(f + 48);
	x->max_dur = get64(f + 56);
	if (x->nframes > KP_MAX_INDEX || x->rows > KP_MAX_ROWS || (x->ntasks != KP_IX_ANY_TASKS && x->ntasks > KP_MAX_INDEX) ||
	    n - HEAD != size_of(x->nkinds, x->ntasks, x->nframes) || !x->nframes)
		return -EBADMSG;
	x->kinds = (const uint16_t *)(const void *)(f + FIXED);
	x->frames = p + n - 8 - (size_t)x->nframes * 8;
	return 0;
}

struct kp_frame kp_index_frame(const struct kp_index *x, uint32_t i)
{
	return (struct kp_frame){ get32(x->frames + (size_t)i * 8), get32(x->frames + (size_t)i * 8 + 4) };
}

uint16_t kp_index_kind(const struct kp_index *x, uint32_t i)
{
	return get16((const uint8_t *)x->kinds + (size_t)i * 2);
}

bool kp_index_torn(const uint8_t *p, size_t n)
{
	const uint8_t *f = p + HEAD;

	if (n < HEAD + FIXED)
		return true;
	return get32(p + 4) == size_of(get16(f + 20), get32(f + 24), get32(f + 8));
}
