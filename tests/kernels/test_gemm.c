/* test_gemm.c - the integer products of every tier, on random and extreme inputs, at the edge of a
 * page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/guard.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { MAX_M = 27, MAX_N = 40, MAX_WORDS = 36, MAX_BITS = 8 };

/* One product: codes of both sides, and what the definition makes of them. */
struct problem {
    int m, n, words, a_bits, w_bits;
    uint8_t a[MAX_M][MAX_WORDS * 32], w[MAX_N][MAX_WORDS * 32]; /* codes */
    int32_t a_basis[MAX_BITS], w_basis[MAX_N][MAX_BITS];
    int32_t expected[MAX_M][MAX_N];
};

static int a_level(const struct problem *p, int row, int k)
{
    int level = 0;

    for (int j = 0; j < p->a_bits; j++)
        level += p->a[row][k] >> j & 1 ? p->a_basis[j] : 0;
    return level;
}

static int w_level(const struct problem *p, int col, int k)
{
    int level = 0;

    for (int i = 0; i < p->w_bits; i++)
        level += p->w[col][k] >> i & 1 ? p->w_basis[col][i] : -p->w_basis[col][i];
    return level;
}

enum fill { FILL_ANY, FILL_ZEROS, FILL_ONES, FILL_MOSTLY_ONES, FILLS };

static uint8_t some_code(enum fill fill)
{
    if (fill == FILL_ZEROS)
        return 0;
    if (fill == FILL_ONES || (fill == FILL_MOSTLY_ONES && rand() % 32 != 0))
        return 255;
    return (uint8_t)rand();
}

static void make_problem(struct problem *p, int a_bits, int w_bits, enum fill fill)
{
    *p = (struct problem){.m = rand() % MAX_M + 1,
                          .n = rand() % MAX_N + 1,
                          .words = rand() % MAX_WORDS + 1,
                          .a_bits = a_bits,
                          .w_bits = w_bits};
    for (int j = 0; j < a_bits; j++)
        p->a_basis[j] = rand() % 61 - 10;
    for (int col = 0; col < p->n; col++)
        for (int i = 0; i < w_bits; i++)
            p->w_basis[col][i] = rand() % 41 - 20;
    for (int k = 0; k < p->words * 32; k++) {
        for (int row = 0; row < p->m; row++)
            p->a[row][k] = some_code(fill);
        for (int col = 0; col < p->n; col++)
            p->w[col][k] = some_code(fill);
    }
    for (int row = 0; row < p->m; row++)
        for (int col = 0; col < p->n; col++)
            for (int k = 0; k < p->words * 32; k++)
                p->expected[row][col] += a_level(p, row, k) * w_level(p, col, k);
}

/* m rows of `length` elements in lines, each in as many runs as divide it into multiples of
 * `depth`, with room between and behind, of lines maybe that of whole rows; the size of all rows.
 */
static size_t some_rows(int m, int length, int depth, size_t scale, struct lq_rows *ret_rows)
{
    int runs = rand() % 3 + 1, lines = rand() % 4 + 1;

    while (length % runs != 0 || (runs > 1 && length / runs % depth != 0))
        runs--;
    while (m % lines != 0)
        lines--;
    size_t run = (size_t)(length / runs) * scale, gap = run + (size_t)(rand() % 5);
    size_t step = gap * (size_t)runs + (size_t)(rand() % 5);
    size_t behind = rand() % 2 ? (size_t)(rand() % 5) : step * (size_t)(rand() % 3);
    size_t line = step * (size_t)(m / lines) + behind;
    *ret_rows = (struct lq_rows){lines, m / lines, runs, length / runs, line, step, gap};
    return lq_row_offset(ret_rows, m - 1) + (size_t)(runs - 1) * gap + run;
}

/* Where element k of a row lies; scale: the words of an element. */
static size_t element(const struct lq_rows *rows, size_t row, size_t k, size_t scale)
{
    size_t run = (size_t)rows->run;

    return lq_row_offset(rows, (int)row) + k / run * rows->gap + k % run * scale;
}

/* Sums are where they belong, and nothing else was written. */
static void expect_sums(const struct problem *p, const int32_t *sums, int stride, const char *what)
{
    for (int row = 0; row < p->m; row++)
        for (int col = 0; col < stride && row * stride + col < (p->m - 1) * stride + p->n; col++) {
            int32_t expected = col < p->n ? p->expected[row][col] : 0x5a5a5a5a;

            ck_assert_msg(sums[row * stride + col] == expected,
                          "%s %d/%d, %d rows, %d columns, %d words: sum %d,%d is %d, not %d", what,
                          p->w_bits, p->a_bits, p->m, p->n, p->words, row, col,
                          sums[row * stride + col], expected);
        }
}

