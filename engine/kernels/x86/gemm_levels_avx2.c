/* gemm_levels_avx2.c - products of integer levels: 8 columns a vector, VPMADDWD on levels of 16
 * bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/x86/product.h"

#include <immintrin.h>

enum { LANES = 8, ROWS = 6, WORD = LQ_PRODUCT_WORD };

/* One line of rows and the panel that it meets. */
struct strip {
    __m256i mask; /* columns that are there */
    const uint8_t *a, *w;
    int32_t *sums;
};

static inline __attribute__((always_inline)) __m256i add_products(__m256i sum, __m256i levels,
                                                                  __m256i weights)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(levels, weights));
}

/* Rows row .. row + rows - 1 of the line. */
static inline __attribute__((always_inline)) void tile(const struct lq_product *p, int rows,
                                                       int row, const struct strip *strip)
{
    __m256i sums[ROWS];
    const uint8_t *a = strip->a + (size_t)row * p->step, *w = strip->w;
    int32_t *out = strip->sums + (size_t)row * p->stride;
    size_t step = p->step;

    for (int r = 0; r < rows; r++)
        sums[r] = _mm256_setzero_si256();
    for (int run = 0; run < p->runs; run++) {
        const uint8_t *at = a + (size_t)run * p->gap;
        size_t k = 0, end = p->run;

        for (; k + WORD <= end; k += WORD, w += (size_t)WORD * LANES) {
            __m256i weights = _mm256_loadu_si256((const void *)w);

            for (int r = 0; r < rows; r++)
                sums[r] = add_products(sums[r], lq_product_word(at + (size_t)r * step + k, WORD),
                                       weights);
        }
        if (k < end) {
            __m256i weights = _mm256_loadu_si256((const void *)w);

            for (int r = 0; r < rows; r++)
                sums[r] = add_products(sums[r], lq_product_word(at + (size_t)r * step + k, end - k),
                                       weights);
        }
    }
    for (int r = 0; r < rows; r++)
        _mm256_maskstore_epi32(out + (size_t)(r)*p->stride, strip->mask, sums[r]);
}

/* The tile that most of a product of 16-bit levels is made of: 2 panels, so that a level that is
 * loaded meets 16 columns. The sums are scalars, because the compiler keeps arrays of vectors in
 * memory when they take nearly all registers. */
#define WIDE_ROWS   6
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5)

static void wide_tile(const struct lq_product *p, const uint8_t *a, const uint8_t *w,
                      const uint8_t *next, int32_t *out)
{
    size_t step = p->step;
#define X(r) __m256i left##r = _mm256_setzero_si256(), right##r = left##r;
    EACH_ROW(X)
#undef X

    for (int run = 0; run < p->runs; run++) {
        const uint8_t *at = a + (size_t)run * p->gap, *far = at + 3 * step, *end = at + p->run;

        for (; at < end; at += WORD, far += WORD) {
            __m256i first = _mm256_loadu_si256((const void *)w);
            __m256i second = _mm256_loadu_si256((const void *)next);

#define X(r)                                                                                       \
    {                                                                                              \
        __m256i levels = lq_product_word(((r) < 3 ? at : far) + (r) % 3 * step, WORD);             \
                                                                                                   \
        left##r = _mm256_add_epi32(left##r, _mm256_madd_epi16(levels, first));                     \
        right##r = _mm256_add_epi32(right##r, _mm256_madd_epi16(levels, second));                  \
    }
            EACH_ROW(X)
#undef X
            w += (size_t)WORD * LANES;
            next += (size_t)WORD * LANES;
        }
    }
#define X(r)                                                                                       \
    _mm256_storeu_si256((void *)(out + (size_t)(r)*p->stride), left##r);                           \
    _mm256_storeu_si256((void *)(out + (size_t)(r)*p->stride + LANES), right##r);
    EACH_ROW(X)
#undef X
}

/* From `row` on, `rows` at a time; where they end. */
static inline __attribute__((always_inline)) int tiles(const struct lq_product *p, int rows,
                                                       int row, const struct strip *strip)
{
    for (; row + rows <= p->width; row += rows)
        tile(p, rows, row, strip);
    return row;
}

static inline __attribute__((always_inline)) void line_by_panel(const struct lq_product *p,
                                                                const struct strip *strip)
{
    int row = 0;

    row = tiles(p, ROWS, row, strip);
    row = tiles(p, 4, row, strip);
    tiles(p, 1, row, strip);
}

/* A panel's weights stay in cache while all rows pass by. */
static inline __attribute__((always_inline)) void multiply(const struct lq_product *p)
{
    size_t panel = lq_product_panel_bytes(p, LANES), line_sums = (size_t)p->width * p->stride;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);

    for (int col = 0; col < p->n; col += LANES) {
        int left = p->n - col;
        struct strip strip = {.w = p->w + (size_t)(col / LANES) * panel};

        strip.mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), lanes);
        for (int line = 0; line < p->lines; line++) {
            strip.a = p->a + (size_t)line * p->line;
            strip.sums = p->sums + (size_t)line * line_sums + col;
            line_by_panel(p, &strip);
        }
    }
}

/* Whole tiles of 16 columns; the last rows of a line meet each panel by itself. */
static void wide_columns(const struct lq_product *p, int col)
{
    size_t panel = lq_product_panel_bytes(p, LANES);
    const uint8_t *w = p->w + (size_t)(col / LANES) * panel;

    for (int line = 0; line < p->lines; line++) {
        struct strip strip = {_mm256_set1_epi32(-1), p->a + (size_t)line * p->line, w,
                              p->sums + (size_t)line * (size_t)p->width * p->stride + col};
        int row = 0;

        for (; row + WIDE_ROWS <= p->width; row += WIDE_ROWS)
            wide_tile(p, strip.a + (size_t)row * p->step, w, w + panel,
                      strip.sums + (size_t)row * p->stride);
        for (int side = 0; side < 2; side++) {
            tiles(p, 1, tiles(p, 4, row, &strip), &strip);
            strip.w += panel;
            strip.sums += LANES;
        }
    }
}

void lq_gemm_levels_avx2(const struct lq_levels *levels)
{
    struct lq_product product = lq_product_of_levels(levels), rest;
    int wide = levels->n / (2 * LANES) * (2 * LANES);

    if (product.run % WORD != 0)
        wide = 0;
    for (int col = 0; col < wide; col += 2 * LANES)
        wide_columns(&product, col);
    rest = product;
    rest.n -= wide;
    rest.w += (size_t)(wide / LANES) * lq_product_panel_bytes(&product, LANES);
    rest.sums += wide;
    multiply(&rest);
}
