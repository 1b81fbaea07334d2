/* gemm_halves_c.c - matrix product of codes in half words: AND, count, weigh.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

static int32_t popcount16(uint32_t x)
{
    x -= (x >> 1) & 0x5555u;
    x = (x & 0x3333u) + ((x >> 2) & 0x3333u);
    x = (x + (x >> 4)) & 0x0f0fu;
    return (int32_t)((x + (x >> 8)) & 0x1fu);
}

/* The level that a word's set bits add up to. */
static int32_t weigh(const struct lq_halves *h, uint32_t word)
{
    return h->a_basis[0] * popcount16(word & 0xffffu) + h->a_basis[1] * popcount16(word >> 16);
}

static int32_t product(const struct lq_halves *h, const uint32_t *a, const uint32_t *w,
                       const int32_t *w_basis)
{
    int32_t sum = 0;

    for (int run = 0; run < h->rows.runs; run++, a += h->rows.gap)
        for (int k = 0; k < h->rows.run; k++, w += h->w_bits)
            for (int i = 0; i < h->w_bits; i++)
                sum += w_basis[i] * (2 * weigh(h, a[k] & w[i]) - weigh(h, a[k]));
    return sum;
}

void lq_gemm_halves_c(const struct lq_halves *h)
{
    size_t length = (size_t)h->rows.runs * (size_t)h->rows.run * (size_t)h->w_bits;

    for (int row = 0; row < h->rows.lines * h->rows.width; row++)
        for (int col = 0; col < h->n; col++)
            h->sums[(size_t)row * h->stride + (size_t)col] =
                product(h, h->a + lq_row_offset(&h->rows, row), h->w + (size_t)col * length,
                        h->w_basis + (size_t)col * (size_t)h->w_bits);
}

void lq_halves_start(const struct lq_halves *h, int lanes, int32_t *ret_start)
{
    size_t bits = (size_t)h->w_bits, vectors = (size_t)h->rows.runs * (size_t)h->rows.run * bits;
    const uint32_t *w = h->w;
    const int32_t *w_basis = h->w_basis;

    for (int panel = 0; panel < lq_panels(h->n, lanes); panel++, ret_start += lanes) {
        for (int lane = 0; lane < lanes; lane++)
            ret_start[lane] = 0;
        for (size_t k = 0; k < vectors; k++, w += lanes)
            for (int lane = 0; lane < lanes; lane++)
                ret_start[lane] += w_basis[k % bits * (size_t)lanes + (size_t)lane] *
                                   (h->a_basis[0] + h->a_basis[1]) * popcount16(w[lane] & 0xffffu);
        w_basis += bits * (size_t)lanes;
    }
}
