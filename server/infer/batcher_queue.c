/* batcher_queue.c - what waits for workers: a list for each priority of each generation.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "infer/batcher_private.h"

/* Images that a job still has to give; before it is prepared, its caller's guess. */
static int64_t weight(const struct batcher_job *job)
{
    int left = job->count - job->taken;

    return left > 0 ? left : 1;
}

static void activate(struct batcher *batcher, struct generation *generation)
{
    generation->queue.previous = NULL;
    generation->queue.next = batcher->active;
    if (batcher->active)
        batcher->active->queue.previous = generation;
    batcher->active = generation;
}

static void deactivate(struct batcher *batcher, struct generation *generation)
{
    struct batcher_queue *queue = &generation->queue;

    if (queue->previous)
        queue->previous->queue.next = queue->next;
    else
        batcher->active = queue->next;
    if (queue->next)
        queue->next->queue.previous = queue->previous;
    queue->next = queue->previous = NULL;
}

static void count(struct batcher *batcher, struct batcher_job *job, int64_t sign)
{
    struct batcher_queue *queue = &job->generation->queue;

    queue->jobs += sign;
    metrics_model_gauge_add(stats_metrics(job->generation->stats), METRICS_QUEUED, sign);
    queue->images += sign * weight(job);
    batcher->gauge.jobs += sign;
    batcher->gauge.images += sign * weight(job);
    job->queued = sign > 0;
}

void batcher_queue_put(struct batcher *batcher, struct batcher_job *job, bool in_front)
{
    struct batcher_queue *queue = &job->generation->queue;
    struct batcher_job **first = &queue->first[job->priority], **last = &queue->last[job->priority];

    if (queue->jobs == 0)
        activate(batcher, job->generation);
    job->next = in_front ? *first : NULL;
    if (!*first)
        *first = *last = job;
    else if (in_front)
        *first = job;
    else
        *last = (*last)->next = job;
    count(batcher, job, 1);
}

void batcher_queue_remove(struct batcher *batcher, struct batcher_job *job)
{
    struct batcher_queue *queue = &job->generation->queue;
    struct batcher_job *before = NULL, *at = queue->first[job->priority];

    while (at != job) {
        before = at;
        at = at->next;
    }
    if (before)
        before->next = job->next;
    else
        queue->first[job->priority] = job->next;
    if (!job->next)
        queue->last[job->priority] = before;
    job->next = NULL;
    count(batcher, job, -1);
    if (queue->jobs == 0)
        deactivate(batcher, job->generation);
}

static struct batcher_job *head(const struct generation *generation)
{
    for (int priority = PRIORITY_HIGHEST; priority < PRIORITY_COUNT; priority++)
        if (generation->queue.first[priority])
            return generation->queue.first[priority];
    return NULL;
}

struct batcher_job *batcher_queue_take(struct batcher *batcher, struct generation *generation)
{
    struct batcher_job *job = head(generation);

    if (job)
        batcher_queue_remove(batcher, job);
    return job;
}

struct generation *batcher_queue_choose(const struct batcher *batcher)
{
    struct generation *best = NULL;
    const struct batcher_job *first = NULL;

    for (struct generation *at = batcher->active; at; at = at->queue.next) {
        const struct batcher_job *job = head(at);

        if (!first || job->priority < first->priority ||
            (job->priority == first->priority && job->submitted_ns < first->submitted_ns)) {
            best = at;
            first = job;
        }
    }
    return best;
}

int64_t batcher_queue_oldest_ns(const struct generation *generation)
{
    int64_t oldest = INT64_MAX;

    for (int priority = PRIORITY_HIGHEST; priority < PRIORITY_COUNT; priority++) {
        const struct batcher_job *job = generation->queue.first[priority];

        if (job && job->submitted_ns < oldest)
            oldest = job->submitted_ns;
    }
    return oldest;
}
