/* limits_avx512.c - AND with VPOPCNTD, VPDPBUSD, VPDPWSSD.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench/limits.h"

#include <immintrin.h>
#include <stddef.h>

#include "lq.h"

/* So many sums hide the latency of two instructions a cycle. */
enum { TURNS = 500, SUMS = 16 };

/* Not static: what the compiler knew of them it would compute ahead. */
extern int32_t limits_words[SUMS];
_Alignas(64) int32_t limits_words[SUMS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* A row's word is broadcast from memory, as in the products, in every turn anew. */
#define RUN(step)                                                                                  \
    __m512i w = _mm512_set1_epi32(0x01010101), s[SUMS];                                            \
    _Pragma("GCC unroll 16") for (int i = 0; i < SUMS; i++) s[i] = w;                              \
    for (int turn = 0; turn < TURNS; turn++) {                                                     \
        _Pragma("GCC unroll 16") for (int i = 0; i < SUMS; i++)                                    \
            step(s[i], _mm512_set1_epi32(limits_words[i]));                                        \
        __asm__ volatile("" ::: "memory");                                                         \
    }
#define POPCOUNT(s, row)                                                                           \
    do {                                                                                           \
        (s) = _mm512_add_epi32(s, _mm512_popcnt_epi32(_mm512_and_si512(w, row)));                  \
        __asm__ volatile("" : "+v"(s));                                                            \
    } while (0)
/* As assembly, as there. */
#define DPBUSD(s, row) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(row), "v"(w))
#define DPWSSD(s, row) __asm__ volatile("vpdpwssd %2, %1, %0" : "+v"(s) : "v"(row), "v"(w))

static int64_t run_popcount(void)
{
    RUN(POPCOUNT)
    return (int64_t)TURNS * SUMS * 512;
}

static int64_t run_dpbusd(void)
{
    RUN(DPBUSD)
    return (int64_t)TURNS * SUMS * 64;
}

static int64_t run_dpwssd(void)
{
    RUN(DPWSSD)
    return (int64_t)TURNS * SUMS * 32;
}

const struct limit limits_avx512[] = {
    {"popcount", LQ_CPU_AVX512, "VPANDD, VPOPCNTD and VPADDD", run_popcount},
    {"dpbusd", LQ_CPU_AVX512, "VPDPBUSD", run_dpbusd},
    {"dpwssd", LQ_CPU_AVX512, "VPDPWSSD", run_dpwssd},
    {NULL, 0, NULL, NULL}};
