/* infer_shapes.c - shape inference of the operators without parameters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>

#include "base/status.h"
#include "ops/infer.h"

#define MAX_KERNEL 1024
#define MAX_PAD    4096

int lq_infer_map(const struct lq_infer *infer)
{
    if (infer->inputs[0].rank == 3)
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID, "input has rank %d, expected a feature map",
                   infer->inputs[0].rank);
}

int lq_infer_range(const struct lq_infer *infer, const char *name, int value, int min, int max)
{
    if (value >= min && value <= max)
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID, "attribute %s is %d, expected %d..%d", name, value,
                   min, max);
}

int lq_infer_extent(const struct lq_infer *infer, const struct lq_extent *e, int *ret_size)
{
    const struct {
        const char *name;
        int value, min, max;
    } ranges[] = {{"kernel", e->kernel, 1, MAX_KERNEL},
                  {"stride", e->stride, 1, MAX_KERNEL},
                  {"dilation", e->dilation, 1, MAX_KERNEL},
                  {"pad (before)", e->pad_before, 0, MAX_PAD},
                  {"pad (after)", e->pad_after, 0, MAX_PAD}};
    int status = LQ_OK, reach, room, size;
    char name[32];

    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges) && status == LQ_OK; i++) {
        snprintf(name, sizeof(name), "%s_%s", ranges[i].name, e->axis);
        status = lq_infer_range(infer, name, ranges[i].value, ranges[i].min, ranges[i].max);
    }
    if (status != LQ_OK)
        return status;
    reach = (e->kernel - 1) * e->dilation + 1;
    room = e->size + e->pad_before + e->pad_after - reach;
    if (room < 0)
        return lq_fail(infer->error, LQ_ERR_INVALID,
                       "the window reaches over %d along %s, the padded input has %d", reach,
                       e->axis, room + reach);
    size = (room + (e->ceil_mode ? e->stride - 1 : 0)) / e->stride + 1;
    if (e->ceil_mode && (size - 1) * e->stride >= e->size + e->pad_before)
        size--; /* a window that starts in the padding behind the map is dropped */
    *ret_size = size;
    return LQ_OK;
}

int lq_infer_pool(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    const struct lq_window *w = &a->window;
    const struct lq_shape *in = &infer->inputs[0];
    int height = 0, width = 0, status = lq_infer_map(infer);

    if (status != LQ_OK)
        return status;
    struct lq_extent h = {"h", in->dims[0], w->kernel_h,   w->stride_h,
                          1,   w->pad_top,  w->pad_bottom, a->ceil_mode};
    struct lq_extent v = {"w", in->dims[1], w->kernel_w,  w->stride_w,
                          1,   w->pad_left, w->pad_right, a->ceil_mode};
    status = lq_infer_extent(infer, &h, &height);
    if (status == LQ_OK)
        status = lq_infer_extent(infer, &v, &width);
    /* every window then holds at least one pixel of the map */
    if (status == LQ_OK && (w->pad_top >= w->kernel_h || w->pad_bottom >= w->kernel_h ||
                            w->pad_left >= w->kernel_w || w->pad_right >= w->kernel_w))
        status = lq_fail(infer->error, LQ_ERR_INVALID, "padding reaches the kernel's size");
    *ret_output = (struct lq_shape){3, {height, width, in->dims[2]}};
    return status;
}

int lq_infer_global_pool(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    *ret_output = (struct lq_shape){3, {1, 1, infer->inputs[0].dims[2]}};
    return lq_infer_map(infer);
}

int lq_infer_lrn(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_map(infer);

    if (status == LQ_OK)
        status = lq_infer_range(infer, "size", a->lrn_size, 1, 1 << 20);
    if (status == LQ_OK && !(a->bias > 0 && isfinite(a->bias) && a->alpha >= 0 &&
                             isfinite(a->alpha) && isfinite(a->beta)))
        status = lq_fail(infer->error, LQ_ERR_INVALID,
                         "attributes alpha %g, beta %g, bias %g: bias must be more than 0, alpha "
                         "at least 0, all finite",
                         (double)a->alpha, (double)a->beta, (double)a->bias);
    *ret_output = infer->inputs[0];
    return status;
}

int lq_infer_same(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    *ret_output = infer->inputs[0];
    return LQ_OK;
}

int lq_infer_clip(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    *ret_output = infer->inputs[0];
    if (infer->attributes->min <= infer->attributes->max)
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID, "attribute min is %g, max is %g",
                   (double)infer->attributes->min, (double)infer->attributes->max);
}

int lq_infer_add(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    char first[LQ_SHAPE_TEXT], other[LQ_SHAPE_TEXT];

    *ret_output = infer->inputs[0];
    for (int i = 1; i < infer->input_count; i++)
        if (!lq_shape_equal(&infer->inputs[0], &infer->inputs[i]))
            return lq_fail(infer->error, LQ_ERR_INVALID, "inputs are %s and %s, expected equal",
                           lq_shape_print(&infer->inputs[0], first, sizeof(first)),
                           lq_shape_print(&infer->inputs[i], other, sizeof(other)));
    return LQ_OK;
}

int lq_infer_concat(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    int axis = infer->attributes->axis, rank = infer->inputs[0].rank;
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
                           "input %d differs from input 0 off axis %d", i, axis);
    }
    if (total > LQ_MAX_DIM)
        return lq_fail(infer->error, LQ_ERR_LIMIT, "the concatenated axis has %lld",
                       (long long)total);
    ret_output->dims[axis] = (int)total;
    return LQ_OK;
}

int lq_infer_pad(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_map(infer);

    *ret_output = infer->inputs[0];
    for (int axis = 0; axis < 3 && status == LQ_OK; axis++) {
        status = lq_infer_range(infer, "before", a->before[axis], 0, 1 << 20);
        if (status == LQ_OK)
            status = lq_infer_range(infer, "after", a->after[axis], 0, 1 << 20);
        if (status == LQ_OK)
            ret_output->dims[axis] += a->before[axis] + a->after[axis];
    }
    if (status == LQ_OK && !isfinite(a->value))
        status = lq_fail(infer->error, LQ_ERR_NUMERIC, "attribute value is %g", (double)a->value);
    return status;
}

int lq_infer_slice(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_map(infer);

    *ret_output = infer->inputs[0];
    for (int axis = 0; axis < 3 && status == LQ_OK; axis++) {
        int size = infer->inputs[0].dims[axis];

        status = lq_infer_range(infer, "start", a->start[axis], 0, size - 1);
        if (status == LQ_OK)
            status = lq_infer_range(infer, "end", a->end[axis], a->start[axis] + 1, size);
        if (status == LQ_OK)
            status = lq_infer_range(infer, "step", a->step[axis], 1, LQ_MAX_DIM);
        if (status == LQ_OK)
            ret_output->dims[axis] = (a->end[axis] - a->start[axis] - 1) / a->step[axis] + 1;
    }
    return status;
}

int lq_infer_reshape(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_shape *shape = &infer->attributes->shape;
    int status = lq_shape_check(shape, infer->error);
    char from[LQ_SHAPE_TEXT], to[LQ_SHAPE_TEXT];

    *ret_output = *shape;
    if (status == LQ_OK && lq_shape_elements(shape) != lq_shape_elements(&infer->inputs[0]))
        status = lq_fail(infer->error, LQ_ERR_INVALID, "cannot reshape %s to %s",
                         lq_shape_print(&infer->inputs[0], from, sizeof(from)),
                         lq_shape_print(shape, to, sizeof(to)));
    return status;
}
