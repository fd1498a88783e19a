/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One scale for latency: a single hue that gets darker in even steps of
 * lightness, so that it reads the same with any colour vision and in grey.
 * Steps are in the square root of the share, as areas are judged: 1 % still
 * shows, and 100 % stands out.
 */
#include "draw.h"

static const struct kp_look scale[] = {
	{ "#fffaf2", "#1f1f1f" }, { "#fff0d9", "#1f1f1f" }, { "#fee0b6", "#1f1f1f" }, { "#fdcb8a", "#1f1f1f" },
	{ "#fbb161", "#1f1f1f" }, { "#f0913e", "#1f1f1f" }, { "#d96f23", "#1f1f1f" }, { "#b84d14", "#ffffff" },
	{ "#93300c", "#ffffff" }, { "#6e1608", "#ffffff" },
};
enum { STEPS = sizeof(scale) / sizeof(scale[0]), EDGE_MIN = 4 /* lighter lines vanish on white */ };

/* The nearest step, which is the square root of the share in ninths; not a number is nothing. */
static int step(double share)
{
	int s = 0;

	while (s < STEPS - 1 && share * (STEPS - 1) * (STEPS - 1) >= (s + 0.5) * (s + 0.5))
		s++;
	return s;
}

struct kp_look kp_look_node(double share) { return scale[step(share)]; }

const char *kp_look_edge(double share)
{
	int s = step(share);

	return scale[s < EDGE_MIN ? EDGE_MIN : s].fill;
}

double kp_look_width(double share) { return 1.2 + 6.8 * step(share) / (STEPS - 1); }
