/* jobs_bench.c - what suites of the jobs' inside share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/files.h"
#include "support/jobs_bench.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <turbojpeg.h>
#include <unistd.h>

#include "support/tiny_model.h"

/* ------------------------------------------------------------------------------------------------
 * Work that does nothing
 */

struct bench_fake bench_fake;

static int fake_tune(const struct work_task *task, struct lq_model **ret_candidate,
                     struct text *figures, struct lq_error *error)
{
    bool stopped = false;

    sem_post(&bench_fake.begun);
    atomic_fetch_add(&bench_fake.tuned, 1);
    while (atomic_load(&bench_fake.hold) && !stopped) {
        stopped = task->progress.report(task->progress.context, "making", 3, 10);
        usleep(500); /* as work would take its time */
    }
    if (stopped)
        return error_set(error, LQ_ERR_CANCELLED, "cancelled");
    if (atomic_load(&bench_fake.status) != LQ_OK)
        return error_set(error, atomic_load(&bench_fake.status), "cat/a.jpg: it is damaged");
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
    ret_verdict->accepted = bench_fake.accepts;
    snprintf(ret_verdict->reason, sizeof(ret_verdict->reason), "p is 0.5");
    text_string(figures, "\"p\":0.5,");
    return LQ_OK;
}

static const struct work fake_work = {fake_tune, fake_judge};

/* ------------------------------------------------------------------------------------------------
 * A bench
 */

struct bench bench;

/* A command in which %1$s stands for the folder. */
void bench_run(const char *format)
{
    char command[400];

    snprintf(command, sizeof(command), format, bench.folder);
    ck_assert_int_eq(system(command), 0);
}

const char *bench_path(const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", bench.folder, name);
    return path;
}

void bench_open_jobs(void)
{
    const struct jobs_setup setup = {&bench.config, bench.engine,  bench.registry,
                                     bench.metrics, bench.sampler, &fake_work};
    struct lq_error error = {0};

    ck_assert_msg(jobs_open(&setup, &bench.jobs, &error) == LQ_OK, "%s", error.text);
}

void bench_open_registry(void)
{
    struct lq_error error = {0};

    ck_assert_msg(
        registry_open(bench.engine, &bench.config, bench.metrics, &bench.registry, &error) == LQ_OK,
        "%s", error.text);
}

unsigned char *bench_jpeg(unsigned long *ret_size)
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
    unsigned char *jpeg = bench_jpeg(&size);

    file_write(bench_path(name), jpeg, size);
    tjFree(jpeg);
}

