/* builder.c - adds layers with random weights to a graph.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "arch/builder.h"

#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "base/status.h"

static int add(struct lq_builder *b, const char *name, const struct lq_node_spec *spec)
{
    struct lq_node_spec named = *spec;
    char full[LQ_MAX_NAME];
    int value = -1, status;

    for (int i = 0; i < spec->input_count; i++)
        if (spec->inputs[i] < 0)
            return spec->inputs[i];
    snprintf(full, sizeof(full), "%s%s", b->prefix, name);
    named.name = full;
    status = lq_graph_add_node(b->graph, &named, &value, b->error);
    return status == LQ_OK ? value : status;
}

/* A tensor "prefix name.param", filled with one number. */
static int add_constant(struct lq_builder *b, const char *name, const char *param,
                        struct lq_shape shape, float value, const struct lq_tensor **ret_tensor)
{
    char full[LQ_MAX_NAME];
    struct lq_tensor *tensor = NULL;
    int status;

    snprintf(full, sizeof(full), "%s%s.%s", b->prefix, name, param);
    status = lq_graph_add_tensor(b->graph, full, LQ_F32, &shape, NULL, &tensor, b->error);
    if (status != LQ_OK)
        return status;
    for (int64_t i = 0; i < lq_shape_elements(&shape); i++)
        ((float *)tensor->data)[i] = value;
    *ret_tensor = tensor;
    return LQ_OK;
}

/* Box and Muller's pairs, both of each: large layers take seconds. */
static void draw_normal(struct lq_rng *rng, float spread, int64_t n, float *ret_values)
{
    for (int64_t i = 0; i < n; i += 2) {
        float radius = spread * sqrtf(-2 * logf(1 - lq_rng_uniform(rng)));
        float angle = 2 * (float)M_PI * lq_rng_uniform(rng);

        ret_values[i] = radius * cosf(angle);
        if (i + 1 < n)
            ret_values[i + 1] = radius * sinf(angle);
    }
}

/* He's initial weights: normal, of variance 2 / fan. */
static int add_weight(struct lq_builder *b, const char *name, struct lq_shape shape, int64_t fan,
                      struct lq_node_spec *spec)
{
    const struct lq_tensor *tensor = NULL;
    float spread = sqrtf(2.0f / (float)fan);
    struct lq_rng rng;
    int status = lq_shape_check(&shape, b->error);

    if (status == LQ_OK)
        status = add_constant(b, name, "weight", shape, 0, &tensor);
    if (status != LQ_OK)
        return status;
    lq_rng_init(&rng, b->seed, (uint64_t)b->layers++);
    draw_normal(&rng, spread, lq_shape_elements(&shape), (float *)tensor->data);
    spec->params[LQ_PARAM_WEIGHT] = tensor;
    return LQ_OK;
}

int lq_build_channels(const struct lq_builder *b, int value)
{
    const struct lq_shape *shape = &b->graph->values[value].shape;

    return shape->dims[shape->rank - 1];
}

int lq_build_conv(struct lq_builder *b, const char *name, int input,
                  const struct lq_build_conv *conv)
{
    int k = conv->kernel, pad = conv->valid ? 0 : (k - 1) / 2, status;
    struct lq_node_spec spec = {
        .kind = LQ_OP_CONV,
        .attributes = {.window = {k, k, conv->stride, conv->stride, 1, 1, pad, pad, pad, pad},
                       .out_channels = conv->out_channels,
                       .groups = 1},
        .inputs = {input},
        .input_count = 1};

    if (input < 0)
        return input;
    int in_channels = lq_build_channels(b, input);
    status = add_weight(b, name, (struct lq_shape){4, {conv->out_channels, k, k, in_channels}},
                        (int64_t)k * k * (b->fan_out ? conv->out_channels : in_channels), &spec);
    return status == LQ_OK ? add(b, name, &spec) : status;
}

