/* test_protocol.c - what travels over HTTP beside plain JSON: methods, compression, binary tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "support/daemon.h"

/* `headers`: lines that end in \r\n. */
static struct answer ask(const struct daemon *daemon, const char *method, const char *path,
                         const char *headers, const void *body, size_t size)
{
    size_t room = strlen(headers) + strlen(path) + 256 + size;
    char *bytes = malloc(room);
    int head = snprintf(bytes, room,
                        "%s %s HTTP/1.1\r\nhost: test\r\nconnection: close\r\n%s"
                        "content-length: %zu\r\n\r\n",
                        method, path, headers, size);

    if (size)
        memcpy(bytes + head, body, size);
    struct answer answer = daemon_raw(daemon, bytes, (size_t)head + size);
    free(bytes);
    return answer;
}

static void expect(const struct daemon *daemon, const char *method, const char *path,
                   const char *headers, const void *body, size_t size, int status, const char *head,
                   const char *text)
{
    struct answer answer = ask(daemon, method, path, headers, body, size);

    ck_assert_msg(answer.status == status, "%s %s: %d %s", method, path, answer.status,
                  answer.body);
    ck_assert_msg(!head || strstr(answer.head, head), "%s %s: %s", method, path, answer.head);
    ck_assert_msg(!text || strstr(answer.body, text), "%s %s: %s", method, path, answer.body);
    answer_free(&answer);
}

/* gzip (31) or zlib (15) */
static void *deflated(const void *bytes, size_t size, int window_bits, size_t *ret_size)
{
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)size};
    size_t room = size + 1000;
    void *out = malloc(room);

    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 9, Z_DEFAULT_STRATEGY),
                     Z_OK);
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *ret_size = stream.total_out;
    deflateEnd(&stream);
    return out;
}

