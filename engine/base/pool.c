/* pool.c - a thread pool that splits a loop.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * One atomic number, the ticket, holds how many items the loop has and which is next: whoever adds
 * 1 to it gets an item, or sees that none is left. So a thread that comes late can do no harm, and
 * nobody waits for one that has not started. The loop's work and context are written before the
 * ticket and cannot change while an item is out, because the caller waits for the last one.
 *
 * A network is many short loops: a worker that has run out of items looks for the next ones for
 * SPIN_NS, then sleeps; so does the caller while it waits for the last items.
 */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/status.h"

#define MAX_THREADS 64
#define SPIN_NS     50000
#define SPIN_ROUNDS 64 /* between two looks at the clock */

struct worker {
    struct lq_pool *pool;
    pthread_t thread;
    int index;
};

struct lq_pool {
    atomic_uint_least64_t ticket; /* items << 32 | next */
    atomic_int done;              /* items of this loop */
    atomic_int sleeping;          /* workers, or about to */
    atomic_bool waiting;          /* the caller sleeps, or is about to */
    atomic_bool stopping;
    lq_pool_work *work;
    void *context;
    pthread_mutex_t lock; /* of sleep */
    pthread_cond_t start, finished;
    int threads; /* started ones + 1 */
    struct worker workers[MAX_THREADS];
};

static bool has_items(uint64_t ticket)
{
    return (ticket & UINT32_MAX) < ticket >> 32;
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool work_or_stop(struct lq_pool *pool, int items)
{
    (void)items;
    return has_items(atomic_load(&pool->ticket)) || atomic_load(&pool->stopping);
}

static bool all_done(struct lq_pool *pool, int items)
{
    return atomic_load(&pool->done) == items;
}

/* Waits a short while for something; whether it came. */
static bool spin(struct lq_pool *pool, bool (*came)(struct lq_pool *pool, int items), int items)
{
    int64_t end = now_ns() + SPIN_NS;

    do
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (came(pool, items))
                return true;
            relax();
        }
    while (now_ns() < end);
    return false;
}

static void take_items(struct lq_pool *pool, int worker)
{
    while (has_items(atomic_load(&pool->ticket))) {
        uint64_t ticket = atomic_fetch_add(&pool->ticket, 1);
        int items = (int)(ticket >> 32);

        if (!has_items(ticket))
            return;
        pool->work(pool->context, (int)(ticket & UINT32_MAX), worker);
        if (atomic_fetch_add(&pool->done, 1) == items - 1 && atomic_load(&pool->waiting)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

/* Either the caller sees that this thread sleeps, or this thread sees the caller's items. */
static void sleep_until_work(struct lq_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleeping, 1);
    while (!work_or_stop(pool, 0))
        pthread_cond_wait(&pool->start, &pool->lock);
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct lq_pool *pool = worker->pool;

    sleep_until_work(pool);
    while (!atomic_load(&pool->stopping)) {
        take_items(pool, worker->index);
        if (!spin(pool, work_or_stop, 0))
            sleep_until_work(pool);
    }
    return NULL;
}

int lq_pool_create(int threads, struct lq_pool **ret_pool, struct lq_error *error)
{
    struct lq_pool *pool;

    if (threads < 1 || threads > MAX_THREADS)
        return lq_fail(error, LQ_ERR_INVALID, "%d threads, expected 1..%d", threads, MAX_THREADS);
    pool = lq_alloc(1, sizeof(*pool));
    if (!pool)
        return lq_fail_memory(error);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->finished, NULL);
    for (pool->threads = 1; pool->threads < threads; pool->threads++) {
        struct worker *worker = &pool->workers[pool->threads];

        *worker = (struct worker){.pool = pool, .index = pool->threads};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            lq_error_set(error, LQ_ERR_MEMORY, "cannot start thread %d of %d", pool->threads,
                         threads);
            lq_pool_destroy(pool);
            return LQ_ERR_MEMORY;
        }
    }
    *ret_pool = pool;
    return LQ_OK;
}

void lq_pool_destroy(struct lq_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->start);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int lq_pool_threads(const struct lq_pool *pool)
{
    return pool ? pool->threads : 1;
}

static void wait_for_last(struct lq_pool *pool, int items)
{
    if (spin(pool, all_done, items))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->waiting, true);
    while (!all_done(pool, items))
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_store(&pool->waiting, false);
    pthread_mutex_unlock(&pool->lock);
}

void lq_pool_run(struct lq_pool *pool, int items, lq_pool_work *work, void *context)
{
    if (lq_pool_threads(pool) == 1 || items <= 1) {
        for (int item = 0; item < items; item++)
            work(context, item, 0);
        return;
    }
    pool->work = work;
    pool->context = context;
    atomic_store(&pool->done, 0);
    atomic_store(&pool->ticket, (uint64_t)items << 32);
    if (atomic_load(&pool->sleeping) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->start);
        pthread_mutex_unlock(&pool->lock);
    }
    take_items(pool, 0);
    wait_for_last(pool, items);
}
