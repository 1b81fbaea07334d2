/* gemm_bytes_avx2.c - products of levels in bytes: 8 columns a vector, VPMADDUBSW.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * VPMADDUBSW leaves sums of two products in 16 bits, and VPMADDWD would widen each of them: those
 * of a piece are added in 16 bits first. A tile is 2 panels of 4 rows, its sums of
 * 32 bits in memory. What a chunk of the row needs of the weights stays in the first cache while a
 * block of rows passes.
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum {
    LANES = 8,
    WORD = 4,
    ROWS = 4,
    PANELS = 2,
    BLOCK = 32,  /* rows */
    CHUNK = 192, /* words, of which two panels have 12 KB */
    TOTALS = ROWS * PANELS
};

/* Words of a row that lie together. */
struct segment {
    size_t offset; /* from the start of a row */
    int words;
};

struct chunk {
    int segments, first; /* the words before it */
    struct segment segment[CHUNK];
};

/* A block of rows and one or two panels. */
struct block {
    const struct lq_bytes *p;
    int rows, piece;                /* words whose products are added in 16 bits */
    const uint8_t *a[BLOCK + ROWS]; /* the last one again and again behind them */
    int32_t *sums[BLOCK];
};

static inline __m256i broadcast(const uint8_t *a)
{
    int32_t word;

    memcpy(&word, a, WORD);
    return _mm256_set1_epi32(word);
}

/* x += the products of l and w, in 16 bits. The statement keeps gcc from moving sums around. */
#define ADD(x, l, w)                                                                               \
    do {                                                                                           \
        __m256i products = _mm256_maddubs_epi16(l, w);                                             \
                                                                                                   \
        __asm__ volatile("vpaddw %1, %0, %0" : "+x"(x) : "x"(products));                           \
    } while (0)
/* A row's word k by one or two panels. */
#define ADD_ROW(row, x, y)                                                                         \
    do {                                                                                           \
        __m256i l = broadcast((row) + k);                                                          \
                                                                                                   \
        ADD(x, l, w0);                                                                             \
        if (panels == 2)                                                                           \
            ADD(y, l, w1);                                                                         \
    } while (0)
#define WIDEN(total, x)                                                                            \
    ((total) = _mm256_add_epi32(total, _mm256_madd_epi16(x, _mm256_set1_epi16(1))))

/* `words` words, whose products fit 16 bits, of 4 rows, into totals [panels][ROWS]. */
static inline __attribute__((always_inline)) void add_words(const int panels,
                                                            const uint8_t *const *rows, size_t at,
                                                            const uint8_t *w, size_t panel,
                                                            int words, __m256i *totals)
{
    const uint8_t *a0 = rows[0] + at, *a1 = rows[1] + at, *a2 = rows[2] + at, *a3 = rows[3] + at;
    const uint8_t *end = w + (size_t)words * WORD * LANES;
    __m256i zero = _mm256_setzero_si256(), x0 = zero, x1 = zero, x2 = zero, x3 = zero;
    __m256i y0 = zero, y1 = zero, y2 = zero, y3 = zero;

    for (size_t k = 0; w < end; k += WORD, w += (size_t)WORD * LANES) {
        __m256i w0 = _mm256_loadu_si256((const void *)w), w1 = w0;

        if (panels == 2)
            w1 = _mm256_loadu_si256((const void *)(w + panel));
        ADD_ROW(a0, x0, y0);
        ADD_ROW(a1, x1, y1);
        ADD_ROW(a2, x2, y2);
        ADD_ROW(a3, x3, y3);
    }
    __asm__ volatile("" ::: "memory"); /* or totals are loaded ahead of the loop, and spilled */
    WIDEN(totals[0], x0);
    WIDEN(totals[1], x1);
    WIDEN(totals[2], x2);
    WIDEN(totals[3], x3);
    if (panels == 2) {
        WIDEN(totals[4], y0);
        WIDEN(totals[5], y1);
        WIDEN(totals[6], y2);
        WIDEN(totals[7], y3);
    }
}

/* The bytes of a row behind its last whole word, `words` words from its start. */
static void add_rest(const int panels, const uint8_t *const *rows, size_t rest, size_t words,
                     const uint8_t *w, size_t panel, __m256i *totals)
{
    uint8_t word[ROWS][WORD] = {{0}};
    const uint8_t *const copies[ROWS] = {word[0], word[1], word[2], word[3]};

    for (int r = 0; r < ROWS; r++)
        memcpy(word[r], rows[r] + words * WORD, rest);
    if (panels == 2)
        add_words(2, copies, 0, w, panel, 1, totals);
    else
        add_words(1, copies, 0, w, panel, 1, totals);
}

/* Stores a vector of a tile's sums, or adds it to what earlier chunks have stored. */
static inline void store_sum(int32_t *to, __m256i sum, bool first)
{
    if (!first)
        sum = _mm256_add_epi32(sum, _mm256_loadu_si256((const void *)to));
    _mm256_storeu_si256((void *)to, sum);
}

