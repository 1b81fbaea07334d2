/* test_encode.c - encoding of every tier, on random and extreme values, at the edge of
 * a page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/columns.h"
#include "support/guard.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { MAX_CHANNELS = 140, MAX_PIXELS = 3, BOUND = 1000000, STRIDE = 144 };

static struct lq_encode encode;
static int32_t sum_thresholds[(LQ_MAX_ENTRIES - 1) * STRIDE], signs[STRIDE];

static int compare_ints(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Thresholds repeat now and then, and lie at and beyond the bound. */
static void make_encode(int bits, enum lq_code_form form, int channels)
{
    int count = (1 << bits) - 1;

    encode = (struct lq_encode){.channels = channels,
                                .bits = bits,
                                .form = form,
                                .sum_thresholds = sum_thresholds,
                                .signs = signs,
                                .stride = STRIDE};
    for (int c = 0; c < STRIDE; c++) {
        int32_t sorted[LQ_MAX_ENTRIES];

        signs[c] = c < channels ? rand() % 2 * 2 - 1 : 0;
        for (int i = 0; i < count; i++)
            sorted[i] = rand() % 8 ? rand() % (2 * BOUND) - BOUND : BOUND + 1;
        qsort(sorted, (size_t)count, sizeof(*sorted), compare_ints);
        for (int i = 0; i < count; i++)
            sum_thresholds[i * STRIDE + c] = sorted[i];
    }
    for (int i = 0; i < count; i++)
        encode.thresholds[i] = (float)(i - count / 2) / 4;
    for (int i = 0; i <= count; i++)
        encode.entries[i] = form == LQ_CODE_BYTES    ? rand() % 256
                            : form == LQ_CODE_LEVELS ? rand() % 65536 - 32768
                                                     : rand() & count;
    if (form == LQ_CODE_HALVES && bits == 2 && rand() % 2) {
        int32_t second = rand() % 4; /* 1, 2: as of a basis of two that are >= 0 */

        memcpy(encode.entries, (int32_t[]){0, second, 3 - second, 3}, 4 * sizeof(int32_t));
    }
}

/* What the C reference leaves is what the tier leaves, byte by byte. */
static void expect_same(const struct guarded *a, const struct guarded *b, size_t bytes,
                        const char *what, int tier)
{
    static const char *const forms[] = {"planes", "levels", "bytes", "halves", "nibbles"};

    ck_assert_msg(memcmp(a->bytes, b->bytes, bytes) == 0, "%s %s: %d bits, %d channels, %s", what,
                  lq_cpu_tier_name((enum lq_cpu_tier)tier), encode.bits, encode.channels,
                  forms[encode.form]);
}

static float some_float(void)
{
    static const float special[] = {0, -0.f, NAN, INFINITY, -INFINITY, 1e-40f, 3e38f, -3e38f, .25f};

    return rand() % 4 ? (float)(rand() % 2000 - 1000) / 64 : special[rand() % 9];
}

static void run_tier(const struct lq_kernels *kernels, int tier, int pixels)
{
    struct lq_columns columns = some_columns(encode.channels);
    size_t pixel = lq_encode_pixel_bytes(&encode);
    size_t channels = (size_t)encode.channels, pitch = channels + (size_t)below(4);
    size_t sum_count = (size_t)pixels * channels;
    size_t value_count = (size_t)(pixels - 1) * pitch + channels;
    struct guarded sums = guard(sum_count * 4), values = guard(value_count * 4);
    struct guarded expected = guard((size_t)pixels * pixel), got = guard((size_t)pixels * pixel);

    for (size_t i = 0; i < sum_count; i++)
        as_ints(&sums)[i] = rand() % (2 * BOUND + 1) - BOUND;
    for (size_t i = 0; i < value_count; i++)
        as_floats(&values)[i] = some_float();
    memset(expected.bytes, 0x55, (size_t)pixels * pixel);
    memset(got.bytes, 0x55, (size_t)pixels * pixel);
    lq_encode_sums_c(&encode, columns, as_ints(&sums), pixels, expected.bytes);
    kernels->encode_sums(&encode, columns, as_ints(&sums), pixels, got.bytes);
    expect_same(&expected, &got, (size_t)pixels * pixel, "sums", tier);
    memset(expected.bytes, 0xaa, (size_t)pixels * pixel);
    memset(got.bytes, 0xaa, (size_t)pixels * pixel);
    lq_encode_floats_c(&encode, columns, as_floats(&values), pitch, pixels, expected.bytes);
    kernels->encode_floats(&encode, columns, as_floats(&values), pitch, pixels, got.bytes);
    expect_same(&expected, &got, (size_t)pixels * pixel, "floats", tier);
    unguard(&sums);
    unguard(&values);
    unguard(&expected);
    unguard(&got);
}

