/* pixels_avx512.c - Winograd's minimal filtering on pixels: VPERMW to deal out the pixels of a
 * line, VPDPWSSD on 16 columns a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/pixels.h"
#include "kernels/x86/vnni.h"

enum { SQUARES = 7, PANELS = LQ_SQUARE_PANELS, LANES = LQ_SQUARE_LANES, PAIR = 2 * LANES };

/* A product down, of whole lines. */
static void find_down(const struct lq_pixel_patches *p, const struct lq_pixel_product *product,
                      int16_t *to)
{
    const uint8_t *first = p->pixels + (size_t)product->first * p->line;
    const uint8_t *second = p->pixels + (size_t)product->second * p->line;
    const __m512i left = _mm512_set1_epi16((short)product->factors[0]);
    const __m512i right = _mm512_set1_epi16((short)product->factors[1]);

    for (size_t x = 0; x < p->line; x += LQ_PIXEL_LANES) {
        __m512i a = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)(first + x)));
        __m512i b = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const void *)(second + x)));

        a = _mm512_add_epi16(_mm512_mullo_epi16(a, left), _mm512_mullo_epi16(b, right));
        _mm512_store_si512(to + x, a);
    }
}

/* struct lq_pixel_lanes in registers: the compiler cannot know that stores leave it alone. */
struct lanes {
    __m512i first, second, factors[2];
};

static inline struct lanes load_lanes(const struct lq_pixel_lanes *lanes)
{
    return (struct lanes){
        _mm512_load_si512(lanes->first),
        _mm512_load_si512(lanes->second),
        {_mm512_load_si512(lanes->factors[0]), _mm512_load_si512(lanes->factors[1])}};
}

static inline __attribute__((always_inline)) __m512i find_across(const struct lanes *lanes,
                                                                 const int16_t *line)
{
    __m512i values = _mm512_loadu_si512(line);
    __m512i first = _mm512_permutexvar_epi16(lanes->first, values);
    __m512i second = _mm512_permutexvar_epi16(lanes->second, values);

    return _mm512_add_epi16(_mm512_mullo_epi16(first, lanes->factors[0]),
                            _mm512_mullo_epi16(second, lanes->factors[1]));
}

static void find_one(const struct lq_pixel_patches *p, const int16_t *line, int16_t *points)
{
    const size_t square = (size_t)p->down->count * LQ_PIXEL_LANES, step = p->step;
    const struct lanes lanes = load_lanes(p->across);

    for (int left = p->count; left > 0; left--, line += step, points += square)
        _mm512_storeu_si512(points, find_across(&lanes, line));
}

