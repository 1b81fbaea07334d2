/* batcher_run.c - computes a batch: pictures are decoded, one run of the network, rows handed back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "infer/batcher_private.h"
#include "clock.h"
#include "codec/text.h"

#define LOOK_US 2000 /* between looks at the deadlines and the sockets of a running batch */

int64_t batcher_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

enum batcher_end batcher_examine(const struct batcher_job *job)
{
    if (job->deadline_us && clock_now_us() >= job->deadline_us)
        return BATCHER_LATE;
    return job->has_left && job->has_left(job) ? BATCHER_LEFT : BATCHER_DONE;
}

static size_t image_size(const struct generation *generation)
{
    return (size_t)generation->info.channels * (size_t)generation->info.height *
           (size_t)generation->info.width;
}

static struct generation_worker *buffers(const struct batcher_worker *worker)
{
    return &worker->generation->workers[worker->index];
}

/* Puts a piece's pictures behind those that are there. */
static void load_pixels(struct batcher_worker *worker, struct batcher_piece *piece)
{
    struct batcher_job *job = piece->job;
    size_t size = image_size(worker->generation);

    for (int i = piece->first; i < piece->first + piece->count; i++) {
        uint8_t *to = buffers(worker)->pixels + (size_t)worker->rows * size;

        if (job->decode && !job->decode(job, i, to))
            continue;
        if (!job->decode)
            memcpy(to, job->pixels + (size_t)i * size, size);
        worker->targets[worker->rows++] =
            job->output + (size_t)i * (size_t)worker->generation->info.classes;
        piece->rows++;
    }
}

static void fail_piece(struct batcher_piece *piece, int status, const char *text)
{
    piece->end = BATCHER_FAILED;
    lq_error_set(&piece->error, status, "%s", text);
}

static void load_floats(struct batcher_worker *worker, struct batcher_piece *piece)
{
    struct generation_worker *own = buffers(worker);
    size_t size = image_size(worker->generation);

    if (!own->floats)
        own->floats = malloc((size_t)worker->generation->max_batch * size * sizeof(*own->floats));
    if (!own->floats) {
        fail_piece(piece, LQ_ERR_MEMORY, "out of memory");
        return;
    }
    memcpy(own->floats + (size_t)worker->rows * size,
           piece->job->floats + (size_t)piece->first * size,
           (size_t)piece->count * size * sizeof(*own->floats));
    for (int i = 0; i < piece->count; i++)
        worker->targets[worker->rows++] =
            piece->job->output +
            (size_t)(piece->first + i) * (size_t)worker->generation->info.classes;
    piece->rows = piece->count;
}

/* lq_cancel_check: does nobody wait for any of the batch any more? */
static bool is_abandoned(void *context)
{
    struct batcher_worker *worker = context;
    int64_t now = clock_now_us();

    if (now < atomic_load_explicit(&worker->look_us, memory_order_relaxed))
        return false;
    atomic_store_explicit(&worker->look_us, now + LOOK_US, memory_order_relaxed);
    for (int i = 0; i < worker->piece_count; i++)
        if (batcher_examine(worker->pieces[i].job) == BATCHER_DONE)
            return false;
    return true;
}

static int run_rows(const struct batcher_worker *worker, int row, int rows, struct lq_error *error)
{
    const struct generation_worker *own = buffers(worker);
    size_t size = image_size(worker->generation);
    float *output = own->output + (size_t)row * (size_t)worker->generation->info.classes;

    if (rows == 0)
        return LQ_OK;
    if (worker->pieces[0].job->floats)
        return lq_session_run(own->session, own->floats + (size_t)row * size, LQ_NCHW, rows, output,
                              error);
    return lq_session_run_pixels(own->session, own->pixels + (size_t)row * size, rows, output,
                                 error);
}

/* A row that holds no numbers is its own request's failure, and no other's. */
static void hand_back(const struct batcher_worker *worker, struct batcher_piece *piece)
{
    size_t classes = (size_t)worker->generation->info.classes;

    for (int row = piece->row; row < piece->row + piece->rows; row++) {
        const float *from = buffers(worker)->output + (size_t)row * classes;

        for (size_t i = 0; i < classes; i++)
            if (!isfinite(from[i]))
                fail_piece(piece, LQ_ERR_NUMERIC, "the output is not finite: inputs too large");
        memcpy(worker->targets[row], from, classes * sizeof(*from));
    }
}

/* Fills the batch's input. */
static void load(struct batcher_worker *worker)
{
    int64_t before = batcher_now_ns();

    worker->rows = 0;
    for (int i = 0; i < worker->piece_count; i++) {
        struct batcher_piece *piece = &worker->pieces[i];

        piece->row = worker->rows;
        if (piece->job->floats)
            load_floats(worker, piece);
        else
            load_pixels(worker, piece);
        piece->decode_ns = batcher_now_ns() - before;
        before += piece->decode_ns;
    }
}

/* After a run of all together that gave `status`. */
static void settle(struct batcher_worker *worker, struct batcher_piece *piece, int status,
                   const struct lq_error *error)
{
    struct lq_error own = {0};

    if (piece->end != BATCHER_DONE)
        return;
    if (status == LQ_ERR_CANCELLED) {
        piece->end = batcher_examine(piece->job);
        return;
    }
    if (status != LQ_OK && worker->piece_count > 1) /* whose fault is it? */
        status = run_rows(worker, piece->row, piece->rows, &own);
    if (status == LQ_OK)
        hand_back(worker, piece);
    else if (status == LQ_ERR_CANCELLED)
        piece->end = batcher_examine(piece->job);
    else
        fail_piece(piece, status, own.status != LQ_OK ? own.text : error->text);
}

void batcher_compute(struct batcher_worker *worker)
{
    struct lq_error error = {0};
    int64_t start;
    int status;

    load(worker);
    start = batcher_now_ns();
    atomic_store(&worker->look_us, start / 1000 + LOOK_US);
    lq_session_set_cancel(buffers(worker)->session, is_abandoned, worker);
    status = run_rows(worker, 0, worker->rows, &error);
    for (int i = 0; i < worker->piece_count; i++)
        settle(worker, &worker->pieces[i], status, &error);
    worker->compute_ns = batcher_now_ns() - start;
    if (status == LQ_OK && worker->batcher->tap && worker->rows > 0 &&
        !worker->pieces[0].job->floats)
        worker->batcher->tap(worker->batcher->tap_context, worker->generation,
                             buffers(worker)->pixels, buffers(worker)->output, worker->rows);
}
