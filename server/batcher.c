/* batcher.c - a bounded queue of work and the threads that do it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "batcher.h"

#include <pthread.h>
#include <stdlib.h>

#include "text.h"

struct worker {
    struct batcher *batcher;
    pthread_t thread;
    struct lq_session **sessions; /* by entry, made when first needed */
};

struct batcher {
    const struct config *config;
    const struct registry *registry;
    pthread_mutex_t lock; /* of the queue */
    pthread_cond_t filled;
    struct batcher_job *first, **last;
    int64_t length;
    bool stopping;
    struct worker *workers;
    int worker_count; /* that have been started */
};

static struct lq_session *worker_session(struct worker *worker, const struct registry_entry *entry,
                                         struct lq_error *error)
{
    const struct config *config = worker->batcher->config;
    struct lq_session_options options = {.max_batch = (int)config->session_batch,
                                         .threads = (int)config->worker_threads,
                                         .form = LQ_FORM_AUTO};
    struct lq_session **session = &worker->sessions[entry->index];

    if (!*session && lq_session_create(entry->model, &options, session, error) != LQ_OK)
        return NULL;
    return *session;
}

/* The next job, or NULL when there is none and none will come. */
static struct batcher_job *take(struct batcher *batcher)
{
    struct batcher_job *job;

    pthread_mutex_lock(&batcher->lock);
    while (!batcher->first && !batcher->stopping)
        pthread_cond_wait(&batcher->filled, &batcher->lock);
    job = batcher->first;
    if (job) {
        batcher->first = job->next;
        if (!batcher->first)
            batcher->last = &batcher->first;
        batcher->length--;
    }
    pthread_mutex_unlock(&batcher->lock);
    return job;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct batcher_job *job;

    while ((job = take(worker->batcher))) {
        struct lq_error error = {0};

        job->run(job, worker_session(worker, job->entry, &error), &error);
    }
    for (int i = 0; i < registry_count(worker->batcher->registry); i++)
        lq_session_destroy(worker->sessions[i]);
    free(worker->sessions);
    return NULL;
}

static bool start_worker(struct batcher *batcher)
{
    struct worker *worker = &batcher->workers[batcher->worker_count];

    worker->batcher = batcher;
    worker->sessions =
        calloc((size_t)registry_count(batcher->registry) + 1, sizeof(*worker->sessions));
    if (!worker->sessions)
        return false;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
        free(worker->sessions);
        return false;
    }
    batcher->worker_count++;
    return true;
}

int batcher_start(const struct config *config, const struct registry *registry,
                  struct batcher **ret_batcher, struct lq_error *error)
{
    int64_t workers = config->workers ? config->workers : lq_cpu_count();
    struct batcher *batcher = calloc(1, sizeof(*batcher));

    if (!batcher)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    batcher->config = config;
    batcher->registry = registry;
    batcher->last = &batcher->first;
    pthread_mutex_init(&batcher->lock, NULL);
    pthread_cond_init(&batcher->filled, NULL);
    batcher->workers = calloc((size_t)workers, sizeof(*batcher->workers));
    while (batcher->workers && batcher->worker_count < workers)
        if (!start_worker(batcher))
            break;
    if (batcher->worker_count < workers) {
        batcher_stop(batcher);
        return error_set(error, LQ_ERR_MEMORY, "cannot start %lld workers", (long long)workers);
    }
    *ret_batcher = batcher;
    return LQ_OK;
}

bool batcher_submit(struct batcher *batcher, struct batcher_job *job)
{
    bool room;

    job->next = NULL;
    pthread_mutex_lock(&batcher->lock);
    room = batcher->length < batcher->config->queue_length && !batcher->stopping;
    if (room) {
        *batcher->last = job;
        batcher->last = &job->next;
        batcher->length++;
        pthread_cond_signal(&batcher->filled);
    }
    pthread_mutex_unlock(&batcher->lock);
    return room;
}

void batcher_stop(struct batcher *batcher)
{
    if (!batcher)
        return;
    pthread_mutex_lock(&batcher->lock);
    batcher->stopping = true;
    pthread_cond_broadcast(&batcher->filled);
    pthread_mutex_unlock(&batcher->lock);
    for (int i = 0; i < batcher->worker_count; i++)
        pthread_join(batcher->workers[i].thread, NULL);
    pthread_cond_destroy(&batcher->filled);
    pthread_mutex_destroy(&batcher->lock);
    free(batcher->workers);
    free(batcher);
}
