/* onnx_ops.c - ONNX operators with runtime inputs become nodes of the graph.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * ONNX maps are channels, height, width; ours height, width, channels. Weights and axes are turned
 * around here, once.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/onnx_internal.h"

/* The runtime value at input `at`. */
int lq_onnx_runtime(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at, int *ret_value)
{
    if (at >= node->input_count || !node->inputs[at] || node->inputs[at]->constant)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input %d is constant or missing", at);
    *ret_value = node->inputs[at]->value;
    return LQ_OK;
}

/* The constant at input `at`; NULL where it is left out. */
int lq_onnx_constant(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at,
                     const struct lq_onnx_const **ret_constant)
{
    *ret_constant = NULL;
    if (at >= node->input_count || !node->inputs[at])
        return LQ_OK;
    *ret_constant = node->inputs[at]->constant;
    if (*ret_constant)
        return LQ_OK;
    return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input %d is not constant", at);
}

int lq_onnx_floats(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at, int64_t count,
                   const struct lq_onnx_const **ret_constant)
{
    int status = lq_onnx_constant(onnx, node, at, ret_constant);

    if (status != LQ_OK)
        return status;
    if (!*ret_constant || !(*ret_constant)->floats || (*ret_constant)->count != count)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "input %d is missing or not %lld floats", at,
                            (long long)count);
    return LQ_OK;
}

int lq_onnx_add_node(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                     struct lq_node_spec *spec)
{
    int value = -1, status;

    spec->name = node->name;
    spec->output = node->proto->output[0];
    status = lq_graph_add_node(onnx->graph, spec, &value, onnx->error);
    return status == LQ_OK ? lq_onnx_define(onnx, spec->output, NULL, value) : status;
}

/* A node with one runtime input and no parameters. */
static int add_unary(struct lq_onnx *onnx, const struct lq_onnx_node *node, enum lq_op_kind kind,
                     const struct lq_attributes *attributes)
{
    struct lq_node_spec spec = {.kind = kind, .attributes = *attributes, .input_count = 1};
    int status = lq_onnx_runtime(onnx, node, 0, &spec.inputs[0]);

    return status == LQ_OK ? lq_onnx_add_node(onnx, node, &spec) : status;
}

/* Just another name for its input. */
static int convert_alias(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    int value = -1, status = lq_onnx_runtime(onnx, node, 0, &value);

    return status == LQ_OK ? lq_onnx_define(onnx, node->proto->output[0], NULL, value) : status;
}

/* A tensor "node.param" filled with floats, which may be NULL: filled in by the caller. */
int lq_onnx_add_floats(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *param,
                       struct lq_shape shape, const float *floats, struct lq_tensor **ret_tensor)
{
    size_t length = strlen(node->name) + strlen(param) + 2;
    char *name = lq_arena_alloc(&onnx->arena, length, 1);
    int status;

    if (!name)
        return lq_fail_memory(onnx->error);
    snprintf(name, length, "%s.%s", node->name, param);
    status = lq_graph_add_tensor(onnx->graph, name, LQ_F32, &shape, NULL, ret_tensor, onnx->error);
    if (status != LQ_OK)
        lq_error_prefix(onnx->error, "node '%.64s'", node->name);
    else if (floats)
        memcpy((void *)(*ret_tensor)->data, floats, lq_tensor_bytes(*ret_tensor));
    return status;
}

/* Four numbers or fewer of a list attribute, checked to fit int. */
static int small_ints(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                      int expected, int *values)
{
    int64_t numbers[8];
    int count, status = lq_onnx_ints(onnx, node, name, 8, numbers, &count);

    if (status != LQ_OK || count < 0)
        return status;
    if (count != expected)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "attribute %s has %d numbers, expected %d", name, count, expected);
    for (int i = 0; i < count; i++) {
        if (numbers[i] < 0 || numbers[i] > LQ_MAX_DIM)
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute %s holds %lld", name,
                                (long long)numbers[i]);
        values[i] = (int)numbers[i];
    }
    return LQ_OK;
}

