/* gemm_bytes_c.c - matrix product of levels in bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

static int32_t dot(int k, const uint8_t *restrict a, const int8_t *restrict w)
{
    int32_t sum = 0;

    for (int i = 0; i < k; i++)
        sum += a[i] * w[i];
    return sum;
}

void lq_gemm_bytes_c(const struct lq_bytes *p)
{
    const struct lq_rows *rows = &p->rows;
    size_t panel = ((size_t)rows->runs * (size_t)rows->run + 3) / 4 * 4;

    for (int row = 0; row < rows->lines * rows->width; row++)
        for (int col = 0; col < p->n; col++) {
            const uint8_t *a = p->a + lq_row_offset(rows, row);
            const int8_t *w = p->w + (size_t)col * panel;
            int32_t sum = 0;

            for (int run = 0; run < rows->runs; run++, a += rows->gap, w += rows->run)
                sum += dot(rows->run, a, w);
            p->sums[(size_t)row * p->stride + (size_t)col] = sum;
        }
}
