/* jobs_publish.c - brings versions into the repository, and finds out after a crash which it did.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The order of events: 1. the decision is saved as pending, with the number of the version that it
 * makes; 2. the file is there, whole; 3. the registry has loaded it and lets it answer; 4. the
 * decision is saved as done. A crash before 2 leaves a decision without a file: it is forgotten,
 * and its job is interrupted. A crash after 2 leaves a file that answers from the next start on:
 * the decision is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobs/jobs_private.h"
#include "models/policy.h"
#include "observe/log.h"

/* ------------------------------------------------------------------------------------------------
 * Candidates
 */

static int read_file(const char *path, struct repository_bytes *ret_bytes, struct lq_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat info;
    void *bytes = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size > 0)
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        int code = errno;

        if (fd >= 0)
            close(fd);
        return error_set(error, LQ_ERR_IO, "the candidate cannot be read: %s", strerror(code));
    }
    close(fd);
    *ret_bytes = (struct repository_bytes){bytes, (size_t)info.st_size};
    return LQ_OK;
}

int jobs_read_candidate(struct jobs *jobs, const struct run *run,
                        struct repository_content *ret_content, struct lq_error *error)
{
    struct repository_content content = {{NULL, 0}, {NULL, 0}};
    int status = read_file(run->candidate, &content.model, error);

    if (status == LQ_OK && access(run->candidate_latent, F_OK) == 0)
        status = read_file(run->candidate_latent, &content.latent, error);
    else if (status == LQ_OK && run->spec.mode != SPEC_JOINT)
        status = repository_latent(jobs->repository, run->model, run->base_version, &content.latent,
                                   error);
    if (status == LQ_OK)
        *ret_content = content;
    else
        repository_content_free(&content);
    return status;
}

void jobs_candidate_path(const struct jobs *jobs, int64_t job, bool latent, char *ret_path,
                         size_t size)
{
    snprintf(ret_path, size, "%s/candidates/%lld%s.lq", jobs->state, (long long)job,
             latent ? ".latent" : "");
}

