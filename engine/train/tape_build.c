/* tape_build.c - lowers a graph to a tape.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "train/tape_internal.h"

/* Numbers of one value that pass a segment together: they and what is made of them stay in the
 * second level of cache. */
#define GROUP_NUMBERS 32768

int lq_tape_add_param(struct lq_tape *tape, const struct lq_node *node, enum lq_param param,
                      size_t count, bool decays, const float *data, size_t *ret_offset)
{
    struct lq_tape_param *p = &tape->params[tape->param_count++];

    *p = (struct lq_tape_param){.offset = tape->numbers, .count = count, .decays = decays};
    p->learns = !tape->options.fixed_weights || param != LQ_PARAM_WEIGHT;
    snprintf(p->name, sizeof(p->name), "%s.%s", node->name, lq_param_text(param));
    if (data)
        memcpy(tape->numbers_values + p->offset, data, count * sizeof(float));
    tape->numbers += lq_size_round_up(count, 16); /* whole cache lines */
    *ret_offset = p->offset;
    return LQ_OK;
}

int lq_tape_add_array(struct lq_tape *tape, const struct lq_node *node, const char *what,
                      bool doubles, size_t count, void **ret_data)
{
    struct lq_tape_array *array = &tape->arrays[tape->array_count];

    array->data = lq_arena_alloc(&tape->arena, count, doubles ? sizeof(double) : sizeof(float));
    if (!array->data)
        return lq_fail_memory(tape->error);
    array->doubles = doubles;
    array->count = count;
    snprintf(array->name, sizeof(array->name), "%s.%s", node->name, what);
    tape->array_count++;
    *ret_data = array->data;
    return LQ_OK;
}

struct op *lq_tape_add_op(struct lq_tape *tape, const struct lq_node *node, size_t state_bytes)
{
    struct op *op = &tape->ops[tape->op_count];

    op->node = node;
    op->state = lq_arena_alloc(&tape->arena, 1, state_bytes);
    op->input_count = node->input_count;
    memcpy(op->inputs, node->inputs, (size_t)node->input_count * sizeof(*node->inputs));
    for (int i = 0; i < node->input_count; i++)
        op->gives[i] = true;
    op->output = op->reads_gradient = node->output;
    if (!op->state) {
        lq_error_set(tape->error, LQ_ERR_MEMORY, "out of memory");
        return NULL;
    }
    tape->op_count++;
    return op;
}

/* The only reader of a node's value, if it is of this kind, else NULL. */
static const struct lq_node *only_reader(const struct lq_graph *graph, const struct lq_node *node,
                                         enum lq_op_kind kind)
{
    if (graph->values[node->output].consumers != 1 || node->output == graph->output)
        return NULL;
    for (int i = (int)(node - graph->nodes) + 1; i < graph->node_count; i++)
        for (int j = 0; j < graph->nodes[i].input_count; j++)
            if (graph->nodes[i].inputs[j] == node->output)
                return graph->nodes[i].kind == kind ? &graph->nodes[i] : NULL;
    return NULL;
}

static int add_plainly(struct lq_tape *tape, const struct lq_node *node)
{
    switch (node->kind) {
    case LQ_OP_CONV:
    case LQ_OP_DENSE:
        return lq_tape_add_conv(tape, node);
    case LQ_OP_QUANTIZE:
        return lq_tape_add_quantize(tape, node);
    case LQ_OP_BATCH_NORM:
        return lq_tape_add_norm(tape, node, NULL, NULL);
    default:
        return lq_tape_add_plain(tape, node);
    }
}

/* Adds the chain of nodes that makes a value before its turn, if it is one that nothing but nodes
 * already there is needed for; *ret_there: the value is made now. */
