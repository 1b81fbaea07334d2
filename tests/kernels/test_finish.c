/* test_finish.c - what follows the sums, and the last layer: every tier against C, to the bit, at
 * the edge of a page.
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

enum { MAX_CHANNELS = 140, MAX_PIXELS = 3 };

static float some_float(void)
{
    static const float special[] = {0, -0.f, INFINITY, -INFINITY, 1e-40f, 3e38f, -3e38f};

    return rand() % 6 ? (float)(rand() % 2001 - 1000) / 37 : special[rand() % 7];
}

static struct guarded some_floats(size_t count)
{
    struct guarded floats = guard(count * sizeof(float));

    for (size_t i = 0; i < count; i++)
        as_floats(&floats)[i] = some_float();
    return floats;
}

static struct guarded some_sums(size_t count)
{
    struct guarded sums = guard(count * sizeof(int32_t));

    for (size_t i = 0; i < count; i++)
        as_ints(&sums)[i] = rand() % 8 ? rand() % 200001 - 100000 : 0;
    return sums;
}

/* Next tier that this CPU has, from *tier on; false: none. */
static bool next_tier(int *tier, struct lq_kernels *kernels)
{
    for (; *tier < LQ_CPU_TIER_COUNT; ++*tier)
        if (lq_kernels_init(kernels, lq_cpu_detect() & ((2u << *tier) - 1)) == *tier)
            return true;
    return false;
}

/* One way to call the kernel: bits say what there is. */
enum { ADDS = 1, STORES_Y = 2, STORES_Z = 4, GOES_ON = 8, OFFSET = 16, IN_PLACE = 32, WAYS = 64 };

struct finished {
    struct guarded y, z;
};

static struct finished finish(const struct lq_kernels *kernels, struct lq_finish f,
                              struct lq_columns columns, int way, int pixels,
                              const struct guarded *sums, const struct guarded *addend)
{
    size_t bytes = (size_t)pixels * (size_t)f.channels * sizeof(float);
    struct finished result = {guard(bytes), guard(bytes)};
    const int32_t *from = as_ints(sums);
    const float *added = way & ADDS ? as_floats(addend) : NULL;

    if (!(way & GOES_ON))
        f.next_scale = f.next_shift = NULL;
    if (!(way & OFFSET))
        f.offset = NULL;
    memset(result.y.bytes, 0x55, bytes);
    memset(result.z.bytes, 0x55, bytes);
    if (way & IN_PLACE) { /* y over the addend, z over the sums */
        memcpy(result.z.bytes, sums->bytes, bytes);
        from = as_ints(&result.z);
        memcpy(result.y.bytes, addend->bytes, bytes);
        added = added ? as_floats(&result.y) : NULL;
    }
    kernels->finish_sums(&f, columns, from, added, pixels,
                         way & STORES_Y ? as_floats(&result.y) : NULL,
                         way & STORES_Z ? as_floats(&result.z) : NULL);
    return result;
}

static void finished_deinit(struct finished *finished)
{
    unguard(&finished->y);
    unguard(&finished->z);
}

/* One NaN is as good as another. */
static void expect_float(float got, float expected, const char *what, int tier)
{
    if (!(isnan(got) && isnan(expected)))
        ck_assert_msg(memcmp(&got, &expected, sizeof(got)) == 0, "%s: %s %a, expected %a",
                      lq_cpu_tier_name((enum lq_cpu_tier)tier), what, got, expected);
}

