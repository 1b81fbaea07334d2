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
#include "support/jobs.h"
#include "support/suite.h"

/* ------------------------------------------------------------------------------------------------
 * A job's life
 */

START_TEST(published_rolled_back_kept)
{
    struct archive tar = jobs_tar();
    unsigned long size;
    unsigned char *jpeg = jobs_jpeg(1, &size);
    char before[1000], after[1000], again[1000], *heard;
    struct answer answer;
    struct daemon d;
    unsigned long long first, second;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    answer = jobs_upload(&d, "/admin/models/tiny/uploads/week-7", "application/x-tar", tar.bytes,
                         tar.size);
    ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.body);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"files\":300,\"labelled\":false"));
    answer_free(&answer);
    first = jobs_classify(&d, jpeg, size, before, sizeof(before));
    answer =
        daemon_ask_admin(&d, "POST", JOBS_TUNE, NULL,
                         "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"week-7\"}," JOBS_ANY "}");
    ck_assert_msg(answer.status == 202, "%d %s", answer.status, answer.body);
    ck_assert_ptr_nonnull(strstr(answer.head, "Location: /admin/jobs/1"));
    answer_free(&answer);
    heard = jobs_hear(&d, 1);
    ck_assert_ptr_nonnull(strstr(heard, "Content-Type: text/event-stream"));
    ck_assert_ptr_nonnull(strstr(heard, "event: job"));
    ck_assert_msg(strstr(heard, "\"state\":\"published\""), "%s", heard);
    free(heard);
    jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "\"layers\":[{\"name\":\"");
    jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "\"agreed\":");
    second = jobs_classify(&d, jpeg, size, after, sizeof(after));
    ck_assert_uint_gt(second, first);
    ck_assert_ptr_nonnull(strstr(after, "\"model_version\":\"2\""));
    jobs_expect(&d, "GET", "/metrics", NULL, 200, "lqnet_jobs_published_total 1\n");
    jobs_expect(&d, "POST", "/admin/models/tiny/rollback", "{\"version\":\"9\"}", 404,
                "no version 9");
    jobs_expect(&d, "POST", "/admin/models/tiny/rollback", "{\"version\":\"x\"}", 400, "expected");
    jobs_expect(&d, "POST", "/admin/models/tiny/rollback", "", 200, "the file of version 1 again");
    jobs_classify(&d, jpeg, size, again, sizeof(again));
    ck_assert_ptr_nonnull(strstr(again, "\"model_version\":\"3\""));
    ck_assert_str_eq(strstr(again, "\"predictions\""), strstr(before, "\"predictions\""));
    ck_assert_int_eq(daemon_end(&d), 0);
    daemon_start_again(&d, jobs_arguments(NULL, NULL), JOBS_LOG_PIPE);
    jobs_expect(&d, "GET", "/admin/models/tiny/history", NULL, 200, "\"decision\":\"publish\"");
    jobs_expect(&d, "GET", "/admin/models/tiny/history", NULL, 200, "\"decision\":\"rollback\"");
    jobs_expect(&d, "GET", "/admin/models/tiny/history?before=2", NULL, 200,
                "\"history\":[{\"id\":1,");
    jobs_expect(&d, "GET", "/admin/models/tiny/history?before=1", NULL, 200, "\"history\":[]");
    jobs_expect(&d, "GET", "/admin/jobs", NULL, 200, "\"state\":\"published\"");
    jobs_classify(&d, jpeg, size, again, sizeof(again));
    ck_assert_ptr_nonnull(strstr(again, "\"model_version\":\"3\""));
    jobs_end(&d);
    tjFree(jpeg);
    free(tar.bytes);
}
END_TEST

