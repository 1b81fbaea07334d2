/* test_weights.c - stored weights laid out for the kernels, code by code.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <stdlib.h>
#include <string.h>

#include "ops/weights.h"
#include "quant/pack.h"

enum { MAX_ROWS = 70, MAX_LENGTH = 9 * 64, BITS = 2, MAX_LANES = 32 };
enum { LONG_ROWS = 20, LONG_LENGTH = 2500 };

static uint8_t codes[LONG_ROWS * LONG_LENGTH];
_Static_assert(MAX_ROWS *MAX_LENGTH <= LONG_ROWS * LONG_LENGTH, "codes");
static uint8_t nibbles[(MAX_ROWS + MAX_LANES) * BITS * MAX_LENGTH];

/* The nibble that codes 4 i .. of a tap make, by the definition. */
static unsigned nibble_of(const uint8_t *row, int channels, int bytes, int k, int bit)
{
    unsigned nibble = 0;

    for (int r = 0; r < LQ_NIBBLE_CODES; r++) {
        int c = k % bytes * LQ_NIBBLE_CODES + r;

        if (c < channels)
            nibble |= (unsigned)(row[k / bytes * channels + c] >> bit & 1) << r;
    }
    return nibble;
}

/* Every nibble, and no piece of a row with more bits than a byte counts. */
static void expect_nibbles(const struct lq_paneling *paneling, int bits, int taps, int channels,
                           int chunk)
{
    int bytes = (int)lq_nibble_bytes(channels), length = taps * bytes, lanes = paneling->lanes;
    int vectors = lq_panels(paneling->columns, lanes) * bits;

    ck_assert_int_eq(chunk % LQ_NIBBLE_GROUP, 0);
    ck_assert_int_le(chunk, LQ_MAX_CHUNK);
    for (int row = 0; row < paneling->columns; row++)
        for (int bit = 0; bit < bits; bit++) {
            const uint8_t *from = codes + (size_t)row * (size_t)(taps * channels);
            int set = 0;

            for (int k = 0; k < length; k++) {
                unsigned expected = nibble_of(from, channels, bytes, k, bit);
                size_t at = lq_nibble_at(vectors, row / lanes * bits + bit, lanes, length, k);

                ck_assert_uint_eq(nibbles[at + (size_t)lq_nibble_lane(lanes, row % lanes)],
                                  expected);
                set = (k % chunk ? set : 0) + __builtin_popcount(expected);
                ck_assert_int_le(set, LQ_CHUNK_BITS);
            }
        }
}

/* The groups in which a row of the vector has all bits of the plane set, chunk by chunk. */
static void expect_full(const struct lq_paneling *paneling, int bits, int length, int run,
                        int chunk, const uint32_t *full)
{
    int lanes = paneling->lanes, vectors = lq_panels(paneling->columns, lanes) * bits;

    for (int vector = 0; vector < vectors; vector++)
        for (int from = 0; from < length; from += chunk, full++) {
            uint32_t expected = 0;
            int group = 0, end = from + chunk < length ? from + chunk : length;

            for (int k = from; k + LQ_NIBBLE_GROUP <= end;) {
                if (k / run != (k + LQ_NIBBLE_GROUP - 1) / run) { /* they do not lie together */
                    k = (k / run + 1) * run;
                    continue;
                }
                for (int lane = 0; lane < lanes; lane++) {
                    int set = 0;

                    for (int j = 0; j < LQ_NIBBLE_GROUP; j++)
                        set += __builtin_popcount(
                            nibbles[lq_nibble_at(vectors, vector, lanes, length, k + j) +
                                    (size_t)lane]);
                    if (set == LQ_NIBBLE_GROUP * LQ_NIBBLE_CODES)
                        expected |= 1u << group;
                }
                group++;
                k += LQ_NIBBLE_GROUP;
            }
            ck_assert_uint_eq(*full, expected);
        }
}

START_TEST(nibbles_of_codes)
{
    static const int channel_counts[] = {3, 4, 7, 8, 12, 20, 64};
    static uint8_t packed[MAX_ROWS * BITS * MAX_LENGTH];
    static uint32_t marks[(MAX_ROWS + MAX_LANES) * BITS * MAX_LENGTH];

    for (int trial = 0; trial < 200; trial++) {
        int bits = trial % 2 + 1, taps = trial / 2 % 2 ? 9 : 1, rows = rand() % MAX_ROWS + 1;
        int channels = channel_counts[rand() % 7], chunk = 0, full = rand() % 3;
        struct lq_paneling paneling = {
            .groups = 1, .columns = rows, .lanes = trial / 4 % 2 ? MAX_LANES : 1};
        struct lq_tensor tensor = {.dtype = LQ_U8, .data = packed};
        struct lq_attributes attributes = {.bits = bits};
        const struct lq_tensor *params[LQ_PARAM_COUNT] = {[LQ_PARAM_CODES] = &tensor};
        struct lq_step_spec spec = {.attributes = &attributes, .params = params};

        for (int i = 0; i < rows * taps * channels; i++)
            codes[i] =
                (uint8_t)((rand() % 40 < full * 39 ? ~0u : (unsigned)rand()) & ((1u << bits) - 1));
        lq_file_codes_pack(codes, bits, rows, taps * channels, packed);
        memset(nibbles, 0, sizeof(nibbles));
        ck_assert_int_eq(lq_weights_nibbles(&spec, &paneling, taps, channels, nibbles, &chunk),
                         LQ_OK);
        expect_nibbles(&paneling, bits, taps, channels, chunk);
        int length = taps * (int)lq_nibble_bytes(channels), run = taps == 9 ? length / 3 : length;
        lq_weights_full(&paneling, bits, length, run, chunk, nibbles, marks);
        expect_full(&paneling, bits, length, run, chunk, marks);
    }
}
END_TEST

