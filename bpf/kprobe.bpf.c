// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * The programs of kp-record: one object, so that they share their maps. A
 * subsystem is a file; what an earlier one offers, the later ones may use.
 */
#include "kp.h"
#include "core.h"
#include "cost.h"
#include "filter.h"
#include "count.h"
#include "pend.h"
#include "sum.h"

/* COST is what the time of a subsystem's programs is counted as, see cost.h */
#define COST COST_SCHED
#include "irq.h"
#include "sched.h"
#undef COST
#define COST COST_NET
#include "net.h"
#undef COST
#define COST COST_SYS
#include "sys.h"
#undef COST
#define COST COST_REST
#include "proc.h"
#include "blk.h"
#undef COST
#define COST COST_MEM
#include "cache.h"
#include "mm.h"
#undef COST
#define COST COST_REST
#include "fs.h"
#include "lock.h"
#include "iter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
