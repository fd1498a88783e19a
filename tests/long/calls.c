/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes some 250 different system calls, each with arguments of its own, and many that fail, for a tracer and the
 * recorder to watch at once: `calls [DIR]`. Nothing of the host changes but files in DIR. `calls -32` makes calls as
 * a 32-bit program makes them. Each call is told by number and arguments alone, so it goes by syscall(2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Descriptors, at numbers that are easy to know again. */
enum { FILE_ = 20, DIR_, PIPE_R, PIPE_W, SOCK, SOCK2, UDP, LISTEN, EPOLL, EVENT, TIMER, INOTIFY, NUL, ZERO, MEM, NONE = 777, FREE = 99 };

/* Younger than the C library's headers, perhaps. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define P(x) ((long)(x))
#define BAD 0xbad000		/* nothing is mapped there */
#define U32(x) ((long)(uint32_t)(x))

struct call { long nr, a[6]; };

static char buf[65536] __attribute__((aligned(4096))), out[4096];
static struct iovec vec[3];
static struct msghdr msg;
static struct mmsghdr mmsg[2];
static struct timespec soon = { 0, 1000000 };
static struct timeval soon_val = { 0, 1000 };
static struct sockaddr_un addr;
static struct stat st;
static unsigned word = 5;
static unsigned long set[16];
static void *area;

static int at(int fd, int to)
{
	if (fd < 0 || dup2(fd, to) < 0) {
		perror("calls");
		exit(1);
	}
	close(fd);
	return to;
}

static void prepare(void)
{
	int two[2];

	at(open("file", O_RDWR | O_CREAT | O_TRUNC, 0644), FILE_);
	if (write(FILE_, buf, 10000) != 10000)
		exit(1);
	at(open(".", O_RDONLY | O_DIRECTORY), DIR_);
	if (pipe(two))
		exit(1);
	at(two[0], PIPE_R);
	at(two[1], PIPE_W);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, two))
		exit(1);
	at(two[0], SOCK);
	at(two[1], SOCK2);
	at(socket(AF_INET, SOCK_DGRAM, 0), UDP);
	at(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), LISTEN);
	addr.sun_family = AF_UNIX;
	strcpy(addr.sun_path, "listens");
	at(epoll_create1(0), EPOLL);
	at(eventfd(3, EFD_NONBLOCK), EVENT);
	at(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), TIMER);
	at(inotify_init1(IN_NONBLOCK), INOTIFY);
	at(open("/dev/null", O_RDWR), NUL);
	at(open("/dev/zero", O_RDWR), ZERO);
	at(memfd_create("in memory", 0), MEM);
	for (int i = 0; i < 3; i++)
		vec[i] = (struct iovec){ buf + 100 * i, 10 + i };
	msg.msg_iov = vec;
	msg.msg_iovlen = 2;
	mmsg[0].msg_hdr = mmsg[1].msg_hdr = msg;
	area = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	signal(SIGUSR1, SIG_IGN);
}

static void make(const struct call *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		syscall(c[i].nr, c[i].a[0], c[i].a[1], c[i].a[2], c[i].a[3], c[i].a[4], c[i].a[5]);
}

#define MAKE(...) do { const struct call c_[] = { __VA_ARGS__ }; make(c_, sizeof(c_) / sizeof(*c_)); } while (0)