/* Every level, by the definition; 0 where rows and columns are filled up. */
static void expect_levels(const struct lq_paneling *paneling, const int16_t *basis, int bits,
                          int length, const void *levels)
{
    size_t lanes = (size_t)paneling->lanes, depth = (size_t)paneling->depth;
    size_t long_length = lq_paneling_length(paneling, length);
    size_t columns = lq_paneling_columns(paneling), a_group = columns / (size_t)paneling->groups;

    for (size_t column = 0; column < columns; column++)
        for (size_t k = 0; k < long_length; k++) {
            size_t at = (column / lanes * long_length / depth + k / depth) * lanes * depth +
                        column % lanes * depth + k % depth;
            size_t group = column / a_group, in_group = column % a_group;
            size_t row = group * (size_t)paneling->columns + in_group;
            int expected = 0;

            if (in_group < (size_t)paneling->columns && k < (size_t)length)
                expected = lq_code_level_raw(LQ_CODE_SIGNED, bits, basis + row * (size_t)bits,
                                             codes[row * (size_t)length + k]);
            ck_assert_int_eq(depth == 2 ? ((const int16_t *)levels)[at]
                                        : ((const int8_t *)levels)[at],
                             expected);
        }
}

START_TEST(levels_of_codes)
{
    static uint8_t packed[LONG_ROWS * LONG_LENGTH];
    int16_t basis[LONG_ROWS * LQ_MAX_BITS];

    for (int trial = 0; trial < 60; trial++) {
        int bits = rand() % 4 + 1, groups = rand() % 2 + 1, columns = rand() % (LONG_ROWS / 2) + 1;
        int length = rand() % 3 ? rand() % 100 + 1 : LONG_LENGTH - rand() % 100;
        struct lq_paneling paneling = {.groups = groups,
                                       .columns = columns,
                                       .lanes = trial % 3 == 0 ? 1 : 8,
                                       .depth = trial % 2 ? 2 : 4};
        struct lq_tensor tensor = {.dtype = LQ_U8, .data = packed};
        struct lq_tensor bases = {.dtype = LQ_I16, .data = basis};
        struct lq_attributes attributes = {.bits = bits};
        const struct lq_tensor *params[LQ_PARAM_COUNT] = {
            [LQ_PARAM_CODES] = &tensor, [LQ_PARAM_BASIS] = &bases};
        struct lq_step_spec spec = {.attributes = &attributes, .params = params};
        void *levels =
            calloc(lq_paneling_columns(&paneling) * lq_paneling_length(&paneling, length),
                   sizeof(int16_t));

        ck_assert_ptr_nonnull(levels);
        for (int i = 0; i < groups * columns * length; i++)
            codes[i] = (uint8_t)((unsigned)rand() & ((1u << bits) - 1));
        for (int i = 0; i < groups * columns * bits; i++)
            basis[i] = (int16_t)(rand() % 63 - 31);
        lq_file_codes_pack(codes, bits, groups * columns, length, packed);
        lq_weights_levels(&spec, &paneling, length, levels);
        expect_levels(&paneling, basis, bits, length, levels);
        free(levels);
    }
}
END_TEST

/* Every code's level, by the definition; codes of columns that are filled up mean level 0. */
static void expect_codes(const struct lq_paneling *paneling, const int16_t *basis, int bits,
                         int length, const uint8_t *packed, const int8_t *levels)
{
    size_t columns = lq_paneling_columns(paneling), groups = (size_t)length / LQ_CODES_LENGTH;

    for (size_t column = 0; column < columns; column++)
        for (size_t k = 0; k < (size_t)length; k++) {
            size_t group = column / LQ_CODES_LANES * groups + k / LQ_CODES_LENGTH;
            size_t at = group * LQ_CODES_BYTES + column % LQ_CODES_LANES * 4 + k % 4;
            unsigned code = packed[at] >> k % LQ_CODES_LENGTH / 4 * 2 & (LQ_CODES_LEVELS - 1);
            int expected = 0;

            if (column < (size_t)paneling->columns)
                expected = lq_code_level_raw(LQ_CODE_SIGNED, bits, basis + column * (size_t)bits,
                                             codes[column * (size_t)length + k]);
            ck_assert_int_eq(levels[column * LQ_CODES_LEVELS + code], expected);
        }
}

