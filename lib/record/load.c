/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets the BPF side up: configuration, maps, programs. */
#include "rec.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kp/util.h>

#include "filter.h"
#include "kprobe.skel.h"

#define SUDO "run it as root (sudo kp-record ...), or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and CAP_SYSLOG"

/* One map shows what may be done: nothing else is left half set up when it is refused. */
static int check_kernel(struct kp_err *err)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0, 4096, NULL), e = errno;

	if (fd >= 0)
		close(fd);
	else if (e == EPERM || e == EACCES)
		return kp_err(err, EPERM, "the kernel refuses BPF: %s", SUDO);
	else if (e == ENOSYS)
		return kp_err(err, ENOTSUP, "this kernel has no BPF: use one built with CONFIG_BPF_SYSCALL");
	else
		return kp_err(err, ENOTSUP, "this kernel has no BPF ring buffers (%s): 5.8 or later is needed", strerror(e));
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return kp_err(err, ENOTSUP, "no BTF in /sys/kernel/btf/vmlinux: a kernel built with CONFIG_DEBUG_INFO_BTF is needed, "
			      "and /sys must be mounted");
	return 0;
}

static uint64_t round_up_pow2(uint64_t n)
{
	uint64_t p = sysconf(_SC_PAGESIZE);

	while (p < n)
		p *= 2;
	return p;
}

/* 16 MiB hold 150000 records or so. With many CPUs or little memory less each: 128 MiB and a 32nd of it together. */
static uint64_t ring_size(const struct kp_record_opts *o, uint32_t ncpu)
{
	uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 32, size = 16ull << 20;

	if (o->buffer)
		return round_up_pow2(o->buffer);
	if (all > 128ull << 20)
		all = 128ull << 20;
	while (size > 512 << 10 && size * ncpu > all)
		size /= 2;
	return size;
}

/* Pages that have left memory are remembered for as much of all files as fits it twice, within reason. */
static uint32_t gone_entries(void)
{
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), n = 2 * ram >> 16;

	return n < 16384 ? 16384 : n > 131072 ? 131072 : n;
}

static int configure(struct kp_record *r, const struct btf *vmlinux, struct kp_err *err)
{
	struct rec_cfg *c = &r->skel->rodata->cfg;
	const struct kp_record_opts *o = &r->o;

	c->min_dur = o->min_dur;
	c->stack_min = o->stack_min == UINT64_MAX ? 0 : o->stack_min;
	c->blk_wait_min = MS;
	c->lock_min = r->profile.lock_min;
	c->user_stack = r->profile.user_stack;
	c->call_short = r->profile.call_min ? r->profile.call_min : CALL_SHORT;
	c->message_min = r->profile.message_min;
	c->data_max = o->data == KP_DATA_NONE ? 0 : o->data == KP_DATA_RAW ? o->payload : 1024;
	/* Early enough that what comes meanwhile finds room, late enough to be worth it. */
	c->wake_bytes = r->ring_size / 4;
	c->ncpu = r->ncpu;
	c->exclude = !o->no_exclude;
	c->cost = o->cpu_budget != UINT32_MAX;
	c->filter_pid = o->npids || (o->command && !o->all && !o->comm && !o->cgroup);
	c->count_mem = kp_filter_any(r->kinds, o->kinds, "count.mem");
	c->count_io = kp_filter_any(r->kinds, o->kinds, "count.io");
	c->refault = kp_filter_any(r->kinds, o->kinds, "mm.refault");
	c->cgroup_subsys = ~0u;
	if (o->comm) {
		c->filter_comm = 1;
		memcpy(c->comm, o->comm, strnlen(o->comm, sizeof(c->comm) - 1));
	}
	return o->cgroup ? kp_filter_cgroup(c, o->cgroup, "/proc/self/mountinfo", vmlinux, err) : 0;
}

static int load_error(int rc, struct kp_err *err)
{
	if (rc == -EPERM)
		return kp_err(err, EPERM, "the kernel refuses to load BPF programs: %s", SUDO);
	return kp_err(err, -rc, "this kernel does not take the BPF programs: %s: -vv shows what it says of them", strerror(-rc));
}

