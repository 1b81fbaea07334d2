/* test_jobs.c - the queue, states, decisions and publications of jobs, with work that does nothing;
 * what a job may ask for; samples and the canary.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/jobs.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "jobs/jobs_private.h"
#include "support/suite.h"
#include "support/tiny_model.h"

/* ------------------------------------------------------------------------------------------------
 * Work that does nothing
 */

static struct {
    sem_t begun; /* a candidate is being made */
    atomic_bool hold;
    atomic_int tuned, status;
    bool accepts;
} fake;

static int fake_tune(const struct work_task *task, struct lq_model **ret_candidate,
                     struct text *figures, struct lq_error *error)
{
    bool stopped = false;

    sem_post(&fake.begun);
    atomic_fetch_add(&fake.tuned, 1);
    while (atomic_load(&fake.hold) && !stopped) {
        stopped = task->progress.report(task->progress.context, "making", 3, 10);
        usleep(500); /* as work would take its time */
    }
    if (stopped)
        return error_set(error, LQ_ERR_CANCELLED, "cancelled");
    if (atomic_load(&fake.status) != LQ_OK)
        return error_set(error, atomic_load(&fake.status), "cat/a.jpg: it is damaged");
    text_string(figures, "\"layers\":[{\"name\":\"conv2\",\"before\":0.2,\"after\":0.1}],");
    *ret_candidate = lq_model_ref(task->model);
    return LQ_OK;
}

static int fake_judge(const struct work_task *task, struct lq_model *candidate,
                      struct work_verdict *ret_verdict, struct text *figures,
                      struct lq_error *error)
{
    (void)candidate;
    if (task->progress.report(task->progress.context, "comparing", 1, 1))
        return error_set(error, LQ_ERR_CANCELLED, "cancelled");
    ret_verdict->accepted = fake.accepts;
    snprintf(ret_verdict->reason, sizeof(ret_verdict->reason), "p is 0.5");
    text_string(figures, "\"p\":0.5,");
    return LQ_OK;
}

static const struct work fake_work = {fake_tune, fake_judge};

/* ------------------------------------------------------------------------------------------------
 * A bench
 */

static struct bench {
    char folder[64];
    struct config config;
    struct metrics *metrics;
    struct lq_engine *engine;
    struct registry *registry;
    struct sampler *sampler;
    struct jobs *jobs;
} bench;

/* A command in which %1$s stands for the folder. */
static void run(const char *format)
{
    char command[400];

    snprintf(command, sizeof(command), format, bench.folder);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_folder(const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", bench.folder, name);
    return path;
}

static void open_jobs(void)
{
    const struct jobs_setup setup = {&bench.config, bench.engine,  bench.registry,
                                     bench.metrics, bench.sampler, &fake_work};
    struct lq_error error = {0};

    ck_assert_msg(jobs_open(&setup, &bench.jobs, &error) == LQ_OK, "%s", error.text);
}

static void open_registry(void)
{
    struct lq_error error = {0};

    ck_assert_msg(
        registry_open(bench.engine, &bench.config, bench.metrics, &bench.registry, &error) == LQ_OK,
        "%s", error.text);
}

static unsigned char *make_jpeg(unsigned long *ret_size)
{
    static unsigned char pixels[8 * 8 * 3];
    unsigned char *jpeg = NULL;
    tjhandle encoder = tjInitCompress();

    ck_assert_int_eq(
        tjCompress2(encoder, pixels, 8, 0, 8, TJPF_RGB, &jpeg, ret_size, TJSAMP_444, 90, 0), 0);
    tjDestroy(encoder);
    return jpeg;
}

static void put_picture(const char *name)
{
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);
    FILE *file = fopen(in_folder(name), "w");

    ck_assert_ptr_nonnull(file);
    fwrite(jpeg, 1, size, file);
    fclose(file);
    tjFree(jpeg);
}