/* The same where only `left` of its columns are there. */
static inline void store_part(int32_t *to, __m256i sum, bool first, int left)
{
    __m256i mask =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));

    if (!first)
        sum = _mm256_add_epi32(sum, _mm256_maskload_epi32(to, mask));
    _mm256_maskstore_epi32(to, mask, sum);
}

static inline void store_tile(const struct block *b, int row, int col, int panels, bool first,
                              const __m256i *totals)
{
    int rows = b->rows - row < ROWS ? b->rows - row : ROWS, left = b->p->n - col;

    for (int r = 0; r < rows; r++) {
        int32_t *to = b->sums[row + r] + col;

        for (int panel = 0; panel < panels; panel++, to += LANES)
            if (left >= (panel + 1) * LANES)
                store_sum(to, totals[panel * ROWS + r], first);
            else
                store_part(to, totals[panel * ROWS + r], first, left - panel * LANES);
    }
}

/* All rows of the block, a chunk of each. rest: bytes behind the chunk's last word. */
static inline __attribute__((always_inline)) void
block_by_chunk(const int panels, const struct block *b, const struct chunk *chunk, int col,
               const uint8_t *w, size_t panel, size_t rest)
{
    for (int row = 0; row < b->rows; row += ROWS) {
        const uint8_t *weights = w + (size_t)chunk->first * WORD * LANES;
        const uint8_t *const *rows = b->a + row;
        size_t words = (size_t)chunk->first;
        __m256i memory[TOTALS], *totals = memory;

        __asm__("" : "+r"(totals)); /* there are no registers left for them */
        for (int i = 0; i < TOTALS; i++)
            totals[i] = _mm256_setzero_si256();
        for (int i = 0; i < chunk->segments; i++) {
            size_t at = chunk->segment[i].offset;

            words += (size_t)chunk->segment[i].words;
            for (int left = chunk->segment[i].words, count; left > 0; left -= count) {
                count = left < b->piece ? left : b->piece;
                add_words(panels, rows, at, weights, panel, count, totals);
                at += (size_t)count * WORD;
                weights += (size_t)count * WORD * LANES;
            }
        }
        if (rest > 0)
            add_rest(panels, rows, rest, words, weights, panel, totals);
        store_tile(b, row, col, panels, chunk->first == 0, totals);
    }
}

static __attribute__((noinline)) void block_by_2(const struct block *b, const struct chunk *chunk,
                                                 int col, const uint8_t *w, size_t panel,
                                                 size_t rest)
{
    block_by_chunk(2, b, chunk, col, w, panel, rest);
}

static __attribute__((noinline)) void block_by_1(const struct block *b, const struct chunk *chunk,
                                                 int col, const uint8_t *w, size_t rest)
{
    block_by_chunk(1, b, chunk, col, w, 0, rest);
}

/* From word `from` on, as many as a chunk takes: whole runs, or whole pieces of one run. */
static int cut_chunk(const struct lq_rows *rows, int piece, int from, int words, struct chunk *ret)
{
    int run = rows->runs > 1 ? rows->run / WORD : words, room = CHUNK;

    ret->first = from;
    ret->segments = 0; /* what lies behind them is left as it is */
    while (from < words) {
        int at = from % run, count = run - at;

        if (count > room)
            count = ret->segments == 0 ? room / piece * piece : 0;
        if (count == 0)
            break;
        ret->segment[ret->segments++] =
            (struct segment){(size_t)(from / run) * rows->gap + (size_t)at * WORD, count};
        from += count;
        room -= count;
    }
    return from;
}

static void load_block(struct block *b, int row, int count)
{
    const struct lq_bytes *p = b->p;

    b->rows = count;
    lq_rows_at(&p->rows, p->a, row, count, b->a);
    for (int i = 0; i < count; i++)
        b->sums[i] = p->sums + (size_t)(row + i) * p->stride;
    for (int i = count; i < count + ROWS - 1; i++)
        b->a[i] = b->a[count - 1];
}

void lq_gemm_bytes_avx2(const struct lq_bytes *p)
{
    size_t length = (size_t)p->rows.runs * (size_t)p->rows.run;
    size_t panel = (length + WORD - 1) / WORD * WORD * LANES;
    int words = (int)(length / WORD), rows = p->rows.lines * p->rows.width;
    int piece = p->piece < 1 ? 1 : p->piece < CHUNK ? p->piece : CHUNK;
    struct block b;
    struct chunk chunk;

    b.p = p;
    b.piece = piece;
    for (int col = 0, panels; col < p->n; col += panels * LANES) {
        const uint8_t *w = (const uint8_t *)p->w + (size_t)(col / LANES) * panel;

        panels = p->n - col > LANES ? PANELS : 1;
        for (int row = 0; row < rows; row += BLOCK) {
            load_block(&b, row, rows - row < BLOCK ? rows - row : BLOCK);
            int to = 0;

            do { /* at least once, for a rest without a word */
                to = cut_chunk(&p->rows, piece, to, words, &chunk);
                if (panels == 2)
                    block_by_2(&b, &chunk, col, w, panel, to == words ? length % WORD : 0);
                else
                    block_by_1(&b, &chunk, col, w, to == words ? length % WORD : 0);
            } while (to < words);
        }
    }
}
