/* test_listen.c - the sockets that are listened at, and how they end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "http/http_private.h"

/* What is not in the set has been taken out of it, for every library of the process; all other
 * errors are the kernel's. */
START_TEST(out_of_a_set)
{
    int (*const shared)(int, int, int, struct epoll_event *) =
        (int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_DEFAULT, "epoll_ctl");
    int set = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};

    ck_assert_ptr_nonnull(shared);
    ck_assert_int_eq(shared(set, EPOLL_CTL_DEL, fd, NULL), 0);
    ck_assert_int_eq(shared(set, EPOLL_CTL_MOD, fd, &event), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(shared(set, EPOLL_CTL_ADD, fd, &event), 0);
    ck_assert_int_eq(shared(set, EPOLL_CTL_ADD, fd, &event), -1);
    ck_assert_int_eq(errno, EEXIST);
    ck_assert_int_eq(shared(set, EPOLL_CTL_DEL, fd, NULL), 0);
    close(fd);
    ck_assert_int_eq(shared(set, EPOLL_CTL_DEL, fd, NULL), -1);
    ck_assert_int_eq(errno, EBADF);
    close(set);
}
END_TEST

/* A connection that was there before is accepted, none comes after it, and one that tries finds the
 * socket closed in the end instead of being reset. */
static void ends_listening_at(const char *address)
{
    struct http_listener listener = {.fd = -1};
    struct lq_error error;
    struct sockaddr_storage at = {0};
    socklen_t length = sizeof(at);
    struct pollfd late = {.events = POLLOUT};
    char byte = 'a';
    int early, accepted, code = 0;

    ck_assert_msg(http_listen(address, &listener, &error) == LQ_OK, "%s", error.text);
    ck_assert_int_eq(getsockname(listener.fd, (struct sockaddr *)&at, &length), 0);
    early = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(early, (struct sockaddr *)&at, length), 0);
    ck_assert_int_eq(write(early, &byte, 1), 1);
    http_await_backlog(&listener, clock_now_us());

    late.fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(connect(late.fd, (struct sockaddr *)&at, length), -1);
    ck_assert_int_eq(errno, EINPROGRESS);
    ck_assert_int_eq(poll(&late, 1, 0), 0);

    accepted = accept(listener.fd, NULL, NULL);
    ck_assert_int_ge(accepted, 0);
    ck_assert_int_eq(accept(listener.fd, NULL, NULL), -1);
    ck_assert_int_eq(write(early, &byte, 1), 1); /* the filter is for new ones alone */
    ck_assert_int_eq(recv(accepted, (char[2]){0}, 2, MSG_WAITALL), 2);

    http_unlisten(&listener);
    ck_assert_int_eq(poll(&late, 1, 10000), 1); /* the second SYN is answered by a RST */
    ck_assert_int_eq(getsockopt(late.fd, SOL_SOCKET, SO_ERROR, &code, &(socklen_t){sizeof(code)}),
                     0);
    ck_assert_int_eq(code, ECONNREFUSED);
    close(late.fd);
    close(early);
    close(accepted);
}

START_TEST(no_new_connections)
{
    ends_listening_at("127.0.0.1:0");
}
END_TEST

START_TEST(no_new_connections_ip6)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool there = bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0;

    close(fd);
    if (there)
        ends_listening_at("[::1]:0");
    else
        printf("no_new_connections_ip6: skipped, this machine has no ::1\n");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("listen");

    tcase_add_test(tests, out_of_a_set);
    tcase_add_test(tests, no_new_connections);
    tcase_add_test(tests, no_new_connections_ip6);
    return suite_main("listen", tests);
}
