/* http_connection.c - the open sockets, and their absolute deadlines.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The library's own timeout restarts with every byte, so a byte a second holds a connection for
 * ever. Each connection therefore has an absolute deadline for what it is doing, and a thread that
 * shuts the sockets of those that miss it.
 */
#include "http/http_private.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "clock.h"

/* What is written to a client whose request does not come to its end, from outside the library,
 * which has nothing to say before it does. */
#define LATE_BODY "{\"error\":\"the request did not arrive in time\"}"
static const char late_reply[] = "HTTP/1.1 408 Request Timeout\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Content-Length: 46\r\n"
                                 "Connection: close\r\n"
                                 "\r\n" LATE_BODY;
_Static_assert(sizeof(LATE_BODY) - 1 == 46, "Content-Length");

/* After a request, until it is looked whether its client will send another. */
#define LOOK_MS 1000

/* Every request sets several, so no lock is taken, unless the reaper sleeps for too long: it says
 * until when before it looks at any deadline, and we set ours before we look at that. */
static void set_deadline(struct http_server *server, struct connection *connection, int64_t ms,
                         enum deadline_kind kind)
{
    int64_t at_us = ms ? clock_now_us() + ms * 1000 : 0;

    if (!connection)
        return;
    atomic_store(&connection->deadline, ms ? at_us * 4 + kind : 0);
    if (ms && at_us < atomic_load(&server->wake_us)) {
        pthread_mutex_lock(&server->lock);
        pthread_cond_signal(&server->reap);
        pthread_mutex_unlock(&server->lock);
    }
}

void http_set_deadline(struct http_server *server, struct connection *connection, int64_t ms)
{
    set_deadline(server, connection, ms, DEADLINE_CLOSE);
}

void http_set_request_deadline(struct http_server *server, struct connection *connection,
                               int64_t ms)
{
    set_deadline(server, connection, ms, DEADLINE_TELL);
}

void http_set_idle_deadline(struct http_server *server, struct connection *connection)
{
    int64_t ms = server->config->idle_timeout_ms;

    if (ms > LOOK_MS)
        set_deadline(server, connection, LOOK_MS, DEADLINE_LOOK);
    else
        set_deadline(server, connection, ms, DEADLINE_CLOSE);
}

bool http_is_late(struct http_server *server, const struct connection *connection)
{
    bool late;

    if (!connection)
        return false;
    pthread_mutex_lock(&server->lock);
    late = connection->late;
    pthread_mutex_unlock(&server->lock);
    return late;
}

bool http_peer_left(const struct connection *connection)
{
    struct pollfd peer = {.fd = connection->fd, .events = POLLRDHUP};

    return poll(&peer, 1, 0) > 0;
}

