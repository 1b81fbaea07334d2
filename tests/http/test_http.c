/* test_http.c - the daemon from outside: every route, every status, hostile requests, the end.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "lq.h"
#include "support/daemon.h"

/* A picture of noise. */
static unsigned char *make_jpeg(int side, unsigned long *ret_size)
{
    unsigned char *pixels = malloc((size_t)side * (size_t)side * 3), *jpeg = NULL;
    tjhandle handle = tjInitCompress();

    for (int i = 0; i < side * side * 3; i++)
        pixels[i] = (unsigned char)rand();
    *ret_size = 0;
    ck_assert_int_eq(
        tjCompress2(handle, pixels, side, 0, side, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 90, 0),
        0);
    tjDestroy(handle);
    free(pixels);
    return jpeg;
}

static void expect(const struct daemon *daemon, const char *method, const char *path,
                   const char *type, const char *body, int status, const char *text)
{
    struct answer answer = daemon_ask(daemon, method, path, type, body, body ? strlen(body) : 0);

    ck_assert_msg(answer.status == status, "%s %s %s: %d %s", method, path, body ? body : "",
                  answer.status, answer.body);
    ck_assert_msg(!text || strstr(answer.body, text), "%s %s %s: %s", method, path,
                  body ? body : "", answer.body);
    if (status >= 400 && !strstr(path, "/ready"))
        ck_assert_msg(strncmp(answer.body, "{\"error\":\"", 10) == 0, "%s %s: %s", method, path,
                      answer.body);
    answer_free(&answer);
}

