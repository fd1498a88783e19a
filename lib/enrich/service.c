/* SPDX-License-Identifier: BSD-2-Clause */
/* Which service a process is: by its spans, by the user's map, else by its program's name. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "en.h"

enum key { BY_COMM, BY_EXE, BY_PORT, BY_CGROUP };

static const char *const keys[] = { "comm", "exe", "port", "cgroup" };

static int rule(struct kp_enrich *e, char *line, const char *path, unsigned no, struct kp_err *err)
{
	char *value = strchr(line, '\t'), *name = value ? strchr(value + 1, '\t') : NULL, *end;
	struct en_rule r = { 0 }, *n;
	unsigned long port;

	if (!name || name == value + 1 || !name[1])
		return kp_err(err, EINVAL, "%s: line %u: want three columns with tabs between: comm|exe|port|cgroup, value, service",
			      path, no);
	*value++ = *name++ = 0;
	while (r.key < 4 && strcmp(line, keys[r.key]))
		r.key++;
	if (r.key == 4)
		return kp_err(err, EINVAL, "%s: line %u: no such key '%s': want comm, exe, port or cgroup", path, no, line);
	if (r.key == BY_PORT) {
		port = strtoul(value, &end, 10);
		if (*end || !port || port > 65535)
			return kp_err(err, EINVAL, "%s: line %u: no such port '%s'", path, no, value);
		r.port = port;
	}
	r.value = kp_pool_cstr(e->pool, value);
	r.name = kp_pool_cstr(e->pool, name);
	n = realloc(e->rule, (e->nrule + 1) * sizeof(*n));
	if (n)
		e->rule = n;
	if (!r.value || !r.name || !n)
		return kp_err(err, ENOMEM, "%s: out of memory", path);
	e->rule[e->nrule++] = r;
	return 0;
}

int kp_enrich_map(struct kp_enrich *e, const char *path, struct kp_err *err)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *line = NULL;
	size_t cap = 0;
	unsigned no = 0;
	ssize_t n;
	int rc = 0;

	if (!f)
		return kp_err(err, errno, "%s: cannot read the map of services: %s", path, strerror(errno));
	while (!rc && (n = getline(&line, &cap, f)) >= 0) {
		no++;
		while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			line[--n] = 0;
		if (n && *line != '#')
			rc = rule(e, line, path, no, err);
	}
	if (!rc && ferror(f))
		rc = kp_err(err, EIO, "%s: cannot read the map of services", path);
	free(line);
	if (f != stdin)
		fclose(f);
	return rc;
}

static const char *base(const char *path)
{
	const char *s = strrchr(path, '/');

	return s ? s + 1 : path;
}

static bool applies(const struct en_rule *r, const struct kp_task *t)
{
	switch (r->key) {
	case BY_COMM:
		return t->comm && !fnmatch(r->value->p, t->comm->p, 0);
	case BY_EXE:
		return t->exe && !fnmatch(r->value->p, strchr(r->value->p, '/') ? t->exe->p : base(t->exe->p), 0);
	case BY_CGROUP:
		for (int i = 0; i < KP_CG_MAX; i++)
			if (t->cgroup[i] && !fnmatch(r->value->p, t->cgroup[i]->p, 0))
				return true;
	}
	return false;
}

const struct kp_str *en_port_service(struct kp_enrich *e, uint16_t port)
{
	for (uint32_t i = 0; i < e->nrule; i++)
		if (e->rule[i].key == BY_PORT && e->rule[i].port == port)
			return e->rule[i].name;
	return NULL;
}

/* "postgres: checkout app [local] SELECT" changes with what it does: its program's name does not. */
static const struct kp_str *program(struct kp_enrich *e, const struct kp_task *t)
{
	const char *name;

	if (t->exe && t->exe->len) {
		name = base(t->exe->p);
		return kp_pool_str(e->pool, name, strcspn(name, " "));	/* "x (deleted)" */
	}
	return t->comm ? kp_pool_str(e->pool, t->comm->p, strcspn(t->comm->p, ":")) : NULL;
}

const struct kp_str *en_service(struct kp_enrich *e, struct en_task *t, const struct en_thread *th, bool *strong)
{
	if (!t->svc_known) {
		t->svc_known = true;
		if (e->spans.n)
			t->service = en_span_service(e, t->task, t->source);
		for (uint32_t i = 0; i < e->nrule && !t->service; i++)
			if (applies(&e->rule[i], t->task))
				t->service = e->rule[i].name;
		t->svc_strong = t->service != NULL;
		if (!t->service)
			t->service = program(e, t->task);
	}
	*strong = t->svc_strong || th->port_service;
	return !t->svc_strong && th->port_service ? th->port_service : t->service;
}
