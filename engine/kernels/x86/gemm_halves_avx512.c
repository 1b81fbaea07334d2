/* gemm_halves_avx512.c - matrix product of codes in half words: 16 columns a vector, both
 * activation planes at once: XOR, VPOPCNTW, add.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word of a row is broadcast into the XOR, for 2 pop(w & a) - pop(a) = pop(w) - pop(w ^ a), and
 * what the weights' set bits add up to is known beforehand. The counts of 8 rows and two vectors of
 * weights stay in registers, those of plane 0 in the lower halves of their lanes, of plane 1 in the
 * upper ones, so that VPDPWSSD weighs them at the end.
 */
#include "kernels/kernels.h"
#include "kernels/x86/vnni.h"

enum {
    LANES = 16,
    ALL = 0xffff,
    VECTORS = 2, /* of weights in a tile: planes of a panel, or panels of one plane */
    ROWS = 8,
    BLOCK = 256 /* rows that meet a panel before the next one does */
};

/* Rows first .. first + width - 1 of `lines` lines. */
struct block {
    int line, lines, first, width;
};

/* Panels that a tile meets. */
struct panels {
    __m512i products[VECTORS]; /* of both bases, negative */
    const uint32_t *w;
    const int32_t *start;
    int32_t *sums;  /* of row 0 */
    __mmask16 mask; /* columns of the last one that are there */
};

static __mmask16 lanes_left(int left)
{
    return (__mmask16)(left >= LANES ? ALL : (1u << left) - 1);
}

/* The basis of activations, as halves of words. */
static __m512i a_basis(const struct lq_halves *h)
{
    uint32_t low = (uint32_t)h->a_basis[0], high = (uint32_t)h->a_basis[1];

    return _mm512_set1_epi32((int32_t)(high << 16 | (low & 0xffffu)));
}

/* Rows from `a` on meet `panels` panels of `bits` planes. Runs follow each other in one loop,
 * without a branch: leaving a loop of a few words costs as much as they do. */
