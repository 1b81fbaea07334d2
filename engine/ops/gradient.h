/* gradient.h - the derivatives of operators without parameters.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A backward function takes the gradient of a loss by one image's output of an operator to the
 * gradients by its inputs, and ADDS them there. Convolutions, batch normalization and quantizers,
 * which have parameters or need the whole batch, are in train/tape.h.
 */
#ifndef LQ_OPS_GRADIENT_H
#define LQ_OPS_GRADIENT_H

#include "ops/step.h"

/* One image. Inputs and output hold the values of the forward pass. */
struct lq_gradient {
    const struct lq_attributes *attributes;
    int input_count;
    struct lq_shape input_shapes[LQ_MAX_INPUTS];
    struct lq_shape output_shape;
    const float *inputs[LQ_MAX_INPUTS];
    const float *output, *d_output;
    float *d_inputs[LQ_MAX_INPUTS]; /* NULL: not wanted */
};
typedef void lq_backward(const struct lq_gradient *gradient);

/* relu: where the output is above 0. clip: where the input lies strictly between the bounds. */
lq_backward lq_relu_backward, lq_clip_backward, lq_add_backward;
lq_backward lq_concat_backward, lq_pad_backward, lq_slice_backward, lq_reshape_backward;
/* max_pool: to the first of a window's largest values. */
lq_backward lq_max_pool_backward, lq_average_pool_backward, lq_global_average_pool_backward;
lq_backward lq_lrn_backward, lq_softmax_backward;

/* The function of a kind of operator, or NULL. */
lq_backward *lq_op_backward(enum lq_op_kind kind);

#endif