/* Padding along one axis for auto_pad: output = ceil(input / stride). */
static void same_pads(int size, int kernel, int stride, int dilation, bool upper, int *before,
                      int *after)
{
    int out = (size + stride - 1) / stride;
    int64_t total = (int64_t)(out - 1) * stride + (int64_t)(kernel - 1) * dilation + 1 - size;

    total = total < 0 ? 0 : total > LQ_MAX_DIM ? LQ_MAX_DIM : total;
    *before = (int)(upper ? total / 2 : total - total / 2);
    *after = (int)total - *before;
}

static int apply_auto_pad(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                          const struct lq_shape *in, struct lq_window *w)
{
    const char *text;
    size_t length;
    int status = lq_onnx_string(onnx, node, "auto_pad", &text, &length);

    if (status != LQ_OK || length == 0 || (length == 6 && memcmp(text, "NOTSET", 6) == 0))
        return status;
    w->pad_top = w->pad_left = w->pad_bottom = w->pad_right = 0;
    if (length == 5 && memcmp(text, "VALID", 5) == 0)
        return LQ_OK;
    bool upper = length == 10 && memcmp(text, "SAME_UPPER", 10) == 0;
    if (!upper && !(length == 10 && memcmp(text, "SAME_LOWER", 10) == 0))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute auto_pad is '%.*s'",
                            length > 32 ? 32 : (int)length, text);
    if (w->stride_h < 1 || w->stride_w < 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "attribute strides holds 0");
    same_pads(in->dims[0], w->kernel_h, w->stride_h, w->dilation_h, upper, &w->pad_top,
              &w->pad_bottom);
    same_pads(in->dims[1], w->kernel_w, w->stride_w, w->dilation_w, upper, &w->pad_left,
              &w->pad_right);
    return LQ_OK;
}

/* kernel: default of kernel_shape (from the weights), or NULL where the attribute must be there. */
int lq_onnx_window(struct lq_onnx *onnx, const struct lq_onnx_node *node, const int *kernel,
                   struct lq_window *ret_window)
{
    int size[2] = {kernel ? kernel[0] : 0, kernel ? kernel[1] : 0}, strides[2] = {1, 1};
    int dilations[2] = {1, 1}, pads[4] = {0, 0, 0, 0}, value = -1;
    int status = lq_onnx_runtime(onnx, node, 0, &value);

    if (status == LQ_OK && onnx->graph->values[value].shape.rank != 3)
        status = lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input is no feature map");
    if (status == LQ_OK)
        status = small_ints(onnx, node, "kernel_shape", 2, size);
    if (status == LQ_OK && kernel && (size[0] != kernel[0] || size[1] != kernel[1]))
        status = lq_onnx_fail(onnx, node, LQ_ERR_FORMAT,
                              "attribute kernel_shape is %d,%d, the weights are %d,%d", size[0],
                              size[1], kernel[0], kernel[1]);
    if (status == LQ_OK)
        status = small_ints(onnx, node, "strides", 2, strides);
    if (status == LQ_OK)
        status = small_ints(onnx, node, "dilations", 2, dilations);
    if (status == LQ_OK)
        status = small_ints(onnx, node, "pads", 4, pads);
    if (status != LQ_OK)
        return status;
    *ret_window = (struct lq_window){size[0],      size[1], strides[0], strides[1], dilations[0],
                                     dilations[1], pads[0], pads[1],    pads[2],    pads[3]};
    return apply_auto_pad(onnx, node, &onnx->graph->values[value].shape, ret_window);
}

static int convert_relu(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {0};

    return add_unary(onnx, node, LQ_OP_RELU, &attributes);
}

/* A bound of Clip: attribute before opset 11, input since. */
static int read_bound(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                      int at, float *bound)
{
    const struct lq_onnx_const *number;
    int status = lq_onnx_float(onnx, node, name, *bound, bound);

    if (status == LQ_OK)
        status = lq_onnx_constant(onnx, node, at, &number);
    if (status != LQ_OK || !number)
        return status;
    if (!number->floats || number->count != 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "input %d is no single float", at);
    *bound = number->floats[0];
    return LQ_OK;
}

