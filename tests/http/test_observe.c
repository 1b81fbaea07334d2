/* test_observe.c - what an operator sees of the daemon: metrics, the log, ids.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/prometheus.h"
#include "support/suite.h"

static const char body[] = "{\"inputs\":[]}";

static int status_of(struct answer answer)
{
    int status = answer.status;

    answer_free(&answer);
    return status;
}

static int ask(const struct daemon *d, const char *method, const char *path)
{
    return status_of(daemon_ask(d, method, path, NULL, body, *method == 'P' ? strlen(body) : 0));
}

static double value(const struct daemon *d, const char *series)
{
    struct answer answer = daemon_ask(d, "GET", "/metrics", NULL, NULL, 0);
    const char *wrong = prometheus_check(answer.body);
    double number = prometheus_value(answer.body, series);

    ck_assert_int_eq(answer.status, 200);
    ck_assert_msg(!wrong, "%s", wrong);
    ck_assert_ptr_nonnull(strstr(answer.head, "Content-Type: text/plain; version=0.0.4"));
    answer_free(&answer);
    return number;
}

static void wait_for(const struct daemon *d, const char *series, double wanted)
{
    double got = value(d, series);

    for (int i = 0; i < 500 && got != wanted; i++) {
        usleep(10000);
        got = value(d, series);
    }
    ck_assert_msg(got == wanted, "%s is %g, not %g", series, got, wanted);
}

/* A request ends a moment after its client has the reply. The one that asks is always there. */
static void wait_until_idle(const struct daemon *d)
{
    wait_for(d, "lqnet_http_requests_in_flight", 1);
}

START_TEST(metrics)
{
    static const char too_large[] =
        "POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--max-body-bytes", "1000", NULL});
    ck_assert_int_eq(ask(&d, "GET", "/v2"), 200);
    ck_assert_int_eq(ask(&d, "HEAD", "/v2"), 200);
    ck_assert_int_eq(ask(&d, "GET", "/v2/models/tiny"), 200);
    ck_assert_int_eq(ask(&d, "GET", "/v2/models/none"), 404);
    ck_assert_int_eq(ask(&d, "GET", "/nothing/../here"), 404);
    ck_assert_int_eq(ask(&d, "POST", "/v2/models/tiny/infer"), 400);
    ck_assert_int_eq(status_of(daemon_raw(&d, too_large, strlen(too_large))), 413);
    ck_assert(value(&d, "lqnet_http_requests_total{route=\"/v2\",method=\"GET\",code=\"200\"}") ==
              1);
    ck_assert(value(&d, "lqnet_http_requests_total{route=\"/v2\",method=\"HEAD\",code=\"200\"}") ==
              1);
    ck_assert(value(&d, "lqnet_http_requests_total{route=\"/v2/models/{model}\",method=\"GET\","
                        "code=\"404\"}") == 1);
    ck_assert(value(&d, "lqnet_http_requests_total{route=\"none\",method=\"GET\",code=\"404\"}") ==
              1);
    ck_assert(value(&d, "lqnet_http_requests_total{route=\"/v2/models/{model}/infer\","
                        "method=\"POST\",code=\"400\"}") == 1);
    ck_assert(value(&d, "lqnet_http_requests_rejected_total{reason=\"body_size\"}") == 1);
    ck_assert(value(&d, "lqnet_http_request_body_bytes_total") == strlen(body));
    wait_until_idle(&d);
    ck_assert(value(&d, "lqnet_ready") == 1);
    ck_assert(value(&d, "lqnet_http_connections_accepted_total") >= 16);
    ck_assert(value(&d, "process_open_fds") > 3);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

#define OF_TINY "{model=\"tiny\",version=\"1\""

