/* test_qem.c - the learned basis: known optima, hostile data.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/qem.h"

enum { SAMPLES = 200000 };

static float *values;

/* Quantiles of the standard normal distribution, by bisection: the same on every run. */
static void make_normal(void)
{
    double x = -6;

    values = malloc(SAMPLES * sizeof(*values));
    for (int i = 0; i < SAMPLES; i++) {
        double target = (i + 0.5) / SAMPLES, high = 6, low = x;

        for (int turn = 0; turn < 40; turn++) {
            double middle = 0.5 * (low + high);

            if (0.5 * erfc(-middle * M_SQRT1_2) < target)
                low = middle;
            else
                high = middle;
        }
        x = low;
        values[i] = (float)low;
    }
}

static void make_relu(void)
{
    make_normal();
    for (int i = 0; i < SAMPLES; i++)
        values[i] = fmaxf(values[i], 0);
}

/* Exactly `turns` alternations from a start; the error of the codes of the last turn under the
 * basis that was solved for them comes after encoding once more, as a user of the basis would. */
static double error_after(enum lq_code_kind kind, int bits, const float *start, int turns)
{
    struct lq_quantizer quantizer;
    struct lq_qem_stats stats;
    float basis[LQ_MAX_BITS];

    lq_quantizer_init(&quantizer, kind, bits, start);
    for (int turn = 0; turn <= turns; turn++) {
        memset(&stats, 0, sizeof(stats));
        ck_assert_int_eq(lq_qem_add(&quantizer, values, SAMPLES, &stats, NULL), LQ_OK);
        if (turn < turns) {
            lq_qem_solve(&quantizer, &stats, basis);
            lq_quantizer_init(&quantizer, kind, bits, basis);
        }
    }
    return lq_qem_relative_error(&quantizer, &stats);
}

/* From the authors' start for weights of unit variance (a fan of 2): relative squared errors after
 * 1, 5 and 20 alternations on normal weights. */
START_TEST(normal_weights_by_turns)
{
    const int turns[3] = {1, 5, 20};
    const double expected[3][3] = {
        {0.1306, 0.1177, 0.1175}, {0.0653, 0.0414, 0.0370}, {0.0445, 0.0190, 0.0118}};
    float start[LQ_MAX_BITS];

    make_normal();
    lq_qem_init_weights(_i, 2, start);
    for (int at = 0; at < 3; at++) {
        double error = error_after(LQ_CODE_SIGNED, _i, start, turns[at]);

        printf("weights %d bits, %2d turns: %.4f, expected %.4f\n", _i, turns[at], error,
               expected[_i - 2][at]);
        ck_assert_double_eq_tol(error, expected[_i - 2][at], 0.01 * expected[_i - 2][at]);
    }
    free(values);
}
END_TEST

START_TEST(relu_activations_by_turns)
{
    const int turns[3] = {1, 5, 20};
    const double expected[2][3] = {{0.0619, 0.0480, 0.0469}, {0.0435, 0.0188, 0.0130}};
    float start[LQ_MAX_BITS];

    make_relu();
    lq_qem_init_activations(_i, start);
    for (int at = 0; at < 3; at++) {
        double error = error_after(LQ_CODE_UNSIGNED, _i, start, turns[at]);

        printf("activations %d bits, %2d turns: %.4f, expected %.4f\n", _i, turns[at], error,
               expected[_i - 2][at]);
        ck_assert_double_eq_tol(error, expected[_i - 2][at], 0.01 * expected[_i - 2][at]);
    }
    free(values);
}
END_TEST

/* Several starts reach what one start reaches, or better; never below the best quantizer with free
 * levels (Lloyd-Max, Max 1960: .1175, .03454, .009497). */
START_TEST(normal_weights)
{
    const double one_start[] = {0.1175, 0.0370, 0.0115},
                 free_levels[] = {0.1175, 0.03454, 0.009497};
    float basis[LQ_MAX_BITS];
    double error;

    make_normal();
    ck_assert_int_eq(lq_qem_fit(LQ_CODE_SIGNED, _i, values, SAMPLES, 50, basis, &error, NULL),
                     LQ_OK);
    printf("weights %d bits, fit: %.5f\n", _i, error);
    ck_assert_double_le(error, 1.01 * one_start[_i - 2]);
    ck_assert_double_ge(error, 0.99 * free_levels[_i - 2]);
    free(values);
}
END_TEST

START_TEST(relu_activations)
{
    const double optimum[] = {0.0469, 0.0129};
    float basis[LQ_MAX_BITS];
    double error;

    make_relu();
    ck_assert_int_eq(lq_qem_fit(LQ_CODE_UNSIGNED, _i, values, SAMPLES, 50, basis, &error, NULL),
                     LQ_OK);
    ck_assert_double_eq_tol(error, optimum[_i - 2], 0.01 * optimum[_i - 2]);
    free(values);
}
END_TEST

/* Learned levels are never worse than even ones on the same data. */
START_TEST(learned_beats_even)
{
    float basis[LQ_MAX_BITS];
    double learned, even;

    make_normal();
    ck_assert_int_eq(lq_qem_fit(LQ_CODE_SIGNED, _i, values, SAMPLES, 50, basis, &learned, NULL),
                     LQ_OK);
    ck_assert_int_eq(lq_even_fit(LQ_CODE_SIGNED, _i, values, SAMPLES, 50, basis, &even, NULL),
                     LQ_OK);
    ck_assert_double_le(learned, even + 1e-9);
    for (int i = 1; i < _i; i++)
        ck_assert_float_eq_tol(basis[i], 2 * basis[i - 1], 1e-5f * fabsf(basis[i]));
    free(values);
}
END_TEST

