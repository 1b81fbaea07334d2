/* gemm_levels_avx512.c - products of integer levels: 16 columns a vector, VPDPWSSD on levels of 16
 * bits, VPDPBUSD on bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/x86/product.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

enum { LANES = 16, ROWS = 12, WORD = LQ_PRODUCT_WORD };

/* One line of rows and the panel that it meets. */
struct strip {
    const uint8_t *a, *w;
    __mmask16 mask; /* columns that are there */
    int32_t *sums;
};

/* A word of a row in every lane; behind `count` bytes zeros. */
static inline __m512i broadcast(const uint8_t *a, size_t count)
{
    int32_t word = 0;

    memcpy(&word, a, count);
    return _mm512_set1_epi32(word);
}

static inline __attribute__((always_inline)) __m512i add_products(__m512i sum, __m512i levels,
                                                                  __m512i weights, bool bytes)
{
    return bytes ? _mm512_dpbusd_epi32(sum, levels, weights)
                 : _mm512_dpwssd_epi32(sum, weights, levels);
}

/* Rows row .. row + rows - 1 of the line. */
static inline __attribute__((always_inline)) void tile(const struct lq_product *p, bool bytes,
                                                       int rows, int row, const struct strip *strip)
{
    __m512i sums[ROWS];
    const uint8_t *a = strip->a + (size_t)row * p->step, *w = strip->w;
    int32_t *out = strip->sums + (size_t)row * p->stride;
    size_t step = p->step;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_si512();
    for (int run = 0; run < p->runs; run++) {
        const uint8_t *at = a + (size_t)run * p->gap;
        size_t k = 0, end = p->run;

        for (; k + WORD <= end; k += WORD, w += (size_t)WORD * LANES) {
            __m512i weights = _mm512_loadu_si512(w);

            for (int r = 0; r < rows; r++)
                sums[r] = add_products(sums[r], broadcast(at + (size_t)r * step + k, WORD), weights,
                                       bytes);
        }
        if (k < end) {
            __m512i weights = _mm512_loadu_si512(w);

            for (int r = 0; r < rows; r++)
                sums[r] = add_products(sums[r], broadcast(at + (size_t)r * step + k, end - k),
                                       weights, bytes);
        }
    }
    for (int r = 0; r < rows; r++)
        _mm512_mask_storeu_epi32(out + (size_t)r * p->stride, strip->mask, sums[r]);
}

/* From `row` on, `rows` at a time; where they end. */
static inline __attribute__((always_inline)) int tiles(const struct lq_product *p, bool bytes,
                                                       int rows, int row, const struct strip *strip)
{
    for (; row + rows <= p->width; row += rows)
        tile(p, bytes, rows, row, strip);
    return row;
}

/* Lines of feature maps are multiples of 8 or of 7 pixels: few rows are left over. */
static inline __attribute__((always_inline)) void
line_by_panel(const struct lq_product *p, bool bytes, const struct strip *strip)
{
    int row = 0;

    if (p->width % 7 == 0 && p->width % 8 != 0)
        row = tiles(p, bytes, 7, row, strip);
    row = tiles(p, bytes, ROWS, row, strip);
    row = tiles(p, bytes, 8, row, strip);
    row = tiles(p, bytes, 4, row, strip);
    tiles(p, bytes, 1, row, strip);
}

/* A panel's weights stay in cache while all rows pass by. */
static inline __attribute__((always_inline)) void multiply(const struct lq_product *p, bool bytes)
{
    size_t panel = lq_product_panel_bytes(p, LANES), line_sums = (size_t)p->width * p->stride;

    for (int col = 0; col < p->n; col += LANES) {
        int left = p->n - col;
        struct strip strip = {.w = p->w + (size_t)(col / LANES) * panel};

        strip.mask = (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);
        for (int line = 0; line < p->lines; line++) {
            strip.a = p->a + (size_t)line * p->line;
            strip.sums = p->sums + (size_t)line * line_sums + col;
            line_by_panel(p, bytes, &strip);
        }
    }
}

void lq_gemm_levels_avx512(const struct lq_levels *levels)
{
    struct lq_product product = lq_product_of_levels(levels);

    multiply(&product, false);
}

void lq_gemm_bytes_avx512(const struct lq_bytes *bytes)
{
    struct lq_product product = lq_product_of_bytes(bytes);

    multiply(&product, true);
}