static int convert_clip(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {.min = -INFINITY, .max = INFINITY};
    int status = read_bound(onnx, node, "min", 1, &attributes.min);

    if (status == LQ_OK)
        status = read_bound(onnx, node, "max", 2, &attributes.max);
    return status == LQ_OK ? add_unary(onnx, node, LQ_OP_CLIP, &attributes) : status;
}

/* A constant added to a layer's output that nobody else reads is the layer's bias. */
static int add_constant_bias(struct lq_onnx *onnx, const struct lq_onnx_node *node, int layer,
                             const struct lq_onnx_const *bias)
{
    struct lq_graph *graph = onnx->graph;
    int producer = graph->values[layer].producer,
        value_uses = node->inputs[0]->constant ? node->inputs[1]->uses : node->inputs[0]->uses;
    struct lq_node *target = producer >= 0 ? &graph->nodes[producer] : NULL;
    struct lq_tensor *tensor;

    if (!target || (target->kind != LQ_OP_CONV && target->kind != LQ_OP_DENSE) ||
        target->params[LQ_PARAM_BIAS] || value_uses != 1 || graph->values[layer].consumers != 0 ||
        !bias->floats || bias->count != target->attributes.out_channels)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "adding a constant is supported only as the bias of the convolution or "
                            "dense layer before");
    /* of a map [C,1,1], of a vector [C]: whatever else broadcasts over other axes */
    int64_t channels_axis = target->kind == LQ_OP_CONV ? bias->rank - 3 : bias->rank - 1;
    if (channels_axis < 0 || bias->dims[channels_axis] != bias->count)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "the constant does not lie along the channels");
    int status = lq_onnx_add_floats(onnx, node, "bias", (struct lq_shape){1, {(int)bias->count}},
                                    bias->floats, &tensor);
    if (status == LQ_OK)
        status = lq_tensor_check_finite(tensor, onnx->error);
    if (status != LQ_OK)
        return status;
    target->params[LQ_PARAM_BIAS] = tensor;
    return lq_onnx_define(onnx, node->proto->output[0], NULL, layer);
}

static int convert_add(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_node_spec spec = {.kind = LQ_OP_ADD, .input_count = node->input_count};

    if (node->input_count == 1)
        return convert_alias(onnx, node);
    if (node->input_count > LQ_MAX_INPUTS)
        return lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "%d inputs", node->input_count);
    for (int i = 0; i < node->input_count; i++) {
        int status;

        if (node->input_count == 2 && node->inputs[i] && node->inputs[1 - i] &&
            node->inputs[i]->constant)
            return add_constant_bias(onnx, node, node->inputs[1 - i]->value,
                                     node->inputs[i]->constant);
        status = lq_onnx_runtime(onnx, node, i, &spec.inputs[i]);
        if (status != LQ_OK)
            return status;
    }
    return lq_onnx_add_node(onnx, node, &spec);
}

/* Our axis for ONNX's, of a value whose rank without the batch is `rank`; -1: none. */
static int our_axis(int64_t axis, int rank)
{
    const int of_map[4] = {-1, 2, 0, 1};

    if (axis < 0)
        axis += rank + 1;
    if (axis < 1 || axis > rank)
        return -1;
    return rank == 3 ? of_map[axis] : (int)axis - 1;
}

static int convert_concat(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_node_spec spec = {.kind = LQ_OP_CONCAT, .input_count = node->input_count};
    int64_t axis;
    int status = lq_onnx_int(onnx, node, "axis", 1, &axis);

    if (status == LQ_OK && node->input_count > LQ_MAX_INPUTS)
        status = lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "%d inputs", node->input_count);
    for (int i = 0; i < node->input_count && status == LQ_OK; i++)
        status = lq_onnx_runtime(onnx, node, i, &spec.inputs[i]);
    if (status != LQ_OK)
        return status;
    spec.attributes.axis = our_axis(axis, onnx->graph->values[spec.inputs[0]].shape.rank);
    if (spec.attributes.axis < 0)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute axis is %lld",
                            (long long)axis);
    return lq_onnx_add_node(onnx, node, &spec);
}

