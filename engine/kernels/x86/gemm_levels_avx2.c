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
    int k = 0;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm256_setzero_si256();
    for (; k + 2 <= p->k; k += 2, w += (size_t)2 * LANES) {
        __m256i weights = _mm256_loadu_si256((const void *)w);

        for (int r = 0; r < rows; r++)
            sums[r] = _mm256_add_epi32(
                sums[r],
                _mm256_madd_epi16(weights, broadcast(a + (size_t)r * (size_t)p->k + k, 2)));
    }
    if (k < p->k) {
        __m256i weights = _mm256_loadu_si256((const void *)w);

        for (int r = 0; r < rows; r++)
            sums[r] = _mm256_add_epi32(
                sums[r],
                _mm256_madd_epi16(weights, broadcast(a + (size_t)r * (size_t)p->k + k, 1)));
    }
    for (int r = 0; r < rows; r++)
        _mm256_maskstore_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

static __m256i lane_mask(int columns)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    return _mm256_cmpgt_epi32(_mm256_set1_epi32(columns), lanes);
}

void lq_gemm_levels_avx2(const struct lq_levels *p)
{
    size_t panel = ((size_t)p->k + 1) / 2 * 2 * LANES;

    for (int col = 0; col < p->n; col += LANES) {
        const int16_t *w = p->w + (size_t)(col / LANES) * panel;
        __m256i mask = lane_mask(p->n - col);
        int row = 0;

        for (; row + ROWS <= p->m; row += ROWS)
            tile(p, ROWS, p->a + (size_t)row * (size_t)p->k, w, mask,
                 p->sums + (size_t)row * p->stride + col);
        for (; row < p->m; row++)
            tile(p, 1, p->a + (size_t)row * (size_t)p->k, w, mask,
                 p->sums + (size_t)row * p->stride + col);
    }
}
