/* test_jobs.c - fine-tuning a model that serves: states, rights, events, ends of every kind.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "clock.h"
#include "support/daemon.h"
#include "support/suite.h"
#include "support/tar_forge.h"

enum { PICTURES = 300, LOG_PIPE = 1 << 20 };

static char base[64]; /* a folder for state and data */
static char state[80], data[80];

static void run(const char *format, const char *a)
{
    char command[300];

    snprintf(command, sizeof(command), format, a);
    ck_assert_int_eq(system(command), 0);
}

/* ------------------------------------------------------------------------------------------------
 * Pictures
 */

/* A picture of one colour and some noise, another for each seed. */
static unsigned char *make_jpeg(int seed, unsigned long *ret_size)
{
    unsigned char pixels[8 * 8 * 3], *jpeg = NULL;
    unsigned random = (unsigned)seed * 2654435761u + 1;
    tjhandle encoder = tjInitCompress();

    for (size_t i = 0; i < sizeof(pixels); i++) {
        random = random * 1664525u + 1013904223u;
        pixels[i] = (unsigned char)((unsigned)seed * 37u * (1 + i % 3) + (random >> 26));
    }
    ck_assert_int_eq(
        tjCompress2(encoder, pixels, 8, 0, 8, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 95, 0), 0);
    tjDestroy(encoder);
    return jpeg;
}

static void setup(void)
{
    char path[160];

    snprintf(base, sizeof(base), "/tmp/lqnetd-jobs-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    chmod(base, 0755);
    snprintf(state, sizeof(state), "%s/state", base);
    snprintf(data, sizeof(data), "%s/data", base);
    mkdir(data, 0755);
    snprintf(path, sizeof(path), "%s/set", data);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/set/cat", data);
    mkdir(path, 0755);
    for (int i = 0; i < PICTURES; i++) {
        unsigned long size;
        unsigned char *jpeg = make_jpeg(i, &size);
        FILE *file;

        snprintf(path, sizeof(path), "%s/set/cat/%03d.jpg", data, i);
        file = fopen(path, "w");
        ck_assert_ptr_nonnull(file);
        fwrite(jpeg, 1, size, file);
        fclose(file);
        tjFree(jpeg);
    }
}

static void teardown(void)
{
    run("rm -rf %s", base);
}

/* Without labels: what counts is whether both networks agree. */
static struct archive make_tar(void)
{
    struct archive archive = {NULL, 0};

    for (int i = 0; i < PICTURES; i++) {
        unsigned long size;
        unsigned char *jpeg = make_jpeg(i, &size);
        char name[32];

        snprintf(name, sizeof(name), "./%03d.jpg", i);
        tar_forge_add(&archive, name, '0', jpeg, size);
        tjFree(jpeg);
    }
    return archive;
}

/* ------------------------------------------------------------------------------------------------
 * The daemon
 */

static const char *const *arguments(const char *key, const char *value)
{
    static const char *words[12];
    int count = 0;

    words[count++] = "--state";
    words[count++] = state;
    words[count++] = "--data-root";
    words[count++] = data;
    if (key) {
        words[count++] = key;
        words[count++] = value;
    }
    words[count] = NULL;
    return words;
}

static void stop(struct daemon *d)
{
    ck_assert_int_eq(daemon_stop(d), 0);
    run("rm -rf %s", d->folder);
}

/* At the admin's socket; text NULL: any. The body, valid until the next call. */
static const char *expect(const struct daemon *d, const char *method, const char *path,
                          const char *body, int status, const char *text)
{
    static struct answer answer;

    answer_free(&answer);
    answer = daemon_ask_admin(d, method, path, NULL, body);
    ck_assert_msg(answer.status == status, "%s %s: %d %s", method, path, answer.status,
                  answer.body);
    ck_assert_msg(!text || strstr(answer.body, text), "%s %s: %s", method, path, answer.body);
    return answer.body;
}

/* Hears a job's events until it ends; free it. */
static char *hear(const struct daemon *d, int job)
{
    char request[160], *heard = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&heard, &size);
    int fd = daemon_connect_admin(d);
    char piece[4096];
    ssize_t got;

    snprintf(request, sizeof(request),
             "GET /admin/jobs/%d/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", job);
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while ((got = recv(fd, piece, sizeof(piece), 0)) > 0)
        fwrite(piece, 1, (size_t)got, text);
    fclose(text);
    close(fd);
    return heard;
}

