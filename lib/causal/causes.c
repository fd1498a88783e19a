/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of causes: which rule judges which sleep. The first that knows wins; what none knows is unknown. */
#include <errno.h>
#include <stdlib.h>

#include "walk.h"

#define ANY UINT32_MAX

static const struct {
	const char *name;
	uint32_t classes;
	int (*judge)(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v);
} rules[] = {
	{ "stopped", KC_IS(KC_W_STOPPED), kc_cause_stopped },
	{ "quota", KC_IS(KC_W_QUOTA), kc_cause_quota },
	{ "reclaim", KC_IS(KC_W_RECLAIM) | KC_IS(KC_W_OOM) | KC_IS(KC_W_SWAP), kc_cause_reclaim },
	{ "page", KC_IS(KC_W_PAGE) | KC_IS(KC_W_BUFFER), kc_cause_page },
	{ "disk", KC_IS(KC_W_DIO) | KC_IS(KC_W_BLKQ) | KC_IS(KC_W_SYNC) | KC_IS(KC_W_BUFFER), kc_cause_disk },
	{ "fs", KC_IS(KC_W_JOURNAL) | KC_IS(KC_W_DIRTY), kc_cause_fs },
	{ "resumed", KC_IS(KC_W_POLL) | KC_IS(KC_W_FUTEX) | KC_IS(KC_W_FLOCK) | KC_IS(KC_W_RECV), kc_cause_resumed },
	{ "lock", KC_IS(KC_W_FLOCK) | KC_IS(KC_W_KLOCK) | KC_IS(KC_W_SYSV), kc_cause_lock },
	{ "message", KC_IS(KC_W_RECV) | KC_IS(KC_W_POLL) | KC_IS(KC_W_EVENT) | KC_IS(KC_W_ACCEPT) | KC_IS(KC_W_UNKNOWN), kc_cause_message },
	{ "net", KC_IS(KC_W_SEND) | KC_IS(KC_W_CONNECT) | KC_IS(KC_W_ACCEPT) | KC_IS(KC_W_RECV), kc_cause_net },
	{ "futex", KC_IS(KC_W_FUTEX), kc_cause_futex },
	{ "timer", KC_IS(KC_W_TIMER) | KC_IS(KC_W_POLL) | KC_IS(KC_W_EVENT) | KC_IS(KC_W_SIGNAL) | KC_IS(KC_W_FUTEX) | KC_IS(KC_W_RECV), kc_cause_timer },
	{ "waker", ANY, kc_cause_waker },
};

void kc_leaf(struct kc_verdict *v, uint16_t kind, bool observed)
{
	v->kind = v->rest = kind;
	v->part = 1;
	v->observed = observed;
	v->follow = false;
}

void kc_follow(struct kc_verdict *v, uint32_t next, uint64_t at, uint64_t floor, uint32_t back, uint16_t gap)
{
	kc_leaf(v, gap, true);
	v->follow = true;
	v->next = next;
	v->at = at;
	v->floor = floor;
	v->back = back;
}

void kc_accuse(struct kc_verdict *v, uint32_t th, uint64_t weight, const char *why)
{
	uint32_t least = 0;

	if (th == KC_NONE || !weight)
		return;
	for (uint32_t i = 0; i < v->nculprit; i++) {
		if (v->culprit[i].th == th) {
			v->culprit[i].weight += weight;
			return;
		}
		if (v->culprit[i].weight < v->culprit[least].weight)
			least = i;
	}
	if (v->nculprit < KC_CULPRITS)
		least = v->nculprit++;
	else if (v->culprit[least].weight >= weight)
		return;
	v->culprit[least] = (struct kc_culprit){ th, weight, why };
}

void kc_scale(struct kc_verdict *v, uint64_t ns)
{
	double all = 0;

	for (uint32_t i = 0; i < v->nculprit; i++)
		all += (double)v->culprit[i].weight;
	for (uint32_t i = 0; i < v->nculprit; i++)
		v->culprit[i].weight = (uint64_t)((double)v->culprit[i].weight / all * (double)ns);
}

void kc_judge(struct kc_walk *k, const struct kc_wait *t, struct kc_verdict *v)
{
	size_t i = 0, n = sizeof(rules) / sizeof(*rules);

	*v = (struct kc_verdict){ .kind = KP_C_UNKNOWN };
	while (i < n && !((rules[i].classes & KC_IS(t->class)) && rules[i].judge(k, t, v)))
		i++;
	if (i == n)
		kc_leaf(v, KP_C_UNKNOWN, false);
	if (v->follow || v->ev || v->kind == KP_C_UNKNOWN)
		return;
	v->ev = t->wake ? t->wake : t->sys;
	v->says = t->by_stack ? "its kernel stack shows the wait" : "the call that it slept in shows the wait";
}

void kc_blame_add(struct kc_walk *k, uint16_t kind, uint32_t th, double ns, const char *why)
{
	struct kc_agg *a = &k->agg[kind];

	for (uint32_t i = 0; i < a->nblame; i++)
		if (kc_same_proc(k->w, a->blame[i].th, th)) {
			a->blame[i].ns += ns;
			if (ns > a->blame[i].longest) {	/* threads have names of their own: that of the one that did most */
				a->blame[i].th = th;
				a->blame[i].why = why;
				a->blame[i].longest = ns;
			}
			return;
		}
	if (a->nblame == a->cap_blame) {
		struct kc_blame *b = kc_grow(a->blame, &a->cap_blame, sizeof(*b));

		if (!b) {
			k->err = -ENOMEM;
			return;
		}
		a->blame = b;
	}
	a->blame[a->nblame++] = (struct kc_blame){ th, ns, ns, why };
}

/* Keeps the proofs of the longest waits. */
void kc_proof_add(struct kc_agg *a, const struct kc_ev *ev, const char *says, uint64_t ns, bool observed)
{
	uint32_t least = 0;

	if (!ev)
		return;
	for (uint32_t i = 0; i < a->nproof; i++) {
		if (a->proof[i].ev == ev) {
			a->proof[i].ns += ns;
			return;
		}
		if (a->proof[i].ns < a->proof[least].ns)
			least = i;
	}
	if (a->nproof < KC_PROOFS)
		least = a->nproof++;
	else if (a->proof[least].ns >= ns)
		return;
	a->proof[least] = (struct kc_proof){ ev, says, ns, observed };
}

static int more_blame(const void *a, const void *b)
{
	const struct kc_blame *x = a, *y = b;

	return x->ns < y->ns ? 1 : x->ns > y->ns ? -1 : 0;
}

void kc_finish(struct kc_walk *k)
{
	kc_blame_refault(k);
	kc_blame_reclaim(k);
	for (int i = 0; i < KP_C_MAX; i++)
		if (k->agg[i].nblame)
			qsort(k->agg[i].blame, k->agg[i].nblame, sizeof(struct kc_blame), more_blame);
	kc_lock_meanwhile(k);
}
