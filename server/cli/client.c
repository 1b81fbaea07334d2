/* client.c - asks a running lqnetd: one request, one connection.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_REPLY (16 << 20)
#define MAX_TOKEN 4096

struct client {
    const char *url;
    char host[256], port[8];
    const char *path; /* of a unix socket, or NULL */
    bool tls;
    int fd;
    int64_t deadline_ms;
    gnutls_session_t session; /* NULL: plain */
    gnutls_certificate_credentials_t credentials;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int late(const struct client *client)
{
    return cli_fail(CLI_FAILED, "%s: no reply in time", client->url);
}

/* ------------------------------------------------------------------------------------------------
 * The address
 */

/* HOST[:PORT] or [IPV6][:PORT], with or without a slash behind it. */
static int parse_url(struct client *client, const char *url)
{
    const char *host, *end, *colon;
    size_t length;

    client->url = url;
    if (strncmp(url, "unix:/", 6) == 0) {
        client->path = url + 5;
        snprintf(client->host, sizeof(client->host), "localhost");
        return CLI_OK;
    }
    client->tls = strncmp(url, "https://", 8) == 0;
    if (!client->tls && strncmp(url, "http://", 7) != 0)
        return cli_fail(CLI_USAGE, "'%s' is no URL: expected http://, https:// or unix:/PATH", url);
    host = strstr(url, "//") + 2;
    end = host + strcspn(host, "/");
    colon = host[0] == '[' ? memchr(host, ']', (size_t)(end - host)) : host - 1;
    colon = colon ? memchr(colon + 1, ':', (size_t)(end - colon - 1)) : NULL;
    length = (size_t)((colon ? colon : end) - host);
    if (end[strspn(end, "/")] || length == 0 || length >= sizeof(client->host) ||
        strcspn(host, " \t\r\n@?#") < (size_t)(end - host) ||
        (colon && (end - colon < 2 || end - colon > 6)))
        return cli_fail(CLI_USAGE, "'%s' is no URL of the form http://HOST:PORT", url);
    if (host[0] == '[' && host[length - 1] == ']') {
        host++;
        length -= 2;
    }
    memcpy(client->host, host, length);
    snprintf(client->port, sizeof(client->port), "%.*s", colon ? (int)(end - colon - 1) : 3,
             colon         ? colon + 1
             : client->tls ? "443"
                           : "80");
    return CLI_OK;
}

/* False: late, or an error that errno tells. */
static bool wait_for(const struct client *client, short events)
{
    struct pollfd fd = {client->fd, events, 0};
    int64_t left = client->deadline_ms - now_ms();

    return left > 0 && poll(&fd, 1, (int)left) != 0;
}

/* 0, or why not. */
static int connect_to(struct client *client, const struct sockaddr *address, socklen_t size)
{
    int code = 0;
    socklen_t length = sizeof(code);

    client->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (client->fd < 0)
        return errno;
    if (connect(client->fd, address, size) == 0)
        return 0;
    if (errno == EINPROGRESS && wait_for(client, POLLOUT)) {
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &code, &length);
        if (code == 0)
            return 0;
    } else {
        code = errno == EINPROGRESS ? ETIMEDOUT : errno;
    }
    close(client->fd);
    client->fd = -1;
    return code;
}

static int open_connection(struct client *client)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    int code = ECONNREFUSED;

    if (client->path) {
        snprintf(local.sun_path, sizeof(local.sun_path), "%s", client->path);
        code = connect_to(client, (struct sockaddr *)&local, sizeof(local));
    } else {
        code = getaddrinfo(client->host, client->port, &hints, &found);
        if (code != 0)
            return cli_fail(CLI_FAILED, "%s: %s", client->url, gai_strerror(code));
        for (const struct addrinfo *at = found; at && client->fd < 0; at = at->ai_next)
            code = connect_to(client, at->ai_addr, at->ai_addrlen);
        freeaddrinfo(found);
    }
    if (code != 0)
        return cli_fail(CLI_FAILED, "%s: %s", client->url, strerror(code));
    return CLI_OK;
}

