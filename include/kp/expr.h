/* SPDX-License-Identifier: BSD-2-Clause */
/* The filter language (grammar: kp-query(1)), shared by all tools that take an expression. */
#ifndef KP_EXPR_H
#define KP_EXPR_H

#include <kp/err.h>
#include <kp/kinds.h>
#include <kp/row.h>

struct kp_expr;

/* The line in err names the column of the mistake and the nearest name. kinds must outlive the expression. */
int kp_expr_parse(struct kp_expr **out, const char *text, const struct kp_kinds *kinds, struct kp_err *err);
bool kp_expr_match(struct kp_expr *e, const struct kp_row *row);
/* Where the host names of rows come from (`host == "web1"`); without it no row has a host. h must outlive e. */
struct kp_header;
void kp_expr_header(struct kp_expr *e, const struct kp_header *h);
void kp_expr_free(struct kp_expr *e);

/* "10ms" "1.5s" "2us" "100" (ns); "4k" "1M" (1024). 0 or -EINVAL. */
int kp_parse_duration(const char *s, uint64_t *ns);
int kp_parse_size(const char *s, uint64_t *bytes);
/*
 * The value of option --opt: a number in bounds; a duration, whose unit must be there; seconds, or a duration, not 0.
 * 0 or -EINVAL with a line.
 */
int kp_opt_number(const char *opt, const char *val, uint64_t min, uint64_t max, uint64_t *out, struct kp_err *err);
int kp_opt_duration(const char *opt, const char *val, uint64_t *out, struct kp_err *err);
int kp_opt_seconds(const char *opt, const char *val, uint64_t *out, struct kp_err *err);
/*
 * RFC 3339, "02:45[:30[.5]]" (the day of `ref`, in the zone utc_offset), "-10m" (before `ref`), "@seconds".
 * ref and *out are wall-clock ns.
 */
int kp_parse_time(const char *s, uint64_t ref, int32_t utc_offset, uint64_t *out);

#endif
