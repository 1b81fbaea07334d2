/* gemm_wide_c.c - matrix product of bytes with weights in two parts, the definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

static int32_t dot(const struct lq_wide *p, const uint8_t *a, size_t col)
{
    const struct lq_rows *rows = &p->rows;
    const size_t lanes = LQ_WIDE_LANES, length = (size_t)rows->runs * (size_t)rows->run;
    const int8_t *low = p->w + col / lanes * 2 * length * lanes + col % lanes * 4;
    const int8_t *high = low + length * lanes;
    int32_t sum = 0;

    for (size_t k = 0; k < length; k++) {
        size_t at = k / 4 * lanes * 4 + k % 4, run = (size_t)rows->run;

        sum += a[k / run * rows->gap + k % run] * (LQ_WIDE_UNIT * high[at] + low[at]);
    }
    return sum;
}

void lq_gemm_wide_c(const struct lq_wide *p)
{
    for (int row = 0; row < p->rows.lines * p->rows.width; row++)
        for (int col = 0; col < p->n; col++)
            p->sums[(size_t)row * p->stride + (size_t)col] =
                dot(p, p->a + lq_row_offset(&p->rows, row), (size_t)col);
}
