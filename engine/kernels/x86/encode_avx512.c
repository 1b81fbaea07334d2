/* encode_avx512.c - values to codes, 16 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Up to 4 bits all thresholds are compared and the passed ones counted; beyond, a binary search
 * gathers them. A bit of 16 codes is a mask, and the mask is half a word of the plane.
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 16, FEW_BITS = 4 };

static inline __mmask16 lanes_left(int left)
{
    return (__mmask16)(left >= LANES ? 0xffff : (1u << left) - 1);
}

static inline __m512i count_sums(const struct lq_encode *e, int channel, __m512i sums)
{
    const int32_t *thresholds = e->sum_thresholds + channel;
    __m512i count = _mm512_setzero_si512(), one = _mm512_set1_epi32(1);

    sums = _mm512_mullo_epi32(sums, _mm512_loadu_si512(e->signs + channel));
    if (e->bits <= FEW_BITS) {
        for (int i = 0; i < (1 << e->bits) - 1; i++, thresholds += e->stride)
            count = _mm512_mask_add_epi32(
                count, _mm512_cmple_epi32_mask(_mm512_loadu_si512(thresholds), sums), count, one);
        return count;
    }
    __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i stride = _mm512_set1_epi32((int32_t)e->stride);
    for (int step = 1 << (e->bits - 1); step > 0; step /= 2) {
        __m512i rows = _mm512_add_epi32(count, _mm512_set1_epi32(step - 1));
        __m512i at = _mm512_add_epi32(_mm512_mullo_epi32(rows, stride), lanes);
        __mmask16 passed = _mm512_cmple_epi32_mask(_mm512_i32gather_epi32(at, thresholds, 4), sums);

        count = _mm512_mask_add_epi32(count, passed, count, _mm512_set1_epi32(step));
    }
    return count;
}

static inline __m512i count_floats(const struct lq_encode *e, __m512 values)
{
    __m512i count = _mm512_setzero_si512();

    if (e->bits <= FEW_BITS) {
        for (int i = 0; i < (1 << e->bits) - 1; i++)
            count = _mm512_mask_add_epi32(
                count, _mm512_cmp_ps_mask(_mm512_set1_ps(e->thresholds[i]), values, _CMP_LT_OQ),
                count, _mm512_set1_epi32(1));
        return count;
    }
    for (int step = 1 << (e->bits - 1); step > 0; step /= 2) {
        __m512i at = _mm512_add_epi32(count, _mm512_set1_epi32(step - 1));
        __m512 thresholds = _mm512_i32gather_ps(at, e->thresholds, 4);

        count = _mm512_mask_add_epi32(count, _mm512_cmp_ps_mask(thresholds, values, _CMP_LT_OQ),
                                      count, _mm512_set1_epi32(step));
    }
    return count;
}

static inline __m512i pick(const struct lq_encode *e, __m512i count)
{
    if (e->bits <= FEW_BITS)
        return _mm512_permutexvar_epi32(count, _mm512_loadu_si512(e->entries));
    return _mm512_i32gather_epi32(count, e->entries, 4);
}

/* 16 channels from `channel` on; where a word has no second half, that is zero. */
static inline void store(const struct lq_encode *e, int channel, __m512i entries, __mmask16 mask,
                         uint8_t *pixel)
{
    if (e->form == LQ_CODE_BYTES) {
        _mm512_mask_cvtepi32_storeu_epi8(pixel + channel, mask, entries);
        return;
    }
    if (e->form == LQ_CODE_LEVELS) {
        _mm256_mask_storeu_epi16(pixel + (size_t)channel * sizeof(int16_t), mask,
                                 _mm512_cvtepi32_epi16(entries));
        return;
    }
    if (e->form == LQ_CODE_HALVES) {
        uint32_t low = _mm512_mask_test_epi32_mask(mask, entries, _mm512_set1_epi32(1));
        uint32_t high = _mm512_mask_test_epi32_mask(mask, entries, _mm512_set1_epi32(2));
        uint32_t both = low | high << LANES;

        memcpy(pixel + (size_t)channel / LANES * sizeof(both), &both, sizeof(both));
        return;
    }
    uint8_t *word = pixel + (size_t)(channel / 32 * e->bits) * sizeof(uint32_t);
    for (int bit = 0; bit < e->bits; bit++, word += sizeof(uint32_t)) {
        uint32_t bits = _mm512_mask_test_epi32_mask(mask, entries, _mm512_set1_epi32(1 << bit));
        uint16_t half = (uint16_t)bits;

        if (channel % 32 == 0)
            memcpy(word, &bits, sizeof(bits));
        else
            memcpy(word + sizeof(half), &half, sizeof(half));
    }
}

void lq_encode_sums_avx512(const struct lq_encode *e, const int32_t *sums, int pixels,
                           void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    uint8_t *to = ret_codes;

    if (e->form == LQ_CODE_NIBBLES) { /* only that tier's product reads them */
        lq_encode_sums_avx2(e, sums, pixels, ret_codes);
        return;
    }
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, sums += e->channels)
        for (int c = 0; c < e->channels; c += LANES) {
            __mmask16 mask = lanes_left(e->channels - c);
            __m512i count = count_sums(e, c, _mm512_maskz_loadu_epi32(mask, sums + c));

            store(e, c, pick(e, count), mask, to);
        }
}

void lq_encode_floats_avx512(const struct lq_encode *e, const float *values, int pixels,
                             void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    uint8_t *to = ret_codes;

    if (e->form == LQ_CODE_NIBBLES) {
        lq_encode_floats_avx2(e, values, pixels, ret_codes);
        return;
    }
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, values += e->channels)
        for (int c = 0; c < e->channels; c += LANES) {
            __mmask16 mask = lanes_left(e->channels - c);
            __m512i count = count_floats(e, _mm512_maskz_loadu_ps(mask, values + c));

            store(e, c, pick(e, count), mask, to);
        }
}

void lq_add_floats_avx512(const float *a, const float *b, size_t count, float min, float max,
                          float *ret)
{
    __m512 low = _mm512_set1_ps(min), high = _mm512_set1_ps(max);

    for (size_t i = 0; i < count; i += LANES) {
        __mmask16 mask = lanes_left(count - i < LANES ? (int)(count - i) : LANES);
        __m512 y =
            _mm512_add_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i));

        _mm512_mask_storeu_ps(ret + i, mask, _mm512_min_ps(high, _mm512_max_ps(low, y)));
    }
}
