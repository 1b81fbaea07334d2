/* gemm_halves_avx512.c - matrix product of codes in half words: 16 columns a vector, both
 * activation planes at once: XOR, VPOPCNTW, add.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word of a row is broadcast into the XOR, for 2 pop(w & a) - pop(a) = pop(w) - pop(w ^ a), and
 * what the weights' set bits add up to is known beforehand. VPDPWSSD weighs the counts: those of
 * plane 0 are in the lower halves of their lanes, of plane 1 in the upper ones. It has half the
 * throughput of an addition, so the counts of two or three words are added first. Sums of 8 rows
 * and two panels fit the registers, and short products spend little on their start and end. Weights
 * of large layers come from memory, too late if they are asked for when they are needed: the next
 * panels' are fetched while rows meet the ones before.
 */
#include "kernels/kernels.h"
#include "kernels/x86/vnni.h"

enum {
    LANES = 16,
    ALL = 0xffff,
    PANELS = 2, /* of a tile */
    ROWS = 8,
    WORDS = 3,  /* of a run at once */
    BLOCK = 256 /* rows that meet panels before the next ones do */
};

/* Rows first .. first + width - 1 of `lines` lines. */
struct block {
    int line, lines, first, width;
};

/* Panels that a tile meets. */
struct panels {
    __m512i products[PANELS][LQ_HALVES_BITS]; /* of both bases, negative */
    __m512i start[PANELS];
    const uint32_t *w;
    const uint32_t *ahead, *end; /* the next panels' weights, yet to be fetched */
    int32_t *sums;               /* of row 0 */
    __mmask16 mask;              /* columns of the last one that are there */
};