static void setup(void)
{
    struct lq_error error = {0};
    char value[96];

    bench = (struct bench){.folder = "/tmp/lqnet-jobs-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(bench.folder));
    mkdir(in_folder("models"), 0755);
    mkdir(in_folder("data"), 0755);
    mkdir(in_folder("data/set"), 0755);
    mkdir(in_folder("data/set/cat"), 0755);
    mkdir(in_folder("data/empty"), 0755);
    ck_assert_int_eq(symlink("/etc", in_folder("data/out")), 0);
    put_picture("data/set/cat/a.jpg");
    ck_assert_int_eq(tiny_model_write(in_folder("models/tiny.lq"), NULL), 0);
    config_init(&bench.config);
    bench.config.workers = 1;
    bench.config.sample_images = 10;
    snprintf(value, sizeof(value), "%s/models", bench.folder);
    memcpy(bench.config.models, value, sizeof(value));
    snprintf(value, sizeof(value), "%s/state", bench.folder);
    memcpy(bench.config.state, value, sizeof(value));
    snprintf(value, sizeof(value), "%s/data", bench.folder);
    memcpy(bench.config.data_root, value, sizeof(value));
    sem_init(&fake.begun, 0, 0);
    atomic_store(&fake.hold, false);
    atomic_store(&fake.status, LQ_OK);
    atomic_store(&fake.tuned, 0);
    fake.accepts = true;
    ck_assert_int_eq(metrics_create(NULL, 0, &bench.metrics, &error), LQ_OK);
    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &bench.engine, &error), LQ_OK);
    open_registry();
    ck_assert_int_eq(sampler_create(&bench.config, &bench.sampler, &error), LQ_OK);
    open_jobs();
}

static void teardown(void)
{
    atomic_store(&fake.hold, false);
    jobs_close(bench.jobs);
    registry_close(bench.registry);
    sampler_destroy(bench.sampler);
    lq_engine_destroy(bench.engine);
    metrics_destroy(bench.metrics);
    run("chmod -R u+w %1$s && rm -rf %1$s");
}

/* ------------------------------------------------------------------------------------------------
 * Orders
 */

static struct {
    sem_t done;
    int status;
    char text[16384], error[600];
} answer;

static void on_done(void *context, int status, const struct lq_error *error, struct text *json)
{
    (void)context;
    answer.status = status;
    snprintf(answer.error, sizeof(answer.error), "%s", error->text);
    snprintf(answer.text, sizeof(answer.text), "%.*s", (int)json->length,
             json->bytes ? json->bytes : "");
    text_free(json);
    sem_post(&answer.done);
}

static int order(const struct jobs_order *order)
{
    sem_init(&answer.done, 0, 0);
    ck_assert(jobs_request(bench.jobs, order, on_done, NULL));
    sem_wait(&answer.done);
    return answer.status;
}

static int ask(enum jobs_action action, int64_t number, const char *body)
{
    struct jobs_order o = {.action = action,
                           .model = "tiny",
                           .name = "up",
                           .who = "ops",
                           .number = number,
                           .body = body,
                           .size = body ? strlen(body) : 0};

    return order(&o);
}

static void expect(const char *text)
{
    ck_assert_msg(strstr(answer.text, text), "%s: %s", text, answer.text);
}

static int submit(const char *more)
{
    char body[300];

    snprintf(body, sizeof(body), "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"}%s}", more);
    return ask(JOBS_SUBMIT, 0, body);
}

/* Listens until the job ends. */
static struct {
    sem_t listening, over;
    struct text heard;
} ear;

static bool hear(void *context, const char *bytes, size_t size)
{
    (void)context;
    text_append(&ear.heard, bytes, size);
    return true;
}

static void hear_end(void *context)
{
    (void)context;
    text_append(&ear.heard, "", 1);
    sem_post(&ear.over);
}

static void on_listen(void *context, int status, const struct lq_error *error, struct text *json)
{
    const struct jobs_listener listener = {hear, hear_end, NULL};

    (void)context;
    (void)json;
    ck_assert_msg(status == LQ_OK, "%s", error->text);
    ck_assert(jobs_listen(bench.jobs, &listener));
    sem_post(&ear.listening);
}

static void listen_to(int64_t job)
{
    const struct jobs_order o = {.action = JOBS_LISTEN, .number = job};

    text_free(&ear.heard);
    sem_init(&ear.listening, 0, 0);
    sem_init(&ear.over, 0, 0);
    ck_assert(jobs_request(bench.jobs, &o, on_listen, NULL));
    sem_wait(&ear.listening);
}

