/* epilogue.h - what follows the sums of an integer convolution: floats, or the next layer's codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The definition is in floats: y = clamp(scale[c] * (float)(sum + offset[c]) + shift[c], min, max),
 * each operation rounded once; then whatever is added, and what else struct lq_step_spec lists; and
 * where the next node quantizes, the level of that. Where nothing is added and only codes are
 * stored, all of it is monotonic in the sum, so the level can be had from the sum alone, by
 * comparing it with 2^K - 1 integers found once per channel by bisection of the float definition
 * itself: comparing integers gives the very level that the definition gives, for every sum that can
 * occur. Where floats are kept or added, too, it is had from those: ops/values.h.
 */
#ifndef LQ_OPS_EPILOGUE_H
#define LQ_OPS_EPILOGUE_H

#include "ops/encoder.h"
#include "ops/values.h"

/* What sums stand for: scale[c] * (sum + offset[c]), the layer's output before batch normalization.
 * offset: NULL for none; bound: no sum exceeds it in magnitude. */
struct lq_sums {
    const double *scale;
    const int32_t *offset;
    int32_t bound;
};

struct lq_epilogue {
    struct lq_finish finish;                 /* the float definition */
    bool adds, encodes, goes_on, keeps_next; /* as struct lq_step_spec says */
    bool by_sums;                            /* codes from sums */
    struct lq_values values;   /* codes from floats, at once; factors NULL: one after the other */
    struct lq_encoder encoder; /* where encodes; with thresholds on sums where by_sums */
    const int32_t *signs;      /* [channels], of the scales, for pools; NULL: all are 1 */
    struct lq_kernels kernels;
};

/* Errors: LQ_ERR_MEMORY. */
int lq_epilogue_init(struct lq_epilogue *epilogue, struct lq_arena *arena,
                     const struct lq_step_spec *spec, const struct lq_sums *sums,
                     struct lq_error *error) LQ_MUST_CHECK;

/* Stores these columns of `pixels` pixels from pixel `first` on of the run's output and extra
 * value. sums: [pixels][channels]; they are overwritten. */
void lq_epilogue_run(const struct lq_epilogue *epilogue, const struct lq_run *run,
                     struct lq_columns columns, size_t first, int32_t *sums, int pixels);

#endif
