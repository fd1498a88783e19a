/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of the recorder in the text format of Prometheus, for the textfile collector of its node exporter. */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kp/util.h>

static void head(struct kp_buf *b, const char *name, const char *type, const char *help)
{
	kp_buf_printf(b, "# HELP kprobe_%s %s\n# TYPE kprobe_%s %s\n", name, help, name, type);
}

static void number(struct kp_buf *b, const char *name, const char *type, const char *help, uint64_t v)
{
	head(b, name, type, help);
	kp_buf_printf(b, "kprobe_%s %llu\n", name, (unsigned long long)v);
}

static void real(struct kp_buf *b, const char *name, const char *type, const char *help, double v)
{
	head(b, name, type, help);
	kp_buf_printf(b, "kprobe_%s %.9g\n", name, v);
}

/* Wall-clock times need all their digits. */
static void timestamp(struct kp_buf *b, const char *name, const char *help, uint64_t ns)
{
	head(b, name, "gauge", help);
	kp_buf_printf(b, "kprobe_%s %llu.%03llu\n", name, (unsigned long long)(ns / SEC), (unsigned long long)(ns / MS % 1000));
}

static void one_loss(struct kp_buf *b, const char *group, const char *reason, uint64_t n)
{
	kp_buf_printf(b, "kprobe_events_lost_total{group=\"%s\",reason=\"%s\"} %llu\n", group, reason, (unsigned long long)n);
}

static void groups(struct kp_buf *b, const struct kp_tally *t)
{
	const struct kp_tally_group *g;

	head(b, "rows_total", "counter", "Rows written, by group of kinds.");
	for (uint32_t i = 1; (g = kp_tally_group(t, i)); i++)
		if (strcmp(g->name, "loss") != 0)
			kp_buf_printf(b, "kprobe_rows_total{group=\"%s\"} %llu\n", g->name, (unsigned long long)g->events);
	head(b, "events_lost_total", "counter",
	     "Events not recorded: no room between kernel and recorder (buffer), or left out to keep the CPU budget (shed).");
	for (uint32_t i = 0; (g = kp_tally_group(t, i)); i++) {
		one_loss(b, g->name, "buffer", g->lost);
		one_loss(b, g->name, "shed", g->shed);
	}
	head(b, "losses_uncounted_total", "counter", "Times that events were lost and it is not known how many.");
	for (uint32_t i = 0; (g = kp_tally_group(t, i)); i++)
		kp_buf_printf(b, "kprobe_losses_uncounted_total{group=\"%s\"} %llu\n", g->name, (unsigned long long)g->unknown);
}

static void hooks(struct kp_buf *b, const struct kp_record *r)
{
	uint32_t attached = 0, unwanted = 0;

	for (uint32_t i = 0; i < r->hooks.n; i++) {
		const struct kp_str *note = r->hooks.hook[i].note;

		attached += !note;
		unwanted += note && !strcmp(note->p, "not wanted");
	}
	head(b, "hooks", "gauge", "Hooks in the kernel: attached, missing here, or not needed for the kinds that are recorded.");
	kp_buf_printf(b, "kprobe_hooks{state=\"attached\"} %u\nkprobe_hooks{state=\"missing\"} %u\nkprobe_hooks{state=\"unwanted\"} %u\n",
		      attached, r->hooks.n - attached - unwanted, unwanted);
}

static void usage(struct kp_buf *b)
{
	struct kp_usage u;

	kp_usage_read(&u);
	head(b, "cpu_seconds_total", "counter", "CPU time of the recorder, without that of its programs in the kernel.");
	kp_buf_printf(b, "kprobe_cpu_seconds_total{mode=\"user\"} %.6f\nkprobe_cpu_seconds_total{mode=\"system\"} %.6f\n",
		      (double)u.user / 1e9, (double)u.system / 1e9);
	number(b, "resident_memory_bytes", "gauge", "Memory of the recorder.", u.rss);
}

int kp_metrics_text(struct kp_buf *b, const struct kp_record *r, const struct kp_tally *t, uint64_t bytes)
{
	uint64_t off = kp_now_wall() - kp_now_mono(), last = kp_tally_last(t);
	const struct kp_record_stats *st = &r->st;

	head(b, "build_info", "gauge", "The recorder's version.");
	kp_buf_printf(b, "kprobe_build_info{version=\"%s\"} 1\n", KP_VERSION);
	timestamp(b, "start_time_seconds", "When the recording began.", r->started + off);
	timestamp(b, "last_event_timestamp_seconds", "When the last event happened that was written; 0: none yet.", last ? last + off : 0);
	number(b, "events_total", "counter", "Events written: rows without keyframes, clocks, losses and what has not ended.", st->events);
	groups(b, t);
	number(b, "written_bytes_total", "counter", "Bytes of the stream, compressed.", bytes);
	number(b, "events_late_total", "counter", "Events that came after later ones, and whose end was put off.", st->late);
	number(b, "records_bad_total", "counter", "Records of the kernel side that were not understood.", st->bad);
	number(b, "buffer_size_bytes", "gauge", "Room for events between kernel and recorder, per CPU.", st->ring_bytes);
	real(b, "buffer_fill_max_ratio", "gauge", "The fullest that a CPU's buffer was found so far.",
	     st->ring_bytes ? (double)st->ring_max / st->ring_bytes : 0);
	real(b, "fetch_gap_max_seconds", "gauge", "The longest time so far that buffers were not looked at.", (double)st->gap_max / 1e9);
	hooks(b, r);
	usage(b);
	return b->err;
}

int kp_metrics_write(const char *path, const struct kp_record *r, const struct kp_tally *t, uint64_t bytes, struct kp_err *err)
{
	struct kp_buf b = { 0 }, name = { 0 };
	int fd = -1, rc;

	rc = kp_metrics_text(&b, r, t, bytes);
	if (!rc)
		rc = kp_buf_printf(&name, "%s.%d.tmp", path, (int)getpid());
	if (!rc)
		rc = kp_buf_char(&name, 0);
	if (rc) {
		rc = kp_err(err, ENOMEM, "out of memory");
		goto out;
	}
	/* Whoever collects may be another user, and it tells nothing of what was recorded. */
	unlink((const char *)name.p); /* of one that had our number, and died */
	fd = open((const char *)name.p, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || fchmod(fd, 0644)) {
		rc = kp_err(err, errno, "%s: %s", path, strerror(errno));
		goto out;
	}
	rc = kp_write_all(fd, b.p, b.len);
	if (rc)
		kp_err(err, -rc, "%s: %s", path, strerror(-rc));
	else if (rename((const char *)name.p, path))
		rc = kp_err(err, errno, "%s: %s", path, strerror(errno));
	if (rc)
		unlink((const char *)name.p);
out:
	if (fd >= 0)
		close(fd);
	kp_buf_free(&b);
	kp_buf_free(&name);
	return rc;
}
