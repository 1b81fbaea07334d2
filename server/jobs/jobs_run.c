/* jobs_run.c - the runner: computes one job after the other, where nobody serves.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "jobs/data.h"
#include "jobs/jobs_private.h"
#include "observe/log.h"

#define LOW_NICE       10     /* beyond the daemon's own */
#define CANARY_LOOK_US 200000 /* between looks whether the job is to stop */

/* ------------------------------------------------------------------------------------------------
 * What a run tells
 */

/* Lines beyond the limit push the oldest out. The lock is held. */
static void trim_log(struct text *log)
{
    const char *stop;
    size_t drop;

    if (log->length < JOBS_MAX_LOG_BYTES)
        return;
    drop = log->length - JOBS_MAX_LOG_BYTES / 2;
    stop = memchr(log->bytes + drop, '\n', log->length - drop);
    drop = stop ? (size_t)(stop + 1 - log->bytes) : log->length;
    memmove(log->bytes, log->bytes + drop, log->length - drop);
    log->length -= drop;
}

static void wake_keeper(struct run *run)
{
    pthread_mutex_lock(&run->jobs->lock);
    run->jobs->news = true;
    pthread_cond_signal(&run->jobs->sent);
    pthread_mutex_unlock(&run->jobs->lock);
}

void jobs_run_say(struct run *run, const char *format, ...)
{
    time_t now = time(NULL);
    char line[JOB_REASON_SIZE + 64], when[16] = "";
    struct tm parts;
    va_list arguments;

    if (gmtime_r(&now, &parts))
        strftime(when, sizeof(when), "%H:%M:%S", &parts);
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (char *at = line; *at; at++)
        if (*at == '\n')
            *at = ' ';
    pthread_mutex_lock(&run->lock);
    text_printf(&run->log, "%s %s\n", when, line);
    trim_log(&run->log);
    pthread_mutex_unlock(&run->lock);
}

/* lq_progress. */
static bool report(void *context, const char *stage, int64_t done, int64_t total)
{
    struct run *run = context;
    int64_t now_us = clock_now_us();
    bool other, tell;

    pthread_mutex_lock(&run->lock);
    other = strcmp(run->stage, stage) != 0;
    if (other) {
        snprintf(run->stage, sizeof(run->stage), "%s", stage);
        run->stage_us = now_us;
    }
    run->done = done;
    run->total = total;
    tell = other || now_us >= run->told_us + JOBS_TELL_US;
    if (tell)
        run->told_us = now_us;
    pthread_mutex_unlock(&run->lock);
    if (other)
        jobs_run_say(run, "%s: %lld", stage, (long long)total);
    if (tell)
        wake_keeper(run);
    return atomic_load(&run->stop) != RUN_GO;
}

static void add_figures(struct run *run, struct text *figures)
{
    pthread_mutex_lock(&run->lock);
    if (!figures->failed)
        text_append(&run->figures, figures->bytes, figures->length);
    pthread_mutex_unlock(&run->lock);
    text_free(figures);
}

/* ------------------------------------------------------------------------------------------------
 * The steps of a job
 */

/* What the steps share. */
struct steps {
    struct run *run;
    struct data data, guard;
    struct work_task task;
    struct lq_model *candidate, *latent; /* latent: the float network behind it, or NULL */
};

static int open_data(struct steps *steps, struct lq_error *error)
{
    struct run *run = steps->run;
    int status = data_open(run, &run->spec.data, LQ_SPLIT_TRAIN, &steps->data, error);

    if (status == LQ_OK && run->spec.guard.data.source != SPEC_NONE)
        status = data_open(run, &run->spec.guard.data, LQ_SPLIT_TEST, &steps->guard, error);
    steps->task = (struct work_task){.spec = &run->spec,
                                     .model = run->base,
                                     .teacher = run->teacher,
                                     .latent = run->latent,
                                     .ret_latent = &steps->latent,
                                     .data = data_images(&steps->data),
                                     .guard = data_images(&steps->guard),
                                     .threads = (int)run->jobs->setup.config->job_threads,
                                     .memory = (size_t)run->jobs->setup.config->job_bytes,
                                     .progress = {report, run}};
    if (status == LQ_OK)
        jobs_run_say(run, "data: %lld images", (long long)lq_dataset_count(steps->task.data));
    return status;
}

/* Names what made it, and writes it where a resumed job, and the keeper, find it. */
static int keep_candidate(struct steps *steps, struct lq_error *error)
{
    struct run *run = steps->run;
    struct lq_model *named;
    char value[96];
    int status;

    snprintf(value, sizeof(value), "%lld: %s, from version %lld", (long long)run->job,
             spec_mode_text(run->spec.mode), (long long)run->base_version);
    status = lq_model_with_provenance(steps->candidate, "job", value, &named, error);
    if (status != LQ_OK)
        return status;
    lq_model_unref(steps->candidate);
    steps->candidate = named;
    if (steps->latent) /* first, for where the candidate is, all is */
        status = lq_model_save(steps->latent, run->candidate_latent, error);
    return status == LQ_OK ? lq_model_save(named, run->candidate, error) : status;
}

