/* winograd_lanes.h - the transforms of winograd.h over LANES channels: included for several widths.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Vectors are GCC's: whatever the CPU has makes them, and an operation on a lane rounds alike.
 */
typedef float LANED(vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

#define VEC         LANED(vec)
#define AT(pointer) (*(VEC *)(void *)(pointer))
#define FROM(p)     (*(const VEC *)(const void *)(p))

/* B' of one line: 6 to 6. */
static inline __attribute__((always_inline)) void LANED(patch_line)(const VEC d[LQ_PATCH],
                                                                    VEC r[LQ_PATCH])
{
    VEC even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1];
    VEC near = d[4] - d[2], far = 2 * (d[3] - d[1]);

    r[0] = (4 * d[0] - 5 * d[2]) + d[4];
    r[1] = even + odd;
    r[2] = even - odd;
    r[3] = near + far;
    r[4] = near - far;
    r[5] = (4 * d[1] - 5 * d[3]) + d[5];
}

/* A of one line: 4 to 6. */
static inline __attribute__((always_inline)) void LANED(tile_line)(const VEC d[LQ_TILE],
                                                                   VEC r[LQ_PATCH])
{
    VEC even = d[0] + d[2], odd = d[1] + d[3];
    VEC even2 = d[0] + 4 * d[2], odd2 = 2 * (d[1] + 4 * d[3]);

    r[0] = d[0];
    r[1] = even + odd;
    r[2] = even - odd;
    r[3] = even2 + odd2;
    r[4] = even2 - odd2;
    r[5] = d[3];
}

/* A' of one line: 6 to 4. */
static inline __attribute__((always_inline)) void LANED(result_line)(const VEC m[LQ_PATCH],
                                                                     VEC r[LQ_TILE])
{
    VEC sum = m[1] + m[2], difference = m[1] - m[2];
    VEC sum2 = m[3] + m[4], difference2 = 2 * (m[3] - m[4]);

    r[0] = (m[0] + sum) + sum2;
    r[1] = difference + difference2;
    r[2] = sum + 4 * sum2;
    r[3] = (difference + 4 * difference2) + m[5];
}

static inline void LANED(patch)(const struct lq_patch *patch, size_t c, size_t point, float *points)
{
    VEC columns[LQ_PATCH][LQ_PATCH]; /* [result line][column] */

    for (int x = 0; x < LQ_PATCH; x++) {
        VEC d[LQ_PATCH], r[LQ_PATCH];

        if (x < patch->first || x >= patch->last) {
            for (int i = 0; i < LQ_PATCH; i++)
                columns[i][x] = (VEC){0};
            continue;
        }
        size_t at = (size_t)(x - patch->first) * patch->pixel + c;
        for (int i = 0; i < LQ_PATCH; i++)
            d[i] = FROM(patch->lines[i] + at);
        LANED(patch_line)(d, r);
        for (int i = 0; i < LQ_PATCH; i++)
            columns[i][x] = r[i];
    }
    for (int i = 0; i < LQ_PATCH; i++) {
        VEC r[LQ_PATCH];

        LANED(patch_line)(columns[i], r);
        for (int x = 0; x < LQ_PATCH; x++, points += point)
            AT(points + c) = r[x];
    }
}

static inline void LANED(tile)(const struct lq_patch *tile, size_t c, size_t point, float *points)
{
    VEC columns[LQ_PATCH][LQ_TILE];

    for (int x = 0; x < LQ_TILE; x++) {
        VEC d[LQ_TILE], r[LQ_PATCH];

        if (x < tile->first || x >= tile->last) {
            for (int i = 0; i < LQ_PATCH; i++)
                columns[i][x] = (VEC){0};
            continue;
        }
        size_t at = (size_t)(x - tile->first) * tile->pixel + c;
        for (int i = 0; i < LQ_TILE; i++)
            d[i] = FROM(tile->lines[i] + at);
        LANED(tile_line)(d, r);
        for (int i = 0; i < LQ_PATCH; i++)
            columns[i][x] = r[i];
    }
    for (int i = 0; i < LQ_PATCH; i++) {
        VEC r[LQ_PATCH];

        LANED(tile_line)(columns[i], r);
        for (int x = 0; x < LQ_PATCH; x++, points += point)
            AT(points + c) = r[x];
    }
}

static inline void LANED(result)(const struct lq_tile_result *result, size_t c, size_t point,
                                 const float *points)
{
    VEC columns[LQ_TILE][LQ_PATCH];

    for (int x = 0; x < LQ_PATCH; x++) {
        VEC m[LQ_PATCH], r[LQ_TILE];

        for (int i = 0; i < LQ_PATCH; i++)
            m[i] = FROM(points + (size_t)(i * LQ_PATCH + x) * point + c);
        LANED(result_line)(m, r);
        for (int i = 0; i < LQ_TILE; i++)
            columns[i][x] = r[i];
    }
    for (int i = 0; i < result->height; i++) {
        float *to = result->lines[i] + c;
        VEC r[LQ_TILE];

        LANED(result_line)(columns[i], r);
        for (int x = 0; x < result->width; x++, to += result->pixel)
            if (result->add)
                AT(to) += r[x];
            else
                AT(to) = r[x];
    }
}

#undef VEC
#undef AT
#undef FROM
