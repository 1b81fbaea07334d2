/* pool.h - a thread pool that splits a loop.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The calling thread works too, so a pool of one has no threads of its own. Workers look for the
 * next loop for 50 us, then sleep in a futex (condition variable) until there is one: an idle pool
 * takes no time. One thread at a time may call lq_pool_run on a pool.
 */
#ifndef LQ_BASE_POOL_H
#define LQ_BASE_POOL_H

#include "lq.h"

struct lq_pool;

/* threads: 1..64, the caller included. Errors: LQ_ERR_MEMORY. */
int lq_pool_create(int threads, struct lq_pool **ret_pool, struct lq_error *error) LQ_MUST_CHECK;
void lq_pool_destroy(struct lq_pool *pool);
int lq_pool_threads(const struct lq_pool *pool);

/* Calls work(context, item, worker) once for every item in 0..items-1, in any order, on any worker
 * (0..threads-1, for per-thread scratch), and returns when all are done. Worker w takes the items
 * of share w first: loops that split their data alike find it in their core's cache. A NULL pool is
 * a pool of one. */
typedef void lq_pool_work(void *context, int item, int worker);
void lq_pool_run(struct lq_pool *pool, int items, lq_pool_work *work, void *context);

/* Where share number `share` of `count` things begins: the larger ones come first. */
static inline int lq_share_start(int count, int share, int shares)
{
    int more = count % shares;

    return count / shares * share + (share < more ? share : more);
}

#endif
