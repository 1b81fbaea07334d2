/* http_request.c - a request as its handler sees it, and its reply.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/http_private.h"

#include <stdlib.h>

const char *http_method(const struct http_request *request)
{
    return request->method;
}

const char *http_path(const struct http_request *request)
{
    return request->path;
}

const char *http_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->library, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->library, MHD_HEADER_KIND, name);
}

const char *http_body(const struct http_request *request, size_t *ret_size)
{
    *ret_size = request->body_size;
    return request->body ? request->body : "";
}

const char *http_request_id(const struct http_request *request)
{
    return request->id;
}

bool http_client_left(const struct http_request *request)
{
    return request->connection && http_peer_left(request->connection);
}

bool http_has_too_many_connections(const struct http_request *request)
{
    return request->connection && request->connection->too_many;
}

int64_t http_wait_ns(struct http_request *request)
{
    struct client *peer = request->connection ? request->connection->peer : NULL;

    return peer ? clients_take(request->server->clients, peer, request->start_ns) : 0;
}

void http_close(struct http_request *request)
{
    request->closing = true;
}

void http_delay(struct http_request *request)
{
    request->delayed = request->server->config->refusal_delay_ms > 0;
}

bool http_is_admin(const struct http_request *request)
{
    return request->listener->admin;
}

bool http_is_local(const struct http_request *request)
{
    return request->listener->path != NULL;
}

void http_set_token(struct http_request *request, const char *name)
{
    text_copy(request->token, sizeof(request->token), name);
}

const char *http_token(const struct http_request *request)
{
    return request->token;
}

void http_set_route(struct http_request *request, int route)
{
    request->route = route;
}

int http_route(const struct http_request *request)
{
    return request->route;
}

void http_add_stage(struct http_request *request, enum metrics_stage stage, int64_t ns)
{
    request->stage_ns[stage] += ns;
}

void http_count_rejection(struct http_request *request, enum metrics_rejection reason)
{
    metrics_rejected(request->server->service.metrics, reason);
}

void http_set_model(struct http_request *request, const char *model)
{
    text_copy(request->model, sizeof(request->model), model);
}

void http_add_header(struct http_request *request, const char *name, const char *value)
{
    if (request->header_count == HTTP_MAX_HEADERS)
        return;
    request->headers[request->header_count].name = name;
    text_copy(request->headers[request->header_count].value, sizeof(request->headers->value),
              value);
    request->header_count++;
}

/* The body's bytes are the response's from now on. */
static struct MHD_Response *create_response(struct text *body)
{
    bool usable = body && body->bytes && !body->failed;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        usable ? body->length : 0, usable ? body->bytes : (void *)"",
        usable ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);

    if (!response && usable)
        free(body->bytes);
    return response;
}

void http_finish_reply(struct http_request *request, int status, const char *content_type,
                       struct MHD_Response *response)
{
    bool resume;

    request->status = status;
    request->response = response;
    if (response) {
        if (content_type)
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        MHD_add_response_header(response, "X-Request-Id", request->id);
        if (request->trace[0])
            MHD_add_response_header(response, "traceparent", request->trace);
        for (int i = 0; i < request->header_count; i++)
            MHD_add_response_header(response, request->headers[i].name, request->headers[i].value);
        if (request->refusal || request->closing || atomic_load(&request->server->draining))
            MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    pthread_mutex_lock(&request->lock);
    request->replied = true;
    resume = request->suspended;
    pthread_mutex_unlock(&request->lock);
    if (resume)
        http_resume(request);
}

void http_reply(struct http_request *request, int status, const char *content_type,
                struct text *body)
{
    struct MHD_Response *response;

    if (body && body->failed) { /* out of memory while it was written */
        text_free(body);
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    request->reply_size = body ? body->length : 0;
    response = create_response(body);
    if (body)
        *body = (struct text){0};
    http_finish_reply(request, status, content_type, response);
}

enum MHD_Result http_queue_reply(struct http_request *request)
{
    enum MHD_Result result = MHD_NO;

    http_record(request);
    http_set_deadline(request->server, request->connection,
                      request->server->config->reply_timeout_ms);
    if (request->response) {
        result = MHD_queue_response(request->library, (unsigned)request->status, request->response);
        MHD_destroy_response(request->response);
        request->response = NULL;
    }
    return result;
}
