/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef KP_EXPORT_INT_H
#define KP_EXPORT_INT_H

#include <string.h>

#include <kp/export.h>
#include <kp/util.h>

/*
 * Dictionary values recur a thousand times: what was printed for one is kept
 * by its address (they are interned and stay until forget). Direct-mapped, so bounded.
 */
enum { MEMO_SLOTS = 4096 };
struct memo { struct memo_slot { const void *key; char *p; uint32_t len, width; } *slot; };
/* The slot that holds key, or NULL: then print it and call memo_put with what was printed. */
const struct memo_slot *kp_memo_get(const struct memo *m, const void *key);
int kp_memo_put(struct memo *m, const void *key, const void *p, size_t len);
void kp_memo_free(struct memo *m);

struct format {
	const char *name;
	bool binary;
	size_t size;	/* of its own state, zeroed at the start */
	/* Each may be NULL. row and graph append to x->buf, which is written when it is full. */
	int (*open)(struct kp_export *x, struct kp_err *err);
	int (*row)(struct kp_export *x, const struct kp_row *row, struct kp_err *err);
	int (*graph)(struct kp_export *x, const struct kp_graph *g, struct kp_err *err);
	int (*flush)(struct kp_export *x, struct kp_err *err);
	int (*forget)(struct kp_export *x, struct kp_err *err);
	int (*close)(struct kp_export *x, bool ok, uint64_t rows_in, struct kp_err *err);
};

struct kp_export {
	const struct format *f;
	struct kp_export_opts o;
	int fd;
	struct kp_buf buf;
	void *own;
};

extern const struct format kp_format_text, kp_format_json, kp_format_csv, kp_format_kp;

/* Header of the source of a row, NULL when it has none. */
const struct kp_source *kp_export_source(const struct kp_export *x, const struct kp_row *row);
/* RFC 3339 of a row's end; false when the source's clock is not known. */
bool kp_export_time(const struct kp_export *x, const struct kp_row *row, char buf[48]);
/* The cgroup that is shown: memory's, since that is where contention is most often asked for; else unified. */
const struct kp_str *kp_export_cgroup(const struct kp_task *t);
/* An argument by its unit: as a result would be, but -1 for a descriptor is just no descriptor, and no error. */
int kp_export_arg(struct kp_buf *b, uint8_t unit, uint64_t v);
/* Names of the flags of a row, one a call; *i starts at 0; NULL at the end. */
const char *kp_export_flag(uint32_t flags, unsigned *i);

/* The time column of text: see text_time.c. */
struct text_clock {
	bool zoned;		/* zone is set, by the first row */
	int32_t zone;
	uint64_t day, second;	/* local ones that were printed last, + 1 */
	char clock[16];		/* "02:45:30." of that second */
};
void kp_text_time(struct kp_export *x, struct text_clock *s, const struct kp_row *row);

/* Text that needs no escaping. The "" sees to it that it is a literal, whose size is known. */
#define PUT(b, literal) kp_buf_add(b, "" literal, sizeof(literal) - 1)

#endif
