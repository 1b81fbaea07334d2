/* lower.c - turns a graph into steps.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nodes are visited in order. A convolution, dense layer or batch normalization takes over the
 * batch normalizations and the ReLU or clip behind it; an integer convolution also the quantize
 * node, as thresholds on its sums. Only a node whose value nobody else reads can be taken over. How
 * a quantize node's value is stored follows from who reads it: planes or integer levels if all
 * readers are quantized layers, else the dequantized floats.
 */
#include "graph/lower.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "graph/plan.h"
#include "ops/conv_pixels.h"
#include "tensor/bitplanes.h"

struct lowering {
    struct lq_program *program;
    const struct lq_graph *graph;
    const struct lq_lower_options *options;
    struct lq_buffer *buffers; /* of each value */
    int *reader;               /* of each value: the last node that reads it, or -1 */
    bool *taken;               /* nodes that an earlier one has taken over */
    struct lq_error *error;
};

static lq_step_prepare *const prepare_functions[LQ_OP_COUNT] = {
    [LQ_OP_CONV] = lq_conv_float_prepare,
    [LQ_OP_DENSE] = lq_conv_float_prepare,
    [LQ_OP_BATCH_NORM] = lq_affine_prepare,
    [LQ_OP_RELU] = lq_affine_prepare,
    [LQ_OP_CLIP] = lq_affine_prepare,
    [LQ_OP_ADD] = lq_add_prepare,
    [LQ_OP_CONCAT] = lq_concat_prepare,
    [LQ_OP_PAD] = lq_pad_prepare,
    [LQ_OP_SLICE] = lq_slice_prepare,
    [LQ_OP_MAX_POOL] = lq_max_pool_prepare,
    [LQ_OP_AVERAGE_POOL] = lq_average_pool_prepare,
    [LQ_OP_GLOBAL_AVERAGE_POOL] = lq_global_average_pool_prepare,
    [LQ_OP_LRN] = lq_lrn_prepare,
    [LQ_OP_RESHAPE] = lq_reshape_prepare,
    [LQ_OP_SOFTMAX] = lq_softmax_prepare,
    [LQ_OP_QUANTIZE] = lq_quantize_prepare,
};

void lq_node_basis(const struct lq_node *node, struct lq_snapped_basis *ret_basis)
{
    *ret_basis =
        (struct lq_snapped_basis){.kind = LQ_CODE_UNSIGNED,
                                  .bits = node->attributes.bits,
                                  .grid = node->attributes.grid,
                                  .scale = *(const float *)node->params[LQ_PARAM_SCALE]->data};
    memcpy(ret_basis->integers, node->params[LQ_PARAM_BASIS]->data,
           (size_t)ret_basis->bits * sizeof(*ret_basis->integers));
}

static bool is_layer(const struct lq_node *node)
{
    return node->kind == LQ_OP_CONV || node->kind == LQ_OP_DENSE;
}

/* Where a group's channels share words with another group's, planes cannot be told apart. */
static bool planes_fit(const struct lq_node *node, int channels)
{
    return node->kind == LQ_OP_DENSE || node->attributes.groups == 1 ||
           channels / node->attributes.groups % LQ_WORD_BITS == 0;
}

static bool prefers_planes(const struct lowering *l, const struct lq_node *layer, int value)
{
    int channels = lq_shape_map(&l->graph->values[value].shape).channels;
    int pairs = layer->attributes.bits * l->buffers[value].bits;

    if (!planes_fit(layer, channels) || l->options->form == LQ_FORM_PLAIN)
        return false;
    return l->options->form == LQ_FORM_PACKED ||
           /* bits of a word that no channel fills cost as much as others */
           pairs * lq_plane_words(channels) * LQ_WORD_BITS <=
               l->options->kernels->plane_pairs * channels;
}

/* Levels of the value and of the layer's weights fit bytes, and a kernel's sums of them are exact.
 */
static bool fits_bytes(const struct lowering *l, const struct lq_node *layer, int value)
{
    struct lq_snapped_basis basis;
    int largest = 0;

    lq_node_basis(&l->graph->nodes[l->graph->values[value].producer], &basis);
    for (int bit = 0; bit < basis.bits; bit++) {
        if (basis.integers[bit] < 0)
            return false;
        largest += basis.integers[bit];
    }
    return largest <= 255 && layer->attributes.grid <= 127 &&
           largest * layer->attributes.grid <= l->options->kernels->bytes_bound;
}

