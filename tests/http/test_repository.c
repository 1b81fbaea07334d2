/* test_repository.c - models come, change and go while lqnetd serves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "clock.h"
#include "format/lqfile.h"
#include "support/daemon.h"
#include "support/tiny_model.h"

/* ------------------------------------------------------------------------------------------------
 * The folder
 */

static const char *in_folder(const struct daemon *d, const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", d->folder, name);
    return path;
}

/* The tiny network with other weights for another seed, put there at once. */
static void put_model(const struct daemon *d, const char *name, uint64_t seed)
{
    struct lq_graph *graph;

    ck_assert_int_eq(tiny_graph(seed, &graph, NULL), LQ_OK);
    ck_assert_int_eq(lq_lqfile_save(graph, in_folder(d, name), NULL), LQ_OK);
    lq_graph_destroy(graph);
}

static void put_text(const struct daemon *d, const char *name, const char *text)
{
    FILE *file = fopen(in_folder(d, name), "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void put_folder(const struct daemon *d, const char *name)
{
    ck_assert_int_eq(mkdir(in_folder(d, name), 0777), 0);
}

static void stop(struct daemon *d)
{
    char command[128];

    ck_assert_int_eq(daemon_stop(d), 0);
    snprintf(command, sizeof(command), "rm -rf %s", d->folder);
    ck_assert_int_eq(system(command), 0);
}

/* ------------------------------------------------------------------------------------------------
 * Requests
 */

/* At the admin's socket; text NULL: any. */
static void expect(const struct daemon *d, const char *method, const char *path, const char *body,
                   int status, const char *text)
{
    struct answer answer = daemon_ask_admin(d, method, path, NULL, body);

    ck_assert_msg(answer.status == status, "%s %s: %d %s", method, path, answer.status,
                  answer.body);
    ck_assert_msg(!text || strstr(answer.body, text), "%s %s: %s", method, path, answer.body);
    answer_free(&answer);
}

static void load(const struct daemon *d, const char *name, int status, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "/v2/repository/models/%s/load", name);
    expect(d, "POST", path, "{}", status, text);
}

static void unload(const struct daemon *d, const char *name, int status)
{
    char path[128];

    snprintf(path, sizeof(path), "/v2/repository/models/%s/unload", name);
    expect(d, "POST", path, NULL, status, NULL);
}

/* Asks until the answer is this one, for at most five seconds. */
static void await(const struct daemon *d, const char *path, int status, const char *text)
{
    struct answer answer = {0};

    for (int i = 0; i < 500; i++) {
        bool fits;

        answer = daemon_ask_admin(d, "GET", path, NULL, NULL);
        fits = answer.status == status && (!text || strstr(answer.body, text));
        if (fits) {
            answer_free(&answer);
            return;
        }
        if (i < 499)
            answer_free(&answer);
        clock_sleep_us(10000);
    }
    ck_abort_msg("%s: still %d %s", path, answer.status, answer.body);
}

static unsigned char *make_jpeg(unsigned long *ret_size)
{
    static unsigned char pixels[8 * 8 * 3];
    unsigned char *jpeg = NULL;
    tjhandle encoder = tjInitCompress();

    for (size_t i = 0; i < sizeof(pixels); i++)
        pixels[i] = (unsigned char)(i * 37);
    ck_assert_int_eq(
        tjCompress2(encoder, pixels, 8, 0, 8, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 90, 0), 0);
    tjDestroy(encoder);
    return jpeg;
}

/* What a model says about a picture; free it. */
static char *classify(const struct daemon *d, const char *model)
{
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);
    char path[128], *body;
    struct answer answer;

    snprintf(path, sizeof(path), "/v2/models/%s/classify", model);
    answer = daemon_ask(d, "POST", path, "image/jpeg", jpeg, size);
    ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
    body = strdup(answer.body);
    answer_free(&answer);
    tjFree(jpeg);
    return body;
}

/* ------------------------------------------------------------------------------------------------
 * Tests
 */

