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
};

static void write_predictions(const struct registry_entry *entry,
                              const struct lq_prediction *predictions, int count, struct text *json)
{
    text_string(json, "{\"model_name\":");
    text_json(json, entry->name);
    text_printf(json, ",\"model_version\":\"%s\",\"predictions\":[[", entry->version_text);
    for (int i = 0; i < count; i++) {
        text_printf(json, "%s{\"label\":", i ? "," : "");
        text_json(json, lq_model_label(entry->model, predictions[i].index));
        text_printf(json, ",\"index\":%d,\"probability\":", predictions[i].index);
        text_float(json, predictions[i].probability);
        text_string(json, "}");
    }
    text_string(json, "]]}");
}

/* Decodes, computes, and writes the answer. */
static int classify(const struct classify_job *job, struct lq_session *session, struct text *json,
                    struct lq_error *error)
{
    const struct config *config = &job->app->config;
    const struct lq_image_limits limits = {(size_t)config->max_image_bytes,
                                           (size_t)config->max_image_pixels};
    struct lq_model *model = job->job.entry->model;
    struct lq_model_info info;
    struct lq_prediction *predictions;
    size_t size;
    const char *body = http_body(job->request, &size);
    uint8_t *input;
    float *output;
    int status;

    lq_model_get_info(model, &info);
    input = malloc((size_t)info.height * (size_t)info.width * (size_t)info.channels);
    output = malloc((size_t)info.classes * sizeof(*output));
    predictions = malloc((size_t)info.classes * sizeof(*predictions));
    status =
        input && output && predictions ? LQ_OK : error_set(error, LQ_ERR_MEMORY, "out of memory");
    if (status == LQ_OK)
        status = lq_model_decode(model, body, size, &limits, input, error);
    if (status == LQ_OK)
        status = lq_session_run_pixels(session, input, 1, output, error);
    if (status == LQ_OK)
        write_predictions(job->job.entry, predictions,
                          lq_model_top_k(model, output, job->top_k, predictions), json);
    free(predictions);
    free(output);
    free(input);
    return status;
}

static void run(struct batcher_job *base, struct lq_session *session, const struct lq_error *error)
{
    struct classify_job *job = (struct classify_job *)base;
    struct lq_error failure = *error;
    struct text json = {0};

    if (session && classify(job, session, &json, &failure) == LQ_OK) {
        reply_json(job->request, 200, &json);
    } else {
        text_free(&json);
        reply_failure(job->request, &failure);
    }
    free(job);
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

void route_classify(struct app *app, struct http_request *request, const struct route_match *match)
{
    const char *type = http_header(request, "Content-Type");
    struct lq_model_info info;
    struct classify_job *job;
    size_t size;
    const char *body = http_body(request, &size);
    int top_k;

    lq_model_get_info(match->entry->model, &info);
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
    if (!read_top_k(request, info.classes, &top_k))
        return;
    job = calloc(1, sizeof(*job));
    if (!job) {
        reply_error(request, 503, "out of memory");
        return;
    }
    *job = (struct classify_job){{NULL, match->entry, run}, app, request, top_k};
    if (!batcher_submit(app->batcher, &job->job)) {
        free(job);
        reply_busy(request, app->config.retry_after_s, "the queue is full");
    }
}
