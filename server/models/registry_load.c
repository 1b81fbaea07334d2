/* registry_load.c - loads, unloads and scans.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * All of it runs on one thread, the loading thread (before that is started, on the one that opens
 * the registry). It alone changes the list of models and their pointers, under the lock; it may
 * therefore read them without.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "observe/log.h"
#include "models/policy.h"
#include "models/registry_private.h"
#include "codec/text.h"

#define LOADER_NICE   4    /* loading gives way to answering */
#define DRAIN_LOOK_US 2000 /* how often it is looked whether a generation can go */

/* ------------------------------------------------------------------------------------------------
 * Models and versions
 */

static struct registry_model *find_model(struct registry *registry, const char *name)
{
    for (struct registry_model *model = registry->models; model; model = model->next)
        if (strcmp(model->name, name) == 0)
            return model;
    return NULL;
}

/* The model, made where there is none; NULL: out of memory. */
static struct registry_model *provide_model(struct registry *registry, const char *name)
{
    struct registry_model **at = &registry->models, *model;

    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->name, name) == 0)
        return *at;
    model = calloc(1, sizeof(*model));
    if (!model)
        return NULL;
    snprintf(model->name, sizeof(model->name), "%s", name);
    pthread_mutex_lock(&registry->lock);
    model->next = *at;
    *at = model;
    pthread_mutex_unlock(&registry->lock);
    return model;
}

static struct registry_version *provide_version(struct registry *registry,
                                                struct registry_model *model, int64_t number)
{
    struct registry_version **at = &model->versions, *version;

    while (*at && (*at)->number > number)
        at = &(*at)->next;
    if (*at && (*at)->number == number)
        return *at;
    version = calloc(1, sizeof(*version));
    if (!version)
        return NULL;
    version->number = number;
    snprintf(version->text, sizeof(version->text), "%lld", (long long)number);
    version->metrics = metrics_model(registry->metrics, model->name, version->text);
    version->stats = stats_create((int)registry->config->max_batch, version->metrics);
    if (!version->stats) {
        free(version);
        return NULL;
    }
    pthread_mutex_lock(&registry->lock);
    version->next = *at;
    *at = version;
    pthread_mutex_unlock(&registry->lock);
    return version;
}

/* reason NULL: the one that is there stays. */
static void set_state(struct registry *registry, struct registry_version *version,
                      enum registry_state state, const char *reason)
{
    pthread_mutex_lock(&registry->lock);
    version->state = state;
    if (reason)
        snprintf(version->reason, sizeof(version->reason), "%s", reason);
    pthread_mutex_unlock(&registry->lock);
}

static void log_version(enum log_level level, const char *event, const struct registry_model *model,
                        const struct registry_version *version)
{
    struct log_line line;

    log_begin(&line, level, event);
    log_string(&line, "model", model->name);
    log_string(&line, "version", version->text);
    if (version->generation)
        log_int(&line, "generation", (int64_t)version->generation->number);
    if (version->reason[0])
        log_string(&line, "reason", version->reason);
    log_end(&line);
}

/* ------------------------------------------------------------------------------------------------
 * Generations
 */

bool registry_collect(struct registry *registry)
{
    struct registry_draining **at = &registry->draining, *one;

    while ((one = *at)) {
        if (atomic_load(&one->generation->references) > 1) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        generation_unref(one->generation);
        if (one->version && one->version->state == REGISTRY_UNLOADING)
            set_state(registry, one->version, REGISTRY_UNAVAILABLE, NULL);
        free(one);
    }
    return !registry->draining;
}

/* Keeps an eye on a generation that no longer answers. */
static void drain(struct registry *registry, struct generation *generation,
                  struct registry_version *version)
{
    struct registry_draining *one;

    if (!generation)
        return;
    one = calloc(1, sizeof(*one));
    if (!one) { /* whoever holds it last lets it go */
        if (version->state == REGISTRY_UNLOADING)
            set_state(registry, version, REGISTRY_UNAVAILABLE, NULL);
        generation_unref(generation);
        return;
    }
    *one = (struct registry_draining){registry->draining, generation, version};
    registry->draining = one;
}

