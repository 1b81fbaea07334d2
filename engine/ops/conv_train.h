/* conv_train.h - float convolutions of training: forward, and the gradients of input and weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A dense layer is a convolution of one pixel. Shapes, all float and contiguous:
 *   x, d_x  [batch][in.height][in.width][in.channels]
 *   y, d_y  [batch][out.height][out.width][out.channels]
 *   w, d_w  [out.channels][kernel_h][kernel_w][in.channels / groups]
 * There is no bias. Window, stride, padding, dilation and groups are those of struct lq_window.
 *
 * Every result is a function of the operands alone: the work is split into pieces, and partial sums
 * are added in an order, that depend on the shapes but not on the number of threads; all tiers
 * give the same bits (kernels/kernels.h tells the order of the fused multiply-adds). Nothing is
 * allocated after lq_conv_train_init.
 */
#ifndef LQ_OPS_CONV_TRAIN_H
#define LQ_OPS_CONV_TRAIN_H

#include "base/pool.h"
#include "kernels/kernels.h"
#include "ops/window.h"

/* One layer at one batch size. Immutable after init: any number of threads. */
struct lq_conv_train {
    struct lq_conv_geometry geometry;
    int batch;
    const struct lq_kernels *kernels;
};

/* Attributes and shapes of one image, of a conv or dense node that lq_op_infer has accepted;
 * batch >= 1. The kernels are kept by reference. */
void lq_conv_train_init(struct lq_conv_train *conv, const struct lq_attributes *attributes,
                        const struct lq_shape *input, const struct lq_shape *output, int batch,
                        const struct lq_kernels *kernels);

/* Bytes of scratch that each of the three functions below needs with a pool of `threads`; they do
 * not need it between calls, so that all layers may share one. */
size_t lq_conv_train_scratch(const struct lq_conv_train *conv, int threads);

/* What a call works with. */
struct lq_conv_work {
    struct lq_pool *pool; /* NULL: alone */
    void *scratch;        /* aligned to LQ_ALIGNMENT */
    bool add;             /* backward_input: d_x += instead of d_x = */
};

/* y = x * w. */
void lq_conv_forward(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                     const float *x, const float *w, float *y);
/* d_x from d_y. */
void lq_conv_backward_input(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                            const float *d_y, const float *w, float *d_x);
/* d_w (set, not added to) from x and d_y. */
void lq_conv_backward_weight(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                             const float *x, const float *d_y, float *d_w);

#endif
