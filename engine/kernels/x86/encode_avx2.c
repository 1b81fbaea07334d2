/* encode_avx2.c - values to codes, 8 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Up to 4 bits all thresholds are compared and the passed ones counted; beyond, a binary search
 * gathers them. A bit of 8 codes is a byte of the plane.
 */
#include "kernels/kernels.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

enum { LANES = 8, FEW_BITS = 4 };

static inline __m256i lane_mask(int left)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline __m256i count_sums(const struct lq_encode *e, int channel, __m256i sums)
{
    const int32_t *thresholds = e->sum_thresholds + channel;
    int all = (1 << e->bits) - 1;

    sums = _mm256_sign_epi32(sums, _mm256_loadu_si256((const void *)(e->signs + channel)));
    if (e->bits <= FEW_BITS) {
        __m256i count = _mm256_set1_epi32(all); /* less those that are greater */

        for (int i = 0; i < all; i++, thresholds += e->stride)
            count = _mm256_add_epi32(
                count, _mm256_cmpgt_epi32(_mm256_loadu_si256((const void *)thresholds), sums));
        return count;
    }
    __m256i count = _mm256_setzero_si256(), lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i stride = _mm256_set1_epi32((int32_t)e->stride);
    for (int step = (all + 1) / 2; step > 0; step /= 2) {
        __m256i rows = _mm256_add_epi32(count, _mm256_set1_epi32(step - 1));
        __m256i at = _mm256_add_epi32(_mm256_mullo_epi32(rows, stride), lanes);
        __m256i above = _mm256_cmpgt_epi32(_mm256_i32gather_epi32(thresholds, at, 4), sums);

        count = _mm256_add_epi32(count, _mm256_andnot_si256(above, _mm256_set1_epi32(step)));
    }
    return count;
}

static inline __m256i count_floats(const struct lq_encode *e, __m256 values)
{
    __m256i count = _mm256_setzero_si256();

    if (e->bits <= FEW_BITS) {
        for (int i = 0; i < (1 << e->bits) - 1; i++)
            count =
                _mm256_sub_epi32(count, _mm256_castps_si256(_mm256_cmp_ps(
                                            _mm256_set1_ps(e->thresholds[i]), values, _CMP_LT_OQ)));
        return count;
    }
    for (int step = 1 << (e->bits - 1); step > 0; step /= 2) {
        __m256i at = _mm256_add_epi32(count, _mm256_set1_epi32(step - 1));
        __m256 passed =
            _mm256_cmp_ps(_mm256_i32gather_ps(e->thresholds, at, 4), values, _CMP_LT_OQ);

        count = _mm256_add_epi32(
            count, _mm256_and_si256(_mm256_castps_si256(passed), _mm256_set1_epi32(step)));
    }
    return count;
}

/* 8 channels from `channel` on, of which `left` are there. */
static inline void store(const struct lq_encode *e, int channel, int left, __m256i count,
                         uint8_t *pixel)
{
    __m256i entries = _mm256_i32gather_epi32(e->entries, count, 4);

    if (e->form != LQ_CODE_PLANES) {
        __m128i levels =
            _mm_packs_epi32(_mm256_castsi256_si128(entries), _mm256_extracti128_si256(entries, 1));
        size_t size = e->form == LQ_CODE_BYTES ? sizeof(uint8_t) : sizeof(int16_t);

        if (e->form == LQ_CODE_BYTES)
            levels = _mm_packus_epi16(levels, levels);
        memcpy(pixel + (size_t)channel * size, &levels,
               (size_t)(left < LANES ? left : LANES) * size);
        return;
    }
    uint8_t *words = pixel + (size_t)(channel / 32 * e->bits) * sizeof(uint32_t);
    unsigned there = left < LANES ? (1u << left) - 1 : 0xff;
    if (channel % 32 == 0)
        memset(words, 0, (size_t)e->bits * sizeof(uint32_t));
    for (int bit = 0; bit < e->bits; bit++) {
        __m256i top = _mm256_sll_epi32(entries, _mm_cvtsi32_si128(31 - bit));

        words[(size_t)bit * sizeof(uint32_t) + (size_t)(channel % 32 / 8)] =
            (uint8_t)((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(top)) & there);
    }
}

/* Values that are packed together. */
enum { PACKED = 4 * LANES, PACKED_NIBBLES = PACKED / LQ_NIBBLE_CODES };

/* Of 8 values, the first one of channel `channel`, codes of `bits` bits: minus the thresholds that
 * floats pass, or that sums do not pass. */
