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

/* All columns for `rows` rows from `row` on. */
static inline __attribute__((always_inline)) void columns(const struct lq_levels *p, int rows,
                                                          int row)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + 1) / 2 * 2 * LANES;

    for (int col = 0; col < p->n; col += LANES) {
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(p->n - col), lanes);

        tile(p, rows, p->a + (size_t)row * p->rows.step, p->w + (size_t)(col / LANES) * panel, mask,
             p->sums + (size_t)row * p->stride + col);
    }
}

void lq_gemm_levels_avx2(const struct lq_levels *p)
{
    int row = 0;

    for (; row + ROWS <= p->m; row += ROWS)
        columns(p, ROWS, row);
    for (; row + 4 <= p->m; row += 4)
        columns(p, 4, row);
    for (; row < p->m; row++)
        columns(p, 1, row);
}
