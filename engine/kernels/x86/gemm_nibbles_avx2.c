/* gemm_nibbles_avx2.c - products of codes in nibbles by table lookup: 32 columns a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A chunk's weights (12 KB) stay in the first cache while a block of pixels passes; four vectors
 * are four panels of one pixel, two of two or one of four. The lookups: x86/nibbles.h.
 */
#include "kernels/x86/nibbles.h"

#include <stdlib.h>
#include <string.h>

enum {
    LANES = LQ_NIBBLE_LANES,
    GROUP = LQ_NIBBLE_GROUP,
    SLOTS = LQ_NIBBLE_TILE, /* vectors at once */
    HALVES = 2,             /* 16 bits to a byte */
    FOURTHS = 4,
    COLUMNS = 8,       /* of a vector of sums */
    BLOCK = 56,        /* pixels */
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

/* How the counts of activations' planes become levels, in 16 bits: at least -2^15, at most 2^15 - 1
 * after the chunks of a span, which begins with `start`. */
struct weighing {
    __m256i even[2], odd[2]; /* of both planes */
    __m256i start;
    int span;     /* of a row, a multiple of its chunk */
    int32_t base; /* what makes up for all starts in a row's sum */
};

/* Levels that the weights' bits pick: of bytes 0, 2 of 4, and of bytes 1, 3. */
static inline __attribute__((always_inline)) void add_levels(const struct weighing *weighing,
                                                             bool first, __m256i t, __m256i h,
                                                             __m256i levels[HALVES])
{
    struct lq_nibble_counts n = lq_nibble_draw(t, h);
    __m256i even = lq_nibble_weigh(n.a, weighing->even[0], n.b, weighing->even[1]);
    __m256i odd = lq_nibble_weigh(n.c, weighing->odd[0], n.d, weighing->odd[1]);

    levels[0] = _mm256_add_epi16(even, first ? weighing->start : levels[0]);
    levels[1] = _mm256_add_epi16(odd, first ? weighing->start : levels[1]);
}

/* A chunk of SLOTS / vectors pixels. */
static inline __attribute__((always_inline)) void
pixels_by_chunk(const int vectors, const struct chunk *chunk, const uint8_t *const *a,
                const uint8_t *w, const struct weighing *weighing, bool first, __m256i *levels)
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
    add_levels(weighing, first, s.t0, s.h0, levels);
    add_levels(weighing, first, s.t1, s.h1, levels + HALVES);
    add_levels(weighing, first, s.t2, s.h2, levels + (size_t)2 * HALVES);
    add_levels(weighing, first, s.t3, s.h3, levels + (size_t)3 * HALVES);
}

/* What a panel's levels are weighed with: twice the basis of each weight plane, for one of two
 * columns in 32 bits, and all of it, for what all activations add up to. */
struct factors {
    __m256i planes[MOST_BITS][FOURTHS], all[FOURTHS];
};

/* A block of pixels and a tile of weights. */
struct block {
    struct weighing weighing;
    struct factors factors[SLOTS];                    /* of the tile's panels */
    __m256i levels[(BLOCK + SLOTS) * SLOTS * HALVES]; /* [pixels][vectors][HALVES] */
    const struct lq_nibbles *p;
    const uint8_t *a[BLOCK + SLOTS]; /* rows; the last one again and again behind them */
    int32_t *sums[BLOCK];            /* of each row, column 0 */
    int32_t base[BLOCK];             /* of each row, what the basis of weights is multiplied by */
    int vectors, first;              /* of the tile */
    int pixels;
};