/* ------------------------------------------------------------------------------------------------
 * TLS
 */

static int fail_tls(const struct client *client, int code)
{
    gnutls_datum_t why = {NULL, 0};
    int status;

    if (code == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR &&
        gnutls_certificate_verification_status_print(
            gnutls_session_get_verify_cert_status(client->session), GNUTLS_CRT_X509, &why, 0) >= 0)
        status = cli_fail(CLI_FAILED, "%s: %s", client->url, (const char *)why.data);
    else
        status = cli_fail(CLI_FAILED, "%s: TLS: %s", client->url, gnutls_strerror(code));
    gnutls_free(why.data);
    return status;
}

static int start_tls(struct client *client, const struct cli_arguments *a)
{
    const char *ca = cli_value(a, "ca");
    int code;

    if (gnutls_certificate_allocate_credentials(&client->credentials) < 0 ||
        gnutls_init(&client->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK) < 0)
        return cli_fail(CLI_FAILED, "out of memory");
    code = ca ? gnutls_certificate_set_x509_trust_file(client->credentials, ca, GNUTLS_X509_FMT_PEM)
              : gnutls_certificate_set_x509_system_trust(client->credentials);
    if (ca && code <= 0)
        return cli_fail(CLI_FAILED, "%s: no certificates in PEM", ca);
    gnutls_set_default_priority(client->session);
    gnutls_credentials_set(client->session, GNUTLS_CRD_CERTIFICATE, client->credentials);
    gnutls_server_name_set(client->session, GNUTLS_NAME_DNS, client->host, strlen(client->host));
    if (!cli_value(a, "insecure"))
        gnutls_session_set_verify_cert(client->session, client->host, 0);
    gnutls_transport_set_int(client->session, client->fd);
    while ((code = gnutls_handshake(client->session)) < 0) {
        if (gnutls_error_is_fatal(code))
            return fail_tls(client, code);
        if (code == GNUTLS_E_AGAIN &&
            !wait_for(client, gnutls_record_get_direction(client->session) ? POLLOUT : POLLIN))
            return late(client);
    }
    return CLI_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Request and reply
 */

/* The header that carries the token of the file; "" where none is given. */
static int read_token(const struct cli_arguments *a, char *ret_header, size_t size)
{
    const char *path = cli_value(a, "token-file");
    char *bytes;
    size_t count, length = 0;
    int status;

    ret_header[0] = '\0';
    if (!path)
        return CLI_OK;
    status = cli_read_file(path, 1 << 20, &bytes, &count);
    if (status != CLI_OK)
        return status;
    while (length < count && bytes[length] > ' ' && bytes[length] <= '~')
        length++;
    if (length == 0 || length > MAX_TOKEN)
        status = cli_fail(CLI_FAILED, "%s: its first line is no token", path);
    else
        snprintf(ret_header, size, "Authorization: Bearer %.*s\r\n", (int)length, bytes);
    free(bytes);
    return status;
}

/* How many bytes went, 0 at the end of what comes; -1: an error, or late, said. */
static ssize_t transfer(struct client *client, bool out, char *bytes, size_t size)
{
    for (;;) {
        ssize_t step;

        if (client->session)
            step = out ? gnutls_record_send(client->session, bytes, size)
                       : gnutls_record_recv(client->session, bytes, size);
        else
            step = out ? send(client->fd, bytes, size, MSG_NOSIGNAL)
                       : recv(client->fd, bytes, size, 0);
        if (step >= 0 || (client->session && step == GNUTLS_E_PREMATURE_TERMINATION))
            return step >= 0 ? step : 0; /* the length of the body tells whether it is whole */
        if (client->session ? gnutls_error_is_fatal((int)step)
                            : errno != EAGAIN && errno != EINTR) {
            cli_complain("%s: %s", client->url,
                         client->session ? gnutls_strerror((int)step) : strerror(errno));
            return -1;
        }
        if (!wait_for(client, out ? POLLOUT : POLLIN)) {
            late(client);
            return -1;
        }
    }
}

/* False: said why. */
static bool send_all(struct client *client, const char *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t step = transfer(client, true, (char *)bytes + sent, size - sent);

        if (step < 0)
            return false;
        sent += (size_t)step;
    }
    return true;
}

