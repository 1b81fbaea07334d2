/* jobs.c - the keeper: takes orders, hears the runner, tells listeners.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "jobs/jobs_private.h"
#include "observe/log.h"

int64_t jobs_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------------------------------------
 * Listeners
 */

/* One event; NULL name: a line that says nothing. */
static void write_event(const char *name, const struct text *json, struct text *event)
{
    if (!name) {
        text_string(event, ":\n\n");
        return;
    }
    text_printf(event, "event: %s\ndata: ", name);
    text_append(event, json->bytes, json->length);
    text_string(event, "\n\n");
}

/* To all who hear this job (0: any); `last`: and no more. */
static void spread(struct jobs *jobs, int64_t job, const struct text *event, bool last)
{
    struct listener **at = &jobs->listeners, *one;

    while ((one = *at)) {
        bool concerned = !job || one->job == job;
        bool stays = !concerned ||
                     (!event->failed &&
                      one->hears.send(one->hears.context, event->bytes, event->length) && !last);

        if (stays) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        one->hears.end(one->hears.context);
        free(one);
        atomic_fetch_sub(&jobs->listener_count, 1);
    }
}

static void tell_progress(struct jobs *jobs)
{
    struct text json = {0}, event = {0};

    if (!jobs->run || !jobs->listeners)
        return;
    jobs_write_progress(jobs->run, &json);
    json.failed |= json.bytes == NULL;
    write_event("progress", &json, &event);
    spread(jobs, jobs->run->job, &event, false);
    text_free(&json);
    text_free(&event);
}

static void tell_job(struct jobs *jobs, const struct job *job)
{
    bool last = job_state_is_final(job->state);
    struct run *run = jobs->run && jobs->run->job == job->id && !last ? jobs->run : NULL;
    struct text json = {0}, event = {0};

    jobs_write_job(job, run, false, &json);
    write_event(last ? "end" : "job", &json, &event);
    spread(jobs, job->id, &event, last);
    text_free(&json);
    text_free(&event);
}

static void beat(struct jobs *jobs)
{
    struct text event = {0};

    if (clock_now_us() < jobs->heartbeat_us)
        return;
    write_event(NULL, NULL, &event);
    spread(jobs, 0, &event, false);
    text_free(&event);
    jobs->heartbeat_us = clock_now_us() + JOBS_HEARTBEAT_US;
}

bool jobs_has_room_for_listener(struct jobs *jobs)
{
    return atomic_load(&jobs->listener_count) < JOBS_MAX_LISTENERS;
}

bool jobs_listen(struct jobs *jobs, const struct jobs_listener *hears)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    struct job job;

    if (!listener)
        return false;
    *listener = (struct listener){jobs->listeners, *hears, jobs->listening};
    jobs->listeners = listener;
    atomic_fetch_add(&jobs->listener_count, 1);
    if (store_job(jobs->store, jobs->listening, &job, NULL) == LQ_OK) {
        tell_job(jobs, &job);
        job_deinit(&job);
    }
    return true;
}

static void dismiss(struct jobs *jobs)
{
    struct text nothing = {0};

    text_string(&nothing, ":\n\n");
    for (struct listener *at = jobs->listeners; at; at = at->next)
        at->job = 0;
    spread(jobs, 0, &nothing, true);
    text_free(&nothing);
}

/* ------------------------------------------------------------------------------------------------
 * States
 */

static void log_job(const struct job *job)
{
    struct log_line line;

    log_begin(&line, job->state == JOB_FAILED ? LOG_WARNING : LOG_INFO, "job");
    log_int(&line, "job", job->id);
    log_string(&line, "model", job->model);
    log_string(&line, "state", job_state_text(job->state));
    if (job->who[0])
        log_string(&line, "asked_by", job->who);
    if (job->reason[0])
        log_string(&line, "reason", job->reason);
    log_end(&line);
}

static void count_states(struct jobs *jobs)
{
    int64_t counts[JOB_STATE_COUNT];

    if (store_count(jobs->store, counts, NULL) != LQ_OK)
        return;
    metrics_gauge_set(jobs->setup.metrics, METRICS_JOBS_QUEUED, counts[JOB_QUEUED]);
    metrics_gauge_set(jobs->setup.metrics, METRICS_JOBS_RUNNING,
                      counts[JOB_RUNNING] + counts[JOB_EVALUATING]);
}