static void await_end(const struct daemon *d, int job, const char *wanted)
{
    char path[64], text[64], *heard = hear(d, job);

    snprintf(path, sizeof(path), "/admin/jobs/%d", job);
    snprintf(text, sizeof(text), "\"state\":\"%s\"", wanted);
    expect(d, "GET", path, NULL, 200, text);
    ck_assert_msg(strstr(heard, "event: end") && strstr(heard, text), "%s", heard);
    free(heard);
}

#define ANY  "\"guard\":{\"hold_out\":2,\"bound\":100}"
#define TASK "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"}," ANY "}"
#define TUNE "/admin/models/tiny/finetune"
/* Goes on until it is ended: its candidate waits for live pictures that nobody sends. */
#define SLOW                                                                                       \
    "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"},\"guard\":{\"hold_out\":2,\"bound\":"   \
    "100,"                                                                                         \
    "\"canary\":{\"images\":1000,\"seconds\":3600}}}"

static struct answer upload(const struct daemon *d, const char *path, const char *type,
                            const void *body, size_t size)
{
    char *bytes = malloc(size + 512);
    int head = snprintf(bytes, 512,
                        "POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                        "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                        path, type, size);
    struct answer answer;

    memcpy(bytes + head, body, size);
    answer = daemon_raw_over(daemon_connect_admin(d), bytes, (size_t)head + size);
    free(bytes);
    return answer;
}

/* The generation that answers a picture, and what it says. */
static unsigned long long classify(const struct daemon *d, const unsigned char *jpeg,
                                   unsigned long size, char *ret_body, size_t room)
{
    struct answer answer =
        daemon_ask(d, "POST", "/v2/models/tiny/classify", "image/jpeg", jpeg, size);
    unsigned long long generation;
    const char *header;

    ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
    header = strstr(answer.head, "X-Model-Generation: ");
    ck_assert_ptr_nonnull(header);
    generation = strtoull(header + strlen("X-Model-Generation: "), NULL, 10);
    snprintf(ret_body, room, "%s", answer.body);
    answer_free(&answer);
    return generation;
}

/* ------------------------------------------------------------------------------------------------
 * A job's life
 */

START_TEST(published_rolled_back_kept)
{
    struct archive tar = make_tar();
    unsigned long size;
    unsigned char *jpeg = make_jpeg(1, &size);
    char before[1000], after[1000], again[1000], *heard;
    struct answer answer;
    struct daemon d;
    unsigned long long first, second;

    daemon_start(&d, arguments(NULL, NULL));
    answer =
        upload(&d, "/admin/models/tiny/uploads/week-7", "application/x-tar", tar.bytes, tar.size);
    ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"files\":300,\"labelled\":false"));
    answer_free(&answer);
    first = classify(&d, jpeg, size, before, sizeof(before));
    answer = daemon_ask_admin(&d, "POST", TUNE, NULL,
                              "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"week-7\"}," ANY "}");
    ck_assert_msg(answer.status == 202, "%d %s", answer.status, answer.body);
    ck_assert_ptr_nonnull(strstr(answer.head, "Location: /admin/jobs/1"));
    answer_free(&answer);
    heard = hear(&d, 1);
    ck_assert_ptr_nonnull(strstr(heard, "Content-Type: text/event-stream"));
    ck_assert_ptr_nonnull(strstr(heard, "event: job"));
    ck_assert_msg(strstr(heard, "\"state\":\"published\""), "%s", heard);
    free(heard);
    expect(&d, "GET", "/admin/jobs/1", NULL, 200, "\"layers\":[{\"name\":\"");
    expect(&d, "GET", "/admin/jobs/1", NULL, 200, "\"agreed\":");
    second = classify(&d, jpeg, size, after, sizeof(after));
    ck_assert_uint_gt(second, first);
    ck_assert_ptr_nonnull(strstr(after, "\"model_version\":\"2\""));
    expect(&d, "GET", "/metrics", NULL, 200, "lqnet_jobs_published_total 1\n");
    expect(&d, "POST", "/admin/models/tiny/rollback", "{\"version\":\"9\"}", 404, "no version 9");
    expect(&d, "POST", "/admin/models/tiny/rollback", "{\"version\":\"x\"}", 400, "expected");
    expect(&d, "POST", "/admin/models/tiny/rollback", "", 200, "the file of version 1 again");
    classify(&d, jpeg, size, again, sizeof(again));
    ck_assert_ptr_nonnull(strstr(again, "\"model_version\":\"3\""));
    ck_assert_str_eq(strstr(again, "\"predictions\""), strstr(before, "\"predictions\""));
    ck_assert_int_eq(daemon_end(&d), 0);
    daemon_start_again(&d, arguments(NULL, NULL), LOG_PIPE);
    expect(&d, "GET", "/admin/models/tiny/history", NULL, 200, "\"decision\":\"publish\"");
    expect(&d, "GET", "/admin/models/tiny/history", NULL, 200, "\"decision\":\"rollback\"");
    expect(&d, "GET", "/admin/models/tiny/history?before=2", NULL, 200, "\"history\":[{\"id\":1,");
    expect(&d, "GET", "/admin/models/tiny/history?before=1", NULL, 200, "\"history\":[]");
    expect(&d, "GET", "/admin/jobs", NULL, 200, "\"state\":\"published\"");
    classify(&d, jpeg, size, again, sizeof(again));
    ck_assert_ptr_nonnull(strstr(again, "\"model_version\":\"3\""));
    stop(&d);
    tjFree(jpeg);
    free(tar.bytes);
}
END_TEST

