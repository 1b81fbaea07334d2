/* lower.c - turns a graph into steps.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nodes are visited in order. A convolution, dense layer or batch normalization takes over the
 * batch normalizations and the ReLU or clip behind it. An integer convolution takes over more: a
 * max pool, the addition of a value that is there already, and what leads from there to a quantize
 * node. Only a node whose value nobody else reads can be taken over, with one exception: the value
 * from which a quantize node is reached may have other readers, and is then stored beside the
 * codes. The plain form, the definition, takes over no more than the quantize node. How a quantize
 * node's value is stored follows from who reads it: planes or integer levels if all readers are
 * quantized layers, else the dequantized floats.
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
    bool *ready;               /* values that earlier steps have stored */
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
           2 * layer->attributes.grid * producer->attributes.grid <= INT16_MAX;
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
    double *scale, *shift, *next_scale, *next_shift;
    struct lq_snapped_basis input_basis, output_basis;
    bool *taken;       /* nodes, where those that the step takes over are marked */
    int last;          /* node whose value the step makes */
    int addend, extra; /* values, or -1 */
};

/* y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, after scale * x + shift */
static void compose_batch_norm(const struct lq_node *node, double *scale, double *shift)
{
    const float *gamma = node->params[LQ_PARAM_GAMMA]->data;
    const float *beta = node->params[LQ_PARAM_BETA]->data;
    const float *mean = node->params[LQ_PARAM_MEAN]->data;
    const float *variance = node->params[LQ_PARAM_VARIANCE]->data;
    int channels = node->params[LQ_PARAM_GAMMA]->shape.dims[0];

    for (int c = 0; c < channels; c++) {
        double factor = gamma[c] / sqrt((double)variance[c] + (double)node->attributes.epsilon);

        shift[c] = (shift[c] - (double)mean[c]) * factor + (double)beta[c];
        scale[c] *= factor;
    }
}