/* Loop test: the way. What C makes of all columns is what the tier makes of some; others stay. */
START_TEST(tiers_finish_alike)
{
    static const struct lq_clamp clamps[] = {
        {-INFINITY, INFINITY}, {0, INFINITY}, {0, 6}, {-0.f, 0}};

    for (int trial = 0; trial < 60; trial++) {
        int channels = rand() % MAX_CHANNELS + 1, pixels = rand() % MAX_PIXELS + 1;
        size_t row = (size_t)channels, count = row * (size_t)pixels;
        struct lq_columns columns = some_columns(channels), none = {0, 0}, each = {0, channels};
        struct guarded sums = some_sums(count), offset = some_sums(row),
                       addend = some_floats(count);
        struct guarded scale = some_floats(row), shift = some_floats(row);
        struct guarded next_scale = some_floats(row), next_shift = some_floats(row);
        struct lq_finish f = {.channels = channels,
                              .offset = as_ints(&offset),
                              .scale = as_floats(&scale),
                              .shift = as_floats(&shift),
                              .next_scale = as_floats(&next_scale),
                              .next_shift = as_floats(&next_shift),
                              .first = clamps[rand() % 4],
                              .added = clamps[rand() % 4],
                              .next = clamps[rand() % 4]};
        struct lq_kernels kernels;

        lq_kernels_init(&kernels, 1u << LQ_CPU_C);
        struct finished before = finish(&kernels, f, none, _i, pixels, &sums, &addend);
        struct finished expected =
            finish(&kernels, f, each, _i & ~IN_PLACE, pixels, &sums, &addend);
        for (int tier = 0; next_tier(&tier, &kernels); tier++) {
            struct finished got = finish(&kernels, f, columns, _i, pixels, &sums, &addend);

            for (size_t i = 0; i < count; i++) {
                int c = (int)(i % row);
                bool there = columns.from <= c && c < columns.to;
                const struct finished *y = there && _i & STORES_Y ? &expected : &before;
                const struct finished *z = there && _i & STORES_Z ? &expected : &before;

                expect_float(as_floats(&got.y)[i], as_floats(&y->y)[i], "y", tier);
                expect_float(as_floats(&got.z)[i], as_floats(&z->z)[i], "z", tier);
            }
            finished_deinit(&got);
        }
        finished_deinit(&before);
        finished_deinit(&expected);
        struct guarded *all[] = {&sums, &offset, &addend, &scale, &shift, &next_scale, &next_shift};
        for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
            unguard(all[i]);
    }
}
END_TEST

static int ascending(const void *a, const void *b)
{
    const float *x = a, *y = b;

    return isnan(*x) != isnan(*y) ? isnan(*x) - isnan(*y) : (*x > *y) - (*x < *y);
}

/* Factors of struct lq_values, thresholds that few or all values pass among them. */
static struct guarded some_factors(const struct lq_values *v)
{
    enum { MOST = (1 << LQ_VALUE_BITS) - 1 };
    size_t lanes = LQ_VALUE_LANES, count = ((size_t)1 << v->bits) - 1;
    struct guarded factors = some_floats((size_t)v->channels / lanes * v->block);

    for (size_t c = 0; c < (size_t)v->channels; c++) {
        float *of = as_floats(&factors) + c / lanes * v->block + c % lanes, thresholds[MOST];
        int32_t offset = rand() % 201 - 100;
        uint32_t sign = rand() % 2 ? UINT32_C(1) << 31 : 0;

        memcpy(&of[2 * lanes], &offset, sizeof(offset));
        memcpy(&of[3 * lanes], &sign, sizeof(sign));
        for (size_t i = 0; i < count; i++)
            thresholds[i] = rand() % 8 ? some_float() * (float)(rand() % 2000) : NAN;
        qsort(thresholds, count, sizeof(*thresholds), ascending);
        for (size_t i = 0; i < count; i++)
            of[(LQ_VALUE_FACTORS + i) * lanes] = thresholds[i];
    }
    return factors;
}

/* What the reference makes of all columns is what the tier makes of some; others stay. way: bits of
 * ADDS, STORES_Y, IN_PLACE. */
