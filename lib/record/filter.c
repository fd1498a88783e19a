/* SPDX-License-Identifier: BSD-2-Clause */
#include "filter.h"

#include <bpf/btf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <kp/util.h>

/* ---- system calls ---- */

/* Calls that move the bytes of messages: the argument they are at, and what it points to. */
static const struct { uint16_t kind; int8_t arg; uint8_t how; } messages_of[] = {
	{ KP_K_SYS_read, 1, 0 }, { KP_K_SYS_write, 1, 0 },
	{ KP_K_SYS_sendto, 1, 0 }, { KP_K_SYS_recvfrom, 1, 0 },
	{ KP_K_SYS_readv, 1, 1 }, { KP_K_SYS_writev, 1, 1 },
	{ KP_K_SYS_sendmsg, 1, 2 }, { KP_K_SYS_recvmsg, 1, 2 },
	{ KP_K_SYS_sendmmsg, 1, 2 }, { KP_K_SYS_recvmmsg, 1, 2 },
};

/* Calls that say more by the addresses of their socket. */
static const uint16_t with_addresses[] = {
	KP_K_SYS_connect, KP_K_SYS_accept, KP_K_SYS_accept4, KP_K_SYS_bind, KP_K_SYS_listen, KP_K_SYS_shutdown,
};

/* Calls that are never left out: they tell what descriptors, names and tasks are, beside those whose result is a descriptor. */
static const uint16_t kept[] = {
	KP_K_SYS_pipe, KP_K_SYS_pipe2, KP_K_SYS_socketpair, KP_K_SYS_fcntl, KP_K_SYS_execve, KP_K_SYS_execveat,
	KP_K_SYS_clone, KP_K_SYS_clone3, KP_K_SYS_fork, KP_K_SYS_vfork, KP_K_SYS_close_range, KP_K_SYS_chdir, KP_K_SYS_fchdir,
	KP_K_SYS_rename, KP_K_SYS_renameat, KP_K_SYS_renameat2, KP_K_SYS_unlink, KP_K_SYS_unlinkat, KP_K_SYS_kill,
	KP_K_SYS_tgkill, KP_K_SYS_mount, KP_K_SYS_umount2, KP_K_SYS_fsync, KP_K_SYS_fdatasync,
};

/* Calls whose result is a number of bytes. */
static const uint16_t in_bytes[] = {
	KP_K_SYS_read, KP_K_SYS_write, KP_K_SYS_pread64, KP_K_SYS_pwrite64, KP_K_SYS_readv, KP_K_SYS_writev,
	KP_K_SYS_preadv, KP_K_SYS_pwritev, KP_K_SYS_preadv2, KP_K_SYS_pwritev2, KP_K_SYS_sendfile, KP_K_SYS_splice,
	KP_K_SYS_tee, KP_K_SYS_copy_file_range, KP_K_SYS_sendto, KP_K_SYS_recvfrom, KP_K_SYS_sendmsg, KP_K_SYS_recvmsg,
	KP_K_SYS_getrandom, KP_K_SYS_getdents64,
};

static bool among(uint16_t id, const uint16_t *list, size_t n)
{
	while (n-- > 0)
		if (list[n] == id)
			return true;
	return false;
}

static struct sys_info info_of(const struct kp_kind *k, const char *patterns, bool messages)
{
	struct sys_info s = { .nargs = k->nargs, .fdarg = k->fdarg, .strarg = -1, .bufarg = -1,
			      .retfd = k->ret_unit == KP_U_FD, .enter_fd = k->id == KP_K_SYS_close,
			      .nr = k->id - KP_K_SYS };

	s.want = !patterns || kp_kind_match(k, patterns);
	for (int i = k->nargs; i-- > 0;)
		if (k->unit[i] == KP_U_STR)
			s.strarg = i;
	for (size_t i = 0; messages && i < sizeof(messages_of) / sizeof(*messages_of); i++)
		if (messages_of[i].kind == k->id) {
			s.bufarg = messages_of[i].arg;
			s.bufkind = messages_of[i].how;
		}
	s.sock = among(k->id, with_addresses, sizeof(with_addresses) / sizeof(*with_addresses));
	s.keep = s.sock || s.retfd || s.enter_fd || among(k->id, kept, sizeof(kept) / sizeof(*kept));
	s.bytes = among(k->id, in_bytes, sizeof(in_bytes) / sizeof(*in_bytes));
	return s;
}

#ifdef __x86_64__
static const struct { uint16_t nr, kind; } compat[] = {
#define KP_COMPAT(nr, name) { nr, KP_K_SYS_##name },
#include "compat.def"
#undef KP_COMPAT
};

/* 32-bit programs: calls by numbers of their own, and pointers inside structures are shorter. */
static void compat_syscalls(struct sys_info *info, const struct kp_kinds *kinds, const char *patterns, bool messages)
{
	for (size_t i = 0; i < sizeof(compat) / sizeof(*compat); i++) {
		struct sys_info *s = &info[SYS_MAX + compat[i].nr];

		*s = info_of(kp_kind_by_id(kinds, compat[i].kind), patterns, messages);
		if (s->bufkind)
			s->bufarg = -1;
	}
}
#else
static void compat_syscalls(struct sys_info *info, const struct kp_kinds *kinds, const char *patterns, bool messages)
{
}
#endif

