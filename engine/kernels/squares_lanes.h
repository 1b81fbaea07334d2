/* squares_lanes.h - the points of squares.h over BYTES channels: included for several widths.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Bytes wrap around, and what they hold in the end is in range.
 */
typedef uint8_t LANED(vec) __attribute__((vector_size(BYTES), aligned(1), may_alias));

#define VEC     LANED(vec)
#define AT(p)   (*(VEC *)(void *)(p))
#define FROM(p) (*(const VEC *)(const void *)(p))

/* B' of the four pixels of a column. */
static inline __attribute__((always_inline)) void LANED(column)(const uint8_t *levels, size_t line,
                                                                VEC r[LQ_SQUARE_PATCH])
{
    VEC d0 = FROM(levels), d1 = FROM(levels + line);
    VEC d2 = FROM(levels + 2 * line), d3 = FROM(levels + 3 * line);

    r[0] = d0 - d2;
    r[1] = d1 + d2;
    r[2] = d2 - d1;
    r[3] = d1 - d3;
}

/* Channels c .. c + BYTES - 1 of all patches. Two columns are the next patch's, too. */
static inline void LANED(points)(const struct lq_square_patches *p, size_t c, uint8_t *points)
{
    size_t pixel = (size_t)p->channels, column = LQ_SQUARE_PATCH * pixel;
    const uint8_t *at = p->levels + c;
    const VEC offset = (VEC){0} + LQ_POINT_OFFSET;
    VEC t[LQ_SQUARE_PATCH][LQ_SQUARE_PATCH]; /* [column][line] */

    points += c;
    LANED(column)(at, p->line, t[0]);
    LANED(column)(at + pixel, p->line, t[1]);
    for (int patch = 0; patch < p->count; patch++, points += LQ_SQUARE_PATCH * column) {
        at += 2 * pixel;
        LANED(column)(at, p->line, t[2]);
        LANED(column)(at + pixel, p->line, t[3]);
        for (int i = 0; i < LQ_SQUARE_PATCH; i++) {
            uint8_t *to = points + (size_t)i * pixel;
            VEC sum = t[1][i] + t[2][i];

            if (!lq_square_point_is_sum(i, 1))
                sum += offset;
            AT(to) = t[0][i] - t[2][i] + offset;
            AT(to + column) = sum;
            AT(to + 2 * column) = t[2][i] - t[1][i] + offset;
            AT(to + 3 * column) = t[1][i] - t[3][i] + offset;
            t[0][i] = t[2][i];
            t[1][i] = t[3][i];
        }
    }
}

#undef VEC
#undef AT
#undef FROM
