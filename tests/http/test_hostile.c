/* test_hostile.c - clients that are slow, broken, greedy or sly: each gets the status that
 * server/HTTP.md says, or its connection closes, and everybody else is served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "clock.h"
#include "support/daemon.h"

#define GET  "GET /v2 HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
/* Where a request is read as two, the second one would be answered with this name. */
#define SMUGGLED "GET /v2/health/live HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"

static void expect_live(const struct daemon *d)
{
    int64_t start = clock_now_us();
    struct answer answer = daemon_ask(d, "GET", "/v2/health/live", NULL, NULL, 0);

    ck_assert_int_eq(answer.status, 200);
    ck_assert_int_lt(clock_now_us() - start, 2000000);
    answer_free(&answer);
}

static int open_files(const struct daemon *d)
{
    char path[64];
    DIR *folder;
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)d->pid);
    folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Waits until the daemon holds no more than `count` files, for at most ten seconds. */
static void await_closed(const struct daemon *d, int count)
{
    for (int i = 0; i < 1000 && open_files(d) > count; i++)
        clock_sleep_us(10000);
    ck_assert_int_le(open_files(d), count);
}

/* Everything until the peer closes, at most ten seconds; false: it did not. */
static bool read_all(int fd, char *ret_bytes, size_t size)
{
    struct pollfd peer = {.fd = fd, .events = POLLIN};
    size_t got = 0;

    ret_bytes[0] = '\0';
    while (got + 1 < size && poll(&peer, 1, 10000) == 1) {
        ssize_t piece = read(fd, ret_bytes + got, size - 1 - got);

        if (piece <= 0)
            return true;
        got += (size_t)piece;
        ret_bytes[got] = '\0';
    }
    return false;
}

static int status_of(const char *bytes)
{
    int status = 0;

    sscanf(bytes, "HTTP/1.1 %d", &status);
    return status;
}