static void publish(struct registry *registry, struct registry_version *version,
                    struct generation *generation, enum registry_state state, const char *reason)
{
    struct generation *old;

    pthread_mutex_lock(&registry->lock);
    old = version->generation;
    version->generation = generation;
    version->state = state;
    snprintf(version->reason, sizeof(version->reason), "%s", reason);
    pthread_mutex_unlock(&registry->lock);
    metrics_model_gauge_set(version->metrics, METRICS_GENERATION,
                            generation ? (int64_t)generation->number : 0);
    metrics_model_gauge_set(version->metrics, METRICS_MODEL_READY, generation != NULL);
    drain(registry, old, version);
}

/* Reads, verifies and warms a file, then lets it answer. */
static int load_version(struct registry *registry, struct registry_model *model,
                        struct registry_version *version, const struct repository_file *file,
                        struct lq_error *error)
{
    struct generation *generation = NULL;
    struct lq_error failure = {0};
    struct lq_model *opened;
    int status;

    set_state(registry, version, version->generation ? REGISTRY_READY : REGISTRY_LOADING,
              version->generation ? NULL : "it is being loaded");
    version->tried = true;
    status = repository_stamp(registry->repository, file, &version->stamp, &failure);
    if (status == LQ_OK)
        status = repository_read(registry->repository, file, registry->engine, &opened,
                                 &version->stamp, &failure);
    if (status == LQ_OK)
        status = generation_create(registry->config, model->name, version->number, opened,
                                   &generation, &failure);
    if (status != LQ_OK) {
        set_state(registry, version, version->generation ? REGISTRY_READY : REGISTRY_UNAVAILABLE,
                  failure.text);
        metrics_model_count(version->metrics, METRICS_LOAD_FAILURES, 1);
        log_version(LOG_ERROR, "model_failed", model, version);
        return error_set(error, status, "model '%s', version %s: %s", model->name, version->text,
                         failure.text);
    }
    generation->number = ++registry->generations;
    snprintf(generation->number_text, sizeof(generation->number_text), "%llu",
             (unsigned long long)generation->number);
    generation->stats = version->stats;
    generation->live = &registry->live;
    atomic_fetch_add(&registry->live, 1);
    publish(registry, version, generation, REGISTRY_READY, "");
    metrics_model_count(version->metrics, METRICS_LOADS, 1);
    log_version(LOG_INFO, "model_loaded", model, version);
    return LQ_OK;
}

static void unload_version(struct registry *registry, struct registry_model *model,
                           struct registry_version *version, const char *reason)
{
    if (version->generation) {
        publish(registry, version, NULL, REGISTRY_UNLOADING, reason);
        log_version(LOG_INFO, "model_unloaded", model, version);
    } else if (version->state != REGISTRY_UNLOADING) {
        set_state(registry, version, REGISTRY_UNAVAILABLE, reason);
    }
}

/* ------------------------------------------------------------------------------------------------
 * A model's files
 */

/* Has the file changed since it was tried? */
static bool is_new(struct registry *registry, const struct registry_version *version,
                   const struct repository_file *file)
{
    struct repository_stamp stamp;

    if (!version->tried)
        return true;
    if (repository_stamp(registry->repository, file, &stamp, NULL) != LQ_OK)
        return false; /* what was read from it answers on */
    return !repository_stamps_equal(&stamp, &version->stamp);
}

static bool is_wanted(const struct registry_version *version, const struct repository_file *files,
                      const bool *wanted, int count)
{
    for (int i = 0; i < count; i++)
        if (files[i].version == version->number)
            return wanted[i];
    return false;
}

/* NAME.lq beside NAME/1/model.lq: nobody could say which one is meant. */
static bool is_twice(const struct repository_file *files, int count, int index)
{
    int64_t version = files[index].version;

    return (index > 0 && files[index - 1].version == version) ||
           (index + 1 < count && files[index + 1].version == version);
}