static inline __attribute__((always_inline)) __m256i count_eight(const struct lq_encode *e,
                                                                 const int bits, const bool floats,
                                                                 const void *values, int channel)
{
    __m256i count = _mm256_setzero_si256();

    if (floats) {
        __m256 eight = _mm256_loadu_ps(values);

        for (int i = 0; i < (1 << bits) - 1; i++)
            count = _mm256_add_epi32(
                count, _mm256_castps_si256(_mm256_cmp_ps(_mm256_broadcast_ss(&e->thresholds[i]),
                                                         eight, _CMP_LT_OQ)));
        return count;
    }
    const int32_t *thresholds = e->sum_thresholds + channel;
    __m256i eight = _mm256_sign_epi32(_mm256_loadu_si256(values),
                                      _mm256_loadu_si256((const void *)(e->signs + channel)));
    for (int i = 0; i < (1 << bits) - 1; i++, thresholds += e->stride)
        count = _mm256_add_epi32(
            count, _mm256_cmpgt_epi32(_mm256_loadu_si256((const void *)thresholds), eight));
    return count;
}

/* The same of `left` values, none or more. */
static inline __attribute__((always_inline)) __m256i count_some(const struct lq_encode *e,
                                                                const int bits, const bool floats,
                                                                const void *values, int channel,
                                                                int left)
{
    const __m256i mask = lane_mask(left), zero = _mm256_setzero_si256();

    if (left >= LANES)
        return count_eight(e, bits, floats, values, channel);
    if (left <= 0)
        return zero;
    if (floats)
        return _mm256_sub_epi32(zero, count_floats(e, _mm256_maskload_ps(values, mask)));
    return _mm256_sub_epi32(count_sums(e, channel, _mm256_maskload_epi32(values, mask)),
                            _mm256_set1_epi32((1 << bits) - 1));
}

/* Four results of count_eight to what their counts pick, 4 channels a lane: channels 0, 8, 16, 24
 * below, 4, 12, 20, 28 above. */
static inline __attribute__((always_inline)) __m256i pick(const __m256i counts[4], const int bits,
                                                          const bool floats, __m256i map)
{
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(counts[0], counts[1]),
                                       _mm256_packs_epi32(counts[2], counts[3]));

    bytes = floats ? _mm256_sub_epi8(_mm256_setzero_si256(), bytes)
                   : _mm256_add_epi8(bytes, _mm256_set1_epi8((1 << bits) - 1));
    return _mm256_shuffle_epi8(map, bytes);
}

static inline __m256i pack_bytes(__m256i fours)
{
    return _mm256_permutevar8x32_epi32(fours, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* Bits 0 and 4 of each byte: 32 channels to 8 bytes. */
static inline __m128i pack_nibbles(__m256i fours)
{
    const __m256i order =
        _mm256_setr_epi8(0, -1, 4, -1, 8, -1, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, -1, 4,
                         -1, 8, -1, 12, -1, -1, -1, -1, -1, -1, -1, -1);

    fours = _mm256_maddubs_epi16(fours, _mm256_set1_epi32(0x08040201));
    fours = _mm256_shuffle_epi8(_mm256_madd_epi16(fours, _mm256_set1_epi16(1)), order);
    return _mm_or_si128(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
}

/* What is stored, by count: the entry, or bits 0 and 1 of a code as pack_nibbles takes them. */
static __m256i entry_map(const struct lq_encode *e, bool nibbles)
{
    uint8_t entries[1 << FEW_BITS] = {0};

    for (int count = 0; count < 1 << e->bits; count++) {
        int32_t entry = e->entries[count];

        entries[count] =
            (uint8_t)(nibbles ? (entry & 1) | (entry >> 1 & 1) << LQ_NIBBLE_CODES : entry);
    }
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)entries));
}

/* Nibbles of the first `left` channels. */
static void store_some_nibbles(__m128i bytes, int left, uint8_t *to)
{
    uint8_t all[sizeof(bytes)];
    int count = (int)lq_nibble_bytes(left), rest = left % LQ_NIBBLE_CODES;

    _mm_storeu_si128((void *)all, bytes);
    if (rest > 0)
        all[count - 1] &= (uint8_t)(((1 << rest) - 1) * 0x11);
    memcpy(to, all, (size_t)count);
}

/* `left` values, at most PACKED of them count; *channel is that of the first one, then of the one
 * behind them. */
static inline __attribute__((always_inline)) void
encode_fours(const struct lq_encode *e, const int bits, const bool floats, const bool nibbles,
             const __m256i map, int *channel, const uint8_t *values, int left, uint8_t *to)
{
    __m256i counts[4];

#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, values += LANES * sizeof(float)) {
        counts[i] = left >= PACKED
                        ? count_eight(e, bits, floats, values, *channel)
                        : count_some(e, bits, floats, values, *channel, left - i * LANES);
        *channel = *channel + LANES < e->channels ? *channel + LANES : 0;
    }
    __m256i fours = pick(counts, bits, floats, map);
    if (nibbles) {
        __m128i bytes = pack_nibbles(fours);

        if (left >= PACKED)
            _mm_storel_epi64((void *)to, bytes);
        else
            store_some_nibbles(bytes, left, to);
    } else {
        __m256i bytes = pack_bytes(fours);

        if (left >= PACKED)
            _mm256_storeu_si256((void *)to, bytes);
        else
            memcpy(to, &bytes, (size_t)left);
    }
}