/* How a tile is made: constants where tile() is used. */
struct shape {
    int rows, panels, bits, words;
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

/* Bits in which a row's words differ from those of a plane: `words` of them, added. */
static inline __attribute__((always_inline)) __m512i count(const uint32_t *w, int bits,
                                                           const __m512i *row, int words)
{
    __m512i counts = _mm512_popcnt_epi16(_mm512_xor_si512(_mm512_loadu_si512(w), row[0]));

    for (int k = 1; k < words; k++) {
        __m512i next = _mm512_loadu_si512(w + (size_t)(k * bits) * LANES);

        counts = _mm512_add_epi16(counts, _mm512_popcnt_epi16(_mm512_xor_si512(next, row[k])));
    }
    return counts;
}

/* Rows from `a` on meet panels. Runs follow each other in one loop, without a branch: leaving a
 * loop of a few words costs as much as they do. */
static inline __attribute__((always_inline)) void
tile(const struct lq_halves *h, struct shape s, const uint32_t *a, struct panels *p, int32_t *out)
{
    __m512i sums[ROWS][PANELS];
    const ptrdiff_t run = h->rows.run, jump = (ptrdiff_t)h->rows.gap - run;
    size_t step = h->rows.step, panel = (size_t)(h->rows.runs * h->rows.run * s.bits) * LANES;
    const uint32_t *w = p->w, *end = w + panel, *ahead = p->ahead;
    ptrdiff_t left = run;

    for (int r = 0; r < s.rows; r++)
        for (int i = 0; i < s.panels; i++)
            sums[r][i] = p->start[i];
    for (; w < end; w += (size_t)(s.words * s.bits) * LANES) {
        if (s.panels == PANELS) { /* a single one is the last */
            _mm_prefetch((const void *)ahead, _MM_HINT_T1);
            _mm_prefetch((const void *)(ahead + LANES), _MM_HINT_T1);
            ahead += ahead < p->end ? 2 * LANES : 0;
        }
        for (int r = 0; r < s.rows; r++) {
            __m512i row[WORDS];

            for (int k = 0; k < s.words; k++)
                row[k] = _mm512_set1_epi32((int32_t)a[(size_t)r * step + (size_t)k]);
            for (int v = 0; v < s.bits; v++)
                for (int i = 0; i < s.panels; i++) {
                    const uint32_t *plane = w + (size_t)i * panel + (size_t)v * LANES;

                    sums[r][i] = lq_add_words(sums[r][i], count(plane, s.bits, row, s.words),
                                              p->products[i][v]);
                }
        }
        left -= s.words;
        ptrdiff_t ends = -(ptrdiff_t)(left == 0); /* all bits */
        a += s.words + (jump & ends);
        left += run & ends;
    }
    p->ahead = ahead;
    for (int r = 0; r < s.rows; r++, out += h->stride) {
        int32_t *last = out + (size_t)(s.panels - 1) * LANES;

        if (s.panels == PANELS)
            _mm512_storeu_si512(out, sums[r][0]);
        if (p->mask == ALL)
            _mm512_storeu_si512(last, sums[r][s.panels - 1]);
        else
            _mm512_mask_storeu_epi32(last, p->mask, sums[r][s.panels - 1]);
    }
}

/* From row `from` of a line of the block on, s.rows at a time; where they end. */
static inline __attribute__((always_inline)) int tiles(const struct lq_halves *h, struct shape s,
                                                       const struct block *block, int line,
                                                       int from, struct panels *p)
{
    size_t at = (size_t)block->line + (size_t)line, first = (size_t)block->first + (size_t)from;
    const uint32_t *a = h->a + at * h->rows.line + first * h->rows.step;
    int32_t *out = p->sums + (at * (size_t)h->rows.width + first) * h->stride;

    for (; from + s.rows <= block->width; from += s.rows) {
        tile(h, s, a, p, out);
        a += (size_t)s.rows * h->rows.step;
        out += (size_t)s.rows * h->stride;
    }
    return from;
}

/* Lines of feature maps are multiples of 8 or of 7 pixels: few rows are left over. */
static inline __attribute__((always_inline)) void block_by_panels(const struct lq_halves *h,
                                                                  int panels, int bits, int words,
                                                                  const struct block *block,
                                                                  struct panels *p)
{
    for (int line = 0; line < block->lines; line++) {
        int row = 0;

        if (block->width % 7 == 0 && block->width % 8 != 0)
            row = tiles(h, (struct shape){7, panels, bits, words}, block, line, row, p);
        row = tiles(h, (struct shape){ROWS, panels, bits, words}, block, line, row, p);
        row = tiles(h, (struct shape){4, panels, bits, words}, block, line, row, p);
        tiles(h, (struct shape){1, panels, bits, words}, block, line, row, p);
    }
}

/* Three words of two planes would not fit the registers, and with sums of one panel nothing is
 * gained by them. The windows of most networks are three pixels wide, their channels powers of two.
 */
static inline __attribute__((always_inline)) void block_by_bits(const struct lq_halves *h,
                                                                int panels, int bits,
                                                                const struct block *block,
                                                                struct panels *p)
{
    if (panels == PANELS && bits == 1 && h->rows.run % WORDS == 0)
        block_by_panels(h, panels, bits, WORDS, block, p);
    else if (h->rows.run % 2 == 0)
        block_by_panels(h, panels, bits, 2, block, p);
    else
        block_by_panels(h, panels, bits, 1, block, p);
}

/* From column `col` on. */
static void set_panels(const struct lq_halves *h, int col, int panels, struct panels *p)
{
    const __m512i none = _mm512_setzero_si512(), low = _mm512_set1_epi32(0xffff);
    size_t words = (size_t)h->rows.runs * (size_t)h->rows.run * (size_t)h->w_bits;
    int next = h->n - col - panels * LANES; /* columns */

    next = next < 0 ? 0 : next < PANELS * LANES ? next : PANELS * LANES;
    p->w = h->w + (size_t)col * words;
    p->ahead = p->w + (size_t)(panels * LANES) * words;
    p->end = p->ahead + (size_t)next * words;
    p->sums = h->sums + col;
    p->mask = lanes_left(h->n - col - (panels - 1) * LANES);
    for (int i = 0; i < panels; i++) {
        const int32_t *w_basis = h->w_basis + (size_t)(col + i * LANES) * (size_t)h->w_bits;

        p->start[i] = _mm512_loadu_si512(h->start + col + (size_t)i * LANES);
        for (int v = 0; v < h->w_bits; v++) {
            __m512i w = _mm512_loadu_si512(w_basis + (size_t)v * LANES);
            __m512i halves = _mm512_or_si512(_mm512_slli_epi32(w, 16), _mm512_and_si512(w, low));

            p->products[i][v] = _mm512_sub_epi16(none, _mm512_mullo_epi16(a_basis(h), halves));
        }
    }
}

static void multiply_block(const struct lq_halves *h, const struct block *block)
{
    for (int col = 0, panels; col < h->n; col += panels * LANES) {
        struct panels p;

        panels = h->n - col > LANES ? PANELS : 1;
        set_panels(h, col, panels, &p);
        if (panels == PANELS && h->w_bits == 2)
            block_by_bits(h, 2, 2, block, &p);
        else if (panels == PANELS)
            block_by_bits(h, 2, 1, block, &p);
        else if (h->w_bits == 2)
            block_by_bits(h, 1, 2, block, &p);
        else
            block_by_bits(h, 1, 1, block, &p);
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
