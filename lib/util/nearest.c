/* SPDX-License-Identifier: BSD-2-Clause */
/* "did you mean": edit distance with swaps of neighbours (Damerau-Levenshtein, restricted). */
#include <kp/util.h>

#include <string.h>

#define LONGEST 48

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

static unsigned distance(const char *a, size_t la, const char *b, size_t lb)
{
	unsigned row[3][LONGEST + 1];

	for (size_t j = 0; j <= lb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < now[j])
				now[j] = up2[j - 2] + 1;
		}
	}
	return row[la % 3][lb];
}

const char *kp_nearest(const char *word, size_t len, const char *const *names, size_t n)
{
	/* a third of the letters may be wrong: more is a guess that misleads */
	unsigned best = len / 3 + 1;
	const char *found = NULL;

	if (!len || len > LONGEST)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t l = names[i] ? strlen(names[i]) : 0;
		unsigned d;

		if (!l || l > LONGEST)
			continue;
		d = distance(word, len, names[i], l);
		if (d < best || (d == best && !found)) {
			best = d;
			found = names[i];
		}
	}
	return found;
}
