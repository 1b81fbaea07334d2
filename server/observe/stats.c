/* stats.c - what a model has done since the server started.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "observe/stats.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct stats {
    pthread_mutex_t lock;
    struct stats_values values;    /* `batches` is made when they are read */
    struct stats_batch *by_images; /* [max_batch] */
    int max_batch;
    struct metrics_model *metrics;
};

struct stats *stats_create(int max_batch, struct metrics_model *metrics)
{
    struct stats *stats = calloc(1, sizeof(*stats));

    if (!stats)
        return NULL;
    pthread_mutex_init(&stats->lock, NULL);
    stats->max_batch = max_batch;
    stats->metrics = metrics;
    stats->by_images = calloc((size_t)max_batch, sizeof(*stats->by_images));
    if (stats->by_images)
        return stats;
    stats_destroy(stats);
    return NULL;
}

void stats_destroy(struct stats *stats)
{
    if (!stats)
        return;
    pthread_mutex_destroy(&stats->lock);
    free(stats->by_images);
    free(stats);
}

struct metrics_model *stats_metrics(const struct stats *stats)
{
    return stats->metrics;
}

static void add(struct stats_sum *sum, int64_t ns)
{
    sum->count++;
    sum->ns += (uint64_t)ns;
}

void stats_add_batch(struct stats *stats, int images, int64_t input_ns, int64_t infer_ns)
{
    struct stats_batch *batch = &stats->by_images[images - 1];

    pthread_mutex_lock(&stats->lock);
    stats->values.execution_count++;
    batch->images = images;
    add(&batch->input, input_ns);
    add(&batch->infer, infer_ns);
    add(&batch->output, 0);
    pthread_mutex_unlock(&stats->lock);
    metrics_batch(stats->metrics, images);
    metrics_stage(stats->metrics, METRICS_COMPUTE, infer_ns);
}

static void count_request(struct metrics_model *metrics, const int64_t ns[STATS_STAGE_COUNT])
{
    if (!ns[STATS_success]) {
        metrics_model_count(metrics, METRICS_FAILURES, 1);
        return;
    }
    metrics_model_count(metrics, METRICS_SUCCESSES, 1);
    metrics_stage(metrics, METRICS_QUEUE, ns[STATS_queue]);
    metrics_stage(metrics, METRICS_DECODE, ns[STATS_compute_input]);
}

void stats_add_request(struct stats *stats, int images, const int64_t ns[STATS_STAGE_COUNT])
{
    struct stats_values *values = &stats->values;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&stats->lock);
    if (ns[STATS_success]) {
        values->inference_count += (uint64_t)images;
        values->last_inference_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
        add(&values->stages[STATS_success], ns[STATS_success]);
        for (int stage = STATS_queue; stage < STATS_STAGE_COUNT; stage++)
            add(&values->stages[stage], ns[stage]);
    } else {
        add(&values->stages[STATS_fail], ns[STATS_fail]);
    }
    pthread_mutex_unlock(&stats->lock);
    count_request(stats->metrics, ns);
}

void stats_add_output(struct stats *stats, int images, int64_t ns)
{
    pthread_mutex_lock(&stats->lock);
    stats->values.stages[STATS_success].ns += (uint64_t)ns;
    stats->values.stages[STATS_compute_output].ns += (uint64_t)ns;
    if (images > 0)
        stats->by_images[images - 1].output.ns += (uint64_t)ns;
    pthread_mutex_unlock(&stats->lock);
    metrics_stage(stats->metrics, METRICS_ENCODE, ns);
}

bool stats_read(struct stats *stats, struct stats_values *ret_values)
{
    struct stats_batch *batches = calloc((size_t)stats->max_batch, sizeof(*batches));

    if (!batches)
        return false;
    pthread_mutex_lock(&stats->lock);
    *ret_values = stats->values;
    ret_values->batches = batches;
    ret_values->batch_count = 0;
    for (int i = 0; i < stats->max_batch; i++)
        if (stats->by_images[i].images)
            batches[ret_values->batch_count++] = stats->by_images[i];
    pthread_mutex_unlock(&stats->lock);
    return true;
}

void stats_values_deinit(struct stats_values *values)
{
    free(values->batches);
    *values = (struct stats_values){0};
}