static void count_job(struct jobs *jobs, enum job_state state)
{
    static const int counters[JOB_STATE_COUNT] = {[JOB_PUBLISHED] = METRICS_JOBS_PUBLISHED,
                                                  [JOB_REJECTED] = METRICS_JOBS_REJECTED,
                                                  [JOB_CANCELLED] = METRICS_JOBS_CANCELLED,
                                                  [JOB_FAILED] = METRICS_JOBS_FAILED,
                                                  [JOB_INTERRUPTED] = METRICS_JOBS_INTERRUPTED};

    if (job_state_is_final(state))
        metrics_count(jobs->setup.metrics, (enum metrics_counter)counters[state], 1);
    count_states(jobs);
}

void jobs_tell(struct jobs *jobs, const struct job *job)
{
    log_job(job);
    count_job(jobs, job->state);
    tell_job(jobs, job);
}

int jobs_settle(struct jobs *jobs, struct job *job, struct decision *decision,
                struct lq_error *error)
{
    struct lq_error failure = {0};
    int status = store_save(jobs->store, job, decision, &failure);

    if (status != LQ_OK)
        log_message(LOG_ERROR, "job_not_saved", "job %lld, %s: %s", job ? (long long)job->id : 0LL,
                    job ? job_state_text(job->state) : "-", failure.text);
    else if (job)
        jobs_tell(jobs, job);
    return status == LQ_OK ? LQ_OK : error_set(error, status, "%s", failure.text);
}

/* ------------------------------------------------------------------------------------------------
 * What the runner says
 */

static char *take_text(struct text *text)
{
    char *copy;

    if (text->length == 0 || text->failed)
        return NULL;
    copy = strndup(text->bytes, text->length);
    text_free(text);
    return copy;
}

/* What the run has measured and said, into its job. */
static void take_told(struct run *run, struct job *job)
{
    struct text figures = {0};

    pthread_mutex_lock(&run->lock);
    if (run->figures.length > 1 && !run->figures.failed) {
        text_string(&figures, "{");
        text_append(&figures, run->figures.bytes, run->figures.length - 1);
        text_string(&figures, "}");
    }
    free(job->log);
    job->log = take_text(&run->log);
    pthread_mutex_unlock(&run->lock);
    free(job->figures);
    job->figures = take_text(&figures);
}

static void on_evaluating(struct jobs *jobs, struct run *run)
{
    struct job job;

    if (store_job(jobs->store, run->job, &job, NULL) != LQ_OK)
        return;
    job.state = JOB_EVALUATING;
    jobs_settle(jobs, &job, NULL, NULL);
    job_deinit(&job);
}

static bool model_changed(struct jobs *jobs, const struct run *run)
{
    struct generation *now;
    bool changed;

    if (registry_acquire(jobs->setup.registry, run->model, NULL, &now, NULL) != LQ_OK)
        return true;
    changed = now->number != run->generation;
    generation_unref(now);
    return changed;
}

static void publish_candidate(struct jobs *jobs, struct run *run, struct job *job,
                              struct decision *decision)
{
    struct repository_content content = {{NULL, 0}, {NULL, 0}};
    struct lq_error error = {0};
    int status = jobs_read_candidate(jobs, run, &content, &error);

    if (status == LQ_OK) {
        jobs_publish(jobs, decision, job, &content, NULL, NULL);
    } else {
        job->state = JOB_FAILED;
        decision->kind = DECISION_FAIL;
        snprintf(job->reason, sizeof(job->reason), "%s", error.text);
        memcpy(decision->reason, job->reason, sizeof(decision->reason));
        jobs_settle(jobs, job, decision, NULL);
        job_deinit(job);
        decision_deinit(decision);
    }
    repository_content_free(&content);
}