START_TEST(codes_in_panels)
{
    enum { COLUMNS = (LONG_ROWS + LQ_CODES_LANES - 1) / LQ_CODES_LANES * LQ_CODES_LANES };
    static uint8_t packed[LONG_ROWS * LONG_LENGTH], ret_codes[COLUMNS * LONG_LENGTH];
    int16_t basis[LONG_ROWS * 2];
    int8_t levels[COLUMNS * LQ_CODES_LEVELS];

    for (int trial = 0; trial < 60; trial++) {
        int bits = trial % 2 + 1, columns = rand() % LONG_ROWS + 1;
        int length = (rand() % (LONG_LENGTH / LQ_CODES_LENGTH) + 1) * LQ_CODES_LENGTH;
        struct lq_paneling paneling = {
            .groups = 1, .columns = columns, .lanes = LQ_CODES_LANES, .depth = 4};
        struct lq_tensor tensor = {.dtype = LQ_U8, .data = packed};
        struct lq_tensor bases = {.dtype = LQ_I16, .data = basis};
        struct lq_attributes attributes = {.bits = bits};
        const struct lq_tensor *params[LQ_PARAM_COUNT] = {
            [LQ_PARAM_CODES] = &tensor, [LQ_PARAM_BASIS] = &bases};
        struct lq_step_spec spec = {.attributes = &attributes, .params = params};

        for (int i = 0; i < columns * length; i++)
            codes[i] = (uint8_t)((unsigned)rand() & ((1u << bits) - 1));
        for (int i = 0; i < columns * bits; i++)
            basis[i] = (int16_t)(rand() % 127 - 63);
        lq_file_codes_pack(codes, bits, columns, length, packed);
        memset(ret_codes, 0, sizeof(ret_codes));
        memset(levels, 0, sizeof(levels));
        lq_weights_codes(&spec, &paneling, length, ret_codes, levels);
        expect_codes(&paneling, basis, bits, length, ret_codes, levels);
    }
}
END_TEST

/* By the definition: in no column and piece do the products of levels 0 and 1 of all words, or of 2
 * and 3, add up to more than 16 bits hold, whatever the activations. */
static bool piece_is_safe(const struct lq_paneling *paneling, const int8_t *levels, int words,
                          int run, int piece, int top)
{
    for (size_t i = 0; i < lq_paneling_columns(paneling) * 2; i++) {
        size_t lanes = (size_t)paneling->lanes, column = i / 2;
        int above = 0, below = 0;

        for (int word = 0; word < words; word++) {
            size_t at =
                ((column / lanes * (size_t)words + (size_t)word) * lanes + column % lanes) * 4;

            if (word % run % piece == 0)
                above = below = 0;
            for (size_t k = at + i % 2 * 2; k < at + i % 2 * 2 + 2; k++) {
                above += levels[k] > 0 ? levels[k] * top : 0;
                below += levels[k] < 0 ? levels[k] * top : 0;
            }
            if (above > INT16_MAX || below < -INT16_MAX)
                return false;
        }
    }
    return true;
}

START_TEST(longest_piece)
{
    static const int pieces[] = {48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0};
    static int8_t levels[LONG_LENGTH * 32];
    bool met[49] = {false};

    for (int trial = 0; trial < 300; trial++) {
        struct lq_paneling paneling = {
            .groups = 1, .columns = rand() % 20 + 1, .lanes = trial % 2 ? 8 : 16, .depth = 4};
        int runs = rand() % 3 + 1, run = rand() % 50 + 1, words = runs * run, i = 0;
        int length = words * 4, top = rand() % 255 + 1, most = rand() % 127 + 1;

        memset(levels, 0, sizeof(levels));
        for (size_t k = 0; k < lq_paneling_columns(&paneling) * (size_t)length; k++)
            levels[k] = (int8_t)(rand() % (2 * most + 1) - most);
        while (pieces[i] && !piece_is_safe(&paneling, levels, words, run, pieces[i], top))
            i++;
        ck_assert_int_eq(lq_weights_piece(&paneling, levels, length, run * 4, top), pieces[i]);
        met[pieces[i]] = true;
    }
    ck_assert(met[48] && met[8] && met[1] && met[0]);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("weights");

    tcase_add_test(tests, codes_in_panels);
    tcase_add_test(tests, levels_of_codes);
    tcase_add_test(tests, longest_piece);
    tcase_add_test(tests, nibbles_of_codes);
    return suite_main("weights", tests);
}
