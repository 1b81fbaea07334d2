/* http_intake.c - takes a request in: its head, its body, then its handler.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/http_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"

#define STATUS_LEFT 499

void http_refuse(struct http_request *request, int status, enum metrics_rejection reason,
                 const char *text)
{
    if (!request->refusal) {
        metrics_rejected(request->server->service.metrics, reason);
        request->refusal = status;
        request->refusal_text = text;
    }
}

static void reply_refusal(struct http_request *request)
{
    struct text body = {0};

    text_printf(&body, "{\"error\":\"%s\"}", request->refusal_text);
    http_reply(request, request->refusal, "application/json", &body);
}

static char *put_hex(char *at, unsigned long long value, int min_digits)
{
    int digits = min_digits;

    while (digits < 16 && value >> 4 * digits)
        digits++;
    for (int i = digits - 1; i >= 0; i--)
        *at++ = "0123456789abcdef"[value >> 4 * i & 15];
    return at;
}

static void make_id(struct http_request *request)
{
    char *at = put_hex(request->id, request->server->id_seed, 8);

    *at++ = '-';
    at = put_hex(at, atomic_fetch_add(&request->server->next_id, 1), 1);
    *at = '\0';
}

/* An id of the client's choice must be printable and short; else one is made. */
static void choose_id(struct http_request *request)
{
    const char *given = http_header(request, "X-Request-Id");
    size_t length = given ? strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789._:-")
                          : 0;

    if (length > 0 && length <= HTTP_MAX_ID && given[length] == '\0')
        memcpy(request->id, given, length + 1);
    else
        make_id(request);
}

/* W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>, lower case, no id of zeros alone. */
static bool is_traceparent(const char *text)
{
    static const char form[] = "xx-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";

    for (int i = 0; i <= HTTP_MAX_TRACE; i++)
        if (form[i] == 'x' ? !text[i] || !strchr("0123456789abcdef", text[i]) : text[i] != form[i])
            return false;
    return strncmp(text, "ff", 2) != 0 && strspn(text + 3, "0") < 32 && strspn(text + 36, "0") < 16;
}

static void take_trace(struct http_request *request)
{
    const char *given = http_header(request, "traceparent");

    if (given && is_traceparent(given))
        memcpy(request->trace, given, HTTP_MAX_TRACE + 1);
}

struct head {
    int lengths, encodings, hosts, codings;
};

static enum MHD_Result count_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct head *head = context;

    (void)kind;
    (void)value;
    head->lengths += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    head->encodings += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    head->hosts += strcasecmp(name, MHD_HTTP_HEADER_HOST) == 0;
    head->codings += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_ENCODING) == 0;
    return MHD_YES;
}

/* What two servers may read differently (request smuggling) is read by none. */
static void check_head(struct http_request *request, const char *version)
{
    const char *length = http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(request->library, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct head head = {0, 0, 0, 0};

    if (size && size->header_size > (size_t)request->server->config->max_header_bytes)
        http_refuse(request, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, METRICS_REJECTED_BAD_HEAD,
                    "the head is larger than max_header_bytes");
    if (!http_head_is_plain(request->library, request->method, version))
        http_refuse(request, MHD_HTTP_BAD_REQUEST, METRICS_REJECTED_BAD_HEAD,
                    "the head is not as HTTP/1.1 has it: every line ends in CR LF, starts with a "
                    "name and a colon, and is in one piece");
    MHD_get_connection_values(request->library, MHD_HEADER_KIND, count_header, &head);
    if (head.lengths > 1 || head.encodings > 1 || head.hosts > 1 || head.codings > 1)
        http_refuse(request, MHD_HTTP_BAD_REQUEST, METRICS_REJECTED_BAD_HEAD,
                    "Content-Length, Transfer-Encoding, Content-Encoding or Host is given twice");
    if (head.lengths && head.encodings)
        http_refuse(request, MHD_HTTP_BAD_REQUEST, METRICS_REJECTED_BAD_HEAD,
                    "Content-Length and Transfer-Encoding exclude each other");
    if (length &&
        strtoull(length, NULL, 10) > (unsigned long long)request->server->config->max_body_bytes)
        http_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, METRICS_REJECTED_BODY_SIZE,
                    "the body is larger than max_body_bytes");
}

/* Refused for nothing but a size that can still be read away: a client that sends all of it before
 * it reads would never see the reply. */
static bool reads_away(const struct http_request *request)
{
    const char *length = http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);

    return request->refusal == MHD_HTTP_CONTENT_TOO_LARGE && length &&
           strtoull(length, NULL, 10) <=
               (unsigned long long)request->server->config->max_body_bytes + HTTP_DRAIN_BYTES;
}

/* The whole request is there. */
static enum MHD_Result dispatch(struct http_request *request)
{
    const struct http_service *service = &request->server->service;
    bool replied;

