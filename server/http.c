/* http.c - requests in, replies out, by libmicrohttpd.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Life of a request: the library calls on_uri when it has read the request line, then on_request
 * once with the head, again for each piece of the body, and a last time when there is no more; then
 * the handler runs. If it has not replied by the time it returns, the connection is suspended, and
 * the reply resumes it: on_request is called once more and queues what is there.
 *
 * The library's own timeout restarts with every byte, so a byte a second holds a connection for
 * ever. Each connection therefore has an absolute deadline for what it is doing, and a thread that
 * shuts the sockets of those that miss it.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define MAX_ID      64
#define MAX_MODEL   128
#define MAX_HEADERS 4
#define BACKLOG     1024

/* One socket. */
struct connection {
    struct connection *next, *previous;
    int fd;
    int64_t deadline_us; /* 0: none */
    char client[INET6_ADDRSTRLEN];
};

struct http_server {
    struct MHD_Daemon *daemon;
    const struct config *config;
    http_handler *handler;
    void *context;
    int fd;
    atomic_bool draining;
    atomic_ullong next_id;
    unsigned id_seed;
    pthread_mutex_t lock;   /* of all below, and of connections */
    pthread_cond_t reap;    /* an earlier deadline, or the end */
    pthread_cond_t drained; /* requests fell to 0 */
    struct connection *connections;
    int64_t wake_us; /* when the reaper looks again */
    int64_t requests, pending_bytes;
    bool stopping;
    pthread_t reaper;
};

struct http_request {
    struct http_server *server;
    struct MHD_Connection *library;
    struct connection *connection; /* NULL where memory ran out */
    char *path;
    const char *method;
    char id[MAX_ID + 1], model[MAX_MODEL];
    char *body;
    size_t body_size, body_room;
    int64_t start_us;
    int refusal; /* status that the request gets when its body has been read away; 0: none */
    const char *refusal_text;
    bool begun, dispatched;
    struct {
        const char *name;
        char value[128];
    } headers[MAX_HEADERS];
    int header_count;
    pthread_mutex_t lock; /* of what follows: the handler's thread and a worker's meet here */
    bool replied, suspended;
    struct MHD_Response *response;
    int status;
    size_t reply_size;
};

/* ------------------------------------------------------------------------------------------------
 * Deadlines
 */

/* Gives the connection `ms` from now; 0: as long as it takes. */
static void set_deadline(struct http_server *server, struct connection *connection, int64_t ms)
{
    if (!connection)
        return;
    pthread_mutex_lock(&server->lock);
    connection->deadline_us = ms ? clock_now_us() + ms * 1000 : 0;
    if (ms && connection->deadline_us < server->wake_us)
        pthread_cond_signal(&server->reap);
    pthread_mutex_unlock(&server->lock);
}

/* Shuts what is late; returns the earliest deadline that is left. */
static int64_t reap_late(struct http_server *server)
{
    int64_t now = clock_now_us(), earliest = INT64_MAX;

    for (struct connection *c = server->connections; c; c = c->next) {
        if (c->deadline_us == 0)
            continue;
        if (c->deadline_us <= now) {
            shutdown(c->fd, SHUT_RDWR);
            c->deadline_us = 0;
        } else if (c->deadline_us < earliest) {
            earliest = c->deadline_us;
        }
    }
    return earliest;
}

