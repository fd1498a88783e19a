/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading and writing kp streams (format: kp-stream(5)). A reader or a writer
 * belongs to one thread; there are no globals. Functions return 0 or a count,
 * or -errno with a line in err (see err.h).
 */
#ifndef KP_STREAM_H
#define KP_STREAM_H

#include <kp/err.h>
#include <kp/graph.h>
#include <kp/kinds.h>
#include <kp/pool.h>
#include <kp/row.h>

/* Where rows come from: one recorder's session on one boot of one host. */
struct kp_source {
	char machine_id[40], boot_id[40], session[40]; /* session: random, of one recorder run */
	const struct kp_str *host, *kernel, *arch, *tz; /* tz: "Europe/Madrid" or "" */
	int32_t utc_offset;	/* seconds east of UTC when the recording began */
	uint32_t cpus, page_size;
	uint32_t hz;		/* USER_HZ */
	/* first clock reading, so that wall time is known before the first clock row */
	uint64_t mono0, real0, boot0;
	int64_t shift;		/* ns added to every time to put hosts on one line (kp-enrich), 0 */
	uint64_t shift_err;	/* bound of its error, ns */
	/*
	 * Set by the reader, not stored: the wall clock less the monotonic one when this boot was first met.
	 * end + base + shift is a row's place on the one line of all sources, by which rows are merged.
	 */
	int64_t base;
};

/* How an event source was hooked: "sched_switch", "tp_btf/sched_switch", or "" and why not. */
struct kp_hook {
	const struct kp_str *what, *how, *note;
	uint32_t source;
};

/* One tool that the data has passed through. Times are wall clock, ns. */
struct kp_prov {
	const struct kp_str *tool, *version, *args;
	uint64_t start, end, rows_in, rows_out; /* end, rows: 0 when unknown; known ones come in the end record */
};

struct kp_header {
	uint32_t version;	/* 1 */
	uint64_t incompatible;	/* bits a reader must know, else -ENOTSUP */
	struct kp_source *sources;	uint32_t nsources;
	struct kp_hook *hooks;		uint32_t nhooks;
	struct kp_prov *prov;		uint32_t nprov;
};

/*
 * For a filter: *out is a copy of in (NULL: nothing yet) with a provenance entry for this tool behind it,
 * begun now; argv as main got it. The texts go into pool. 0 or -ENOMEM.
 */
int kp_header_pass(struct kp_header *out, const struct kp_header *in, struct kp_pool *pool, const char *tool, int argc, char *const *argv);
void kp_header_free(struct kp_header *h);	/* the arrays of a header made by kp_header_pass */

/* ---- writing ---- */

struct kp_writer;

struct kp_write_opts {
	int level;		/* zstd level, 0: 2 */
	uint32_t block_rows;	/* rows a block at most, 0: 65536 */
	uint32_t block_bytes;	/* about the bytes a block at most before compression, 0: 8 MiB */
	uint64_t chunk_bytes;	/* > 0: start a new chunk (header again) before this many bytes */
	const char *delimiter;	/* written after each chunk; NULL none; implies chunk_bytes 900000 */
	bool concat;		/* for filters: a source may go back in time, as in `cat a.kp a.kp` */
	/* Writing failed with rc, as on a full disk: 0 if room was made and it goes on where it stopped, else what to fail with. */
	int (*stuck)(void *arg, int rc); void *stuck_arg; /* NULL: it fails */
};

/*
 * The writer takes fd (and closes it in kp_writer_close if own). hdr is copied;
 * add your own provenance entry to it before. kinds: the table to put in the header.
 */
int kp_writer_open(struct kp_writer **out, int fd, bool own, const struct kp_header *hdr,
		   const struct kp_kinds *kinds, const struct kp_write_opts *opts, struct kp_err *err);
/*
 * Rows of one source in order of end (-EINVAL otherwise, and the row is not taken); rows with the flag
 * KP_F_KEYFRAME may come in any order, and go into keyframe blocks.
 * Dictionary values must stay as they are until the block is flushed (a pool does that).
 */
int kp_writer_row(struct kp_writer *w, const struct kp_row *row, struct kp_err *err);
/*
 * A filter's input may gain sources while it is read, and learns at its end what the tools before it counted:
 * hdr is the reader's header as it is now. To be called when its nsources has grown, and before closing.
 */
int kp_writer_update(struct kp_writer *w, const struct kp_header *hdr, struct kp_err *err);
int kp_writer_graph(struct kp_writer *w, const struct kp_graph *g, struct kp_err *err);
/* Ends the present blocks and hands all to the kernel. -EPIPE when nobody reads any more. */
int kp_writer_flush(struct kp_writer *w, struct kp_err *err);
/* Marks the rows from here to kp_writer_key_end as a keyframe over [t0, t1]; they go into blocks of their own. */
int kp_writer_key_begin(struct kp_writer *w, uint64_t t0, struct kp_err *err);
int kp_writer_key_end(struct kp_writer *w, uint64_t t1, struct kp_err *err);
struct kp_write_stats { uint64_t rows, blocks, bytes; };
void kp_writer_stats(const struct kp_writer *w, struct kp_write_stats *st);
/* Writes the end record and frees, also after errors. rows_in: for the provenance entry. */
int kp_writer_close(struct kp_writer *w, uint64_t rows_in, struct kp_err *err);
/* Instead of it, when the input failed: what there is goes out, but no end record, so that all see that it is torn. */
void kp_writer_abandon(struct kp_writer *w);