static int refuse_twice(struct registry *registry, struct registry_version *version,
                        struct lq_error *error)
{
    static const char reason[] = "it is there twice, as a file and in a folder";

    set_state(registry, version, version->generation ? REGISTRY_READY : REGISTRY_UNAVAILABLE,
              reason);
    return error_set(error, LQ_ERR_FORMAT, "version %s: %s", version->text, reason);
}

/* Loads the versions that are wanted, all or those that have changed; only if that went well, those
 * that are not wanted go. */
static int load_wanted(struct registry *registry, struct registry_model *model,
                       const struct repository_file *files, const bool *wanted, int count,
                       bool changed_only, struct lq_error *error)
{
    int first = LQ_OK;

    for (int i = 0; i < count; i++) {
        struct registry_version *version;
        int status = LQ_OK;

        if (!wanted[i])
            continue;
        version = provide_version(registry, model, files[i].version);
        if (!version)
            return error_set(error, LQ_ERR_MEMORY, "out of memory");
        if (is_twice(files, count, i))
            status = refuse_twice(registry, version, error);
        else if (!changed_only || is_new(registry, version, &files[i]))
            status = load_version(registry, model, version, &files[i], error);
        else if (!version->generation)
            status = error_set(error, LQ_ERR_UNSUPPORTED, "%s", version->reason);
        if (first == LQ_OK)
            first = status;
    }
    for (struct registry_version *at = model->versions; at && first == LQ_OK; at = at->next)
        if (!is_wanted(at, files, wanted, count))
            unload_version(registry, model, at, "the version policy does not want it");
    return first;
}

/* All files of one name. */
static int load_model(struct registry *registry, const struct repository_file *files, int count,
                      bool changed_only, struct lq_error *error)
{
    struct registry_model *model = provide_model(registry, files->name);
    int64_t *versions = calloc((size_t)count, sizeof(*versions));
    bool *wanted = calloc((size_t)count, sizeof(*wanted));
    int status = LQ_OK;

    if (!model || !versions || !wanted) {
        status = error_set(error, LQ_ERR_MEMORY, "out of memory");
    } else {
        pthread_mutex_lock(&registry->lock);
        model->in_folder = true;
        model->unloaded = false;
        pthread_mutex_unlock(&registry->lock);
        for (int i = 0; i < count; i++)
            versions[i] = files[i].version;
        policy_choose(registry->config->version_policy, model->name, versions, count, wanted);
        status = load_wanted(registry, model, files, wanted, count, changed_only, error);
    }
    free(versions);
    free(wanted);
    return status;
}

static int name_count(const struct repository_file *files, int count)
{
    int same = 1;

    while (same < count && strcmp(files[same].name, files[0].name) == 0)
        same++;
    return same;
}

static bool is_listed(const char *name, const struct repository_file *files, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(files[i].name, name) == 0)
            return true;
    return false;
}

static void unload_model(struct registry *registry, struct registry_model *model, bool in_folder,
                         const char *reason)
{
    pthread_mutex_lock(&registry->lock);
    model->in_folder = in_folder;
    model->unloaded = in_folder;
    pthread_mutex_unlock(&registry->lock);
    for (struct registry_version *at = model->versions; at; at = at->next)
        unload_version(registry, model, at, reason);
}

int registry_scan(struct registry *registry, struct lq_error *error)
{
    struct repository_file *files;
    int count, step, status = repository_list(registry->repository, &files, &count, error);

    if (status != LQ_OK)
        return status;
    for (int i = 0; i < count; i += step) {
        const struct registry_model *model = find_model(registry, files[i].name);
        struct lq_error failure = {0};

        step = name_count(files + i, count - i);
        if ((!model || !model->unloaded) &&
            load_model(registry, files + i, step, true, &failure) == LQ_ERR_MEMORY)
            status = error_set(error, LQ_ERR_MEMORY, "%s", failure.text);
    }
    for (struct registry_model *model = registry->models; model; model = model->next)
        if (model->in_folder && !is_listed(model->name, files, count))
            unload_model(registry, model, false, "its file is gone");
    free(files);
    return status;
}

