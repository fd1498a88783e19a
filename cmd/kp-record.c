/* SPDX-License-Identifier: BSD-2-Clause */
/* kp-record: records what the kernel does, as a stream. See kp-record(1). */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kp/expr.h>
#include <kp/record.h>
#include <kp/ring.h>
#include <kp/stream.h>
#include <kp/util.h>

enum { O_COMM = 256, O_MIN_DUR, O_STACK_MIN, O_IDS, O_NO_IDS, O_PAYLOAD, O_BUFFER, O_DELIMITER, O_LEVEL, O_ALL, O_NO_EXCLUDE,
	O_RING, O_RING_SIZE, O_RING_AGE, O_MIN_FREE, O_FSYNC, O_GROUP, O_PROFILE, O_BUDGET,
	O_CHECK, O_SOURCES, O_DRY_RUN, O_METRICS, O_CONFIG };

static const struct kp_opt opts[] = {
	{ -1, NULL, NULL, "What is recorded (everything by default; with COMMAND, it and what it starts)" },
	{ 'p', "pid", "PID[,PID]", "only these processes, and what they start (repeatable)" },
	{ O_COMM, "comm", "NAME", "only tasks of this name" },
	{ 'g', "cgroup", "CGROUP", "only tasks in this cgroup or below it (a path)" },
	{ 'e', "events", "KINDS", "only these kinds: names and globs, such as 'sys.*,tcp.*' (see kp-query --kinds)" },
	{ O_PROFILE, "profile", "NAME", "how much: light, default or full (help: what these are)" },
	{ O_MIN_DUR, "min-dur", "DUR", "only operations that took at least so long (10ms, 1.5s)" },
	{ O_STACK_MIN, "stack-min", "DUR", "take stacks of sleeps from here on (default 1ms; 0: never)" },
	{ O_ALL, "all", NULL, "with COMMAND: record everything else meanwhile, too" },
	{ O_NO_EXCLUDE, "no-exclude", NULL, "record also readers of the output and ssh, see kp-record(1)" },
	{ -1, NULL, NULL, "What is kept of messages on sockets" },
	{ O_IDS, "ids", NULL, "method, path, status and ids, no content (default)" },
	{ O_NO_IDS, "no-ids", NULL, "nothing" },
	{ O_PAYLOAD, "payload", "BYTES", "the first bytes of each message as they are, passwords and all" },
	{ -1, NULL, NULL, "When it ends (else with ^C or when COMMAND ends)" },
	{ 'd', "duration", "SECONDS", "after so long" },
	{ 'n', "count", "COUNT", "after exactly so many events" },
	{ -1, NULL, NULL, "How it is written" },
	{ O_BUDGET, "cpu-budget", "PERCENT", "CPU time that recording may take, of one CPU, or off (default: 2% with --ring, else off)" },
	{ O_BUFFER, "buffer", "SIZE", "buffer per CPU (default 16M); what does not fit is lost, and counted" },
	{ O_DELIMITER, "delimiter", "STRING", "write chunks with STRING after each (for kcat -D)" },
	{ O_LEVEL, "level", "N", "level of zstd, 1 to 19 (default 2)" },
	{ -1, NULL, NULL, "For ever, within limits" },
	{ O_RING, "ring", "DIR", "write segments into DIR, and remove the oldest" },
	{ O_RING_SIZE, "ring-size", "SIZE", "at most so much on disk (default 2G)" },
	{ O_RING_AGE, "ring-age", "DUR", "and nothing older (default 24h; 0: no limit)" },
	{ O_MIN_FREE, "min-free", "SIZE", "and leave so much free on its file system (default 5%)" },
	{ O_FSYNC, "fsync", "second|segment|never", "when to force it to the disk (default second)" },
	{ O_GROUP, "group", "NAME", "let this group read it" },
	{ -1, NULL, NULL, "As a service" },
	{ O_CONFIG, "config", "FILE", "options from FILE, one a line, such as 'level 3'" },
	{ O_METRICS, "metrics", "FILE", "the recorder's own state for Prometheus, every 10 s" },
	{ -1, NULL, NULL, "Instead of recording" },
	{ O_CHECK, "check", NULL, "say what this host can do, and what to do where it cannot" },
	{ O_SOURCES, "sources", NULL, "list event sources, their hooks here, and what each costs here" },
	{ O_DRY_RUN, "dry-run", "SECONDS", "say how much would be written, and at what cost" },
	{ 0 },
};

