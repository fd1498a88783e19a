/* SPDX-License-Identifier: BSD-2-Clause */
#include "query_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARGIN (5 * KP_SEC)

struct kp_query {
	struct kp_query_opts o;
	struct kp_pool *pool;	/* of what stays */
	struct kp_pool *values;	/* of rows */
	size_t renew;		/* bytes of values after which a new pool is begun */
	struct kp_kinds *kinds;
	struct kp_reader *r;
	struct kp_expr *where;
	struct kp_window win;
	struct kp_cut *cut;
	bool cutting;
	bool noise_keys, noise_open, noise_clocks; /* what is left out */
	uint8_t *kind_ok;	/* per kind id: 0 not looked up, 1 no, 2 yes */
	struct kp_row held;	/* the row at the cut, while the state before it is handed out */
	bool holding;
	struct kp_query_stats st;
};

int kp_query_check(const char *text, struct kp_err *err)
{
	struct kp_kinds *kinds;
	struct kp_expr *e;
	int rc;

	if (kp_kinds_new(&kinds))
		return kp_err(err, ENOMEM, "no memory");
	rc = kp_expr_parse(&e, text, kinds, err);
	kp_expr_free(e);
	kp_kinds_free(kinds);
	return rc;
}

static uint64_t dir_size(int fd)
{
	DIR *d = fdopendir(fd);
	uint64_t sum = 0;
	struct dirent *e;
	struct stat sb;

	if (!d) {
		close(fd);
		return 0;
	}
	while ((e = readdir(d)))
		if (!fstatat(dirfd(d), e->d_name, &sb, 0) && S_ISREG(sb.st_mode))
			sum += sb.st_size;
	closedir(d);
	return sum;
}

