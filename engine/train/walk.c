/* walk.c - runs a graph node by node, each for all images at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/walk.h"

#include <stdlib.h>

#include "base/status.h"
#include "graph/lower.h"

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

int lq_walk_run_node(const struct lq_walk_node *walk, const float *const *inputs, float *output,
                     struct lq_error *error)
{
    const struct lq_graph *graph = walk->graph;
    const struct lq_node *node = &graph->nodes[walk->node];
    struct lq_program *program;
    int64_t elements[LQ_MAX_INPUTS];
    struct node_work work = {.inputs = inputs, .input_elements = elements, .output = output};
    int status = lq_program_create_node(graph, walk->node, walk->kernels, &program, error);

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