START_TEST(turned_down_failed_cancelled)
{
    struct daemon d;

    daemon_start(&d, arguments(NULL, NULL));
    expect(&d, "POST", TUNE,
           "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"},"
           "\"guard\":{\"hold_out\":2,\"bound\":100,\"dry_run\":true}}",
           202, "queued");
    await_end(&d, 1, "rejected");
    expect(&d, "GET", "/admin/jobs/1", NULL, 200, "dry run");
    run("printf '\\377\\330\\377damaged' >%s/set/cat/007.jpg", data);
    expect(&d, "POST", TUNE, TASK, 202, NULL);
    await_end(&d, 2, "failed");
    expect(&d, "GET", "/admin/jobs/2", NULL, 200, "007.jpg");
    run("rm %s/set/cat/007.jpg", data);
    expect(&d, "POST", TUNE, SLOW, 202, NULL);
    expect(&d, "POST", TUNE, TASK, 202, "\"state\":\"queued\"");
    expect(&d, "DELETE", "/admin/jobs/4", NULL, 202, "\"state\":\"cancelled\"");
    expect(&d, "DELETE", "/admin/jobs/3", NULL, 202, NULL);
    await_end(&d, 3, "cancelled");
    expect(&d, "DELETE", "/admin/jobs/3", NULL, 409, "has ended");
    expect(&d, "POST", "/admin/jobs/3/resume", NULL, 409, "only one that is interrupted");
    expect(&d, "DELETE", "/admin/jobs/99", NULL, 404, "no job 99");
    expect(&d, "GET", "/admin/jobs/x", NULL, 404, "no job");
    expect(&d, "GET", "/admin/jobs?before=x", NULL, 400, "before");
    expect(&d, "GET", "/admin/models/tiny/history?before=0", NULL, 400, "before");
    expect(&d, "GET", "/admin/jobs?before=2", NULL, 200, "{\"jobs\":[{\"id\":1,");
    expect(&d, "POST", "/admin/models/none/finetune", TASK, 404, "no model 'none'");
    expect(&d, "POST", "/admin/models/bad/finetune", TASK, 503, "not ready");
    expect(&d, "POST", TUNE, "{}", 400, "mode");
    expect(&d, "GET", "/v2/models/tiny", NULL, 200, "\"versions\":[\"1\"]");
    stop(&d);
}
END_TEST