static void run_planes(struct problem *p, const struct lq_kernels *kernels, const char *tier)
{
    int lanes = kernels->planes_lanes, stride = p->n + rand() % 3;
    size_t columns = (size_t)lq_panels(p->n, lanes) * (size_t)lanes, words = (size_t)p->words;
    size_t w_bits = (size_t)p->w_bits, a_bits = (size_t)p->a_bits;
    struct lq_rows rows;
    struct guarded a = guard(some_rows(p->m, p->words, 1, a_bits, &rows) * 4);
    struct guarded w = guard(columns * w_bits * words * 4), basis = guard(columns * w_bits * 4);
    size_t room = ((size_t)(p->m - 1) * (size_t)stride + (size_t)p->n) * 4;
    struct guarded sums = guard(room);
    uint32_t *a_words = (uint32_t *)(void *)a.bytes, *w_words = (uint32_t *)(void *)w.bytes;

    memset(sums.bytes, 0x5a, room);
    for (size_t k = 0; k < words * 32; k++) {
        for (size_t row = 0; row < (size_t)p->m; row++)
            for (size_t j = 0; j < a_bits; j++)
                a_words[element(&rows, row, k / 32, a_bits) + j] |=
                    (uint32_t)(p->a[row][k] >> j & 1) << k % 32;
        for (size_t col = 0; col < (size_t)p->n; col++)
            for (size_t i = 0; i < w_bits; i++)
                w_words[((col / (size_t)lanes * words + k / 32) * w_bits + i) * (size_t)lanes +
                        col % (size_t)lanes] |= (uint32_t)(p->w[col][k] >> i & 1) << k % 32;
    }
    for (size_t col = 0; col < (size_t)p->n; col++)
        for (size_t i = 0; i < w_bits; i++)
            ((int32_t *)(void *)basis
                 .bytes)[(col / (size_t)lanes * w_bits + i) * (size_t)lanes + col % (size_t)lanes] =
                p->w_basis[col][i];
    kernels->gemm_planes(&(struct lq_planes){p->n, rows, p->a_bits, p->w_bits, a_words, w_words,
                                             p->a_basis, (const int32_t *)(const void *)basis.bytes,
                                             (int32_t *)(void *)sums.bytes, (size_t)stride});
    expect_sums(p, (const int32_t *)(const void *)sums.bytes, stride, tier);
    unguard(&a);
    unguard(&w);
    unguard(&basis);
    unguard(&sums);
}

/* Activations of 2 bits, weights of 1 or 2: a word of a plane is one or two words of halves. */
static void run_halves(struct problem *p, const struct lq_kernels *kernels, const char *tier)
{
    size_t lanes = (size_t)kernels->halves_lanes, stride = (size_t)(p->n + rand() % 3);
    size_t columns = (size_t)lq_panels(p->n, (int)lanes) * lanes, w_bits = (size_t)p->w_bits;
    size_t words = (size_t)p->words * 2 - (size_t)(rand() % 2), codes = words * LQ_HALF_CODES;
    struct lq_rows rows;

    if (p->a_bits != 2 || p->w_bits > LQ_HALVES_BITS)
        return;
    struct guarded a = guard(some_rows(p->m, (int)words, 1, 1, &rows) * 4);
    struct guarded w = guard(columns * w_bits * words * 4), basis = guard(columns * w_bits * 4);
    struct guarded start = guard(columns * 4);
    size_t room = ((size_t)(p->m - 1) * stride + (size_t)p->n) * 4;
    struct guarded sums = guard(room);
    uint32_t *a_words = (uint32_t *)(void *)a.bytes, *w_words = (uint32_t *)(void *)w.bytes;
    int32_t *w_basis = (int32_t *)(void *)basis.bytes;

    memset(sums.bytes, 0x5a, room);
    memset(p->expected, 0, sizeof(p->expected));
    for (size_t k = 0; k < codes; k++) {
        size_t word = k / LQ_HALF_CODES, bit = k % LQ_HALF_CODES;

        for (size_t row = 0; row < (size_t)p->m; row++)
            a_words[element(&rows, row, word, 1)] |=
                (uint32_t)(p->a[row][k] & 1) << bit | (uint32_t)(p->a[row][k] >> 1 & 1)
                                                          << (LQ_HALF_CODES + bit);
        for (size_t col = 0; col < (size_t)p->n; col++)
            for (size_t i = 0; i < w_bits; i++)
                w_words[((col / lanes * words + word) * w_bits + i) * lanes + col % lanes] |=
                    (uint32_t)(p->w[col][k] >> i & 1) * 0x10001u << bit;
        for (int row = 0; row < p->m; row++)
            for (int col = 0; col < p->n; col++)
                p->expected[row][col] += a_level(p, row, (int)k) * w_level(p, col, (int)k);
    }
    for (size_t col = 0; col < (size_t)p->n; col++)
        for (size_t i = 0; i < w_bits; i++)
            w_basis[(col / lanes * w_bits + i) * lanes + col % lanes] = p->w_basis[col][i];
    struct lq_halves halves = {p->n,
                               rows,
                               p->w_bits,
                               a_words,
                               w_words,
                               p->a_basis,
                               w_basis,
                               (int32_t *)(void *)start.bytes,
                               (int32_t *)(void *)sums.bytes,
                               stride};
    lq_halves_start(&halves, (int)lanes, (int32_t *)(void *)start.bytes);
    kernels->gemm_halves(&halves);
    expect_sums(p, (const int32_t *)(const void *)sums.bytes, (int)stride, tier);
    unguard(&a);
    unguard(&w);
    unguard(&start);
    unguard(&basis);
    unguard(&sums);
}

