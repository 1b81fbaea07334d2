/* test_admin.c - the admin's side: its listener, tokens, scopes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/daemon.h"
#include "support/suite.h"

#define READER "reader-token-0123456789"
#define CALLER "caller-token-0123456789"
#define ADMIN  "admin-token-0123456789"

static const char token_lines[] =
    "reader read " READER "\ncaller infer " CALLER "\nadmin admin,read,infer " ADMIN "\n";
static const char load[] = "/v2/repository/models/tiny/load";

static char tokens[64];

static void write_tokens(const char *text)
{
    FILE *file = fopen(tokens, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    chmod(tokens, 0600);
}

static void setup(void)
{
    snprintf(tokens, sizeof(tokens), "/tmp/lqnetd-tokens-XXXXXX");
    close(mkstemp(tokens));
    write_tokens(token_lines);
}

static void teardown(void)
{
    unlink(tokens);
}

static int status_of(struct answer answer)
{
    int status = answer.status;

    answer_free(&answer);
    return status;
}

static struct answer ask_over(int fd, const char *method, const char *path, const char *token)
{
    char bytes[1024];

    snprintf(bytes, sizeof(bytes),
             "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s%s%sContent-Length: 0\r\n\r\n",
             method, path, token ? "Authorization: Bearer " : "", token ? token : "",
             token ? "\r\n" : "");
    return daemon_raw_over(fd, bytes, strlen(bytes));
}

static int ask(const struct daemon *d, const char *method, const char *path, const char *token)
{
    return status_of(ask_over(daemon_connect(d), method, path, token));
}

static int ask_admin(const struct daemon *d, const char *method, const char *path,
                     const char *token)
{
    return status_of(ask_over(daemon_connect_admin(d), method, path, token));
}

START_TEST(without_tokens)
{
    struct daemon d;
    struct stat stat_now;

    daemon_start(&d, NULL);
    ck_assert_int_eq(stat(d.admin, &stat_now), 0);
    ck_assert_int_eq(stat_now.st_mode & 0777, 0600);
    ck_assert_int_eq(ask(&d, "GET", "/v2", NULL), 200);
    ck_assert_int_eq(ask(&d, "GET", "/metrics", NULL), 200);
    ck_assert_int_eq(ask(&d, "POST", load, NULL), 403); /* not at the public address */
    ck_assert_int_eq(ask_admin(&d, "GET", "/v2", NULL), 200);
    ck_assert_int_eq(ask_admin(&d, "GET", "/v2/models/tiny", NULL), 200);
    ck_assert_int_eq(ask_admin(&d, "GET", "/metrics", NULL), 200);
    ck_assert_int_eq(ask_admin(&d, "POST", load, NULL), 200); /* the file system guards it */
    ck_assert_int_eq(daemon_stop(&d), 0);
    ck_assert_int_ne(stat(d.admin, &stat_now), 0);
}
END_TEST

/* Finds the port of the line "listening_admin" in the log. */
static int admin_port(const struct daemon *d)
{
    char line[1024];
    size_t length = 0;
    const char *port;

    while (length + 1 < sizeof(line) && read(d->log, line + length, 1) == 1 && line[length] != '\n')
        length++;
    line[length] = '\0';
    ck_assert_ptr_nonnull(strstr(line, "\"listening_admin\",\"address\":\"127.0.0.1\""));
    port = strstr(line, "\"port\":");
    ck_assert_ptr_nonnull(port);
    return atoi(port + strlen("\"port\":"));
}

static int ask_port(int port, const char *method, const char *path, const char *token)
{
    struct daemon other = {.port = port};

    return ask(&other, method, path, token);
}

