/* test_duos.c - transforms of duos of results, of every tier, on random and extreme levels, at the
 * edge of a page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/guard.h"
#include "support/suite.h"
#include "support/tiers.h"

/* B' d of a duo's pixels, `channels` apart. */
static int point_of(const uint8_t *d, size_t channels, int point)
{
    switch (point) {
    case 0:
        return d[0] - d[2 * channels];
    case 1:
        return d[channels] + d[2 * channels];
    case 2:
        return d[2 * channels] - d[channels];
    default:
        return d[channels] - d[3 * channels];
    }
}

static void expect_points(const struct lq_duo_line *line, const uint8_t *points,
                          const int32_t *pixels, const char *tier)
{
    size_t channels = (size_t)line->channels, duos = (size_t)line->count;

    for (size_t i = 0; i < LQ_DUO_POINTS * duos * channels; i++) {
        size_t duo = i / channels % duos, c = i % channels, point = i / channels / duos;
        int right = point_of(line->levels + 2 * duo * channels + c, channels, (int)point) +
                    (point == 1 ? 0 : line->top);
        int got = points[point * line->point + duo * line->duo + c];

        ck_assert_msg(got == right,
                      "tier %s, %d channels, %d duos: point %zu of duo %zu is %d, not %d", tier,
                      line->channels, line->count, point, duo, got, right);
    }
    for (size_t pixel = 0; pixel < 2 * duos + 2; pixel++) {
        int sum = 0;

        for (size_t c = 0; c < channels; c++)
            sum += line->levels[pixel * channels + c];
        ck_assert_msg(pixels[pixel] == sum, "tier %s, %d channels: pixel %zu has %d, not %d", tier,
                      line->channels, pixel, pixels[pixel], sum);
    }
}

/* Loop test. */
START_TEST(points_are_as_defined)
{
    struct lq_kernels kernels;
    int channels = LQ_DUO_LANES * (1 + below(6)), count = 1 + below(20);
    int top = below(3) ? 1 + below(LQ_DUO_LEVEL) : LQ_DUO_LEVEL;
    bool extreme = below(2) == 0;
    size_t size = (size_t)(2 * count + 2) * (size_t)channels;
    struct guarded levels = guard(size);
    struct guarded pixels = guard((size_t)(2 * count + 2) * sizeof(int32_t));
    size_t duo = (size_t)channels * (size_t)(1 + below(3)),
           point = duo * (size_t)(count + below(3));
    struct guarded points = guard(3 * point + (size_t)(count - 1) * duo + (size_t)channels);
    struct lq_duo_line line = {channels, count, top, levels.bytes, point, duo};

    for (size_t i = 0; i < size; i++)
        levels.bytes[i] = (uint8_t)(extreme ? top * below(2) : below(top + 1));
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        kernels.duos.points(&line, points.bytes, as_ints(&pixels));
        expect_points(&line, points.bytes, as_ints(&pixels),
                      lq_cpu_tier_name((enum lq_cpu_tier)tier));
    }
    unguard(&levels);
    unguard(&pixels);
    unguard(&points);
}
END_TEST

static int random_sum(void)
{
    return below(1 << 30) - (1 << 29);
}

static void fill(const struct guarded *ints, size_t count)
{
    for (size_t i = 0; i < count; i++)
        as_ints(ints)[i] = random_sum() / 8;
}

/* A' of the products of result x, less its offset, and what its window adds. */
static int32_t result_of(const struct lq_duo_products *p, size_t x, size_t column)
{
    const int32_t *m = p->products + x / 2 * p->duo + column;
    int32_t of_window = p->odd[column] ? p->windows[x] : 0;

    if (x % 2 == 0)
        return 2 * m[0] + m[p->point] + m[2 * p->point] - p->offsets[column] + of_window;
    return m[p->point] - m[2 * p->point] - 2 * m[3 * p->point] -
           p->offsets[p->offset_stride + column] + of_window;
}

/* Loop test: results are where they belong, and nothing else was written. */
START_TEST(sums_are_as_defined)
{
    struct lq_kernels kernels;
    size_t width = 1 + (size_t)below(20), pixel = LQ_DUO_COLUMNS + (size_t)below(3);
    size_t duos = (width + 1) / 2, duo = LQ_DUO_COLUMNS * (size_t)(1 + below(3));
    size_t point = (duos + (size_t)below(3)) * duo;
    size_t offsets_count = LQ_DUO_COLUMNS + LQ_DUO_COLUMNS + (size_t)below(9);
    size_t products_count = 3 * point + (duos - 1) * duo + LQ_DUO_COLUMNS;
    size_t count = (width - 1) * pixel + LQ_DUO_COLUMNS;
    struct guarded products = guard(products_count * sizeof(int32_t));
    struct guarded offsets = guard(offsets_count * sizeof(int32_t));
    struct guarded windows = guard(width * sizeof(int32_t));
    struct guarded odd = guard(LQ_DUO_COLUMNS * sizeof(int32_t));
    struct guarded got = guard(count * sizeof(int32_t));
    struct lq_duo_products p = {.width = (int)width,
                                .products = as_ints(&products),
                                .point = point,
                                .duo = duo,
                                .offsets = as_ints(&offsets),
                                .offset_stride = offsets_count - LQ_DUO_COLUMNS,
                                .windows = as_ints(&windows),
                                .odd = as_ints(&odd),
                                .pixel = pixel,
                                .sums = as_ints(&got)};

    fill(&products, products_count);
    fill(&offsets, offsets_count);
    fill(&windows, width);
    for (size_t c = 0; c < LQ_DUO_COLUMNS; c++)
        as_ints(&odd)[c] = -below(2);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier)
            continue;
        memset(got.bytes, 0x5a, count * sizeof(int32_t));
        kernels.duos.sums(&p);
        for (size_t i = 0; i < count; i++) {
            size_t x = i / pixel, column = i % pixel;
            int32_t right = column < LQ_DUO_COLUMNS ? result_of(&p, x, column) : 0x5a5a5a5a;

            ck_assert_msg(as_ints(&got)[i] == right,
                          "tier %s, width %zu: result %zu of column %zu is %d, not %d",
                          lq_cpu_tier_name((enum lq_cpu_tier)tier), width, x, column,
                          as_ints(&got)[i], right);
        }
    }
    unguard(&products);
    unguard(&offsets);
    unguard(&windows);
    unguard(&odd);
    unguard(&got);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("duos");

    tiers_print();
    tcase_add_loop_test(tests, points_are_as_defined, 0, 50);
    tcase_add_loop_test(tests, sums_are_as_defined, 0, 50);
    return suite_main("duos", tests);
}
