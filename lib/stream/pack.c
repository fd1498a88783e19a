/* SPDX-License-Identifier: BSD-2-Clause */
/* An item's way out: each part of its CBOR in a zstd frame of its own, and an index in front. */
#include "block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int kp_packer_init(struct kp_packer *p, int level)
{
	memset(p, 0, sizeof(*p));
	p->zc = ZSTD_createCCtx();
	if (!p->zc)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(p->zc, ZSTD_c_compressionLevel, level ? level : 2);
	ZSTD_CCtx_setParameter(p->zc, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(p->zc, ZSTD_c_contentSizeFlag, 1);
	return 0;
}

void kp_packer_free(struct kp_packer *p)
{
	ZSTD_freeCCtx(p->zc);
	kp_buf_free(&p->plain);
	kp_buf_free(&p->frames);
	kp_buf_free(&p->out);
	free(p->frame);
	memset(p, 0, sizeof(*p));
}

void kp_packer_begin(struct kp_packer *p)
{
	p->plain.len = p->frames.len = 0;
	p->nframes = 0;
}

int kp_packer_frame(struct kp_packer *p)
{
	size_t bound = ZSTD_compressBound(p->plain.len), n;

	if (p->plain.err || kp_buf_reserve(&p->frames, bound))
		return -ENOMEM;
	if (p->nframes == p->cap) {
		uint32_t cap = p->cap ? p->cap * 2 : 32;
		struct kp_frame *f = realloc(p->frame, cap * sizeof(*f));

		if (!f)
			return -ENOMEM;
		p->frame = f;
		p->cap = cap;
	}
	n = ZSTD_compress2(p->zc, p->frames.p + p->frames.len, bound, p->plain.p, p->plain.len);
	if (ZSTD_isError(n))
		return -ENOMEM;	/* with room for the bound, the only error left */
	p->frame[p->nframes++] = (struct kp_frame){ n, kp_frame_hash(p->frames.p + p->frames.len, n) };
	p->frames.len += n;
	p->plain.len = 0;
	return 0;
}

int kp_packer_end(struct kp_packer *p, struct kp_index *x)
{
	x->nframes = p->nframes;
	kp_index_encode(&p->out, x, p->frame);
	return kp_buf_add(&p->out, p->frames.p, p->frames.len);
}
