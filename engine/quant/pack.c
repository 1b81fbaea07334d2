/* pack.c - codes <-> packed bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "quant/pack.h"

#include <string.h>

#include "tensor/bitplanes.h"

static size_t row_bytes(int64_t row_length)
{
    return ((size_t)row_length + 7) / 8;
}

size_t lq_file_codes_bytes(int bits, int rows, int64_t row_length)
{
    return (size_t)bits * (size_t)rows * row_bytes(row_length);
}

/* Bit i of a byte to byte i of a word, as 0 or 1, and back: eight codes at once. */
#define ONES UINT64_C(0x0101010101010101)

static uint64_t spread(uint8_t bits)
{
    uint64_t alone = bits * ONES & UINT64_C(0x8040201008040201);

    return (alone + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 & ONES;
}

static uint8_t gather(uint64_t ones)
{
    return (uint8_t)(ones * UINT64_C(0x0102040810204080) >> 56);
}

void lq_file_codes_pack(const uint8_t *codes, int bits, int rows, int64_t row_length,
                        uint8_t *ret_packed)
{
    for (int bit = 0; bit < bits; bit++)
        for (int row = 0; row < rows; row++) {
            const uint8_t *from = codes + (size_t)row * (size_t)row_length;

            for (int64_t i = 0; i < row_length; i += 8) {
                size_t count = row_length - i < 8 ? (size_t)(row_length - i) : 8;
                uint64_t eight = 0;

                memcpy(&eight, from + i, count);
                *ret_packed++ = gather(eight >> bit & ONES);
            }
        }
}

void lq_file_codes_unpack_row(const uint8_t *packed, int bits, int rows, int64_t row_length,
                              int row, int64_t from, int64_t count, uint8_t *ret_codes)
{
    size_t bytes = row_bytes(row_length), plane = bytes * (size_t)rows;

    packed += (size_t)row * bytes + (size_t)from / 8;
    for (; count > 0; count -= 8, ret_codes += 8, packed++) {
        uint64_t eight = 0;

        for (int bit = 0; bit < bits; bit++)
            eight |= spread(packed[(size_t)bit * plane]) << bit;
        memcpy(ret_codes, &eight, count < 8 ? (size_t)count : 8);
    }
}

void lq_file_codes_unpack(const uint8_t *packed, int bits, int rows, int64_t row_length,
                          uint8_t *ret_codes)
{
    for (int row = 0; row < rows; row++, ret_codes += row_length)
        lq_file_codes_unpack_row(packed, bits, rows, row_length, row, 0, row_length, ret_codes);
}

bool lq_file_codes_padding_is_zero(const uint8_t *packed, int bits, int rows, int64_t row_length)
{
    size_t bytes = row_bytes(row_length);
    int used = (int)(row_length % 8);

    if (used == 0)
        return true;
    for (size_t row = 0; row < (size_t)bits * (size_t)rows; row++)
        if (packed[row * bytes + bytes - 1] >> used)
            return false;
    return true;
}

void lq_planes_pack(const uint8_t *codes, int64_t pixels, int channels, int bits,
                    uint32_t *ret_planes)
{
    size_t words = (size_t)lq_plane_words(channels);

    memset(ret_planes, 0, (size_t)pixels * words * (size_t)bits * sizeof(*ret_planes));
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const uint8_t *from = codes + pixel * channels;
        uint32_t *to = ret_planes + (size_t)pixel * words * (size_t)bits;

        for (int bit = 0; bit < bits; bit++)
            for (int c = 0; c < channels; c++)
                to[c / LQ_WORD_BITS * bits + bit] |= (uint32_t)(from[c] >> bit & 1)
                                                     << (c % LQ_WORD_BITS);
    }
}

void lq_planes_unpack(const uint32_t *planes, int64_t pixels, int channels, int bits,
                      uint8_t *ret_codes)
{
    size_t words = (size_t)lq_plane_words(channels);

    memset(ret_codes, 0, (size_t)pixels * (size_t)channels);
    for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const uint32_t *from = planes + (size_t)pixel * words * (size_t)bits;
        uint8_t *to = ret_codes + pixel * channels;

        for (int bit = 0; bit < bits; bit++)
            for (int c = 0; c < channels; c++)
                to[c] = (uint8_t)(to[c] |
                                  (from[c / LQ_WORD_BITS * bits + bit] >> (c % LQ_WORD_BITS) & 1)
                                      << bit);
    }
}
