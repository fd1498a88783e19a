/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sorted array of the functions of /proc/kallsyms. Names are kept as offsets
 * into one block of text, modules as indices: a table of 100,000 functions is
 * about 5 MB.
 */
#include <kp/sym.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kp/util.h>

/* No function is longer: what is further from a symbol is not in it, but in a hole behind it. */
#define FAR (1u << 20)
#define MAX_SYMS (4u << 20)
#define MAX_TEXT (1u << 30)

struct fn {
	uint64_t addr;
	uint32_t name;		/* offset into text; also the order of the file */
	uint16_t module;
	bool hole;		/* marks the end of code */
};

struct kp_sym {
	struct fn *fn;
	uint32_t n, cap;
	struct kp_buf text, modules; /* each name with its NUL */
	uint32_t *module; uint32_t nmodules, cap_modules; /* offsets; 0 is the kernel itself */
};

static int module_id(struct kp_sym *s, const char *name, size_t len, uint16_t *id)
{
	/* the symbols of a module stand together: nearly always the last one */
	for (uint32_t i = s->nmodules; i-- > 0;) {
		const char *m = (const char *)s->modules.p + s->module[i];

		if (!strncmp(m, name, len) && !m[len]) {
			*id = i;
			return 0;
		}
	}
	if (s->nmodules == UINT16_MAX)
		return -E2BIG;
	if (s->nmodules == s->cap_modules) {
		uint32_t cap = s->cap_modules ? s->cap_modules * 2 : 64;
		uint32_t *m = realloc(s->module, cap * sizeof(*m));

		if (!m)
			return -ENOMEM;
		s->module = m;
		s->cap_modules = cap;
	}
	s->module[s->nmodules] = s->modules.len;
	if (kp_buf_add(&s->modules, name, len) || kp_buf_char(&s->modules, 0))
		return -ENOMEM;
	*id = s->nmodules++;
	return 0;
}

/* Where [p, end) begins with what is not in set, or does if !want. */
static const char *span(const char *p, const char *end, const char *set, bool want)
{
	while (p < end && *p && (strchr(set, *p) != NULL) == want)
		p++;
	return p;
}

static const char *hex(const char *p, const char *end, uint64_t *v)
{
	const char *from = p;

	for (*v = 0; p < end && p - from < 16; p++) {
		int d = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 :
			*p >= 'A' && *p <= 'F' ? *p - 'A' + 10 : -1;

		if (d < 0)
			break;
		*v = *v << 4 | (uint64_t)d;
	}
	return p == from ? NULL : p;
}

/* "ffffffff81000000 T name" or "ffffffffc0001000 t name\t[module]" */
static int add_line(struct kp_sym *s, const char *p, const char *end)
{
	const char *name, *mod;
	uint64_t addr;
	struct fn *f;
	char type;

	p = hex(p, end, &addr);
	if (!p || end - p < 4 || p[0] != ' ' || p[2] != ' ' || !addr)
		return 0;
	type = p[1];
	if (type != 't' && type != 'T' && type != 'w' && type != 'W')
		return 0;
	name = p + 3;
	p = span(name, end, " \t", false);
	if (p == name)
		return 0;
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 16384;

		if (cap > MAX_SYMS || s->text.len > MAX_TEXT)
			return -E2BIG;
		f = realloc(s->fn, cap * sizeof(*f));
		if (!f)
			return -ENOMEM;
		s->fn = f;
		s->cap = cap;
	}
	f = &s->fn[s->n];
	*f = (struct fn){ .addr = addr, .name = s->text.len };
	if (kp_buf_add(&s->text, name, p - name) || kp_buf_char(&s->text, 0))
		return -ENOMEM;
	f->hole = !strcmp((const char *)s->text.p + f->name, "_etext") || !strcmp((const char *)s->text.p + f->name, "_einittext");
	mod = span(p, end, " \t", true);
	if (mod < end && *mod == '[') {
		int rc;

		p = span(++mod, end, "]", false);
		rc = module_id(s, mod, p - mod, &f->module);
		if (rc)
			return rc;
	}
	s->n++;
	return 0;
}

