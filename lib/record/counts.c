/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters in the kernel, per process and per CPU, as rows: the differences between two readings, where they are
 * not all zero. Two snapshots of all processes are walked in step.
 */
#include "rec.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kp/util.h>

enum { BATCH = 256 };

struct one { uint32_t tgid; struct proc_count c; };
struct shot { struct one *p; uint32_t n, cap; };
struct gone { uint32_t tgid; uint64_t when; };
struct cpu_now { uint64_t hard, soft, steal; };

struct kp_counts {
	int counts, cpus, stat;
	bool mem, io, irq;
	uint32_t ncpu;
	uint64_t hz_ns;			/* ns of a tick in /proc/stat */
	struct shot was, now;
	struct gone *gone; uint32_t ngone, gone_cap; /* ended since the last reading */
	struct cpu_state *state;	/* as read, one a CPU */
	struct cpu_now *cpu_was, *cpu_now;
	char text[16384];		/* the start of /proc/stat */
	uint64_t last, next;
};

int kp_counts_new(struct kp_counts **out, const struct kp_record *r)
{
	struct kp_counts *c = calloc(1, sizeof(*c));

	*out = c;
	if (!c)
		return -ENOMEM;
	c->mem = kp_rec_wants(r, KP_K_COUNT_MEM);
	c->io = kp_rec_wants(r, KP_K_COUNT_IO);
	c->irq = kp_rec_wants(r, KP_K_COUNT_IRQ);
	c->ncpu = r->ncpu;
	c->hz_ns = SEC / sysconf(_SC_CLK_TCK);
	c->counts = kp_rec_map_fd(r, "counts");
	c->cpus = kp_rec_map_fd(r, "cpus");
	c->stat = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	c->state = calloc(r->ncpu, sizeof(*c->state));
	c->cpu_was = calloc(r->ncpu, sizeof(*c->cpu_was));
	c->cpu_now = calloc(r->ncpu, sizeof(*c->cpu_now));
	return c->state && c->cpu_was && c->cpu_now ? 0 : -ENOMEM;
}

void kp_counts_free(struct kp_counts *c)
{
	if (!c)
		return;
	if (c->stat >= 0)
		close(c->stat);
	free(c->was.p);
	free(c->now.p);
	free(c->gone);
	free(c->state);
	free(c->cpu_was);
	free(c->cpu_now);
	free(c);
}

void kp_counts_exited(struct kp_counts *c, uint32_t tgid, uint64_t when)
{
	if (c->ngone == c->gone_cap) {
		uint32_t cap = c->gone_cap ? 2 * c->gone_cap : 64;
		void *p = realloc(c->gone, cap * sizeof(*c->gone));

		if (!p)
			return; /* the entry stays in the kernel's map: no harm but its room */
		c->gone = p;
		c->gone_cap = cap;
	}
	c->gone[c->ngone++] = (struct gone){ tgid, when };
}

/* ---- processes ---- */

static int room(struct shot *s, uint32_t more)
{
	uint32_t cap = s->cap ? s->cap : 1024;
	void *p;

	while (cap < s->n + more)
		cap *= 2;
	if (cap == s->cap)
		return 0;
	p = realloc(s->p, cap * sizeof(*s->p));
	if (!p)
		return -ENOMEM;
	s->p = p;
	s->cap = cap;
	return 0;
}

/* Kernels before 5.6 have no batches. */
static int read_singly(int map, struct shot *s)
{
	uint32_t key, next, *prev = NULL;

	while (!bpf_map_get_next_key(map, prev, &next)) {
		if (room(s, 1))
			return -ENOMEM;
		if (!bpf_map_lookup_elem(map, &next, &s->p[s->n].c))
			s->p[s->n++].tgid = next;
		key = next;
		prev = &key;
	}
	return 0;
}

static int read_all(int map, struct shot *s)
{
	struct proc_count value[BATCH];
	uint32_t key[BATCH], n, cursor, *in = NULL;
	bool more = true;

	s->n = 0;
	while (more) {
		n = BATCH;
		if (bpf_map_lookup_batch(map, in, &cursor, key, value, &n, NULL)) {
			if (errno != ENOENT)
				break; /* also when a bucket has more than fits: each by itself, then */
			more = false;
		}
		if (room(s, n))
			return -ENOMEM;
		for (uint32_t i = 0; i < n; i++)
			s->p[s->n++] = (struct one){ key[i], value[i] };
		in = &cursor;
	}
	if (!more)
		return 0;
	s->n = 0;
	return read_singly(map, s);
}

static int by_tgid(const void *a, const void *b)
{
	const struct one *x = a, *y = b;

	return x->tgid < y->tgid ? -1 : x->tgid > y->tgid;
}

static int mem_row(struct kp_record *r, const struct one *o, const struct proc_count *w, struct kp_row *row)
{
	const struct proc_count *c = &o->c;
	/* What a process had before it was first seen is not what it grew by. */
	int64_t grown = w->anon_seen && c->anon_seen ? c->anon - w->anon : 0;

	row->kind = KP_K_COUNT_MEM;
	row->ret = grown;
	row->a[0] = c->anon > 0 ? c->anon : 0;
	row->a[1] = c->filled - w->filled;
	row->a[2] = c->evicted - w->evicted;
	row->a[3] = c->reclaimed - w->reclaimed;
	row->a[4] = c->dirtied - w->dirtied;
	row->a[5] = c->major - w->major;
	if (!grown && !row->a[1] && !row->a[2] && !row->a[3] && !row->a[4] && !row->a[5])
		return 0;
	return kp_rec_queue_of(r, row, o->tgid, c->start);
}

