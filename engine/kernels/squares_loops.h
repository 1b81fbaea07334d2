/* squares_loops.h - the transforms of squares.h in GCC's vectors; each tier compiles them for its
 * CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/squares.h"

#define BYTES    64
#define LANED(x) x##_64
#include "kernels/squares_lanes.h"
#undef BYTES
#undef LANED
#define BYTES    16
#define LANED(x) x##_16
#include "kernels/squares_lanes.h"
#undef BYTES
#undef LANED

static void square_points(const struct lq_square_patches *p, uint8_t *points)
{
    size_t channels = (size_t)p->channels, c = 0;

    for (; c + 64 <= channels; c += 64)
        points_64(p, c, points);
    for (; c < channels; c += LQ_SQUARE_LANES)
        points_16(p, c, points);
}

typedef int32_t sums __attribute__((vector_size(LQ_SQUARE_LANES * 4), aligned(4), may_alias));
#define SUMS_AT(p)   (*(sums *)(void *)(p))
#define SUMS_FROM(p) (*(const sums *)(const void *)(p))

/* A' of four. */
static inline __attribute__((always_inline)) void take_in(const sums m[LQ_SQUARE_PATCH],
                                                          sums *ret_a, sums *ret_b)
{
    *ret_a = m[0] + m[0] + (m[1] + m[2]);
    *ret_b = m[1] - m[2] - (m[3] + m[3]);
}

/* A line of squares' results, 16 columns. */
static inline __attribute__((always_inline)) void sum_line(const struct lq_square_results *r,
                                                           const int32_t *lines,
                                                           const int32_t *offsets, int32_t *to)
{
    const sums left = SUMS_FROM(offsets), right = SUMS_FROM(offsets + r->offset_stride);

    for (int x = 0; x < r->width; x += LQ_SQUARE, lines += LQ_SQUARE_LINES, to += 2 * r->pixel) {
        sums m[LQ_SQUARE_PATCH], a, b;

        for (size_t i = 0; i < LQ_SQUARE_PATCH; i++)
            m[i] = SUMS_FROM(lines + i * LQ_SQUARE * LQ_SQUARE_COLUMNS);
        take_in(m, &a, &b);
        SUMS_AT(to) = (a - left) >> 2;
        if (x + 1 < r->width)
            SUMS_AT(to + r->pixel) = (b - right) >> 2;
    }
}

static void square_sums(const struct lq_square_results *r)
{
    for (size_t c = 0; c < LQ_SQUARE_COLUMNS; c += LQ_SQUARE_LANES)
        for (size_t line = 0; line < (size_t)r->height; line++)
            sum_line(r, r->lines + line * LQ_SQUARE_COLUMNS + c,
                     r->offsets + line * LQ_SQUARE * r->offset_stride + c,
                     r->sums + line * r->line + c);
}
