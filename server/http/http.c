/* http.c - starts and ends the HTTP server, by libmicrohttpd: a daemon of the library for each
 * address.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/http_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

/* TLS 1.2 at least, and nothing that GnuTLS itself holds for weak. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE"

/* While it drains: open connections that bring no request for so long are closed. */
#define QUIET_US 50000

/* How long the library may take to accept what waits at a socket that is about to be closed: all
 * its places may be taken. */
#define BACKLOG_US 1000000

static int start_listener(struct http_listener *listener, int64_t threads, int64_t connections,
                          struct lq_error *error)
{
    struct http_server *server = listener->server;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME;
    bool tls = server->config->tls_cert[0] && !listener->path;

    if (threads > connections)
        threads = connections;
    /* Twice the limit of a head: what is a little too large is refused by us, in JSON. */
    listener->daemon = MHD_start_daemon(
        flags | (tls ? MHD_USE_TLS : 0), 0, NULL, NULL, http_on_request, listener,
        MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)(threads > 1 ? threads : 0), MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * (size_t)server->config->max_header_bytes,
        MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, listener, MHD_OPTION_NOTIFY_COMPLETED,
        http_on_completed, listener, MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, listener,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, tls ? MHD_OPTION_HTTPS_CERT_CALLBACK2 : MHD_OPTION_END,
        http_tls_choose, MHD_OPTION_HTTPS_PRIORITIES, TLS_PRIORITIES, MHD_OPTION_END);
    if (!listener->daemon)
        return error_set(error, LQ_ERR_IO, "cannot start the HTTP server");
    return LQ_OK;
}

static int open_listener(struct http_server *server, const char *address, bool admin,
                         struct lq_error *error)
{
    struct http_listener *listener = &server->listeners[server->listener_count];
    char loopback[CONFIG_TEXT_SIZE + 16];
    int status = LQ_OK;

    *listener = (struct http_listener){.server = server, .fd = -1, .admin = admin};
    if (admin)
        status = config_admin_address(address, loopback, sizeof(loopback), error);
    if (status == LQ_OK)
        status =
            http_listen(config_unix_path(address) || !admin ? address : loopback, listener, error);
    server->listener_count += status == LQ_OK;
    return status;
}