static int add_ahead(struct lq_tape *tape, int value, bool *taken, bool *ret_there)
{
    const struct lq_graph *graph = tape->graph;
    const struct lq_node *chain[8];
    int length = 0, status = LQ_OK, producer;

    *ret_there = false;
    for (producer = graph->values[value].producer; producer >= 0 && !taken[producer];
         producer = graph->values[graph->nodes[producer].inputs[0]].producer) {
        const struct lq_node *node = &graph->nodes[producer];

        if (length == 8 || node->input_count != 1 || node->kind == LQ_OP_BATCH_NORM)
            return LQ_OK;
        chain[length++] = node;
    }
    while (length > 0 && status == LQ_OK) {
        const struct lq_node *node = chain[--length];

        taken[node - graph->nodes] = true;
        status = add_plainly(tape, node);
    }
    *ret_there = true;
    return status;
}

/* What can be computed together with a batch normalization, when its turn comes. */
static int add_norm(struct lq_tape *tape, const struct lq_node *norm, bool *taken)
{
    const struct lq_graph *graph = tape->graph;
    const struct lq_node *add = only_reader(graph, norm, LQ_OP_ADD), *relu;
    bool there = false;
    int status = LQ_OK;

    if (add && add->input_count == 2)
        status = add_ahead(tape, add->inputs[add->inputs[0] == norm->output], taken, &there);
    if (status != LQ_OK)
        return status;
    if (!there)
        add = NULL; /* its other input comes later */
    relu = only_reader(graph, add ? add : norm, LQ_OP_RELU);
    if (add)
        taken[add - graph->nodes] = true;
    if (relu)
        taken[relu - graph->nodes] = true;
    return lq_tape_add_norm(tape, norm, add, relu);
}

static int add_node(struct lq_tape *tape, const struct lq_node *node, bool *taken)
{
    taken[node - tape->graph->nodes] = true;
    return node->kind == LQ_OP_BATCH_NORM ? add_norm(tape, node, taken) : add_plainly(tape, node);
}

static int add_nodes(struct lq_tape *tape)
{
    const struct lq_graph *graph = tape->graph;
    const struct lq_node *last = &graph->nodes[graph->values[graph->output].producer];
    bool *taken = lq_alloc((size_t)graph->node_count, sizeof(*taken));
    int status = taken ? LQ_OK : lq_fail_memory(tape->error);

    tape->logits = graph->output;
    if (last->kind == LQ_OP_SOFTMAX)
        tape->logits = last->inputs[0];
    for (int i = 0; i < graph->node_count && status == LQ_OK; i++) {
        const struct lq_node *node = &graph->nodes[i];

        if (taken[i] || (node == last && last->kind == LQ_OP_SOFTMAX))
            continue;
        status = add_node(tape, node, taken);
        if (status != LQ_OK)
            lq_error_prefix(tape->error, "node '%.64s'", node->name);
    }
    free(taken);
    return status;
}

static int group_of(const struct lq_tape *tape, size_t elements)
{
    int most = lq_ceil_div(tape->options.batch, LANES);
    size_t group = GROUP_NUMBERS / (elements > 0 ? elements : 1);

    return group < 1 ? 1 : group > (size_t)most ? most : (int)group;
}

static size_t largest_value(const struct lq_tape *tape, const struct op *op)
{
    size_t largest = op->output >= 0 ? tape->values[op->output].elements : 0;

    for (int i = 0; i < op->input_count; i++)
        if (tape->values[op->inputs[i]].elements > largest)
            largest = tape->values[op->inputs[i]].elements;
    return largest;
}

static void close_segment(struct lq_tape *tape, struct segment *segment, int first, int last,
                          size_t largest)
{
    *segment = (struct segment){first, last, group_of(tape, largest)};
    if (segment->group > tape->largest_group)
        tape->largest_group = segment->group;
}

static void cut_segments(struct lq_tape *tape)
{
    int first = 0;
    size_t largest = 0;

    for (int i = 0; i < tape->op_count; i++) {
        struct op *op = &tape->ops[i];

        op->forward_segment = tape->forward_count;
        largest = largest_value(tape, op) > largest ? largest_value(tape, op) : largest;
        if (op->after_forward || i == tape->op_count - 1) {
            close_segment(tape, &tape->forward[tape->forward_count++], first, i, largest);
            first = i + 1;
            largest = 0;
        }
    }
    first = tape->op_count - 1;
    largest = 0;
    for (int i = tape->op_count - 1; i >= 0; i--) {
        struct op *op = &tape->ops[i];

        op->backward_segment = tape->backward_count;
        largest = largest_value(tape, op) > largest ? largest_value(tape, op) : largest;
        if (op->after_backward || i == 0) {
            close_segment(tape, &tape->backward[tape->backward_count++], first, i, largest);
            first = i - 1;
            largest = 0;
        }
    }
}

