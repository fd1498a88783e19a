/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing: one block is being filled for each source, and one more for its
 * keyframe rows. All sources are flushed together, so that a reader can put
 * their rows in order of time from what lies side by side.
 */
#include "block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 900000		/* Kafka's default limit is 1 MB */
#define CHUNK_HEAD 65536	/* room in a chunk for its header and end */
#define MAX_DATA (4u << 20)
/* Shorter ones occur in compressed data by chance: 8 bytes once in 16 exabytes, 4 bytes once in 4 gigabytes. */
#define MIN_DELIMITER 8
#define MAX_DELIMITER 4096

struct per_source {
	struct kp_build rows, key;
	uint64_t seq, last_end;
};

struct kp_writer {
	int fd;
	bool own;
	struct kp_header h;
	const struct kp_kinds *kinds;
	struct kp_write_opts o;
	char *delimiter;
	size_t ndelimiter;
	char *seen;		/* the delimiter's length of bytes at most, which were written last */
	size_t nseen;
	struct kp_packer p;
	struct kp_scratch s;
	struct per_source *src; uint32_t nsrc;
	bool in_key;
	uint64_t key_t0, key_t1;
	uint64_t chunk_len;	/* written since the last header */
	struct kp_end chunk;	/* counted since the last header */
	struct kp_write_stats st;
	int failed;
};

static int fail(struct kp_writer *w, struct kp_err *err, int rc, const char *what)
{
	if (rc && !w->failed)
		w->failed = rc;
	return rc ? kp_err(err, -rc, "%s: %s", what, strerror(-rc)) : 0;
}

/* Would the delimiter be found too early in what is in out, or across the edge to what was written before? Remembers the end of it. */
static bool splits(struct kp_writer *w, bool end)
{
	size_t n = w->ndelimiter, out = w->p.out.len, keep = out < n ? out : n, k;
	char edge[2 * MAX_DELIMITER];

	memcpy(edge, w->seen, w->nseen);
	memcpy(edge + w->nseen, w->p.out.p, keep);
	for (k = 0; k < w->nseen && k + n <= w->nseen + keep; k++)
		if (!memcmp(edge + k, w->delimiter, n))
			return true;
	if (memmem(w->p.out.p, out - (end ? 1 : 0), w->delimiter, n))
		return true;
	k = w->nseen + keep;
	w->nseen = end ? 0 : k < n ? k : n - 1;
	memmove(w->seen, out < n ? edge + k - w->nseen : (char *)w->p.out.p + out - w->nseen, w->nseen);
	return false;
}

/* All of it, or none that counts: what goes on after an error goes on in the middle of what was being written. */
static int write_out(struct kp_writer *w)
{
	size_t done = 0;
	int rc = kp_write_on(w->fd, w->p.out.p, w->p.out.len, &done);

	while (rc && w->o.stuck && !(rc = w->o.stuck(w->o.stuck_arg, rc)))
		rc = kp_write_on(w->fd, w->p.out.p, w->p.out.len, &done);
	return rc;
}

/* Hands what is in out to the kernel. end: the chunk ends with it. */
static int hand_over(struct kp_writer *w, bool end, struct kp_err *err)
{
	int rc;

	if (w->delimiter && end)
		kp_buf_add(&w->p.out, w->delimiter, w->ndelimiter);
	if (w->delimiter && !w->p.out.err && w->p.out.len && splits(w, end)) {
		w->failed = -EINVAL;
		return kp_err(err, EINVAL, "the delimiter occurs inside the stream: choose another, longer one");
	}
	rc = w->p.out.err ? w->p.out.err : write_out(w);
	if (!rc) {
		w->st.bytes += w->p.out.len;
		w->chunk_len += w->p.out.len;
	}
	w->p.out.len = 0;
	return fail(w, err, rc, "cannot write the stream");
}

static int pack_single(struct kp_writer *w, uint8_t type)
{
	struct kp_index x = { .type = type, .nkinds = 0, .ntasks = 0 };

	if (kp_packer_frame(&w->p))
		return -ENOMEM;
	return kp_packer_end(&w->p, &x);
}

static int put_header(struct kp_writer *w)
{
	kp_packer_begin(&w->p);
	kp_header_encode(&w->p.plain, &w->h, w->kinds, w->o.chunk_bytes);
	w->chunk = (struct kp_end){ 0 };
	return pack_single(w, KP_I_HEADER);
}

