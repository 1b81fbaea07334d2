/* finetune_options.c - the options of fine-tuning: names, defaults and ranges.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/status.h"
#include "train/finetune.h"

#define MAX_THREADS 64
#define IMAGES      2000
#define MEMORY      ((size_t)1 << 30)

static const char *const names[LQ_FINETUNE_MODES] = {"calibrate", "quantizers", "joint"};

const char *lq_finetune_mode_name(enum lq_finetune_mode mode)
{
    return (unsigned)mode < LQ_FINETUNE_MODES ? names[mode] : NULL;
}

int lq_finetune_mode_from_name(const char *name)
{
    for (int mode = 0; mode < LQ_FINETUNE_MODES; mode++)
        if (strcmp(names[mode], name) == 0)
            return mode;
    return -1;
}

struct range {
    const char *name;
    double value, low, high;
};

static int check_ranges(const struct lq_finetune_options *o, struct lq_error *error)
{
    const struct range ranges[] = {{"mode", o->mode, 0, LQ_FINETUNE_MODES - 1},
                                   {"images", (double)o->images, 0, 1 << 30},
                                   {"threads", o->threads, 1, MAX_THREADS},
                                   {"steps of the calibration", o->steps, 1, 3},
                                   {"kept part", o->keep, 0, 1},
                                   {"epochs", o->epochs, 1, 10000},
                                   {"batch", o->batch, 1, 4096},
                                   {"rate", o->rate, 1e-9, 1000},
                                   {"basis rate", o->basis_rate, 0, 1000},
                                   {"distillation", o->distillation, 0, 1},
                                   {"temperature", o->temperature, 0.01, 1000}};

    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high))
            return lq_fail(error, LQ_ERR_INVALID, "%s: %g, expected %g..%g", ranges[i].name,
                           ranges[i].value, ranges[i].low, ranges[i].high);
    return LQ_OK;
}

int lq_finetune_resolve(const struct lq_finetune_options *options, const struct lq_graph *graph,
                        struct lq_finetune_options *ret_options, struct lq_error *error)
{
    struct lq_finetune_options o = *options;
    struct lq_augmentation augmentation;
    int status;

    if (o.images == 0 && o.mode == LQ_FINETUNE_CALIBRATE)
        o.images = IMAGES;
    if (!o.augmentation)
        o.augmentation = lq_graph_provenance(graph, "augmentation");
    if (!o.augmentation)
        o.augmentation = "none";
    if (o.threads == 0)
        o.threads = lq_cpu_count() > MAX_THREADS ? MAX_THREADS : lq_cpu_count();
    if (o.memory == 0)
        o.memory = MEMORY;
    if (o.steps == 0)
        o.steps = LQ_FINETUNE_STATISTICS;
    if (o.epochs == 0)
        o.epochs = 5;
    if (o.batch == 0)
        o.batch = 100;
    if (o.rate == 0)
        o.rate = o.mode == LQ_FINETUNE_QUANTIZERS ? 0.03 : 0.01;
    if (o.basis_rate == 0 && o.mode == LQ_FINETUNE_QUANTIZERS)
        o.basis_rate = 1;
    if (o.temperature == 0)
        o.temperature = 3;
    status = check_ranges(&o, error);
    if (status == LQ_OK)
        status = lq_augmentation_parse(o.augmentation, &augmentation, error);
    if (status == LQ_OK)
        *ret_options = o;
    return status;
}
