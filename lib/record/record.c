/* SPDX-License-Identifier: BSD-2-Clause */
/* The recorder, made and freed; how it runs is in run.c. */
#include "rec.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <kp/util.h>

#include "filter.h"

void kp_rec_say(const struct kp_record *r, int level, const char *fmt, ...)
{
	char line[600];
	va_list ap;

	if (!r->o.say)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	r->o.say(r->o.say_arg, level, line);
}

bool kp_rec_wants(const struct kp_record *r, uint16_t kind)
{
	return kind < EV_MAX_KIND && r->dec->kind[kind].wanted;
}

/* ---- making ---- */

int kp_record_check_kinds(const char *patterns, struct kp_err *err)
{
	struct kp_kinds *kinds;
	int rc;

	if (kp_kinds_new(&kinds))
		return kp_err(err, ENOMEM, "out of memory");
	rc = kp_filter_check(kinds, patterns, err);
	kp_kinds_free(kinds);
	return rc;
}

/* What was asked for by name or by its duration is recorded whole. */
static int choose_profile(struct kp_record *r, struct kp_err *err)
{
	const struct kp_record_profile *p;
	uint32_t i = 0;

	while ((p = kp_record_profile(i++)) && strcmp(p->name, r->o.profile ? r->o.profile : "default") != 0)
		;
	if (!p)
		return kp_err(err, EINVAL, "there is no profile %s", r->o.profile);
	r->profile = *p;
	if (r->o.kinds || r->o.min_dur)
		r->profile.call_min = r->profile.message_min = 0;
	if (!r->o.kinds && strcmp(p->kinds, "*") != 0)
		r->o.kinds = p->kinds;
	if (!r->o.stack_min)
		r->o.stack_min = p->stack_min;
	return 0;
}

static int make(struct kp_record *r, struct kp_err *err)
{
	struct kp_resolve_opts ro = { 0 };
	int rc;

	r->dec = malloc(sizeof(*r->dec));
	if (!r->dec || kp_kinds_new(&r->kinds) || kp_pool_new(&r->texts) || kp_pool_new(&r->pool))
		return kp_err(err, ENOMEM, "out of memory");
	if (r->o.kinds && (rc = kp_filter_check(r->kinds, r->o.kinds, err)))
		return rc;
	r->epfd = epoll_create1(EPOLL_CLOEXEC);
	r->stopfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->epfd < 0 || r->stopfd < 0)
		return kp_err(err, errno, "epoll: %s", strerror(errno));
	/* Before anything is set up that a program should not inherit. */
	if (r->o.command && (rc = kp_child_start(&r->child, r->o.command, r->o.command_stdout, err)))
		return rc;
	rc = kp_source_fill(&r->source, r->texts, err);
	if (rc)
		return rc;
	ro.kinds = r->kinds;
	rc = kp_resolve_new(&r->res, r->pool, &ro, err);
	if (rc)
		return rc;
	kp_decode_init(r->dec, r->res, r->pool, r->kinds, r->o.kinds);
	r->dec->ids = r->o.data == KP_DATA_IDS;
	r->dec->payload = r->o.data == KP_DATA_RAW ? r->o.payload : 0;
	kp_resolve_sock_preload(r->res);
	/* The kernel's symbols are read with the first stack: not while events come in. */
	if (kp_filter_any(r->kinds, r->o.kinds, "sched.*,lock.*"))
		kp_resolve_stack(r->res, &(uint64_t){ 1 }, 1);
	return 0;
}

static int watch(struct kp_record *r, int fd, uint32_t events, struct kp_err *err)
{
	struct epoll_event e = { .events = events };

	return epoll_ctl(r->epfd, EPOLL_CTL_ADD, fd, &e) ? kp_err(err, errno, "epoll: %s", strerror(errno)) : 0;
}

/* How its use is measured stands with the hooks: there is room for one more behind them. */
static int make_budget(struct kp_record *r, struct kp_err *err)
{
	struct kp_hook *h = &r->hooks.hook[r->hooks.n];

	if (!r->iter) {
		kp_rec_say(r, 0, "no task iterator here, and so no --cpu-budget");
		return 0;
	}
	if (kp_shed_new(&r->shed, r))
		return kp_err(err, ENOMEM, "out of memory");
	*h = (struct kp_hook){ .what = kp_pool_cstr(r->texts, "cpu-budget"),
			       .how = kp_pool_cstr(r->texts, "getrusage, and one run in 127 of the programs timed") };
	if (!h->what || !h->how)
		return kp_err(err, ENOMEM, "out of memory");
	r->header.nhooks++;
	return 0;
}