/* Which values have gradients, who begins and who adds, and how long they live. */
static void follow_gradients(struct lq_tape *tape)
{
    for (int i = 0; i < tape->graph->value_count; i++)
        tape->values[i].born = -1;
    tape->values[tape->logits].born = 0;
    for (int i = tape->op_count - 1; i >= 0; i--) {
        struct op *op = &tape->ops[i];

        tape->values[op->reads_gradient].dies = op->backward_segment;
        for (int j = 0; j < op->input_count; j++) {
            struct value *value = &tape->values[op->inputs[j]];

            op->gives[j] = op->gives[j] && op->inputs[j] != tape->graph->input;
            op->adds[j] = op->gives[j] && value->born >= 0;
            if (op->gives[j] && value->born < 0)
                value->born = value->dies = op->backward_segment;
            value->wanted = value->wanted || op->gives[j];
        }
    }
    for (int i = 0; i < tape->graph->value_count; i++) {
        struct value *value = &tape->values[i];

        value->local_gradient = value->wanted && value->born == value->dies && i != tape->logits;
    }
}

/* Which values are made again rather than kept: memory takes longer. */
static void follow_values(struct lq_tape *tape)
{
    for (int i = 0; i < tape->op_count; i++) {
        const struct op *op = &tape->ops[i];

        for (int j = 0; j < op->input_count; j++) {
            struct value *value = &tape->values[op->inputs[j]];

            if (op->forward_segment != value->made || op->backward_segment != value->made_again)
                value->local_data = false;
        }
        if (op->output >= 0) {
            struct value *value = &tape->values[op->output];

            value->local_data = op->again && op->output != tape->logits;
            value->made = op->forward_segment;
            value->made_again = op->backward_segment;
        }
    }
}

/* A gradient's buffer goes to the next one that begins after it died. */
struct buffer {
    float *data;
    size_t floats;
    int free_after;
};

static struct buffer *find_buffer(struct buffer *buffers, int count, size_t floats, int born)
{
    struct buffer *best = NULL;

    for (int i = 0; i < count; i++)
        if (buffers[i].free_after < born && buffers[i].floats >= floats &&
            (!best || buffers[i].floats < best->floats))
            best = &buffers[i];
    return best;
}

/* Values whose gradients begin in a segment, biggest first so that the small ones do not take the
 * big buffers. */
static int place_gradients(struct lq_tape *tape)
{
    size_t batch = (size_t)tape->options.batch;
    struct buffer *buffers = lq_alloc((size_t)tape->graph->value_count, sizeof(*buffers));
    int count = 0, status = buffers ? LQ_OK : lq_fail_memory(tape->error);

    for (int segment = 0; segment < tape->backward_count && status == LQ_OK; segment++)
        for (int i = 0; i < tape->graph->value_count && status == LQ_OK; i++) {
            struct value *value = &tape->values[i];
            size_t floats = value->elements * batch;
            struct buffer *buffer;

            if (value->born != segment || value->local_gradient ||
                (!value->wanted && i != tape->logits))
                continue;
            buffer = find_buffer(buffers, count, floats, segment);
            if (!buffer) {
                buffer = &buffers[count++];
                *buffer =
                    (struct buffer){lq_arena_alloc(&tape->arena, floats, sizeof(float)), floats, 0};
                status = buffer->data ? LQ_OK : lq_fail_memory(tape->error);
            }
            value->gradient = buffer->data;
            buffer->free_after = value->dies;
        }
    free(buffers);
    return status;
}

