/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes: no crash, spans inside the bytes, and keep() gives what parse() reads as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <kp/proto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct kp_span a, struct kp_span b)
{
	if (!a.p != !b.p || a.len != b.len || (a.len && memcmp(a.p, b.p, a.len)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[1 << 16];
	struct kp_msg a, b;
	size_t n = kp_proto_keep(data, size, out, sizeof(out));

	if (n > sizeof(out))
		abort();
	if (!kp_proto_parse(data, size, &a) || !n)
		return 0;
	if (!kp_proto_parse(out, n, &b) || a.type != b.type || a.status != b.status || a.tx != b.tx)
		abort();
	same(a.verb, b.verb);
	same(a.request, b.request);
	same(a.traceparent, b.traceparent);
	same(a.stmt, b.stmt);
	same(a.code, b.code);
	if (n < sizeof(out) / 2)
		same(a.target, b.target);
	return 0;
}