static void init_server(struct http_server *server, const struct config *config,
                        const struct http_service *service)
{
    pthread_condattr_t monotonic;

    server->config = config;
    server->service = *service;
    atomic_init(&server->wake_us, INT64_MAX);
    server->id_seed = (unsigned)clock_now_us() * 2654435761u ^ (unsigned)getpid();
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->reap, &monotonic);
    pthread_cond_init(&server->drained, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

int http_open(const struct config *config, const struct http_service *service,
              struct http_server **ret_server, struct lq_error *error)
{
    struct http_server *server = calloc(1, sizeof(*server));
    const struct clients_limits limits = {config->rate_limit, config->rate_burst,
                                          config->max_client_connections};
    int status = LQ_OK;

    if (!server)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    init_server(server, config, service);
    if (limits.rate || limits.connections)
        status = clients_create(&limits, &server->clients, error);
    if (status == LQ_OK && config->tls_cert[0])
        status = http_tls_load(config, service->metrics, error);
    if (status == LQ_OK)
        status = open_listener(server, config->listen, false, error);
    if (status == LQ_OK && config->admin_listen[0])
        status = open_listener(server, config->admin_listen, true, error);
    if (status == LQ_OK)
        *ret_server = server;
    else
        http_stop(server);
    return status;
}

int http_serve(struct http_server *server, struct lq_error *error)
{
    const struct config *config = server->config;
    int status = LQ_OK;

    if (pthread_create(&server->reaper, NULL, http_reaper_main, server) != 0)
        return error_set(error, LQ_ERR_MEMORY, "cannot start a thread");
    server->reaping = true;
    for (int i = 0; i < server->listener_count && status == LQ_OK; i++)
        status = server->listeners[i].admin
                     ? start_listener(&server->listeners[i], 1, config->admin_connections, error)
                     : start_listener(&server->listeners[i], config->http_threads,
                                      config->max_connections, error);
    return status;
}

bool http_address(const struct http_server *server, bool admin, char *ret_host, size_t size,
                  int *ret_port)
{
    const struct http_listener *listener = &server->listeners[admin];
    union {
        struct sockaddr any;
        struct sockaddr_in in; /* the port lies at the same place for both families */
        struct sockaddr_in6 in6;
    } address = {0};
    socklen_t length = sizeof(address);

    if (admin >= server->listener_count)
        return false;
    *ret_port = 0;
    if (listener->path) {
        snprintf(ret_host, size, "unix:%s", listener->path);
        return true;
    }
    getsockname(listener->fd, &address.any, &length);
    http_describe_client(&address.any, ret_host, size);
    *ret_port = ntohs(address.in.sin_port);
    return true;
}

int http_reload(struct http_server *server, struct lq_error *error)
{
    return server->config->tls_cert[0]
               ? http_tls_load(server->config, server->service.metrics, error)
               : LQ_OK;
}

/* No new connections, but those that wait and are accepted until then. The library leaves the
 * socket to us. */
static void quiesce(struct http_server *server, int64_t until_us)
{
    for (int i = 0; i < server->listener_count; i++) {
        struct http_listener *listener = &server->listeners[i];

        if (listener->daemon && !listener->quiet) {
            http_await_backlog(listener, until_us);
            MHD_quiesce_daemon(listener->daemon);
            /* refuses from now on; closed when the library's threads, which may still be about to
             * stop watching it, have ended */
            shutdown(listener->fd, SHUT_RDWR);
        }
        listener->quiet = true;
    }
}

/* Has a client sent what nobody has read yet? */
static bool has_input(const struct http_server *server)
{
    for (const struct connection *c = server->connections; c; c = c->next)
        if (http_has_unread(c))
            return true;
    return false;
}

static void wait_drained(struct http_server *server, int64_t until_us)
{
    struct timespec until = {until_us / 1000000, until_us % 1000000 * 1000};

    pthread_cond_timedwait(&server->drained, &server->lock, &until);
}

void http_drain(struct http_server *server, int64_t timeout_us)
{
    int64_t until_us = clock_now_us() + timeout_us;
    bool busy = true;

    atomic_store(&server->draining, true); /* every reply now ends its connection */
    quiesce(server, clock_now_us() + BACKLOG_US);
    pthread_mutex_lock(&server->lock);
    http_resume_delayed(server, INT64_MAX);
    while (busy && clock_now_us() < until_us) {
        int64_t quiet_us = clock_now_us() + QUIET_US;
        unsigned long long requests = atomic_load(&server->next_id);

        http_drop_unfinished(server);
        if (atomic_load(&server->requests) > 0 || server->connections) /* one may be on its way */
            wait_drained(server, quiet_us < until_us ? quiet_us : until_us);
        busy = atomic_load(&server->requests) > 0 || requests != atomic_load(&server->next_id) ||
               has_input(server);
    }
    pthread_mutex_unlock(&server->lock);
}

void http_stop(struct http_server *server)
{
    if (!server)
        return;
    atomic_store(&server->draining, true);
    quiesce(server, 0);
    http_resume_everywhere(server); /* the library ends no suspended connection */
    for (int i = 0; i < server->listener_count; i++) {
        if (server->listeners[i].daemon)
            MHD_stop_daemon(server->listeners[i].daemon);
        http_unlisten(&server->listeners[i]);
    }
    if (server->reaping) {
        pthread_mutex_lock(&server->lock);
        server->stopping = true;
        pthread_cond_signal(&server->reap);
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->reaper, NULL);
    }
    http_free_threads(server);
    http_tls_free();
    clients_destroy(server->clients);
    pthread_cond_destroy(&server->drained);
    pthread_cond_destroy(&server->reap);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
