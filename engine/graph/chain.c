/* chain.c - which nodes a step takes over.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A convolution, dense layer or batch normalization takes over the batch normalizations and the
 * ReLU or clip behind it. An integer convolution takes over more: a max pool, the addition of a
 * value that is there already, and what follows: batch normalizations, a ReLU or clip, and a
 * quantize node. Only a node whose value nobody else reads can be taken over, with one exception:
 * either the value behind the addition (y) or the one before the quantize node (z) may have other
 * readers, and is then stored beside the codes. The plain form, the definition, takes over no more
 * than the quantize node.
 */
#include <math.h>
#include <stdlib.h>

#include "base/size.h"
#include "base/status.h"
#include "graph/lower_internal.h"

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

/* The only reader of a node's value, or NULL. */
static const struct lq_node *only_reader(const struct lq_lowering *l, const struct lq_node *node)
{
    int value = node->output;

    if (l->options->separate || value == l->graph->output || l->graph->values[value].consumers != 1)
        return NULL;
    return &l->graph->nodes[l->reader[value]];
}

static const struct lq_node *take(struct lq_lowering *l, const struct lq_node *node,
                                  struct lq_chain *chain)
{
    chain->last = (int)(node - l->graph->nodes);
    chain->taken[chain->last] = true;
    return only_reader(l, node);
}

static void take_quantize(struct lq_lowering *l, const struct lq_node *node, struct lq_chain *chain)
{
    lq_node_basis(node, &chain->output_basis);
    chain->spec.output_basis = &chain->output_basis;
    take(l, node, chain);
}

/* Every window of the pool has a tap on the map. */
static bool can_pool(const struct lq_lowering *l, const struct lq_node *node)
{
    struct lq_map in = lq_shape_map(&l->graph->values[node->inputs[0]].shape);
    struct lq_map out = lq_shape_map(&l->graph->values[node->output].shape);
    const struct lq_window *w = &node->attributes.window;

    return node->kind == LQ_OP_MAX_POOL && w->pad_top < w->kernel_h && w->pad_left < w->kernel_w &&
           (out.height - 1) * w->stride_h - w->pad_top < in.height &&
           (out.width - 1) * w->stride_w - w->pad_left < in.width;
}

/* The other input of an addition of `value`; else -1. */
static int addend_of(const struct lq_lowering *l, const struct lq_node *node, int value)
{
    int other;

    if (node->kind != LQ_OP_ADD || node->input_count != 2)
        return -1;
    other = node->inputs[0] == value ? node->inputs[1] : node->inputs[0];
    return other != value && l->buffers[other].store == LQ_STORE_F32 ? other : -1;
}

/* From a value on: batch normalizations, a clamp, and whether codes of layers follow. */
struct path {
    const struct lq_node *first, *last; /* of batch normalizations and clamps, or NULL: none */
    const struct lq_node *quantize;     /* or NULL */
    bool shared;                        /* the value that is quantized has more readers */
};

static bool makes_codes(const struct lq_lowering *l, const struct lq_node *node)
{
    return node->kind == LQ_OP_QUANTIZE && l->buffers[node->output].store != LQ_STORE_F32;
}

/* A reader of the value that makes codes of it, or NULL. */
static const struct lq_node *find_quantize(const struct lq_lowering *l, int value)
{
    const struct lq_node *nodes = l->graph->nodes;

    for (int i = l->graph->values[value].producer + 1; i <= l->reader[value]; i++)
        if (nodes[i].inputs[0] == value && makes_codes(l, &nodes[i]))
            return &nodes[i];
    return NULL;
}

/* The path that starts with this reader of a value. */
static struct path follow(const struct lq_lowering *l, const struct lq_node *node)
{
    struct path path = {0};

    while (node && (node->kind == LQ_OP_BATCH_NORM || lq_node_is_clamp(node))) {
        path.first = path.first ? path.first : node;
        path.last = node;
        node = only_reader(l, node);
        if (lq_node_is_clamp(path.last))
            break;
    }
    if (node && makes_codes(l, node))
        path.quantize = node;
    if (!node && path.last) {
        path.quantize = find_quantize(l, path.last->output);
        path.shared = path.quantize != NULL;
    }
    return path;
}

/* The one to take over from the value on. Where others read the value, it must be worth storing the
 * value beside: codes are made, of a value that nobody else reads. */
static struct path choose_path(const struct lq_lowering *l, int value)
{
    const struct lq_node *nodes = l->graph->nodes;
    const struct lq_value *v = &l->graph->values[value];
    bool alone = v->consumers == 1 && value != l->graph->output;

    for (int i = v->producer + 1; i <= l->reader[value]; i++) {
        if (nodes[i].inputs[0] != value)
            continue;
        struct path path = follow(l, &nodes[i]);
        if (alone || (path.quantize && !path.shared))
            return path;
    }
    return (struct path){0};
}