START_TEST(turned_down_failed_cancelled)
{
    struct daemon d;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    jobs_expect(&d, "POST", JOBS_TUNE,
                "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"},"
                "\"guard\":{\"hold_out\":2,\"bound\":100,\"dry_run\":true}}",
                202, "queued");
    jobs_await_end(&d, 1, "rejected");
    jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "dry run");
    jobs_shell("printf '\\377\\330\\377damaged' >%s/set/cat/007.jpg", jobs_data);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, NULL);
    jobs_await_end(&d, 2, "failed");
    jobs_expect(&d, "GET", "/admin/jobs/2", NULL, 200, "007.jpg");
    jobs_shell("rm %s/set/cat/007.jpg", jobs_data);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_SLOW, 202, NULL);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, "\"state\":\"queued\"");
    jobs_expect(&d, "DELETE", "/admin/jobs/4", NULL, 202, "\"state\":\"cancelled\"");
    jobs_expect(&d, "DELETE", "/admin/jobs/3", NULL, 202, NULL);
    jobs_await_end(&d, 3, "cancelled");
    jobs_expect(&d, "DELETE", "/admin/jobs/3", NULL, 409, "has ended");
    jobs_expect(&d, "POST", "/admin/jobs/3/resume", NULL, 409, "only one that is interrupted");
    jobs_expect(&d, "DELETE", "/admin/jobs/99", NULL, 404, "no job 99");
    jobs_expect(&d, "GET", "/admin/jobs/x", NULL, 404, "no job");
    jobs_expect(&d, "GET", "/admin/jobs?before=x", NULL, 400, "before");
    jobs_expect(&d, "GET", "/admin/models/tiny/history?before=0", NULL, 400, "before");
    jobs_expect(&d, "GET", "/admin/jobs?before=2", NULL, 200, "{\"jobs\":[{\"id\":1,");
    jobs_expect(&d, "POST", "/admin/models/none/finetune", JOBS_TASK, 404, "no model 'none'");
    jobs_expect(&d, "POST", "/admin/models/bad/finetune", JOBS_TASK, 503, "not ready");
    jobs_expect(&d, "POST", JOBS_TUNE, "{}", 400, "mode");
    jobs_expect(&d, "GET", "/v2/models/tiny", NULL, 200, "\"versions\":[\"1\"]");
    jobs_end(&d);
}
END_TEST

START_TEST(interrupted_and_resumed)
{
    struct daemon d;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_SLOW, 202, NULL);
    while (!strstr(jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, NULL),
                   "\"state\":\"evaluating\""))
        clock_sleep_us(1000);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, "queued");
    ck_assert_int_eq(daemon_end(&d), 0);
    daemon_start_again(&d, jobs_arguments(NULL, NULL), JOBS_LOG_PIPE);
    jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "\"state\":\"interrupted\"");
    jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "the server ended while it ran");
    jobs_await_end(&d, 2, "published"); /* it waited */
    jobs_expect(&d, "POST", "/admin/jobs/2/resume", NULL, 409, NULL);
    jobs_expect(&d, "POST", "/admin/jobs/1/resume", NULL, 202, "\"state\":\"queued\"");
    jobs_expect(&d, "DELETE", "/admin/jobs/1", NULL, 202, NULL);
    jobs_await_end(&d, 1, "cancelled");
    jobs_end(&d);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Rights
 */

#define READER "reader-token-0123456789"
#define ADMIN  "admin-token-0123456789"

START_TEST(rights)
{
    static const char *const routes[][2] = {{"POST", JOBS_TUNE},
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

    snprintf(tokens, sizeof(tokens), "%s/tokens", jobs_base);
    file = fopen(tokens, "w");
    fputs("reader read,infer " READER "\nops admin,read " ADMIN "\n", file);
    fclose(file);
    chmod(tokens, 0600);
    daemon_start(&d, jobs_arguments("--tokens", tokens));
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        const char *method = routes[i][0], *path = routes[i][1];

        ck_assert_int_eq(jobs_status_of(daemon_ask(&d, method, path, NULL, NULL, 0)), 403);
        ck_assert_int_eq(jobs_status_of(daemon_ask_admin(&d, method, path, NULL, NULL)), 401);
        ck_assert_int_eq(jobs_status_of(daemon_ask_admin(&d, method, path, reader, NULL)), 403);
    }
    answer = daemon_ask_admin(&d, "POST", JOBS_TUNE, admin,
                              "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"none\"}}");
    ck_assert_int_eq(answer.status, 202);
    ck_assert_ptr_nonnull(strstr(answer.body, "\"asked_by\":\"ops\""));
    answer_free(&answer);
    jobs_end(&d);
}
END_TEST

