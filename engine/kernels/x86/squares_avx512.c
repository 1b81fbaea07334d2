/* squares_avx512.c - Winograd's minimal filtering on levels: VPDPBUSD on 16 columns a vector, and
 * VPERMB to pick what has weights beyond a byte.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/squares_loops.h"
#include "kernels/x86/vnni.h"

enum { SQUARES = 3, VECTOR = 64 };

/* What the weights of `squares` squares' point have beyond a byte. */
static inline __attribute__((always_inline)) void add_picks(const struct lq_square_products *p,
                                                            const int *first, int squares,
                                                            const uint8_t *points,
                                                            __m512i products[SQUARES])
{
    size_t step = LQ_SQUARE_POINTS * (size_t)p->channels;

    for (int i = first[0]; i < first[1]; i++) {
        const struct lq_square_pick *pick = &p->beyond.picks[i];
        __m512i places = _mm512_load_si512(pick->places);
        __m512i weights = _mm512_load_si512(pick->weights);

#pragma GCC unroll 3
        for (int s = 0; s < squares; s++) {
            __m512i levels = _mm512_loadu_si512(points + (size_t)s * step + pick->channel);

            products[s] =
                lq_add_bytes(products[s], _mm512_permutexvar_epi8(places, levels), weights);
        }
    }
}

/* A column of points of `squares` squares. Meanwhile the next column's weights are fetched, a part
 * by each call: behind the last column are those of the next panels, or what is no harm. */
static inline __attribute__((always_inline)) void
multiply_column(const struct lq_square_products *p, int square, int squares, int x)
{
    size_t channels = (size_t)p->channels, step = LQ_SQUARE_POINTS * channels;
    size_t column = (size_t)x * LQ_SQUARE * LQ_SQUARE_COLUMNS;
    const uint8_t *points =
        p->points + (size_t)square * step + (size_t)lq_square_point(0, x) * channels;
    const uint8_t *word = points, *end = word + channels;
    size_t bytes = channels * LQ_SQUARE_PATCH * LQ_SQUARE_COLUMNS; /* of weights */
    const int8_t *w = p->weights + (size_t)x * bytes;
    const int8_t *ahead = w + bytes + (size_t)(square / SQUARES) * (channels / 4) * VECTOR;
    int32_t *lines = p->lines + (size_t)square * LQ_SQUARE_LINES + column;
    bool wide = lq_square_point_is_wide(1, x);
    __m512i m[LQ_SQUARE_PATCH][LQ_SQUARE_PANELS][SQUARES];

#pragma GCC unroll 4
    for (int y = 0; y < LQ_SQUARE_PATCH; y++)
        for (int i = 0; i < LQ_SQUARE_PANELS; i++)
            for (int s = 0; s < squares; s++)
                m[y][i][s] = _mm512_setzero_si512();
    for (; word < end; word += 4, ahead += VECTOR) {
        _mm_prefetch(ahead, _MM_HINT_T1);
#pragma GCC unroll 4
        for (size_t y = 0; y < LQ_SQUARE_PATCH; y++, w += (size_t)LQ_SQUARE_PANELS * VECTOR) {
            __m512i left = _mm512_loadu_si512(w), right = _mm512_loadu_si512(w + VECTOR);

            for (int s = 0; s < squares; s++) {
                __m512i levels =
                    lq_broadcast(word + (size_t)s * step + y * channels, sizeof(int32_t));

                m[y][0][s] = lq_add_bytes(m[y][0][s], levels, left);
                m[y][1][s] = lq_add_bytes(m[y][1][s], levels, right);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < LQ_SQUARE_PANELS * LQ_SQUARE; i++) {
        const int panel = i / LQ_SQUARE, y = 1 + i % LQ_SQUARE;

        if (wide)
            add_picks(p, lq_square_first(&p->beyond, panel, y, x), squares,
                      points + (size_t)y * channels, m[y][panel]);
    }
#pragma GCC unroll 3
    for (int s = 0; s < squares; s++, lines += LQ_SQUARE_LINES)
        for (size_t i = 0; i < LQ_SQUARE_PANELS; i++) {
            sums of[LQ_SQUARE_PATCH] = {(sums)m[0][i][s], (sums)m[1][i][s], (sums)m[2][i][s],
                                        (sums)m[3][i][s]};

            take_in(of, &SUMS_AT(lines + i * LQ_SQUARE_LANES),
                    &SUMS_AT(lines + LQ_SQUARE_COLUMNS + i * LQ_SQUARE_LANES));
        }
}

/* A column's weights stay in the first cache while all squares pass by. */
static void square_multiply(const struct lq_square_products *p)
{
    for (int x = 0; x < LQ_SQUARE_PATCH; x++) {
        int square = 0;

        for (; square + SQUARES <= p->squares; square += SQUARES)
            multiply_column(p, square, SQUARES, x);
        if (p->squares - square == 2)
            multiply_column(p, square, 2, x);
        else if (p->squares - square == 1)
            multiply_column(p, square, 1, x);
    }
}

void lq_squares_avx512(struct lq_squares *squares)
{
    *squares = (struct lq_squares){square_points, square_multiply, square_sums};
}