static void find_two(const struct lq_pixel_patches *p, const int16_t *line, const int16_t *next,
                     int16_t *points)
{
    const size_t square = (size_t)p->down->count * LQ_PIXEL_LANES, step = p->step;
    const struct lanes lanes = load_lanes(p->across);
    __m512i low, high; /* elements 0 32 1 33 ... and 16 48 17 49 ... of both */

    low = _mm512_set_epi16(15, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 10, 9, 9, 8, 8, 7, 7, 6, 6,
                           5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    low = _mm512_add_epi16(low, _mm512_set1_epi32(LQ_PIXEL_LANES << 16));
    high = _mm512_add_epi16(low, _mm512_set1_epi16(LQ_PIXEL_LANES / 2));
    for (int left = p->count; left > 0; left--, line += step, next += step, points += square) {
        __m512i one = find_across(&lanes, line), other = find_across(&lanes, next);

        _mm512_storeu_si512(points, _mm512_permutex2var_epi16(one, low, other));
        _mm512_storeu_si512(points + LQ_PIXEL_LANES, _mm512_permutex2var_epi16(one, high, other));
    }
}

static void pixel_points(const struct lq_pixel_patches *p, int16_t *points)
{
    const struct lq_pixel_axis *down = p->down;
    int16_t *next = p->work + lq_pixel_work(p->line);

    for (int y = 0; y < down->count; y++, points += LQ_PIXEL_LANES) {
        const struct lq_pixel_product *product = &down->products[y];

        find_down(p, product, p->work);
        if (y + 1 == down->to[product->kind]) {
            find_one(p, p->work, points);
            continue;
        }
        find_down(p, product + 1, next);
        find_two(p, p->work, next, points);
        points += LQ_PIXEL_LANES;
        y++;
    }
}

/* What comes next. */
struct pairs {
    const uint16_t *places;
    const int16_t *weights;
};

/* `count` pairs of `squares` squares, added to their sums. */
static inline __attribute__((always_inline)) void add_pairs(struct pairs *pairs, int count,
                                                            int squares, const int16_t *points,
                                                            size_t square,
                                                            __m512i sums[SQUARES][PANELS])
{
    const uint16_t *place = pairs->places, *end = place + count;
    const int16_t *far = points + 4 * square, *w = pairs->weights;

    for (; place < end; place++, w += (size_t)PANELS * PAIR) {
        __m512i left = _mm512_loadu_si512(w), right = _mm512_loadu_si512(w + PAIR);

#pragma GCC unroll 7
        for (int s = 0; s < squares; s++) {
            const int16_t *at =
                s < 4 ? points + (size_t)s * square : far + (size_t)(s - 4) * square;
            __m512i values = lq_broadcast(at + *place, sizeof(int32_t));

            sums[s][0] = lq_add_words(sums[s][0], values, left);
            sums[s][1] = lq_add_words(sums[s][1], values, right);
        }
    }
    pairs->places = end;
    pairs->weights = w;
}

/* Sums in memory: how far from a line, and from a square, to the next. */
struct sums_at {
    int32_t *sums;
    size_t line, square;
};

static inline int32_t *sum_at(const struct sums_at *at, int line, int s, int panel)
{
    return at->sums + (size_t)line * at->line + (size_t)s * at->square + (size_t)panel * LANES;
}

/* What is of both pixels, alike and with opposite signs, is kept; what is of one pixel finishes it.
 */
static inline __attribute__((always_inline)) void store(int across, int squares, int height,
                                                        __m512i sums[LQ_SQUARE][SQUARES][PANELS],
                                                        const struct sums_at kept[2],
                                                        const struct sums_at *result)
{
#pragma GCC unroll 28
    for (int k = 0; k < LQ_SQUARE * squares * PANELS; k++) {
        const int s = k / PANELS % squares, i = k % PANELS, line = k / PANELS / squares;
        __m512i sum = sums[line][s][i], apart;

        if (across < 2) {
            _mm512_store_si512(sum_at(&kept[across], line, s, i), sum);
            continue;
        }
        if (line == height)
            break;
        sum = _mm512_add_epi32(sum, _mm512_load_si512(sum_at(&kept[0], line, s, i)));
        apart = _mm512_load_si512(sum_at(&kept[1], line, s, i));
        sum = across == 2 ? _mm512_add_epi32(sum, apart) : _mm512_sub_epi32(sum, apart);
        _mm512_storeu_si512(sum_at(result, line, s, i), _mm512_srai_epi32(sum, 2));
    }
}

/* Squares square .. square + squares - 1. */
static inline __attribute__((always_inline)) void sum_squares(const struct lq_pixel_squares *p,
                                                              int square, int squares)
{
    _Alignas(64) int32_t memory[2][LQ_SQUARE * SQUARES * PANELS * LANES];
    const size_t vectors = (size_t)PANELS * LANES;
    const struct sums_at kept[] = {{memory[0], SQUARES * vectors, vectors},
                                   {memory[1], SQUARES * vectors, vectors}};
    struct sums_at result = {p->sums + (size_t)square * 2 * p->pixel, p->line, 2 * p->pixel};
    const int16_t *points = p->points + (size_t)square * p->square;
    struct pairs pairs = {p->places, p->weights};
    int pixels = square * LQ_SQUARE + 1 == p->width ? 1 : 2;

    for (int across = 0; across < 2 + pixels; across++) {
        const int *counts = p->counts[across];
        __m512i sums[LQ_SQUARE][SQUARES][PANELS];

#pragma GCC unroll 7
        for (int s = 0; s < squares; s++)
            for (int i = 0; i < PANELS; i++)
                sums[0][s][i] = sums[1][s][i] = _mm512_setzero_si512();
        add_pairs(&pairs, counts[0], squares, points, p->square, sums[0]);
        add_pairs(&pairs, counts[1], squares, points, p->square, sums[1]);
#pragma GCC unroll 7
        for (int s = 0; s < squares; s++)
            for (int i = 0; i < PANELS; i++) {
                __m512i both = sums[0][s][i], apart = sums[1][s][i];

                sums[0][s][i] = _mm512_add_epi32(both, apart);
                sums[1][s][i] = _mm512_sub_epi32(both, apart);
            }
        add_pairs(&pairs, counts[2], squares, points, p->square, sums[0]);
        add_pairs(&pairs, counts[3], squares, points, p->square, sums[1]);
        if (across < 2)
            store(across, squares, p->height, sums, kept, NULL);
        else if (across == 2)
            store(2, squares, p->height, sums, kept, &result);
        else
            store(3, squares, p->height, sums, kept, &result);
        result.sums += across == 2 ? p->pixel : 0;
    }
}

/* As many squares at a time as there are registers for, and if they do not come out even, groups of
 * nearly the same size: a few squares would not keep the multipliers busy. The weights stay in the
 * first cache meanwhile. */
static void pixel_sums(const struct lq_pixel_squares *p)
{
    int left = p->width / LQ_SQUARE, groups = (left + SQUARES - 1) / SQUARES, square = 0;

    for (; groups > 0; groups--) {
        int squares = left / groups;

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        sum_squares(p, square, n);                                                                 \
        break;
        switch (squares) {
            CASE(1)
            CASE(2)
            CASE(3)
            CASE(4)
            CASE(5)
            CASE(6)
            CASE(7)
        }
#undef CASE
        square += squares;
        left -= squares;
    }
    if (p->width % LQ_SQUARE)
        sum_squares(p, square, 1);
}

void lq_pixels_avx512(struct lq_pixels *pixels)
{
    *pixels = (struct lq_pixels){pixel_points, pixel_sums};
}
