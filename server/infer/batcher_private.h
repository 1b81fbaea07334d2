/* batcher_private.h - what the files of the batcher share: batcher.c holds the threads and decides
 * what they take, batcher_queue.c the queues, batcher_run.c computes a batch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_BATCHER_PRIVATE_H
#define SERVER_BATCHER_PRIVATE_H

#include <pthread.h>

#include "infer/batcher.h"

struct batcher {
    const struct config *config;
    batcher_tap *tap;
    void *tap_context;
    pthread_mutex_t lock; /* of all below, of the queues, and of what a job says is the batcher's */
    pthread_cond_t filled;
    struct generation *active; /* those with jobs that wait */
    struct batcher_gauge gauge;
    bool stopping;
    int waiting; /* workers that would be woken by `filled` */
    struct batcher_worker *workers;
    void (*before_finish)(void), (*after_finish)(void); /* or NULL */
};

/* Some images of one job. */
struct batcher_piece {
    struct batcher_job *job;
    int first, count;
    int row, rows; /* of the batch: the images that could be decoded */
    int64_t decode_ns;
    enum batcher_end end;  /* not DONE: its job is not to be computed further, */
    struct lq_error error; /* for FAILED */
};

/* A thread and the batch it computes. */
struct batcher_worker {
    struct batcher *batcher;
    pthread_t thread;
    int index;
    struct generation *generation; /* held */
    struct batcher_piece *pieces;  /* [max_batch] */
    float **targets;               /* [max_batch]: where a row of the output belongs */
    int piece_count, images, rows;
    int64_t compute_ns;
    atomic_llong look_us; /* when it is next looked whether anybody still waits for the batch */
    struct batcher_job *finished; /* jobs that have ended, but do not know it yet */
};

/* batcher_queue.c; the lock is held. */

/* Puts a job among those that wait, behind or before the others of its priority. */
void batcher_queue_put(struct batcher *batcher, struct batcher_job *job, bool in_front);
/* The first job of the best priority, which no longer waits; NULL: none. */
struct batcher_job *batcher_queue_take(struct batcher *batcher, struct generation *generation);
/* A job that waits no longer waits. */
void batcher_queue_remove(struct batcher *batcher, struct batcher_job *job);
/* Of all generations the one whose turn it is, NULL: nothing waits. */
struct generation *batcher_queue_choose(const struct batcher *batcher);
/* When the oldest of its jobs was submitted. */
int64_t batcher_queue_oldest_ns(const struct generation *generation);

/* batcher_run.c */

/* Whether it should not be computed any further: LATE, LEFT, or DONE where it should. */
enum batcher_end batcher_examine(const struct batcher_job *job);
/* Decodes, computes, and fills each job's rows, or sets the end of its piece. Without the lock; the
 * caller ends the jobs. */
void batcher_compute(struct batcher_worker *worker);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t batcher_now_ns(void);

#endif