    request->dispatched = true;
    http_set_deadline(request->server, request->connection, 0);
    http_body_end(request);
    if (request->refusal && !request->replied)
        reply_refusal(request);
    else if (!request->replied)
        service->handle(service->context, request);
    if (request->delayed && http_suspend_delayed(request))
        return MHD_YES;
    pthread_mutex_lock(&request->lock);
    replied = request->replied;
    if (!replied) {
        MHD_suspend_connection(request->library);
        request->suspended = true;
    }
    pthread_mutex_unlock(&request->lock);
    return replied ? http_queue_reply(request) : MHD_YES;
}

static enum MHD_Result begin(struct http_request *request, struct MHD_Connection *library,
                             const char *method, const char *version)
{
    const struct http_service *service = &request->server->service;

    request->begun = true;
    request->library = library;
    request->method = method;
    choose_id(request);
    take_trace(request);
    check_head(request, version);
    http_body_begin(request);
    http_set_request_deadline(request->server, request->connection,
                              request->server->config->body_timeout_ms);
    if (!request->refusal)
        service->admit(service->context, request);
    else
        reply_refusal(request);
    /* Where the body's end cannot be told, is too far, or the client waits to be asked for it, the
     * answer goes out at once, and the connection closes behind it; else when the body has been
     * read away. */
    if ((!request->refusal || reads_away(request)) &&
        (!request->replied || !http_header(request, MHD_HTTP_HEADER_EXPECT)))
        return MHD_YES;
    request->dispatched = true;
    return http_queue_reply(request);
}

enum MHD_Result http_on_request(void *context, struct MHD_Connection *library, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **request_context)
{
    struct http_request *request = *request_context;

    (void)context;
    (void)url; /* decoded already: %2f and %00 could not be told */
    http_resume_ready();
    if (!request || !request->path)
        return MHD_NO; /* out of memory */
    if (!request->begun)
        return begin(request, library, method, version);
    if (*upload_size > 0) {
        if (!http_body_take(request, upload, *upload_size))
            return MHD_NO;
        *upload_size = 0;
        return MHD_YES;
    }
    return request->dispatched ? http_queue_reply(request) : dispatch(request);
}

/* The library forgets an error that it makes of arguments without room in its memory, twice the
 * limit of a head (0.9.75): the request hangs, or its connection closes without a word to anyone.
 * It gets no more than it has room for. */
static void check_arguments(struct http_request *request, const char *uri)
{
    int64_t left = request->server->config->max_header_bytes / 128;
    char *query = strchr(uri, '?');

    for (const char *at = query; at; at = strchr(at + 1, '&'))
        left--;
    if (!query || left >= 0)
        return;
    query[1] = '\0'; /* of the library's own buffer, which it is about to cut, too */
    http_refuse(request, MHD_HTTP_URI_TOO_LONG, METRICS_REJECTED_BAD_HEAD, "too many arguments");
}

void *http_on_uri(void *context, const char *uri, struct MHD_Connection *library)
{
    const struct http_listener *listener = context;
    struct http_server *server = listener->server;
    struct http_request *request = calloc(1, sizeof(*request));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    if (!request)
        return NULL;
    request->server = server;
    request->listener = listener;
    request->connection = info ? info->socket_context : NULL;
    request->thread = http_this_thread(server);
    request->path = strndup(uri, strcspn(uri, "?"));
    request->start_ns = clock_now_ns();
    request->route = -1;
    if (request->connection)
        request->connection->request = request;
    check_arguments(request, uri);
    metrics_gauge_add(server->service.metrics, METRICS_IN_FLIGHT, 1);
    pthread_mutex_init(&request->lock, NULL);
    http_set_request_deadline(server, request->connection, server->config->header_timeout_ms);
    atomic_fetch_add(&server->requests, 1);
    return request;
}

void http_end_request(struct http_request *request)
{
    struct http_server *server = request->server;

    metrics_gauge_add(server->service.metrics, METRICS_IN_FLIGHT, -1);
    if (request->begun && !request->recorded) { /* the client left, or was cut off */
        request->status =
            http_is_late(server, request->connection) ? MHD_HTTP_REQUEST_TIMEOUT : STATUS_LEFT;
        http_record(request);
    }
    http_set_idle_deadline(server, request->connection);
    if (request->connection)
        request->connection->request = NULL;
    if (request->response)
        MHD_destroy_response(request->response);
    http_body_free(request);
    pthread_mutex_destroy(&request->lock);
    free(request->path);
    free(request);
    if (atomic_fetch_sub(&server->requests, 1) == 1 && atomic_load(&server->draining)) {
        pthread_mutex_lock(&server->lock);
        pthread_cond_broadcast(&server->drained);
        pthread_mutex_unlock(&server->lock);
    }
}

void http_on_completed(void *context, struct MHD_Connection *library, void **request_context,
                       enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)library;
    (void)code;
    http_resume_ready();
    if (*request_context)
        http_end_request(*request_context);
    *request_context = NULL;
}
