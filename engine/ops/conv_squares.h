/* conv_squares.h - 3x3 convolutions of levels in bytes, two by two results at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The integers are those of any other form (kernels/squares.h).
 */
#ifndef LQ_OPS_CONV_SQUARES_H
#define LQ_OPS_CONV_SQUARES_H

#include "ops/integer_map.h"
#include "ops/square_weights.h"

/* Whether a convolution of activations of at most `top` can be computed so, and that is faster than
 * the other way with bytes. */
bool lq_squares_pay(const struct lq_kernels *kernels, const struct lq_attributes *conv,
                    struct lq_map in, int top);

struct lq_conv_squares {
    struct lq_conv_geometry geometry; /* of results rounded up to whole squares */
    int across;                       /* squares side by side */
    int out_width;
    struct lq_square_weights weights;
    struct lq_squares squares;
};

/* Errors: LQ_ERR_MEMORY. */
int lq_conv_squares_init(struct lq_conv_squares *squares, struct lq_arena *arena,
                         const struct lq_step_spec *spec, const struct lq_conv_geometry *geometry,
                         struct lq_error *error) LQ_MUST_CHECK;

/* Of scratch, for so many rows of the map. */
size_t lq_conv_squares_bytes(const struct lq_conv_squares *squares, int rows);

/* As lq_sum_part; columns in multiples of LQ_SQUARE_COLUMNS. */
void lq_conv_squares_run(const struct lq_conv_squares *squares, const void *input,
                         const struct lq_map_part *part, uint8_t *scratch, int32_t *sums);

#endif
