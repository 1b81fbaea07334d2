/* limits_avx512.c - AND with VPOPCNTD, VPDPBUSD, VPDPWSSD.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench/limits.h"

#include <immintrin.h>
#include <stddef.h>

#include "lq.h"

enum { TURNS = 1000 };

static _Alignas(64) int32_t words[16] = {1, 2, 3};

#define EIGHT(step)                                                                                \
    step(s0, 0), step(s1, 1), step(s2, 2), step(s3, 3), step(s4, 4), step(s5, 5), step(s6, 6),     \
        step(s7, 7)
#define KEEP_ALL                                                                                   \
    do {                                                                                           \
        KEEP(s0);                                                                                  \
        KEEP(s1);                                                                                  \
        KEEP(s2);                                                                                  \
        KEEP(s3);                                                                                  \
        KEEP(s4);                                                                                  \
        KEEP(s5);                                                                                  \
        KEEP(s6);                                                                                  \
        KEEP(s7);                                                                                  \
        KEEP(w);                                                                                   \
    } while (0)
#define KEEP(v) __asm__ volatile("" : "+v"(v)::"memory")
#define RUN(step)                                                                                  \
    __m512i w = _mm512_set1_epi32(0x01010101), s0 = w, s1 = w, s2 = w, s3 = w, s4 = w, s5 = w,     \
            s6 = w, s7 = w;                                                                        \
    for (int i = 0; i < TURNS; i++) {                                                              \
        EIGHT(step);                                                                               \
        KEEP_ALL;                                                                                  \
    }

/* A row's word is broadcast from memory, as in the products. */
#define POPCOUNT(s, i)                                                                             \
    (s = _mm512_add_epi32(s, _mm512_popcnt_epi32(_mm512_and_si512(w, _mm512_set1_epi32(words[i])))))
#define DPBUSD(s, i) (s = _mm512_dpbusd_epi32(s, _mm512_set1_epi32(words[i]), w))
#define DPWSSD(s, i) (s = _mm512_dpwssd_epi32(s, _mm512_set1_epi32(words[i]), w))

static int64_t run_popcount(void)
{
    RUN(POPCOUNT)
    return (int64_t)TURNS * 8 * 512;
}

static int64_t run_dpbusd(void)
{
    RUN(DPBUSD)
    return (int64_t)TURNS * 8 * 64;
}

static int64_t run_dpwssd(void)
{
    RUN(DPWSSD)
    return (int64_t)TURNS * 8 * 32;
}

const struct limit limits_avx512[] = {
    {"popcount", LQ_CPU_AVX512, "VPANDD, VPOPCNTD and VPADDD", run_popcount},
    {"dpbusd", LQ_CPU_AVX512, "VPDPBUSD", run_dpbusd},
    {"dpwssd", LQ_CPU_AVX512, "VPDPWSSD", run_dpwssd},
    {NULL, 0, NULL, NULL}};
