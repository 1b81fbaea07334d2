/* square_weights.h - weights of 3x3 convolutions as kernels/squares.h takes them: for
 * conv_squares.c only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_SQUARE_WEIGHTS_H
#define LQ_OPS_SQUARE_WEIGHTS_H

#include "ops/window.h"

struct lq_square_weights {
    const int8_t *points;          /* [columns / LQ_SQUARE_COLUMNS], of struct lq_square_products */
    struct lq_square_picks beyond; /* what does not fit into them */
    const int32_t *offsets;        /* [4][out channels], of struct lq_square_results */
};

/* Errors: LQ_ERR_MEMORY. */
int lq_square_weights_init(struct lq_square_weights *weights, struct lq_arena *arena,
                           const struct lq_step_spec *spec, const struct lq_conv_geometry *geometry,
                           struct lq_error *error) LQ_MUST_CHECK;

/* Those of the columns from `column` on, a multiple of LQ_SQUARE_LANES. */
static inline struct lq_square_picks
lq_square_weights_beyond(const struct lq_square_weights *weights, int column)
{
    struct lq_square_picks beyond = weights->beyond;

    beyond.first = lq_square_first(&beyond, column / LQ_SQUARE_LANES, 1, 1);
    return beyond;
}

#endif
