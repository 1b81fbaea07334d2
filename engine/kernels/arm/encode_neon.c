/* encode_neon.c - values to codes, 16 channels at a time.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Up to 4 bits all thresholds are compared and the passed ones counted, 4 channels a vector; counts
 * become bytes, and TBL picks what they stand for. More bits, nibbles, and what is left of 16
 * channels are C's.
 */
#include "kernels/kernels.h"

#include <arm_neon.h>
#include <string.h>

enum { LANES = 4, GROUP = 16, VECTORS = GROUP / LANES, FEW_BITS = 4 };

/* What counts stand for, as tables of bytes. */
struct tables {
    uint8x16_t low, high;
};

static struct tables tables_of(const struct lq_encode *e)
{
    uint8_t low[GROUP] = {0}, high[GROUP] = {0};

    for (int i = 0; i < 1 << e->bits; i++) {
        low[i] = (uint8_t)e->entries[i];
        high[i] = (uint8_t)((uint32_t)e->entries[i] >> 8);
    }
    return (struct tables){vld1q_u8(low), vld1q_u8(high)};
}

/* -1 for every threshold passed, in four vectors, to bytes of counts. */
static inline uint8x16_t bytes_of(const int32x4_t *passed)
{
    int16x8_t low = vcombine_s16(vmovn_s32(passed[0]), vmovn_s32(passed[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(passed[2]), vmovn_s32(passed[3]));

    return vreinterpretq_u8_s8(vnegq_s8(vcombine_s8(vmovn_s16(low), vmovn_s16(high))));
}

static inline uint8x16_t count_sums(const struct lq_encode *e, int channel, const int32_t *sums)
{
    int32x4_t passed[VECTORS];

    for (int v = 0; v < VECTORS; v++) {
        const int32_t *thresholds = e->sum_thresholds + channel + v * LANES;
        int32x4_t sum =
            vmulq_s32(vld1q_s32(sums + v * LANES), vld1q_s32(e->signs + channel + v * LANES));

        passed[v] = vdupq_n_s32(0);
        for (int i = 0; i < (1 << e->bits) - 1; i++, thresholds += e->stride)
            passed[v] =
                vaddq_s32(passed[v], vreinterpretq_s32_u32(vcleq_s32(vld1q_s32(thresholds), sum)));
    }
    return bytes_of(passed);
}

static inline uint8x16_t count_floats(const struct lq_encode *e, const float *values)
{
    int32x4_t passed[VECTORS];

    for (int v = 0; v < VECTORS; v++) {
        float32x4_t value = vld1q_f32(values + v * LANES);

        passed[v] = vdupq_n_s32(0);
        for (int i = 0; i < (1 << e->bits) - 1; i++)
            passed[v] = vaddq_s32(
                passed[v], vreinterpretq_s32_u32(vcltq_f32(vdupq_n_f32(e->thresholds[i]), value)));
    }
    return bytes_of(passed);
}

/* Half a word of each plane; the upper half, behind a lower one, is zero until it is stored. */
static inline void store_planes(const struct lq_encode *e, int channel, uint8x16_t codes,
                                uint8_t *pixel)
{
    static const uint8_t places[GROUP] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8_t *word = pixel + (size_t)(channel / 32 * e->bits) * sizeof(uint32_t);
    uint8x16_t place = vld1q_u8(places);

    for (int bit = 0; bit < e->bits; bit++, word += sizeof(uint32_t)) {
        uint8x16_t set = vandq_u8(vtstq_u8(codes, vdupq_n_u8((uint8_t)(1 << bit))), place);
        uint32_t bits = (uint32_t)vaddv_u8(vget_low_u8(set)) | (uint32_t)vaddv_u8(vget_high_u8(set))
                                                                   << 8;
        uint16_t half = (uint16_t)bits;

        if (channel % 32 == 0)
            memcpy(word, &bits, sizeof(bits));
        else
            memcpy(word + sizeof(half), &half, sizeof(half));
    }
}

static inline void store(const struct lq_encode *e, int channel, uint8x16_t counts,
                         const struct tables *tables, uint8_t *pixel)
{
    uint8x16_t low = vqtbl1q_u8(tables->low, counts);

    if (e->form == LQ_CODE_PLANES) {
        store_planes(e, channel, low, pixel);
    } else if (e->form == LQ_CODE_BYTES) {
        vst1q_u8(pixel + channel, low);
    } else {
        uint8x16_t high = vqtbl1q_u8(tables->high, counts);
        uint8_t *to = pixel + (size_t)channel * sizeof(int16_t);

        vst1q_u8(to, vzip1q_u8(low, high));
        vst1q_u8(to + GROUP, vzip2q_u8(low, high));
    }
}

/* The rest of a pixel's channels, fewer than 16, put into a group of zeros first; of the codes as
 * many are kept as there are channels. */
struct rest {
    int channels;
    int32_t sums[GROUP];
    float values[GROUP];
    uint8_t codes[GROUP * sizeof(int16_t)];
};

static inline void store_rest(const struct lq_encode *e, int channel, uint8x16_t counts,
                              const struct tables *tables, struct rest *rest, uint8_t *pixel)
{
    size_t size = e->form == LQ_CODE_LEVELS ? sizeof(int16_t) : sizeof(uint8_t);

    if (e->form == LQ_CODE_PLANES) {
        static const uint8_t numbers[GROUP] = {0, 1, 2,  3,  4,  5,  6,  7,
                                               8, 9, 10, 11, 12, 13, 14, 15};
        uint8x16_t there = vcltq_u8(vld1q_u8(numbers), vdupq_n_u8((uint8_t)rest->channels));

        store_planes(e, channel, vandq_u8(vqtbl1q_u8(tables->low, counts), there), pixel);
        return;
    }
    store(e, 0, counts, tables, rest->codes);
    memcpy(pixel + (size_t)channel * size, rest->codes, (size_t)rest->channels * size);
}

static bool left_to_c(const struct lq_encode *e)
{
    return e->bits > FEW_BITS || e->form == LQ_CODE_NIBBLES || e->form == LQ_CODE_HALVES;
}

void lq_encode_sums_neon(const struct lq_encode *e, struct lq_columns columns, const int32_t *sums,
                         int pixels, void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    int full = columns.to / GROUP * GROUP;
    struct rest rest = {.channels = columns.to - full};
    uint8_t *to = ret_codes;

    if (left_to_c(e)) {
        lq_encode_sums_c(e, columns, sums, pixels, ret_codes);
        return;
    }
    struct tables tables = tables_of(e);
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, sums += e->channels) {
        for (int c = columns.from; c < full; c += GROUP)
            store(e, c, count_sums(e, c, sums + c), &tables, to);
        if (rest.channels) {
            memcpy(rest.sums, sums + full, (size_t)rest.channels * sizeof(*sums));
            store_rest(e, full, count_sums(e, full, rest.sums), &tables, &rest, to);
        }
    }
}

void lq_encode_floats_neon(const struct lq_encode *e, struct lq_columns columns,
                           const float *values, size_t pitch, int pixels, void *ret_codes)
{
    size_t bytes = lq_encode_pixel_bytes(e);
    int full = columns.to / GROUP * GROUP;
    struct rest rest = {.channels = columns.to - full};
    uint8_t *to = ret_codes;

    if (left_to_c(e)) {
        lq_encode_floats_c(e, columns, values, pitch, pixels, ret_codes);
        return;
    }
    struct tables tables = tables_of(e);
    for (int pixel = 0; pixel < pixels; pixel++, to += bytes, values += pitch) {
        for (int c = columns.from; c < full; c += GROUP)
            store(e, c, count_floats(e, values + c), &tables, to);
        if (rest.channels) {
            memcpy(rest.values, values + full, (size_t)rest.channels * sizeof(*values));
            store_rest(e, full, count_floats(e, rest.values), &tables, &rest, to);
        }
    }
}

/* As the definition compares: of equal zeros the value's own stays. */
static inline float32x4_t clamp(float32x4_t y, float32x4_t min, float32x4_t max)
{
    y = vbslq_f32(vcltq_f32(y, min), min, y);
    return vbslq_f32(vcgtq_f32(y, max), max, y);
}

void lq_add_floats_neon(const float *a, const float *b, size_t count, float min, float max,
                        float *ret)
{
    float32x4_t low = vdupq_n_f32(min), high = vdupq_n_f32(max);
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        vst1q_f32(ret + i, clamp(vaddq_f32(vld1q_f32(a + i), vld1q_f32(b + i)), low, high));
    lq_add_floats_c(a + i, b + i, count - i, min, max, ret + i);
}
