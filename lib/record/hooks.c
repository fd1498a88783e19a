/* SPDX-License-Identifier: BSD-2-Clause */
#include "hooks.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITS	"sched.*,mm.fault,fs.dirty_wait,lock.wait"
#define BLOCK	"blk.read,blk.write,blk.flush,blk.discard"
#define COUNTS	"count.mem,count.io"
/* Kinds whose rows may come out of an interrupt, where the task is a bystander. */
#define IRQ	"sched.*,sig.*,net.*,tcp.*,blk.*,mm.*,lock.*,count.irq"

/*
 * One row a program or several alike; name is that of the tracepoint, a glob. kinds: those that need it, NULL:
 * needed always. loss: the kind that a missed run is counted under, 0: any, -1: none, it makes no rows. A program
 * that is in no row is attached always.
 */
#define H(name, kinds, loss) { name, kinds, loss, NULL }
#define M(name, kinds, loss, module) { name, kinds, loss, module } /* module: whose BTF may have it */
static const struct row { const char *name, *kinds; int loss; const char *module; } table[] = {
	H("sys_enter", "sys.*", -1),
	H("sys_exit", "sys.*", 0),
	H("sched_switch", WAITS ",blk.bio," COUNTS, KP_K_SCHED_SWITCH),	/* blk.bio: since when its owner sleeps */
	H("sched_waking", "sched.*", KP_K_SCHED_WAKE),
	H("sched_wakeup_new", "sched.*", KP_K_SCHED_WAKE),
	H("sched_migrate_task", "sched.migrate", KP_K_SCHED_MIGRATE),
	H("sched_process_fork", NULL, KP_K_PROC_FORK),
	H("sched_process_exec", NULL, KP_K_PROC_EXEC),
	H("sched_process_exit", NULL, KP_K_PROC_EXIT),
	H("task_rename", NULL, KP_K_PROC_COMM),
	H("cgroup_attach_task", NULL, KP_K_PROC_CGROUP),
	H("signal_generate", "sig.send", KP_K_SIG_SEND),
	H("sock_send_length", "net.send,tcp.send,count.io", 0),
	H("sock_recv_length", "net.recv,tcp.recv,count.io", 0),
	H("inet_sock_set_state", "tcp.*", KP_K_TCP_STATE),
	H("tcp_retransmit_skb", "tcp.retransmit", KP_K_TCP_RETRANSMIT),
	H("tcp_*_reset", "tcp.reset", KP_K_TCP_RESET),
	H("block_rq_complete", BLOCK ",count.io", 0),
	H("block_rq_*", BLOCK ",count.io", -1),
	H("block_io_start", BLOCK ",count.io", -1),
	H("block_bio_queue", "blk.*", -1),
	H("block_getrq", "blk.*", KP_K_BLK_BIO),
	H("page_fault_user", "mm.fault", KP_K_MM_FAULT),
	H("mm_vmscan_*_reclaim_*", "mm.reclaim,count.mem", KP_K_MM_RECLAIM),
	H("mm_vmscan_throttled", "mm.throttled", KP_K_MM_THROTTLED),
	H("mark_victim", "mm.oom", KP_K_MM_OOM),
	H("mm_vmscan_kswapd_*", "mm.kswapd", KP_K_MM_KSWAPD),
	H("mm_filemap_*", "mm.refault,count.mem,blk.bio", -1),
	H("rss_stat", "count.mem", -1),
	H("writeback_dirty_folio", "count.mem", -1),
	H("balance_dirty_pages", "fs.dirty_wait", KP_K_FS_DIRTY_WAIT),
	M("jbd2_*_commit", "fs.commit", KP_K_FS_COMMIT, "jbd2"),
	M("ext4_sync_file_*", "fs.sync", KP_K_FS_SYNC, "ext4"),
	H("contention_*", "lock.wait", KP_K_LOCK_WAIT),
	/* whether this CPU is in an interrupt */
	H("softirq_*", IRQ, -1),
	H("irq_*", IRQ, -1),
	H("local_timer_*", IRQ, -1),
	H("reschedule_*", IRQ, -1),
	H("call_function_*", IRQ, -1),
};

static const struct row *row_of(const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (!fnmatch(table[i].name, name, 0))
			return &table[i];
	return NULL;
}

/* "tp_btf/sched_switch" hangs on sched_switch; iterators and the like hang on nothing. */
static const char *tracepoint(const struct bpf_program *p)
{
	const char *sec = bpf_program__section_name(p);

	return strncmp(sec, "tp_btf/", 7) ? NULL : sec + 7;
}

static bool in_btf(struct btf *vmlinux, const char *tp, const char *module)
{
	struct btf *mod = vmlinux;
	char type[128];
	int id;

	snprintf(type, sizeof(type), "btf_trace_%s", tp);
	id = btf__find_by_name_kind(vmlinux, type, BTF_KIND_TYPEDEF);
	if (id < 0 && module) {
		mod = btf__load_module_btf(module, vmlinux);
		if (!mod)
			return false;
		id = btf__find_by_name_kind(mod, type, BTF_KIND_TYPEDEF);
		btf__free(mod);
	}
	return id >= 0;
}

