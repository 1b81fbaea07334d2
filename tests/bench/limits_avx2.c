/* limits_avx2.c - nibble lookup, PMADDUBSW, PMADDWD.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "bench/limits.h"

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "lq.h"

enum { TURNS = 50, NIBBLES = 96, GROUP = 4, TILE = 4, MULTIPLIES = 1000 };

_Alignas(64) static uint8_t tables[256][16], weights[NIBBLES][TILE][32], codes[NIBBLES];

/* A row's code picks a table, once for all vectors. */
static inline __attribute__((always_inline)) __m256i table_of(int k)
{
    return _mm256_broadcastsi128_si256(
        _mm_load_si128((const __m128i *)(const void *)tables[codes[k]]));
}

static inline __attribute__((always_inline)) __m256i look_up(__m256i table, int k, int vector)
{
    return _mm256_shuffle_epi8(
        table, _mm256_load_si256((const __m256i *)(const void *)weights[k][vector]));
}

#define KEEP_4(v0, v1, v2, v3) __asm__ volatile("" : "+x"(v0), "+x"(v1), "+x"(v2), "+x"(v3))
#define ADD_4(to, first, second, third, fourth)                                                    \
    do {                                                                                           \
        to##0 = _mm256_add_epi8(to##0, first);                                                     \
        to##1 = _mm256_add_epi8(to##1, second);                                                    \
        to##2 = _mm256_add_epi8(to##2, third);                                                     \
        to##3 = _mm256_add_epi8(to##3, fourth);                                                    \
        KEEP_4(to##0, to##1, to##2, to##3);                                                        \
    } while (0)

/* Four lookups are added, and the sums are taken into account by bytes and by high nibbles. */
static int64_t run_lookup(void)
{
    const __m256i high = _mm256_set1_epi16(1 << 12);
    __m256i t0 = high, t1 = high, t2 = high, t3 = high, h0 = high, h1 = high, h2 = high, h3 = high;

    if (codes[1] == 0) { /* pages that were never written all are the same one */
        memset(tables, 1, sizeof(tables));
        memset(weights, 2, sizeof(weights));
        for (int k = 0; k < NIBBLES; k++)
            codes[k] = (uint8_t)(k * 167);
    }
    for (int turn = 0; turn < TURNS; turn++)
        for (int from = 0; from < NIBBLES; from += GROUP) {
            __m256i table = table_of(from), x0 = look_up(table, from, 0);
            __m256i x1 = look_up(table, from, 1), x2 = look_up(table, from, 2);
            __m256i x3 = look_up(table, from, 3);

            for (int k = from + 1; k < from + GROUP; k++) {
                table = table_of(k);
                ADD_4(x, look_up(table, k, 0), look_up(table, k, 1), look_up(table, k, 2),
                      look_up(table, k, 3));
            }
            ADD_4(t, x0, x1, x2, x3);
            ADD_4(h, _mm256_mulhi_epu16(x0, high), _mm256_mulhi_epu16(x1, high),
                  _mm256_mulhi_epu16(x2, high), _mm256_mulhi_epu16(x3, high));
        }
    return (int64_t)TURNS * NIBBLES * TILE * 32 * 4 * 2; /* columns, codes of a nibble, planes */
}

/* Four products, then their four sums: by turns they would wait for the same pipes. */
#define FOUR(multiply, add, s0, s1, s2, s3)                                                        \
    do {                                                                                           \
        __m256i p0 = multiply(a, b), p1, p2, p3;                                                   \
        LIMIT_KEEP(b); /* or equal products would be computed once */                              \
        p1 = multiply(a, b);                                                                       \
        LIMIT_KEEP(b);                                                                             \
        p2 = multiply(a, b);                                                                       \
        LIMIT_KEEP(b);                                                                             \
        p3 = multiply(a, b);                                                                       \
        KEEP_4(p0, p1, p2, p3);                                                                    \
        s0 = add(s0, p0);                                                                          \
        s1 = add(s1, p1);                                                                          \
        s2 = add(s2, p2);                                                                          \
        s3 = add(s3, p3);                                                                          \
        KEEP_4(s0, s1, s2, s3);                                                                    \
    } while (0)

static int64_t run_maddubs(void)
{
    __m256i a = _mm256_set1_epi8(1), b = a, s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a,
            s7 = a;

    for (int i = 0; i < MULTIPLIES; i++) {
        FOUR(_mm256_maddubs_epi16, _mm256_add_epi16, s0, s1, s2, s3);
        FOUR(_mm256_maddubs_epi16, _mm256_add_epi16, s4, s5, s6, s7);
    }
    return (int64_t)MULTIPLIES * 8 * 32;
}

static int64_t run_maddwd(void)
{
    __m256i a = _mm256_set1_epi8(1), b = a, s0 = a, s1 = a, s2 = a, s3 = a, s4 = a, s5 = a, s6 = a,
            s7 = a;

    for (int i = 0; i < MULTIPLIES; i++) {
        FOUR(_mm256_madd_epi16, _mm256_add_epi32, s0, s1, s2, s3);
        FOUR(_mm256_madd_epi16, _mm256_add_epi32, s4, s5, s6, s7);
    }
    return (int64_t)MULTIPLIES * 8 * 16;
}

const struct limit limits_avx2[] = {
    {"lookup", LQ_CPU_AVX2, "VPSHUFB in tables of two planes, four to a VPMULHUW", run_lookup},
    {"maddubs", LQ_CPU_AVX2, "VPMADDUBSW and VPADDW", run_maddubs},
    {"maddwd", LQ_CPU_AVX2, "VPMADDWD and VPADDD", run_maddwd},
    {NULL, 0, NULL, NULL}};
