/* quantize.c - quantizes a trained float network without training it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two networks are computed side by side, node by node, each node for all calibration images: the
 * float original, and the quantized copy as far as it is built. So every activation basis is
 * learned on what the quantized layers before it really produce, and every batch normalization
 * behind them is re-estimated on what it will really see; the original is there to tell each
 * layer's error. Values are kept while a node still reads them.
 */
#include "train/quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "quant/pack.h"
#include "train/fit.h"
#include "train/walk.h"

#define MEMORY_BUDGET   ((int64_t)4 << 30)
#define MIN_ITERATIONS  20
#define BASE_ITERATIONS 50
#define COARSE_SAMPLE   (1 << 13)

/* One value of the original and what stands for it in the copy. */
struct pair {
    float *original, *copy; /* [count][elements]; copy NULL: nothing before it is quantized */
    int value;              /* in the copy */
    int readers;            /* nodes that have not read it yet */
    int quantized;          /* value in the copy that quantizes this one, or -1, */
    float *quantized_values;
    struct lq_bits quantized_bits;
    double quantized_error;
};

struct quantizing {
    const struct lq_graph *from;
    struct lq_graph *to;
    const struct lq_quantize_input *input;
    const struct lq_quantize_options *options;
    int count;
    struct pair *pairs; /* of each value of the original */
    struct lq_pool *pool;
    struct lq_quantize_report report;
    struct lq_error *error;
};

static bool is_layer(const struct lq_node *node)
{
    return node->kind == LQ_OP_CONV || node->kind == LQ_OP_DENSE;
}

int64_t lq_quantize_image_limit(const struct lq_graph *graph)
{
    int64_t kept = 3 * lq_walk_numbers(graph); /* original, copy, quantized */

    return MEMORY_BUDGET / (kept * (int64_t)sizeof(float)) + 1;
}

/* Runs a node of a graph; inputs: the values of its inputs for all images. */
static int run_node(struct quantizing *q, const struct lq_graph *graph, int node,
                    const float *const *inputs, float **ret_output)
{
    struct lq_walk_node walk = {graph, node, q->count, q->input->kernels, q->pool, false};
    const struct lq_shape *shape = &graph->values[graph->nodes[node].output].shape;
    float *output = lq_alloc((size_t)q->count, (size_t)lq_shape_elements(shape) * sizeof(*output));
    int status =
        output ? lq_walk_run_node(&walk, inputs, output, q->error) : lq_fail_memory(q->error);

    if (status == LQ_OK)
        *ret_output = output;
    else
        free(output);
    return status;
}

/* A new tensor "node.param". */
static int add_tensor(struct quantizing *q, const char *node, const char *param,
                      enum lq_dtype dtype, struct lq_shape shape, struct lq_tensor **ret_tensor)
{
    char name[2 * LQ_MAX_NAME];

    snprintf(name, sizeof(name), "%s.%s", node, param);
    return lq_graph_add_tensor(q->to, name, dtype, &shape, NULL, ret_tensor, q->error);
}

static double relative_error(const float *original, const float *copy, int64_t elements)
{
    double error = 0, squares = 0;

    for (int64_t i = 0; i < elements; i++) {
        double difference = (double)original[i] - (double)copy[i];

        error += difference * difference;
        squares += (double)original[i] * original[i];
    }
    return squares > 0 ? error / squares : 0;
}

static struct lq_fit_options fit_options(const struct quantizing *q, int bits, int grid)
{
    int iterations = q->options->iterations ? q->options->iterations : BASE_ITERATIONS;

    return (struct lq_fit_options){q->options->quantizer, bits, grid, iterations,
                                   q->input->untrained ? COARSE_SAMPLE : 0};
}

/* The copy's value that quantizes `pair`, made on first use and shared by layers of equal setting.
 */