START_TEST(every_route)
{
    struct daemon d;

    daemon_start(&d, NULL);
    expect(&d, "GET", "/v2", NULL, NULL, 200, "{\"name\":\"lqnet\",\"version\":");
    expect(&d, "GET", "/v2/health/live", NULL, NULL, 200, "{\"live\":true}");
    expect(&d, "GET", "/v2/health/ready", NULL, NULL, 200, "{\"ready\":true}");
    expect(&d, "GET", "/v2/models", NULL, NULL, 200, "\"state\":\"UNAVAILABLE\",\"reason\":");
    expect(&d, "GET", "/v2/models/tiny", NULL, NULL, 200, "\"shape\":[-1,3,8,8]");
    expect(&d, "GET", "/v2/models/tiny/versions/1", NULL, NULL, 200, "\"shape\":[-1,4]");
    expect(&d, "GET", "/v2/models/tiny/ready", NULL, NULL, 200,
           "{\"name\":\"tiny\",\"ready\":true}");
    expect(&d, "GET", "/v2/models/bad/ready", NULL, NULL, 503, NULL);
    expect(&d, "GET", "/v2/models/bad", NULL, NULL, 503, "is not ready");
    expect(&d, "GET", "/v2/models/none", NULL, NULL, 404, "no model 'none'");
    expect(&d, "GET", "/v2/models/tiny/versions/2", NULL, NULL, 404, "no version '2'");
    expect(&d, "GET", "/", NULL, NULL, 404, "no such path");
    expect(&d, "GET", "/v2/models/..%2ftiny", NULL, NULL, 404, "no such path");
    expect(&d, "GET", "/v2/models/tiny%00", NULL, NULL, 404, "no such path");
    expect(&d, "GET", "//v2", NULL, NULL, 404, NULL);
    expect(&d, "POST", "/v2", NULL, "x", 405, "GET, HEAD");
    expect(&d, "GET", "/v2/models/tiny/infer", NULL, NULL, 405, "POST");
    expect(&d, "HEAD", "/v2", NULL, NULL, 200, NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(classify)
{
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(8, &size), *large = NULL;
    const char *path = "/v2/models/tiny/classify", *four = "/v2/models/tiny/classify?top_k=4";
    struct answer answer;
    json_t *root, *list;
    double sum = 0;

    daemon_start(&d, (const char *const[]){"--max-image-pixels", "10000", NULL});
    answer = daemon_ask(&d, "POST", four, "image/jpeg", jpeg, size);
    ck_assert_int_eq(answer.status, 200);
    root = json_loads(answer.body, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(root, "model_name")), "tiny");
    list = json_array_get(json_object_get(root, "predictions"), 0);
    ck_assert_uint_eq(json_array_size(list), 4);
    for (size_t i = 0; i < 4; i++) {
        double probability =
            json_real_value(json_object_get(json_array_get(list, i), "probability"));

        ck_assert(i == 0 || probability <= sum); /* falling, for sum was the first one or more */
        sum += probability;
    }
    ck_assert_double_eq_tol(sum, 1, 1e-5);
    json_decref(root);
    answer_free(&answer);
    expect(&d, "POST", path, "image/jpeg", "no picture", 415, "neither");
    expect(&d, "POST", path, "text/plain", "x", 415, "text/plain");
    expect(&d, "POST", path, "image/jpeg", NULL, 400, "empty");
    answer = daemon_ask(&d, "POST", "/v2/models/tiny/classify?top_k=5", NULL, jpeg, size);
    ck_assert_int_eq(answer.status, 400);
    answer_free(&answer);
    answer = daemon_ask(&d, "POST", path, "image/jpeg", jpeg, size / 2); /* cut off */
    ck_assert_int_eq(answer.status, 422);
    answer_free(&answer);
    large = make_jpeg(200, &size);
    answer = daemon_ask(&d, "POST", path, "image/jpeg", large, size);
    ck_assert_int_eq(answer.status, 422);
    answer_free(&answer);
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
    tjFree(large);
}
END_TEST

/* An inference request for `count` images of a constant; NaN where `value` is NULL. */
static char *infer_body(int count, const char *value)
{
    size_t size = 256 + (size_t)count * 192 * (strlen(value) + 1);
    char *body = malloc(size);
    int at = snprintf(body, size,
                      "{\"id\":\"x \\u00e9\",\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\","
                      "\"shape\":[%d,3,8,8],\"data\":[",
                      count);

    for (int i = 0; i < count * 192; i++)
        at += snprintf(body + at, size - (size_t)at, i ? ",%s" : "%s", value);
    snprintf(body + at, size - (size_t)at, "]}]}");
    return body;
}

START_TEST(infer)
{
    struct daemon d;
    const char *path = "/v2/models/tiny/infer";
    char *body = infer_body(3, "0.25");
    struct answer answer;
    json_t *root, *data;

    daemon_start(&d, NULL);
    answer = daemon_ask(&d, "POST", path, "application/json", body, strlen(body));
    ck_assert_msg(answer.status == 200, "%s", answer.body);
    root = json_loads(answer.body, 0, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(root, "id")), "x \xc3\xa9");
    data = json_object_get(json_array_get(json_object_get(root, "outputs"), 0), "data");
    ck_assert_uint_eq(json_array_size(data), 12);
    for (size_t i = 0; i < 8; i++) /* equal images, equal answers */
        ck_assert_double_eq(json_real_value(json_array_get(data, i)),
                            json_real_value(json_array_get(data, i + 4)));
    json_decref(root);
    answer_free(&answer);
    free(body);
    body = infer_body(1, "1e39");
    expect(&d, "POST", path, NULL, body, 400, "finite");
    free(body);
    body = infer_body(65, "0");
    expect(&d, "POST", path, NULL, body, 400, "shape[0] is 65, expected 1..64");
    free(body);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(bad_inference_requests)
{
    static const struct {
        const char *body, *text;
    } cases[] = {
        {"", "no JSON"},
        {"[]", "no JSON object"},
        {"{", "line 1, column 2"},
        {"{}", "inputs: expected one tensor"},
        {"{\"inputs\":[{},{}]}", "inputs: expected one tensor"},
        {"{\"id\":1}", "id: expected a string"},
        {"{\"inputs\":3}", "inputs: expected one tensor"},
        {"{\"inputs\":[]}", "inputs: expected one tensor"},
        {"{\"inputs\":[{}]}", "inputs[0].name"},
        {"{\"inputs\":[{\"name\":\"other\"}]}", "inputs[0].name is 'other'"},
        {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"INT8\"}]}", "inputs[0].datatype"},
        {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1]}]}", "shape"},
        {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,8,-8]}]}",
         "shape[3] is -8"},
        {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[0,3,8,8]}]}",
         "shape[0] is 0"},
        {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,8,8],"
         "\"data\":[1,2]}]}",
         "expected 192 finite numbers, flat or nested, got 2"},
        {"{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,8,8],"
         "\"data\":[[[[[1]]]]]}]}",
         "got 1"},
        {"{\"outputs\":[{\"name\":\"x\"}]}", "outputs[0].name is 'x'"},
        {"{\"id\":\"a\",\"id\":\"b\"}", "duplicate"},
    };
    struct daemon d;
    char *deep = malloc(100001);

    daemon_start(&d, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect(&d, "POST", "/v2/models/tiny/infer", "application/json", cases[i].body, 400,
               cases[i].text);
    memset(deep, '[', 100000);
    memcpy(deep, "{\"x\":", 5);
    deep[100000] = '\0';
    expect(&d, "POST", "/v2/models/tiny/infer", NULL, deep, 400, "depth");
    free(deep);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A body cut off at every length, on one connection each: refused, and the daemon goes on. */
static void cut_everywhere(const struct daemon *d, const char *path, const void *body, size_t size,
                           size_t step)
{
    for (size_t length = 0; length < size; length += step) {
        struct answer answer = daemon_ask(d, "POST", path, NULL, body, length);

        ck_assert_msg(answer.status / 100 == 4 && strncmp(answer.body, "{\"error\":\"", 10) == 0,
                      "%s cut to %zu bytes: %d %s", path, length, answer.status, answer.body);
        answer_free(&answer);
    }
}

START_TEST(cut_bodies)
{
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(8, &size);
    char *json = infer_body(1, "0");

    daemon_start(&d, NULL);
    cut_everywhere(&d, "/v2/models/tiny/infer", json, strlen(json), 1);
    /* the end marker alone may be missing: its two bytes tell no pixel */
    cut_everywhere(&d, "/v2/models/tiny/classify", jpeg, size - 2, 1);
    expect(&d, "GET", "/v2/health/ready", NULL, NULL, 200, NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
    free(json);
}
END_TEST

static int raw_status(const struct daemon *daemon, const char *bytes)
{
    struct answer answer = daemon_raw(daemon, bytes, strlen(bytes));
    int status = answer.status;

    answer_free(&answer);
    return status;
}

/* Two framings of one body, two lengths, two hosts: answered 400 and closed, or just closed. */
START_TEST(smuggling)
{
    static const char *const requests[] = {
        "POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nGET /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\nabc",
        "GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /v2 HTTP/1.1\r\n\r\n",
    };
    struct daemon d;

    daemon_start(&d, NULL);
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        int status = raw_status(&d, requests[i]);

        ck_assert_msg(status == 400 || status == 0, "%s: %d", requests[i], status);
    }
    expect(&d, "GET", "/v2/health/live", NULL, NULL, 200, NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(limits)
{
    struct daemon d;
    char *large = malloc(9000);

    daemon_start(&d, (const char *const[]){"--max-body-bytes", "1000", "--header-timeout-ms", "150",
                                           "--body-timeout-ms", "150", NULL});
    memset(large, 'x', 8999);
    large[8999] = '\0';
    expect(&d, "POST", "/v2/models/tiny/infer", NULL, large, 413, "max_body_bytes");
    ck_assert_int_eq(raw_status(&d, "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                                    "Content-Length: 99999999999999999999\r\n\r\n") /
                         100,
                     4);
    /* a head, and a body, that never end: told so at their deadlines, and closed */
    ck_assert_int_eq(raw_status(&d, "GET /v2 HTTP/1.1\r\nHost:"), 408);
    ck_assert_int_eq(raw_status(&d, "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                                    "Content-Length: 10\r\n\r\nabc"),
                     408);
    expect(&d, "GET", "/v2/health/live", NULL, NULL, 200, NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
    free(large);
}
END_TEST

START_TEST(pipelined)
{
    static const char two[] = "GET /v2 HTTP/1.1\r\nHost: a\r\nX-Request-Id: first\r\n\r\n"
                              "GET /none HTTP/1.1\r\nHost: a\r\nX-Request-Id: se\"cond\r\n"
                              "Connection: close\r\n\r\n";
    struct daemon d;
    char bytes[4096] = "";
    size_t got = 0;
    ssize_t piece;
    int fd;

    daemon_start(&d, NULL);
    fd = daemon_connect(&d);
    ck_assert_int_eq(send(fd, two, strlen(two), 0), (ssize_t)strlen(two));
    while ((piece = read(fd, bytes + got, sizeof(bytes) - 1 - got)) > 0)
        got += (size_t)piece;
    close(fd);
    ck_assert_ptr_nonnull(strstr(bytes, "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(bytes, "X-Request-Id: first\r\n"));
    ck_assert_ptr_nonnull(strstr(bytes, "HTTP/1.1 404"));
    ck_assert_ptr_null(strstr(bytes, "se\"cond")); /* an id that cannot be logged is replaced */
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

struct client {
    const struct daemon *daemon;
    const unsigned char *jpeg;
    unsigned long size;
    int good, busy;
    char first[1024];
};

static void *client_main(void *argument)
{
    struct client *c = argument;

    for (int i = 0; i < 25; i++) {
        struct answer answer = daemon_ask(c->daemon, "POST", "/v2/models/tiny/classify",
                                          "image/jpeg", c->jpeg, c->size);

        c->good += answer.status == 200;
        c->busy += answer.status == 503;
        if (answer.status == 200 && !c->first[0])
            snprintf(c->first, sizeof(c->first), "%s", answer.body);
        else if (answer.status == 200 && strcmp(c->first, answer.body) != 0)
            c->good = -1000; /* equal pictures, equal answers */
        answer_free(&answer);
    }
    return NULL;
}

START_TEST(many_clients)
{
    enum { CLIENTS = 8 };
    struct daemon d;
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    unsigned long size;
    unsigned char *jpeg = make_jpeg(64, &size);

    daemon_start(&d, (const char *const[]){"--workers", "3", NULL});
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){&d, jpeg, size, 0, 0, ""};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(clients[i].good, 25);
        ck_assert_str_eq(clients[i].first, clients[0].first);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
}
END_TEST

/* A request whose head has been read is answered even if the daemon is told to end meanwhile. */
START_TEST(end_with_a_request_in_flight)
{
    static const char head[] = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                               "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    struct daemon d;
    char continues[64];
    int fd;

    daemon_start(&d, NULL);
    fd = daemon_connect(&d);
    ck_assert_int_eq(send(fd, head, strlen(head), 0), (ssize_t)strlen(head));
    ck_assert_int_gt(read(fd, continues, sizeof(continues)), 0); /* the head has been read */
    kill(d.pid, SIGTERM);
    ck_assert_int_eq(send(fd, "{}", 2, MSG_NOSIGNAL), 2);
    struct answer answer = daemon_read(fd);
    close(fd);
    ck_assert_int_eq(answer.status, 400);
    answer_free(&answer);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* Asks, each time over a new connection, until none is to be had. */
static void *ask_until_refused(void *argument)
{
    struct client *c = argument;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)c->daemon->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char head[128];
    int length = snprintf(head, sizeof(head),
                          "POST /v2/models/tiny/classify HTTP/1.1\r\nHost: a\r\n"
                          "Content-Length: %lu\r\n\r\n",
                          c->size);

    for (;;) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct answer answer;

        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
            close(fd);
            return NULL;
        }
        send(fd, head, (size_t)length, MSG_NOSIGNAL);
        send(fd, c->jpeg, c->size, MSG_NOSIGNAL);
        answer = daemon_read(fd);
        close(fd);
        c->good += answer.status == 200;
        c->busy += answer.status != 200;
        answer_free(&answer);
    }
}

/* So is one whose connection only the kernel knows so far. */
START_TEST(end_under_load)
{
    enum { CLIENTS = 8 };
    struct daemon d;
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    unsigned long size;
    unsigned char *jpeg = make_jpeg(256, &size);

    daemon_start(&d, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){&d, jpeg, size, 0, 0, ""};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_until_refused, &clients[i]), 0);
    }
    for (int i = 0; i < 20; i++) { /* the others have been answered, too */
        struct answer answer = daemon_ask(&d, "POST", "/v2/models/tiny/classify", NULL, jpeg, size);

        ck_assert_int_eq(answer.status, 200);
        answer_free(&answer);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_gt(clients[i].good, 0);
        ck_assert_int_eq(clients[i].busy, 0);
    }
    tjFree(jpeg);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("http");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, every_route);
    tcase_add_test(tests, classify);
    tcase_add_test(tests, infer);
    tcase_add_test(tests, bad_inference_requests);
    tcase_add_test(tests, cut_bodies);
    tcase_add_test(tests, smuggling);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, pipelined);
    tcase_add_test(tests, many_clients);
    tcase_add_test(tests, end_with_a_request_in_flight);
    tcase_add_test(tests, end_under_load);
    return suite_main("http", tests);
}
