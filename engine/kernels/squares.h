/* squares.h - transforms of Winograd's minimal filtering F(2x2, 3x3) on levels in bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A convolution of 3x3 taps d * g makes a square of 2x2 results of a patch of 4x4 pixels by 16
 * products instead of 36: y = A' [(G g G') . (B' d B)] A (Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks"). All of it is exact here. G is taken without its factors 1/2, so
 * that G g G' are sums of levels, and A' makes up for that: it yields 4 y. B' d B of levels 0..63
 * lies within -126..252: with LQ_POINT_OFFSET added to all but the middle point, which is a sum,
 * points are bytes, and the offset's share of the products is known beforehand.
 *
 *        1  0  0           1  0 -1  0
 *   G =  1  1  1     B' =  0  1  1  0     A' =  2  1  1  0
 *        1 -1  1           0 -1  1  0           0  1 -1 -2
 *        0  0  1           0  1  0 -1
 */
#ifndef LQ_KERNELS_SQUARES_H
#define LQ_KERNELS_SQUARES_H

#include <stddef.h>
#include <stdint.h>

enum {
    LQ_SQUARE = 2,
    LQ_SQUARE_PATCH = 4,
    LQ_SQUARE_POINTS = LQ_SQUARE_PATCH * LQ_SQUARE_PATCH,
    LQ_SQUARE_SUM = 5, /* the point that is a sum of four levels */
    LQ_POINT_OFFSET = 128,
    LQ_SQUARE_GRID = 14,       /* of weights: points of levels up to it fit int8_t */
    LQ_POINT_LEVEL = 63,       /* of an activation, at most */
    LQ_SQUARE_CHANNELS = 1024, /* of the input, at most: 16 * 1024 * 255 * 378 fits int32_t */
    LQ_SQUARE_LANES = 16       /* channels of both sides are a multiple */
};

/* `count` patches side by side, each 2 pixels behind the one before. */
struct lq_square_patches {
    int channels, count;
    size_t line; /* bytes from a line to the next; pixels follow each other */
    const uint8_t *levels;
};
/* points[i * point + patch * channels + c] = (B' d B)[i] plus its offset. */
typedef void lq_square_points(const struct lq_square_patches *patches, size_t point,
                              uint8_t *points);

/* Squares side by side, of which the first `width` pixels and `height` lines are wanted. */
struct lq_square_results {
    int columns, width, height;
    size_t point, square;    /* from a point to the next, from a square to the next */
    const int32_t *products; /* [i * point + square * .square + column] */
    const int32_t *offsets;  /* [2 * line + pixel][offset_stride]: what 4 y has too much */
    size_t offset_stride;
    size_t line, pixel; /* of the sums */
    int32_t *sums;
};
typedef void lq_square_sums(const struct lq_square_results *results);

struct lq_squares {
    lq_square_points *points;
    lq_square_sums *sums;
};
void lq_squares_c(struct lq_squares *squares);
void lq_squares_avx512(struct lq_squares *squares);

#endif
