/* trainer_network.c - the network that a training has reached.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "train/evaluate.h"
#include "train/trainer_internal.h"

#define AVERAGE_IMAGES 2000 /* that statistics are taken from for averaged weights */

/* BatchNorm statistics of the tape's present values, over training images. */
static int estimate_statistics(struct trainer *t, int64_t images)
{
    struct lq_loader_options options = t->loading;
    struct lq_loader *loader;
    const struct lq_batch *batch;
    const float *logits;
    int status;

    options.seed = ~options.seed; /* other crops than those of training */
    status = lq_loader_create(&options, 0, &loader, t->error);
    if (status != LQ_OK)
        return status;
    for (int64_t done = 0; done < images && status == LQ_OK; done += t->batch) {
        status = lq_loader_next(loader, &batch, t->error);
        if (status == LQ_OK)
            lq_tape_forward(t->tape, batch->input, t->batch, LQ_TAPE_STATISTICS, &logits);
    }
    lq_tape_set_statistics(t->tape);
    lq_loader_destroy(loader);
    return status;
}

/* What estimate_statistics changes, kept aside: values and float arrays. */
static float *keep_state(const struct trainer *t, float *kept)
{
    struct lq_tape *tape = t->tape;
    size_t count = lq_tape_numbers(tape);

    if (kept)
        memcpy(kept, lq_tape_values(tape), count * sizeof(*kept));
    for (int i = 0; i < lq_tape_array_count(tape); i++) {
        const struct lq_tape_array *a = lq_tape_array(tape, i);

        if (kept && !a->doubles)
            memcpy(kept + count, a->data, a->count * sizeof(*kept));
        count += a->doubles ? 0 : a->count;
    }
    return kept ? kept : lq_alloc(count, sizeof(*kept));
}

static void restore_state(const struct trainer *t, const float *kept)
{
    struct lq_tape *tape = t->tape;
    size_t count = lq_tape_numbers(tape);

    memcpy(lq_tape_values(tape), kept, count * sizeof(*kept));
    for (int i = 0; i < lq_tape_array_count(tape); i++) {
        const struct lq_tape_array *a = lq_tape_array(tape, i);

        if (a->doubles)
            continue;
        memcpy(a->data, kept + count, a->count * sizeof(*kept));
        count += a->count;
    }
}

static int export_tape(struct trainer *t, bool final, struct lq_trained *ret_trained)
{
    struct lq_trained trained = {NULL, NULL};
    int status = lq_tape_export(t->tape, NULL, &trained.graph, t->error);

    if (status == LQ_OK && final && t->input->latent)
        status = lq_tape_export_latent(t->tape, t->input->latent, &trained.latent, t->error);
    if (status == LQ_OK)
        *ret_trained = trained;
    else
        lq_graph_destroy(trained.graph);
    return status;
}

/* The network as it would be kept if this were the end. The run goes on as if it had not been. */
int lq_trainer_network(struct trainer *t, bool final, struct lq_trained *ret_trained)
{
    int64_t images = final ? t->options->reestimate : 0;
    float *kept;
    int status = LQ_OK;

    if (t->average && images == 0)
        images = AVERAGE_IMAGES;
    if (images == 0)
        return export_tape(t, final, ret_trained);
    kept = keep_state(t, NULL);
    if (!kept)
        return lq_fail_memory(t->error);
    keep_state(t, kept);
    if (t->average)
        memcpy(lq_tape_values(t->tape), t->average, lq_tape_numbers(t->tape) * sizeof(float));
    status = estimate_statistics(t, images);
    if (status == LQ_OK)
        status = export_tape(t, final, ret_trained);
    restore_state(t, kept);
    free(kept);
    return status;
}

/* By the engine's own session, on the network as it would be served. */
int lq_trainer_evaluate(struct trainer *t, const struct lq_graph *graph, double *ret_top1)
{
    const struct lq_train_options *o = t->options;
    struct lq_evaluate_options options = {.batch = 64, .threads = o->threads};
    struct lq_lower_options lower = {LQ_FORM_AUTO, false, t->input->kernels};
    struct lq_evaluation evaluation;
    struct lq_program *program;
    int status = lq_program_create(graph, &lower, &program, t->error);

    if (status != LQ_OK)
        return status;
    status = lq_evaluate_program(program, t->test, &options, &evaluation, t->error);
    lq_program_destroy(program);
    if (status != LQ_OK)
        return status;
    *ret_top1 = evaluation.top1;
    lq_evaluation_deinit(&evaluation);
    return LQ_OK;
}

int lq_trainer_add_provenance(const struct trainer *t, struct lq_graph **graph)
{
    const struct lq_entry entries[] = {{"trained", t->settings},
                                       {"augmentation", t->options->augmentation}};
    int status = LQ_OK;

    for (int i = 0; i < 2 && *graph && !t->input->keeps_provenance && status == LQ_OK; i++) {
        struct lq_graph *copy;

        status = lq_graph_copy(*graph, &entries[i], &copy, t->error);
        if (status == LQ_OK) {
            lq_graph_destroy(*graph);
            *graph = copy;
        }
    }
    return status;
}
