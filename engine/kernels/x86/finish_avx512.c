/* finish_avx512.c - what follows the sums of a layer, 16 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <immintrin.h>

enum { LANES = 16 };

static inline __mmask16 lanes_left(int left)
{
    return left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1);
}

static inline __m512 clamp(__m512 y, struct lq_clamp to)
{
    return _mm512_min_ps(_mm512_set1_ps(to.max), _mm512_max_ps(_mm512_set1_ps(to.min), y));
}

static inline __m512 load(const float *from, int left)
{
    return left >= LANES ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(lanes_left(left), from);
}

static inline __m512i load_ints(const int32_t *from, int left)
{
    return left >= LANES ? _mm512_loadu_si512(from)
                         : _mm512_maskz_loadu_epi32(lanes_left(left), from);
}

static inline void store(float *to, int left, __m512 y)
{
    if (left >= LANES)
        _mm512_storeu_ps(to, y);
    else
        _mm512_mask_storeu_ps(to, lanes_left(left), y);
}

static inline __m512i add_ints(__m512i a, __m512i b)
{
    return _mm512_add_epi32(a, b);
}

static inline __m512 to_floats(__m512i sums)
{
    return _mm512_cvtepi32_ps(sums);
}

typedef __m512 floats;
typedef __m512i ints;
#include "kernels/x86/finish_lanes.h"

void lq_finish_sums_avx512(const struct lq_finish *f, struct lq_columns columns,
                           const int32_t *sums, const float *addend, int pixels, float *ret_y,
                           float *ret_z)
{
    finish_sums(f, columns, sums, addend, pixels, ret_y, ret_z);
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
                                                                int left, __m512 lanes[ROWS])
{
    __m512 some = load(x + k, left);

#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        const float *row = w + (size_t)r * (size_t)length + k;

        lanes[r] = _mm512_add_ps(lanes[r], _mm512_mul_ps(load(row, left), some));
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
        dense_vectors(w, x, rows, length, k, LANES, lanes);
    if (k < length)
        dense_vectors(w, x, rows, length, k, length - k, lanes);
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
