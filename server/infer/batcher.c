/* batcher.c - the threads that compute jobs, and what each of them takes next.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A job is held by whoever examines or computes a piece of it; it has ended when it neither waits
 * nor is held. Large jobs go back to the front of the queue as long as they have images left, so
 * that workers without work help.
 */
#include "infer/batcher.h"

#include <pthread.h>
#include <stdlib.h>

#include "infer/batcher_private.h"
#include "codec/text.h"

/* ------------------------------------------------------------------------------------------------
 * Ends
 */

/* The job will not be computed further; an end that came earlier stands. */
static void end_job(struct batcher *batcher, struct batcher_job *job, enum batcher_end end,
                    const struct lq_error *error)
{
    if (job->end == BATCHER_DONE) {
        job->end = end;
        if (error)
            job->error = *error;
        batcher->gauge.late += end == BATCHER_LATE;
        batcher->gauge.left += end == BATCHER_LEFT;
    }
    if (job->queued)
        batcher_queue_remove(batcher, job);
}

/* Lets the job go; the last holder will finish it. */
static void release_job(struct batcher_worker *worker, struct batcher_job *job)
{
    if (--job->pieces > 0 || job->queued)
        return;
    job->next = worker->finished;
    worker->finished = job;
}

/* Replies, of a batch of so many images (0: of none). Without the lock. */
static void finish_job(struct batcher_job *job, int images)
{
    struct generation *generation = job->generation;
    bool done = job->end == BATCHER_DONE && !(job->has_failed && job->has_failed(job));
    int64_t start = batcher_now_ns();
    int64_t ns[STATS_STAGE_COUNT] = {[STATS_queue] = job->times.queue_ns,
                                     [STATS_compute_input] = job->times.prepare_ns,
                                     [STATS_compute_infer] = job->times.compute_ns};

    ns[done ? STATS_success : STATS_fail] = start - job->submitted_ns;
    stats_add_request(generation->stats, job->computed, ns);
    job->finish(job, job->end, &job->error);
    if (done)
        stats_add_output(generation->stats, images, batcher_now_ns() - start);
    generation_unref(generation);
}

static void finish_jobs(struct batcher_worker *worker)
{
    const struct batcher *batcher = worker->batcher;
    struct batcher_job *job;

    if (batcher->before_finish)
        batcher->before_finish();
    while ((job = worker->finished)) {
        worker->finished = job->next;
        finish_job(job, worker->rows);
    }
    if (batcher->after_finish)
        batcher->after_finish();
}

/* ------------------------------------------------------------------------------------------------
 * Batches
 */

/* How many images a worker takes: all that a batch may hold, but no more than its share while
 * others have nothing to do. */
static int share(const struct batcher *batcher, const struct generation *generation)
{
    int64_t takers = batcher->gauge.workers - batcher->gauge.busy + 1;
    int64_t images = (generation->queue.images + takers - 1) / takers;

    return (int)(images < generation->max_batch ? images : generation->max_batch);
}

static enum batcher_end prepare(struct batcher_job *job, struct lq_error *error)
{
    enum batcher_end end = batcher_examine(job);
    int64_t start = batcher_now_ns();

    if (end != BATCHER_DONE || job->prepared)
        return end;
    job->times.queue_ns = start - job->submitted_ns;
    if (job->prepare && job->prepare(job, error) != LQ_OK)
        end = BATCHER_FAILED;
    job->prepared = true;
    job->times.prepare_ns = batcher_now_ns() - start;
    return end;
}

static void add_piece(struct batcher_worker *worker, struct batcher_job *job, int limit)
{
    int left = job->count - job->taken, room = limit - worker->images;
    int count = left < room ? left : room;

    worker->pieces[worker->piece_count++] =
        (struct batcher_piece){.job = job, .first = job->taken, .count = count};
    worker->images += count;
    job->taken += count;
}

/* Fills the worker's batch from its generation's queue. The lock is held, but not while a job is
 * looked at. */
static void gather(struct batcher_worker *worker)
{
    struct batcher *batcher = worker->batcher;
    int limit = share(batcher, worker->generation);
    bool fits = true;

    worker->piece_count = worker->images = worker->rows = 0;
    while (fits && worker->images < limit) {
        struct batcher_job *job = batcher_queue_take(batcher, worker->generation);
        struct lq_error error = {0};
        enum batcher_end end;

        if (!job)
            return;
        job->pieces++;
        pthread_mutex_unlock(&batcher->lock);
        end = prepare(job, &error);
        pthread_mutex_lock(&batcher->lock);
        if (end != BATCHER_DONE)
            end_job(batcher, job, end, &error);
        fits = worker->piece_count == 0 || !worker->pieces[0].job->floats == !job->floats;
        if (job->end != BATCHER_DONE || job->count == 0) {
            release_job(worker, job);
            fits = true;
            continue;
        }
        if (fits)
            add_piece(worker, job, limit);
        if (job->taken < job->count) {
            batcher_queue_put(batcher, job, true);
            if (batcher->waiting > 0)
                pthread_cond_signal(&batcher->filled);
        }
        if (!fits)
            release_job(worker, job);
    }
}

