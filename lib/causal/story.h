/* SPDX-License-Identifier: BSD-2-Clause */
/* The path told in a few lines: steps that belong together are one, small ones are left out. */
#ifndef KC_STORY_H
#define KC_STORY_H

#include <kp/causal.h>
#include <kp/util.h>

#define ST_NONE UINT32_MAX

struct st_line {
	uint64_t from, end, ns;
	const struct kp_who *who;
	uint32_t depth, parent;	/* parent: the call that it is part of, ST_NONE */
	uint32_t cause;		/* index; ST_NONE: a call, with all that happened in it */
	const char *what;	/* of its longest step */
	uint64_t what_ns;
	const char *asked[5]; uint32_t nasked; /* calls: what was asked, in order; one more than is shown */
	bool keep;
};

struct st_story {
	struct st_line *line; uint32_t n, cap;
	uint32_t *order; uint32_t norder; /* of those that are kept: a call, then what is part of it */
	uint64_t left_out; uint32_t nleft;
};

int st_tell(struct st_story *s, const struct kp_graph *g);	/* 0 or -ENOMEM; zero it before */
void st_free(struct st_story *s);

#endif