static int send_request(struct client *client, const struct cli_arguments *a,
                        const struct client_request *request)
{
    char token[MAX_TOKEN + 32], head[MAX_TOKEN + 2048];
    bool ip6 = strchr(client->host, ':');
    int length, status = read_token(a, token, sizeof(token));

    if (status != CLI_OK)
        return status;
    length = snprintf(head, sizeof(head),
                      "%s %s HTTP/1.1\r\nHost: %s%s%s%s%s\r\nConnection: close\r\n%s"
                      "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                      request->method, request->path, ip6 ? "[" : "", client->host, ip6 ? "]" : "",
                      client->port[0] ? ":" : "", client->port, token,
                      request->type ? request->type : "application/json", request->size);
    if (length < 0 || (size_t)length >= sizeof(head))
        return cli_fail(CLI_USAGE, "the request is too long");
    return send_all(client, head, (size_t)length) && send_all(client, request->body, request->size)
               ? CLI_OK
               : CLI_FAILED;
}

/* All bytes until the server closes, and a zero behind them. */
static int read_reply(struct client *client, struct client_reply *reply, size_t *ret_size)
{
    size_t room = 0, size = 0;
    ssize_t step = 1;

    while (step > 0) {
        if (room - size < 2) {
            char *larger = room < MAX_REPLY ? realloc(reply->bytes, room ? room * 2 : 4096) : NULL;

            if (!larger)
                return cli_fail(CLI_FAILED, "%s: the reply is too large", client->url);
            reply->bytes = larger;
            room = room ? room * 2 : 4096;
        }
        step = transfer(client, false, reply->bytes + size, room - size - 1);
        size += step > 0 ? (size_t)step : 0;
        reply->bytes[size] = '\0';
    }
    *ret_size = size;
    return step < 0 ? CLI_FAILED : CLI_OK;
}

/* Status and body; a reply that broke off is none. */
static int parse_reply(const struct client *client, struct client_reply *reply, size_t size)
{
    char *end = strstr(reply->bytes, "\r\n\r\n");
    const char *length;
    size_t body;

    if (!end || sscanf(reply->bytes, "HTTP/1.%*1[01] %3d", &reply->status) != 1)
        return cli_fail(CLI_FAILED, "%s: it answers, but not in HTTP", client->url);
    reply->body = end + 4;
    body = size - (size_t)(reply->body - reply->bytes);
    *end = '\0';
    length = strcasestr(reply->bytes, "\r\nContent-Length:");
    if (length && strtoull(length + strlen("\r\nContent-Length:"), NULL, 10) != body)
        return cli_fail(CLI_FAILED, "%s: the reply breaks off", client->url);
    return CLI_OK;
}

int client_ask(const struct cli_arguments *a, const char *url, const struct client_request *request,
               struct client_reply *ret_reply)
{
    struct client client = {.fd = -1};
    struct client_reply reply = {0, NULL, NULL};
    int64_t timeout = 5;
    size_t size = 0;
    int status = cli_int(a, "timeout", 1, 3600, &timeout);

    client.deadline_ms = now_ms() + timeout * 1000;
    if (status == CLI_OK)
        status = parse_url(&client, url);
    if (status == CLI_OK)
        status = open_connection(&client);
    if (status == CLI_OK && client.tls)
        status = start_tls(&client, a);
    if (status == CLI_OK)
        status = send_request(&client, a, request);
    if (status == CLI_OK)
        status = read_reply(&client, &reply, &size);
    if (status == CLI_OK)
        status = parse_reply(&client, &reply, size);
    if (client.session)
        gnutls_deinit(client.session);
    if (client.credentials)
        gnutls_certificate_free_credentials(client.credentials);
    if (client.fd >= 0)
        close(client.fd);
    if (status == CLI_OK)
        *ret_reply = reply;
    else
        free(reply.bytes);
    return status;
}
