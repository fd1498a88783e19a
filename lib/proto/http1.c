/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTP/1.0 and 1.1: the request or status line, and the two headers that carry ids. */
#include <string.h>
#include <strings.h>

#include "proto_int.h"

enum { MAX_ID = 128 };

static const char *const methods[] = {
	"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE",
};

static bool graphic(char c)
{
	return c > ' ' && c < 0x7f;
}

/* The path of an origin, absolute or authority form, without what may hold secrets: query, fragment, parameters. */
static struct kp_span path_of(const char *p, const char *end)
{
	const char *cut, *authority;

	if (*p != '/' && (authority = memmem(p, end - p, "://", 3))) {
		for (p = authority + 3; p < end && !strchr("/?#", *p); p++)
			;
		if (p == end || *p != '/')
			return kp_span("/", 1);
	}
	for (cut = p; cut < end && !strchr("?#;", *cut); cut++)
		;
	return kp_span(p, cut - p);
}

static bool version_ok(const char *p, const char *end)
{
	return end - p == 8 && !memcmp(p, "HTTP/1.", 7) && (p[7] == '0' || p[7] == '1');
}

/* What stands at the end of a line that was cut: any prefix of the version will do. */
static bool version_begins(const char *p, const char *end)
{
	return end - p <= 7 && !memcmp(p, "HTTP/1.", end - p);
}

/* Origin, absolute, asterisk or (CONNECT's) authority form. */
static bool target_ok(const char *p, const char *end, struct kp_span verb)
{
	if (*p == '/')
		return true;
	if (*p == '*')
		return end - p == 1;
	if (end - p > 8 && (!memcmp(p, "http://", 7) || !memcmp(p, "https://", 8)))
		return true;
	for (const char *c = p; c < end; c++)
		if (strchr("/?#;*@", *c))
			return false;
	return end > p && verb.len == 7 && *verb.p == 'C';
}

static bool request_line(const char *p, const char *eol, bool cut, struct kp_msg *m)
{
	const char *sp, *target, *te;

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods) && !m->verb.p; i++) {
		size_t n = strlen(methods[i]);

		if ((size_t)(eol - p) > n + 1 && !memcmp(p, methods[i], n) && p[n] == ' ')
			m->verb = kp_span(p, n);
	}
	if (!m->verb.p)
		return false;
	target = p + m->verb.len + 1;
	for (te = target; te < eol && graphic(*te); te++)
		;
	sp = te;
	if (sp < eol && *sp != ' ')
		return false;
	if (sp < eol ? !(version_ok(sp + 1, eol) || (cut && version_begins(sp + 1, eol))) : !cut)
		return false;
	if (!target_ok(target, te, m->verb))
		return false;
	m->type = KP_MSG_REQUEST;
	m->target = path_of(target, te);
	/* A path that touches the end of a cut line may be half a path, and the line may not be HTTP at all. */
	if (sp == eol && m->target.p + m->target.len == te)
		m->target = kp_span(NULL, 0);
	return true;
}

static bool status_line(const char *p, const char *eol, struct kp_msg *m)
{
	if (eol - p < 12 || !version_ok(p, p + 8) || p[8] != ' ' || (eol - p > 12 && p[12] != ' '))
		return false;
	for (int i = 9; i < 12; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		m->status = m->status * 10 + (p[i] - '0');
	}
	m->type = KP_MSG_RESPONSE;
	m->failed = m->status >= 500;
	return m->status >= 100 && m->status < 600;
}

static void header(const char *p, const char *end, struct kp_msg *m)
{
	const char *colon = memchr(p, ':', end - p), *v, *e = end;
	size_t n;

	if (!colon)
		return;
	n = colon - p;
	for (v = colon + 1; v < e && (*v == ' ' || *v == '\t'); v++)
		;
	while (e > v && (e[-1] == ' ' || e[-1] == '\t'))
		e--;
	if (n == 12 && !strncasecmp(p, "x-request-id", 12) && e > v && e - v <= MAX_ID && !m->request.p) {
		for (const char *c = v; c < e; c++)
			if (!graphic(*c))
				return;
		m->request = kp_span(v, e - v);
	} else if (n == 11 && !strncasecmp(p, "traceparent", 11) && kp_traceparent_ok(kp_span(v, e - v))) {
		m->traceparent = kp_span(v, e - v);
	}
}

/* The end of the line at p without CR LF; *next: behind it, NULL when it does not end. */
static const char *line_end(const char *p, const char *end, const char **next)
{
	const char *nl = memchr(p, '\n', end - p);

	*next = nl ? nl + 1 : NULL;
	if (!nl)
		return end;
	return nl > p && nl[-1] == '\r' ? nl - 1 : nl;
}

static int parse(const uint8_t *bytes, size_t len, struct kp_msg *m)
{
	const char *p = (const char *)bytes, *end = p + len, *next, *eol;

	eol = line_end(p, end, &next);
	if (!status_line(p, eol, m)) {
		m->status = 0;
		if (!request_line(p, eol, !next, m))
			return 0;
	}
	m->more = true;
	while ((p = next)) {
		eol = line_end(p, end, &next);
		if (eol == p && next) {
			m->more = false;
			break;
		}
		if (next)	/* a value that was cut would be another id */
			header(p, eol, m);
	}
	return 1;
}

static void keep(const struct kp_msg *m, struct kp_out *o)
{
	if (m->type == KP_MSG_REQUEST) {
		kp_out_span(o, m->verb);
		kp_out_str(o, " ");
		if (m->target.p)
			kp_out_span(o, m->target);
		else	/* unknown, and parsed as unknown again: the line just stops */
			return kp_out_str(o, "/");
		kp_out_str(o, " HTTP/1.1\r\n");
	} else {
		char s[4] = { '0' + m->status / 100, '0' + m->status / 10 % 10, '0' + m->status % 10, 0 };

		kp_out_str(o, "HTTP/1.1 ");
		kp_out_str(o, s);
		kp_out_str(o, "\r\n");
	}
	if (m->request.p) {
		kp_out_str(o, "X-Request-ID: ");
		kp_out_span(o, m->request);
		kp_out_str(o, "\r\n");
	}
	if (m->traceparent.p) {
		kp_out_str(o, "traceparent: ");
		kp_out_span(o, m->traceparent);
		kp_out_str(o, "\r\n");
	}
	kp_out_str(o, "\r\n");
}

const struct kp_proto kp_proto_http1 = { "http", "/*", parse, keep };
