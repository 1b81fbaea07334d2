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

static inline __attribute__((always_inline)) __m512 load(const float *from, __mmask16 mask,
                                                         bool whole)
{
    return whole ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(mask, from);
}

static inline __attribute__((always_inline)) __m512i load_ints(const int32_t *from, __mmask16 mask,
                                                               bool whole)
{
    return whole ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi32(mask, from);
}

static inline __attribute__((always_inline)) void store(float *to, __mmask16 mask, bool whole,
                                                        __m512 y)
{
    if (whole)
        _mm512_storeu_ps(to, y);
    else
        _mm512_mask_storeu_ps(to, mask, y);
}

/* `left` channels from c on; whole: a vector or more. */
static inline __attribute__((always_inline)) struct lanes lanes_of(const struct lq_finish *f, int c,
                                                                   bool whole, int left)
{
    __mmask16 mask = lanes_left(left);
    struct lanes l = {.mask = mask,
                      .offset = _mm512_setzero_si512(),
                      .scale = load(f->scale + c, mask, whole),
                      .shift = load(f->shift + c, mask, whole)};

    if (f->offset)
        l.offset = load_ints(f->offset + c, mask, whole);
    if (f->next_scale) {
        l.next_scale = load(f->next_scale + c, mask, whole);
        l.next_shift = load(f->next_shift + c, mask, whole);
    }
    return l;
}

static bool bounds(struct lq_clamp to)
{
    return to.min > -INFINITY || to.max < INFINITY;
}

/* A vector of a pixel. bounded: the first two clamps do something. */
static inline __attribute__((always_inline)) void
finish_vector(const struct lq_finish *f, const struct lanes *l, bool whole, bool bounded,
              const int32_t *sums, const float *addend, float *ret_y, float *ret_z)
{
    __m512i sum = _mm512_add_epi32(load_ints(sums, l->mask, whole), l->offset);
    __m512 y = _mm512_add_ps(_mm512_mul_ps(l->scale, _mm512_cvtepi32_ps(sum)), l->shift);

    if (bounded)
        y = clamp(y, f->first);
    if (addend)
        y = _mm512_add_ps(y, load(addend, l->mask, whole));
    if (addend && bounded)
        y = clamp(y, f->added);
    if (ret_y)
        store(ret_y, l->mask, whole, y);
    if (!ret_z)
        return;
    if (f->next_scale)
        y = _mm512_add_ps(_mm512_mul_ps(l->next_scale, y), l->next_shift);
    store(ret_z, l->mask, whole, clamp(y, f->next));
}

/* The same of `pixels` pixels. */
static inline __attribute__((always_inline)) void
finish_lanes(const struct lq_finish *f, int c, bool whole, int left, bool bounded,
             const int32_t *sums, const float *addend, int pixels, float *ret_y, float *ret_z)
{
    const struct lanes l = lanes_of(f, c, whole, left);
    size_t at = (size_t)c, channels = (size_t)f->channels;

    for (int pixel = 0; pixel < pixels; pixel++, at += channels)
        finish_vector(f, &l, whole, bounded, sums + at, addend ? addend + at : NULL,
                      ret_y ? ret_y + at : NULL, ret_z ? ret_z + at : NULL);
}

/* Columns of whole vectors, pixel by pixel. */
static inline __attribute__((always_inline)) void
finish_pixels(const struct lq_finish *f, struct lq_columns columns, bool bounded,
              const int32_t *sums, const float *addend, int pixels, float *ret_y, float *ret_z)
{
    size_t channels = (size_t)f->channels;

    for (int pixel = 0; pixel < pixels; pixel++) {
        for (int c = columns.from; c < columns.to; c += LANES) {
            const struct lanes l = lanes_of(f, c, true, LANES);

            finish_vector(f, &l, true, bounded, sums + c, addend ? addend + c : NULL,
                          ret_y ? ret_y + c : NULL, ret_z ? ret_z + c : NULL);
        }
        sums += channels;
        addend = addend ? addend + channels : NULL;
        ret_y = ret_y ? ret_y + channels : NULL;
        ret_z = ret_z ? ret_z + channels : NULL;
    }
}

/* Few channels keep their factors in registers; maps of many are so large that they had better be
 * read and written in order, but not parts of their columns: what is read in order is fetched
 * further than it goes, and there another core writes. */
static inline __attribute__((always_inline)) void finish(const struct lq_finish *given,
                                                         struct lq_columns columns, bool bounded,
                                                         const int32_t *sums, const float *addend,
                                                         int pixels, float *ret_y, float *ret_z)
{
    const struct lq_finish f = *given; /* what is stored cannot change it */
    int rest = (columns.to - columns.from) % LANES, whole = columns.to - rest;

    if (f.channels > FEW_CHANNELS && columns.to - columns.from == f.channels)
        finish_pixels(&f, (struct lq_columns){columns.from, whole}, bounded, sums, addend, pixels,
                      ret_y, ret_z);
    else
        for (int c = columns.from; c < whole; c += LANES)
            finish_lanes(&f, c, true, LANES, bounded, sums, addend, pixels, ret_y, ret_z);
    if (rest > 0)
        finish_lanes(&f, whole, false, rest, bounded, sums, addend, pixels, ret_y, ret_z);
}

void lq_finish_sums_avx512(const struct lq_finish *f, struct lq_columns columns,
                           const int32_t *sums, const float *addend, int pixels, float *ret_y,
                           float *ret_z)
{
    if (bounds(f->first) || bounds(f->added))
        finish(f, columns, true, sums, addend, pixels, ret_y, ret_z);
    else
        finish(f, columns, false, sums, addend, pixels, ret_y, ret_z);
}

/* Taps from..to-1 of each line. */
static inline void pool_lanes(const struct lq_sums_pool *p, const int32_t *sums, int from, int to,
                              int c, int32_t *ret_sums)
{
    __mmask16 mask = lanes_left(p->columns.to - c), minus = 0;
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
    bool whole = !p->signs && (p->columns.to - p->columns.from) % LANES == 0;

    for (int out = 0; out < p->out_width; out++, ret_sums += p->channels) {
        int start = out * p->stride - p->pad, end = start + p->kernel;
        int from = start < 0 ? 0 : start, to = end > p->width ? p->width : end;

        for (int c = p->columns.from; c < p->columns.to; c += LANES)
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

enum { ROWS = 8 }; /* at once: additions of one row wait for each other */

/* From element k on, a vector of each row. */
static inline __attribute__((always_inline)) void dense_vectors(const float *w, const float *x,
                                                                int rows, int length, int k,
                                                                bool whole, __m512 lanes[ROWS])
{
    __mmask16 mask = lanes_left(length - k);
    __m512 some = load(x + k, mask, whole);

#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const float *row = w + (size_t)r * (size_t)length + k;

        lanes[r] = _mm512_add_ps(lanes[r], _mm512_mul_ps(load(row, mask, whole), some));
    }
}

static inline __attribute__((always_inline)) void dense_rows(const float *w, const float *x,
                                                             int rows, int length, float *ret)
{
    __m512 lanes[ROWS];
    int k = 0;

    for (int r = 0; r < rows; r++)
        lanes[r] = _mm512_setzero_ps();
    for (; k + LANES <= length; k += LANES)
        dense_vectors(w, x, rows, length, k, true, lanes);
    if (k < length)
        dense_vectors(w, x, rows, length, k, false, lanes);
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