int lq_build_dense(struct lq_builder *b, const char *name, int input, int out_channels)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_DENSE, .attributes = {.out_channels = out_channels}, .input_count = 1};
    struct lq_node_spec flat = {.kind = LQ_OP_RESHAPE, .inputs = {input}, .input_count = 1};
    int status;

    if (input < 0)
        return input;
    int length = (int)lq_shape_elements(&b->graph->values[input].shape);
    flat.attributes.shape = (struct lq_shape){1, {length}};
    spec.inputs[0] = add(b, "flatten", &flat);
    if (spec.inputs[0] < 0)
        return spec.inputs[0];
    status = add_weight(b, name, (struct lq_shape){2, {out_channels, length}}, length, &spec);
    if (status == LQ_OK)
        status = add_constant(b, name, "bias", (struct lq_shape){1, {out_channels}}, 0,
                              &spec.params[LQ_PARAM_BIAS]);
    return status == LQ_OK ? add(b, name, &spec) : status;
}

int lq_build_bn(struct lq_builder *b, const char *name, int input)
{
    static const struct {
        enum lq_param param;
        float value;
    } params[] = {
        {LQ_PARAM_GAMMA, 1}, {LQ_PARAM_BETA, 0}, {LQ_PARAM_MEAN, 0}, {LQ_PARAM_VARIANCE, 1}};
    struct lq_node_spec spec = {.kind = LQ_OP_BATCH_NORM,
                                .attributes = {.epsilon = 1e-5f},
                                .inputs = {input},
                                .input_count = 1};

    if (input < 0)
        return input;
    struct lq_shape shape = {1, {lq_build_channels(b, input)}};
    for (size_t i = 0; i < sizeof(params) / sizeof(*params); i++) {
        int status = add_constant(b, name, lq_param_text(params[i].param), shape, params[i].value,
                                  &spec.params[params[i].param]);

        if (status != LQ_OK)
            return status;
    }
    return add(b, name, &spec);
}

int lq_build_relu(struct lq_builder *b, const char *name, int input)
{
    struct lq_node_spec spec = {.kind = LQ_OP_RELU, .inputs = {input}, .input_count = 1};

    return add(b, name, &spec);
}

int lq_build_bn_relu(struct lq_builder *b, const char *name, int input)
{
    char part[64];

    snprintf(part, sizeof(part), "%s.bn", name);
    input = lq_build_bn(b, part, input);
    snprintf(part, sizeof(part), "%s.relu", name);
    return lq_build_relu(b, part, input);
}

int lq_build_max_pool(struct lq_builder *b, const char *name, int input, int kernel, int stride,
                      int pad)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_MAX_POOL,
        .attributes = {.window = {kernel, kernel, stride, stride, 1, 1, pad, pad, pad, pad}},
        .inputs = {input},
        .input_count = 1};

    return add(b, name, &spec);
}

int lq_build_average_pool(struct lq_builder *b, const char *name, int input, int size)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_AVERAGE_POOL,
        .attributes = {.window = {size, size, size, size, 1, 1, 0, 0, 0, 0}},
        .inputs = {input},
        .input_count = 1};

    return add(b, name, &spec);
}

int lq_build_global_pool(struct lq_builder *b, const char *name, int input)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_GLOBAL_AVERAGE_POOL, .inputs = {input}, .input_count = 1};

    return add(b, name, &spec);
}

int lq_build_pad_channels(struct lq_builder *b, const char *name, int input, int channels)
{
    struct lq_node_spec spec = {.kind = LQ_OP_PAD, .inputs = {input}, .input_count = 1};

    if (input < 0)
        return input;
    spec.attributes.after[2] = channels - lq_build_channels(b, input);
    return add(b, name, &spec);
}

int lq_build_add(struct lq_builder *b, const char *name, int first, int second)
{
    struct lq_node_spec spec = {.kind = LQ_OP_ADD, .inputs = {first, second}, .input_count = 2};

    return add(b, name, &spec);
}

int lq_build_concat(struct lq_builder *b, const char *name, const int *inputs, int count)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_CONCAT, .attributes = {.axis = 2}, .input_count = count};

    for (int i = 0; i < count; i++)
        spec.inputs[i] = inputs[i];
    return add(b, name, &spec);
}
