/* SPDX-License-Identifier: BSD-2-Clause */
/* An expression of any bytes: an error line or a tree that matches rows, never a crash. */
#include <kp/expr.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct kp_kinds *kinds;
	struct kp_task t = { .tid = 7, .tgid = 7 };
	struct kp_row row = { .end = 10, .dur = 5, .kind = KP_K_SYS_read, .task = &t, .a = { 3, 0, 4096 },
			      .data = bytes, .data_len = len > 64 ? 64 : len };
	struct kp_err err = { "" };
	struct kp_expr *e;
	uint64_t v;
	char *s;

	if (!kinds && kp_kinds_new(&kinds))
		abort();
	s = malloc(len + 1);
	if (!s)
		abort();
	memcpy(s, bytes, len);
	s[len] = 0;
	if (kp_expr_parse(&e, s, kinds, &err)) {
		if (e || !err.msg[0])
			abort();
	} else {
		bool first = kp_expr_match(e, &row);

		if (kp_expr_match(e, &row) != first)
			abort();
		row.kind = KP_K_SCHED_SWITCH;
		kp_expr_match(e, &row);
		kp_expr_free(e);
	}
	kp_parse_time(s, 1764035130000000000ull, 3600, &v);
	kp_parse_duration(s, &v);
	kp_parse_size(s, &v);
	free(s);
	return 0;
}
