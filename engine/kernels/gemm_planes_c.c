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

/* One run of a pixel against that of an output channel. */
static int32_t combine(const struct lq_planes *p, const uint32_t *a, const uint32_t *w,
                       const int32_t *w_basis)
{
    int32_t sum = 0;

    for (int j = 0; j < p->a_bits; j++) {
        int32_t plane_sum = 0, set = count(a + j, p->rows.run, p->a_bits);

        for (int i = 0; i < p->w_bits; i++) {
            int32_t both = count_and(a + j, p->a_bits, w + i, p->w_bits, p->rows.run);

            plane_sum += w_basis[i] * (2 * both - set);
        }
        sum += p->a_basis[j] * plane_sum;
    }
    return sum;
}

void lq_gemm_planes_c(const struct lq_planes *p)
{
    size_t run_words = (size_t)p->rows.run * (size_t)p->w_bits;

    for (int row = 0; row < p->rows.lines * p->rows.width; row++)
        for (int col = 0; col < p->n; col++) {
            const uint32_t *a = p->a + lq_row_offset(&p->rows, row);
            const uint32_t *w = p->w + (size_t)col * (size_t)p->rows.runs * run_words;
            const int32_t *w_basis = p->w_basis + (size_t)col * (size_t)p->w_bits;
            int32_t sum = 0;

            for (int run = 0; run < p->rows.runs; run++, a += p->rows.gap, w += run_words)
                sum += combine(p, a, w, w_basis);
            p->sums[(size_t)row * p->stride + (size_t)col] = sum;
        }
}
