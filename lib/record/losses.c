/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side had to drop, as rows: the counters there only grow, per kind and CPU, so the difference
 * between two readings is what was lost between them, exactly.
 */
#include "rec.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "filter.h"

struct counter { uint16_t kind; uint64_t *was; };	/* was: one a CPU */

struct kp_losses {
	uint32_t ncpu, n;
	struct counter *drop, *shed;	/* n of each, the same kinds in the same order */
	uint64_t *store, *now;		/* now: the reading of one kind, one value a CPU */
	uint64_t *missed;		/* per program */
	uint64_t last;			/* when it was read */
	int drops, sheds;
};

/* Life of tasks is recorded whatever is wanted, so it can be lost, too. */
static bool counts(const struct kp_record *r, const struct kp_kind *k)
{
	return k->id < EV_MAX_KIND && (kp_rec_wants(r, k->id) || (k->id >= KP_K_PROC_FORK && k->id <= KP_K_PROC_CGROUP));
}

int kp_losses_new(struct kp_losses **out, const struct kp_record *r)
{
	struct kp_losses *l = calloc(1, sizeof(*l));
	const struct kp_kind *k;
	uint32_t n = 0;

	*out = l;
	if (!l)
		return -ENOMEM;
	for (uint32_t id = 0; (k = kp_kind_next(r->kinds, id)); id = k->id + 1u)
		n += counts(r, k);
	l->ncpu = r->ncpu;
	l->drops = kp_rec_map_fd(r, "drops");
	l->sheds = kp_rec_map_fd(r, "shed");
	l->drop = calloc(n + 1, sizeof(*l->drop));
	l->shed = calloc(n + 1, sizeof(*l->shed));
	l->store = calloc(2 * ((size_t)n + 1), r->ncpu * sizeof(*l->store));
	l->now = calloc(r->ncpu, sizeof(*l->now));
	l->missed = calloc(r->hooks.n + 1, sizeof(*l->missed));
	if (!l->drop || !l->shed || !l->store || !l->now || !l->missed)
		return -ENOMEM;
	for (uint32_t id = 0; (k = kp_kind_next(r->kinds, id)); id = k->id + 1u) {
		if (!counts(r, k))
			continue;
		l->drop[l->n] = (struct counter){ k->id, l->store + 2 * (size_t)l->n * r->ncpu };
		l->shed[l->n] = (struct counter){ k->id, l->store + (2 * (size_t)l->n + 1) * r->ncpu };
		l->n++;
	}
	return 0;
}

static int lost(struct kp_record *r, uint16_t row_kind, uint16_t kind, uint32_t cpu, uint64_t count, uint64_t since, uint64_t now)
{
	struct kp_row row = { .end = now, .dur = now - since, .kind = row_kind, .cpu = cpu, .a = { count, kind } };

	if (row_kind == KP_K_LOSS_KERNEL)
		r->st.lost += count;
	else
		row.a[2] = kp_shed_step_of(kind);
	return kp_rec_queue(r, &row);
}

static int read_counter(struct kp_losses *l, struct kp_record *r, int map, struct counter *c, uint16_t row_kind, uint64_t now)
{
	uint32_t key = c->kind;
	int rc = 0;

	if (bpf_map_lookup_elem(map, &key, l->now))
		return 0;
	for (uint32_t cpu = 0; cpu < l->ncpu && !rc; cpu++) {
		if (l->now[cpu] == c->was[cpu])
			continue;
		rc = lost(r, row_kind, c->kind, cpu, l->now[cpu] - c->was[cpu], l->last, now);
		c->was[cpu] = l->now[cpu];
	}
	return rc;
}

/* A program that was running already is not run again on top of itself: what that event was is not known. */
static int read_missed(struct kp_losses *l, struct kp_record *r, uint64_t now)
{
	int rc = 0;

	for (uint32_t i = 0; i < r->hooks.n && !rc; i++) {
		int kind = kp_hook_loss(&r->hooks.hook[i]);
		uint64_t missed = kind < 0 ? 0 : kp_hooks_missed(&r->hooks, i);

		if (missed > l->missed[i])
			rc = lost(r, KP_K_LOSS_KERNEL, kind, 0, missed - l->missed[i], l->last, now);
		if (missed)
			l->missed[i] = missed;
	}
	return rc;
}

int kp_losses_read(struct kp_losses *l, struct kp_record *r, uint64_t now)
{
	int rc = 0;

	if (!l->last)
		l->last = r->started;
	for (uint32_t i = 0; i < l->n && !rc; i++) {
		rc = read_counter(l, r, l->drops, &l->drop[i], KP_K_LOSS_KERNEL, now);
		if (!rc && l->sheds >= 0)
			rc = read_counter(l, r, l->sheds, &l->shed[i], KP_K_LOSS_SHED, now);
	}
	if (!rc)
		rc = read_missed(l, r, now);
	l->last = now;
	return rc;
}

void kp_losses_free(struct kp_losses *l)
{
	if (!l)
		return;
	free(l->drop);
	free(l->shed);
	free(l->store);
	free(l->now);
	free(l->missed);
	free(l);
}