static bool alloc_next(struct lq_chain *chain, size_t channels)
{
    chain->next_scale = lq_alloc(channels, sizeof(double));
    chain->next_shift = lq_alloc(channels, sizeof(double));
    if (!chain->next_scale || !chain->next_shift)
        return false;
    for (size_t c = 0; c < channels; c++)
        chain->next_scale[c] = 1;
    chain->spec.next_scale = chain->next_scale;
    chain->spec.next_shift = chain->next_shift;
    return true;
}

/* What leads on from the chain's value. False: out of memory. */
static bool take_path(struct lq_lowering *l, struct lq_chain *chain)
{
    int value = l->graph->nodes[chain->last].output;
    const struct lq_value *v = &l->graph->values[value];
    struct path path = choose_path(l, value);
    const struct lq_node *next = path.first;
    struct lq_step_spec *spec = &chain->spec;

    if (!path.first && !path.quantize)
        return true;
    spec->goes_on = next != NULL;
    spec->keeps = v->consumers > 1 || value == l->graph->output;
    spec->keeps_next = path.shared;
    chain->extra = spec->keeps ? value : path.shared ? path.last->output : -1;
    if (next && next->kind == LQ_OP_BATCH_NORM &&
        !alloc_next(chain, (size_t)lq_shape_map(&v->shape).channels))
        return false;
    while (next && next->kind == LQ_OP_BATCH_NORM) {
        compose_batch_norm(next, chain->next_scale, chain->next_shift);
        take(l, next, chain);
        next = next == path.last ? NULL : only_reader(l, next);
    }
    if (next && lq_node_is_clamp(next)) {
        compose_clamp(next, &spec->next_min, &spec->next_max);
        take(l, next, chain);
    }
    if (path.quantize)
        take_quantize(l, path.quantize, chain);
    return true;
}

int lq_chain_missing(const struct lq_lowering *l, const struct lq_node *head)
{
    const struct lq_node *last = head, *next = only_reader(l, head);
    int addend = -1;

    for (; next && next->kind == LQ_OP_BATCH_NORM; next = only_reader(l, next))
        last = next;
    if (next && lq_node_is_clamp(next)) {
        last = next;
        next = only_reader(l, next);
    }
    if (next && can_pool(l, next)) {
        last = next;
        next = only_reader(l, next);
    }
    if (next)
        addend = addend_of(l, next, last->output);
    return addend >= 0 && !l->ready[addend] ? addend : -1;
}

/* What an integer convolution takes over behind its batch normalizations and clamp: struct
 * lq_step_spec. False: out of memory. */
static bool take_more(struct lq_lowering *l, const struct lq_node *next, struct lq_chain *chain)
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
    if (chain->addend >= 0 && !l->ready[chain->addend])
        chain->addend = -1;
    if (chain->addend >= 0) {
        spec->adds = true;
        chain->inputs[1] = l->buffers[chain->addend];
        spec->input_count = 2;
        next = take(l, next, chain);
        if (next && lq_node_is_clamp(next)) {
            compose_clamp(next, &spec->add_min, &spec->add_max);
            take(l, next, chain);
        }
    }
    return take_path(l, chain);
}

int lq_chain_take_over(struct lq_lowering *l, const struct lq_node *head, bool more,
                       struct lq_chain *chain)
{
    const struct lq_node *next = only_reader(l, head);
    bool sums = lq_node_is_layer(head) || head->kind == LQ_OP_BATCH_NORM;

    while (sums && next && next->kind == LQ_OP_BATCH_NORM) {
        compose_batch_norm(next, chain->scale, chain->shift);
        next = take(l, next, chain);
    }
    if ((sums || head->kind == LQ_OP_ADD) && next && lq_node_is_clamp(next)) {
        compose_clamp(next, &chain->spec.min, &chain->spec.max);
        next = take(l, next, chain);
    }
    return !more || take_more(l, next, chain) ? LQ_OK : lq_fail_memory(l->error);
}

int lq_chain_init(struct lq_lowering *l, const struct lq_node *head, struct lq_chain *chain)
{
    size_t channels = (size_t)lq_shape_map(&l->graph->values[head->output].shape).channels;

    *chain = (struct lq_chain){
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
    if (lq_node_is_clamp(head))
        compose_clamp(head, &chain->spec.min, &chain->spec.max);
    if (!lq_node_is_layer(head) && head->kind != LQ_OP_BATCH_NORM)
        return LQ_OK;
    chain->scale = lq_alloc(channels, sizeof(double));
    chain->shift = lq_alloc(channels, sizeof(double));
    if (!chain->scale || !chain->shift)
        return lq_fail_memory(l->error);
    const struct lq_tensor *bias = lq_node_is_layer(head) ? head->params[LQ_PARAM_BIAS] : NULL;
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

void lq_chain_deinit(struct lq_chain *chain)
{
    free(chain->scale);
    free(chain->shift);
    free(chain->next_scale);
    free(chain->next_shift);
}