static void files(void)
{
	MAKE({ SYS_read, { FILE_, P(buf), 101 } }, { SYS_read, { ZERO, P(buf), 102 } }, { SYS_read, { NONE, P(buf), 103 } },
	     { SYS_read, { FILE_, BAD, 104 } }, { SYS_read, { 0x7700000000 | ZERO, P(buf), 105 } },
	     { SYS_write, { FILE_, P(buf), 106 } }, { SYS_write, { NUL, P(buf), 107 } }, { SYS_write, { -1, P(buf), 108 } },
	     { SYS_lseek, { FILE_, 1009, SEEK_SET } }, { SYS_lseek, { FILE_, -10, SEEK_CUR } }, { SYS_lseek, { FILE_, -11, SEEK_END } },
	     { SYS_lseek, { FILE_, -12, SEEK_SET } }, { SYS_lseek, { PIPE_R, 13, SEEK_SET } }, { SYS_lseek, { FILE_, 0, 77 } },
	     { SYS_pread64, { FILE_, P(buf), 110, 1010 } }, { SYS_pread64, { FILE_, P(buf), 111, -5 } },
	     { SYS_pwrite64, { FILE_, P(buf), 112, 1012 } }, { SYS_pwrite64, { PIPE_W, P(buf), 113, 1013 } },
	     { SYS_readv, { ZERO, P(vec), 3 } }, { SYS_readv, { ZERO, P(vec), 5000 } }, { SYS_writev, { NUL, P(vec), 2 } },
	     { SYS_preadv, { FILE_, P(vec), 2, 1014, 0 } }, { SYS_pwritev, { FILE_, P(vec), 3, 1015, 0 } },
	     { SYS_preadv2, { FILE_, P(vec), 2, 1016, 0, 8 } }, { SYS_pwritev2, { FILE_, P(vec), 2, 1017, 0, 2 } });
	MAKE({ SYS_open, { P("file"), O_RDONLY, 0 } }, { SYS_open, { P("none"), O_RDWR | O_CLOEXEC, 0 } },
	     { SYS_open, { P("made"), O_WRONLY | O_CREAT | O_EXCL, 0640 } }, { SYS_openat, { AT_FDCWD, P("/dev/null"), O_RDONLY | O_CLOEXEC } },
	     { SYS_openat, { DIR_, P("file"), O_RDWR | O_APPEND } }, { SYS_openat, { U32(AT_FDCWD), P("nowhere/x"), O_CREAT | O_RDWR, 0600 } },
	     { SYS_openat, { DIR_, BAD, 0 } }, { SYS_creat, { P("created"), 0604 } }, { SYS_close, { NONE } }, { SYS_close, { FREE } },
	     { SYS_openat2, { DIR_, P("file"), BAD, 24 } }, { SYS_dup, { FILE_ } }, { SYS_dup2, { NUL, FREE } }, { SYS_dup3, { ZERO, FREE, O_CLOEXEC } },
	     { SYS_dup3, { FREE, FREE, 0 } }, { SYS_close, { FREE } }, { SYS_close_range, { 800, 900, 4 } }, { SYS_fcntl, { FILE_, F_GETFD, 0 } },
	     { SYS_fcntl, { FILE_, F_DUPFD, 60 } }, { SYS_fcntl, { NONE, 1234, 0x77 } }, { SYS_ioctl, { NUL, 0x5401, P(out) } },
	     { SYS_ioctl, { PIPE_R, 0x541b, P(out) } }, { SYS_flock, { FILE_, 2 } }, { SYS_flock, { FILE_, 8 } }, { SYS_fsync, { FILE_ } },
	     { SYS_fdatasync, { FILE_ } }, { SYS_fsync, { PIPE_W } }, { SYS_syncfs, { NONE } }, { SYS_sync_file_range, { FILE_, 4096, 8192, 2 } },
	     { SYS_ftruncate, { FILE_, 9999 } }, { SYS_ftruncate, { FILE_, -6 } }, { SYS_truncate, { P("file"), 9998 } }, { SYS_truncate, { P("none"), -7 } },
	     { SYS_fallocate, { FILE_, 0, 8192, 4096 } }, { SYS_fallocate, { FILE_, 1, -8, 4096 } }, { SYS_fadvise64, { FILE_, 4096, 8192, 3 } },
	     { SYS_fadvise64, { FILE_, 1, 2, 99 } }, { SYS_readahead, { FILE_, 4096, 8191 } }, { SYS_copy_file_range, { FILE_, 0, NUL, 0, 14, 0 } },
	     { SYS_sendfile, { NUL, FILE_, 0, 15 } }, { SYS_splice, { PIPE_R, 0, NUL, 0, 16, 2 } }, { SYS_tee, { PIPE_R, PIPE_W, 17, 2 } },
	     { SYS_vmsplice, { PIPE_W, P(vec), 2, 2 } }, { SYS_cachestat, { FILE_, P(vec), BAD, 0 } });
	MAKE({ SYS_stat, { P("file"), P(&st) } }, { SYS_stat, { P("none"), P(&st) } }, { SYS_lstat, { P("file"), BAD } },
	     { SYS_fstat, { FILE_, P(&st) } }, { SYS_fstat, { NONE, P(&st) } }, { SYS_newfstatat, { DIR_, P("file"), P(&st), 0x100 } },
	     { SYS_newfstatat, { FILE_, P(""), P(&st), 0x1000 } }, { SYS_statx, { AT_FDCWD, P("file"), 0, 0x7ff, P(buf) } },
	     { SYS_statfs, { P("/proc"), P(buf) } }, { SYS_fstatfs, { FILE_, P(buf) } }, { SYS_access, { P("file"), 4 } }, { SYS_access, { P("none"), 077 } },
	     { SYS_faccessat, { DIR_, P("file"), 2 } }, { SYS_faccessat2, { DIR_, P("file"), 2, 0x200 } }, { SYS_chmod, { P("file"), 0751 } },
	     { SYS_fchmod, { FILE_, 0711 } }, { SYS_fchmodat, { DIR_, P("file"), 0644 } }, { SYS_fchmodat2, { DIR_, P("none"), 0604, 0x100 } },
	     { SYS_chown, { P("file"), -1, -1 } }, { SYS_chown, { P("none"), 1001, 1002 } }, { SYS_lchown, { P("none"), 1003, 1004 } }, { SYS_fchown, { FILE_, U32(-1), U32(-1) } },
	     { SYS_fchownat, { DIR_, P("none"), 1005, 1006, 0x100 } }, { SYS_utime, { P("none"), P(buf) } }, { SYS_utimes, { P("none"), 0 } },
	     { SYS_utimensat, { DIR_, P("file"), 0, 0x100 } }, { SYS_futimesat, { DIR_, P("none"), 0 } }, { SYS_umask, { 022 } },
	     { SYS_mkdir, { P("dir"), 0750 } }, { SYS_mkdirat, { DIR_, P("dir"), 0751 } }, { SYS_rmdir, { P("dir") } }, { SYS_rmdir, { P("file") } },
	     { SYS_mknod, { P("fifo"), S_IFIFO | 0600, 0 } }, { SYS_mknodat, { DIR_, P("fifo"), S_IFIFO | 0601, 1027 } }, { SYS_link, { P("file"), P("hard") } },
	     { SYS_linkat, { DIR_, P("file"), DIR_, P("hard"), 0x400 } }, { SYS_symlink, { P("file"), P("soft") } }, { SYS_symlinkat, { P("file"), DIR_, P("soft") } },
	     { SYS_readlink, { P("soft"), P(buf), 1018 } }, { SYS_readlinkat, { DIR_, P("soft"), P(buf), 1019 } }, { SYS_rename, { P("made"), P("moved") } },
	     { SYS_renameat, { DIR_, P("made"), AT_FDCWD, P("moved") } }, { SYS_renameat2, { DIR_, P("moved"), DIR_, P("file"), 1 } },
	     { SYS_unlink, { P("hard") } }, { SYS_unlinkat, { DIR_, P("soft"), 0 } }, { SYS_unlinkat, { DIR_, P("none"), 0x200 } },
	     { SYS_getdents64, { DIR_, P(buf), 4000 } }, { SYS_getdents, { FILE_, P(buf), 4001 } }, { SYS_getcwd, { P(buf), 4002 } }, { SYS_getcwd, { P(buf), 1 } },
	     { SYS_chdir, { P("none") } }, { SYS_fchdir, { DIR_ } }, { SYS_fchdir, { FILE_ } }, { SYS_chroot, { P("none") } },
	     { SYS_setxattr, { P("none"), P("user.a"), P(buf), 5, 1 } }, { SYS_getxattr, { P("file"), P("user.none"), P(buf), 1020 } },
	     { SYS_lgetxattr, { P("none"), P("user.b"), P(buf), 1021 } }, { SYS_fgetxattr, { FILE_, P("user.none"), P(buf), 1022 } },
	     { SYS_listxattr, { P("none"), P(buf), 1023 } }, { SYS_flistxattr, { FILE_, P(buf), 1024 } }, { SYS_removexattr, { P("none"), P("user.c") } },
	     { SYS_fremovexattr, { FILE_, P("user.none") } }, { SYS_lsetxattr, { P("none"), P("user.d"), P(buf), 6, 2 } }, { SYS_fsetxattr, { NONE, P("user.e"), P(buf), 7, 3 } },
	     { SYS_llistxattr, { P("none"), P(buf), 1025 } }, { SYS_lremovexattr, { P("none"), P("user.f") } }, { SYS_name_to_handle_at, { DIR_, P("none"), P(buf), P(out), 0x400 } });
}