/* How full the fullest plane of a column is in a piece of a row. */
static int most_set_bits(const struct problem *p, size_t bytes, int chunk)
{
    int most = 0;

    for (int col = 0; col < p->n; col++)
        for (int bit = 0; bit < p->w_bits; bit++)
            for (size_t from = 0; from < bytes; from += (size_t)chunk) {
                size_t to = from + (size_t)chunk < bytes ? from + (size_t)chunk : bytes;
                int set = 0;

                for (size_t k = 4 * from; k < 4 * to; k++)
                    set += p->w[col][k] >> bit & 1;
                most = set > most ? set : most;
            }
    return most;
}

/* Sets what struct lq_nibbles calls full, by its own weights. */
static struct guarded put_full(struct lq_nibbles *nibbles, int lanes)
{
    const struct lq_rows *rows = &nibbles->rows;
    int vectors = lq_panels(nibbles->n, lanes) * nibbles->w_bits, length = rows->runs * rows->run;
    int chunks = lq_nibble_chunks(length, nibbles->chunk);
    struct guarded marks = guard((size_t)(vectors * chunks) * sizeof(uint32_t));
    uint32_t *full = (uint32_t *)(void *)marks.bytes;

    for (int i = 0; i < vectors * chunks * lanes; i++) {
        int vector = i / lanes / chunks, from = i / lanes % chunks * nibbles->chunk;
        int together = 0, group = 0, set = 0;

        for (int k = from; k < length && k < from + nibbles->chunk; k++) {
            size_t at = lq_nibble_at(vectors, vector, lanes, length, k) + (size_t)(i % lanes);

            if (k % rows->run == 0)
                together = set = 0;
            set += __builtin_popcount(nibbles->w[at]);
            if (++together == LQ_NIBBLE_GROUP) {
                full[i / lanes] |= (uint32_t)(set == LQ_NIBBLE_GROUP * LQ_NIBBLE_CODES) << group++;
                together = set = 0;
            }
        }
    }
    nibbles->full = full;
    return marks;
}

/* Codes of up to 2 bits, any number of bytes. */
static void run_nibbles(struct problem *p, const struct lq_kernels *kernels, const char *tier)
{
    int lanes = kernels->nibbles_lanes, stride = p->n + rand() % 3;
    int bytes = p->words * 8 - rand() % 8, vectors = lq_panels(p->n, lanes) * p->w_bits;
    size_t columns = (size_t)lq_panels(p->n, lanes) * (size_t)lanes;
    size_t room = ((size_t)(p->m - 1) * (size_t)stride + (size_t)p->n) * 4;
    struct lq_rows rows;
    int32_t a_basis[2] = {p->a_basis[0], p->a_bits == 2 ? p->a_basis[1] : 77};

    if (p->a_bits > 2 || p->w_bits > 2)
        return;
    struct guarded a = guard(some_rows(p->m, bytes, 1, 1, &rows)), sums = guard(room);
    struct guarded w = guard(columns * (size_t)(p->w_bits * bytes));
    struct guarded basis = guard(columns * (size_t)p->w_bits * 4);
    struct lq_nibbles nibbles = {
        .n = p->n,
        .rows = rows,
        .w_bits = p->w_bits,
        .chunk = LQ_MAX_CHUNK - LQ_NIBBLE_GROUP * (rand() % 9),
        .a = a.bytes,
        .w = w.bytes,
        .a_basis = a_basis,
        .w_basis = (const int32_t *)(const void *)basis.bytes,
        .sums = (int32_t *)(void *)sums.bytes,
        .stride = (size_t)stride,
    };

    memset(sums.bytes, 0x5a, room);
    memset(p->expected, 0, sizeof(p->expected));
    while (most_set_bits(p, (size_t)bytes, nibbles.chunk) > LQ_CHUNK_BITS)
        nibbles.chunk -= LQ_NIBBLE_GROUP;
    for (int k = 0; k < 4 * bytes; k++) {
        for (int row = 0; row < p->m; row++)
            for (int j = 0; j < p->a_bits; j++)
                a.bytes[element(&rows, (size_t)row, (size_t)k / 4, 1)] |=
                    (uint8_t)((p->a[row][k] >> j & 1) << (4 * j + k % 4));
        for (int col = 0; col < p->n; col++)
            for (int i = 0; i < p->w_bits; i++)
                w.bytes[lq_nibble_at(vectors, col / lanes * p->w_bits + i, lanes, bytes, k / 4) +
                        (size_t)lq_nibble_lane(lanes, col % lanes)] |=
                    (uint8_t)((p->w[col][k] >> i & 1) << k % 4);
        for (int row = 0; row < p->m; row++)
            for (int col = 0; col < p->n; col++)
                p->expected[row][col] += a_level(p, row, k) * w_level(p, col, k);
    }
    for (int col = 0; col < p->n; col++)
        for (int i = 0; i < p->w_bits; i++)
            ((int32_t *)(void *)basis.bytes)[(col / lanes * p->w_bits + i) * lanes + col % lanes] =
                p->w_basis[col][i];
    struct guarded full = put_full(&nibbles, lanes);
    kernels->gemm_nibbles(&nibbles);
    expect_sums(p, (const int32_t *)(const void *)sums.bytes, stride, tier);
    unguard(&full);
    unguard(&a);
    unguard(&w);
    unguard(&basis);
    unguard(&sums);
}