void kp_filter_syscalls(struct sys_info *info, const struct kp_kinds *kinds, const char *patterns, bool messages)
{
	const struct kp_kind *k;

	/* This machine's numbers are those of the kinds: x86-64. */
	for (uint32_t id = KP_K_SYS; (k = kp_kind_next(kinds, id)) && k->id < KP_K_SYS + SYS_MAX; id = k->id + 1u)
		info[k->id - KP_K_SYS] = info_of(k, patterns, messages);
	compat_syscalls(info, kinds, patterns, messages);
}

/* ---- kinds ---- */

bool kp_filter_any(const struct kp_kinds *kinds, const char *patterns, const char *of)
{
	const struct kp_kind *k;

	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)); id = k->id + 1u)
		if (kp_kind_match(k, of) && (!patterns || kp_kind_match(k, patterns)))
			return true;
	return false;
}

static int unknown_kind(const struct kp_kinds *kinds, const char *name, struct kp_err *err)
{
	const char *names[1024], *near;
	const struct kp_kind *k;
	size_t n = 0;

	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)) && n < sizeof(names) / sizeof(*names); id = k->id + 1u)
		names[n++] = k->name;
	near = kp_nearest(name, strlen(name), names, n);
	return kp_err(err, EINVAL, "--events: no kind is called %s%s%s: see kp-query --kinds", name,
		      near ? "; did you mean " : "", near ? near : "");
}

int kp_filter_check(const struct kp_kinds *kinds, const char *patterns, struct kp_err *err)
{
	char one[128];

	for (const char *p = patterns; ; p++) {
		size_t len = strcspn(p, ",");

		if (!len || len >= sizeof(one))
			return kp_err(err, EINVAL, "--events takes names and globs, separated by commas, not '%s'", patterns);
		memcpy(one, p, len);
		one[len] = 0;
		if (!kp_filter_any(kinds, one, "*"))
			return unknown_kind(kinds, one, err);
		p += len;
		if (!*p)
			return 0;
	}
}

/* ---- cgroups ---- */

struct mount { char point[PATH_MAX], options[512]; bool unified, found; };

/* "24 30 0:26 / /sys/fs/cgroup/memory rw,... shared:9 - cgroup cgroup rw,memory" */
static bool parse_mount(const char *line, struct mount *m)
{
	const char *dash = strstr(line, " - ");
	char root[PATH_MAX], type[32];

	m->options[0] = 0;
	if (!dash || sscanf(dash, " - %31s %*s %511s", type, m->options) < 1 || strncmp(type, "cgroup", 6) != 0)
		return false;
	m->unified = !strcmp(type, "cgroup2");
	return sscanf(line, "%*s %*s %*s %4095s %4095s", root, m->point) == 2;
}

/* The kernel's index of the controller that a v1 mount has, by its enum; -1 for one without any. */
static int subsystem(const struct mount *m, const struct btf *vmlinux)
{
	int id = btf__find_by_name_kind(vmlinux, "cgroup_subsys_id", BTF_KIND_ENUM);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(vmlinux, id);
	const struct btf_enum *e = t ? btf_enum(t) : NULL;
	char want[128], copy[512], *name, *save = NULL;

	snprintf(copy, sizeof(copy), "%s", m->options);
	for (name = strtok_r(copy, ",", &save); t && name; name = strtok_r(NULL, ",", &save)) {
		/* in the kernel blkio is called io */
		snprintf(want, sizeof(want), "%s_cgrp_id", !strcmp(name, "blkio") ? "io" : name);
		for (int i = 0; i < btf_vlen(t); i++)
			if (!strcmp(btf__name_by_offset(vmlinux, e[i].name_off), want))
				return e[i].val;
	}
	return -1;
}

static bool is_below(const char *path, const char *point)
{
	size_t n = strlen(point);

	return !strncmp(path, point, n) && (!path[n] || path[n] == '/');
}

/* Is the cgroup in this hierarchy, and where? dir: as given; real: the same without links, "" when there is none. */
static bool in_mount(const struct mount *m, const char *given, const char *real, struct stat *st)
{
	char path[2 * PATH_MAX];

	if (*real && is_below(real, m->point))
		return !stat(real, st);
	if (*given != '/')
		return false;
	snprintf(path, sizeof(path), "%s%s", m->point, given);
	return !stat(path, st) && S_ISDIR(st->st_mode);
}

int kp_filter_cgroup(struct rec_cfg *cfg, const char *path, const char *mountinfo, const struct btf *vmlinux, struct kp_err *err)
{
	char real[PATH_MAX] = "", line[3 * PATH_MAX];
	FILE *f = fopen(mountinfo, "re");
	int index, best = -2;
	struct mount m;
	struct stat st;

	if (!f)
		return kp_err(err, errno, "%s: %s", mountinfo, strerror(errno));
	if (!realpath(path, real))
		real[0] = 0;
	while (best != -1 && fgets(line, sizeof(line), f)) {
		if (!parse_mount(line, &m) || !in_mount(&m, path, real, &st))
			continue;
		index = m.unified ? -1 : subsystem(&m, vmlinux);
		if (!m.unified && index < 0) /* such as systemd's own, whose tasks no controller knows */
			continue;
		if (best == -2 || index == -1) {
			best = index;
			cfg->cgroup_id = st.st_ino;
		}
	}
	fclose(f);
	if (best == -2)
		return kp_err(err, ENOENT, "--cgroup %s: there is no such cgroup: give its directory, or its path in a mounted hierarchy", path);
	cfg->cgroup_subsys = best;
	cfg->filter_cgroup = 1;
	return 0;
}
