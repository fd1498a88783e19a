/* SPDX-License-Identifier: BSD-2-Clause */
/* Where events come from on this host, and what each source costs. */
#include "rec.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <kp/util.h>

#include "kprobe.skel.h"

/* What is not an event of the kernel, but read by the recorder itself. */
static const struct { const char *what, *how, *kinds; } polled[] = {
	{ "tasks", "iterator, every 10 s and in keyframes", "key.task,sched.sleep,sys.*" },
	{ "/proc", "in keyframes", "key.file,key.host" },
	{ "counters", "of the hooks above, every 100 ms", "count.mem,count.io,count.irq,count.sys" },
	{ "cgroups and PSI", "their files, every second", "cg.limit,cg.cpu,cg.pressure" },
	{ "clocks", "every 10 s, and when one was set", "clock.sync" },
	{ "CPU budget", "the cost of the hooks above", "budget.step" },
	{ "losses", "counted by the hooks above", "loss.kernel,loss.shed" },
};

int kp_record_measure(void)
{
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);

	return fd < 0 ? -errno : fd;
}

uint64_t kp_record_bpf_time(const struct kp_record *r)
{
	uint64_t sum = 0, runs, ns;

	for (uint32_t i = 0; i < r->hooks.n; i++)
		if (!kp_hooks_runs(&r->hooks, i, &runs, &ns))
			sum += ns;
	return sum;
}

/* Sources that serve all kinds serve the one of their losses first, which is what they are for. */
static const char *kinds_of(const struct kp_record *r, const struct kp_hook *h)
{
	const char *kinds = kp_hook_kinds(h);
	int loss = kp_hook_loss(h);
	const struct kp_kind *k = !kinds && loss > 0 ? kp_kind_by_id(r->kinds, loss) : NULL;

	return kinds ? kinds : k ? k->name : "all";
}

static int put_hook(const struct kp_record *r, uint32_t i, struct kp_buf *out, uint64_t elapsed)
{
	const struct kp_hook *h = &r->hooks.hook[i];
	char rate[24] = "-", cost[24] = "-", share[24] = "-";
	uint64_t runs, ns;

	if (elapsed && !h->note && !kp_hooks_runs(&r->hooks, i, &runs, &ns) && runs) {
		snprintf(rate, sizeof(rate), "%.1f", (double)runs * SEC / elapsed);
		snprintf(cost, sizeof(cost), "%.0f", (double)ns / runs);
		snprintf(share, sizeof(share), "%.3f", 100.0 * ns / elapsed);
	}
	kp_buf_printf(out, "%-34s %-36s %10s %7s %7s  %s\n", h->what->p, h->note ? "-" : h->how->p, rate, cost, share,
		      h->note ? h->note->p : kinds_of(r, h));
	return out->err;
}

static void put_all(const struct kp_record *r, struct kp_buf *out, uint64_t elapsed)
{
	kp_buf_printf(out, "%-34s %-36s %10s %7s %7s  %s\n", "SOURCE", "HOOK", "RUNS/s", "ns/RUN", "% CPU", "KINDS");
	for (uint32_t i = 0; i < r->hooks.n; i++)
		put_hook(r, i, out, elapsed);
	for (size_t i = 0; i < sizeof(polled) / sizeof(*polled); i++)
		kp_buf_printf(out, "%-34s %-36s %10s %7s %7s  %s\n", polled[i].what,
			      !i && !r->iter ? "/proc, every 10 s and in keyframes" : polled[i].how, "-", "-", "-", polled[i].kinds);
}

static int nothing(void *arg, const struct kp_row *row, struct kp_err *err)
{
	return 0;
}

static int no_time(void *arg, uint64_t t, struct kp_err *err)
{
	return 0;
}

int kp_rec_survey(struct kp_record *r, const struct kp_record_opts *o)
{
	struct btf *vmlinux = btf__load_vmlinux_btf();
	int rc = vmlinux ? 0 : -ENOTSUP;

	*r = (struct kp_record){ .o = *o };
	r->skel = kprobe_bpf__open();
	if (!rc && (!r->skel || kp_kinds_new(&r->kinds) || kp_pool_new(&r->texts)))
		rc = -ENOMEM;
	if (!rc)
		rc = kp_hooks_choose(&r->hooks, r->skel->obj, vmlinux, r->kinds, o->kinds, r->texts);
	/* None was tried. */
	for (uint32_t i = 0; !rc && i < r->hooks.n; i++)
		if (!r->hooks.hook[i].note)
			r->hooks.hook[i].how = kp_pool_cstr(r->texts, bpf_program__section_name(r->hooks.at[i].prog));
	btf__free(vmlinux);
	return rc;
}

void kp_rec_survey_end(struct kp_record *r)
{
	kp_hooks_free(&r->hooks);
	kprobe_bpf__destroy(r->skel);
	kp_pool_free(r->texts);
	kp_kinds_free(r->kinds);
}

static int list_only(struct kp_buf *out, const struct kp_record_opts *o)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	struct kp_record r;
	int rc = kp_rec_survey(&r, o);

	if (!rc)
		put_all(&r, out, 0);
	kp_rec_survey_end(&r);
	libbpf_set_print(print);
	return rc;
}

int kp_record_sources(struct kp_record *r, const struct kp_record_opts *o, struct kp_buf *out, struct kp_err *err)
{
	const struct kp_record_sink none = { .row = nothing, .key_begin = no_time, .key_end = no_time };
	uint64_t begun;
	int fd = -1, rc;

	if (!r) {
		rc = list_only(out, o);
	} else {
		/* The buffers are emptied meanwhile: what finds no room costs less. */
		fd = kp_record_measure();
		begun = kp_now_mono();
		rc = kp_record_run(r, &none, err);
		if (!rc)
			put_all(r, out, fd < 0 ? 0 : kp_now_mono() - begun);
	}
	if (fd >= 0)
		close(fd);
	if (!rc && out->err)
		rc = -ENOMEM;
	return rc && !err->msg[0] ? kp_err(err, -rc, "event sources: %s", strerror(-rc)) : rc;
}
