/* gemm_levels_avx2.c - matrix product of integer levels: 8 columns a vector, VPMADDWD.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8, ROWS = 6 };

/* A pair of levels in every lane; `count` 1: the second one is 0. */
static inline __m256i broadcast(const int16_t *a, int count)
{
    int32_t pair = 0;

    memcpy(&pair, a, (size_t)count * sizeof(*a));
    return _mm256_set1_epi32(pair);
}

static inline __attribute__((always_inline)) void tile(const struct lq_levels *p, int rows,
                                                       const int16_t *a, const int16_t *w,
                                                       __m256i mask, int32_t *out)
{
    __m256i sums[ROWS];
    size_t step = p->rows.step;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm256_setzero_si256();
    for (int run = 0; run < p->rows.runs; run++) {
        const int16_t *at = a + (size_t)run * p->rows.gap;
        int k = 0, end = p->rows.run;

        for (; k + 2 <= end; k += 2, w += (size_t)2 * LANES) {
            __m256i weights = _mm256_loadu_si256((const void *)w);

            for (int r = 0; r < rows; r++)
                sums[r] = _mm256_add_epi32(
                    sums[r], _mm256_madd_epi16(weights, broadcast(at + (size_t)r * step + k, 2)));
        }
        if (k < end) {
            __m256i weights = _mm256_loadu_si256((const void *)w);

            for (int r = 0; r < rows; r++)
                sums[r] = _mm256_add_epi32(
                    sums[r], _mm256_madd_epi16(weights, broadcast(at + (size_t)r * step + k, 1)));
        }
    }
    for (int r = 0; r < rows; r++)
        _mm256_maskstore_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

/* One line of rows against one panel. */
static void line_by_panel(const struct lq_levels *p, const int16_t *a, const int16_t *w,
                          __m256i mask, int32_t *out)
{
    size_t step = p->rows.step;
    int row = 0, width = p->rows.width;

    for (; row + ROWS <= width; row += ROWS)
        tile(p, ROWS, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
    for (; row + 4 <= width; row += 4)
        tile(p, 4, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
    for (; row < width; row++)
        tile(p, 1, a + (size_t)row * step, w, mask, out + (size_t)row * p->stride);
}

/* A panel's weights stay in cache while all rows pass by. */
void lq_gemm_levels_avx2(const struct lq_levels *p)
{
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + 1) / 2 * 2 * LANES, line_sums = (size_t)p->rows.width * p->stride;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    for (int col = 0; col < p->n; col += LANES) {
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(p->n - col), lanes);

        for (int line = 0; line < p->rows.lines; line++)
            line_by_panel(p, p->a + (size_t)line * p->rows.line,
                          p->w + (size_t)(col / LANES) * panel, mask,
                          p->sums + (size_t)line * line_sums + col);
    }
}
