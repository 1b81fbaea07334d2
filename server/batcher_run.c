/* batcher_run.c - computes a batch: pictures are decoded, one run of the network, rows handed back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batcher_private.h"
#include "clock.h"
#include "text.h"

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

static void load_floats(struct batcher_worker *worker, struct batcher_piece *piece)
{
    struct batcher_job *job = piece->job;
    size_t size = image_size(worker->generation);

    if (!buffers(worker)->floats)
        buffers(worker)->floats =
            malloc((size_t)worker->generation->max_batch * size * sizeof(*buffers(worker)->floats));
    if (!buffers(worker)->floats) {
        lq_error_set(&piece->error, LQ_ERR_MEMORY, "out of memory");
        return;
    }
    memcpy(buffers(worker)->floats + (size_t)worker->rows * size,
           job->floats + (size_t)piece->first * size,
           (size_t)piece->count * size * sizeof(*job->floats));
    for (int i = 0; i < piece->count; i++)
        worker->targets[worker->rows++] =
            job->output + (size_t)(piece->first + i) * (size_t)worker->generation->info.classes;
    piece->rows = piece->count;
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
                lq_error_set(&piece->error, LQ_ERR_NUMERIC,
                             "the output is not finite: inputs too large");
        memcpy(worker->targets[row], from, classes * sizeof(*from));
    }
}

void batcher_compute(struct batcher_worker *worker)
{
    struct lq_error error = {0};
    int64_t before = batcher_now_ns(), now = before;
    int status;

    worker->rows = 0;
    for (int i = 0; i < worker->piece_count; i++) {
        struct batcher_piece *piece = &worker->pieces[i];

        piece->row = worker->rows;
        if (piece->job->floats)
            load_floats(worker, piece);
        else
            load_pixels(worker, piece);
        now = batcher_now_ns();
        piece->decode_ns = now - before;
        before = now;
    }
    status = run_rows(worker, 0, worker->rows, &error);
    for (int i = 0; i < worker->piece_count; i++) { /* one by one, to find whose fault it is */
        struct batcher_piece *piece = &worker->pieces[i];

        if (status != LQ_OK && worker->piece_count == 1)
            lq_error_set(&piece->error, status, "%s", error.text);
        else if (status == LQ_OK ||
                 (piece->error.status == LQ_OK &&
                  run_rows(worker, piece->row, piece->rows, &piece->error) == LQ_OK))
            hand_back(worker, piece);
    }
    worker->compute_ns = batcher_now_ns() - now;
}