static void memory(void)
{
	char *a = area;

	MAKE({ SYS_brk, { 0 } }, { SYS_mmap, { 0, 8192, 3, 0x22, -1, 0 } }, { SYS_mmap, { 0, 4097, 1, 2, FILE_, 4096 } }, { SYS_mmap, { 0, 4098, 1, 2, NONE, 8192 } },
	     { SYS_mmap, { 0, 0, 1, 2, U32(-1), 0 } }, { SYS_mprotect, { P(a), 8192, 1 } }, { SYS_mprotect, { P(a) + 1, 8193, 7 } }, { SYS_mprotect, { P(a), 8192, 3 } },
	     { SYS_mremap, { P(a) + 65536, 8192, 4096, 0, 0 } }, { SYS_mremap, { BAD, 8194, 4099, 0x77, 0 } }, { SYS_munmap, { P(a) + 131072, 4096 } },
	     { SYS_munmap, { P(a) + 1, 4100 } }, { SYS_madvise, { P(a), 4096, 4 } }, { SYS_madvise, { P(a), 4096, -3 } }, { SYS_madvise, { P(a), 4101, U32(-4) } },
	     { SYS_mincore, { P(a), 8192, P(buf) } }, { SYS_msync, { P(a), 4096, 4 } }, { SYS_msync, { P(a), 4102, 99 } }, { SYS_mlock, { P(a), 4096 } },
	     { SYS_mlock2, { P(a), 4096, 0x77 } }, { SYS_munlock, { P(a), 4096 } }, { SYS_munlockall, { 0 } }, { SYS_mlockall, { 0x77 } },
	     { SYS_remap_file_pages, { P(a) + 1, 4103, 1, 2, 3 } }, { SYS_mbind, { P(a), 4096, 99, 0, 0, 0 } }, { SYS_set_mempolicy, { 99, 0, 0 } },
	     { SYS_get_mempolicy, { 0, 0, 0, 0, 99 } }, { SYS_move_pages, { 0, 1, BAD, 0, BAD, 2 } }, { SYS_migrate_pages, { 0, 99999, 0, 0 } },
	     { SYS_memfd_create, { P("named"), 0x777 } }, { SYS_memfd_create, { P("named"), 1 } }, { SYS_pkey_alloc, { 0, 0x77 } }, { SYS_pkey_free, { 77 } },
	     { SYS_pkey_mprotect, { P(a), 4096, 1, 77 } }, { SYS_membarrier, { 0, 0, 0 } }, { SYS_process_vm_readv, { 0x3ffffff, P(vec), 2, P(vec), 3, 0 } },
	     { SYS_process_vm_writev, { 0x3ffffff, P(vec), 3, P(vec), 2, 0 } }, { SYS_userfaultfd, { 0x777 } }, { SYS_process_madvise, { NONE, P(vec), 2, 4, 0 } },
	     { SYS_shmget, { 0x777, 4096, 0600 } }, { SYS_shmat, { -9, 0, 0x77 } }, { SYS_shmctl, { -9, 2, P(buf) } }, { SYS_shmdt, { P(a) } },
	     { SYS_semget, { 0x778, 3, 0601 } }, { SYS_semop, { -9, P(buf), 1 } }, { SYS_semctl, { -9, 1, 12, 0x77 } }, { SYS_semtimedop, { -9, P(buf), 1, P(&soon) } },
	     { SYS_msgget, { 0x779, 0602 } }, { SYS_msgsnd, { -9, P(buf), 12, 0x800 } }, { SYS_msgrcv, { -9, P(buf), 13, -14, 0x800 } }, { SYS_msgctl, { -9, 2, P(buf) } });
}

