/* generation.c - one loading of one version of a model, ready to run.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models/generation.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/text.h"

static size_t input_size(const struct lq_model_info *info)
{
    return (size_t)info->channels * (size_t)info->height * (size_t)info->width;
}

/* Its buffers, touched by a first run of a black picture for each of the session's threads. */
static int worker_create(struct generation *generation, const struct config *config,
                         struct generation_worker *worker, struct lq_error *error)
{
    struct lq_session_options options = {.max_batch = generation->max_batch,
                                         .threads = (int)config->worker_threads,
                                         .form = LQ_FORM_AUTO};
    size_t batch = (size_t)generation->max_batch;

    worker->pixels = calloc(batch, input_size(&generation->info));
    worker->output = calloc(batch * (size_t)generation->info.classes, sizeof(*worker->output));
    if (!worker->pixels || !worker->output)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    if (lq_session_create(generation->model, &options, &worker->session, error) != LQ_OK)
        return error->status;
    return lq_session_run_pixels(worker->session, worker->pixels,
                                 options.threads < options.max_batch ? options.threads
                                                                     : options.max_batch,
                                 worker->output, error);
}

static void destroy(struct generation *generation)
{
    for (int i = 0; generation->workers && i < generation->worker_count; i++) {
        lq_session_destroy(generation->workers[i].session);
        free(generation->workers[i].pixels);
        free(generation->workers[i].floats);
        free(generation->workers[i].output);
    }
    free(generation->workers);
    lq_model_unref(generation->model);
    if (generation->live)
        atomic_fetch_sub(generation->live, 1);
    free(generation);
}

int generation_create(const struct config *config, const char *name, int64_t version,
                      struct lq_model *model, struct generation **ret_generation,
                      struct lq_error *error)
{
    struct generation *generation = calloc(1, sizeof(*generation));
    struct lq_error failure = {0};
    int status = LQ_OK;

    if (!generation) {
        lq_model_unref(model);
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    }
    snprintf(generation->name, sizeof(generation->name), "%s", name);
    generation->version = version;
    snprintf(generation->version_text, sizeof(generation->version_text), "%lld",
             (long long)version);
    generation->model = model;
    lq_model_get_info(model, &generation->info);
    generation->max_batch = (int)config->max_batch;
    generation->worker_count = config_workers(config);
    atomic_init(&generation->references, 1);
    generation->workers = calloc((size_t)generation->worker_count, sizeof(*generation->workers));
    if (!generation->workers)
        status = error_set(&failure, LQ_ERR_MEMORY, "out of memory");
    for (int i = 0; i < generation->worker_count && status == LQ_OK; i++)
        status = worker_create(generation, config, &generation->workers[i], &failure);
    if (status == LQ_OK) {
        *ret_generation = generation;
        return LQ_OK;
    }
    destroy(generation);
    return error_set(error, status, "%s", failure.text);
}

struct generation *generation_ref(struct generation *generation)
{
    atomic_fetch_add_explicit(&generation->references, 1, memory_order_relaxed);
    return generation;
}

void generation_unref(struct generation *generation)
{
    if (generation && atomic_fetch_sub(&generation->references, 1) == 1)
        destroy(generation);
}
