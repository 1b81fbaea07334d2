/* finish_avx512.c - what follows the sums of a layer, 16 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>

enum { LANES = 16, FEW_CHANNELS = 64 };

static inline __mmask16 lanes_left(int left)
{
    return left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1);
}

/* Of equal zeros the second one is taken, as the definition does. */
static inline __m512 clamp(__m512 y, struct lq_clamp to)
{
    return _mm512_min_ps(_mm512_set1_ps(to.max), _mm512_max_ps(_mm512_set1_ps(to.min), y));
}

/* 16 channels of a layer. */
struct lanes {
    __mmask16 mask;
    __m512i offset;
    __m512 scale, shift, next_scale, next_shift;
};

static struct lanes lanes_of(const struct lq_finish *f, int c)
{
    __mmask16 mask = lanes_left(f->channels - c);
    struct lanes l = {.mask = mask,
                      .offset = _mm512_setzero_si512(),
                      .scale = _mm512_maskz_loadu_ps(mask, f->scale + c),
                      .shift = _mm512_maskz_loadu_ps(mask, f->shift + c)};

    if (f->offset)
        l.offset = _mm512_maskz_loadu_epi32(mask, f->offset + c);
    if (f->next_scale) {
        l.next_scale = _mm512_maskz_loadu_ps(mask, f->next_scale + c);
        l.next_shift = _mm512_maskz_loadu_ps(mask, f->next_shift + c);
    }
    return l;
}

static inline __attribute__((always_inline)) __m512 load(const float *from, __mmask16 mask,
                                                         bool whole)
{
    return whole ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(mask, from);
}

static inline __attribute__((always_inline)) void store(float *to, __mmask16 mask, bool whole,
                                                        __m512 y)
{
    if (whole)
        _mm512_storeu_ps(to, y);
    else
        _mm512_mask_storeu_ps(to, mask, y);
}

static bool bounds(struct lq_clamp to)
{
    return to.min > -INFINITY || to.max < INFINITY;
}

/* bounded: the first two clamps do something. */
static inline __attribute__((always_inline)) void
finish_lanes(const struct lq_finish *f, const struct lanes *l, bool whole, bool bounded,
             const int32_t *sums, const float *addend, int pixels, float *ret_y, float *ret_z)
{
    size_t at = 0, channels = (size_t)f->channels;

    for (int pixel = 0; pixel < pixels; pixel++, at += channels) {
        __m512i sum =
            whole ? _mm512_loadu_si512(sums + at) : _mm512_maskz_loadu_epi32(l->mask, sums + at);
        __m512 y = _mm512_cvtepi32_ps(_mm512_add_epi32(sum, l->offset));

        y = _mm512_add_ps(_mm512_mul_ps(l->scale, y), l->shift);
        if (bounded)
            y = clamp(y, f->first);
        if (addend)
            y = _mm512_add_ps(y, load(addend + at, l->mask, whole));
        if (addend && bounded)
            y = clamp(y, f->added);
        if (ret_y)
            store(ret_y + at, l->mask, whole, y);
        if (!ret_z)
            continue;
        if (f->next_scale)
            y = _mm512_add_ps(_mm512_mul_ps(l->next_scale, y), l->next_shift);
        store(ret_z + at, l->mask, whole, clamp(y, f->next));
    }
}

/* 16 channels from c on, of `pixels` pixels. */
static void finish_part(const struct lq_finish *f, int c, const int32_t *sums, const float *addend,
                        int pixels, float *ret_y, float *ret_z)
{
    const struct lq_finish finish = *f; /* what is stored cannot change it */
    const struct lanes l = lanes_of(f, c);

    if (f->channels - c < LANES)
        finish_lanes(&finish, &l, false, true, sums, addend, pixels, ret_y, ret_z);
    else if (bounds(f->first) || bounds(f->added))
        finish_lanes(&finish, &l, true, true, sums, addend, pixels, ret_y, ret_z);
    else
        finish_lanes(&finish, &l, true, false, sums, addend, pixels, ret_y, ret_z);
}

/* Whole vectors of a pixel, in the order in which they lie; where they end. */
static inline __attribute__((always_inline)) int
finish_pixel(const struct lq_finish *f, const bool bounded, const int32_t *sums,
             const float *addend, float *ret_y, float *ret_z)
{
    int c = 0;

    for (; c + LANES <= f->channels; c += LANES) {
        __m512i sum = _mm512_loadu_si512(sums + c);

        if (f->offset)
            sum = _mm512_add_epi32(sum, _mm512_loadu_si512(f->offset + c));
        __m512 y = _mm512_mul_ps(_mm512_loadu_ps(f->scale + c), _mm512_cvtepi32_ps(sum));

        y = _mm512_add_ps(y, _mm512_loadu_ps(f->shift + c));
        if (bounded)
            y = clamp(y, f->first);
        if (addend)
            y = _mm512_add_ps(y, _mm512_loadu_ps(addend + c));
        if (addend && bounded)
            y = clamp(y, f->added);
        if (ret_y)
            _mm512_storeu_ps(ret_y + c, y);
        if (!ret_z)
            continue;
        if (f->next_scale)
            y = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(f->next_scale + c), y),
                              _mm512_loadu_ps(f->next_shift + c));
        _mm512_storeu_ps(ret_z + c, clamp(y, f->next));
    }
    return c;
}

