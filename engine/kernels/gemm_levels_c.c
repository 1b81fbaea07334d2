/* gemm_levels_c.c - matrix product of integer levels: the definition of a quantized layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

/* Four columns at a time: a row of levels is loaded once for all of them, and the compiler turns
 * the 16-bit products and 32-bit sums into multiply-add pairs. */
static void dot4(int k, const int16_t *restrict a, const int16_t *restrict w,
                 int32_t *restrict sums)
{
    const int16_t *w0 = w, *w1 = w + k, *w2 = w + 2 * (size_t)k, *w3 = w + 3 * (size_t)k;
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

void lq_gemm_levels_c(int m, int n, int k, const int16_t *a, const int16_t *w, int32_t *sums,
                      size_t stride)
{
    for (int row = 0; row < m; row++) {
        const int16_t *a_row = a + (size_t)row * (size_t)k;
        int32_t *out = sums + (size_t)row * stride;
        int col = 0;

        for (; col + 4 <= n; col += 4)
            dot4(k, a_row, w + (size_t)col * (size_t)k, out + col);
        for (; col < n; col++)
            out[col] = dot1(k, a_row, w + (size_t)col * (size_t)k);
    }
}
