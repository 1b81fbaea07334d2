/* squares_c.c - Winograd's minimal filtering on levels, the reference.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/squares_loops.h"

/* Of the point (y, x) of a square, all columns. */
static void multiply_point(const struct lq_square_products *p, const uint8_t *points, int y, int x,
                           int32_t ret_products[LQ_SQUARE_COLUMNS])
{
    const size_t words = (size_t)p->channels / 4;
    const size_t step = (size_t)LQ_SQUARE_PATCH * LQ_SQUARE_COLUMNS * 4;

    points += (size_t)lq_square_point(y, x) * (size_t)p->channels;
    for (size_t c = 0; c < LQ_SQUARE_COLUMNS; c++) {
        const int8_t *w =
            p->weights + (size_t)x * words * step + ((size_t)y * LQ_SQUARE_COLUMNS + c) * 4;

        ret_products[c] = 0;
        for (size_t k = 0; k < words; k++, w += step)
            for (size_t j = 0; j < 4; j++)
                ret_products[c] += points[4 * k + j] * w[j];
    }
    for (int panel = 0; panel < LQ_SQUARE_PANELS && lq_square_point_is_wide(y, x); panel++) {
        const int *first = lq_square_first(&p->beyond, panel, y, x);
        int32_t *products = ret_products + (ptrdiff_t)panel * LQ_SQUARE_LANES;

        for (int i = first[0]; i < first[1]; i++) {
            const struct lq_square_pick *pick = &p->beyond.picks[i];

            for (int c = 0; c < LQ_SQUARE_LANES; c++)
                for (int j = 0; j < 4; j++)
                    products[c] += points[pick->channel + pick->places[c][j]] * pick->weights[c][j];
        }
    }
}

static void square_multiply(const struct lq_square_products *p)
{
    const size_t step = (size_t)LQ_SQUARE_POINTS * (size_t)p->channels;
    const size_t columns = LQ_SQUARE_COLUMNS;
    const uint8_t *points = p->points;
    int32_t *lines = p->lines;

    for (int i = 0; i < p->squares; i++, points += step)
        for (int x = 0; x < LQ_SQUARE_PATCH; x++, lines += LQ_SQUARE * columns) {
            int32_t m[LQ_SQUARE_PATCH][LQ_SQUARE_COLUMNS];

            for (int y = 0; y < LQ_SQUARE_PATCH; y++)
                multiply_point(p, points, y, x, m[y]);
            for (size_t c = 0; c < columns; c++) {
                lines[c] = 2 * m[0][c] + m[1][c] + m[2][c];
                lines[columns + c] = m[1][c] - m[2][c] - 2 * m[3][c];
            }
        }
}

void lq_squares_c(struct lq_squares *squares)
{
    *squares = (struct lq_squares){square_points, square_multiply, square_sums};
}
