/* networks.c - small networks with random weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/networks.h"

#include <check.h>
#include <stdio.h>

#include "quant/quantizer.h"

struct builder {
    struct lq_graph *graph;
    struct lq_rng *rng;
    int w_bits, a_bits, count;
};

static const struct lq_tensor *random_floats(struct builder *b, struct lq_shape shape, float mean,
                                             float spread)
{
    struct lq_tensor *tensor = NULL;
    char name[32];

    snprintf(name, sizeof(name), "t%d", b->count++);
    ck_assert_int_eq(lq_graph_add_tensor(b->graph, name, LQ_F32, &shape, NULL, &tensor, NULL),
                     LQ_OK);
    for (int64_t i = 0; i < lq_shape_elements(&shape); i++)
        ((float *)tensor->data)[i] = mean + spread * lq_rng_normal(b->rng);
    return tensor;
}

static int add(struct builder *b, struct lq_node_spec *spec)
{
    struct lq_error error = {0};
    char name[32];
    int value = -1;

    snprintf(name, sizeof(name), "%s%d", lq_op_text(spec->kind), b->count++);
    spec->name = name;
    ck_assert_msg(lq_graph_add_node(b->graph, spec, &value, &error) == LQ_OK, "%s", error.text);
    return value;
}

static int unary(struct builder *b, enum lq_op_kind kind, int input)
{
    struct lq_node_spec spec = {.kind = kind, .inputs = {input}, .input_count = 1};

    return add(b, &spec);
}

static int batch_norm(struct builder *b, int input, int channels)
{
    struct lq_shape shape = {1, {channels}};
    struct lq_node_spec spec = {.kind = LQ_OP_BATCH_NORM,
                                .attributes = {.epsilon = 1e-5f},
                                .inputs = {input},
                                .input_count = 1};

    spec.params[LQ_PARAM_GAMMA] = random_floats(b, shape, 0.6f, 0.6f); /* some are negative */
    spec.params[LQ_PARAM_BETA] = random_floats(b, shape, 0.2f, 0.3f);
    spec.params[LQ_PARAM_MEAN] = random_floats(b, shape, 0, 0.3f);
    spec.params[LQ_PARAM_VARIANCE] = random_floats(b, shape, 1, 0.01f);
    return add(b, &spec);
}

