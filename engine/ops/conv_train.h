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
 * 3x3 convolutions of stride 1 are computed by Winograd's minimal filtering where that is faster,
 * in all three directions: that is a rounding of its own, whose errors are some ten times those of
 * the plain sums. Every result is a function of the operands alone: the work is split into pieces,
 * and partial sums are added in an order, that depend on the shapes but not on the number of
 * threads; all tiers give the same bits (kernels/kernels.h tells the order of the fused
 * multiply-adds). Nothing is allocated after lq_conv_train_init.
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
    const struct lq_conv_method *method;
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
    bool add;             /* backward_input, add_sums: += instead of = */
    bool packed;          /* forward, backward_input: w is what lq_conv_pack made of it */
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

/* The same in parts, for callers that pass a few images of a batch at a time, each part a
 * struct lq_conv_train of its own batch; scratch is lq_conv_part_scratch bytes, without a pool.
 * Weights are packed once for all of them, by direction: */
size_t lq_conv_part_scratch(const struct lq_conv_train *conv);
size_t lq_conv_packed_floats(const struct lq_conv_train *conv, bool backward);
void lq_conv_pack(const struct lq_conv_train *conv, bool backward, const float *w,
                  float *ret_packed);
/* and the gradient of the weights is summed up, without the pool, in a form of its own: sums
 * [lq_conv_sums_floats], set by the first call and with work->add added to by the next ones; then
 * d_w = the sums of so many `parts`, [parts][lq_conv_sums_floats], in their order. */
size_t lq_conv_sums_floats(const struct lq_conv_train *conv);
void lq_conv_add_sums(const struct lq_conv_train *conv, const struct lq_conv_work *work,
                      const float *x, const float *d_y, float *sums);
void lq_conv_finish_sums(const struct lq_conv_train *conv, const float *sums, int parts,
                         float *d_w);

#endif