START_TEST(methods)
{
    static const char infer[] = "/v2/models/tiny/infer";
    struct daemon d;

    daemon_start(&d, NULL);
    expect(&d, "OPTIONS", "/v2", "", NULL, 0, 204, "Allow: GET, HEAD, OPTIONS", NULL);
    expect(&d, "OPTIONS", infer, "", NULL, 0, 204, "Allow: POST, OPTIONS", NULL);
    expect(&d, "OPTIONS", "*", "", NULL, 0, 204, "Allow: GET, HEAD, POST, DELETE, OPTIONS", NULL);
    expect(&d, "OPTIONS", "/none", "", NULL, 0, 404, NULL, "no such path");
    expect(&d, "DELETE", "/v2", "", NULL, 0, 405, "Allow: GET, HEAD, OPTIONS", "DELETE");
    expect(&d, "HEAD", infer, "", NULL, 0, 405, "Allow: POST, OPTIONS", NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* HEAD tells what GET would, without the body. */
START_TEST(head)
{
    static const char *const paths[] = {"/v2",
                                        "/v2/health/live",
                                        "/v2/health/ready",
                                        "/v2/models",
                                        "/v2/models/tiny",
                                        "/v2/models/tiny/ready",
                                        "/v2/models/none",
                                        "/none"};
    struct daemon d;

    daemon_start(&d, NULL);
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        char request[256];
        struct answer get = ask(&d, "GET", paths[i], "", NULL, 0), answer;
        char length[64];

        snprintf(request, sizeof(request),
                 "HEAD %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", paths[i]);
        snprintf(length, sizeof(length), "Content-Length: %zu", get.body_size);
        answer = daemon_raw(&d, request, strlen(request));
        ck_assert_int_eq(answer.status, get.status);
        ck_assert_msg(strstr(answer.head, length), "%s: %s", paths[i], answer.head);
        ck_assert_uint_eq(answer.body_size, 0);
        answer_free(&answer);
        answer_free(&get);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(compressed_requests)
{
    static const char path[] = "/v2/models/tiny/infer", wrong[] = "{\"inputs\":[]}";
    static const struct {
        const char *header;
        int window_bits;
    } codings[] = {{"content-encoding: gzip\r\n", 31},
                   {"content-encoding: X-GZIP\r\n", 31},
                   {"content-encoding: deflate\r\n", 15},
                   {"content-encoding: identity\r\n", 0}};
    struct daemon d;

    daemon_start(&d, NULL);
    for (size_t i = 0; i < sizeof(codings) / sizeof(*codings); i++) {
        size_t size = strlen(wrong);
        const char *header = codings[i].header;
        char *body = codings[i].window_bits ? deflated(wrong, size, codings[i].window_bits, &size)
                                            : strdup(wrong);

        expect(&d, "POST", path, header, body, size, 400, NULL, "inputs: expected one tensor");
        if (codings[i].window_bits) {
            expect(&d, "POST", path, header, body, size - 1, 400, NULL, "cut off");
            expect(&d, "POST", path, header, body, 0, 400, NULL, "no JSON");
            expect(&d, "GET", "/v2/health/live", header, NULL, 0, 200, NULL, NULL);
            expect(&d, "POST", path, header, wrong, strlen(wrong), 400, NULL, "damaged");
            body[size - 5] ^= 1; /* in the checksum */
            expect(&d, "POST", path, header, body, size, 400, NULL, "damaged");
        }
        free(body);
    }
    expect(&d, "POST", path, "content-encoding: br\r\n", wrong, strlen(wrong), 415,
           "Accept-Encoding: gzip, deflate", "neither gzip nor deflate");
    expect(&d, "POST", path, "content-encoding: gzip, gzip\r\n", wrong, strlen(wrong), 415, NULL,
           NULL);
    expect(&d, "POST", path, "content-encoding: gzip\r\ncontent-encoding: gzip\r\n", wrong,
           strlen(wrong), 400, NULL, "twice");
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* 64 MiB of zeros travel as 64 KiB; not more than max_body_bytes of them are ever made. */
START_TEST(bombs)
{
    size_t room = 64 << 20, size;
    char *zeros = calloc(1, room), *bomb = deflated(zeros, room, 31, &size), *two;
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--max-body-bytes", "1000000", NULL});
    ck_assert_uint_lt(size, 100000);
    expect(&d, "POST", "/v2/models/tiny/infer", "content-encoding: gzip\r\n", bomb, size, 413, NULL,
           "the decompressed body is larger than max_body_bytes");
    free(bomb);
    bomb = deflated(zeros, 600000, 31, &size); /* two members, each below the limit */
    two = malloc(2 * size);
    memcpy(two, bomb, size);
    memcpy(two + size, bomb, size);
    expect(&d, "POST", "/v2/models/tiny/infer", "content-encoding: gzip\r\n", two, 2 * size, 413,
           NULL, "max_body_bytes");
    expect(&d, "POST", "/v2/models/tiny/infer", "content-encoding: gzip\r\n", bomb, size, 400, NULL,
           "no JSON");
    expect(&d, "GET", "/v2/health/live", "", NULL, 0, 200, NULL, NULL);
    ck_assert_int_eq(daemon_stop(&d), 0);
    free(two);
    free(bomb);
    free(zeros);
}
END_TEST

/* A client that sends all of a body before it reads finds the reply to one that is too large. */
START_TEST(too_large)
{
    static const char first[] = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                                "Content-Length: 20000000\r\n\r\n";
    char *body = calloc(1, 20000000);
    struct daemon d;
    struct answer answer;
    int fd;

    daemon_start(&d, NULL);
    fd = daemon_connect(&d);
    ck_assert_int_eq(send(fd, first, strlen(first), MSG_NOSIGNAL), (int)strlen(first));
    for (int at = 0; at < 20000000;) {
        ssize_t sent = send(fd, body + at, (size_t)(20000000 - at), MSG_NOSIGNAL);

        ck_assert_int_gt(sent, 0);
        at += (int)sent;
    }
    answer = daemon_read(fd);
    ck_assert_int_eq(answer.status, 413);
    answer_free(&answer);
    close(fd);
    ck_assert_int_eq(daemon_stop(&d), 0);
    free(body);
}
END_TEST

/* A POST that says nothing of a body has none, as tritonclient sends it: it is answered at once,
 * and what follows it on the connection is the next request. */
START_TEST(without_length)
{
    static const char two[] = "POST /v2/repository/index HTTP/1.1\r\nHost: a\r\n\r\n"
                              "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n\r\n";
    struct daemon d;
    struct answer answer;
    int fd;

    daemon_start(&d, NULL);
    fd = daemon_connect(&d);
    ck_assert_int_eq(send(fd, two, strlen(two), MSG_NOSIGNAL), (int)strlen(two));
    answer = daemon_read(fd);
    ck_assert_int_eq(answer.status, 200);
    ck_assert_msg(strstr(answer.body, "{\"name\":\"tiny\""), "%s", answer.body);
    if (!strstr(answer.body, "HTTP/1.1 400")) { /* both may have come at once */
        answer_free(&answer);
        answer = daemon_read(fd);
        ck_assert_int_eq(answer.status, 400);
    }
    answer_free(&answer);
    close(fd);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A head beyond the limit is refused in JSON. */
START_TEST(large_heads)
{
    struct daemon d;
    char *header = malloc(6000);

    daemon_start(&d, (const char *const[]){"--max-header-bytes", "4096", NULL});
    memset(header, 'x', 5999);
    memcpy(header, "x-long: ", 8);
    memcpy(header + 4500, "\r\n", 3);
    expect(&d, "GET", "/v2", header, NULL, 0, 431, "application/json", "{\"error\":\"the head is");
    memcpy(header + 3000, "\r\n", 3);
    expect(&d, "GET", "/v2", header, NULL, 0, 200, NULL, "lqnet");
    ck_assert_int_eq(daemon_stop(&d), 0);
    free(header);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("protocol");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, methods);
    tcase_add_test(tests, head);
    tcase_add_test(tests, compressed_requests);
    tcase_add_test(tests, bombs);
    tcase_add_test(tests, too_large);
    tcase_add_test(tests, without_length);
    tcase_add_test(tests, large_heads);
    return suite_main("protocol", tests);
}
