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

/* Of equal zeros the second one is taken, as the definition does. */
static inline __m512 clamp(__m512 y, struct lq_clamp to)
{
    return _mm512_min_ps(_mm512_set1_ps(to.max), _mm512_max_ps(_mm512_set1_ps(to.min), y));
}

static inline __m512 affine(__m512 x, const float *scale, const float *shift, __mmask16 mask)
{
    return _mm512_add_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, scale), x),
                         _mm512_maskz_loadu_ps(mask, shift));
}

void lq_finish_sums_avx512(const struct lq_finish *f, const int32_t *sums, const float *addend,
                           int pixels, float *ret_y, float *ret_z)
{
    for (int pixel = 0; pixel < pixels; pixel++)
        for (int c = 0; c < f->channels; c += LANES) {
            size_t at = (size_t)pixel * (size_t)f->channels + (size_t)c;
            __mmask16 mask = lanes_left(f->channels - c);
            __m512i sum = _mm512_maskz_loadu_epi32(mask, sums + at);
            __m512 y;

            if (f->offset)
                sum = _mm512_add_epi32(sum, _mm512_maskz_loadu_epi32(mask, f->offset + c));
            y = clamp(affine(_mm512_cvtepi32_ps(sum), f->scale + c, f->shift + c, mask), f->first);
            if (addend)
                y = clamp(_mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, addend + at)), f->added);
            if (ret_y)
                _mm512_mask_storeu_ps(ret_y + at, mask, y);
            if (!ret_z)
                continue;
            if (f->next_scale)
                y = affine(y, f->next_scale + c, f->next_shift + c, mask);
            _mm512_mask_storeu_ps(ret_z + at, mask, clamp(y, f->next));
        }
}

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

void lq_pool_sums_avx512(const struct lq_sums_pool *p, const int32_t *sums, int32_t *ret_sums)
{
    for (int out = 0; out < p->out_width; out++, ret_sums += p->channels) {
        int start = out * p->stride - p->pad, end = start + p->kernel;
        int from = start < 0 ? 0 : start, to = end > p->width ? p->width : end;

        for (int c = 0; c < p->channels; c += LANES)
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
