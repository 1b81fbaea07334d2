/* lower.c - turns a graph into steps.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nodes are visited in order, but for what an integer convolution adds, which comes before it. Each
 * that no earlier step has taken over becomes the head of a step (chain.c).
 */
#include "graph/lower.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "graph/lower_internal.h"
#include "graph/plan.h"
#include "ops/conv_pixels.h"

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
static bool is_quantized(const struct lq_graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].attributes.bits > 0)
            return true;
    return false;
}

/* Puts the step in its place: values, scratch. */
static void link_step(struct lq_lowering *l, const struct lq_node *head,
                      const struct lq_chain *chain, struct lq_step *step)
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
static bool takes_pixels(const struct lq_lowering *l)
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

static int make_pixel_step(struct lq_lowering *l, bool more, bool *taken)
{
    const struct lq_node *head = l->graph->nodes;
    struct lq_program *program = l->program;
    struct lq_chain chain;
    int status = lq_chain_init(l, head, &chain);

    chain.taken = taken;
    taken[0] = true;
    if (status == LQ_OK)
        status = lq_chain_take_over(l, head, more, &chain);
    program->pixel_skips = covered_steps(program, taken);
    if (status == LQ_OK && program->pixel_skips > 0) {
        chain.spec.output = l->buffers[l->graph->nodes[chain.last].output];
        status = lq_conv_pixels_prepare(&program->arena, &chain.spec, &l->graph->meta.preprocess,
                                        program->pixel_step, l->error);
    }
    if (status == LQ_OK && program->pixel_skips > 0)
        link_step(l, head, &chain, program->pixel_step);
    lq_chain_deinit(&chain);
    return status;
}

static int add_pixel_step(struct lq_lowering *l)
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

static bool is_integer(const struct lq_lowering *l, const struct lq_node *node)
{
    return lq_node_is_layer(node) && l->buffers[node->inputs[0]].store != LQ_STORE_F32;
}

static int lower_node(struct lq_lowering *l, const struct lq_node *head)
{
    struct lq_program *program = l->program;
    struct lq_step *step = &program->steps[program->step_count];
    lq_step_prepare *prepare = prepare_functions[head->kind];
    struct lq_chain chain;
    bool integer = is_integer(l, head);
    int status = lq_chain_init(l, head, &chain);

    if (status == LQ_OK && integer) {
        int producer = l->graph->values[head->inputs[0]].producer;

        lq_node_basis(&l->graph->nodes[producer], &chain.input_basis);
        chain.spec.input_basis = &chain.input_basis;
        prepare = lq_conv_integer_prepare;
    }
    if (head->kind == LQ_OP_QUANTIZE) {
        lq_node_basis(head, &chain.output_basis);
        chain.spec.output_basis = &chain.output_basis;
    }
    if (status == LQ_OK)
        status = lq_chain_take_over(l, head, integer, &chain);
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
        if (integer) /* it has made its own weights of the file's */
            lq_file_release(&l->graph->file);
    }
    lq_chain_deinit(&chain);
    return status;
}

static int lower_untaken(struct lq_lowering *l, int node)
{
    if (l->taken[node])
        return LQ_OK;
    l->taken[node] = true;
    return lower_node(l, &l->graph->nodes[node]);
}

/* Everything that a value depends on, and has no step yet. */
static int lower_up_to(struct lq_lowering *l, int value)
{
    const struct lq_graph *graph = l->graph;
    int last = graph->values[value].producer, status = LQ_OK;
    bool *needed = lq_alloc((size_t)graph->node_count, sizeof(*needed));

    if (!needed)
        return lq_fail_memory(l->error);
    if (last >= 0)
        needed[last] = true;
    for (int i = last; i >= 0; i--)
        for (int j = 0; needed[i] && j < graph->nodes[i].input_count; j++) {
            int producer = graph->values[graph->nodes[i].inputs[j]].producer;

            if (producer >= 0 && !l->taken[producer])
                needed[producer] = true;
        }
    for (int i = 0; i <= last && status == LQ_OK; i++)
        if (needed[i])
            status = lower_untaken(l, i);
    free(needed);
    return status;
}

/* Before an integer convolution comes what is added to it, so that it can take over the addition:
 * no value between the two has another reader, so neither depends on the other. */
static int lower_next(struct lq_lowering *l, int node)
{
    const struct lq_node *head = &l->graph->nodes[node];
    int missing = -1, status = LQ_OK;

    if (l->taken[node])
        return LQ_OK;
    if (is_integer(l, head))
        missing = lq_chain_missing(l, head);
    if (missing >= 0)
        status = lower_up_to(l, missing);
    return status == LQ_OK ? lower_untaken(l, node) : status;
}

static int lower_all(struct lq_lowering *l)
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
    lq_lowering_choose_buffers(l);
    for (int i = 0; i < graph->node_count; i++) {
        int status = lower_next(l, i);

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
    struct lq_lowering l = {.program = program, .graph = graph, .options = options, .error = error};
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
    struct lq_lowering l = {
        .program = program, .graph = graph, .options = &options, .error = error};
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
