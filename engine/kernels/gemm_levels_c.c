/* gemm_levels_c.c - matrix product of integer levels: the definition of a quantized layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

/* Four columns at a time: a row of levels is loaded once for all of them, and the compiler turns
 * the 16-bit products and 32-bit sums into multiply-add pairs. */
static void dot4(int k, size_t panel, const int16_t *restrict a, const int16_t *restrict w,
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
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

static int32_t dot1(int k, const int16_t *restrict a, const int16_t *restrict w)
{
    int32_t sum = 0;

    for (int i = 0; i < k; i++)
        sum += a[i] * w[i];
    return sum;
}

void lq_gemm_levels_c(const struct lq_levels *p)
{
    size_t panel = ((size_t)p->k + 1) / 2 * 2;

    for (int row = 0; row < p->m; row++) {
        const int16_t *a = p->a + (size_t)row * (size_t)p->k;
        int32_t *out = p->sums + (size_t)row * p->stride;
        int col = 0;

        for (; col + 4 <= p->n; col += 4)
            dot4(p->k, panel, a, p->w + (size_t)col * panel, out + col);
        for (; col < p->n; col++)
            out[col] = dot1(p->k, a, p->w + (size_t)col * panel);
    }
}