static void send_bytes(int fd, const char *bytes, size_t size)
{
    ck_assert_int_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static unsigned char *make_jpeg(int side, unsigned long *ret_size)
{
    unsigned char *pixels = malloc((size_t)side * (size_t)side * 3), *jpeg = NULL;
    tjhandle encoder = tjInitCompress();

    for (int i = 0; i < side * side * 3; i++)
        pixels[i] = (unsigned char)(i * 37 + i / side);
    ck_assert_int_eq(
        tjCompress2(encoder, pixels, side, 0, side, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 90, 0),
        0);
    tjDestroy(encoder);
    free(pixels);
    return jpeg;
}

/* ------------------------------------------------------------------------------------------------
 * Slow
 */

static void allow_files(rlim_t count)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max < count ? limit.rlim_max : count;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* A byte of a head now and then, on a thousand connections: all are closed at their deadline, and
 * others are served meanwhile. */
START_TEST(slowloris)
{
    enum { COUNT = 1000 };
    static const char head[] =
        "GET /v2 HTTP/1.1\r\nHost: a\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static int sockets[COUNT];
    struct daemon d;
    int64_t start;
    char bytes[256];
    int before;

    allow_files(4096);
    daemon_start(&d, (const char *const[]){"--max-connections", "1200", "--header-timeout-ms",
                                           "1500", NULL});
    before = open_files(&d);
    start = clock_now_us();
    for (int i = 0; i < COUNT; i++)
        sockets[i] = daemon_connect(&d);
    for (int at = 0; clock_now_us() - start < 1200000; at = (at + 1) % (int)strlen(head)) {
        for (int i = 0; i < COUNT; i++)
            (void)!send(sockets[i], head + at, 1, MSG_NOSIGNAL);
        expect_live(&d);
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert_msg(read_all(sockets[i], bytes, sizeof(bytes)), "connection %d is open", i);
        ck_assert_int_eq(status_of(bytes), 408);
        close(sockets[i]);
    }
    await_closed(&d, before);
    expect_live(&d);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* More connections than may be open: those beyond wait, and get their turn. */
START_TEST(more_connections_than_allowed)
{
    enum { COUNT = 200 };
    static int sockets[COUNT];
    struct daemon d;
    char bytes[4096];

    daemon_start(&d, (const char *const[]){"--max-connections", "50", "--header-timeout-ms", "400",
                                           "--idle-timeout-ms", "400", NULL});
    for (int i = 0; i < COUNT; i++)
        sockets[i] = daemon_connect(&d);
    for (int i = 0; i < COUNT; i++)
        send_bytes(sockets[i], GET "\r\n", strlen(GET "\r\n"));
    for (int i = 0; i < COUNT; i++) {
        ck_assert(read_all(sockets[i], bytes, sizeof(bytes)));
        ck_assert_msg(status_of(bytes) == 200, "connection %d: %s", i, bytes);
        close(sockets[i]);
    }
    expect_live(&d);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(slow_bodies)
{
    enum { COUNT = 100 };
    static const char head[] = POST "Content-Length: 1000000\r\n\r\n"; /* never complete */
    static int sockets[COUNT];
    struct daemon d;
    char bytes[256];
    int64_t start;
    int before;

    /* far longer than bytes are sent for: one sent after the reply would lose it */
    daemon_start(&d, (const char *const[]){"--body-timeout-ms", "3000", NULL});
    before = open_files(&d);
    start = clock_now_us();
    for (int i = 0; i < COUNT; i++) {
        sockets[i] = daemon_connect(&d);
        send_bytes(sockets[i], head, strlen(head));
    }
    while (clock_now_us() - start < 600000) {
        for (int i = 0; i < COUNT; i++)
            (void)!send(sockets[i], " ", 1, MSG_NOSIGNAL);
        expect_live(&d);
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert(read_all(sockets[i], bytes, sizeof(bytes)));
        ck_assert_int_eq(status_of(bytes), 408);
        close(sockets[i]);
    }
    await_closed(&d, before);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* Asks and asks, and reads no reply: closed once the reply's time is over. */
START_TEST(never_reads)
{
    struct daemon d;
    struct pollfd peer = {.events = POLLOUT};
    static const char large[] = "GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n";
    char *many = malloc(100 * sizeof(large));
    size_t size = 0, at = 0;
    int before, small = 4096;

    /* where the kernel holds all replies so far, it is the next head that is late */
    daemon_start(&d, (const char *const[]){"--reply-timeout-ms", "500", "--header-timeout-ms",
                                           "1000", "--idle-timeout-ms", "1000", NULL});
    before = open_files(&d);
    for (int i = 0; i < 100; i++)
        size += (size_t)sprintf(many + size, "%s", large);
    peer.fd = daemon_connect(&d);
    setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    fcntl(peer.fd, F_SETFL, O_NONBLOCK);
    for (int64_t start = clock_now_us(); clock_now_us() - start < 30000000;) {
        ssize_t sent =
            poll(&peer, 1, 100) > 0 ? send(peer.fd, many + at, size - at, MSG_NOSIGNAL) : 0;

        if (sent < 0 && errno != EAGAIN)
            break; /* closed */
        if (sent > 0)
            at = (at + (size_t)sent) % size; /* a part of a request is followed by its rest */
        expect_live(&d);
    }
    await_closed(&d, before);
    close(peer.fd);
    free(many);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Broken
 */

/* Says it will send no more: what can be answered at once is answered, what would be computed is
 * not, and half a request is none. Every one of them ends. */
START_TEST(half_closed)
{
    enum { COUNT = 150 };
    static int sockets[COUNT];
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(8, &size);
    char head[256], bytes[8192];
    int before;

    daemon_start(&d, (const char *const[]){"--header-timeout-ms", "1000", NULL});
    before = open_files(&d);
    snprintf(head, sizeof(head),
             "POST /v2/models/tiny/classify HTTP/1.1\r\nHost: a\r\nContent-Length: %lu\r\n\r\n",
             size);
    for (int i = 0; i < COUNT; i++) {
        sockets[i] = daemon_connect(&d);
        if (i % 3 == 0) {
            send_bytes(sockets[i], GET "\r\n", strlen(GET "\r\n"));
        } else if (i % 3 == 1) {
            send_bytes(sockets[i], head, strlen(head));
            send_bytes(sockets[i], (const char *)jpeg, size);
        } else {
            send_bytes(sockets[i], GET, strlen(GET));
        }
        shutdown(sockets[i], SHUT_WR);
    }
    for (int i = 0; i < COUNT; i++) {
        static const int allowed[3] = {200, 499, 408}; /* or closed without a reply */
        int status;

        ck_assert_msg(read_all(sockets[i], bytes, sizeof(bytes)), "kind %d: open", i % 3);
        status = status_of(bytes);
        ck_assert_msg(status == allowed[i % 3] || status == 0 || (i % 3 == 1 && status == 200),
                      "kind %d: %s", i % 3, bytes);
        close(sockets[i]);
    }
    await_closed(&d, before);
    expect_live(&d);
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
}
END_TEST

/* The connection is reset, in the middle of an upload or while the answer is computed. */
START_TEST(resets)
{
    struct linger reset = {1, 0};
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(64, &size);
    char head[256];
    int before;

    daemon_start(&d, NULL);
    before = open_files(&d);
    snprintf(head, sizeof(head),
             "POST /v2/models/tiny/classify HTTP/1.1\r\nHost: a\r\nContent-Length: %lu\r\n\r\n",
             size);
    for (int i = 0; i < 300; i++) {
        int fd = daemon_connect(&d);

        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        send_bytes(fd, head, i % 7 ? strlen(head) : strlen(head) / 2);
        if (i % 7)
            send_bytes(fd, (const char *)jpeg, i % 2 ? size : size / 2);
        if (i % 3 == 0)
            clock_sleep_us(500);
        close(fd);
    }
    await_closed(&d, before);
    expect_live(&d);
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Sly
 */

/* Many requests in one packet, computed ones among them: answered in their order. */
START_TEST(pipelined)
{
    enum { COUNT = 60, ROOM = 1 << 20 };
    struct daemon d;
    unsigned long jpeg_size;
    unsigned char *jpeg = make_jpeg(8, &jpeg_size);
    char *all = malloc(ROOM), *replies = malloc(ROOM);
    const char *at;
    size_t size = 0;
    int fd;

    daemon_start(&d, NULL);
    for (int i = 0; i < COUNT; i++) {
        bool post = i % 3 == 0;

        size += (size_t)snprintf(all + size, ROOM - size,
                                 "%s HTTP/1.1\r\nHost: a\r\nX-Request-Id: n%dx\r\n%s",
                                 post         ? "POST /v2/models/tiny/classify"
                                 : i % 3 == 1 ? "GET /v2"
                                              : "HEAD /none",
                                 i, i == COUNT - 1 ? "Connection: close\r\n" : "");
        if (post)
            size +=
                (size_t)snprintf(all + size, ROOM - size, "Content-Length: %lu\r\n\r\n", jpeg_size);
        else
            size += (size_t)snprintf(all + size, ROOM - size, "\r\n");
        if (post)
            memcpy(all + size, jpeg, jpeg_size);
        size += post ? jpeg_size : 0;
    }
    fd = daemon_connect(&d);
    send_bytes(fd, all, size);
    ck_assert(read_all(fd, replies, ROOM));
    close(fd);
    at = replies;
    for (int i = 0; i < COUNT; i++) {
        char id[32];

        snprintf(id, sizeof(id), "X-Request-Id: n%dx\r\n", i);
        at = strstr(at, id);
        ck_assert_msg(at, "request %d has no reply, or not in its place", i);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
    tjFree(jpeg);
    free(all);
    free(replies);
}
END_TEST

/* Requests that two readers may take for different ones: refused or closed, the one smuggled behind
 * them is never answered. */
START_TEST(smuggling)
{
    static const char *const cases[] = {
        POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Content-Length: 0\r\nContent-Length: 70\r\n\r\n" SMUGGLED,
        POST "Content-Length: 0\r\ncontent-length: 0\r\n\r\n" SMUGGLED,
        POST "Content-Length: 0, 70\r\n\r\n" SMUGGLED,
        POST "Content-Length: +0\r\n\r\n" SMUGGLED,
        POST "Content-Length: -1\r\n\r\n" SMUGGLED,
        POST "Content-Length: 0x0\r\n\r\n" SMUGGLED,
        POST "Content-Length: 0 0\r\n\r\n" SMUGGLED,
        POST "Content-Length:\r\n\r\n" SMUGGLED,
        POST "Content-Length: 99999999999999999999999\r\n\r\n" SMUGGLED,
        POST "Content-Length : 0\r\n\r\n" SMUGGLED,
        POST "Content-Length\t: 0\r\n\r\n" SMUGGLED,
        POST " Content-Length: 0\r\n\r\n" SMUGGLED,
        POST "X: y\r\n Content-Length: 0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: identity\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\v\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF0\r\n\r\n" SMUGGLED,
        POST "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" SMUGGLED,
        "GET /v2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" SMUGGLED,
        "GET /v2 HTTP/1.1\r\n\r\n" SMUGGLED,
        "GET /v2 HTTP/1.1\nHost: a\n\n" SMUGGLED,
        "GET /v2 HTTP/1.1\r\nHost: a\n\r\n" SMUGGLED,
        "GET /v2 HTTP/1.1\r\nHost: a\r\nX: b\nContent-Length: 70\r\n\r\n" SMUGGLED,
        "GET /v2 HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 70\r\n\r\n" SMUGGLED,
        "GET /v2 HTTP/1.1\rHost: a\r\r" SMUGGLED,
        "GET /v2 HTTP/1.1 x\r\nHost: a\r\n\r\n" SMUGGLED,
        "GET /v2 HTTP/3.1\r\nHost: a\r\n\r\n" SMUGGLED,
        "GET /v2 HTTQ/1.1\r\nHost: a\r\n\r\n" SMUGGLED,
        "GET /v2\r\n\r\n" SMUGGLED,
        "\x16\x03\x01\x02\x01\x01\r\n\r\n" SMUGGLED, /* TLS to a port that speaks none */
    };
    struct daemon d;
    char bytes[16384];

    daemon_start(&d, (const char *const[]){"--header-timeout-ms", "300", "--body-timeout-ms", "300",
                                           "--idle-timeout-ms", "300", NULL});
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int fd = daemon_connect(&d), status;

        send_bytes(fd, cases[i], strlen(cases[i]));
        ck_assert_msg(read_all(fd, bytes, sizeof(bytes)), "still open: %s", cases[i]);
        status = status_of(bytes);
        ck_assert_msg(status == 0 || (status >= 400 && status < 600), "%s-> %s", cases[i], bytes);
        ck_assert_msg(!strstr(bytes, "smuggled"), "%s-> %s", cases[i], bytes);
        close(fd);
    }
    expect_live(&d);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* What is unusual, but means one thing only. */
START_TEST(plain_heads)
{
    static const char *const cases[] = {
        GET "X:\r\nY: \r\nZ:  z  \r\nW:\tw\t\r\n\r\n",
        GET "Cookie: a=b; c=d\r\nx-empty:\r\n\r\n",
        GET "X: \xc3\xa9 \xff\r\nX: again\r\n\r\n",
        "\r\n" GET "\r\n",
        "GET /v2?a=b&c=%20d&&=e HTTP/1.1\r\nHOST:a\r\n\r\n",
        "GET /v2 HTTP/1.0\r\n\r\n",
        "GET /v2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "GET /v2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
    };
    struct daemon d;

    daemon_start(&d, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct answer answer = daemon_raw(&d, cases[i], strlen(cases[i]));

        ck_assert_msg(answer.status == 200, "%s-> %d %s", cases[i], answer.status, answer.body);
        answer_free(&answer);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Greedy
 */

struct greedy {
    const char *what;
    char *bytes;
    size_t size;
    int first, second; /* statuses that are right; 0: closed without one */
};

/* "before", then count times "more", then "after". */
static struct greedy repeat(const char *what, const char *before, const char *more, int count,
                            const char *after, int first, int second)
{
    size_t length = strlen(more), size = strlen(before) + (size_t)count * length;
    char *bytes = malloc(size + strlen(after) + 1), *at = bytes + strlen(before);

    strcpy(bytes, before);
    for (int i = 0; i < count; i++, at += length)
        memcpy(at, more, length);
    strcpy(at, after);
    return (struct greedy){what, bytes, size + strlen(after), first, second};
}

START_TEST(oversized)
{
    struct greedy cases[] = {
        repeat("path", "GET /v2/models/", "a", 200, " HTTP/1.1\r\nHost: a\r\n\r\n", 404, 404),
        repeat("long path", "GET /", "a", 20000, " HTTP/1.1\r\nHost: a\r\n\r\n", 414, 431),
        repeat("longer path", "GET /", "a", 200000, " HTTP/1.1\r\nHost: a\r\n\r\n", 414, 0),
        repeat("method", "", "G", 100000, " / HTTP/1.1\r\nHost: a\r\n\r\n", 414, 0),
        repeat("header", GET "X: ", "a", 10000, "\r\n\r\n", 431, 431),
        repeat("long header", GET "X: ", "a", 300000, "\r\n\r\n", 431, 0),
        repeat("headers", GET, "X: a\r\n", 1000, "\r\n", 431, 431),
        repeat("many headers", GET, "X: a\r\n", 50000, "\r\n", 431, 0),
        repeat("cookies", GET "Cookie: ", "a=b; ", 1000, "\r\n\r\n", 431, 431),
        repeat("arguments", "GET /v2?", "a=b&", 1000, "x HTTP/1.1\r\nHost: a\r\n\r\n", 414, 414),
        repeat("body", POST "Content-Length: 200000\r\n\r\n", "a", 200000, "", 413, 413),
        repeat("announced", POST "Content-Length: 1000000000000\r\n\r\n", "a", 10, "", 413, 413),
        repeat("chunks", POST "Transfer-Encoding: chunked\r\n\r\n", "4\r\naaaa\r\n", 50000,
               "0\r\n\r\n", 413, 0),
        repeat("chunk", POST "Transfer-Encoding: chunked\r\n\r\nFFFFFF\r\n", "a", 0xFFFFFF,
               "\r\n0\r\n\r\n", 413, 0),
        repeat("trailers", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: a\r\n", 50000,
               "\r\n", 400, 431),
        repeat("depth", POST "Content-Length: 90000\r\n\r\n", "[", 90000, "", 400, 400),
        repeat("id", GET "X-Request-Id: ", "a", 2000, "\r\nConnection: close\r\n\r\n", 200, 200),
    };
    struct daemon d;

    daemon_start(&d,
                 (const char *const[]){"--max-body-bytes", "100000", "--max-header-bytes", "4096",
                                       "--header-timeout-ms", "1000", "--body-timeout-ms", "1000",
                                       "--idle-timeout-ms", "300", NULL});
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct answer answer = daemon_raw(&d, cases[i].bytes, cases[i].size);

        ck_assert_msg(answer.status == cases[i].first || answer.status == cases[i].second ||
                          answer.status == 0 || answer.status == 408,
                      "%s: %d %s", cases[i].what, answer.status, answer.body);
        answer_free(&answer);
        free(cases[i].bytes);
        expect_live(&d);
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* Heads that are too long, in two pieces: the library has an answer to the first, then forgets the
 * request. All of them end. */
START_TEST(oversized_in_pieces)
{
    static const int paths[] = {100, 3900, 4500, 5500, 6000, 7000}, counts[] = {0, 8, 30};
    static const size_t lasts[] = {2, 8, 12, 40, 200};
    struct daemon d;
    struct answer answer;
    int sent = 0, in_flight;

    daemon_start(&d, (const char *const[]){"--max-header-bytes", "4096", "--header-timeout-ms",
                                           "1000", NULL});
    for (size_t i = 0; i < 6 * 3 * 5; i++) {
        struct greedy path = repeat("", "GET /", "p", paths[i / 15], "?", 0, 0);
        struct greedy arguments =
            repeat("", path.bytes, "a=b&", 30, "x HTTP/1.1\r\nHost: a\r\n", 0, 0);
        struct greedy all =
            repeat("", arguments.bytes, "X: y\r\n", counts[i / 5 % 3], "\r\n", 0, 0);
        size_t first = all.size - lasts[i % 5];
        int fd = daemon_connect(&d);

        sent += send(fd, all.bytes, first, MSG_NOSIGNAL) == (ssize_t)first;
        expect_live(&d); /* it has been read, most likely */
        send(fd, all.bytes + first, all.size - first, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
        answer = daemon_read(fd);
        ck_assert_msg(answer.status == 0 || answer.status == 404 || answer.status == 408 ||
                          answer.status == 431,
                      "%zu: %d", i, answer.status);
        answer_free(&answer);
        close(fd);
        free(path.bytes);
        free(arguments.bytes);
        free(all.bytes);
    }
    ck_assert_int_eq(sent, 6 * 3 * 5);
    do { /* the last one may be about to end; the test's time is limited */
        answer = daemon_ask(&d, "GET", "/metrics", NULL, NULL, 0);
        in_flight = atoi(strstr(answer.body, "\nlqnet_http_requests_in_flight ") + 31);
        answer_free(&answer);
    } while (in_flight > 1);
    ck_assert_int_eq(in_flight, 1); /* this one */
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("hostile");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, slowloris);
    tcase_add_test(tests, more_connections_than_allowed);
    tcase_add_test(tests, slow_bodies);
    tcase_add_test(tests, never_reads);
    tcase_add_test(tests, half_closed);
    tcase_add_test(tests, resets);
    tcase_add_test(tests, pipelined);
    tcase_add_test(tests, smuggling);
    tcase_add_test(tests, plain_heads);
    tcase_add_test(tests, oversized);
    tcase_add_test(tests, oversized_in_pieces);
    return suite_main("hostile", tests);
}