/* The first k levels of the problem, k odd or even. */
static void run_levels(struct problem *p, const struct lq_kernels *kernels, const char *tier)
{
    int lanes = kernels->levels_lanes, stride = p->n + rand() % 3;
    size_t k_count = (size_t)p->words * 32 - (size_t)(rand() % 32), pairs = (k_count + 1) / 2;
    size_t columns = (size_t)lq_panels(p->n, lanes) * (size_t)lanes;
    struct lq_rows rows;
    struct guarded a = guard(some_rows(p->m, (int)k_count, 2, 1, &rows) * 2);
    struct guarded w = guard(columns * pairs * 4);
    size_t room = ((size_t)(p->m - 1) * (size_t)stride + (size_t)p->n) * 4;
    struct guarded sums = guard(room);
    int16_t *a_levels = (int16_t *)(void *)a.bytes, *w_levels = (int16_t *)(void *)w.bytes;

    memset(sums.bytes, 0x5a, room);
    memset(p->expected, 0, sizeof(p->expected));
    for (size_t row = 0; row < (size_t)p->m; row++)
        for (size_t k = 0; k < k_count; k++)
            a_levels[element(&rows, row, k, 1)] = (int16_t)a_level(p, (int)row, (int)k);
    for (size_t col = 0; col < (size_t)p->n; col++)
        for (size_t k = 0; k < k_count; k++) {
            int level = w_level(p, (int)col, (int)k);
            size_t panel = col / (size_t)lanes, lane = col % (size_t)lanes;

            w_levels[((panel * pairs + k / 2) * (size_t)lanes + lane) * 2 + k % 2] = (int16_t)level;
            for (int row = 0; row < p->m; row++)
                p->expected[row][col] += level * a_levels[element(&rows, (size_t)row, k, 1)];
        }
    kernels->gemm_levels(&(struct lq_levels){p->n, rows, a_levels, w_levels,
                                             (int32_t *)(void *)sums.bytes, (size_t)stride});
    expect_sums(p, (const int32_t *)(const void *)sums.bytes, stride, tier);
    unguard(&a);
    unguard(&w);
    unguard(&sums);
}

