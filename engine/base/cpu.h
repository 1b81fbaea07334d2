/* cpu.h - what this CPU and this process may use.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_CPU_H
#define LQ_BASE_CPU_H

#include "lq.h"

/* Bits (1u << enum lq_cpu_tier) of the tiers that the CPU and the operating system support. The
 * tier avx2 asks for AVX2, FMA and POPCNT; avxvnni for AVX-VNNI, too; avx512 for F, BW, VL, DQ,
 * VBMI, VNNI, VPOPCNTDQ and BITALG; amx for avx512, AMX-TILE and AMX-INT8. */
unsigned lq_cpu_detect(void);

/* "c", "avx2", ...; the tier must be valid. */
const char *lq_cpu_tier_name(enum lq_cpu_tier tier);

/* CPUs that the quotas of the process's control groups pay for, the least of the group it is in and
 * of those around that one, rounded up; 0: there is no quota. root: what stands before /proc and
 * /sys, "" for the machine's own. */
int lq_cpu_quota(const char *root);

#endif
