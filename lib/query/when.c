/* SPDX-License-Identifier: BSD-2-Clause */
/* From when to when: what people type, against what was recorded. */
#include "query_int.h"

#include <errno.h>
#include <string.h>

#define DAY (86400 * KP_SEC)
#define AROUND (30 * KP_SEC)

bool kp_window_wanted(const struct kp_query_opts *o)
{
	return o->since || o->until || o->around;
}

static bool reads_stdin(const struct kp_query_opts *o)
{
	for (uint32_t i = 0; i < o->npaths; i++)
		if (!strcmp(o->paths[i], "-"))
			return true;
	return !o->npaths;
}

void kp_cover_header(struct kp_cover *c, const struct kp_header *h)
{
	for (uint32_t i = 0; i < h->nsources; i++) {
		const struct kp_source *s = &h->sources[i];

		if (!s->real0)
			continue;
		if (!c->begin)
			c->utc_offset = s->utc_offset;
		if (!c->begin || s->real0 < c->begin)
			c->begin = s->real0;
	}
}

int kp_cover_find(struct kp_cover *c, const struct kp_query_opts *o, struct kp_err *err)
{
	/* beyond all blocks: none is read but those that always come, and clock rows are among them */
	const struct kp_read_opts ro = { .since_wall = kp_now_wall() + 365 * DAY };
	struct kp_kinds *kinds = NULL;
	struct kp_reader *r = NULL;
	struct kp_pool *pool = NULL;
	struct kp_read_stats st;
	const struct kp_row *row;
	int rc = -ENOMEM;

	memset(c, 0, sizeof(*c));
	if (reads_stdin(o))
		return 0;
	if (kp_pool_new(&pool) || kp_kinds_new(&kinds)) {
		kp_err(err, ENOMEM, "no memory");
		goto out;
	}
	rc = kp_reader_open(&r, o->paths, o->npaths, pool, kinds, &ro, err);
	while (!rc && (rc = kp_reader_next(r, &row, err)) > 0)
		rc = 0;
	if (rc)
		goto out;
	kp_reader_stats(r, &st);
	kp_cover_header(c, kp_reader_header(r));
	c->end = c->begin ? st.end_wall : 0;
out:
	kp_reader_close(r);
	kp_kinds_free(kinds);
	kp_pool_free(pool);
	return rc;
}

static bool is_time_of_day(const char *s)
{
	return strlen(s) >= 5 && s[2] == ':';
}

static int when(uint64_t *out, const char *s, const char *opt, const struct kp_cover *c, uint64_t now, struct kp_err *err)
{
	bool tod = is_time_of_day(s);
	uint64_t ref = c->end ? c->end : tod && c->begin ? c->begin : now, t;

	if (kp_parse_time(s, ref, c->utc_offset, &t))
		return kp_err(err, EINVAL, "%s: no time: '%s' (as in 02:45, 2026-11-25T02:45:00+01:00, -10m, @1764038700)", opt, s);
	/* the recording may span midnight */
	if (tod && c->end && t > c->end && t > DAY && t - DAY + AROUND >= c->begin && c->begin)
		t -= DAY;
	else if (tod && !c->end && c->begin > t && c->begin - t > DAY / 2)
		t += DAY;
	*out = t ? t : 1;
	return 0;
}

static int around(struct kp_window *w, const char *s, const struct kp_cover *c, uint64_t now, struct kp_err *err)
{
	const char *comma = strchr(s, ',');
	uint64_t t = 0, width = AROUND;
	char time[64];
	int rc;

	if (comma && kp_parse_duration(comma + 1, &width))
		return kp_err(err, EINVAL, "--around: no duration: '%s' (as in 02:45,2m: two minutes before and after)", comma + 1);
	snprintf(time, sizeof(time), "%.*s", (int)(comma ? comma - s : (ptrdiff_t)strlen(s)), s);
	rc = when(&t, time, "--around", c, now, err);
	if (rc)
		return rc;
	w->since = t > width ? t - width : 1;
	w->until = t > UINT64_MAX - width ? UINT64_MAX : t + width;
	return 0;
}

int kp_window_parse(struct kp_window *w, const struct kp_query_opts *o, const struct kp_cover *c, uint64_t now, struct kp_err *err)
{
	int rc = 0;

	*w = (struct kp_window){ 0, 0 };
	if (o->around && (o->since || o->until))
		return kp_err(err, EINVAL, "--around stands alone, without --since and --until");
	if (o->around)
		return around(w, o->around, c, now, err);
	if (o->since)
		rc = when(&w->since, o->since, "--since", c, now, err);
	if (!rc && o->until)
		rc = when(&w->until, o->until, "--until", c, now, err);
	if (!rc && w->since && w->until && w->since > w->until)
		rc = kp_err(err, EINVAL, "--since %s is later than --until %s", o->since, o->until);
	return rc;
}