/* Nothing in a network of floats. */
static int quantize(struct builder *b, int input)
{
    struct lq_shape one = {1, {1}}, bits = {1, {b->a_bits}};
    struct lq_tensor *basis = NULL, *scale = NULL;
    struct lq_node_spec spec = {.kind = LQ_OP_QUANTIZE, .inputs = {input}, .input_count = 1};
    char name[32];

    if (b->a_bits == 0)
        return input;
    snprintf(name, sizeof(name), "q%d", b->count++);
    ck_assert_int_eq(lq_graph_add_tensor(b->graph, name, LQ_I16, &bits, NULL, &basis, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_tensor(b->graph, "scale", LQ_F32, &one, NULL, &scale, NULL),
                     LQ_OK);
    for (int i = 0; i < b->a_bits; i++)
        ((int16_t *)basis->data)[i] = (int16_t)(1 << i);
    *(float *)scale->data = 2.0f / (float)((1 << b->a_bits) - 1);
    spec.attributes.bits = b->a_bits;
    spec.attributes.grid = lq_grid_or_default(LQ_CODE_UNSIGNED, b->a_bits, 0);
    spec.params[LQ_PARAM_BASIS] = basis;
    spec.params[LQ_PARAM_SCALE] = scale;
    return add(b, &spec);
}

/* Random codes, and a basis of 2^i with one value moved, so that levels are uneven. */
static void quantized_weights(struct builder *b, int rows, int length, struct lq_node_spec *spec)
{
    int row_bytes = (length + 7) / 8, bits = b->w_bits;
    struct lq_shape code_shape = {3, {bits, rows, row_bytes}}, basis_shape = {2, {rows, bits}};
    struct lq_tensor *codes = NULL, *basis = NULL;

    ck_assert_int_eq(lq_graph_add_tensor(b->graph, "c", LQ_U8, &code_shape, NULL, &codes, NULL),
                     LQ_OK);
    ck_assert_int_eq(lq_graph_add_tensor(b->graph, "b", LQ_I16, &basis_shape, NULL, &basis, NULL),
                     LQ_OK);
    for (int at = 0; at < bits * rows; at++)
        for (int k = 0; k < length; k++)
            ((uint8_t *)codes->data)[at * row_bytes + k / 8] |=
                (uint8_t)((lq_rng_u32(b->rng) & 1) << (k % 8));
    for (int at = 0; at < rows * bits; at++)
        ((int16_t *)basis->data)[at] = (int16_t)((1 << at % bits) - (lq_rng_below(b->rng, 4) == 0));
    spec->attributes.bits = bits;
    spec->attributes.grid = lq_grid_or_default(LQ_CODE_SIGNED, bits, 0);
    spec->params[LQ_PARAM_CODES] = codes;
    spec->params[LQ_PARAM_BASIS] = basis;
    struct lq_tensor *scale = (struct lq_tensor *)random_floats(
        b, (struct lq_shape){1, {rows}}, 0.15f / (float)((1 << bits) - 1), 0);
    spec->params[LQ_PARAM_SCALE] = scale;
}

static int conv(struct builder *b, int input, int out_channels, int stride, int groups,
                bool quantized)
{
    int in_channels = b->graph->values[input].shape.dims[2] / groups;
    struct lq_node_spec spec = {.kind = LQ_OP_CONV,
                                .attributes = {.window = {.kernel_h = 3,
                                                          .kernel_w = 3,
                                                          .stride_h = stride,
                                                          .stride_w = stride,
                                                          .dilation_h = 1,
                                                          .dilation_w = 1,
                                                          .pad_top = 1,
                                                          .pad_left = 1,
                                                          .pad_bottom = 1,
                                                          .pad_right = stride == 1},
                                               .out_channels = out_channels,
                                               .groups = groups},
                                .inputs = {input},
                                .input_count = 1};

    if (quantized && b->w_bits > 0)
        quantized_weights(b, out_channels, 9 * in_channels, &spec);
    else
        spec.params[LQ_PARAM_WEIGHT] =
            random_floats(b, (struct lq_shape){4, {out_channels, 3, 3, in_channels}}, 0, 0.25f);
    spec.params[LQ_PARAM_BIAS] = random_floats(b, (struct lq_shape){1, {out_channels}}, 0, 0.1f);
    return add(b, &spec);
}

static int dense(struct builder *b, int input, int out, bool quantized)
{
    int length = b->graph->values[input].shape.dims[0];
    struct lq_node_spec spec = {.kind = LQ_OP_DENSE,
                                .attributes = {.out_channels = out},
                                .inputs = {input},
                                .input_count = 1};

    if (quantized && b->w_bits > 0)
        quantized_weights(b, out, length, &spec);
    else
        spec.params[LQ_PARAM_WEIGHT] =
            random_floats(b, (struct lq_shape){2, {out, length}}, 0, 0.3f);
    return add(b, &spec);
}

static int flatten(struct builder *b, int input)
{
    struct lq_node_spec spec = {.kind = LQ_OP_RESHAPE, .inputs = {input}, .input_count = 1};
    int64_t length = lq_shape_elements(&b->graph->values[input].shape);

    spec.attributes.shape = (struct lq_shape){1, {(int)length}};
    return add(b, &spec);
}

struct lq_graph *network_create(struct lq_rng *rng, int w_bits, int a_bits)
{
    struct builder b = {.rng = rng, .w_bits = w_bits, .a_bits = a_bits};
    struct lq_shape input = {3, {12, 10, 3}};
    struct lq_node_spec sum = {.kind = LQ_OP_ADD, .input_count = 2};
    struct lq_node_spec concat = {
        .kind = LQ_OP_CONCAT, .attributes = {.axis = 2}, .input_count = 2};
    int stem, q, value;

    ck_assert_int_eq(lq_graph_create(&b.graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(b.graph, "input", &input, NULL), LQ_OK);
    stem = unary(&b, LQ_OP_RELU, batch_norm(&b, conv(&b, 0, 64, 1, 1, false), 64));
    q = quantize(&b, stem);
    value = unary(&b, LQ_OP_RELU, batch_norm(&b, conv(&b, q, 64, 1, 1, true), 64));
    value = conv(&b, quantize(&b, value), 64, 1, 2, true); /* sums -> codes -> sums */
    sum.inputs[0] = batch_norm(&b, value, 64);
    sum.inputs[1] = stem;
    value = unary(&b, LQ_OP_RELU, add(&b, &sum));
    q = quantize(&b, value); /* read twice */
    concat.inputs[0] = conv(&b, q, 20, 2, 1, true);
    concat.inputs[1] = conv(&b, q, 7, 2, 1, true);
    value = unary(&b, LQ_OP_GLOBAL_AVERAGE_POOL, add(&b, &concat));
    value = dense(&b, flatten(&b, value), 5, false);
    ck_assert_int_eq(lq_graph_finish(b.graph, value, NULL), LQ_OK);
    return b.graph;
}

static int max_pool(struct builder *b, int input, int kernel)
{
    struct lq_node_spec spec = {
        .kind = LQ_OP_MAX_POOL,
        .attributes = {.window = {kernel, kernel, 2, 2, 1, 1, kernel / 2, kernel / 2, 0, 0}},
        .inputs = {input},
        .input_count = 1};

    return add(b, &spec);
}

static int add_two(struct builder *b, int left, int right)
{
    struct lq_node_spec spec = {.kind = LQ_OP_ADD, .inputs = {left, right}, .input_count = 2};

    return add(b, &spec);
}

/* Batch normalization, ReLU, quantize. */
static int activate(struct builder *b, int input)
{
    int channels = b->graph->values[input].shape.dims[2];

    return quantize(b, unary(b, LQ_OP_RELU, batch_norm(b, input, channels)));
}

struct lq_graph *network_preactivated(struct lq_rng *rng, int w_bits, int a_bits)
{
    struct builder b = {.rng = rng, .w_bits = w_bits, .a_bits = a_bits};
    struct lq_shape input = {3, {20, 18, 3}};
    int value, main, shortcut, z, q;

    ck_assert_int_eq(lq_graph_create(&b.graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(b.graph, "input", &input, NULL), LQ_OK);
    value = batch_norm(&b, conv(&b, 0, 36, 1, 1, false), 36);
    value = max_pool(&b, unary(&b, LQ_OP_RELU, value), 3);
    main = conv(&b, activate(&b, value), 36, 1, 1, true);
    main = conv(&b, activate(&b, main), 36, 1, 1, true);
    value = add_two(&b, batch_norm(&b, main, 36), value);
    z = unary(&b, LQ_OP_RELU, batch_norm(&b, value, 36)); /* read twice, after what adds it */
    main = conv(&b, activate(&b, conv(&b, quantize(&b, z), 36, 1, 1, true)), 36, 1, 1, true);
    value = add_two(&b, batch_norm(&b, main, 36), batch_norm(&b, z, 36));
    q = activate(&b, value); /* read twice */
    main = conv(&b, activate(&b, conv(&b, q, 72, 2, 1, true)), 72, 1, 1, true);
    shortcut = batch_norm(&b, conv(&b, q, 72, 2, 1, true), 72);
    value = add_two(&b, batch_norm(&b, main, 72), shortcut);
    value = max_pool(&b, conv(&b, activate(&b, value), 70, 1, 1, true), 3);
    value = conv(&b, activate(&b, value), 40, 1, 1, true);
    value = max_pool(&b, unary(&b, LQ_OP_RELU, batch_norm(&b, value, 40)), 2);
    main = conv(&b, quantize(&b, value), 40, 1, 1, true);
    value = unary(&b, LQ_OP_RELU, batch_norm(&b, add_two(&b, main, value), 40));
    value = unary(&b, LQ_OP_GLOBAL_AVERAGE_POOL, value);
    value = dense(&b, flatten(&b, value), 5, false);
    ck_assert_int_eq(lq_graph_finish(b.graph, value, NULL), LQ_OK);
    return b.graph;
}

struct lq_graph *network_uneven(struct lq_rng *rng, int w_bits, int a_bits)
{
    struct builder b = {.rng = rng, .w_bits = w_bits, .a_bits = a_bits};
    struct lq_shape input = {3, {7, 5, 3}};
    int value, main, q;

    ck_assert_int_eq(lq_graph_create(&b.graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_graph_add_input(b.graph, "input", &input, NULL), LQ_OK);
    value = conv(&b, 0, 64, 1, 1, false);
    main = conv(&b, activate(&b, value), 64, 1, 1, true);
    value = add_two(&b, batch_norm(&b, main, 64), value);
    value = conv(&b, activate(&b, value), 72, 1, 1, true);
    value = conv(&b, activate(&b, value), 72, 1, 1, true);
    q = activate(&b, value);
    main = max_pool(&b, conv(&b, q, 72, 1, 1, true), 3); /* codes */
    main = conv(&b, activate(&b, main), 72, 1, 1, true);
    value = max_pool(&b, conv(&b, q, 72, 1, 1, true), 3); /* floats */
    value = unary(&b, LQ_OP_RELU, batch_norm(&b, add_two(&b, main, value), 72));
    value = dense(&b, quantize(&b, flatten(&b, value)), 405, true);
    value = dense(&b, value, 5, false);
    ck_assert_int_eq(lq_graph_finish(b.graph, value, NULL), LQ_OK);
    return b.graph;
}