void bench_setup(void)
{
    struct lq_error error = {0};
    char value[96];

    bench = (struct bench){.folder = "/tmp/lqnet-jobs-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(bench.folder));
    mkdir(bench_path("models"), 0755);
    mkdir(bench_path("data"), 0755);
    mkdir(bench_path("data/set"), 0755);
    mkdir(bench_path("data/set/cat"), 0755);
    mkdir(bench_path("data/empty"), 0755);
    ck_assert_int_eq(symlink("/etc", bench_path("data/out")), 0);
    put_picture("data/set/cat/a.jpg");
    ck_assert_int_eq(tiny_model_write(bench_path("models/tiny.lq"), NULL), 0);
    config_init(&bench.config);
    bench.config.workers = 1;
    bench.config.sample_images = 10;
    snprintf(value, sizeof(value), "%s/models", bench.folder);
    memcpy(bench.config.models, value, sizeof(value));
    snprintf(value, sizeof(value), "%s/state", bench.folder);
    memcpy(bench.config.state, value, sizeof(value));
    snprintf(value, sizeof(value), "%s/data", bench.folder);
    memcpy(bench.config.data_root, value, sizeof(value));
    sem_init(&bench_fake.begun, 0, 0);
    atomic_store(&bench_fake.hold, false);
    atomic_store(&bench_fake.status, LQ_OK);
    atomic_store(&bench_fake.tuned, 0);
    bench_fake.accepts = true;
    ck_assert_int_eq(metrics_create(NULL, 0, &bench.metrics, &error), LQ_OK);
    ck_assert_int_eq(lq_engine_create(LQ_CPU_ALL, &bench.engine, &error), LQ_OK);
    bench_open_registry();
    ck_assert_int_eq(sampler_create(&bench.config, &bench.sampler, &error), LQ_OK);
    bench_open_jobs();
}

void bench_teardown(void)
{
    atomic_store(&bench_fake.hold, false);
    jobs_close(bench.jobs);
    registry_close(bench.registry);
    sampler_destroy(bench.sampler);
    lq_engine_destroy(bench.engine);
    metrics_destroy(bench.metrics);
    bench_run("chmod -R u+w %1$s && rm -rf %1$s");
}

/* ------------------------------------------------------------------------------------------------
 * Orders
 */

struct bench_answer bench_answer;

static void on_done(void *context, int status, const struct lq_error *error, struct text *json)
{
    (void)context;
    bench_answer.status = status;
    snprintf(bench_answer.error, sizeof(bench_answer.error), "%s", error->text);
    snprintf(bench_answer.text, sizeof(bench_answer.text), "%.*s", (int)json->length,
             json->bytes ? json->bytes : "");
    text_free(json);
    sem_post(&bench_answer.done);
}

int bench_order(const struct jobs_order *order)
{
    sem_init(&bench_answer.done, 0, 0);
    ck_assert(jobs_request(bench.jobs, order, on_done, NULL));
    sem_wait(&bench_answer.done);
    return bench_answer.status;
}

int bench_ask(enum jobs_action action, int64_t number, const char *body)
{
    struct jobs_order o = {.action = action,
                           .model = "tiny",
                           .name = "up",
                           .who = "ops",
                           .number = number,
                           .body = body,
                           .size = body ? strlen(body) : 0};

    return bench_order(&o);
}

void bench_expect(const char *text)
{
    ck_assert_msg(strstr(bench_answer.text, text), "%s: %s", text, bench_answer.text);
}

int bench_submit(const char *more)
{
    char body[300];

    snprintf(body, sizeof(body), "{\"mode\":\"calibrate\",\"data\":{\"folder\":\"set\"}%s}", more);
    return bench_ask(JOBS_SUBMIT, 0, body);
}

struct bench_ear bench_ear;

static bool hear(void *context, const char *bytes, size_t size)
{
    (void)context;
    text_append(&bench_ear.heard, bytes, size);
    return true;
}

static void hear_end(void *context)
{
    (void)context;
    text_append(&bench_ear.heard, "", 1);
    sem_post(&bench_ear.over);
}

static void on_listen(void *context, int status, const struct lq_error *error, struct text *json)
{
    const struct jobs_listener listener = {hear, hear_end, NULL};

    (void)context;
    (void)json;
    ck_assert_msg(status == LQ_OK, "%s", error->text);
    ck_assert(jobs_listen(bench.jobs, &listener));
    sem_post(&bench_ear.listening);
}

void bench_listen(int64_t job)
{
    const struct jobs_order o = {.action = JOBS_LISTEN, .number = job};

    text_free(&bench_ear.heard);
    sem_init(&bench_ear.listening, 0, 0);
    sem_init(&bench_ear.over, 0, 0);
    ck_assert(jobs_request(bench.jobs, &o, on_listen, NULL));
    sem_wait(&bench_ear.listening);
}

void bench_await_end(int64_t job, const char *state)
{
    char wanted[64];

    bench_listen(job);
    sem_wait(&bench_ear.over);
    snprintf(wanted, sizeof(wanted), "\"state\":\"%s\"", state);
    ck_assert_int_eq(bench_ask(JOBS_SHOW, job, NULL), LQ_OK);
    bench_expect(wanted);
    ck_assert_msg(strstr(bench_ear.heard.bytes, "event: end\ndata: {"), "%s",
                  bench_ear.heard.bytes);
    ck_assert_msg(strstr(bench_ear.heard.bytes, wanted), "%s", bench_ear.heard.bytes);
}

void bench_expect_version(const char *version)
{
    struct generation *generation;

    ck_assert_int_eq(registry_acquire(bench.registry, "tiny", NULL, &generation, NULL), LQ_OK);
    ck_assert_str_eq(generation->version_text, version);
    generation_unref(generation);
}