static int put_end(struct kp_writer *w)
{
	w->chunk.prov = w->h.prov;
	w->chunk.nprov = w->h.nprov;
	kp_packer_begin(&w->p);
	kp_rec_encode(&w->p.plain, &kp_rec_end, &w->chunk, "end");
	return pack_single(w, KP_I_END);
}

static int add_sources(struct kp_writer *w)
{
	struct per_source *s;

	if (w->h.nsources <= w->nsrc)
		return 0;
	s = realloc(w->src, w->h.nsources * sizeof(*s));
	if (!s)
		return -ENOMEM;
	memset(s + w->nsrc, 0, (w->h.nsources - w->nsrc) * sizeof(*s));
	w->src = s;
	w->nsrc = w->h.nsources;
	return 0;
}

static int set_opts(struct kp_writer *w, const struct kp_write_opts *o)
{
	if (o)
		w->o = *o;
	if (!w->o.block_rows || w->o.block_rows > KP_MAX_ROWS)
		w->o.block_rows = KP_MAX_ROWS;
	if (!w->o.block_bytes || w->o.block_bytes > KP_MAX_ITEM / 2)
		w->o.block_bytes = KP_MAX_ITEM / 2;
	if (w->o.delimiter) {
		w->ndelimiter = strlen(w->o.delimiter);
		w->delimiter = strdup(w->o.delimiter);
		w->seen = malloc(w->ndelimiter + 1);
		if (!w->delimiter || !w->seen)
			return -ENOMEM;
		if (!w->o.chunk_bytes)
			w->o.chunk_bytes = CHUNK;
	}
	if (w->o.chunk_bytes && w->o.chunk_bytes < 2 * CHUNK_HEAD)
		w->o.chunk_bytes = 2 * CHUNK_HEAD;
	if (w->o.chunk_bytes && w->o.block_bytes > w->o.chunk_bytes - CHUNK_HEAD)
		w->o.block_bytes = w->o.chunk_bytes - CHUNK_HEAD;
	return 0;
}

static void writer_free(struct kp_writer *w)
{
	for (uint32_t i = 0; i < w->nsrc; i++) {
		kp_build_free(&w->src[i].rows);
		kp_build_free(&w->src[i].key);
	}
	free(w->src);
	kp_header_free(&w->h);
	kp_packer_free(&w->p);
	kp_scratch_free(&w->s);
	free(w->delimiter);
	free(w->seen);
	free(w);
}

int kp_writer_open(struct kp_writer **out, int fd, bool own, const struct kp_header *hdr,
		   const struct kp_kinds *kinds, const struct kp_write_opts *opts, struct kp_err *err)
{
	struct kp_writer *w = calloc(1, sizeof(*w));
	int rc = -ENOMEM;

	*out = NULL;
	if (!w)
		return kp_err(err, ENOMEM, "out of memory");
	w->fd = fd;
	w->kinds = kinds;
	if (opts && opts->delimiter && (strlen(opts->delimiter) < MIN_DELIMITER || strlen(opts->delimiter) > MAX_DELIMITER)) {
		rc = kp_err(err, EINVAL, "the delimiter has %zu bytes, but needs %d to %d: a shorter one occurs in compressed data by chance",
			    strlen(opts->delimiter), MIN_DELIMITER, MAX_DELIMITER);
		goto fail;
	}
	if (set_opts(w, opts) || kp_header_copy(&w->h, hdr, 0) || add_sources(w) ||
	    kp_packer_init(&w->p, w->o.level) || kp_scratch_init(&w->s)) {
		kp_err(err, ENOMEM, "out of memory");
		goto fail;
	}
	w->h.version = 1;
	rc = put_header(w);
	if (!rc)
		rc = hand_over(w, false, err);
	if (rc)
		goto fail;
	w->own = own;
	*out = w;
	return 0;
fail:
	writer_free(w);
	return rc;
}

