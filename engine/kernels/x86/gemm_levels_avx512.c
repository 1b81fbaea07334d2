/* gemm_levels_avx512.c - products of integer levels: 16 columns a vector, VPDPWSSD on levels of 16
 * bits, VPDPBUSD on bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/x86/product.h"
#include "kernels/x86/vnni.h"

#include <stdbool.h>

enum { LANES = 16, ROWS = 12, PAIR_ROWS = 8, PANELS = 2, WORD = LQ_PRODUCT_WORD };

/* One line of rows and the panels that it meets, one or two. */
struct strip {
    const uint8_t *a, *w;
    size_t panel;   /* bytes of one */
    __mmask16 mask; /* columns of the last one that are there */
    int32_t *sums;
};

/* One word, `count` bytes of it, of `rows` rows `step` bytes apart. */
static inline __attribute__((always_inline)) void add_word(bool bytes, int panels, int rows,
                                                           const uint8_t *a, size_t step,
                                                           size_t count, const uint8_t *w,
                                                           size_t panel, __m512i sums[PANELS][ROWS])
{
    __m512i weights[PANELS];

    for (int i = 0; i < panels; i++)
        weights[i] = _mm512_loadu_si512(w + (size_t)i * panel);
    for (int r = 0; r < rows; r++) {
        __m512i word = lq_broadcast(a + (size_t)r * step, count);

        for (int i = 0; i < panels; i++)
            sums[i][r] = bytes ? lq_add_bytes(sums[i][r], word, weights[i])
                               : lq_add_words(sums[i][r], word, weights[i]);
    }
}

/* Rows row .. row + rows - 1 of the line. */
static inline __attribute__((always_inline)) void tile(const struct lq_product *p, bool bytes,
                                                       int panels, int rows, int row,
                                                       const struct strip *strip)
{
    __m512i sums[PANELS][ROWS];
    const uint8_t *a = strip->a + (size_t)row * p->step, *w = strip->w;
    int32_t *out = strip->sums + (size_t)row * p->stride;
    size_t step = p->step, panel = strip->panel;

    for (int i = 0; i < panels; i++)
        for (int r = 0; r < rows; r++)
            sums[i][r] = _mm512_setzero_si512();
    for (int run = 0; run < p->runs; run++) {
        const uint8_t *at = a + (size_t)run * p->gap, *end = at + p->run / WORD * WORD;

        for (; at < end; at += WORD, w += (size_t)WORD * LANES)
            add_word(bytes, panels, rows, at, step, WORD, w, panel, sums);
    }
    if (p->run % WORD) /* there is one run */
        add_word(bytes, panels, rows, a + p->run / WORD * WORD, step, p->run % WORD, w, panel,
                 sums);
    for (int r = 0; r < rows; r++, out += p->stride) {
        for (int i = 0; i + 1 < panels; i++)
            _mm512_storeu_si512(out + (size_t)i * LANES, sums[i][r]);
        _mm512_mask_storeu_epi32(out + (size_t)(panels - 1) * LANES, strip->mask,
                                 sums[panels - 1][r]);
    }
}

/* From `row` on, `rows` at a time; where they end. */
static inline __attribute__((always_inline)) int tiles(const struct lq_product *p, bool bytes,
                                                       int panels, int rows, int row,
                                                       const struct strip *strip)
{
    for (; row + rows <= p->width; row += rows)
        tile(p, bytes, panels, rows, row, strip);
    return row;
}

/* Lines of feature maps are multiples of 8 or of 7 pixels: few rows are left over. Two panels halve
 * the loads; one alone takes more rows, for as many sums are needed to keep the multipliers busy.
 */
static inline __attribute__((always_inline)) void
line_by_panels(const struct lq_product *p, bool bytes, int panels, const struct strip *strip)
{
    int row = 0;

    if (p->width % 7 == 0 && p->width % 8 != 0)
        row = tiles(p, bytes, panels, 7, row, strip);
    if (panels == 1)
        row = tiles(p, bytes, panels, ROWS, row, strip);
    row = tiles(p, bytes, panels, PAIR_ROWS, row, strip);
    row = tiles(p, bytes, panels, 4, row, strip);
    tiles(p, bytes, panels, 1, row, strip);
}

static inline __attribute__((always_inline)) void
lines_by_panels(const struct lq_product *p, bool bytes, int panels, struct strip *strip)
{
    const uint8_t *a = p->a;
    int32_t *sums = strip->sums;

    for (int line = 0; line < p->lines; line++, a += p->line) {
        strip->a = a;
        strip->sums = sums + (size_t)line * (size_t)p->width * p->stride;
        line_by_panels(p, bytes, panels, strip);
    }
}

/* Panels' weights stay in cache while all rows pass by. */
static inline __attribute__((always_inline)) void multiply(const struct lq_product *p, bool bytes)
{
    size_t panel = lq_product_panel_bytes(p, LANES);

    for (int col = 0, panels; col < p->n; col += panels * LANES) {
        int left = p->n - col;
        struct strip strip = {.w = p->w + (size_t)(col / LANES) * panel,
                              .panel = panel,
                              .mask = 0xffff,
                              .sums = p->sums + col};

        panels = left > LANES ? 2 : 1;
        if (left < panels * LANES)
            strip.mask = (__mmask16)((1u << left % LANES) - 1);
        if (panels == 2)
            lines_by_panels(p, bytes, 2, &strip);
        else
            lines_by_panels(p, bytes, 1, &strip);
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
