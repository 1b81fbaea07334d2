/* pool.c - a thread pool that splits a loop.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A loop's items are dealt out in ranges, one for each thread. One atomic number, a range's ticket,
 * holds where it ends and which item is next: whoever adds 1 to it gets an item, or sees that none
 * is left. A thread takes its own items first, then those that others have not come to. So a thread
 * that comes late can do no harm, and nobody waits for one that has not started. The loop's work,
 * context and number of items are written before the tickets and cannot change while an item is
 * out, because the caller waits for the last one.
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

/* Keeps what different threads write in different lines of the cache. */
#define APART char apart[64]

struct range {
    atomic_uint_least64_t ticket; /* end << 32 | next */
    APART;
};

struct worker {
    struct lq_pool *pool;
    pthread_t thread;
    int index;
};

struct lq_pool {
    struct range ranges[MAX_THREADS];
    atomic_int done;     /* items of this loop */
    atomic_bool waiting; /* the caller sleeps, or is about to */
    APART;
    lq_pool_work *work;
    void *context;
    int items;
    atomic_int loop;     /* its number: changes when the tickets are there */
    atomic_int sleeping; /* workers, or about to */
    atomic_bool stopping;
    pthread_mutex_t lock; /* of sleep */
    pthread_cond_t start, finished;
    int threads; /* the caller included */
    int started; /* the same */
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

static bool has_work(struct lq_pool *pool)
{
    for (int i = 0; i < pool->threads; i++)
        if (has_items(atomic_load(&pool->ranges[i].ticket)))
            return true;
    return false;
}

/* Who is late for a loop waits on: there may be more threads than CPUs. */
static bool work_or_stop(struct lq_pool *pool, int last)
{
    return (atomic_load(&pool->loop) != last && has_work(pool)) || atomic_load(&pool->stopping);
}

static bool all_done(struct lq_pool *pool, int items)
{
    return atomic_load(&pool->done) == items;
}

/* Waits a short while for something; whether it came. */
static bool spin(struct lq_pool *pool, bool (*came)(struct lq_pool *pool, int number), int number)
{
    int64_t end = now_ns() + SPIN_NS;

    do
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (came(pool, number))
                return true;
            relax();
        }
    while (now_ns() < end);
    return false;
}

static void take_items(struct lq_pool *pool, struct range *range, int worker)
{
    while (has_items(atomic_load(&range->ticket))) {
        uint64_t ticket = atomic_fetch_add(&range->ticket, 1);

        if (!has_items(ticket))
            return;
        int items = pool->items;
        pool->work(pool->context, (int)(ticket & UINT32_MAX), worker);
        if (atomic_fetch_add(&pool->done, 1) == items - 1 && atomic_load(&pool->waiting)) {
            pthread_mutex_lock(&pool->lock);
            pthread_cond_signal(&pool->finished);
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void take_all(struct lq_pool *pool, int worker)
{
    for (int i = 0; i < pool->threads; i++)
        take_items(pool, &pool->ranges[(worker + i) % pool->threads], worker);
}

/* Either the caller sees that this thread sleeps, or this thread sees the caller's loop. */
static void sleep_until_work(struct lq_pool *pool, int last)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleeping, 1);
    while (!work_or_stop(pool, last))
        pthread_cond_wait(&pool->start, &pool->lock);
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct lq_pool *pool = worker->pool;
    int loop = 0;

    sleep_until_work(pool, loop);
    while (!atomic_load(&pool->stopping)) {
        loop = atomic_load(&pool->loop);
        take_all(pool, worker->index);
        if (!spin(pool, work_or_stop, loop))
            sleep_until_work(pool, loop);
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
    pool->threads = threads;
    for (pool->started = 1; pool->started < threads; pool->started++) {
        struct worker *worker = &pool->workers[pool->started];

        *worker = (struct worker){.pool = pool, .index = pool->started};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) {
            lq_error_set(error, LQ_ERR_MEMORY, "cannot start thread %d of %d", pool->started,
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
    for (int i = 1; i < pool->started; i++)
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
    pool->items = items;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    for (int i = 0; i < pool->threads; i++) { /* who sees a ticket sees what is above */
        uint64_t next = (uint64_t)lq_share_start(items, i, pool->threads);
        uint64_t end = (uint64_t)lq_share_start(items, i + 1, pool->threads);

        atomic_store_explicit(&pool->ranges[i].ticket, end << 32 | next, memory_order_release);
    }
    atomic_fetch_add(&pool->loop, 1);
    if (atomic_load(&pool->sleeping) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->start);
        pthread_mutex_unlock(&pool->lock);
    }
    take_all(pool, 0);
    wait_for_last(pool, items);
}