START_TEST(tiers_encode_alike)
{
    for (int trial = 0; trial < 60; trial++) {
        int forms = _i <= LQ_NIBBLE_BITS ? LQ_CODE_NIBBLES + 1 : LQ_CODE_HALVES;

        /* whole vectors, often */
        make_encode(_i, (enum lq_code_form)(trial % forms),
                    below(3) ? below(MAX_CHANNELS) + 1 : (below(MAX_CHANNELS / 8) + 1) * 8);
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels;

            if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) == tier)
                run_tier(&kernels, tier, rand() % MAX_PIXELS + 1);
        }
    }
}
END_TEST

/* The reference itself: whatever the order of parts, they make the whole. */
START_TEST(columns_by_columns)
{
    for (int trial = 0; trial < 40; trial++) {
        int forms = _i <= LQ_NIBBLE_BITS ? LQ_CODE_NIBBLES + 1 : LQ_CODE_HALVES;
        int pixels = rand() % MAX_PIXELS + 1;
        int32_t sums[MAX_PIXELS * MAX_CHANNELS];
        uint8_t whole[MAX_PIXELS * MAX_CHANNELS * 2], parts[sizeof(whole)];

        make_encode(_i, (enum lq_code_form)(trial % forms), rand() % MAX_CHANNELS + 1);
        for (int i = 0; i < pixels * encode.channels; i++)
            sums[i] = rand() % (2 * BOUND + 1) - BOUND;
        memset(whole, 0x55, sizeof(whole));
        memset(parts, 0x55, sizeof(parts));
        lq_encode_sums_c(&encode, (struct lq_columns){0, encode.channels}, sums, pixels, whole);
        int steps = (encode.channels + LQ_COLUMN_STEP - 1) / LQ_COLUMN_STEP;
        for (int i = 0; i < steps; i++) {
            int step = trial % 2 ? i : steps - 1 - i, to = (step + 1) * LQ_COLUMN_STEP;
            struct lq_columns columns = {step * LQ_COLUMN_STEP,
                                         to < encode.channels ? to : encode.channels};

            lq_encode_sums_c(&encode, columns, sums, pixels, parts);
        }
        ck_assert_mem_eq(parts, whole, sizeof(whole));
    }
}
END_TEST

/* The same: how many thresholds are passed, counted one by one. */
START_TEST(the_definition)
{
    for (int trial = 0; trial < 40; trial++) {
        int32_t sums[MAX_CHANNELS];
        float values[MAX_CHANNELS];
        int16_t got[MAX_CHANNELS], of_floats[MAX_CHANNELS];

        make_encode(_i, LQ_CODE_LEVELS, MAX_CHANNELS);
        for (int c = 0; c < MAX_CHANNELS; c++) {
            sums[c] = rand() % (2 * BOUND + 1) - BOUND;
            values[c] = some_float();
        }
        lq_encode_sums_c(&encode, (struct lq_columns){0, MAX_CHANNELS}, sums, 1, got);
        lq_encode_floats_c(&encode, (struct lq_columns){0, MAX_CHANNELS}, values, MAX_CHANNELS, 1,
                           of_floats);
        for (int c = 0; c < MAX_CHANNELS; c++) {
            int count = 0, float_count = 0;

            for (int i = 0; i < (1 << _i) - 1; i++) {
                count += sum_thresholds[i * STRIDE + c] <= signs[c] * sums[c];
                float_count += encode.thresholds[i] < values[c];
            }
            ck_assert_int_eq(got[c], encode.entries[count]);
            ck_assert_int_eq(of_floats[c], encode.entries[float_count]);
        }
    }
}
END_TEST

