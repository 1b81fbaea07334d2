/* squares.h - transforms of Winograd's minimal filtering F(2x2, 3x3) on levels in bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A convolution of 3x3 taps d * g makes a square of 2x2 results of a patch of 4x4 pixels by 16
 * products instead of 36: y = A' [(G g G') . (B' d B)] A (Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks"). All of it is exact here. G is taken without its factors 1/2, so
 * that G g G' are sums of levels, and A' makes up for that: it yields 4 y. B' d B of levels 0..63
 * lies within -126..252: with LQ_POINT_OFFSET added to all but the middle point, which is a sum,
 * points are bytes, and the offset's share of the products is known beforehand. Sums of nine
 * weights may be beyond a byte: few are, and what they have too much is multiplied apart.
 *
 *        1  0  0           1  0 -1  0
 *   G =  1  1  1     B' =  0  1  1  0     A' =  2  1  1  0
 *        1 -1  1           0 -1  1  0           0  1 -1 -2
 *        0  0  1           0  1  0 -1
 */
#ifndef LQ_KERNELS_SQUARES_H
#define LQ_KERNELS_SQUARES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LQ_SQUARE = 2,
    LQ_SQUARE_PATCH = 4,
    LQ_SQUARE_POINTS = LQ_SQUARE_PATCH * LQ_SQUARE_PATCH,
    LQ_POINT_OFFSET = 128,
    LQ_SQUARE_GRID = 42,       /* of weights: sums of three fit int8_t */
    LQ_POINT_LEVEL = 63,       /* of an activation, at most */
    LQ_SQUARE_CHANNELS = 1024, /* of the input, at most: 16 * 1024 * 255 * 378 fits int32_t */
    LQ_SQUARE_LANES = 16,      /* channels of the input are a multiple */
    LQ_SQUARE_PANELS = 2,
    LQ_SQUARE_COLUMNS = LQ_SQUARE_PANELS * LQ_SQUARE_LANES,            /* those of the output */
    LQ_SQUARE_LINES = LQ_SQUARE_PATCH * LQ_SQUARE * LQ_SQUARE_COLUMNS, /* sums of a square */
    LQ_PICK_CHANNELS = 64
};

/* Points lie column by column: that of line y and column x of a patch is number 4 x + y. */
static inline int lq_square_point(int y, int x)
{
    return x * LQ_SQUARE_PATCH + y;
}

/* It is a sum of four levels, the others are differences. */
static inline bool lq_square_point_is_sum(int y, int x)
{
    return y == 1 && x == 1;
}

/* Its weights are sums of nine. */
static inline bool lq_square_point_is_wide(int y, int x)
{
    return (y == 1 || y == 2) && (x == 1 || x == 2);
}

/* `count` patches side by side, each 2 pixels behind the one before. */
struct lq_square_patches {
    int channels, count;
    size_t line; /* bytes from a line to the next; pixels follow each other */
    const uint8_t *levels;
};
/* points[patch][point][channel] = B' d B plus its offset. */
typedef void lq_square_points(const struct lq_square_patches *patches, uint8_t *points);

/* What weights of one point have beyond a byte: to the product of column c it adds
 * sum_j points[channel + places[c][j]] * weights[c][j]. */
struct lq_square_pick {
    _Alignas(64) uint8_t places[LQ_SQUARE_LANES][4]; /* 0..LQ_PICK_CHANNELS - 1 */
    int8_t weights[LQ_SQUARE_LANES][4];
    int channel;
};

/* Of the wide points (y, x). */
struct lq_square_picks {
    const struct lq_square_pick *picks;
    const int *first; /* [panels][4]: a point's end where the next one's start */
};

/* Where those of a point start. */
static inline const int *lq_square_first(const struct lq_square_picks *picks, int panel, int y,
                                         int x)
{
    return picks->first + (ptrdiff_t)((panel * LQ_SQUARE + y - 1) * LQ_SQUARE + x - 1);
}

/* Products of LQ_SQUARE_COLUMNS columns, and A' of the four lines of each column of points. What
 * lies up to LQ_PICK_CHANNELS bytes behind the points may be read. */
struct lq_square_products {
    int squares, channels;
    const uint8_t *points; /* [square][point][channel] */
    const int8_t *weights; /* [x][channels / 4][y][column][4]: G g G', or what a byte has of it */
    struct lq_square_picks beyond; /* of the first of the panels */
    int32_t *lines;                /* [square][x][line][column] */
};
typedef void lq_square_multiply(const struct lq_square_products *products);

/* Squares side by side, of which the first `width` pixels and `height` lines are wanted. */
struct lq_square_results {
    int width, height;
    const int32_t *lines;   /* [square][x][line][column] */
    const int32_t *offsets; /* [2 * line + pixel][offset_stride]: what 4 y has too much */
    size_t offset_stride;
    size_t line, pixel; /* of the sums */
    int32_t *sums;
};
typedef void lq_square_sums(const struct lq_square_results *results);

struct lq_squares {
    lq_square_points *points;
    lq_square_multiply *multiply;
    lq_square_sums *sums;
};
void lq_squares_c(struct lq_squares *squares);
void lq_squares_avx512(struct lq_squares *squares);

#endif
