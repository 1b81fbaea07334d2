/* test_jobs.c - the queue, states, decisions and publications of jobs, with work that does nothing;
 * what a job may ask for.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/jobs_bench.h"
#include "support/suite.h"
#include "support/tiny_model.h"

/* ------------------------------------------------------------------------------------------------
 * States
 */

START_TEST(published)
{
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    bench_expect("{\"id\":1,\"model\":\"tiny\",\"state\":\"queued\"");
    bench_expect("\"asked_by\":\"ops\"");
    bench_await_end(1, "published");
    bench_expect("\"base_version\":\"1\",\"version\":\"2\"");
    bench_expect(
        "\"figures\":{\"layers\":[{\"name\":\"conv2\",\"before\":0.2,\"after\":0.1}],\"p\":0.5}");
    bench_expect("data: 1 images");
    bench_expect_version("2");
    ck_assert_int_eq(access(bench_path("models/tiny/2/model.lq"), R_OK), 0);
    ck_assert_int_eq(access(bench_path("models/tiny.lq"), R_OK), 0); /* to go back to */
    ck_assert_int_ne(access(bench_path("state/candidates/1.lq"), F_OK), 0);
    ck_assert_int_eq(bench_ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    bench_expect("\"decision\":\"publish\"");
    bench_expect("\"from_version\":\"1\",\"version\":\"2\",\"reason\":\"p is 0.5\"");
    ck_assert_int_eq(bench_ask(JOBS_LIST, 0, NULL), LQ_OK);
    bench_expect("{\"jobs\":[{\"id\":1,");
}
END_TEST

START_TEST(turned_down)
{
    bench_fake.accepts = false;
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    bench_await_end(1, "rejected");
    bench_expect("p is 0.5");
    bench_fake.accepts = true;
    ck_assert_int_eq(bench_submit(",\"guard\":{\"dry_run\":true}"), LQ_OK);
    bench_await_end(2, "rejected");
    bench_expect("dry run, it would be published: p is 0.5");
    atomic_store(&bench_fake.status, LQ_ERR_FORMAT);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    bench_await_end(3, "failed");
    bench_expect("cat/a.jpg: it is damaged");
    bench_expect_version("1");
    ck_assert_int_eq(bench_ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    bench_expect("\"decision\":\"fail\"");
    bench_expect("\"decision\":\"reject\"");
    ck_assert_ptr_null(strstr(bench_answer.text, "\"publish\""));
    ck_assert_int_ne(access(bench_path("models/tiny"), F_OK), 0);
}
END_TEST

START_TEST(bad_data)
{
    static const struct {
        const char *folder, *says;
    } cases[] = {{"none", "folder 'none': No such file"},
                 {"empty", "/data/empty"},
                 {"out", "leads out of data_root"},
                 {"out/ssl", "leads out of data_root"}};
    char body[128];

    for (int i = 0; i < 4; i++) {
        snprintf(body, sizeof(body), "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"%s\"}}",
                 cases[i].folder);
        ck_assert_int_eq(bench_ask(JOBS_SUBMIT, 0, body), LQ_OK);
        bench_await_end(i + 1, "failed");
        bench_expect(cases[i].says);
    }
    ck_assert_int_eq(atomic_load(&bench_fake.tuned), 0);
}
END_TEST

START_TEST(cancelled)
{
    atomic_store(&bench_fake.hold, true);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    sem_wait(&bench_fake.begun);
    ck_assert_int_eq(bench_submit(""), LQ_OK); /* two on one model: the second waits */
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    ck_assert_int_eq(bench_ask(JOBS_SHOW, 1, NULL), LQ_OK);
    bench_expect("\"state\":\"running\"");
    ck_assert_int_eq(bench_ask(JOBS_SHOW, 2, NULL), LQ_OK);
    bench_expect("\"state\":\"queued\"");
    ck_assert_int_eq(bench_ask(JOBS_CANCEL, 2, NULL), LQ_OK);
    bench_expect("\"state\":\"cancelled\"");
    ck_assert_int_eq(bench_ask(JOBS_CANCEL, 2, NULL), LQ_ERR_UNSUPPORTED);
    ck_assert_int_eq(bench_ask(JOBS_CANCEL, 9, NULL), LQ_ERR_NOT_FOUND);
    ck_assert_int_eq(bench_ask(JOBS_CANCEL, 1, NULL), LQ_OK);
    bench_await_end(1, "cancelled");
    atomic_store(&bench_fake.hold, false);
    bench_await_end(3, "published");
    ck_assert_int_eq(atomic_load(&bench_fake.tuned), 2);
    ck_assert_int_eq(bench_ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    bench_expect("\"decision\":\"cancel\"");
}
END_TEST

START_TEST(progress_is_told)
{
    atomic_store(&bench_fake.hold, true);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    sem_wait(&bench_fake.begun);
    bench_listen(1);
    ck_assert_int_eq(bench_ask(JOBS_SHOW, 1, NULL), LQ_OK);
    for (int i = 0; i < 2000 && !strstr(bench_answer.text, "\"stage\":\"making\""); i++) {
        usleep(1000);
        ck_assert_int_eq(bench_ask(JOBS_SHOW, 1, NULL), LQ_OK);
    }
    bench_expect("\"stage\":\"making\",\"done\":3,\"total\":10,\"rate\":");
    usleep(600000); /* two events' time */
    atomic_store(&bench_fake.hold, false);
    sem_wait(&bench_ear.over);
    ck_assert_ptr_nonnull(strstr(bench_ear.heard.bytes, "event: job\ndata: {\"id\":1,"));
    ck_assert_ptr_nonnull(strstr(bench_ear.heard.bytes, "event: progress\ndata: {\"id\":1,"));
    ck_assert_ptr_nonnull(strstr(bench_ear.heard.bytes, "\"state\":\"published\""));
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    bench.config.job_queue = 2;
    atomic_store(&bench_fake.hold, true);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    sem_wait(&bench_fake.begun);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    ck_assert_int_eq(bench_submit(""), LQ_ERR_LIMIT);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Ends and crashes
 */

START_TEST(interrupted_and_resumed)
{
    atomic_store(&bench_fake.hold, true);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    sem_wait(&bench_fake.begun);
    bench_listen(1);
    jobs_close(bench.jobs);
    sem_wait(&bench_ear.over); /* nobody is left waiting */
    atomic_store(&bench_fake.hold, false);
    bench_open_jobs();
    bench_await_end(1, "interrupted");
    bench_expect("the server ended while it ran");
    bench_await_end(2, "published"); /* it waited, and still did */
    ck_assert_int_eq(bench_ask(JOBS_RESUME, 2, NULL), LQ_ERR_UNSUPPORTED);
    ck_assert_int_eq(bench_ask(JOBS_RESUME, 1, NULL), LQ_OK);
    bench_await_end(1, "published");
    bench_expect("version 2 answers now, not 1: begun anew");
    bench_expect_version("3");
}
END_TEST

/* The candidate of a job that was cut short later is not made again. */
START_TEST(resumed_with_its_candidate)
{
    atomic_store(&bench_fake.hold, true);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    sem_wait(&bench_fake.begun);
    jobs_close(bench.jobs);
    bench_run("cp %1$s/models/tiny.lq %1$s/state/candidates/1.lq");
    bench_open_jobs();
    ck_assert_int_eq(bench_ask(JOBS_RESUME, 1, NULL), LQ_OK);
    bench_await_end(1, "published");
    bench_expect("the candidate is there already");
    ck_assert_int_eq(atomic_load(&bench_fake.tuned), 1);
}
END_TEST

/* What a crash between the decision and its file, or between the file and the swap, leaves. */
START_TEST(recovered)
{
    struct decision decision = {.kind = DECISION_PUBLISH, .from = 1, .version = 2, .pending = true};
    struct job job = {.state = JOB_EVALUATING, .base = 1, .version = 2, .request = "{}"};
    struct lq_error error = {0};
    struct store *store;

    jobs_close(bench.jobs);
    registry_close(bench.registry);
    ck_assert_int_eq(store_open(bench.config.state, &store, &error), LQ_OK);
    memcpy(job.model, "tiny", 5);
    memcpy(decision.model, "tiny", 5);
    decision.job = 1;
    ck_assert_int_eq(store_save(store, &job, &decision, &error), LQ_OK);
    job.id = decision.id = 0;
    job.version = decision.version = 3;
    decision.job = 2;
    ck_assert_int_eq(store_save(store, &job, &decision, &error), LQ_OK);
    store_close(store);
    bench_run("mkdir -p %1$s/models/tiny/2 %1$s/models/tiny/.3.new && "
              "cp %1$s/models/tiny.lq %1$s/models/tiny/2/model.lq && "
              "head -c 100 %1$s/models/tiny.lq >%1$s/models/tiny/.3.new/model.lq");
    bench_open_registry();
    bench_open_jobs();
    bench_await_end(1, "published");
    bench_await_end(2, "interrupted");
    bench_expect("\"version\":null");
    bench_expect_version("2");
    ck_assert_int_ne(access(bench_path("models/tiny/.3.new"), F_OK), 0);
    ck_assert_int_eq(bench_ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    bench_expect("\"version\":\"2\"");
    ck_assert_ptr_null(strstr(bench_answer.text, "\"version\":\"3\""));
}
END_TEST

START_TEST(the_model_changed)
{
    atomic_store(&bench_fake.hold, true);
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    sem_wait(&bench_fake.begun);
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 7, NULL), LQ_ERR_NOT_FOUND);
    bench_run("mkdir -p %1$s/models/tiny/5 && cp %1$s/models/tiny.lq %1$s/models/tiny/5/model.lq");
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 5, NULL), LQ_OK); /* version 6 answers */
    atomic_store(&bench_fake.hold, false);
    bench_await_end(1, "rejected");
    bench_expect("the model changed while the job ran");
    bench_expect_version("6");
}
END_TEST

START_TEST(rolled_back)
{
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 0, NULL),
                     LQ_ERR_UNSUPPORTED); /* nothing published yet */
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 1, NULL), LQ_ERR_UNSUPPORTED); /* it answers */
    ck_assert_int_eq(bench_submit(""), LQ_OK);
    bench_await_end(1, "published");
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 0, NULL), LQ_OK);
    bench_expect("\"decision\":\"rollback\"");
    bench_expect("\"asked_by\":\"ops\",\"job\":null,\"from_version\":\"2\",\"version\":\"3\"");
    bench_expect("the file of version 1 again");
    bench_expect_version("3");
    bench_run("cmp %1$s/models/tiny.lq %1$s/models/tiny/3/model.lq");
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 2, NULL), LQ_OK);
    bench_expect_version("4");
    bench_run("cmp %1$s/models/tiny/2/model.lq %1$s/models/tiny/4/model.lq");
    jobs_close(bench.jobs);
    bench_open_jobs();
    ck_assert_int_eq(bench_ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    bench_expect("\"version\":\"4\"");
    bench_run("echo nonsense >%1$s/models/tiny/2/model.lq");
    ck_assert_int_eq(bench_ask(JOBS_ROLLBACK, 2, NULL),
                     LQ_ERR_FORMAT); /* never into a broken one */
    bench_expect_version("4");
}
END_TEST

