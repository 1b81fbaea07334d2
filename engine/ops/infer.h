/* infer.h - shape inference, one function per kind of operator.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Each checks attributes and parameters against the inputs' shapes. The number of inputs, and that
 * no foreign parameter is present and all are finite, has been checked before; the output's own
 * limits are checked after.
 */
#ifndef LQ_OPS_INFER_H
#define LQ_OPS_INFER_H

#include "ops/op.h"

struct lq_infer {
    const struct lq_attributes *attributes;
    const struct lq_shape *inputs;
    int input_count;
    const struct lq_tensor *const *params;
    struct lq_error *error;
};

typedef int lq_infer_function(const struct lq_infer *infer, struct lq_shape *ret_output);
lq_infer_function lq_infer_conv, lq_infer_dense, lq_infer_batch_norm,
    lq_infer_quantize;                                               /* layers */
lq_infer_function lq_infer_pool, lq_infer_global_pool, lq_infer_lrn; /* maps */
lq_infer_function lq_infer_same, lq_infer_softmax, lq_infer_clip, lq_infer_add, lq_infer_concat,
    lq_infer_pad, lq_infer_slice, lq_infer_reshape; /* shapes */

/* The input must be a feature map. */
int lq_infer_map(const struct lq_infer *infer) LQ_MUST_CHECK;
/* The input must be a vector or a feature map: for operators that know channels. */
int lq_infer_channels(const struct lq_infer *infer) LQ_MUST_CHECK;
/* An attribute's range. */
int lq_infer_range(const struct lq_infer *infer, const char *name, int value, int min,
                   int max) LQ_MUST_CHECK;
/* Checks the window and slides it over the input, a feature map; both extents are at least 1. Of a
 * pool every window holds at least one pixel of the map: its padding is smaller than its kernel. */
int lq_infer_window(const struct lq_infer *infer, bool pool, int *ret_height,
                    int *ret_width) LQ_MUST_CHECK;

#endif