START_TEST(load_and_unload)
{
    struct daemon d;

    daemon_start(&d, NULL);
    expect(&d, "POST", "/v2/repository/index", NULL, 200,
           "{\"name\":\"tiny\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"\"}");
    expect(&d, "POST", "/v2/repository/index", "{}", 200,
           "{\"name\":\"bad\",\"version\":\"1\",\"state\":\"UNAVAILABLE\",\"reason\":\"offset 0: ");
    expect(&d, "POST", "/v2/repository/index", "{\"ready\":true}", 200, "[{\"name\":\"tiny\"");
    expect(&d, "POST", "/v2/repository/index", "{\"ready\":1}", 400, "ready");
    expect(&d, "POST", "/v2/repository/index", "[", 400, "no JSON");
    expect(&d, "POST", "/v2/repository/index", "[]", 400, "no JSON object");
    unload(&d, "tiny", 200);
    expect(&d, "GET", "/v2/models/tiny/ready", NULL, 503, NULL);
    expect(&d, "GET", "/v2/models/tiny", NULL, 503, "it was unloaded");
    expect(&d, "GET", "/v2/health/ready", NULL, 503, NULL); /* nothing is loaded */
    await(&d, "/v2/models", 200, "\"UNAVAILABLE\",\"reason\":\"it was unloaded\"");
    unload(&d, "tiny", 200); /* again */
    load(&d, "tiny", 200, "{}");
    expect(&d, "GET", "/v2/models/tiny/ready", NULL, 200, NULL);
    expect(&d, "GET", "/v2/health/ready", NULL, 200, NULL);
    free(classify(&d, "tiny"));
    load(&d, "bad", 422, "model 'bad', version 1: offset 0: ");
    load(&d, "none", 404, "no model 'none' in the folder");
    unload(&d, "none", 404);
    load(&d, "..", 404, "no such path");
    load(&d, "a%2fb", 404, "no such path");
    expect(&d, "POST", "/v2/repository/models/tiny/load",
           "{\"parameters\":{\"file:1/model.lq\":\"AAAA\"}}", 400, "parameters.file:1/model.lq");
    expect(&d, "POST", "/v2/repository/models/tiny/unload",
           "{\"parameters\":{\"unload_dependents\":false}}", 200, NULL);
    stop(&d);
}
END_TEST

/* A damaged file leaves the old generation serving, also where it overwrites the old one in place;
 * a good one takes over. */
START_TEST(a_failed_load_keeps_the_old)
{
    struct daemon d;
    char *before, *after;

    daemon_start(&d, NULL);
    before = classify(&d, "tiny");
    put_text(&d, "tiny.lq", "no model any more");
    load(&d, "tiny", 422, "offset 0");
    expect(&d, "POST", "/v2/repository/index", NULL, 200,
           "{\"name\":\"tiny\",\"version\":\"1\",\"state\":\"READY\",\"reason\":\"offset 0");
    after = classify(&d, "tiny");
    ck_assert_str_eq(before, after);
    free(after);
    unlink(in_folder(&d, "tiny.lq"));
    load(&d, "tiny", 404, "no model 'tiny' in the folder");
    after = classify(&d, "tiny");
    ck_assert_str_eq(before, after);
    free(after);
    put_model(&d, "tiny.lq", 2);
    load(&d, "tiny", 200, NULL);
    after = classify(&d, "tiny");
    ck_assert_str_ne(before, after);
    free(after);
    put_model(&d, "tiny.lq", 1);
    load(&d, "tiny", 200, NULL);
    after = classify(&d, "tiny");
    ck_assert_str_eq(before, after); /* another generation of the same file, the same answer */
    free(before);
    free(after);
    stop(&d);
}
END_TEST

static void put_versions(const struct daemon *d, const char *name)
{
    char path[64];

    put_folder(d, name);
    for (int version = 1; version <= 10; version += version == 2 ? 8 : 1) { /* 1, 2, 10 */
        snprintf(path, sizeof(path), "%s/%d", name, version);
        put_folder(d, path);
        snprintf(path, sizeof(path), "%s/%d/model.lq", name, version);
        put_model(d, path, (uint64_t)version);
    }
    snprintf(path, sizeof(path), "%s/007", name); /* not how 7 is written */
    put_folder(d, path);
}