static void on_ended(struct jobs *jobs, struct run *run)
{
    static const struct {
        enum job_state state;
        enum decision_kind kind;
    } ends[] = {[RUN_ACCEPTED] = {JOB_EVALUATING, DECISION_PUBLISH},
                [RUN_REJECTED] = {JOB_REJECTED, DECISION_REJECT},
                [RUN_FAILED] = {JOB_FAILED, DECISION_FAIL},
                [RUN_STOPPED] = {JOB_CANCELLED, DECISION_CANCEL}};
    enum run_end end = run->end;
    struct decision decision = {.at_ms = jobs_now_ms(), .job = run->job};
    struct job job;

    jobs->run = NULL;
    if (store_job(jobs->store, run->job, &job, NULL) != LQ_OK) {
        jobs_run_free(run);
        return;
    }
    if (end == RUN_ACCEPTED && model_changed(jobs, run)) {
        end = RUN_REJECTED;
        snprintf(run->reason, sizeof(run->reason), "the model changed while the job ran");
    }
    take_told(run, &job);
    memcpy(job.reason, run->reason, sizeof(job.reason));
    job.state = end == RUN_STOPPED && atomic_load(&run->stop) == RUN_INTERRUPT ? JOB_INTERRUPTED
                                                                               : ends[end].state;
    decision.kind = ends[end].kind;
    decision.from = job.base;
    decision.figures = job.figures ? strdup(job.figures) : NULL;
    memcpy(decision.model, job.model, sizeof(decision.model));
    memcpy(decision.who, job.who, sizeof(decision.who));
    memcpy(decision.reason, job.reason, sizeof(decision.reason));
    if (end == RUN_ACCEPTED) {
        publish_candidate(jobs, run, &job, &decision);
    } else {
        job.ended_ms = jobs_now_ms();
        jobs_settle(jobs, &job, job.state == JOB_INTERRUPTED ? NULL : &decision, NULL);
        if (job.state != JOB_INTERRUPTED)
            jobs_drop_candidate(jobs, run->job);
        job_deinit(&job);
        decision_deinit(&decision);
    }
    jobs_run_free(run);
    jobs_start_next(jobs);
}

/* ------------------------------------------------------------------------------------------------
 * The keeper's thread
 */

void jobs_send(struct jobs *jobs, struct message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&jobs->lock);
    *jobs->last = message;
    jobs->last = &message->next;
    pthread_cond_signal(&jobs->sent);
    pthread_mutex_unlock(&jobs->lock);
}

bool jobs_request(struct jobs *jobs, const struct jobs_order *order, jobs_done *done, void *context)
{
    struct order_message *message = calloc(1, sizeof(*message));
    bool taken;

    if (!message)
        return false;
    *message = (struct order_message){{NULL, MESSAGE_ORDER}, *order, done, context};
    pthread_mutex_lock(&jobs->lock);
    taken = !jobs->stopping && jobs->orders < JOBS_MAX_ORDERS;
    jobs->orders += taken;
    pthread_mutex_unlock(&jobs->lock);
    if (taken)
        jobs_send(jobs, &message->message);
    else
        free(message);
    return taken;
}

static void handle(struct jobs *jobs, struct message *message)
{
    switch (message->kind) {
    case MESSAGE_ORDER:
        jobs_carry_out(jobs, (struct order_message *)(void *)message);
        free(message);
        break;
    case MESSAGE_EVALUATING:
        on_evaluating(jobs, (struct run *)(void *)message);
        break;
    case MESSAGE_ENDED:
        on_ended(jobs, (struct run *)(void *)((char *)message - offsetof(struct run, ended)));
        break;
    case MESSAGE_LOADED:
        jobs_published(jobs, (struct publication *)(void *)message);
        jobs_start_next(jobs);
        break;
    }
}

/* The next message; NULL: news, the heartbeat, or the end: it has come, which *stopping did not say
 * yet, or there is nothing left to wait for. */
static struct message *next_message(struct jobs *jobs, bool *ret_news, bool *stopping)
{
    struct timespec until = {jobs->heartbeat_us / 1000000, jobs->heartbeat_us % 1000000 * 1000};
    struct message *message;
    int code = 0;

    pthread_mutex_lock(&jobs->lock);
    while (!jobs->first && !jobs->news && code != ETIMEDOUT &&
           (!jobs->stopping || (*stopping && (jobs->run || jobs->publications))))
        code = jobs->listeners ? pthread_cond_timedwait(&jobs->sent, &jobs->lock, &until)
                               : pthread_cond_wait(&jobs->sent, &jobs->lock);
    message = jobs->first;
    if (message) {
        jobs->first = message->next;
        if (!jobs->first)
            jobs->last = &jobs->first;
        jobs->orders -= message->kind == MESSAGE_ORDER;
    }
    *ret_news = jobs->news;
    *stopping = jobs->stopping;
    jobs->news = false;
    pthread_mutex_unlock(&jobs->lock);
    return message;
}

