/* finish_avx2.c - what follows the sums of a layer, 8 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The last channels, fewer than a vector, are loaded by a mask; they are stored through memory,
 * because a masked store takes many times as long as a plain one on some CPUs.
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8 };

static inline __m256i lane_mask(int left)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline __m256 load(const float *from, int left)
{
    return left >= LANES ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, lane_mask(left));
}

static inline __m256i load_ints(const int32_t *from, int left)
{
    return left >= LANES ? _mm256_loadu_si256((const void *)from)
                         : _mm256_maskload_epi32(from, lane_mask(left));
}

static inline void store(float *to, int left, __m256 values)
{
    float few[LANES];

    if (left >= LANES) {
        _mm256_storeu_ps(to, values);
        return;
    }
    _mm256_storeu_ps(few, values);
    memcpy(to, few, (size_t)left * sizeof(*few));
}

static inline __m256 clamp(__m256 y, struct lq_clamp to)
{
    return _mm256_min_ps(_mm256_set1_ps(to.max), _mm256_max_ps(_mm256_set1_ps(to.min), y));
}

static inline __m256i add_ints(__m256i a, __m256i b)
{
    return _mm256_add_epi32(a, b);
}

static inline __m256 to_floats(__m256i sums)
{
    return _mm256_cvtepi32_ps(sums);
}

typedef __m256 floats;
typedef __m256i ints;
#include "kernels/x86/finish_lanes.h"

void lq_finish_sums_avx2(const struct lq_finish *f, struct lq_columns columns, const int32_t *sums,
                         const float *addend, int pixels, float *ret_y, float *ret_z)
{
    finish_sums(f, columns, sums, addend, pixels, ret_y, ret_z);
}

enum { VECTORS = 4 }; /* of a pixel at once: a tap is a loop's turn, whatever it loads */

/* `vectors` of them from channel c on, of which `left` channels are there. */
static inline __attribute__((always_inline)) void pool_lanes(const struct lq_sums_pool *p,
                                                             const int32_t *window, int taps, int c,
                                                             int vectors, int left,
                                                             int32_t *ret_sums)
{
    __m256i most[VECTORS], signs[VECTORS];

    for (int v = 0; v < vectors; v++) {
        const int32_t *of = p->signs ? p->signs + c + (size_t)v * LANES : NULL;

        most[v] = _mm256_set1_epi32(INT32_MIN);
        signs[v] = of ? load_ints(of, left) : _mm256_set1_epi32(1);
    }
    for (int line = 0; line < p->lines; line++) {
        const int32_t *tap = window + (size_t)line * p->line + c;

        for (int x = 0; x < taps; x++, tap += p->channels)
            for (int v = 0; v < vectors; v++) {
                __m256i sum = load_ints(tap + (size_t)v * LANES, left);

                most[v] = _mm256_max_epi32(most[v], _mm256_sign_epi32(sum, signs[v]));
            }
    }
    ret_sums += c;
    for (int v = 0; v < vectors; v++, ret_sums += LANES) {
        most[v] = _mm256_sign_epi32(most[v], signs[v]);
        if (left >= LANES)
            _mm256_storeu_si256((void *)ret_sums, most[v]);
        else
            memcpy(ret_sums, &most[v], (size_t)left * sizeof(*ret_sums));
    }
}

void lq_pool_sums_avx2(const struct lq_sums_pool *p, const int32_t *sums, int32_t *ret_sums)
{
    for (int out = 0; out < p->out_width; out++, ret_sums += p->channels) {
        int start = out * p->stride - p->pad, end = start + p->kernel, c = p->columns.from;
        int from = start < 0 ? 0 : start, to = end > p->width ? p->width : end;
        const int32_t *window = sums + (size_t)from * (size_t)p->channels;

        for (; c + VECTORS * LANES <= p->columns.to; c += VECTORS * LANES)
            pool_lanes(p, window, to - from, c, VECTORS, LANES, ret_sums);
        for (; c + LANES <= p->columns.to; c += LANES)
            pool_lanes(p, window, to - from, c, 1, LANES, ret_sums);
        if (c < p->columns.to)
            pool_lanes(p, window, to - from, c, 1, p->columns.to - c, ret_sums);
    }
}

/* Lanes 0..7 and 8..15 of the one order (kernels.h) to one number. */
static inline float add_lanes(__m256 low, __m256 high)
{
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

enum { ROWS = 4 }; /* at once: additions of one row wait for each other */

static inline __attribute__((always_inline)) void dense_rows(const float *w, const float *x,
                                                             int rows, int length, float *ret)
{
    __m256 low[ROWS], high[ROWS];
    int k = 0;

    for (int r = 0; r < rows; r++)
        low[r] = high[r] = _mm256_setzero_ps();
    for (; k < length; k += LQ_DENSE_LANES) {
        int left = length - k;
        __m256 x_low = load(x + k, left), x_high = load(x + k + LANES, left - LANES);

        for (int r = 0; r < rows; r++) {
            const float *row = w + (size_t)r * (size_t)length + k;

            low[r] = _mm256_add_ps(low[r], _mm256_mul_ps(load(row, left), x_low));
            high[r] =
                _mm256_add_ps(high[r], _mm256_mul_ps(load(row + LANES, left - LANES), x_high));
        }
    }
    for (int r = 0; r < rows; r++)
        ret[r] = add_lanes(low[r], high[r]);
}

void lq_dense_floats_avx2(const float *w, const float *x, int rows, int length, float *ret)
{
    int row = 0;

    for (; row + ROWS <= rows; row += ROWS)
        dense_rows(w + (size_t)row * (size_t)length, x, ROWS, length, ret + row);
    for (; row < rows; row++)
        dense_rows(w + (size_t)row * (size_t)length, x, 1, length, ret + row);
}
