/* http.c - starts and ends the HTTP server, by libmicrohttpd.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http_private.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define BACKLOG 1024

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
    /* Twice the limit of a head: what is a little too large is refused by us, in JSON. */
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        http_on_request, server, MHD_OPTION_LISTEN_SOCKET, server->fd, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)(threads > 1 ? threads : 0), MHD_OPTION_CONNECTION_LIMIT, (unsigned)connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * (size_t)config->max_header_bytes,
        MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, server, MHD_OPTION_NOTIFY_COMPLETED,
        http_on_completed, server, MHD_OPTION_NOTIFY_CONNECTION, http_on_connection, server,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!server->daemon)
        return error_set(error, LQ_ERR_IO, "cannot start the HTTP server");
    return LQ_OK;
}

int http_start(const struct config *config, const struct http_service *service,
               struct http_server **ret_server, struct lq_error *error)
{
    struct http_server *server = calloc(1, sizeof(*server));
    pthread_condattr_t monotonic;
    int status;

    if (!server)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    server->config = config;
    server->service = *service;
    server->wake_us = INT64_MAX;
    server->id_seed = (unsigned)(clock_now_us() * 2654435761u) ^ (unsigned)getpid();
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->reap, &monotonic);
    pthread_cond_init(&server->drained, &monotonic);
    pthread_condattr_destroy(&monotonic);
    status = listen_at(config->listen, &server->fd, error);
    if (status == LQ_OK && pthread_create(&server->reaper, NULL, http_reaper_main, server) != 0) {
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
    http_describe_client(&address.any, ret_host, size);
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