static int make_candidate(struct steps *steps, struct lq_error *error)
{
    struct run *run = steps->run;
    struct text figures = {0};
    int status;

    if (access(run->candidate, F_OK) == 0 &&
        lq_model_open(run->jobs->setup.engine, run->candidate, &steps->candidate, NULL) == LQ_OK) {
        jobs_run_say(run, "the candidate is there already");
        return LQ_OK;
    }
    status = run->jobs->setup.work->tune(&steps->task, &steps->candidate, &figures, error);
    add_figures(run, &figures);
    return status == LQ_OK ? keep_candidate(steps, error) : status;
}

static int judge(struct steps *steps, struct work_verdict *ret_verdict, struct lq_error *error)
{
    struct run *run = steps->run;
    struct text figures = {0};
    int status =
        run->jobs->setup.work->judge(&steps->task, steps->candidate, ret_verdict, &figures, error);

    add_figures(run, &figures);
    if (status == LQ_OK)
        jobs_run_say(run, "guard: %s", ret_verdict->reason);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * The canary
 */

struct canary {
    struct lq_session *session;
    uint8_t *pixels;
    float *output;
    int64_t images, different;
};

static int watch_one(struct canary *canary, const struct lq_model *candidate, int answered,
                     struct lq_error *error)
{
    struct lq_prediction best = {0, 0};
    int status = lq_session_run_pixels(canary->session, canary->pixels, 1, canary->output, error);

    if (status != LQ_OK)
        return status;
    lq_model_top_k(candidate, canary->output, 1, &best);
    canary->images++;
    canary->different += best.index != answered;
    return LQ_OK;
}

/* Until the pictures are together, or the time is over. */
static int watch(struct steps *steps, struct canary *canary, struct lq_error *error)
{
    struct run *run = steps->run;
    int64_t end_us = clock_now_us() + run->spec.guard.canary_seconds * 1000000;
    int status = LQ_OK;

    while (status == LQ_OK && canary->images < run->spec.guard.canary_images &&
           clock_now_us() < end_us) {
        int answered;

        if (report(run, "canary", canary->images, run->spec.guard.canary_images))
            return error_set(error, LQ_ERR_CANCELLED, "cancelled");
        if (sampler_next(run->jobs->setup.sampler, CANARY_LOOK_US, canary->pixels, &answered))
            status = watch_one(canary, steps->candidate, answered, error);
    }
    return status;
}

static void decide_canary(struct run *run, const struct canary *canary,
                          struct work_verdict *verdict)
{
    double percent =
        canary->images ? 100 * (double)canary->different / (double)canary->images : 100;
    struct text figures = {0};

    text_printf(&figures, "\"canary\":{\"images\":%lld,\"different\":%lld},",
                (long long)canary->images, (long long)canary->different);
    add_figures(run, &figures);
    if (canary->images < run->spec.guard.canary_images) {
        verdict->accepted = false;
        snprintf(verdict->reason, sizeof(verdict->reason),
                 "canary: %lld live pictures came in %lld s, %lld were wanted",
                 (long long)canary->images, (long long)run->spec.guard.canary_seconds,
                 (long long)run->spec.guard.canary_images);
    } else if (percent > run->spec.guard.canary_bound) {
        verdict->accepted = false;
        snprintf(verdict->reason, sizeof(verdict->reason),
                 "canary: %.2f %% of %lld live pictures are answered otherwise, at most %g %% may",
                 percent, (long long)canary->images, run->spec.guard.canary_bound);
    }
    jobs_run_say(run, "canary: %lld of %lld live pictures are answered otherwise",
                 (long long)canary->different, (long long)canary->images);
}

/* The candidate beside the model that serves, on live pictures. */
static int run_canary(struct steps *steps, struct work_verdict *verdict, struct lq_error *error)
{
    const struct lq_session_options options = {1, 1, LQ_FORM_AUTO};
    struct run *run = steps->run;
    struct sampler *sampler = run->jobs->setup.sampler;
    struct canary canary = {NULL, NULL, NULL, 0, 0};
    struct lq_model_info info;
    int status;

    lq_model_get_info(steps->candidate, &info);
    canary.pixels = malloc((size_t)info.channels * (size_t)info.height * (size_t)info.width);
    canary.output = malloc((size_t)info.classes * sizeof(*canary.output));
    status = canary.pixels && canary.output
                 ? lq_session_create(steps->candidate, &options, &canary.session, error)
                 : error_set(error, LQ_ERR_MEMORY, "out of memory");
    if (status == LQ_OK)
        status =
            sampler_shadow(sampler, run->generation, &info, run->spec.guard.canary_share, error);
    if (status == LQ_OK) {
        status = watch(steps, &canary, error);
        sampler_unshadow(sampler);
    }
    if (status == LQ_OK)
        decide_canary(run, &canary, verdict);
    lq_session_destroy(canary.session);
    free(canary.pixels);
    free(canary.output);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * A job from end to end
 */

static int take_steps(struct steps *steps, struct work_verdict *ret_verdict, struct lq_error *error)
{
    struct run *run = steps->run;
    int status = open_data(steps, error);

    if (status == LQ_OK)
        status = make_candidate(steps, error);
    if (status != LQ_OK)
        return status;
    jobs_send(run->jobs, &run->evaluating);
    status = judge(steps, ret_verdict, error);
    if (status == LQ_OK && ret_verdict->accepted && run->spec.guard.canary_share > 0 &&
        !run->spec.guard.dry_run)
        status = run_canary(steps, ret_verdict, error);
    return status;
}

static void compute(struct run *run)
{
    struct steps steps = {.run = run};
    struct work_verdict verdict = {false, ""};
    struct lq_error error = {0};
    int status = take_steps(&steps, &verdict, &error);

    if (status == LQ_ERR_CANCELLED) {
        run->end = RUN_STOPPED;
        snprintf(run->reason, sizeof(run->reason), "%s",
                 atomic_load(&run->stop) == RUN_INTERRUPT ? "the server ended while it ran" : "");
    } else if (status != LQ_OK) {
        run->end = RUN_FAILED;
        snprintf(run->reason, sizeof(run->reason), "%s", error.text);
    } else {
        run->end = verdict.accepted && !run->spec.guard.dry_run ? RUN_ACCEPTED : RUN_REJECTED;
        snprintf(run->reason, sizeof(run->reason), "%s%.470s",
                 !run->spec.guard.dry_run ? ""
                 : verdict.accepted       ? "dry run, it would be published: "
                                          : "dry run: ",
                 verdict.reason);
    }
    if (status != LQ_OK && run->reason[0])
        jobs_run_say(run, "%s", run->reason);
    lq_model_unref(steps.candidate);
    lq_model_unref(steps.latent);
    data_close(&steps.guard);
    data_close(&steps.data);
}

/* Of this thread, and of those that it starts. Where SCHED_IDLE is not allowed, nice 19 remains. */
static void step_back(int priority)
{
    const struct sched_param none = {0};
    int nice = priority == CONFIG_PRIORITY_IDLE ? 19 : getpriority(PRIO_PROCESS, 0) + LOW_NICE;

    if (priority == CONFIG_PRIORITY_NORMAL)
        return;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), nice);
    if (priority == CONFIG_PRIORITY_IDLE &&
        pthread_setschedparam(pthread_self(), SCHED_IDLE, &none) != 0)
        log_message(LOG_INFO, "jobs", "SCHED_IDLE is not allowed: jobs run at nice %d", nice);
}