void jobs_drop_candidate(const struct jobs *jobs, int64_t job)
{
    char path[CONFIG_TEXT_SIZE + 64];

    for (int latent = 0; latent < 2; latent++) {
        jobs_candidate_path(jobs, job, latent != 0, path, sizeof(path));
        unlink(path);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Versions
 */

/* Versions of a model in the folder, ascending; free(*ret_versions), which has room for one more.
 */
static int list_versions(struct jobs *jobs, const char *model, int64_t **ret_versions,
                         int *ret_count, struct lq_error *error)
{
    struct repository_file *files;
    int64_t *versions;
    int count, found = 0, status = repository_list(jobs->repository, &files, &count, error);

    if (status != LQ_OK)
        return status;
    versions = malloc(((size_t)count + 1) * sizeof(*versions));
    for (int i = 0; versions && i < count; i++)
        if (strcmp(files[i].name, model) == 0)
            versions[found++] = files[i].version;
    free(files);
    if (!versions)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    *ret_versions = versions;
    *ret_count = found;
    return LQ_OK;
}

int jobs_next_version(struct jobs *jobs, const char *model, int64_t *ret_version,
                      struct lq_error *error)
{
    const char *policy = jobs->setup.config->version_policy;
    bool *wanted;
    int64_t *versions, next;
    int count, status = list_versions(jobs, model, &versions, &count, error);

    if (status != LQ_OK)
        return status;
    next = count ? versions[count - 1] + 1 : 1;
    versions[count] = next;
    wanted = calloc((size_t)count + 1, sizeof(*wanted));
    if (!wanted)
        status = error_set(error, LQ_ERR_MEMORY, "out of memory");
    else
        policy_choose(policy, model, versions, count + 1, wanted);
    if (status == LQ_OK && !wanted[count])
        status = error_set(error, LQ_ERR_UNSUPPORTED,
                           "version_policy is '%.64s': version %lld of '%s' would not be served",
                           policy, (long long)next, model);
    free(wanted);
    free(versions);
    if (status == LQ_OK)
        *ret_version = next;
    return status;
}

static bool has_version(struct jobs *jobs, const char *model, int64_t version)
{
    int64_t *versions;
    bool found = false;
    int count;

    if (list_versions(jobs, model, &versions, &count, NULL) != LQ_OK)
        return false;
    for (int i = 0; i < count; i++)
        found = found || versions[i] == version;
    free(versions);
    return found;
}

/* ------------------------------------------------------------------------------------------------
 * Publishing
 */

static void destroy(struct publication *publication)
{
    decision_deinit(&publication->decision);
    job_deinit(&publication->job);
    free(publication);
}

static void answer_rollback(struct publication *publication, const struct lq_error *error)
{
    struct text json = {0};

    if (!publication->done)
        return;
    if (error->status == LQ_OK)
        jobs_write_decision(&publication->decision, &json);
    publication->done(publication->context, error->status, error, &json);
}

/* What came of it: error->status LQ_OK, or not. */
static void settle(struct jobs *jobs, struct publication *publication, const struct lq_error *error)
{
    struct decision *decision = &publication->decision;
    struct job *job = publication->job.id ? &publication->job : NULL;

    decision->pending = false;
    if (job) {
        job->state = error->status == LQ_OK ? JOB_PUBLISHED : JOB_FAILED;
        job->ended_ms = jobs_now_ms();
    }
    if (error->status != LQ_OK) {
        if (job) {
            job->version = 0;
            snprintf(job->reason, sizeof(job->reason), "%s", error->text);
        }
        decision->kind = DECISION_FAIL;
        decision->version = 0;
        snprintf(decision->reason, sizeof(decision->reason), "%s", error->text);
    }
    jobs_settle(jobs, job, decision, NULL);
    answer_rollback(publication, error);
    if (job)
        jobs_drop_candidate(jobs, job->id);
    destroy(publication);
}

/* On the registry's thread. */
static void on_loaded(void *context, int status, const struct lq_error *error)
{
    struct publication *publication = context;

    publication->status = status;
    publication->error = *error;
    jobs_send(publication->jobs, &publication->loaded);
}

/* Versions beside ours may fail to load: does this one answer? */
void jobs_published(struct jobs *jobs, struct publication *publication)
{
    const struct decision *decision = &publication->decision;
    struct lq_error error = {0};
    struct generation *generation;
    char version[24];

    jobs->publications--;
    snprintf(version, sizeof(version), "%lld", (long long)decision->version);
    if (registry_acquire(jobs->setup.registry, decision->model, version, &generation, &error) ==
        LQ_OK) {
        log_message(LOG_INFO, "model_published", "%s, version %s: generation %llu", decision->model,
                    version, (unsigned long long)generation->number);
        generation_unref(generation);
        error = (struct lq_error){0};
    } else {
        if (publication->status != LQ_OK)
            error = publication->error;
        repository_remove(jobs->repository, decision->model, decision->version);
    }
    settle(jobs, publication, &error);
}

static int begin(struct jobs *jobs, struct publication *publication,
                 const struct repository_content *content, struct lq_error *error)
{
    struct decision *decision = &publication->decision;
    struct job *job = publication->job.id ? &publication->job : NULL;
    int status = jobs_next_version(jobs, decision->model, &decision->version, error);

    if (status != LQ_OK)
        return status;
    decision->pending = true;
    if (job)
        job->version = decision->version;
    status = store_save(jobs->store, job, decision, error);
    if (status != LQ_OK)
        return status;
    status = repository_add(jobs->repository, decision->model, decision->version, content, error);
    if (status == LQ_OK && !registry_request(jobs->setup.registry, REGISTRY_LOAD, decision->model,
                                             on_loaded, publication))
        status = error_set(error, LQ_ERR_LIMIT, "too many models are to be loaded already");
    if (status != LQ_OK)
        repository_remove(jobs->repository, decision->model, decision->version);
    return status;
}

void jobs_publish(struct jobs *jobs, struct decision *decision, struct job *job,
                  const struct repository_content *content, jobs_done *done, void *context)
{
    struct publication *publication = calloc(1, sizeof(*publication));
    struct lq_error error = {0};
    struct publication lost = {.decision = *decision, .done = done, .context = context};

    if (job)
        lost.job = *job;
    lost.loaded.kind = MESSAGE_LOADED;
    lost.jobs = jobs;
    if (!publication) { /* the job stays as it is, to be found after the next start */
        lq_error_set(&error, LQ_ERR_MEMORY, "out of memory");
        answer_rollback(&lost, &error);
        decision_deinit(decision);
        if (job)
            job_deinit(job);
        return;
    }
    *publication = lost;
    jobs->publications++;
    if (begin(jobs, publication, content, &error) == LQ_OK)
        return;
    jobs->publications--;
    settle(jobs, publication, &error);
}

/* ------------------------------------------------------------------------------------------------
 * After a crash
 */

/* Decisions that were on their way. */
struct pending {
    struct decision *decisions;
    int count, room;
    bool failed;
};

static void collect(void *context, const struct decision *decision)
{
    struct pending *pending = context;
    struct decision *more;

    if (pending->count == pending->room) {
        pending->room += 16;
        more = realloc(pending->decisions, (size_t)pending->room * sizeof(*more));
        if (!more) {
            pending->failed = true;
            pending->room = pending->count;
            return;
        }
        pending->decisions = more;
    }
    more = &pending->decisions[pending->count++];
    *more = *decision;
    more->figures = decision->figures ? strdup(decision->figures) : NULL;
}

static int recover_decision(struct jobs *jobs, struct decision *decision, struct lq_error *error)
{
    struct job job = {0};
    int status;

    if (!has_version(jobs, decision->model, decision->version)) {
        repository_remove(jobs->repository, decision->model, decision->version); /* its pieces */
        return store_forget(jobs->store, decision->id, error); /* its job: interrupt_jobs */
    }
    decision->pending = false;
    if (decision->job == 0)
        return store_save(jobs->store, NULL, decision, error);
    status = store_job(jobs->store, decision->job, &job, error);
    if (status != LQ_OK)
        return status;
    job.state = JOB_PUBLISHED;
    job.ended_ms = jobs_now_ms();
    status = store_save(jobs->store, &job, decision, error);
    if (status == LQ_OK) {
        jobs_drop_candidate(jobs, job.id);
        jobs_tell(jobs, &job);
    }
    job_deinit(&job);
    return status;
}

/* Jobs in a state that no runner works at. */
static int interrupt_jobs(struct jobs *jobs, enum job_state state, struct lq_error *error)
{
    int status = LQ_OK, count = 1;

    while (status == LQ_OK) {
        struct job job;
        int64_t id;

        status = store_find(jobs->store, state, &id, 1, &count, error);
        if (status != LQ_OK || count == 0)
            return status;
        status = store_job(jobs->store, id, &job, error);
        if (status != LQ_OK)
            return status;
        job.state = JOB_INTERRUPTED;
        job.version = 0;
        job.ended_ms = jobs_now_ms();
        snprintf(job.reason, sizeof(job.reason), "the server ended while it ran");
        status = store_save(jobs->store, &job, NULL, error);
        if (status == LQ_OK)
            jobs_tell(jobs, &job);
        job_deinit(&job);
    }
    return status;
}

int jobs_recover(struct jobs *jobs, struct lq_error *error)
{
    struct pending pending = {NULL, 0, 0, false};
    int status = store_pending(jobs->store, collect, &pending, error);

    if (pending.failed)
        status = error_set(error, LQ_ERR_MEMORY, "out of memory");
    for (int i = 0; i < pending.count; i++) {
        if (status == LQ_OK)
            status = recover_decision(jobs, &pending.decisions[i], error);
        decision_deinit(&pending.decisions[i]);
    }
    free(pending.decisions);
    if (status == LQ_OK)
        status = interrupt_jobs(jobs, JOB_RUNNING, error);
    if (status == LQ_OK)
        status = interrupt_jobs(jobs, JOB_EVALUATING, error);
    return status;
}