static void await_end(int64_t job, const char *state)
{
    char wanted[64];

    listen_to(job);
    sem_wait(&ear.over);
    snprintf(wanted, sizeof(wanted), "\"state\":\"%s\"", state);
    ck_assert_int_eq(ask(JOBS_SHOW, job, NULL), LQ_OK);
    expect(wanted);
    ck_assert_msg(strstr(ear.heard.bytes, "event: end\ndata: {"), "%s", ear.heard.bytes);
    ck_assert_msg(strstr(ear.heard.bytes, wanted), "%s", ear.heard.bytes);
}

static void expect_version(const char *version)
{
    struct generation *generation;

    ck_assert_int_eq(registry_acquire(bench.registry, "tiny", NULL, &generation, NULL), LQ_OK);
    ck_assert_str_eq(generation->version_text, version);
    generation_unref(generation);
}

/* ------------------------------------------------------------------------------------------------
 * States
 */

START_TEST(published)
{
    ck_assert_int_eq(submit(""), LQ_OK);
    expect("{\"id\":1,\"model\":\"tiny\",\"state\":\"queued\"");
    expect("\"asked_by\":\"ops\"");
    await_end(1, "published");
    expect("\"base_version\":\"1\",\"version\":\"2\"");
    expect(
        "\"figures\":{\"layers\":[{\"name\":\"conv2\",\"before\":0.2,\"after\":0.1}],\"p\":0.5}");
    expect("data: 1 images");
    expect_version("2");
    ck_assert_int_eq(access(in_folder("models/tiny/2/model.lq"), R_OK), 0);
    ck_assert_int_eq(access(in_folder("models/tiny.lq"), R_OK), 0); /* to go back to */
    ck_assert_int_ne(access(in_folder("state/candidates/1.lq"), F_OK), 0);
    ck_assert_int_eq(ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    expect("\"decision\":\"publish\"");
    expect("\"from_version\":\"1\",\"version\":\"2\",\"reason\":\"p is 0.5\"");
    ck_assert_int_eq(ask(JOBS_LIST, 0, NULL), LQ_OK);
    expect("{\"jobs\":[{\"id\":1,");
}
END_TEST

START_TEST(turned_down)
{
    fake.accepts = false;
    ck_assert_int_eq(submit(""), LQ_OK);
    await_end(1, "rejected");
    expect("p is 0.5");
    fake.accepts = true;
    ck_assert_int_eq(submit(",\"guard\":{\"dry_run\":true}"), LQ_OK);
    await_end(2, "rejected");
    expect("dry run, it would be published: p is 0.5");
    atomic_store(&fake.status, LQ_ERR_FORMAT);
    ck_assert_int_eq(submit(""), LQ_OK);
    await_end(3, "failed");
    expect("cat/a.jpg: it is damaged");
    expect_version("1");
    ck_assert_int_eq(ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    expect("\"decision\":\"fail\"");
    expect("\"decision\":\"reject\"");
    ck_assert_ptr_null(strstr(answer.text, "\"publish\""));
    ck_assert_int_ne(access(in_folder("models/tiny"), F_OK), 0);
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
        ck_assert_int_eq(ask(JOBS_SUBMIT, 0, body), LQ_OK);
        await_end(i + 1, "failed");
        expect(cases[i].says);
    }
    ck_assert_int_eq(atomic_load(&fake.tuned), 0);
}
END_TEST

START_TEST(cancelled)
{
    atomic_store(&fake.hold, true);
    ck_assert_int_eq(submit(""), LQ_OK);
    sem_wait(&fake.begun);
    ck_assert_int_eq(submit(""), LQ_OK); /* two on one model: the second waits */
    ck_assert_int_eq(submit(""), LQ_OK);
    ck_assert_int_eq(ask(JOBS_SHOW, 1, NULL), LQ_OK);
    expect("\"state\":\"running\"");
    ck_assert_int_eq(ask(JOBS_SHOW, 2, NULL), LQ_OK);
    expect("\"state\":\"queued\"");
    ck_assert_int_eq(ask(JOBS_CANCEL, 2, NULL), LQ_OK);
    expect("\"state\":\"cancelled\"");
    ck_assert_int_eq(ask(JOBS_CANCEL, 2, NULL), LQ_ERR_UNSUPPORTED);
    ck_assert_int_eq(ask(JOBS_CANCEL, 9, NULL), LQ_ERR_NOT_FOUND);
    ck_assert_int_eq(ask(JOBS_CANCEL, 1, NULL), LQ_OK);
    await_end(1, "cancelled");
    atomic_store(&fake.hold, false);
    await_end(3, "published");
    ck_assert_int_eq(atomic_load(&fake.tuned), 2);
    ck_assert_int_eq(ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    expect("\"decision\":\"cancel\"");
}
END_TEST

START_TEST(progress_is_told)
{
    atomic_store(&fake.hold, true);
    ck_assert_int_eq(submit(""), LQ_OK);
    sem_wait(&fake.begun);
    listen_to(1);
    ck_assert_int_eq(ask(JOBS_SHOW, 1, NULL), LQ_OK);
    for (int i = 0; i < 2000 && !strstr(answer.text, "\"stage\":\"making\""); i++) {
        usleep(1000);
        ck_assert_int_eq(ask(JOBS_SHOW, 1, NULL), LQ_OK);
    }
    expect("\"stage\":\"making\",\"done\":3,\"total\":10,\"rate\":");
    usleep(600000); /* two events' time */
    atomic_store(&fake.hold, false);
    sem_wait(&ear.over);
    ck_assert_ptr_nonnull(strstr(ear.heard.bytes, "event: job\ndata: {\"id\":1,"));
    ck_assert_ptr_nonnull(strstr(ear.heard.bytes, "event: progress\ndata: {\"id\":1,"));
    ck_assert_ptr_nonnull(strstr(ear.heard.bytes, "\"state\":\"published\""));
}
END_TEST

START_TEST(the_queue_is_bounded)
{
    bench.config.job_queue = 2;
    atomic_store(&fake.hold, true);
    ck_assert_int_eq(submit(""), LQ_OK);
    sem_wait(&fake.begun);
    ck_assert_int_eq(submit(""), LQ_OK);
    ck_assert_int_eq(submit(""), LQ_OK);
    ck_assert_int_eq(submit(""), LQ_ERR_LIMIT);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Ends and crashes
 */

START_TEST(interrupted_and_resumed)
{
    atomic_store(&fake.hold, true);
    ck_assert_int_eq(submit(""), LQ_OK);
    ck_assert_int_eq(submit(""), LQ_OK);
    sem_wait(&fake.begun);
    listen_to(1);
    jobs_close(bench.jobs);
    sem_wait(&ear.over); /* nobody is left waiting */
    atomic_store(&fake.hold, false);
    open_jobs();
    await_end(1, "interrupted");
    expect("the server ended while it ran");
    await_end(2, "published"); /* it waited, and still did */
    ck_assert_int_eq(ask(JOBS_RESUME, 2, NULL), LQ_ERR_UNSUPPORTED);
    ck_assert_int_eq(ask(JOBS_RESUME, 1, NULL), LQ_OK);
    await_end(1, "published");
    expect("version 2 answers now, not 1: begun anew");
    expect_version("3");
}
END_TEST

/* The candidate of a job that was cut short later is not made again. */
START_TEST(resumed_with_its_candidate)
{
    atomic_store(&fake.hold, true);
    ck_assert_int_eq(submit(""), LQ_OK);
    sem_wait(&fake.begun);
    jobs_close(bench.jobs);
    run("cp %1$s/models/tiny.lq %1$s/state/candidates/1.lq");
    open_jobs();
    ck_assert_int_eq(ask(JOBS_RESUME, 1, NULL), LQ_OK);
    await_end(1, "published");
    expect("the candidate is there already");
    ck_assert_int_eq(atomic_load(&fake.tuned), 1);
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
    run("mkdir -p %1$s/models/tiny/2 %1$s/models/tiny/.3.new && "
        "cp %1$s/models/tiny.lq %1$s/models/tiny/2/model.lq && "
        "head -c 100 %1$s/models/tiny.lq >%1$s/models/tiny/.3.new/model.lq");
    open_registry();
    open_jobs();
    await_end(1, "published");
    await_end(2, "interrupted");
    expect("\"version\":null");
    expect_version("2");
    ck_assert_int_ne(access(in_folder("models/tiny/.3.new"), F_OK), 0);
    ck_assert_int_eq(ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    expect("\"version\":\"2\"");
    ck_assert_ptr_null(strstr(answer.text, "\"version\":\"3\""));
}
END_TEST

START_TEST(the_model_changed)
{
    atomic_store(&fake.hold, true);
    ck_assert_int_eq(submit(""), LQ_OK);
    sem_wait(&fake.begun);
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 7, NULL), LQ_ERR_NOT_FOUND);
    run("mkdir -p %1$s/models/tiny/5 && cp %1$s/models/tiny.lq %1$s/models/tiny/5/model.lq");
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 5, NULL), LQ_OK); /* version 6 answers */
    atomic_store(&fake.hold, false);
    await_end(1, "rejected");
    expect("the model changed while the job ran");
    expect_version("6");
}
END_TEST

