/* infer_layers.c - shape inference of the operators that have parameters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/status.h"
#include "ops/infer.h"
#include "quant/pack.h"
#include "quant/quantizer.h"

#define MAX_LENGTH   (1 << 24) /* of a dot product */
#define MAX_CHANNELS (1 << 20)

static int check_param(const struct lq_infer *infer, enum lq_param param, enum lq_dtype dtype,
                       struct lq_shape shape)
{
    const struct lq_tensor *tensor = infer->params[param];
    char got[LQ_SHAPE_TEXT], expected[LQ_SHAPE_TEXT];

    if (!tensor)
        return lq_fail(infer->error, LQ_ERR_INVALID, "parameter '%s' is missing",
                       lq_param_text(param));
    if (tensor->dtype == dtype && lq_shape_equal(&tensor->shape, &shape))
        return LQ_OK;
    return lq_fail(infer->error, LQ_ERR_INVALID, "parameter '%s' is %s %s, expected %s %s",
                   lq_param_text(param), lq_dtype_text(tensor->dtype),
                   lq_shape_print(&tensor->shape, got, sizeof(got)), lq_dtype_text(dtype),
                   lq_shape_print(&shape, expected, sizeof(expected)));
}

/* Every row of a snapped basis stays within the grid and has a positive scale. */
static int check_basis(const struct lq_infer *infer, int rows)
{
    const struct lq_attributes *a = infer->attributes;
    const int16_t *basis = infer->params[LQ_PARAM_BASIS]->data;
    const float *scale = infer->params[LQ_PARAM_SCALE]->data;

    for (int row = 0; row < rows; row++) {
        int sum = 0;

        for (int i = 0; i < a->bits; i++, basis++)
            sum += *basis < 0 ? -*basis : *basis;
        if (sum > a->grid)
            return lq_fail(infer->error, LQ_ERR_INVALID,
                           "parameter 'basis': row %d sums to %d, the grid is %d", row, sum,
                           a->grid);
        /* the largest level is a finite number too */
        if (!(scale[row] > 0) || !isfinite(scale[row] * (float)a->grid))
            return lq_fail(infer->error, LQ_ERR_INVALID,
                           "parameter 'scale': element %d is %g, expected more than 0 and times "
                           "the grid finite",
                           row, (double)scale[row]);
    }
    return LQ_OK;
}

static int check_quantized(const struct lq_infer *infer, int rows, int length)
{
    int bits = infer->attributes->bits, row_bytes = (length + 7) / 8;
    int status = lq_infer_range(infer, "grid", infer->attributes->grid, 1, LQ_MAX_GRID);

    if (status == LQ_OK)
        status = check_param(infer, LQ_PARAM_CODES, LQ_U8,
                             (struct lq_shape){3, {bits, rows, row_bytes}});
    if (status == LQ_OK)
        status = check_param(infer, LQ_PARAM_BASIS, LQ_I16, (struct lq_shape){2, {rows, bits}});
    if (status == LQ_OK)
        status = check_param(infer, LQ_PARAM_SCALE, LQ_F32, (struct lq_shape){1, {rows}});
    if (status == LQ_OK)
        status = check_basis(infer, rows);
    if (status == LQ_OK &&
        !lq_file_codes_padding_is_zero(infer->params[LQ_PARAM_CODES]->data, bits, rows, length))
        status = lq_fail(infer->error, LQ_ERR_INVALID,
                         "parameter 'codes': unused bits at the end of a row are not zero");
    return status;
}

/* weight_shape: as it is without quantization; length: of a dot product. */
static int check_weights(const struct lq_infer *infer, struct lq_shape weight_shape, int length)
{
    int rows = weight_shape.dims[0], bits = infer->attributes->bits;
    int status = lq_infer_range(infer, "bits", bits, 0, LQ_MAX_BITS);

    if (status != LQ_OK)
        return status;
    status = lq_shape_check(&weight_shape, infer->error); /* codes take fewer bytes */
    if (status != LQ_OK) {
        lq_error_prefix(infer->error, "weights");
        return status;
    }
    if (bits > 0 && infer->params[LQ_PARAM_WEIGHT])
        return lq_fail(infer->error, LQ_ERR_INVALID,
                       "has parameter 'weight' though its weights have %d bits", bits);
    if (bits == 0 && (infer->params[LQ_PARAM_CODES] || infer->params[LQ_PARAM_BASIS] ||
                      infer->params[LQ_PARAM_SCALE]))
        return lq_fail(infer->error, LQ_ERR_INVALID,
                       "has quantized weights though attribute bits is 0");
    if (bits > 0)
        status = check_quantized(infer, rows, length);
    else
        status = check_param(infer, LQ_PARAM_WEIGHT, LQ_F32, weight_shape);
    if (status == LQ_OK && infer->params[LQ_PARAM_BIAS])
        status = check_param(infer, LQ_PARAM_BIAS, LQ_F32, (struct lq_shape){1, {rows}});
    return status;
}