/* Programs that the verifier of this kernel does not take: all others go without them. */
struct refused { char name[16][64]; uint32_t n; };

static bool is_refused(const struct refused *x, const char *name)
{
	for (uint32_t i = 0; i < x->n; i++)
		if (!strcmp(x->name[i], name))
			return true;
	return false;
}

/* Opens anew (what failed to load cannot be loaded again), and finds out which program it was. 0, 1: try again, -errno. */
static int try_load(struct kp_record *r, const struct btf *vmlinux, struct refused *x, struct kp_err *err)
{
	enum { LOG = 256 };
	char *logs = NULL;
	int rc = -ENOMEM;

	kp_hooks_free(&r->hooks);
	kprobe_bpf__destroy(r->skel);
	r->skel = kprobe_bpf__open();
	if (!r->skel)
		return load_error(-errno, err);
	rc = configure(r, vmlinux, err);
	if (rc)
		return rc;
	rc = kp_hooks_choose(&r->hooks, r->skel->obj, (struct btf *)vmlinux, r->kinds, r->o.kinds, r->texts);
	logs = calloc(r->hooks.n + 1, LOG);
	if (rc || !logs) {
		rc = kp_err(err, ENOMEM, "out of memory");
		goto out;
	}
	for (uint32_t i = 0; i < r->hooks.n; i++) {
		if (is_refused(x, r->hooks.hook[i].what->p))
			kp_hooks_refuse(&r->hooks, i, "this kernel's verifier refuses the program", r->texts);
		else if (!r->o.libbpf_prints)
			bpf_program__set_log_buf(r->hooks.at[i].prog, logs + i * LOG, LOG);
	}
	bpf_map__set_max_entries(r->skel->maps.rings, r->ncpu);
	bpf_map__set_max_entries(r->skel->maps.gone, r->skel->rodata->cfg.refault ? gone_entries() : 1);
	rc = kprobe_bpf__load(r->skel);
	/* Only the program at fault has a log. */
	for (uint32_t i = 0; rc < 0 && i < r->hooks.n && x->n < sizeof(x->name) / sizeof(*x->name); i++)
		if (logs[i * LOG]) {
			snprintf(x->name[x->n++], sizeof(*x->name), "%s", r->hooks.hook[i].what->p);
			rc = 1;
		}
	if (rc < 0)
		load_error(rc, err);
	for (uint32_t i = 0; i < r->hooks.n; i++)
		bpf_program__set_log_buf(r->hooks.at[i].prog, NULL, 0);
out:
	free(logs);
	return rc;
}

static int open_and_load(struct kp_record *r, struct kp_err *err)
{
	struct btf *vmlinux = btf__load_vmlinux_btf();
	struct refused x = { .n = 0 };
	int rc;

	if (!vmlinux)
		return kp_err(err, ENOTSUP, "/sys/kernel/btf/vmlinux: cannot read BTF: %s", strerror(errno));
	do
		rc = try_load(r, vmlinux, &x, err);
	while (rc == 1);
	btf__free(vmlinux);
	return rc;
}

static void read_online(char *list, size_t cap)
{
	FILE *f = fopen("/sys/devices/system/cpu/online", "re");

	/* Without /sys all that are possible. */
	if (!f || !fgets(list, cap, f))
		snprintf(list, cap, "0-%u", UINT32_MAX);
	if (f)
		fclose(f);
}

static int make_ring(struct kp_record *r, uint32_t cpu)
{
	int map = bpf_map__fd(r->skel->maps.rings), rc;

	r->ring_fd[cpu] = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, r->ring_size, NULL);
	if (r->ring_fd[cpu] < 0)
		return -errno;
	rc = kp_ring_map(&r->ring[cpu], r->ring_fd[cpu], r->ring_size);
	if (!rc && bpf_map_update_elem(map, &cpu, &r->ring_fd[cpu], BPF_ANY))
		rc = -errno;
	if (rc) {
		kp_ring_unmap(&r->ring[cpu]);
		close(r->ring_fd[cpu]);
		r->ring_fd[cpu] = -1;
	}
	return rc;
}

