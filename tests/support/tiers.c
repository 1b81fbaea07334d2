/* tiers.c - which CPU tiers a suite of kernels runs, and by what.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/tiers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/cpu.h"

/* Defined where the kernels of a tier are those of SIMDe. */
extern const char tiers_by_simde[] __attribute__((weak));

void tiers_print(void)
{
    const char *emulator = getenv("LQ_RUN"); /* tests/run.sh */
    const char *cpu = emulator && *emulator ? emulator : "this CPU";

    printf("tiers:");
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        const char *way = tiers_by_simde && tier != LQ_CPU_C ? tiers_by_simde : cpu;

        printf(" %s %s%s%s", lq_cpu_tier_name((enum lq_cpu_tier)tier),
               lq_cpu_detect() >> tier & 1 ? "by " : "",
               lq_cpu_detect() >> tier & 1 ? way : "not run",
               tier + 1 < LQ_CPU_TIER_COUNT ? "," : "\n");
    }
}