/* A list of integers from an attribute or, in later opsets, from input `at`. */
static int list(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name, int at,
                int64_t *ret_values, int *ret_count)
{
    const struct lq_onnx_const *numbers;
    int status = lq_onnx_ints(onnx, node, name, LQ_ONNX_MAX_RANK, ret_values, ret_count);

    if (status == LQ_OK && *ret_count < 0)
        status = lq_onnx_constant(onnx, node, at, &numbers);
    if (status != LQ_OK || *ret_count >= 0 || !numbers)
        return status;
    if (!numbers->integers || numbers->count > LQ_ONNX_MAX_RANK)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "input %d (%s) is no short list of integers",
                            at, name);
    memcpy(ret_values, numbers->integers, (size_t)numbers->count * sizeof(*ret_values));
    *ret_count = (int)numbers->count;
    return LQ_OK;
}

static int pad_value(struct lq_onnx *onnx, const struct lq_onnx_node *node, float *ret_value)
{
    const struct lq_onnx_const *value;
    int status = lq_onnx_float(onnx, node, "value", 0, ret_value);

    if (status == LQ_OK)
        status = lq_onnx_constant(onnx, node, 2, &value);
    if (status == LQ_OK && value) {
        if (!value->floats || value->count != 1)
            return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "input 2 is no single float");
        *ret_value = value->floats[0];
    }
    if (status == LQ_OK && node->input_count > 3 && node->inputs[3])
        status = lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input 3 (axes)");
    return status;
}

static int convert_pad(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {0};
    int64_t pads[LQ_ONNX_MAX_RANK];
    const char *mode;
    size_t length;
    int count, value = -1, status = lq_onnx_string(onnx, node, "mode", &mode, &length);
    bool any = false;

    if (status == LQ_OK && length != 0 && !(length == 8 && memcmp(mode, "constant", 8) == 0))
        status = lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute mode is '%.*s'",
                              length > 32 ? 32 : (int)length, mode);
    if (status == LQ_OK)
        status = list(onnx, node, "pads", 1, pads, &count);
    if (status == LQ_OK)
        status = lq_onnx_runtime(onnx, node, 0, &value);
    if (status == LQ_OK)
        status = pad_value(onnx, node, &attributes.value);
    if (status != LQ_OK)
        return status;
    int rank = onnx->graph->values[value].shape.rank;
    if (count != 2 * (rank + 1))
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "%d pads for %d dimensions", count,
                            rank + 1);
    for (int i = 0; i < count; i++) {
        int axis = our_axis(i % (rank + 1), rank);

        if (pads[i] == 0)
            continue;
        if (pads[i] < 0 || pads[i] > LQ_MAX_DIM || axis < 0 || rank != 3)
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "pad %d is %lld", i,
                                (long long)pads[i]);
        (i <= rank ? attributes.before : attributes.after)[axis] = (int)pads[i];
        any = true;
    }
    return any ? add_unary(onnx, node, LQ_OP_PAD, &attributes) : convert_alias(onnx, node);
}

/* start and end as numpy has them: negative from the back, clamped to the dimension. */
static int64_t clamp_index(int64_t index, int64_t size)
{
    if (index < 0)
        index = index < -size ? 0 : index + size;
    return index > size ? size : index;
}

static int slice_axis(struct lq_onnx *onnx, const struct lq_onnx_node *node, int value,
                      const int64_t range[4], struct lq_attributes *attributes)
{
    const struct lq_shape *shape = &onnx->graph->values[value].shape;
    int axis = our_axis(range[2], shape->rank);

    if (axis < 0 || range[3] < 1 || range[3] > LQ_MAX_DIM)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "axis %lld with step %lld",
                            (long long)range[2], (long long)range[3]);
    attributes->start[axis] = (int)clamp_index(range[0], shape->dims[axis]);
    attributes->end[axis] = (int)clamp_index(range[1], shape->dims[axis]);
    attributes->step[axis] = (int)range[3];
    return LQ_OK;
}

