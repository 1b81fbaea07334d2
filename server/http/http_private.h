/* http_private.h - what the files of the HTTP server share: http.c starts and ends it,
 * http_listen.c opens its sockets, http_connection.c holds the connections and their deadlines,
 * http_intake.c takes a request in, http_body.c its body, http_request.c is what its handler sees
 * of it, http_resume.c hands it back, http_stream.c is a reply that comes bit by bit, http_record.c
 * logs and counts it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Life of a request: the library calls on_uri when it has read the request line, then on_request
 * once with the head (the service admits it or not), again for each piece of the body, and a last
 * time when there is no more; then the handler runs. If it has not replied by the time it returns,
 * the connection is suspended, and the reply resumes it: on_request is called once more and queues
 * what is there. So is one whose reply is delayed, until the delay has passed.
 */
#ifndef SERVER_HTTP_PRIVATE_H
#define SERVER_HTTP_PRIVATE_H

#include <gnutls/abstract.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/auth.h"
#include "http/clients.h"
#include "http/http.h"

#define HTTP_MAX_ID      64
#define HTTP_MAX_TRACE   55 /* characters of a traceparent */
#define HTTP_MAX_MODEL   128
#define HTTP_MAX_HEADERS 8
#define HTTP_DRAIN_BYTES (64 << 20) /* beyond max_body_bytes, of a body that is read away */

/* What happens when it has passed. */
enum deadline_kind {
    DEADLINE_CLOSE, /* the socket is shut */
    DEADLINE_TELL,  /* a request is on its way: it is told 408 before */
    DEADLINE_LOOK,  /* between requests: shut if the client will send no more, else it has the rest
                     * of  idle_timeout_ms */
};

/* One socket. */
struct connection {
    struct connection *next, *previous;
    int fd;
    atomic_llong deadline; /* microseconds * 4, and an enum deadline_kind; 0: none */
    int64_t left_us; /* since when its client is known to have left its request unfinished; 0 */
    bool encrypted, late;
    char client[INET6_ADDRSTRLEN];
    struct client *peer;          /* NULL: without limits */
    bool too_many;                /* one more than the peer may have */
    struct http_request *request; /* that has not ended; NULL */
};

/* One of the library's threads. */
struct http_thread {
    struct http_thread *next;
    _Atomic(struct http_request *) ready; /* replied to, and still to be resumed */
};

/* One address that is listened at. */
struct http_listener {
    struct http_server *server;
    struct MHD_Daemon *daemon;
    int fd;
    const char *path; /* of a socket of the file system, or NULL */
    bool admin, quiet;
};

struct http_server {
    struct http_listener listeners[2]; /* the public one, that of the admin */
    int listener_count;
    const struct config *config;
    struct http_service service;
    struct clients *clients; /* NULL: no limits */
    atomic_bool draining;
    atomic_ullong next_id;
    unsigned id_seed;
    atomic_llong requests;      /* begun and not ended */
    atomic_llong pending_bytes; /* of their bodies */
    atomic_llong wake_us;       /* when the reaper looks again; INT64_MAX while it looks */
    pthread_mutex_t lock;       /* of all below */
    pthread_cond_t reap;        /* an earlier deadline, or the end */
    pthread_cond_t drained;     /* requests fell to 0 */
    struct connection *connections;
    struct http_thread *threads;
    struct http_request *first_delayed, *last_delayed; /* in the order in which they come due */
    bool stopping, reaping;
    pthread_t reaper;
};

struct http_request {
    struct http_server *server;
    const struct http_listener *listener;
    struct MHD_Connection *library;
    struct connection *connection; /* NULL where memory ran out */
    struct http_thread *thread;    /* that serves the connection; NULL where memory ran out */
    struct http_request *next;     /* in one of the lists of http_resume.c */
    char *path;
    const char *method;
    char id[HTTP_MAX_ID + 1], model[HTTP_MAX_MODEL];
    char trace[HTTP_MAX_TRACE + 1]; /* "" where the client gave none */
    char token[AUTH_NAME_SIZE];     /* its name; "" where none was needed */
    int route;
    int64_t stage_ns[METRICS_STAGES];
    char *body; /* decompressed */
    size_t body_size, body_room;
    struct compress_reader *inflater; /* NULL: the body comes as it is */
    int64_t drained;                  /* bytes of a body that nobody wants */
    int64_t start_ns, due_us;         /* due_us: of a delayed one */
    int refusal; /* status that the request gets when its body has been read away; 0: none */
    const char *refusal_text;
    bool begun, dispatched, recorded, closing, delayed;
    struct {
        const char *name;
        char value[128];
    } headers[HTTP_MAX_HEADERS];
    int header_count;
    pthread_mutex_t lock; /* of what follows: the handler's thread and a worker's meet here */
    bool replied, suspended;
    struct MHD_Response *response;
    int status;
    size_t reply_size;
};

/* http_listen.c */

/* Sets listener->fd and path. Errors: LQ_ERR_INVALID, LQ_ERR_IO. */
int http_listen(const char *address, struct http_listener *listener,
                struct lq_error *error) LQ_MUST_CHECK;
