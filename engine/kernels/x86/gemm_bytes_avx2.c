/* gemm_bytes_avx2.c - matrix product of levels in bytes: 8 columns a vector, VPMADDUBSW.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two products are added in 16 bits, where the caller's bound keeps them.
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8, ROWS = 6 };

/* Four levels in every lane; behind `count` of them zeros. */
static inline __m256i broadcast(const uint8_t *a, int count)
{
    int32_t four = 0;

    memcpy(&four, a, (size_t)count);
    return _mm256_set1_epi32(four);
}

static inline __m256i add_products(__m256i sum, __m256i levels, __m256i weights)
{
    __m256i pairs = _mm256_maddubs_epi16(levels, weights);

    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline __attribute__((always_inline)) void tile(const struct lq_bytes *p, int rows,
                                                       const uint8_t *a, const int8_t *w,
                                                       __m256i mask, int32_t *out)
{
    __m256i sums[ROWS];
    size_t step = p->rows.step;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm256_setzero_si256();
    for (int run = 0; run < p->rows.runs; run++) {
        const uint8_t *at = a + (size_t)run * p->rows.gap;
        int k = 0, end = p->rows.run;

        for (; k + 4 <= end; k += 4, w += (size_t)4 * LANES) {
            __m256i weights = _mm256_loadu_si256((const void *)w);

            for (int r = 0; r < rows; r++)
                sums[r] = add_products(sums[r], broadcast(at + (size_t)r * step + k, 4), weights);
        }
        if (k < end) {
            __m256i weights = _mm256_loadu_si256((const void *)w);

            for (int r = 0; r < rows; r++)
                sums[r] =
                    add_products(sums[r], broadcast(at + (size_t)r * step + k, end - k), weights);
        }
    }
    for (int r = 0; r < rows; r++)
        _mm256_maskstore_epi32(out + (size_t)r * p->stride, mask, sums[r]);
}

/* All columns for `rows` rows from `row` on. */
static inline __attribute__((always_inline)) void columns(const struct lq_bytes *p, int rows,
                                                          int row)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + 3) / 4 * 4 * LANES;

    for (int col = 0; col < p->n; col += LANES) {
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(p->n - col), lanes);

        tile(p, rows, p->a + (size_t)row * p->rows.step, p->w + (size_t)(col / LANES) * panel, mask,
             p->sums + (size_t)row * p->stride + col);
    }
}

void lq_gemm_bytes_avx2(const struct lq_bytes *p)
{
    int row = 0;

    for (; row + ROWS <= p->m; row += ROWS)
        columns(p, ROWS, row);
    for (; row + 4 <= p->m; row += 4)
        columns(p, 4, row);
    for (; row < p->m; row++)
        columns(p, 1, row);
}