static int quantize_input(struct quantizing *q, struct pair *pair, const struct lq_bits *bits)
{
    const float *values = pair->copy ? pair->copy : pair->original;
    const struct lq_value *value = &q->to->values[pair->value];
    int64_t elements = lq_shape_elements(&value->shape) * q->count;
    struct lq_fit_options options = fit_options(q, bits->activation_bits, bits->activation_grid);
    struct lq_node_spec spec = {.kind = LQ_OP_QUANTIZE,
                                .attributes = {.bits = options.bits, .grid = options.grid},
                                .inputs = {pair->value},
                                .input_count = 1};
    struct lq_snapped_basis basis;
    struct lq_tensor *integers, *scale;
    char name[LQ_MAX_NAME + 32];
    int status = lq_fit_basis(LQ_CODE_UNSIGNED, &options, values, elements, &basis,
                              &pair->quantized_error, q->error);

    snprintf(name, sizeof(name), "%s.q%d", value->name, options.bits);
    if (status == LQ_OK)
        status =
            add_tensor(q, name, "basis", LQ_I16, (struct lq_shape){1, {options.bits}}, &integers);
    if (status == LQ_OK)
        status = add_tensor(q, name, "scale", LQ_F32, (struct lq_shape){1, {1}}, &scale);
    if (status != LQ_OK) {
        lq_error_prefix(q->error, "activation '%.64s'", value->name);
        return status;
    }
    memcpy((void *)integers->data, basis.integers, (size_t)options.bits * sizeof(int16_t));
    *(float *)scale->data = basis.scale;
    spec.name = name;
    spec.params[LQ_PARAM_BASIS] = integers;
    spec.params[LQ_PARAM_SCALE] = scale;
    status = lq_graph_add_node(q->to, &spec, &pair->quantized, q->error);
    if (status != LQ_OK)
        return status;
    free(pair->quantized_values);
    pair->quantized_values = NULL;
    pair->quantized_bits = *bits;
    return run_node(q, q->to, q->to->node_count - 1, &values, &pair->quantized_values);
}

static int quantize_weights(struct quantizing *q, const struct lq_node *node,
                            const struct lq_bits *bits, struct lq_node_spec *spec,
                            double *ret_error)
{
    const struct lq_tensor *weight = node->params[LQ_PARAM_WEIGHT];
    int rows = weight->shape.dims[0], length = (int)(lq_shape_elements(&weight->shape) / rows);
    struct lq_fit_options options = fit_options(q, bits->weight_bits, bits->weight_grid);
    struct lq_tensor *packed, *basis, *scale;
    uint8_t *codes = lq_alloc((size_t)rows * (size_t)length, 1);
    int status = codes ? LQ_OK : lq_fail_memory(q->error);

    if (status == LQ_OK)
        status = add_tensor(q, node->name, "codes", LQ_U8,
                            (struct lq_shape){3, {options.bits, rows, (length + 7) / 8}}, &packed);
    if (status == LQ_OK)
        status = add_tensor(q, node->name, "basis", LQ_I16,
                            (struct lq_shape){2, {rows, options.bits}}, &basis);
    if (status == LQ_OK)
        status = add_tensor(q, node->name, "scale", LQ_F32, (struct lq_shape){1, {rows}}, &scale);
    if (status == LQ_OK) {
        struct lq_fit_rows fit = {weight->data,        rows, length, codes, (int16_t *)basis->data,
                                  (float *)scale->data};

        status = q->input->untrained
                     ? lq_fit_weights_pooled(&options, &fit, q->pool, ret_error, q->error)
                     : lq_fit_weights(&options, &fit, q->pool, ret_error, q->error);
    }
    if (status == LQ_OK) {
        lq_file_codes_pack(codes, options.bits, rows, length, (uint8_t *)packed->data);
        spec->attributes.bits = options.bits;
        spec->attributes.grid = options.grid;
        spec->params[LQ_PARAM_WEIGHT] = NULL;
        spec->params[LQ_PARAM_CODES] = packed;
        spec->params[LQ_PARAM_BASIS] = basis;
        spec->params[LQ_PARAM_SCALE] = scale;
    } else {
        lq_error_prefix(q->error, "tensor '%.64s'", weight->name);
    }
    free(codes);
    return status;
}

/* Mean and variance by channel of what a batch normalization will see. */
static int estimate_moments(struct quantizing *q, const struct lq_node *node, const float *values,
                            struct lq_node_spec *spec)
{
    int channels = node->params[LQ_PARAM_MEAN]->shape.dims[0];
    int64_t elements = lq_shape_elements(&q->from->values[node->inputs[0]].shape);
    struct lq_walk_maps maps = {values, q->count, elements / channels, channels};
    float *mean = (float *)spec->params[LQ_PARAM_MEAN]->data;
    float *variance = (float *)spec->params[LQ_PARAM_VARIANCE]->data;
    double *moments = lq_alloc(2 * (size_t)channels, sizeof(*moments));
    int status = moments ? lq_walk_moments(&maps, q->pool, moments, moments + channels, q->error)
                         : lq_fail_memory(q->error);

