/* gemm_nibbles_avx2.c - products of codes in nibbles by table lookup: 32 columns a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A chunk's weights (12 KB) stay in the first cache while a block of pixels passes; four vectors
 * are four panels of one pixel, two of two or one of four. The lookups: x86/nibbles.h.
 */
#include "kernels/x86/nibbles.h"

#include <string.h>

enum {
    LANES = LQ_NIBBLE_LANES,
    GROUP = LQ_NIBBLE_GROUP,
    SLOTS = LQ_NIBBLE_TILE, /* vectors at once */
    COUNTS = LQ_NIBBLE_COUNTS,
    BLOCK = 28,        /* pixels */
    MOST_ROWS = 256,   /* whose counts of activations are kept */
    MOST_BYTES = 2048, /* of rows whose counts are made together */
    MOST_BITS = 2
};

/* Entry w of table `codes`. */
#define POP(x)          (((x)&1) + ((x) >> 1 & 1) + ((x) >> 2 & 1) + ((x) >> 3 & 1))
#define ENTRY(codes, w) (POP((codes) & (w)) + 16 * POP((codes) >> 4 & (w)))
#define FOUR(codes, w)                                                                             \
    ENTRY(codes, w), ENTRY(codes, (w) + 1), ENTRY(codes, (w) + 2), ENTRY(codes, (w) + 3)
#define TABLE(codes)                                                                               \
    {                                                                                              \
        FOUR(codes, 0), FOUR(codes, 4), FOUR(codes, 8), FOUR(codes, 12)                            \
    }
#define TABLES_4(codes) TABLE(codes), TABLE((codes) + 1), TABLE((codes) + 2), TABLE((codes) + 3)
#define TABLES_16(codes)                                                                           \
    TABLES_4(codes), TABLES_4((codes) + 4), TABLES_4((codes) + 8), TABLES_4((codes) + 12)
#define TABLES_64(codes)                                                                           \
    TABLES_16(codes), TABLES_16((codes) + 16), TABLES_16((codes) + 32), TABLES_16((codes) + 48)
const _Alignas(64) uint8_t lq_nibble_tables_avx2[256][LQ_NIBBLE_PAIR] = {
    TABLES_64(0), TABLES_64(64), TABLES_64(128), TABLES_64(192)};

/* A piece of a chunk that lies together: groups, and single nibbles behind them. */
struct segment {
    size_t offset; /* from the start of a row */
    int groups, singles;
};

struct chunk {
    int segments;
    uint32_t full; /* of the tile's vectors together */
    struct segment segment[LQ_MAX_CHUNK];
};

static void cut_chunk(const struct lq_rows *rows, int from, int to, struct chunk *ret)
{
    ret->segments = 0;
    while (from < to) {
        int at = from % rows->run, left = rows->run - at;
        int count = left < to - from ? left : to - from;

        ret->segment[ret->segments++] = (struct segment){
            (size_t)(from / rows->run) * rows->gap + (size_t)at, count / GROUP, count % GROUP};
        from += count;
    }
}

static inline __attribute__((always_inline)) __m256i table_of(uint8_t codes)
{
    return lq_nibble_table((size_t)codes * LQ_NIBBLE_PAIR);
}

#define LOOK(table, w) _mm256_shuffle_epi8(table, _mm256_load_si256((const void *)(w)))

/* `count` nibbles of each slot, at most a group, which may be full. */
static inline __attribute__((always_inline)) void look(const int vectors, const int count,
                                                       bool full, const uint8_t *const *a,
                                                       size_t at, const uint8_t *w,
                                                       struct lq_nibble_sums *s)
{
    __m256i x0, x1, x2, x3;

    for (int j = 0; j < count; j++, w += (size_t)vectors * LANES) {
        __m256i p0 = table_of(a[0][at + j]), p1 = p0, p2 = p0, p3 = p0;

        if (vectors == 2) {
            p2 = p3 = table_of(a[1][at + j]);
        } else if (vectors == 1) {
            p1 = table_of(a[1][at + j]);
            p2 = table_of(a[2][at + j]);
            p3 = table_of(a[3][at + j]);
        }
        if (j == GROUP - 1 && __builtin_expect(full, false)) {
            lq_nibble_add(s, x0, x1, x2, x3);
            x0 = x1 = x2 = x3 = _mm256_setzero_si256();
        }
        lq_nibble_begin(j == 0, &x0, LOOK(p0, w));
        lq_nibble_begin(j == 0, &x1, LOOK(p1, w + (size_t)(1 % vectors) * LANES));
        lq_nibble_begin(j == 0, &x2, LOOK(p2, w + (size_t)(2 % vectors) * LANES));
        lq_nibble_begin(j == 0, &x3, LOOK(p3, w + (size_t)(3 % vectors) * LANES));
    }
    lq_nibble_add(s, x0, x1, x2, x3);
}