static void sockets(void)
{
	socklen_t len = sizeof(addr);

	memcpy(out, &len, sizeof(len));
	MAKE({ SYS_socket, { AF_INET, SOCK_STREAM, 6 } }, { SYS_socket, { 99, 98, 97 } }, { SYS_socketpair, { AF_UNIX, SOCK_DGRAM, 0, P(buf) } },
	     { SYS_socketpair, { AF_INET, SOCK_DGRAM, 17, P(buf) } }, { SYS_bind, { LISTEN, P(&addr), sizeof(addr) } }, { SYS_bind, { LISTEN, P(&addr), 3 } },
	     { SYS_listen, { LISTEN, 17 } }, { SYS_listen, { UDP, -5 } }, { SYS_accept, { LISTEN, 0, 0 } }, { SYS_accept4, { LISTEN, 0, 0, 0x80000 } },
	     { SYS_accept4, { UDP, P(&addr), P(out), 0x77 } }, { SYS_connect, { SOCK, P(&addr), sizeof(addr) } }, { SYS_connect, { NONE, P(&addr), 16 } },
	     { SYS_sendto, { SOCK, P(buf), 201, 0x4000, 0, 0 } }, { SYS_sendto, { NONE, P(buf), 202, 0x40, P(&addr), 16 } },
	     { SYS_recvfrom, { SOCK2, P(buf), 203, 0x40, 0, 0 } }, { SYS_recvfrom, { SOCK2, P(buf), 204, 0x40, P(&addr), P(out) } }, { SYS_sendmsg, { SOCK, P(&msg), 0x4000 } },
	     { SYS_sendmsg, { NONE, P(&msg), 0x40 } }, { SYS_recvmsg, { SOCK2, P(&msg), 0x40 } }, { SYS_recvmsg, { SOCK2, P(&msg), 0x41 } }, { SYS_sendmmsg, { SOCK, P(mmsg), 2, 0x40 } },
	     { SYS_recvmmsg, { SOCK2, P(mmsg), 2, 0x40, 0 } }, { SYS_write, { SOCK, P(buf), 205 } }, { SYS_read, { SOCK2, P(buf), 206 } },
	     { SYS_getsockname, { LISTEN, P(&addr), P(out) } }, { SYS_getpeername, { UDP, P(&addr), P(out) } }, { SYS_setsockopt, { UDP, 1, 2, P(&word), 4 } },
	     { SYS_setsockopt, { UDP, 6, 1, P(&word), 4 } }, { SYS_getsockopt, { UDP, 1, 8, P(buf), P(out) } }, { SYS_shutdown, { SOCK, 1 } }, { SYS_shutdown, { UDP, 9 } });
}

