/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside lib/expr: the tree that the parser builds and the evaluator walks. */
#ifndef KP_EXPR_INT_H
#define KP_EXPR_INT_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <kp/expr.h>
#include <kp/stream.h>
#include <kp/util.h>

/*
 * Expressions may come from a stranger (a web form, a script): the limits keep
 * recursion, memory and the time a pattern takes bounded.
 */
enum { MAX_TEXT = 65536, MAX_DEPTH = 64, MAX_NODES = 1000, MAX_CONSTS = 10000, MAX_ARGS = 64 };

typedef __int128 num_t;	/* holds u64 arguments and negative results alike */

enum field_type { F_NUM, F_FLAG, F_TEXT };

enum get {	/* how a field is taken from a row */
	G_KIND, G_FLAG, G_FAILED, G_KTHREAD, G_END, G_DUR, G_START, G_CPU, G_SOURCE, G_RET, G_ARG,
	G_PID, G_TID, G_NSPID, G_NSTID, G_COMM, G_EXE, G_CGROUP, G_HOST,
	G_OBJ, G_OBJ_TYPE, G_OBJ_ID, G_OBJ_DEV, G_OBJ_LPORT, G_OBJ_RPORT,
	G_STACK, G_STACK2, G_DATA, G_CTX,
};

struct field {
	const char *name;
	uint8_t type, get;
	bool peer;	/* of row->peer rather than row->task */
	uint32_t arg;	/* flag bit, KP_CTX_*; G_ARG: index into kp_expr.args */
	uint32_t units;	/* bits of enum kp_unit whose names its constants may use */
};

/* An argument by name: which of a0..a5 it is differs per kind. */
struct arg_name {
	char name[16];
	uint8_t *at;	/* per kind id: 0 not looked up, 1 the kind lacks it, else index + 2 */
};

struct text { const uint8_t *p; size_t len; };

enum { WILD = 0x100 };	/* in a pattern: any run of bytes */
struct konst {
	num_t num;
	bool state;	/* num is a letter of a task state */
	bool wild;
	uint16_t *pat;	/* text: bytes, or WILD */
	size_t len;
};

enum node_op { N_AND, N_OR, N_NOT, N_TRUE, N_FALSE, N_HAS_VALUE, N_EQ, N_NE, N_LT, N_LE, N_GT, N_GE, N_MATCH, N_NMATCH, N_HAS };

struct node {
	uint8_t op;
	struct node *first, *next;	/* children of N_AND, N_OR, N_NOT, and their siblings */
	struct field l, r;		/* r.name NULL: compared with constants */
	struct konst *k;
	uint32_t nk;
	uint8_t *kind_cache;		/* per kind id: 0 not looked up, 1 no, 2 yes */
	pcre2_code *re;
	pcre2_match_data *md;
	struct node *all;		/* every node with a regex, for freeing */
};

struct mem { struct mem *next; };

struct kp_expr {
	const struct kp_kinds *kinds;
	const struct kp_header *hdr;
	struct node *root, *regexes;
	struct mem *mem;		/* what lives as long as the expression */
	struct arg_name args[MAX_ARGS];
	uint32_t nargs, nnodes, nconsts;
	pcre2_match_context *mctx;
	char *objbuf;			/* an obj as text */
	const struct kp_obj *obj_of;	/* whose text is in objbuf */
	size_t objlen;
};

void *kp_expr_alloc(struct kp_expr *e, size_t n);	/* zeroed, freed with e; NULL: no memory */
/* 0 and *f, -ENOENT, or another error. */
int kp_expr_field(struct kp_expr *e, const char *name, size_t len, struct field *f);
/* The name nearest to a wrong one, NULL when none is near. */
const char *kp_expr_suggest(struct kp_expr *e, const char *name, size_t len);
const char *kp_expr_suggest_kind(const struct kp_kinds *k, const char *name, size_t len);

/* Lexer: see lex.c */
enum tok_type { T_END, T_NAME, T_NUM, T_TEXT, T_OP, T_LP, T_RP, T_COMMA, T_AND, T_OR, T_NOT, T_HAS, T_IN, T_BAD };
struct tok {
	uint8_t type, op;	/* op: enum node_op */
	size_t at, len;		/* in the text; for T_TEXT without the quotes */
	num_t num;
	const char *bad;	/* T_BAD: what is wrong */
};
void kp_expr_lex(const char *text, size_t at, struct tok *t);
/* A quoted text as a pattern (escapes resolved, * wild). */
int kp_expr_pattern(struct kp_expr *e, const char *s, size_t len, struct konst *k);
bool kp_expr_glob(const struct konst *k, const uint8_t *s, size_t len);

/* A number with a unit, "10ms", "4k", "0x1f", "-3": how many characters it takes, 0 when it is none or too big. */
enum { NUM_TIME = 1, NUM_SIZE = 2 };
size_t kp_expr_number(const char *s, int units, num_t *v);

#endif
