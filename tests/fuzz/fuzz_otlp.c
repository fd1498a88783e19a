/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any text as spans: no crash, and what is given to rows comes from it unchanged and whole: ids of the right
 * form, and only to rows inside a span.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <kp/enrich.h>
#include <kp/kinds.h>
#include <kp/pool.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hex(const struct kp_str *s, size_t len)
{
	if (s && (s->len != len || strspn(s->p, "0123456789abcdef") != len))
		abort();
}

static int emit(void *arg, const struct kp_row *r, struct kp_err *err)
{
	check_hex(r->ctx[KP_CTX_TRACE], 32);
	check_hex(r->ctx[KP_CTX_SPAN], 16);
	if (!r->ctx[KP_CTX_SPAN] != !r->ctx[KP_CTX_TRACE])
		abort();
	++*(unsigned *)arg;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kp_source src = { .boot_id = "b" };
	struct kp_enrich_stats st;
	struct kp_enrich *e;
	struct kp_pool *pool;
	unsigned n = 0;

	if (kp_pool_new(&pool) || kp_enrich_new(&e, 0, emit, &n, NULL))
		abort();
	kp_enrich_source(e, 0, &src, 0);
	if (kp_enrich_spans_text(e, (const char *)data, size, NULL))
		abort();
	kp_enrich_stats(e, &st);
	if (!st.bad_line != !st.bad_lines || st.bad_line > size + 1)
		abort();
	/* pids and times as they are in the seeds */
	for (uint32_t i = 0; i < 16; i++) {
		struct kp_task t = { .tid = 1 + i % 4, .tgid = 1 + i % 4, .ns_tgid = 1 + i % 3, .start = 1 };
		struct kp_row r = { .kind = KP_K_SYS_pread64, .end = 100 + i * 10, .dur = 5, .task = kp_pool_task(pool, &t) };

		if (kp_enrich_row(e, &r, NULL))
			abort();
	}
	if (kp_enrich_end(e, NULL) || n != 16)
		abort();
	kp_enrich_free(e);
	kp_pool_free(pool);
	return 0;
}
