/* SPDX-License-Identifier: BSD-2-Clause */
/* Which BPF program hangs on which tracepoint, and which kinds need it. */
#ifndef KP_RECORD_HOOKS_H
#define KP_RECORD_HOOKS_H

#include <kp/kinds.h>
#include <kp/record.h>

struct bpf_object;
struct bpf_program;
struct bpf_link;
struct btf;

struct kp_hooks {
	struct kp_hook *hook;		/* one a program, for the header */
	struct kp_hook_at { struct bpf_program *prog; struct bpf_link *link; } *at; /* autoload of prog: is it to be attached? */
	uint32_t n;
};

/*
 * Before loading: switches off the programs that this kernel has no tracepoint for or that no wanted kind needs.
 * patterns as in kp_record_opts.kinds. 0 or -ENOMEM.
 */
int kp_hooks_choose(struct kp_hooks *h, struct bpf_object *obj, struct btf *vmlinux, const struct kp_kinds *kinds,
		    const char *patterns, struct kp_pool *pool);
/* Leaves one out, and notes why. */
void kp_hooks_refuse(struct kp_hooks *h, uint32_t i, const char *why, struct kp_pool *pool);
/* After loading. What cannot be attached is noted; an error only when nothing at all can. */
int kp_hooks_attach(struct kp_hooks *h, struct kp_pool *pool, struct kp_err *err);
void kp_hooks_detach(struct kp_hooks *h);
/* Those whose tracepoints the globs name, separated by commas: off, and on again. How many that were; -errno when one does not go on. */
int kp_hooks_off(struct kp_hooks *h, const char *globs);
int kp_hooks_on(struct kp_hooks *h, const char *globs);
/* Events that the kernel did not run a program for, since it was running on that CPU already: so far. */
uint64_t kp_hooks_missed(const struct kp_hooks *h, uint32_t i);
/* The kind that such an event is lost of: 0 any, -1 none. */
int kp_hook_loss(const struct kp_hook *h);
/* The kinds that need it, as patterns; NULL: all. */
const char *kp_hook_kinds(const struct kp_hook *h);
/* How often the program has run and for how long, while the kernel counts that. 0 or -errno. */
int kp_hooks_runs(const struct kp_hooks *h, uint32_t i, uint64_t *runs, uint64_t *ns);
void kp_hooks_free(struct kp_hooks *h);

#endif