START_TEST(interrupted_and_resumed)
{
    struct daemon d;

    daemon_start(&d, arguments(NULL, NULL));
    expect(&d, "POST", TUNE, SLOW, 202, NULL);
    while (!strstr(expect(&d, "GET", "/admin/jobs/1", NULL, 200, NULL), "\"state\":\"evaluating\""))
        clock_sleep_us(1000);
    expect(&d, "POST", TUNE, TASK, 202, "queued");
    ck_assert_int_eq(daemon_end(&d), 0);
    daemon_start_again(&d, arguments(NULL, NULL), LOG_PIPE);
    expect(&d, "GET", "/admin/jobs/1", NULL, 200, "\"state\":\"interrupted\"");
    expect(&d, "GET", "/admin/jobs/1", NULL, 200, "the server ended while it ran");
    await_end(&d, 2, "published"); /* it waited */
    expect(&d, "POST", "/admin/jobs/2/resume", NULL, 409, NULL);
    expect(&d, "POST", "/admin/jobs/1/resume", NULL, 202, "\"state\":\"queued\"");
    expect(&d, "DELETE", "/admin/jobs/1", NULL, 202, NULL);
    await_end(&d, 1, "cancelled");
    stop(&d);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Rights
 */

#define READER "reader-token-0123456789"
#define ADMIN  "admin-token-0123456789"

static int status_of(struct answer answer)
{
    int status = answer.status;

    answer_free(&answer);
    return status;
}

START_TEST(rights)
{
    static const char *const routes[][2] = {{"POST", TUNE},
                                            {"POST", "/admin/models/tiny/rollback"},
                                            {"GET", "/admin/models/tiny/history"},
                                            {"GET", "/admin/models/tiny/uploads"},
                                            {"POST", "/admin/models/tiny/uploads/a"},
                                            {"DELETE", "/admin/models/tiny/uploads/a"},
                                            {"GET", "/admin/jobs"},
                                            {"GET", "/admin/jobs/1"},
                                            {"DELETE", "/admin/jobs/1"},
                                            {"GET", "/admin/jobs/1/events"},
                                            {"POST", "/admin/jobs/1/resume"}};
    static const char reader[] = "Authorization: Bearer " READER "\r\n";
    static const char admin[] = "Authorization: Bearer " ADMIN "\r\n";
    char tokens[80];
    struct answer answer;
    struct daemon d;
    FILE *file;

    snprintf(tokens, sizeof(tokens), "%s/tokens", base);
    file = fopen(tokens, "w");
    fputs("reader read,infer " READER "\nops admin,read " ADMIN "\n", file);
    fclose(file);
    chmod(tokens, 0600);
    daemon_start(&d, arguments("--tokens", tokens));
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        const char *method = routes[i][0], *path = routes[i][1];

        ck_assert_int_eq(status_of(daemon_ask(&d, method, path, NULL, NULL, 0)), 403);
        ck_assert_int_eq(status_of(daemon_ask_admin(&d, method, path, NULL, NULL)), 401);
        ck_assert_int_eq(status_of(daemon_ask_admin(&d, method, path, reader, NULL)), 403);
    }
    answer = daemon_ask_admin(&d, "POST", TUNE, admin,
                              "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"none\"}}");
    ck_assert_int_eq(answer.status, 202);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"asked_by\":\"ops\""));
    answer_free(&answer);
    stop(&d);
}
END_TEST

START_TEST(without_a_state)
{
    struct daemon d;

    daemon_start(&d, NULL);
    expect(&d, "POST", TUNE, TASK, 503, "the setting state names no folder");
    expect(&d, "GET", "/admin/jobs", NULL, 503, NULL);
    stop(&d);
}
END_TEST

