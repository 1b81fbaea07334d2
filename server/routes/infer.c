/* infer.c - tensors in, tensors out (Open Inference Protocol V2, "Inference").
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A small body is read at once, so that what is wrong with it takes no place in the queue; a large
 * one is read by the worker that computes it. Of the latter, priority and timeout are looked up
 * first where the JSON is small, as it is in front of binary tensors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "infer/infer_reply.h"
#include "infer/pictures.h"
#include "reply.h"
#include "route.h"

/* Read at once in a fraction of a millisecond. */
enum { SMALL_BODY_BYTES = 65536 };

struct infer_job {
    struct batcher_job job;
    struct http_request *request;
    const struct config *config;
    struct infer_body body;
    struct infer_request infer;
    struct pictures pictures;
    int64_t arrived_us;
};

static void job_destroy(struct infer_job *job)
{
    if (!job)
        return;
    pictures_deinit(&job->pictures);
    infer_request_deinit(&job->infer);
    free(job->job.output);
    free(job);
}

static bool decode(struct batcher_job *base, int image, uint8_t *ret_pixels)
{
    return pictures_decode(&((struct infer_job *)base)->pictures, base->generation->model, image,
                           ret_pixels);
}

static void set_deadline(struct infer_job *job, int64_t timeout_us)
{
    int64_t deadline_us;

    if (timeout_us > 0 && !__builtin_add_overflow(job->arrived_us, timeout_us, &deadline_us))
        job->job.deadline_us = deadline_us;
}

/* Reads the body and hands the batcher what it computes. */
static int read_body(struct infer_job *job, const struct lq_model_info *info,
                     struct lq_error *error)
{
    struct batcher_job *base = &job->job;
    struct infer_request *infer = &job->infer;
    size_t numbers;
    int status = infer_request_read(info, job->config->max_batch_request, &job->body, infer, error);

    if (status != LQ_OK)
        return status;
    numbers = (size_t)infer->count * (size_t)info->classes;
    base->output = numbers > 0 ? malloc(numbers * sizeof(*base->output)) : NULL;
    if (!base->output)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    set_deadline(job, infer->timeout_us);
    base->count = infer->count;
    base->floats = infer->floats;
    base->pixels = infer->pixels;
    if (!infer->files)
        return LQ_OK;
    base->decode = decode;
    return pictures_init(&job->pictures, job->config, infer->files, infer->count, error);
}

static int prepare(struct batcher_job *base, struct lq_error *error)
{
    return read_body((struct infer_job *)base, &base->generation->info, error);
}

static bool has_left(const struct batcher_job *base)
{
    return http_client_left(((const struct infer_job *)base)->request);
}

static bool has_failed(const struct batcher_job *base)
{
    return pictures_first_failure(&((const struct infer_job *)base)->pictures) >= 0;
}

static void reply_outputs(struct infer_job *job)
{
    const struct generation *generation = job->job.generation;
    const struct infer_reply reply = {
        .model_name = generation->name,
        .model_version = generation->version_text,
        .model = generation->model,
        .info = &generation->info,
        .request = &job->infer,
        .output = job->job.output,
    };
    int64_t start_ns = clock_now_ns();
    struct text text = {0};
    size_t header_length;
    char length[24];

    infer_reply_write(&reply, &text, &header_length);
    http_add_stage(job->request, METRICS_ENCODE, clock_now_ns() - start_ns);
    if (header_length == 0) {
        reply_compressed(job->request, 200, &text);
        return;
    }
    snprintf(length, sizeof(length), "%zu", header_length);
    http_add_header(job->request, "Inference-Header-Content-Length", length);
    http_reply(job->request, 200, "application/octet-stream", &text);
}

static void finish(struct batcher_job *base, enum batcher_end end, const struct lq_error *error)
{
    struct infer_job *job = (struct infer_job *)base;
    int failed = pictures_first_failure(&job->pictures);
    struct lq_error failure = {0};

    reply_record(job->request, base);
    if (end != BATCHER_DONE) {
        reply_end(job->request, end, error);
    } else if (failed >= 0) {
        lq_error_set(
            &failure, job->pictures.failures[failed].status, "inputs[0].data[%d]: %s", failed,
            job->pictures.failures[failed].text ? job->pictures.failures[failed].text : "");
        reply_failure(job->request, &failure);
    } else {
        reply_outputs(job);
    }
    job_destroy(job);
}

/* False: replied. */
static bool find_header_length(struct http_request *request, int64_t *ret_length)
{
    const char *text = http_header(request, "Inference-Header-Content-Length");
    size_t digits = text ? strspn(text, "0123456789") : 0;

    *ret_length = INFER_NO_HEADER_LENGTH;
    if (!text)
        return true;
    if (digits == 0 || digits > 18 || text[digits]) {
        reply_error(request, 400, "Inference-Header-Content-Length is '%.32s', expected a number",
                    text);
        return false;
    }
    *ret_length = strtoll(text, NULL, 10);
    return true;
}

static struct infer_job *create(struct app *app, struct http_request *request,
                                int64_t header_length)
{
    const char *type = http_header(request, "Content-Type");
    struct infer_job *job = calloc(1, sizeof(*job));
    size_t size;
    const void *bytes = http_body(request, &size);

    if (!job)
        return NULL;
    *job = (struct infer_job){
        .job = {.has_left = has_left, .has_failed = has_failed, .finish = finish},
        .request = request,
        .config = &app->config,
        .body = {bytes, size, header_length, type && strncasecmp(type, "image/", 6) == 0},
        .arrived_us = clock_now_us(),
    };
    return job;
}

/* What can be done at once; false: replied. */
static bool begin(struct infer_job *job, const struct generation *generation)
{
    const struct lq_model_info *info = &generation->info;
    struct lq_error error = {0};
    int64_t priority = 0, timeout_us = 0, start_ns = clock_now_ns();

    if (job->body.size <= SMALL_BODY_BYTES) {
        if (read_body(job, info, &error) != LQ_OK) {
            stats_add_request(
                generation->stats, 0,
                (int64_t[STATS_STAGE_COUNT]){[STATS_fail] = clock_now_ns() - start_ns + 1});
            reply_failure(job->request, &error);
            return false;
        }
        priority = job->infer.priority;
    } else {
        job->job.prepare = prepare;
        if (job->body.header_length > 0 && job->body.header_length <= SMALL_BODY_BYTES)
            infer_request_peek(info, &job->body, &priority, &timeout_us);
        set_deadline(job, timeout_us);
    }
    job->job.priority = priority < PRIORITY_LOWEST ? (int)priority : PRIORITY_LOWEST;
    return true;
}

void route_infer(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct infer_job *job;
    int64_t header_length;

    if (!find_header_length(request, &header_length))
        return;
    job = create(app, request, header_length);
    if (!job) {
        reply_error(request, 503, "out of memory");
        return;
    }
    if (!begin(job, match->generation) || !route_submit(app, request, match->generation, &job->job))
        job_destroy(job);
}
