/* window.h - the geometry of convolutions, and their unrolling into matrix rows (im2col).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_WINDOW_H
#define LQ_OPS_WINDOW_H

#include "ops/step.h"

/* A convolution, or a dense layer as a convolution of one pixel. */
struct lq_conv_geometry {
    struct lq_map in, out;
    struct lq_window window;
    int groups;
    int group_in, group_out; /* channels of one group */
    int taps;                /* kernel_h * kernel_w */
    int length;              /* of a dot product: taps * group_in */
    bool pointwise;          /* output pixel = input pixel: rows need no unrolling */
    struct lq_tiling tiling;
};
void lq_conv_geometry_init(struct lq_conv_geometry *geometry, const struct lq_step_spec *spec);

/* Of a pixel of pixel_bytes a row takes part_bytes, from offset on: its group's channels. */
struct lq_pixel_layout {
    size_t pixel_bytes, offset, part_bytes;
};

/* One row for each output pixel of rows first..last-1: tap after tap, the input pixel's part, or
 * zeros where the tap falls on padding. */
void lq_unroll(const struct lq_conv_geometry *geometry, const struct lq_pixel_layout *layout,
               const void *input, int first, int last, void *ret_rows);

/* Whether windows can be read where they lie in padded lines: rows of one group, without holes. */
bool lq_windows_overlap(const struct lq_conv_geometry *geometry);
/* Input lines that output rows first..last-1 see, padded: pixels of a line, and the lines. */
int lq_padded_width(const struct lq_conv_geometry *geometry);
int lq_padded_lines(const struct lq_conv_geometry *geometry, int rows);
/* Copies them, with zeros where padding is: [lines][padded width] pixels. */
void lq_pad_lines(const struct lq_conv_geometry *geometry, size_t pixel_bytes, const void *input,
                  int first, int last, void *ret_lines);

#endif