/* Ends a chunk and begins the next when what is in out no longer fits. */
static int chunk_break(struct kp_writer *w, struct kp_err *err)
{
	struct kp_buf held = w->p.out;
	int rc;

	if (!w->o.chunk_bytes || !(w->chunk.blocks + w->chunk.graphs) || w->chunk_len + held.len + CHUNK_HEAD / 2 <= w->o.chunk_bytes)
		return 0;
	w->p.out = (struct kp_buf){ 0 };
	rc = put_end(w);
	if (!rc)
		rc = hand_over(w, true, err);
	w->chunk_len = 0;
	if (!rc)
		rc = put_header(w);
	if (!rc)
		rc = kp_buf_add(&w->p.out, held.p, held.len);
	kp_buf_free(&held);
	return rc;
}

struct packed { uint64_t blocks, rows; };

/* Puts a source's block into out. */
static int put_block(struct kp_writer *w, uint32_t i, bool key, bool more, struct packed *sum)
{
	struct per_source *s = &w->src[i];
	struct kp_build *b = key ? &s->key : &s->rows;
	struct kp_block_head h = { .source = i, .seq = s->seq, .session = kp_session_hash(&w->h.sources[i]), .flags = (key ? KP_IX_KEYFRAME : 0) | (more ? KP_IX_MORE : 0) };
	uint32_t rows = b->n;
	int rc;

	if (!rows)
		return 0;
	h.t0 = w->in_key ? w->key_t0 : b->min_start;
	h.t1 = w->key_t1 ? w->key_t1 : b->max_end;
	rc = kp_build_pack(b, &h, &w->p, &w->s);
	if (rc)
		return rc;
	s->seq++;
	sum->blocks++;
	sum->rows += rows;
	return 0;
}

/* An epoch's blocks go out together: a chunk that ended between them would not be in order of time. */
static int put_out(struct kp_writer *w, const struct packed *sum, int rc, struct kp_err *err)
{
	if (!rc && sum->blocks)
		rc = chunk_break(w, err);
	if (rc)
		return fail(w, err, rc, "cannot make a block");
	w->st.blocks += sum->blocks;
	w->chunk.blocks += sum->blocks;
	w->chunk.rows += sum->rows;
	return sum->blocks ? hand_over(w, false, err) : 0;
}

static int flush_keys(struct kp_writer *w, struct kp_err *err)
{
	struct packed sum = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < w->nsrc && !rc; i++)
		rc = put_block(w, i, true, false, &sum);
	return put_out(w, &sum, rc, err);
}

int kp_writer_flush(struct kp_writer *w, struct kp_err *err)
{
	struct packed sum = { 0 };
	uint32_t last = UINT32_MAX;
	int rc;

	if (w->failed)
		return fail(w, err, w->failed, "cannot write the stream");
	rc = flush_keys(w, err);
	if (rc)
		return rc;
	for (uint32_t i = 0; i < w->nsrc; i++)
		if (w->src[i].rows.n)
			last = i;
	for (uint32_t i = 0; i < w->nsrc && !rc; i++)
		rc = put_block(w, i, false, i != last, &sum);
	return put_out(w, &sum, rc, err);
}

static bool full(const struct kp_writer *w)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < w->nsrc; i++) {
		if (w->src[i].rows.n >= w->o.block_rows || w->src[i].key.n >= w->o.block_rows)
			return true;
		bytes += kp_build_bytes(&w->src[i].rows) + kp_build_bytes(&w->src[i].key);
	}
	return bytes >= w->o.block_bytes;
}

int kp_writer_row(struct kp_writer *w, const struct kp_row *r, struct kp_err *err)
{
	struct per_source *s;
	bool key = r->flags & KP_F_KEYFRAME;
	struct kp_build *b;
	uint64_t extra;
	int rc;

	if (w->failed)
		return fail(w, err, w->failed, "cannot write the stream");
	if (r->source >= w->nsrc)
		return kp_err(err, EINVAL, "a row of source %u, but there are only %u", r->source, w->nsrc);
	if (r->dur > r->end || r->end >= KP_MAX_TIME || r->data_len > MAX_DATA)
		return kp_err(err, EINVAL, "a row that cannot be: dur %llu, end %llu, %u bytes of data",
			      (unsigned long long)r->dur, (unsigned long long)r->end, r->data_len);
	s = &w->src[r->source];
	b = key ? &s->key : &s->rows;
	if (!key && r->end < s->last_end) {
		if (!w->o.concat)
			return kp_err(err, EINVAL, "a row that ends %llu ns before the one in front of it", (unsigned long long)(s->last_end - r->end));
		rc = kp_writer_flush(w, err);
		if (rc)
			return rc;
	}
	extra = b->extra_bytes;
	if (kp_build_row(b, r))
		return fail(w, err, -ENOMEM, "cannot keep a row");
	if (!key)
		s->last_end = r->end;
	w->st.rows++;
	/* payload and long names fill a block in few rows, everything else in many */
	if (b->n >= w->o.block_rows || ((r->data_len > 512 || b->extra_bytes > extra + 4096 || b->n % 64 == 0) && full(w)))
		return kp_writer_flush(w, err);
	return 0;
}

