/* test_tensor.c - shapes are checked, printed, compared; bad numbers are named.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>

#include "tensor/tensor.h"

START_TEST(shapes)
{
    const struct lq_shape map = {3, {32, 32, 16}}, scalar = {0, {0}}, other = {3, {32, 32, 17}};
    char text[LQ_SHAPE_TEXT];

    ck_assert_int_eq(lq_shape_check(&map, NULL), LQ_OK);
    ck_assert_int_eq(lq_shape_elements(&map), 16384);
    ck_assert_str_eq(lq_shape_print(&map, text, sizeof(text)), "32x32x16");
    ck_assert_str_eq(lq_shape_print(&scalar, text, sizeof(text)), "scalar");
    ck_assert(lq_shape_equal(&map, &map));
    ck_assert(!lq_shape_equal(&map, &other));
}
END_TEST

START_TEST(hostile_shapes)
{
    const struct lq_shape bad[] = {
        {-1, {0}},
        {5, {1, 1, 1, 1}},
        {1, {0}},
        {1, {-3}},
        {1, {INT32_MAX}},
        {4, {1 << 24, 1 << 24, 1 << 24, 1 << 24}},
        {2, {1 << 20, 1 << 11}},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_int_eq(lq_shape_check(&bad[i], NULL), LQ_ERR_LIMIT);
}
END_TEST

START_TEST(numbers_and_types)
{
    const float values[3] = {0, 1, NAN};
    struct lq_tensor tensor = {"conv1.weight", LQ_F32, {1, {3}}, values};
    struct lq_error error = {0};

    ck_assert_uint_eq(lq_tensor_bytes(&tensor), 12);
    ck_assert_int_eq(lq_tensor_check_finite(&tensor, &error), LQ_ERR_NUMERIC);
    ck_assert_str_eq(error.text, "tensor 'conv1.weight': element 2 is nan");
    tensor.shape.dims[0] = 2;
    ck_assert_int_eq(lq_tensor_check_finite(&tensor, NULL), LQ_OK);
    ck_assert_int_eq(lq_dtype_from_text("I16"), LQ_I16);
    ck_assert_int_eq(lq_dtype_from_text("BF16"), -1);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("tensor");

    tcase_add_test(tests, shapes);
    tcase_add_test(tests, hostile_shapes);
    tcase_add_test(tests, numbers_and_types);
    return suite_main("tensor", tests);
}