static void *reaper_main(void *argument)
{
    struct http_server *server = argument;

    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        server->wake_us = reap_late(server);
        if (server->wake_us == INT64_MAX) {
            pthread_cond_wait(&server->reap, &server->lock);
        } else {
            struct timespec until = {server->wake_us / 1000000, server->wake_us % 1000000 * 1000};

            pthread_cond_timedwait(&server->reap, &server->lock, &until);
        }
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void describe_client(const struct sockaddr *address, char *ret_text, size_t size)
{
    const void *bytes = NULL;

    if (address && address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (address && address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    if (!bytes || !inet_ntop(address->sa_family, bytes, ret_text, (socklen_t)size))
        ret_text[0] = '\0';
}

static void open_connection(struct http_server *server, struct MHD_Connection *library,
                            void **context)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *address =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection || !fd) {
        free(connection);
        return;
    }
    connection->fd = fd->connect_fd;
    describe_client(address ? address->client_addr : NULL, connection->client,
                    sizeof(connection->client));
    pthread_mutex_lock(&server->lock);
    connection->next = server->connections;
    if (connection->next)
        connection->next->previous = connection;
    server->connections = connection;
    pthread_mutex_unlock(&server->lock);
    set_deadline(server, connection, server->config->header_timeout_ms);
    *context = connection;
}

static void close_connection(struct http_server *server, struct connection *connection)
{
    if (!connection)
        return;
    pthread_mutex_lock(&server->lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&server->lock);
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *library, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        open_connection(context, library, socket_context);
    else
        close_connection(context, *socket_context);
}

/* ------------------------------------------------------------------------------------------------
 * Requests
 */

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

void http_set_model(struct http_request *request, const char *model)
{
    snprintf(request->model, sizeof(request->model), "%s", model);
}

void http_add_header(struct http_request *request, const char *name, const char *value)
{
    if (request->header_count == MAX_HEADERS)
        return;
    request->headers[request->header_count].name = name;
    snprintf(request->headers[request->header_count].value, sizeof(request->headers->value), "%s",
             value);
    request->header_count++;
}

static void log_request(const struct http_request *request)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "request");
    log_string(&line, "id", request->id);
    log_string(&line, "client", request->connection ? request->connection->client : "");
    log_string(&line, "method", request->method ? request->method : "");
    log_string(&line, "path", request->path ? request->path : "");
    if (request->model[0])
        log_string(&line, "model", request->model);
    log_int(&line, "status", request->status);
    log_int(&line, "request_bytes", (int64_t)request->body_size);
    log_int(&line, "reply_bytes", (int64_t)request->reply_size);
    log_int(&line, "duration_us", clock_now_us() - request->start_us);
    log_end(&line);
}

static void create_response(struct http_request *request, int status, const char *content_type,
                            struct text *body)
{
    bool usable = body && body->bytes && !body->failed;