static void expect_codes(const struct lq_kernels *kernels, int tier, const struct lq_values *v,
                         int way, const struct guarded *sums, const struct guarded *addend,
                         int pixels)
{
    size_t channels = (size_t)v->channels, count = (size_t)pixels * channels;
    size_t bytes = v->form == LQ_CODE_HALVES ? channels / 4 : channels;
    struct lq_columns columns = some_columns(v->channels), each = {0, v->channels};
    struct guarded x = guard(count * sizeof(float)), expected_x = guard(count * sizeof(float));
    struct guarded codes = guard(bytes * (size_t)pixels), expected = guard(bytes * (size_t)pixels);
    const float *added = way & ADDS ? as_floats(addend) : NULL;

    memcpy(x.bytes, addend->bytes, count * sizeof(float));
    memset(codes.bytes, 0x55, bytes * (size_t)pixels);
    lq_finish_codes_c(v, each, as_ints(sums), added, pixels, as_floats(&expected_x), bytes,
                      expected.bytes);
    kernels->finish_codes(v, columns, as_ints(sums),
                          added && way & IN_PLACE ? as_floats(&x) : added, pixels,
                          way & STORES_Y ? as_floats(&x) : NULL, bytes, codes.bytes);
    for (size_t i = 0; i < count; i++) {
        int c = (int)(i % channels);
        bool there = columns.from <= c && c < columns.to;

        expect_float(as_floats(&x)[i], as_floats(there && way & STORES_Y ? &expected_x : addend)[i],
                     "x", tier);
    }
    for (size_t i = 0; i < bytes * (size_t)pixels; i++) {
        int c = (int)(i % bytes * (channels / bytes));
        bool there = columns.from <= c && c < columns.to;

        ck_assert_msg(codes.bytes[i] == (there ? expected.bytes[i] : 0x55),
                      "%s: %d bits, channel %d: %d, expected %d",
                      lq_cpu_tier_name((enum lq_cpu_tier)tier), v->bits, c, codes.bytes[i],
                      expected.bytes[i]);
    }
    unguard(&x);
    unguard(&expected_x);
    unguard(&codes);
    unguard(&expected);
}

/* Loop test: the bits of a code; 0: half words of 2. */
START_TEST(tiers_make_codes_alike)
{
    static const struct lq_clamp clamps[] = {{-INFINITY, INFINITY}, {0, INFINITY}, {-3, 6}};

    for (int trial = 0; trial < 300; trial++) {
        int bits = _i > 0 ? _i : 2, pixels = rand() % MAX_PIXELS + 1, swapped = rand() % 2;
        int way = rand() % WAYS;
        bool plain = rand() % 2;
        struct lq_values v = {.channels = (rand() % 9 + 1) * LQ_VALUE_LANES,
                              .bits = bits,
                              .form = _i > 0 ? LQ_CODE_BYTES : LQ_CODE_HALVES,
                              .entries = {0, swapped ? 2 : 1, swapped ? 1 : 2, 3},
                              .first = clamps[plain ? 0 : rand() % 3],
                              .added = clamps[plain ? 0 : rand() % 3],
                              .next = clamps[plain ? 0 : rand() % 3],
                              .scales = !plain && rand() % 2};
        size_t count = (size_t)(pixels * v.channels);

        for (int i = 0; _i > 0 && i < 1 << bits; i++)
            v.entries[i] = rand() % 256;
        v.block =
            (size_t)(LQ_VALUE_FACTORS + (1 << bits) - 1 + (v.scales ? 2 : 0)) * LQ_VALUE_LANES;
        struct guarded factors = some_factors(&v), sums = some_sums(count);
        struct guarded addend = some_floats(count);
        struct lq_kernels kernels;

        v.factors = as_floats(&factors);
        for (int tier = 0; next_tier(&tier, &kernels); tier++)
            expect_codes(&kernels, tier, &v, way, &sums, &addend, pixels);
        unguard(&factors);
        unguard(&sums);
        unguard(&addend);
    }
}
END_TEST

/* The largest of what the definition lists, tap by tap. */
static int32_t pooled(const struct lq_sums_pool *p, const int32_t *sums, int out, int c)
{
    int32_t sign = p->signs ? p->signs[c] : 1;
    int64_t most = INT64_MIN;

    for (int line = 0; line < p->lines; line++)
        for (int tap = 0; tap < p->kernel; tap++) {
            int x = out * p->stride - p->pad + tap;

            if (x < 0 || x >= p->width)
                continue;
            int64_t sum =
                (int64_t)sign * sums[(size_t)line * p->line + (size_t)(x * p->channels + c)];
            most = sum > most ? sum : most;
        }
    return (int32_t)(sign * most);
}

