/* resolve.c - the options of training: defaults and ranges.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/status.h"
#include "train/trainer.h"

#define MAX_BATCH   4096
#define MAX_THREADS 64

struct range {
    const char *name;
    double value, low, high;
};

static int check_ranges(const struct lq_train_options *o, struct lq_error *error)
{
    const struct range ranges[] = {{"batch", o->batch, 1, MAX_BATCH},
                                   {"epochs", o->epochs, 1, 100000},
                                   {"learning rate", o->rate, 1e-9, 1000},
                                   {"momentum", o->momentum, 0, 0.9999},
                                   {"weight decay", o->decay, 0, 1},
                                   {"warm-up", o->warmup, 0, o->epochs},
                                   {"basis rate", o->basis_rate, 0, 1000},
                                   {"label smoothing", o->smoothing, 0, 1},
                                   {"average", o->average, 0, 0.999999},
                                   {"distillation", o->distillation, 0, 1},
                                   {"temperature", o->temperature, 0.01, 1000},
                                   {"hold-out", o->hold_out, 0, 1 << 30},
                                   {"threads", o->threads, 1, MAX_THREADS}};

    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high))
            return lq_fail(error, LQ_ERR_INVALID, "%s is %g, expected %g..%g", ranges[i].name,
                           ranges[i].value, ranges[i].low, ranges[i].high);
    if (o->hold_out == 1)
        return lq_fail(error, LQ_ERR_INVALID, "hold-out 1 leaves no image to train on");
    if (o->resume && !o->checkpoint)
        return lq_fail(error, LQ_ERR_INVALID, "resume needs the name of a checkpoint");
    return LQ_OK;
}

int lq_train_resolve(const struct lq_train_options *options, struct lq_train_options *ret_options,
                     struct lq_error *error)
{
    struct lq_train_options o = *options;
    int status;

    if (o.batch == 0)
        o.batch = 128;
    if (o.momentum == 0)
        o.momentum = 0.9;
    if (o.distillation == 0)
        o.distillation = 0.5;
    if (o.temperature == 0)
        o.temperature = 3;
    if (o.basis_rate == 0 && o.quantizer == LQ_QUANTIZER_UNIFORM)
        o.basis_rate = 1;
    if (o.checkpoint_minutes == 0)
        o.checkpoint_minutes = 5;
    if (!o.augmentation)
        o.augmentation = "crop4-mean,flip";
    if (o.threads == 0)
        o.threads = lq_cpu_count() > MAX_THREADS ? MAX_THREADS : lq_cpu_count();
    status = check_ranges(&o, error);
    if (status == LQ_OK)
        *ret_options = o;
    return status;
}
