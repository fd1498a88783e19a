/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch: the job that goes wrong at night, in one of several ways, and the
 * bystanders that look suspicious and did nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/aio_abi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
	const char *name, *file;
	double mb, over, churn, hold_ms, gap_ms;
	int threads, cpu, depth, nice;
	size_t block;
	int64_t until;
} conf = { .name = "batch", .mb = 150, .over = 4, .churn = 20, .hold_ms = 1500, .gap_ms = 100,
	.threads = 24, .cpu = -1, .depth = 64, .block = 4096 };

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static bool more(void) { return now_ns() < conf.until; }

static void nap_ms(double ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)((ms - 1000 * (double)(time_t)(ms / 1000)) * 1e6) };
	nanosleep(&t, NULL);
}

static uint64_t rnd(uint64_t *s)
{
	uint64_t z = (*s += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static int fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", conf.name, what, strerror(errno));
	return 1;
}

static void ready(void)
{
	printf("ready %d\n", getpid());
	fflush(stdout);
}

static void touch(unsigned char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += 4096)
		p[i] = (unsigned char)(i / 4096) | 1;
}

/*
 * memory: grows to --mb within --over seconds; then works on what it has, and
 * each second throws --churn MB away and loads as much again, as a sort that
 * takes one file after the other does.
 */
static int memory(void)
{
	const size_t step = 256 * 1024;
	size_t all = (size_t)(conf.mb * 1048576) / step * step, done = 0, at = 0;
	unsigned char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return fail("mmap");
	madvise(p, all, MADV_NOHUGEPAGE);
	int64_t t0 = now_ns();
	while (done < all && more()) {
		double f = conf.over > 0 ? (double)(now_ns() - t0) / 1e9 / conf.over : 1;
		size_t want = f >= 1 ? all : (size_t)((double)all * f) / step * step;
		if (want > done) {
			touch(p, done, want);
			done = want;
		} else {
			nap_ms(5);
		}
	}
	ready();
	while (more()) {
		if (conf.churn <= 0) {
			nap_ms(200);
			continue;
		}
		size_t piece = (size_t)(conf.churn * 1048576 / 20) / step * step + step;
		if (at + piece > all)
			at = 0;
		madvise(p + at, piece, MADV_DONTNEED);
		touch(p, at, at + piece);
		at += piece;
		nap_ms(50);
	}
	return 0;
}

/* idle: allocates, then sleeps. */
static int idle(void)
{
	conf.over = conf.churn = 0;
	return memory();
}

/* cpu: threads that compute, all of them on --cpu when that is given. */
static void *spin(void *arg)
{
	uint64_t s = (uint64_t)(uintptr_t)arg, x = 0;
	while (more())
		for (int i = 0; i < 100000; i++)
			x ^= rnd(&s);
	return (void *)(uintptr_t)x;
}

static int cpu(void)
{
	if (conf.cpu >= 0) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET((size_t)conf.cpu, &set);
		if (sched_setaffinity(0, sizeof set, &set))
			return fail("sched_setaffinity");
	}
	if (conf.nice && setpriority(PRIO_PROCESS, 0, conf.nice))
		return fail("setpriority");
	for (int i = 1; i < conf.threads; i++) {
		pthread_t t;
		if (pthread_create(&t, NULL, spin, (void *)(uintptr_t)i))
			return fail("pthread_create");
	}
	ready();
	spin(NULL);
	return 0;
}

/* disk: keeps --depth reads of random blocks of --file under way, past the page cache, as a backup does. */
static int disk(void)
{
	struct stat st;
	int fd = open(conf.file, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || st.st_size < (off_t)conf.block)
		return fail(conf.file);
	aio_context_t ctx = 0;
	unsigned depth = (unsigned)conf.depth;
	struct iocb *cb = calloc(depth, sizeof *cb);
	struct io_event *ev = calloc(depth, sizeof *ev);
	unsigned char *buf = NULL;
	uint64_t s = (uint64_t)now_ns(), blocks = (uint64_t)st.st_size / conf.block;
	if (!cb || !ev || posix_memalign((void **)&buf, 4096, depth * conf.block))
		return fail("malloc");
	if (syscall(SYS_io_setup, depth, &ctx))
		return fail("io_setup");
	for (unsigned i = 0; i < depth; i++) {
		cb[i] = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (uint32_t)fd,
			.aio_buf = (uintptr_t)(buf + i * conf.block), .aio_nbytes = conf.block,
			.aio_offset = (int64_t)(rnd(&s) % blocks * conf.block), .aio_data = i };
		struct iocb *one = &cb[i];
		if (syscall(SYS_io_submit, ctx, 1L, &one) != 1)
			return fail("io_submit");
	}
	ready();
	while (more()) {
		struct timespec t = { .tv_sec = 1 };
		long n = syscall(SYS_io_getevents, ctx, 1L, (long)depth, ev, &t);
		if (n < 0 && errno != EINTR)
			return fail("io_getevents");
		for (long k = 0; k < n; k++) {
			struct iocb *one = &cb[ev[k].data];
			one->aio_offset = (int64_t)(rnd(&s) % blocks * conf.block);
			if (syscall(SYS_io_submit, ctx, 1L, &one) != 1)
				return fail("io_submit");
		}
	}
	return 0;
}