/* Nibbles hold the planes of the layer's weights, and its sums of them are exact. */
static bool fits_nibbles(const struct lowering *l, const struct lq_node *layer, int value)
{
    const struct lq_node *producer = &l->graph->nodes[l->graph->values[value].producer];
    const struct lq_shape *shape = &l->graph->values[value].shape;
    int64_t length = lq_shape_elements(shape);

    if (layer->kind == LQ_OP_CONV)
        length = (int64_t)layer->attributes.window.kernel_h * layer->attributes.window.kernel_w *
                 lq_shape_map(shape).channels;
    return layer->attributes.bits <= LQ_NIBBLE_BITS && length <= INT16_MAX &&
           (layer->kind == LQ_OP_DENSE ? shape->rank == 1 : layer->attributes.groups == 1) &&
           layer->attributes.grid * producer->attributes.grid <= INT16_MAX;
}

/* How the value of a quantize node is stored. The plain form is the definition: levels. */
static enum lq_store choose_store(const struct lowering *l, int value)
{
    bool planes = true, bytes = l->options->form != LQ_FORM_PLAIN;
    bool nibbles = l->options->form == LQ_FORM_AUTO && l->options->kernels->prefers_nibbles &&
                   l->buffers[value].bits <= LQ_NIBBLE_BITS;

    if (l->options->form == LQ_FORM_FLOAT || value == l->graph->output)
        return LQ_STORE_F32;
    for (int i = 0; i < l->graph->node_count; i++) {
        const struct lq_node *node = &l->graph->nodes[i];

        for (int j = 0; j < node->input_count; j++) {
            if (node->inputs[j] != value)
                continue;
            if (!is_layer(node) || node->attributes.bits == 0)
                return LQ_STORE_F32;
            nibbles = nibbles && fits_nibbles(l, node, value);
            planes = planes && prefers_planes(l, node, value);
            bytes = bytes && fits_bytes(l, node, value);
        }
    }
    return nibbles  ? LQ_STORE_NIBBLES
           : planes ? LQ_STORE_PLANES
           : bytes  ? LQ_STORE_BYTES
                    : LQ_STORE_LEVELS;
}

static void choose_buffers(struct lowering *l)
{
    for (int i = 0; i < l->graph->value_count; i++) {
        const struct lq_value *value = &l->graph->values[i];

        l->buffers[i] = (struct lq_buffer){value->shape, LQ_STORE_F32, 0};
        l->reader[i] = -1;
        if (value->producer >= 0 && l->graph->nodes[value->producer].kind == LQ_OP_QUANTIZE)
            l->buffers[i].bits = l->graph->nodes[value->producer].attributes.bits;
    }
    for (int i = 0; i < l->graph->node_count; i++) {
        const struct lq_node *node = &l->graph->nodes[i];

        for (int j = 0; j < node->input_count; j++)
            l->reader[node->inputs[j]] = i;
        if (node->kind == LQ_OP_QUANTIZE)
            l->buffers[node->output].store = choose_store(l, node->output);
    }
}

/* What is put together for one step. */
struct chain {
    struct lq_step_spec spec;
    struct lq_buffer inputs[LQ_MAX_INPUTS];
    double *scale, *shift;
    struct lq_snapped_basis input_basis, output_basis;
    int last; /* node whose value the step makes */
};

/* y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, after scale * x + shift */
static void compose_batch_norm(const struct lq_node *node, struct chain *chain)
{
    const float *gamma = node->params[LQ_PARAM_GAMMA]->data;
    const float *beta = node->params[LQ_PARAM_BETA]->data;
    const float *mean = node->params[LQ_PARAM_MEAN]->data;
    const float *variance = node->params[LQ_PARAM_VARIANCE]->data;
    int channels = node->params[LQ_PARAM_GAMMA]->shape.dims[0];

    for (int c = 0; c < channels; c++) {
        double factor = gamma[c] / sqrt((double)variance[c] + (double)node->attributes.epsilon);

        chain->shift[c] = (chain->shift[c] - (double)mean[c]) * factor + (double)beta[c];
        chain->scale[c] *= factor;
    }
}

static void compose_clamp(const struct lq_node *node, struct chain *chain)
{
    if (node->kind == LQ_OP_RELU) {
        chain->spec.min = 0;
    } else {
        chain->spec.min = node->attributes.min;
        chain->spec.max = node->attributes.max;
    }
}

static bool is_clamp(const struct lq_node *node)
{
    return node->kind == LQ_OP_RELU || node->kind == LQ_OP_CLIP;
}

