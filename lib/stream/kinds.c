/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind table. Kinds are found by id through an array of all 64 Ki ids
 * (untouched pages of it cost nothing), since every row printed asks for it.
 * A kind is never moved: callers keep pointers to it. By name they are found
 * through a hash table, since a header may bring tens of thousands.
 */
#include <kp/kinds.h>

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define IDS 65536
#define SYS_HELP "system call; dur = enter to exit"

struct kp_kinds {
	struct kp_kind **by_id;
	uint32_t n;
	uint32_t *by_name, nslots; /* id + 1 */
	uint32_t free_id;	/* where to look for an id for a kind that clashes */
};

struct builtin {
	uint16_t id;
	int8_t fdarg;
	const char *name, *args, *ret, *help;
};

static const struct builtin builtins[] = {
#define KP_KIND(id, sym, name, args, ret, help) { id, -1, name, args, ret, help },
#include <kp/kinds.def>
#undef KP_KIND
#define KP_SYSCALL(nr, name, args, ret, fdarg) { KP_K_SYS + (nr), fdarg, "sys." #name, args, ret, SYS_HELP },
#include <kp/syscalls.def>
#undef KP_SYSCALL
};

static const char *const units[KP_U_MAX] = {
	[KP_U_NUM] = "u", [KP_U_INT] = "i", [KP_U_HEX] = "x", [KP_U_NS] = "ns", [KP_U_BYTES] = "B",
	[KP_U_PAGES] = "pg", [KP_U_FD] = "fd", [KP_U_TID] = "tid", [KP_U_STATE] = "st", [KP_U_CTX] = "ctx",
	[KP_U_SIG] = "sig", [KP_U_ERR] = "err", [KP_U_SEQ] = "seq", [KP_U_SECTOR] = "sec", [KP_U_TCP] = "tcp",
	[KP_U_MODE] = "mode", [KP_U_GFP] = "gfp", [KP_U_WHY] = "why", [KP_U_PTR] = "ptr", [KP_U_STR] = "str",
	[KP_U_OPEN] = "open", [KP_U_FUTEX] = "futex", [KP_U_SOCK] = "sock", [KP_U_OFF] = "off", [KP_U_ID] = "id",
	[KP_U_NONE] = "",
};

/* A unit of a newer version is printed as a number. */
static uint8_t unit_of(const char *s, size_t len)
{
	for (int i = 0; i < KP_U_MAX; i++)
		if (strlen(units[i]) == len && !memcmp(units[i], s, len))
			return i;
	return KP_U_NUM;
}

static void parse_args(struct kp_kind *k)
{
	const char *p = k->args;

	while (*p && k->nargs < 6) {
		size_t word = strcspn(p, " "), name = strcspn(p, " :");
		size_t keep = name < sizeof(k->arg[0]) ? name : sizeof(k->arg[0]) - 1;

		if (word) {
			memcpy(k->arg[k->nargs], p, keep);
			k->unit[k->nargs++] = name < word ? unit_of(p + name + 1, word - name - 1) : KP_U_NUM;
		}
		p += word + strspn(p + word, " ");
	}
	k->ret_unit = unit_of(k->ret, strlen(k->ret));
}

static struct kp_kind *kind_new(const struct builtin *b, bool copy)
{
	size_t len[4] = { 0 };
	const char *text[4] = { b->name, b->args, b->ret, b->help };
	struct kp_kind *k;
	char *p;

	for (int i = 0; copy && i < 4; i++)
		len[i] = strlen(text[i]) + 1;
	k = calloc(1, sizeof(*k) + len[0] + len[1] + len[2] + len[3]);
	if (!k)
		return NULL;
	p = (char *)(k + 1);
	for (int i = 0; copy && i < 4; i++) {
		text[i] = memcpy(p, text[i], len[i]);
		p += len[i];
	}
	k->id = b->id;
	k->name = text[0];
	k->args = text[1];
	k->ret = text[2];
	k->help = text[3];
	k->fdarg = b->fdarg;
	parse_args(k);
	return k;
}

