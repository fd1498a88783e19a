/* SPDX-License-Identifier: BSD-2-Clause */
/* The resolver as a whole: its life, its upkeep, and stacks. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "resolve_int.h"

/* New modules and BPF programs: how soon to read kallsyms again for an address that it did not have. */
#define SYM_AGAIN (60 * RS_SEC)
#define SYM_AGAIN_MAX (3600 * RS_SEC)

/* The device of a kind of inode, from one of our own; closes fd. 0: not known. */
static uint32_t dev_of(int fd)
{
	struct stat st;
	uint32_t dev = 0;

	if (fd < 0)
		return 0;
	if (!fstat(fd, &st))
		dev = rs_dev(major(st.st_dev), minor(st.st_dev));
	close(fd);
	return dev;
}

static void own_devices(struct kp_resolve *r)
{
	int p[2];

	if (!pipe2(p, O_CLOEXEC)) {
		close(p[1]);
		r->pipefs = dev_of(p[0]);
	}
	r->sockfs = dev_of(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	r->anonfs = dev_of(eventfd(0, EFD_CLOEXEC));
}

static void defaults(struct kp_resolve_opts *o)
{
	o->budget = o->budget ? o->budget : 20 * RS_MS;
	o->burst = o->burst ? o->burst : 500 * RS_MS;
	o->grace = o->grace ? o->grace : 5 * RS_SEC;
	o->max_files = o->max_files ? o->max_files : 65536;
	o->max_socks = o->max_socks ? o->max_socks : 16384;
	o->proc = o->proc ? o->proc : "/proc";
}

int kp_resolve_new(struct kp_resolve **out, struct kp_pool *pool, const struct kp_resolve_opts *o, struct kp_err *err)
{
	struct kp_resolve *r = calloc(1, sizeof(*r));

	*out = NULL;
	if (!r)
		return kp_err(err, ENOMEM, "no memory");
	if (o)
		r->o = *o;
	defaults(&r->o);
	r->pool = pool;
	r->tokens = r->o.burst;
	r->now = r->refilled = kp_now_mono();
	r->hz = sysconf(_SC_CLK_TCK) > 0 ? sysconf(_SC_CLK_TCK) : 100;
	r->sym_wait = SYM_AGAIN;
	r->proc = open(r->o.proc, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r->buf = malloc(RS_BUF);
	if (!r->buf || rs_tasks_new(r) || rs_poll_new(r) || rs_cache_new(&r->files, r->o.max_files) || rs_cache_new(&r->socks, r->o.max_socks) ||
	    rs_cache_new(&r->tuples, r->o.max_socks)) {
		kp_resolve_free(r);
		return kp_err(err, ENOMEM, "no memory");
	}
	/* without /proc all that events do not tell stays unknown */
	rs_read_hierarchies(r);
	own_devices(r);
	*out = r;
	return 0;
}

void kp_resolve_free(struct kp_resolve *r)
{
	if (!r)
		return;
	if (r->proc >= 0)
		close(r->proc);
	rs_tasks_free(r);
	rs_key_free(r);
	rs_poll_free(r);
	kp_sym_free(r->sym);
	free(r->files.e);
	free(r->socks.e);
	free(r->tuples.e);
	free(r->buf);
	free(r);
}

int kp_resolve_move(struct kp_resolve *r, struct kp_pool *pool)
{
	int rc;

	r->pool = pool;
	memset(r->frame, 0, sizeof(r->frame));
	rc = rs_tasks_move(r);
	rc = rs_key_move(r) ?: rc;
	rc = rs_cache_move(r, &r->files) ?: rc;
	rc = rs_cache_move(r, &r->socks) ?: rc;
	rc = rs_cache_move(r, &r->tuples) ?: rc;
	return rs_poll_move(r) ?: rc;
}

void kp_resolve_tick(struct kp_resolve *r, uint64_t now)
{
	r->now = now > r->now ? now : r->now;
	rs_refill(r, kp_now_mono());
	rs_tasks_tick(r, now);
}

void kp_resolve_stats(const struct kp_resolve *r, struct kp_resolve_stats *st)
{
	*st = r->st;
	st->files = r->files.n;
	st->socks = r->socks.n;
	st->pending = r->npending;
}

/* ---- stacks ---- */

static void load_symbols(struct kp_resolve *r)
{
	struct kp_sym *s;
	struct kp_err none;

	r->sym_tried = true;
	r->sym_when = kp_now_mono();
	if (kp_sym_open(&s, r->o.kallsyms, &none))
		return;		/* addresses are better than nothing */
	kp_sym_free(r->sym);
	r->sym = s;
}

/* An address that the table does not have may be of what was loaded since; looking again is dear. */
static bool missing(struct kp_resolve *r, uint64_t addr)
{
	struct kp_sym_hit h;

	if (!kp_sym_count(r->sym) || addr < 1ull << 63 || kp_sym_find(r->sym, addr, &h) || kp_now_mono() - r->sym_when < r->sym_wait)
		return false;
	load_symbols(r);
	if (kp_sym_find(r->sym, addr, &h))
		r->sym_wait = SYM_AGAIN;
	else if (r->sym_wait < SYM_AGAIN_MAX)
		r->sym_wait *= 2;
	return true;
}

static const struct kp_str *frame_of(struct kp_resolve *r, uint64_t addr)
{
	struct rs_frame *f = &r->frame[rs_mix(addr, 1) & (RS_FRAMES - 1)];
	char text[512];
	size_t n;

	if (f->addr == addr && f->s)
		return f->s;
	if (missing(r, addr))
		memset(r->frame, 0, sizeof(r->frame));
	n = kp_sym_text(r->sym, addr, text, sizeof(text));
	*f = (struct rs_frame){ addr, kp_pool_str(r->pool, text, n) };
	return f->s;
}

/* A stack of who is running begins with how our own program came to look at it: those frames are not the task's. */
static uint32_t own_frames(const struct kp_str *const *frame, uint32_t n)
{
	static const char *const glue[] = { "bpf_trace_run", "__bpf_trace_", "__traceiter_" };
	enum { DEEPEST = 10 };
	uint32_t own = 0;

	for (uint32_t i = 0; i < n && i < DEEPEST; i++)
		for (size_t g = 0; g < sizeof(glue) / sizeof(*glue); g++)
			if (!strncmp(frame[i]->p, glue[g], strlen(glue[g])))
				own = i + 1;
	return own;
}

const struct kp_stack *kp_resolve_stack(struct kp_resolve *r, const uint64_t *addr, uint32_t n)
{
	enum { MAX = 128 };
	const struct kp_str *frame[MAX];
	uint32_t k = 0, own;

	if (!r->sym_tried && n)
		load_symbols(r);
	/* the kernel may fill up with zeros */
	for (uint32_t i = 0; i < n && k < MAX && addr[i]; i++) {
		frame[k] = frame_of(r, addr[i]);
		if (!frame[k++])
			return NULL;
	}
	own = own_frames(frame, k);
	return k > own ? kp_pool_stack(r->pool, frame + own, k - own) : NULL;
}
