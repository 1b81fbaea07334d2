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

static uint8_t codes[MAX_ROWS * MAX_LENGTH];
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

    ck_assert_int_eq(chunk % 3, 0);
    ck_assert_int_le(chunk, LQ_MAX_CHUNK);
    for (int row = 0; row < paneling->columns; row++)
        for (int bit = 0; bit < bits; bit++) {
            const uint8_t *from = codes + (size_t)row * (size_t)(taps * channels);
            int set = 0;

            for (int k = 0; k < length; k++) {
                unsigned expected = nibble_of(from, channels, bytes, k, bit);
                size_t at = lq_nibble_at(vectors, row / lanes * bits + bit, lanes, length, k);

                ck_assert_uint_eq(nibbles[at + (size_t)(row % lanes)], expected);
                set = (k % chunk ? set : 0) + __builtin_popcount(expected);
                ck_assert_int_le(set, LQ_CHUNK_BITS);
            }
        }
}

START_TEST(nibbles_of_codes)
{
    static const int channel_counts[] = {3, 4, 7, 8, 12, 20, 64};
    static uint8_t packed[MAX_ROWS * BITS * MAX_LENGTH];

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
            codes[i] = (uint8_t)((full ? ~0u : (unsigned)rand()) & ((1u << bits) - 1));
        lq_file_codes_pack(codes, bits, rows, taps * channels, packed);
        memset(nibbles, 0, sizeof(nibbles));
        ck_assert_int_eq(lq_weights_nibbles(&spec, &paneling, taps, channels, nibbles, &chunk),
                         LQ_OK);
        expect_nibbles(&paneling, bits, taps, channels, chunk);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("weights");

    tcase_add_test(tests, nibbles_of_codes);
    return suite_main("weights", tests);
}