void *jobs_runner_main(void *argument)
{
    struct jobs *jobs = argument;

    step_back(config_priority(jobs->setup.config->job_priority));
    for (;;) {
        struct run *run;

        pthread_mutex_lock(&jobs->run_lock);
        while (!jobs->given && !jobs->runner_ends)
            pthread_cond_wait(&jobs->run_given, &jobs->run_lock);
        run = jobs->given;
        jobs->given = NULL;
        pthread_mutex_unlock(&jobs->run_lock);
        if (!run)
            return NULL;
        compute(run);
        jobs_send(jobs, &run->ended);
    }
}

/* ------------------------------------------------------------------------------------------------
 * The keeper's side
 */

void jobs_run_free(struct run *run)
{
    if (!run)
        return;
    lq_model_unref(run->base);
    lq_model_unref(run->teacher);
    lq_model_unref(run->latent);
    text_free(&run->log);
    text_free(&run->figures);
    pthread_mutex_destroy(&run->lock);
    free(run);
}

static struct run *create_run(struct jobs *jobs, const struct job *job)
{
    struct run *run = calloc(1, sizeof(*run));

    if (!run)
        return NULL;
    run->jobs = jobs;
    run->job = job->id;
    run->evaluating.kind = MESSAGE_EVALUATING;
    run->ended.kind = MESSAGE_ENDED;
    run->stage_us = clock_now_us();
    snprintf(run->stage, sizeof(run->stage), "data");
    memcpy(run->model, job->model, sizeof(run->model));
    jobs_candidate_path(jobs, job->id, false, run->candidate, sizeof(run->candidate));
    jobs_candidate_path(jobs, job->id, true, run->candidate_latent, sizeof(run->candidate_latent));
    atomic_init(&run->stop, RUN_GO);
    pthread_mutex_init(&run->lock, NULL);
    if (job->log)
        text_string(&run->log, job->log);
    return run;
}