/* Lets no more connections come to be, and waits until the library has accepted those that the
 * kernel has: closing the socket would reset them. To accept them ourselves and hand them over is
 * no way: beyond its limit of connections the library keeps a lock for good (0.9.75). */
void http_await_backlog(const struct http_listener *listener, int64_t until_us);
/* Closes it, and removes its path. */
void http_unlisten(struct http_listener *listener);

/* http_tls.c: the certificate of the process, for one server. */

/* Reads tls_cert and tls_key; from then on new connections get them. On failure nothing changes.
 * One thread at a time. Errors: LQ_ERR_IO, LQ_ERR_FORMAT, LQ_ERR_INVALID (they do not belong
 * together), LQ_ERR_MEMORY. */
int http_tls_load(const struct config *config, struct metrics *metrics,
                  struct lq_error *error) LQ_MUST_CHECK;
void http_tls_free(void);
/* GnuTLS' gnutls_certificate_retrieve_function3. */
gnutls_certificate_retrieve_function3 http_tls_choose;

/* http_connection.c */

/* Gives the connection (which may be NULL) `ms` from now; 0: as long as it takes. */
void http_set_deadline(struct http_server *server, struct connection *connection, int64_t ms);
/* The same for the rest of a request: when it is late, it is told so, 408, where that can be done
 * without TLS. */
void http_set_request_deadline(struct http_server *server, struct connection *connection,
                               int64_t ms);
/* A request has ended: the next one has idle_timeout_ms to come. A client that has said that it
 * will send no more is not waited for. */
void http_set_idle_deadline(struct http_server *server, struct connection *connection);
/* Will the client send no more, or read no more? */
bool http_peer_left(const struct connection *connection);
/* Has its client sent what the library has not read yet? */
bool http_has_unread(const struct connection *connection);
/* Has its deadline passed? */
bool http_is_late(struct http_server *server, const struct connection *connection);
/* Shuts the sockets of clients that will not send the rest of their requests. To be called again
 * and again; server->lock is held. */
void http_drop_unfinished(struct http_server *server);
/* A thread's main: shuts the sockets of connections that are late, until server->stopping. */
void *http_reaper_main(void *server);
/* The library's, for a socket that opens or closes. */
void http_on_connection(void *listener, struct MHD_Connection *library, void **socket_context,
                        enum MHD_ConnectionNotificationCode code);
/* An address as text; "unix" for one of the file system. */
void http_describe_client(const struct sockaddr *address, char *ret_text, size_t size);

/* http_intake.c: the library's callbacks, in the order in which they come. */

void *http_on_uri(void *listener, const char *uri, struct MHD_Connection *library);
enum MHD_Result http_on_request(void *listener, struct MHD_Connection *library, const char *url,
                                const char *method, const char *version, const char *upload,
                                size_t *upload_size, void **request_context);
void http_on_completed(void *listener, struct MHD_Connection *library, void **request_context,
                       enum MHD_RequestTerminationCode code);
/* Frees the request, of which the library will say no more. */
void http_end_request(struct http_request *request);

/* The request is to get this status, once its body has been read away; the first one counts. The
 * text holds nothing that JSON escapes. */
void http_refuse(struct http_request *request, int status, enum metrics_rejection reason,
                 const char *text);

/* http_body.c: what cannot be taken is refused. */

/* The head is there. */
void http_body_begin(struct http_request *request);
/* False: the connection must be closed. */
bool http_body_take(struct http_request *request, const char *bytes, size_t size);
void http_body_end(struct http_request *request);
void http_body_free(struct http_request *request);

/* http_resume.c */

/* The calling one of the library's threads; NULL: no memory. */
struct http_thread *http_this_thread(struct http_server *server);
/* Hands a request back to its thread; it may be gone before this returns. */
void http_resume(struct http_request *request);
/* What the calling one of the library's threads still has to resume. To be called in every callback
 * that may be the first one behind a reply. */
void http_resume_ready(void);
/* Suspends a request that has been replied to until `refusal_delay_ms` have passed; false: nothing
 * is delayed any more, for the server ends. */
bool http_suspend_delayed(struct http_request *request);
/* Resumes those that are due at `now_us`; server->lock is held. When the next one will be. */
int64_t http_resume_delayed(struct http_server *server, int64_t now_us);
/* The same for all threads, which may be about to end. */
void http_resume_everywhere(struct http_server *server);
/* They have ended. */
void http_free_threads(struct http_server *server);

/* http_record.c */

/* One line of the log, and the counters, for a request that ends with request->status. */
void http_record(struct http_request *request);

/* http_head.c */

/* Are all lines of a head ended as they should be, and is it one that no reader takes for another?
 * Of the library's strings, before any of them is changed. */
bool http_head_is_plain(struct MHD_Connection *library, const char *method, const char *version);

/* http_request.c */

/* Hands the reply that http_reply has made to the library, on the library's own thread. */
enum MHD_Result http_queue_reply(struct http_request *request);
/* Gives a response its headers, and it to the request, which then has been replied to; NULL: the
 * connection will close. */
void http_finish_reply(struct http_request *request, int status, const char *content_type,
                       struct MHD_Response *response);

#endif
