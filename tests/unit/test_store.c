/* test_store.c - jobs and decisions survive in their file; a wrong file is refused.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"

static char folder[64];

static void setup(void)
{
    snprintf(folder, sizeof(folder), "/tmp/lqnet-store-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[96];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *file(void)
{
    static char path[96];

    snprintf(path, sizeof(path), "%s/jobs.db", folder);
    return path;
}

static struct store *open_store(void)
{
    struct store *store;
    struct lq_error error = {0};

    ck_assert_msg(store_open(folder, &store, &error) == LQ_OK, "%s", error.text);
    return store;
}

static int64_t add(struct store *store, const char *model, enum job_state state)
{
    struct job job = {.state = state, .created_ms = 1000, .base = 3, .request = "{\"mode\":1}"};
    struct lq_error error = {0};

    snprintf(job.model, sizeof(job.model), "%s", model);
    snprintf(job.who, sizeof(job.who), "ops");
    snprintf(job.reason, sizeof(job.reason), "because '; DROP TABLE job; -- \xc3\xa4");
    ck_assert_msg(store_save(store, &job, NULL, &error) == LQ_OK, "%s", error.text);
    return job.id;
}

static void count_decision(void *context, const struct decision *decision)
{
    int *count = context;

    ck_assert_int_eq(decision->kind, DECISION_PUBLISH);
    ck_assert_str_eq(decision->model, "m");
    ck_assert_str_eq(decision->figures, "{\"p\":0.5}");
    ++*count;
}

/* How many there are about a model, with ids below `before`. */
static int count_decisions(struct store *store, const char *model, int64_t before)
{
    const struct store_page page = {model, before, 10};
    struct lq_error error = {0};
    int count = 0;

    ck_assert_int_eq(store_decisions(store, &page, count_decision, &count, &error), LQ_OK);
    return count;
}

static void count_job(void *context, const struct job *job)
{
    int64_t *last = context;

    ck_assert_int_lt(job->id, *last); /* the newest first */
    *last = job->id;
}

START_TEST(kept_across_restarts)
{
    struct store *store = open_store();
    int64_t a = add(store, "m", JOB_QUEUED), b = add(store, "m", JOB_RUNNING), ids[4];
    struct decision decision = {
        .kind = DECISION_PUBLISH, .at_ms = 5, .job = b, .version = 2, .pending = true};
    struct lq_error error = {0};
    struct job job;
    int count = 0;

    ck_assert_int_eq(a, 1);
    ck_assert_int_eq(b, 2);
    decision.figures = "{\"p\":0.5}";
    snprintf(decision.model, sizeof(decision.model), "m");
    ck_assert_int_eq(store_job(store, b, &job, &error), LQ_OK);
    job.state = JOB_EVALUATING;
    job.figures = strdup("{}");
    ck_assert_int_eq(store_save(store, &job, &decision, &error), LQ_OK);
    job_deinit(&job);
    store_close(store);

    store = open_store();
    ck_assert_int_eq(store_job(store, b, &job, &error), LQ_OK);
    ck_assert_int_eq(job.state, JOB_EVALUATING);
    ck_assert_str_eq(job.figures, "{}");
    ck_assert_str_eq(job.who, "ops");
    ck_assert_str_eq(job.reason, "because '; DROP TABLE job; -- \xc3\xa4");
    ck_assert_str_eq(job.request, "{\"mode\":1}");
    ck_assert_int_eq(job.base, 3);
    ck_assert_ptr_null(job.log);
    job_deinit(&job);
    ck_assert_int_eq(store_find(store, JOB_QUEUED, ids, 4, &count, &error), LQ_OK);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(ids[0], a);
    count = 0;
    ck_assert_int_eq(store_pending(store, count_decision, &count, &error), LQ_OK);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(count_decisions(store, "m", 0), 0); /* not yet */
    decision.pending = false;
    ck_assert_int_eq(store_save(store, NULL, &decision, &error), LQ_OK);
    count = 0;
    ck_assert_int_eq(store_pending(store, count_decision, &count, &error), LQ_OK);
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(count_decisions(store, "m", 0), 1); /* the same one, changed */
    ck_assert_int_eq(count_decisions(store, "m", decision.id), 0);
    ck_assert_int_eq(count_decisions(store, "m", decision.id + 1), 1);
    ck_assert_int_eq(count_decisions(store, "n", 0), 0);
    ck_assert_int_eq(store_forget(store, decision.id, &error), LQ_OK);
    ck_assert_int_eq(count_decisions(store, "m", 0), 0);
    ck_assert_int_eq(store_job(store, 99, &job, &error), LQ_ERR_NOT_FOUND);
    store_close(store);
}
END_TEST

