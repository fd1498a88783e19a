/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kinds: names, arguments and units. Built from kinds.def and syscalls.def;
 * a reader adds the kinds of its stream that this program does not know.
 */
#ifndef KP_KINDS_H
#define KP_KINDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

enum {
#define KP_KIND(id, sym, name, args, ret, help) KP_K_##sym = (id),
#include <kp/kinds.def>
#undef KP_KIND
	/* a syscall's kind is this plus its x86-64 number, on every architecture */
	KP_K_SYS = 4096,
	KP_K_SYS_END = 4096 + 1024,
#define KP_SYSCALL(nr, name, args, ret, fdarg) KP_K_SYS_##name = KP_K_SYS + (nr),
#include <kp/syscalls.def>
#undef KP_SYSCALL
};

enum kp_unit {	/* how to print an argument; letters are those of kinds.def */
	KP_U_NUM, KP_U_INT, KP_U_HEX, KP_U_NS, KP_U_BYTES, KP_U_PAGES, KP_U_FD, KP_U_TID, KP_U_STATE,
	KP_U_CTX, KP_U_SIG, KP_U_ERR, KP_U_SEQ, KP_U_SECTOR, KP_U_TCP, KP_U_MODE, KP_U_GFP, KP_U_WHY,
	KP_U_PTR, KP_U_STR /* address of a string: obj has it where it could be read */, KP_U_OPEN /* open(2) flags */,
	KP_U_FUTEX /* futex(2) operation */, KP_U_SOCK /* address family */,
	KP_U_OFF /* place in a file: signed */, KP_U_ID /* user or group; -1: unchanged */, KP_U_NONE, KP_U_MAX,
};

struct kp_kind {
	uint16_t id;
	const char *name;	/* "sys.read" */
	const char *args;	/* "fd:fd buf:ptr count:B" as in the table */
	const char *ret;	/* unit of ret, "" none */
	const char *help;
	uint8_t nargs;
	uint8_t unit[6], ret_unit; /* enum kp_unit */
	char arg[6][16];	/* names, NUL-terminated */
	int8_t fdarg;		/* syscalls: which argument is a descriptor, -1 none */
};

/* The built-in table. Never fails; unknown gives NULL. Constant after the first call of kp_kinds_init. */
struct kp_kinds;
int kp_kinds_new(struct kp_kinds **out);	/* the built-in kinds; 0 or -ENOMEM */
void kp_kinds_free(struct kp_kinds *k);
const struct kp_kind *kp_kind_by_id(const struct kp_kinds *k, uint16_t id);
const struct kp_kind *kp_kind_by_name(const struct kp_kinds *k, const char *name, size_t len);
/* Iterates in order of id: returns the first kind with id >= from, NULL at the end. */
const struct kp_kind *kp_kind_next(const struct kp_kinds *k, uint32_t from);
/*
 * Adds a kind met in a stream's header (texts are copied). Same id, same name:
 * nothing to do. Same id, other name, or a name known under another id: -EEXIST
 * and *id is set to the id to use for it in this process (a fresh one where needed).
 */
int kp_kinds_add(struct kp_kinds *k, uint16_t *id, const char *name, const char *args, const char *ret, const char *help);
/* Does name match a pattern list like "sys.*,tcp.*,sched.switch" (fnmatch globs)? */
bool kp_kind_match(const struct kp_kind *k, const char *patterns);
bool kp_kind_is_syscall(uint16_t id);

#endif
