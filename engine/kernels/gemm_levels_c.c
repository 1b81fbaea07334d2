/* gemm_levels_c.c - matrix product of integer levels: the definition of a quantized layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

/* Four columns at a time: a row of levels is loaded once for all of them, and the compiler turns
 * the 16-bit products and 32-bit sums into multiply-add pairs. */
static void add_dot4(int k, size_t panel, const int16_t *restrict a, const int16_t *restrict w,
                     int32_t *restrict sums)
{
    const int16_t *w0 = w, *w1 = w + panel, *w2 = w + 2 * panel, *w3 = w + 3 * panel;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;

    for (int i = 0; i < k; i++) {
        s0 += a[i] * w0[i];
        s1 += a[i] * w1[i];
        s2 += a[i] * w2[i];
        s3 += a[i] * w3[i];
    }
    sums[0] += s0;
    sums[1] += s1;
    sums[2] += s2;
    sums[3] += s3;
}

static int32_t dot(int k, const int16_t *restrict a, const int16_t *restrict w)
{
    int32_t sum = 0;

    for (int i = 0; i < k; i++)
        sum += a[i] * w[i];
    return sum;
}

void lq_gemm_levels_c(const struct lq_levels *p)
{
    const struct lq_rows *rows = &p->rows;
    size_t panel = ((size_t)rows->runs * (size_t)rows->run + 1) / 2 * 2;

    for (int row = 0; row < rows->lines * rows->width; row++) {
        const int16_t *a = p->a + lq_row_offset(rows, row);
        int32_t *out = p->sums + (size_t)row * p->stride;

        for (int col = 0; col < p->n; col++)
            out[col] = 0;
        for (int run = 0; run < rows->runs; run++, a += rows->gap) {
            const int16_t *w = p->w + (size_t)run * (size_t)rows->run;
            int col = 0;

            for (; col + 4 <= p->n; col += 4)
                add_dot4(rows->run, panel, a, w + (size_t)col * panel, out + col);
            for (; col < p->n; col++)
                out[col] += dot(rows->run, a, w + (size_t)col * panel);
        }
    }
}