/* Levels of 0..63 and of -127..127 in bytes, or of all 255 where the tier takes them, or fewer. */
static void run_bytes(struct problem *p, const struct lq_kernels *kernels, const char *tier)
{
    int lanes = kernels->bytes_lanes, stride = p->n + rand() % 3;
    int largest = kernels->bytes_bound / 127 < 255 ? kernels->bytes_bound / 127 : 255;
    int w_most = rand() % 2 ? 127 : rand() % 40 + 1,
        a_most = rand() % 2 ? largest : rand() % 40 + 1;
    size_t k_count = (size_t)p->words * 32 - (size_t)(rand() % 32), fours = (k_count + 3) / 4;
    size_t columns = (size_t)lq_panels(p->n, lanes) * (size_t)lanes;
    struct lq_rows rows;
    size_t a_size = some_rows(p->m, (int)k_count, 4, 1, &rows);
    struct guarded a = guard(a_size), w = guard(columns * fours * 4);
    size_t room = ((size_t)(p->m - 1) * (size_t)stride + (size_t)p->n) * 4;
    struct guarded sums = guard(room);

    memset(sums.bytes, 0x5a, room);
    memset(p->expected, 0, sizeof(p->expected));
    for (size_t i = 0; i < a_size; i++)
        a.bytes[i] = (uint8_t)(rand() % 4 ? rand() % (a_most + 1) : a_most);
    for (size_t col = 0; col < (size_t)p->n; col++)
        for (size_t k = 0; k < k_count; k++) {
            int sign = rand() % 2 * 2 - 1, level = sign * (rand() % 4 ? rand() % w_most : w_most);
            size_t panel = col / (size_t)lanes, lane = col % (size_t)lanes;

            w.bytes[((panel * fours + k / 4) * (size_t)lanes + lane) * 4 + k % 4] = (uint8_t)level;
            for (int row = 0; row < p->m; row++)
                p->expected[row][col] += level * a.bytes[element(&rows, (size_t)row, k, 1)];
        }
    kernels->gemm_bytes(&(struct lq_bytes){p->n, rows, a.bytes, (const int8_t *)w.bytes,
                                           (int32_t *)(void *)sums.bytes, (size_t)stride,
                                           rand() % 4 ? 32767 / (2 * w_most * a_most) : 0});
    expect_sums(p, (const int32_t *)(const void *)sums.bytes, stride, tier);
    unguard(&a);
    unguard(&w);
    unguard(&sums);
}

/* Weights in two parts, of -127..127 both or as they come from 16 bits. */
static void run_wide(struct problem *p, const struct lq_kernels *kernels, const char *tier)
{
    const size_t lanes = LQ_WIDE_LANES;
    int stride = p->n + rand() % 3, high_most = rand() % 2 ? 127 : 33;
    size_t length = (size_t)p->words * 4, panels = (size_t)lq_panels(p->n, LQ_WIDE_LANES);
    struct lq_rows rows;
    size_t a_size = some_rows(p->m, (int)length, 4, 1, &rows);
    struct guarded a = guard(a_size), w = guard(panels * 2 * length * lanes);
    size_t room = ((size_t)(p->m - 1) * (size_t)stride + (size_t)p->n) * 4;
    struct guarded sums = guard(room);

    memset(sums.bytes, 0x5a, room);
    memset(p->expected, 0, sizeof(p->expected));
    for (size_t i = 0; i < a_size; i++)
        a.bytes[i] = (uint8_t)(rand() % 4 ? rand() : 255);
    for (size_t col = 0; col < (size_t)p->n; col++)
        for (size_t k = 0; k < length; k++) {
            int low = rand() % 4 ? rand() % 255 - 127 : 127;
            int high = rand() % 4 ? rand() % (2 * high_most + 1) - high_most : high_most;
            size_t at = col / lanes * 2 * length * lanes + k / 4 * lanes * 4 + col % lanes * 4;

            w.bytes[at + k % 4] = (uint8_t)low;
            w.bytes[at + length * lanes + k % 4] = (uint8_t)high;
            for (int row = 0; row < p->m; row++)
                p->expected[row][col] +=
                    (LQ_WIDE_UNIT * high + low) * a.bytes[element(&rows, (size_t)row, k, 1)];
        }
    kernels->gemm_wide(&(struct lq_wide){p->n, rows, a.bytes, (const int8_t *)w.bytes,
                                         (int32_t *)(void *)sums.bytes, (size_t)stride});
    expect_sums(p, (const int32_t *)(const void *)sums.bytes, stride, tier);
    unguard(&a);
    unguard(&w);
    unguard(&sums);
}

/* All products of every tier that this CPU has, for one number of activation bits. */
START_TEST(tiers_agree)
{
    static void (*const runs[])(struct problem *, const struct lq_kernels *, const char *) = {
        run_planes, run_halves, run_nibbles, run_levels, run_bytes, run_wide};
    static struct problem problem;

    for (int w_bits = 1; w_bits <= MAX_BITS; w_bits++)
        for (int fill = 0; fill <= FILLS; fill++) { /* any codes twice */
            make_problem(&problem, _i, w_bits, (enum fill)(fill % FILLS));
            for (int i = 0; i < 6 * LQ_CPU_TIER_COUNT; i++) {
                int tier = i % LQ_CPU_TIER_COUNT;
                struct lq_kernels kernels;

                if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) == tier)
                    runs[i / LQ_CPU_TIER_COUNT](&problem, &kernels,
                                                lq_cpu_tier_name((enum lq_cpu_tier)tier));
            }
        }
}
END_TEST

/* Windows that overlap in long lines, `pixel` words a pixel, and bases as large as they may be:
 * against the C reference, whose panels have one column. */
