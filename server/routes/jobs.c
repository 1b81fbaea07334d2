/* jobs.c - fine-tuning over the admin's listener: jobs, their events, uploads, history, rollback.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every request is an order to the keeper of the jobs (jobs/jobs.h), which answers it.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "route.h"

enum { STREAM_BYTES = 1 << 18, MAX_BODY = 4096 };

/* A request that waits for its answer. */
struct asked {
    struct app *app;
    struct http_request *request;
    enum jobs_action action;
};

/* ------------------------------------------------------------------------------------------------
 * Answers
 */

static void reply_failed(const struct asked *asked, int status, const struct lq_error *error)
{
    bool upload = asked->action == JOBS_UPLOAD;

    if (status == LQ_ERR_UNSUPPORTED)
        reply_error(asked->request, 409, "%s", error->text);
    else if (status == LQ_ERR_LIMIT && upload)
        reply_error(asked->request, 413, "%s", error->text);
    else if (status == LQ_ERR_LIMIT || status == LQ_ERR_CANCELLED)
        reply_busy(asked->request, asked->app->config.retry_after_s, error->text);
    else
        reply_failure(asked->request, error);
}

/* A job that was made or is to go on is at a place of its own. */
static void add_location(struct http_request *request, const struct text *json)
{
    char start[64], location[64];
    long long id;

    snprintf(start, sizeof(start), "%.*s", (int)(json->length < 40 ? json->length : 40),
             json->bytes ? json->bytes : "");
    if (sscanf(start, "{\"id\":%18lld", &id) != 1)
        return;
    snprintf(location, sizeof(location), "/admin/jobs/%lld", id);
    http_add_header(request, "Location", location);
}

static void on_done(void *context, int status, const struct lq_error *error, struct text *json)
{
    struct asked *asked = context;
    bool accepted = asked->action == JOBS_SUBMIT || asked->action == JOBS_RESUME ||
                    asked->action == JOBS_CANCEL;

    if (status != LQ_OK) {
        reply_failed(asked, status, error);
    } else {
        if (accepted)
            add_location(asked->request, json);
        reply_json(asked->request, accepted ? 202 : 200, json);
    }
    free(asked);
}

static bool send_event(void *context, const char *bytes, size_t size)
{
    return http_stream_send(context, bytes, size);
}

static void end_events(void *context)
{
    http_stream_end(context);
}

static void on_listen(void *context, int status, const struct lq_error *error, struct text *json)
{
    struct asked *asked = context;
    struct jobs_listener listener = {send_event, end_events, NULL};
    struct http_stream *stream = NULL;

    (void)json;
    if (status != LQ_OK) {
        reply_failed(asked, status, error);
    } else if (!jobs_has_room_for_listener(asked->app->jobs)) {
        reply_busy(asked->request, asked->app->config.retry_after_s, "too many listen already");
    } else {
        http_add_header(asked->request, "Cache-Control", "no-store");
        stream = http_stream_begin(asked->request, "text/event-stream", STREAM_BYTES);
        if (!stream)
            reply_error(asked->request, 503, "out of memory");
        listener.context = stream;
        if (stream && !jobs_listen(asked->app->jobs, &listener))
            http_stream_end(stream);
    }
    free(asked);
}

/* ------------------------------------------------------------------------------------------------
 * Orders
 */

static void ask(struct app *app, struct http_request *request, struct jobs_order *order)
{
    bool listen = order->action == JOBS_LISTEN;
    struct asked *asked;

    if (!app->jobs) {
        reply_error(request, 503, "there are no jobs: the setting state names no folder");
        return;
    }
    asked = malloc(sizeof(*asked));
    if (!asked) {
        reply_error(request, 503, "out of memory");
        return;
    }
    *asked = (struct asked){app, request, order->action};
    snprintf(order->who, sizeof(order->who), "%s", http_token(request));
    if (jobs_request(app->jobs, order, listen ? on_listen : on_done, asked))
        return;
    free(asked);
    reply_busy(request, app->config.retry_after_s, "too much is asked at once, or the server ends");
}