int kp_writer_update(struct kp_writer *w, const struct kp_header *hdr, struct kp_err *err)
{
	/* the last entry is this tool's own: its input does not know of it */
	uint32_t own = w->h.nprov ? 1 : 0;
	bool news = hdr->nsources != w->h.nsources || hdr->nhooks != w->h.nhooks || hdr->nprov + own != w->h.nprov;
	struct kp_header h;
	int rc = 0;

	for (uint32_t i = 0; !news && i < hdr->nsources; i++)
		news = hdr->sources[i].shift != w->h.sources[i].shift;
	if (news)
		rc = kp_writer_flush(w, err);
	if (!rc && kp_header_copy(&h, hdr, own))
		rc = fail(w, err, -ENOMEM, "cannot keep the header");
	if (rc)
		return rc;
	if (own)
		h.prov[h.nprov++] = w->h.prov[w->h.nprov - 1];
	kp_header_free(&w->h);
	w->h = h;
	w->h.version = 1;
	if (!news)
		return 0;
	rc = add_sources(w);
	if (!rc)
		rc = put_end(w);
	if (!rc)
		rc = put_header(w);
	return rc ? fail(w, err, rc, "cannot make a header") : hand_over(w, false, err);
}

int kp_writer_graph(struct kp_writer *w, const struct kp_graph *g, struct kp_err *err)
{
	int rc = kp_writer_flush(w, err);

	if (rc)
		return rc;
	kp_packer_begin(&w->p);
	kp_rec_encode(&w->p.plain, &kp_rec_graph, g, "graph");
	rc = pack_single(w, KP_I_GRAPH);
	if (!rc)
		rc = chunk_break(w, err);
	w->chunk.graphs++;
	return rc ? fail(w, err, rc, "cannot make a graph") : hand_over(w, false, err);
}

int kp_writer_key_begin(struct kp_writer *w, uint64_t t0, struct kp_err *err)
{
	w->in_key = true;
	w->key_t0 = t0;
	w->key_t1 = 0;
	return w->failed ? fail(w, err, w->failed, "cannot write the stream") : 0;
}

int kp_writer_key_end(struct kp_writer *w, uint64_t t1, struct kp_err *err)
{
	int rc;

	w->key_t1 = t1;
	rc = w->failed ? fail(w, err, w->failed, "cannot write the stream") : flush_keys(w, err);
	w->in_key = false;
	w->key_t1 = 0;
	return rc;
}

void kp_writer_stats(const struct kp_writer *w, struct kp_write_stats *st)
{
	*st = w->st;
}

int kp_writer_close(struct kp_writer *w, uint64_t rows_in, struct kp_err *err)
{
	int rc;

	if (!w)
		return 0;
	rc = w->failed ? 0 : kp_writer_flush(w, err);
	if (!rc && !w->failed) {
		if (w->h.nprov) {
			struct kp_prov *p = &w->h.prov[w->h.nprov - 1];

			p->end = kp_now_wall();
			p->rows_in = rows_in;
			p->rows_out = w->st.rows;
		}
		rc = put_end(w);
		rc = rc ? fail(w, err, rc, "cannot end the stream") : hand_over(w, true, err);
	}
	if (w->own && close(w->fd) && !rc && !w->failed)
		rc = kp_err(err, errno, "cannot write the stream: %s", strerror(errno));
	writer_free(w);
	return rc;
}

void kp_writer_abandon(struct kp_writer *w)
{
	if (!w)
		return;
	if (!w->failed)
		kp_writer_flush(w, NULL);
	if (w->own)
		close(w->fd);
	writer_free(w);
}