static void run_wide_line(const struct lq_kernels *kernels, int tier, int pixel, size_t bits)
{
    enum { N = 19, WIDTH = 700 };
    size_t lanes = (size_t)kernels->halves_lanes,
           columns = (size_t)lq_panels(N, (int)lanes) * lanes;
    size_t line = (size_t)(WIDTH + 2) * (size_t)pixel, words = 9 * (size_t)pixel;
    struct lq_rows rows = {2, WIDTH, 3, 3 * pixel, line, (size_t)pixel, line};
    struct guarded a = guard(4 * line * 4), w = guard(columns * bits * words * 4),
                   basis = guard(columns * bits * 4), plain_basis = guard(N * bits * 4);
    struct guarded start = guard(columns * 4);
    struct guarded plain = guard(N * bits * words * 4), sums = guard((size_t)2 * WIDTH * N * 4);
    struct guarded expected = guard((size_t)2 * WIDTH * N * 4);
    uint32_t *a_words = (uint32_t *)(void *)a.bytes, *w_words = (uint32_t *)(void *)w.bytes;
    uint32_t *plain_words = (uint32_t *)(void *)plain.bytes;
    int32_t *w_basis = (int32_t *)(void *)basis.bytes;
    int32_t *plain_w_basis = (int32_t *)(void *)plain_basis.bytes;
    const int32_t a_basis[2] = {255, -256};

    for (size_t i = 0; i < 4 * line; i++)
        a_words[i] = (uint32_t)rand() << 16 ^ (uint32_t)rand();
    for (size_t i = 0; i < N * bits; i++) {
        size_t col = i / bits, plane = i % bits;

        plain_w_basis[i] = w_basis[(col / lanes * bits + plane) * lanes + col % lanes] =
            col == 0   ? 127
            : col == 1 ? -127
                       : rand() % 255 - 127;
        for (size_t k = 0; k < words; k++)
            plain_words[(col * words + k) * bits + plane] =
                w_words[((col / lanes * words + k) * bits + plane) * lanes + col % lanes] =
                    (uint32_t)(rand() & 0xffff) * 0x10001u;
    }
    struct lq_halves halves = {N,
                               rows,
                               (int)bits,
                               a_words,
                               plain_words,
                               a_basis,
                               plain_w_basis,
                               (int32_t *)(void *)start.bytes,
                               (int32_t *)(void *)expected.bytes,
                               N};
    lq_gemm_halves_c(&halves);
    halves.w = w_words;
    halves.w_basis = w_basis;
    halves.sums = (int32_t *)(void *)sums.bytes;
    lq_halves_start(&halves, (int)lanes, (int32_t *)(void *)start.bytes);
    kernels->gemm_halves(&halves);
    ck_assert_msg(memcmp(sums.bytes, expected.bytes, (size_t)2 * WIDTH * N * 4) == 0,
                  "%s, %d words a pixel", lq_cpu_tier_name((enum lq_cpu_tier)tier), pixel);
    unguard(&a);
    unguard(&w);
    unguard(&basis);
    unguard(&plain_basis);
    unguard(&start);
    unguard(&plain);
    unguard(&sums);
    unguard(&expected);
}

START_TEST(wide_lines)
{
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct lq_kernels kernels;

        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) == tier)
            for (size_t bits = 1; bits <= 2; bits++)
                run_wide_line(&kernels, tier, _i, bits);
    }
}
END_TEST

/* What a tier makes codes of straight away is what the reference makes of the expected sums. False:
 * it does not. */
static bool check_codes(const struct lq_kernels *kernels, const struct lq_nibbles *nibbles,
                        const int32_t *sums, int pixels)
{
    enum { MOST = 48 };
    int32_t thresholds[3 * MOST], signs[MOST];
    struct lq_encode encode = {.channels = nibbles->n,
                               .bits = rand() % 2 + 1,
                               .form = LQ_CODE_NIBBLES,
                               .sum_thresholds = thresholds,
                               .signs = signs,
                               .stride = MOST};
    size_t bytes = lq_nibble_bytes(nibbles->n) * (size_t)pixels;
    struct guarded expected = guard(bytes), got = guard(bytes);

    for (int c = 0; c < nibbles->n; c++) {
        signs[c] = rand() % 2 * 2 - 1;
        for (int i = 0; i < 3; i++) { /* sums that occur, mostly */
            int32_t sum = sums[rand() % pixels * nibbles->n + c] * signs[c] + rand() % 2;

            thresholds[i * MOST + c] = rand() % 8 ? sum : rand() % 2 ? INT32_MAX : -INT32_MAX;
        }
    }
    for (int i = 0; i < 4; i++)
        encode.entries[i] = rand() % (1 << encode.bits);
    bool made = kernels->encode_nibbles && kernels->encode_nibbles(nibbles, &encode, got.bytes);
    if (made) {
        lq_encode_sums_c(&encode, (struct lq_columns){0, nibbles->n}, sums, pixels, expected.bytes);
        ck_assert_msg(memcmp(got.bytes, expected.bytes, bytes) == 0,
                      "codes: %d bits, %d columns, %d lines of %d", nibbles->w_bits, nibbles->n,
                      nibbles->rows.lines, nibbles->rows.width);
    }
    unguard(&expected);
    unguard(&got);
    return made;
}