static void waits(void)
{
	memset(set, 0, sizeof(set));
	MAKE({ SYS_poll, { 0, 0, 1 } }, { SYS_poll, { BAD, 3, -1 } }, { SYS_poll, { BAD, 2, U32(-1) } }, { SYS_ppoll, { 0, 0, P(&soon), 0, 8 } }, { SYS_select, { 0, 0, 0, 0, P(&soon_val) } },
	     { SYS_select, { -4, 0, 0, 0, P(&soon_val) } }, { SYS_pselect6, { 0, 0, 0, 0, P(&soon), 0 } }, { SYS_epoll_create, { 4 } }, { SYS_epoll_create, { -4 } }, { SYS_epoll_create1, { O_CLOEXEC } }, { SYS_epoll_create1, { 0x77 } },
	     { SYS_epoll_ctl, { EPOLL, EPOLL_CTL_ADD, EVENT, P(buf) } }, { SYS_epoll_ctl, { EPOLL, 9, EVENT, P(buf) } }, { SYS_epoll_wait, { EPOLL, P(buf), 7, 1 } },
	     { SYS_epoll_wait, { EPOLL, P(buf), -7, -1 } }, { SYS_epoll_pwait, { EPOLL, P(buf), 8, 1, 0, 8 } }, { SYS_epoll_pwait2, { EPOLL, P(buf), 9, P(&soon), 0, 8 } },
	     { SYS_eventfd, { 6 } }, { SYS_eventfd2, { 7, 0x80000 } }, { SYS_eventfd2, { 8, 0x77 } }, { SYS_read, { EVENT, P(buf), 8 } }, { SYS_write, { EVENT, P(buf), 3 } },
	     { SYS_timerfd_create, { 1, 0x80000 } }, { SYS_timerfd_create, { 99, 0x77 } }, { SYS_timerfd_settime, { TIMER, 0, BAD, 0 } }, { SYS_timerfd_gettime, { TIMER, P(buf) } }, { SYS_read, { TIMER, P(buf), 9 } },
	     { SYS_signalfd, { NONE, P(set), 8 } }, { SYS_signalfd4, { -1, P(set), 8, 0x80000 } }, { SYS_signalfd4, { NUL, P(set), 8, 0 } }, { SYS_inotify_init1, { 0x77 } }, { SYS_inotify_init, { 0 } },
	     { SYS_inotify_add_watch, { INOTIFY, P("file"), 0x2 } }, { SYS_inotify_add_watch, { INOTIFY, P("none"), 0x4 } }, { SYS_inotify_rm_watch, { INOTIFY, 77 } }, { SYS_inotify_rm_watch, { INOTIFY, -77 } },
	     { SYS_fanotify_mark, { INOTIFY, 1, 2, DIR_, P("none") } }, { SYS_pipe, { P(buf) } }, { SYS_pipe, { BAD } }, { SYS_pipe2, { P(buf), O_CLOEXEC } },
	     { SYS_futex, { P(&word), FUTEX_WAIT_PRIVATE, 6, 0, 0, 0 } }, { SYS_futex, { P(&word), FUTEX_WAIT_PRIVATE, 5, P(&soon), 0, 0 } }, { SYS_futex, { P(&word), FUTEX_WAKE, 1, 0, 0, 0 } },
	     { SYS_futex, { P(&word), 99, U32(-2), 0, P(buf), U32(-3) } }, { SYS_futex_waitv, { BAD, 2, 0, 0, 1 } }, { SYS_nanosleep, { P(&soon), P(buf) } }, { SYS_nanosleep, { BAD, 0 } },
	     { SYS_clock_nanosleep, { 1, 0, P(&soon), 0 } }, { SYS_clock_nanosleep, { 77, 1, P(&soon), 0 } }, { SYS_clock_gettime, { 1, BAD } }, { SYS_clock_gettime, { -6, P(buf) } },
	     { SYS_clock_getres, { 1, P(buf) } }, { SYS_clock_settime, { 77, P(&soon) } }, { SYS_clock_adjtime, { 77, BAD } }, { SYS_adjtimex, { BAD } }, { SYS_gettimeofday, { P(buf), 0 } }, { SYS_settimeofday, { BAD, 0 } }, { SYS_time, { 0 } },
	     { SYS_timer_create, { 77, 0, P(buf) } }, { SYS_timer_settime, { 1234567, 1, P(buf), 0 } }, { SYS_timer_gettime, { 1234568, P(buf) } }, { SYS_timer_getoverrun, { 1234569 } }, { SYS_timer_delete, { -8 } },
	     { SYS_getitimer, { 0, P(buf) } }, { SYS_getitimer, { 77, P(buf) } }, { SYS_setitimer, { 77, P(buf), 0 } }, { SYS_alarm, { 0 } }, { SYS_times, { P(buf) } },
	     { SYS_io_setup, { 0, P(buf) } }, { SYS_io_destroy, { 0x77 } }, { SYS_io_getevents, { 0x77, 1, 2, P(buf), P(&soon) } }, { SYS_io_submit, { 0x77, 3, P(buf) } }, { SYS_io_cancel, { 0x77, P(buf), P(out) } },
	     { SYS_io_uring_setup, { 0, P(buf) } }, { SYS_io_uring_enter, { NONE, 1, 2, 0, 0, 8 } }, { SYS_io_uring_register, { NONE, 99, P(buf), 4 } },
	     { SYS_mq_open, { P("none-such"), O_RDWR, 0, 0 } }, { SYS_mq_unlink, { P("none-such") } }, { SYS_mq_timedsend, { NONE, P(buf), 11, 2, 0 } }, { SYS_mq_timedreceive, { NONE, P(buf), 12, 0, 0 } },
	     { SYS_mq_notify, { NONE, 0 } }, { SYS_mq_getsetattr, { NONE, P(buf), 0 } });
}