/* `count` values from channel `channel` on; eight of them are of one pixel. */
static inline __attribute__((always_inline)) void
encode_values(const struct lq_encode *e, const int bits, const bool floats, const bool nibbles,
              int channel, const uint8_t *values, int count, uint8_t *to)
{
    const __m256i map = entry_map(e, nibbles);

    for (; count >= PACKED; count -= PACKED) {
        encode_fours(e, bits, floats, nibbles, map, &channel, values, PACKED, to);
        values += PACKED * sizeof(float);
        to += nibbles ? PACKED_NIBBLES : PACKED;
    }
    if (count > 0)
        encode_fours(e, bits, floats, nibbles, map, &channel, values, count, to);
}

/* Pixels of whole vectors are one long pixel. */
static inline __attribute__((always_inline)) void
encode_pixels(const struct lq_encode *e, struct lq_columns columns, const int bits,
              const bool floats, const bool nibbles, const uint8_t *values, size_t pitch,
              int pixels, uint8_t *to)
{
    size_t bytes = lq_encode_pixel_bytes(e), from = (size_t)columns.from;
    int count = columns.to - columns.from;

    if ((size_t)count == pitch && count == e->channels && count % LANES == 0) {
        encode_values(e, bits, floats, nibbles, 0, values, pixels * count, to);
        return;
    }
    values += from * sizeof(float);
    to += nibbles ? from / LQ_NIBBLE_CODES : from;
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, values += pitch * sizeof(float))
        encode_values(e, bits, floats, nibbles, columns.from, values, count, to);
}

/* Forms and numbers of bits that have a loop of their own; false: this is none of them. */
static inline __attribute__((always_inline)) bool
encode_packed(const struct lq_encode *e, struct lq_columns columns, const bool floats,
              const void *values, size_t pitch, int pixels, void *to)
{
    if (e->form == LQ_CODE_NIBBLES && e->bits == 1)
        encode_pixels(e, columns, 1, floats, true, values, pitch, pixels, to);
    else if (e->form == LQ_CODE_NIBBLES)
        encode_pixels(e, columns, 2, floats, true, values, pitch, pixels, to);
    else if (e->form == LQ_CODE_BYTES && e->bits == 2)
        encode_pixels(e, columns, 2, floats, false, values, pitch, pixels, to);
    else if (e->form == LQ_CODE_BYTES && e->bits == 3)
        encode_pixels(e, columns, 3, floats, false, values, pitch, pixels, to);
    else if (e->form == LQ_CODE_BYTES && e->bits == 4)
        encode_pixels(e, columns, 4, floats, false, values, pitch, pixels, to);
    else
        return false;
    return true;
}

void lq_encode_sums_avx2(const struct lq_encode *e, struct lq_columns columns, const int32_t *sums,
                         int pixels, void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    uint8_t *to = ret_codes;

    if (encode_packed(e, columns, false, sums, (size_t)e->channels, pixels, to))
        return;
    if (e->form == LQ_CODE_HALVES) { /* no product of this tier reads them */
        lq_encode_sums_c(e, columns, sums, pixels, ret_codes);
        return;
    }
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, sums += e->channels)
        for (int c = columns.from; c < columns.to; c += LANES) {
            int left = columns.to - c;
            __m256i eight = _mm256_maskload_epi32(sums + c, lane_mask(left));

            store(e, c, left, count_sums(e, c, eight), to);
        }
}

void lq_encode_floats_avx2(const struct lq_encode *e, struct lq_columns columns,
                           const float *values, size_t pitch, int pixels, void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    uint8_t *to = ret_codes;

    if (encode_packed(e, columns, true, values, pitch, pixels, to))
        return;
    if (e->form == LQ_CODE_HALVES) { /* no product of this tier reads them */
        lq_encode_floats_c(e, columns, values, pitch, pixels, ret_codes);
        return;
    }
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, values += pitch)
        for (int c = columns.from; c < columns.to; c += LANES) {
            int left = columns.to - c;
            __m256 eight = _mm256_maskload_ps(values + c, lane_mask(left));

            store(e, c, left, count_floats(e, eight), to);
        }
}

void lq_add_floats_avx2(const float *a, const float *b, size_t count, float min, float max,
                        float *ret)
{
    __m256 low = _mm256_set1_ps(min), high = _mm256_set1_ps(max);

    size_t i = 0;

    for (; i + LANES <= count; i += LANES) {
        __m256 y = _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));

        _mm256_storeu_ps(ret + i, _mm256_min_ps(high, _mm256_max_ps(low, y)));
    }
    if (i < count) {
        __m256i mask = lane_mask((int)(count - i));
        __m256 y = _mm256_add_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask));

        _mm256_maskstore_ps(ret + i, mask, _mm256_min_ps(high, _mm256_max_ps(low, y)));
    }
}