static int hold_model(struct jobs *jobs, const char *name, struct lq_model **ret_model,
                      int64_t *ret_version, uint64_t *ret_number, struct lq_error *error)
{
    struct generation *generation;
    int status = registry_acquire(jobs->setup.registry, name, NULL, &generation, error);

    if (status != LQ_OK)
        return status;
    *ret_model = lq_model_ref(generation->model);
    *ret_version = generation->version;
    *ret_number = generation->number;
    generation_unref(generation);
    return LQ_OK;
}

/* What joint starts from. */
static int open_latent(struct jobs *jobs, struct run *run, struct lq_error *error)
{
    struct repository_bytes bytes;
    int status = repository_latent(jobs->repository, run->model, run->base_version, &bytes, error);

    if (status != LQ_OK)
        return status;
    if (bytes.bytes)
        status =
            lq_model_open_memory(jobs->setup.engine, bytes.bytes, bytes.size, &run->latent, error);
    repository_bytes_free(&bytes);
    if (status == LQ_OK)
        jobs_run_say(run, "weights: %s version %lld",
                     run->latent ? "the float ones behind" : "the quantized ones, decoded, of",
                     (long long)run->base_version);
    return status;
}

/* What the job needs of the server. */
static int fill_run(struct jobs *jobs, struct run *run, struct job *job, struct lq_error *error)
{
    char *text;
    int64_t version;
    uint64_t number;
    int status = spec_read(job->request, strlen(job->request), &run->spec, &text, error);

    if (status != LQ_OK)
        return status;
    free(text);
    status = hold_model(jobs, job->model, &run->base, &run->base_version, &run->generation, error);
    if (status == LQ_OK && run->spec.options.teacher[0])
        status =
            hold_model(jobs, run->spec.options.teacher, &run->teacher, &version, &number, error);
    if (status != LQ_OK)
        return status;
    if (job->base && job->base != run->base_version) {
        jobs_run_say(run, "version %lld answers now, not %lld: begun anew",
                     (long long)run->base_version, (long long)job->base);
        jobs_drop_candidate(jobs, run->job);
    }
    job->base = run->base_version;
    return run->spec.mode == SPEC_JOINT ? open_latent(jobs, run, error) : LQ_OK;
}

static void fail_job(struct jobs *jobs, struct job *job, const struct lq_error *error)
{
    struct decision decision = {
        .at_ms = jobs_now_ms(), .kind = DECISION_FAIL, .job = job->id, .from = job->base};

    job->state = JOB_FAILED;
    job->ended_ms = decision.at_ms;
    snprintf(job->reason, sizeof(job->reason), "%s", error->text);
    memcpy(decision.model, job->model, sizeof(decision.model));
    memcpy(decision.who, job->who, sizeof(decision.who));
    memcpy(decision.reason, job->reason, sizeof(decision.reason));
    jobs_settle(jobs, job, &decision, NULL);
}

/* False: the job has failed, and is settled. */
static bool start(struct jobs *jobs, struct job *job)
{
    struct lq_error error = {0};
    struct run *run = create_run(jobs, job);
    int status =
        run ? fill_run(jobs, run, job, &error) : error_set(&error, LQ_ERR_MEMORY, "out of memory");

    if (status == LQ_OK) {
        job->state = JOB_RUNNING;
        job->started_ms = jobs_now_ms();
        jobs->run = run;
        status = jobs_settle(jobs, job, NULL, &error);
    }
    if (status != LQ_OK) {
        jobs->run = NULL;
        jobs_run_free(run);
        fail_job(jobs, job, &error);
        return false;
    }
    pthread_mutex_lock(&jobs->run_lock);
    jobs->given = run;
    pthread_cond_signal(&jobs->run_given);
    pthread_mutex_unlock(&jobs->run_lock);
    return true;
}

static bool is_stopping(struct jobs *jobs)
{
    bool stopping;

    pthread_mutex_lock(&jobs->lock);
    stopping = jobs->stopping;
    pthread_mutex_unlock(&jobs->lock);
    return stopping;
}

void jobs_start_next(struct jobs *jobs)
{
    struct lq_error error = {0};
    int64_t id, last = 0;
    int count;

    while (!jobs->run && jobs->publications == 0 && !is_stopping(jobs)) {
        struct job job;
        int status = store_find(jobs->store, JOB_QUEUED, &id, 1, &count, &error);

        if (status == LQ_OK && (count == 0 || id == last)) /* twice: it could not be settled */
            return;
        if (status == LQ_OK)
            status = store_job(jobs->store, id, &job, &error);
        if (status != LQ_OK) {
            log_message(LOG_ERROR, "jobs", "%s", error.text);
            return;
        }
        last = id;
        start(jobs, &job);
        job_deinit(&job);
    }
}
