/* test_kills.c - a daemon that is killed while its jobs run, publish and are rolled back.
 * LQ_KILLS: how often.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "clock.h"
#include "support/jobs.h"
#include "support/suite.h"

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
    const char *told =
        jobs_expect(d, "GET", "/admin/models/tiny/history", NULL, 200, "\"history\":[");
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
    const char *text = jobs_expect(d, "GET", "/admin/jobs", NULL, 200, NULL);
    int running = 0;

    for (const char *at = text; (at = strstr(at, "\"state\":\"")); at++)
        running += strncmp(at + 9, "running", 7) == 0 || strncmp(at + 9, "evaluating", 10) == 0;
    ck_assert_int_le(running, 1);
    if (memory->jobs == 0)
        return;
    snprintf(path, sizeof(path), "/admin/jobs/%d", memory->jobs);
    text = jobs_expect(d, "GET", path, NULL, 200, "\"request\":{\"mode\":\"calibrate\"");
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

    jobs_classify(d, jpeg, size, body, sizeof(body));
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

    if (kind < 2 && jobs_status_of(daemon_ask_admin(d, "POST", JOBS_TUNE, NULL, JOBS_TASK)) == 202)
        memory->jobs++;
    if (kind == 1) {
        char path[64];
        const char *job;

        snprintf(path, sizeof(path), "/admin/jobs/%d", memory->jobs);
        while ((job = jobs_expect(d, "GET", path, NULL, 200, NULL)) &&
               (strstr(job, "\"state\":\"running\"") || strstr(job, "\"state\":\"queued\"")))
            clock_sleep_us(500);
    } else if (kind == 2) {
        fd = begin_rollback(d);
    }
    clock_sleep_us(rand() % (kind == 2 ? 30000 : kind == 1 ? 100000 : 200000));
    daemon_kill(d);
    if (fd >= 0)
        close(fd);
}

START_TEST(killed_at_any_instant)
{
    const char *given = getenv("LQ_KILLS");
    int kills = given ? atoi(given) : 12;
    unsigned long size;
    unsigned char *jpeg = jobs_jpeg(1, &size);
    struct memory *memory = calloc(1, sizeof(*memory));
    struct daemon d;

    daemon_start(&d, jobs_arguments(NULL, NULL));
    for (int i = 0; i < kills; i++) {
        kill_at(&d, memory, i % 3);
        daemon_start_again(&d, jobs_arguments(NULL, NULL), JOBS_LOG_PIPE);
        check_answer(&d, memory, jpeg, size);
        if (memory->jobs) /* one that waited runs now; its file is there before its decision */
            free(jobs_hear(&d, memory->jobs));
        check_history(&d, memory);
        check_jobs(&d, memory, i % 3 < 2);
    }
    printf("%d kills: of %d jobs %d were seen published, %d interrupted\n", kills, memory->jobs,
           memory->published, memory->interrupted);
    jobs_end(&d);
    free(memory->history);
    free(memory);
    tjFree(jpeg);
}
END_TEST

int main(void)
{
    const char *kills = getenv("LQ_KILLS");
    TCase *tests = tcase_create("kills");

    signal(SIGPIPE, SIG_IGN);
    tcase_set_timeout(tests, kills ? 120 + 10 * atoi(kills) : 300);
    tcase_add_checked_fixture(tests, jobs_setup, jobs_teardown);
    tcase_add_test(tests, killed_at_any_instant);
    return suite_main("kills", tests);
}