static const struct kp_tool tool = {
	.name = "kp-record",
	.usage = "[OPTION]... [-- COMMAND [ARG]...]",
	.about = "Records system calls, scheduling, network, disk and memory events of the kernel into a stream.",
	.opts = opts,
	.examples = "  kp-record -d 5 | kp-query\n"
		    "  kp-record -o build.kp -e 'sys.*,sched.*' -- make -j4\n",
};

struct args {
	struct kp_common common;
	struct kp_record_opts rec;
	struct kp_write_opts write;
	struct kp_diskring_opts ring;
	const char *ring_opt;	/* an option that makes sense only with --ring */
	uint32_t *pids;
	int instead;			/* O_CHECK ..., 0: record */
	struct kp_service service;
	struct kp_writer *writer;	/* one of them is used */
	struct kp_diskring *disk;
	bool live;			/* a line on the terminal tells how it goes */
	char *config;			/* text of the file, which values point into */
};

/* ^C may come at any moment: a handler can reach the recorder only through here. */
static struct kp_record *running;
static volatile sig_atomic_t early;
static struct kp_notify *manager;

static int add_pids(struct args *a, const char *val, struct kp_err *err)
{
	for (const char *p = val; ; p++) {
		char one[16] = "";
		size_t len = strcspn(p, ",");
		uint64_t pid;
		uint32_t *more;

		if (len < sizeof(one))
			memcpy(one, p, len);
		if (kp_opt_number("pid", one, 1, 1 << 22, &pid, err))
			return kp_err(err, EINVAL, "--pid takes process ids, separated by commas, not %s", val);
		more = realloc(a->pids, (a->rec.npids + 1) * sizeof(*more));
		if (!more)
			return kp_err(err, ENOMEM, "out of memory");
		a->rec.pids = a->pids = more;
		a->pids[a->rec.npids++] = pid;
		p += len;
		if (!*p)
			return 0;
	}
}

static int take_ring(struct args *a, int key, const char *val, struct kp_err *err)
{
	const struct kp_opt *o = opts;

	while (o->key != key)
		o++;
	if (key != O_RING)
		a->ring_opt = o->name;
	return kp_diskring_opt(&a->ring, o->name, val, err);
}

static int instead(struct args *a, int key, struct kp_err *err)
{
	if (a->instead && a->instead != key)
		return kp_err(err, EINVAL, "--check, --sources and --dry-run exclude each other");
	a->instead = key;
	return 0;
}

static int profile(const char *val, struct kp_err *err)
{
	const struct kp_record_profile *p;

	for (uint32_t i = 0; (p = kp_record_profile(i)); i++)
		if (!strcmp(p->name, val))
			return 0;
	return strcmp(val, "help") ? kp_err(err, EINVAL, "--profile takes light, default, full or help, not %s", val) : 0;
}

/* In thousandths. */
static int budget(const char *val, uint32_t *out, struct kp_err *err)
{
	char *end;
	double d = strtod(val, &end);

	if (!strcmp(val, "off")) {
		*out = UINT32_MAX;
		return 0;
	}
	if (end == val || strcmp(end + (*end == '%'), "") != 0 || !(d >= 0.1 && d <= 100))
		return kp_err(err, EINVAL, "--cpu-budget takes 0.1 to 100 percent of a CPU, or off, not %s", val);
	*out = (uint32_t)(d * 10 + 0.5);
	return 0;
}

