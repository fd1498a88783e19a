/* SPDX-License-Identifier: BSD-2-Clause */
/* What a recording would cost here: one is made, and thrown away. */
#include "rec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <kp/util.h>

#define DAY	86400.0
#define KEY_SECONDS 60.0	/* between keyframes */

struct dry {
	struct kp_writer *w;
	uint64_t key_bytes, keys;	/* of keyframes: a short run has more of them than its share */
	uint64_t before;
};

static uint64_t bytes_of(const struct dry *d)
{
	struct kp_write_stats ws;

	kp_writer_stats(d->w, &ws);
	return ws.bytes;
}

static int row(void *arg, const struct kp_row *row, struct kp_err *err)
{
	return kp_writer_row(((struct dry *)arg)->w, row, err);
}

static int flush(void *arg, struct kp_err *err)
{
	return kp_writer_flush(((struct dry *)arg)->w, err);
}

static int key_begin(void *arg, uint64_t t0, struct kp_err *err)
{
	struct dry *d = arg;
	int rc = flush(d, err);

	d->before = bytes_of(d);
	return rc ? rc : kp_writer_key_begin(d->w, t0, err);
}

static int key_end(void *arg, uint64_t t1, struct kp_err *err)
{
	struct dry *d = arg;
	int rc = kp_writer_key_end(d->w, t1, err);

	if (!rc)
		rc = flush(d, err);
	d->key_bytes += bytes_of(d) - d->before;
	d->keys++;
	return rc;
}

static void put_groups(struct kp_buf *out, const struct kp_tally *t, double s)
{
	const struct kp_tally_group *g;

	for (uint32_t i = 1; (g = kp_tally_group(t, i)); i++)
		if (g->events && strcmp(g->name, "key") && strcmp(g->name, "clock"))
			kp_buf_printf(out, "  %-8s %12.1f rows/s\n", g->name, g->events / s);
}

static void put_ring(struct kp_buf *out, uint64_t ring, double rate)
{
	double s = rate > 0 ? ring / rate : 0;
	char size[32];

	kp_fmt_bytes(size, ring);
	if (s >= 2 * DAY)
		kp_buf_printf(out, "A ring of %s would last %.1f days\n", size, s / DAY);
	else
		kp_buf_printf(out, "A ring of %s would last %.1f hours\n", size, s / 3600);
}

static void put(struct kp_buf *out, const struct kp_record *r, const struct dry *d, const struct kp_tally *t, uint64_t bytes,
		uint64_t elapsed, const struct kp_usage *u, bool measured, uint64_t ring)
{
	double s = elapsed / 1e9, rate = (bytes - d->key_bytes) / s + (d->keys ? (double)d->key_bytes / d->keys / KEY_SECONDS : 0);
	char text[32];

	kp_buf_printf(out, "%.1f events/s over %.1f s, %llu lost\n", r->st.events / s, s, (unsigned long long)r->st.lost);
	put_groups(out, t, s);
	kp_buf_printf(out, "%s/s, %.2f GB a day\n", kp_fmt_bytes(text, (uint64_t)rate), rate * DAY / 1e9);
	kp_buf_printf(out, "%% of one CPU: %.2f user, %.2f system", 100 * (u[1].user - u[0].user) / 1e9 / s,
		      100 * (u[1].system - u[0].system) / 1e9 / s);
	if (measured)
		kp_buf_printf(out, ", %.2f in the kernel's hooks (BPF)", 100 * kp_record_bpf_time(r) / 1e9 / s);
	kp_buf_printf(out, "; %s of memory\n", kp_fmt_bytes(text, u[1].rss));
	put_ring(out, ring, rate);
}

int kp_record_dry(struct kp_record *r, const struct kp_header *hdr, const struct kp_write_opts *wo, uint64_t ring,
		  struct kp_buf *out, struct kp_err *err)
{
	struct kp_record_sink sink = { .row = row, .key_begin = key_begin, .key_end = key_end, .flush = flush };
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC), stats = -1, rc;
	uint64_t bytes = 0, begun, elapsed = 0;
	struct kp_tally *t = NULL;
	struct dry d = { 0 };
	struct kp_usage u[2];
	struct kp_err later;

	if (fd < 0)
		return kp_err(err, errno, "/dev/null: %s", strerror(errno));
	sink.arg = &d;
	rc = kp_tally_new(&t, r, &sink);
	if (rc)
		kp_err(err, -rc, "out of memory");
	if (!rc)
		rc = kp_writer_open(&d.w, fd, false, hdr, r->kinds, wo, err);
	if (!rc) {
		stats = kp_record_measure();
		sink = kp_tally_sink(t);
		kp_usage_read(&u[0]);
		begun = kp_now_mono();
		rc = kp_record_run(r, &sink, err);
		elapsed = kp_now_mono() - begun;
		kp_usage_read(&u[1]);
	}
	if (d.w && !rc)
		rc = kp_writer_flush(d.w, err);
	if (d.w) {
		bytes = bytes_of(&d);
		kp_writer_close(d.w, 0, &later);
	}
	if (!rc)
		put(out, r, &d, t, bytes, elapsed, u, stats >= 0, ring);
	if (!rc && out->err)
		rc = kp_err(err, ENOMEM, "out of memory");
	if (stats >= 0)
		close(stats);
	kp_tally_free(t);
	close(fd);
	return rc;
}
