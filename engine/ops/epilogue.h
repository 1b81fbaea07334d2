/* epilogue.h - what follows the sums of an integer convolution: floats, or the next layer's codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The definition is in floats: y = clamp(scale[c] * (float)sum + shift[c], min, max), each
 * operation rounded once, and where the next node quantizes, the level of y. All of that is
 * monotonic in the sum, so the level can be had from the sum alone, by comparing it with 2^K - 1
 * integers found once per channel by bisection of the float definition itself: comparing integers
 * gives the very level that the definition gives, for every sum that can occur.
 */
#ifndef LQ_OPS_EPILOGUE_H
#define LQ_OPS_EPILOGUE_H

#include "ops/encoder.h"

struct lq_epilogue {
    struct lq_scaling scaling; /* the float definition */
    bool encodes;
    struct lq_encoder encoder; /* with thresholds on sums, where encodes */
    struct lq_kernels kernels;
};

/* scale: of each channel, what turns a sum into the layer's output (before batch normalization);
 * bound: no sum exceeds it in magnitude. Errors: LQ_ERR_MEMORY. */
int lq_epilogue_init(struct lq_epilogue *epilogue, struct lq_arena *arena,
                     const struct lq_step_spec *spec, const double *scale, int32_t bound,
                     struct lq_error *error) LQ_MUST_CHECK;

/* sums: [pixels][channels]. ret_output: where the first of these pixels is stored. */
void lq_epilogue_run(const struct lq_epilogue *epilogue, const int32_t *sums, int pixels,
                     void *ret_output);
/* Bytes of one stored pixel. */
size_t lq_epilogue_pixel_bytes(const struct lq_epilogue *epilogue);

#endif
