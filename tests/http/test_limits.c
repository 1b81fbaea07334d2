/* test_limits.c - what one client may take: requests in a second, connections at once; and how
 * those that may not come in are told.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/prometheus.h"
#include "support/suite.h"

static int ask(const struct daemon *d, const char *path)
{
    struct answer answer = daemon_ask(d, "GET", path, NULL, NULL, 0);
    int status = answer.status;

    answer_free(&answer);
    return status;
}

static const char get[] = "GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n";

static void say(int fd, const char *request)
{
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
}

/* The status of the next reply. */
static int hear(int fd)
{
    struct answer answer = daemon_read(fd);
    int status = answer.status;

    answer_free(&answer);
    return status;
}

static double rejected(const struct daemon *d, const char *reason)
{
    char series[128];
    struct answer answer = daemon_ask_admin(d, "GET", "/metrics", NULL, NULL);
    double number;

    snprintf(series, sizeof(series), "lqnet_http_requests_rejected_total{reason=\"%s\"}", reason);
    number = prometheus_value(answer.body, series);
    answer_free(&answer);
    return number;
}

START_TEST(requests_in_a_second)
{
    struct daemon d;
    struct answer answer;

    daemon_start(&d, (const char *const[]){"--rate-limit", "1", "--rate-burst", "5", NULL});
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(ask(&d, i % 2 ? "/v2" : "/none"), i % 2 ? 200 : 404);
    answer = daemon_ask(&d, "GET", "/v2", NULL, NULL, 0);
    ck_assert_int_eq(answer.status, 429);
    ck_assert_ptr_nonnull(strstr(answer.head, "Retry-After: 1"));
    ck_assert_ptr_nonnull(strstr(answer.body, "{\"error\":"));
    answer_free(&answer);
    ck_assert_int_eq(ask(&d, "/none"), 429);
    for (int i = 0; i < 20; i++) /* probes are always let in, and so is the admin */
        ck_assert_int_eq(ask(&d, i % 2 ? "/v2/health/live" : "/v2/health/ready"), 200);
    for (int i = 0; i < 20; i++) {
        answer = daemon_ask_admin(&d, "GET", "/v2", NULL, NULL);
        ck_assert_int_eq(answer.status, 200);
        answer_free(&answer);
    }
    ck_assert(rejected(&d, "rate_limit") == 2);
    for (int i = 0; i < 300 && ask(&d, "/v2") != 200; i++)
        usleep(10000); /* soon there is room again */
    ck_assert_int_eq(ask(&d, "/v2"), 429);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* The body of a request that is refused is read away, and the connection lives. */
START_TEST(on_one_connection)
{
    static const char post[] = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                               "Content-Length: 2\r\n\r\n{}";
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--rate-limit", "1", "--rate-burst", "1", NULL});
    int fd = daemon_connect(&d);
    for (int i = 0; i < 5; i++) {
        say(fd, post);
        ck_assert_int_eq(hear(fd), i ? 429 : 400);
    }
    close(fd);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A refusal is held back, on its connection alone. */
START_TEST(a_refusal_waits)
{
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--rate-limit", "1", "--rate-burst", "1",
                                           "--refusal-delay-ms", "200", NULL});
    ck_assert_int_eq(ask(&d, "/v2"), 200);
    int fd = daemon_connect(&d);
    for (int i = 0; i < 3; i++) {
        double start = seconds();
        say(fd, get);
        ck_assert_int_eq(ask(&d, "/v2/health/live"), 200);
        ck_assert_int_eq(hear(fd), 429);
        ck_assert_double_ge(seconds() - start, 0.2);
    }
    close(fd);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* Unless the server ends. */
START_TEST(a_refusal_at_the_end)
{
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--rate-limit", "1", "--rate-burst", "1",
                                           "--refusal-delay-ms", "10000", NULL});
    ck_assert_int_eq(ask(&d, "/v2"), 200);
    int fd = daemon_connect(&d), left = daemon_connect(&d);
    say(fd, get);
    say(left, get);
    while (rejected(&d, "rate_limit") < 2)
        ;
    close(left);
    double start = seconds();
    kill(d.pid, SIGTERM);
    ck_assert_int_eq(hear(fd), 429);
    close(fd);
    ck_assert_int_eq(daemon_stop(&d), 0);
    ck_assert_double_lt(seconds() - start, 10);
}
END_TEST