START_TEST(a_wrong_state)
{
    char text[4096], *program = getenv("LQNETD");
    char *words[] = {program, "--listen", "127.0.0.1:0", "--models", data, "--state", state, NULL};
    struct daemon d;

    daemon_start(&d, arguments(NULL, NULL));
    ck_assert_int_eq(daemon_run(words, text, sizeof(text)), 1);
    ck_assert_msg(strstr(text, "another server uses it"), "%s", text);
    stop(&d);
    run("printf 'no database, not at all' >%s/jobs.db", state);
    ck_assert_int_eq(daemon_run(words, text, sizeof(text)), 1);
    ck_assert_msg(strstr(text, "jobs.db: file is not a database"), "%s", text);
    run("rm %s/jobs.db", state);
    daemon_start(&d, arguments(NULL, NULL)); /* made anew */
    expect(&d, "GET", "/admin/jobs", NULL, 200, "{\"jobs\":[]}");
    stop(&d);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Listeners
 */

/* No more than so many; those that leave make room; and none of them holds up the end. */
START_TEST(listeners)
{
    static const char request[] = "GET /admin/jobs/1/events HTTP/1.1\r\nHost: a\r\n\r\n";
    char piece[512];
    int fds[16];
    struct daemon d;
    int status = 0;

    daemon_start(&d, arguments(NULL, NULL));
    expect(&d, "GET", "/admin/jobs/1/events", NULL, 404, "no job 1");
    expect(&d, "POST", TUNE, SLOW, 202, NULL);
    for (int i = 0; i < 16; i++) {
        fds[i] = daemon_connect_admin(&d);
        ck_assert_int_gt(send(fds[i], request, strlen(request), 0), 0);
        ck_assert_int_gt(recv(fds[i], piece, sizeof(piece), 0), 0);
    }
    expect(&d, "GET", "/admin/jobs/1/events", NULL, 503, "too many listen");
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    for (int i = 0; i < 1000 && status != 200; i++) { /* it is seen within a heartbeat */
        int fd = daemon_connect_admin(&d);

        ck_assert_int_gt(send(fd, request, strlen(request), 0), 0);
        ck_assert_int_gt(recv(fd, piece, sizeof(piece), 0), 0);
        ck_assert_int_eq(sscanf(piece, "HTTP/1.1 %d", &status), 1);
        close(fd);
        clock_sleep_us(10000);
    }
    ck_assert_int_eq(status, 200);
    int64_t start = clock_now_us();
    ck_assert_int_eq(daemon_stop(&d), 0);
    ck_assert_int_lt(clock_now_us() - start, 20000000);
    for (int i = 4; i < 16; i++)
        close(fds[i]);
    run("rm -rf %s", d.folder);
}
END_TEST

struct canceller {
    const struct daemon *daemon;
    int status;
};

static void *cancel_main(void *argument)
{
    struct canceller *one = argument;

    one->status = status_of(daemon_ask_admin(one->daemon, "DELETE", "/admin/jobs/1", NULL, NULL));
    return NULL;
}

START_TEST(two_admins)
{
    struct canceller both[2];
    pthread_t threads[2];
    struct daemon d;

    daemon_start(&d, arguments(NULL, NULL));
    expect(&d, "POST", TUNE, SLOW, 202, NULL);
    expect(&d, "POST", TUNE, TASK, 202, "queued");
    for (int i = 0; i < 2; i++) {
        both[i] = (struct canceller){&d, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, cancel_main, &both[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(both[i].status == 202 || both[i].status == 409, "%d", both[i].status);
    }
    ck_assert(both[0].status == 202 || both[1].status == 202);
    await_end(&d, 1, "cancelled");
    await_end(&d, 2, "published");
    stop(&d);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Disks
 */

START_TEST(read_only_repository)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct daemon d;

    if (geteuid() != 0 || !nobody)
        return; /* only root can become somebody who may not write */
    mkdir(state, 0700);
    ck_assert_int_eq(chown(state, nobody->pw_uid, nobody->pw_gid), 0);
    daemon_start(&d, arguments("--user", "nobody"));
    expect(&d, "POST", TUNE, TASK, 409, "no version can be written there: Permission denied");
    expect(&d, "POST", TUNE,
           "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"},"
           "\"guard\":{\"hold_out\":2,\"bound\":100,\"dry_run\":true}}",
           202, NULL);
    await_end(&d, 1, "rejected");
    expect(&d, "GET", "/admin/jobs/1", NULL, 200, "dry run, it would be published");
    stop(&d);
    unlink(d.admin);
}
END_TEST

/* The state's disk is full: what is asked fails with the reason, and the model serves on. */
START_TEST(full_state)
{
    struct rlimit full = {1, RLIM_INFINITY}, room = {RLIM_INFINITY, RLIM_INFINITY};
    struct daemon d;
    struct answer answer;

    daemon_start(&d, arguments(NULL, NULL));
    ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &full, NULL), 0);
    answer = daemon_ask_admin(&d, "POST", TUNE, NULL, TASK);
    ck_assert_msg(answer.status == 500 && strstr(answer.body, "jobs.db"), "%d %s", answer.status,
                  answer.body);
    answer_free(&answer);
    expect(&d, "GET", "/v2/models/tiny/ready", NULL, 200, NULL);
    ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &room, NULL), 0);
    expect(&d, "POST", TUNE, TASK, 202, NULL);
    await_end(&d, 1, "published");
    stop(&d);
}
END_TEST

