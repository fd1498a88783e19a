/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host can do, found out by looking, and in the end by trying. */
#include "rec.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "privilege.h"

static void __attribute__((format(printf, 4, 5))) put(struct kp_buf *out, bool ok, const char *what, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	kp_buf_printf(out, "%-8s %-20s %s\n", ok ? "ok" : "missing", what, line);
}

/* The first bytes of a file, without the newline; its length or -errno. */
static ssize_t slurp(const char *path, char *buf, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = 0;
	if (fd < 0)
		return -errno;
	n = read(fd, buf, cap - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	buf[n > 0 ? n : 0] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return n;
}

static void check_kernel(struct kp_buf *out)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return;
	put(out, major > 5 || (major == 5 && minor >= 15), "kernel", "%s%s", u.release,
	    major > 5 || (major == 5 && minor >= 15) ? "" : ": 5.15 or later is needed");
}

static void check_privilege(struct kp_buf *out)
{
	uint64_t have = kp_caps();
	const struct kp_cap *c;

	for (size_t i = 0; (c = kp_cap_needed(i)); i++)
		if (have >> c->cap & 1)
			put(out, true, c->name, "held");
		else
			put(out, false, c->name, "%s: run it as root, or give it this capability (setcap, AmbientCapabilities=)", c->without);
}

static void check_lockdown(struct kp_buf *out)
{
	char text[128];
	ssize_t n = slurp("/sys/kernel/security/lockdown", text, sizeof(text));

	if (n < 0)
		put(out, true, "lockdown", n == -ENOENT ? "none: this kernel has no lockdown, or securityfs is not mounted" : "unknown: %s",
		    strerror((int)-n));
	else if (strstr(text, "[confidentiality]"))
		put(out, false, "lockdown", "confidentiality: BPF must not look at the kernel: boot with lockdown=integrity or without");
	else
		put(out, true, "lockdown", "%s", strstr(text, "[integrity]") ? "integrity: recording is allowed" : "none");
}

static void check_symbols(struct kp_buf *out)
{
	char text[128], restricts[16];

	if (slurp("/proc/kallsyms", text, sizeof(text)) <= 0)
		put(out, false, "kallsyms", "/proc/kallsyms cannot be read: stacks have no names: a kernel with CONFIG_KALLSYMS is needed");
	else if (strtoull(text, NULL, 16))
		put(out, true, "kallsyms", "functions in stacks have names");
	else
		put(out, false, "kallsyms", "its addresses are hidden, stacks have no names: %s",
		    slurp("/proc/sys/kernel/kptr_restrict", restricts, sizeof(restricts)) > 0 && *restricts == '2' ?
		    "sysctl kernel.kptr_restrict=1" : "CAP_SYSLOG is needed");
}

static void check_tracefs(struct kp_buf *out)
{
	if (!access("/sys/kernel/tracing/events", F_OK))
		put(out, true, "tracefs", "/sys/kernel/tracing");
	else if (!access("/sys/kernel/debug/tracing/events", F_OK))
		put(out, true, "tracefs", "/sys/kernel/debug/tracing");
	else
		put(out, geteuid() != 0, "tracefs", "%s", geteuid() ? "cannot be looked at without root" :
		    "not mounted; recording does without, by BTF: mount -t tracefs tracefs /sys/kernel/tracing");
}