static void *keeper_main(void *argument)
{
    struct jobs *jobs = argument;
    bool news, stopping = false;

    jobs_start_next(jobs);
    while (!stopping || jobs->run || jobs->publications) {
        struct message *message = next_message(jobs, &news, &stopping);

        if (message)
            handle(jobs, message);
        if (news)
            tell_progress(jobs);
        if (stopping) {
            dismiss(jobs);
            if (jobs->run) { /* a cancel that came before stands */
                int go = RUN_GO;

                atomic_compare_exchange_strong(&jobs->run->stop, &go, RUN_INTERRUPT);
            }
        }
        beat(jobs);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------------
 * Start and end
 */

static int make_folder(const char *path, struct lq_error *error)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return error_set(error, LQ_ERR_IO, "state %s: %s", path, strerror(errno));
    return LQ_OK;
}

static int open_state(struct jobs *jobs, struct lq_error *error)
{
    char path[CONFIG_TEXT_SIZE + 16];
    int status = make_folder(jobs->state, error);

    snprintf(path, sizeof(path), "%s/candidates", jobs->state);
    if (status == LQ_OK)
        status = make_folder(path, error);
    if (status == LQ_OK)
        status = store_open(jobs->state, &jobs->store, error);
    if (status == LQ_OK)
        status = uploads_open(jobs->setup.config, &jobs->uploads, error);
    if (status == LQ_OK)
        status = repository_open(jobs->setup.config->models, &jobs->repository, error);
    return status;
}

static int start_threads(struct jobs *jobs, struct lq_error *error)
{
    jobs->running = pthread_create(&jobs->runner, NULL, jobs_runner_main, jobs) == 0;
    jobs->keeping = jobs->running && pthread_create(&jobs->keeper, NULL, keeper_main, jobs) == 0;
    return jobs->keeping ? LQ_OK : error_set(error, LQ_ERR_MEMORY, "cannot start a thread");
}

static void init(struct jobs *jobs, const struct jobs_setup *setup)
{
    pthread_condattr_t monotonic;

    jobs->setup = *setup;
    jobs->last = &jobs->first;
    snprintf(jobs->state, sizeof(jobs->state), "%s", setup->config->state);
    atomic_init(&jobs->listener_count, 0);
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_mutex_init(&jobs->run_lock, NULL);
    pthread_cond_init(&jobs->run_given, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->sent, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

int jobs_open(const struct jobs_setup *setup, struct jobs **ret_jobs, struct lq_error *error)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));
    int status;

    if (!jobs)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    init(jobs, setup);
    status = open_state(jobs, error);
    if (status == LQ_OK)
        status = jobs_recover(jobs, error);
    if (status == LQ_OK) {
        count_states(jobs);
        status = start_threads(jobs, error);
    }
    if (status == LQ_OK)
        *ret_jobs = jobs;
    else
        jobs_close(jobs);
    return status;
}

static void stop_runner(struct jobs *jobs)
{
    if (!jobs->running)
        return;
    pthread_mutex_lock(&jobs->run_lock);
    jobs->runner_ends = true;
    pthread_cond_signal(&jobs->run_given);
    pthread_mutex_unlock(&jobs->run_lock);
    pthread_join(jobs->runner, NULL);
    jobs->running = false;
}

void jobs_stop(struct jobs *jobs)
{
    if (!jobs)
        return;
    if (jobs->keeping) {
        pthread_mutex_lock(&jobs->lock);
        jobs->stopping = true;
        pthread_cond_signal(&jobs->sent);
        pthread_mutex_unlock(&jobs->lock);
        pthread_join(jobs->keeper, NULL);
        jobs->keeping = false;
    }
    stop_runner(jobs);
}

void jobs_close(struct jobs *jobs)
{
    if (!jobs)
        return;
    jobs_stop(jobs);
    repository_close(jobs->repository);
    uploads_close(jobs->uploads);
    store_close(jobs->store);
    pthread_cond_destroy(&jobs->sent);
    pthread_cond_destroy(&jobs->run_given);
    pthread_mutex_destroy(&jobs->run_lock);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}