/* lock: rewrites --file again and again under an exclusive flock, a little at a time, holding the lock all the while. */
static int lock(void)
{
	int fd = open(conf.file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(conf.file);
	uint64_t s = 1;
	bool said = false;
	while (more()) {
		if (flock(fd, LOCK_EX))
			return fail("flock");
		if (!said)
			ready();
		said = true;
		int64_t end = now_ns() + (int64_t)(conf.hold_ms * 1e6);
		for (int page = 0; now_ns() < end && more(); page++) {
			uint64_t line[64];
			for (int i = 0; i < 2000; i++)
				for (int k = 0; k < 64; k++)
					line[k] = rnd(&s);
			if (pwrite(fd, line, sizeof line, (page % 64) * 512) < 0)
				return fail("pwrite");
			nap_ms(4);
		}
		flock(fd, LOCK_UN);
		nap_ms(conf.gap_ms);
	}
	return 0;
}

static const struct { const char *name; int (*run)(void); } modes[] = {
	{ "memory", memory }, { "idle", idle }, { "cpu", cpu }, { "disk", disk }, { "lock", lock },
};

static const char help[] =
	"usage: batch memory|idle|cpu|disk|lock [options]\n"
	"  --name NAME    the process's name (batch)\n"
	"  --for S        end after S seconds (120)\n"
	"  --mb N --over S --churn N   memory: N MB within S seconds, then N MB/s dropped and taken again\n"
	"  --threads N --cpu K --nice N  cpu: N threads on CPU K, at this nice value\n"
	"  --file F --depth N          disk: N direct reads of F in flight\n"
	"  --file F --hold MS --gap MS lock: exclusive flock on F\n";

int main(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "name", 1, NULL, 'n' }, { "for", 1, NULL, 'f' }, { "mb", 1, NULL, 'm' }, { "over", 1, NULL, 'o' },
		{ "churn", 1, NULL, 'c' }, { "threads", 1, NULL, 't' }, { "cpu", 1, NULL, 'C' }, { "file", 1, NULL, 'F' },
		{ "depth", 1, NULL, 'd' }, { "hold", 1, NULL, 'H' }, { "gap", 1, NULL, 'g' }, { "nice", 1, NULL, 'N' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
	};
	double seconds = 120;
	for (int c; (c = getopt_long(argc, argv, "h", opts, NULL)) != -1; ) {
		switch (c) {
		case 'n': conf.name = optarg; break;
		case 'f': seconds = atof(optarg); break;
		case 'm': conf.mb = atof(optarg); break;
		case 'o': conf.over = atof(optarg); break;
		case 'c': conf.churn = atof(optarg); break;
		case 't': conf.threads = atoi(optarg); break;
		case 'C': conf.cpu = atoi(optarg); break;
		case 'F': conf.file = optarg; break;
		case 'd': conf.depth = atoi(optarg); break;
		case 'H': conf.hold_ms = atof(optarg); break;
		case 'g': conf.gap_ms = atof(optarg); break;
		case 'N': conf.nice = atoi(optarg); break;
		case 'h': fputs(help, stdout); return 0;
		default: fputs(help, stderr); return 2;
		}
	}
	/* never outlives the script that started it */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, conf.name);
	conf.until = now_ns() + (int64_t)(seconds * 1e9);
	for (size_t i = 0; optind == argc - 1 && i < sizeof modes / sizeof *modes; i++) {
		if (strcmp(modes[i].name, argv[optind]))
			continue;
		if (!conf.file && (modes[i].run == disk || modes[i].run == lock))
			break;
		if (conf.depth < 1 || conf.depth > 1024 || conf.mb < 1 || conf.threads < 1)
			break;
		return modes[i].run();
	}
	fputs(help, stderr);
	return 2;
}
