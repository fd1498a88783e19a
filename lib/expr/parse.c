/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expr := and { "||" and }     and := not { "&&" not }     not := "!" not | "(" expr ")" | test
 * test := name [ op operand | "in" "(" constant { "," constant } ")" | "has" text ]
 */
#include "expr_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	struct kp_expr *e;
	const char *s;
	struct tok t;		/* the token ahead */
	int depth;
	struct kp_err *err;
};

static void advance(struct parser *p)
{
	kp_expr_lex(p->s, p->t.at + p->t.len + (p->t.type == T_TEXT), &p->t);
}

#define fail(p, tok, ...) fail_at(p, (tok)->at - ((tok)->type == T_TEXT), __VA_ARGS__)

static int fail_at(struct parser *p, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail_at(struct parser *p, size_t at, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return kp_err(p->err, EINVAL, "expression, column %zu: %s", at + 1, what);
}

static int unexpected(struct parser *p, const char *wanted)
{
	const struct tok *t = &p->t;

	if (t->type == T_BAD)
		return fail(p, t, "%s", t->bad);
	if (t->type == T_END)
		return fail(p, t, "%s expected, but the expression ends here", wanted);
	return fail(p, t, "%s expected, not '%.*s'", wanted, (int)(t->len > 40 ? 40 : t->len), p->s + t->at);
}

static int no_memory(struct parser *p)
{
	return kp_err(p->err, ENOMEM, "expression: no memory");
}

static int new_node(struct parser *p, uint8_t op, struct node **out)
{
	if (++p->e->nnodes > MAX_NODES)
		return fail(p, &p->t, "too long: at most %d terms", MAX_NODES);
	*out = kp_expr_alloc(p->e, sizeof(**out));
	if (!*out)
		return no_memory(p);
	(*out)->op = op;
	return 0;
}

static int name_error(struct parser *p, const struct tok *t, int rc)
{
	int len = (int)(t->len > 40 ? 40 : t->len);
	const char *near;

	if (rc == -ENOMEM)
		return no_memory(p);
	if (rc == -E2BIG)
		return fail(p, t, "too many different arguments: at most %d", MAX_ARGS);
	near = kp_expr_suggest(p->e, p->s + t->at, t->len);
	if (near)
		return fail(p, t, "unknown name '%.*s': did you mean '%s'?", len, p->s + t->at, near);
	return fail(p, t, "unknown name '%.*s' (text stands in quotes; kp-query --kinds lists the arguments)", len, p->s + t->at);
}

/* "ENOENT", "SIGTERM", "D": a name for a number in one of the units that the field may have. */
static bool unit_name(const struct field *f, const char *s, size_t len, struct konst *k)
{
	int64_t v;

	if (f->units & 1u << KP_U_STATE && len == 1 && strchr("RSDTtXZPIF", *s)) {
		k->state = true;
		k->num = (unsigned char)*s;
		return true;
	}
	for (unsigned u = 0; u < KP_U_MAX; u++)
		if (f->units & 1u << u && !kp_unit_const(u, s, len, &v)) {
			k->num = v;
			return true;
		}
	return false;
}

static int num_const(struct parser *p, const struct field *f, struct konst *k)
{
	const struct tok *t = &p->t;
	const char *s = p->s + t->at;

	if (t->type == T_NUM)
		k->num = t->num;
	else if (t->type == T_NAME && t->len == 4 && !memcmp(s, "true", 4))
		k->num = 1;
	else if (t->type == T_NAME && t->len == 5 && !memcmp(s, "false", 5))
		k->num = 0;
	else if ((t->type != T_NAME && t->type != T_TEXT) || !unit_name(f, s, t->len, k)) {
		if (t->type == T_NAME)
			return name_error(p, t, -ENOENT);
		if (t->type == T_TEXT)
			return fail(p, t, "'%s' is a number, not text", f->name);
		return unexpected(p, "a number");
	}
	advance(p);
	return 0;
}

/* A kind that does not exist is a slip of the fingers, not an empty result. */
static int check_kind(struct parser *p, const struct tok *t, const struct konst *k)
{
	const struct kp_kind *kind;
	const char *near, *s = p->s + t->at;
	int len = (int)(t->len > 40 ? 40 : t->len);

	for (uint32_t id = 0; (kind = kp_kind_next(p->e->kinds, id)); id = kind->id + 1u)
		if (kp_expr_glob(k, (const uint8_t *)kind->name, strlen(kind->name)))
			return 0;
	near = kp_expr_suggest_kind(p->e->kinds, s, t->len);
	if (near)
		return fail(p, t, "no kind '%.*s': did you mean '%s'?", len, s, near);
	return fail(p, t, "no kind '%.*s': kp-query --kinds lists them", len, s);
}

static int text_const(struct parser *p, const struct field *f, struct konst *k)
{
	struct tok t = p->t;
	int rc;

	if (t.type == T_NUM || (t.type == T_NAME && f->get != G_KIND))
		return fail(p, &t, "'%s' is text: write it in quotes, \"%.*s\"", f->name, (int)(t.len > 40 ? 40 : t.len), p->s + t.at);
	if (t.type != T_TEXT && t.type != T_NAME)
		return unexpected(p, "a text in quotes");
	rc = kp_expr_pattern(p->e, p->s + t.at, t.len, k);
	if (rc)
		return no_memory(p);
	if (f->get == G_KIND) {
		rc = check_kind(p, &t, k);
		if (rc)
			return rc;
	}
	advance(p);
	return 0;
}

static int constant(struct parser *p, struct node *n)
{
	struct konst *k;

	if (++p->e->nconsts > MAX_CONSTS)
		return fail(p, &p->t, "too long: at most %d constants", MAX_CONSTS);
	if ((n->nk & (n->nk - 1)) == 0) {	/* room for the next power of two */
		k = kp_expr_alloc(p->e, (n->nk ? n->nk * 2 : 1) * sizeof(*k));
		if (!k)
			return no_memory(p);
		if (n->nk)
			memcpy(k, n->k, n->nk * sizeof(*k));
		n->k = k;
	}
	k = &n->k[n->nk];
	int rc = n->l.type == F_TEXT ? text_const(p, &n->l, k) : num_const(p, &n->l, k);

	n->nk += !rc;
	return rc;
}

static int regex(struct parser *p, struct node *n)
{
	const struct tok t = p->t;
	PCRE2_SIZE at;
	PCRE2_UCHAR why[120] = "";
	int code;

	if (n->l.type != F_TEXT)
		return fail(p, &t, "'~' matches text, and '%s' is a number", n->l.name);
	if (t.type != T_TEXT)
		return unexpected(p, "a pattern in quotes");
	n->re = pcre2_compile((PCRE2_SPTR)p->s + t.at, t.len,
			      PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY,
			      &code, &at, NULL);
	if (!n->re) {
		pcre2_get_error_message(code, why, sizeof(why));
		return fail_at(p, t.at + at, "%s", (char *)why);
	}
	n->all = p->e->regexes;
	p->e->regexes = n;
	pcre2_jit_compile(n->re, PCRE2_JIT_COMPLETE);	/* without it matching is slower, not wrong */
	n->md = pcre2_match_data_create(1, NULL);
	if (!n->md)
		return no_memory(p);
	advance(p);
	return 0;
}

static int in_list(struct parser *p, struct node *n)
{
	int rc;

	if (p->t.type != T_LP)
		return unexpected(p, "'(' after 'in'");
	do {
		advance(p);
		rc = constant(p, n);
		if (rc)
			return rc;
	} while (p->t.type == T_COMMA);
	if (p->t.type != T_RP)
		return unexpected(p, "',' or ')'");
	advance(p);
	return 0;
}

static int operand(struct parser *p, struct node *n, const struct tok *op)
{
	bool ordered = n->op >= N_LT && n->op <= N_GE;
	struct tok t = p->t;

	if (ordered && n->l.type == F_TEXT)
		return fail(p, op, "'%.*s' compares numbers, and '%s' is text", (int)op->len, p->s + op->at, n->l.name);
	if (t.type == T_NAME && !kp_expr_field(p->e, p->s + t.at, t.len, &n->r)) {
		if ((n->l.type == F_TEXT) != (n->r.type == F_TEXT))
			return fail(p, &t, "'%s' and '%s' can't be compared: one is text, one a number", n->l.name, n->r.name);
		advance(p);
		return 0;
	}
	n->r.name = NULL;
	return constant(p, n);
}

static int test(struct parser *p, struct node **out)
{
	struct tok name = p->t, op;
	struct node *n;
	int rc;

	if (name.type == T_TEXT || name.type == T_NUM)
		return fail(p, &name, "a comparison starts with a name, as in 'dur > 10ms'");
	if (name.type != T_NAME)
		return unexpected(p, "a name");
	rc = new_node(p, N_HAS_VALUE, &n);
	if (rc)
		return rc;
	*out = n;
	if (name.len == 4 && !memcmp(p->s + name.at, "true", 4))
		n->op = N_TRUE;
	else if (name.len == 5 && !memcmp(p->s + name.at, "false", 5))
		n->op = N_FALSE;
	else if ((rc = kp_expr_field(p->e, p->s + name.at, name.len, &n->l)))
		return name_error(p, &name, rc);
	advance(p);
	op = p->t;
	if (n->op != N_HAS_VALUE || (op.type != T_OP && op.type != T_HAS && op.type != T_IN))
		return 0;
	advance(p);
	if (op.type == T_IN) {
		n->op = N_EQ;
		return in_list(p, n);
	}
	n->op = op.type == T_HAS ? N_HAS : op.op;
	if (n->op == N_MATCH || n->op == N_NMATCH)
		return regex(p, n);
	if (n->op != N_HAS)
		return operand(p, n, &op);
	if (n->l.type != F_TEXT)
		return fail(p, &op, "'has' looks into text, and '%s' is a number", n->l.name);
	if (p->t.type != T_TEXT)
		return unexpected(p, "a text in quotes");
	/* a kind's name may be looked into for any part, so no check whether such a kind exists */
	struct field plain = { .name = n->l.name, .type = F_TEXT, .get = G_OBJ }, kept = n->l;
	n->l = plain;
	rc = constant(p, n);
	n->l = kept;
	return rc;
}

static int disjunction(struct parser *p, struct node **out);

static int negation(struct parser *p, struct node **out)
{
	bool not = p->t.type == T_NOT;
	struct node *n = NULL;
	int rc;

	if (!not && p->t.type != T_LP)
		return test(p, out);
	if (++p->depth > MAX_DEPTH)
		return fail(p, &p->t, "nested too deep: at most %d levels", MAX_DEPTH);
	if (not) {
		rc = new_node(p, N_NOT, &n);
		if (rc || !n)
			return rc;
		*out = n;
		out = &n->first;
	}
	advance(p);
	rc = not ? negation(p, out) : disjunction(p, out);
	if (!rc && !not) {
		if (p->t.type != T_RP)
			return unexpected(p, "'&&', '||' or ')'");
		advance(p);
	}
	p->depth--;
	return rc;
}

/* Terms joined by one operator: one node with many children, so that a long chain is not a deep tree. */
static int chain(struct parser *p, uint8_t tok, uint8_t op, int (*term)(struct parser *, struct node **), struct node **out)
{
	struct node *n = NULL, **tail;
	int rc = term(p, out);

	if (rc || p->t.type != tok)
		return rc;
	rc = new_node(p, op, &n);
	if (rc || !n)
		return rc;
	n->first = *out;
	*out = n;
	tail = &n->first->next;
	while (!rc && p->t.type == tok) {
		advance(p);
		rc = term(p, tail);
		if (rc)
			break;
		tail = &(*tail)->next;	/* NOLINT(clang-analyzer-core.NullDereference): a term that was read is there */
	}
	return rc;
}

static int conjunction(struct parser *p, struct node **out)
{
	return chain(p, T_AND, N_AND, negation, out);
}

static int disjunction(struct parser *p, struct node **out)
{
	return chain(p, T_OR, N_OR, conjunction, out);
}

int kp_expr_parse(struct kp_expr **out, const char *text, const struct kp_kinds *kinds, struct kp_err *err)
{
	struct parser p = { .s = text, .err = err };
	int rc;

	*out = NULL;
	if (strlen(text) > MAX_TEXT)
		return kp_err(err, EINVAL, "expression: longer than %d bytes", MAX_TEXT);
	p.e = calloc(1, sizeof(*p.e));
	if (!p.e)
		return no_memory(&p);
	p.e->kinds = kinds;
	p.e->mctx = pcre2_match_context_create(NULL);
	if (!p.e->mctx) {
		rc = no_memory(&p);
		goto out;
	}
	/* a pattern that backtracks without end gives up and does not match */
	pcre2_set_match_limit(p.e->mctx, 100000);
	pcre2_set_heap_limit(p.e->mctx, 4096);
	kp_expr_lex(text, 0, &p.t);
	rc = disjunction(&p, &p.e->root);
	if (!rc && p.t.type != T_END)
		rc = unexpected(&p, "'&&', '||' or the end");
	if (rc)
		goto out;
	*out = p.e;
	p.e = NULL;
out:
	kp_expr_free(p.e);
	return rc;
}

void kp_expr_free(struct kp_expr *e)
{
	if (!e)
		return;
	for (struct node *n = e->regexes; n; n = n->all) {
		pcre2_code_free(n->re);
		pcre2_match_data_free(n->md);
	}
	pcre2_match_context_free(e->mctx);
	for (struct mem *m = e->mem, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	free(e->objbuf);
	free(e);
}
