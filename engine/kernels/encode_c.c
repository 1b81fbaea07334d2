/* encode_c.c - values to codes: count the thresholds, store what the count picks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <string.h>

/* Thresholds are few up to 4 bits: counting them all needs no branch. */
static int count_sum(const struct lq_encode *e, int channel, int32_t sum)
{
    const int32_t *thresholds = e->sum_thresholds + channel;
    int count = 0;

    sum *= e->signs[channel];
    if (e->bits <= 4) {
        for (int i = 0; i < (1 << e->bits) - 1; i++)
            count += thresholds[(size_t)i * e->stride] <= sum;
        return count;
    }
    for (int step = 1 << (e->bits - 1); step > 0; step /= 2)
        count += thresholds[(size_t)(count + step - 1) * e->stride] <= sum ? step : 0;
    return count;
}

static int count_float(const struct lq_encode *e, float value)
{
    int count = 0;

    for (int step = 1 << (e->bits - 1); step > 0; step /= 2)
        count += e->thresholds[count + step - 1] < value ? step : 0;
    return count;
}

void lq_store_entry(enum lq_code_form form, int bits, int32_t entry, int channel, void *pixel)
{
    uint32_t *words = pixel;
    uint8_t *bytes = pixel;
    int16_t *levels = pixel;

    if (form == LQ_CODE_NIBBLES) {
        bytes += channel / LQ_NIBBLE_CODES;
        channel %= LQ_NIBBLE_CODES;
        *bytes = (uint8_t)((channel == 0 ? 0 : *bytes) | (entry & 1) << channel |
                           (entry >> 1 & 1) << (LQ_NIBBLE_CODES + channel));
    }
    if (form == LQ_CODE_BYTES)
        bytes[channel] = (uint8_t)entry;
    else if (form == LQ_CODE_LEVELS)
        levels[channel] = (int16_t)entry;
    if (form == LQ_CODE_HALVES) {
        words += channel / LQ_HALF_CODES;
        channel %= LQ_HALF_CODES;
        *words = (channel == 0 ? 0 : *words) | ((uint32_t)entry & 1) << channel |
                 ((uint32_t)entry >> 1 & 1) << (LQ_HALF_CODES + channel);
    }
    if (form != LQ_CODE_PLANES)
        return;
    words += (size_t)(channel / 32) * (size_t)bits;
    if (channel % 32 == 0)
        memset(words, 0, (size_t)bits * sizeof(*words));
    for (int bit = 0; bit < bits; bit++)
        words[bit] |= ((uint32_t)entry >> bit & 1) << channel % 32;
}

static void store(const struct lq_encode *e, int channel, int count, void *pixel)
{
    lq_store_entry(e->form, e->bits, e->entries[count], channel, pixel);
}

void lq_encode_sums_c(const struct lq_encode *e, struct lq_columns columns, const int32_t *sums,
                      int pixels, void *ret_codes)
{
    uint8_t *to = ret_codes;

    for (int pixel = 0; pixel < pixels; pixel++, to += lq_encode_pixel_bytes(e))
        for (int c = columns.from; c < columns.to; c++)
            store(e, c, count_sum(e, c, sums[(size_t)pixel * (size_t)e->channels + (size_t)c]), to);
}

void lq_encode_floats_c(const struct lq_encode *e, struct lq_columns columns, const float *values,
                        size_t pitch, int pixels, void *ret_codes)
{
    uint8_t *to = ret_codes;

    for (int pixel = 0; pixel < pixels; pixel++, to += lq_encode_pixel_bytes(e))
        for (int c = columns.from; c < columns.to; c++)
            store(e, c, count_float(e, values[(size_t)pixel * pitch + (size_t)c]), to);
}