/* The repository's disk is full: the job fails, nothing is left behind, the old version answers. */
START_TEST(full_repository)
{
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(1, &size);
    char body[1000], path[128];

    daemon_start(&d, arguments(NULL, NULL));
    snprintf(path, sizeof(path), "%s/tiny", d.folder);
    mkdir(path, 0755);
    if (mount("none", path, "tmpfs", 0, "size=64k,nr_inodes=2") == 0) {
        expect(&d, "POST", TUNE, TASK, 202, NULL);
        await_end(&d, 1, "failed");
        expect(&d, "GET", "/admin/jobs/1", NULL, 200, "No space left on device");
        ck_assert_int_eq(rmdir(path), -1); /* busy: it is a mount */
        ck_assert_int_eq(umount(path), 0);
        classify(&d, jpeg, size, body, sizeof(body));
        ck_assert_ptr_nonnull(strstr(body, "\"model_version\":\"1\""));
        expect(&d, "POST", TUNE, TASK, 202, NULL);
        await_end(&d, 2, "published");
    }
    tjFree(jpeg);
    stop(&d);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * The swap
 */

/* Asks all the time; of each generation there is one answer to one picture. */
struct caller {
    const struct daemon *daemon;
    const unsigned char *jpeg;
    unsigned long size;
    atomic_bool *over;
    int answers, generations;
};

static void *call_main(void *argument)
{
    struct caller *caller = argument;
    unsigned long long numbers[16] = {0};
    char bodies[16][1000];

    while (!atomic_load(caller->over)) {
        char body[1000];
        unsigned long long number =
            classify(caller->daemon, caller->jpeg, caller->size, body, sizeof(body));
        int at = 0;

        while (at < caller->generations && numbers[at] != number)
            at++;
        ck_assert_int_lt(at, 16);
        if (at == caller->generations) {
            numbers[caller->generations++] = number;
            memcpy(bodies[at], body, sizeof(body));
        }
        ck_assert_str_eq(bodies[at], body);
        caller->answers++;
    }
    return NULL;
}

START_TEST(swaps_under_load)
{
    unsigned long size;
    unsigned char *jpeg = make_jpeg(5, &size);
    struct caller callers[3];
    pthread_t threads[3];
    atomic_bool over = false;
    struct daemon d;

    daemon_start(&d, arguments("--access-log", "false"));
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){&d, jpeg, size, &over, 0, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_main, &callers[i]), 0);
    }
    for (int i = 1; i <= 3; i++) {
        expect(&d, "POST", TUNE, TASK, 202, NULL);
        await_end(&d, i, "published");
        expect(&d, "POST", "/admin/models/tiny/rollback", NULL, 200, NULL);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_gt(callers[i].answers, 0);
        ck_assert_int_gt(callers[i].generations, 1);
    }
    stop(&d);
    tjFree(jpeg);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Power cuts
 */

/* Every version that the history says was made is there; and there is none but these. */
static void check_versions(const struct daemon *d, const char *history)
{
    char path[128], text[64];
    struct dirent *item;
    DIR *folder;
    int made = 0, found = 0;

    for (const char *at = history; (at = strstr(at, ",\"version\":\"")); at++) {
        int version = atoi(at + strlen(",\"version\":\""));

        snprintf(path, sizeof(path), "%s/tiny/%d/model.lq", d->folder, version);
        ck_assert_msg(access(path, R_OK) == 0, "%s: %s", path, history);
        made++;
    }
    snprintf(path, sizeof(path), "%s/tiny", d->folder);
    folder = opendir(path);
    while (folder && (item = readdir(folder))) {
        if (item->d_name[0] == '.')
            continue;
        snprintf(text, sizeof(text), ",\"version\":\"%.20s\"", item->d_name);
        found++;
        ck_assert_msg(made >= 100 || strstr(history, text), "%s: %s", item->d_name, history);
    }
    if (folder)
        closedir(folder);
    ck_assert_int_ge(found, made); /* of the last hundred */
}

