/* pixels.h - Winograd's minimal filtering on pixels, for windows of any size and stride.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Along an axis, a window with stride s is s filters of stride 1, each on every s-th pixel. Their
 * taps are taken three, two or one at a time: two results of three taps g on pixels d take 4
 * products instead of 6 (F(2, 3), see squares.h), of two taps 3 instead of 4, of one tap 2:
 *
 *   class    pixels            weights          its share of 2 y0, 2 y1
 *   first    d0 - d2           g0               2,  0
 *   both     d1 + d2           g0 + g1 + g2     1,  1
 *   apart    d2 - d1           g0 - g1 + g2     1, -1
 *   second   d1 - d3           g2               0, -2
 *
 *   first    d0 - d1           g0
 *   both     d1 + d1           g0 + g1
 *   second   d1 - d2           g1
 *
 *   first    d0                g0
 *   second   d1                -g0
 *
 * In two dimensions each product down meets each product across: 7x7 taps of stride 2 take 10 * 10
 * products for a square of 2x2 results, instead of 196. Products of a class are added up before
 * they are dealt out to the results. All of it is exact, and yields 4 y; sums wrap around, and what
 * they hold in the end is in range.
 *
 * The values of a product down, for all products across, are [product][channel], in the order
 * apart, first, both, second. Values of class first are doubled already, those of class second are
 * times -2, down and across: then they only have to be added. Products take pairs of values. Of two
 * products down of the same class a line of two vectors has the pairs (one's value, the other's);
 * of a last one without a second, a line of one vector has pairs of neighbours, whose outer ones
 * may be of another class: their weights are 0 then.
 */
#ifndef LQ_KERNELS_PIXELS_H
#define LQ_KERNELS_PIXELS_H

#include "kernels/squares.h"

enum lq_pixel_class {
    LQ_PIXEL_FIRST,
    LQ_PIXEL_BOTH,
    LQ_PIXEL_APART,
    LQ_PIXEL_SECOND,
    LQ_PIXEL_CLASSES
};

enum {
    LQ_PIXEL_LANES = 32,   /* values of a vector */
    LQ_PIXEL_PRODUCTS = 16 /* along an axis, at most */
};

/* A product takes factors[0] times pixel `first` and factors[1] times pixel `second`. */
struct lq_pixel_product {
    enum lq_pixel_class kind;
    int first, second, factors[2];
};
/* Products from..to - 1 are of a class; down in the order both, apart, first, second. */
struct lq_pixel_axis {
    int count;
    struct lq_pixel_product products[LQ_PIXEL_PRODUCTS];
    int from[LQ_PIXEL_CLASSES], to[LQ_PIXEL_CLASSES];
};

/* Values across: factors[0] times element `first` of a line and factors[1] times `second`. */
struct lq_pixel_lanes {
    _Alignas(64) uint16_t first[LQ_PIXEL_LANES], second[LQ_PIXEL_LANES];
    int16_t factors[2][LQ_PIXEL_LANES];
};

/* `count` squares side by side, `step` elements apart. */
struct lq_pixel_patches {
    const struct lq_pixel_axis *down;
    const struct lq_pixel_lanes *across;
    int count;
    size_t step, line;     /* elements of a line */
    const uint8_t *pixels; /* up to LQ_PIXEL_LANES bytes behind them may be read */
    int16_t *work;         /* [2][lq_pixel_work(line)], aligned to 64 bytes */
};
static inline size_t lq_pixel_work(size_t line)
{
    return (line / LQ_PIXEL_LANES + 2) * LQ_PIXEL_LANES;
}
/* points: [square][down->count][LQ_PIXEL_LANES]. */
typedef void lq_pixel_points(const struct lq_pixel_patches *patches, int16_t *points);

/* A line of squares, LQ_SQUARE_COLUMNS columns. Pairs come by class across, and there by class
 * down, both in the order both, apart, first, second. */
struct lq_pixel_squares {
    int width, height;                              /* pixels that are wanted; height 1 or 2 */
    int counts[LQ_PIXEL_CLASSES][LQ_PIXEL_CLASSES]; /* of pairs */
    const uint16_t *places;                         /* of pairs among the points of a square */
    size_t square;                                  /* from one square's points to the next one's */
    const int16_t *points;
    const int16_t *weights; /* [pair][column][2] */
    size_t line, pixel;     /* of the sums */
    int32_t *sums;
};
typedef void lq_pixel_sums(const struct lq_pixel_squares *squares);

struct lq_pixels {
    lq_pixel_points *points;
    lq_pixel_sums *sums;
};
void lq_pixels_c(struct lq_pixels *pixels);
void lq_pixels_avx512(struct lq_pixels *pixels);

#endif