START_TEST(not_served_or_not_writable)
{
    snprintf(bench.config.version_policy, sizeof(bench.config.version_policy), "1");
    ck_assert_int_eq(bench_submit(""), LQ_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(bench_answer.error, "version_policy"));
    ck_assert_int_eq(bench_submit(",\"guard\":{\"dry_run\":true}"), LQ_OK);
    bench_await_end(1, "rejected");
    snprintf(bench.config.version_policy, sizeof(bench.config.version_policy), "latest");
    bench.config.data_root[0] = '\0';
    ck_assert_int_eq(bench_submit(""), LQ_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(bench_answer.error, "data_root"));
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * What may be asked
 */

START_TEST(refused_requests)
{
    static const struct {
        const char *body, *says;
    } cases[] = {
        {"", "no JSON"},
        {"[]", "no JSON object"},
        {"{\"data\":{\"folder\":\"set\"}}", "mode: expected"},
        {"{\"mode\":\"magic\",\"data\":{\"folder\":\"set\"}}", "mode: expected"},
        {"{\"mode\":\"joint\"}", "data: expected one of"},
        {"{\"mode\":\"joint\",\"mode\":\"joint\"}", "duplicate"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\",\"sample\":true}}", "data: expected one"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"../x\"}}", "data.folder: expected a name"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"/etc\"}}", "data.folder: expected a name"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a//b\"}}", "data.folder: expected a name"},
        {"{\"mode\":\"joint\",\"data\":{\"upload\":\"a/b\"}}", "data.upload: expected a name"},
        {"{\"mode\":\"joint\",\"data\":{\"sample\":1}}", "data.sample: expected true"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\",\"limit\":0}}", "data.limit"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\",\"x\":0}}", "data.x: there is no such"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"x\":1}", "job.x: there is no such"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"guard\":{\"bound\":-1}}",
         "guard.bound: expected a number from 0 to 100"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"guard\":{\"hold_out\":2.5}}",
         "guard.hold_out: expected a whole number"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"guard\":{\"limit\":5}}", "guard.limit"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"guard\":{\"dry_run\":1}}",
         "guard.dry_run: expected true or false"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"guard\":{\"canary\":{\"share\":2}}}",
         "guard.canary.share: expected a number from 0.001 to 1"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"options\":{\"teacher\":\"../a\"}}",
         "options.teacher: expected a name"},
        {"{\"mode\":\"joint\",\"data\":{\"folder\":\"a\"},\"options\":{\"epochs\":1e9}}",
         "options.epochs"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ck_assert_msg(bench_ask(JOBS_SUBMIT, 0, cases[i].body) == LQ_ERR_INVALID, "%s",
                      cases[i].body);
        ck_assert_msg(strstr(bench_answer.error, cases[i].says), "%s: %s", cases[i].body,
                      bench_answer.error);
    }
    ck_assert_int_eq(
        bench_ask(JOBS_SUBMIT, 0, "{\"mode\":\"joint\",\"data\":{\"upload\":\"nobody\"}}"),
        LQ_ERR_NOT_FOUND);
    ck_assert_int_eq(bench_ask(JOBS_LIST, 0, NULL), LQ_OK);
    ck_assert_str_eq(bench_answer.text, "{\"jobs\":[]}");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("jobs");

    tcase_add_checked_fixture(tests, bench_setup, bench_teardown);
    tcase_add_test(tests, published);
    tcase_add_test(tests, turned_down);
    tcase_add_test(tests, bad_data);
    tcase_add_test(tests, cancelled);
    tcase_add_test(tests, progress_is_told);
    tcase_add_test(tests, the_queue_is_bounded);
    tcase_add_test(tests, interrupted_and_resumed);
    tcase_add_test(tests, resumed_with_its_candidate);
    tcase_add_test(tests, recovered);
    tcase_add_test(tests, the_model_changed);
    tcase_add_test(tests, rolled_back);
    tcase_add_test(tests, not_served_or_not_writable);
    tcase_add_test(tests, refused_requests);
    return suite_main("jobs", tests);
}