/* What was known before the kill. */
struct memory {
    char *history;              /* as told after the last start, without the brackets */
    int jobs;                   /* that were accepted; ids are 1, 2 ... */
    char answers[600][1000];    /* of each version to one picture */
    int published, interrupted; /* jobs, as seen */
};

/* Decisions are added in front, and none of those that were told is lost or changed. The first one
 * may go beyond the hundred that are told, hence the look at the newest one of them alone. */
static void check_history(const struct daemon *d, struct memory *memory)
{
    const char *told = expect(d, "GET", "/admin/models/tiny/history", NULL, 200, "\"history\":[");
    char *history = strdup(strstr(told, "\"history\":[") + strlen("\"history\":["));

    if (memory->history && memory->history[0] == '{') {
        const char *next = strstr(memory->history, ",{\"id\":");
        size_t length = next ? (size_t)(next - memory->history) : strlen(memory->history) - 2;

        ck_assert_msg(memmem(history, strlen(history), memory->history, length), "%s\nwas\n%s",
                      history, memory->history);
    }
    check_versions(d, history);
    free(memory->history);
    memory->history = history;
}

/* Those that were accepted are known; nothing runs that was killed, but one that waited may. */
static void check_jobs(const struct daemon *d, struct memory *memory, bool latest)
{
    char path[64];
    const char *text = expect(d, "GET", "/admin/jobs", NULL, 200, NULL);
    int running = 0;

    for (const char *at = text; (at = strstr(at, "\"state\":\"")); at++)
        running += strncmp(at + 9, "running", 7) == 0 || strncmp(at + 9, "evaluating", 10) == 0;
    ck_assert_int_le(running, 1);
    if (memory->jobs == 0)
        return;
    snprintf(path, sizeof(path), "/admin/jobs/%d", memory->jobs);
    text = expect(d, "GET", path, NULL, 200, "\"request\":{\"mode\":\"calibrate\"");
    if (!latest)
        return;
    memory->published += strstr(text, "\"state\":\"published\"") != NULL;
    memory->interrupted += strstr(text, "\"state\":\"interrupted\"") != NULL;
}

/* A version answers as it did, or for the first time. */
static void check_answer(const struct daemon *d, struct memory *memory, const unsigned char *jpeg,
                         unsigned long size)
{
    char body[1000], *version;
    int number;

    classify(d, jpeg, size, body, sizeof(body));
    version = strstr(body, "\"model_version\":\"");
    ck_assert_ptr_nonnull(version);
    number = atoi(version + strlen("\"model_version\":\""));
    ck_assert(number > 0 && number < 600);
    if (memory->answers[number][0])
        ck_assert_str_eq(memory->answers[number], body);
    memcpy(memory->answers[number], body, sizeof(body));
}

/* Asks and does not wait for the reply. */
static int begin_rollback(const struct daemon *d)
{
    static const char request[] = "POST /admin/models/tiny/rollback HTTP/1.1\r\nHost: a\r\n"
                                  "Content-Length: 2\r\n\r\n{}";
    int fd = daemon_connect_admin(d);

    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    return fd;
}

/* At an instant of a job, around its publication, or of a rollback. */
static void kill_at(struct daemon *d, struct memory *memory, int kind)
{
    int fd = -1;

    if (kind < 2 && status_of(daemon_ask_admin(d, "POST", TUNE, NULL, TASK)) == 202)
        memory->jobs++;
    if (kind == 1) {
        char path[64];
        const char *job;

        snprintf(path, sizeof(path), "/admin/jobs/%d", memory->jobs);
        while ((job = expect(d, "GET", path, NULL, 200, NULL)) &&
               (strstr(job, "\"state\":\"running\"") || strstr(job, "\"state\":\"queued\"")))
            clock_sleep_us(500);
    } else if (kind == 2) {
        fd = begin_rollback(d);
    }
    clock_sleep_us(rand() % (kind == 0 ? 200000 : 30000));
    daemon_kill(d);
    if (fd >= 0)
        close(fd);
}

