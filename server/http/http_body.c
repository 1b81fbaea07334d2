/* http_body.c - takes a request's body in, decompressing it on the way.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A compressed body is inflated as it comes, so that its limits are those of every body: what goes
 * beyond max_body_bytes is never inflated, whatever its first bytes promise.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/compress.h"
#include "http/http_private.h"

/* Takes them from what all bodies may take together. */
static bool reserve(struct http_server *server, int64_t bytes)
{
    long long pending = atomic_load(&server->pending_bytes);

    do {
        if (bytes > server->config->max_pending_bytes - pending)
            return false;
    } while (!atomic_compare_exchange_weak(&server->pending_bytes, &pending, pending + bytes));
    return true;
}

static bool grow_body(struct http_request *request, size_t size)
{
    struct http_server *server = request->server;
    size_t room = request->body_room ? request->body_room : 4096;
    int64_t more;
    char *larger;

    while (room < size)
        room *= 2;
    more = (int64_t)(room - request->body_room);
    if (more == 0)
        return true;
    if (!reserve(server, more))
        return false;
    larger = realloc(request->body, room);
    if (!larger) {
        atomic_fetch_sub(&server->pending_bytes, more);
        return false;
    }
    request->body = larger;
    request->body_room = room;
    return true;
}

/* A piece of the body as it is meant. */
static bool append(void *context, const char *bytes, size_t size)
{
    struct http_request *request = context;

    if (request->body_size + size > (size_t)request->server->config->max_body_bytes) {
        http_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, METRICS_REJECTED_BODY_SIZE,
                    request->inflater ? "the decompressed body is larger than max_body_bytes"
                                      : "the body is larger than max_body_bytes");
        return false;
    }
    if (!grow_body(request, request->body_size + size)) {
        http_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, METRICS_REJECTED_PENDING_BYTES,
                    "too many requests are pending");
        http_add_header(request, MHD_HTTP_HEADER_RETRY_AFTER, "1");
        return false;
    }
    memcpy(request->body + request->body_size, bytes, size);
    request->body_size += size;
    return true;
}

void http_body_begin(struct http_request *request)
{
    enum compress_coding coding =
        compress_from_name(http_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING));

    if (coding == COMPRESS_NONE || request->refusal || request->replied)
        return;
    if (coding == COMPRESS_UNKNOWN) {
        http_add_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING, "gzip, deflate");
        http_refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, METRICS_REJECTED_BAD_HEAD,
                    "Content-Encoding is neither gzip nor deflate");
        return;
    }
    request->inflater = compress_reader_create(coding);
    if (!request->inflater)
        http_refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, METRICS_REJECTED_PENDING_BYTES,
                    "out of memory");
}

bool http_body_take(struct http_request *request, const char *bytes, size_t size)
{
    if (request->refusal || request->replied) { /* read away: the client gets to read the reply */
        request->drained += (int64_t)size;
        return request->drained <= request->server->config->max_body_bytes + HTTP_DRAIN_BYTES;
    }
    if (!request->inflater)
        append(request, bytes, size);
    else if (!compress_reader_feed(request->inflater, bytes, size, append, request) &&
             compress_reader_damaged(request->inflater))
        http_refuse(request, MHD_HTTP_BAD_REQUEST, METRICS_REJECTED_BAD_BODY,
                    "the compressed body is damaged");
    return true;
}

void http_body_end(struct http_request *request)
{
    if (request->inflater && !request->refusal && !request->replied &&
        !compress_reader_ended(request->inflater))
        http_refuse(request, MHD_HTTP_BAD_REQUEST, METRICS_REJECTED_BAD_BODY,
                    "the compressed body is cut off");
    compress_reader_destroy(request->inflater); /* its memory is not needed while it is computed */
    request->inflater = NULL;
}

void http_body_free(struct http_request *request)
{
    if (request->body_room)
        atomic_fetch_sub(&request->server->pending_bytes, (long long)request->body_room);
    compress_reader_destroy(request->inflater);
    free(request->body);
}
