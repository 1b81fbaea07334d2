/* pixel_squares.h - convolutions of pixels, two by two results at a time: for conv_pixels.c only.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The integers are those of gemm_levels (kernels/pixels.h).
 */
#ifndef LQ_OPS_PIXEL_SQUARES_H
#define LQ_OPS_PIXEL_SQUARES_H

#include "ops/window.h"

/* Sums of weights that a product has. */
struct lq_pixel_filter {
    int taps[3], signs[3]; /* 1, -1, or 0: none */
};

struct lq_pixel_plan {
    struct lq_conv_geometry geometry; /* of results rounded up to whole squares */
    int squares, out_width;           /* squares side by side */
    struct lq_pixel_axis down, across;
    struct lq_pixel_filter filters_down[LQ_PIXEL_PRODUCTS], filters_across[LQ_PIXEL_PRODUCTS];
    struct lq_pixel_lanes lanes;
};

/* Whether this shape can be computed so, in fewer products, from weights of at most `top`. */
bool lq_pixel_plan_init(struct lq_pixel_plan *plan, const struct lq_conv_geometry *geometry,
                        int top);

/* The largest magnitude of the sums of an output channel's weights, [taps][channels]. */
double lq_pixel_plan_largest(const struct lq_pixel_plan *plan, const double *weights);

/* Of scratch, for so many rows of the map. */
size_t lq_pixel_plan_bytes(const struct lq_pixel_plan *plan, int rows);

struct lq_pixel_conv {
    const struct lq_pixel_plan *plan;
    struct lq_pixel_squares squares; /* of any line */
    size_t block;                    /* of weights of LQ_SQUARE_COLUMNS columns */
    struct lq_pixels pixels;
};

/* weights: [out channels][taps][channels]. The plan must outlive it. Errors: LQ_ERR_MEMORY. */
int lq_pixel_conv_init(struct lq_pixel_conv *conv, struct lq_arena *arena,
                       const struct lq_pixel_plan *plan, const struct lq_kernels *kernels,
                       const int16_t *weights, struct lq_error *error) LQ_MUST_CHECK;

/* The sums of rows first..last-1. */
void lq_pixel_conv_run(const struct lq_pixel_conv *conv, const void *input, int first, int last,
                       uint8_t *scratch, int32_t *sums);

#endif
