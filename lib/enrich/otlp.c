/* SPDX-License-Identifier: BSD-2-Clause */
/* OpenTelemetry's spans from OTLP in JSON, as the Collector's file exporter writes it. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <kp/util.h>

#include "en.h"

/* Attributes that hold a request's id, in the spellings that instrumentation uses. */
static const char *const request_keys[] = {
	"http.request.header.x-request-id", "http.request.header.x_request_id", "http.request.id", "http.request_id",
	"http.x_request_id", "request.id", "request_id", "requestId", "x-request-id", "guid:x-request-id",
};

/* A 64-bit number: OTLP writes it as a string, some exporters as a number. */
static uint64_t number(const json_t *j)
{
	if (json_is_integer(j))
		return json_integer_value(j);
	if (json_is_real(j) && json_real_value(j) >= 0 && json_real_value(j) < 1.8e19)
		return (uint64_t)json_real_value(j);
	return json_is_string(j) ? strtoull(json_string_value(j), NULL, 10) : 0;
}

static const json_t *either(const json_t *o, const char *camel, const char *snake)
{
	const json_t *v = json_object_get(o, camel);

	return v ? v : json_object_get(o, snake);
}

/* The AnyValue of an attribute: of a list the first. */
static const json_t *attribute(const json_t *o, const char *key)
{
	const json_t *list = json_object_get(o, "attributes"), *v;
	size_t i;
	json_t *a;

	json_array_foreach(list, i, a) {
		const char *k = json_string_value(json_object_get(a, "key"));

		if (!k || strcmp(k, key))
			continue;
		v = json_object_get(a, "value");
		if (json_object_get(v, "arrayValue"))
			v = json_array_get(json_object_get(json_object_get(v, "arrayValue"), "values"), 0);
		if (either(v, "stringValue", "string_value"))
			return either(v, "stringValue", "string_value");
		return either(v, "intValue", "int_value");
	}
	return NULL;
}

static const struct kp_str *text(struct kp_enrich *e, const json_t *j)
{
	return json_is_string(j) && json_string_length(j) ?
	       kp_pool_str(e->pool, json_string_value(j), json_string_length(j)) : NULL;
}

/* Ids are hexadecimal, in lower case here as on the wire; want: how many digits. NULL: it is none. */
static const struct kp_str *hex(struct kp_enrich *e, const json_t *j, size_t want)
{
	const char *s = json_string_value(j);
	char b[32];

	if (!s || strlen(s) != want || want > sizeof(b))
		return NULL;
	for (size_t i = 0; i < want; i++) {
		if (!isxdigit((unsigned char)s[i]))
			return NULL;
		b[i] = tolower((unsigned char)s[i]);
	}
	return kp_pool_str(e->pool, b, want);
}

static uint8_t kind_of(const json_t *j)
{
	static const char *const names[] = { "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
					     "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER" };

	for (uint8_t i = 0; json_is_string(j) && i < 6; i++)
		if (!strcmp(json_string_value(j), names[i]))
			return i;
	return json_is_integer(j) && json_integer_value(j) < 6 ? json_integer_value(j) : 0;
}

/* res: what the resource says of all its spans. 0, 1: not a span that can be used, -ENOMEM. */
static int span(struct kp_enrich *e, const struct en_span *res, const json_t *j)
{
	const json_t *status = json_object_get(j, "status"), *code = json_object_get(status, "code");
	struct en_span s = *res;

	s.trace = hex(e, either(j, "traceId", "trace_id"), 32);
	s.id = hex(e, either(j, "spanId", "span_id"), 16);
	s.parent = hex(e, either(j, "parentSpanId", "parent_span_id"), 16);
	s.name = text(e, json_object_get(j, "name"));
	s.start = number(either(j, "startTimeUnixNano", "start_time_unix_nano"));
	s.end = number(either(j, "endTimeUnixNano", "end_time_unix_nano"));
	s.kind = kind_of(json_object_get(j, "kind"));
	s.failed = json_is_string(code) ? !strcmp(json_string_value(code), "STATUS_CODE_ERROR") : number(code) == 2;
	for (size_t i = 0; i < sizeof(request_keys) / sizeof(*request_keys) && !s.request; i++)
		s.request = text(e, attribute(j, request_keys[i]));
	if (!s.trace || !s.id || !s.start || s.end < s.start)
		return 1;
	return en_span_add(e, &s);
}

static int resource(struct kp_enrich *e, const json_t *j, bool *bad)
{
	const json_t *r = json_object_get(j, "resource"), *scopes = either(j, "scopeSpans", "scope_spans"), *exe;
	struct en_span res = { 0 };
	size_t i, k;
	json_t *scope, *sp;
	int rc;

	if (!scopes)	/* its name before version 0.19 */
		scopes = json_object_get(j, "instrumentationLibrarySpans");
	res.pid = (uint32_t)number(attribute(r, "process.pid"));
	res.service = text(e, attribute(r, "service.name"));
	res.host = text(e, attribute(r, "host.name"));
	res.container = text(e, attribute(r, "container.id"));
	exe = attribute(r, "process.executable.path");
	res.exe = text(e, exe ? exe : attribute(r, "process.executable.name"));
	json_array_foreach(scopes, i, scope) {
		const json_t *list = json_object_get(scope, "spans");

		json_array_foreach(list, k, sp) {
			rc = span(e, &res, sp);
			if (rc < 0)
				return rc;
			*bad |= rc > 0;
		}
	}
	return 0;
}

