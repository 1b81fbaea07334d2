/* test_concat.c - concatenation along any axis of tensors of any rank, on one thread and several.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "base/pool.h"
#include "ops/step.h"
#include "support/suite.h"

enum { MAX_INPUTS = 3, MAX_ELEMENTS = 70000 };

struct problem {
    struct lq_attributes attributes;
    int input_count;
    struct lq_buffer inputs[MAX_INPUTS], output;
    float values[MAX_INPUTS][MAX_ELEMENTS];
};

/* Shapes that agree but for the axis; large enough for more than one thread, sometimes. */
static void make(struct problem *p)
{
    static const int most[LQ_MAX_RANK] = {40000, 140, 36, 14};
    struct lq_shape shape = {.rank = below(LQ_MAX_RANK) + 1};

    for (int i = 0; i < shape.rank; i++)
        shape.dims[i] = below(most[shape.rank - 1]) + 1;
    p->attributes = (struct lq_attributes){.axis = below(shape.rank)};
    p->input_count = below(MAX_INPUTS) + 1;
    p->output = (struct lq_buffer){shape, LQ_STORE_F32, 0};
    p->output.shape.dims[p->attributes.axis] = 0;
    for (int i = 0; i < p->input_count; i++) {
        shape.dims[p->attributes.axis] = below(most[shape.rank - 1] / p->input_count) + 1;
        p->output.shape.dims[p->attributes.axis] += shape.dims[p->attributes.axis];
        p->inputs[i] = (struct lq_buffer){shape, LQ_STORE_F32, 0};
        for (int64_t at = 0; at < lq_shape_elements(&shape); at++)
            p->values[i][at] = (float)rand();
    }
}

/* The element of this index: of the input that its place on the axis falls to. */
static float expected(const struct problem *p, const int *index)
{
    int axis = p->attributes.axis, place = index[axis], input = 0;
    int64_t at = 0;

    while (place >= p->inputs[input].shape.dims[axis])
        place -= p->inputs[input++].shape.dims[axis];
    for (int i = 0; i < p->output.shape.rank; i++)
        at = at * p->inputs[input].shape.dims[i] + (i == axis ? place : index[i]);
    return p->values[input][at];
}

static void check(const struct problem *p, const float *output)
{
    int index[LQ_MAX_RANK] = {0};

    for (int64_t at = 0; at < lq_shape_elements(&p->output.shape); at++) {
        ck_assert_msg(output[at] == expected(p, index), "rank %d, axis %d, %d inputs: element %d",
                      p->output.shape.rank, p->attributes.axis, p->input_count, (int)at);
        for (int i = p->output.shape.rank - 1; i >= 0 && ++index[i] == p->output.shape.dims[i]; i--)
            index[i] = 0;
    }
}

START_TEST(joins_along_any_axis)
{
    static struct problem p;
    static float output[MAX_INPUTS * MAX_ELEMENTS];
    struct lq_step step = {0};
    struct lq_run run = {.output = output};

    make(&p);
    ck_assert_int_eq(lq_concat_prepare(NULL,
                                       &(struct lq_step_spec){.attributes = &p.attributes,
                                                              .inputs = p.inputs,
                                                              .input_count = p.input_count,
                                                              .output = p.output},
                                       &step, NULL),
                     LQ_OK);
    for (int i = 0; i < p.input_count; i++)
        run.inputs[i] = p.values[i];
    for (int threads = 1; threads <= 3; threads++) {
        ck_assert_int_eq(lq_pool_create(threads, &run.pool, NULL), LQ_OK);
        for (size_t i = 0; i < sizeof(output) / sizeof(*output); i++)
            output[i] = -1;
        step.run(&step, &run);
        check(&p, output);
        lq_pool_destroy(run.pool);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("concat");

    tcase_add_loop_test(tests, joins_along_any_axis, 0, 60);
    return suite_main("concat", tests);
}
