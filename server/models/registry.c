/* registry.c - the models that are served: which generation of which version answers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/registry_private.h"
#include "codec/text.h"

#define MAX_PENDING 64 /* requests to the loading thread */

const char *registry_state_text(enum registry_state state)
{
    static const char *const texts[] = {
#define X(name) #name,
        REGISTRY_STATE_LIST(X)
#undef X
    };

    return texts[state];
}

bool registry_lists(const char *list, const char *name)
{
    size_t length;

    for (; *(list += strspn(list, " \t,")); list += length) {
        length = strcspn(list, " \t,");
        if (strlen(name) == length && memcmp(list, name, length) == 0)
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------
 * Questions; the lock is held where a function does not take it
 */

static struct registry_model *find_model(const struct registry *registry, const char *name)
{
    for (struct registry_model *model = registry->models; model; model = model->next)
        if (strcmp(model->name, name) == 0)
            return model;
    return NULL;
}

/* The version asked for; with none, the highest that answers, or else the highest. */
static struct registry_version *find_version(const struct registry_model *model,
                                             const char *version)
{
    for (struct registry_version *at = model->versions; at; at = at->next)
        if (version ? strcmp(at->text, version) == 0 : at->generation != NULL)
            return at;
    return version ? NULL : model->versions;
}

int registry_acquire(struct registry *registry, const char *name, const char *version,
                     struct generation **ret_generation, struct lq_error *error)
{
    struct registry_model *model;
    struct registry_version *found = NULL;
    int status = LQ_OK;

    pthread_mutex_lock(&registry->lock);
    model = find_model(registry, name);
    if (model)
        found = find_version(model, version);
    if (found && found->generation)
        *ret_generation = generation_ref(found->generation);
    else if (found)
        status = error_set(error, LQ_ERR_UNSUPPORTED, "model '%s' is not ready: %s", name,
                           found->reason);
    else if (model && version)
        status = error_set(error, LQ_ERR_NOT_FOUND, "no version '%s' of model '%s'", version, name);
    else
        status = error_set(error, LQ_ERR_NOT_FOUND, "no model '%s'", name);
    pthread_mutex_unlock(&registry->lock);
    return status;
}

static void describe(const struct registry_model *model, const struct registry_version *version,
                     struct registry_item *ret_item)
{
    *ret_item =
        (struct registry_item){.state = version->state,
                               .generation = version->generation ? version->generation->number : 0};
    text_copy(ret_item->name, sizeof(ret_item->name), model->name);
    text_copy(ret_item->version_text, sizeof(ret_item->version_text), version->text);
    text_copy(ret_item->reason, sizeof(ret_item->reason), version->reason);
}

/* Items of the models that fit; with no room given, counts them. */
static int fill(const struct registry *registry, const char *name, struct registry_item *items)
{
    int count = 0;

    for (const struct registry_model *model = registry->models; model; model = model->next) {
        if (name && strcmp(model->name, name) != 0)
            continue;
        for (const struct registry_version *at = model->versions; at; at = at->next, count++)
            if (items)
                describe(model, at, &items[count]);
    }
    return count;
}

int registry_list(struct registry *registry, const char *name, struct registry_item **ret_items,
                  int *ret_count, struct lq_error *error)
{
    struct registry_item *items;
    int count;

    pthread_mutex_lock(&registry->lock);
    count = fill(registry, name, NULL);
    items = calloc((size_t)count + 1, sizeof(*items));
    if (items)
        fill(registry, name, items);
    pthread_mutex_unlock(&registry->lock);
    if (!items)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    *ret_items = items;
    *ret_count = count;
    return LQ_OK;
}

struct stats *registry_stats(struct registry *registry, const char *name, const char *version)
{
    struct registry_model *model;
    struct registry_version *found = NULL;

    pthread_mutex_lock(&registry->lock);
    model = find_model(registry, name);
    if (model)
        found = find_version(model, version);
    pthread_mutex_unlock(&registry->lock);
    return found ? found->stats : NULL;
}

static bool answers(const struct registry_model *model)
{
    const struct registry_version *version = find_version(model, NULL);

    return version && version->generation;
}

/* Whether all models that `required_models` names answer. */
static bool required_answer(const struct registry *registry)
{
    const char *list = registry->config->required_models;
    size_t length;

    for (; *(list += strspn(list, " \t,")); list += length) {
        char name[MODEL_NAME_SIZE];
        const struct registry_model *model;

        length = strcspn(list, " \t,");
        snprintf(name, sizeof(name), "%.*s", (int)length, list);
        model = find_model(registry, name);
        if (!model || !answers(model))
            return false;
    }
    return true;
}

bool registry_is_ready(struct registry *registry)
{
    bool ready, any = false;

    pthread_mutex_lock(&registry->lock);
    ready = required_answer(registry);
    for (const struct registry_model *model = registry->models; model; model = model->next) {
        bool one = answers(model);

        any = any || one;
        if (registry->config->strict_readiness && model->in_folder && !model->unloaded)
            ready = ready && one;
    }
    pthread_mutex_unlock(&registry->lock);
    return ready && any;
}

int registry_live_generations(const struct registry *registry)
{
    return atomic_load(&registry->live);
}

/* ------------------------------------------------------------------------------------------------
 * Start, requests, end
 */

static int start_thread(struct registry *registry, struct lq_error *error)
{
    if (pthread_create(&registry->thread, NULL, registry_main, registry) != 0)
        return error_set(error, LQ_ERR_MEMORY, "cannot start a thread");
    registry->started = true;
    return LQ_OK;
}

int registry_open(const struct lq_engine *engine, const struct config *config,
                  struct metrics *metrics, struct registry **ret_registry, struct lq_error *error)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    pthread_condattr_t monotonic;
    int status;

    if (!registry)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    registry->engine = engine;
    registry->config = config;
    registry->metrics = metrics;
    registry->last = &registry->first;
    pthread_mutex_init(&registry->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&registry->asked, &monotonic);
    pthread_condattr_destroy(&monotonic);
    atomic_init(&registry->live, 0);
    status = repository_open(config->models, &registry->repository, error);
    if (status == LQ_OK)
        status = registry_scan(registry, error);
    if (status == LQ_OK)
        status = start_thread(registry, error);
    if (status == LQ_OK)
        *ret_registry = registry;
    else
        registry_close(registry);
    return status;
}

bool registry_request(struct registry *registry, enum registry_action action, const char *name,
                      registry_done *done, void *context)
{
    struct registry_request *request = calloc(1, sizeof(*request));
    bool taken = false;

    if (!request)
        return false;
    *request = (struct registry_request){.action = action, .done = done, .context = context};
    snprintf(request->name, sizeof(request->name), "%s", name ? name : "");
    pthread_mutex_lock(&registry->lock);
    if (registry->pending < MAX_PENDING && !registry->stopping) {
        *registry->last = request;
        registry->last = &request->next;
        registry->pending++;
        taken = true;
        pthread_cond_signal(&registry->asked);
    }
    pthread_mutex_unlock(&registry->lock);
    if (!taken)
        free(request);
    return taken;
}

void registry_stop(struct registry *registry)
{
    struct lq_error error = {LQ_ERR_CANCELLED, "the server ends"};
    struct registry_request *request;

    if (!registry || !registry->started)
        return;
    pthread_mutex_lock(&registry->lock);
    registry->stopping = true;
    pthread_cond_signal(&registry->asked);
    pthread_mutex_unlock(&registry->lock);
    pthread_join(registry->thread, NULL);
    registry->started = false;
    while ((request = registry->first)) {
        registry->first = request->next;
        if (request->done)
            request->done(request->context, error.status, &error);
        free(request);
    }
}

static void free_model(struct registry_model *model)
{
    struct registry_version *version;

    while ((version = model->versions)) {
        model->versions = version->next;
        generation_unref(version->generation);
        stats_destroy(version->stats);
        free(version);
    }
    free(model);
}

void registry_close(struct registry *registry)
{
    struct registry_model *model;

    if (!registry)
        return;
    registry_stop(registry);
    registry_collect(registry);
    while ((model = registry->models)) {
        registry->models = model->next;
        free_model(model);
    }
    repository_close(registry->repository);
    pthread_cond_destroy(&registry->asked);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}