/* A chunk of SLOTS / vectors pixels. */
static inline __attribute__((always_inline)) void
pixels_by_chunk(const int vectors, const struct chunk *chunk, const uint8_t *const *a,
                const uint8_t *w, bool first, __m256i *counts)
{
    const size_t step = (size_t)vectors * LANES;
    uint32_t full = chunk->full;
    __m256i zero = _mm256_setzero_si256();
    struct lq_nibble_sums s = {zero, zero, zero, zero, zero, zero, zero, zero};

    for (int i = 0; i < chunk->segments; i++) {
        const struct segment *segment = &chunk->segment[i];
        size_t at = segment->offset;

        for (int group = 0; group < segment->groups; group++, at += GROUP, full >>= 1) {
            look(vectors, GROUP, full & 1, a, at, w, &s);
            w += GROUP * step;
        }
        for (int single = 0; single < segment->singles; single++, at++, w += step)
            look(vectors, 1, false, a, at, w, &s);
    }
    lq_nibble_flush_all(&s, first, counts);
}

/* What a panel's counts are weighed with: products of both bases in pairs of 16 bits, of each
 * weight plane (twice) and, last, of all together, for the counts of activations alone (negative).
 * Four vectors, as unpacking the counts leaves them: columns 16 i + 2 l, 16 i + 2 l + 1,
 * 16 i + 2 l + 8 and 16 i + 2 l + 9 in lane 4 i + l. */
struct factors {
    __m256i pairs[MOST_BITS + 1][4];
};

/* A block of pixels and a tile of weights. */
struct block {
    const struct lq_nibbles *p;
    int vectors, first;            /* of the tile */
    struct factors factors[SLOTS]; /* of its panels */
    int pixels;
    const uint8_t *a[BLOCK + SLOTS]; /* rows; the last one again and again behind them */
    int32_t pops[BLOCK];             /* of each row's planes, 16 bits each */
    int32_t *sums[BLOCK];            /* of each row, column 0 */
    __m256i counts[(BLOCK + SLOTS) * SLOTS * COUNTS]; /* [pixels][vectors][COUNTS] */
};

static inline __attribute__((always_inline)) void block_by_chunk(const size_t vectors,
                                                                 struct block *b,
                                                                 const struct chunk *chunk,
                                                                 const uint8_t *w, bool first)
{
    for (size_t i = 0; i < (size_t)b->pixels; i += SLOTS / vectors)
        pixels_by_chunk((int)vectors, chunk, b->a + i, w, first, b->counts + i * vectors * COUNTS);
}

static __attribute__((noinline)) void block_by_4(struct block *b, const struct chunk *chunk,
                                                 const uint8_t *w, bool first)
{
    block_by_chunk(4, b, chunk, w, first);
}

static __attribute__((noinline)) void block_by_2(struct block *b, const struct chunk *chunk,
                                                 const uint8_t *w, bool first)
{
    block_by_chunk(2, b, chunk, w, first);
}

static __attribute__((noinline)) void block_by_1(struct block *b, const struct chunk *chunk,
                                                 const uint8_t *w, bool first)
{
    block_by_chunk(1, b, chunk, w, first);
}

static inline void store(int32_t *sums, int left, __m256i eight)
{
    if (left >= 8)
        _mm256_storeu_si256((void *)sums, eight);
    else
        _mm256_maskstore_epi32(
            sums,
            _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            eight);
}

/* Sums as struct factors orders them, `left` columns of which are there. */
static inline __attribute__((always_inline)) void store_panel(const __m256i *v, int left,
                                                              int32_t *sums)
{
    __m256i t0 = _mm256_unpacklo_epi32(v[0], v[1]), t1 = _mm256_unpackhi_epi32(v[0], v[1]);
    __m256i t2 = _mm256_unpacklo_epi32(v[2], v[3]), t3 = _mm256_unpackhi_epi32(v[2], v[3]);

    store(sums, left, _mm256_permute2x128_si256(t0, t1, 0x20));
    if (left > 8)
        store(sums + 8, left - 8, _mm256_permute2x128_si256(t2, t3, 0x20));
    if (left > 16)
        store(sums + 16, left - 16, _mm256_permute2x128_si256(t0, t1, 0x31));
    if (left > 24)
        store(sums + 24, left - 24, _mm256_permute2x128_si256(t2, t3, 0x31));
}