static void compose_clamp(const struct lq_node *node, float *min, float *max)
{
    if (node->kind == LQ_OP_RELU) {
        *min = 0;
    } else {
        *min = node->attributes.min;
        *max = node->attributes.max;
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
    chain->taken[chain->last] = true;
    return only_reader(l, node);
}

static void take_quantize(struct lowering *l, const struct lq_node *node, struct chain *chain)
{
    lq_node_basis(node, &chain->output_basis);
    chain->spec.output_basis = &chain->output_basis;
    take(l, node, chain);
}

/* Every window of the pool has a tap on the map. */
static bool can_pool(const struct lowering *l, const struct lq_node *node)
{
    struct lq_map in = lq_shape_map(&l->graph->values[node->inputs[0]].shape);
    struct lq_map out = lq_shape_map(&l->graph->values[node->output].shape);
    const struct lq_window *w = &node->attributes.window;

    return node->kind == LQ_OP_MAX_POOL && w->pad_top < w->kernel_h && w->pad_left < w->kernel_w &&
           (out.height - 1) * w->stride_h - w->pad_top < in.height &&
           (out.width - 1) * w->stride_w - w->pad_left < in.width;
}

/* The other input of an addition of `value`, if it is stored already; else -1. */
static int addend_of(const struct lowering *l, const struct lq_node *node, int value)
{
    int other;

    if (node->kind != LQ_OP_ADD || node->input_count != 2)
        return -1;
    other = node->inputs[0] == value ? node->inputs[1] : node->inputs[0];
    return other != value && l->ready[other] && l->buffers[other].store == LQ_STORE_F32 ? other
                                                                                        : -1;
}

/* From this reader of a value on, batch normalizations and a clamp lead to codes of layers. */
static bool leads_to_codes(const struct lowering *l, const struct lq_node *node)
{
    while (node && node->kind == LQ_OP_BATCH_NORM)
        node = only_reader(l, node);
    if (node && is_clamp(node))
        node = only_reader(l, node);
    return node && node->kind == LQ_OP_QUANTIZE && l->buffers[node->output].store != LQ_STORE_F32;
}

/* What leads from the chain's value to codes, if something does. False: out of memory. */
static bool take_codes(struct lowering *l, struct chain *chain)
{
    int value = l->graph->nodes[chain->last].output, at = 0;
    const struct lq_value *v = &l->graph->values[value];
    size_t channels = (size_t)lq_shape_map(&v->shape).channels;
    const struct lq_node *nodes = l->graph->nodes, *next;

    while (at < l->graph->node_count &&
           (nodes[at].inputs[0] != value || !leads_to_codes(l, &nodes[at])))
        at++;
    if (at == l->graph->node_count)
        return true;
    next = &nodes[at];
    chain->spec.keeps = v->consumers > 1 || value == l->graph->output;
    chain->extra = chain->spec.keeps ? value : -1;
    chain->spec.goes_on = next->kind != LQ_OP_QUANTIZE;
    if (next->kind == LQ_OP_BATCH_NORM) {
        chain->next_scale = lq_alloc(channels, sizeof(double));
        chain->next_shift = lq_alloc(channels, sizeof(double));
        if (!chain->next_scale || !chain->next_shift)
            return false;
        for (size_t c = 0; c < channels; c++)
            chain->next_scale[c] = 1;
        chain->spec.next_scale = chain->next_scale;
        chain->spec.next_shift = chain->next_shift;
    }
    for (; next->kind == LQ_OP_BATCH_NORM; next = take(l, next, chain))
        compose_batch_norm(next, chain->next_scale, chain->next_shift);
    if (is_clamp(next)) {
        compose_clamp(next, &chain->spec.next_min, &chain->spec.next_max);
        next = take(l, next, chain);
    }
    take_quantize(l, next, chain);
    return true;
}

/* What an integer convolution takes over behind its batch normalizations and clamp: struct
 * lq_step_spec. False: out of memory. */
static bool take_more(struct lowering *l, const struct lq_node *next, struct chain *chain)
{
    struct lq_step_spec *spec = &chain->spec;

    if (l->options->form == LQ_FORM_PLAIN || l->options->separate) {
        if (next && next->kind == LQ_OP_QUANTIZE)
            take_quantize(l, next, chain);
        return true;
    }
    if (next && can_pool(l, next)) {
        spec->pool = &next->attributes.window;
        next = take(l, next, chain);
    }
    chain->addend = next ? addend_of(l, next, l->graph->nodes[chain->last].output) : -1;
    if (chain->addend >= 0) {
        spec->adds = true;
        chain->inputs[1] = l->buffers[chain->addend];
        spec->input_count = 2;
        next = take(l, next, chain);
        if (next && is_clamp(next)) {
            compose_clamp(next, &spec->add_min, &spec->add_max);
            take(l, next, chain);
        }
    }
    return take_codes(l, chain);
}

static bool take_over(struct lowering *l, const struct lq_node *head, bool integer,
                      struct chain *chain)
{
    const struct lq_node *next = only_reader(l, head);
    bool sums = is_layer(head) || head->kind == LQ_OP_BATCH_NORM;

    while (sums && next && next->kind == LQ_OP_BATCH_NORM) {
        compose_batch_norm(next, chain->scale, chain->shift);
        next = take(l, next, chain);
    }
    if ((sums || head->kind == LQ_OP_ADD) && next && is_clamp(next)) {
        compose_clamp(next, &chain->spec.min, &chain->spec.max);
        next = take(l, next, chain);
    }
    return !integer || take_more(l, next, chain);
}

static int init_chain(struct lowering *l, const struct lq_node *head, struct chain *chain)
{
    size_t channels = (size_t)lq_shape_map(&l->graph->values[head->output].shape).channels;

    *chain = (struct chain){
        .taken = l->taken, .last = (int)(head - l->graph->nodes), .addend = -1, .extra = -1};
    chain->spec = (struct lq_step_spec){.name = head->name,
                                        .attributes = &head->attributes,
                                        .params = head->params,
                                        .inputs = chain->inputs,
                                        .input_count = head->input_count,
                                        .kernels = l->options->kernels,
                                        .own = l->graph->values[head->output].shape,
                                        .min = -INFINITY,
                                        .max = INFINITY,
                                        .add_min = -INFINITY,
                                        .add_max = INFINITY,
                                        .next_min = -INFINITY,
                                        .next_max = INFINITY};
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
        compose_batch_norm(head, chain->scale, chain->shift);
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

static void deinit_chain(struct chain *chain)
{
    free(chain->scale);
    free(chain->shift);
    free(chain->next_scale);
    free(chain->next_shift);
}

/* Puts the step in its place: values, scratch. */
static void link_step(struct lowering *l, const struct lq_node *head, const struct chain *chain,
                      struct lq_step *step)
{
    struct lq_program *program = l->program;

    for (int i = 0; i < head->input_count; i++)
        step->slots[i] = head->inputs[i];
    if (chain->addend >= 0)
        step->slots[1] = chain->addend;
    step->node = (int)(head - l->graph->nodes);
    step->output_slot = l->graph->nodes[chain->last].output;
    step->extra_slot = chain->extra;
    if (chain->extra >= 0)
        step->extra = l->buffers[chain->extra];
    if (step->scratch_bytes > program->scratch_bytes)
        program->scratch_bytes = step->scratch_bytes;
}

/* The first convolution of a quantized network can start from pixels. A float network keeps its
 * floats. */
static bool takes_pixels(const struct lowering *l)
{
    const struct lq_graph *graph = l->graph;
    const struct lq_node *head = graph->nodes;
    struct lq_buffer input = l->buffers[graph->input];
    struct lq_step_spec spec = {.attributes = &head->attributes, .inputs = &input};

    return graph->node_count > 0 && head->kind == LQ_OP_CONV && head->attributes.bits == 0 &&
           head->inputs[0] == graph->input && graph->values[graph->input].consumers == 1 &&
           l->options->form != LQ_FORM_FLOAT && !l->options->separate && is_quantized(graph) &&
           lq_conv_pixels_fits(&spec);
}

/* How many of the first steps compute what the chain does; 0: others are in between. */
static int covered_steps(const struct lq_program *program, const bool *taken)
{
    int covered = 0;

    while (covered < program->step_count && taken[program->steps[covered].node])
        covered++;
    for (int i = covered; i < program->step_count; i++)
        if (taken[program->steps[i].node])
            return 0;
    return covered;
}

static int make_pixel_step(struct lowering *l, bool more, bool *taken)
{
    const struct lq_node *head = l->graph->nodes;
    struct lq_program *program = l->program;
    struct chain chain;
    int status = init_chain(l, head, &chain);

    chain.taken = taken;
    taken[0] = true;
    if (status == LQ_OK && !take_over(l, head, more, &chain))
        status = lq_fail_memory(l->error);
    program->pixel_skips = covered_steps(program, taken);
    if (status == LQ_OK && program->pixel_skips > 0) {
        chain.spec.output = l->buffers[l->graph->nodes[chain.last].output];
        status = lq_conv_pixels_prepare(&program->arena, &chain.spec, &l->graph->meta.preprocess,
                                        program->pixel_step, l->error);
    }
    if (status == LQ_OK && program->pixel_skips > 0)
        link_step(l, head, &chain, program->pixel_step);
    deinit_chain(&chain);
    return status;
}

static int add_pixel_step(struct lowering *l)
{
    struct lq_program *program = l->program;
    size_t nodes = (size_t)l->graph->node_count;
    bool *taken = lq_alloc(nodes, sizeof(*taken));
    int status = LQ_OK;

    program->pixel_step = lq_arena_alloc(&program->arena, 1, sizeof(*program->pixel_step));
    if (!program->pixel_step || !taken)
        status = lq_fail_memory(l->error);
    /* alone, it takes the place of exactly the first step */
    for (int more = 1; more >= 0 && status == LQ_OK && program->pixel_skips == 0; more--) {
        memset(taken, 0, nodes * sizeof(*taken));
        status = make_pixel_step(l, more, taken);
    }
    free(taken);
    return status;
}

static int lower_node(struct lowering *l, const struct lq_node *head)
{
    struct lq_program *program = l->program;
    struct lq_step *step = &program->steps[program->step_count];
    lq_step_prepare *prepare = prepare_functions[head->kind];
    struct chain chain;
    bool integer = is_layer(head) && l->buffers[head->inputs[0]].store != LQ_STORE_F32;
    int status = init_chain(l, head, &chain);

    if (status == LQ_OK && integer) {
        int producer = l->graph->values[head->inputs[0]].producer;

        lq_node_basis(&l->graph->nodes[producer], &chain.input_basis);
        chain.spec.input_basis = &chain.input_basis;
        prepare = lq_conv_integer_prepare;
    }
    if (is_clamp(head))
        compose_clamp(head, &chain.spec.min, &chain.spec.max);
    if (head->kind == LQ_OP_QUANTIZE) {
        lq_node_basis(head, &chain.output_basis);
        chain.spec.output_basis = &chain.output_basis;
    }
    if (status == LQ_OK && !take_over(l, head, integer, &chain))
        status = lq_fail_memory(l->error);
    if (status == LQ_OK) {
        chain.spec.output = l->buffers[l->graph->nodes[chain.last].output];
        status = prepare(&program->arena, &chain.spec, step, l->error);
    }
    if (status == LQ_OK) {
        link_step(l, head, &chain, step);
        l->ready[step->output_slot] = true;
        if (step->extra_slot >= 0)
            l->ready[step->extra_slot] = true;
        program->step_count++;
    }
    deinit_chain(&chain);
    return status;
}

static int lower_all(struct lowering *l)
{
    const struct lq_graph *graph = l->graph;
    size_t nodes = (size_t)graph->node_count, values = (size_t)graph->value_count;

    l->buffers = lq_alloc(values, sizeof(*l->buffers));
    l->reader = lq_alloc(values, sizeof(*l->reader));
    l->taken = lq_alloc(nodes, sizeof(*l->taken));
    l->ready = lq_alloc(values, sizeof(*l->ready));
    l->program->steps = lq_arena_alloc(&l->program->arena, nodes, sizeof(*l->program->steps));
    if (!l->buffers || !l->reader || !l->taken || !l->ready || !l->program->steps)
        return lq_fail_memory(l->error);
    choose_buffers(l);
    for (int i = 0; i < graph->node_count; i++) {
        int status = l->taken[i] ? LQ_OK : lower_node(l, &graph->nodes[i]);

        if (status != LQ_OK)
            return status;
    }
    if (takes_pixels(l)) {
        int status = add_pixel_step(l);

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
    free(l.ready);
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
    l.ready = lq_alloc((size_t)graph->value_count, sizeof(*l.ready));
    if (!program->steps || !l.buffers || !l.ready)
        status = lq_fail_memory(error);
    for (int i = 0; i < graph->value_count && status == LQ_OK; i++)
        l.buffers[i] = (struct lq_buffer){graph->values[i].shape, LQ_STORE_F32, 0};
    if (status == LQ_OK)
        status = lower_node(&l, &graph->nodes[node]);
    free(l.buffers);
    free(l.ready);
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
