/* gemm_bytes_avx512.c - matrix product of levels in bytes: 16 columns a vector, VPDPBUSD.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 16, ROWS = 12 };

/* Four levels in every lane; behind `count` of them zeros. */
static inline __m512i broadcast(const uint8_t *a, int count)
{
    int32_t four = 0;

    memcpy(&four, a, (size_t)count);
    return _mm512_set1_epi32(four);
}

static inline __attribute__((always_inline)) void tile(const struct lq_bytes *p, int rows,
                                                       const uint8_t *a, const int8_t *w,
                                                       __mmask16 mask, int32_t *out)
{
    __m512i sums[ROWS];
    int k = 0;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_si512();
    for (; k + 4 <= p->k; k += 4, w += (size_t)4 * LANES) {
        __m512i weights = _mm512_loadu_si512(w);

        for (int r = 0; r < rows; r++)
            sums[r] = _mm512_dpbusd_epi32(sums[r], broadcast(a + (size_t)r * (size_t)p->k + k, 4),
                                          weights);
    }
    if (k < p->k) {
        __m512i weights = _mm512_loadu_si512(w);

        for (int r = 0; r < rows; r++)
            sums[r] = _mm512_dpbusd_epi32(
                sums[r], broadcast(a + (size_t)r * (size_t)p->k + k, p->k - k), weights);
    }
    for (int r = 0; r < rows; r++)
        _mm512_mask_storeu_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

void lq_gemm_bytes_avx512(const struct lq_bytes *p)
{
    size_t panel = ((size_t)p->k + 3) / 4 * 4 * LANES;

    for (int col = 0; col < p->n; col += LANES) {
        const int8_t *w = p->w + (size_t)(col / LANES) * panel;
        int left = p->n - col;
        __mmask16 mask = (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);
        int row = 0;

        for (; row + ROWS <= p->m; row += ROWS)
            tile(p, ROWS, p->a + (size_t)row * (size_t)p->k, w, mask,
                 p->sums + (size_t)row * p->stride + col);
        for (; row + 4 <= p->m; row += 4)
            tile(p, 4, p->a + (size_t)row * (size_t)p->k, w, mask,
                 p->sums + (size_t)row * p->stride + col);
        for (; row < p->m; row++)
            tile(p, 1, p->a + (size_t)row * (size_t)p->k, w, mask,
                 p->sums + (size_t)row * p->stride + col);
    }
}