static void order_model(const struct route_match *match, enum jobs_action action,
                        struct jobs_order *ret_order)
{
    *ret_order = (struct jobs_order){.action = action};
    memcpy(ret_order->model, match->model[0] ? match->model : match->name,
           sizeof(ret_order->model));
    if (match->model[0])
        memcpy(ret_order->name, match->name, sizeof(ret_order->name));
}

/* Digits alone. */
static bool read_id(const char *text, int64_t *ret_id)
{
    size_t length = strlen(text);

    if (length == 0 || length > 18 || strspn(text, "0123456789") != length)
        return false;
    *ret_id = strtoll(text, NULL, 10);
    return *ret_id > 0;
}

static void ask_about_job(struct app *app, struct http_request *request,
                          const struct route_match *match, enum jobs_action action)
{
    struct jobs_order order = {.action = action};

    if (read_id(match->id, &order.number))
        ask(app, request, &order);
    else
        reply_error(request, 404, "no job '%s'", match->id);
}

static void ask_about_model(struct app *app, struct http_request *request,
                            const struct route_match *match, enum jobs_action action)
{
    struct jobs_order order;

    order_model(match, action, &order);
    if (action == JOBS_SUBMIT || action == JOBS_UPLOAD) {
        order.body = http_body(request, &order.size);
        order.type = http_header(request, "Content-Type");
    }
    ask(app, request, &order);
}

void route_finetune(struct app *app, struct http_request *request, const struct route_match *match)
{
    ask_about_model(app, request, match, JOBS_SUBMIT);
}

/* ?before=ID. False: replied. */
static bool read_before(struct http_request *request, int64_t *ret_id)
{
    const char *before = http_query(request, "before");

    if (!before || read_id(before, ret_id))
        return true;
    reply_error(request, 400, "before is '%.32s', expected an id", before);
    return false;
}

void route_history(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct jobs_order order;

    order_model(match, JOBS_HISTORY, &order);
    if (read_before(request, &order.number))
        ask(app, request, &order);
}

void route_uploads(struct app *app, struct http_request *request, const struct route_match *match)
{
    ask_about_model(app, request, match, JOBS_UPLOADS);
}

void route_upload(struct app *app, struct http_request *request, const struct route_match *match)
{
    ask_about_model(app, request, match, JOBS_UPLOAD);
}

void route_upload_discard(struct app *app, struct http_request *request,
                          const struct route_match *match)
{
    ask_about_model(app, request, match, JOBS_DISCARD);
}

void route_job(struct app *app, struct http_request *request, const struct route_match *match)
{
    ask_about_job(app, request, match, JOBS_SHOW);
}

void route_job_cancel(struct app *app, struct http_request *request,
                      const struct route_match *match)
{
    ask_about_job(app, request, match, JOBS_CANCEL);
}

void route_job_events(struct app *app, struct http_request *request,
                      const struct route_match *match)
{
    ask_about_job(app, request, match, JOBS_LISTEN);
}

void route_job_resume(struct app *app, struct http_request *request,
                      const struct route_match *match)
{
    ask_about_job(app, request, match, JOBS_RESUME);
}

void route_jobs(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct jobs_order order = {.action = JOBS_LIST};

    (void)match;
    if (read_before(request, &order.number))
        ask(app, request, &order);
}

/* {"version": "3"}, a number, or nothing. False: replied. */
static bool read_version(struct http_request *request, int64_t *ret_version)
{
    size_t size;
    const char *body = http_body(request, &size);
    json_error_t where;
    json_t *root, *version;
    bool right;

    if (size == 0)
        return true;
    root = size <= MAX_BODY ? json_loadb(body, size, JSON_REJECT_DUPLICATES, &where) : NULL;
    version = json_object_get(root, "version");
    right = json_is_object(root) && json_object_size(root) == (version ? 1 : 0);
    if (right && json_is_integer(version))
        *ret_version = json_integer_value(version);
    else if (right && version)
        right = json_is_string(version) && read_id(json_string_value(version), ret_version);
    right = right && *ret_version >= 0;
    json_decref(root);
    if (!right)
        reply_error(request, 400, "expected {\"version\": \"NUMBER\"}, or no body");
    return right;
}

void route_rollback(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct jobs_order order;

    order_model(match, JOBS_ROLLBACK, &order);
    if (read_version(request, &order.number))
        ask(app, request, &order);
}