/* No password by default: what an admin may do cannot be done at an address without tokens. */
START_TEST(an_address_without_tokens)
{
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--admin-listen", "0", NULL}); /* a port of 127.0.0.1 */
    int port = admin_port(&d);
    ck_assert_int_eq(ask_port(port, "GET", "/v2/health/ready", NULL), 200);
    ck_assert_int_eq(ask_port(port, "POST", "/v2/repository/index", NULL), 200);
    ck_assert_int_eq(ask_port(port, "POST", load, NULL), 403);
    ck_assert_int_eq(ask_port(port, "POST", load, ADMIN), 403);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

START_TEST(with_tokens)
{
    struct daemon d;
    struct answer answer;

    daemon_start(&d,
                 (const char *const[]){"--tokens", tokens, "--admin-listen", "127.0.0.1:0", NULL});
    int port = admin_port(&d);
    ck_assert_int_eq(ask(&d, "GET", "/v2/health/live", NULL), 200);
    ck_assert_int_eq(ask(&d, "GET", "/v2/health/ready", NULL), 200);
    ck_assert_int_eq(ask(&d, "GET", "/v2", NULL), 401);
    ck_assert_int_eq(ask(&d, "GET", "/metrics", NULL), 401);
    ck_assert_int_eq(ask(&d, "GET", "/metrics", READER), 200);
    ck_assert_int_eq(ask(&d, "GET", "/metrics", CALLER), 403);
    ck_assert_int_eq(ask(&d, "POST", "/v2/models/tiny/infer", READER), 403);
    ck_assert_int_eq(ask(&d, "POST", "/v2/models/tiny/infer", CALLER), 400); /* it is empty */
    ck_assert_int_eq(ask(&d, "POST", load, ADMIN), 403); /* not at the public address */
    ck_assert_int_eq(ask_port(port, "POST", load, NULL), 401);
    ck_assert_int_eq(ask_port(port, "POST", load, READER), 403);
    ck_assert_int_eq(ask_port(port, "POST", load, "no-token-of-ours-0123"), 401);
    ck_assert_int_eq(ask_port(port, "POST", load, ADMIN), 200);
    ck_assert_int_eq(ask_port(port, "POST", "/v2/models/tiny/infer", CALLER), 400);
    answer = ask_over(daemon_connect(&d), "GET", "/v2", NULL);
    ck_assert_ptr_nonnull(strstr(answer.head, "WWW-Authenticate: Bearer realm=\"lqnet\""));
    ck_assert_ptr_null(strstr(answer.head, "invalid_token"));
    ck_assert_ptr_nonnull(strstr(answer.body, "{\"error\":"));
    answer_free(&answer);
    answer = ask_over(daemon_connect(&d), "GET", "/v2", "x");
    ck_assert_ptr_nonnull(strstr(answer.head, "error=\"invalid_token\""));
    answer_free(&answer);
    answer = ask_over(daemon_connect(&d), "GET", "/v2", CALLER);
    ck_assert_int_eq(answer.status, 403);
    ck_assert_ptr_nonnull(strstr(answer.head, "error=\"insufficient_scope\", scope=\"read\""));
    answer_free(&answer);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* With tokens, the socket of the file system asks for them as well; a changed file counts. */
START_TEST(changed_tokens)
{
    struct daemon d;
    int status = 401;

    daemon_start(&d, (const char *const[]){"--tokens", tokens, NULL});
    ck_assert_int_eq(ask_admin(&d, "POST", load, NULL), 401);
    ck_assert_int_eq(ask_admin(&d, "POST", load, ADMIN), 200);
    write_tokens("admin admin another-token-0123456789\n");
    for (int i = 0; i < 300 && status != 200; i++) {
        usleep(10000);
        status = ask_admin(&d, "POST", load, "another-token-0123456789");
    }
    ck_assert_int_eq(status, 200);
    ck_assert_int_eq(ask_admin(&d, "POST", load, ADMIN), 401);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* What the log says of tokens: names, never what they are. */
START_TEST(tokens_are_not_logged)
{
    struct daemon d;
    char bytes[65536];
    size_t got = 0;
    ssize_t piece;

    daemon_start(&d, (const char *const[]){"--tokens", tokens, NULL});
    ck_assert_int_eq(ask(&d, "GET", "/v2", READER), 200);
    ck_assert_int_eq(ask(&d, "GET", "/v2", "wrong-token-0123456789"), 401);
    kill(d.pid, SIGTERM);
    while ((piece = read(d.log, bytes + got, sizeof(bytes) - 1 - got)) > 0)
        got += (size_t)piece;
    bytes[got] = '\0';
    ck_assert_ptr_nonnull(strstr(bytes, "\"token\":\"reader\""));
    ck_assert_ptr_null(strstr(bytes, "token-0123456789"));
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A refused upload is read away, and the connection lives; a client that asks first is not asked
 * for its body. */
START_TEST(refused_uploads)
{
    struct daemon d;
    const size_t size = 4000000;
    char *large = malloc(size + 1024);
    static const char asks[] = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                               "Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n";
    struct answer answer;

    daemon_start(&d, (const char *const[]){"--tokens", tokens, NULL});
    int head = snprintf(large, 1024,
                        "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: a\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        size);
    memset(large + head, 'x', size);
    answer = daemon_raw(&d, large, (size_t)head + size);
    ck_assert_int_eq(answer.status, 401);
    answer_free(&answer);
    answer = daemon_raw(&d, asks, strlen(asks));
    ck_assert_int_eq(answer.status, 401);
    answer_free(&answer);
    ck_assert_int_eq(ask(&d, "GET", "/v2", READER), 200);
    ck_assert_int_eq(daemon_stop(&d), 0);
    free(large);
}
END_TEST

START_TEST(refused_settings)
{
    char text[4096], *program = getenv("LQNETD"), in_use[96];
    struct daemon d;
    struct {
        char *key, *value;
        int status;
        const char *says;
    } cases[] = {
        {"--tokens", "/nonexistent", 1, "/nonexistent: No such file"},
        {"--tokens", tokens, 1, "others may use it"},
        {"--admin-listen", "nonsense", 2, "admin_listen"},
        {"--admin-listen", "unix:relative", 2, "starts with /"},
        {"--admin-listen", "unix:/nonexistent/socket", 1, "unix:/nonexistent/socket: No such"},
        {"--admin-listen", "99999", 2, "PORT 0..65535"},
        {"--admin-listen", in_use, 1, "in use"},
    };

    daemon_start(&d, NULL);
    snprintf(in_use, sizeof(in_use), "unix:%s", d.admin);
    chmod(tokens, 0604);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *words[] = {program,  "--listen",   "127.0.0.1:0",  "--models",
                         d.folder, cases[i].key, cases[i].value, NULL};

        ck_assert_int_eq(daemon_run(words, text, sizeof(text)), cases[i].status);
        ck_assert_msg(strstr(text, cases[i].says), "%s: %s", cases[i].value, text);
    }
    ck_assert_int_eq(ask_admin(&d, "GET", "/v2", NULL), 200); /* nobody took its socket away */
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

/* A socket that a crash left behind does not keep the next daemon from starting. */
START_TEST(a_socket_left_behind)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[64], value[96];
    struct daemon d;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(path, sizeof(path), "/tmp/lqnetd-left-%d", (int)getpid());
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
    snprintf(value, sizeof(value), "unix:%s", path);
    daemon_start(&d, (const char *const[]){"--admin-listen", value, NULL});
    snprintf(d.admin, sizeof(d.admin), "%s", path);
    ck_assert_int_eq(ask_admin(&d, "GET", "/v2", NULL), 200);
    ck_assert_int_eq(daemon_stop(&d), 0);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("admin");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, without_tokens);
    tcase_add_test(tests, an_address_without_tokens);
    tcase_add_test(tests, with_tokens);
    tcase_add_test(tests, changed_tokens);
    tcase_add_test(tests, tokens_are_not_logged);
    tcase_add_test(tests, refused_uploads);
    tcase_add_test(tests, refused_settings);
    tcase_add_test(tests, a_socket_left_behind);
    return suite_main("admin", tests);
}