static int make_loaded(struct kp_record *r, struct kp_err *err)
{
	int rc;

	if (kp_merge_init(&r->merge, r->ncpu + 1) || kp_losses_new(&r->losses, r) || kp_counts_new(&r->counts, r))
		return kp_err(err, ENOMEM, "out of memory");
	rc = watch(r, r->stopfd, EPOLLIN, err);
	if (!rc && r->child.pidfd >= 0 && r->child.pid)
		rc = watch(r, r->child.pidfd, EPOLLIN, err);
	r->header = (struct kp_header){ .version = 1, .sources = &r->source, .nsources = 1,
					.hooks = r->hooks.hook, .nhooks = r->hooks.n };
	r->started = kp_now_mono();
	r->st.ring_bytes = r->ring_size;
	if (!rc && r->o.cpu_budget != UINT32_MAX)
		rc = make_budget(r, err);
	return rc;
}

int kp_record_new(struct kp_record **out, const struct kp_record_opts *o, struct kp_err *err)
{
	struct kp_record *r = calloc(1, sizeof(*r));
	int rc;

	*out = NULL;
	if (!r)
		return kp_err(err, ENOMEM, "out of memory");
	r->o = *o;
	r->epfd = r->stopfd = -1;
	rc = choose_profile(r, err);
	if (!rc)
		rc = make(r, err);
	if (!rc)
		rc = kp_rec_load(r, err);
	if (!rc)
		rc = make_loaded(r, err);
	if (rc)
		kp_record_free(r);
	else
		*out = r;
	return rc;
}

void kp_record_free(struct kp_record *r)
{
	if (!r)
		return;
	kp_rec_unload(r);
	kp_child_free(&r->child);
	kp_losses_free(r->losses);
	kp_shed_free(r->shed);
	kp_counts_free(r->counts);
	kp_merge_free(&r->merge);
	kp_resolve_free(r->res);
	kp_kinds_free(r->kinds);
	kp_pool_free(r->pool);
	kp_pool_free(r->texts);
	if (r->epfd >= 0)
		close(r->epfd);
	if (r->stopfd >= 0)
		close(r->stopfd);
	free(r->dec);
	free(r->task);
	free(r);
}

const struct kp_header *kp_record_header(const struct kp_record *r)
{
	return &r->header;
}

const struct kp_kinds *kp_record_kinds(const struct kp_record *r)
{
	return r->kinds;
}

struct kp_pool *kp_record_pool(struct kp_record *r)
{
	return r->texts;
}

void kp_record_stats(const struct kp_record *r, struct kp_record_stats *st)
{
	*st = r->st;
}

int kp_record_command(struct kp_record *r, struct kp_err *err)
{
	return r->o.command ? kp_child_status(&r->child, r->o.command[0], err) : -ECHILD;
}

void kp_record_stop(struct kp_record *r, int sig)
{
	uint64_t one = 1;
	int e = errno;

	r->stops++;
	if (r->child.pid && !r->child.ended && sig && r->stops == 1)
		kill(r->child.pid, sig);
	if (write(r->stopfd, &one, sizeof(one)) < 0)
		r->stops++; /* cannot be: then at least the next look ends it */
	errno = e;
}

/* ---- to a writer ---- */

static int w_row(void *arg, const struct kp_row *row, struct kp_err *err)
{
	return kp_writer_row(arg, row, err);
}

static int w_key_begin(void *arg, uint64_t t0, struct kp_err *err)
{
	return kp_writer_key_begin(arg, t0, err);
}

static int w_key_end(void *arg, uint64_t t1, struct kp_err *err)
{
	return kp_writer_key_end(arg, t1, err);
}

static int w_flush(void *arg, struct kp_err *err)
{
	return kp_writer_flush(arg, err);
}

struct kp_record_sink kp_record_to_writer(struct kp_writer *w)
{
	return (struct kp_record_sink){ .row = w_row, .key_begin = w_key_begin, .key_end = w_key_end, .flush = w_flush, .arg = w };
}
