/* test_tls.c - TLS: its versions, its certificate, which changes while connections live, and peers
 * that do not speak it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/prometheus.h"
#include "support/suite.h"
#include "support/tls.h"

#define ALL "NORMAL"

static char folder[64], cert[80], key[80], other[80];
static struct daemon d;

static void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/lqnetd-tls-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(other, sizeof(other), "%s/other.pem", folder);
    tls_write(cert, other, 9);
    tls_write(cert, key, 1);
}

static void teardown(void)
{
    unlink(cert);
    unlink(key);
    unlink(other);
    rmdir(folder);
}

static void start(const char *more, const char *value)
{
    daemon_start(&d,
                 (const char *const[]){"--tls-cert", cert, "--tls-key", key, more, value, NULL});
}

static const char get[] = "GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n";

/* The status of one request on a connection that may go on. */
static int get_over(struct tls *tls)
{
    struct answer answer = tls_ask(tls, get, strlen(get));
    int status = answer.status;

    answer_free(&answer);
    return status;
}

/* Serial number that a new connection is shown; -1: none. */
static int serial(void)
{
    struct tls *tls = tls_open(d.port, ALL);
    int number = tls ? tls_serial(tls) : -1;

    if (tls)
        tls_close(tls);
    return number;
}

START_TEST(requests)
{
    char *infer = malloc(4096);
    struct tls *tls;
    struct answer answer;
    int head, length;

    start(NULL, NULL);
    tls = tls_open(d.port, ALL);
    ck_assert_ptr_nonnull(tls);
    ck_assert_int_eq(tls_serial(tls), 1);
    ck_assert_int_eq(get_over(tls), 200);
    ck_assert_int_eq(get_over(tls), 200); /* the connection goes on */
    length = snprintf(infer + 200, 3800,
                      "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,3,8,8],"
                      "\"data\":[0");
    for (int i = 1; i < 192; i++)
        length += snprintf(infer + 200 + length, 3800 - (size_t)length, ",0.5");
    length += snprintf(infer + 200 + length, 3800 - (size_t)length, "]}]}");
    head = snprintf(infer, 200,
                    "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                    length);
    memmove(infer + head, infer + 200, (size_t)length);
    for (int i = 0; i < 20; i++) { /* suspended, and resumed by a worker */
        answer = tls_ask(tls, infer, (size_t)(head + length));
        ck_assert_msg(answer.status == 200, "%s", answer.body);
        ck_assert_ptr_nonnull(strstr(answer.body, "\"outputs\""));
        answer_free(&answer);
    }
    tls_close(tls);
    free(infer);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(versions)
{
    static const struct {
        const char *priorities;
        bool fine;
    } cases[] = {
        {"NORMAL:-VERS-ALL:+VERS-TLS1.3", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.2", true},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.1", false},
        {"NORMAL:-VERS-ALL:+VERS-TLS1.0", false},
    };

    start(NULL, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct tls *tls = tls_open(d.port, cases[i].priorities);

        ck_assert_msg(!tls == !cases[i].fine, "%s", cases[i].priorities);
        if (tls) {
            ck_assert_int_eq(get_over(tls), 200);
            tls_close(tls);
        }
    }
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

static atomic_bool done;
static atomic_int failures, served;

/* Connections, one after the other, while the certificate changes. */
static void *client_main(void *unused)
{
    while (!atomic_load(&done)) {
        struct tls *tls = tls_open(d.port, ALL);

        if (!tls || get_over(tls) != 200)
            atomic_fetch_add(&failures, 1);
        else
            atomic_fetch_add(&served, 1);
        if (tls)
            tls_close(tls);
    }
    return unused;
}

static void wait_for_serial(int number)
{
    for (int i = 0; i < 500 && serial() != number; i++)
        usleep(10000);
    ck_assert_int_eq(serial(), number);
}

/* SIGHUP: new connections get the new certificate, none is dropped, those that are there live on.
 */
START_TEST(a_new_certificate)
{
    enum { CLIENTS = 2 };
    pthread_t clients[CLIENTS];
    struct tls *old;

    start("--idle-timeout-ms", "600000");
    old = tls_open(d.port, ALL);
    ck_assert_ptr_nonnull(old);
    ck_assert_int_eq(get_over(old), 200);
    for (int i = 0; i < CLIENTS; i++)
        ck_assert_int_eq(pthread_create(&clients[i], NULL, client_main, NULL), 0);
    for (unsigned char number = 2; number < 12; number++) {
        tls_write(cert, key, number);
        kill(d.pid, SIGHUP);
        wait_for_serial(number);
    }
    atomic_store(&done, true);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    ck_assert_int_eq(atomic_load(&failures), 0);
    ck_assert_int_gt(atomic_load(&served), 0);
    ck_assert_int_eq(get_over(old), 200);
    tls_close(old);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

static double metric(const char *name)
{
    struct tls *tls = tls_open(d.port, ALL);
    static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    struct answer answer = tls_ask(tls, ask, strlen(ask));
    double number = prometheus_value(answer.body, name);

    answer_free(&answer);
    tls_close(tls);
    return number;
}

/* A key that does not belong to it, or no PEM at all: the old certificate stays. */
START_TEST(a_wrong_certificate)
{
    start(NULL, NULL);
    ck_assert_int_eq(rename(other, key), 0);
    kill(d.pid, SIGHUP);
    for (int i = 0; i < 500 && metric("lqnet_config_reload_failures_total") < 1; i++)
        usleep(10000);
    ck_assert(metric("lqnet_config_reload_failures_total") == 1);
    ck_assert(metric("lqnet_config_reloads_total") == 0);
    ck_assert_int_eq(serial(), 1);
    ck_assert(metric("lqnet_tls_certificate_expiry_time_seconds") > 1e9);
    tls_write(cert, key, 7);
    kill(d.pid, SIGHUP);
    wait_for_serial(7);
    ck_assert(metric("lqnet_config_reloads_total") == 1);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* Plain HTTP, noise, a hello that breaks off or never ends: closed without a reply. */
START_TEST(peers_that_speak_no_tls)
{
    static const char *const noise[] = {
        "GET /v2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "\x16\x03\x01\xff\xff\x01\xff\xff\xff",
        "\x16\x03\x01",
        "\x80\x2e\x01\x03\x01",
        "",
    };

    start("--header-timeout-ms", "1000");
    for (size_t i = 0; i < sizeof(noise) / sizeof(*noise); i++) {
        struct answer answer = daemon_raw(&d, noise[i], strlen(noise[i]));

        ck_assert_int_eq(answer.status, 0);
        ck_assert_ptr_null(strstr(answer.head, "HTTP/"));
        answer_free(&answer);
    }
    wait_for_serial(1);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* The admin's address speaks it too, a socket of the file system does not. */
START_TEST(the_admins_address)
{
    char line[2048];
    size_t length;
    const char *port;
    struct tls *tls;

    start("--admin-listen", "0");
    for (length = 0; read(d.log, line + length, 1) == 1 && line[length] != '\n'; length++)
        ck_assert_uint_lt(length + 2, sizeof(line));
    line[length] = '\0';
    port = strstr(line, "\"port\":");
    ck_assert_msg(port && strstr(line, "listening_admin"), "%s", line);
    tls = tls_open(atoi(port + strlen("\"port\":")), ALL);
    ck_assert_ptr_nonnull(tls);
    ck_assert_int_eq(get_over(tls), 200);
    tls_close(tls);
    ck_assert_int_eq(daemon_stop(&d), 0);
    start(NULL, NULL);
    struct answer answer = daemon_ask_admin(&d, "GET", "/v2", NULL, NULL);
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(refused_files)
{
    char text[4096], *program = getenv("LQNETD");
    struct {
        char *cert, *key;
        int status;
        const char *says;
    } cases[] = {
        {cert, "/nonexistent", 1, "tls_key /nonexistent: it cannot be read"},
        {"/nonexistent", key, 1, "tls_cert /nonexistent: it cannot be read"},
        {key, key, 1, "no certificates in PEM"},
        {cert, cert, 1, "no private key in PEM"},
        {cert, other, 1, "does not belong to tls_cert"},
        {cert, "", 2, "tls_cert is set, but tls_key is not"},
        {"", key, 2, "tls_key is set, but tls_cert is not"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *words[] = {program,      "--listen",    "127.0.0.1:0", "--models",   folder,
                         "--tls-cert", cases[i].cert, "--tls-key",   cases[i].key, NULL};

        ck_assert_int_eq(daemon_run(words, text, sizeof(text)), cases[i].status);
        ck_assert_msg(strstr(text, cases[i].says), "%s", text);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("tls");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, requests);
    tcase_add_test(tests, versions);
    tcase_add_test(tests, a_new_certificate);
    tcase_add_test(tests, a_wrong_certificate);
    tcase_add_test(tests, peers_that_speak_no_tls);
    tcase_add_test(tests, the_admins_address);
    tcase_add_test(tests, refused_files);
    return suite_main("tls", tests);
}