static int by_addr(const void *a, const void *b)
{
	const struct fn *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* Of several names for one address the first counts, as it does in the kernel's own traces. */
static void finish(struct kp_sym *s)
{
	uint32_t k = 0;

	if (!s->n)
		return;
	qsort(s->fn, s->n, sizeof(*s->fn), by_addr);
	for (uint32_t i = 1; i < s->n; i++) {
		if (s->fn[i].addr != s->fn[k].addr)
			s->fn[++k] = s->fn[i];
		else
			s->fn[k].hole |= s->fn[i].hole;
	}
	s->n = k + 1;
}

static int start(struct kp_sym **out)
{
	struct kp_sym *s = calloc(1, sizeof(*s));
	uint16_t id;

	*out = s;
	return s ? module_id(s, "", 0, &id) : -ENOMEM;
}

/* Takes the whole lines of p, returns how many bytes these were, or -errno. */
static ssize_t take_lines(struct kp_sym *s, const char *p, size_t len, bool all)
{
	size_t done = 0;

	while (done < len) {
		const char *nl = memchr(p + done, '\n', len - done);
		const char *end = nl ? nl : p + len;
		int rc;

		if (!nl && !all)
			break;
		rc = add_line(s, p + done, end);
		if (rc)
			return rc;
		done = end - p + (nl != NULL);
	}
	return done;
}

int kp_sym_parse(struct kp_sym **out, const char *text, size_t len, struct kp_err *err)
{
	struct kp_sym *s;
	ssize_t n;
	int rc = start(&s);

	*out = NULL;
	if (!rc) {
		n = take_lines(s, text, len, true);
		rc = n < 0 ? n : 0;
	}
	if (rc) {
		kp_sym_free(s);
		return kp_err(err, -rc, "kernel symbols: %s", strerror(-rc));
	}
	finish(s);
	*out = s;
	return 0;
}

static int read_all(struct kp_sym *s, int fd)
{
	enum { CHUNK = 65536 };
	char *buf = malloc(CHUNK);
	size_t have = 0;
	ssize_t n = -ENOMEM;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		n = read(fd, buf + have, CHUNK - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			break;
		}
		have += n;
		n = take_lines(s, buf, have, n == 0);
		if (!n && have == CHUNK)
			n = have;	/* a line that fills the buffer is no symbol's */
		if (n < 0 || !have)
			break;
		have -= n;
		memmove(buf, buf + n, have);
	}
	free(buf);
	return n < 0 ? n : 0;
}

int kp_sym_open(struct kp_sym **out, const char *path, struct kp_err *err)
{
	struct kp_sym *s = NULL;
	int fd, rc;

	*out = NULL;
	path = path ? path : "/proc/kallsyms";
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kp_err(err, errno, "%s: %s", path, strerror(errno));
	rc = start(&s);
	if (!rc)
		rc = read_all(s, fd);
	close(fd);
	if (rc) {
		kp_sym_free(s);
		return kp_err(err, -rc, "%s: %s", path, strerror(-rc));
	}
	finish(s);
	*out = s;
	return 0;
}

void kp_sym_free(struct kp_sym *s)
{
	if (!s)
		return;
	free(s->fn);
	free(s->module);
	kp_buf_free(&s->text);
	kp_buf_free(&s->modules);
	free(s);
}

size_t kp_sym_count(const struct kp_sym *s)
{
	return s ? s->n : 0;
}

int kp_sym_find(const struct kp_sym *s, uint64_t addr, struct kp_sym_hit *hit)
{
	uint32_t lo = 0, hi = s ? s->n : 0;
	const struct fn *f;

	while (lo < hi) {	/* the first behind addr */
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->fn[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return 0;
	f = &s->fn[lo - 1];
	if (f->hole || addr - f->addr >= FAR)
		return 0;
	hit->name = (const char *)s->text.p + f->name;
	hit->module = (const char *)s->modules.p + s->module[f->module];
	hit->offset = addr - f->addr;
	return 1;
}

size_t kp_sym_text(const struct kp_sym *s, uint64_t addr, char *out, size_t cap)
{
	struct kp_sym_hit h;
	int n;

	if (!kp_sym_find(s, addr, &h))
		n = snprintf(out, cap, "0x%llx", (unsigned long long)addr);
	else if (*h.module)
		n = snprintf(out, cap, "%s+0x%llx [%s]", h.name, (unsigned long long)h.offset, h.module);
	else
		n = snprintf(out, cap, "%s+0x%llx", h.name, (unsigned long long)h.offset);
	if (n < 0)
		n = 0;
	return cap && (size_t)n >= cap ? cap - 1 : (size_t)n;
}
