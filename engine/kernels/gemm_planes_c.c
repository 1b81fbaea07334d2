/* gemm_planes_c.c - matrix product of packed bit planes: AND, count, weigh.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

/* Counts by halves, quarters and bytes: plain arithmetic that compilers vectorize, where a table
 * lookup or a library call would not be. */
static inline uint32_t popcount32(uint32_t x)
{
    x -= (x >> 1) & 0x55555555u;
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    x += x >> 8;
    x += x >> 16;
    return x & 0x3fu;
}

/* Of every `stride`-th word. */
static int32_t count(const uint32_t *restrict a, int words, int stride)
{
    uint32_t sum = 0;

    for (int i = 0; i < words; i++)
        sum += popcount32(a[(size_t)i * (size_t)stride]);
    return (int32_t)sum;
}

static int32_t count_and(const uint32_t *restrict a, int a_bits, const uint32_t *restrict w,
                         int w_bits, int words)
{
    uint32_t sum = 0;

    for (int i = 0; i < words; i++)
        sum += popcount32(a[(size_t)i * (size_t)a_bits] & w[(size_t)i * (size_t)w_bits]);
    return (int32_t)sum;
}

/* One pixel against one output channel. counts[j] = pop(a_j), the same for all channels. */
static int32_t combine(const struct lq_planes *p, const uint32_t *a, const int32_t *counts, int col)
{
    const uint32_t *w = p->w + (size_t)col * (size_t)p->w_bits * (size_t)p->words;
    const int32_t *w_basis = p->w_basis + (size_t)col * (size_t)p->w_bits;
    int32_t sum = 0;

    for (int j = 0; j < p->a_bits; j++) {
        int32_t plane_sum = 0;

        for (int i = 0; i < p->w_bits; i++) {
            int32_t both = count_and(a + j, p->a_bits, w + i, p->w_bits, p->words);

            plane_sum += w_basis[i] * (2 * both - counts[j]);
        }
        sum += p->a_basis[j] * plane_sum;
    }
    return sum;
}

void lq_gemm_planes_c(const struct lq_planes *p)
{
    size_t a_stride = (size_t)p->a_bits * (size_t)p->words;

    for (int row = 0; row < p->m; row++) {
        const uint32_t *a = p->a + (size_t)row * a_stride;
        int32_t counts[8]; /* LQ_MAX_BITS */

        for (int j = 0; j < p->a_bits; j++)
            counts[j] = count(a + j, p->words, p->a_bits);
        for (int col = 0; col < p->n; col++)
            p->sums[(size_t)row * p->stride + (size_t)col] = combine(p, a, counts, col);
    }
}