static int take(void *arg, int key, const char *val, struct kp_err *err)
{
	struct args *a = arg;
	uint64_t n;
	int rc = 0;

	switch (key) {
	case 'p': return add_pids(a, val, err);
	case O_COMM:
		if (!*val)
			rc = kp_err(err, EINVAL, "--comm must not be empty");
		a->rec.comm = val;
		break;
	case 'g': a->rec.cgroup = val; break;
	case 'e': a->rec.kinds = val; return kp_record_check_kinds(val, err);
	case O_MIN_DUR: return kp_opt_duration("min-dur", val, &a->rec.min_dur, err);
	case O_STACK_MIN:
		rc = kp_opt_duration("stack-min", val, &a->rec.stack_min, err);
		if (!a->rec.stack_min)
			a->rec.stack_min = UINT64_MAX;
		break;
	case O_PROFILE: a->rec.profile = val; return profile(val, err);
	case O_BUDGET: return budget(val, &a->rec.cpu_budget, err);
	case O_ALL: a->rec.all = true; break;
	case O_NO_EXCLUDE: a->rec.no_exclude = true; break;
	case O_IDS: a->rec.data = KP_DATA_IDS; break;
	case O_NO_IDS: a->rec.data = KP_DATA_NONE; break;
	case O_PAYLOAD:
		rc = kp_opt_number("payload", val, 1, 4096, &n, err);
		a->rec.data = KP_DATA_RAW;
		a->rec.payload = n;
		break;
	case 'd': return kp_opt_seconds("duration", val, &a->rec.duration, err);
	case 'n': return kp_opt_number("count", val, 1, UINT64_MAX - 1, &a->rec.count, err);
	case O_BUFFER:
		if (kp_parse_size(val, &a->rec.buffer) || a->rec.buffer < 4096 || a->rec.buffer > 1 << 30)
			rc = kp_err(err, EINVAL, "--buffer takes a size from 4k to 1G, not %s", val);
		break;
	case O_DELIMITER:
		if (!*val)
			rc = kp_err(err, EINVAL, "--delimiter must not be empty");
		a->write.delimiter = val;
		break;
	case O_CONFIG:
		return a->config ? kp_err(err, EINVAL, "--config may be given only once") :
			kp_opts_file(&tool, val, &a->common, take, a, &a->config, err);
	case O_METRICS: a->service.metrics = val; break;
	case O_CHECK: case O_SOURCES: return instead(a, key, err);
	case O_DRY_RUN:
		rc = instead(a, key, err);
		return rc ? rc : kp_opt_seconds("dry-run", val, &a->rec.duration, err);
	case O_LEVEL:
		rc = kp_opt_number("level", val, 1, 19, &n, err);
		a->write.level = (int)n;
		break;
	default: return take_ring(a, key, val, err);
	}
	return rc;
}

static void say(void *arg, int level, const char *line)
{
	const struct args *a = arg;

	if (level ? a->common.verbose >= level : !a->common.quiet)
		kp_warn(&tool, "%s", line);
}

static uint64_t written(const struct args *a)
{
	struct kp_diskring_stats ds = { 0 };
	struct kp_write_stats ws = { 0 };

	if (a->disk)
		kp_diskring_stats(a->disk, &ds);
	else if (a->writer)
		kp_writer_stats(a->writer, &ws);
	return ds.bytes + ws.bytes;
}

static void each_second(void *arg, const struct kp_record_stats *st)
{
	struct args *a = arg;

	kp_service_second(&a->service, st, written(a));
	if (a->live) /* over and over in the same line */
		fprintf(stderr, "\r%s; ^C ends   \r", a->service.line);
}

/* ^C on a terminal reaches the command by itself; what was sent to us alone is passed on. */
static void on_signal(int sig, siginfo_t *info, void *ctx)
{
	if (manager)
		kp_notify_send(manager, "STOPPING=1");
	if (running)
		kp_record_stop(running, info->si_code <= 0 ? sig : 0);
	else
		early = 1;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART }, old;

	/* Also where a shell ignores it, for a job in the background: it may be sent one to end. */
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (!sigaction(SIGHUP, NULL, &old) && old.sa_handler != SIG_IGN) /* as nohup(1) wants it */
		sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void say_totals(const struct args *a, const struct kp_record *r, uint64_t written)
{
	struct kp_record_stats st;
	char bytes[32];

	kp_record_stats(r, &st);
	if (!a->common.quiet)
		kp_warn(&tool, "%llu events, %s (%.1f bytes each), %llu lost", (unsigned long long)st.events,
			kp_fmt_bytes(bytes, written), st.events ? (double)written / st.events : 0.0,
			(unsigned long long)st.lost);
	if (a->common.verbose)
		kp_warn(&tool, "%llu events late, %llu records bad; buffers at most %llu %% full, fetched after %s at most",
			(unsigned long long)st.late, (unsigned long long)st.bad,
			(unsigned long long)(100 * st.ring_max / st.ring_bytes), kp_fmt_dur(bytes, st.gap_max));
}

