/* gemm_nibbles_c.c - matrix product of codes in nibbles: AND, count, weigh.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

static int32_t count(unsigned nibble)
{
    return (int32_t)((nibble & 1) + (nibble >> 1 & 1) + (nibble >> 2 & 1) + (nibble >> 3 & 1));
}

/* Of both planes of a byte, with a nibble of weights in front of them: the sum of levels. */
static int32_t levels(unsigned codes, unsigned nibble, const int32_t *basis)
{
    return basis[0] * count(codes & nibble) + basis[1] * count(codes >> 4 & nibble);
}

static int32_t dot(const struct lq_nibbles *p, const uint8_t *a, int col)
{
    const struct lq_rows *rows = &p->rows;
    int vectors = p->n * p->w_bits, length = rows->runs * rows->run;
    int32_t sum = 0;

    for (int i = 0; i < p->w_bits; i++) {
        int32_t plane = 0;

        for (int k = 0; k < length; k++) {
            unsigned codes = a[(size_t)(k / rows->run) * rows->gap + (size_t)(k % rows->run)];
            unsigned nibble = p->w[lq_nibble_at(vectors, col * p->w_bits + i, 1, length, k)];

            plane += 2 * levels(codes, nibble, p->a_basis) - levels(codes, 15, p->a_basis);
        }
        sum += p->w_basis[col * p->w_bits + i] * plane;
    }
    return sum;
}

void lq_gemm_nibbles_c(const struct lq_nibbles *p)
{
    for (int row = 0; row < p->rows.lines * p->rows.width; row++)
        for (int col = 0; col < p->n; col++)
            p->sums[(size_t)row * p->stride + (size_t)col] =
                dot(p, p->a + lq_row_offset(&p->rows, row), col);
}
