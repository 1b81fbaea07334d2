/* limits_avxvnni.c - VPDPBUSD and VPDPWSSD in vectors of 32 bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench/limits.h"

#include <immintrin.h>
#include <stddef.h>

#include "lq.h"

/* So many sums hide the latency of two instructions a cycle. */
enum { TURNS = 500, SUMS = 12 };

#define RUN(instruction)                                                                           \
    __m256i a = _mm256_set1_epi32(0x01010101), s[SUMS];                                            \
    _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) s[i] = a;                              \
    for (int turn = 0; turn < TURNS; turn++)                                                       \
        _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++) __asm__ volatile(                  \
            "%{vex%} " instruction " %1, %1, %0" : "+x"(s[i]) : "x"(a));

static int64_t run_dpbusd(void)
{
    RUN("vpdpbusd")
    return (int64_t)TURNS * SUMS * 32;
}

static int64_t run_dpwssd(void)
{
    RUN("vpdpwssd")
    return (int64_t)TURNS * SUMS * 16;
}

const struct limit limits_avxvnni[] = {{"vex dpbusd", LQ_CPU_AVXVNNI, "VPDPBUSD", run_dpbusd},
                                       {"vex dpwssd", LQ_CPU_AVXVNNI, "VPDPWSSD", run_dpwssd},
                                       {NULL, 0, NULL, NULL}};