static int convert_slice(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {.step = {1, 1, 1}};
    int64_t starts[LQ_ONNX_MAX_RANK], ends[LQ_ONNX_MAX_RANK], axes[LQ_ONNX_MAX_RANK],
        steps[LQ_ONNX_MAX_RANK];
    int count[4], value = -1, status = lq_onnx_runtime(onnx, node, 0, &value);

    if (status == LQ_OK)
        status = list(onnx, node, "starts", 1, starts, &count[0]);
    if (status == LQ_OK)
        status = list(onnx, node, "ends", 2, ends, &count[1]);
    if (status == LQ_OK)
        status = list(onnx, node, "axes", 3, axes, &count[2]);
    if (status == LQ_OK)
        status = list(onnx, node, "steps", 4, steps, &count[3]);
    if (status != LQ_OK)
        return status;
    const struct lq_shape *shape = &onnx->graph->values[value].shape;
    if (count[0] < 1 || count[1] != count[0] || (count[2] >= 0 && count[2] != count[0]) ||
        (count[3] >= 0 && count[3] != count[0]) || shape->rank != 3)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "%d starts, %d ends, %d axes, %d steps of a value of rank %d", count[0],
                            count[1], count[2], count[3], shape->rank + 1);
    for (int i = 0; i < 3; i++)
        attributes.end[i] = shape->dims[i];
    for (int i = 0; i < count[0]; i++) {
        const int64_t range[4] = {starts[i], ends[i], count[2] >= 0 ? axes[i] : i,
                                  count[3] >= 0 ? steps[i] : 1};

        status = slice_axis(onnx, node, value, range, &attributes);
        if (status != LQ_OK)
            return status;
    }
    return add_unary(onnx, node, LQ_OP_SLICE, &attributes);
}

static int convert_pool(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    bool max = strcmp(node->proto->op_type, "MaxPool") == 0;
    struct lq_attributes attributes = {0};
    int64_t ceil_mode, include, order;
    int status = lq_onnx_window(onnx, node, NULL, &attributes.window);

    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "ceil_mode", 0, &ceil_mode);
    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "count_include_pad", 0, &include);
    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "storage_order", 0, &order);
    if (status != LQ_OK)
        return status;
    if (attributes.window.dilation_h != 1 || attributes.window.dilation_w != 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute dilations is %d,%d",
                            attributes.window.dilation_h, attributes.window.dilation_w);
    attributes.ceil_mode = ceil_mode != 0;
    attributes.count_include_pad = include != 0;
    return add_unary(onnx, node, max ? LQ_OP_MAX_POOL : LQ_OP_AVERAGE_POOL, &attributes);
}

static int convert_global_pool(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {0};

    return add_unary(onnx, node, LQ_OP_GLOBAL_AVERAGE_POOL, &attributes);
}

static int convert_lrn(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {0};
    int64_t size;
    int status = lq_onnx_int(onnx, node, "size", 0, &size);

    if (status == LQ_OK)
        status = lq_onnx_float(onnx, node, "alpha", 1e-4f, &attributes.alpha);
    if (status == LQ_OK)
        status = lq_onnx_float(onnx, node, "beta", 0.75f, &attributes.beta);
    if (status == LQ_OK)
        status = lq_onnx_float(onnx, node, "bias", 1, &attributes.bias);
    if (status == LQ_OK && (size < 1 || size > LQ_MAX_DIM))
        status = lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "attribute size is %lld", (long long)size);
    if (status != LQ_OK)
        return status;
    attributes.lrn_size = (int)size;
    return add_unary(onnx, node, LQ_OP_LRN, &attributes);
}

static int convert_softmax(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_attributes attributes = {0};
    int64_t axis;
    int value = -1, status = lq_onnx_int(onnx, node, "axis", onnx->opset < 13 ? 1 : -1, &axis);

    if (status == LQ_OK)
        status = lq_onnx_runtime(onnx, node, 0, &value);
    if (status != LQ_OK)
        return status;
    const struct lq_shape *shape = &onnx->graph->values[value].shape;
    bool vector =
        shape->rank == 1 || (shape->rank == 3 && shape->dims[0] == 1 && shape->dims[1] == 1);
    if (!vector || our_axis(axis, shape->rank) != shape->rank - 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "attribute axis is %lld of a value of rank %d", (long long)axis,
                            shape->rank + 1);
    return add_unary(onnx, node, LQ_OP_SOFTMAX, &attributes);
}

