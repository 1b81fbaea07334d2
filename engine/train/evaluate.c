/* evaluate.c - accuracy of a network on a data set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/evaluate.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/status.h"
#include "graph/session.h"

#define TOP_FIVE 5

struct evaluating {
    const struct lq_graph *graph;
    const struct lq_dataset *dataset;
    int64_t first; /* of the batch, counted among those that are evaluated */
    int every;
    int classes;
    size_t input_size; /* numbers of one image */
    uint8_t *inputs;
    float *outputs;
    int64_t top1, top5;
    int64_t *confusion;
    pthread_mutex_t lock; /* of the first failure */
    int status;
    struct lq_error *error;
};

/* Item i of those that are evaluated. */
static int64_t item_at(const struct evaluating *e, int64_t i)
{
    return (i + 1) * e->every - 1;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void load_input(void *context, int item, int worker)
{
    struct evaluating *e = context;
    struct lq_error error = {0};
    const struct lq_shape *shape = &e->graph->values[e->graph->input].shape;
    int status =
        lq_dataset_pixels(e->dataset, item_at(e, e->first + item), &e->graph->meta.preprocess,
                          shape->dims[2], e->inputs + (size_t)item * e->input_size, &error);

    (void)worker;
    if (status == LQ_OK)
        return;
    pthread_mutex_lock(&e->lock);
    if (e->status == LQ_OK)
        e->status = lq_fail(e->error, status, "%s", error.text);
    pthread_mutex_unlock(&e->lock);
}

/* How many classes score higher, or as high with a lower index: 0 is the prediction. */
static int rank_of(const float *output, int classes, int label)
{
    int rank = 0;

    for (int c = 0; c < classes; c++)
        rank += output[c] > output[label] || (output[c] == output[label] && c < label);
    return rank;
}

static int prediction(const float *output, int classes)
{
    int best = 0;

    for (int c = 1; c < classes; c++)
        best = output[c] > output[best] ? c : best;
    return best;
}

static int count_batch(struct evaluating *e, int count)
{
    for (int i = 0; i < count; i++) {
        const float *output = e->outputs + (size_t)i * (size_t)e->classes;
        int64_t label = lq_dataset_label(e->dataset, item_at(e, e->first + i));

        if (label < 0 || label >= e->classes)
            return lq_fail(e->error, LQ_ERR_INVALID, "item %lld has class %lld of %d",
                           (long long)item_at(e, e->first + i), (long long)label, e->classes);
        int rank = rank_of(output, e->classes, (int)label);

        e->top1 += rank == 0;
        e->top5 += rank < TOP_FIVE;
        e->confusion[label * e->classes + prediction(output, e->classes)]++;
    }
    return LQ_OK;
}

static int run_batches(struct evaluating *e, struct lq_runner *runner, struct lq_pool *pool,
                       const struct lq_evaluate_options *options, int64_t total)
{
    const struct lq_progress *progress = &options->progress;

    for (e->first = 0; e->first < total; e->first += options->batch) {
        int count = total - e->first < options->batch ? (int)(total - e->first) : options->batch;
        int status;

        lq_pool_run(pool, count, load_input, e);
        status = e->status;
        if (status == LQ_OK)
            status = lq_runner_run_pixels(runner, e->inputs, count, e->outputs, e->error);
        if (status == LQ_OK)
            status = count_batch(e, count);
        if (status == LQ_OK && progress->report &&
            progress->report(progress->context, "evaluate", e->first + count, total))
            status = lq_fail(e->error, LQ_ERR_CANCELLED, "cancelled");
        if (status != LQ_OK)
            return status;
    }
    return LQ_OK;
}

int lq_evaluate_program(const struct lq_program *program, const struct lq_dataset *dataset,
                        const struct lq_evaluate_options *options,
                        struct lq_evaluation *ret_evaluation, struct lq_error *error)
{
    const struct lq_graph *graph = program->graph;
    int every = options->every > 1 ? options->every : 1;
    int64_t total = lq_dataset_count(dataset) / every;
    int classes = lq_graph_classes(graph), status;
    struct evaluating e = {.graph = graph,
                           .dataset = dataset,
                           .classes = classes,
                           .every = every,
                           .input_size =
                               (size_t)lq_shape_elements(&graph->values[graph->input].shape),
                           .error = error};
    struct lq_runner *runner = NULL;
    struct lq_pool *pool = NULL;
    double start = now();

    if (options->limit > 0 && options->limit < total)
        total = options->limit;
    if (total < 1)
        return lq_fail(error, LQ_ERR_INVALID, "the data set is empty");
    pthread_mutex_init(&e.lock, NULL);
    e.inputs = lq_alloc((size_t)options->batch, e.input_size);
    e.outputs = lq_alloc((size_t)options->batch, (size_t)classes * sizeof(float));
    e.confusion = lq_alloc((size_t)classes, (size_t)classes * sizeof(*e.confusion));
    status = e.inputs && e.outputs && e.confusion ? LQ_OK : lq_fail_memory(error);
    if (status == LQ_OK)
        status = lq_pool_create(options->threads, &pool, error);
    if (status == LQ_OK)
        status = lq_runner_create(program, options->threads, &runner, error);
    if (status == LQ_OK)
        status = run_batches(&e, runner, pool, options, total);
    lq_runner_destroy(runner);
    lq_pool_destroy(pool);
    pthread_mutex_destroy(&e.lock);
    free(e.inputs);
    free(e.outputs);
    if (status != LQ_OK) {
        free(e.confusion);
        return status;
    }
    double seconds = now() - start;
    *ret_evaluation = (struct lq_evaluation){.count = total,
                                             .top1 = 100.0 * (double)e.top1 / (double)total,
                                             .top5 = 100.0 * (double)e.top5 / (double)total,
                                             .seconds = seconds,
                                             .images_per_s = (double)total / seconds,
                                             .classes = classes,
                                             .confusion = e.confusion};
    return LQ_OK;
}

void lq_evaluation_deinit(struct lq_evaluation *evaluation)
{
    free(evaluation->confusion);
    evaluation->confusion = NULL;
}
