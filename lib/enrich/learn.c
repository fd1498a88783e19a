/* SPDX-License-Identifier: BSD-2-Clause */
/* The first pass over files of several hosts: what shifts their clocks need. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "en.h"

/* Can all inputs be read twice? */
static bool again(const char *const *paths, uint32_t n)
{
	struct stat st;

	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(paths[i], "-") || stat(paths[i], &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
			return false;
	return n > 0;
}

static bool several_hosts(const struct kp_header *h)
{
	for (uint32_t i = 1; i < h->nsources; i++)
		if (strcmp(h->sources[i].boot_id, h->sources[0].boot_id))
			return true;
	return false;
}

static int solve(const struct kp_clocks *c, const struct kp_header *h, struct kp_shift **out, uint32_t *n)
{
	struct kp_shift *s = calloc(h->nsources, sizeof(*s));
	int64_t *shift = calloc(h->nsources, sizeof(*shift));
	uint64_t *bound = calloc(h->nsources, sizeof(*bound));
	bool ok = s && shift && bound;

	if (ok && kp_clocks_solve(c, h, shift, bound, h->nsources))
		for (; *n < h->nsources; ++*n) {
			const struct kp_source *src = &h->sources[*n];

			memcpy(s[*n].boot_id, src->boot_id, sizeof(s->boot_id));
			s[*n].shift = src->shift + shift[*n];
			s[*n].shift_err = bound[*n] ? bound[*n] : src->shift_err;
		}
	free(shift);
	free(bound);
	*out = s;
	return ok ? 0 : -ENOMEM;
}

/* What was learnt are times and hashes: no value is kept. */
static int renew(struct kp_reader *r, struct kp_pool **values, size_t *limit)
{
	struct kp_pool *pool;
	int rc;

	if (kp_pool_bytes(*values) < *limit)
		return 0;
	rc = kp_pool_new(&pool);
	if (rc)
		return rc;
	rc = kp_reader_renew(r, pool);
	kp_pool_free(*values);
	*values = pool;
	*limit = kp_pool_limit(kp_pool_bytes(pool));
	return rc;
}

int kp_clocks_learn(const char *const *paths, uint32_t n, struct kp_shift **shifts, uint32_t *nshifts, struct kp_err *err)
{
	struct kp_kinds *kinds = NULL;
	struct kp_clocks *c = NULL;
	struct kp_reader *r = NULL;
	struct kp_pool *pool = NULL, *values = NULL;
	size_t limit = kp_pool_limit(0);
	const struct kp_row *row;
	int rc = -ENOMEM;

	*shifts = NULL;
	*nshifts = 0;
	if (!again(paths, n))
		return 0;
	kp_err(err, ENOMEM, "out of memory");
	if (kp_pool_new(&pool) || kp_pool_new(&values) || kp_kinds_new(&kinds) || kp_clocks_new(&c))
		goto out;
	rc = kp_reader_open(&r, paths, n, pool, kinds, NULL, err);
	if (!rc)
		rc = kp_reader_renew(r, values);
	while (!rc && several_hosts(kp_reader_header(r))) {
		rc = kp_reader_next(r, &row, err);
		if (rc <= 0)
			break;
		rc = kp_clocks_row(c, kp_reader_header(r), row);
		if (!rc)
			rc = renew(r, &values, &limit);
	}
	if (!rc && several_hosts(kp_reader_header(r)))
		rc = solve(c, kp_reader_header(r), shifts, nshifts);
out:
	kp_clocks_free(c);
	kp_reader_close(r);
	kp_kinds_free(kinds);
	kp_pool_free(values);
	kp_pool_free(pool);
	return rc;
}
