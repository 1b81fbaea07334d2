/* encode_avx512.c - values to codes, 16 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Up to 4 bits all thresholds are compared and the passed ones counted; beyond, a binary search
 * gathers them. A bit of 16 codes is a mask, and the mask is half a word of the plane.
 */
#include "kernels/x86/encode_halves.h"

#include <stdbool.h>

enum { LANES = 16, ALL = 0xffff, FEW_BITS = 4 };

static inline __mmask16 lanes_left(int left)
{
    return (__mmask16)(left >= LANES ? ALL : (1u << left) - 1);
}

/* A binary search in thresholds that are gathered. */
static __m512i count_sums(const struct lq_encode *e, int channel, __m512i sums)
{
    const int32_t *thresholds = e->sum_thresholds + channel;
    __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i stride = _mm512_set1_epi32((int32_t)e->stride), count = _mm512_setzero_si512();

    sums = _mm512_mullo_epi32(sums, _mm512_loadu_si512(e->signs + channel));
    for (int step = 1 << (e->bits - 1); step > 0; step /= 2) {
        __m512i rows = _mm512_add_epi32(count, _mm512_set1_epi32(step - 1));
        __m512i at = _mm512_add_epi32(_mm512_mullo_epi32(rows, stride), lanes);
        __mmask16 passed = _mm512_cmple_epi32_mask(_mm512_i32gather_epi32(at, thresholds, 4), sums);

        count = _mm512_mask_add_epi32(count, passed, count, _mm512_set1_epi32(step));
    }
    return count;
}

static __m512i count_floats(const struct lq_encode *e, __m512 values)
{
    __m512i count = _mm512_setzero_si512();

    for (int step = 1 << (e->bits - 1); step > 0; step /= 2) {
        __m512i at = _mm512_add_epi32(count, _mm512_set1_epi32(step - 1));
        __m512 thresholds = _mm512_i32gather_ps(at, e->thresholds, 4);

        count = _mm512_mask_add_epi32(count, _mm512_cmp_ps_mask(thresholds, values, _CMP_LT_OQ),
                                      count, _mm512_set1_epi32(step));
    }
    return count;
}

