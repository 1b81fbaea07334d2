/* gemm_halves_avx512.c - matrix product of codes in half words: 16 columns a vector, both
 * activation planes at once: AND, VPOPCNTW, add.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word of a row is broadcast into the AND. The counts of 8 rows and two vectors of weights stay
 * in registers, those of plane 0 in the lower halves of their lanes, of plane 1 in the upper ones,
 * so that VPMADDWD or VPDPWSSD weighs them at the end. What the set bits of rows add up to is found
 * line by line: windows overlap, and each word is counted once for each run, not once for each row.
 */
#include "kernels/kernels.h"

#include <immintrin.h>

enum {
    LANES = 16,
    ALL = 0xffff,
    VECTORS = 2, /* of weights in a tile: planes of a panel, or panels of one plane */
    ROWS = 8,
    BLOCK = 256, /* rows that meet a panel before the next one does */
    SPAN = 4096  /* words of a line whose sums are kept */
};

/* Rows first .. first + width - 1 of `lines` lines. */
struct block {
    int line, lines, first, width;
    int32_t set[BLOCK]; /* what the set bits of each row add up to */
};

/* Panels that a tile meets. */
struct panels {
    __m512i products[VECTORS]; /* of two planes: twice the products of both bases, */
    __m512i minus;             /* and the weights' basis added up, negative */
    const uint32_t *w;
    const int32_t *w_basis;
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

/* As assembly, because gcc 12 copies the sums to and fro around the intrinsic. */
static inline __attribute__((always_inline)) __m512i add_products(__m512i sum, __m512i a, __m512i b)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    return _mm512_dpwssd_epi32(sum, a, b);
#endif
}

/* What the set bits of word i of a line's runs add up to; behind `span` words are zeros. */
static void weigh_words(const struct lq_halves *h, const uint32_t *a, int span, int32_t *ret)
{
    __m512i basis = a_basis(h);
    int i = 0;

    do {
        __mmask16 mask = lanes_left(span - i);
        __m512i total = _mm512_setzero_si512();

        for (int r = 0; r < h->rows.runs; r++) {
            __m512i words = _mm512_maskz_loadu_epi32(mask, a + (size_t)r * h->rows.gap + i);

            total = _mm512_add_epi32(total, _mm512_madd_epi16(_mm512_popcnt_epi16(words), basis));
        }
        _mm512_storeu_si512(ret + i, total);
        i += LANES;
    } while (i < span);
}

/* Sums of neighbours, half as many: of 16, all that `sums` has room for may change behind them. */
static void add_pairs(int32_t *sums, size_t count)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));

    for (size_t i = 0; i < count; i += LANES) {
        __m512i low = _mm512_loadu_si512(sums + 2 * i);
        __m512i high = _mm512_loadu_si512(sums + 2 * i + LANES);

        _mm512_storeu_si512(sums + i, _mm512_add_epi32(_mm512_permutex2var_epi32(low, even, high),
                                                       _mm512_permutex2var_epi32(low, odd, high)));
    }
}

/* What the set bits add up to, word by word of a line, then pixel by pixel, pairs of words having
 * been added up as long as there are pairs. */
struct line {
    int step, run; /* of rows, in what remains */
    int32_t sums[SPAN + 4 * LANES];
};

static void weigh_line(const struct lq_halves *h, const uint32_t *a, int width, struct line *ret)
{
    int span = (width - 1) * (int)h->rows.step + h->rows.run;

    ret->step = (int)h->rows.step;
    ret->run = h->rows.run;
    weigh_words(h, a, span, ret->sums);
    for (; ret->step % 2 == 0 && ret->run % 2 == 0; ret->step /= 2, ret->run /= 2, span /= 2)
        add_pairs(ret->sums, (size_t)span / 2);
}

/* The rows of a line: windows of pixels, or of words where they do not come in pairs. */
static void add_up_windows(const struct line *line, int width, int32_t *ret)
{
    if (line->step != 1) {
        for (int row = 0; row < width; row++) {
            ret[row] = 0;
            for (int k = 0; k < line->run; k++)
                ret[row] += line->sums[row * line->step + k];
        }
        return;
    }
    for (int row = 0; row < width; row += LANES) {
        __m512i total = _mm512_loadu_si512(line->sums + row);

        for (int k = 1; k < line->run; k++)
            total = _mm512_add_epi32(total, _mm512_loadu_si512(line->sums + row + k));
        _mm512_mask_storeu_epi32(ret + row, lanes_left(width - row), total);
    }
}

/* A line's windows are added up behind the next line's words: vectors that were just stored do not
 * come back quickly at other addresses. */
