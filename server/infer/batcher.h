/* batcher.h - one bounded queue of jobs for each model, and the threads that compute them together.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A job is one request: some images for one generation of a model. A worker that is free takes the
 * images that wait for one model, of several jobs or a part of a large one, up to max_batch, and
 * runs them at once. While other workers compute, it waits up to max_delay_us (from the oldest
 * job's submission) for a batch to fill; while none does, it starts at once.
 *
 * Life of a job: submitted; `prepare` (once, on a worker: reads the tensors, says how many images
 * there are); for each image `decode`, or the job's tensor; `finish` (once, on a worker or in
 * batcher_stop). A job whose deadline has passed, or whose client has left, is not computed
 * further; this is looked at when it is submitted, when a batch takes it, and while it is computed.
 */
#ifndef SERVER_BATCHER_H
#define SERVER_BATCHER_H

#include "config.h"
#include "models/generation.h"

struct batcher;
struct batcher_job;

/* How a job ended. X(NAME, text) */
#define BATCHER_END_LIST(X)                                                                        \
    X(DONE, "done")           /* all rows of the output are there */                               \
    X(FAILED, "failed")       /* the error says why */                                             \
    X(LATE, "late")           /* its deadline has passed */                                        \
    X(LEFT, "client left")    /* nobody waits for the answer */                                    \
    X(STOPPED, "server ends") /* not begun when the server had to end */

enum batcher_end {
#define X(name, text) BATCHER_##name,
    BATCHER_END_LIST(X)
#undef X
};

/* Where its time went, nanoseconds. Of a job in several batches, the sums; batch: the images of the
 * largest batch that was computed for it. compute is the whole batch's time. */
struct batcher_times {
    int64_t queue_ns, prepare_ns, compute_ns;
    int batch;
};

struct batcher_job {
    /* The caller's, before batcher_submit; NULL, 0: none. Functions run without any lock. */
    int priority;        /* PRIORITY_HIGHEST..PRIORITY_LOWEST; 0: PRIORITY_DEFAULT */
    int64_t deadline_us; /* by clock_now_us */
    /* Sets count, output and one of pixels, floats, decode, unless they are set already. A count of
     * 0 ends the job as DONE. Not LQ_OK: it ends as FAILED with this error. */
    int (*prepare)(struct batcher_job *job, struct lq_error *error);
    /* Makes the pixels of one image, [height][width][channels]. Images of one job may be decoded by
     * several workers at once. False: that image is left out, its row of the output is untouched;
     * the caller keeps the reason. */
    bool (*decode)(struct batcher_job *job, int image, uint8_t *ret_pixels);
    bool (*has_left)(const struct batcher_job *job);
    /* Of a job that is DONE: does it fail all the same, because of what could not be decoded? */
    bool (*has_failed)(const struct batcher_job *job);
    /* Replies, and frees the job; `job->generation` is held until it returns. */
    void (*finish)(struct batcher_job *job, enum batcher_end end, const struct lq_error *error);
    int count;             /* images; before `prepare` a guess, 1 where it is 0 */
    const uint8_t *pixels; /* [count][height][width][channels], or */
    const float *floats;   /* [count][channels][height][width], finite */
    float *output;         /* [count][classes] */

    /* For finish. */
    struct generation *generation;
    struct batcher_times times;

    /* The batcher's, under its lock. */
    struct batcher_job *next;
    int64_t submitted_ns;
    int taken, done,
        pieces;   /* images given to workers, images they are done with, batches it is in */
    int computed; /* of those done, the images that could be decoded */
    bool prepared, queued;
    enum batcher_end end;
    struct lq_error error;
};

/* Called by a worker before and after it finishes the jobs of one batch; none by default. Before
 * any job is submitted. */
void batcher_set_brackets(struct batcher *batcher, void (*before)(void), void (*after)(void));

enum batcher_answer { BATCHER_ACCEPTED, BATCHER_FULL, BATCHER_TOO_LATE };

/* Called on a worker when pictures have been computed: pixels [rows][height][width][channels],
 * output [rows][classes]. Must be quick. */
typedef void batcher_tap(void *context, const struct generation *generation, const uint8_t *pixels,
                         const float *output, int rows);

/* Before any job is submitted. */
void batcher_set_tap(struct batcher *batcher, batcher_tap *tap, void *context);

/* Errors: LQ_ERR_MEMORY. */
int batcher_start(const struct config *config, struct batcher **ret_batcher,
                  struct lq_error *error) LQ_MUST_CHECK;
/* Takes a reference on the generation. Not BATCHER_ACCEPTED: the job stays the caller's. Once it is
 * accepted, it may be gone before this returns. Any thread. */
enum batcher_answer batcher_submit(struct batcher *batcher, struct generation *generation,
                                   struct batcher_job *job);
/* Would a job be refused now? Counts as one that was. Any thread. */
bool batcher_is_full(struct batcher *batcher, const struct generation *generation);
/* Computes what workers have begun, ends what waits as STOPPED, then ends the workers. What is
 * submitted from then on finds it full. NULL is fine, here and below. */
void batcher_stop(struct batcher *batcher);
/* Once stopped, and when nobody submits any more. */
void batcher_close(struct batcher *batcher);

/* For metrics. */
struct batcher_gauge {
    int workers, busy;                /* threads; those that compute */
    int64_t jobs, images;             /* that wait, over all models */
    int64_t refused_full, late, left; /* jobs so far */
};
void batcher_read(struct batcher *batcher, struct batcher_gauge *ret_gauge);

#endif