/* Nibbles, and their bases, that follow from their place alone: as vectors of lanes, and in pairs.
 */
static void put_weights(const struct lq_nibbles *nibbles, int lanes, uint8_t *ret_w,
                        int32_t *ret_basis, uint16_t *ret_pairs)
{
    int w_bits = nibbles->w_bits, length = nibbles->rows.runs * nibbles->rows.run;
    int vectors = lq_panels(nibbles->n, lanes) * w_bits;

    for (int i = 0; i < nibbles->n * w_bits; i++) {
        int col = i / w_bits, vector = col / lanes * w_bits + i % w_bits;

        ret_basis[vector * lanes + col % lanes] = i * 37 % 61 - 30;
        for (int k = 0; k < length; k++) {
            bool full = i == 0 || (i + k / LQ_NIBBLE_GROUP) % 5 == 0;
            unsigned nibble = full ? 15 : (unsigned)((i * 7 + k * 13) * (k + 3)) % 67 % 16;
            uint16_t *pair = &ret_pairs[i / 2 * length + k];

            ret_w[lq_nibble_at(vectors, vector, lanes, length, k) +
                  (size_t)lq_nibble_lane(lanes, col % lanes)] = (uint8_t)nibble;
            *pair = (uint16_t)(i % 2 == 0 ? nibble * LQ_NIBBLE_PAIR
                                          : *pair % 256 + nibble * 16 * LQ_NIBBLE_PAIR);
        }
    }
}

/* Windows that overlap in lines, as a convolution's do, with pairs: what the reference makes of
 * them. */
START_TEST(nibbles_by_windows)
{
    static const int32_t bases[3][2] = {{21, -13}, {30, 26}, {120, 47}};
    const int32_t *a_basis = bases[_i / 8 % 3]; /* sums of 576 levels of the last need 17 bits */
    int w_bits = _i % 2 + 1, step = 4 * (rand() % 4 + 1);
    int n = _i % 4 < 2 ? rand() % 40 + 1 : rand() % 3 * 16 + 16;
    int taps_w = rand() % 4 + 1, taps_h = rand() % 4 + 1, width = rand() % 40 + 1;
    int line_pixels = width + taps_w - 1 + rand() % 3, lines = rand() % 9 + 1;
    bool usual = _i % 8 > 5; /* a tile of a layer as it occurs */

    if (usual) {
        taps_w = taps_h = 3;
        width = 32;
        line_pixels = 34;
        lines = 8;
    }
    int length = taps_h * taps_w * step;
    struct lq_rows rows = {lines,
                           width,
                           taps_h,
                           taps_w * step,
                           (size_t)(line_pixels * step),
                           (size_t)step,
                           (size_t)(line_pixels * step)};
    size_t count = (size_t)lines * (size_t)width * (size_t)n;
    size_t room = lq_row_offset(&rows, lines * width - 1) + (size_t)(taps_h - 1) * rows.gap +
                  (size_t)rows.run;
    struct guarded a = guard(room);
    struct guarded pairs = guard(((size_t)(n * w_bits) + 1) / 2 * (size_t)length * 2);
    struct guarded expected = guard(count * 4), got = guard(count * 4);

    for (size_t i = 0; i < room; i++)
        a.bytes[i] = (uint8_t)(_i % 5 && rand() % 4 ? rand() : 255); /* also all ones: most sums */
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct lq_kernels kernels;

        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        int lanes = kernels.nibbles_lanes, vectors = lq_panels(n, lanes) * w_bits;
        struct guarded w = guard((size_t)(vectors * lanes) * (size_t)length);
        struct guarded basis = guard((size_t)(vectors * lanes) * 4);

        struct lq_nibbles nibbles = {
            .n = n,
            .rows = rows,
            .w_bits = w_bits,
            .chunk = 60,
            .a = a.bytes,
            .w = w.bytes,
            .a_basis = a_basis,
            .w_basis = (const int32_t *)(const void *)basis.bytes,
            .sums = (int32_t *)(void *)(tier == LQ_CPU_C ? expected.bytes : got.bytes),
            .stride = (size_t)n,
            .pairs = (uint16_t *)(void *)pairs.bytes};
        put_weights(&nibbles, lanes, w.bytes, (int32_t *)(void *)basis.bytes,
                    (uint16_t *)(void *)pairs.bytes);
        struct guarded full = put_full(&nibbles, lanes);
        memset(got.bytes, 0x5a, count * 4);
        kernels.gemm_nibbles(&nibbles);
        ck_assert_msg(tier == LQ_CPU_C || memcmp(got.bytes, expected.bytes, count * 4) == 0,
                      "%s: %d bits, %d columns, %dx%d taps of %d bytes, %d lines of %d",
                      lq_cpu_tier_name((enum lq_cpu_tier)tier), w_bits, n, taps_h, taps_w, step,
                      lines, width);
        bool made = check_codes(&kernels, &nibbles, (const int32_t *)(const void *)expected.bytes,
                                lines * width);
        ck_assert_int_ge(made, tier == LQ_CPU_AVX2 && usual && a_basis != bases[2]);
        unguard(&full);
        unguard(&w);
        unguard(&basis);
    }
    unguard(&a);
    unguard(&pairs);
    unguard(&expected);
    unguard(&got);
}
END_TEST

