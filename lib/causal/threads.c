/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is who: one struct per thread, however many names and cgroups it had. */
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* A start read from /proc has the resolution of a tick; a tid is not used twice in that time. */
#define START_SLACK (20 * KC_MS)

uint32_t kc_host_of(const struct kp_header *h, uint32_t source)
{
	const struct kp_source *s = &h->sources[source];

	for (uint32_t i = 0; i < source; i++)
		if (!strcmp(h->sources[i].machine_id, s->machine_id) && !strcmp(h->sources[i].boot_id, s->boot_id))
			return i;
	return source;
}

static uint32_t hash2(uint64_t a, uint64_t b)
{
	uint64_t x = (a * 0x9e3779b97f4a7c15ull) ^ (b + 0x7f4a7c15ull) * 0xbf58476d1ce4e5b9ull;

	return (uint32_t)(x ^ x >> 32);
}

static bool same_start(uint64_t a, uint64_t b)
{
	return !a || !b || (a > b ? a - b : b - a) < START_SLACK;
}

static int th_rehash(struct kp_world *w)
{
	uint32_t cap = w->th_cap ? w->th_cap * 2 : 256;
	uint32_t *h = malloc(cap * sizeof(*h));

	if (!h)
		return -1;
	memset(h, 0xff, cap * sizeof(*h));
	for (uint32_t i = 0; i < w->nth; i++) {
		uint32_t k = hash2(w->th[i].host, w->th[i].tid) & (cap - 1);

		while (h[k] != KC_NONE)
			k = (k + 1) & (cap - 1);
		h[k] = i;
	}
	free(w->th_hash);
	w->th_hash = h;
	w->th_cap = cap;
	return 0;
}

static uint32_t th_new(struct kp_world *w, uint32_t k, uint32_t host, uint32_t source, const struct kp_task *t)
{
	if (w->nth == w->cap_th) {
		struct kc_thread *n = kc_grow(w->th, &w->cap_th, sizeof(*n));

		if (!n)
			return KC_NONE;
		w->th = n;
	}
	w->th[w->nth] = (struct kc_thread){ .host = host, .source = source, .tid = t->tid, .tgid = t->tgid,
					    .start = t->start, .task = t };
	w->th_hash[k] = w->nth;
	return w->nth++;
}

static uint32_t find_or_add(struct kp_world *w, uint32_t host, uint32_t source, const struct kp_task *t)
{
	uint32_t k, i;

	if (w->nth * 2 >= w->th_cap && th_rehash(w))
		return KC_NONE;
	k = hash2(host, t->tid) & (w->th_cap - 1);
	for (; (i = w->th_hash[k]) != KC_NONE; k = (k + 1) & (w->th_cap - 1)) {
		struct kc_thread *x = &w->th[i];

		if (x->host != host || x->tid != t->tid || (t->tid && !same_start(x->start, t->start)))
			continue;
		if (t->start)
			x->start = t->start;
		return i;
	}
	return th_new(w, k, host, source, t);
}

static int tp_rehash(struct kp_world *w)
{
	uint32_t cap = w->tp_cap ? w->tp_cap * 2 : 512;
	const struct kp_task **key = calloc(cap, sizeof(void *));
	uint32_t *val = malloc(cap * sizeof(*val));

	if (!key || !val) {
		free(key);
		free(val);
		return -1;
	}
	for (uint32_t i = 0; i < w->tp_cap; i++) {
		uint32_t k;

		if (!w->tp_key[i])
			continue;
		k = hash2((uintptr_t)w->tp_key[i], 0) & (cap - 1);
		while (key[k])
			k = (k + 1) & (cap - 1);
		key[k] = w->tp_key[i];
		val[k] = w->tp_val[i];
	}
	free(w->tp_key);
	free(w->tp_val);
	w->tp_key = key;
	w->tp_val = val;
	w->tp_cap = cap;
	return 0;
}

/* Interned values first: the pointer alone mostly tells. (Two hosts never share a kp_task: starts differ.) */
uint32_t kc_thread_of(struct kp_world *w, uint32_t host, uint32_t source, const struct kp_task *t)
{
	uint32_t k, th;

	if (!t)
		return KC_NONE;
	if (w->tp_n * 2 >= w->tp_cap && tp_rehash(w))
		return KC_NONE;
	k = hash2((uintptr_t)t, 0) & (w->tp_cap - 1);
	for (; w->tp_key[k]; k = (k + 1) & (w->tp_cap - 1))
		if (w->tp_key[k] == t && w->th[w->tp_val[k]].host == host) {
			th = w->tp_val[k];
			goto found;
		}
	th = find_or_add(w, host, source, t);
	if (th == KC_NONE)
		return KC_NONE;
	w->tp_key[k] = t;
	w->tp_val[k] = th;
	w->tp_n++;
found:
	/* rows of the keyframe and of the kernel side know more or less of a task: keep the fuller one */
	if (t->comm && (t->cgroup[KP_CG_MEMORY] || !w->th[th].task->cgroup[KP_CG_MEMORY]))
		w->th[th].task = t;
	if (t->tgid && !w->th[th].tgid)
		w->th[th].tgid = t->tgid;
	return th;
}

const struct kp_str *kc_cgroup(const struct kp_world *w, uint32_t th, enum kp_cg which)
{
	const struct kp_task *t;

	if (th == KC_NONE)
		return NULL;
	t = w->th[th].task;
	return t->cgroup[which] ? t->cgroup[which] : t->cgroup[KP_CG_UNIFIED];
}

bool kc_cg_below(const char *p, size_t n, const char *root, size_t len)
{
	return n >= len && !memcmp(p, root, len) && (n == len || p[len] == '/' || (len && root[len - 1] == '/'));
}

bool kc_same_proc(const struct kp_world *w, uint32_t a, uint32_t b)
{
	return a != KC_NONE && b != KC_NONE && w->th[a].host == w->th[b].host && w->th[a].tgid == w->th[b].tgid;
}

bool kc_is_idle(const struct kp_world *w, uint32_t th)
{
	return th != KC_NONE && w->th[th].tid == 0;
}

bool kc_is_kthread(const struct kp_world *w, uint32_t th)
{
	return th != KC_NONE && (w->th[th].task->kthread || w->th[th].tid == 0);
}