START_TEST(rolled_back)
{
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 0, NULL), LQ_ERR_UNSUPPORTED); /* nothing published yet */
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 1, NULL), LQ_ERR_UNSUPPORTED); /* it answers */
    ck_assert_int_eq(submit(""), LQ_OK);
    await_end(1, "published");
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 0, NULL), LQ_OK);
    expect("\"decision\":\"rollback\"");
    expect("\"asked_by\":\"ops\",\"job\":null,\"from_version\":\"2\",\"version\":\"3\"");
    expect("the file of version 1 again");
    expect_version("3");
    run("cmp %1$s/models/tiny.lq %1$s/models/tiny/3/model.lq");
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 2, NULL), LQ_OK);
    expect_version("4");
    run("cmp %1$s/models/tiny/2/model.lq %1$s/models/tiny/4/model.lq");
    jobs_close(bench.jobs);
    open_jobs();
    ck_assert_int_eq(ask(JOBS_HISTORY, 0, NULL), LQ_OK);
    expect("\"version\":\"4\"");
    run("echo nonsense >%1$s/models/tiny/2/model.lq");
    ck_assert_int_eq(ask(JOBS_ROLLBACK, 2, NULL), LQ_ERR_FORMAT); /* never into a broken one */
    expect_version("4");
}
END_TEST

