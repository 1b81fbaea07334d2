/* daemon.c - a lqnetd to test: started on a free port, asked, stopped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/daemon.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/tiny_model.h"

enum { MAX_ARGUMENTS = 32, ROOM = 1 << 20 };

static void write_models(const char *folder)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/tiny.lq", folder);
    ck_assert_int_eq(tiny_model_write(path, NULL), 0);
    snprintf(path, sizeof(path), "%s/bad.lq", folder);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("no model", file);
    fclose(file);
}

/* The line "listening" names the port; those before it are about models. */
static int read_port(int log)
{
    char line[1024];
    const char *port;

    do {
        size_t length = 0;

        while (length + 1 < sizeof(line) && read(log, line + length, 1) == 1 &&
               line[length] != '\n')
            length++;
        line[length] = '\0';
        ck_assert_msg(length > 0, "it ended before it listened");
        port = strstr(line, "\"port\":");
    } while (!port);
    return atoi(port + strlen("\"port\":"));
}

void daemon_start(struct daemon *daemon, const char *const *arguments)
{
    /* nobody reads it while the daemon runs: room for thousands of requests */
    daemon_start_with_pipe(daemon, arguments, 1 << 20);
}

static void make_folder(struct daemon *daemon)
{
    snprintf(daemon->folder, sizeof(daemon->folder), "/tmp/lqnetd-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(daemon->folder));
    chmod(daemon->folder, 0755); /* for a daemon of another user */
    snprintf(daemon->admin, sizeof(daemon->admin), "%s.admin", daemon->folder);
    write_models(daemon->folder);
}

void daemon_start_with_pipe(struct daemon *daemon, const char *const *arguments, int size)
{
    make_folder(daemon);
    daemon_start_again(daemon, arguments, size);
}

void daemon_start_again(struct daemon *daemon, const char *const *arguments, int size)
{
    const char *program = getenv("LQNETD");
    char admin[96];
    const char *words[MAX_ARGUMENTS] = {program,    "--listen",       "127.0.0.1:0",
                                        "--models", daemon->folder,   "--strict-readiness",
                                        "false",    "--admin-listen", admin};
    int count = 9, ends[2];

    ck_assert_msg(program, "LQNETD names no program");
    snprintf(admin, sizeof(admin), "unix:%s", daemon->admin);
    while (arguments && *arguments && count < MAX_ARGUMENTS - 1)
        words[count++] = *arguments++;
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, size), size);
    daemon->pid = fork();
    if (daemon->pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(program, (char *const *)words);
        _exit(127);
    }
    close(ends[1]);
    daemon->log = ends[0];
    daemon->port = read_port(daemon->log);
    ck_assert_int_gt(daemon->port, 0);
}

void daemon_kill(struct daemon *daemon)
{
    kill(daemon->pid, SIGKILL);
    waitpid(daemon->pid, NULL, 0);
    close(daemon->log);
}

int daemon_end(struct daemon *daemon)
{
    char last[1 << 14] = "";
    size_t length = 0;
    ssize_t step;
    int status = -1;

    kill(daemon->pid, SIGTERM);
    while ((step = read(daemon->log, last + length, sizeof(last) - 1 - length)) > 0) {
        length += (size_t)step; /* until it has ended; the end of the log is kept */
        if (length > sizeof(last) / 2) {
            memmove(last, last + length - sizeof(last) / 4, sizeof(last) / 4);
            length = sizeof(last) / 4;
        }
    }
    last[length] = '\0';
    close(daemon->log);
    waitpid(daemon->pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fprintf(stderr, "the daemon ended with status %#x; its last words:\n%s\n", status, last);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int daemon_stop(struct daemon *daemon)
{
    const char *const files[] = {"tiny.lq", "bad.lq"};
    char path[128];
    int status = daemon_end(daemon);

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", daemon->folder, files[i]);
        unlink(path);
    }
    rmdir(daemon->folder);
    return status;
}

int daemon_run(char *const *words, char *ret_text, size_t size)
{
    int ends[2], status;
    size_t got = 0;
    ssize_t piece;

    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        execv(words[0], words);
        _exit(127);
    }
    close(ends[1]);
    while ((piece = read(ends[0], ret_text + got, size - 1 - got)) > 0)
        got += (size_t)piece;
    ret_text[got] = '\0';
    close(ends[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int daemon_connect(const struct daemon *daemon)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)daemon->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int daemon_connect_admin(const struct daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon->admin);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Length of the body that the head announces; 0 where it names none. */
static size_t announced(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length:");

    return line ? strtoul(line + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

struct answer daemon_read(int fd)
{
    struct answer answer = {0};
    char *bytes = calloc(1, ROOM);
    size_t got = 0;
    char *end = NULL;

    ck_assert_ptr_nonnull(bytes);
    while (got + 1 < ROOM) {
        end = strstr(bytes, "\r\n\r\n");
        if (end && got >= (size_t)(end + 4 - bytes) + announced(bytes))
            break;
        ssize_t piece = read(fd, bytes + got, ROOM - 1 - got);
        if (piece <= 0)
            break;
        got += (size_t)piece;
        bytes[got] = '\0';
    }
    answer.head = bytes;
    answer.body = bytes + got;
    if (!end || sscanf(bytes, "HTTP/1.1 %d", &answer.status) != 1)
        return answer;
    *end = '\0';
    answer.body = end + 4;
    answer.body_size = got - (size_t)(answer.body - bytes);
    return answer;
}

struct answer daemon_raw_over(int fd, const void *bytes, size_t size)
{
    size_t sent = 0;

    while (sent < size) {
        ssize_t piece = send(fd, (const char *)bytes + sent, size - sent, MSG_NOSIGNAL);

        if (piece <= 0)
            break; /* refused early: the reply says why */
        sent += (size_t)piece;
    }
    struct answer answer = daemon_read(fd);
    close(fd);
    return answer;
}

struct answer daemon_raw(const struct daemon *daemon, const void *bytes, size_t size)
{
    return daemon_raw_over(daemon_connect(daemon), bytes, size);
}

struct answer daemon_ask(const struct daemon *daemon, const char *method, const char *path,
                         const char *type, const void *body, size_t size)
{
    char *bytes = malloc(size + 1024);
    int head = snprintf(bytes, 1024,
                        "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%s%s%s"
                        "Content-Length: %zu\r\n\r\n",
                        method, path, type ? "Content-Type: " : "", type ? type : "",
                        type ? "\r\n" : "", size);

    ck_assert_int_lt(head, 1024);
    if (size)
        memcpy(bytes + head, body, size);
    struct answer answer = daemon_raw(daemon, bytes, (size_t)head + size);
    free(bytes);
    return answer;
}

struct answer daemon_ask_admin(const struct daemon *daemon, const char *method, const char *path,
                               const char *headers, const char *body)
{
    char bytes[4096];
    int length =
        snprintf(bytes, sizeof(bytes),
                 "%s %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n%s"
                 "Content-Length: %zu\r\n\r\n%s",
                 method, path, headers ? headers : "", body ? strlen(body) : 0, body ? body : "");

    ck_assert_int_lt(length, sizeof(bytes));
    return daemon_raw_over(daemon_connect_admin(daemon), bytes, (size_t)length);
}

void answer_free(struct answer *answer)
{
    free(answer->head);
    *answer = (struct answer){0};
}