/* A client whose requests find the queue full is told so, and keeps its connection. */
START_TEST(a_full_queue)
{
    enum { CLIENTS = 8, VALUES = 3 * 8 * 8, ROUNDS = 3000 };
    static char body[CLIENTS * VALUES * 2 + 200], request[sizeof(body) + 200];
    struct daemon d;
    int fds[CLIENTS], refused = 0;
    size_t size;

    size = (size_t)sprintf(body, "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\","
                                 "\"shape\":[1,3,8,8],\"data\":[0");
    for (int i = 1; i < VALUES; i++)
        size += (size_t)sprintf(body + size, ",%d", i % 10);
    size += (size_t)sprintf(body + size, "]}]}");
    sprintf(request,
            "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
            "Content-Length: %zu\r\n\r\n%s",
            size, body);
    daemon_start(&d, (const char *const[]){"--workers", "1", "--queue-length", "1", NULL});
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = daemon_connect(&d);
    for (int round = 0; round < ROUNDS && !refused; round++) {
        for (int i = 0; i < CLIENTS; i++)
            say(fds[i], request);
        for (int i = 0; i < CLIENTS; i++) {
            struct answer answer = daemon_read(fds[i]);
            if (answer.status == 503) {
                ck_assert_ptr_nonnull(strstr(answer.head, "Retry-After: 1"));
                ck_assert_str_eq(answer.body, "{\"error\":\"the queue is full\"}");
                refused++;
            } else {
                ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
            }
            answer_free(&answer);
        }
    }
    ck_assert_int_gt(refused, 0);
    ck_assert(rejected(&d, "queue_full") == refused);
    for (int i = 0; i < CLIENTS; i++) {
        say(fds[i], request);
        ck_assert_int_eq(hear(fds[i]), 200);
        close(fds[i]);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(connections_at_once)
{
    static const char live[] = "GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n";
    struct daemon d;
    struct answer answer;
    int held[3], status = 429;

    daemon_start(&d, (const char *const[]){"--max-client-connections", "3", NULL});
    for (int i = 0; i < 3; i++) {
        held[i] = daemon_connect(&d);
        say(held[i], live);
        ck_assert_int_eq(hear(held[i]), 200);
    }
    int fd = daemon_connect(&d);
    say(fd, live);
    answer = daemon_read(fd);
    ck_assert_int_eq(answer.status, 429);
    ck_assert_ptr_nonnull(strstr(answer.head, "Retry-After: 1"));
    ck_assert_ptr_nonnull(strstr(answer.head, "Connection: close"));
    answer_free(&answer);
    ck_assert_int_eq(read(fd, held, 1), 0); /* it is closed */
    close(fd);
    answer = daemon_ask_admin(&d, "GET", "/v2", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    ck_assert(rejected(&d, "client_connections") == 1);
    for (int i = 0; i < 3; i++)
        close(held[i]);
    for (int i = 0; i < 300 && status != 200; i++) {
        usleep(10000);
        status = ask(&d, "/v2");
    }
    ck_assert_int_eq(status, 200);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* The public address is full, and waits for heads that never end: the admin gets through. */
START_TEST(the_admin_when_all_is_taken)
{
    static const char half[] = "GET /v2 HTTP/1.1\r\nHost:";
    struct daemon d;
    struct answer answer;
    int held[4];

    daemon_start(&d, (const char *const[]){"--max-connections", "2", "--http-threads", "1", NULL});
    for (int i = 0; i < 4; i++) { /* two wait to be accepted */
        held[i] = daemon_connect(&d);
        say(held[i], half);
    }
    for (int i = 0; i < 3; i++) {
        answer = daemon_ask_admin(&d, "GET", i ? "/metrics" : "/v2/health/ready", NULL, NULL);
        ck_assert_int_eq(answer.status, 200);
        answer_free(&answer);
    }
    for (int i = 0; i < 4; i++)
        close(held[i]);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* All places are taken, and more wait for one: when the server is to end and the places become
 * free, those are answered still. */
START_TEST(the_end_when_all_is_taken)
{
    enum { PLACES = 4, WAITING = 12 };

    for (int round = 0; round < 3; round++) {
        struct daemon d;
        int held[PLACES], waiting[WAITING];

        daemon_start(&d,
                     (const char *const[]){"--max-connections", "4", "--http-threads", "2", NULL});
        for (int i = 0; i < PLACES; i++) {
            held[i] = daemon_connect(&d);
            say(held[i], get);
            ck_assert_int_eq(hear(held[i]), 200);
        }
        for (int i = 0; i < WAITING; i++) {
            waiting[i] = daemon_connect(&d);
            say(waiting[i], get);
        }
        kill(d.pid, SIGTERM);
        for (int i = 0; i < PLACES; i++)
            close(held[i]);
        for (int i = 0; i < WAITING; i++) {
            ck_assert_int_eq(hear(waiting[i]), 200);
            close(waiting[i]);
        }
        ck_assert_int_eq(daemon_stop(&d), 0);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("limits");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, requests_in_a_second);
    tcase_add_test(tests, on_one_connection);
    tcase_add_test(tests, a_refusal_waits);
    tcase_add_test(tests, a_refusal_at_the_end);
    tcase_add_test(tests, a_full_queue);
    tcase_add_test(tests, connections_at_once);
    tcase_add_test(tests, the_admin_when_all_is_taken);
    tcase_add_test(tests, the_end_when_all_is_taken);
    return suite_main("limits", tests);
}