    for (int c = 0; c < channels && status == LQ_OK; c++) {
        mean[c] = (float)moments[c];
        variance[c] = (float)moments[channels + c];
    }
    free(moments);
    return status;
}

static int copy_params(struct quantizing *q, const struct lq_node *node, bool but_weight,
                       struct lq_node_spec *spec)
{
    for (int param = 0; param < LQ_PARAM_COUNT; param++) {
        struct lq_tensor *tensor;
        int status;

        if (!node->params[param] || (but_weight && param == LQ_PARAM_WEIGHT))
            continue;
        status = lq_graph_copy_tensor(q->to, node->params[param], &tensor, q->error);
        if (status != LQ_OK)
            return status;
        spec->params[param] = tensor;
    }
    return LQ_OK;
}

/* The setting of a layer: an exception, float for the first and the last, else the common one. */
static struct lq_bits layer_bits(const struct quantizing *q, const struct lq_node *node)
{
    const struct lq_node *first = NULL, *last = NULL;
    struct lq_bits bits = q->options->bits;
    const char *name = node->name;

    for (int i = 0; i < q->from->node_count; i++)
        if (is_layer(&q->from->nodes[i])) {
            first = first ? first : &q->from->nodes[i];
            last = &q->from->nodes[i];
        }
    if (node == first || node == last)
        bits = (struct lq_bits){0, 0, 0, 0};
    for (int i = 0; i < q->options->layer_count; i++)
        if (strcmp(q->options->layers[i].layer, name) == 0)
            bits = q->options->layers[i].bits;
    if (bits.weight_bits)
        bits.weight_grid = lq_grid_or_default(LQ_CODE_SIGNED, bits.weight_bits, bits.weight_grid);
    if (bits.activation_bits)
        bits.activation_grid =
            lq_grid_or_default(LQ_CODE_UNSIGNED, bits.activation_bits, bits.activation_grid);
    return bits;
}

static int prepare_layer(struct quantizing *q, const struct lq_node *node,
                         struct lq_node_spec *spec, const float **input,
                         struct lq_quantize_layer *report)
{
    struct pair *pair = &q->pairs[node->inputs[0]];
    int status = LQ_OK;

    if (report->bits.activation_bits) {
        bool same = pair->quantized >= 0 &&
                    pair->quantized_bits.activation_bits == report->bits.activation_bits &&
                    pair->quantized_bits.activation_grid == report->bits.activation_grid;

        if (!same && pair->quantized >= 0)
            return lq_fail(q->error, LQ_ERR_UNSUPPORTED,
                           "layer '%.64s': its input is quantized differently for another layer",
                           node->name);
        if (!same)
            status = quantize_input(q, pair, &report->bits);
        if (status != LQ_OK)
            return status;
        spec->inputs[0] = pair->quantized;
        *input = pair->quantized_values;
        report->activation_error = pair->quantized_error;
    }
    if (report->bits.weight_bits)
        status = quantize_weights(q, node, &report->bits, spec, &report->weight_error);
    return status;
}

/* Builds the copy of a node; inputs: the values it reads there. */
static int build_node(struct quantizing *q, const struct lq_node *node, const float **inputs,
                      bool changed, struct lq_quantize_layer *report)
{
    struct lq_node_spec spec = {.name = node->name,
                                .kind = node->kind,
                                .attributes = node->attributes,
                                .input_count = node->input_count,
                                .output = q->from->values[node->output].name};
    bool quantized = report->bits.weight_bits > 0;
    int value, status = copy_params(q, node, quantized, &spec);

    for (int i = 0; i < node->input_count; i++)
        spec.inputs[i] = q->pairs[node->inputs[i]].value;
    if (status == LQ_OK && (quantized || report->bits.activation_bits))
        status = prepare_layer(q, node, &spec, &inputs[0], report);
    if (status == LQ_OK && node->kind == LQ_OP_BATCH_NORM && changed &&
        !q->options->keep_batch_norm)
        status = estimate_moments(q, node, inputs[0], &spec);
    if (status == LQ_OK)
        status = lq_graph_add_node(q->to, &spec, &value, q->error);
    if (status == LQ_OK)
        q->pairs[node->output].value = value;
    return status;
}

