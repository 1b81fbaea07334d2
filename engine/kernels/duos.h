/* duos.h - transforms of Winograd's minimal filtering F(2, 3) along lines, on levels in bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A line of 3 taps g makes two results side by side, a duo, of 4 pixels d by 4 products instead of
 * 6: y = A' [(G g) . (B' d)] (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks").
 * All of it is exact here. G is taken without its factors 1/2, so that what A' yields is 2 y: that
 * is wanted, because all levels of a column are even or all are odd, and g are but half of them,
 * rounded down; an odd column's results lack what the window's levels add up to. So points and
 * weights stay small, unlike those of squares (kernels/squares.h): sums of many products fit 16
 * bits. B' d of levels up to `top` lies within -top..2 top: with `top` added to differences points
 * are bytes, and its share of the products is known beforehand.
 *
 *        1  0  0           1  0 -1  0           2  1  1  0
 *   G =  1  1  1     B' =  0  1  1  0     A' =  0  1 -1 -2
 *        1 -1  1           0 -1  1  0
 *        0  0  1           0  1  0 -1
 */
#ifndef LQ_KERNELS_DUOS_H
#define LQ_KERNELS_DUOS_H

#include <stddef.h>
#include <stdint.h>

enum {
    LQ_DUO = 2,
    LQ_DUO_TAPS = 3,
    LQ_DUO_POINTS = 4,
    LQ_DUO_COLUMNS = 16, /* that are finished at once */
    LQ_DUO_LANES = 32,   /* channels of the input are a multiple */
    LQ_DUO_LEVEL = 127,  /* of an activation, at most */
    LQ_DUO_GRID = 83     /* of weights: sums of three halves fit int8_t */
};

/* A line of `count` duos' pixels, one after the other: the last two of a duo are the next one's,
 * too. */
struct lq_duo_line {
    int channels, count;
    int top; /* of the levels */
    const uint8_t *levels;
    size_t point, duo; /* bytes from one to the next */
};
/* points[point][duo][channel] = B' d, and `top` more of a difference (all but point 1);
 * pixels[pixel] = the sum of its levels, 2 count + 2 of them. */
typedef void lq_duo_points(const struct lq_duo_line *line, uint8_t *points, int32_t *pixels);

/* Duos side by side, of which the first `width` results are wanted; LQ_DUO_COLUMNS columns. */
struct lq_duo_products {
    int width;
    const int32_t *products; /* [point][duo][column] */
    size_t point, duo;       /* elements from one to the next */
    const int32_t *offsets;  /* [LQ_DUO][offset_stride]: what results have too much */
    size_t offset_stride;
    const int32_t *windows; /* [width]: sums of all levels that a result is made of, */
    const int32_t *odd;     /* [column]: -1 where they are to be added, or 0 */
    size_t pixel;           /* of the sums */
    int32_t *sums;
};
typedef void lq_duo_sums(const struct lq_duo_products *products);

struct lq_duos {
    lq_duo_points *points;
    lq_duo_sums *sums;
};
void lq_duos_c(struct lq_duos *duos);
void lq_duos_avx2(struct lq_duos *duos);

#endif