bool http_has_unread(const struct connection *connection)
{
    int bytes = 0;

    return ioctl(connection->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

static void shut(struct http_server *server, struct connection *connection, enum deadline_kind kind)
{
    metrics_rejected(server->service.metrics, METRICS_REJECTED_TIMEOUT);
    connection->late = true;
    if (kind == DEADLINE_TELL && !connection->encrypted)
        (void)!send(connection->fd, late_reply, sizeof(late_reply) - 1,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(connection->fd, SHUT_RDWR);
}

/* Shuts what is late; returns the earliest deadline that is left. A connection whose thread gives
 * it another deadline at this moment is left alone. */
static int64_t reap_late(struct http_server *server)
{
    int64_t now_us = clock_now_us(), earliest_us = INT64_MAX;
    int64_t rest_us = (server->config->idle_timeout_ms - LOOK_MS) * 1000;

    for (struct connection *c = server->connections; c; c = c->next) {
        long long deadline = atomic_load(&c->deadline), next = 0;
        enum deadline_kind kind = (enum deadline_kind)(deadline % 4);

        if (deadline / 4 > now_us) {
            next = deadline;
        } else if (deadline) {
            if (kind == DEADLINE_LOOK && !http_peer_left(c))
                next = (now_us + rest_us) * 4 + DEADLINE_CLOSE;
            if (!atomic_compare_exchange_strong(&c->deadline, &deadline, next))
                next = deadline;
            else if (!next)
                shut(server, c, kind);
        }
        if (next && next / 4 < earliest_us)
            earliest_us = next / 4;
    }
    return earliest_us;
}

/* What came together with its end the library may have read without seeing that end. A request
 * whose last bytes it has just read looks the same for a moment. */
void http_drop_unfinished(struct http_server *server)
{
    int64_t now_us = clock_now_us();

    for (struct connection *c = server->connections; c; c = c->next) {
        if (atomic_load(&c->deadline) % 4 != DEADLINE_TELL || !http_peer_left(c) ||
            http_has_unread(c))
            c->left_us = 0;
        else if (!c->left_us)
            c->left_us = now_us;
        else if (now_us - c->left_us > (int64_t)LOOK_MS * 1000)
            shutdown(c->fd, SHUT_RDWR);
    }
}

void *http_reaper_main(void *argument)
{
    struct http_server *server = argument;

    pthread_mutex_lock(&server->lock);
    while (!server->stopping) {
        int64_t wake_us, due_us;

        atomic_store(&server->wake_us, INT64_MAX);
        wake_us = reap_late(server);
        due_us = http_resume_delayed(server, clock_now_us());
        if (due_us < wake_us)
            wake_us = due_us;
        atomic_store(&server->wake_us, wake_us);
        if (wake_us == INT64_MAX) {
            pthread_cond_wait(&server->reap, &server->lock);
        } else {
            struct timespec until = {wake_us / 1000000, wake_us % 1000000 * 1000};

            pthread_cond_timedwait(&server->reap, &server->lock, &until);
        }
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

void http_describe_client(const struct sockaddr *address, char *ret_text, size_t size)
{
    int family = address ? address->sa_family : AF_UNSPEC;
    const struct in6_addr *ip6;
    const void *bytes = NULL;

    if (family == AF_INET)
        bytes = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    if (family == AF_INET6) {
        bytes = ip6 = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(ip6)) { /* an IPv4 client at a socket for both */
            family = AF_INET;
            bytes = ip6->s6_addr + 12;
        }
    }
    if (!bytes || !inet_ntop(family, bytes, ret_text, (socklen_t)size))
        snprintf(ret_text, size, "unix");
}

static void open_connection(const struct http_listener *listener, struct MHD_Connection *library,
                            void **context)
{
    struct http_server *server = listener->server;
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
    connection->encrypted =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_GNUTLS_SESSION) != NULL;
    http_describe_client(address ? address->client_addr : NULL, connection->client,
                         sizeof(connection->client));
    if (server->clients && !listener->admin && address)
        connection->peer =
            clients_enter(server->clients, address->client_addr, &connection->too_many);
    pthread_mutex_lock(&server->lock);
    connection->next = server->connections;
    if (connection->next)
        connection->next->previous = connection;
    server->connections = connection;
    pthread_mutex_unlock(&server->lock);
    http_set_request_deadline(server, connection, server->config->header_timeout_ms);
    metrics_count(server->service.metrics, METRICS_CONNECTIONS, 1);
    metrics_gauge_add(server->service.metrics, METRICS_OPEN, 1);
    *context = connection;
}

static void close_connection(struct http_server *server, struct connection *connection)
{
    if (!connection)
        return;
    if (connection->request) /* after some of its own errors the library does not tell (0.9.75) */
        http_end_request(connection->request);
    metrics_gauge_add(server->service.metrics, METRICS_OPEN, -1);
    if (connection->peer)
        clients_leave(server->clients, connection->peer);
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

void http_on_connection(void *context, struct MHD_Connection *library, void **socket_context,
                        enum MHD_ConnectionNotificationCode code)
{
    const struct http_listener *listener = context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        open_connection(listener, library, socket_context);
    else
        close_connection(listener->server, *socket_context);
}
