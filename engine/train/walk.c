/* walk.c - runs a graph node by node, each for all images at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/walk.h"

#include <stdlib.h>

#include "base/status.h"
#include "graph/lower.h"
#include "ops/conv_train.h"
#include "ops/weights.h"

#define MOMENT_PARTS 64 /* of the images, with sums of their own, whatever the threads */

int64_t lq_walk_numbers(const struct lq_graph *graph)
{
    int64_t most = 1;
    int *last = lq_alloc((size_t)graph->value_count, sizeof(*last));

    if (!last)
        return 1;
    for (int i = 0; i < graph->node_count; i++)
        for (int j = 0; j < graph->nodes[i].input_count; j++)
            last[graph->nodes[i].inputs[j]] = i;
    for (int i = 0; i < graph->node_count; i++) {
        int64_t alive = 0;

        for (int value = 0; value <= graph->nodes[i].output; value++)
            if (last[value] >= i || value == graph->nodes[i].output)
                alive += lq_shape_elements(&graph->values[value].shape);
        most = alive > most ? alive : most;
    }
    free(last);
    return most;
}

struct node_work {
    const struct lq_step *step;
    const float *const *inputs;
    const int64_t *input_elements;
    float *output;
    int64_t output_elements;
    uint8_t *scratch;
};

static void run_image(void *context, int image, int worker)
{
    const struct node_work *work = context;
    struct lq_run run = {.output = work->output + image * work->output_elements,
                         .scratch = work->scratch + (size_t)worker * work->step->scratch_bytes};

    for (int i = 0; i < work->step->input_count; i++)
        run.inputs[i] = work->inputs[i] + image * work->input_elements[i];
    work->step->run(work->step, &run);
}

struct bias_work {
    float *output;
    const float *bias;
    int64_t pixels; /* of an image */
    int channels;
};

static void add_bias(void *context, int image, int worker)
{
    const struct bias_work *work = context;
    float *y = work->output + image * work->pixels * work->channels;

    (void)worker;
    for (int64_t pixel = 0; pixel < work->pixels; pixel++)
        for (int c = 0; c < work->channels; c++)
            *y++ += work->bias[c];
}

static int run_conv(const struct lq_walk_node *walk, const float *input, float *output,
                    struct lq_error *error)
{
    const struct lq_node *node = &walk->graph->nodes[walk->node];
    const struct lq_shape *shape = &walk->graph->values[node->output].shape;
    struct lq_step_spec spec = {.params = node->params, .attributes = &node->attributes};
    struct lq_map map = lq_shape_map(shape);
    struct lq_conv_train conv;
    struct lq_conv_work work = {.pool = walk->pool};
    float *weights;
    int status = LQ_OK;

    lq_conv_train_init(&conv, &node->attributes, &walk->graph->values[node->inputs[0]].shape, shape,
                       walk->count, walk->kernels);
    weights = lq_alloc((size_t)map.channels * (size_t)conv.geometry.length, sizeof(*weights));
    work.scratch = lq_alloc(1, lq_conv_train_scratch(&conv, lq_pool_threads(walk->pool)));
    if (weights && work.scratch) {
        lq_weights_decode(&spec, map.channels, conv.geometry.length, weights);
        lq_conv_forward(&conv, &work, input, weights, output);
        if (node->params[LQ_PARAM_BIAS]) {
            struct bias_work bias = {output, node->params[LQ_PARAM_BIAS]->data,
                                     (int64_t)map.height * map.width, map.channels};

            lq_pool_run(walk->pool, walk->count, add_bias, &bias);
        }
    } else {
        status = lq_fail_memory(error);
    }
    free(work.scratch);
    free(weights);
    return status;
}

struct levels_work {
    const struct lq_kernels *kernels;
    const struct lq_quantizer *quantizer;
    const float *input;
    float *output;
    int64_t elements; /* of an image */
};

static void quantize_image(void *context, int image, int worker)
{
    const struct levels_work *work = context;
    const struct lq_quantizer *q = work->quantizer;
    const struct lq_levels_of of = {1 << q->bits, q->levels, q->thresholds};

    (void)worker;
    work->kernels->train.quantize_values(&of, work->input + image * work->elements, work->elements,
                                         NULL, work->output + image * work->elements);
}

