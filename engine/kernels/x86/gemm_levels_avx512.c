/* gemm_levels_avx512.c - matrix product of integer levels: 16 columns a vector, VPDPWSSD.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 16, ROWS = 12 };

/* A pair of levels in every lane; `count` 1: the second one is 0. */
static inline __m512i broadcast(const int16_t *a, int count)
{
    int32_t pair = 0;

    memcpy(&pair, a, (size_t)count * sizeof(*a));
    return _mm512_set1_epi32(pair);
}

static inline __attribute__((always_inline)) void tile(const struct lq_levels *p, int rows,
                                                       const int16_t *a, const int16_t *w,
                                                       __mmask16 mask, int32_t *out)
{
    __m512i sums[ROWS];
    size_t step = p->rows.step;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_si512();
    for (int run = 0; run < p->rows.runs; run++) {
        const int16_t *at = a + (size_t)run * p->rows.gap;
        int k = 0, end = p->rows.run;

        for (; k + 2 <= end; k += 2, w += (size_t)2 * LANES) {
            __m512i weights = _mm512_loadu_si512(w);

            for (int r = 0; r < rows; r++)
                sums[r] =
                    _mm512_dpwssd_epi32(sums[r], weights, broadcast(at + (size_t)r * step + k, 2));
        }
        if (k < end) {
            __m512i weights = _mm512_loadu_si512(w);

            for (int r = 0; r < rows; r++)
                sums[r] =
                    _mm512_dpwssd_epi32(sums[r], weights, broadcast(at + (size_t)r * step + k, 1));
        }
    }
    for (int r = 0; r < rows; r++)
        _mm512_mask_storeu_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

/* One line of rows against one panel. */
static void line_by_panel(const struct lq_levels *p, const int16_t *a, const int16_t *w,
                          __mmask16 mask, int32_t *out)
{
    size_t step = p->rows.step;
    int row = 0, width = p->rows.width;

    /* lines of feature maps are multiples of 8 or of 7 pixels: few rows are left over */
    if (width % 7 == 0 && width % 8 != 0)
        for (; row < width; row += 7)
            tile(p, 7, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
    for (; row + ROWS <= width; row += ROWS)
        tile(p, ROWS, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
    for (; row + 8 <= width; row += 8)
        tile(p, 8, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
    for (; row + 4 <= width; row += 4)
        tile(p, 4, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
    for (; row < width; row++)
        tile(p, 1, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
}

/* A panel's weights stay in cache while all rows pass by. */
void lq_gemm_levels_avx512(const struct lq_levels *p)
{
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + 1) / 2 * 2 * LANES, line_sums = (size_t)p->rows.width * p->stride;

    for (int col = 0; col < p->n; col += LANES) {
        int left = p->n - col;
        __mmask16 mask = (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);

        for (int line = 0; line < p->rows.lines; line++)
            line_by_panel(p, p->a + (size_t)line * p->rows.line,
                          p->w + (size_t)(col / LANES) * panel, mask,
                          p->sums + (size_t)line * line_sums + col);
    }
}
