/* calibrate.c - fits a network's batch normalizations and activation quantizers to images.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "graph/lower.h"
#include "quant/qem.h"
#include "train/walk.h"

#define ITERATIONS 50
#define SAMPLE     ((int64_t)1 << 18) /* activations that a basis is fitted on, roughly */

/* A value for all images; its room is used again once it has been read. */
struct room {
    float *data;
    size_t floats;
    bool taken;
};

struct calibrating {
    struct lq_graph *graph;
    const struct lq_calibrate_input *input;
    struct lq_pool *pool;
    struct room *rooms; /* as many as values */
    int room_count;
    int *room_of; /* of each value; -1: none */
    int *readers; /* nodes that have not read the value yet */
    bool even;    /* all its quantizers have evenly spaced levels */
    struct lq_calibrated_node *nodes;
    int count;
    struct lq_error *error;
};

static size_t floats_of(const struct calibrating *c, int value)
{
    return (size_t)c->input->count * (size_t)lq_shape_elements(&c->graph->values[value].shape);
}

static const float *data_of(const struct calibrating *c, int value)
{
    return value == c->graph->input ? c->input->images : c->rooms[c->room_of[value]].data;
}

/* The smallest free room that is large enough, else a new one. */
static int take_room(struct calibrating *c, int value)
{
    size_t floats = floats_of(c, value);
    int best = -1;

    for (int i = 0; i < c->room_count; i++)
        if (!c->rooms[i].taken && c->rooms[i].floats >= floats &&
            (best < 0 || c->rooms[i].floats < c->rooms[best].floats))
            best = i;
    if (best < 0) {
        best = c->room_count;
        c->rooms[best].data = malloc(floats * sizeof(float)); /* lq_alloc would write zeros */
        if (!c->rooms[best].data)
            return lq_fail_memory(c->error);
        c->rooms[best].floats = floats;
        c->room_count++;
    }
    c->rooms[best].taken = true;
    c->room_of[value] = best;
    return LQ_OK;
}

static void release_inputs(struct calibrating *c, const struct lq_node *node)
{
    for (int i = 0; i < node->input_count; i++)
        if (--c->readers[node->inputs[i]] == 0 && node->inputs[i] != c->graph->input)
            c->rooms[c->room_of[node->inputs[i]]].taken = false;
}

static bool is_even(const struct lq_node *node)
{
    const int16_t *basis = node->params[LQ_PARAM_BASIS]->data;

    for (int i = 1; i < node->attributes.bits; i++)
        if (basis[i] != basis[0] * (1 << i))
            return false;
    return true;
}

static void record(struct calibrating *c, const struct lq_node *node, double before, double after)
{
    if (c->nodes)
        c->nodes[c->count] =
            (struct lq_calibrated_node){(int)(node - c->graph->nodes), before, after};
    c->count++;
}

/* Root mean square over the channels of how many standard deviations the means are apart. */
static double distance(const double *mean, const float *old_mean, const float *old_variance,
                       int channels, double epsilon)
{
    double sum = 0;

    for (int i = 0; i < channels; i++) {
        double difference = mean[i] - (double)old_mean[i];

        sum += difference * difference / ((double)old_variance[i] + epsilon);
    }
    return sqrt(sum / channels);
}

static int fit_norm(struct calibrating *c, const struct lq_node *node)
{
    int channels = node->params[LQ_PARAM_MEAN]->shape.dims[0];
    int64_t elements = lq_shape_elements(&c->graph->values[node->inputs[0]].shape);
    struct lq_walk_maps maps = {data_of(c, node->inputs[0]), c->input->count, elements / channels,
                                channels};
    float *mean = (float *)node->params[LQ_PARAM_MEAN]->data; /* of the copy's arena */
    float *variance = (float *)node->params[LQ_PARAM_VARIANCE]->data;
    double *moments = lq_alloc(2 * (size_t)channels, sizeof(*moments)), before;
    double keep = c->input->blend, epsilon = (double)node->attributes.epsilon;
    int status = moments ? lq_walk_moments(&maps, c->pool, moments, moments + channels, c->error)
                         : lq_fail_memory(c->error);

    for (int i = 0; i < 2 * channels && status == LQ_OK; i++)
        if (!isfinite(moments[i]) || fabs(moments[i]) > 1e37)
            status = lq_fail(c->error, LQ_ERR_NUMERIC,
                             "node '%.128s': its input is not finite for these images", node->name);
    if (status == LQ_OK) {
        before = distance(moments, mean, variance, channels, epsilon);
        for (int i = 0; i < channels && c->input->steps & LQ_FINETUNE_STATISTICS; i++) {
            mean[i] = (float)(keep * (double)mean[i] + (1 - keep) * moments[i]);
            variance[i] = (float)(keep * (double)variance[i] + (1 - keep) * moments[channels + i]);
        }
        record(c, node, before, distance(moments, mean, variance, channels, epsilon));
    }
    free(moments);
    return status;
}

