/* http_record.c - the end of a request: its line in the log, and the counters.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/http_private.h"

#include <stdio.h>

#include "clock.h"
#include "observe/log.h"

/* A head may hold tens of kilobytes; the log is not to be filled by them. */
#define MAX_PATH_SHOWN 512

static const char *const stages[] = {
#define X(name, stage) stage "_us",
    METRICS_STAGE_LIST(X)
#undef X
};

static void log_request(const struct http_request *request, int64_t ns)
{
    char path[MAX_PATH_SHOWN + 1];
    struct log_line line;

    text_copy(path, sizeof(path), request->path);
    log_begin(&line, LOG_INFO, "request");
    log_string(&line, "id", request->id);
    if (request->trace[0])
        log_string(&line, "traceparent", request->trace);
    log_string(&line, "client", request->connection ? request->connection->client : "");
    if (request->token[0])
        log_string(&line, "token", request->token);
    log_string(&line, "method", request->method);
    log_string(&line, "path", path);
    if (request->model[0])
        log_string(&line, "model", request->model);
    log_int(&line, "status", request->status);
    log_int(&line, "request_bytes", (int64_t)request->body_size);
    log_int(&line, "reply_bytes", (int64_t)request->reply_size);
    log_int(&line, "duration_us", ns / 1000);
    for (int i = 0; i < METRICS_STAGES; i++)
        if (request->stage_ns[i])
            log_int(&line, stages[i], request->stage_ns[i] / 1000);
    log_end(&line);
}

void http_record(struct http_request *request)
{
    struct metrics *metrics = request->server->service.metrics;
    int64_t ns = clock_now_ns() - request->start_ns;

    request->recorded = true;
    metrics_request(metrics, request->route, request->method, request->status, ns);
    if (request->body_size)
        metrics_count(metrics, METRICS_REQUEST_BYTES, request->body_size);
    metrics_count(metrics, METRICS_REPLY_BYTES, request->reply_size);
    if (request->server->config->access_log)
        log_request(request, ns);
}