int kp_rec_more_rings(struct kp_record *r)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET }; /* there is always something to read: only news count */
	char list[4096];
	int rc = 0;

	read_online(list, sizeof(list));
	for (uint32_t i = 0; i < r->ncpu && !rc; i++) {
		if (r->ring[i].consumer || !kp_cpu_listed(list, i))
			continue;
		rc = make_ring(r, i);
		if (!rc && epoll_ctl(r->epfd, EPOLL_CTL_ADD, r->ring_fd[i], &e))
			rc = -errno;
	}
	return rc;
}

static int make_rings(struct kp_record *r, struct kp_err *err)
{
	int rc;

	r->ring = calloc(r->ncpu, sizeof(*r->ring));
	r->ring_fd = calloc(r->ncpu, sizeof(*r->ring_fd));
	if (!r->ring || !r->ring_fd)
		return kp_err(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < r->ncpu; i++)
		r->ring_fd[i] = -1;
	rc = kp_rec_more_rings(r);
	if (rc)
		kp_err(err, -rc, "no room for a buffer of %llu bytes for each CPU: %s: try a smaller --buffer",
		       (unsigned long long)r->ring_size, strerror(-rc));
	return rc;
}

static int add_pid(int map, uint32_t pid)
{
	char value[64] = { 1 };

	return bpf_map_update_elem(map, &pid, value, BPF_ANY) ? -errno : 0;
}

/* The process that a thread belongs to; 0 when there is none such. */
static uint32_t process_of(uint32_t pid)
{
	char path[64], line[128];
	uint32_t tgid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (!tgid && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %u", &tgid) != 1)
			tgid = 0;
	fclose(f);
	return tgid;
}

/* The programs see the numbers of the first namespace, and there is no way to learn those from inside another. */
static bool in_first_pidns(void)
{
	const ino_t first = 0xeffffffc; /* PROC_PID_INIT_INO of the kernel */
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == first;
}

static int fill_pids(struct kp_record *r, struct kp_err *err)
{
	int map = bpf_map__fd(r->skel->maps.pids), rc = 0;
	uint32_t tgid;

	if (!in_first_pidns())
		return kp_err(err, ENOTSUP, "processes cannot be told apart from inside a pid namespace: "
			      "share the host's (docker run --pid=host), or use --cgroup or --all");
	for (uint32_t i = 0; i < r->o.npids && !rc; i++) {
		tgid = process_of(r->o.pids[i]);
		if (!tgid)
			return kp_err(err, ESRCH, "--pid %u: there is no such process", r->o.pids[i]);
		if (tgid != r->o.pids[i])
			return kp_err(err, ESRCH, "--pid %u: this is a thread: give its process, %u", r->o.pids[i], tgid);
		rc = add_pid(map, tgid);
	}
	if (!rc && r->child.pid && !r->o.all)
		rc = add_pid(map, r->child.pid);
	return rc ? kp_err(err, -rc, "--pid: the kernel does not take it: %s", strerror(-rc)) : 0;
}

static void fill_excluded(struct kp_record *r)
{
	int map = bpf_map__fd(r->skel->maps.excluded);
	const int fds[] = { r->o.stream_fd, STDERR_FILENO };
	struct kp_excluded x, *kept = &r->excluded;

	if (!in_first_pidns()) {
		kp_rec_say(r, 0, "inside a pid namespace the recorder cannot leave itself out");
		return;
	}
	kp_exclude_find(&x, "/proc", fds, 2);
	for (uint32_t i = 0; i < x.n; i++) {
		/* Who is asked for by number is wanted, whoever it is. */
		bool asked = x.pid[i] == (uint32_t)r->child.pid;

		for (uint32_t j = 0; j < r->o.npids; j++)
			asked |= r->o.pids[j] == x.pid[i];
		if (asked && i)
			continue;
		kept->pid[kept->n++] = x.pid[i];
		add_pid(map, x.pid[i]);
		kp_rec_say(r, 1, "not recorded: process %u%s", x.pid[i], i ? "" : " (the recorder)");
	}
}

static int attach_iter(struct kp_record *r)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, opts);

	r->iter = bpf_program__attach_iter(r->skel->progs.it_tasks, &opts);
	return r->iter ? 0 : -errno;
}