static void add_up_set_bits(const struct lq_halves *h, struct block *block)
{
    struct line lines[2];

    for (int i = 0; i <= block->lines; i++) {
        size_t at =
            ((size_t)block->line + (size_t)i) * h->rows.line + (size_t)block->first * h->rows.step;

        if (i < block->lines)
            weigh_line(h, h->a + at, block->width, &lines[i % 2]);
        if (i > 0)
            add_up_windows(&lines[(i - 1) % 2], block->width,
                           block->set + (ptrdiff_t)(i - 1) * block->width);
    }
}

/* Rows from `a` on meet `panels` panels of `bits` planes. */
static inline __attribute__((always_inline)) void tile(const struct lq_halves *h, int rows,
                                                       int panels, int bits, const uint32_t *a,
                                                       const struct panels *p, const int32_t *set,
                                                       int32_t *out)
{
    __m512i counts[ROWS][VECTORS], twice = _mm512_slli_epi16(a_basis(h), 1);
    const uint32_t *w = p->w;
    size_t step = h->rows.step, vectors = (size_t)panels * (size_t)bits;
    size_t panel = (size_t)h->rows.runs * (size_t)h->rows.run * LANES; /* of one plane */

    for (int r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++)
            counts[r][v] = _mm512_setzero_si512();
    for (int run = 0; run < h->rows.runs; run++) {
        const uint32_t *at = a + (size_t)run * h->rows.gap, *end = at + h->rows.run;

        for (; at < end; at++, w += (size_t)bits * LANES) {
            __m512i weights[VECTORS];

            for (size_t v = 0; v < vectors; v++)
                weights[v] = _mm512_loadu_si512(w + v * (panels > 1 ? panel : LANES));
            for (int r = 0; r < rows; r++) {
                __m512i row = _mm512_set1_epi32((int32_t)at[(size_t)r * step]);

                for (size_t v = 0; v < vectors; v++)
                    counts[r][v] = _mm512_add_epi16(
                        counts[r][v], _mm512_popcnt_epi16(_mm512_and_si512(weights[v], row)));
            }
        }
    }
    for (int r = 0; r < rows; r++, out += h->stride) {
        __m512i all = _mm512_set1_epi32(set[r]), totals[VECTORS];
        int32_t *last = out + (size_t)(panels - 1) * LANES;

        for (size_t v = 0; v < vectors && bits == 1; v++)
            totals[v] =
                _mm512_mullo_epi32(_mm512_loadu_si512(p->w_basis + v * LANES),
                                   _mm512_sub_epi32(_mm512_madd_epi16(counts[r][v], twice), all));
        if (bits == 2) { /* which takes longer for one plane (measured) */
            totals[0] = _mm512_mullo_epi32(all, p->minus);
            for (int v = 0; v < 2; v++)
                totals[0] = add_products(totals[0], counts[r][v], p->products[v]);
        }
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
    const int32_t *set = block->set + (ptrdiff_t)line * block->width;
    int32_t *out = p->sums + (at * (size_t)h->rows.width + first) * h->stride;

    for (; from + rows <= block->width; from += rows) {
        tile(h, rows, panels, bits, a, p, set + from, out);
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

/* What a panel of two planes is weighed with. */
static void weigh_planes(const struct lq_halves *h, struct panels *p)
{
    __m512i twice = _mm512_slli_epi16(a_basis(h), 1);

    p->minus = _mm512_setzero_si512();
    for (int v = 0; v < 2; v++) {
        __m512i w = _mm512_loadu_si512(p->w_basis + (size_t)v * LANES);
        __m512i halves = _mm512_or_si512(_mm512_slli_epi32(w, 16),
                                         _mm512_and_si512(w, _mm512_set1_epi32(0xffff)));

        p->products[v] = _mm512_mullo_epi16(twice, halves);
        p->minus = _mm512_sub_epi32(p->minus, w);
    }
}

static void multiply_block(const struct lq_halves *h, const struct block *block)
{
    size_t words = (size_t)h->rows.runs * (size_t)h->rows.run * (size_t)h->w_bits;

    for (int col = 0, panels; col < h->n; col += panels * LANES) {
        int left = h->n - col;
        struct panels p = {.w = h->w + (size_t)col * words,
                           .w_basis = h->w_basis + (size_t)col * (size_t)h->w_bits,
                           .sums = h->sums + col};

        panels = h->w_bits == 1 && left > LANES ? 2 : 1;
        if (h->w_bits == 2)
            weigh_planes(h, &p);
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

    while (widest > 1 && (size_t)(widest - 1) * h->rows.step + (size_t)h->rows.run > SPAN)
        widest = (widest + 1) / 2;
    lines = widest < h->rows.width ? 1 : BLOCK / widest;
    for (block.line = 0; block.line < h->rows.lines; block.line += lines) {
        int left = h->rows.lines - block.line;

        block.lines = left < lines ? left : lines;
        for (block.first = 0; block.first < h->rows.width; block.first += widest) {
            left = h->rows.width - block.first;
            block.width = left < widest ? left : widest;
            add_up_set_bits(h, &block);
            multiply_block(h, &block);
        }
    }
}
