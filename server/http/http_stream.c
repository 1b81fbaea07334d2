/* http_stream.c - a reply whose body comes bit by bit.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Two hold a stream: its writer, until http_stream_end, and the library's response, until the
 * connection is done with it. While there is nothing to send the connection is suspended, which
 * costs no time; only a connection that this file has suspended is resumed by it, for no other is
 * known to be there still.
 */
#include <stdlib.h>
#include <string.h>

#include "http/http_private.h"

enum { PIECE_BYTES = 4096 }; /* that the library asks for at once */

struct http_stream {
    struct http_server *server;
    struct MHD_Connection *library;
    struct connection *connection; /* NULL where memory ran out */
    pthread_mutex_t lock;          /* of all below */
    struct text pending;
    size_t taken, limit;
    bool suspended, ended, left;
    int holders;
};

static void release(struct http_stream *stream)
{
    int holders;

    pthread_mutex_lock(&stream->lock);
    holders = --stream->holders;
    pthread_mutex_unlock(&stream->lock);
    if (holders > 0)
        return;
    text_free(&stream->pending);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

/* The library's: the next bytes of the body, on its own thread. */
static ssize_t read_stream(void *context, uint64_t position, char *bytes, size_t size)
{
    struct http_stream *stream = context;
    ssize_t got = 0;

    (void)position;
    pthread_mutex_lock(&stream->lock);
    if (stream->taken < stream->pending.length) {
        size_t left = stream->pending.length - stream->taken;

        got = (ssize_t)(left < size ? left : size);
        memcpy(bytes, stream->pending.bytes + stream->taken, (size_t)got);
        stream->taken += (size_t)got;
        if (stream->taken == stream->pending.length)
            stream->taken = stream->pending.length = 0;
    } else if (stream->ended) {
        got = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        stream->suspended = true;
        MHD_suspend_connection(stream->library);
    }
    http_set_deadline(stream->server, stream->connection,
                      got ? stream->server->config->reply_timeout_ms : 0);
    pthread_mutex_unlock(&stream->lock);
    return got;
}

/* The library's: the connection needs the body no longer. */
static void leave(void *context)
{
    struct http_stream *stream = context;

    pthread_mutex_lock(&stream->lock);
    stream->left = true;
    pthread_mutex_unlock(&stream->lock);
    release(stream);
}

struct http_stream *http_stream_begin(struct http_request *request, const char *content_type,
                                      size_t max_bytes)
{
    struct http_stream *stream = calloc(1, sizeof(*stream));
    struct MHD_Response *response =
        stream ? MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, read_stream,
                                                   stream, leave)
               : NULL;

    if (!response) {
        free(stream);
        return NULL;
    }
    stream->server = request->server;
    stream->library = request->library;
    stream->connection = request->connection;
    stream->limit = max_bytes;
    stream->holders = 2;
    pthread_mutex_init(&stream->lock, NULL);
    http_finish_reply(request, MHD_HTTP_OK, content_type, response);
    return stream;
}

/* The library is to ask for more. The lock is held. */
static void wake(struct http_stream *stream)
{
    if (!stream->suspended)
        return;
    stream->suspended = false;
    MHD_resume_connection(stream->library);
}

bool http_stream_send(struct http_stream *stream, const void *bytes, size_t size)
{
    bool sent;

    pthread_mutex_lock(&stream->lock);
    sent = !stream->left && stream->pending.length + size <= stream->limit;
    if (sent) {
        text_append(&stream->pending, bytes, size);
        sent = !stream->pending.failed;
        wake(stream);
    }
    pthread_mutex_unlock(&stream->lock);
    return sent;
}

void http_stream_end(struct http_stream *stream)
{
    if (!stream)
        return;
    pthread_mutex_lock(&stream->lock);
    stream->ended = true;
    wake(stream);
    pthread_mutex_unlock(&stream->lock);
    release(stream);
}