START_TEST(not_served_or_not_writable)
{
    snprintf(bench.config.version_policy, sizeof(bench.config.version_policy), "1");
    ck_assert_int_eq(submit(""), LQ_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(answer.error, "version_policy"));
    ck_assert_int_eq(submit(",\"guard\":{\"dry_run\":true}"), LQ_OK);
    await_end(1, "rejected");
    snprintf(bench.config.version_policy, sizeof(bench.config.version_policy), "latest");
    bench.config.data_root[0] = '\0';
    ck_assert_int_eq(submit(""), LQ_ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(answer.error, "data_root"));
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
        ck_assert_msg(ask(JOBS_SUBMIT, 0, cases[i].body) == LQ_ERR_INVALID, "%s", cases[i].body);
        ck_assert_msg(strstr(answer.error, cases[i].says), "%s: %s", cases[i].body, answer.error);
    }
    ck_assert_int_eq(ask(JOBS_SUBMIT, 0, "{\"mode\":\"joint\",\"data\":{\"upload\":\"nobody\"}}"),
                     LQ_ERR_NOT_FOUND);
    ck_assert_int_eq(ask(JOBS_LIST, 0, NULL), LQ_OK);
    ck_assert_str_eq(answer.text, "{\"jobs\":[]}");
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Uploads
 */

/* One part of a form after the other: class, file name, bytes. */
static int upload(const char *const *parts, int count)
{
    struct text body = {0};
    struct jobs_order o = {.action = JOBS_UPLOAD,
                           .model = "tiny",
                           .name = "up",
                           .type = "multipart/form-data; boundary=XX"};
    unsigned long size;
    unsigned char *jpeg = make_jpeg(&size);
    int status;

    for (int i = 0; i < count; i += 3) {
        text_printf(&body,
                    "--XX\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\n\r\n",
                    parts[i], parts[i + 1]);
        if (parts[i + 2])
            text_string(&body, parts[i + 2]);
        else
            text_append(&body, jpeg, size);
        text_string(&body, "\r\n");
    }
    text_string(&body, "--XX--\r\n");
    tjFree(jpeg);
    o.body = body.bytes;
    o.size = body.length;
    status = order(&o);
    text_free(&body);
    return status;
}