START_TEST(without_a_state)
{
    struct daemon d;

    daemon_start(&d, NULL);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 503, "the setting state names no folder");
    jobs_expect(&d, "GET", "/admin/jobs", NULL, 503, NULL);
    jobs_end(&d);
}
END_TEST

START_TEST(a_wrong_state)
{
    char text[4096], *program = getenv("LQNETD");
    char *words[] = {program,   "--listen", "127.0.0.1:0", "--models",
                     jobs_data, "--state",  jobs_state,    NULL};
    struct daemon d;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    ck_assert_int_eq(daemon_run(words, text, sizeof(text)), 1);
    ck_assert_msg(strstr(text, "another server uses it"), "%s", text);
    jobs_end(&d);
    jobs_shell("printf 'no database, not at all' >%s/jobs.db", jobs_state);
    ck_assert_int_eq(daemon_run(words, text, sizeof(text)), 1);
    ck_assert_msg(strstr(text, "jobs.db: file is not a database"), "%s", text);
    jobs_shell("rm %s/jobs.db", jobs_state);
    daemon_start(&d, jobs_arguments(NULL, NULL)); /* made anew */
    jobs_expect(&d, "GET", "/admin/jobs", NULL, 200, "{\"jobs\":[]}");
    jobs_end(&d);
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

    daemon_start(&d, jobs_arguments(NULL, NULL));
    jobs_expect(&d, "GET", "/admin/jobs/1/events", NULL, 404, "no job 1");
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_SLOW, 202, NULL);
    for (int i = 0; i < 16; i++) {
        fds[i] = daemon_connect_admin(&d);
        ck_assert_int_gt(send(fds[i], request, strlen(request), 0), 0);
        ck_assert_int_gt(recv(fds[i], piece, sizeof(piece), 0), 0);
    }
    jobs_expect(&d, "GET", "/admin/jobs/1/events", NULL, 503, "too many listen");
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
    jobs_shell("rm -rf %s", d.folder);
}
END_TEST

struct canceller {
    const struct daemon *daemon;
    int status;
};

static void *cancel_main(void *argument)
{
    struct canceller *one = argument;

    one->status =
        jobs_status_of(daemon_ask_admin(one->daemon, "DELETE", "/admin/jobs/1", NULL, NULL));
    return NULL;
}

START_TEST(two_admins)
{
    struct canceller both[2];
    pthread_t threads[2];
    struct daemon d;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_SLOW, 202, NULL);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, "queued");
    for (int i = 0; i < 2; i++) {
        both[i] = (struct canceller){&d, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, cancel_main, &both[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(both[i].status == 202 || both[i].status == 409, "%d", both[i].status);
    }
    ck_assert(both[0].status == 202 || both[1].status == 202);
    jobs_await_end(&d, 1, "cancelled");
    jobs_await_end(&d, 2, "published");
    jobs_end(&d);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Disks
 */

START_TEST(read_only_repository)
{
    const struct passwd *nobody = getpwnam("nobody");
    struct daemon d;

    if (geteuid() == 0) { /* who may write everywhere, and becomes somebody who may not */
        ck_assert_ptr_nonnull(nobody);
        mkdir(jobs_state, 0700);
        ck_assert_int_eq(chown(jobs_state, nobody->pw_uid, nobody->pw_gid), 0);
        daemon_start(&d, jobs_arguments("--user", "nobody"));
    } else {
        daemon_start(&d, jobs_arguments(NULL, NULL));
        ck_assert_int_eq(chmod(d.folder, 0555), 0);
    }
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 409,
                "no version can be written there: Permission denied");
    jobs_expect(&d, "POST", JOBS_TUNE,
                "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"},"
                "\"guard\":{\"hold_out\":2,\"bound\":100,\"dry_run\":true}}",
                202, NULL);
    jobs_await_end(&d, 1, "rejected");
    jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "dry run, it would be published");
    chmod(d.folder, 0755);
    jobs_end(&d);
    unlink(d.admin);
}
END_TEST