START_TEST(versions)
{
    struct daemon d;
    char *highest, *default_one;

    daemon_start(&d, (const char *const[]){"--version-policy", "latest all=all some=1+2+77", NULL});
    put_versions(&d, "one");
    put_versions(&d, "all");
    put_versions(&d, "some");
    load(&d, "one", 200, NULL);
    load(&d, "all", 200, NULL);
    load(&d, "some", 200, NULL);
    expect(&d, "GET", "/v2/models/one/versions/10", NULL, 200, NULL);
    expect(&d, "GET", "/v2/models/one/versions/2", NULL, 404, "no version '2'");
    for (int version = 1; version <= 2; version++) {
        char path[64];

        snprintf(path, sizeof(path), "/v2/models/all/versions/%d", version);
        expect(&d, "GET", path, NULL, 200, NULL);
        snprintf(path, sizeof(path), "/v2/models/some/versions/%d", version);
        expect(&d, "GET", path, NULL, 200, NULL);
    }
    expect(&d, "GET", "/v2/models/all/versions/10", NULL, 200, NULL);
    expect(&d, "GET", "/v2/models/some/versions/10", NULL, 404, NULL);
    expect(&d, "GET", "/v2/models/all/versions/7", NULL, 404, NULL);
    default_one = classify(&d, "all");
    highest = classify(&d, "all/versions/10");
    ck_assert_str_eq(default_one, highest);
    free(default_one);
    free(highest);
    unlink(in_folder(&d, "all/10/model.lq")); /* without it, the next one answers */
    rmdir(in_folder(&d, "all/10"));
    load(&d, "all", 200, NULL);
    default_one = classify(&d, "all");
    highest = classify(&d, "all/versions/2");
    ck_assert_str_eq(default_one, highest);
    free(default_one);
    free(highest);
    put_model(&d, "one.lq", 1); /* beside one/1/model.lq */
    load(&d, "one", 200, NULL); /* not the wanted one */
    put_model(&d, "some.lq", 1);
    load(&d, "some", 422, "version 1: it is there twice");
    expect(&d, "GET", "/v2/models/some/versions/1/ready", NULL, 200, NULL); /* as before */
    put_text(&d, "one/10/model.lq", "bad");
    load(&d, "one", 422, NULL);
    expect(&d, "GET", "/v2/models/one/versions/10/ready", NULL, 200, NULL);
    stop(&d);
}
END_TEST

START_TEST(hangup_looks_for_changes)
{
    struct daemon d;
    char *before, *after;

    daemon_start(&d, NULL);
    before = classify(&d, "tiny");
    put_model(&d, "tiny.lq", 2);
    put_model(&d, "new.lq", 1);
    kill(d.pid, SIGHUP);
    await(&d, "/v2/models/new/ready", 200, NULL);
    await(&d, "/v2/models", 200, "{\"name\":\"tiny\",\"version\":\"1\",\"state\":\"READY\"}");
    after = classify(&d, "new");
    ck_assert_int_eq(strcmp(strstr(before, "predictions"), strstr(after, "predictions")), 0);
    free(after);
    for (int i = 0; i < 500; i++) { /* models go by name: new comes before tiny */
        after = classify(&d, "tiny");
        if (strcmp(before, after) != 0)
            break;
        free(after);
        after = NULL;
        clock_sleep_us(10000);
    }
    ck_assert_ptr_nonnull(after);
    free(after);
    unload(&d, "new", 200);
    unlink(in_folder(&d, "tiny.lq"));
    kill(d.pid, SIGHUP);
    await(&d, "/v2/models/tiny", 503, "its file is gone");
    expect(&d, "GET", "/v2/models/new/ready", NULL, 503, NULL); /* what was unloaded stays so */
    put_model(&d, "tiny.lq", 1);
    kill(d.pid, SIGHUP);
    await(&d, "/v2/models/tiny/ready", 200, NULL);
    free(before);
    stop(&d);
}
END_TEST

START_TEST(polling)
{
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--repository-poll-s", "1", NULL});
    put_text(&d, "late.lq", "half of a mod");
    await(&d, "/v2/models/late", 503, "offset 0");
    put_model(&d, "late.lq", 3);
    await(&d, "/v2/models/late/ready", 200, NULL);
    stop(&d);
}
END_TEST