static void panel_factors(const struct lq_nibbles *p, int panel, struct factors *ret)
{
    const int32_t *basis = p->w_basis + (size_t)(panel * p->w_bits) * LANES;
    int16_t pairs[MOST_BITS + 1][4][LANES / 4][2];

    for (int column = 0; column < LANES; column++) {
        int r = column % 16 / 8 * 2 + column % 2, lane = column / 16 * 4 + column % 8 / 2, all = 0;

        for (int i = 0; i < p->w_bits; i++) {
            int n = basis[i * LANES + column];

            all += n;
            pairs[i][r][lane][0] = (int16_t)(2 * n * p->a_basis[0]);
            pairs[i][r][lane][1] = (int16_t)(2 * n * p->a_basis[1]);
        }
        pairs[p->w_bits][r][lane][0] = (int16_t)(-all * p->a_basis[0]);
        pairs[p->w_bits][r][lane][1] = (int16_t)(-all * p->a_basis[1]);
    }
    memcpy(ret, pairs, sizeof(*ret));
}

/* Counts to sums of one panel, for all pixels of the block. */
static inline __attribute__((always_inline)) void weigh(const int bits, const struct block *b,
                                                        int vector)
{
    const struct lq_nibbles *p = b->p;
    int panel = (b->first + vector) / bits, left = p->n - panel * LANES;
    const struct factors *f = &b->factors[vector / bits];

    for (int i = 0; i < b->pixels; i++) {
        const __m256i *counts =
            b->counts + ((size_t)i * (size_t)b->vectors + (size_t)vector) * COUNTS;
        __m256i pops = _mm256_set1_epi32(b->pops[i]), sums[4];

        for (int r = 0; r < 4; r++)
            sums[r] = _mm256_madd_epi16(pops, f->pairs[bits][r]);
        for (int bit = 0; bit < bits; bit++, counts += COUNTS) {
            __m256i low0 = _mm256_unpacklo_epi16(counts[0], counts[1]);
            __m256i low1 = _mm256_unpacklo_epi16(counts[2], counts[3]);
            __m256i high0 = _mm256_unpackhi_epi16(counts[0], counts[1]);
            __m256i high1 = _mm256_unpackhi_epi16(counts[2], counts[3]);

            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(low0, f->pairs[bit][0]));
            sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(low1, f->pairs[bit][1]));
            sums[2] = _mm256_add_epi32(sums[2], _mm256_madd_epi16(high0, f->pairs[bit][2]));
            sums[3] = _mm256_add_epi32(sums[3], _mm256_madd_epi16(high1, f->pairs[bit][3]));
        }
        store_panel(sums, left, b->sums[i] + (size_t)panel * LANES);
    }
}

static void block_run(struct block *b)
{
    const struct lq_nibbles *p = b->p;
    int length = p->rows.runs * p->rows.run, size = p->chunk;
    int total = lq_panels(p->n, LANES) * p->w_bits;

    for (int from = 0; from < length; from += size) {
        const uint8_t *w = p->w + lq_nibble_at(total, b->first, LANES, length, from);
        struct chunk chunk;

        cut_chunk(&p->rows, from, from + size < length ? from + size : length, &chunk);
        chunk.full = lq_nibble_full(p, b->first, b->vectors, from / size);
        if (b->vectors == 4)
            block_by_4(b, &chunk, w, from == 0);
        else if (b->vectors == 2)
            block_by_2(b, &chunk, w, from == 0);
        else
            block_by_1(b, &chunk, w, from == 0);
    }
    for (int vector = 0; vector < b->vectors; vector += p->w_bits)
        if (p->w_bits == 1)
            weigh(1, b, vector);
        else
            weigh(2, b, vector);
}

/* Of each 4 bytes: set bits of plane 0, and of plane 1 in the upper half. */
static inline __m256i word_pops(__m256i bytes)
{
    const __m256i ones = _mm256_set1_epi8(1), low = _mm256_set1_epi16(1);
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i plane0 = lq_nibble_pops(_mm256_and_si256(bytes, nibble));
    __m256i plane1 = lq_nibble_pops(_mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));

    plane0 = _mm256_madd_epi16(_mm256_maddubs_epi16(plane0, ones), low);
    plane1 = _mm256_madd_epi16(_mm256_maddubs_epi16(plane1, ones), low);
    return _mm256_or_si256(plane0, _mm256_slli_epi32(plane1, 16));
}

/* The first `bytes` of a vector, then zeros. */
static inline __m256i load_some(const uint8_t *a, size_t bytes)
{
    __m256i some = _mm256_setzero_si256();

    if (bytes >= LANES)
        return _mm256_loadu_si256((const void *)a);
    memcpy(&some, a, bytes);
    return some;
}

