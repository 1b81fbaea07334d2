/* predict.c - what networks answer to the images of a data set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/predict.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/status.h"
#include "graph/session.h"

struct predicting {
    const struct lq_predict *predict;
    const struct lq_graph *graph; /* of the first program */
    int64_t first;                /* of the batch */
    size_t input_size;            /* numbers of one image */
    uint8_t *inputs;
    float *outputs[LQ_PREDICT_PROGRAMS];
    struct lq_runner *runners[LQ_PREDICT_PROGRAMS];
    pthread_mutex_t lock; /* of the first failure */
    int status;
    struct lq_error *error;
};

static void load_input(void *context, int item, int worker)
{
    struct predicting *p = context;
    struct lq_error error = {0};
    const struct lq_shape *shape = &p->graph->values[p->graph->input].shape;
    int status =
        lq_dataset_pixels(p->predict->dataset, p->first + item, &p->graph->meta.preprocess,
                          shape->dims[2], p->inputs + (size_t)item * p->input_size, &error);

    (void)worker;
    if (status == LQ_OK)
        return;
    pthread_mutex_lock(&p->lock);
    if (p->status == LQ_OK)
        p->status = lq_fail(p->error, status, "%s", error.text);
    pthread_mutex_unlock(&p->lock);
}

int lq_predict_class(const float *output, int classes)
{
    int best = 0;

    for (int c = 1; c < classes; c++)
        best = output[c] > output[best] ? c : best;
    return best;
}

static int run_batch(struct predicting *p, struct lq_pool *pool, int count)
{
    const struct lq_predict *predict = p->predict;
    int status;

    lq_pool_run(pool, count, load_input, p);
    status = p->status;
    for (int i = 0; i < predict->program_count && status == LQ_OK; i++)
        status = lq_runner_run_pixels(p->runners[i], p->inputs, count, p->outputs[i], p->error);
    for (int item = 0; item < count && status == LQ_OK; item++) {
        const float *rows[LQ_PREDICT_PROGRAMS];

        for (int i = 0; i < predict->program_count; i++)
            rows[i] = p->outputs[i] +
                      (size_t)item * (size_t)lq_graph_classes(predict->programs[i]->graph);
        status = predict->see(predict->context, p->first + item, rows, p->error);
    }
    return status;
}

static int run_batches(struct predicting *p, struct lq_pool *pool)
{
    const struct lq_predict *predict = p->predict;
    const struct lq_progress *progress = &predict->progress;

    for (p->first = 0; p->first < predict->count; p->first += predict->batch) {
        int64_t left = predict->count - p->first;
        int count = left < predict->batch ? (int)left : predict->batch;
        int status = run_batch(p, pool, count);

        if (status == LQ_OK && progress->report &&
            progress->report(progress->context, predict->stage, p->first + count, predict->count))
            status = lq_fail(p->error, LQ_ERR_CANCELLED, "cancelled");
        if (status != LQ_OK)
            return status;
    }
    return LQ_OK;
}

static int start(struct predicting *p)
{
    const struct lq_predict *predict = p->predict;
    size_t batch = (size_t)predict->batch;
    int status = LQ_OK;

    p->inputs = lq_alloc(batch, p->input_size);
    if (!p->inputs)
        return lq_fail_memory(p->error);
    for (int i = 0; i < predict->program_count && status == LQ_OK; i++) {
        size_t classes = (size_t)lq_graph_classes(predict->programs[i]->graph);

        p->outputs[i] = lq_alloc(batch, classes * sizeof(float));
        status = p->outputs[i] ? lq_runner_create(predict->programs[i], predict->threads,
                                                  &p->runners[i], p->error)
                               : lq_fail_memory(p->error);
    }
    return status;
}

int lq_predict_run(const struct lq_predict *predict, struct lq_error *error)
{
    const struct lq_graph *graph = predict->programs[0]->graph;
    struct predicting p = {.predict = predict, .graph = graph, .error = error};
    struct lq_pool *pool = NULL;
    int status;

    if (predict->count < 1)
        return lq_fail(error, LQ_ERR_INVALID, "the data set is empty");
    p.input_size = (size_t)lq_shape_elements(&graph->values[graph->input].shape);
    pthread_mutex_init(&p.lock, NULL);
    status = lq_pool_create(predict->threads, &pool, error);
    if (status == LQ_OK)
        status = start(&p);
    if (status == LQ_OK)
        status = run_batches(&p, pool);
    for (int i = 0; i < predict->program_count; i++) {
        lq_runner_destroy(p.runners[i]);
        free(p.outputs[i]);
    }
    free(p.inputs);
    lq_pool_destroy(pool);
    pthread_mutex_destroy(&p.lock);
    return status;
}
