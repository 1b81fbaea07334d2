/* duos_avx2.c - Winograd's minimal filtering along lines of levels, 32 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/duos.h"

#include <immintrin.h>

enum { LANES = 8 };

static inline __m256i load(const void *from)
{
    return _mm256_loadu_si256(from);
}

static inline void store(void *to, __m256i vector)
{
    _mm256_storeu_si256(to, vector);
}

/* The sum of a pixel's levels, of which VPSADBW has added eight and eight. */
static inline int32_t total(__m256i eights)
{
    __m128i sum =
        _mm_add_epi64(_mm256_castsi256_si128(eights), _mm256_extracti128_si256(eights, 1));

    return _mm_cvtsi128_si32(_mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum)));
}

static int32_t pixel_total(const uint8_t *levels, size_t channels)
{
    __m256i sum = _mm256_setzero_si256();

    for (size_t c = 0; c < channels; c += LQ_DUO_LANES)
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(load(levels + c), _mm256_setzero_si256()));
    return total(sum);
}

/* Of a duo, the sums of its first two pixels with it. */
static inline void points_of(const uint8_t *levels, size_t channels, __m256i top, size_t point,
                             uint8_t *to, int32_t *pixels)
{
    __m256i zero = _mm256_setzero_si256(), left = zero, right = zero;

    for (size_t c = 0; c < channels; c += LQ_DUO_LANES, levels += LQ_DUO_LANES) {
        __m256i d0 = load(levels), d1 = load(levels + channels);
        __m256i d2 = load(levels + 2 * channels), d3 = load(levels + 3 * channels);
        __m256i d1_top = _mm256_add_epi8(d1, top), d2_top = _mm256_add_epi8(d2, top);

        left = _mm256_add_epi64(left, _mm256_sad_epu8(d0, zero));
        right = _mm256_add_epi64(right, _mm256_sad_epu8(d1, zero));
        store(to + c, _mm256_sub_epi8(_mm256_add_epi8(d0, top), d2));
        store(to + point + c, _mm256_add_epi8(d1, d2));
        store(to + 2 * point + c, _mm256_sub_epi8(d2_top, d1));
        store(to + 3 * point + c, _mm256_sub_epi8(d1_top, d3));
    }
    pixels[0] = total(left);
    pixels[1] = total(right);
}

static void duo_points(const struct lq_duo_line *line, uint8_t *points, int32_t *pixels)
{
    size_t channels = (size_t)line->channels;
    const __m256i top = _mm256_set1_epi8((char)line->top);
    const uint8_t *levels = line->levels;

    for (int i = 0; i < line->count; i++) {
        points_of(levels, channels, top, line->point, points, pixels);
        levels += LQ_DUO * channels;
        points += line->duo;
        pixels += LQ_DUO;
    }
    pixels[0] = pixel_total(levels, channels);
    pixels[1] = pixel_total(levels + channels, channels);
}

static void duo_sums(const struct lq_duo_products *p)
{
    for (size_t c = 0; c < LQ_DUO_COLUMNS; c += LANES) {
        const __m256i left = load(p->offsets + c), right = load(p->offsets + p->offset_stride + c);
        const __m256i odd = load(p->odd + c);
        const int32_t *products = p->products + c;
        int32_t *to = p->sums + c;

        for (int x = 0; x < p->width; x += LQ_DUO, products += p->duo, to += 2 * p->pixel) {
            __m256i m0 = load(products), m1 = load(products + p->point);
            __m256i m2 = load(products + 2 * p->point), m3 = load(products + 3 * p->point);
            __m256i a = _mm256_add_epi32(_mm256_add_epi32(m0, m0), _mm256_add_epi32(m1, m2));
            __m256i b = _mm256_sub_epi32(_mm256_sub_epi32(m1, m2), _mm256_add_epi32(m3, m3));
            __m256i of_a = _mm256_and_si256(_mm256_set1_epi32(p->windows[x]), odd);

            store(to, _mm256_add_epi32(_mm256_sub_epi32(a, left), of_a));
            if (x + 1 < p->width) {
                __m256i of_b = _mm256_and_si256(_mm256_set1_epi32(p->windows[x + 1]), odd);

                store(to + p->pixel, _mm256_add_epi32(_mm256_sub_epi32(b, right), of_b));
            }
        }
    }
}

void lq_duos_avx2(struct lq_duos *duos)
{
    *duos = (struct lq_duos){duo_points, duo_sums};
}
