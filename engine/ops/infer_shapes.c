/* infer_shapes.c - shape inference of the operators without parameters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>

#include "base/status.h"
#include "ops/infer.h"

#define MAX_MARGIN (1 << 20) /* that pad adds at one end of an axis */

int lq_infer_map(const struct lq_infer *infer)
{
    if (infer->inputs[0].rank == 3)
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID, "input has rank %d, expected a feature map",
                   infer->inputs[0].rank);
}

int lq_infer_channels(const struct lq_infer *infer)
{
    if (infer->inputs[0].rank == 1 || infer->inputs[0].rank == 3)
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID,
                   "input has rank %d, expected a vector or a feature map", infer->inputs[0].rank);
}

int lq_infer_range(const struct lq_infer *infer, const char *name, int value, int min, int max)
{
    if (value >= min && value <= max)
        return LQ_OK;
    if (min == max)
        return lq_fail(infer->error, LQ_ERR_INVALID, "attribute %s is %d, expected %d", name, value,
                       min);
    return lq_fail(infer->error, LQ_ERR_INVALID, "attribute %s is %d, expected %d..%d", name, value,
                   min, max);
}

/* The range of one element of an attribute that has one for each axis. */
static int check_element(const struct lq_infer *infer, const char *name, int axis,
                         const int *values, const int range[2])
{
    char text[32];

    snprintf(text, sizeof(text), "%s[%d]", name, axis);
    return lq_infer_range(infer, text, values[axis], range[0], range[1]);
}

int lq_infer_same(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    *ret_output = infer->inputs[0];
    return LQ_OK;
}

int lq_infer_softmax(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    *ret_output = infer->inputs[0];
    return lq_infer_channels(infer);
}

int lq_infer_clip(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    float min = infer->attributes->min, max = infer->attributes->max;

    *ret_output = infer->inputs[0];
    if (min <= max && min < INFINITY && max > -INFINITY)
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID,
                   "attributes min %g, max %g: expected finite numbers between them", (double)min,
                   (double)max);
}

int lq_infer_add(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    char first[LQ_SHAPE_TEXT], other[LQ_SHAPE_TEXT];

    *ret_output = infer->inputs[0];
    for (int i = 1; i < infer->input_count; i++)
        if (!lq_shape_equal(&infer->inputs[0], &infer->inputs[i]))
            return lq_fail(infer->error, LQ_ERR_INVALID,
                           "input %d is %s, input 0 is %s: expected equal", i,
                           lq_shape_print(&infer->inputs[i], other, sizeof(other)),
                           lq_shape_print(&infer->inputs[0], first, sizeof(first)));
    return LQ_OK;
}

int lq_infer_concat(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    int axis = infer->attributes->axis, rank = infer->inputs[0].rank;
    char first[LQ_SHAPE_TEXT], other[LQ_SHAPE_TEXT];
    int64_t total = 0;
    int status = lq_infer_range(infer, "axis", axis, 0, rank - 1);

    if (status != LQ_OK)
        return status;
    *ret_output = infer->inputs[0];
    for (int i = 0; i < infer->input_count; i++) {
        struct lq_shape shape = infer->inputs[i];

        if (shape.rank == rank) {
            total += shape.dims[axis];
            shape.dims[axis] = ret_output->dims[axis];
        }
        if (!lq_shape_equal(&shape, ret_output))
            return lq_fail(infer->error, LQ_ERR_INVALID,
                           "input %d is %s, input 0 is %s: expected equal except along axis %d", i,
                           lq_shape_print(&infer->inputs[i], other, sizeof(other)),
                           lq_shape_print(&infer->inputs[0], first, sizeof(first)), axis);
    }
    if (total > LQ_MAX_DIM)
        return lq_fail(infer->error, LQ_ERR_LIMIT, "axis %d adds up to %lld, expected at most %d",
                       axis, (long long)total, LQ_MAX_DIM);
    ret_output->dims[axis] = (int)total;
    return LQ_OK;
}

int lq_infer_pad(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_map(infer);

    *ret_output = infer->inputs[0];
    for (int axis = 0; axis < 3 && status == LQ_OK; axis++) {
        status = check_element(infer, "before", axis, a->before, (int[]){0, MAX_MARGIN});
        if (status == LQ_OK)
            status = check_element(infer, "after", axis, a->after, (int[]){0, MAX_MARGIN});
        if (status == LQ_OK)
            ret_output->dims[axis] += a->before[axis] + a->after[axis];
    }
    if (status == LQ_OK && !isfinite(a->value))
        status = lq_fail(infer->error, LQ_ERR_NUMERIC, "attribute value is %g, expected finite",
                         (double)a->value);
    return status;
}

int lq_infer_slice(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_map(infer);

    *ret_output = infer->inputs[0];
    for (int axis = 0; axis < 3 && status == LQ_OK; axis++) {
        int size = infer->inputs[0].dims[axis];

        status = check_element(infer, "start", axis, a->start, (int[]){0, size - 1});
        if (status == LQ_OK)
            status = check_element(infer, "end", axis, a->end, (int[]){a->start[axis] + 1, size});
        if (status == LQ_OK)
            status = check_element(infer, "step", axis, a->step, (int[]){1, LQ_MAX_DIM});
        if (status == LQ_OK)
            ret_output->dims[axis] = (a->end[axis] - a->start[axis] - 1) / a->step[axis] + 1;
    }
    return status;
}

int lq_infer_reshape(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_shape *shape = &infer->attributes->shape;
    char from[LQ_SHAPE_TEXT], to[LQ_SHAPE_TEXT];
    int status;

    if (shape->rank < 1 || shape->rank > LQ_MAX_RANK)
        return lq_fail(infer->error, LQ_ERR_INVALID, "attribute shape has rank %d, expected 1..%d",
                       shape->rank, LQ_MAX_RANK);
    status = lq_shape_check(shape, infer->error);
    if (status != LQ_OK) {
        lq_error_prefix(infer->error, "attribute shape");
        return status;
    }
    if (lq_shape_elements(shape) != lq_shape_elements(&infer->inputs[0]))
        return lq_fail(infer->error, LQ_ERR_INVALID, "cannot reshape %s to %s",
                       lq_shape_print(&infer->inputs[0], from, sizeof(from)),
                       lq_shape_print(shape, to, sizeof(to)));
    *ret_output = *shape;
    return LQ_OK;
}