static int check_channels(const struct lq_infer *infer)
{
    const struct lq_attributes *a = infer->attributes;
    int in_channels = infer->inputs[0].dims[2];
    int status = lq_infer_range(infer, "out_channels", a->out_channels, 1, MAX_CHANNELS);

    if (status == LQ_OK)
        status = lq_infer_range(infer, "groups", a->groups, 1, MAX_CHANNELS);
    if (status == LQ_OK && (in_channels % a->groups != 0 || a->out_channels % a->groups != 0))
        status = lq_fail(infer->error, LQ_ERR_INVALID,
                         "attribute groups is %d, which does not divide %d input and %d output "
                         "channels",
                         a->groups, in_channels, a->out_channels);
    return status;
}

int lq_infer_conv(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    const struct lq_window *w = &a->window;
    int height = 0, width = 0, status = lq_infer_window(infer, false, &height, &width);

    if (status == LQ_OK)
        status = check_channels(infer);
    if (status != LQ_OK)
        return status;
    int group_in = infer->inputs[0].dims[2] / a->groups;
    int64_t length = (int64_t)w->kernel_h * w->kernel_w * group_in;
    if (length > MAX_LENGTH)
        return lq_fail(infer->error, LQ_ERR_LIMIT, "dot products of %lld, expected at most %d",
                       (long long)length, MAX_LENGTH);
    if (length * width > LQ_MAX_ELEMENTS) /* one row of output pixels is unrolled at once */
        return lq_fail(infer->error, LQ_ERR_LIMIT, "%d dot products of %lld in one row", width,
                       (long long)length);
    *ret_output = (struct lq_shape){3, {height, width, a->out_channels}};
    return check_weights(
        infer, (struct lq_shape){4, {a->out_channels, w->kernel_h, w->kernel_w, group_in}},
        (int)length);
}

int lq_infer_dense(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const struct lq_attributes *a = infer->attributes;
    int status = lq_infer_range(infer, "out_channels", a->out_channels, 1, MAX_CHANNELS);

    if (status == LQ_OK)
        status = lq_infer_range(infer, "kernel_h", a->window.kernel_h, 0, 0); /* no window */
    if (status != LQ_OK)
        return status;
    if (infer->inputs[0].rank != 1 || infer->inputs[0].dims[0] > MAX_LENGTH)
        return lq_fail(infer->error, LQ_ERR_INVALID,
                       "input has rank %d, expected a vector of at most %d numbers",
                       infer->inputs[0].rank, MAX_LENGTH);
    *ret_output = (struct lq_shape){1, {a->out_channels}};
    return check_weights(infer, (struct lq_shape){2, {a->out_channels, infer->inputs[0].dims[0]}},
                         infer->inputs[0].dims[0]);
}

int lq_infer_batch_norm(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    const enum lq_param params[4] = {LQ_PARAM_GAMMA, LQ_PARAM_BETA, LQ_PARAM_MEAN,
                                     LQ_PARAM_VARIANCE};
    const struct lq_shape *in = &infer->inputs[0];
    struct lq_shape channels = {1, {in->rank == 3 ? in->dims[2] : in->dims[0]}};
    int status = lq_infer_channels(infer);

    for (int i = 0; i < 4 && status == LQ_OK; i++)
        status = check_param(infer, params[i], LQ_F32, channels);
    if (status != LQ_OK)
        return status;
    if (!(infer->attributes->epsilon >= 0 && infer->attributes->epsilon < 1e6f))
        return lq_fail(infer->error, LQ_ERR_INVALID, "attribute epsilon is %g, expected 0..1e6",
                       (double)infer->attributes->epsilon);
    const float *variance = infer->params[LQ_PARAM_VARIANCE]->data;
    for (int c = 0; c < channels.dims[0]; c++)
        if (variance[c] < 0 || !(variance[c] + infer->attributes->epsilon > 0))
            return lq_fail(infer->error, LQ_ERR_INVALID,
                           "parameter 'variance': element %d is %g with epsilon %g, expected at "
                           "least 0, the sum more",
                           c, (double)variance[c], (double)infer->attributes->epsilon);
    *ret_output = *in;
    return LQ_OK;
}

int lq_infer_quantize(const struct lq_infer *infer, struct lq_shape *ret_output)
{
    int bits = infer->attributes->bits;
    int status = lq_infer_range(infer, "bits", bits, 1, LQ_MAX_BITS);

    if (status == LQ_OK)
        status = lq_infer_range(infer, "grid", infer->attributes->grid, 1, LQ_MAX_GRID);
    if (status == LQ_OK)
        status = check_param(infer, LQ_PARAM_BASIS, LQ_I16, (struct lq_shape){1, {bits}});
    if (status == LQ_OK)
        status = check_param(infer, LQ_PARAM_SCALE, LQ_F32, (struct lq_shape){1, {1}});
    if (status == LQ_OK)
        status = check_basis(infer, 1);
    *ret_output = infer->inputs[0];
    return status;
}