START_TEST(metrics_of_models)
{
    struct daemon d;
    static char large[1000000];
    char tensor[2048];
    int at = snprintf(tensor, sizeof(tensor),
                      "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[3,3,8,8],"
                      "\"data\":[0");

    for (int i = 1; i < 3 * 3 * 8 * 8; i++)
        at += snprintf(tensor + at, sizeof(tensor) - (size_t)at, ",1");
    snprintf(tensor + at, sizeof(tensor) - (size_t)at, "]}]}");
    daemon_start(&d, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(status_of(daemon_ask(&d, "POST", "/v2/models/tiny/infer", NULL, tensor,
                                              strlen(tensor))),
                         200);
    memset(large, ' ', sizeof(large)); /* a body that is not read before it is queued */
    ck_assert_int_eq(
        status_of(daemon_ask(&d, "POST", "/v2/models/tiny/infer", NULL, large, sizeof(large))),
        400);
    ck_assert_int_eq(ask(&d, "POST", "/v2/models/bad/infer"), 503);
    /* they are counted a moment after the replies */
    wait_for(&d, "lqnet_model_images_total" OF_TINY "}", 6);
    wait_for(&d, "lqnet_model_failures_total" OF_TINY "}", 1);
    wait_for(&d, "lqnet_model_successes_total" OF_TINY "}", 2);
    ck_assert(value(&d, "lqnet_model_queue_requests" OF_TINY "}") == 0);
    ck_assert(value(&d, "lqnet_queue_requests") == 0);
    ck_assert(value(&d, "lqnet_workers") >= 1);
    ck_assert(value(&d, "lqnet_generations") == 1);
    ck_assert(value(&d, "lqnet_model_ready" OF_TINY "}") == 1);
    ck_assert(value(&d, "lqnet_model_generation" OF_TINY "}") >= 1);
    ck_assert(value(&d, "lqnet_model_loads_total" OF_TINY "}") == 1);
    ck_assert(value(&d, "lqnet_model_ready{model=\"bad\",version=\"1\"}") == 0);
    ck_assert(value(&d, "lqnet_model_load_failures_total{model=\"bad\",version=\"1\"}") == 1);
    double batches = value(&d, "lqnet_model_batch_images_bucket" OF_TINY ",le=\"4\"}");
    ck_assert(batches >= 2 && batches <= 6); /* idle workers share a request */
    ck_assert(value(&d, "lqnet_model_stage_seconds_count" OF_TINY ",stage=\"queue\"}") == 2);
    ck_assert(value(&d, "lqnet_model_stage_seconds_count" OF_TINY ",stage=\"compute\"}") ==
              batches);
    ck_assert(value(&d, "lqnet_model_stage_seconds_sum" OF_TINY ",stage=\"compute\"}") > 0);
    ck_assert(value(&d, "lqnet_http_requests_rejected_total{reason=\"not_ready\"}") == 1);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A connection that ends in mid-request, and one that is shut for being late, are counted. */
START_TEST(requests_that_never_end)
{
    static const char half[] = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                               "Content-Length: 10\r\n\r\nabc";
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--body-timeout-ms", "100", NULL});
    int fd = daemon_connect(&d);
    ck_assert_int_gt(send(fd, half, strlen(half), 0), 0);
    ck_assert_int_eq(status_of(daemon_read(fd)), 408);
    close(fd);
    wait_until_idle(&d);
    ck_assert(value(&d, "lqnet_http_requests_total{route=\"/v2/models/{model}/infer\","
                        "method=\"POST\",code=\"408\"}") == 1);
    ck_assert(value(&d, "lqnet_http_requests_rejected_total{reason=\"timeout\"}") == 1);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

static json_t *next_request(FILE *log)
{
    char line[8192];

    while (fgets(line, sizeof(line), log)) {
        json_t *root = json_loads(line, 0, NULL);

        ck_assert_msg(root, "%s", line);
        if (strcmp(json_string_value(json_object_get(root, "event")), "request") == 0)
            return root;
        json_decref(root);
    }
    return NULL;
}

static void check_text(json_t *line, const char *key, const char *text)
{
    const char *got = json_string_value(json_object_get(line, key));

    ck_assert_msg(got ? text && strcmp(got, text) == 0 : !text, "%s: %s, not %s", key,
                  got ? got : "none", text ? text : "none");
}

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

START_TEST(ids_and_log)
{
    static const char *const traces[] = {
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "",
    };
    static const char end[] = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct daemon d;
    char request[512], large[8192];
    struct answer answer;

    daemon_start(&d, NULL);
    snprintf(request, sizeof(request),
             "GET /v2/models/tiny?x=%%22 HTTP/1.1\r\nHost: a\r\nX-Request-Id: my-id.1\r\n"
             "traceparent: " TRACE "\r\nConnection: close\r\n\r\n");
    answer = daemon_raw(&d, request, strlen(request));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_ptr_nonnull(strstr(answer.head, "X-Request-Id: my-id.1"));
    ck_assert_ptr_nonnull(strstr(answer.head, "traceparent: " TRACE));
    answer_free(&answer);
    for (size_t i = 0; i < sizeof(traces) / sizeof(*traces); i++) {
        snprintf(request, sizeof(request),
                 "GET /v2 HTTP/1.1\r\nHost: a\r\ntraceparent: %s\r\nConnection: close\r\n\r\n",
                 traces[i]);
        answer = daemon_raw(&d, request, strlen(request));
        ck_assert_int_eq(answer.status, 200);
        ck_assert_msg(!strstr(answer.head, "traceparent"), "%s", answer.head);
        answer_free(&answer);
    }
    memset(large, 'x', sizeof(large));
    memcpy(large, "GET /", 5);
    memcpy(large + 4096, end, sizeof(end));
    answer = daemon_raw(&d, large, 4096 + strlen(end));
    ck_assert_int_eq(answer.status, 404);
    answer_free(&answer);
    FILE *log = fdopen(dup(d.log), "r");
    json_t *line = next_request(log);
    check_text(line, "id", "my-id.1");
    check_text(line, "traceparent", TRACE);
    check_text(line, "client", "127.0.0.1");
    check_text(line, "method", "GET");
    check_text(line, "path", "/v2/models/tiny");
    check_text(line, "model", "tiny");
    ck_assert_int_eq(json_integer_value(json_object_get(line, "status")), 200);
    ck_assert_int_gt(json_integer_value(json_object_get(line, "reply_bytes")), 100);
    ck_assert(json_is_integer(json_object_get(line, "duration_us")));
    json_decref(line);
    line = next_request(log);
    check_text(line, "traceparent", NULL);
    check_text(line, "model", NULL);
    json_decref(line);
    for (size_t i = 0; i < sizeof(traces) / sizeof(*traces); i++) {
        line = next_request(log); /* the last one is that of the long path */
        ck_assert_int_eq(strlen(json_string_value(json_object_get(line, "path"))),
                         i + 1 == sizeof(traces) / sizeof(*traces) ? 512 : 3);
        json_decref(line);
    }
    fclose(log);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* At a socket for IPv6 and IPv4, a client's IPv4 address is written as one. */
START_TEST(clients_of_both_kinds)
{
    struct daemon d;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    if (fd < 0)
        return; /* a machine without IPv6 */
    close(fd);
    daemon_start(&d, (const char *const[]){"--listen", "[::]:0", NULL});
    ck_assert_int_eq(ask(&d, "GET", "/v2"), 200);
    FILE *log = fdopen(dup(d.log), "r");
    json_t *line = next_request(log);
    check_text(line, "client", "127.0.0.1");
    json_decref(line);
    struct answer answer = daemon_ask_admin(&d, "GET", "/v2", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    line = next_request(log);
    check_text(line, "client", "unix");
    json_decref(line);
    fclose(log);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(no_access_log)
{
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--access-log", "false", NULL});
    ck_assert_int_eq(ask(&d, "GET", "/v2"), 200);
    char bytes[65536];
    size_t got = 0;
    ssize_t piece;
    kill(d.pid, SIGTERM);
    while ((piece = read(d.log, bytes + got, sizeof(bytes) - 1 - got)) > 0)
        got += (size_t)piece;
    bytes[got] = '\0';
    ck_assert_ptr_nonnull(strstr(bytes, "\"event\":\"stopped\""));
    ck_assert_ptr_null(strstr(bytes, "\"event\":\"request\""));
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A server that cannot start says why where it was told to. */
START_TEST(outputs)
{
    static const char *const names[] = {"stderr", "stdout"};
    char command[512], text[2048];

    for (int i = 0; i < 2; i++) {
        FILE *pipe;

        snprintf(command, sizeof(command), "%s --models /nonexistent --log-output %s %s",
                 getenv("LQNETD"), names[i], i == 0 ? "2>&1 >/dev/null" : "2>/dev/null");
        pipe = popen(command, "r");
        ck_assert_ptr_nonnull(pipe);
        text[fread(text, 1, sizeof(text) - 1, pipe)] = '\0';
        ck_assert_int_eq(WEXITSTATUS(pclose(pipe)), 1);
        ck_assert_msg(strstr(text, "\"event\":\"failed\"") != NULL, "%s: %s", names[i], text);
    }
}
END_TEST

/* Nobody reads the log, whose pipe holds one page: the daemon serves on, counts what it drops, and
 * ends when it is told to. */
START_TEST(a_log_that_nobody_reads)
{
    enum { REQUESTS = 6000 }; /* of about 250 bytes each in the log: more than it holds */
    static const char request[] = "GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n";
    struct daemon d;

    daemon_start_with_pipe(&d, NULL, 4096);
    int fd = daemon_connect(&d);
    for (int i = 0; i < REQUESTS; i++) {
        ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
        ck_assert_int_eq(status_of(daemon_read(fd)), 200);
    }
    close(fd);
    ck_assert(value(&d, "lqnet_log_lines_dropped_total") > 0);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A path that does not exist is told before its body is read, and the connection goes on. */
START_TEST(turned_away_by_the_head)
{
    static const char two[] = "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde"
                              "GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    static const char asks[] = "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                               "Expect: 100-continue\r\n\r\n";
    struct daemon d;
    char bytes[4096] = "";
    size_t got = 0;
    ssize_t piece;

    daemon_start(&d, NULL);
    int fd = daemon_connect(&d);
    ck_assert_int_eq(send(fd, two, strlen(two), 0), (ssize_t)strlen(two));
    while ((piece = read(fd, bytes + got, sizeof(bytes) - 1 - got)) > 0)
        got += (size_t)piece;
    close(fd);
    ck_assert_ptr_nonnull(strstr(bytes, "HTTP/1.1 404"));
    ck_assert_ptr_nonnull(strstr(bytes, "HTTP/1.1 200"));
    ck_assert_int_eq(status_of(daemon_raw(&d, asks, strlen(asks))), 404); /* no 100 first */
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("observe");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, metrics);
    tcase_add_test(tests, metrics_of_models);
    tcase_add_test(tests, requests_that_never_end);
    tcase_add_test(tests, ids_and_log);
    tcase_add_test(tests, clients_of_both_kinds);
    tcase_add_test(tests, no_access_log);
    tcase_add_test(tests, outputs);
    tcase_add_test(tests, a_log_that_nobody_reads);
    tcase_add_test(tests, turned_away_by_the_head);
    return suite_main("observe", tests);
}