/* To dims as ONNX states them, the batch first. */
static int add_reshape(struct lq_onnx *onnx, const struct lq_onnx_node *node, int value, int rank,
                       const int64_t *dims)
{
    struct lq_attributes attributes = {.shape = {rank - 1, {0}}};

    for (int i = 1; i < rank; i++) {
        int axis = our_axis(i, rank - 1);

        if (dims[i] < 1 || dims[i] > LQ_MAX_DIM)
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "dimension %d is %lld", i,
                                (long long)dims[i]);
        attributes.shape.dims[axis] = (int)dims[i];
    }
    if (lq_shape_equal(&attributes.shape, &onnx->graph->values[value].shape))
        return convert_alias(onnx, node);
    return add_unary(onnx, node, LQ_OP_RESHAPE, &attributes);
}

static int convert_flatten(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    int64_t axis, dims[2] = {LQ_ONNX_BATCH, 0};
    int value = -1, status = lq_onnx_int(onnx, node, "axis", 1, &axis);

    if (status == LQ_OK)
        status = lq_onnx_runtime(onnx, node, 0, &value);
    if (status == LQ_OK && axis != 1)
        status =
            lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute axis is %lld", (long long)axis);
    if (status != LQ_OK)
        return status;
    dims[1] = lq_shape_elements(&onnx->graph->values[value].shape);
    return add_reshape(onnx, node, value, 2, dims);
}

static int convert_reshape(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *shape;
    int64_t dims[LQ_ONNX_MAX_RANK] = {0}, from[LQ_ONNX_MAX_RANK], known = 1, allow_zero, elements;
    int value = -1, rank, open = -1, status = lq_onnx_int(onnx, node, "allowzero", 0, &allow_zero);

    if (status == LQ_OK)
        status = lq_onnx_runtime(onnx, node, 0, &value);
    if (status == LQ_OK)
        status = lq_onnx_constant(onnx, node, 1, &shape);
    if (status != LQ_OK)
        return status;
    if (!shape || !shape->integers || shape->count < 2 || shape->count > LQ_MAX_RANK + 1 ||
        allow_zero != 0)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "a shape of %lld dimensions",
                            shape ? (long long)shape->count : 0);
    rank = lq_onnx_shape(onnx, value, from);
    elements = lq_shape_elements(&onnx->graph->values[value].shape);
    for (int i = 0; i < shape->count; i++) {
        dims[i] = shape->integers[i];
        if (dims[i] == 0 && i < rank)
            dims[i] = from[i];
        if (dims[i] == -1)
            open = open < 0 ? i : LQ_ONNX_MAX_RANK;
        else if (i > 0 && (dims[i] < 1 || !lq_i64_mul(known, dims[i], &known)))
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "dimension %d is %lld", i,
                                (long long)dims[i]);
    }
    /* The batch must stay in front: stated as such, left open, or a fixed 1 of an export for one.
     */
    if (open == LQ_ONNX_MAX_RANK || (dims[0] != LQ_ONNX_BATCH && dims[0] != -1 && dims[0] != 1))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "the batch would become %lld",
                            (long long)dims[0]);
    if (open > 0)
        dims[open] = elements / known;
    return add_reshape(onnx, node, value, (int)shape->count, dims);
}

/* Mean over height and width. */
static int convert_reduce_mean(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_node_spec spec = {.kind = LQ_OP_GLOBAL_AVERAGE_POOL, .input_count = 1};
    int64_t axes[LQ_ONNX_MAX_RANK], keep, seen = 0;
    int count, status = lq_onnx_runtime(onnx, node, 0, &spec.inputs[0]);

    if (status == LQ_OK)
        status = list(onnx, node, "axes", 1, axes, &count);
    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "keepdims", 1, &keep);
    if (status != LQ_OK)
        return status;
    const struct lq_shape *shape = &onnx->graph->values[spec.inputs[0]].shape;
    for (int i = 0; i < count; i++)
        seen |=
            axes[i] >= -4 && axes[i] < 4 ? INT64_C(1) << (axes[i] < 0 ? axes[i] + 4 : axes[i]) : 1;
    if (shape->rank != 3 || seen != 12) /* axes 2 and 3 */
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "a mean over other axes than height and width");
    if (keep != 0)
        return lq_onnx_add_node(onnx, node, &spec);
    int value, channels = shape->dims[2];
    struct lq_node_spec flat = {
        .kind = LQ_OP_RESHAPE, .attributes = {.shape = {1, {channels}}}, .input_count = 1};
    char name[LQ_MAX_NAME];
    size_t length = strlen(node->name);
    if (length + sizeof(".mean") > sizeof(name))
        return lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "its name has %zu bytes", length);
    snprintf(name, sizeof(name), "%s.mean", node->name);
    spec.name = name;
    status = lq_graph_add_node(onnx->graph, &spec, &value, onnx->error);
    flat.inputs[0] = value;
    return status == LQ_OK ? lq_onnx_add_node(onnx, node, &flat) : status;
}

