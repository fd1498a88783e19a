/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Once the programs are attached little privilege is needed: a recorder that runs for years, and reads what
 * strangers send, should not be able to do more than that.
 */
#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rec.h"

/*
 * Which are needed later was measured: a recording was made without each of them. CAP_BPF: for the buffer of a CPU
 * that comes online; and before 5.19 any bpf(2) needs it where kernel.unprivileged_bpf_disabled is set. Without
 * CAP_PERFMON it does not allow to load a program that looks at the kernel.
 */
static const struct kp_cap table[] = {
	{ CAP_BPF, true, true, "CAP_BPF", "no BPF program can be loaded" },
	{ CAP_PERFMON, true, false, "CAP_PERFMON", "BPF programs cannot look at the kernel" },
	{ CAP_SYS_PTRACE, false, true, "CAP_SYS_PTRACE", "files and programs of other users' processes have no names" },
	{ CAP_DAC_READ_SEARCH, false, true, "CAP_DAC_READ_SEARCH", "files that other users' processes had open before have no names" },
	{ CAP_SYSLOG, false, true, "CAP_SYSLOG", "functions in kernel stacks have no names" },
};

const struct kp_cap *kp_cap_needed(size_t i)
{
	return i < sizeof(table) / sizeof(*table) ? &table[i] : NULL;
}

static int get(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capget, &h, data) ? -errno : 0;
}

uint64_t kp_caps(void)
{
	struct __user_cap_data_struct d[2] = { 0 };

	return get(d) ? 0 : d[0].effective | (uint64_t)d[1].effective << 32;
}

uint64_t kp_record_caps(void)
{
	uint64_t bits = 0;

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].later)
			bits |= 1ull << table[i].cap;
	return bits;
}

uint64_t kp_record_caps_for(const char *file)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(file, '/');
	struct stat st;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - file) + 1 : 1, slash ? file : ".");
	if (stat(dir, &st) || (st.st_uid == geteuid() && (st.st_mode & 0300) == 0300))
		return 0;
	/* In a directory with the sticky bit only its owner, that of a file, or who may replaces a file. */
	return 1ull << CAP_DAC_OVERRIDE | (st.st_mode & S_ISVTX ? 1ull << CAP_FOWNER : 0);
}

int kp_record_drop(uint64_t keep, struct kp_err *err)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };
	int rc = get(d);

	if (rc)
		return kp_err(err, -rc, "capabilities cannot be read: %s", strerror(-rc));
	/* What a program that it starts could get back; only who may set capabilities may narrow this, too. */
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int i = 0; i < 2; i++) {
		d[i].effective = d[i].permitted &= keep >> 32 * i;
		d[i].inheritable = 0;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return kp_err(err, errno, "no_new_privs cannot be set: %s", strerror(errno));
	if (syscall(SYS_capset, &h, d))
		return kp_err(err, errno, "capabilities cannot be dropped: %s", strerror(errno));
	return 0;
}

/* The lower, the later the OOM killer comes to us; one that was lowered already stays as it is. */
int kp_record_spare(void)
{
	enum { SPARED = -500 };
	char now[16], text[16];
	int fd, rc = 0;
	ssize_t n;

	fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, now, sizeof(now) - 1);
	now[n > 0 ? n : 0] = 0;
	snprintf(text, sizeof(text), "%d", SPARED);
	if (!strcmp(now, "0\n") && pwrite(fd, text, strlen(text), 0) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* On a host that is short of CPUs the buffers would overflow, just when it matters: auditd has the same boost. Who has set it knows why. */
void kp_record_hurry(void)
{
	if (!getpriority(PRIO_PROCESS, 0))
		setpriority(PRIO_PROCESS, 0, -4);
}
