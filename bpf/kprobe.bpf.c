// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * The programs of kp-record: one object, so that they share their maps. A
 * subsystem is a file; what an earlier one offers, the later ones may use.
 */
#include "kp.h"
#include "core.h"
#include "filter.h"
#include "count.h"
#include "pend.h"
#include "irq.h"
#include "sched.h"
#include "net.h"
#include "sys.h"
#include "proc.h"
#include "blk.h"
#include "cache.h"
#include "mm.h"
#include "fs.h"
#include "lock.h"
#include "iter.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