static int load_named(struct registry *registry, const char *name, struct lq_error *error)
{
    struct repository_file *files;
    int count, status = repository_list(registry->repository, &files, &count, error);

    if (status != LQ_OK)
        return status;
    status = LQ_ERR_NOT_FOUND;
    for (int i = 0; i < count && status == LQ_ERR_NOT_FOUND; i += name_count(files + i, count - i))
        if (strcmp(files[i].name, name) == 0)
            status =
                load_model(registry, files + i, name_count(files + i, count - i), false, error);
    if (status == LQ_ERR_NOT_FOUND)
        lq_error_set(error, status, "no model '%s' in the folder", name);
    free(files);
    return status;
}

static int unload_named(struct registry *registry, const char *name, struct lq_error *error)
{
    struct registry_model *model = find_model(registry, name);

    if (!model)
        return error_set(error, LQ_ERR_NOT_FOUND, "no model '%s'", name);
    unload_model(registry, model, true, "it was unloaded");
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * The loading thread
 */

static void serve(struct registry *registry, struct registry_request *request)
{
    struct lq_error error = {0};
    int status;

    if (request->action == REGISTRY_LOAD)
        status = load_named(registry, request->name, &error);
    else if (request->action == REGISTRY_UNLOAD)
        status = unload_named(registry, request->name, &error);
    else
        status = registry_scan(registry, &error);
    if (status != LQ_OK && !request->done)
        log_message(LOG_ERROR, "reload_failed", "%s", error.text);
    if (request->done)
        request->done(request->context, status, &error);
    free(request);
}

/* The next request; NULL where there is something else to do. The lock is held. */
static struct registry_request *next_request(struct registry *registry, int64_t wake_us)
{
    struct timespec until = {wake_us / 1000000, wake_us % 1000000 * 1000};
    struct registry_request *request;
    int status = 0;

    while (!registry->first && !registry->stopping && status != ETIMEDOUT)
        status = wake_us == INT64_MAX
                     ? pthread_cond_wait(&registry->asked, &registry->lock)
                     : pthread_cond_timedwait(&registry->asked, &registry->lock, &until);
    request = registry->stopping ? NULL : registry->first;
    if (request) {
        registry->first = request->next;
        if (!registry->first)
            registry->last = &registry->first;
        registry->pending--;
    }
    return request;
}

static void poll_folder(struct registry *registry)
{
    struct lq_error error = {0};

    if (registry_scan(registry, &error) != LQ_OK)
        log_message(LOG_ERROR, "reload_failed", "%s", error.text);
}

void *registry_main(void *argument)
{
    struct registry *registry = argument;
    int64_t poll_us = registry->config->repository_poll_s * 1000000;
    int64_t next_poll = poll_us ? clock_now_us() + poll_us : INT64_MAX;

    /* of this thread alone, as Linux has it */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOADER_NICE);
    pthread_mutex_lock(&registry->lock);
    while (!registry->stopping) {
        struct registry_request *request;
        int64_t wake_us = next_poll;

        pthread_mutex_unlock(&registry->lock);
        if (!registry_collect(registry) && clock_now_us() + DRAIN_LOOK_US < wake_us)
            wake_us = clock_now_us() + DRAIN_LOOK_US;
        pthread_mutex_lock(&registry->lock);
        request = next_request(registry, wake_us);
        pthread_mutex_unlock(&registry->lock);
        if (request)
            serve(registry, request);
        if (clock_now_us() >= next_poll) {
            poll_folder(registry);
            next_poll = clock_now_us() + poll_us;
        }
        pthread_mutex_lock(&registry->lock);
    }
    pthread_mutex_unlock(&registry->lock);
    return NULL;
}
