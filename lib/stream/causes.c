/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of causes. Here and not with the analysis, since whoever reads a graph record needs them. */
#include <errno.h>
#include <string.h>

#include <kp/causes.h>

static const struct { uint16_t id; const char *name, *help; } table[] = {
#define KP_CAUSE(id, sym, name, help) { id, name, help },
#include <kp/causes.def>
#undef KP_CAUSE
};

const char *kp_cause_name(uint16_t kind)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].id == kind)
			return table[i].name;
	return "unknown";
}

const char *kp_cause_help(uint16_t kind)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].id == kind)
			return table[i].help;
	return "a cause of a newer version";
}

int kp_cause_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (!strcmp(table[i].name, name))
			return table[i].id;
	return -ENOENT;
}
