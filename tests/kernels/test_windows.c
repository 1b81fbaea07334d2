/* test_windows.c - float convolutions of training and Winograd's transforms: every tier against C,
 * bit for bit, at the edge of a page; C against the definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/guard.h"
#include "support/suite.h"

static float some(void)
{
    return (float)(below(2001) - 1000) / 512.0f;
}

static struct guarded filled(size_t count)
{
    struct guarded g = guard(count * sizeof(float));

    for (size_t i = 0; i < count; i++)
        as_floats(&g)[i] = some();
    return g;
}

/* Windows with room between and behind; floats of both maps. */
static void make_windows(struct lq_windows *w, size_t *ret_a, size_t *ret_y)
{
    *w = (struct lq_windows){.images = below(3) + 1,
                             .height = below(4) + 1,
                             .width = below(14) + 1,
                             .taps_h = below(3) + 1,
                             .taps_w = below(3) + 1,
                             .run = below(30) + 1,
                             .n = below(50) + 1};
    if (below(8) == 0) { /* a run that is cut into blocks */
        w->images = w->height = 1;
        w->run = below(700) + 1;
    }
    size_t run = (size_t)w->run, n = (size_t)w->n;

    w->tap_step = run + (size_t)below(5);
    w->tap_line = w->tap_step * (size_t)w->taps_w + (size_t)below(5);
    w->a_step = (size_t)below(2 * w->run);
    w->a_line = w->a_step * (size_t)w->width + (size_t)below(9);
    w->a_image = w->a_line * (size_t)w->height + (size_t)below(9);
    w->y_step = n + (size_t)below(9);
    w->y_line = w->y_step * (size_t)w->width + (size_t)below(9);
    w->y_image = w->y_line * (size_t)w->height + (size_t)below(9);
    size_t i = (size_t)w->images - 1, y = (size_t)w->height - 1, x = (size_t)w->width - 1;
    *ret_a = i * w->a_image + y * w->a_line + x * w->a_step +
             (size_t)(w->taps_h - 1) * w->tap_line + (size_t)(w->taps_w - 1) * w->tap_step + run;
    *ret_y = i * w->y_image + y * w->y_line + x * w->y_step + n;
}

static struct lq_kernels tier_kernels(int tier)
{
    struct lq_kernels kernels;

    lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1));
    return kernels;
}

START_TEST(test_product)
{
    for (int round = 0; round < 50; round++) {
        struct lq_windows w;
        size_t a_count, y_count, w_count;
        bool add = below(2);

        make_windows(&w, &a_count, &y_count);
        w_count =
            (size_t)lq_window_length(&w) * (size_t)lq_panels(w.n, LQ_FLOAT_LANES) * LQ_FLOAT_LANES;
        struct guarded a = filled(a_count), weights = filled(w_count), start = filled(y_count);
        struct guarded expected = guard(y_count * sizeof(float));

        w.a = as_floats(&a);
        memcpy(expected.bytes, start.bytes, y_count * sizeof(float));
        lq_windows_product_c(&w, as_floats(&weights), add, as_floats(&expected));
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels = tier_kernels(tier);
            struct guarded got = guard(y_count * sizeof(float));

            memcpy(got.bytes, start.bytes, y_count * sizeof(float));
            kernels.windows_product(&w, as_floats(&weights), add, as_floats(&got));
            ck_assert_mem_eq(got.bytes, expected.bytes, y_count * sizeof(float));
            unguard(&got);
        }
        unguard(&a);
        unguard(&weights);
        unguard(&start);
        unguard(&expected);
    }
}
END_TEST

/* Columns that are there. */
static void compare_sums(const struct lq_windows *w, const float *got, const float *expected)
{
    size_t length = (size_t)lq_window_length(w);

    for (int n = 0; n < w->n; n++)
        for (size_t k = 0; k < length; k++) {
            size_t at = ((size_t)(n / LQ_FLOAT_LANES) * length + k) * LQ_FLOAT_LANES +
                        (size_t)(n % LQ_FLOAT_LANES);

            ck_assert_mem_eq(&got[at], &expected[at], sizeof(float));
        }
}

START_TEST(test_outer)
{
    for (int round = 0; round < 50; round++) {
        struct lq_windows w;
        size_t a_count, y_count, count;

        make_windows(&w, &a_count, &y_count);
        count =
            (size_t)lq_window_length(&w) * (size_t)lq_panels(w.n, LQ_FLOAT_LANES) * LQ_FLOAT_LANES;
        struct guarded a = filled(a_count), y = filled(y_count), start = filled(count);
        struct guarded expected = guard(count * sizeof(float));

        w.a = as_floats(&a);
        memcpy(expected.bytes, start.bytes, count * sizeof(float));
        lq_windows_outer_c(&w, as_floats(&y), as_floats(&expected));
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels = tier_kernels(tier);
            struct guarded got = guard(count * sizeof(float));

            memcpy(got.bytes, start.bytes, count * sizeof(float));
            kernels.windows_outer(&w, as_floats(&y), as_floats(&got));
            compare_sums(&w, as_floats(&got), as_floats(&expected));
            unguard(&got);
        }
        unguard(&a);
        unguard(&y);
        unguard(&start);
        unguard(&expected);
    }
}
END_TEST