/* ---- reading ---- */

struct kp_reader;

/* What a reader has to say about its input, one call a finding: torn tail, damaged block ... */
enum kp_finding { KP_TORN, KP_DAMAGED, KP_UNKNOWN_ITEM, KP_NO_END };
typedef void (*kp_find_fn)(void *arg, enum kp_finding f, const char *input, const char *line);

/* What kp-enrich learns in a first pass: ns to add to all times of a boot. */
struct kp_shift { char boot_id[40]; int64_t shift; uint64_t shift_err; };

/*
 * Blocks that cannot hold a wanted row are skipped unread where an index allows it; rows that are read
 * are not filtered any further (but for time). Loss, clock, lifecycle and keyframe rows always come.
 */
struct kp_read_opts {
	uint64_t since, until;	/* source-monotonic ns of the row's [start, end]; 0: no limit */
	uint64_t since_wall, until_wall; /* the same in wall-clock ns; 0: no limit */
	const struct kp_shift *shifts; uint32_t nshifts; /* set as the shifts of sources by their boot, before rows are merged by them */
	bool strict;		/* damage is an error (-EBADMSG) rather than a finding */
	bool loss_rows;		/* for filters: what was skipped as damaged comes as rows loss.stream */
	kp_find_fn found; void *found_arg; /* NULL: keep quiet */
	/* Called before a pipe, fd, is waited for, so that a filter can pass on what it has; NULL: not. */
	void (*idle)(void *arg, int fd); void *idle_arg;
};

/*
 * Opens one or many inputs and merges their rows by (shifted) time: files, directories of segments,
 * "-" for standard input. n = 0 is "-". Pool and kinds are the caller's and outlive the reader.
 * -EBADMSG: not a kp stream (with what it looks like), -ENODATA: empty, -ENOENT...
 */
int kp_reader_open(struct kp_reader **out, const char *const *paths, uint32_t n, struct kp_pool *pool,
		   struct kp_kinds *kinds, const struct kp_read_opts *opts, struct kp_err *err);
/* 1 and a row (valid until the next call), 0 at the end, -errno. */
int kp_reader_next(struct kp_reader *r, const struct kp_row **row, struct kp_err *err);
/*
 * A pool only grows, and a pipe may never end: from now on the values of rows are those of another pool. Those of
 * the row handed out last are moved into it; those of the pool before are the caller's, who may free it when nothing
 * of his own refers to it any more. Headers stay in the pool that the reader was opened with, which therefore is
 * better not the one that is to be renewed. The new one is the caller's, too, and has to live until it is replaced
 * or the reader closed. 0 or -ENOMEM: then nothing more is to be read.
 */
int kp_reader_renew(struct kp_reader *r, struct kp_pool *pool);
/* Graphs met so far that were not yet taken: 1 and a graph (the caller frees it with kp_graph_free), 0 none. */
int kp_reader_graph(struct kp_reader *r, struct kp_graph **g);
/* Writes those that were not yet taken to w, as filters do; NULL: drops them. What kp_writer_graph says. */
int kp_reader_pass_graphs(struct kp_reader *r, struct kp_writer *w, struct kp_err *err);
/* Sources, hooks, provenance of all inputs so far; more may come as a concatenation is read. */
const struct kp_header *kp_reader_header(const struct kp_reader *r);
/* Wall-clock ns of a source's monotonic time, by the clock rows met so far. */
uint64_t kp_reader_wall(const struct kp_reader *r, uint32_t source, uint64_t mono);
uint64_t kp_reader_mono(const struct kp_reader *r, uint32_t source, uint64_t wall);

struct kp_read_stats {
	uint64_t rows, blocks, bytes, skipped_blocks, skipped_bytes;
	uint64_t bad_blocks, bad_rows;	/* damaged; bad_rows as far as their index told */
	bool torn, damaged, complete;	/* complete: every input had its end record */
	uint64_t min_start, max_end;
	uint64_t end_wall;	/* the latest wall-clock time of what was read or, by the indexes, skipped */
	uint64_t unknown_columns, unknown_items; /* of a newer version, left out */
};
void kp_reader_stats(const struct kp_reader *r, struct kp_read_stats *st);
void kp_reader_close(struct kp_reader *r);

/* Hash of a row's identity (source session, task, end, kind): equal after filtering, merging, concatenating. */
uint64_t kp_row_id(const struct kp_header *h, const struct kp_row *row);

#endif