/* How it was called goes into the stream: without the delimiter, which must not occur there. */
static int make_header(struct kp_header *hdr, const struct args *a, struct kp_record *r, int argc, char **argv, struct kp_err *err)
{
	char **args = calloc(argc + 1, sizeof(*args));
	int rc = -ENOMEM;

	for (int i = 0; args && i < argc; i++)
		args[i] = a->write.delimiter && strstr(argv[i], a->write.delimiter) ? (char *)"..." : argv[i];
	if (args)
		rc = kp_header_pass(hdr, kp_record_header(r), kp_record_pool(r), tool.name, argc, args);
	free(args);
	return rc ? kp_err(err, ENOMEM, "out of memory") : 0;
}

/*
 * What is left to do with privileges is done. Those kept: of a command that may become another user's only root's
 * signals arrive; files of a ring get their group; and its thread that works when nobody else does must end in time.
 */
static int settle(const struct args *a, struct kp_err *err)
{
	uint64_t keep = kp_record_caps();

	kp_record_hurry();
	kp_record_spare();
	if (a->rec.command)
		keep |= 1ull << CAP_KILL;
	if (a->ring.dir)
		keep |= 1ull << CAP_SYS_NICE | (a->ring.group ? 1ull << CAP_CHOWN : 0);
	if (a->service.metrics)
		keep |= kp_record_caps_for(a->service.metrics);
	return kp_record_drop(keep, err);
}

static int run(struct args *a, struct kp_record *r, struct kp_record_sink sink, struct kp_err *err)
{
	struct kp_tally *tally = NULL;
	int rc = 0;

	if (a->service.metrics) {
		rc = kp_tally_new(&tally, r, &sink);
		if (rc)
			return kp_err(err, -rc, "out of memory");
		sink = kp_tally_sink(tally);
	}
	rc = kp_service_ready(&a->service, r, tally, err);
	if (!rc) {
		running = r;
		if (early)
			kp_record_stop(r, 0);
		rc = kp_record_run(r, &sink, err);
		running = NULL;
		kp_service_end(&a->service, written(a));
	}
	kp_tally_free(tally);
	return rc;
}

static int write_ring(struct args *a, struct kp_record *r, int argc, char **argv, struct kp_err *err)
{
	struct kp_diskring *ring = a->disk;
	const struct kp_record_sink sink = {
		.row = kp_diskring_row, .key_begin = kp_diskring_key_begin, .key_end = kp_diskring_key_end,
		.flush = kp_diskring_flush, .arg = ring, .full = kp_diskring_full, .turn = kp_diskring_turn,
	};
	struct kp_diskring_stats st;
	struct kp_header hdr = { 0 };
	struct kp_err later;
	int rc, rc2;

	rc = make_header(&hdr, a, r, argc, argv, err);
	if (!rc)
		rc = settle(a, err);
	if (!rc)
		rc = kp_diskring_begin(ring, &hdr, kp_record_kinds(r), err);
	if (!rc)
		rc = run(a, r, sink, err);
	rc2 = kp_diskring_end(ring, rc ? &later : err);
	rc = rc ? rc : rc2;
	kp_diskring_stats(ring, &st);
	if (!rc)
		say_totals(a, r, st.bytes);
	if (!rc && a->common.verbose)
		kp_warn(&tool, "%llu segments there, %llu removed; %llu packed anew, to %llu %% of their size", (unsigned long long)st.segments,
			(unsigned long long)st.removed, (unsigned long long)st.rewritten,
			(unsigned long long)(st.before ? 100 * st.after / st.before : 100));
	kp_header_free(&hdr);
	return rc;
}

