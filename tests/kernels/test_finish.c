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
#include "support/guard.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { MAX_CHANNELS = 70, MAX_PIXELS = 3 };

static float some_float(void)
{
    static const float special[] = {0, -0.f, INFINITY, -INFINITY, 1e-40f, 3e38f, -3e38f};

    return rand() % 6 ? (float)(rand() % 2001 - 1000) / 37 : special[rand() % 7];
}

static struct guarded some_floats(size_t count)
{
    struct guarded floats = guard(count * sizeof(float));

    for (size_t i = 0; i < count; i++)
        ((float *)(void *)floats.bytes)[i] = some_float();
    return floats;
}

static struct guarded some_sums(size_t count)
{
    struct guarded sums = guard(count * sizeof(int32_t));

    for (size_t i = 0; i < count; i++)
        ((int32_t *)(void *)sums.bytes)[i] = rand() % 8 ? rand() % 200001 - 100000 : 0;
    return sums;
}

static const float *floats_of(const struct guarded *memory)
{
    return (const float *)(const void *)memory->bytes;
}

static const int32_t *sums_of(const struct guarded *memory)
{
    return (const int32_t *)(const void *)memory->bytes;
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

static struct finished finish(const struct lq_kernels *kernels, struct lq_finish f, int way,
                              int pixels, const struct guarded *sums, const struct guarded *addend)
{
    size_t bytes = (size_t)pixels * (size_t)f.channels * sizeof(float);
    struct finished result = {guard(bytes), guard(bytes)};
    const int32_t *from = sums_of(sums);
    const float *added = way & ADDS ? floats_of(addend) : NULL;

    if (!(way & GOES_ON))
        f.next_scale = f.next_shift = NULL;
    if (!(way & OFFSET))
        f.offset = NULL;
    memset(result.y.bytes, 0x55, bytes);
    memset(result.z.bytes, 0x55, bytes);
    if (way & IN_PLACE) { /* y over the addend, z over the sums */
        memcpy(result.z.bytes, sums->bytes, bytes);
        from = sums_of(&result.z);
        memcpy(result.y.bytes, addend->bytes, bytes);
        added = added ? floats_of(&result.y) : NULL;
    }
    kernels->finish_sums(&f, from, added, pixels,
                         way & STORES_Y ? (float *)(void *)result.y.bytes : NULL,
                         way & STORES_Z ? (float *)(void *)result.z.bytes : NULL);
    return result;
}

static void finished_deinit(struct finished *finished)
{
    unguard(&finished->y);
    unguard(&finished->z);
}

/* Loop test: the way. */
START_TEST(tiers_finish_alike)
{
    static const struct lq_clamp clamps[] = {
        {-INFINITY, INFINITY}, {0, INFINITY}, {0, 6}, {-0.f, 0}};

    for (int trial = 0; trial < 60; trial++) {
        int channels = rand() % MAX_CHANNELS + 1, pixels = rand() % MAX_PIXELS + 1;
        size_t row = (size_t)channels, count = row * (size_t)pixels;
        struct guarded sums = some_sums(count), offset = some_sums(row),
                       addend = some_floats(count);
        struct guarded scale = some_floats(row), shift = some_floats(row);
        struct guarded next_scale = some_floats(row), next_shift = some_floats(row);
        struct lq_finish f = {.channels = channels,
                              .offset = sums_of(&offset),
                              .scale = floats_of(&scale),
                              .shift = floats_of(&shift),
                              .next_scale = floats_of(&next_scale),
                              .next_shift = floats_of(&next_shift),
                              .first = clamps[rand() % 4],
                              .added = clamps[rand() % 4],
                              .next = clamps[rand() % 4]};
        struct lq_kernels kernels;

        lq_kernels_init(&kernels, 1u << LQ_CPU_C);
        struct finished expected = finish(&kernels, f, _i & ~IN_PLACE, pixels, &sums, &addend);
        for (int tier = 0; next_tier(&tier, &kernels); tier++) {
            struct finished got = finish(&kernels, f, _i, pixels, &sums, &addend);

            for (size_t i = 0; i < count; i++) { /* one NaN is as good as another */
                float y[] = {floats_of(&expected.y)[i], floats_of(&got.y)[i]};
                float z[] = {floats_of(&expected.z)[i], floats_of(&got.z)[i]};

                if (_i & STORES_Y && !(isnan(y[0]) && isnan(y[1])))
                    ck_assert_msg(memcmp(&y[0], &y[1], sizeof(float)) == 0, "%s: y %a, expected %a",
                                  lq_cpu_tier_name(tier), y[1], y[0]);
                if (_i & STORES_Z && !(isnan(z[0]) && isnan(z[1])))
                    ck_assert_msg(memcmp(&z[0], &z[1], sizeof(float)) == 0, "%s: z %a, expected %a",
                                  lq_cpu_tier_name(tier), z[1], z[0]);
            }
            finished_deinit(&got);
        }
        finished_deinit(&expected);
        struct guarded *all[] = {&sums, &offset, &addend, &scale, &shift, &next_scale, &next_shift};
        for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
            unguard(all[i]);
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

        p.pad = rand() % p.kernel;
        p.out_width = (p.width - 1 + p.pad) / p.stride + 1;
        p.line = (size_t)(p.width * p.channels + rand() % 5);
        struct guarded sums =
            some_sums((size_t)(p.lines - 1) * p.line + (size_t)(p.width * p.channels));
        struct guarded signs = guard((size_t)p.channels * sizeof(int32_t));
        size_t bytes = (size_t)(p.out_width * p.channels) * sizeof(int32_t);
        struct guarded got = guard(bytes);

        for (int c = 0; c < p.channels; c++)
            ((int32_t *)(void *)signs.bytes)[c] = rand() % 2 * 2 - 1;
        p.signs = trial % 2 ? sums_of(&signs) : NULL;
        for (int tier = 0; next_tier(&tier, &kernels); tier++) {
            memset(got.bytes, 0x55, bytes);
            kernels.pool_sums(&p, sums_of(&sums), (int32_t *)(void *)got.bytes);
            for (int i = 0; i < p.out_width * p.channels; i++)
                ck_assert_int_eq(sums_of(&got)[i],
                                 pooled(&p, sums_of(&sums), i / p.channels, i % p.channels));
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
            ((float *)(void *)w.bytes)[i] = (float)rand() / (float)RAND_MAX - 0.5f;
        for (int k = 0; k < length; k++)
            ((float *)(void *)x.bytes)[k] = rand() % 4 ? (float)rand() / (float)RAND_MAX : -0.f;
        for (int tier = 0; next_tier(&tier, &kernels); tier++) {
            kernels.dense_floats(floats_of(&w), floats_of(&x), rows, length,
                                 (float *)(void *)got.bytes);
            for (int row = 0; row < rows; row++) {
                float expected =
                    dot(floats_of(&w) + (size_t)row * (size_t)length, floats_of(&x), length);

                ck_assert_mem_eq(&floats_of(&got)[row], &expected, sizeof(expected));
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
    tcase_add_test(tests, tiers_pool_alike);
    tcase_add_test(tests, tiers_multiply_alike);
    return suite_main("finish", tests);
}