static void say_missing(const struct kp_record *r)
{
	char names[400] = "";
	size_t len = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->hooks.n; i++) {
		const struct kp_hook *h = &r->hooks.hook[i];

		if (!h->note || !strcmp(h->note->p, "not wanted"))
			continue;
		kp_rec_say(r, 1, "%s: %s", h->what->p, h->note->p);
		if (len < sizeof(names) - 80)
			len += snprintf(names + len, sizeof(names) - len, "%s%s", n ? ", " : "", h->what->p);
		n++;
	}
	if (n)
		kp_rec_say(r, 0, "%u of %u tracepoints are missing here (%s%s): kp-query --info says more", n, r->hooks.n, names,
			   len >= sizeof(names) - 80 ? ", ..." : "");
}

int kp_rec_load(struct kp_record *r, struct kp_err *err)
{
	libbpf_print_fn_t print = NULL;
	int rc;

	/* libbpf prints by itself, and has one function for a whole process to stop it. */
	if (!r->o.libbpf_prints)
		print = libbpf_set_print(NULL);
	r->ncpu = libbpf_num_possible_cpus();
	r->ring_size = ring_size(&r->o, sysconf(_SC_NPROCESSORS_ONLN));
	rc = check_kernel(err);
	if (!rc)
		rc = open_and_load(r, err);
	if (!rc)
		rc = make_rings(r, err);
	if (rc)
		goto out;
	r->skel->bss->live.sys_gen = 1;	/* 0 is that of a task that has not been seen */
	kp_filter_syscalls(r->skel->bss->sys_info, r->kinds, r->o.kinds, r->o.data != KP_DATA_NONE);
	if (r->skel->rodata->cfg.filter_pid)
		rc = fill_pids(r, err);
	if (!rc && !r->o.no_exclude)
		fill_excluded(r);
	if (!rc)
		rc = kp_hooks_attach(&r->hooks, r->texts, err);
	if (!rc) {
		say_missing(r);
		if (attach_iter(r))
			kp_rec_say(r, 1, "no task iterator here: keyframes come from /proc, and have no stacks");
		/* What tasks have summed up is fetched by it in the end. */
		if (r->iter && r->profile.call_min)
			r->skel->bss->live.shed = SHED_CALLS;
		r->skel->bss->live.since = kp_now_mono();
		__atomic_store_n(&r->skel->bss->live.on, 1, __ATOMIC_RELEASE);
	}
out:
	if (!r->o.libbpf_prints)
		libbpf_set_print(print);
	return rc;
}

void kp_rec_detach(struct kp_record *r)
{
	if (!r->skel || !r->skel->bss || !r->skel->bss->live.on)
		return;
	__atomic_store_n(&r->skel->bss->live.on, 0, __ATOMIC_RELEASE);
	kp_hooks_detach(&r->hooks);
	/* Waits until no CPU is inside a program any more. */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(10000);
}

void kp_rec_unload(struct kp_record *r)
{
	kp_rec_detach(r);
	for (uint32_t i = 0; r->ring && i < r->ncpu; i++)
		kp_ring_unmap(&r->ring[i]);
	for (uint32_t i = 0; r->ring_fd && i < r->ncpu; i++)
		if (r->ring_fd[i] >= 0)
			close(r->ring_fd[i]);
	free(r->ring);
	free(r->ring_fd);
	kp_hooks_free(&r->hooks);
	bpf_link__destroy(r->iter);
	kprobe_bpf__destroy(r->skel);
	r->ring = NULL;
	r->ring_fd = NULL;
	r->iter = NULL;
	r->skel = NULL;
}

int kp_rec_map_fd(const struct kp_record *r, const char *name)
{
	const struct bpf_map *m = bpf_object__find_map_by_name(r->skel->obj, name);

	return m ? bpf_map__fd(m) : -1;
}
