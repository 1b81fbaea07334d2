/* winograd.h - transforms of Winograd's minimal filtering F(4x4, 3x3).
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A convolution of 3x3 taps d * g makes a tile of 4x4 results of a patch of 6x6 pixels by 36
 * products instead of 144: y = A' [(G g G') . (B' d B)] A (Lavin and Gray, "Fast Algorithms for
 * Convolutional Neural Networks"), and its derivative by g is G' [(A dy A') . (B' d B)] G. Here are
 * the transforms of maps, one tile at a time; each point of the 6x6 is then a matrix product.
 *
 * Every tier gives the same bits: vectors run along the channels, and an element takes the same
 * additions and multiplications, each rounded, in winograd_lanes.h's order.
 */
#ifndef LQ_KERNELS_WINOGRAD_H
#define LQ_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>

enum { LQ_PATCH = 6, LQ_TILE = 4, LQ_POINTS = LQ_PATCH * LQ_PATCH };

/* Pixels of a map: lines[i] points at column `first` of the patch or tile; columns first..last - 1
 * are on the map. A line that is not on the map is one of zeros. */
struct lq_patch {
    int channels;
    int first, last;
    size_t pixel; /* floats from a column to the next */
    const float *lines[LQ_PATCH];
};
/* points[i * point + c] = (B' d B)[i], i = 0..35 line by line. */
typedef void lq_winograd_patch(const struct lq_patch *patch, size_t point, float *points);
/* The same, (A d A')[i], of a tile: 4 lines and columns. */
typedef void lq_winograd_tile(const struct lq_patch *tile, size_t point, float *points);

/* Where a tile of results goes: the first `height` lines and `width` columns of it. */
struct lq_tile_result {
    int channels, height, width;
    bool add; /* += */
    size_t pixel;
    float *lines[LQ_TILE];
};
/* A' m A. */
typedef void lq_winograd_result(const struct lq_tile_result *result, size_t point,
                                const float *points);

struct lq_winograd {
    lq_winograd_patch *patch;
    lq_winograd_tile *tile;
    lq_winograd_result *result;
};
void lq_winograd_c(struct lq_winograd *winograd);
void lq_winograd_avx2(struct lq_winograd *winograd);

#endif