static inline __attribute__((always_inline)) void block_by_chunk(const size_t vectors,
                                                                 struct block *b,
                                                                 const struct chunk *chunk,
                                                                 const uint8_t *w, bool first)
{
    for (size_t i = 0; i < (size_t)b->pixels; i += SLOTS / vectors)
        pixels_by_chunk((int)vectors, chunk, b->a + i, w, &b->weighing, first,
                        b->levels + i * vectors * HALVES);
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

static inline __m256i first_columns(int left)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline __m256i load(const int32_t *sums, int left)
{
    return left >= COLUMNS ? _mm256_loadu_si256((const void *)sums)
                           : _mm256_maskload_epi32(sums, first_columns(left));
}

static inline void store(int32_t *sums, int left, __m256i eight)
{
    if (left >= COLUMNS)
        _mm256_storeu_si256((void *)sums, eight);
    else
        _mm256_maskstore_epi32(sums, first_columns(left), eight);
}

static void panel_factors(const struct lq_nibbles *p, int panel, struct factors *ret)
{
    const int32_t *basis = p->w_basis + (size_t)(panel * p->w_bits) * LANES;
    int16_t planes[MOST_BITS][FOURTHS][COLUMNS][2] = {{{{0}}}};
    int32_t all[LANES] = {0};

    for (int column = 0; column < LANES; column++) {
        int fourth = column / COLUMNS, lane = column % COLUMNS;

        for (int i = 0; i < p->w_bits; i++) {
            int n = basis[i * LANES + column];

            all[column] += n;
            planes[i][fourth][lane][fourth / HALVES] = (int16_t)(2 * n);
        }
    }
    memcpy(ret->planes, planes, sizeof(ret->planes));
    memcpy(ret->all, all, sizeof(ret->all));
}

/* Levels to sums of one panel, `left` columns of which are there, for all pixels of the block.
 * first: there are no sums yet. */
static inline __attribute__((always_inline)) void weigh(const int bits, const struct block *b,
                                                        int vector, bool first, int left)
{
    const struct factors f = b->factors[vector / bits];
    size_t column = (size_t)(b->first + vector) / (size_t)bits * LANES;
    const __m256i *levels = b->levels + (size_t)vector * HALVES;

    for (int i = 0; i < b->pixels; i++, levels += (size_t)b->vectors * HALVES) {
        __m256i base = _mm256_set1_epi32(b->base[i]);
        int32_t *to = b->sums[i] + column;

        for (int r = 0; r < FOURTHS && r * COLUMNS < left; r++, to += COLUMNS) {
            __m256i sum = first ? _mm256_mullo_epi32(base, f.all[r]) : load(to, left - r * COLUMNS);

            for (int bit = 0; bit < bits; bit++)
                sum = _mm256_add_epi32(
                    sum, _mm256_madd_epi16(levels[bit * HALVES + r % HALVES], f.planes[bit][r]));
            store(to, left - r * COLUMNS, sum);
        }
    }
}

/* The same of a last panel of few columns. */
static __attribute__((noinline)) void weigh_few(const struct block *b, int vector, bool first,
                                                int left)
{
    if (b->p->w_bits == 1)
        weigh(1, b, vector, first, left);
    else
        weigh(2, b, vector, first, left);
}

static void weigh_panels(const struct block *b, bool first)
{
    for (int vector = 0; vector < b->vectors; vector += b->p->w_bits) {
        int left = b->p->n - (b->first + vector) / b->p->w_bits * LANES;

        if (left < LANES)
            weigh_few(b, vector, first, left);
        else if (b->p->w_bits == 1)
            weigh(1, b, vector, first, LANES);
        else
            weigh(2, b, vector, first, LANES);
    }
}

static void block_run(struct block *b)
{
    const struct lq_nibbles *p = b->p;
    int length = p->rows.runs * p->rows.run, size = p->chunk, span = b->weighing.span;
    int total = lq_panels(p->n, LANES) * p->w_bits;

    for (int from = 0, to; from < length; from = to) {
        const uint8_t *w = p->w + lq_nibble_at(total, b->first, LANES, length, from);
        bool first = from % span == 0;
        struct chunk chunk;

        to = from + size < length ? from + size : length;
        cut_chunk(&p->rows, from, to, &chunk);
        chunk.full = lq_nibble_full(p, b->first, b->vectors, from / size);
        if (b->vectors == 4)
            block_by_4(b, &chunk, w, first);
        else if (b->vectors == 2)
            block_by_2(b, &chunk, w, first);
        else
            block_by_1(b, &chunk, w, first);
        if (to == length || to % span == 0)
            weigh_panels(b, from < span);
    }
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
        b->base[i] = b->weighing.base - p->a_basis[0] * (int32_t)(pops[i] & 0xffff) -
                     p->a_basis[1] * (int32_t)(pops[i] >> 16);
    }
    for (int i = count; i < count + SLOTS - 1; i++)
        b->a[i] = b->a[count - 1];
}

static struct weighing weighing_of(const struct lq_nibbles *p)
{
    const int32_t *basis = p->a_basis;
    int most = abs(basis[0]) + abs(basis[1]);
    int chunks = UINT16_MAX / (LQ_CHUNK_BITS * (most > 0 ? most : 1));
    int least = (basis[0] < 0 ? basis[0] : 0) + (basis[1] < 0 ? basis[1] : 0);
    int start = INT16_MIN - chunks * LQ_CHUNK_BITS * least, span = chunks * p->chunk;
    int spans = lq_nibble_chunks(p->rows.runs * p->rows.run, span);

    return (struct weighing){.even = {lq_nibble_even(basis[0]), lq_nibble_even(basis[1])},
                             .odd = {lq_nibble_odd(basis[0]), lq_nibble_odd(basis[1])},
                             .start = _mm256_set1_epi16((int16_t)start),
                             .span = span,
                             .base = -2 * start * spans};
}

void lq_gemm_nibbles_avx2(const struct lq_nibbles *p)
{
    int rows = p->rows.lines * p->rows.width, total = lq_panels(p->n, LANES) * p->w_bits;
    uint32_t pops[MOST_ROWS];
    struct block b;

    if (p->pairs && lq_nibbles_by_pixels_avx2(p))
        return;
    b.p = p;
    b.weighing = weighing_of(p);
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