/* What the batch did to its jobs. The lock is held. From the last to the first, as release_job puts
 * each in front of the others: the first in the queue is the first to be answered. */
static void account(struct batcher_worker *worker)
{
    for (int i = worker->piece_count - 1; i >= 0; i--) {
        struct batcher_piece *piece = &worker->pieces[i];
        struct batcher_job *job = piece->job;

        job->done += piece->count;
        job->times.prepare_ns += piece->decode_ns;
        job->times.compute_ns += worker->compute_ns;
        job->computed += piece->rows;
        if (worker->rows > job->times.batch)
            job->times.batch = worker->rows;
        if (piece->end != BATCHER_DONE)
            end_job(worker->batcher, job, piece->end, &piece->error);
        release_job(worker, job);
    }
}

/* Takes a batch, computes it, replies. The lock is held before and after. */
static void work(struct batcher_worker *worker, struct generation *generation)
{
    struct batcher *batcher = worker->batcher;
    int64_t input_ns = 0;

    worker->generation = generation_ref(generation);
    batcher->gauge.busy++;
    gather(worker);
    pthread_mutex_unlock(&batcher->lock);
    if (worker->piece_count > 0)
        batcher_compute(worker);
    for (int i = 0; i < worker->piece_count; i++)
        input_ns += worker->pieces[i].decode_ns;
    if (worker->rows > 0) /* else no picture could be decoded */
        stats_add_batch(generation->stats, worker->rows, input_ns, worker->compute_ns);
    pthread_mutex_lock(&batcher->lock);
    account(worker);
    pthread_mutex_unlock(&batcher->lock);
    finish_jobs(worker);
    generation_unref(generation);
    pthread_mutex_lock(&batcher->lock);
    batcher->gauge.busy--;
}

/* ------------------------------------------------------------------------------------------------
 * Threads
 */

/* When a batch of this generation should close, by the monotonic clock; 0: now. */
static int64_t closes_at_ns(const struct batcher *batcher, const struct generation *generation)
{
    int64_t delay_ns = batcher->config->max_delay_us * 1000;

    if (delay_ns == 0 || batcher->gauge.busy == 0 || batcher->stopping ||
        generation->queue.images >= generation->max_batch)
        return 0;
    return batcher_queue_oldest_ns(generation) + delay_ns;
}

static void wait_for_jobs(struct batcher *batcher, int64_t until_ns)
{
    struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};

    batcher->waiting++;
    if (until_ns)
        pthread_cond_timedwait(&batcher->filled, &batcher->lock, &until);
    else
        pthread_cond_wait(&batcher->filled, &batcher->lock);
    batcher->waiting--;
}

static void *worker_main(void *argument)
{
    struct batcher_worker *worker = argument;
    struct batcher *batcher = worker->batcher;

    pthread_mutex_lock(&batcher->lock);
    while (!batcher->stopping) {
        struct generation *generation = batcher_queue_choose(batcher);
        int64_t until_ns = generation ? closes_at_ns(batcher, generation) : 0;

        if (generation && until_ns <= batcher_now_ns())
            work(worker, generation);
        else
            wait_for_jobs(batcher, until_ns);
    }
    pthread_mutex_unlock(&batcher->lock);
    return NULL;
}

static bool start_worker(struct batcher *batcher)
{
    struct batcher_worker *worker = &batcher->workers[batcher->gauge.workers];
    size_t batch = (size_t)batcher->config->max_batch;

    worker->batcher = batcher;
    worker->index = batcher->gauge.workers;
    worker->pieces = calloc(batch, sizeof(*worker->pieces));
    worker->targets = calloc(batch, sizeof(*worker->targets));
    if (worker->pieces && worker->targets &&
        pthread_create(&worker->thread, NULL, worker_main, worker) == 0)
        return true;
    free(worker->pieces);
    free(worker->targets);
    return false;
}