/* Maps of many channels are so large that they had better be read and written in order. */
static inline __attribute__((always_inline)) void
finish_pixels(const struct lq_finish *f, const bool bounded, const int32_t *sums,
              const float *addend, int pixels, float *ret_y, float *ret_z)
{
    const struct lq_finish finish = *f; /* what is stored cannot change it */
    size_t channels = (size_t)f->channels;

    for (int pixel = 0; pixel < pixels; pixel++) {
        int c = finish_pixel(&finish, bounded, sums, addend, ret_y, ret_z);

        if (c < finish.channels)
            finish_part(f, c, sums + c, addend ? addend + c : NULL, 1, ret_y ? ret_y + c : NULL,
                        ret_z ? ret_z + c : NULL);
        sums += channels;
        addend = addend ? addend + channels : NULL;
        ret_y = ret_y ? ret_y + channels : NULL;
        ret_z = ret_z ? ret_z + channels : NULL;
    }
}

/* Few channels keep their factors in registers. */
void lq_finish_sums_avx512(const struct lq_finish *f, const int32_t *sums, const float *addend,
                           int pixels, float *ret_y, float *ret_z)
{
    if (f->channels <= FEW_CHANNELS)
        for (int c = 0; c < f->channels; c += LANES)
            finish_part(f, c, sums + c, addend ? addend + c : NULL, pixels,
                        ret_y ? ret_y + c : NULL, ret_z ? ret_z + c : NULL);
    else if (bounds(f->first) || bounds(f->added))
        finish_pixels(f, true, sums, addend, pixels, ret_y, ret_z);
    else
        finish_pixels(f, false, sums, addend, pixels, ret_y, ret_z);
}

/* Taps from..to-1 of each line. */
static inline void pool_lanes(const struct lq_sums_pool *p, const int32_t *sums, int from, int to,
                              int c, int32_t *ret_sums)
{
    __mmask16 mask = lanes_left(p->channels - c), minus = 0;
    __m512i most = _mm512_set1_epi32(INT32_MIN), zero = _mm512_setzero_si512();

    if (p->signs)
        minus = _mm512_movepi32_mask(_mm512_maskz_loadu_epi32(mask, p->signs + c));
    for (int line = 0; line < p->lines; line++)
        for (int x = from; x < to; x++) {
            const int32_t *tap =
                sums + (size_t)line * p->line + (size_t)x * (size_t)p->channels + c;
            __m512i sum = _mm512_maskz_loadu_epi32(mask, tap);

            most = _mm512_max_epi32(most, _mm512_mask_sub_epi32(sum, minus, zero, sum));
        }
    _mm512_mask_storeu_epi32(ret_sums + c, mask, _mm512_mask_sub_epi32(most, minus, zero, most));
}

/* The same of whole vectors where all signs are 1. */
static inline void pool_whole(const struct lq_sums_pool *p, const int32_t *sums, int from, int to,
                              int32_t *ret_sums)
{
    size_t channels = (size_t)p->channels;
    __m512i most = _mm512_set1_epi32(INT32_MIN);

    for (int line = 0; line < p->lines; line++) {
        const int32_t *tap = sums + (size_t)line * p->line + (size_t)from * channels;

        for (int x = from; x < to; x++, tap += channels)
            most = _mm512_max_epi32(most, _mm512_loadu_si512(tap));
    }
    _mm512_storeu_si512(ret_sums, most);
}

void lq_pool_sums_avx512(const struct lq_sums_pool *p, const int32_t *sums, int32_t *ret_sums)
{
    bool whole = !p->signs && p->channels % LANES == 0;

    for (int out = 0; out < p->out_width; out++, ret_sums += p->channels) {
        int start = out * p->stride - p->pad, end = start + p->kernel;
        int from = start < 0 ? 0 : start, to = end > p->width ? p->width : end;

        for (int c = 0; c < p->channels; c += LANES)
            if (whole)
                pool_whole(p, sums + c, from, to, ret_sums + c);
            else
                pool_lanes(p, sums, from, to, c, ret_sums);
    }
}

/* The one order of kernels.h. */
static inline float add_lanes(__m512 lanes)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

enum { ROWS = 4 }; /* at once: additions of one row wait for each other */

static inline __attribute__((always_inline)) void dense_rows(const float *w, const float *x,
                                                             int rows, int length, float *ret)
{
    __m512 lanes[ROWS];

    for (int r = 0; r < rows; r++)
        lanes[r] = _mm512_setzero_ps();
    for (int k = 0; k < length; k += LQ_DENSE_LANES) {
        __mmask16 mask = lanes_left(length - k);
        __m512 some = _mm512_maskz_loadu_ps(mask, x + k);

        for (int r = 0; r < rows; r++) {
            const float *row = w + (size_t)r * (size_t)length + k;

            lanes[r] =
                _mm512_add_ps(lanes[r], _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, row), some));
        }
    }
    for (int r = 0; r < rows; r++)
        ret[r] = add_lanes(lanes[r]);
}

void lq_dense_floats_avx512(const float *w, const float *x, int rows, int length, float *ret)
{
    int row = 0;

    for (; row + ROWS <= rows; row += ROWS)
        dense_rows(w + (size_t)row * (size_t)length, x, ROWS, length, ret + row);
    for (; row < rows; row++)
        dense_rows(w + (size_t)row * (size_t)length, x, 1, length, ret + row);
}