static void run_quantize(const struct lq_walk_node *walk, const float *input, float *output)
{
    const struct lq_node *node = &walk->graph->nodes[walk->node];
    struct lq_snapped_basis basis;
    struct lq_quantizer quantizer;
    struct levels_work work = {walk->kernels, &quantizer, input, output,
                               lq_shape_elements(&walk->graph->values[node->output].shape)};

    lq_node_basis(node, &basis);
    lq_quantizer_init_snapped(&quantizer, &basis);
    lq_pool_run(walk->pool, walk->count, quantize_image, &work);
}

int lq_walk_run_node(const struct lq_walk_node *walk, const float *const *inputs, float *output,
                     struct lq_error *error)
{
    const struct lq_graph *graph = walk->graph;
    const struct lq_node *node = &graph->nodes[walk->node];
    struct lq_program *program;
    int64_t elements[LQ_MAX_INPUTS];
    struct node_work work = {.inputs = inputs, .input_elements = elements, .output = output};
    int status;

    if (walk->quick && (node->kind == LQ_OP_CONV || node->kind == LQ_OP_DENSE))
        return run_conv(walk, inputs[0], output, error);
    if (walk->quick && node->kind == LQ_OP_QUANTIZE) {
        run_quantize(walk, inputs[0], output);
        return LQ_OK;
    }
    status = lq_program_create_node(graph, walk->node, walk->kernels, &program, error);
    if (status != LQ_OK)
        return status;
    for (int i = 0; i < node->input_count; i++)
        elements[i] = lq_shape_elements(&graph->values[node->inputs[i]].shape);
    work.step = &program->steps[0];
    work.output_elements = lq_shape_elements(&graph->values[node->output].shape);
    work.scratch = lq_alloc((size_t)lq_pool_threads(walk->pool), work.step->scratch_bytes);
    if (work.scratch)
        lq_pool_run(walk->pool, walk->count, run_image, &work);
    else
        status = lq_fail_memory(error);
    free(work.scratch);
    lq_program_destroy(program);
    return status;
}

struct moments_work {
    const struct lq_walk_maps *maps;
    double *sums; /* [MOMENT_PARTS][2][channels] */
};

static void add_part(void *context, int part, int worker)
{
    const struct moments_work *work = context;
    const struct lq_walk_maps *maps = work->maps;
    int64_t first = (int64_t)maps->count * part / MOMENT_PARTS * maps->pixels;
    int64_t end = (int64_t)maps->count * (part + 1) / MOMENT_PARTS * maps->pixels;
    double *sums = work->sums + (size_t)part * 2 * (size_t)maps->channels;
    double *squares = sums + maps->channels;

    (void)worker;
    for (int64_t pixel = first; pixel < end; pixel++) {
        const float *values = maps->values + pixel * maps->channels;

        for (int c = 0; c < maps->channels; c++) {
            double x = values[c];

            sums[c] += x;
            squares[c] += x * x;
        }
    }
}

int lq_walk_moments(const struct lq_walk_maps *maps, struct lq_pool *pool, double *ret_mean,
                    double *ret_variance, struct lq_error *error)
{
    size_t channels = (size_t)maps->channels;
    struct moments_work work = {maps, lq_alloc(MOMENT_PARTS, 2 * channels * sizeof(double))};
    double n = (double)maps->count * (double)maps->pixels;

    if (!work.sums)
        return lq_fail_memory(error);
    lq_pool_run(pool, MOMENT_PARTS, add_part, &work);
    for (size_t c = 0; c < channels; c++) {
        double sum = 0, squares = 0;

        for (size_t part = 0; part < MOMENT_PARTS; part++) {
            sum += work.sums[part * 2 * channels + c];
            squares += work.sums[(part * 2 + 1) * channels + c];
        }
        ret_mean[c] = sum / n;
        squares = squares / n - ret_mean[c] * ret_mean[c];
        ret_variance[c] = squares > 0 ? squares : 0;
    }
    free(work.sums);
    return LQ_OK;
}