/* Which bits of which byte a code goes to. */
START_TEST(nibbles)
{
    const float values[5] = {1, 2, 3, -1, 2};
    uint8_t bytes[2];

    make_encode(2, LQ_CODE_NIBBLES, 5);
    for (int i = 0; i < 4; i++) {
        encode.thresholds[i] = (float)i + .5f;
        encode.entries[i] = 3 - i;
    }
    lq_encode_floats_c(&encode, (struct lq_columns){0, 5}, values, 5, 1, bytes);
    ck_assert_uint_eq(bytes[0], 0x9a); /* codes 2, 1, 0, 3 */
    ck_assert_uint_eq(bytes[1], 0x01); /* code 1 */
}
END_TEST

/* Likewise, of which half of which word. */
START_TEST(halves)
{
    float values[17] = {1, 2, 3, -1, [16] = 2};
    uint32_t words[2];

    make_encode(2, LQ_CODE_HALVES, 17);
    for (int i = 0; i < 4; i++) {
        encode.thresholds[i] = (float)i + .5f;
        encode.entries[i] = 3 - i;
    }
    for (int c = 4; c < 16; c++)
        values[c] = 3; /* code 0 */
    lq_encode_floats_c(&encode, (struct lq_columns){0, 17}, values, 17, 1, words);
    ck_assert_uint_eq(words[0], 0x9000au); /* codes 2, 1, 0, 3 */
    ck_assert_uint_eq(words[1], 0x00001u); /* code 1 */
}
END_TEST

/* To the bit, in place too; any count. */
START_TEST(tiers_add_alike)
{
    static const float bounds[][2] = {{-INFINITY, INFINITY}, {0, INFINITY}, {0, 6}, {-0.f, 0}};

    for (int trial = 0; trial < 200; trial++) {
        size_t count = (size_t)(rand() % MAX_CHANNELS), size = count * sizeof(float);
        struct guarded a = guard(size), b = guard(size), expected = guard(size), got = guard(size);
        float *first = (float *)(void *)a.bytes, *second = (float *)(void *)b.bytes;
        float min = bounds[trial % 4][0], max = bounds[trial % 4][1];

        for (size_t i = 0; i < count; i++) {
            first[i] = (float)(rand() % 41 - 20) / 3;
            second[i] = rand() % 3 ? (float)(rand() % 41 - 20) / 7 : -0.f;
        }
        lq_add_floats_c(first, second, count, min, max, (float *)(void *)expected.bytes);
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels;

            if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
                continue;
            memcpy(got.bytes, first, size);
            kernels.add_floats((const float *)(void *)got.bytes, second, count, min, max,
                               (float *)(void *)got.bytes);
            ck_assert_msg(memcmp(got.bytes, expected.bytes, size) == 0, "%s, %zu numbers",
                          lq_cpu_tier_name((enum lq_cpu_tier)tier), count);
        }
        unguard(&a);
        unguard(&b);
        unguard(&expected);
        unguard(&got);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("encode");

    tiers_print();
    tcase_add_loop_test(tests, tiers_encode_alike, 1, 9);
    tcase_add_loop_test(tests, columns_by_columns, 1, 9);
    tcase_add_loop_test(tests, the_definition, 1, 9);
    tcase_add_test(tests, nibbles);
    tcase_add_test(tests, halves);
    tcase_add_test(tests, tiers_add_alike);
    return suite_main("encode", tests);
}
