/* nibbles.h - what the table lookups of gemm_nibbles_avx2.c and of its other half share.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A byte picks one of 256 tables of 16 bytes; VPSHUFB looks up 32 nibbles in it: entry w is
 * pop(w & low nibble) + 16 pop(w & high nibble). Four lookups are added to x, whose nibbles then
 * hold at most 15, unless all 16 bits of the weights are set: three and one, then. Of the counts a,
 * b of a word's low byte (low and high nibbles) and c, d of its high byte,
 *     t, the sum of x by bytes, keeps  a + 16 b       and  c + 16 d  (modulo 256),
 *     h, that of x >> 4,        keeps  b + 16 c       and  d,
 * from which all four follow, d first, as long as none exceeds 255: after a chunk of the row they
 * are drawn out, weighed with the basis of activations by VPMADDUBSW, and added up in 16 bits.
 * x >> 4 is a VPMULHUW, which does not compete with VPSHUFB for pipes, and needs no mask.
 */
#ifndef LQ_KERNELS_X86_NIBBLES_H
#define LQ_KERNELS_X86_NIBBLES_H

#include "kernels/kernels.h"

#include <immintrin.h>

enum {
    LQ_NIBBLE_LANES = 32,
    LQ_NIBBLE_COUNTS = 4 /* a, b, c, d */
};

extern const uint8_t lq_nibble_tables_avx2[256][LQ_NIBBLE_PAIR];

/* The product by the other half: pixels in the lanes, weights pick the tables. False: this product
 * does not suit it. */
bool lq_nibbles_by_pixels_avx2(const struct lq_nibbles *p);

/* Of `count` vectors together: the groups of a chunk that must not be looked up at once. */
static inline uint32_t lq_nibble_full(const struct lq_nibbles *p, int first, int count, int chunk)
{
    int chunks = lq_nibble_chunks(p->rows.runs * p->rows.run, p->chunk);
    uint32_t full = 0;

    for (int vector = first; vector < first + count; vector++)
        full |= p->full[vector * chunks + chunk];
    return full;
}

/* at: in bytes; a table has LQ_NIBBLE_PAIR of them. */
static inline __attribute__((always_inline)) __m256i lq_nibble_table(size_t at)
{
    const uint8_t *table = (const uint8_t *)(const void *)lq_nibble_tables_avx2 + at;

    return _mm256_broadcastsi128_si256(_mm_load_si128((const void *)table));
}

/* Set bits of a nibble in each byte. */
static inline __m256i lq_nibble_pops(__m256i nibbles)
{
    const __m256i pops = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                          2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);

    return _mm256_shuffle_epi8(pops, nibbles);
}

/* *sum += x, by bytes, in this order and where the sum is: left alone, gcc spills sums, or puts
 * them elsewhere and copies them back, and instructions are what this loop is short of. */
static inline __attribute__((always_inline)) void lq_nibble_into(__m256i *sum, __m256i x)
{
    __asm__ volatile("vpaddb %1, %0, %0" : "+x"(*sum) : "x"(x));
}

/* The first one starts the sum. */
static inline __attribute__((always_inline)) void lq_nibble_begin(bool first, __m256i *sum,
                                                                  __m256i x)
{
    if (first)
        *sum = x;
    else
        lq_nibble_into(sum, x);
}

/* Four vectors of t and h. */
struct lq_nibble_sums {
    __m256i t0, t1, t2, t3, h0, h1, h2, h3;
};

/* Adds four x of up to four lookups each. */
static inline __attribute__((always_inline)) void
lq_nibble_add(struct lq_nibble_sums *s, __m256i x0, __m256i x1, __m256i x2, __m256i x3)
{
    const __m256i shift = _mm256_set1_epi16(1 << 12);

    lq_nibble_into(&s->t0, x0);
    lq_nibble_into(&s->t1, x1);
    lq_nibble_into(&s->t2, x2);
    lq_nibble_into(&s->t3, x3);
    lq_nibble_into(&s->h0, _mm256_mulhi_epu16(x0, shift));
    lq_nibble_into(&s->h1, _mm256_mulhi_epu16(x1, shift));
    lq_nibble_into(&s->h2, _mm256_mulhi_epu16(x2, shift));
    lq_nibble_into(&s->h3, _mm256_mulhi_epu16(x3, shift));
}

/* The four counts, drawn out of t and h, in bytes: a and b in even ones, c and d in odd ones; the
 * other bytes hold anything. */
struct lq_nibble_counts {
    __m256i a, b, c, d;
};

static inline __attribute__((always_inline)) struct lq_nibble_counts lq_nibble_draw(__m256i t,
                                                                                    __m256i h)
{
    __m256i c = _mm256_sub_epi16(t, _mm256_slli_epi16(_mm256_srli_epi16(h, 8), 12));
    __m256i b = _mm256_sub_epi16(h, _mm256_slli_epi16(_mm256_srli_epi16(c, 8), 4));

    return (struct lq_nibble_counts){_mm256_sub_epi16(t, _mm256_slli_epi16(b, 4)), b, c, h};
}

/* What lq_nibble_weigh multiplies counts in even bytes, or in odd ones, by. */
static inline __m256i lq_nibble_even(int factor)
{
    return _mm256_set1_epi16((int16_t)(factor & 0xff));
}

static inline __m256i lq_nibble_odd(int factor)
{
    return _mm256_set1_epi16((int16_t)((unsigned)factor << 8));
}

/* Two counts of each 16 bits, weighed; each product fits 16 bits. */
static inline __attribute__((always_inline)) __m256i
lq_nibble_weigh(__m256i x, __m256i factors, __m256i y, __m256i more_factors)
{
    return _mm256_add_epi16(_mm256_maddubs_epi16(x, factors),
                            _mm256_maddubs_epi16(y, more_factors));
}

#endif