static void tasks(void)
{
	pid_t me = getpid();

	MAKE({ SYS_getpid, { 0 } }, { SYS_gettid, { 0 } }, { SYS_getppid, { 0 } }, { SYS_getuid, { 0 } }, { SYS_geteuid, { 0 } }, { SYS_getgid, { 0 } }, { SYS_getegid, { 0 } },
	     { SYS_getpgrp, { 0 } }, { SYS_getpgid, { 0 } }, { SYS_getpgid, { 0x3ffffff } }, { SYS_getsid, { -3 } }, { SYS_setpgid, { 0x3ffffff, 9 } }, { SYS_setpgid, { -2, -1 } },
	     { SYS_getresuid, { P(buf), P(out), P(&word) } }, { SYS_getresgid, { P(buf), P(out), BAD } }, { SYS_setresuid, { -1, -1, -1 } }, { SYS_setresgid, { U32(-1), U32(-1), U32(-1) } },
	     { SYS_setreuid, { -1, -1 } }, { SYS_setregid, { -1, -1 } }, { SYS_setfsuid, { -1 } }, { SYS_setfsgid, { -1 } }, { SYS_getgroups, { 0, 0 } }, { SYS_getgroups, { -1, P(buf) } }, { SYS_setgroups, { -1, P(buf) } },
	     { SYS_capget, { BAD, 0 } }, { SYS_capset, { BAD, BAD } }, { SYS_getrlimit, { 7, P(buf) } }, { SYS_getrlimit, { 77, P(buf) } }, { SYS_setrlimit, { 77, P(buf) } }, { SYS_prlimit64, { 0, 7, 0, P(buf) } },
	     { SYS_getrusage, { -1, P(buf) } }, { SYS_getrusage, { 77, P(buf) } }, { SYS_getpriority, { 0, 0 } }, { SYS_getpriority, { 77, -4 } }, { SYS_setpriority, { 0, 0x3ffffff, -5 } }, { SYS_ioprio_get, { 1, 0 } }, { SYS_ioprio_set, { 77, -4, 0x4001 } },
	     { SYS_sched_yield, { 0 } }, { SYS_sched_getparam, { 0, P(buf) } }, { SYS_sched_setparam, { -4, P(buf) } }, { SYS_sched_getscheduler, { 0 } }, { SYS_sched_setscheduler, { 0x3ffffff, 2, P(buf) } },
	     { SYS_sched_get_priority_max, { 1 } }, { SYS_sched_get_priority_min, { 2 } }, { SYS_sched_get_priority_max, { -2 } }, { SYS_sched_rr_get_interval, { 0x3ffffff, P(buf) } }, { SYS_sched_getattr, { 0, P(buf), 48, 0 } }, { SYS_sched_setattr, { 0x3ffffff, P(buf), 0 } },
	     { SYS_sched_getaffinity, { 0, 128, P(buf) } }, { SYS_sched_setaffinity, { 0x3ffffff, 128, P(buf) } }, { SYS_getcpu, { P(buf), 0, 0 } }, { SYS_uname, { P(buf) } }, { SYS_sysinfo, { P(buf) } },
	     { SYS_kill, { me, 0 } }, { SYS_kill, { me, SIGUSR1 } }, { SYS_kill, { 0x3ffffff, 0 } }, { SYS_kill, { me, 99 } }, { SYS_tkill, { me, SIGUSR1 } }, { SYS_tgkill, { me, me, SIGUSR1 } }, { SYS_tgkill, { me, -3, 9 } },
	     { SYS_rt_sigqueueinfo, { 0x3ffffff, 10, BAD } }, { SYS_rt_tgsigqueueinfo, { 0x3ffffff, 1, 10, BAD } }, { SYS_rt_sigaction, { SIGUSR2, 0, P(buf), 8 } }, { SYS_rt_sigaction, { 99, 0, P(buf), 8 } }, { SYS_rt_sigprocmask, { 77, P(set), 0, 8 } },
	     { SYS_rt_sigpending, { P(buf), 8 } }, { SYS_rt_sigtimedwait, { P(set), 0, P(&soon), 8 } }, { SYS_rt_sigsuspend, { P(set), 7 } }, { SYS_sigaltstack, { 0, P(buf) } }, { SYS_pidfd_send_signal, { NONE, 10, 0, 0 } }, { SYS_pidfd_open, { me, 0 } }, { SYS_pidfd_getfd, { NONE, 3, 0 } },
	     { SYS_wait4, { -1, P(buf), 1, 0 } }, { SYS_wait4, { 0x3ffffff, P(buf), 77, 0 } }, { SYS_waitid, { 0, 0, P(buf), 5, 0 } }, { SYS_set_tid_address, { P(&word) } }, { SYS_set_robust_list, { P(buf), 23 } }, { SYS_get_robust_list, { 0x3ffffff, P(buf), P(out) } },
	     { SYS_prctl, { 16, P(buf), 0, 0, 0 } }, { SYS_prctl, { 9999, 1, 2, 3, 4 } }, { SYS_arch_prctl, { 0x9999, 0x77 } }, { SYS_personality, { 0xffffffff } }, { SYS_ptrace, { 16, 0x3ffffff, 0x77, 0x78 } },
	     { SYS_execve, { P("none"), 0, 0 } }, { SYS_execveat, { DIR_, P("none"), 0, 0, 0x100 } }, { SYS_unshare, { 0x777 } }, { SYS_setns, { FILE_, 0x77 } }, { SYS_clone3, { P(buf), 4 } }, { SYS_seccomp, { 99, 0x77, 0 } },
	     { SYS_getrandom, { P(buf), 1026, 1 } }, { SYS_getrandom, { P(buf), 7, 0x77 } }, { SYS_kcmp, { 0x3ffffff, 1, 2, 3, 4 } }, { SYS_rseq, { P(buf), 31, 0x77, 0x1234 } }, { SYS_restart_syscall, { 0 } });
}