/* One request, or a list of them. */
static int request(struct kp_enrich *e, const json_t *j, bool *bad)
{
	const json_t *list;
	size_t i;
	json_t *v;
	int rc = 0;

	if (json_is_array(j)) {
		json_array_foreach(j, i, v)
			if (json_is_array(v))	/* no deeper */
				*bad = true;
			else if (!rc)
				rc = request(e, v, bad);
		return rc;
	}
	list = either(j, "resourceSpans", "resource_spans");
	if (!json_is_array(list)) {	/* a line of metrics or logs is none of ours, but not broken either */
		*bad |= !json_is_object(j) || (!json_object_get(j, "resourceMetrics") && !json_object_get(j, "resourceLogs"));
		return 0;
	}
	json_array_foreach(list, i, v)
		if (!rc)
			rc = resource(e, v, bad);
	return rc;
}

static void bad_line(struct kp_enrich *e, uint64_t no)
{
	if (!e->st.bad_lines++)
		e->st.bad_line = no;
}

static int one(struct kp_enrich *e, const char *p, size_t n, uint64_t no, bool *parsed)
{
	json_error_t je;
	json_t *j = json_loadb(p, n, 0, &je);
	bool bad = false;
	int rc;

	*parsed = j != NULL;
	if (!j)
		return 0;
	rc = request(e, j, &bad);
	json_decref(j);
	if (bad)
		bad_line(e, no);
	return rc;
}

static bool blank(const char *p, size_t n)
{
	while (n && isspace((unsigned char)*p))
		p++, n--;
	return !n;
}

/* A line of its own. */
static int line(struct kp_enrich *e, const char *p, size_t n, uint64_t no)
{
	bool ok = true;
	int rc = blank(p, n) ? 0 : one(e, p, n, no, &ok);

	if (!ok)
		bad_line(e, no);
	return rc;
}

static int finish(struct kp_enrich *e, int rc, struct kp_err *err)
{
	if (!rc)
		rc = en_spans_sort(e);
	e->st.spans = e->spans.n;
	return rc ? kp_err(err, -rc, "spans: out of memory") : 0;
}

int kp_enrich_spans_text(struct kp_enrich *e, const char *t, size_t len, struct kp_err *err)
{
	const char *p = t, *end = t + len, *nl;
	bool parsed = false;
	int rc = 0;

	/* One value over several lines does not parse by its first line. */
	nl = memchr(p, '\n', len);
	if (nl && !blank(nl, end - nl))
		rc = one(e, t, len, 1, &parsed);
	for (uint64_t no = 1; !rc && !parsed && p < end; no++, p = nl + 1) {
		nl = memchr(p, '\n', end - p);
		nl = nl ? nl : end;
		rc = line(e, p, nl - p, no);
	}
	return finish(e, rc, err);
}

/* The rest of the file behind what is in b. */
static int slurp(FILE *f, struct kp_buf *b)
{
	size_t n;

	do {
		if (kp_buf_reserve(b, 1 << 16))
			return -ENOMEM;
		n = fread(b->p + b->len, 1, 1 << 16, f);
		b->len += n;
	} while (n);
	return 0;
}

/* Line by line, so that a large file needs no memory for its text; unless the first line is none. */
static int read_spans(struct kp_enrich *e, FILE *f, struct kp_err *err)
{
	struct kp_buf b = { 0 };
	char *text = NULL;
	size_t cap = 0;
	uint64_t no = 0;
	ssize_t n;
	int rc = 0;

	while (!rc && (n = getline(&text, &cap, f)) >= 0) {
		bool ok = true;

		no++;
		if (!blank(text, n))
			rc = one(e, text, n, no, &ok);
		if (rc || ok)
			continue;
		if (no > 1) {
			bad_line(e, no);
			continue;
		}
		rc = kp_buf_add(&b, text, n);
		rc = rc ? rc : slurp(f, &b);
		free(text);
		rc = rc ? finish(e, rc, err) : kp_enrich_spans_text(e, (const char *)b.p, b.len, err);
		kp_buf_free(&b);
		return rc;
	}
	free(text);
	return finish(e, rc, err);
}

int kp_enrich_spans(struct kp_enrich *e, const char *path, struct kp_err *err)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	int rc;

	if (!f)
		return kp_err(err, errno, "%s: cannot read the spans: %s", path, strerror(errno));
	errno = 0;
	rc = read_spans(e, f, err);
	if (rc)
		kp_err_prefix(err, rc, "%s: ", path);
	else if (ferror(f))
		rc = kp_err(err, errno ? errno : EIO, "%s: cannot read the spans: %s", path, strerror(errno ? errno : EIO));
	if (f != stdin)
		fclose(f);
	return rc;
}
