/* work.c - what a job computes, by the engine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "jobs/work.h"

#include <stdio.h>

/* lq_finetune's events are progress like any other. */
static bool on_event(void *context, const struct lq_finetune_event *event)
{
    const struct lq_progress *progress = context;

    return progress->report(progress->context, event->stage, event->done, event->total);
}

static void write_layers(const struct lq_finetune_report *report, struct text *figures)
{
    text_string(figures, "\"layers\":[");
    for (int i = 0; i < report->layer_count; i++) {
        const struct lq_finetune_layer *layer = &report->layers[i];

        text_string(figures, i ? ",{\"name\":" : "{\"name\":");
        text_json(figures, layer->name);
        text_printf(figures, ",\"op\":\"%s\",\"bits\":%d,\"before\":%.6g,\"after\":%.6g}",
                    layer->op, layer->bits, layer->before, layer->after);
    }
    text_string(figures, "],");
}

static void write_report(const struct lq_finetune_report *report, struct text *figures)
{
    text_printf(figures, "\"images\":%lld,\"seconds\":%.3f,\"shift\":[%.6g,%.6g],",
                (long long)report->images, report->seconds, report->shift[0], report->shift[1]);
    if (report->loss >= 0)
        text_printf(figures, "\"loss\":%.6g,", report->loss);
    write_layers(report, figures);
}

/* The images that are not held out, or all where the guard has its own. */
static int select_data(const struct work_task *task, bool guard, struct lq_dataset **ret_part,
                       struct lq_error *error)
{
    const struct lq_dataset_selection selection = {.every = (int)task->spec->guard.hold_out,
                                                   .rest = !guard};

    *ret_part = NULL;
    return task->guard ? LQ_OK : lq_dataset_select(task->data, &selection, ret_part, error);
}

static int tune(const struct work_task *task, struct lq_model **ret_candidate, struct text *figures,
                struct lq_error *error)
{
    static const enum lq_finetune_mode modes[SPEC_MODE_COUNT] = {
        [SPEC_CALIBRATE] = LQ_FINETUNE_CALIBRATE,
        [SPEC_QUANTIZERS] = LQ_FINETUNE_QUANTIZERS,
        [SPEC_JOINT] = LQ_FINETUNE_JOINT};
    const struct spec *spec = task->spec;
    struct lq_progress progress = task->progress;
    const struct lq_finetune_options options = {
        .mode = modes[spec->mode],
        .images = spec->options.images,
        .augmentation = spec->options.augmentation[0] ? spec->options.augmentation : NULL,
        .seed = (uint64_t)spec->options.seed,
        .threads = task->threads,
        .memory = task->memory,
        .steps = spec->options.bases ? LQ_FINETUNE_STATISTICS | LQ_FINETUNE_BASES : 0,
        .keep = spec->options.keep,
        .epochs = (int)spec->options.epochs,
        .batch = (int)spec->options.batch,
        .rate = spec->options.rate,
        .basis_rate = spec->options.basis_rate,
        .distillation = spec->options.distillation,
        .temperature = spec->options.temperature,
        .teacher = task->teacher,
        .latent = task->latent,
        .ret_latent = task->ret_latent,
        .event = on_event,
        .context = &progress,
    };
    struct lq_finetune_report report = {0};
    struct lq_dataset *part;
    int status = select_data(task, false, &part, error);

    if (status == LQ_OK)
        status = lq_finetune(task->model, part ? part : task->data, &options, ret_candidate,
                             &report, error);
    if (status == LQ_OK && spec->mode == SPEC_JOINT)
        text_printf(figures, "\"weights\":\"%s\",", task->latent ? "float" : "decoded");
    if (status == LQ_OK)
        write_report(&report, figures);
    lq_finetune_report_deinit(&report);
    lq_dataset_close(part);
    return status;
}

static void write_comparison(const struct lq_comparison *c, struct text *figures)
{
    text_printf(figures, "\"guard\":{\"images\":%lld,\"labelled\":%lld,", (long long)c->count,
                (long long)c->labelled);
    if (c->labelled)
        text_printf(figures,
                    "\"accuracy_before\":%.4f,\"accuracy_after\":%.4f,\"only_before\":%lld,"
                    "\"only_after\":%lld,\"p_worse\":%.6g,\"p_better\":%.6g,",
                    c->top1_old, c->top1_new, (long long)c->only_old, (long long)c->only_new,
                    c->p_worse, c->p_better);
    text_printf(figures,
                "\"agreed\":%lld,\"confidence_before\":%.4f,\"confidence_after\":%.4f,"
                "\"classes_before\":%.3f,\"classes_after\":%.3f,\"seconds\":%.3f},",
                (long long)c->agreed, c->confidence_old, c->confidence_new, c->classes_old,
                c->classes_new, c->seconds);
}

static int judge(const struct work_task *task, struct lq_model *candidate,
                 struct work_verdict *ret_verdict, struct text *figures, struct lq_error *error)
{
    const double bound = task->spec->guard.bound;
    const struct lq_guard guard = {.bound = bound > 0 ? bound : -1, /* 0 is its default */
                                   .significance = task->spec->guard.significance};
    const struct lq_compare_options options = {.threads = task->threads,
                                               .progress = task->progress};
    struct lq_comparison comparison;
    struct lq_verdict verdict;
    struct lq_dataset *part;
    int status = select_data(task, true, &part, error);

    if (status == LQ_OK)
        status = lq_compare(task->model, candidate, part ? part : task->guard, &options,
                            &comparison, error);
    lq_dataset_close(part);
    if (status != LQ_OK)
        return status;
    write_comparison(&comparison, figures);
    lq_guard_decide(&guard, &comparison, &verdict);
    ret_verdict->accepted = verdict.publish;
    snprintf(ret_verdict->reason, sizeof(ret_verdict->reason), "%s", verdict.reason);
    return LQ_OK;
}

const struct work work_engine = {tune, judge};