static int write_stream(struct args *a, struct kp_record *r, int argc, char **argv, struct kp_err *err)
{
	struct kp_write_stats ws = { 0 };
	struct kp_header hdr = { 0 };
	struct kp_err later;
	int fd, rc, rc2;

	fd = kp_open_out(a->common.out, err);
	rc = fd < 0 ? fd : kp_check_binary_out(fd, err);
	if (!rc)
		rc = make_header(&hdr, a, r, argc, argv, err);
	if (!rc)
		rc = settle(a, err);
	if (!rc)
		rc = kp_writer_open(&a->writer, fd, false, &hdr, kp_record_kinds(r), &a->write, err);
	if (!rc)
		rc = run(a, r, kp_record_to_writer(a->writer), err);
	if (a->writer) {
		rc2 = kp_writer_flush(a->writer, rc ? &later : err);
		rc = rc ? rc : rc2;
		kp_writer_stats(a->writer, &ws);
		rc2 = kp_writer_close(a->writer, ws.rows, rc ? &later : err);
		rc = rc ? rc : rc2;
	}
	/* A full disk may be told only now. */
	if (fd > STDOUT_FILENO && close(fd) && !rc)
		rc = kp_err(err, errno, "%s: %s", a->common.out, strerror(errno));
	if (a->writer && (!rc || rc == -EPIPE))
		say_totals(a, r, ws.bytes);
	a->writer = NULL;
	kp_header_free(&hdr);
	return rc;
}

static int check_ring(struct args *a, struct kp_err *err)
{
	if (a->instead)
		return a->instead == O_DRY_RUN || !a->rec.command ? 0 : kp_err(err, EINVAL, "--check and --sources take no command");
	if (!a->ring.dir && a->ring_opt)
		return kp_err(err, EINVAL, "--%s needs --ring", a->ring_opt);
	if (a->ring.dir && a->common.out)
		return kp_err(err, EINVAL, "--ring and --output: only one of them says where it is written");
	if (a->ring.dir && a->write.delimiter)
		return kp_err(err, EINVAL, "--ring and --delimiter do not go together");
	/* What somebody records to look at it is to be all; what runs all the time is not to be felt. */
	if (!a->rec.cpu_budget && !a->ring.dir)
		a->rec.cpu_budget = UINT32_MAX;
	a->ring.level = a->write.level;
	a->ring.say = say;
	a->ring.say_arg = a;
	return 0;
}

static int list_profiles(void)
{
	struct kp_buf out = { 0 };
	int rc = kp_record_profiles(&out);

	rc = rc ? rc : kp_write_all(STDOUT_FILENO, out.p, out.len);
	kp_buf_free(&out);
	return kp_complain(&tool, rc, NULL);
}

/* ---- instead of recording ---- */

enum { SOURCES_SECONDS = 2 };

/* 1: said what was asked for, and it is good; 0: it is not good. */
static int report(struct args *a, struct kp_record **r, int argc, char **argv, struct kp_buf *out, struct kp_err *err)
{
	struct kp_header hdr = { 0 };
	int rc;

	a->rec.stream_fd = -1;
	if (a->instead == O_CHECK)
		return kp_record_check(out, &a->rec, err);
	if (a->instead == O_SOURCES && !a->rec.duration)
		a->rec.duration = SOURCES_SECONDS * 1000000000ull;
	rc = kp_record_new(r, &a->rec, err);
	if (a->instead == O_SOURCES && rc == -EPERM) {
		if (!a->common.quiet)
			kp_warn(&tool, "%s; so what they cost is not known", err->msg);
		err->msg[0] = 0;
		rc = kp_record_sources(NULL, &a->rec, out, err);
		return rc ? rc : 1;
	}
	if (!rc)
		rc = make_header(&hdr, a, *r, argc, argv, err);
	if (!rc) {
		kp_record_hurry();
		running = *r;
		if (early)
			kp_record_stop(*r, 0);
		rc = a->instead == O_SOURCES ? kp_record_sources(*r, &a->rec, out, err) :
			kp_record_dry(*r, &hdr, &a->write, a->ring.size, out, err);
		running = NULL;
	}
	kp_header_free(&hdr);
	return rc ? rc : 1;
}

