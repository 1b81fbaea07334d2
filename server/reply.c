/* reply.c - replies in JSON.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "codec/compress.h"

/* Shorter texts fit into one packet anyway. */
enum { MIN_COMPRESSED_BYTES = 1400 };

void reply_json(struct http_request *request, int status, struct text *json)
{
    http_reply(request, status, "application/json", json);
}

void reply_compressed(struct http_request *request, int status, struct text *json)
{
    enum compress_coding coding = compress_accepted(http_header(request, "Accept-Encoding"));

    if (json->length >= MIN_COMPRESSED_BYTES) {
        http_add_header(request, "Vary", "Accept-Encoding");
        if (compress_text(json, coding))
            http_add_header(request, "Content-Encoding", compress_name(coding));
    }
    reply_json(request, status, json);
}

void reply_error(struct http_request *request, int status, const char *format, ...)
{
    struct text json = {0};
    char message[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    text_string(&json, "{\"error\":");
    text_json(&json, message);
    text_string(&json, "}");
    reply_json(request, status, &json);
}

void reply_busy(struct http_request *request, int64_t retry_after_s, const char *why)
{
    char seconds[24];

    snprintf(seconds, sizeof(seconds), "%lld", (long long)retry_after_s);
    http_add_header(request, "Retry-After", seconds);
    reply_error(request, 503, "%s", why);
}

static const struct {
    int status, http;
} statuses[] = {
    {LQ_ERR_MEMORY, 503},      {LQ_ERR_INVALID, 400}, {LQ_ERR_FORMAT, 422},
    {LQ_ERR_UNSUPPORTED, 422}, {LQ_ERR_IO, 500},      {LQ_ERR_LIMIT, 422},
    {LQ_ERR_NOT_FOUND, 404},   {LQ_ERR_NUMERIC, 400}, {LQ_ERR_CANCELLED, 503},
};

int reply_status(int status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].http;
    return 500;
}

void reply_failure(struct http_request *request, const struct lq_error *error)
{
    reply_error(request, reply_status(error->status), "%s", error->text);
}

void reply_end(struct http_request *request, enum batcher_end end, const struct lq_error *error)
{
    if (end == BATCHER_LATE)
        http_count_rejection(request, METRICS_REJECTED_DEADLINE);
    if (end == BATCHER_LEFT)
        http_count_rejection(request, METRICS_REJECTED_CLIENT_GONE);
    if (end == BATCHER_LATE)
        reply_error(request, 504, "the deadline has passed");
    else if (end == BATCHER_LEFT)
        reply_error(request, 499, "the client has left");
    else if (end == BATCHER_STOPPED)
        reply_error(request, 503, "the server ends");
    else
        reply_failure(request, error);
}

void reply_record(struct http_request *request, const struct batcher_job *job)
{
    http_add_header(request, "X-Model-Generation", job->generation->number_text);
    http_add_stage(request, METRICS_QUEUE, job->times.queue_ns);
    http_add_stage(request, METRICS_DECODE, job->times.prepare_ns);
    http_add_stage(request, METRICS_COMPUTE, job->times.compute_ns);
}
