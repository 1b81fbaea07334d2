/* lq_finetune.c - the door to fine-tuning.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "lq_model.h"
#include "train/compare.h"
#include "train/finetune.h"

#define MAX_BATCH     4096
#define MAX_THREADS   64
#define DEFAULT_BATCH 64

int lq_finetune(struct lq_model *model, const struct lq_dataset *dataset,
                const struct lq_finetune_options *options, struct lq_model **ret_model,
                struct lq_finetune_report *ret_report, struct lq_error *error)
{
    struct lq_finetune_input input = {.graph = model->graph,
                                      .teacher = options->teacher ? options->teacher->graph : NULL,
                                      .latent = options->latent ? options->latent->graph : NULL,
                                      .dataset = dataset,
                                      .kernels = lq_engine_kernels(model->engine)};
    struct lq_finetune_options o;
    struct lq_finetune_report report;
    struct lq_trained trained;
    struct lq_model *latent = NULL;
    int status = lq_finetune_resolve(options, model->graph, &o, error);

    if (status == LQ_OK)
        status = lq_finetune_graph(&input, &o, &trained, &report, error);
    if (status != LQ_OK)
        return status;
    if (trained.latent)
        status = lq_model_create(model->engine, trained.latent, &latent, error);
    if (status == LQ_OK)
        status = lq_model_create(model->engine, trained.graph, ret_model, error);
    else
        lq_graph_destroy(trained.graph);
    if (status != LQ_OK) {
        lq_model_unref(latent);
        lq_finetune_report_deinit(&report);
        return status;
    }
    if (options->ret_latent && latent)
        *options->ret_latent = latent;
    else
        lq_model_unref(latent);
    *ret_report = report;
    return LQ_OK;
}

int lq_compare(struct lq_model *old_model, struct lq_model *new_model,
               const struct lq_dataset *dataset, const struct lq_compare_options *options,
               struct lq_comparison *ret_comparison, struct lq_error *error)
{
    struct lq_compare_options resolved = *options;
    const struct lq_program *programs[2];
    int status;

    if (resolved.batch == 0)
        resolved.batch = DEFAULT_BATCH;
    if (resolved.threads == 0)
        resolved.threads = lq_cpu_count() > MAX_THREADS ? MAX_THREADS : lq_cpu_count();
    if (resolved.batch < 1 || resolved.batch > MAX_BATCH)
        return lq_fail(error, LQ_ERR_INVALID, "batch %d, expected 1..%d", resolved.batch,
                       MAX_BATCH);
    if (resolved.threads < 1 || resolved.threads > MAX_THREADS)
        return lq_fail(error, LQ_ERR_INVALID, "%d threads, expected 1..%d", resolved.threads,
                       MAX_THREADS);
    status = lq_model_program(old_model, LQ_FORM_AUTO, &programs[0], error);
    if (status == LQ_OK)
        status = lq_model_program(new_model, LQ_FORM_AUTO, &programs[1], error);
    if (status == LQ_OK)
        status = lq_compare_programs(programs[0], programs[1], dataset, &resolved, ret_comparison,
                                     error);
    return status;
}