/* What would change the host, if it did not fail. */
static void administers(void)
{
	MAKE({ SYS_mount, { P("none"), P("nowhere"), P("ext4"), 0x1000, 0 } }, { SYS_umount2, { P("nowhere"), 2 } }, { SYS_pivot_root, { P("nowhere"), P("neither") } }, { SYS_swapon, { P("none"), 0x77 } }, { SYS_swapoff, { P("none") } },
	     { SYS_sethostname, { BAD, 5 } }, { SYS_setdomainname, { BAD, 6 } }, { SYS_reboot, { 1, -2, 3, 0 } }, { SYS_syslog, { 99, P(buf), 14 } }, { SYS_iopl, { 4 } }, { SYS_ioperm, { 0x77777, 3, 1 } }, { SYS_acct, { P("nowhere/x") } },
	     { SYS_init_module, { BAD, 11, BAD } }, { SYS_finit_module, { NONE, P(""), 0 } }, { SYS_delete_module, { P("no_such"), 0x800 } }, { SYS_kexec_load, { 1, 99, BAD, 0x77 } }, { SYS_kexec_file_load, { NONE, NONE, 3, BAD, 0x77 } },
	     { SYS_quotactl, { 0x777, P("none"), 1, BAD } }, { SYS_modify_ldt, { 77, P(buf), 16 } }, { SYS_ustat, { 0x7777, P(buf) } }, { SYS_sysfs, { 3, 0, 0 } }, { SYS_add_key, { P("none"), P("such"), P(buf), 5, -3 } },
	     { SYS_request_key, { P("none"), P("such"), 0, -3 } }, { SYS_keyctl, { 9999, 1, 2, 3, 4 } }, { SYS_bpf, { 9999, P(buf), 8 } }, { SYS_perf_event_open, { BAD, 0, -1, -1, 0 } }, { SYS_open_by_handle_at, { NONE, BAD, 0 } },
	     { SYS_fsopen, { P("none"), 0x77 } }, { SYS_fsconfig, { NONE, 9, P("key"), 0, 0 } }, { SYS_fsmount, { NONE, 1, 2 } }, { SYS_fspick, { DIR_, P("none"), 0x77 } }, { SYS_open_tree, { DIR_, P("none"), 0 } }, { SYS_move_mount, { DIR_, P("none"), DIR_, P("none"), 0 } },
	     { SYS_mount_setattr, { DIR_, P("none"), 0, P(buf), 32 } }, { SYS_landlock_create_ruleset, { P(buf), 3, 0x77 } }, { SYS_landlock_add_rule, { NONE, 1, P(buf), 0 } }, { SYS_landlock_restrict_self, { NONE, 0 } }, { SYS_memfd_secret, { 0x77 } },
	     { SYS_process_mrelease, { NONE, 0 } }, { SYS_fanotify_init, { 0x777777, 0 } }, { 999, { 1, 2, 3, 4, 5, 6 } });
}