int batcher_start(const struct config *config, struct batcher **ret_batcher, struct lq_error *error)
{
    int workers = config_workers(config);
    struct batcher *batcher = calloc(1, sizeof(*batcher));
    pthread_condattr_t monotonic;
    bool started = true;

    if (!batcher)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    batcher->config = config;
    pthread_mutex_init(&batcher->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&batcher->filled, &monotonic);
    pthread_condattr_destroy(&monotonic);
    batcher->workers = calloc((size_t)workers, sizeof(*batcher->workers));
    for (int i = 0; i < workers && started; i++) {
        pthread_mutex_lock(&batcher->lock);
        started = batcher->workers && start_worker(batcher);
        batcher->gauge.workers += started;
        pthread_mutex_unlock(&batcher->lock);
    }
    if (!started) {
        batcher_stop(batcher);
        batcher_close(batcher);
        return error_set(error, LQ_ERR_MEMORY, "cannot start %d workers", workers);
    }
    *ret_batcher = batcher;
    return LQ_OK;
}

void batcher_set_tap(struct batcher *batcher, batcher_tap *tap, void *context)
{
    pthread_mutex_lock(&batcher->lock); /* as of the brackets */
    batcher->tap = tap;
    batcher->tap_context = context;
    pthread_mutex_unlock(&batcher->lock);
}

void batcher_set_brackets(struct batcher *batcher, void (*before)(void), void (*after)(void))
{
    pthread_mutex_lock(&batcher->lock); /* that of the first job, after which a worker reads them */
    batcher->before_finish = before;
    batcher->after_finish = after;
    pthread_mutex_unlock(&batcher->lock);
}

enum batcher_answer batcher_submit(struct batcher *batcher, struct generation *generation,
                                   struct batcher_job *job)
{
    enum batcher_answer answer = BATCHER_ACCEPTED;

    if (job->priority < PRIORITY_HIGHEST || job->priority > PRIORITY_LOWEST)
        job->priority = PRIORITY_DEFAULT;
    job->submitted_ns = batcher_now_ns();
    if (job->deadline_us && job->submitted_ns / 1000 >= job->deadline_us)
        answer = BATCHER_TOO_LATE;
    pthread_mutex_lock(&batcher->lock);
    if (answer == BATCHER_ACCEPTED &&
        (batcher->stopping || generation->queue.jobs >= batcher->config->queue_length))
        answer = BATCHER_FULL;
    batcher->gauge.late += answer == BATCHER_TOO_LATE;
    batcher->gauge.refused_full += answer == BATCHER_FULL;
    if (answer == BATCHER_ACCEPTED) {
        job->generation = generation_ref(generation);
        batcher_queue_put(batcher, job, false);
        if (batcher->waiting > 0)
            pthread_cond_signal(&batcher->filled);
    }
    pthread_mutex_unlock(&batcher->lock);
    return answer;
}

bool batcher_is_full(struct batcher *batcher, const struct generation *generation)
{
    bool full;

    pthread_mutex_lock(&batcher->lock);
    full = generation->queue.jobs >= batcher->config->queue_length;
    batcher->gauge.refused_full += full;
    pthread_mutex_unlock(&batcher->lock);
    return full;
}

/* What no worker has begun. */
static void end_waiting(struct batcher *batcher)
{
    struct generation *generation;

    while ((generation = batcher_queue_choose(batcher))) {
        struct batcher_job *job = batcher_queue_take(batcher, generation);

        end_job(batcher, job, BATCHER_STOPPED, NULL);
        finish_job(job, 0);
    }
}

void batcher_stop(struct batcher *batcher)
{
    if (!batcher)
        return;
    pthread_mutex_lock(&batcher->lock);
    batcher->stopping = true;
    pthread_cond_broadcast(&batcher->filled);
    pthread_mutex_unlock(&batcher->lock);
    for (int i = 0; i < batcher->gauge.workers; i++)
        pthread_join(batcher->workers[i].thread, NULL);
    end_waiting(batcher);
}

void batcher_close(struct batcher *batcher)
{
    if (!batcher)
        return;
    for (int i = 0; i < batcher->gauge.workers; i++) {
        free(batcher->workers[i].pieces);
        free(batcher->workers[i].targets);
    }
    pthread_cond_destroy(&batcher->filled);
    pthread_mutex_destroy(&batcher->lock);
    free(batcher->workers);
    free(batcher);
}

void batcher_read(struct batcher *batcher, struct batcher_gauge *ret_gauge)
{
    pthread_mutex_lock(&batcher->lock);
    *ret_gauge = batcher->gauge;
    pthread_mutex_unlock(&batcher->lock);
}
