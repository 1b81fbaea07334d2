/* pool.c - a thread pool that splits a loop.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A call raises `round` under the lock and wakes the workers; each takes items from an atomic
 * counter until none is left, and the caller waits until every worker has left the round, so that
 * the next one cannot meet a straggler.
 */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"

#define MAX_THREADS 64

struct worker {
    struct lq_pool *pool;
    pthread_t thread;
    int index;
};

struct lq_pool {
    pthread_mutex_t lock;
    pthread_cond_t start, done;
    unsigned long round; /* under the lock, as `busy` and `stopping` */
    int busy;
    bool stopping;
    lq_pool_work *work;
    void *context;
    int items;
    atomic_int next;
    int threads; /* started ones + 1 */
    struct worker workers[MAX_THREADS];
};

static void take_items(struct lq_pool *pool, int worker)
{
    for (;;) {
        int item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);

        if (item >= pool->items)
            return;
        pool->work(pool->context, item, worker);
    }
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct lq_pool *pool = worker->pool;
    unsigned long seen = 0;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (!pool->stopping && pool->round == seen)
            pthread_cond_wait(&pool->start, &pool->lock);
        if (pool->stopping)
            break;
        seen = pool->round;
        pthread_mutex_unlock(&pool->lock);
        take_items(pool, worker->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
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
    pthread_cond_init(&pool->done, NULL);
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
    pool->stopping = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 1; i < pool->threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->start);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

int lq_pool_threads(const struct lq_pool *pool)
{
    return pool ? pool->threads : 1;
}

void lq_pool_run(struct lq_pool *pool, int items, lq_pool_work *work, void *context)
{
    if (lq_pool_threads(pool) == 1 || items <= 1) {
        for (int item = 0; item < items; item++)
            work(context, item, 0);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->work = work;
    pool->context = context;
    pool->items = items;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->busy = pool->threads - 1;
    pool->round++;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->lock);
    take_items(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}
