/* tiny_model.c - a small quantized network that has everything a model file can hold.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/tiny_model.h"

#include <stdio.h>

#include "base/rng.h"
#include "base/status.h"
#include "format/lqfile.h"
#include "quant/pack.h"

enum { CHANNELS = 8, BITS = 2, LENGTH = 9 * CHANNELS, CLASSES = 4 };

/* The first failure stays: everything after it does nothing. */
struct builder {
    struct lq_graph *graph;
    struct lq_rng rng;
    struct lq_error *error;
    int status;
    int value; /* the last one made */
};

static void *add_tensor(struct builder *b, struct lq_node_spec *spec, enum lq_param param,
                        enum lq_dtype dtype, struct lq_shape shape)
{
    struct lq_tensor *tensor = NULL;
    char name[64];

    snprintf(name, sizeof(name), "%s.%s", spec->name, lq_param_text(param));
    if (b->status == LQ_OK)
        b->status = lq_graph_add_tensor(b->graph, name, dtype, &shape, NULL, &tensor, b->error);
    spec->params[param] = tensor;
    return b->status == LQ_OK ? (void *)tensor->data : NULL;
}

static void add_floats(struct builder *b, struct lq_node_spec *spec, enum lq_param param,
                       struct lq_shape shape, const float mean_and_spread[2])
{
    float *values = add_tensor(b, spec, param, LQ_F32, shape);

    for (int64_t i = 0; values && i < lq_shape_elements(&shape); i++)
        values[i] = mean_and_spread[0] + mean_and_spread[1] * lq_rng_normal(&b->rng);
}

static void add_node(struct builder *b, struct lq_node_spec *spec)
{
    spec->inputs[0] = b->value;
    spec->input_count = 1;
    if (b->status == LQ_OK)
        b->status = lq_graph_add_node(b->graph, spec, &b->value, b->error);
}

/* Without its weights. */
static struct lq_node_spec conv_spec(const char *name)
{
    return (struct lq_node_spec){.name = name,
                                 .kind = LQ_OP_CONV,
                                 .attributes = {.window = {3, 3, 1, 1, 1, 1, 1, 1, 1, 1},
                                                .out_channels = CHANNELS,
                                                .groups = 1}};
}

static void add_float_conv(struct builder *b)
{
    struct lq_node_spec spec = conv_spec("conv1");

    spec.output = "conv1_output"; /* a value whose name is not its node's */
    add_floats(b, &spec, LQ_PARAM_WEIGHT, (struct lq_shape){4, {CHANNELS, 3, 3, 3}},
               (float[]){0, 0.25f});
    add_floats(b, &spec, LQ_PARAM_BIAS, (struct lq_shape){1, {CHANNELS}}, (float[]){0, 0.1f});
    add_node(b, &spec);
}

static void add_quantized_conv(struct builder *b)
{
    struct lq_node_spec spec = conv_spec("conv2");
    const struct lq_shape packed = {3, {BITS, CHANNELS, LENGTH / 8}};
    uint8_t codes[CHANNELS * LENGTH], *codes_to;
    int16_t *basis;

    spec.attributes.bits = BITS;
    spec.attributes.grid = 14;
    for (int i = 0; i < CHANNELS * LENGTH; i++)
        codes[i] = (uint8_t)lq_rng_below(&b->rng, 1 << BITS);
    codes_to = add_tensor(b, &spec, LQ_PARAM_CODES, LQ_U8, packed);
    basis = add_tensor(b, &spec, LQ_PARAM_BASIS, LQ_I16, (struct lq_shape){2, {CHANNELS, BITS}});
    add_floats(b, &spec, LQ_PARAM_SCALE, (struct lq_shape){1, {CHANNELS}}, (float[]){0.015f, 0});
    if (b->status != LQ_OK)
        return;
    lq_file_codes_pack(codes, BITS, CHANNELS, LENGTH, codes_to);
    for (int row = 0; row < CHANNELS; row++) {
        basis[BITS * row] = (int16_t)(1 + lq_rng_below(&b->rng, 5));
        basis[BITS * row + 1] = (int16_t)(6 + lq_rng_below(&b->rng, 4));
    }
    add_node(b, &spec);
}

