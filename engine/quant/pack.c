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

void lq_file_codes_pack(const uint8_t *codes, int bits, int rows, int64_t row_length,
                        uint8_t *ret_packed)
{
    memset(ret_packed, 0, lq_file_codes_bytes(bits, rows, row_length));
    for (int bit = 0; bit < bits; bit++)
        for (int row = 0; row < rows; row++) {
            const uint8_t *from = codes + (size_t)row * (size_t)row_length;
            uint8_t *to =
                ret_packed + ((size_t)bit * (size_t)rows + (size_t)row) * row_bytes(row_length);

            for (int64_t i = 0; i < row_length; i++)
                to[i / 8] = (uint8_t)(to[i / 8] | (from[i] >> bit & 1) << (i % 8));
        }
}

void lq_file_codes_unpack(const uint8_t *packed, int bits, int rows, int64_t row_length,
                          uint8_t *ret_codes)
{
    memset(ret_codes, 0, (size_t)rows * (size_t)row_length);
    for (int bit = 0; bit < bits; bit++)
        for (int row = 0; row < rows; row++) {
            const uint8_t *from =
                packed + ((size_t)bit * (size_t)rows + (size_t)row) * row_bytes(row_length);
            uint8_t *to = ret_codes + (size_t)row * (size_t)row_length;

            for (int64_t i = 0; i < row_length; i++)
                to[i] = (uint8_t)(to[i] | (from[i / 8] >> (i % 8) & 1) << bit);
        }
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