static uint32_t *slot_of(const struct kp_kinds *k, const char *name, size_t len)
{
	uint32_t at = (uint32_t)kp_hash(name, len, 0) & (k->nslots - 1);

	for (; k->by_name[at]; at = (at + 1) & (k->nslots - 1)) {
		const char *have = k->by_id[k->by_name[at] - 1]->name;

		if (strlen(have) == len && !memcmp(have, name, len))
			break;
	}
	return &k->by_name[at];
}

static int grow(struct kp_kinds *k)
{
	uint32_t *old = k->by_name, n = k->nslots;

	k->nslots = n ? n * 2 : 2048;
	k->by_name = calloc(k->nslots, sizeof(*k->by_name));
	if (!k->by_name) {
		k->by_name = old;
		k->nslots = n;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++)
		if (old[i]) {
			const char *name = k->by_id[old[i] - 1]->name;

			*slot_of(k, name, strlen(name)) = old[i];
		}
	free(old);
	return 0;
}

static int put(struct kp_kinds *k, const struct builtin *b, bool copy)
{
	struct kp_kind *kind;

	if (k->n * 2 >= k->nslots && grow(k))
		return -ENOMEM;
	kind = kind_new(b, copy);
	if (!kind)
		return -ENOMEM;
	k->by_id[kind->id] = kind;
	*slot_of(k, kind->name, strlen(kind->name)) = kind->id + 1u;
	k->n++;
	return 0;
}

int kp_kinds_new(struct kp_kinds **out)
{
	struct kp_kinds *k = calloc(1, sizeof(*k));

	*out = NULL;
	if (!k)
		return -ENOMEM;
	k->by_id = calloc(IDS, sizeof(*k->by_id));
	if (!k->by_id)
		goto fail;
	k->free_id = 32768;
	for (size_t i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++)
		if (put(k, &builtins[i], false))
			goto fail;
	*out = k;
	return 0;
fail:
	kp_kinds_free(k);
	return -ENOMEM;
}

void kp_kinds_free(struct kp_kinds *k)
{
	if (!k)
		return;
	for (uint32_t i = 0; k->by_id && k->n && i < IDS; i++)
		if (k->by_id[i]) {
			free(k->by_id[i]);
			k->n--;
		}
	free(k->by_id);
	free(k->by_name);
	free(k);
}

const struct kp_kind *kp_kind_by_id(const struct kp_kinds *k, uint16_t id)
{
	return k->by_id[id];
}

const struct kp_kind *kp_kind_next(const struct kp_kinds *k, uint32_t from)
{
	for (; from < IDS; from++)
		if (k->by_id[from])
			return k->by_id[from];
	return NULL;
}

const struct kp_kind *kp_kind_by_name(const struct kp_kinds *k, const char *name, size_t len)
{
	uint32_t id = *slot_of(k, name, len);

	return id ? k->by_id[id - 1] : NULL;
}

int kp_kinds_add(struct kp_kinds *k, uint16_t *id, const char *name, const char *args, const char *ret, const char *help)
{
	struct builtin b = { .id = *id, .fdarg = -1, .name = name, .args = args, .ret = ret, .help = help };
	const struct kp_kind *old = k->by_id[*id], *same;
	bool clash = false;

	if (old && !strcmp(old->name, name))
		return 0;
	same = kp_kind_by_name(k, name, strlen(name));
	if (same) {
		*id = same->id;
		return -EEXIST;
	}
	if (old) {
		clash = true;
		while (k->free_id < IDS && k->by_id[k->free_id])
			k->free_id++;
		if (k->free_id == IDS)
			return -ENOSPC;
		b.id = k->free_id;
	}
	if (put(k, &b, true))
		return -ENOMEM;
	*id = b.id;
	return clash ? -EEXIST : 0;
}

bool kp_kind_match(const struct kp_kind *k, const char *patterns)
{
	char one[64];

	for (const char *p = patterns; *p; p += *p == ',') {
		size_t len = strcspn(p, ",");

		if (len < sizeof(one)) {
			memcpy(one, p, len);
			one[len] = 0;
			if (!fnmatch(one, k->name, 0))
				return true;
		}
		p += len;
	}
	return false;
}

bool kp_kind_is_syscall(uint16_t id)
{
	return id >= KP_K_SYS && id < KP_K_SYS_END;
}
