/* classify.c - an image file in, the likeliest classes out.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "route.h"

struct classify_job {
    struct batcher_job job;
    struct app *app;
    struct http_request *request;
    int top_k;
    struct lq_error error; /* of decoding */
};

static void destroy(struct classify_job *job)
{
    free(job->job.output);
    free(job);
}

static bool has_left(const struct batcher_job *base)
{
    return http_client_left(((const struct classify_job *)base)->request);
}

static bool decode(struct batcher_job *base, int image, uint8_t *ret_pixels)
{
    struct classify_job *job = (struct classify_job *)base;
    const struct config *config = &job->app->config;
    const struct lq_image_limits limits = {(size_t)config->max_image_bytes,
                                           (size_t)config->max_image_pixels};
    size_t size;
    const char *body = http_body(job->request, &size);

    (void)image;
    return lq_model_decode(base->generation->model, body, size, &limits, ret_pixels, &job->error) ==
           LQ_OK;
}

static void write_predictions(const struct generation *generation,
                              const struct lq_prediction *predictions, int count, struct text *json)
{
    text_string(json, "{\"model_name\":");
    text_json(json, generation->name);
    text_printf(json, ",\"model_version\":\"%s\",\"predictions\":[[", generation->version_text);
    for (int i = 0; i < count; i++) {
        text_printf(json, "%s{\"label\":", i ? "," : "");
        text_json(json, lq_model_label(generation->model, predictions[i].index));
        text_printf(json, ",\"index\":%d,\"probability\":", predictions[i].index);
        text_float(json, predictions[i].probability);
        text_string(json, "}");
    }
    text_string(json, "]]}");
}

static void reply_predictions(struct classify_job *job)
{
    const struct generation *generation = job->job.generation;
    struct lq_prediction *predictions =
        malloc((size_t)generation->info.classes * sizeof(*predictions));
    struct text json = {0};

    if (!predictions) {
        reply_error(job->request, 503, "out of memory");
        return;
    }
    write_predictions(generation, predictions,
                      lq_model_top_k(generation->model, job->job.output, job->top_k, predictions),
                      &json);
    free(predictions);
    reply_json(job->request, 200, &json);
}

static void finish(struct batcher_job *base, enum batcher_end end, const struct lq_error *error)
{
    struct classify_job *job = (struct classify_job *)base;

    if (end != BATCHER_DONE)
        reply_end(job->request, end, error);
    else if (job->error.status != LQ_OK)
        reply_failure(job->request, &job->error);
    else
        reply_predictions(job);
    destroy(job);
}

/* An image's type must be said, or left to its bytes by a type that says nothing: none at all, or
 * what curl --data-binary sends when it is not told. */
static bool is_image_type(const char *type)
{
    static const char *const accepted[] = {"image/jpeg", "image/jpg", "image/png",
                                           "application/octet-stream",
                                           "application/x-www-form-urlencoded"};

    if (!type)
        return true;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(*accepted); i++) {
        size_t length = strlen(accepted[i]);

        if (strncmp(type, accepted[i], length) == 0 && strchr("; ", type[length]))
            return true;
    }
    return false;
}

/* False: replied. */
static bool read_top_k(struct http_request *request, int classes, int *ret_top_k)
{
    const char *text = http_query(request, "top_k");
    char *end;
    long top_k;

    *ret_top_k = classes < 5 ? classes : 5;
    if (!text)
        return true;
    top_k = strtol(text, &end, 10);
    if (end == text || *end || top_k < 1 || top_k > classes) {
        reply_error(request, 400, "top_k is '%.32s', expected a number from 1 to %d", text,
                    classes);
        return false;
    }
    *ret_top_k = (int)top_k;
    return true;
}

static struct classify_job *create(struct app *app, struct http_request *request, int top_k,
                                   int classes)
{
    struct classify_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    *job = (struct classify_job){
        .job = {.decode = decode, .has_left = has_left, .finish = finish, .count = 1},
        .app = app,
        .request = request,
        .top_k = top_k};
    job->job.output = malloc((size_t)classes * sizeof(*job->job.output));
    if (job->job.output)
        return job;
    destroy(job);
    return NULL;
}

void route_classify(struct app *app, struct http_request *request, const struct route_match *match)
{
    const char *type = http_header(request, "Content-Type");
    struct classify_job *job;
    size_t size;
    const char *body = http_body(request, &size);
    int top_k, classes = match->generation->info.classes;

    if (!is_image_type(type)) {
        reply_error(request, 415, "Content-Type is '%.64s', expected image/jpeg or image/png",
                    type);
        return;
    }
    if (size == 0) {
        reply_error(request, 400, "the body is empty, expected a JPEG or PNG file");
        return;
    }
    if (lq_image_format(body, size) == LQ_IMAGE_UNKNOWN) {
        reply_error(request, 415, "the body is neither a JPEG nor a PNG file");
        return;
    }
    if (!read_top_k(request, classes, &top_k))
        return;
    job = create(app, request, top_k, classes);
    if (!job)
        reply_error(request, 503, "out of memory");
    else if (!route_submit(app, request, match->generation, &job->job))
        destroy(job);
}