/* Every so-many-th activation, the same ones whatever the threads. */
static float *sample(const float *values, int64_t n, int64_t *ret_count)
{
    int64_t stride = n / SAMPLE | 1; /* odd: it visits all channels of a power of two */
    int64_t count = (n + stride - 1) / stride;
    float *taken = lq_alloc((size_t)count, sizeof(*taken));

    for (int64_t i = 0; i < count && taken; i++)
        taken[i] = values[i * stride];
    *ret_count = count;
    return taken;
}

/* The relative squared error of a basis over values. */
static int measure(const struct lq_snapped_basis *basis, const float *values, int64_t count,
                   double *ret_error, struct lq_error *error)
{
    struct lq_qem_stats stats = {.sum_squares = 0};
    struct lq_quantizer quantizer;
    int status;

    lq_quantizer_init_snapped(&quantizer, basis);
    status = lq_qem_add(&quantizer, values, count, &stats, error);
    if (status == LQ_OK)
        *ret_error = lq_qem_relative_error(&quantizer, &stats);
    return status;
}

static int fit_basis(struct calibrating *c, const struct lq_node *node)
{
    struct lq_grid_fit fit = {LQ_CODE_UNSIGNED, node->attributes.bits, node->attributes.grid,
                              ITERATIONS, c->even};
    struct lq_snapped_basis basis;
    int64_t count;
    float *values =
        sample(data_of(c, node->inputs[0]), (int64_t)floats_of(c, node->inputs[0]), &count);
    double before = 0, after;
    int status;

    if (!values)
        return lq_fail_memory(c->error);
    lq_node_basis(node, &basis);
    status = measure(&basis, values, count, &before, c->error);
    after = before;
    if (status == LQ_OK && c->input->steps & LQ_FINETUNE_BASES)
        status = lq_qem_refine_grid(&fit, values, count, &basis, &after, c->error);
    free(values);
    if (status != LQ_OK) {
        lq_error_prefix(c->error, "node '%.128s'", node->name);
        return status;
    }
    memcpy((int16_t *)node->params[LQ_PARAM_BASIS]->data, basis.integers,
           (size_t)basis.bits * sizeof(*basis.integers));
    *(float *)node->params[LQ_PARAM_SCALE]->data = basis.scale;
    record(c, node, before, after);
    return LQ_OK;
}

static int calibrate_node(struct calibrating *c, int index)
{
    const struct lq_node *node = &c->graph->nodes[index];
    struct lq_walk_node walk = {.graph = c->graph,
                                .node = index,
                                .count = c->input->count,
                                .kernels = c->input->kernels,
                                .pool = c->pool,
                                .quick = true};
    const float *inputs[LQ_MAX_INPUTS];
    int status = LQ_OK;

    if (node->kind == LQ_OP_BATCH_NORM)
        status = fit_norm(c, node);
    else if (node->kind == LQ_OP_QUANTIZE)
        status = fit_basis(c, node);
    if (status == LQ_OK)
        status = take_room(c, node->output);
    if (status != LQ_OK)
        return status;
    for (int i = 0; i < node->input_count; i++)
        inputs[i] = data_of(c, node->inputs[i]);
    status = lq_walk_run_node(&walk, inputs, c->rooms[c->room_of[node->output]].data, c->error);
    release_inputs(c, node);
    return status;
}

static int start(struct calibrating *c)
{
    const struct lq_graph *graph = c->graph;
    size_t values = (size_t)graph->value_count;
    int status = lq_pool_create(c->input->threads, &c->pool, c->error);

    if (status != LQ_OK)
        return status;
    c->rooms = lq_alloc(values, sizeof(*c->rooms));
    c->room_of = lq_alloc(values, sizeof(*c->room_of));
    c->readers = lq_alloc(values, sizeof(*c->readers));
    if (!c->rooms || !c->room_of || !c->readers)
        return lq_fail_memory(c->error);
    for (int i = 0; i < graph->value_count; i++)
        c->readers[i] = graph->values[i].consumers;
    c->even = true;
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind == LQ_OP_QUANTIZE)
            c->even = c->even && is_even(&graph->nodes[i]);
    return LQ_OK;
}

/* The last node that changes; what follows need not be computed. */
static int last_node(const struct lq_graph *graph)
{
    int last = -1;

    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].kind == LQ_OP_BATCH_NORM || graph->nodes[i].kind == LQ_OP_QUANTIZE)
            last = i;
    return last;
}

int lq_calibrate_graph(struct lq_graph *graph, const struct lq_calibrate_input *input,
                       struct lq_calibrated_node *ret_nodes, int *ret_count, struct lq_error *error)
{
    struct calibrating c = {.graph = graph, .input = input, .nodes = ret_nodes, .error = error};
    int last = last_node(graph), status = start(&c);

    for (int i = 0; i <= last && status == LQ_OK; i++) {
        status = calibrate_node(&c, i);
        if (status == LQ_OK && input->report && input->report(input->context, i + 1, last + 1))
            status = lq_fail(error, LQ_ERR_CANCELLED, "cancelled");
    }
    for (int i = 0; i < c.room_count; i++)
        free(c.rooms[i].data);
    free(c.rooms);
    free(c.room_of);
    free(c.readers);
    lq_pool_destroy(c.pool);
    if (status == LQ_OK && ret_count)
        *ret_count = c.count;
    return status;
}