    if (body && body->failed) { /* out of memory while it was written */
        text_free(body);
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    request->status = status;
    request->reply_size = usable ? body->length : 0;
    request->response =
        MHD_create_response_from_buffer(request->reply_size, usable ? body->bytes : (void *)"",
                                        usable ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (!request->response) {
        if (usable)
            free(body->bytes);
    } else {
        if (content_type)
            MHD_add_response_header(request->response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        MHD_add_response_header(request->response, "X-Request-Id", request->id);
        for (int i = 0; i < request->header_count; i++)
            MHD_add_response_header(request->response, request->headers[i].name,
                                    request->headers[i].value);
        if (request->refusal || atomic_load(&request->server->draining))
            MHD_add_response_header(request->response, MHD_HTTP_HEADER_CONNECTION, "close");
    }
    if (body)
        *body = (struct text){0};
}

void http_reply(struct http_request *request, int status, const char *content_type,
                struct text *body)
{
    struct MHD_Connection *library = request->library;
    bool resume;

    create_response(request, status, content_type, body);
    pthread_mutex_lock(&request->lock);
    request->replied = true;
    resume = request->suspended;
    pthread_mutex_unlock(&request->lock);
    if (resume)
        MHD_resume_connection(library);
}

static void refuse(struct http_request *request, int status, const char *text)
{
    if (!request->refusal) {
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

static enum MHD_Result queue_reply(struct http_request *request)
{
    enum MHD_Result result = MHD_NO;

    log_request(request);
    set_deadline(request->server, request->connection, request->server->config->reply_timeout_ms);
    if (request->response) {
        result = MHD_queue_response(request->library, (unsigned)request->status, request->response);
        MHD_destroy_response(request->response);
        request->response = NULL;
    }
    return result;
}

/* An id of the client's choice must be printable and short; else one is made. */
static void choose_id(struct http_request *request)
{
    const char *given = http_header(request, "X-Request-Id");
    size_t length = given ? strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789._:-")
                          : 0;

    if (length > 0 && length <= MAX_ID && given[length] == '\0')
        memcpy(request->id, given, length + 1);
    else
        snprintf(request->id, sizeof(request->id), "%08x-%llx", request->server->id_seed,
                 (unsigned long long)atomic_fetch_add(&request->server->next_id, 1));
}

struct head {
    int lengths, encodings, hosts;
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
    return MHD_YES;
}

/* What two servers may read differently (request smuggling) is read by none. */
static void check_head(struct http_request *request)
{
    const char *length = http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    struct head head = {0, 0, 0};

    MHD_get_connection_values(request->library, MHD_HEADER_KIND, count_header, &head);
    if (head.lengths > 1 || head.encodings > 1 || head.hosts > 1)
        refuse(request, MHD_HTTP_BAD_REQUEST,
               "Content-Length, Transfer-Encoding or Host is given twice");
    if (head.lengths && head.encodings)
        refuse(request, MHD_HTTP_BAD_REQUEST,
               "Content-Length and Transfer-Encoding exclude each other");
    if (length &&
        strtoull(length, NULL, 10) > (unsigned long long)request->server->config->max_body_bytes)
        refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than max_body_bytes");
}

/* Room for more of the body within what all bodies may take together. */
static bool grow_body(struct http_request *request, size_t size)
{
    struct http_server *server = request->server;
    size_t room = request->body_room ? request->body_room : 4096;
    bool allowed;
    char *larger;

    while (room < size)
        room *= 2;
    if (room == request->body_room)
        return true;
    pthread_mutex_lock(&server->lock);
    allowed = server->pending_bytes + (int64_t)(room - request->body_room) <=
              server->config->max_pending_bytes;
    if (allowed)
        server->pending_bytes += (int64_t)(room - request->body_room);
    pthread_mutex_unlock(&server->lock);
    if (!allowed)
        return false;
    larger = realloc(request->body, room);
    if (!larger) {
        pthread_mutex_lock(&server->lock);
        server->pending_bytes -= (int64_t)(room - request->body_room);
        pthread_mutex_unlock(&server->lock);
        return false;
    }
    request->body = larger;
    request->body_room = room;
    return true;
}

static void take_body(struct http_request *request, const char *bytes, size_t size)
{
    if (request->refusal)
        return; /* read away, so that the client gets to read the reply */
    if (request->body_size + size > (size_t)request->server->config->max_body_bytes) {
        refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than max_body_bytes");
        return;
    }
    if (!grow_body(request, request->body_size + size)) {
        refuse(request, MHD_HTTP_SERVICE_UNAVAILABLE, "too many requests are pending");
        http_add_header(request, MHD_HTTP_HEADER_RETRY_AFTER, "1");
        return;
    }
    memcpy(request->body + request->body_size, bytes, size);
    request->body_size += size;
}

/* The whole request is there. */
static enum MHD_Result dispatch(struct http_request *request)
{
    bool replied;

    request->dispatched = true;
    set_deadline(request->server, request->connection, 0);
    if (request->refusal)
        reply_refusal(request);
    else
        request->server->handler(request->server->context, request);
    pthread_mutex_lock(&request->lock);
    replied = request->replied;
    if (!replied) {
        MHD_suspend_connection(request->library);
        request->suspended = true;
    }
    pthread_mutex_unlock(&request->lock);
    return replied ? queue_reply(request) : MHD_YES;
}

static enum MHD_Result begin(struct http_request *request, struct MHD_Connection *library,
                             const char *method)
{
    request->begun = true;
    request->library = library;
    request->method = method;
    choose_id(request);
    check_head(request);
    set_deadline(request->server, request->connection, request->server->config->body_timeout_ms);
    if (!request->refusal)
        return MHD_YES;
    /* Refused by its head: answered at once, and the connection closes behind it. */
    request->dispatched = true;
    reply_refusal(request);
    return queue_reply(request);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *library, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request_context)
{
    struct http_request *request = *request_context;

    (void)context;
    (void)url; /* decoded already: %2f and %00 could not be told */
    (void)version;
    if (!request || !request->path)
        return MHD_NO; /* out of memory */
    if (!request->begun)
        return begin(request, library, method);
    if (*upload_size > 0) {
        take_body(request, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return request->dispatched ? queue_reply(request) : dispatch(request);
}

static void *on_uri(void *context, const char *uri, struct MHD_Connection *library)
{
    struct http_server *server = context;
    struct http_request *request = calloc(1, sizeof(*request));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    if (!request)
        return NULL;
    request->server = server;
    request->connection = info ? info->socket_context : NULL;
    request->path = strndup(uri, strcspn(uri, "?"));
    request->start_us = clock_now_us();
    pthread_mutex_init(&request->lock, NULL);
    set_deadline(server, request->connection, server->config->header_timeout_ms);
    pthread_mutex_lock(&server->lock);
    server->requests++;
    pthread_mutex_unlock(&server->lock);
    return request;
}

static void on_completed(void *context, struct MHD_Connection *library, void **request_context,
                         enum MHD_RequestTerminationCode code)
{
    struct http_server *server = context;
    struct http_request *request = *request_context;

    (void)library;
    (void)code;
    if (!request)
        return;
    set_deadline(server, request->connection, server->config->idle_timeout_ms);
    if (request->response)
        MHD_destroy_response(request->response);
    pthread_mutex_lock(&server->lock);
    server->pending_bytes -= (int64_t)request->body_room;
    if (--server->requests == 0)
        pthread_cond_broadcast(&server->drained);
    pthread_mutex_unlock(&server->lock);
    pthread_mutex_destroy(&request->lock);
    free(request->path);
    free(request->body);
    free(request);
    *request_context = NULL;
}

/* ------------------------------------------------------------------------------------------------
 * Start and stop
 */

static int bind_socket(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    close(fd);
    return -1;
}

static int listen_at(const char *address, int *ret_fd, struct lq_error *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[CONFIG_HOST_SIZE], service[8];
    int port, code, status = config_split_address(address, host, sizeof(host), &port, error);

    if (status != LQ_OK)
        return status;
    snprintf(service, sizeof(service), "%d", port);
    code = getaddrinfo(host, service, &hints, &found);
    if (code != 0)
        return error_set(error, LQ_ERR_INVALID, "listen %s: %s", address, gai_strerror(code));
    *ret_fd = -1;
    for (const struct addrinfo *at = found; at && *ret_fd < 0; at = at->ai_next)
        *ret_fd = bind_socket(at);
    code = errno;
    freeaddrinfo(found);
    if (*ret_fd < 0)
        return error_set(error, LQ_ERR_IO, "listen %s: %s", address, strerror(code));
    return LQ_OK;
}

static int start_daemon(struct http_server *server, struct lq_error *error)
{
    const struct config *config = server->config;
    int64_t threads = config->http_threads, connections = config->max_connections;

    if (threads > connections)
        threads = connections;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        on_request, server, MHD_OPTION_LISTEN_SOCKET, server->fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)(threads > 1 ? threads : 0), MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)config->max_header_bytes,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_END);
    if (!server->daemon)
        return error_set(error, LQ_ERR_IO, "cannot start the HTTP server");
    return LQ_OK;
}

int http_start(const struct config *config, http_handler *handler, void *context,
               struct http_server **ret_server, struct lq_error *error)
{
    struct http_server *server = calloc(1, sizeof(*server));
    pthread_condattr_t monotonic;
    int status;

    if (!server)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    server->config = config;
    server->handler = handler;
    server->context = context;
    server->wake_us = INT64_MAX;
    server->id_seed = (unsigned)(clock_now_us() * 2654435761u) ^ (unsigned)getpid();
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->reap, &monotonic);
    pthread_cond_init(&server->drained, &monotonic);
    pthread_condattr_destroy(&monotonic);
    status = listen_at(config->listen, &server->fd, error);
    if (status == LQ_OK && pthread_create(&server->reaper, NULL, reaper_main, server) != 0) {
        close(server->fd);
        status = error_set(error, LQ_ERR_MEMORY, "cannot start a thread");
    }
    if (status != LQ_OK) {
        free(server);
        return status;
    }
    status = start_daemon(server, error);
    if (status == LQ_OK)
        *ret_server = server;
    else
        http_stop(server);
    return status;
}

void http_address(const struct http_server *server, char *ret_host, size_t size, int *ret_port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in; /* the port lies at the same place for both families */
        struct sockaddr_in6 in6;
    } address = {0};
    socklen_t length = sizeof(address);

    getsockname(server->fd, &address.any, &length);
    describe_client(&address.any, ret_host, size);
    *ret_port = ntohs(address.in.sin_port);
}

void http_drain(struct http_server *server, int64_t timeout_us)
{
    int64_t until_us = clock_now_us() + timeout_us;
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};

    atomic_store(&server->draining, true);
    MHD_quiesce_daemon(server->daemon);
    pthread_mutex_lock(&server->lock);
    while (server->requests > 0 &&
           pthread_cond_timedwait(&server->drained, &server->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&server->lock);
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_cond_signal(&server->reap);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->reaper, NULL);
    close(server->fd);
    pthread_cond_destroy(&server->drained);
    pthread_cond_destroy(&server->reap);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