static int place_values(struct lq_tape *tape)
{
    size_t workers = (size_t)tape->options.threads;

    for (int i = 0; i < tape->op_count; i++)
        if (tape->ops[i].output >= 0)
            tape->values[tape->ops[i].output].used = true;
    for (int i = 0; i < tape->graph->value_count; i++) {
        struct value *value = &tape->values[i];

        if (value->used) {
            size_t images = value->local_data ? workers * (size_t)tape->largest_group
                                              : (size_t)tape->options.batch;

            value->data = lq_arena_alloc(&tape->arena, images * value->elements, sizeof(float));
            if (!value->data)
                return lq_fail_memory(tape->error);
        }
        if (value->local_gradient && !tape->options.forward_only) {
            value->gradient = lq_arena_alloc(&tape->arena, workers * (size_t)tape->largest_group,
                                             value->elements * sizeof(float));
            if (!value->gradient)
                return lq_fail_memory(tape->error);
        }
    }
    return tape->options.forward_only ? LQ_OK : place_gradients(tape);
}

/* Room for what the nodes will add: at most so many of each. */
static int reserve(struct lq_tape *tape)
{
    const struct lq_graph *graph = tape->graph;
    size_t nodes = (size_t)graph->node_count, numbers = 0;
    struct lq_arena *arena = &tape->arena;

    for (size_t i = 0; i < nodes; i++)
        for (int param = 0; param < LQ_PARAM_COUNT; param++) {
            const struct lq_tensor *tensor = graph->nodes[i].params[param];

            if (tensor)
                numbers += lq_size_round_up((size_t)lq_shape_elements(&tensor->shape) *
                                                (param == LQ_PARAM_CODES ? 8 : 1),
                                            16);
        }
    tape->values = lq_arena_alloc(arena, (size_t)graph->value_count, sizeof(*tape->values));
    tape->ops = lq_arena_alloc(arena, 2 * nodes, sizeof(*tape->ops));
    tape->forward = lq_arena_alloc(arena, 2 * nodes, sizeof(*tape->forward));
    tape->backward = lq_arena_alloc(arena, 2 * nodes, sizeof(*tape->backward));
    tape->params = lq_arena_alloc(arena, 2 * nodes, sizeof(*tape->params));
    tape->arrays = lq_arena_alloc(arena, 3 * nodes, sizeof(*tape->arrays));
    tape->programs = lq_arena_alloc(arena, nodes, sizeof(*tape->programs));
    tape->weight_quantizers = lq_arena_alloc(arena, nodes, sizeof(*tape->weight_quantizers));
    tape->activation_quantizers =
        lq_arena_alloc(arena, nodes, sizeof(*tape->activation_quantizers));
    tape->numbers_values = lq_arena_alloc(arena, numbers, sizeof(float));
    tape->gradients = lq_arena_alloc(arena, numbers, sizeof(float));
    if (!tape->values || !tape->ops || !tape->forward || !tape->backward || !tape->params ||
        !tape->arrays || !tape->programs || !tape->weight_quantizers ||
        !tape->activation_quantizers || !tape->numbers_values || !tape->gradients)
        return lq_fail_memory(tape->error);
    for (int i = 0; i < graph->value_count; i++)
        tape->values[i].elements = (size_t)lq_shape_elements(&graph->values[i].shape);
    return LQ_OK;
}

int lq_tape_create(const struct lq_graph *graph, const struct lq_tape_options *options,
                   struct lq_tape **ret_tape, struct lq_error *error)
{
    struct lq_tape *tape = lq_alloc(1, sizeof(*tape));
    int status;

    if (!tape)
        return lq_fail_memory(error);
    tape->graph = graph;
    tape->options = *options;
    tape->error = error;
    status = lq_pool_create(options->threads, &tape->pool, error);
    if (status == LQ_OK)
        status = reserve(tape);
    if (status == LQ_OK)
        status = add_nodes(tape);
    if (status == LQ_OK) {
        cut_segments(tape);
        follow_gradients(tape);
        follow_values(tape);
        status = place_values(tape);
    }
    if (status == LQ_OK) {
        tape->scratch = lq_arena_alloc(&tape->arena, (size_t)options->threads, tape->scratch_bytes);
        status = tape->scratch ? LQ_OK : lq_fail_memory(error);
    }
    tape->error = NULL;
    if (status == LQ_OK)
        *ret_tape = tape;
    else
        lq_tape_destroy(tape);
    return status;
}