START_TEST(lists)
{
    struct store *store = open_store();
    int64_t counts[JOB_STATE_COUNT], last = INT64_MAX;
    struct lq_error error = {0};

    for (int i = 0; i < 7; i++)
        add(store, "m", i < 3 ? JOB_FAILED : JOB_QUEUED);
    ck_assert_int_eq(store_count(store, counts, &error), LQ_OK);
    ck_assert_int_eq(counts[JOB_FAILED], 3);
    ck_assert_int_eq(counts[JOB_QUEUED], 4);
    ck_assert_int_eq(counts[JOB_RUNNING], 0);
    ck_assert_int_eq(store_jobs(store, 0, 5, count_job, &last, &error), LQ_OK);
    ck_assert_int_eq(last, 3);
    ck_assert_int_eq(store_jobs(store, 3, 5, count_job, &last, &error), LQ_OK);
    ck_assert_int_eq(last, 1);
    store_close(store);
}
END_TEST

/* One server at a time: the second one is refused as long as the first lives. */
START_TEST(locked)
{
    struct store *store = open_store();
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct store *second;
        struct lq_error error = {0};

        _exit(store_open(folder, &second, &error) == LQ_ERR_IO &&
                      strstr(error.text, "another server uses it")
                  ? 0
                  : 1);
    }
    waitpid(pid, &status, 0);
    ck_assert_int_eq(status, 0);
    store_close(store);
    store = open_store();
    store_close(store);
}
END_TEST

static void write_file(const char *bytes, size_t size)
{
    FILE *out = fopen(file(), "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(bytes, 1, size, out), size);
    fclose(out);
}

static void refuse(int status, const char *says)
{
    struct store *store;
    struct lq_error error = {0};

    ck_assert_int_eq(store_open(folder, &store, &error), status);
    ck_assert_msg(strstr(error.text, says), "%s", error.text);
}

START_TEST(wrong_files)
{
    struct store *store;
    char page[4096], command[200];
    FILE *in;

    memset(page, 'x', sizeof(page));
    write_file(page, sizeof(page));
    refuse(LQ_ERR_FORMAT, "not a database");
    unlink(file());
    store = open_store();
    for (int i = 0; i < 200; i++)
        add(store, "m", JOB_FAILED);
    store_close(store);
    /* all pages but the first: nonsense */
    in = fopen(file(), "r+");
    fseek(in, 0, SEEK_END);
    long size = ftell(in);
    for (long at = 4096; at < size; at += 4096) {
        fseek(in, at, SEEK_SET);
        fwrite(page, 1, 2000, in);
    }
    fclose(in);
    refuse(LQ_ERR_FORMAT, "jobs.db");
    unlink(file());
    snprintf(command, sizeof(command), "%s/x", folder);
    ck_assert_int_eq(symlink(command, file()), 0);
    refuse(LQ_ERR_IO, "jobs.db");
    unlink(file());
    store_close(open_store()); /* made anew where it is absent */
}
END_TEST

/* A full disk: what was saved before stays, and saving goes on when there is room again. */
START_TEST(full_disk)
{
    struct store *store = open_store();
    struct rlimit limit, tight = {200000, RLIM_INFINITY};
    struct lq_error error = {0};
    struct job job = {.state = JOB_QUEUED};
    int64_t counts[JOB_STATE_COUNT];
    int saved = 0;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    job.request = malloc(20000);
    memset(job.request, 'r', 19999);
    job.request[19999] = '\0';
    while (store_save(store, &job, NULL, &error) == LQ_OK && saved < 100) {
        saved++;
        job.id = 0;
    }
    ck_assert_int_gt(saved, 0);
    ck_assert_int_lt(saved, 100);
    ck_assert_int_eq(error.status, LQ_ERR_IO);
    ck_assert_int_eq(store_count(store, counts, NULL), LQ_OK);
    ck_assert_int_eq(counts[JOB_QUEUED], saved);
    setrlimit(RLIMIT_FSIZE, &limit);
    ck_assert_int_eq(store_save(store, &job, NULL, NULL), LQ_OK);
    store_close(store);
    store = open_store();
    ck_assert_int_eq(store_count(store, counts, NULL), LQ_OK);
    ck_assert_int_eq(counts[JOB_QUEUED], saved + 1);
    store_close(store);
    free(job.request);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("store");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, kept_across_restarts);
    tcase_add_test(tests, lists);
    tcase_add_test(tests, locked);
    tcase_add_test(tests, wrong_files);
    tcase_add_test(tests, full_disk);
    return suite_main("store", tests);
}
