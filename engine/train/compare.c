/* compare.c - two networks on the same images.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/compare.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "base/status.h"
#include "train/predict.h"

enum { OLD, NEW };

struct comparing {
    const struct lq_dataset *dataset;
    int classes;
    bool is_probability[2]; /* the network ends in a softmax */
    struct lq_comparison sums;
    double difference, square; /* sums over images: of confidences, new less old */
    int64_t *predicted[2];     /* [classes] */
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The probability of a class. */
static double confidence(const float *output, int classes, int best, bool is_probability)
{
    double sum = 0;

    if (is_probability)
        return (double)output[best];
    for (int c = 0; c < classes; c++)
        sum += exp((double)output[c] - (double)output[best]);
    return 1 / sum;
}

static int count_right(struct comparing *c, int64_t item, const int *best, struct lq_error *error)
{
    struct lq_comparison *s = &c->sums;
    int64_t label = lq_dataset_label(c->dataset, item);
    char name[256];

    if (label >= c->classes) {
        lq_dataset_name(c->dataset, item, name, sizeof(name));
        return lq_fail(error, LQ_ERR_INVALID, "%s: class %lld, the networks have %d", name,
                       (long long)label, c->classes);
    }
    if (label < 0)
        return LQ_OK;
    s->labelled++;
    if (best[OLD] == label)
        *(best[NEW] == label ? &s->both : &s->only_old) += 1;
    else
        *(best[NEW] == label ? &s->only_new : &s->neither) += 1;
    return LQ_OK;
}

static int see(void *context, int64_t item, const float *const *outputs, struct lq_error *error)
{
    struct comparing *c = context;
    double certain[2], difference;
    int best[2];

    for (int i = OLD; i <= NEW; i++) {
        best[i] = lq_predict_class(outputs[i], c->classes);
        certain[i] = confidence(outputs[i], c->classes, best[i], c->is_probability[i]);
        c->predicted[i][best[i]]++;
    }
    difference = certain[NEW] - certain[OLD];
    c->sums.count++;
    c->sums.agreed += best[OLD] == best[NEW];
    c->sums.confidence_old += certain[OLD];
    c->sums.confidence_new += certain[NEW];
    c->difference += difference;
    c->square += difference * difference;
    return count_right(c, item, best, error);
}

/* The sum of binomial terms, which fall from `heads` on where that is beyond the middle. */
static double upper_tail(double tosses, double heads)
{
    int sign;
    double term = exp(lgamma_r(tosses + 1, &sign) - lgamma_r(heads + 1, &sign) -
                      lgamma_r(tosses - heads + 1, &sign) - tosses * M_LN2);
    double sum = 0;

    for (double k = heads; k <= tosses && term > sum * 1e-17; k++) {
        sum += term;
        term *= (tosses - k) / (k + 1);
    }
    return sum;
}

double lq_coin_tail(int64_t tosses, int64_t heads)
{
    if (heads <= 0)
        return 1;
    if (heads > tosses)
        return 0;
    if (2 * heads > tosses)
        return upper_tail((double)tosses, (double)heads);
    return 1 - upper_tail((double)tosses, (double)(tosses - heads + 1));
}

static double effective_classes(const int64_t *predicted, int classes, int64_t count)
{
    double entropy = 0;

    for (int c = 0; c < classes; c++) {
        double p = (double)predicted[c] / (double)count;

        entropy -= p > 0 ? p * log(p) : 0;
    }
    return exp(entropy);
}

static void finish(struct comparing *c, double seconds)
{
    struct lq_comparison *s = &c->sums;
    double count = (double)s->count, mean = c->difference / count;
    double variance = c->square / count - mean * mean;
    int64_t differ = s->only_old + s->only_new;

    s->confidence_old *= 100 / count;
    s->confidence_new *= 100 / count;
    s->confidence_error = 100 * sqrt((variance > 0 ? variance : 0) / count);
    s->classes_old = effective_classes(c->predicted[OLD], c->classes, s->count);
    s->classes_new = effective_classes(c->predicted[NEW], c->classes, s->count);
    if (s->labelled > 0) {
        s->top1_old = 100.0 * (double)(s->both + s->only_old) / (double)s->labelled;
        s->top1_new = 100.0 * (double)(s->both + s->only_new) / (double)s->labelled;
    }
    s->p_worse = lq_coin_tail(differ, s->only_old);
    s->p_better = lq_coin_tail(differ, s->only_new);
    s->seconds = seconds;
}

static bool ends_in_softmax(const struct lq_graph *graph)
{
    int producer = graph->values[graph->output].producer;

    return producer >= 0 && graph->nodes[producer].kind == LQ_OP_SOFTMAX;
}

static bool match(const struct lq_graph *a, const struct lq_graph *b)
{
    return lq_shape_equal(&a->values[a->input].shape, &b->values[b->input].shape) &&
           a->meta.preprocess.resize == b->meta.preprocess.resize &&
           lq_graph_classes(a) == lq_graph_classes(b);
}

int lq_compare_programs(const struct lq_program *old_program, const struct lq_program *new_program,
                        const struct lq_dataset *dataset, const struct lq_compare_options *options,
                        struct lq_comparison *ret_comparison, struct lq_error *error)
{
    const struct lq_graph *graph = old_program->graph;
    struct comparing c = {
        .dataset = dataset,
        .classes = lq_graph_classes(graph),
        .is_probability = {ends_in_softmax(graph), ends_in_softmax(new_program->graph)}};
    struct lq_predict predict = {.programs = {old_program, new_program},
                                 .program_count = 2,
                                 .dataset = dataset,
                                 .count = lq_dataset_count(dataset),
                                 .batch = options->batch,
                                 .threads = options->threads,
                                 .stage = "compare",
                                 .progress = options->progress,
                                 .see = see,
                                 .context = &c};
    double start = now();
    int status;

    if (!match(graph, new_program->graph))
        return lq_fail(error, LQ_ERR_INVALID,
                       "the networks differ in input size, resizing or classes");
    if (options->limit > 0 && options->limit < predict.count)
        predict.count = options->limit;
    c.predicted[OLD] = lq_alloc(2 * (size_t)c.classes, sizeof(int64_t));
    if (!c.predicted[OLD])
        return lq_fail_memory(error);
    c.predicted[NEW] = c.predicted[OLD] + c.classes;
    status = lq_predict_run(&predict, error);
    if (status == LQ_OK) {
        finish(&c, now() - start);
        *ret_comparison = c.sums;
    }
    free(c.predicted[OLD]);
    return status;
}