/* Inference keeps everything; a training flag, the third input, must not be set. */
static int convert_dropout(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *training = NULL;
    int status = lq_onnx_constant(onnx, node, 2, &training);

    if (status == LQ_OK && training &&
        (training->count != 1 || !training->integers || training->integers[0] != 0))
        status = lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input 2 (training_mode) is set");
    return status == LQ_OK ? convert_alias(onnx, node) : status;
}

static int convert_cast(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    int64_t to;
    int status = lq_onnx_int(onnx, node, "to", 0, &to);

    if (status == LQ_OK && to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        status =
            lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute to is %lld", (long long)to);
    return status == LQ_OK ? convert_alias(onnx, node) : status;
}

const struct lq_onnx_op lq_onnx_ops[] = {
    {"Add", convert_add, lq_onnx_fold_arithmetic, ""},
    {"AveragePool", convert_pool, NULL,
     " auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides "},
    {"BatchNormalization", lq_onnx_convert_batch_norm, NULL,
     " epsilon momentum spatial training_mode "},
    {"Cast", convert_cast, lq_onnx_fold_cast, " to "},
    {"Clip", convert_clip, NULL, " max min "},
    {"Concat", convert_concat, lq_onnx_fold_concat, " axis "},
    {"Constant", NULL, lq_onnx_fold_constant,
     " value value_float value_floats value_int value_ints "},
    {"ConstantOfShape", NULL, lq_onnx_fold_constant_of_shape, " value "},
    {"Conv", lq_onnx_convert_conv, NULL, " auto_pad dilations group kernel_shape pads strides "},
    {"Div", NULL, lq_onnx_fold_arithmetic, ""},
    {"Dropout", convert_dropout, NULL, " ratio seed "},
    {"Flatten", convert_flatten, NULL, " axis "},
    {"Gather", NULL, lq_onnx_fold_gather, " axis "},
    {"Gemm", lq_onnx_convert_gemm, NULL, " alpha beta transA transB "},
    {"GlobalAveragePool", convert_global_pool, NULL, ""},
    {"Identity", convert_alias, lq_onnx_fold_identity, ""},
    {"LRN", convert_lrn, NULL, " alpha beta bias size "},
    {"MatMul", lq_onnx_convert_matmul, NULL, ""},
    {"MaxPool", convert_pool, NULL,
     " auto_pad ceil_mode dilations kernel_shape pads storage_order strides "},
    {"Mul", NULL, lq_onnx_fold_arithmetic, ""},
    {"Pad", convert_pad, NULL, " mode pads value "},
    {"ReduceMean", convert_reduce_mean, NULL, " axes keepdims noop_with_empty_axes "},
    {"Relu", convert_relu, NULL, ""},
    {"Reshape", convert_reshape, lq_onnx_fold_reshape, " allowzero "},
    {"Shape", lq_onnx_fold_shape, lq_onnx_fold_shape, ""},
    {"Slice", convert_slice, lq_onnx_fold_slice, " axes ends starts steps "},
    {"Softmax", convert_softmax, NULL, " axis "},
    {"Squeeze", NULL, lq_onnx_fold_squeeze, " axes "},
    {"Sub", NULL, lq_onnx_fold_arithmetic, ""},
    {"Sum", convert_add, NULL, ""},
    {"Transpose", NULL, lq_onnx_fold_transpose, " perm "},
    {"Unsqueeze", NULL, lq_onnx_fold_squeeze, " axes "},
    {NULL, NULL, NULL, NULL},
};