/* 16 channels from `channel` on; where a word has no second half, that is zero. */
static inline void store(const struct lq_encode *e, int channel, __m512i entries, __mmask16 mask,
                         uint8_t *pixel)
{
    if (e->form == LQ_CODE_BYTES) {
        if (mask == ALL)
            _mm_storeu_si128((void *)(pixel + channel), _mm512_cvtepi32_epi8(entries));
        else
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

/* `left` channels from c on, at most a vector. */
static void sums_to_halves(const struct lq_encode *e, int c, int left, const int32_t *sums,
                           int pixels, uint32_t *to)
{
    __mmask16 mask = lanes_left(left);
    bool swapped = e->entries[1] == 2;
    const int32_t *thresholds = e->sum_thresholds + c;
    __m512i signs = _mm512_loadu_si512(e->signs + c), low = _mm512_loadu_si512(thresholds);
    __m512i middle = _mm512_loadu_si512(thresholds + e->stride);
    __m512i high = _mm512_loadu_si512(thresholds + 2 * e->stride);
    size_t words = lq_half_words(e->channels), channels = (size_t)e->channels;

    for (int pixel = 0; pixel < pixels; pixel++, sums += channels, to += words) {
        __m512i s = _mm512_mullo_epi32(_mm512_maskz_loadu_epi32(mask, sums), signs);
        __mmask16 above = _mm512_mask_cmple_epi32_mask(mask, middle, s);
        __m512i next = _mm512_mask_blend_epi32(above, low, high);

        lq_store_half_word(swapped, above, _mm512_mask_cmple_epi32_mask(mask, next, s),
                           (uint8_t *)to);
    }
}

static void floats_to_halves(const struct lq_encode *e, int left, const float *values, size_t pitch,
                             int pixels, uint32_t *to)
{
    __mmask16 mask = lanes_left(left);
    bool swapped = e->entries[1] == 2;
    __m512 low = _mm512_set1_ps(e->thresholds[0]), middle = _mm512_set1_ps(e->thresholds[1]);
    __m512 high = _mm512_set1_ps(e->thresholds[2]);
    size_t words = lq_half_words(e->channels);

    for (int pixel = 0; pixel < pixels; pixel++, values += pitch, to += words) {
        __m512 x = _mm512_maskz_loadu_ps(mask, values);
        __mmask16 above = _mm512_mask_cmp_ps_mask(mask, middle, x, _CMP_LT_OQ);
        __m512 next = _mm512_mask_blend_ps(above, low, high);

        lq_store_half_word(swapped, above, _mm512_mask_cmp_ps_mask(mask, next, x, _CMP_LT_OQ),
                           (uint8_t *)to);
    }
}

/* Few bits: all thresholds are compared, and stay in registers while the pixels pass by. Values are
 * floats or sums. */
static inline __attribute__((always_inline)) void
encode_few(const struct lq_encode *e, struct lq_columns columns, const int bits, const bool floats,
           const void *values, size_t pitch, int pixels, uint8_t *to)
{
    const int count = (1 << bits) - 1;
    const __m512i one = _mm512_set1_epi32(1), entries = _mm512_loadu_si512(e->entries);
    size_t bytes = lq_encode_pixel_bytes(e);

    for (int c = columns.from; c < columns.to; c += LANES) {
        const int32_t *from = (const int32_t *)values + c;
        __mmask16 mask = lanes_left(columns.to - c);
        __m512i thresholds[1 << FEW_BITS], signs = one;

        for (int i = 0; i < count; i++)
            thresholds[i] = floats
                                ? _mm512_castps_si512(_mm512_set1_ps(e->thresholds[i]))
                                : _mm512_loadu_si512(e->sum_thresholds + c + (size_t)i * e->stride);
        if (!floats)
            signs = _mm512_loadu_si512(e->signs + c);
        for (int pixel = 0; pixel < pixels; pixel++, from += pitch) {
            __m512i x = _mm512_maskz_loadu_epi32(mask, from), passed = _mm512_setzero_si512();

            x = floats ? x : _mm512_mullo_epi32(x, signs);
            for (int i = 0; i < count; i++)
                passed = _mm512_mask_add_epi32(
                    passed,
                    floats ? _mm512_cmp_ps_mask(_mm512_castsi512_ps(thresholds[i]),
                                                _mm512_castsi512_ps(x), _CMP_LT_OQ)
                           : _mm512_cmple_epi32_mask(thresholds[i], x),
                    passed, one);
            store(e, c, _mm512_permutexvar_epi32(passed, entries), mask,
                  to + (size_t)pixel * bytes);
        }
    }
}

/* False: there are more bits. */
static inline __attribute__((always_inline)) bool
encode_by_bits(const struct lq_encode *e, struct lq_columns columns, const bool floats,
               const void *values, size_t pitch, int pixels, uint8_t *to)
{
    switch (e->bits) {
    case 1:
        encode_few(e, columns, 1, floats, values, pitch, pixels, to);
        return true;
    case 2:
        encode_few(e, columns, 2, floats, values, pitch, pixels, to);
        return true;
    case 3:
        encode_few(e, columns, 3, floats, values, pitch, pixels, to);
        return true;
    case FEW_BITS:
        encode_few(e, columns, FEW_BITS, floats, values, pitch, pixels, to);
        return true;
    default:
        return false;
    }
}

void lq_encode_sums_avx512(const struct lq_encode *e, struct lq_columns columns,
                           const int32_t *sums, int pixels, void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    uint8_t *to = ret_codes;

    if (e->form == LQ_CODE_NIBBLES) { /* only that tier's product reads them */
        lq_encode_sums_avx2(e, columns, sums, pixels, ret_codes);
        return;
    }
    if (e->form == LQ_CODE_HALVES && e->bits == 2 && lq_codes_grow(e->entries)) {
        for (int c = columns.from; c < columns.to; c += LANES)
            sums_to_halves(e, c, columns.to - c, sums + c, pixels,
                           (uint32_t *)ret_codes + c / LANES);
        return;
    }
    if (encode_by_bits(e, columns, false, sums, (size_t)e->channels, pixels, to))
        return;
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, sums += e->channels)
        for (int c = columns.from; c < columns.to; c += LANES) {
            __mmask16 mask = lanes_left(columns.to - c);
            __m512i count = count_sums(e, c, _mm512_maskz_loadu_epi32(mask, sums + c));

            store(e, c, _mm512_i32gather_epi32(count, e->entries, 4), mask, to);
        }
}

void lq_encode_floats_avx512(const struct lq_encode *e, struct lq_columns columns,
                             const float *values, size_t pitch, int pixels, void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    uint8_t *to = ret_codes;

    if (e->form == LQ_CODE_NIBBLES) {
        lq_encode_floats_avx2(e, columns, values, pitch, pixels, ret_codes);
        return;
    }
    if (e->form == LQ_CODE_HALVES && e->bits == 2 && lq_codes_grow(e->entries)) {
        for (int c = columns.from; c < columns.to; c += LANES)
            floats_to_halves(e, columns.to - c, values + c, pitch, pixels,
                             (uint32_t *)ret_codes + c / LANES);
        return;
    }
    if (encode_by_bits(e, columns, true, values, pitch, pixels, to))
        return;
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, values += pitch)
        for (int c = columns.from; c < columns.to; c += LANES) {
            __mmask16 mask = lanes_left(columns.to - c);
            __m512i count = count_floats(e, _mm512_maskz_loadu_ps(mask, values + c));

            store(e, c, _mm512_i32gather_epi32(count, e->entries, 4), mask, to);
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
