/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel symbols: which function an address is in. One table belongs to one thread. */
#ifndef KP_SYM_H
#define KP_SYM_H

#include <stddef.h>
#include <stdint.h>

#include <kp/err.h>

struct kp_sym;

struct kp_sym_hit {
	const char *name, *module;	/* module "" for the kernel itself; both live until the table is freed or reloaded */
	uint64_t offset;		/* into the function */
};

/*
 * Reads a table in the form of /proc/kallsyms, which path names (NULL: that one). Where the kernel hides its
 * addresses (kernel.kptr_restrict) all are 0 and the table is empty: no error, kp_sym_count tells.
 */
int kp_sym_open(struct kp_sym **out, const char *path, struct kp_err *err);
/* The same from memory; lines that are not understood are passed over. */
int kp_sym_parse(struct kp_sym **out, const char *text, size_t len, struct kp_err *err);
void kp_sym_free(struct kp_sym *s);	/* NULL is fine */
size_t kp_sym_count(const struct kp_sym *s);
/* 1 and *hit, or 0: no function there. s may be NULL. */
int kp_sym_find(const struct kp_sym *s, uint64_t addr, struct kp_sym_hit *hit);
/* "function+0x12 [module]", or "0xffff..." when unknown; always ends with a NUL, returns the length it has (cut at cap - 1). */
size_t kp_sym_text(const struct kp_sym *s, uint64_t addr, char *out, size_t cap);

#endif
