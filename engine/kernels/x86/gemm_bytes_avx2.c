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

/* One line of rows against one panel. */
static void line_by_panel(const struct lq_bytes *p, const uint8_t *a, const int8_t *w, __m256i mask,
                          int32_t *out)
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
void lq_gemm_bytes_avx2(const struct lq_bytes *p)
{
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + 3) / 4 * 4 * LANES, line_sums = (size_t)p->rows.width * p->stride;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    for (int col = 0; col < p->n; col += LANES) {
        __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(p->n - col), lanes);

        for (int line = 0; line < p->rows.lines; line++)
            line_by_panel(p, p->a + (size_t)line * p->rows.line,
                          p->w + (size_t)(col / LANES) * panel, mask,
                          p->sums + (size_t)line * line_sums + col);
    }
}
