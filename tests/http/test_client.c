/* test_client.c - lqnet health and lqnet admin against a running daemon, and against servers that
 * misbehave.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/suite.h"
#include "support/tls.h"

#define TOKEN "admin-token-0123456789"

static char output[65536];

/* Exit status of lqnet ARGUMENTS; what it prints, on both streams, goes into `output`. */
static int run(const char *arguments)
{
    char command[1024];
    size_t got;
    FILE *pipe;
    int status;

    snprintf(command, sizeof(command), "%s %s 2>&1", getenv("LQNET"), arguments);
    pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    got = fread(output, 1, sizeof(output) - 1, pipe);
    output[got] = '\0';
    status = pclose(pipe);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

__attribute__((format(printf, 3, 4))) static void expect(int status, const char *says,
                                                         const char *format, ...)
{
    char arguments[512];
    va_list list;

    va_start(list, format);
    vsnprintf(arguments, sizeof(arguments), format, list);
    va_end(list);
    ck_assert_msg(run(arguments) == status, "%s: %s", arguments, output);
    ck_assert_msg(says[0] ? strstr(output, says) != NULL : !output[0], "%s: %s", arguments, output);
}

START_TEST(health)
{
    struct daemon d;

    daemon_start(&d, NULL);
    expect(0, "", "health http://127.0.0.1:%d", d.port);
    expect(0, "", "health http://127.0.0.1:%d/ --live", d.port);
    expect(0, "", "health unix:%s", d.admin);
    expect(1, "TLS", "health https://127.0.0.1:%d", d.port);
    ck_assert_int_eq(daemon_stop(&d), 0);
    expect(1, "Connection refused", "health http://127.0.0.1:%d", d.port);
    expect(1, "No such file", "health unix:%s", d.admin);
    daemon_start(&d, (const char *const[]){"--strict-readiness", "true", NULL});
    expect(1, "not ready (HTTP status 503)", "health http://127.0.0.1:%d", d.port);
    expect(0, "", "health http://127.0.0.1:%d --live", d.port);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(command_lines)
{
    static const char *const bad[] = {
        "health ftp://localhost",
        "health localhost",
        "health http://",
        "health http://user@localhost",
        "health http://localhost:",
        "health http://localhost:123456",
        "health 'http://local host'",
        "health http://localhost/path",
        "health unix:relative",
        "health --timeout 0 http://localhost",
        "admin",
        "admin restart",
        "admin index tiny",
        "admin load",
        "admin load ../tiny",
        "admin unload .hidden",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_msg(run(bad[i]) == 2 && strncmp(output, "lqnet: ", 7) == 0, "%s: %s", bad[i],
                      output);
}
END_TEST

START_TEST(admin)
{
    struct daemon d;

    daemon_start(&d, NULL);
    expect(0, "READY", "admin --url unix:%s index", d.admin);
    ck_assert_ptr_nonnull(strstr(output, "tiny"));
    ck_assert_ptr_nonnull(strstr(output, "UNAVAILABLE"));
    expect(0, "[{\"name\":", "admin --url unix:%s index --json", d.admin);
    expect(0, "", "admin --url unix:%s unload tiny", d.admin);
    for (int i = 0; i < 300 && !strstr(output, "tiny                             1        UNAVAIL");
         i++)
        expect(0, "UNAVAILABLE", "admin --url unix:%s index", d.admin);
    expect(0, "", "admin --url unix:%s load tiny", d.admin);
    expect(0, "READY", "admin --url unix:%s index", d.admin);
    expect(1, "HTTP status 404", "admin --url unix:%s load none", d.admin);
    expect(1, "HTTP status 4", "admin --url unix:%s load bad", d.admin);
    expect(1, "HTTP status 403", "admin --url http://127.0.0.1:%d load tiny", d.port);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(tokens_and_tls)
{
    char folder[] = "/tmp/lqnet-client-XXXXXX", tokens[64], token[64], cert[64], key[64];
    struct daemon d;
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(tokens, sizeof(tokens), "%s/tokens", folder);
    snprintf(token, sizeof(token), "%s/token", folder);
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    file = fopen(tokens, "w");
    fputs("ops admin,read " TOKEN "\n", file);
    fclose(file);
    chmod(tokens, 0600);
    file = fopen(token, "w");
    fputs(TOKEN "\n", file);
    fclose(file);
    tls_write(cert, key, 1);
    daemon_start(
        &d, (const char *const[]){"--tokens", tokens, "--tls-cert", cert, "--tls-key", key, NULL});
    expect(1, "HTTP status 401", "admin --url unix:%s load tiny", d.admin);
    expect(0, "", "admin --url unix:%s --token-file %s load tiny", d.admin, token);
    expect(0, "READY", "admin --url https://localhost:%d --ca %s --token-file %s index", d.port,
           cert, token);
    expect(0, "", "health https://localhost:%d --insecure", d.port);
    expect(1, "NOT trusted", "health https://localhost:%d", d.port);
    expect(1, "does not match", "health https://127.0.0.1:%d --ca %s", d.port, cert);
    expect(1, "no certificates in PEM", "health https://localhost:%d --ca %s", d.port, token);
    expect(1, "no token", "health unix:%s --token-file /dev/null", d.admin);
    ck_assert_int_eq(daemon_stop(&d), 0);
    unlink(tokens);
    unlink(token);
    unlink(cert);
    unlink(key);
    rmdir(folder);
}
END_TEST

/* Accepts once, says what it is given, and closes; NULL: says nothing for as long as it is asked.
 */
struct liar {
    int fd, port;
    const char *says;
    size_t size;
};

static void *liar_main(void *argument)
{
    struct liar *liar = argument;
    int fd = accept(liar->fd, NULL, NULL);
    char request[4096];

    ck_assert_int_gt(read(fd, request, sizeof(request)), 0);
    if (!liar->says)
        while (read(fd, request, sizeof(request)) > 0)
            ;
    for (size_t sent = 0; liar->says && sent < liar->size;) {
        ssize_t step = send(fd, liar->says + sent, liar->size - sent, MSG_NOSIGNAL);

        if (step <= 0)
            break;
        sent += (size_t)step;
    }
    shutdown(fd, SHUT_WR);
    while (read(fd, request, sizeof(request)) > 0)
        ;
    close(fd);
    return NULL;
}

static void lie(const char *says, size_t size, const char *complaint)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    struct liar liar = {.says = says, .size = size};
    pthread_t thread;

    liar.fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(liar.fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(liar.fd, 1), 0);
    getsockname(liar.fd, (struct sockaddr *)&address, &length);
    ck_assert_int_eq(pthread_create(&thread, NULL, liar_main, &liar), 0);
    expect(1, complaint, "health --timeout 1 http://127.0.0.1:%d", ntohs(address.sin_port));
    pthread_join(thread, NULL);
    close(liar.fd);
}

START_TEST(servers_that_misbehave)
{
    const size_t size = 20 << 20;
    char *endless = malloc(size);

    lie("", 0, "not in HTTP");
    lie("SSH-2.0-OpenSSH\r\n", 17, "not in HTTP");
    lie("HTTP/1.1 200 OK\r\n", 17, "not in HTTP");
    lie("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 40, "breaks off");
    lie("HTTP/1.1 404 Not Found\r\n\r\n", 26, "no server of ours (HTTP status 404)");
    lie(NULL, 0, "no reply in time");
    memset(endless, 'x', size);
    lie(endless, size, "too large");
    free(endless);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("client");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_test(tests, health);
    tcase_add_test(tests, command_lines);
    tcase_add_test(tests, admin);
    tcase_add_test(tests, tokens_and_tls);
    tcase_add_test(tests, servers_that_misbehave);
    return suite_main("client", tests);
}