static void add_batch_norm(struct builder *b, const char *name)
{
    const struct lq_shape shape = {1, {CHANNELS}};
    struct lq_node_spec spec = {
        .name = name, .kind = LQ_OP_BATCH_NORM, .attributes = {.epsilon = 1e-5f}};

    add_floats(b, &spec, LQ_PARAM_GAMMA, shape, (float[]){0.8f, 0.3f});
    add_floats(b, &spec, LQ_PARAM_BETA, shape, (float[]){0.2f, 0.3f});
    add_floats(b, &spec, LQ_PARAM_MEAN, shape, (float[]){0, 0.3f});
    add_floats(b, &spec, LQ_PARAM_VARIANCE, shape, (float[]){1, 0.02f});
    add_node(b, &spec);
}

static void add_quantize(struct builder *b)
{
    struct lq_node_spec spec = {
        .name = "conv2.input", .kind = LQ_OP_QUANTIZE, .attributes = {.bits = BITS, .grid = 31}};
    int16_t *basis = add_tensor(b, &spec, LQ_PARAM_BASIS, LQ_I16, (struct lq_shape){1, {BITS}});

    add_floats(b, &spec, LQ_PARAM_SCALE, (struct lq_shape){1, {1}}, (float[]){0.08f, 0});
    if (b->status != LQ_OK)
        return;
    basis[0] = 10;
    basis[1] = 19;
    add_node(b, &spec);
}

static void add_plain(struct builder *b, const char *name, enum lq_op_kind kind)
{
    struct lq_node_spec spec = {.name = name, .kind = kind};

    if (kind == LQ_OP_RESHAPE)
        spec.attributes.shape = (struct lq_shape){1, {CHANNELS}};
    add_node(b, &spec);
}

static void add_dense(struct builder *b)
{
    struct lq_node_spec spec = {
        .name = "linear", .kind = LQ_OP_DENSE, .attributes = {.out_channels = CLASSES}};

    add_floats(b, &spec, LQ_PARAM_WEIGHT, (struct lq_shape){2, {CLASSES, CHANNELS}},
               (float[]){0, 0.5f});
    add_floats(b, &spec, LQ_PARAM_BIAS, (struct lq_shape){1, {CLASSES}}, (float[]){0, 0.1f});
    add_node(b, &spec);
}

static int set_meta(struct lq_graph *graph, struct lq_error *error)
{
    static const char *const labels[CLASSES] = {"cat", "dog", "frog", "ship"};
    int status = lq_graph_set_name(graph, "tiny", error);

    graph->meta.preprocess = (struct lq_preprocess){.resize = 8,
                                                    .mean = {0.485f, 0.456f, 0.406f},
                                                    .std = {0.229f, 0.224f, 0.225f},
                                                    .scale = (float)(1 / 255.0)};
    if (status == LQ_OK)
        status = lq_graph_set_labels(graph, labels, CLASSES, error);
    if (status == LQ_OK)
        status = lq_graph_set_provenance(graph, "source", "random numbers", error);
    if (status == LQ_OK)
        status = lq_graph_set_provenance(graph, "augmentation", "none", error);
    return status;
}

int tiny_graph(uint64_t seed, struct lq_graph **ret_graph, struct lq_error *error)
{
    const struct lq_shape input = {3, {8, 8, 3}};
    struct builder b = {.error = error};

    lq_rng_init(&b.rng, seed, 0);
    b.status = lq_graph_create(&b.graph, error);
    if (b.status == LQ_OK)
        b.status = lq_graph_add_input(b.graph, "input", &input, error);
    add_float_conv(&b);
    add_batch_norm(&b, "bn1");
    add_plain(&b, "relu1", LQ_OP_RELU);
    add_quantize(&b);
    add_quantized_conv(&b);
    add_batch_norm(&b, "bn2");
    add_plain(&b, "relu2", LQ_OP_RELU);
    add_plain(&b, "pool", LQ_OP_GLOBAL_AVERAGE_POOL);
    add_plain(&b, "flat", LQ_OP_RESHAPE);
    add_dense(&b);
    if (b.status == LQ_OK)
        b.status = set_meta(b.graph, error);
    if (b.status == LQ_OK)
        b.status = lq_graph_finish(b.graph, b.value, error);
    if (b.status == LQ_OK)
        *ret_graph = b.graph;
    else
        lq_graph_destroy(b.graph);
    return b.status;
}

int tiny_model_write(const char *path, struct lq_error *error)
{
    struct lq_graph *graph = NULL;
    int status = tiny_graph(1, &graph, error);

    if (status != LQ_OK)
        return status;
    status = lq_lqfile_save(graph, path, error);
    lq_graph_destroy(graph);
    return status;
}