static int say_report(struct args *a, struct kp_record **r, int argc, char **argv, struct kp_err *err)
{
	struct kp_buf out = { 0 };
	int rc = report(a, r, argc, argv, &out, err), rc2, fd = -1;

	if (rc >= 0) {
		fd = kp_open_out(a->common.out, err);
		rc2 = fd < 0 ? fd : kp_write_all(fd, out.p, out.len);
		if (fd >= 0 && rc2)
			kp_err(err, -rc2, "%s: %s", a->common.out ? a->common.out : "standard output", strerror(-rc2));
		rc = rc2 ? rc2 : rc;
	}
	if (fd > STDOUT_FILENO)
		close(fd);
	kp_buf_free(&out);
	return rc;
}

int main(int argc, char **argv)
{
	struct args a = {
		.rec.stream_fd = STDOUT_FILENO, .service.notify.fd = -1,
		.ring = KP_DISKRING_DEFAULT,
	};
	int status, first, rc = 0, trouble, shown;
	struct kp_record *r = NULL;
	struct kp_err err = { 0 };

	first = kp_opts(&tool, argc, argv, true, &a.common, take, &a, &status);
	if (first < 0) {
		free(a.pids);
		free(a.config);
		return status;
	}
	if (a.rec.profile && !strcmp(a.rec.profile, "help")) {
		status = list_profiles();
		goto out;
	}
	trouble = first < argc ? 125 : KP_EXIT_FAIL;
	if (first < argc)
		a.rec.command = argv + first;
	shown = a.rec.command ? first + 1 : argc; /* of the command only the name is written down: arguments may be passwords */
	a.rec.say = say;
	a.rec.say_arg = &a;
	a.rec.libbpf_prints = a.common.verbose > 1;
	rc = check_ring(&a, &err);
	if (rc) {
		kp_complain(&tool, rc, &err);
		status = first < argc && !a.instead ? 125 : KP_EXIT_USAGE;
		goto out;
	}
	if (a.ring.dir || (a.common.out && strcmp(a.common.out, "-") != 0))
		a.rec.stream_fd = -1;
	else if (a.rec.command) /* what it prints must not get between our bytes */
		a.rec.command_stdout = STDERR_FILENO;
	catch_signals();
	if (a.instead) {
		rc = say_report(&a, &r, shown, argv, &err);
		status = kp_complain(&tool, rc < 0 ? rc : 0, &err) ? trouble : rc ? KP_EXIT_OK : KP_EXIT_FAIL;
		goto out;
	}
	/* Not where it would get between what others print there. */
	a.live = isatty(STDERR_FILENO) && a.rec.stream_fd < 0 && !a.rec.command && !a.common.quiet;
	if (kp_notify_open(&a.service.notify) && !a.common.quiet)
		kp_warn(&tool, "the service manager's NOTIFY_SOCKET cannot be reached");
	manager = &a.service.notify;
	a.rec.second = each_second;
	rc = a.rec.stream_fd < 0 ? 0 : kp_check_binary_out(a.rec.stream_fd, &err);
	if (!rc && a.ring.dir)
		rc = kp_diskring_open(&a.disk, &a.ring, &err);
	if (!rc)
		rc = kp_record_new(&r, &a.rec, &err);
	if (!rc)
		rc = a.ring.dir ? write_ring(&a, r, shown, argv, &err) : write_stream(&a, r, shown, argv, &err);
	kp_diskring_free(a.disk);
	signal(SIGTERM, SIG_DFL); /* there is nothing left to end properly */
	status = kp_complain(&tool, rc, &err) ? trouble : KP_EXIT_OK;
	if (!status && a.rec.command) {
		status = kp_record_command(r, &err);
		if (err.msg[0] && status >= 126)
			kp_warn(&tool, "%s", err.msg);
	}
out:
	kp_record_free(r);
	manager = NULL;
	kp_notify_close(&a.service.notify);
	free(a.pids);
	free(a.config);
	return status;
}