/* The only reader of a node's value, or NULL. */
static const struct lq_node *only_reader(const struct lowering *l, const struct lq_node *node)
{
    int value = node->output;

    if (l->options->separate || value == l->graph->output || l->graph->values[value].consumers != 1)
        return NULL;
    return &l->graph->nodes[l->reader[value]];
}

static const struct lq_node *take(struct lowering *l, const struct lq_node *node,
                                  struct chain *chain)
{
    chain->last = (int)(node - l->graph->nodes);
    l->taken[chain->last] = true;
    return only_reader(l, node);
}

static void take_over(struct lowering *l, const struct lq_node *head, bool integer,
                      struct chain *chain)
{
    const struct lq_node *next = only_reader(l, head);
    bool sums = is_layer(head) || head->kind == LQ_OP_BATCH_NORM;

    while (sums && next && next->kind == LQ_OP_BATCH_NORM) {
        compose_batch_norm(next, chain);
        next = take(l, next, chain);
    }
    if ((sums || head->kind == LQ_OP_ADD) && next && is_clamp(next)) {
        compose_clamp(next, chain);
        next = take(l, next, chain);
    }
    if (integer && next && next->kind == LQ_OP_QUANTIZE) {
        lq_node_basis(next, &chain->output_basis);
        chain->spec.output_basis = &chain->output_basis;
        take(l, next, chain);
    }
}

static int init_chain(struct lowering *l, const struct lq_node *head, struct chain *chain)
{
    size_t channels = (size_t)lq_shape_map(&l->graph->values[head->output].shape).channels;

    *chain = (struct chain){.last = (int)(head - l->graph->nodes)};
    chain->spec = (struct lq_step_spec){.name = head->name,
                                        .attributes = &head->attributes,
                                        .params = head->params,
                                        .inputs = chain->inputs,
                                        .input_count = head->input_count,
                                        .kernels = l->options->kernels,
                                        .min = -INFINITY,
                                        .max = INFINITY};
    for (int i = 0; i < head->input_count; i++)
        chain->inputs[i] = l->buffers[head->inputs[i]];
    if (!is_layer(head) && head->kind != LQ_OP_BATCH_NORM)
        return LQ_OK;
    chain->scale = lq_alloc(channels, sizeof(double));
    chain->shift = lq_alloc(channels, sizeof(double));
    if (!chain->scale || !chain->shift)
        return lq_fail_memory(l->error);
    const struct lq_tensor *bias = is_layer(head) ? head->params[LQ_PARAM_BIAS] : NULL;
    for (size_t c = 0; c < channels; c++) {
        chain->scale[c] = 1;
        chain->shift[c] = bias ? (double)((const float *)bias->data)[c] : 0;
    }
    if (head->kind == LQ_OP_BATCH_NORM)
        compose_batch_norm(head, chain);
    chain->spec.scale = chain->scale;
    chain->spec.shift = chain->shift;
    return LQ_OK;
}

static bool is_quantized(const struct lq_graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].attributes.bits > 0)
            return true;
    return false;
}

/* The first convolution of a quantized network can start from pixels. A float network keeps its
 * floats. */
static bool takes_pixels(const struct lowering *l, const struct lq_node *head,
                         const struct lq_step_spec *spec)
{
    const struct lq_graph *graph = l->graph;

    return head == graph->nodes && head->kind == LQ_OP_CONV && head->attributes.bits == 0 &&
           head->inputs[0] == graph->input && graph->values[graph->input].consumers == 1 &&
           l->options->form != LQ_FORM_FLOAT && !l->options->separate && is_quantized(graph) &&
           lq_conv_pixels_fits(spec);
}

static int add_pixel_step(struct lowering *l, const struct lq_step_spec *spec)
{
    struct lq_program *program = l->program;

    program->pixel_step = lq_arena_alloc(&program->arena, 1, sizeof(*program->pixel_step));
    if (!program->pixel_step)
        return lq_fail_memory(l->error);
    return lq_conv_pixels_prepare(&program->arena, spec, &l->graph->meta.preprocess,
                                  program->pixel_step, l->error);
}

