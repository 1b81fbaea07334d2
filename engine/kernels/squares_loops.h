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

static void square_points(const struct lq_square_patches *p, size_t point, uint8_t *points)
{
    size_t channels = (size_t)p->channels, c = 0;

    for (; c + 64 <= channels; c += 64)
        points_64(p, c, point, points);
    for (; c < channels; c += LQ_SQUARE_LANES)
        points_16(p, c, point, points);
}

typedef int32_t sums __attribute__((vector_size(LQ_SQUARE_LANES * 4), aligned(4), may_alias));

/* A' of four points; they are `step` apart. */
static inline __attribute__((always_inline)) void take_in(const sums *m, size_t step, sums *ret_a,
                                                          sums *ret_b)
{
    sums m1 = m[step], m2 = m[2 * step];

    *ret_a = m[0] + m[0] + (m1 + m2);
    *ret_b = m1 - m2 - (m[3 * step] + m[3 * step]);
}

/* One square, 16 columns: sums of the four pixels, [line][pixel]. */
static inline __attribute__((always_inline)) void square(const struct lq_square_results *r,
                                                         const int32_t *products,
                                                         const int32_t *offsets,
                                                         sums y[LQ_SQUARE][LQ_SQUARE])
{
    sums lines[LQ_SQUARE][LQ_SQUARE_PATCH];

    for (size_t x = 0; x < LQ_SQUARE_PATCH; x++) {
        sums m[LQ_SQUARE_PATCH];

        for (size_t i = 0; i < LQ_SQUARE_PATCH; i++)
            m[i] = *(const sums *)(const void *)(products + (i * LQ_SQUARE_PATCH + x) * r->point);
        take_in(m, 1, &lines[0][x], &lines[1][x]);
    }
    for (size_t i = 0; i < LQ_SQUARE; i++) {
        take_in(lines[i], 1, &y[i][0], &y[i][1]);
        for (size_t j = 0; j < LQ_SQUARE; j++)
            y[i][j] = (y[i][j] - *(const sums *)(const void *)(offsets + (i * LQ_SQUARE + j) *
                                                                             r->offset_stride)) >>
                      2;
    }
}

static void square_sums(const struct lq_square_results *r)
{
    for (int c = 0; c < r->columns; c += LQ_SQUARE_LANES) {
        const int32_t *products = r->products + c, *offsets = r->offsets + c;
        int32_t *to = r->sums + c;

        for (int x = 0; x < r->width; x += LQ_SQUARE, products += r->square) {
            sums y[LQ_SQUARE][LQ_SQUARE];

            square(r, products, offsets, y);
            for (int i = 0; i < r->height; i++)
                for (int j = 0; j < LQ_SQUARE && x + j < r->width; j++)
                    *(sums *)(void *)(to + (size_t)i * r->line + (size_t)(x + j) * r->pixel) =
                        y[i][j];
        }
    }
}

static const struct lq_squares loops = {square_points, square_sums};
