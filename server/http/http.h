/* http.h - requests in, replies out. Only the http*.c behind it know the HTTP library.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A request comes to its service twice, on one of the server's few threads: to `admit` when its
 * head is there and its body is not, and to `handle` when all is there. `admit` may turn it away by
 * a reply; the body is then read away, and there is no `handle`. Neither may compute: `handle`
 * replies at once, or hands the request to a worker, which replies later. Every request gets
 * exactly one http_reply.
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <netinet/in.h>

#include "config.h"
#include "observe/metrics.h"
#include "codec/text.h"

struct http_server;
struct http_request;

typedef void http_handler(void *context, struct http_request *request);

struct http_service {
    http_handler *admit, *handle;
    void *context;
    struct metrics *metrics;
};

/* Opens the addresses `listen` and `admin_listen`, and reads the certificate: clients may connect,
 * and wait. Errors: LQ_ERR_INVALID (an address, a key), LQ_ERR_IO, LQ_ERR_FORMAT, LQ_ERR_MEMORY. */
int http_open(const struct config *config, const struct http_service *service,
              struct http_server **ret_server, struct lq_error *error) LQ_MUST_CHECK;
/* Answers from now on. Errors: LQ_ERR_IO, LQ_ERR_MEMORY. */
int http_serve(struct http_server *server, struct lq_error *error) LQ_MUST_CHECK;
/* Address and port it listens at, as text ("127.0.0.1", 40123; "unix:/run/x", 0). False: there is
 * no listener for the admin. */
bool http_address(const struct http_server *server, bool admin, char *ret_host, size_t size,
                  int *ret_port);

/* Reads the certificate and its key again, for the connections to come; those that are there stay.
 * On failure the old ones do. Errors: LQ_ERR_IO, LQ_ERR_FORMAT, LQ_ERR_INVALID, LQ_ERR_MEMORY. */
int http_reload(struct http_server *server, struct lq_error *error) LQ_MUST_CHECK;
/* First half of the end: no new connections, and replies close theirs. Waits for the requests that
 * have begun, at most timeout_us. */
void http_drain(struct http_server *server, int64_t timeout_us);
/* Second half; every request must have been replied to. */
void http_stop(struct http_server *server);

/* Of a request; valid until its reply. */
const char *http_method(const struct http_request *request);
/* As sent, percent signs and all, up to the question mark. */
const char *http_path(const struct http_request *request);
/* Decoded; NULL where there is none. */
const char *http_query(const struct http_request *request, const char *name);
const char *http_header(const struct http_request *request, const char *name);
/* Decompressed. */
const char *http_body(const struct http_request *request, size_t *ret_size);
const char *http_request_id(const struct http_request *request);
/* Has the client gone, or said that it will send no more? Whoever does that before the reply does
 * not wait for it. From any thread, until the reply. */
bool http_client_left(const struct http_request *request);

/* Did it come in at `admin_listen`; and over a socket of the file system? */
bool http_is_admin(const struct http_request *request);
bool http_is_local(const struct http_request *request);

/* The limits of each client, which the admin's address has none of: is the connection one more than
 * it may have; how long must it wait until it may send this request (0: it may)? */
bool http_has_too_many_connections(const struct http_request *request);
int64_t http_wait_ns(struct http_request *request);
/* The connection closes behind the reply. */
void http_close(struct http_request *request);
/* The reply that follows, before the handler returns, is sent when `refusal_delay_ms` have passed,
 * or the server ends; at once to a client that waits to be asked for its body. */
void http_delay(struct http_request *request);

/* What the service knows of a request, for the log and the metrics. The index of its route, -1
 * until it is set; the names of the token and of the model, copied; what a stage took, which adds
 * up. */
void http_set_route(struct http_request *request, int route);
int http_route(const struct http_request *request);
void http_set_token(struct http_request *request, const char *name);
const char *http_token(const struct http_request *request); /* "": none was needed */
void http_set_model(struct http_request *request, const char *model);
/* It has been turned away. */
void http_count_rejection(struct http_request *request, enum metrics_rejection reason);
void http_add_stage(struct http_request *request, enum metrics_stage stage, int64_t ns);

/* A header of the reply to come. */
void http_add_header(struct http_request *request, const char *name, const char *value);
/* Sends the reply; takes over body's bytes (body may be NULL). From any thread. The request must
 * not be touched afterwards. */
void http_reply(struct http_request *request, int status, const char *content_type,
                struct text *body);

/* Between these two calls, replies of the calling thread are held: the threads that send them are
 * woken by the second one, and once. */
void http_hold_replies(void);
void http_release_replies(void);

/* A reply whose body comes bit by bit, as long as somebody writes it; the client has
 * `reply_timeout_ms` to take each bit. The writer may be any thread, one at a time. */
struct http_stream;

/* Replies 200 with the headers so far; takes the place of http_reply. max_bytes may wait for the
 * client. NULL: out of memory, and the request waits for http_reply still. */
struct http_stream *http_stream_begin(struct http_request *request, const char *content_type,
                                      size_t max_bytes) LQ_MUST_CHECK;
/* False: the client has left, or takes too long to read; only http_stream_end is left then. */
bool http_stream_send(struct http_stream *stream, const void *bytes, size_t size);
/* The body ends behind what was sent. Every stream must have ended before http_stop. NULL is fine.
 */
void http_stream_end(struct http_stream *stream);

#endif
