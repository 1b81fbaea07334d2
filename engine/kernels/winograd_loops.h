/* winograd_loops.h - the functions of winograd.h, for each tier's file to compile.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_KERNELS_WINOGRAD_LOOPS_H
#define LQ_KERNELS_WINOGRAD_LOOPS_H

#include "kernels/winograd.h"

#define LANES       8
#define LANED(name) name##_8
#include "kernels/winograd_lanes.h"
#undef LANES
#undef LANED
#define LANES       1
#define LANED(name) name##_1
#include "kernels/winograd_lanes.h"
#undef LANES
#undef LANED

static void patch_points(const struct lq_patch *patch, size_t point, float *points)
{
    size_t c = 0, channels = (size_t)patch->channels;

    for (; c + 8 <= channels; c += 8)
        patch_8(patch, c, point, points);
    for (; c < channels; c++)
        patch_1(patch, c, point, points);
}

static void tile_points(const struct lq_patch *tile, size_t point, float *points)
{
    size_t c = 0, channels = (size_t)tile->channels;

    for (; c + 8 <= channels; c += 8)
        tile_8(tile, c, point, points);
    for (; c < channels; c++)
        tile_1(tile, c, point, points);
}

static void result_points(const struct lq_tile_result *result, size_t point, const float *points)
{
    size_t c = 0, channels = (size_t)result->channels;

    for (; c + 8 <= channels; c += 8)
        result_8(result, c, point, points);
    for (; c < channels; c++)
        result_1(result, c, point, points);
}

static const struct lq_winograd loops = {patch_points, tile_points, result_points};

#endif
