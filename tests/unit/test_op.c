/* test_op.c - values of parameters, work, and names of operators.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/op.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
/* clang-format off */
#define SHAPE(rank, ...) {rank, {__VA_ARGS__}}
/* kernel, stride, dilation; pads: top, left, bottom, right */
#define WINDOW(k, s, d, t, l, b, r) {k, k, s, s, d, d, t, l, b, r}
/* clang-format on */

/* Values of parameters: 2 rows of 9 codes of 1 bit. */
START_TEST(bad_numbers_are_refused)
{
    uint8_t codes[4] = {0xff, 1, 0xff, 1};
    int16_t basis[2] = {5, -5};
    float scale[2] = {1, 2}, bias[2] = {0, 0};
    struct lq_tensor tensors[4] = {{"c", LQ_U8, {3, {1, 2, 2}}, codes},
                                   {"b", LQ_I16, {2, {2, 1}}, basis},
                                   {"s", LQ_F32, {1, {2}}, scale},
                                   {"o", LQ_F32, {1, {2}}, bias}};
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {[LQ_PARAM_CODES] = &tensors[0],
                                                      [LQ_PARAM_BASIS] = &tensors[1],
                                                      [LQ_PARAM_SCALE] = &tensors[2],
                                                      [LQ_PARAM_BIAS] = &tensors[3]};
    struct lq_attributes a = {.out_channels = 2, .bits = 1, .grid = 5};
    struct lq_shape input = SHAPE(1, 9), output;
    const struct {
        int row;
        float scale, bias;
        int16_t basis;
        uint8_t code;
        int status;
        const char *text;
    } cases[] = {
        {0, 1, 0, 5, 1, LQ_OK, ""},
        {1, 1e-30f, -1e30f, -5, 0, LQ_OK, ""},
        {0, 1, 0, 5, 3, LQ_ERR_INVALID,
         "parameter 'codes': unused bits at the end of a row are not zero"},
        {1, 1, 0, 5, 0x80, LQ_ERR_INVALID,
         "parameter 'codes': unused bits at the end of a row are not zero"},
        {1, 1, 0, -6, 1, LQ_ERR_INVALID, "parameter 'basis': row 1 sums to 6, the grid is 5"},
        {0, 1, 0, INT16_MIN, 1, LQ_ERR_INVALID,
         "parameter 'basis': row 0 sums to 32768, the grid is 5"},
        {0, 0, 0, 5, 1, LQ_ERR_INVALID,
         "parameter 'scale': element 0 is 0, expected more than 0 and times the grid finite"},
        {1, -1, 0, 5, 1, LQ_ERR_INVALID,
         "parameter 'scale': element 1 is -1, expected more than 0 and times the grid finite"},
        {1, 1e38f, 0, 5, 1, LQ_ERR_INVALID,
         "parameter 'scale': element 1 is 1e+38, expected more than 0 and times the grid finite"},
        {1, NAN, 0, 5, 1, LQ_ERR_NUMERIC, "tensor 's': element 1 is nan"},
        {0, 1, INFINITY, 5, 1, LQ_ERR_NUMERIC, "tensor 'o': element 0 is inf"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lq_error error = {0};
        int row = cases[i].row;

        for (int other = 0; other < 2; other++) {
            scale[other] = other == row ? cases[i].scale : 1;
            bias[other] = other == row ? cases[i].bias : 0;
            basis[other] = other == row ? cases[i].basis : 1;
            codes[2 * other + 1] = other == row ? cases[i].code : 0;
        }
        ck_assert_int_eq(lq_op_infer(LQ_OP_DENSE, &a, &input, 1, params, &output, &error),
                         cases[i].status);
        ck_assert_str_eq(error.text, cases[i].text);
    }
}
END_TEST

START_TEST(bad_variances_are_refused)
{
    float ones[3] = {1, 1, 1}, variance[3] = {1, 0, 2};
    struct lq_tensor one = {"one", LQ_F32, {1, {3}}, ones};
    struct lq_tensor variances = {"v", LQ_F32, {1, {3}}, variance};
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {[LQ_PARAM_GAMMA] = &one,
                                                      [LQ_PARAM_BETA] = &one,
                                                      [LQ_PARAM_MEAN] = &one,
                                                      [LQ_PARAM_VARIANCE] = &variances};
    struct lq_attributes a = {.epsilon = 0};
    struct lq_shape input = SHAPE(1, 3), output;
    const struct {
        float variance, epsilon;
        int status;
        const char *text;
    } cases[] = {
        {0, 1e-5f, LQ_OK, ""},
        {1, 0, LQ_OK, ""},
        {0, 0, LQ_ERR_INVALID,
         "parameter 'variance': element 1 is 0 with epsilon 0, expected at least 0, the sum more"},
        {-1e-6f, 1e-5f, LQ_ERR_INVALID,
         "parameter 'variance': element 1 is -1e-06 with epsilon 1e-05, expected at least 0, the "
         "sum more"},
        {1, -1e-5f, LQ_ERR_INVALID, "attribute epsilon is -1e-05, expected 0..1e6"},
        {1, INFINITY, LQ_ERR_INVALID, "attribute epsilon is inf, expected 0..1e6"},
        {INFINITY, 1e-5f, LQ_ERR_NUMERIC, "tensor 'v': element 1 is inf"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lq_error error = {0};

        variance[1] = cases[i].variance;
        a.epsilon = cases[i].epsilon;
        ck_assert_int_eq(lq_op_infer(LQ_OP_BATCH_NORM, &a, &input, 1, params, &output, &error),
                         cases[i].status);
        ck_assert_str_eq(error.text, cases[i].text);
    }
}
END_TEST

START_TEST(multiply_accumulates)
{
    struct lq_attributes stem = {.window = WINDOW(7, 2, 1, 3, 3, 3, 3), .groups = 1};
    struct lq_attributes depthwise = {.window = WINDOW(3, 1, 1, 1, 1, 1, 1), .groups = 32};
    struct lq_shape image = SHAPE(3, 224, 224, 3), half = SHAPE(3, 112, 112, 64),
                    thin = SHAPE(3, 112, 112, 32);
    struct lq_shape vector = SHAPE(1, 512), classes = SHAPE(1, 1000);
    struct lq_attributes none = {0};

    ck_assert_int_eq(lq_op_macs(LQ_OP_CONV, &stem, &image, &half), 118013952);
    ck_assert_int_eq(lq_op_macs(LQ_OP_CONV, &depthwise, &thin, &thin), 3612672);
    ck_assert_int_eq(lq_op_macs(LQ_OP_DENSE, &none, &vector, &classes), 512000);
    ck_assert_int_eq(lq_op_macs(LQ_OP_RELU, &none, &half, &half), 0);
    ck_assert_int_eq(lq_op_macs(LQ_OP_MAX_POOL, &stem, &half, &half), 0);
}
END_TEST

START_TEST(texts)
{
    for (int kind = 0; kind < LQ_OP_COUNT; kind++)
        ck_assert_int_eq(lq_op_from_text(lq_op_text((enum lq_op_kind)kind)), kind);
    for (int param = 0; param < LQ_PARAM_COUNT; param++)
        ck_assert_int_eq(lq_param_from_text(lq_param_text((enum lq_param)param)), param);
    ck_assert_int_eq(lq_op_from_text("conv"), LQ_OP_CONV);
    ck_assert_int_eq(lq_op_from_text("global_average_pool"), LQ_OP_GLOBAL_AVERAGE_POOL);
    ck_assert_int_eq(lq_param_from_text("variance"), LQ_PARAM_VARIANCE);
    ck_assert_int_eq(lq_op_from_text("Conv"), -1);
    ck_assert_int_eq(lq_op_from_text("convolution"), -1);
    ck_assert_int_eq(lq_op_from_text(""), -1);
    ck_assert_int_eq(lq_param_from_text("weights"), -1);
}
END_TEST

/* 2^30 outputs of 2^21 products each. */
START_TEST(work_is_limited)
{
    struct lq_attributes a = {
        .window = WINDOW(1024, 1, 1, 512, 512, 511, 511), .out_channels = 2, .groups = 1};
    struct lq_shape input = SHAPE(3, 1 << 20, 512, 2), output;
    float *weights = calloc((size_t)1 << 22, sizeof(*weights));
    struct lq_tensor weight = {"w", LQ_F32, SHAPE(4, 2, 1024, 1024, 2), weights};
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {[LQ_PARAM_WEIGHT] = &weight};
    struct lq_error error = {0};

    ck_assert_ptr_nonnull(weights);
    ck_assert_int_eq(lq_op_infer(LQ_OP_CONV, &a, &input, 1, params, &output, &error), LQ_ERR_LIMIT);
    ck_assert_str_eq(error.text, "more than 1125899906842624 multiply-accumulates");
    input.dims[0] = 1 << 19;
    ck_assert_int_eq(lq_op_infer(LQ_OP_CONV, &a, &input, 1, params, &output, NULL), LQ_OK);
    ck_assert_int_eq(lq_op_macs(LQ_OP_CONV, &a, &input, &output), INT64_C(1) << 50);
    free(weights);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("op");

    tcase_add_test(tests, texts);
    tcase_add_test(tests, multiply_accumulates);
    tcase_add_test(tests, work_is_limited);
    tcase_add_test(tests, bad_numbers_are_refused);
    tcase_add_test(tests, bad_variances_are_refused);
    return suite_main("op", tests);
}