/* before[i]: set bits of the first i words at a, of all runs together. */
static void count_words(const struct lq_rows *rows, const uint8_t *a, size_t words,
                        uint32_t *before)
{
    uint32_t pops[8], sum = 0;

    for (size_t i = 0; i < words; i += 8, a += LANES) {
        size_t some = words - i < 8 ? words - i : 8;
        __m256i all = _mm256_setzero_si256();

        for (size_t run = 0; run < (size_t)rows->runs; run++)
            all = _mm256_add_epi32(all, word_pops(load_some(a + run * rows->gap, 4 * some)));
        _mm256_storeu_si256((void *)pops, all);
        for (size_t j = 0; j < some; j++) {
            before[i + j] = sum;
            sum += pops[j];
        }
    }
    before[words] = sum;
}

/* Set bits of both planes in a row, like word_pops. */
static uint32_t pops_of(const struct lq_rows *rows, const uint8_t *a)
{
    size_t bytes = (size_t)rows->run;
    __m256i all = _mm256_setzero_si256();
    uint32_t pops[8], sum = 0;

    for (int run = 0; run < rows->runs; run++, a += rows->gap)
        for (size_t i = 0; i < bytes; i += LANES)
            all = _mm256_add_epi32(all, word_pops(load_some(a + i, bytes - i)));
    _mm256_storeu_si256((void *)pops, all);
    for (int i = 0; i < 8; i++)
        sum += pops[i];
    return sum;
}

/* Of `count` rows of a line: those that overlap share the counts of their common words. */
static void line_pops(const struct lq_rows *rows, const uint8_t *a, size_t count, uint32_t *pops)
{
    size_t step = rows->step, run = (size_t)rows->run, some = 0;
    uint32_t before[MOST_BYTES / 4 + 1];

    if (step > 0 && step % 4 == 0 && run % 4 == 0 && run <= MOST_BYTES)
        some = (MOST_BYTES - run) / step + 1;
    for (; count > 0 && some > 0; count -= some, a += some * step, pops += some) {
        some = some < count ? some : count;
        count_words(rows, a, ((some - 1) * step + run) / 4, before);
        for (size_t i = 0; i < some; i++)
            pops[i] = before[(i * step + run) / 4] - before[i * step / 4];
    }
    for (size_t i = 0; i < count; i++)
        pops[i] = pops_of(rows, a + i * step);
}

/* Rows first .. first + count - 1. */
static void row_pops(const struct lq_nibbles *p, int first, int count, uint32_t *pops)
{
    int some;

    for (; count > 0; first += some, count -= some, pops += some) {
        int left = p->rows.width - first % p->rows.width;

        some = left < count ? left : count;
        line_pops(&p->rows, p->a + lq_row_offset(&p->rows, first), (size_t)some, pops);
    }
}

static void load_block(struct block *b, int row, int count, const uint32_t *pops)
{
    const struct lq_nibbles *p = b->p;

    b->pixels = count;
    lq_rows_at(&p->rows, p->a, row, count, b->a);
    for (int i = 0; i < count; i++) {
        b->sums[i] = p->sums + (size_t)(row + i) * p->stride;
        b->pops[i] = (int32_t)pops[i];
    }
    for (int i = count; i < count + SLOTS - 1; i++)
        b->a[i] = b->a[count - 1];
}

void lq_gemm_nibbles_avx2(const struct lq_nibbles *p)
{
    int rows = p->rows.lines * p->rows.width, total = lq_panels(p->n, LANES) * p->w_bits;
    uint32_t pops[MOST_ROWS];
    struct block b;

    if (p->pairs && lq_nibbles_by_pixels_avx2(p))
        return;
    b.p = p;

    for (int from = 0; from < rows; from += MOST_ROWS) {
        int count = rows - from < MOST_ROWS ? rows - from : MOST_ROWS;
        int blocks = (count + BLOCK - 1) / BLOCK, size = (count + blocks - 1) / blocks;

        size = (size + SLOTS - 1) / SLOTS * SLOTS;
        row_pops(p, from, count, pops);
        for (b.first = 0; b.first < total; b.first += b.vectors) {
            b.vectors = lq_nibble_tile(total, b.first);
            for (int vector = 0; vector < b.vectors; vector += p->w_bits)
                panel_factors(p, (b.first + vector) / p->w_bits, &b.factors[vector / p->w_bits]);
            for (int row = 0; row < count; row += size) {
                load_block(&b, from + row, count - row < size ? count - row : size, pops + row);
                block_run(&b);
            }
        }
    }
}
