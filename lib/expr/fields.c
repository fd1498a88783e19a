/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of the language. Arguments of kinds come from the kind table. */
#include "expr_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAG(name, bit) { name, F_FLAG, G_FLAG, false, bit, 0 }
#define NUM(name, get) { name, F_NUM, get, false, 0, 0 }
#define TEXT(name, get) { name, F_TEXT, get, false, 0, 0 }
#define PEER(name, type, get) { "peer." name, type, get, true, 0, 0 }
#define CTX(name, which) { name, F_TEXT, G_CTX, false, which, 0 }

static const struct field fields[] = {
	TEXT("kind", G_KIND), NUM("dur", G_DUR), NUM("end", G_END), NUM("start", G_START),
	NUM("cpu", G_CPU), NUM("source", G_SOURCE), TEXT("host", G_HOST),
	NUM("pid", G_PID), NUM("tid", G_TID), NUM("ns.pid", G_NSPID), NUM("ns.tid", G_NSTID),
	TEXT("comm", G_COMM), TEXT("exe", G_EXE), TEXT("cgroup", G_CGROUP),
	{ "kthread", F_FLAG, G_KTHREAD, false, 0, 0 },
	PEER("pid", F_NUM, G_PID), PEER("tid", F_NUM, G_TID), PEER("comm", F_TEXT, G_COMM),
	PEER("exe", F_TEXT, G_EXE), PEER("cgroup", F_TEXT, G_CGROUP), PEER("kthread", F_FLAG, G_KTHREAD),
	{ "ret", F_NUM, G_RET, false, 0, 1u << KP_U_ERR }, { "failed", F_FLAG, G_FAILED, false, 0, 0 },
	TEXT("obj", G_OBJ), TEXT("obj.type", G_OBJ_TYPE), NUM("obj.id", G_OBJ_ID), NUM("obj.dev", G_OBJ_DEV),
	NUM("obj.lport", G_OBJ_LPORT), NUM("obj.rport", G_OBJ_RPORT),
	TEXT("stack", G_STACK), TEXT("stack2", G_STACK2), TEXT("data", G_DATA),
	CTX("service", KP_CTX_SERVICE), CTX("op", KP_CTX_OP), CTX("request", KP_CTX_REQUEST),
	CTX("trace", KP_CTX_TRACE), CTX("span", KP_CTX_SPAN), CTX("txn", KP_CTX_TXN), CTX("log", KP_CTX_LOG),
	FLAG("open", KP_F_OPEN), FLAG("inferred", KP_F_INFERRED), FLAG("truncated", KP_F_TRUNCATED),
	FLAG("sampled", KP_F_SAMPLED), FLAG("compat", KP_F_COMPAT), FLAG("keyframe", KP_F_KEYFRAME),
	FLAG("softirq", KP_F_SOFTIRQ), FLAG("hardirq", KP_F_HARDIRQ), FLAG("kernel", KP_F_KERNEL),
	FLAG("sanitized", KP_F_SANITIZED), FLAG("slow", KP_F_SLOW),
};
enum { NFIELDS = sizeof(fields) / sizeof(fields[0]) };

struct mem_block { struct mem m; max_align_t p[]; };

void *kp_expr_alloc(struct kp_expr *e, size_t n)
{
	struct mem_block *b = calloc(1, sizeof(*b) + n);

	if (!b)
		return NULL;
	b->m.next = e->mem;
	e->mem = &b->m;
	return b->p;
}

/* Which kinds have an argument of this name, as a set of its units; 0 none. */
static uint32_t arg_units(const struct kp_kinds *kinds, const char *name, size_t len)
{
	const struct kp_kind *k;
	uint32_t units = 0;

	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)); id = k->id + 1u)
		for (int i = 0; i < k->nargs; i++)
			if (strlen(k->arg[i]) == len && !memcmp(k->arg[i], name, len))
				units |= 1u << k->unit[i];
	return units;
}

static int arg_field(struct kp_expr *e, const char *name, size_t len, struct field *f)
{
	uint32_t units, i;

	if (len >= sizeof(e->args[0].name))
		return -ENOENT;
	units = arg_units(e->kinds, name, len);
	if (!units)
		return -ENOENT;
	for (i = 0; i < e->nargs; i++)
		if (strlen(e->args[i].name) == len && !memcmp(e->args[i].name, name, len))
			break;
	if (i == e->nargs) {
		if (i == MAX_ARGS)
			return -E2BIG;
		e->args[i].at = kp_expr_alloc(e, UINT16_MAX + 1);
		if (!e->args[i].at)
			return -ENOMEM;
		memcpy(e->args[i].name, name, len);
		e->nargs++;
	}
	*f = (struct field){ e->args[i].name, F_NUM, G_ARG, false, i, units };
	return 0;
}

int kp_expr_field(struct kp_expr *e, const char *name, size_t len, struct field *f)
{
	for (int i = 0; i < NFIELDS; i++)
		if (strlen(fields[i].name) == len && !memcmp(fields[i].name, name, len)) {
			*f = fields[i];
			return 0;
		}
	/* arguments called like a name of the language: arg.op, arg.tid */
	if (len > 4 && !memcmp(name, "arg.", 4))
		return arg_field(e, name + 4, len - 4, f);
	return arg_field(e, name, len, f);
}

const char *kp_expr_suggest(struct kp_expr *e, const char *name, size_t len)
{
	const char *names[NFIELDS + 2], *best;
	const struct kp_kind *k;

	for (int i = 0; i < NFIELDS; i++)
		names[i] = fields[i].name;
	best = kp_nearest(name, len, names, NFIELDS);
	/* arguments a kind at a time, each against the best so far: the first of equals stays */
	for (uint32_t id = 0; (k = kp_kind_next(e->kinds, id)); id = k->id + 1u)
		for (int i = 0; i < k->nargs; i++) {
			const char *two[2] = { best, k->arg[i] };

			best = kp_nearest(name, len, two, 2);
		}
	return best;
}

const char *kp_expr_suggest_kind(const struct kp_kinds *kinds, const char *name, size_t len)
{
	const struct kp_kind *k;
	const char *best = NULL;

	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)); id = k->id + 1u) {
		const char *two[2] = { best, k->name };

		best = kp_nearest(name, len, two, 2);
	}
	return best;
}