/* The state's disk is full: what is asked fails with the reason, and the model serves on. */
START_TEST(full_state)
{
    struct rlimit full = {1, RLIM_INFINITY}, room = {RLIM_INFINITY, RLIM_INFINITY};
    struct daemon d;
    struct answer answer;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &full, NULL), 0);
    answer = daemon_ask_admin(&d, "POST", JOBS_TUNE, NULL, JOBS_TASK);
    ck_assert_msg(answer.status == 500 && strstr(answer.body, "jobs.db"), "%d %s", answer.status,
                  answer.body);
    answer_free(&answer);
    jobs_expect(&d, "GET", "/v2/models/tiny/ready", NULL, 200, NULL);
    ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &room, NULL), 0);
    jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, NULL);
    jobs_await_end(&d, 1, "published");
    jobs_end(&d);
}
END_TEST

/* The repository's disk has no room for another file, or not for all of it: the job fails, nothing
 * is left behind, the old version answers. */
START_TEST(full_repository)
{
    static const char *const rooms[] = {"size=64k,nr_inodes=2", "size=4k"};
    struct daemon d;
    unsigned long size;
    unsigned char *jpeg = jobs_jpeg(1, &size);
    char body[1000], path[128];

    daemon_start(&d, jobs_arguments(NULL, NULL));
    snprintf(path, sizeof(path), "%s/tiny", d.folder);
    mkdir(path, 0755);
    if (mount("none", path, "tmpfs", 0, rooms[_i]) == 0) {
        if (_i == 1)
            jobs_shell("head -c 4096 /dev/zero >%s/tiny/.filler", d.folder);
        jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, NULL);
        jobs_await_end(&d, 1, "failed");
        jobs_expect(&d, "GET", "/admin/jobs/1", NULL, 200, "No space left on device");
        ck_assert_int_eq(rmdir(path), -1); /* busy: it is a mount */
        ck_assert_int_eq(umount(path), 0);
        jobs_classify(&d, jpeg, size, body, sizeof(body));
        ck_assert_ptr_nonnull(strstr(body, "\"model_version\":\"1\""));
        jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, NULL);
        jobs_await_end(&d, 2, "published");
    } else {
        puts("full_repository: skipped, it mounts a tmpfs, which root may do");
    }
    tjFree(jpeg);
    jobs_end(&d);
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
            jobs_classify(caller->daemon, caller->jpeg, caller->size, body, sizeof(body));
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
    unsigned char *jpeg = jobs_jpeg(5, &size);
    struct caller callers[3];
    pthread_t threads[3];
    atomic_bool over = false;
    struct daemon d;

    daemon_start(&d, jobs_arguments("--access-log", "false"));
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){&d, jpeg, size, &over, 0, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_main, &callers[i]), 0);
    }
    for (int i = 1; i <= 3; i++) {
        jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, NULL);
        jobs_await_end(&d, i, "published");
        jobs_expect(&d, "POST", "/admin/models/tiny/rollback", NULL, 200, NULL);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_gt(callers[i].answers, 0);
        ck_assert_int_gt(callers[i].generations, 1);
    }
    jobs_end(&d);
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

        daemon_start(&d, jobs_arguments("--job-priority", cases[i].value));
        jobs_expect(&d, "POST", JOBS_TUNE, JOBS_TASK, 202, NULL);
        jobs_await_end(&d, 1, "published"); /* the thread has begun */
        threads = count_threads(&d, cases[i].nice, cases[i].policy);
        ck_assert_msg(i == 2 ? threads > 1 : threads == 1, "%s: %d", cases[i].value, threads);
        jobs_end(&d);
        jobs_shell("rm -rf %s", jobs_state);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("jobs");

    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tests, jobs_setup, jobs_teardown);
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
    tcase_add_loop_test(tests, full_repository, 0, 2);
    tcase_add_test(tests, swaps_under_load);
    tcase_add_test(tests, priorities);
    return suite_main("jobs", tests);
}