static inline __attribute__((always_inline)) void tile(const struct lq_halves *h, int rows,
                                                       int panels, int bits, const uint32_t *a,
                                                       const struct panels *p, int32_t *out)
{
    __m512i counts[ROWS][VECTORS];
    const ptrdiff_t run = h->rows.run, jump = (ptrdiff_t)h->rows.gap - run;
    ptrdiff_t left = run;
    const uint32_t *w = p->w, *end = w + h->rows.runs * run * bits * LANES;
    size_t step = h->rows.step, vectors = (size_t)panels * (size_t)bits;
    size_t panel = (size_t)h->rows.runs * (size_t)h->rows.run * LANES; /* of one plane */

    for (int r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            counts[r][v] = _mm512_setzero_si512();
    for (; w < end; w += (size_t)bits * LANES) {
        __m512i weights[VECTORS];

        for (size_t v = 0; v < vectors; v++)
            weights[v] = _mm512_loadu_si512(w + v * (panels > 1 ? panel : LANES));
        for (int r = 0; r < rows; r++) {
            __m512i row = _mm512_set1_epi32((int32_t)a[(size_t)r * step]);

            for (size_t v = 0; v < vectors; v++)
                counts[r][v] = _mm512_add_epi16(
                    counts[r][v], _mm512_popcnt_epi16(_mm512_xor_si512(weights[v], row)));
        }
        left--;
        ptrdiff_t ends = -(ptrdiff_t)(left == 0); /* all bits */
        a += 1 + (jump & ends);
        left += run & ends;
    }
    for (int r = 0; r < rows; r++, out += h->stride) {
        int32_t *last = out + (size_t)(panels - 1) * LANES;
        __m512i totals[VECTORS];

        for (int i = 0; i < panels; i++)
            totals[i] = _mm512_loadu_si512(p->start + (size_t)i * LANES);
        for (size_t v = 0; v < vectors; v++)
            totals[v % (size_t)panels] =
                lq_add_words(totals[v % (size_t)panels], counts[r][v], p->products[v]);
        if (panels == 2)
            _mm512_storeu_si512(out, totals[0]);
        if (p->mask == ALL)
            _mm512_storeu_si512(last, totals[panels - 1]);
        else
            _mm512_mask_storeu_epi32(last, p->mask, totals[panels - 1]);
    }
}

/* From row `from` of a line of the block on, `rows` at a time; where they end. */
static inline __attribute__((always_inline)) int tiles(const struct lq_halves *h, int rows,
                                                       int panels, int bits,
                                                       const struct block *block, int line,
                                                       int from, const struct panels *p)
{
    size_t at = (size_t)block->line + (size_t)line, first = (size_t)block->first + (size_t)from;
    const uint32_t *a = h->a + at * h->rows.line + first * h->rows.step;
    int32_t *out = p->sums + (at * (size_t)h->rows.width + first) * h->stride;

    for (; from + rows <= block->width; from += rows) {
        tile(h, rows, panels, bits, a, p, out);
        a += (size_t)rows * h->rows.step;
        out += (size_t)rows * h->stride;
    }
    return from;
}

/* Lines of feature maps are multiples of 8 or of 7 pixels: few rows are left over. */
static inline __attribute__((always_inline)) void block_by_panels(const struct lq_halves *h,
                                                                  int panels, int bits,
                                                                  const struct block *block,
                                                                  const struct panels *p)
{
    for (int line = 0; line < block->lines; line++) {
        int row = 0;

        if (block->width % 7 == 0 && block->width % 8 != 0)
            row = tiles(h, 7, panels, bits, block, line, row, p);
        row = tiles(h, ROWS, panels, bits, block, line, row, p);
        row = tiles(h, 4, panels, bits, block, line, row, p);
        tiles(h, 1, panels, bits, block, line, row, p);
    }
}

/* w_basis: of the first vector. */
static void weigh(const struct lq_halves *h, const int32_t *w_basis, int vectors, struct panels *p)
{
    const __m512i none = _mm512_setzero_si512(), low = _mm512_set1_epi32(0xffff);

    for (int v = 0; v < vectors; v++) {
        __m512i w = _mm512_loadu_si512(w_basis + (size_t)v * LANES);
        __m512i halves = _mm512_or_si512(_mm512_slli_epi32(w, 16), _mm512_and_si512(w, low));

        p->products[v] = _mm512_sub_epi16(none, _mm512_mullo_epi16(a_basis(h), halves));
    }
}

static void multiply_block(const struct lq_halves *h, const struct block *block)
{
    size_t words = (size_t)h->rows.runs * (size_t)h->rows.run * (size_t)h->w_bits;

    for (int col = 0, panels; col < h->n; col += panels * LANES) {
        int left = h->n - col;
        struct panels p = {
            .w = h->w + (size_t)col * words, .start = h->start + col, .sums = h->sums + col};

        panels = h->w_bits == 1 && left > LANES ? 2 : 1;
        weigh(h, h->w_basis + (size_t)col * (size_t)h->w_bits, panels * h->w_bits, &p);
        p.mask = lanes_left(left - (panels - 1) * LANES);
        if (panels == 2)
            block_by_panels(h, 2, 1, block, &p);
        else if (h->w_bits == 1)
            block_by_panels(h, 1, 1, block, &p);
        else
            block_by_panels(h, 1, 2, block, &p);
    }
}

void lq_gemm_halves_avx512(const struct lq_halves *h)
{
    int widest = h->rows.width < BLOCK ? h->rows.width : BLOCK, lines;
    struct block block;

    lines = widest < h->rows.width ? 1 : BLOCK / widest;
    for (block.line = 0; block.line < h->rows.lines; block.line += lines) {
        int left = h->rows.lines - block.line;

        block.lines = left < lines ? left : lines;
        for (block.first = 0; block.first < h->rows.width; block.first += widest) {
            left = h->rows.width - block.first;
            block.width = left < widest ? left : widest;
            multiply_block(h, &block);
        }
    }
}