static int lower_node(struct lowering *l, const struct lq_node *head)
{
    struct lq_program *program = l->program;
    struct lq_step *step = &program->steps[program->step_count];
    lq_step_prepare *prepare = prepare_functions[head->kind];
    struct chain chain;
    bool integer = is_layer(head) && l->buffers[head->inputs[0]].store != LQ_STORE_F32;
    int status = init_chain(l, head, &chain);

    if (status == LQ_OK) {
        if (integer) {
            int producer = l->graph->values[head->inputs[0]].producer;

            lq_node_basis(&l->graph->nodes[producer], &chain.input_basis);
            chain.spec.input_basis = &chain.input_basis;
            prepare = lq_conv_integer_prepare;
        }
        if (is_clamp(head))
            compose_clamp(head, &chain);
        if (head->kind == LQ_OP_QUANTIZE) {
            lq_node_basis(head, &chain.output_basis);
            chain.spec.output_basis = &chain.output_basis;
        }
        take_over(l, head, integer, &chain);
        chain.spec.output = l->buffers[l->graph->nodes[chain.last].output];
        status = prepare(&program->arena, &chain.spec, step, l->error);
        if (status == LQ_OK && takes_pixels(l, head, &chain.spec))
            status = add_pixel_step(l, &chain.spec);
    }
    free(chain.scale);
    free(chain.shift);
    if (status != LQ_OK)
        return status;
    for (int i = 0; i < head->input_count; i++)
        step->slots[i] = head->inputs[i];
    step->node = (int)(head - l->graph->nodes);
    step->output_slot = l->graph->nodes[chain.last].output;
    if (step->scratch_bytes > program->scratch_bytes)
        program->scratch_bytes = step->scratch_bytes;
    if (program->pixel_step && program->pixel_step->scratch_bytes > program->scratch_bytes)
        program->scratch_bytes = program->pixel_step->scratch_bytes;
    program->step_count++;
    return LQ_OK;
}

static int lower_all(struct lowering *l)
{
    const struct lq_graph *graph = l->graph;
    size_t nodes = (size_t)graph->node_count, values = (size_t)graph->value_count;

    l->buffers = lq_alloc(values, sizeof(*l->buffers));
    l->reader = lq_alloc(values, sizeof(*l->reader));
    l->taken = lq_alloc(nodes, sizeof(*l->taken));
    l->program->steps = lq_arena_alloc(&l->program->arena, nodes, sizeof(*l->program->steps));
    if (!l->buffers || !l->reader || !l->taken || !l->program->steps)
        return lq_fail_memory(l->error);
    choose_buffers(l);
    for (int i = 0; i < graph->node_count; i++) {
        int status = l->taken[i] ? LQ_OK : lower_node(l, &graph->nodes[i]);

        if (status != LQ_OK)
            return status;
    }
    return lq_plan_buffers(l->program, l->options->separate, l->error);
}

int lq_program_create(const struct lq_graph *graph, const struct lq_lower_options *options,
                      struct lq_program **ret_program, struct lq_error *error)
{
    struct lq_program *program = lq_alloc(1, sizeof(*program));
    struct lowering l = {.program = program, .graph = graph, .options = options, .error = error};
    int status;

    if (!program)
        return lq_fail_memory(error);
    program->graph = graph;
    status = lower_all(&l);
    free(l.buffers);
    free(l.reader);
    free(l.taken);
    if (status == LQ_OK)
        *ret_program = program;
    else
        lq_program_destroy(program);
    return status;
}

int lq_program_create_node(const struct lq_graph *graph, int node, const struct lq_kernels *kernels,
                           struct lq_program **ret_program, struct lq_error *error)
{
    struct lq_lower_options options = {LQ_FORM_FLOAT, true, kernels};
    struct lq_program *program = lq_alloc(1, sizeof(*program));
    struct lowering l = {.program = program, .graph = graph, .options = &options, .error = error};
    int status = LQ_OK;

    if (!program)
        return lq_fail_memory(error);
    program->graph = graph;
    program->steps = lq_arena_alloc(&program->arena, 1, sizeof(*program->steps));
    l.buffers = lq_alloc((size_t)graph->value_count, sizeof(*l.buffers));
    if (!program->steps || !l.buffers)
        status = lq_fail_memory(error);
    for (int i = 0; i < graph->value_count && status == LQ_OK; i++)
        l.buffers[i] = (struct lq_buffer){graph->values[i].shape, LQ_STORE_F32, 0};
    if (status == LQ_OK)
        status = lower_node(&l, &graph->nodes[node]);
    free(l.buffers);
    if (status == LQ_OK)
        *ret_program = program;
    else
        lq_program_destroy(program);
    return status;
}

void lq_program_destroy(struct lq_program *program)
{
    if (!program)
        return;
    lq_arena_deinit(&program->arena);
    free(program);
}