/* Bytes of all inputs, for the progress line; 0 when one of them has no size. */
static uint64_t total_size(const struct kp_query_opts *o)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < o->npaths; i++) {
		struct stat sb;

		if (stat(o->paths[i], &sb) || (!S_ISREG(sb.st_mode) && !S_ISDIR(sb.st_mode)))
			return 0;
		if (S_ISDIR(sb.st_mode)) {
			int fd = open(o->paths[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			sum += fd < 0 ? 0 : dir_size(fd);
		} else {
			sum += sb.st_size;
		}
	}
	return sum;
}

/* A pattern that no kind matches is a slip of the fingers. */
static int check_patterns(const struct kp_kinds *kinds, const char *patterns, struct kp_err *err)
{
	const char *p = patterns;

	do {
		int len = (int)strcspn(p, ",");
		const struct kp_kind *k = NULL;
		char one[64];

		snprintf(one, sizeof(one), "%.*s", len, p);
		p += len;
		for (uint32_t id = 0; len && (k = kp_kind_next(kinds, id)); id = k->id + 1u)
			if (kp_kind_match(k, one))
				break;
		if (!k)
			return kp_err(err, EINVAL, "no kind matches '%s': kp-query --kinds lists them", one);
		p += *p == ',';
	} while (*p);
	return 0;
}

/* Keyframes and clocks are left out where nobody names them: by pattern, or in the expression. */
static void find_noise(struct kp_query *q)
{
	const char *w = q->o.where ? q->o.where : "";
	bool noise = q->o.keep & KP_QUERY_NO_NOISE, named = strstr(w, "keyframe");

	q->noise_keys = noise && !q->o.kinds && !named && !strstr(w, "key.");
	q->noise_clocks = noise && !q->o.kinds && !strstr(w, "clock.");
	/* operations in progress, listed again at each keyframe */
	q->noise_open = noise && !named && !strstr(w, "open");
}

static int open_input(struct kp_query *q, struct kp_err *err)
{
	struct kp_read_opts ro = { .strict = q->o.strict, .found = q->o.found, .found_arg = q->o.found_arg,
				   .idle = q->o.idle, .idle_arg = q->o.idle_arg,
				   .loss_rows = q->o.keep & (KP_QUERY_LOSSES | KP_QUERY_CONTEXT) };
	struct kp_cover c = { 0 };
	int rc = 0;

	if (kp_window_wanted(&q->o)) {
		rc = kp_cover_find(&c, &q->o, err);
		if (!rc && c.end)
			rc = kp_window_parse(&q->win, &q->o, &c, kp_now_wall(), err);
		/* clocks are corrected while they run: what is near the limits is looked at here */
		ro.since_wall = q->win.since > MARGIN ? q->win.since - MARGIN : q->win.since;
		ro.until_wall = q->win.until && q->win.until < UINT64_MAX - MARGIN ? q->win.until + MARGIN : q->win.until;
	}
	if (!rc)
		rc = kp_reader_open(&q->r, q->o.paths, q->o.npaths, q->pool, q->kinds, &ro, err);
	if (!rc && kp_reader_renew(q->r, q->values))
		rc = kp_err(err, ENOMEM, "no memory");
	if (!rc && kp_window_wanted(&q->o) && !c.end) {
		kp_cover_header(&c, kp_reader_header(q->r));
		rc = kp_window_parse(&q->win, &q->o, &c, kp_now_wall(), err);
	}
	q->st.begin = c.begin;
	q->st.end = c.end;
	q->st.utc_offset = c.utc_offset;
	return rc;
}

int kp_query_open(struct kp_query **out, const struct kp_query_opts *o, struct kp_err *err)
{
	struct kp_query *q = calloc(1, sizeof(*q));
	int rc = -ENOMEM;

	*out = NULL;
	if (!q)
		return kp_err(err, ENOMEM, "no memory");
	q->o = *o;
	q->kind_ok = calloc(UINT16_MAX + 1, 1);
	if (!q->kind_ok || kp_pool_new(&q->pool) || kp_pool_new(&q->values) || kp_kinds_new(&q->kinds) || kp_cut_new(&q->cut)) {
		kp_err(err, ENOMEM, "no memory");
		goto out;
	}
	rc = open_input(q, err);
	if (rc)
		goto out;
	/* after the header: a stream may bring kinds of its own */
	rc = o->kinds ? check_patterns(q->kinds, o->kinds, err) : 0;
	if (!rc && o->where)
		rc = kp_expr_parse(&q->where, o->where, q->kinds, err);
	if (rc)
		goto out;
	if (q->where)
		kp_expr_header(q->where, kp_reader_header(q->r));
	find_noise(q);
	q->renew = kp_pool_limit(0);
	q->cutting = q->win.since && (o->keep & KP_QUERY_CONTEXT);
	q->st.since = q->win.since;
	q->st.until = q->win.until;
	q->st.total = total_size(o);
	*out = q;
	q = NULL;
out:
	kp_query_close(q);
	return rc;
}

void kp_query_close(struct kp_query *q)
{
	if (!q)
		return;
	kp_expr_free(q->where);
	kp_reader_close(q->r);
	kp_cut_free(q->cut);
	kp_kinds_free(q->kinds);
	kp_pool_free(q->values);
	kp_pool_free(q->pool);
	free(q->kind_ok);
	free(q);
}

struct kp_reader *kp_query_reader(struct kp_query *q)
{
	return q->r;
}

struct kp_pool *kp_query_pool(struct kp_query *q)
{
	return q->pool;
}

const struct kp_kinds *kp_query_kinds(struct kp_query *q)
{
	return q->kinds;
}

void kp_query_stats(const struct kp_query *q, struct kp_query_stats *st)
{
	struct kp_read_stats rs;

	kp_reader_stats(q->r, &rs);
	*st = q->st;
	st->bytes = rs.bytes + rs.skipped_bytes;
}

static bool is_loss(uint16_t kind)
{
	return kind >= KP_K_LOSS_KERNEL && kind <= KP_K_LOSS_STREAM;
}

static bool is_key(uint16_t kind)
{
	return kind >= KP_K_KEY_TASK && kind <= KP_K_KEY_HOST;
}

static bool is_context(const struct kp_row *row)
{
	return (row->kind >= KP_K_PROC_FORK && row->kind <= KP_K_PROC_CGROUP) || is_key(row->kind) || row->flags & KP_F_KEYFRAME ||
	       row->kind == KP_K_CLOCK_SYNC || is_loss(row->kind);
}

enum { TICK = 4096 };	/* rows */
enum place { BEFORE, INSIDE, AFTER };

static enum place place_of(const struct kp_query *q, const struct kp_row *row)
{
	uint64_t end, start;

	if (!q->win.since && !q->win.until)
		return INSIDE;
	end = kp_reader_wall(q->r, row->source, row->end);
	start = end > row->dur ? end - row->dur : 0;
	if (q->win.since && end < q->win.since)
		return BEFORE;
	return q->win.until && start > q->win.until ? AFTER : INSIDE;
}

static bool kind_wanted(struct kp_query *q, uint16_t kind)
{
	uint8_t *ok = &q->kind_ok[kind];
	const struct kp_kind *k;

	if (*ok)
		return *ok == 2;
	k = kp_kind_by_id(q->kinds, kind);
	if (!k)	/* may become known with a later header */
		return false;
	*ok = kp_kind_match(k, q->o.kinds) ? 2 : 1;
	return *ok == 2;
}

static bool is_noise(const struct kp_query *q, const struct kp_row *row)
{
	if (is_key(row->kind))
		return q->noise_keys;
	return row->flags & KP_F_KEYFRAME ? q->noise_open : row->kind == KP_K_CLOCK_SYNC && q->noise_clocks;
}

static bool wanted(struct kp_query *q, const struct kp_row *row)
{
	if (is_noise(q, row) || (q->o.kinds && !kind_wanted(q, row->kind)))
		return false;
	return !q->where || kp_expr_match(q->where, row);
}

static void count_loss(struct kp_query *q, const struct kp_row *row)
{
	if (row->a[0] == UINT64_MAX)
		q->st.lost_unknown = true;
	else
		q->st.lost += row->a[0];
}

/* Does this row go out? Rows that only keep it company are not counted. */
static bool choose(struct kp_query *q, const struct kp_row *row)
{
	if (is_loss(row->kind))
		count_loss(q, row);
	if (wanted(q, row)) {
		q->st.rows_out++;
		return true;
	}
	return ((q->o.keep & KP_QUERY_LOSSES) && is_loss(row->kind)) || ((q->o.keep & KP_QUERY_CONTEXT) && is_context(row));
}

/* The next row out of the cut, then the row that was held back meanwhile. */
static int from_cut(struct kp_query *q, const struct kp_row **row)
{
	*row = kp_cut_next(q->cut);
	if (*row)
		return 1;
	q->cutting = false;
	*row = &q->held;
	return q->holding;
}

/* Between two rows: new names without end must not take memory without end. */
static int renew_values(struct kp_query *q, struct kp_err *err)
{
	struct kp_pool *pool;
	int rc;

	if (!q->o.renew || kp_pool_bytes(q->values) < q->renew)
		return 0;
	rc = q->o.renew(q->o.renew_arg, err);
	if (rc)
		return rc;
	if (kp_pool_new(&pool))
		return kp_err(err, ENOMEM, "no memory");
	rc = kp_reader_renew(q->r, pool);
	if (!rc && q->cutting)
		rc = kp_cut_move(q->cut, pool);
	kp_pool_free(q->values);
	q->values = pool;
	q->renew = kp_pool_limit(kp_pool_bytes(pool));
	return rc ? kp_err(err, ENOMEM, "no memory") : 0;
}

int kp_query_next(struct kp_query *q, const struct kp_row **row, struct kp_err *err)
{
	int rc;

	if (q->holding && q->cutting)
		return from_cut(q, row);
	if (q->o.count && q->st.rows_out >= q->o.count)
		return 0;
	while (!(rc = renew_values(q, err)) && (rc = kp_reader_next(q->r, row, err)) > 0) {
		enum place at = place_of(q, *row);

		if (!(++q->st.rows_in % TICK) && q->o.tick)
			q->o.tick(q->o.tick_arg);
		if (at == BEFORE && q->cutting && is_context(*row) && !is_loss((*row)->kind)) {
			rc = kp_cut_row(q->cut, *row);
			if (rc)
				return kp_err(err, rc, "no memory");
		}
		if (at != INSIDE || !choose(q, *row))
			continue;
		if (!q->cutting)
			return 1;
		q->held = **row;
		q->holding = true;
		return from_cut(q, row);
	}
	/* nothing at all behind the cut: what was alive then is still an answer */
	if (!rc && q->cutting)
		return from_cut(q, row);
	return rc;
}
