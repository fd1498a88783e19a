/* SPDX-License-Identifier: BSD-2-Clause */
/* What a sleeper's kernel stack says: the table frames.def, searched. */
#include <string.h>

#include "walk.h"

static const struct { const char *sym; uint8_t class, rank; } table[] = {
#define KC_FRAME(sym, class, rank) { sym, KC_W_##class, rank },
#include "frames.def"
#undef KC_FRAME
};

/* "symbol+0x12 [module]" and "symbol.isra.0" are symbol. */
static size_t symbol_len(const struct kp_str *f)
{
	size_t n = 0;

	while (n < f->len && f->p[n] != '+' && f->p[n] != ' ' && f->p[n] != '.')
		n++;
	return n;
}

static bool matches(const char *pat, const char *s, size_t n)
{
	size_t p = strlen(pat);

	if (pat[0] == '*')
		return n >= p - 1 && !memcmp(s + n - (p - 1), pat + 1, p - 1);
	if (pat[p - 1] == '*')
		return n >= p - 1 && !memcmp(s, pat, p - 1);
	return n == p && !memcmp(s, pat, n);
}

enum kc_class kc_class_of_stack(const struct kp_stack *s)
{
	enum kc_class best = KC_W_UNKNOWN;
	int rank = 0;

	for (uint32_t i = 0; s && i < s->n; i++) {
		size_t n = symbol_len(s->frame[i]);

		for (size_t k = 0; k < sizeof(table) / sizeof(*table); k++)
			if (table[k].rank > rank && matches(table[k].sym, s->frame[i]->p, n)) {
				best = table[k].class;
				rank = table[k].rank;
			}
	}
	return best;
}

const char *kc_class_name(enum kc_class c)
{
	static const char *const name[] = {
		[KC_W_UNKNOWN] = "asleep", [KC_W_FUTEX] = "futex", [KC_W_FLOCK] = "file lock", [KC_W_KLOCK] = "kernel lock",
		[KC_W_SYSV] = "semaphore", [KC_W_RECLAIM] = "reclaim", [KC_W_SWAP] = "swap-in", [KC_W_OOM] = "OOM killer",
		[KC_W_PAGE] = "page read", [KC_W_DIO] = "direct I/O", [KC_W_BUFFER] = "block read",
		[KC_W_BLKQ] = "block queue full", [KC_W_SYNC] = "sync", [KC_W_JOURNAL] = "journal", [KC_W_DIRTY] = "dirty limit",
		[KC_W_RECV] = "receive", [KC_W_SEND] = "send", [KC_W_CONNECT] = "connect", [KC_W_ACCEPT] = "accept",
		[KC_W_POLL] = "poll", [KC_W_EVENT] = "event", [KC_W_PIPE] = "pipe", [KC_W_CHILD] = "child", [KC_W_TIMER] = "sleep",
		[KC_W_SIGNAL] = "signal", [KC_W_STOPPED] = "stopped", [KC_W_FUSE] = "FUSE server", [KC_W_QUOTA] = "CPU quota",
	};

	return c < sizeof(name) / sizeof(*name) && name[c] ? name[c] : "asleep";
}
