/* pixels_c.c - Winograd's minimal filtering on pixels, the reference.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/pixels.h"

/* Of a product down, element x of the lines. */
static int down_at(const struct lq_pixel_product *product, const uint8_t *pixels, size_t line,
                   size_t x)
{
    return product->factors[0] * pixels[(size_t)product->first * line + x] +
           product->factors[1] * pixels[(size_t)product->second * line + x];
}

static int value_at(const struct lq_pixel_patches *p, const struct lq_pixel_product *product,
                    const uint8_t *pixels, int lane)
{
    const struct lq_pixel_lanes *across = p->across;

    return across->factors[0][lane] * down_at(product, pixels, p->line, across->first[lane]) +
           across->factors[1][lane] * down_at(product, pixels, p->line, across->second[lane]);
}

static void pixel_points(const struct lq_pixel_patches *p, int16_t *points)
{
    const struct lq_pixel_axis *down = p->down;

    for (int square = 0; square < p->count; square++) {
        const uint8_t *pixels = p->pixels + (size_t)square * p->step;

        for (int y = 0, together; y < down->count; y += together) {
            together = y + 1 < down->to[down->products[y].kind] ? 2 : 1;
            for (int lane = 0; lane < LQ_PIXEL_LANES; lane++)
                for (int i = 0; i < together; i++)
                    *points++ = (int16_t)value_at(p, &down->products[y + i], pixels, lane);
        }
    }
}

/* 4 y of a square, of a column. */
static void sum_square(const struct lq_pixel_squares *s, const int16_t *points, const int16_t *w,
                       uint32_t ret_sums[LQ_SQUARE][LQ_SQUARE])
{
    /* both, apart, first, second */
    static const uint32_t deal[LQ_PIXEL_CLASSES][LQ_SQUARE] = {
        {1, 1}, {1, UINT32_MAX}, {1, 0}, {0, 1}};
    const uint16_t *place = s->places;

    for (int i = 0; i < LQ_SQUARE * LQ_SQUARE; i++)
        ret_sums[i / LQ_SQUARE][i % LQ_SQUARE] = 0;
    for (int kind = 0; kind < LQ_PIXEL_CLASSES * LQ_PIXEL_CLASSES; kind++) {
        int across = kind / LQ_PIXEL_CLASSES, down = kind % LQ_PIXEL_CLASSES;
        uint32_t sum = 0;

        for (int k = 0; k < s->counts[across][down]; k++, w += (size_t)2 * LQ_SQUARE_COLUMNS) {
            const int16_t *pair = points + *place++;

            sum += (uint32_t)(pair[0] * w[0] + pair[1] * w[1]);
        }
        for (int i = 0; i < LQ_SQUARE * LQ_SQUARE; i++)
            ret_sums[i / LQ_SQUARE][i % LQ_SQUARE] +=
                sum * deal[down][i / LQ_SQUARE] * deal[across][i % LQ_SQUARE];
    }
}

static void pixel_sums(const struct lq_pixel_squares *s)
{
    const int16_t *points = s->points;

    for (int x = 0; x < s->width; x += LQ_SQUARE) {
        for (size_t column = 0; column < LQ_SQUARE_COLUMNS; column++) {
            uint32_t sums[LQ_SQUARE][LQ_SQUARE];

            sum_square(s, points, s->weights + 2 * column, sums);
            for (int i = 0; i < s->height; i++)
                for (int j = 0; j < LQ_SQUARE && x + j < s->width; j++)
                    s->sums[(size_t)i * s->line + (size_t)(x + j) * s->pixel + column] =
                        (int32_t)sums[i][j] >> 2;
        }
        points += s->square;
    }
}

void lq_pixels_c(struct lq_pixels *pixels)
{
    *pixels = (struct lq_pixels){pixel_points, pixel_sums};
}
