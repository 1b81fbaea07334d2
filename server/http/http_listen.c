/* http_listen.c - the sockets that are listened at: an address of the Internet or a path.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/http_private.h"

#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define BACKLOG 1024

/* Takes the place of the C library's function, for libmicrohttpd: MHD_quiesce_daemon and its
 * threads both take the listening socket out of the same set, and the library (0.9.75) calls
 * abort() in the one that comes second, for ENOENT. What is not in the set has been taken out. */
__attribute__((visibility("default"))) int epoll_ctl(int set, int op, int fd,
                                                     struct epoll_event *event)
{
    int status = (int)syscall(SYS_epoll_ctl, set, op, fd, event);

    return status != 0 && op == EPOLL_CTL_DEL && errno == ENOENT ? 0 : status;
}

/* -1, errno says why. */
static int bind_socket(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    int code;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    code = errno;
    close(fd);
    errno = code;
    return -1;
}

static int listen_at_host(const char *address, int *ret_fd, struct lq_error *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[CONFIG_HOST_SIZE], service[8];
    int port, code, fd = -1;
    int status = config_split_address(address, host, sizeof(host), &port, error);

    if (status != LQ_OK)
        return status;
    snprintf(service, sizeof(service), "%d", port);
    code = getaddrinfo(host, service, &hints, &found);
    if (code != 0)
        return error_set(error, LQ_ERR_INVALID, "listen %s: %s", address, gai_strerror(code));
    for (const struct addrinfo *at = found; at && fd < 0; at = at->ai_next)
        fd = bind_socket(at);
    code = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(error, LQ_ERR_IO, "listen %s: %s", address, strerror(code));
    *ret_fd = fd;
    return LQ_OK;
}

/* A socket that a daemon has left behind: nobody answers there. */
static bool is_left_behind(const struct sockaddr_un *address)
{
    struct stat stat;
    bool refused;
    int fd;

    if (lstat(address->sun_path, &stat) != 0 || !S_ISSOCK(stat.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    refused = fd >= 0 &&
              connect(fd, (const struct sockaddr *)(const void *)address, sizeof(*address)) != 0 &&
              errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return refused;
}

/* For the user of the daemon alone: nobody can connect before listen, when the mode is set. */
static int listen_at_path(const char *path, int *ret_fd, struct lq_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, code;

    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, LQ_ERR_INVALID, "listen unix:%s: the path is longer than %zu", path,
                         sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (is_left_behind(&address))
        unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 &&
        bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) == 0 &&
        chmod(path, S_IRUSR | S_IWUSR) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return LQ_OK;
    }
    code = errno;
    if (fd >= 0)
        close(fd);
    return error_set(error, LQ_ERR_IO, "listen unix:%s: %s", path, strerror(code));
}

int http_listen(const char *address, struct http_listener *listener, struct lq_error *error)
{
    const char *path = config_unix_path(address);
    int status = path ? listen_at_path(path, &listener->fd, error)
                      : listen_at_host(address, &listener->fd, error);

    if (status == LQ_OK)
        listener->path = path;
    return status;
}

/* Leaves SYNs without an answer, so that their senders repeat them, a second later. One that is
 * answered in the moment before the socket closes makes a connection that is then reset, maybe with
 * a request in it. */
static void ignore_new(int fd)
{
    /* a filter of a TCP socket sees a segment from its TCP header on; the flags are byte 13 */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), /* SYN, ACK */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void http_await_backlog(const struct http_listener *listener, int64_t until_us)
{
    const struct timespec pause = {.tv_nsec = 500000};
    struct pollfd waiting = {.fd = listener->fd, .events = POLLIN};

    if (!listener->path)
        ignore_new(listener->fd);
    do /* once at least: for handshakes that are on their way through a local network */
        nanosleep(&pause, NULL);
    while (poll(&waiting, 1, 0) > 0 && clock_now_us() < until_us);
}

void http_unlisten(struct http_listener *listener)
{
    if (listener->fd < 0)
        return;
    close(listener->fd);
    if (listener->path)
        unlink(listener->path);
    listener->fd = -1;
}
