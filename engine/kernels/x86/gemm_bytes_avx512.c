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
    size_t step = p->rows.step;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_si512();
    for (int run = 0; run < p->rows.runs; run++) {
        const uint8_t *at = a + (size_t)run * p->rows.gap;
        int k = 0, end = p->rows.run;

        for (; k + 4 <= end; k += 4, w += (size_t)4 * LANES) {
            __m512i weights = _mm512_loadu_si512(w);

            for (int r = 0; r < rows; r++)
                sums[r] =
                    _mm512_dpbusd_epi32(sums[r], broadcast(at + (size_t)r * step + k, 4), weights);
        }
        if (k < end) {
            __m512i weights = _mm512_loadu_si512(w);

            for (int r = 0; r < rows; r++)
                sums[r] = _mm512_dpbusd_epi32(
                    sums[r], broadcast(at + (size_t)r * step + k, end - k), weights);
        }
    }
    for (int r = 0; r < rows; r++)
        _mm512_mask_storeu_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

/* All columns for `rows` rows from `row` on. */
static inline __attribute__((always_inline)) void columns(const struct lq_bytes *p, int rows,
                                                          int row)
{
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + 3) / 4 * 4 * LANES;

    for (int col = 0; col < p->n; col += LANES) {
        int left = p->n - col;
        __mmask16 mask = (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);

        tile(p, rows, p->a + (size_t)row * p->rows.step, p->w + (size_t)(col / LANES) * panel, mask,
             p->sums + (size_t)row * p->stride + col);
    }
}

void lq_gemm_bytes_avx512(const struct lq_bytes *p)
{
    int row = 0;

    /* lines of feature maps are multiples of 8 or of 7 pixels: as few rows as can be are left over
     */
    if (p->m % 7 == 0 && p->m % 8 != 0)
        for (; row < p->m; row += 7)
            columns(p, 7, row);
    for (; row + ROWS <= p->m; row += ROWS)
        columns(p, ROWS, row);
    for (; row + 8 <= p->m; row += 8)
        columns(p, 8, row);
    for (; row + 4 <= p->m; row += 4)
        columns(p, 4, row);
    for (; row < p->m; row++)
        columns(p, 1, row);
}
