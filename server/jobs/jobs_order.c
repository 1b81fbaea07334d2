/* jobs_order.c - carries out what is asked of the jobs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobs/jobs_private.h"

/* Each fills the answer, or the error. */
typedef int carry_out(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                      struct lq_error *error);

static struct run *run_of(const struct jobs *jobs, int64_t job)
{
    return jobs->run && jobs->run->job == job ? jobs->run : NULL;
}

/* The job; one that ended when its end could not be saved (a full disk) is interrupted now. */
static int find_job(struct jobs *jobs, int64_t id, struct job *ret_job, struct lq_error *error)
{
    struct job job;
    int status = store_job(jobs->store, id, &job, error);

    if (status != LQ_OK)
        return status;
    if ((job.state == JOB_RUNNING || job.state == JOB_EVALUATING) && !run_of(jobs, id) &&
        jobs->publications == 0) {
        job.state = JOB_INTERRUPTED;
        job.ended_ms = jobs_now_ms();
        snprintf(job.reason, sizeof(job.reason), "its end could not be saved");
        jobs_settle(jobs, &job, NULL, NULL); /* said, saved or not */
    }
    *ret_job = job;
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * New jobs
 */

/* What can be known before it runs. */
static int check_spec(struct jobs *jobs, const struct jobs_order *order, const struct spec *spec,
                      struct lq_error *error)
{
    const struct config *config = jobs->setup.config;
    struct generation *generation;
    int64_t version;
    int status = LQ_OK;

    if (!config->data_root[0] &&
        (spec->data.source == SPEC_FOLDER || spec->guard.data.source == SPEC_FOLDER))
        return error_set(error, LQ_ERR_UNSUPPORTED, "no folder can be named: data_root is not set");
    if (spec->data.source == SPEC_SAMPLE && config->sample_images == 0)
        return error_set(error, LQ_ERR_UNSUPPORTED,
                         "no sample is taken of what is asked: sample_images is 0");
    if (spec->data.source == SPEC_UPLOAD)
        status = uploads_check(jobs->uploads, order->model, spec->data.name, error);
    if (status == LQ_OK && spec->guard.data.source == SPEC_UPLOAD)
        status = uploads_check(jobs->uploads, order->model, spec->guard.data.name, error);
    if (status == LQ_OK && spec->options.teacher[0]) {
        status =
            registry_acquire(jobs->setup.registry, spec->options.teacher, NULL, &generation, error);
        if (status == LQ_OK)
            generation_unref(generation);
    }
    if (status != LQ_OK || spec->guard.dry_run)
        return status;
    status = repository_check_writable(jobs->repository, error);
    return status == LQ_OK ? jobs_next_version(jobs, order->model, &version, error) : status;
}

static int check_queue(struct jobs *jobs, struct lq_error *error)
{
    int64_t counts[JOB_STATE_COUNT];
    int status = store_count(jobs->store, counts, error);

    if (status == LQ_OK && counts[JOB_QUEUED] >= jobs->setup.config->job_queue)
        status =
            error_set(error, LQ_ERR_LIMIT, "%lld jobs wait already", (long long)counts[JOB_QUEUED]);
    return status;
}

static int submit(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                  struct lq_error *error)
{
    struct job job = {.state = JOB_QUEUED, .created_ms = jobs_now_ms()};
    struct spec spec;
    int status = spec_read(order->body, order->size, &spec, &job.request, error);

    if (status == LQ_OK)
        status = check_spec(jobs, order, &spec, error);
    if (status == LQ_OK)
        status = check_queue(jobs, error);
    if (status == LQ_OK) {
        memcpy(job.model, order->model, sizeof(job.model));
        memcpy(job.who, order->who, sizeof(job.who));
        status = jobs_settle(jobs, &job, NULL, error);
    }
    if (status == LQ_OK)
        jobs_write_job(&job, NULL, false, json);
    job_deinit(&job);
    return status;
}

static int resume(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                  struct lq_error *error)
{
    struct job job;
    int status = find_job(jobs, order->number, &job, error);

    if (status != LQ_OK)
        return status;
    if (job.state != JOB_INTERRUPTED)
        status = error_set(error, LQ_ERR_UNSUPPORTED,
                           "job %lld is %s: only one that is "
                           "interrupted can be resumed",
                           (long long)job.id, job_state_text(job.state));
    if (status == LQ_OK)
        status = check_queue(jobs, error);
    if (status == LQ_OK) {
        job.state = JOB_QUEUED;
        job.ended_ms = 0;
        job.reason[0] = '\0';
        status = jobs_settle(jobs, &job, NULL, error);
    }
    if (status == LQ_OK)
        jobs_write_job(&job, NULL, false, json);
    job_deinit(&job);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Questions
 */

struct listing {
    struct text *json;
    int count;
    bool history;
};

static void list_job(void *context, const struct job *job)
{
    struct listing *listing = context;

    text_string(listing->json, listing->count++ ? "," : "");
    jobs_write_job(job, NULL, true, listing->json);
}

static void list_decision(void *context, const struct decision *decision)
{
    struct listing *listing = context;

    text_string(listing->json, listing->count++ ? "," : "");
    jobs_write_decision(decision, listing->json);
}

static int list(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                struct lq_error *error)
{
    struct listing listing = {.json = json};
    int status;

    text_string(json, "{\"jobs\":[");
    status = store_jobs(jobs->store, order->number, JOBS_LIST_LIMIT, list_job, &listing, error);
    text_string(json, "]}");
    return status;
}

static int history(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                   struct lq_error *error)
{
    const struct store_page page = {order->model, order->number, JOBS_LIST_LIMIT};
    struct listing listing = {.json = json};
    int status;

    text_string(json, "{\"model\":");
    text_json(json, order->model);
    text_string(json, ",\"history\":[");
    status = store_decisions(jobs->store, &page, list_decision, &listing, error);
    text_string(json, "]}");
    return status;
}

static int show(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                struct lq_error *error)
{
    struct job job;
    int status = find_job(jobs, order->number, &job, error);

    if (status != LQ_OK)
        return status;
    jobs_write_job(&job, run_of(jobs, job.id), false, json);
    job_deinit(&job);
    return LQ_OK;
}

static int listen_to(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                     struct lq_error *error)
{
    struct job job;
    int status = find_job(jobs, order->number, &job, error);

    (void)json;
    if (status != LQ_OK)
        return status;
    job_deinit(&job);
    jobs->listening = order->number;
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Cancelling
 */

/* One that no runner works at. */
static int cancel_waiting(struct jobs *jobs, struct job *job, struct lq_error *error)
{
    struct decision decision = {
        .at_ms = jobs_now_ms(), .kind = DECISION_CANCEL, .job = job->id, .from = job->base};
    int status;

    job->state = JOB_CANCELLED;
    job->ended_ms = decision.at_ms;
    job->reason[0] = '\0';
    memcpy(decision.model, job->model, sizeof(decision.model));
    memcpy(decision.who, job->who, sizeof(decision.who));
    status = jobs_settle(jobs, job, &decision, error);
    if (status == LQ_OK)
        jobs_drop_candidate(jobs, job->id);
    return status;
}

static int cancel(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                  struct lq_error *error)
{
    struct run *run = run_of(jobs, order->number);
    struct job job;
    int go = RUN_GO, status = find_job(jobs, order->number, &job, error);

    if (status != LQ_OK)
        return status;
    if (run)
        atomic_compare_exchange_strong(&run->stop, &go, RUN_CANCEL);
    else if (job.state == JOB_QUEUED || job.state == JOB_INTERRUPTED)
        status = cancel_waiting(jobs, &job, error);
    else
        status = error_set(error, LQ_ERR_UNSUPPORTED, "job %lld %s: it cannot be cancelled",
                           (long long)job.id,
                           job.state == JOB_EVALUATING ? "is being published" : "has ended");
    if (status == LQ_OK)
        jobs_write_job(&job, run, false, json);
    job_deinit(&job);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Rollback
 */

struct before {
    int64_t version, from; /* that answers; that answered before, 0: not known */
};

static void find_before(void *context, const struct decision *decision)
{
    struct before *before = context;

    if (!before->from && decision->version == before->version)
        before->from = decision->from;
}

/* The version that is to answer again. */
static int find_target(struct jobs *jobs, const struct jobs_order *order, int64_t now,
                       int64_t *ret_target, struct lq_error *error)
{
    const struct store_page page = {order->model, 0, 1000};
    struct before before = {now, 0};
    int status = LQ_OK;

    *ret_target = order->number;
    if (order->number == now)
        return error_set(error, LQ_ERR_UNSUPPORTED, "version %lld answers already", (long long)now);
    if (order->number)
        return LQ_OK;
    status = store_decisions(jobs->store, &page, find_before, &before, error);
    if (status == LQ_OK && !before.from)
        status = error_set(error, LQ_ERR_UNSUPPORTED,
                           "nothing was published that could be taken back: name a version");
    *ret_target = before.from;
    return status;
}

/* Is it a model that can be served? */
static int verify(struct jobs *jobs, const struct repository_bytes *bytes, struct lq_error *error)
{
    struct lq_model *model;
    int status = lq_model_open_memory(jobs->setup.engine, bytes->bytes, bytes->size, &model, error);

    if (status == LQ_OK)
        lq_model_unref(model);
    return status;
}

/* LQ_OK: `done` is called later. */
static int roll_back(struct jobs *jobs, const struct order_message *message, struct lq_error *error)
{
    const struct jobs_order *order = &message->order;
    struct decision decision = {.at_ms = jobs_now_ms(), .kind = DECISION_ROLLBACK};
    struct repository_content content = {{NULL, 0}, {NULL, 0}};
    struct generation *now = NULL;
    int64_t target, version;
    int status = registry_acquire(jobs->setup.registry, order->model, NULL, &now, error);

    if (status == LQ_ERR_UNSUPPORTED && order->number)
        status = LQ_OK; /* nothing answers: all the more */
    if (status != LQ_OK)
        return status;
    decision.from = now ? now->version : 0;
    generation_unref(now);
    status = find_target(jobs, order, decision.from, &target, error);
    if (status == LQ_OK)
        status = repository_check_writable(jobs->repository, error);
    if (status == LQ_OK)
        status = jobs_next_version(jobs, order->model, &version, error);
    if (status == LQ_OK)
        status = repository_content(jobs->repository, order->model, target, &content, error);
    if (status == LQ_OK)
        status = verify(jobs, &content.model, error);
    if (status == LQ_OK) {
        memcpy(decision.model, order->model, sizeof(decision.model));
        memcpy(decision.who, order->who, sizeof(decision.who));
        snprintf(decision.reason, sizeof(decision.reason), "the file of version %lld again",
                 (long long)target);
        jobs_publish(jobs, &decision, NULL, &content, message->done, message->context);
    }
    repository_content_free(&content);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Uploads
 */

static int upload(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                  struct lq_error *error)
{
    struct generation *generation;
    int status = registry_acquire(jobs->setup.registry, order->model, NULL, &generation, error);

    if (status != LQ_OK)
        return status;
    status = uploads_put(jobs->uploads, order, generation->model, json, error);
    generation_unref(generation);
    return status;
}

static int list_uploads(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                        struct lq_error *error)
{
    return uploads_list(jobs->uploads, order->model, json, error);
}

static int discard(struct jobs *jobs, const struct jobs_order *order, struct text *json,
                   struct lq_error *error)
{
    int status = uploads_remove(jobs->uploads, order->model, order->name, error);

    if (status == LQ_OK)
        text_string(json, "{}");
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Orders
 */

static carry_out *const carry[] = {
    [JOBS_SUBMIT] = submit,    [JOBS_LIST] = list,     [JOBS_SHOW] = show,
    [JOBS_LISTEN] = listen_to, [JOBS_CANCEL] = cancel, [JOBS_RESUME] = resume,
    [JOBS_HISTORY] = history,  [JOBS_UPLOAD] = upload, [JOBS_UPLOADS] = list_uploads,
    [JOBS_DISCARD] = discard,
};

static bool is_stopping(struct jobs *jobs)
{
    bool stopping;

    pthread_mutex_lock(&jobs->lock);
    stopping = jobs->stopping;
    pthread_mutex_unlock(&jobs->lock);
    return stopping;
}

void jobs_carry_out(struct jobs *jobs, struct order_message *message)
{
    const struct jobs_order *order = &message->order;
    struct lq_error error = {0};
    struct text json = {0};
    int status;

    if (is_stopping(jobs))
        status = error_set(&error, LQ_ERR_CANCELLED, "the server ends");
    else if (order->action == JOBS_ROLLBACK)
        status = roll_back(jobs, message, &error);
    else
        status = carry[order->action](jobs, order, &json, &error);
    if (status == LQ_OK && order->action == JOBS_ROLLBACK)
        return; /* jobs_publish answers */
    if (status != LQ_OK)
        text_free(&json);
    message->done(message->context, status, &error, &json);
    text_free(&json);
    if (order->action == JOBS_SUBMIT || order->action == JOBS_RESUME)
        jobs_start_next(jobs);
}
