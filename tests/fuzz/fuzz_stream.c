/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes: no crash, no row that breaks what readers of rows rely on. The first byte chooses how they
 * are read: as a file, as bare CBOR items, or as one item or index, so that hashes are no obstacle.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/block.h"
#include "stream/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* Touches all of it: the sanitizer looks on. */
static size_t touch_str(const struct kp_str *s)
{
	check(!s || !s->p[s->len]);
	return s ? s->len + (s->len ? (uint8_t)s->p[s->len - 1] : 0) : 0;
}

static size_t touch(const struct kp_row *r)
{
	const struct kp_task *who[2] = { r->task, r->peer };
	const struct kp_stack *stack[2] = { r->stack, r->stack2 };
	size_t sum = 0;

	check(r->dur <= r->end);
	for (int i = 0; i < 2; i++) {
		if (who[i])
			sum += touch_str(who[i]->comm) + touch_str(who[i]->exe) + touch_str(who[i]->cgroup[KP_CG_FREEZER]);
		for (uint32_t k = 0; stack[i] && k < stack[i]->n; k++) {
			check(stack[i]->frame[k]);
			sum += touch_str(stack[i]->frame[k]);
		}
	}
	if (r->obj)
		sum += touch_str(r->obj->name);
	for (uint32_t i = 0; i < r->data_len; i++)
		sum += r->data[i];
	for (int i = 0; i < KP_CTX_MAX; i++)
		sum += touch_str(r->ctx[i]);
	return sum;
}

static void touch_graph(const struct kp_graph *g)
{
	check(g->request && g->target.comm && g->outcome);
	for (uint32_t i = 0; i < g->nsteps; i++)
		check(g->steps[i].what && g->steps[i].who.host && (g->steps[i].cause < g->ncauses || g->steps[i].cause == UINT32_MAX));
	for (uint32_t i = 0; i < g->nedges; i++)
		check(g->edges[i].from < g->nnodes && g->edges[i].to < g->nnodes && g->edges[i].label);
}

static void found(void *arg, enum kp_finding f, const char *input, const char *line)
{
	unsigned *n = arg;

	(void)f;
	check(input && line && !strchr(line, '\n') && ++*n <= 2);
}

static void as_file(const uint8_t *p, size_t n, const struct kp_read_opts *how, struct kp_pool *pool, struct kp_kinds *kinds)
{
	struct kp_read_opts o = *how;
	struct kp_reader *r;
	struct kp_err err = { "" };
	const struct kp_row *row;
	struct kp_graph *g;
	unsigned said = 0;
	char path[32];
	const char *paths = path;
	int fd = memfd_create("fuzz", 0), rc;

	check(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	o.found = found;
	o.found_arg = &said;
	rc = kp_reader_open(&r, &paths, 1, pool, kinds, &o, &err);
	check(!rc == !!r);
	if (r) {
		while ((rc = kp_reader_next(r, &row, &err)) == 1) {
			check(row->source < kp_reader_header(r)->nsources);
			touch(row);
			kp_row_id(kp_reader_header(r), row);
			kp_reader_wall(r, row->source, row->end);
		}
		while (kp_reader_graph(r, &g)) {
			touch_graph(g);
			kp_graph_free(g);
		}
		kp_reader_close(r);
	}
	check(rc >= 0 || err.msg[0]);
	close(fd);
}

static void as_block(const uint8_t *p, size_t n, struct kp_pool *pool)
{
	static struct kp_scratch s;
	struct kp_block *b;
	struct kp_row row;

	check(s.tmp || !kp_scratch_init(&s));
	for (int twice = 0; twice < 2; twice++) {	/* the second time in the room of the first */
		if (kp_block_decode(&b, p, n, pool, &s))
			break;
		while (b->next < b->n) {
			kp_block_row(b, &row);
			touch(&row);
		}
		kp_block_free(b, &s);
	}
}

static void as_index(const uint8_t *p, size_t n)
{
	struct kp_index x;

	if (n < 8 || kp_index_decode(&x, p, n))
		return;
	for (uint32_t i = 0; i < x.nframes; i++)
		kp_index_frame(&x, i);
	for (uint32_t i = 0; x.nkinds != KP_IX_ANY_KINDS && i < x.nkinds; i++)
		kp_index_kind(&x, i);
}

/* The same with the hash that makes it one. */
static void as_hashed_index(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n + 8);
	uint64_t hash = htole64(kp_hash(p, n, 0));

	check(copy);
	memcpy(copy, p, n);
	memcpy(copy + n, &hash, 8);
	as_index(copy, n + 8);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct kp_read_opts how[4] = { { 0 }, { .loss_rows = true }, { .strict = true }, { .since = 1000000, .until_wall = 1795571100000000000u } };
	static struct kp_kinds *kinds;
	static unsigned runs;
	struct kp_pool *pool;
	struct kp_header_in h;
	struct kp_graph *g;

	if (!size)
		return 0;
	if (runs++ % 64 == 0) {	/* dear, and headers add to it */
		kp_kinds_free(kinds);
		check(!kp_kinds_new(&kinds));
	}
	check(!kp_pool_new(&pool));
	switch (data[0] & 7) {
	case 0: case 1: as_file(data + 1, size - 1, &how[data[0] >> 3 & 3], pool, kinds); break;
	case 2: case 3: as_block(data + 1, size - 1, pool); break;
	case 4:
		if (!kp_header_decode(&h, data + 1, size - 1, pool, kinds))
			kp_header_in_free(&h);
		break;
	case 5:
		if (!kp_graph_decode(&g, data + 1, size - 1)) {
			touch_graph(g);
			kp_graph_free(g);
		}
		break;
	case 6: as_index(data + 1, size - 1); break;
	default: as_hashed_index(data + 1, size - 1);
	}
	kp_pool_free(pool);
	return 0;
}