enum { MAX_CHANNELS = 45 };

/* B' and A' of the definition. */
static const double patch_matrix[LQ_PATCH][LQ_PATCH] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0},
                                                        {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0},
                                                        {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
static const double result_matrix[LQ_TILE][LQ_PATCH] = {
    {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};

/* A patch or tile of `size` lines whose first and last columns are off the map. */
static struct lq_patch make_patch(int size, int channels, const struct guarded *lines)
{
    struct lq_patch patch = {.channels = channels,
                             .first = below(2),
                             .last = size - below(2),
                             .pixel = (size_t)channels};

    for (int i = 0; i < size; i++) /* up to the end of the page */
        patch.lines[i] =
            as_floats(lines) +
            (size_t)((i * LQ_PATCH + LQ_PATCH - (patch.last - patch.first)) * channels);
    return patch;
}

/* m d m' with m [LQ_PATCH][size], or its transpose. */
static double transformed(const struct lq_patch *patch, int size, int c, int y, int x)
{
    double sum = 0;

    for (int i = 0; i < size; i++)
        for (int j = patch->first; j < patch->last; j++) {
            double d = (double)patch->lines[i][(size_t)((j - patch->first) * patch->channels + c)];

            sum += size == LQ_PATCH ? patch_matrix[y][i] * patch_matrix[x][j] * d
                                    : result_matrix[i][y] * result_matrix[j][x] * d;
        }
    return sum;
}

static void check_patch(int size)
{
    int channels = below(MAX_CHANNELS) + 1;
    size_t point = (size_t)channels + (size_t)below(20), count = 35 * point + (size_t)channels;
    struct guarded lines = filled((size_t)(size * LQ_PATCH * channels));
    struct lq_patch patch = make_patch(size, channels, &lines);
    struct guarded expected = guard(count * sizeof(float));
    struct lq_winograd c;

    lq_winograd_c(&c);
    (size == LQ_PATCH ? c.patch : c.tile)(&patch, point, as_floats(&expected));
    for (int i = 0; i < LQ_POINTS; i++)
        for (int j = 0; j < channels; j++)
            ck_assert_double_eq_tol((double)as_floats(&expected)[(size_t)i * point + (size_t)j],
                                    transformed(&patch, size, j, i / LQ_PATCH, i % LQ_PATCH), 1e-3);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct lq_kernels kernels = tier_kernels(tier);
        struct guarded got = guard(count * sizeof(float));

        (size == LQ_PATCH ? kernels.winograd.patch : kernels.winograd.tile)(&patch, point,
                                                                            as_floats(&got));
        ck_assert_mem_eq(got.bytes, expected.bytes, count * sizeof(float));
        unguard(&got);
    }
    unguard(&lines);
    unguard(&expected);
}

START_TEST(test_patch)
{
    for (int round = 0; round < 200; round++)
        check_patch(round % 2 ? LQ_PATCH : LQ_TILE);
}
END_TEST

static double result_at(const float *points, size_t point, int y, int x)
{
    double sum = 0;

    for (int i = 0; i < LQ_PATCH; i++)
        for (int j = 0; j < LQ_PATCH; j++)
            sum += result_matrix[y][i] * result_matrix[x][j] *
                   (double)points[(size_t)(i * LQ_PATCH + j) * point];
    return sum;
}

START_TEST(test_result)
{
    for (int round = 0; round < 200; round++) {
        int channels = below(MAX_CHANNELS) + 1;
        size_t point = (size_t)channels + (size_t)below(20);
        size_t count = 35 * point + (size_t)channels, line = (size_t)(LQ_TILE * channels);
        struct guarded points = filled(count), start = filled(LQ_TILE * line);
        struct lq_tile_result r = {.channels = channels,
                                   .height = below(LQ_TILE) + 1,
                                   .width = below(LQ_TILE) + 1,
                                   .add = below(2),
                                   .pixel = (size_t)channels};

        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels = tier_kernels(tier);
            struct guarded got = guard(LQ_TILE * line * sizeof(float));

            memcpy(got.bytes, start.bytes, LQ_TILE * line * sizeof(float));
            for (size_t i = 0; i < LQ_TILE; i++)
                r.lines[i] = as_floats(&got) + i * line;
            kernels.winograd.result(&r, point, as_floats(&points));
            for (int y = 0; y < LQ_TILE; y++)
                for (int x = 0; x < LQ_TILE; x++)
                    for (int c = 0; c < channels; c++) {
                        size_t at = (size_t)y * line + (size_t)(x * channels + c);
                        double old = (double)as_floats(&start)[at];
                        double new = result_at(as_floats(&points) + c, point, y, x);
                        bool there = y < r.height && x < r.width;

                        ck_assert_double_eq_tol((double)as_floats(&got)[at],
                                                there ? new + (r.add ? old : 0) : old, 1e-3);
                    }
            unguard(&got);
        }
        unguard(&points);
        unguard(&start);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("windows");

    tcase_add_test(tests, test_product);
    tcase_add_test(tests, test_outer);
    tcase_add_test(tests, test_patch);
    tcase_add_test(tests, test_result);
    return suite_main("windows", tests);
}