START_TEST(readiness)
{
    struct daemon d;

    daemon_start(&d, (const char *const[]){"--required-models", "tiny, other", NULL});
    expect(&d, "GET", "/v2/health/ready", NULL, 503, NULL);
    put_model(&d, "other.lq", 1);
    load(&d, "other", 200, NULL);
    expect(&d, "GET", "/v2/health/ready", NULL, 200, NULL);
    unload(&d, "other", 200); /* required, whoever unloaded it */
    expect(&d, "GET", "/v2/health/ready", NULL, 503, NULL);
    expect(&d, "GET", "/v2/health/live", NULL, 200, NULL);
    stop(&d);
    daemon_start(&d, (const char *const[]){"--strict-readiness", "true", NULL});
    expect(&d, "GET", "/v2/health/ready", NULL, 503, NULL); /* "bad" */
    unload(&d, "bad", 200);                                 /* on purpose */
    expect(&d, "GET", "/v2/health/ready", NULL, 200, NULL);
    put_text(&d, "tiny.lq", "bad");
    load(&d, "tiny", 422, NULL);
    expect(&d, "GET", "/v2/health/ready", NULL, 200, NULL); /* the old one serves */
    stop(&d);
}
END_TEST

/* Links may lead to places inside the folder; what is no file is none. */
START_TEST(confined)
{
    struct daemon d;
    char outside[128];

    daemon_start(&d, NULL);
    snprintf(outside, sizeof(outside), "%s-outside.lq", d.folder);
    ck_assert_int_eq(tiny_model_write(outside, NULL), LQ_OK);
    ck_assert_int_eq(symlink(outside, in_folder(&d, "absolute.lq")), 0);
    ck_assert_int_eq(symlink(strrchr(outside, '/'), in_folder(&d, "x.lq")), 0);
    ck_assert_int_eq(symlink("../passwd", in_folder(&d, "up.lq")), 0);
    ck_assert_int_eq(symlink("tiny.lq", in_folder(&d, "inside.lq")), 0);
    ck_assert_int_eq(symlink("/proc/self/exe", in_folder(&d, "magic.lq")), 0);
    ck_assert_int_eq(mkfifo(in_folder(&d, "fifo.lq"), 0666), 0);
    put_folder(&d, "folder.lq");
    ck_assert_int_eq(symlink("/tmp", in_folder(&d, "away")), 0);
    load(&d, "absolute", 422, "it leads out of the folder");
    load(&d, "up", 422, "it leads out of the folder");
    load(&d, "magic", 422, NULL);
    load(&d, "x", 422, NULL);
    load(&d, "fifo", 422, "not a regular file");
    load(&d, "folder", 422, "not a regular file");
    load(&d, "away", 404, NULL);
    load(&d, "inside", 200, NULL);
    kill(d.pid, SIGHUP);
    await(&d, "/v2/models", 200, "it leads out of the folder");
    expect(&d, "GET", "/v2/models/tiny/ready", NULL, 200, NULL);
    unlink(outside);
    stop(&d);
}
END_TEST

struct client {
    const struct daemon *daemon;
    const unsigned char *jpeg;
    unsigned long size;
    atomic_bool *stop;
    int good, failed;
    char first_failure[256];
};

static void *client_main(void *argument)
{
    struct client *c = argument;

    while (!atomic_load(c->stop)) {
        struct answer answer = daemon_ask(c->daemon, "POST", "/v2/models/tiny/classify",
                                          "image/jpeg", c->jpeg, c->size);

        c->good += answer.status == 200;
        if (answer.status != 200 && c->failed++ == 0)
            snprintf(c->first_failure, sizeof(c->first_failure), "%d %s", answer.status,
                     answer.body);
        answer_free(&answer);
    }
    return NULL;
}

/* Of the daemon, kB. */
static long resident(const struct daemon *d)
{
    char path[64], line[256];
    FILE *file;
    long kb = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)d->pid);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file))
        sscanf(line, "VmRSS: %ld", &kb);
    fclose(file);
    return kb;
}

/* Reloads of a model that is asked all the time, and another one that comes and goes; LQ_CYCLES of
 * them (default 40). No request fails, no memory is lost. */
