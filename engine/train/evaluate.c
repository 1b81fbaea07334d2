/* evaluate.c - accuracy of a network on a data set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/evaluate.h"

#include <stdlib.h>
#include <time.h>

#include "base/status.h"
#include "train/predict.h"

#define TOP_FIVE 5

struct evaluating {
    const struct lq_dataset *dataset;
    int classes;
    int64_t top1, top5;
    int64_t *confusion;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* How many classes score higher, or as high with a lower index: 0 is the prediction. */
static int rank_of(const float *output, int classes, int label)
{
    int rank = 0;

    for (int c = 0; c < classes; c++)
        rank += output[c] > output[label] || (output[c] == output[label] && c < label);
    return rank;
}

static int see(void *context, int64_t item, const float *const *outputs, struct lq_error *error)
{
    struct evaluating *e = context;
    int64_t label = lq_dataset_label(e->dataset, item);
    int rank;

    if (label < 0 || label >= e->classes)
        return lq_fail(error, LQ_ERR_INVALID, "item %lld has class %lld of %d", (long long)item,
                       (long long)label, e->classes);
    rank = rank_of(outputs[0], e->classes, (int)label);
    e->top1 += rank == 0;
    e->top5 += rank < TOP_FIVE;
    e->confusion[label * e->classes + lq_predict_class(outputs[0], e->classes)]++;
    return LQ_OK;
}

int lq_evaluate_program(const struct lq_program *program, const struct lq_dataset *dataset,
                        const struct lq_evaluate_options *options,
                        struct lq_evaluation *ret_evaluation, struct lq_error *error)
{
    struct evaluating e = {.dataset = dataset, .classes = lq_graph_classes(program->graph)};
    struct lq_predict predict = {.programs = {program},
                                 .program_count = 1,
                                 .dataset = dataset,
                                 .count = lq_dataset_count(dataset),
                                 .batch = options->batch,
                                 .threads = options->threads,
                                 .stage = "evaluate",
                                 .progress = options->progress,
                                 .see = see,
                                 .context = &e};
    double start = now(), seconds;
    int status;

    if (options->limit > 0 && options->limit < predict.count)
        predict.count = options->limit;
    e.confusion = lq_alloc((size_t)e.classes, (size_t)e.classes * sizeof(*e.confusion));
    status = e.confusion ? lq_predict_run(&predict, error) : lq_fail_memory(error);
    if (status != LQ_OK) {
        free(e.confusion);
        return status;
    }
    seconds = now() - start;
    *ret_evaluation = (struct lq_evaluation){.count = predict.count,
                                             .top1 = 100.0 * (double)e.top1 / (double)predict.count,
                                             .top5 = 100.0 * (double)e.top5 / (double)predict.count,
                                             .seconds = seconds,
                                             .images_per_s = (double)predict.count / seconds,
                                             .classes = e.classes,
                                             .confusion = e.confusion};
    return LQ_OK;
}

void lq_evaluation_deinit(struct lq_evaluation *evaluation)
{
    free(evaluation->confusion);
    evaluation->confusion = NULL;
}