/* One that waited runs now: what it publishes is in the folder before it is in the history. */
static void await_rest(const struct daemon *d)
{
    const char *list;

    do {
        clock_sleep_us(1000);
        list = expect(d, "GET", "/admin/jobs", NULL, 200, NULL);
    } while (strstr(list, "\"state\":\"queued\"") || strstr(list, "\"state\":\"running\"") ||
             strstr(list, "\"state\":\"evaluating\""));
}

START_TEST(killed_at_any_instant)
{
    const char *given = getenv("LQ_KILLS");
    int kills = given ? atoi(given) : 12;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(1, &size);
    struct memory *memory = calloc(1, sizeof(*memory));
    struct daemon d;

    daemon_start(&d, arguments(NULL, NULL));
    for (int i = 0; i < kills; i++) {
        kill_at(&d, memory, i % 3);
        daemon_start_again(&d, arguments(NULL, NULL), LOG_PIPE);
        check_answer(&d, memory, jpeg, size);
        await_rest(&d);
        check_history(&d, memory);
        check_jobs(&d, memory, i % 3 < 2);
    }
    printf("%d kills: of %d jobs %d were seen published, %d interrupted\n", kills, memory->jobs,
           memory->published, memory->interrupted);
    stop(&d);
    free(memory->history);
    free(memory);
    tjFree(jpeg);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Priority
 */

/* Threads of the daemon that are scheduled so: nice, beyond its own, and policy. */
static int count_threads(const struct daemon *d, int nice, int policy)
{
    char path[300];
    struct dirent *item;
    DIR *folder;
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)d->pid);
    folder = opendir(path);
    ck_assert_ptr_nonnull(folder);
    while ((item = readdir(folder))) {
        id_t thread = (id_t)atoi(item->d_name);

        if (thread > 0)
            count += getpriority(PRIO_PROCESS, thread) == nice &&
                     sched_getscheduler((pid_t)thread) == policy;
    }
    closedir(folder);
    return count;
}

START_TEST(priorities)
{
    const int own = getpriority(PRIO_PROCESS, 0), low = own + 10 < 19 ? own + 10 : 19;
    const struct {
        const char *value;
        int nice, policy;
    } cases[] = {{"idle", 19, SCHED_IDLE}, {"low", low, SCHED_OTHER}, {"normal", own, SCHED_OTHER}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct daemon d;
        int threads;

        daemon_start(&d, arguments("--job-priority", cases[i].value));
        expect(&d, "POST", TUNE, TASK, 202, NULL);
        await_end(&d, 1, "published"); /* the thread has begun */
        threads = count_threads(&d, cases[i].nice, cases[i].policy);
        ck_assert_msg(i == 2 ? threads > 1 : threads == 1, "%s: %d", cases[i].value, threads);
        stop(&d);
        run("rm -rf %s", state);
    }
}
END_TEST

int main(void)
{
    const char *kills = getenv("LQ_KILLS");
    TCase *tests = tcase_create("jobs");

    signal(SIGPIPE, SIG_IGN);
    tcase_set_timeout(tests, kills ? 120 + 10 * atoi(kills) : 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, published_rolled_back_kept);
    tcase_add_test(tests, turned_down_failed_cancelled);
    tcase_add_test(tests, interrupted_and_resumed);
    tcase_add_test(tests, rights);
    tcase_add_test(tests, without_a_state);
    tcase_add_test(tests, a_wrong_state);
    tcase_add_test(tests, listeners);
    tcase_add_test(tests, two_admins);
    tcase_add_test(tests, read_only_repository);
    tcase_add_test(tests, full_state);
    tcase_add_test(tests, full_repository);
    tcase_add_test(tests, swaps_under_load);
    tcase_add_test(tests, killed_at_any_instant);
    tcase_add_test(tests, priorities);
    return suite_main("jobs", tests);
}