/* Frees the values that no later node reads. */
static void release_inputs(struct quantizing *q, const struct lq_node *node)
{
    for (int i = 0; i < node->input_count; i++) {
        struct pair *pair = &q->pairs[node->inputs[i]];

        if (--pair->readers > 0)
            continue;
        free(pair->original);
        free(pair->copy);
        free(pair->quantized_values);
        pair->original = pair->copy = pair->quantized_values = NULL;
    }
}

static int quantize_node(struct quantizing *q, int index)
{
    const struct lq_node *node = &q->from->nodes[index];
    struct pair *output = &q->pairs[node->output];
    struct lq_quantize_layer report = {.name = ""};
    const float *originals[LQ_MAX_INPUTS], *copies[LQ_MAX_INPUTS];
    bool changed = false;
    int status;

    if (is_layer(node))
        report.bits = layer_bits(q, node);
    for (int i = 0; i < node->input_count; i++) {
        const struct pair *pair = &q->pairs[node->inputs[i]];

        originals[i] = pair->original;
        copies[i] = pair->copy ? pair->copy : pair->original;
        changed = changed || pair->copy || q->input->untrained;
    }
    status = build_node(q, node, copies, changed, &report);
    if (status == LQ_OK && !q->input->untrained)
        status = run_node(q, q->from, index, originals, &output->original);
    changed = changed || report.bits.weight_bits || report.bits.activation_bits;
    if (status == LQ_OK && changed)
        status = run_node(q, q->to, q->to->node_count - 1, copies, &output->copy);
    if (status == LQ_OK && (report.bits.weight_bits || report.bits.activation_bits)) {
        snprintf(report.name, sizeof(report.name), "%s", node->name);
        if (!q->input->untrained)
            report.output_error =
                relative_error(output->original, output->copy,
                               q->count * lq_shape_elements(&q->from->values[node->output].shape));
        q->report.layers[q->report.layer_count++] = report;
    }
    release_inputs(q, node);
    return status;
}

static int check_bits(const struct lq_bits *bits, const char *layer, struct lq_error *error)
{
    const struct {
        const char *what;
        int bits, grid;
        enum lq_code_kind kind;
    } sides[2] = {{"weight", bits->weight_bits, bits->weight_grid, LQ_CODE_SIGNED},
                  {"activation", bits->activation_bits, bits->activation_grid, LQ_CODE_UNSIGNED}};

    for (int i = 0; i < 2; i++) {
        if (sides[i].bits < 0 || sides[i].bits > LQ_MAX_BITS)
            return lq_fail(error, LQ_ERR_INVALID, "%s: %s bits %d, expected 1..%d, or 0 for float",
                           layer, sides[i].what, sides[i].bits, LQ_MAX_BITS);
        if (sides[i].grid != 0 &&
            (sides[i].grid < (1 << sides[i].bits) - 1 || sides[i].grid > LQ_MAX_GRID))
            return lq_fail(error, LQ_ERR_INVALID, "%s: %s grid %d, expected %d..%d", layer,
                           sides[i].what, sides[i].grid, (1 << sides[i].bits) - 1, LQ_MAX_GRID);
    }
    return LQ_OK;
}

static int check_options(const struct quantizing *q)
{
    const struct lq_quantize_options *options = q->options;
    int status = check_bits(&options->bits, "all layers", q->error);

    for (int i = 0; i < options->layer_count && status == LQ_OK; i++) {
        int node = lq_graph_find_node(q->from, options->layers[i].layer);

        if (node < 0 || !is_layer(&q->from->nodes[node]))
            return lq_fail(q->error, LQ_ERR_INVALID,
                           "'%.64s' is no convolution or dense layer of this network",
                           options->layers[i].layer);
        status = check_bits(&options->layers[i].bits, options->layers[i].layer, q->error);
    }
    if (status == LQ_OK && options->quantizer == LQ_QUANTIZER_UNIFORM)
        status = lq_fail(q->error, LQ_ERR_INVALID, "uniform levels come by training alone");
    if (status == LQ_OK && options->iterations != 0 && options->iterations < MIN_ITERATIONS)
        status = lq_fail(q->error, LQ_ERR_INVALID, "%d iterations, expected at least %d",
                         options->iterations, MIN_ITERATIONS);
    for (int i = 0; i < q->from->node_count && status == LQ_OK; i++)
        if (q->from->nodes[i].kind == LQ_OP_QUANTIZE || q->from->nodes[i].params[LQ_PARAM_CODES])
            status =
                lq_fail(q->error, LQ_ERR_INVALID, "the network is quantized already (node '%.64s')",
                        q->from->nodes[i].name);
    return status;
}