/* By number: most are younger than the C library's headers. From map_shadow_stack (453) to file_setattr (469). */
static void young(void)
{
	MAKE({ 333, { 0x77, 1, 2, P(buf), P(&soon), 0 } }, { 443, { NONE, 0x777, 1, BAD } }, { 450, { P(area), 4096, 99, 0 } }, { 453, { 1, 4096, 0x77 } },
	     { 454, { P(&word), 1, 2, 0x99 } }, { 455, { P(&word), 5, 1, 0x99, BAD, 1 } }, { 456, { BAD, 0x99, 1, 2 } }, { 457, { BAD, P(buf), 88, 0x77 } },
	     { 458, { BAD, P(buf), 9, 0x77 } }, { 459, { 99, BAD, BAD, 0x77 } }, { 460, { 99, BAD, 32, 0x77 } }, { 461, { BAD, BAD, 0x77 } }, { 462, { P(area) + 1, 4096, 0x77 } },
	     { 463, { DIR_, P("none"), 0, P("user.g"), BAD, 16 } }, { 464, { DIR_, P("none"), 0, P("user.h"), BAD, 16 } }, { 465, { DIR_, P("none"), 0, P(buf), 99 } },
	     { 466, { DIR_, P("none"), 0, P("user.i") } }, { 467, { DIR_, P("none"), 0, BAD, 32 } }, { 468, { DIR_, P("none"), BAD, 24, 0 } }, { 469, { DIR_, P("none"), BAD, 24, 0 } },
	     { SYS_setuid, { getuid() } }, { SYS_setgid, { getgid() } });
}

static int child(void *arg)
{
	MAKE({ SYS_getpid, { 0 } }, { SYS_gettid, { 0 } }, { SYS_setsid, { 0 } }, { SYS_close, { FILE_ } });
	syscall(SYS_exit, 3);
	return 0;
}

static void children(void)
{
	static char stack[65536];
	int status;
	pid_t p = clone(child, stack + sizeof(stack), SIGCHLD, NULL);

	syscall(SYS_wait4, p, &status, 0, 0);
	p = fork();
	if (!p)
		child(NULL);
	syscall(SYS_waitid, 1, p, buf, 4, 0);
	p = syscall(SYS_fork);
	if (!p)
		child(NULL);
	syscall(SYS_wait4, p, &status, 0, 0);
	p = vfork();
	if (!p)
		_exit(4);
	syscall(SYS_wait4, p, &status, 0, 0);
	if (!fork()) {
		syscall(SYS_execve, "/bin/true", (char *[]){ "true", NULL }, (char *[]){ NULL });
		_exit(1);
	}
	wait(&status);
	if (!(p = fork())) {
		signal(SIGALRM, SIG_DFL);
		syscall(SYS_pause);
		_exit(1);
	}
	nanosleep(&(struct timespec){ 0, 20000000 }, NULL);
	syscall(SYS_kill, p, SIGTERM);
	wait(&status);
}

#ifdef __x86_64__
/* As a 32-bit program enters the kernel. Addresses must be below 4 GiB. */
static long old(long nr, long a, long b, long c, long d, long e)
{
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory", "r8", "r9", "r10", "r11");
	return r;
}

static int olds(void)
{
	char *low = mmap((void *)0x10000000, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (low == MAP_FAILED)
		return 1;
	strcpy(low, "file");
	old(20, 0, 0, 0, 0, 0);				/* getpid */
	old(3, ZERO, P(low) + 4096, 301, 0, 0);		/* read */
	old(4, NUL, P(low) + 4096, 302, 0, 0);		/* write */
	old(3, NONE, P(low) + 4096, 303, 0, 0);
	old(5, P(low), O_RDONLY, 0, 0, 0);		/* open */
	old(295, U32(AT_FDCWD), P(low), O_RDWR, 0644, 0); /* openat */
	old(6, NONE, 0, 0, 0, 0);			/* close */
	old(19, FILE_, U32(-13), SEEK_END, 0, 0);	/* lseek */
	old(33, P(low), 4, 0, 0, 0);			/* access */
	old(37, U32(-1000000), 0, 0, 0, 0);		/* kill */
	old(37, 0x3ffffff, 10, 0, 0, 0);
	old(41, NUL, 0, 0, 0, 0);			/* dup */
	old(146, NUL, P(low) + 8192, 0, 0, 0);		/* writev */
	old(168, 0, 0, 1, 0, 0);			/* poll */
	old(192, 0, 4096, 3, 0x22, U32(-1));		/* mmap2 */
	old(91, P(low) + 32768, 4096, 0, 0, 0);		/* munmap */
	return 0;
}
#endif

int main(int argc, char **argv)
{
	prepare();
#ifdef __x86_64__
	if (argc > 1)
		return olds();
#endif
	files();
	memory();
	sockets();
	waits();
	tasks();
	administers();
	young();
	children();
	return 0;
}