static int io_row(struct kp_record *r, const struct one *o, const struct proc_count *w, struct kp_row *row)
{
	const struct proc_count *c = &o->c;

	row->kind = KP_K_COUNT_IO;
	row->ret = 0;
	row->a[0] = c->rbytes - w->rbytes;
	row->a[1] = c->wbytes - w->wbytes;
	row->a[2] = c->tx - w->tx;
	row->a[3] = c->rx - w->rx;
	row->a[4] = c->cpu - w->cpu;
	row->a[5] = 0;
	if (!row->a[0] && !row->a[1] && !row->a[2] && !row->a[3] && !row->a[4])
		return 0;
	return kp_rec_queue_of(r, row, o->tgid, c->start);
}

static int process_rows(struct kp_counts *c, struct kp_record *r, uint64_t now)
{
	static const struct proc_count zero;
	uint32_t j = 0;
	int rc = 0;

	for (uint32_t i = 0; i < c->now.n && !rc; i++) {
		const struct one *o = &c->now.p[i];
		const struct proc_count *w = &zero;
		struct kp_row row = { .end = now, .dur = now - c->last };

		while (j < c->was.n && c->was.p[j].tgid < o->tgid)
			j++;
		if (j < c->was.n && c->was.p[j].tgid == o->tgid && c->was.p[j].c.start == o->c.start)
			w = &c->was.p[j].c;
		if (!memcmp(w, &o->c, sizeof(*w)))
			continue;
		if (c->mem)
			rc = mem_row(r, o, w, &row);
		if (!rc && c->io)
			rc = io_row(r, o, w, &row);
	}
	return rc;
}

/* Only now, since their last counts have just been read. The number may be a later process's already. */
static void forget_gone(struct kp_counts *c)
{
	for (uint32_t i = 0; i < c->ngone; i++) {
		struct one want = { .tgid = c->gone[i].tgid };
		const struct one *o = bsearch(&want, c->now.p, c->now.n, sizeof(want), by_tgid);

		if (o && o->c.start <= c->gone[i].when)
			bpf_map_delete_elem(c->counts, &want.tgid);
	}
	c->ngone = 0;
}

static int read_processes(struct kp_counts *c, struct kp_record *r, uint64_t now)
{
	struct shot swap;
	int rc;

	qsort(c->now.p, c->now.n, sizeof(*c->now.p), by_tgid);
	rc = c->last ? process_rows(c, r, now) : 0;
	forget_gone(c);
	swap = c->was;
	c->was = c->now;
	c->now = swap;
	return rc;
}

/* ---- CPUs ---- */

/* "cpu0 user nice system idle iowait irq softirq steal ..." */
static void read_steal(struct kp_counts *c)
{
	ssize_t n = c->stat < 0 ? -1 : pread(c->stat, c->text, sizeof(c->text) - 1, 0);
	unsigned long long steal;
	unsigned cpu;
	char *line, *save = NULL;

	if (n <= 0)
		return;
	c->text[n] = 0;
	for (line = strtok_r(c->text, "\n", &save); line && !strncmp(line, "cpu", 3); line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "cpu%u %*u %*u %*u %*u %*u %*u %*u %llu", &cpu, &steal) == 2 && cpu < c->ncpu)
			c->cpu_now[cpu].steal = steal * c->hz_ns;
}

static int read_cpus(struct kp_counts *c, struct kp_record *r, uint64_t now)
{
	uint32_t zero = 0;
	int rc = 0;

	if (c->cpus >= 0 && !bpf_map_lookup_elem(c->cpus, &zero, c->state))
		for (uint32_t i = 0; i < c->ncpu; i++) {
			c->cpu_now[i].hard = c->state[i].hard_ns;
			c->cpu_now[i].soft = c->state[i].soft_ns;
		}
	read_steal(c);
	for (uint32_t i = 0; i < c->ncpu && !rc; i++) {
		const struct cpu_now *n = &c->cpu_now[i], *w = &c->cpu_was[i];
		struct kp_row row = { .end = now, .dur = now - c->last, .kind = KP_K_COUNT_IRQ, .cpu = i,
				      .a = { n->hard - w->hard, n->soft - w->soft, n->steal - w->steal } };

		if (c->last && (row.a[0] || row.a[1] || row.a[2]))
			rc = kp_rec_queue(r, &row);
	}
	memcpy(c->cpu_was, c->cpu_now, c->ncpu * sizeof(*c->cpu_was));
	return rc;
}

/*
 * On a host with very many processes less often, so that reading takes 2 % of a CPU at most. The rows are of the
 * time at which all had been read: none is of a process that has begun after it, which nobody would know yet.
 * The first reading gives none: the programs count from before the recording on.
 */
int kp_counts_read(struct kp_counts *c, struct kp_record *r, uint64_t begun)
{
	bool processes = c->mem || c->io;
	uint64_t now, took;
	int rc;

	if (begun < c->next)
		return 0;
	rc = processes ? read_all(c->counts, &c->now) : 0;
	now = kp_now_mono();
	if (!rc && c->irq)
		rc = read_cpus(c, r, now);
	if (!rc && processes)
		rc = read_processes(c, r, now);
	took = kp_now_mono() - begun;
	c->last = now;
	c->next = took > TICK / 50 ? now + 50 * took : now;
	return rc;
}
