/* SPDX-License-Identifier: BSD-2-Clause */
/* The kind table as people or programs want to read it. */
#include "query_int.h"

#include <errno.h>
#include <string.h>

static const char *unit_name(uint8_t unit)
{
	static const char *const name[KP_U_MAX] = {
		[KP_U_NUM] = "number", [KP_U_INT] = "signed number", [KP_U_HEX] = "hex", [KP_U_NS] = "ns", [KP_U_BYTES] = "bytes",
		[KP_U_PAGES] = "pages", [KP_U_FD] = "fd", [KP_U_TID] = "tid", [KP_U_STATE] = "task state", [KP_U_CTX] = "context",
		[KP_U_SIG] = "signal", [KP_U_ERR] = "count or error", [KP_U_SEQ] = "stream position", [KP_U_SECTOR] = "sector",
		[KP_U_TCP] = "TCP state", [KP_U_MODE] = "octal", [KP_U_GFP] = "gfp flags", [KP_U_WHY] = "reason",
		[KP_U_PTR] = "address", [KP_U_STR] = "string", [KP_U_OPEN] = "open flags", [KP_U_FUTEX] = "futex operation",
		[KP_U_SOCK] = "address family",
		[KP_U_OFF] = "offset", [KP_U_ID] = "user or group", [KP_U_NONE] = "",
	};

	return unit < KP_U_MAX && name[unit] ? name[unit] : "number";
}

static void put_text(struct kp_buf *b, const struct kp_kind *k)
{
	kp_buf_printf(b, "%-22s", k->name);
	for (int i = 0; i < k->nargs; i++)
		kp_buf_printf(b, "%s%s (%s)", i ? ", " : "", k->arg[i], unit_name(k->unit[i]));
	if (k->ret_unit != KP_U_NONE)
		kp_buf_printf(b, "%s-> %s", k->nargs ? " " : "", unit_name(k->ret_unit));
	/* hundreds of system calls all have the same meaning */
	if (!kp_kind_is_syscall(k->id))
		kp_buf_printf(b, "%s%s", k->nargs || k->ret_unit != KP_U_NONE ? "\n                      " : "", k->help);
	kp_buf_char(b, '\n');
}

static void put_json(struct kp_buf *b, const struct kp_kind *k, bool first)
{
	kp_buf_printf(b, "%s{\"id\":%u,\"name\":\"", first ? "[" : ",\n", k->id);
	kp_buf_json(b, k->name, strlen(k->name));
	kp_buf_str(b, "\",\"args\":[");
	for (int i = 0; i < k->nargs; i++)
		kp_buf_printf(b, "%s{\"name\":\"%s\",\"unit\":\"%s\"}", i ? "," : "", k->arg[i], unit_name(k->unit[i]));
	kp_buf_printf(b, "],\"ret\":\"%s\",\"help\":\"", unit_name(k->ret_unit));
	kp_buf_json(b, k->help, strlen(k->help));
	kp_buf_str(b, "\"}");
}

int kp_query_list_kinds(struct kp_buf *b, const char *patterns, bool json, struct kp_err *err)
{
	const struct kp_kind *k;
	struct kp_kinds *kinds;
	unsigned n = 0;
	int rc;

	if (kp_kinds_new(&kinds))
		return kp_err(err, ENOMEM, "no memory");
	for (uint32_t id = 0; (k = kp_kind_next(kinds, id)); id = k->id + 1u) {
		if (patterns && !kp_kind_match(k, patterns))
			continue;
		if (json)
			put_json(b, k, !n);
		else
			put_text(b, k);
		n++;
	}
	if (json && n)
		kp_buf_str(b, "]\n");
	rc = b->err ? kp_err(err, b->err, "no memory") : 0;
	if (!rc && !n)
		rc = kp_err(err, ENOENT, "no kind matches '%s': kp-query --kinds lists them all", patterns);
	kp_kinds_free(kinds);
	return rc;
}