static int copy_meta(struct quantizing *q)
{
    const struct lq_bits *bits = &q->options->bits;
    char text[160];
    int status = lq_graph_copy_meta(q->to, q->from, q->error);

    if (q->input->untrained && bits->weight_bits == 0 && bits->activation_bits == 0)
        return status;
    snprintf(text, sizeof(text), "%d/%d bits, %s, %d images, BatchNorm %s", bits->weight_bits,
             bits->activation_bits,
             q->options->quantizer == LQ_QUANTIZER_EVEN ? "even" : "learned (QEM)", q->count,
             q->options->keep_batch_norm ? "kept" : "re-estimated");
    return status == LQ_OK ? lq_graph_set_provenance(q->to, "quantized", text, q->error) : status;
}

static int start(struct quantizing *q)
{
    const struct lq_graph *from = q->from;
    const struct lq_value *input = &from->values[from->input];
    size_t bytes = (size_t)q->count * (size_t)lq_shape_elements(&input->shape) * sizeof(float);
    int status = lq_graph_create(&q->to, q->error);

    if (status == LQ_OK)
        status = lq_graph_add_input(q->to, input->name, &input->shape, q->error);
    if (status == LQ_OK)
        status = copy_meta(q);
    if (status == LQ_OK)
        status = lq_pool_create(q->input->threads, &q->pool, q->error);
    if (status != LQ_OK)
        return status;
    q->pairs = lq_alloc((size_t)from->value_count, sizeof(*q->pairs));
    q->report.layers = lq_alloc((size_t)from->node_count, sizeof(*q->report.layers));
    if (!q->pairs || !q->report.layers)
        return lq_fail_memory(q->error);
    for (int i = 0; i < from->value_count; i++) {
        q->pairs[i].readers = from->values[i].consumers + (i == from->output);
        q->pairs[i].quantized = -1;
    }
    q->pairs[from->input].original = malloc(bytes);
    if (!q->pairs[from->input].original)
        return lq_fail_memory(q->error);
    memcpy(q->pairs[from->input].original, q->input->images, bytes);
    return LQ_OK;
}

static void finish(struct quantizing *q)
{
    for (int i = 0; q->pairs && i < q->from->value_count; i++) {
        free(q->pairs[i].original);
        free(q->pairs[i].copy);
        free(q->pairs[i].quantized_values);
    }
    free(q->pairs);
    lq_pool_destroy(q->pool);
}

int lq_quantize_graph(const struct lq_graph *graph, const struct lq_quantize_input *input,
                      const struct lq_quantize_options *options, struct lq_graph **ret_graph,
                      struct lq_quantize_report *ret_report, struct lq_error *error)
{
    const struct lq_progress *progress = &options->progress;
    int64_t limit = lq_quantize_image_limit(graph);
    struct quantizing q = {.from = graph, .input = input, .options = options, .error = error};
    int status = check_options(&q);

    if (status != LQ_OK)
        return status;
    if (input->count < 1)
        return lq_fail(error, LQ_ERR_INVALID, "no calibration images");
    q.count = input->count < limit ? input->count : (int)limit;
    status = start(&q);
    for (int i = 0; i < graph->node_count && status == LQ_OK; i++) {
        status = quantize_node(&q, i);
        if (status == LQ_OK && progress->report &&
            progress->report(progress->context, "quantize", i + 1, graph->node_count))
            status = lq_fail(error, LQ_ERR_CANCELLED, "cancelled");
    }
    if (status == LQ_OK)
        status = lq_graph_finish(q.to, q.pairs[graph->output].value, error);
    finish(&q);
    if (status == LQ_OK) {
        *ret_graph = q.to;
        *ret_report = q.report;
    } else {
        lq_graph_destroy(q.to);
        free(q.report.layers);
    }
    return status;
}
