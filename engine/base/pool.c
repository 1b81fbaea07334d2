/* pool.c - a thread pool that splits a loop.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A loop's items are dealt out in ranges, one to each thread's seat. One atomic number, the seat's
 * ticket, holds where the range ends and which item is next: whoever adds 1 to it gets an item, or
 * sees that none is left. A thread takes its own items first, then those that others have not come
 * to. So a thread that comes late can do no harm, and nobody waits for one that has not started.
 * All seats hold the loop's work and context before any of them has a ticket, and they cannot
 * change while an item is out, because the caller waits for the last one.
 *
 * A network is many loops of some microseconds, so that lines of the cache count which come from
 * another core: what a thread waits for and what it then needs is one line, that of its seat. A
 * worker that has run out of items looks for the next ones for SPIN_NS, then sleeps; so does the
 * caller while it waits for the last items.
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

struct seat {
    _Alignas(LQ_ALIGNMENT) atomic_uint_least64_t ticket; /* end << 32 | next */
    lq_pool_work *work;
    void *context;
};

struct worker {
    struct lq_pool *pool;
    pthread_t thread;
    int index;
};

struct lq_pool {
    struct seat seats[MAX_THREADS];
    _Alignas(LQ_ALIGNMENT) atomic_int done;     /* items of this loop, by workers */
    atomic_bool waiting;                        /* the caller sleeps, or is about to */
    _Alignas(LQ_ALIGNMENT) atomic_int sleeping; /* workers, or about to */
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

/* Who is late for a loop waits on: others may have done its part. */
static bool has_work(struct lq_pool *pool, int index)
{
    return has_items(atomic_load(&pool->seats[index].ticket)) || atomic_load(&pool->stopping);
}

static bool all_done(struct lq_pool *pool, int items)
{
    return atomic_load(&pool->done) == items;
}

/* Waits a short while for something; whether it came. */
static bool spin(struct lq_pool *pool, bool (*came)(struct lq_pool *pool, int number), int number)
{
    int64_t end = 0;

    do {
        for (int i = 0; i < SPIN_ROUNDS; i++) {
            if (came(pool, number))
                return true;
            relax();
        }
        if (end == 0)
            end = now_ns() + SPIN_NS;
    } while (now_ns() < end);
    return false;
}

/* Items of this seat for thread number `index`; how many it did. */
static int take_items(struct lq_pool *pool, struct seat *seat, int index)
{
    const struct seat *own = &pool->seats[index];
    int count = 0;

    while (has_items(atomic_load(&seat->ticket))) {
        uint64_t ticket = atomic_fetch_add(&seat->ticket, 1);

        if (!has_items(ticket))
            break;
        own->work(own->context, (int)(ticket & UINT32_MAX), index);
        count++;
    }
    return count;
}

static int take_from_others(struct lq_pool *pool, int index)
{
    int count = 0;

    for (int i = 1; i < pool->threads; i++)
        count += take_items(pool, &pool->seats[(index + i) % pool->threads], index);
    return count;
}

/* Items that a worker has done: the caller may be waiting for them. */
static void report(struct lq_pool *pool, int count)
{
    if (count == 0)
        return;
    atomic_fetch_add(&pool->done, count);
    if (atomic_load(&pool->waiting)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->finished);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* Either the caller sees that this thread sleeps, or this thread sees the caller's loop. */
static void sleep_until_work(struct lq_pool *pool, int index)
{
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleeping, 1);
    while (!has_work(pool, index))
        pthread_cond_wait(&pool->start, &pool->lock);
    atomic_fetch_sub(&pool->sleeping, 1);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    struct lq_pool *pool = worker->pool;

    sleep_until_work(pool, worker->index);
    while (!atomic_load(&pool->stopping)) {
        report(pool, take_items(pool, &pool->seats[worker->index], worker->index));
        report(pool, take_from_others(pool, worker->index));
        if (!spin(pool, has_work, worker->index))
            sleep_until_work(pool, worker->index);
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
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    for (int i = 0; i < pool->threads; i++) {
        pool->seats[i].work = work;
        pool->seats[i].context = context;
    }
    for (int i = pool->threads - 1; i >= 0; i--) { /* who sees a ticket sees what is above */
        uint64_t next = (uint64_t)lq_share_start(items, i, pool->threads);
        uint64_t end = (uint64_t)lq_share_start(items, i + 1, pool->threads);

        atomic_store_explicit(&pool->seats[i].ticket, end << 32 | next, memory_order_release);
    }
    if (atomic_fetch_add(&pool->sleeping, 0) > 0) { /* no mere load: behind the tickets */
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->start);
        pthread_mutex_unlock(&pool->lock);
    }
    items -= take_items(pool, &pool->seats[0], 0);
    items -= take_from_others(pool, 0);
    wait_for_last(pool, items);
}
