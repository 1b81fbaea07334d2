/* conv_method.h - a way of computing the float convolutions of training; for conv_*.c only.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Results come in panels of LQ_FLOAT_LANES channels of a group; "items" count [groups][panels].
 * What is done for one image never depends on the images it is done together with.
 */
#ifndef LQ_OPS_CONV_METHOD_H
#define LQ_OPS_CONV_METHOD_H

#include "ops/conv_train.h"

/* Images first..first + count - 1 of one pass: from x to y, or backward from d_y to d_x. */
struct lq_conv_call {
    const struct lq_conv_train *conv;
    bool backward, add;
    int first, count;
    const float *map, *packed;
    float *result;
    void *scratch;
};

/* Their share of the gradient of the weights, of the output panels panel..panel + panels - 1. */
struct lq_outer_call {
    const struct lq_conv_train *conv;
    int first, count, panel, panels;
    bool opens; /* the sums are set to 0 before */
    const float *x, *d_y;
    float *sums;
    void *scratch;
};

struct lq_conv_method {
    size_t (*packed_floats)(const struct lq_conv_train *conv, bool backward);
    /* One item of the weights, laid out for a pass. */
    void (*pack)(const struct lq_conv_train *conv, bool backward, const float *w, int item,
                 float *packed);
    size_t (*scratch)(const struct lq_conv_train *conv, bool backward); /* bytes, any count */
    void (*run)(const struct lq_conv_call *call);
    size_t (*sums_floats)(const struct lq_conv_train *conv);
    void (*outer)(const struct lq_outer_call *call);
    /* One item of d_w from the sums of `parts`, [parts][sums_floats], added in order. */
    void (*finish)(const struct lq_conv_train *conv, const float *sums, int parts, int item,
                   float *d_w);
};
extern const struct lq_conv_method lq_conv_direct;   /* everything */
extern const struct lq_conv_method lq_conv_winograd; /* 3x3, stride 1, no dilation or groups */

#endif