/* Which trees of control groups there are, and what is told of the groups in them. */
static void check_cgroups(struct kp_buf *out)
{
	char v1[256] = "", v2[256] = "", path[300], controllers[256] = "", all[512];
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent *m;

	while (f && (m = getmntent(f))) {
		if (!strcmp(m->mnt_type, "cgroup2") && !*v2) {
			snprintf(v2, sizeof(v2), "%s", m->mnt_dir);
		} else if (!strcmp(m->mnt_type, "cgroup")) {
			const char *name = strrchr(m->mnt_dir, '/');
			size_t len = strlen(v1);

			snprintf(v1 + len, sizeof(v1) - len, " %s", name ? name + 1 : m->mnt_dir);
		}
	}
	if (f)
		endmntent(f);
	if (*v2) {
		snprintf(path, sizeof(path), "%s/cgroup.controllers", v2);
		slurp(path, controllers, sizeof(controllers));
	}
	if (!*v1 && !*v2)
		put(out, false, "cgroups", "not mounted: no cgroup has limits or counters: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	else
		put(out, true, "cgroups", "%s%s%s%s%s%s", *v2 ? "version 2 in " : "", v2, *v2 ? ": " : "",
		    *v2 ? *controllers ? controllers : "no controllers" : "", *v1 ? *v2 ? "; version 1:" : "version 1:" : "", v1);
	snprintf(all, sizeof(all), "%s %s", v1, controllers);
	for (int i = 0; i < 2; i++) {
		static const char *const name[] = { "memory", "cpu" }, *const kind[] = { "cg.limit", "cg.cpu" };

		put(out, strstr(all, name[i]), i ? "cgroup cpu" : "cgroup memory", strstr(all, name[i]) ? "%s rows" :
		    "no %s rows: the controller is not on", kind[i]);
	}
}

static void check_rest(struct kp_buf *out)
{
	char text[128];
	struct stat st;

	if (slurp("/proc/pressure/memory", text, sizeof(text)) > 0)
		put(out, true, "PSI", "/proc/pressure");
	else
		put(out, false, "PSI", "no /proc/pressure, so no cg.pressure rows: boot with psi=1 (a kernel with CONFIG_PSI)");
	put(out, true, "delay accounting", "%s, and not needed", slurp("/proc/sys/kernel/task_delayacct", text, sizeof(text)) > 0 ?
	    *text == '1' ? "on" : "off" : "not in this kernel");
	if (stat("/proc/self/ns/pid", &st) || st.st_ino == 0xeffffffc) /* PROC_PID_INIT_INO of the kernel */
		put(out, true, "pid namespace", "the host's");
	else
		put(out, false, "pid namespace", "of a container: -p and COMMAND are refused: share the host's (docker run --pid=host)");
}

static bool check_btf(struct kp_buf *out)
{
	bool ok = !access("/sys/kernel/btf/vmlinux", R_OK);

	put(out, ok, "BTF", ok ? "/sys/kernel/btf/vmlinux" :
	    "no /sys/kernel/btf/vmlinux: a kernel built with CONFIG_DEBUG_INFO_BTF is needed, and /sys must be mounted");
	return ok;
}

static void put_hooks(struct kp_buf *out, const struct kp_hooks *h)
{
	for (uint32_t i = 0; i < h->n; i++) {
		const struct kp_hook *k = &h->hook[i];

		put(out, !k->note || !strcmp(k->note->p, "not wanted"), "hook", "%s: %s", k->what->p, k->note ? k->note->p : k->how->p);
	}
}

/* Without privilege what the kernel has can be seen, but not tried. */
static void look_at_hooks(struct kp_buf *out, const struct kp_record_opts *o)
{
	struct kp_record r;

	if (!kp_rec_survey(&r, o))
		put_hooks(out, &r.hooks);
	kp_rec_survey_end(&r);
}

int kp_record_check(struct kp_buf *out, const struct kp_record_opts *o, struct kp_err *err)
{
	struct kp_record_opts t = { .kinds = o->kinds, .buffer = o->buffer, .stream_fd = -1, .libbpf_prints = o->libbpf_prints };
	libbpf_print_fn_t print = o->libbpf_prints ? NULL : libbpf_set_print(NULL);
	struct kp_err why = { 0 };
	struct kp_record *r = NULL;
	uint32_t rings = 0;
	bool btf;
	int rc;

	check_kernel(out);
	check_privilege(out);
	btf = check_btf(out);
	check_tracefs(out);
	check_lockdown(out);
	check_symbols(out);
	check_cgroups(out);
	check_rest(out);
	rc = kp_record_new(&r, &t, &why);
	if (!rc) {
		for (uint32_t i = 0; i < r->ncpu; i++)
			rings += r->ring[i].consumer != NULL;
		put(out, true, "ring buffers", "%u of %llu KiB each", rings, (unsigned long long)r->ring_size >> 10);
		put(out, r->iter, "task iterator", "%s", r->iter ? "attached" : "not in this kernel: open sleeps have no stacks");
		put_hooks(out, &r->hooks);
	} else if (btf) {
		look_at_hooks(out, o);
	}
	put(out, !rc, "recording", "%s", rc ? why.msg : "is possible");
	kp_record_free(r);
	if (!o->libbpf_prints)
		libbpf_set_print(print);
	if (out->err || rc == -ENOMEM)
		return kp_err(err, ENOMEM, "out of memory");
	return !rc;
}