/* Codes that no value takes leave B B^T singular; constants and zeros fit exactly where they can.
 */
START_TEST(degenerate_data)
{
    const float zeros[4] = {0}, constant[4] = {3, 3, 3, 3}, bad[3] = {1, NAN, 2};
    float basis[LQ_MAX_BITS] = {-7};
    double error = -1;
    struct lq_error failure = {0};

    ck_assert_int_eq(lq_qem_fit(LQ_CODE_UNSIGNED, _i, zeros, 4, 20, basis, &error, NULL), LQ_OK);
    ck_assert_double_eq(error, 0);
    for (int kind = 0; kind < 2; kind++) {
        ck_assert_int_eq(
            lq_qem_fit((enum lq_code_kind)kind, _i, constant, 4, 20, basis, &error, NULL), LQ_OK);
        ck_assert_double_lt(error, 1e-6);
        for (int i = 0; i < _i; i++)
            ck_assert(isfinite(basis[i]));
    }
    basis[0] = -7;
    ck_assert_int_eq(lq_qem_fit(LQ_CODE_SIGNED, _i, bad, 3, 20, basis, &error, &failure),
                     LQ_ERR_NUMERIC);
    ck_assert_str_eq(failure.text, "value 1 is nan");
    ck_assert_float_eq(basis[0], -7);
}
END_TEST

/* On any grid the learned basis is at least as good as the even one, and within the grid. */
START_TEST(grid_fit_beats_even)
{
    enum { N = 3000 };
    const int grids[] = {0, 31, 127, 1023};
    static float data[N];

    for (int trial = 0; trial < 8; trial++) {
        struct lq_grid_fit fit = {trial & 1 ? LQ_CODE_SIGNED : LQ_CODE_UNSIGNED, _i, 0, 30, false};
        struct lq_snapped_basis learned, even;
        double learned_error, even_error;
        int sum = 0;

        fit.grid = lq_grid_or_default(fit.kind, _i, grids[trial / 2]);
        for (int i = 0; i < N; i++) {
            data[i] = (float)(rand() % 2001 - 1000) * (float)(rand() % 1001) * 1e-6f;
            if (fit.kind == LQ_CODE_UNSIGNED)
                data[i] = fmaxf(data[i], 0);
        }
        ck_assert_int_eq(lq_qem_fit_grid(&fit, data, N, &learned, &learned_error, NULL), LQ_OK);
        fit.even = true;
        ck_assert_int_eq(lq_qem_fit_grid(&fit, data, N, &even, &even_error, NULL), LQ_OK);
        ck_assert_double_le(learned_error, even_error);
        for (int i = 0; i < _i; i++) {
            sum += abs(learned.integers[i]);
            ck_assert_int_eq(even.integers[i], even.integers[0] << i);
        }
        ck_assert_int_le(sum, fit.grid);
    }
}
END_TEST

/* After the first update the average is the first estimate, whatever the momentum. */
START_TEST(average_is_debiased)
{
    struct lq_basis_average average = {0};
    float basis[2];

    lq_basis_average_update(&average, 2, (const float[]){1, 4}, 0.9, basis);
    ck_assert_float_eq_tol(basis[1], 4, 1e-6f);
    lq_basis_average_update(&average, 2, (const float[]){2, 4}, 0.9, basis);
    ck_assert_float_eq_tol(basis[0], (0.09f * 1 + 0.1f * 2) / 0.19f, 1e-6f);
}
END_TEST

/* By hand: levels -3 -1 1 3 (basis 1, 2), values 2 2 -4: v = (B B^T + r I)^-1 (B x + r v). */
START_TEST(solve_by_hand)
{
    struct lq_quantizer quantizer;
    struct lq_qem_stats stats = {{0}, {0}, 0};
    const float data[3] = {2.5f, 2.5f, -4};
    float basis[2];

    lq_quantizer_init(&quantizer, LQ_CODE_SIGNED, 2, (const float[]){1, 2});
    ck_assert_int_eq(lq_qem_add(&quantizer, data, 3, &stats, NULL), LQ_OK);
    ck_assert_double_eq(stats.counts[3], 2);
    ck_assert_double_eq(stats.sums[0], -4);
    lq_qem_solve(&quantizer, &stats, basis);
    /* the data only fix v0 + v1 = 3; the ridge keeps v1 - v0 = 1 */
    ck_assert_float_eq_tol(basis[0], 1, 1e-3f);
    ck_assert_float_eq_tol(basis[1], 2, 1e-3f);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("qem");

    tcase_add_test(tests, average_is_debiased);
    tcase_add_test(tests, solve_by_hand);
    tcase_add_loop_test(tests, normal_weights_by_turns, 2, 5);
    tcase_add_loop_test(tests, relu_activations_by_turns, 2, 4);
    tcase_add_loop_test(tests, normal_weights, 2, 5);
    tcase_add_loop_test(tests, relu_activations, 2, 4);
    tcase_add_loop_test(tests, learned_beats_even, 1, LQ_MAX_BITS + 1);
    tcase_add_loop_test(tests, grid_fit_beats_even, 1, LQ_MAX_BITS + 1);
    tcase_add_loop_test(tests, degenerate_data, 1, LQ_MAX_BITS + 1);
    return suite_main("qem", tests);
}