START_TEST(reloads_under_load)
{
    enum { CLIENTS = 4 };
    int cycles = getenv("LQ_CYCLES") ? atoi(getenv("LQ_CYCLES")) : 40;
    struct daemon d;
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    atomic_bool end = false;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);
    long before = 0, after;
    int good = 0;

    daemon_start(&d, (const char *const[]){"--access-log", "false", NULL});
    put_model(&d, "other.lq", 5);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.daemon = &d, .jpeg = jpeg, .size = size, .stop = &end};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, client_main, &clients[i]), 0);
    }
    for (int i = 0; i < cycles; i++) {
        if (i == cycles / 4)
            before = resident(&d);
        load(&d, "tiny", 200, NULL);
        load(&d, "other", 200, NULL);
        unload(&d, "other", 200);
    }
    after = resident(&d);
    atomic_store(&end, true);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(clients[i].failed == 0, "%d of %d requests: %s", clients[i].failed,
                      clients[i].good + clients[i].failed, clients[i].first_failure);
        good += clients[i].good;
    }
    ck_assert_int_gt(good, 0);
    printf("%d cycles, %d requests, resident %ld kB, then %ld kB\n", cycles, good, before, after);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep what is freed */
    ck_assert_int_le(after - before, 2048);
#endif
    await(&d, "/v2/models", 200, "UNAVAILABLE\",\"reason\":\"it was unloaded\"");
    stop(&d);
    tjFree(jpeg);
}
END_TEST

/* The service manager's socket hears READY, RELOADING and READY, STOPPING. */
START_TEST(notifications)
{
    static const char *const expected[] = {"READY=1", "RELOADING=1\nMONOTONIC_USEC=", "READY=1",
                                           "STOPPING=1"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {10, 0};
    struct daemon d;
    char state[256];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/lqnetd-notify-%d", (int)getpid());
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    daemon_start(&d, NULL);
    for (int i = 0; i < 4; i++) {
        ssize_t size;

        if (i == 1)
            kill(d.pid, SIGHUP);
        if (i == 3)
            kill(d.pid, SIGTERM);
        size = recv(fd, state, sizeof(state) - 1, 0);
        ck_assert_msg(size > 0, "nothing came where %s should", expected[i]);
        state[size] = '\0';
        ck_assert_msg(strncmp(state, expected[i], strlen(expected[i])) == 0, "%s", state);
    }
    unsetenv("NOTIFY_SOCKET");
    stop(&d);
    close(fd);
    unlink(address.sun_path);
}
END_TEST

/* SIGTERM: not ready at once, but it answers until the delay is over, and then ends with 0. */
START_TEST(graceful_end)
{
    struct daemon d;
    struct client client;
    pthread_t thread;
    atomic_bool end = false;
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);

    daemon_start(&d, (const char *const[]){"--shutdown-delay-ms", "400", NULL});
    client = (struct client){.daemon = &d, .jpeg = jpeg, .size = size, .stop = &end};
    ck_assert_int_eq(pthread_create(&thread, NULL, client_main, &client), 0);
    kill(d.pid, SIGTERM);
    await(&d, "/v2/health/ready", 503, NULL);
    expect(&d, "GET", "/v2/health/live", NULL, 200, NULL);
    expect(&d, "GET", "/v2/models/tiny/ready", NULL, 503, NULL);
    clock_sleep_us(100000);
    atomic_store(&end, true); /* a balancer has moved its clients elsewhere */
    pthread_join(thread, NULL);
    ck_assert_int_gt(client.good, 0);
    ck_assert_msg(client.failed == 0, "%s", client.first_failure);
    stop(&d);
    tjFree(jpeg);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("repository");

    signal(SIGPIPE, SIG_IGN);
    tcase_set_timeout(tests, getenv("LQ_CYCLES") ? 1200 : 120);
    tcase_add_test(tests, load_and_unload);
    tcase_add_test(tests, a_failed_load_keeps_the_old);
    tcase_add_test(tests, versions);
    tcase_add_test(tests, hangup_looks_for_changes);
    tcase_add_test(tests, polling);
    tcase_add_test(tests, readiness);
    tcase_add_test(tests, confined);
    tcase_add_test(tests, reloads_under_load);
    tcase_add_test(tests, notifications);
    tcase_add_test(tests, graceful_end);
    return suite_main("repository", tests);
}
