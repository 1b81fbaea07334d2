/* limits.c - the clock: a chain of additions, one a cycle on every CPU of interest.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench/limits.h"

#include <stddef.h>

#include "lq.h"

enum { TURNS = 2000, CHAIN = 10 };

static int64_t run_clock(void)
{
    uint64_t x = 1, step = 3;

    for (int i = 0; i < TURNS * CHAIN; i += CHAIN) {
#pragma GCC unroll 10
        for (int link = 0; link < CHAIN; link++) {
            __asm__ volatile("" : "+r"(x), "+r"(step));
            x += step;
        }
    }
    return (int64_t)TURNS * CHAIN;
}

const struct limit limits_any[] = {{"clock", LQ_CPU_C, "a chain of additions", run_clock},
                                   {NULL, 0, NULL, NULL}};