START_TEST(uploads)
{
    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL, "3", "b.jpg", NULL}, 6), LQ_OK);
    expect("{\"name\":\"up\",\"files\":2,\"labelled\":true,");
    ck_assert_int_eq(ask(JOBS_UPLOADS, 0, NULL), LQ_OK);
    expect("{\"uploads\":[{\"name\":\"up\",\"bytes\":");
    ck_assert_int_eq(ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"up\"}}"),
                     LQ_OK);
    await_end(1, "published");
    expect("data: 2 images");
    ck_assert_int_eq(upload((const char *[]){"file", "a.jpg", NULL}, 3), LQ_OK);
    expect("\"labelled\":false");
    ck_assert_int_eq(upload((const char *[]){"zebra", "z.jpg", NULL}, 3), LQ_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(answer.error, "z.jpg: the model has no class 'zebra'"));
    ck_assert_int_eq(upload((const char *[]){"4", "z.jpg", NULL}, 3), LQ_ERR_INVALID);
    ck_assert_int_eq(upload((const char *[]){"cat", "z.jpg", "no picture"}, 3), LQ_ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(answer.error, "z.jpg is neither a JPEG nor a PNG file"));
    ck_assert_int_eq(upload((const char *[]){"cat", "a", NULL, "file", "b", NULL}, 6),
                     LQ_ERR_INVALID);
    ck_assert_ptr_nonnull(strstr(answer.error, "1 of 2 files have a class"));
    ck_assert_int_eq(upload(NULL, 0), LQ_ERR_INVALID);
    ck_assert_int_eq(ask(JOBS_UPLOAD, 0, "x"), LQ_ERR_INVALID); /* without a type */
    ck_assert_ptr_nonnull(strstr(answer.error, "application/x-tar"));
    bench.config.upload_bytes = 100;
    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL}, 3), LQ_ERR_LIMIT);
    ck_assert_int_eq(ask(JOBS_DISCARD, 0, NULL), LQ_OK);
    ck_assert_int_eq(ask(JOBS_DISCARD, 0, NULL), LQ_ERR_NOT_FOUND);
    ck_assert_int_eq(ask(JOBS_UPLOADS, 0, NULL), LQ_OK);
    ck_assert_str_eq(answer.text, "{\"uploads\":[]}");
}
END_TEST

/* A file of uploads that was changed: an answer, and nothing read beyond it. */
START_TEST(damaged_uploads)
{
    const char *path;
    long size;

    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL}, 3), LQ_OK);
    path = in_folder("state/uploads/tiny@up.set");
    FILE *file = fopen(path, "r+");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    fseek(file, 12, SEEK_SET); /* the length of the name */
    fwrite("\xff\xff\xff\xff", 1, 4, file);
    fclose(file);
    ck_assert_int_eq(ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"up\"}}"),
                     LQ_OK);
    await_end(1, "failed");
    expect("upload 'up' is damaged");
    ck_assert_int_eq(upload((const char *[]){"cat", "a.jpg", NULL}, 3), LQ_OK);
    for (int i = 2; i < 12; i++) {
        ck_assert_int_eq(truncate(in_folder("state/uploads/tiny@up.set"), size - 7 * i), 0);
        ck_assert_int_eq(
            ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"upload\":\"up\"}}"), LQ_OK);
        await_end(i, "failed");
        expect("upload 'up' is damaged");
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * What passes
 */

static void pass(struct generation *generation, int count, int class)
{
    uint8_t pixels[3 * 8 * 8] = {0};
    float output[4] = {0};

    output[class] = 1;
    for (int i = 0; i < count; i++) {
        pixels[0] = (uint8_t)i;
        sampler_see(bench.sampler, generation, pixels, output, 1);
    }
}

