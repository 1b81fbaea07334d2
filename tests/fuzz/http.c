/* http.c - target: a whole daemon in this process, and one connection.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app.h"
#include "fuzz/targets.h"
#include "support/tiny_model.h"

static char folder[64] = "/tmp/lqnet-fuzz-XXXXXX";
static struct app app;

static void stop(void)
{
    char path[sizeof(folder) + 16];

    app_stop(&app);
    snprintf(path, sizeof(path), "%s/tiny.lq", folder);
    unlink(path);
    rmdir(folder);
}

static void set(const char *key, const char *value)
{
    struct lq_error error = {0};

    FUZZ_CHECK(config_set(&app.config, "fuzz", key, value, &error) == LQ_OK);
}

/* Answers on every route; the admin's included, over a socket of the file system. */
static const struct sockaddr_un *start(void)
{
    static struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct lq_error error = {0};
    char text[sizeof(folder) + 16];

    if (address.sun_path[0])
        return &address;
    FUZZ_CHECK(mkdtemp(folder));
    snprintf(text, sizeof(text), "%s/tiny.lq", folder);
    FUZZ_CHECK(tiny_model_write(text, &error) == LQ_OK);
    config_init(&app.config);
    set("listen", "127.0.0.1:0");
    set("models", folder);
    set("sandbox", "false");
    set("log_level", "error");
    set("workers", "1");
    set("max_header_bytes", "4096");
    set("max_body_bytes", "65536");
    set("header_timeout_ms", "300"); /* what a request without its end may cost */
    set("body_timeout_ms", "300");
    set("idle_timeout_ms", "300");
    snprintf(text, sizeof(text), "unix:%s/s", folder);
    set("admin_listen", text);
    FUZZ_CHECK(app_start(&app, &error) == LQ_OK);
    atexit(stop);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
    return &address;
}

/* Reads until the server closes; it must, for it knows that nothing more will come. */
static void read_all(int fd)
{
    char bytes[4096], first[8] = "";
    size_t length = 0;
    ssize_t got;

    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int count;

        do /* libFuzzer has an alarm every few seconds */
            count = poll(&ready, 1, 20000);
        while (count < 0 && errno == EINTR);
        FUZZ_CHECK(count > 0);
        got = read(fd, bytes, sizeof(bytes));
        if (got <= 0)
            break;
        for (ssize_t i = 0; i < got && length < 7; i++)
            first[length++] = bytes[i];
    }
    FUZZ_CHECK(length == 0 || strncmp(first, "HTTP/1.", length) == 0);
}

void fuzz_http(const uint8_t *bytes, size_t size)
{
    const struct sockaddr_un *address = start();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    FUZZ_CHECK(fd >= 0 &&
               connect(fd, (const struct sockaddr *)(const void *)address, sizeof(*address)) == 0);
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, bytes + at, size - at, MSG_NOSIGNAL);

        if (sent <= 0)
            break;
        at += (size_t)sent;
    }
    shutdown(fd, SHUT_WR);
    read_all(fd);
    close(fd);
}