static bool any_wanted(const char *need, const struct kp_kinds *kinds, const char *patterns)
{
	const struct kp_kind *k;

	if (!need || !patterns)
		return true;
	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)); id = k->id + 1u)
		if (kp_kind_match(k, need) && kp_kind_match(k, patterns))
			return true;
	return false;
}

static void choose(struct kp_hook *h, struct bpf_program *p, const char *tp, struct btf *vmlinux,
		   const struct kp_kinds *kinds, const char *patterns, struct kp_pool *pool)
{
	const struct row *row = row_of(tp);
	const char *note = NULL;

	if (!in_btf(vmlinux, tp, row ? row->module : NULL))
		note = "this kernel has no such tracepoint";
	else if (row && !any_wanted(row->kinds, kinds, patterns))
		note = "not wanted";
	h->what = kp_pool_cstr(pool, tp);
	h->how = kp_pool_cstr(pool, "");
	h->note = note ? kp_pool_cstr(pool, note) : NULL;
	bpf_program__set_autoload(p, !note);
}

int kp_hooks_choose(struct kp_hooks *h, struct bpf_object *obj, struct btf *vmlinux, const struct kp_kinds *kinds,
		    const char *patterns, struct kp_pool *pool)
{
	struct bpf_program *p;
	uint32_t n = 0;

	memset(h, 0, sizeof(*h));
	bpf_object__for_each_program(p, obj)
		n++;
	h->hook = calloc(n + 1, sizeof(*h->hook));
	h->at = calloc(n + 1, sizeof(*h->at));
	if (!h->hook || !h->at)
		return -ENOMEM;
	bpf_object__for_each_program(p, obj) {
		const char *tp = tracepoint(p);

		if (!tp)
			continue;
		h->at[h->n].prog = p;
		choose(&h->hook[h->n++], p, tp, vmlinux, kinds, patterns, pool);
	}
	return 0;
}

void kp_hooks_refuse(struct kp_hooks *h, uint32_t i, const char *why, struct kp_pool *pool)
{
	h->hook[i].note = kp_pool_cstr(pool, why);
	bpf_program__set_autoload(h->at[i].prog, false);
}

int kp_hooks_attach(struct kp_hooks *h, struct kp_pool *pool, struct kp_err *err)
{
	char text[256], why[128];
	uint32_t attached = 0;
	int e = 0;

	for (uint32_t i = 0; i < h->n; i++) {
		if (!bpf_program__autoload(h->at[i].prog))
			continue;
		h->at[i].link = bpf_program__attach(h->at[i].prog);
		if (h->at[i].link) {
			h->hook[i].how = kp_pool_cstr(pool, bpf_program__section_name(h->at[i].prog));
			attached++;
			continue;
		}
		e = errno;
		libbpf_strerror(e, why, sizeof(why));
		snprintf(text, sizeof(text), "cannot be attached: %s", why);
		h->hook[i].note = kp_pool_cstr(pool, text);
	}
	if (!attached)
		return kp_err(err, e ? e : ENOENT, "no tracepoint could be attached: %s", strerror(e ? e : ENOENT));
	return 0;
}

void kp_hooks_detach(struct kp_hooks *h)
{
	for (uint32_t i = 0; i < h->n; i++) {
		bpf_link__destroy(h->at[i].link);
		h->at[i].link = NULL;
	}
}

static bool named(const char *name, const char *globs)
{
	char one[64];

	for (; *globs; globs += strcspn(globs, ",")) {
		globs += strspn(globs, ",");
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(globs, ","), globs);
		if (!fnmatch(one, name, 0))
			return true;
	}
	return false;
}

int kp_hooks_off(struct kp_hooks *h, const char *globs)
{
	int n = 0;

	for (uint32_t i = 0; i < h->n; i++)
		if (h->at[i].link && named(h->hook[i].what->p, globs)) {
			bpf_link__destroy(h->at[i].link);
			h->at[i].link = NULL;
			n++;
		}
	return n;
}

/* Only what was on before: a program that could not be attached then has a note. */
int kp_hooks_on(struct kp_hooks *h, const char *globs)
{
	int n = 0;

	for (uint32_t i = 0; i < h->n; i++) {
		if (h->at[i].link || h->hook[i].note || !named(h->hook[i].what->p, globs))
			continue;
		h->at[i].link = bpf_program__attach(h->at[i].prog);
		if (!h->at[i].link)
			return -errno;
		n++;
	}
	return n;
}

uint64_t kp_hooks_missed(const struct kp_hooks *h, uint32_t i)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_program__fd(h->at[i].prog);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return 0;
	return info.recursion_misses;
}

int kp_hook_loss(const struct kp_hook *h)
{
	const struct row *row = row_of(h->what->p);

	return row ? row->loss : 0;
}

const char *kp_hook_kinds(const struct kp_hook *h)
{
	const struct row *row = row_of(h->what->p);

	return row ? row->kinds : NULL;
}

int kp_hooks_runs(const struct kp_hooks *h, uint32_t i, uint64_t *runs, uint64_t *ns)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd = bpf_program__fd(h->at[i].prog);

	*runs = *ns = 0;
	if (fd < 0)
		return -ENOENT;
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*runs = info.run_cnt;
	*ns = info.run_time_ns;
	return 0;
}

void kp_hooks_free(struct kp_hooks *h)
{
	kp_hooks_detach(h);
	free(h->hook);
	free(h->at);
	memset(h, 0, sizeof(*h));
}