/* Windows of a convolution's padded lines, long and short ones, that overlap or do not: what the
 * reference makes of them. */
START_TEST(bytes_by_windows)
{
    int n = rand() % 72 + 1, step = _i % 3 ? 64 * (rand() % 2 + 1) : 4 * (rand() % 20 + 1);
    int taps_w = rand() % 3 + 1, taps_h = rand() % 3 + 1, stride = rand() % 2 + 1;
    int width = rand() % (_i % 2 ? 16 : 60) + 1, lines = rand() % 9 + 1;
    int line_pixels = (width - 1) * stride + taps_w + rand() % 3;
    size_t line = (size_t)(line_pixels * step), length = (size_t)(taps_h * taps_w * step);
    struct lq_rows rows = {
        lines, width, taps_h, taps_w * step, (size_t)stride * line, (size_t)(stride * step), line};
    size_t count = (size_t)lines * (size_t)width * (size_t)n;
    size_t room = lq_row_offset(&rows, lines * width - 1) + (size_t)(taps_h - 1) * rows.gap +
                  (size_t)rows.run;
    struct guarded a = guard(room), expected = guard(count * 4), got = guard(count * 4);

    for (size_t i = 0; i < room; i++)
        a.bytes[i] = (uint8_t)(rand() % 64);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct lq_kernels kernels;

        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        size_t lanes = (size_t)kernels.bytes_lanes, columns = (size_t)lq_panels(n, (int)lanes);
        struct guarded w = guard(columns * lanes * length);

        for (size_t col = 0; col < (size_t)n; col++)
            for (size_t k = 0; k < length; k++)
                w.bytes[((col / lanes * length + k / 4 * 4) * lanes) + col % lanes * 4 + k % 4] =
                    (uint8_t)((int)((col * 7 + k * 13) * (k + 3) % 67) - 33);
        memset(got.bytes, 0x5a, count * 4);
        kernels.gemm_bytes(&(struct lq_bytes){
            n, rows, a.bytes, (const int8_t *)w.bytes,
            (int32_t *)(void *)(tier == LQ_CPU_C ? expected.bytes : got.bytes), (size_t)n, 0});
        ck_assert_msg(tier == LQ_CPU_C || memcmp(got.bytes, expected.bytes, count * 4) == 0,
                      "%s: %d columns, %dx%d taps of %d bytes, stride %d, %d lines of %d",
                      lq_cpu_tier_name((enum lq_cpu_tier)tier), n, taps_h, taps_w, step, stride,
                      lines, width);
        unguard(&w);
    }
    unguard(&a);
    unguard(&expected);
    unguard(&got);
}
END_TEST

START_TEST(hand_computed)
{
    const int16_t a[4] = {0, 1, 2, 3}, w[8] = {1, -1, 1, -1, 3, 3, 3, 3};
    int32_t sums[2];

    lq_gemm_levels_c(&(struct lq_levels){2, {1, 1, 1, 4, 4, 4, 0}, a, w, sums, 2});
    ck_assert_int_eq(sums[0], -2);
    ck_assert_int_eq(sums[1], 18);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("gemm");

    tiers_print();
    tcase_add_loop_test(tests, wide_lines, 1, 9);
    tcase_add_loop_test(tests, tiers_agree, 1, MAX_BITS + 1);
    tcase_add_loop_test(tests, nibbles_by_windows, 0, 200);
    tcase_add_loop_test(tests, bytes_by_windows, 0, 200);
    tcase_add_test(tests, hand_computed);
    return suite_main("gemm", tests);
}
