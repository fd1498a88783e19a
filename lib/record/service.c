/* SPDX-License-Identifier: BSD-2-Clause */
/* The recorder as a service: signs of life for those who look after it. */
#include "rec.h"

#include <stdio.h>
#include <string.h>

#include <kp/util.h>

#define METRICS_EVERY	(10 * SEC)
#define STATUS_EVERY	(10 * SEC)

/* A disk that is full for a while must not end the recording; that it has failed is said once. */
static void write_metrics(struct kp_service *s, uint64_t bytes)
{
	struct kp_err err = { 0 };

	if (!s->metrics || !s->r)
		return;
	if (!kp_metrics_write(s->metrics, s->r, s->tally, bytes, &err))
		s->failed = false;
	else if (!s->failed) {
		s->failed = true;
		kp_rec_say(s->r, 0, "metrics: %s", err.msg);
	}
}

int kp_service_ready(struct kp_service *s, const struct kp_record *r, const struct kp_tally *tally, struct kp_err *err)
{
	uint64_t now = kp_now_mono();
	int rc = 0;

	s->r = r;
	s->tally = tally;
	s->next_metrics = now + METRICS_EVERY;
	s->next_status = now + SEC;
	if (s->metrics)
		rc = kp_metrics_write(s->metrics, r, tally, 0, err);
	if (!rc)
		kp_notify_send(&s->notify, "READY=1");
	return rc;
}

void kp_service_second(struct kp_service *s, const struct kp_record_stats *st, uint64_t bytes)
{
	uint64_t now = kp_now_mono();
	char text[sizeof(s->line) + 16];

	kp_usage_line(&s->progress, st, bytes, s->line, sizeof(s->line));
	if (s->notify.watchdog)
		kp_notify_send(&s->notify, "WATCHDOG=1");
	if (now >= s->next_status) {
		s->next_status = now + STATUS_EVERY;
		snprintf(text, sizeof(text), "STATUS=%s", s->line);
		kp_notify_send(&s->notify, text);
	}
	if (now >= s->next_metrics) {
		s->next_metrics = now + METRICS_EVERY;
		write_metrics(s, bytes);
	}
}

void kp_service_end(struct kp_service *s, uint64_t bytes)
{
	write_metrics(s, bytes);
	kp_notify_send(&s->notify, "STOPPING=1");
}
