/* test_quantizer.c - levels, thresholds and encoding, by hand and by definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>

#include "support/suite.h"
#include "quant/quantizer.h"

/* Basis 1, 2 with bits 0/1: levels 0 1 2 3; a value on a threshold stays below. */
START_TEST(unsigned_by_hand)
{
    struct lq_quantizer q;

    lq_quantizer_init(&q, LQ_CODE_UNSIGNED, 2, (const float[]){1, 2});
    for (int at = 0; at < 4; at++) {
        ck_assert_float_eq(q.levels[at], (float)at);
        ck_assert_int_eq(q.codes[at], at);
    }
    ck_assert_int_eq(lq_quantizer_level(&q, 0.5f), 0);
    ck_assert_int_eq(lq_quantizer_level(&q, nextafterf(0.5f, 1)), 1);
    ck_assert_int_eq(lq_quantizer_level(&q, -INFINITY), 0);
    ck_assert_int_eq(lq_quantizer_level(&q, INFINITY), 3);
}
END_TEST

/* Basis 1, -3 with bits -1/+1: levels -4 -2 2 4; the lowest is not code 0. */
START_TEST(negative_basis_sorts_codes)
{
    const float levels[4] = {-4, -2, 2, 4};
    const int codes[4] = {2, 3, 0, 1};
    struct lq_quantizer q;

    lq_quantizer_init(&q, LQ_CODE_SIGNED, 2, (const float[]){1, -3});
    for (int at = 0; at < 4; at++) {
        ck_assert_float_eq(q.levels[at], levels[at]);
        ck_assert_int_eq(q.codes[at], codes[at]);
    }
}
END_TEST

/* Random snapped bases: what is decoded is integer times scale, and the nearest level is taken. */
START_TEST(snapped_is_nearest)
{
    struct lq_snapped_basis snapped = {
        _i % 2 ? LQ_CODE_SIGNED : LQ_CODE_UNSIGNED, _i / 2 + 1, 0, {0}, 0.037f};
    struct lq_quantizer q;

    for (int i = 0; i < snapped.bits; i++)
        snapped.integers[i] = (int16_t)(rand() % 201 - 60);
    lq_quantizer_init_snapped(&q, &snapped);
    for (int at = 0; at < 1 << snapped.bits; at++)
        ck_assert_float_eq(q.levels[at], (float)lq_code_level(&snapped, q.codes[at]) * 0.037f);
    for (int trial = 0; trial < 500; trial++) {
        float x = (float)(rand() % 20001 - 10000) * 0.003f, best = INFINITY;
        int level = lq_quantizer_level(&q, x);

        for (int at = 0; at < 1 << snapped.bits; at++)
            best = fminf(best, fabsf(x - q.levels[at]));
        ck_assert_float_le(fabsf(x - q.levels[level]), best + 1e-5f);
    }
}
END_TEST

START_TEST(grid_defaults)
{
    ck_assert_int_eq(lq_grid_or_default(LQ_CODE_SIGNED, 2, 0), 31);
    ck_assert_int_eq(lq_grid_or_default(LQ_CODE_SIGNED, 6, 0), 63);
    ck_assert_int_eq(lq_grid_or_default(LQ_CODE_UNSIGNED, 3, 0), 63);
    ck_assert_int_eq(lq_grid_or_default(LQ_CODE_UNSIGNED, 8, 63), 255);
}
END_TEST

/* Random bases on every grid: the bound holds and every level is within bits / 2 + 1 steps. */
START_TEST(snapping)
{
    const int grids[] = {0, 31, 63, 255, LQ_MAX_GRID};

    for (int trial = 0; trial < 500; trial++) {
        enum lq_code_kind kind = trial & 1 ? LQ_CODE_SIGNED : LQ_CODE_UNSIGNED;
        int grid = lq_grid_or_default(kind, _i, grids[trial % 5]), sum = 0;
        struct lq_snapped_basis snapped;
        float basis[LQ_MAX_BITS] = {0};

        for (int i = 0; i < _i; i++)
            basis[i] = (float)(rand() % 2001 - 500) * 1e-3f;
        basis[0] += 0.6f;
        lq_snap_basis(kind, _i, basis, grid, NULL, &snapped);
        for (int i = 0; i < _i; i++) {
            sum += abs(snapped.integers[i]);
            ck_assert_float_le(fabsf(basis[i] - (float)snapped.integers[i] * snapped.scale),
                               0.501f * snapped.scale);
        }
        ck_assert_int_le(sum, grid);
        ck_assert_int_ge(sum, 1);
    }
}
END_TEST

START_TEST(snapping_by_hand)
{
    struct lq_snapped_basis snapped;

    lq_snap_basis(LQ_CODE_UNSIGNED, 2, (const float[]){0.5f, 1.0f}, 3, NULL, &snapped);
    ck_assert_int_eq(snapped.integers[0], 1);
    ck_assert_int_eq(snapped.integers[1], 2);
    ck_assert_float_eq(snapped.scale, 0.5f);
    lq_snap_basis(LQ_CODE_SIGNED, 2, (const float[]){0, 0}, 14, NULL, &snapped);
    ck_assert_int_eq(snapped.integers[1], 2);
    ck_assert(snapped.scale > 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("quantizer");

    tcase_add_test(tests, unsigned_by_hand);
    tcase_add_test(tests, negative_basis_sorts_codes);
    tcase_add_loop_test(tests, snapped_is_nearest, 0, 16);
    tcase_add_test(tests, grid_defaults);
    tcase_add_loop_test(tests, snapping, 1, LQ_MAX_BITS + 1);
    tcase_add_test(tests, snapping_by_hand);
    return suite_main("quantizer", tests);
}