START_TEST(tiers_pool_alike)
{
    for (int trial = 0; trial < 300; trial++) {
        struct lq_sums_pool p = {.channels = rand() % MAX_CHANNELS + 1,
                                 .lines = rand() % 3 + 1,
                                 .width = rand() % 6 + 1,
                                 .kernel = rand() % 4 + 1,
                                 .stride = rand() % 3 + 1};
        struct lq_kernels kernels;

        p.columns.from = rand() % p.channels / LQ_COLUMN_STEP * LQ_COLUMN_STEP;
        p.columns.to = p.columns.from + rand() % (p.channels - p.columns.from) + 1;
        p.pad = rand() % p.kernel;
        p.out_width = (p.width - 1 + p.pad) / p.stride + 1;
        p.line = (size_t)(p.width * p.channels + rand() % 5);
        struct guarded sums =
            some_sums((size_t)(p.lines - 1) * p.line + (size_t)(p.width * p.channels));
        struct guarded signs = guard((size_t)p.channels * sizeof(int32_t));
        size_t bytes = (size_t)(p.out_width * p.channels) * sizeof(int32_t);
        struct guarded got = guard(bytes);

        for (int c = 0; c < p.channels; c++)
            as_ints(&signs)[c] = rand() % 2 * 2 - 1;
        p.signs = trial % 2 ? as_ints(&signs) : NULL;
        for (int tier = 0; next_tier(&tier, &kernels); tier++) {
            memset(got.bytes, 0x55, bytes);
            kernels.pool_sums(&p, as_ints(&sums), as_ints(&got));
            for (int i = 0; i < p.out_width * p.channels; i++) {
                int c = i % p.channels;
                bool wanted = c >= p.columns.from && c < p.columns.to;

                ck_assert_int_eq(as_ints(&got)[i],
                                 wanted ? pooled(&p, as_ints(&sums), i / p.channels, c)
                                        : 0x55555555);
            }
        }
        unguard(&sums);
        unguard(&signs);
        unguard(&got);
    }
}
END_TEST

/* The order that the contract states. */
static float dot(const float *w, const float *x, int length)
{
    float lanes[16] = {0};

    for (int k = 0; k < length; k++)
        lanes[k % 16] += w[k] * x[k];
    for (int i = 0; i < 8; i++)
        lanes[i] += lanes[i + 8];
    for (int i = 0; i < 4; i++)
        lanes[i] += lanes[i + 4];
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
}

START_TEST(tiers_multiply_alike)
{
    for (int trial = 0; trial < 200; trial++) {
        int rows = rand() % 10 + 1, length = rand() % 100 + 1;
        size_t count = (size_t)rows * (size_t)length;
        struct guarded w = guard(count * sizeof(float)), x = guard((size_t)length * sizeof(float));
        struct guarded got = guard((size_t)rows * sizeof(float));
        struct lq_kernels kernels;

        for (size_t i = 0; i < count; i++)
            as_floats(&w)[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        for (int k = 0; k < length; k++)
            as_floats(&x)[k] = rand() % 4 ? (float)rand() / (float)RAND_MAX : -0.f;
        for (int tier = 0; next_tier(&tier, &kernels); tier++) {
            kernels.dense_floats(as_floats(&w), as_floats(&x), rows, length, as_floats(&got));
            for (int row = 0; row < rows; row++) {
                float expected =
                    dot(as_floats(&w) + (size_t)row * (size_t)length, as_floats(&x), length);

                ck_assert_mem_eq(&as_floats(&got)[row], &expected, sizeof(expected));
            }
        }
        unguard(&w);
        unguard(&x);
        unguard(&got);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("finish");

    tiers_print();
    tcase_add_loop_test(tests, tiers_finish_alike, 0, WAYS);
    tcase_add_loop_test(tests, tiers_make_codes_alike, 0, LQ_VALUE_BITS + 1);
    tcase_add_test(tests, tiers_pool_alike);
    tcase_add_test(tests, tiers_multiply_alike);
    return suite_main("finish", tests);
}