START_TEST(samples)
{
    struct sampler_pictures pictures;
    struct generation *generation;
    struct lq_error error = {0};
    int recent = 0;

    ck_assert_int_eq(registry_acquire(bench.registry, "tiny", NULL, &generation, NULL), LQ_OK);
    ck_assert_int_eq(sampler_copy(bench.sampler, "tiny", &generation->info, &pictures, &error),
                     LQ_ERR_NOT_FOUND);
    pass(generation, 4, 0);
    ck_assert_int_eq(sampler_copy(bench.sampler, "tiny", &generation->info, &pictures, NULL),
                     LQ_OK);
    ck_assert_int_eq(pictures.count, 4);
    free(pictures.pixels);
    for (int i = 0; i < 10; i++)
        pass(generation, 200, 0);
    ck_assert_int_eq(sampler_copy(bench.sampler, "tiny", &generation->info, &pictures, NULL),
                     LQ_OK);
    ck_assert_int_eq(pictures.count, 10); /* no more than sample_images */
    for (int i = 0; i < 10; i++)
        recent += pictures.pixels[192 * i] >= 4;
    ck_assert_int_ge(recent, 8); /* the first four have gone (0.0002 % of runs) */
    free(pictures.pixels);
    ck_assert_int_eq(sampler_bytes(bench.sampler), 10 * 192);
    ck_assert_int_eq(ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"sample\":true}}"),
                     LQ_OK);
    await_end(1, "published");
    expect("data: 10 images");
    bench.config.sample_images = 0;
    ck_assert_int_eq(ask(JOBS_SUBMIT, 0, "{\"mode\":\"calibrate\",\"data\":{\"sample\":true}}"),
                     LQ_ERR_UNSUPPORTED);
    generation_unref(generation);
}
END_TEST

/* What the model says of a black picture is what the candidate, the same network, says. */
static int black_class(const struct generation *generation)
{
    const struct lq_session_options options = {1, 1, LQ_FORM_AUTO};
    static const uint8_t pixels[192];
    struct lq_prediction best;
    struct lq_session *session;
    float output[4];

    ck_assert_int_eq(lq_session_create(generation->model, &options, &session, NULL), LQ_OK);
    ck_assert_int_eq(lq_session_run_pixels(session, pixels, 1, output, NULL), LQ_OK);
    lq_model_top_k(generation->model, output, 1, &best);
    lq_session_destroy(session);
    return best.index;
}

static void run_canary(int64_t job, bool agree, const char *state)
{
    struct generation *generation;
    int class;

    ck_assert_int_eq(registry_acquire(bench.registry, "tiny", NULL, &generation, NULL), LQ_OK);
    class = black_class(generation);
    ck_assert_int_eq(submit(",\"guard\":{\"canary\":{\"share\":1,\"images\":20}}"), LQ_OK);
    listen_to(job);
    for (int i = 0; sem_trywait(&ear.over) != 0; i++) {
        ck_assert_int_lt(i, 60000);
        pass(generation, 1, agree ? class : (class + 1) % 4);
        usleep(200);
    }
    generation_unref(generation);
    await_end(job, state);
}

START_TEST(canary)
{
    run_canary(1, false, "rejected");
    expect("canary: 100.00 % of 20 live pictures are answered otherwise, at most 5 % may");
    expect("\"canary\":{\"images\":20,\"different\":20}");
    run_canary(2, true, "published");
    expect("\"canary\":{\"images\":20,\"different\":0}");
    ck_assert_int_eq(submit(",\"guard\":{\"canary\":{\"images\":20,\"seconds\":1}}"), LQ_OK);
    await_end(3, "rejected");
    expect("canary: 0 live pictures came in 1 s, 20 were wanted");
    ck_assert_int_eq(submit(",\"guard\":{\"canary\":{}}"), LQ_OK);
    listen_to(4);
    ck_assert_int_eq(ask(JOBS_CANCEL, 4, NULL), LQ_OK);
    await_end(4, "cancelled");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("jobs");

    tcase_add_checked_fixture(tests, setup, teardown);
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
    tcase_add_test(tests, uploads);
    tcase_add_test(tests, damaged_uploads);
    tcase_add_test(tests, samples);
    tcase_add_test(tests, canary);
    return suite_main("jobs", tests);
}
