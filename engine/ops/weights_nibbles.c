/* weights_nibbles.c - a layer's quantized weights in nibbles, and what kernels want to know of
 * them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/weights.h"
#include "quant/pack.h"

enum { MAX_NIBBLE_LANES = 64, BYTE_NIBBLES = UINT8_MAX / LQ_NIBBLE_CODES };

/* Set bits of the fullest of `count` vectors side by side, in `length` nibbles. */
static int most_set_bits(const uint8_t *nibbles, size_t count, int length)
{
    uint16_t set[LQ_NIBBLE_TILE * MAX_NIBBLE_LANES] = {0}; /* a piece has at most 384 bits */
    int most = 0;

    for (int from = 0; from < length; from += BYTE_NIBBLES) {
        int to = from + BYTE_NIBBLES < length ? from + BYTE_NIBBLES : length;
        uint8_t some[LQ_NIBBLE_TILE * MAX_NIBBLE_LANES] = {0};

        for (int k = from; k < to; k++, nibbles += count)
            for (size_t lane = 0; lane < count; lane++) {
                uint8_t pairs = (uint8_t)(nibbles[lane] - (nibbles[lane] >> 1 & 5));

                some[lane] = (uint8_t)(some[lane] + (pairs & 3) + (pairs >> 2));
            }
        for (size_t lane = 0; lane < count; lane++)
            set[lane] = (uint16_t)(set[lane] + some[lane]);
    }
    for (size_t lane = 0; lane < count; lane++)
        most = set[lane] > most ? set[lane] : most;
    return most;
}

/* Whether no vector has too many bits set in any piece of `chunk` nibbles. */
static bool chunk_fits(const uint8_t *nibbles, int vectors, int lanes, int length, int chunk)
{
    int tile;

    for (int first = 0; first < vectors; first += tile) {
        tile = lq_nibble_tile(vectors, first);
        for (int from = 0; from < length; from += chunk) {
            const uint8_t *at = nibbles + lq_nibble_at(vectors, first, lanes, length, from);
            int count = length - from < chunk ? length - from : chunk;

            if (most_set_bits(at, (size_t)tile * (size_t)lanes, count) > LQ_CHUNK_BITS)
                return false;
        }
    }
    return true;
}

/* A row is cut into as few pieces as possible, of the same size as far as possible. */
static int longest_chunk(const uint8_t *nibbles, int vectors, int lanes, int length)
{
    for (int pieces = (length + LQ_MAX_CHUNK - 1) / LQ_MAX_CHUNK;; pieces++) {
        int groups = lq_ceil_div(lq_ceil_div(length, pieces), LQ_NIBBLE_GROUP);
        int chunk = groups * LQ_NIBBLE_GROUP;

        if (chunk * LQ_NIBBLE_CODES <= LQ_CHUNK_BITS ||
            chunk_fits(nibbles, vectors, lanes, length, chunk))
            return chunk;
    }
}

/* A bit of the codes of `taps` pixels, 4 channels together, a nibble in every `step` bytes. */
static void pack_nibbles(const uint8_t *codes, int taps, int channels, int bit, size_t step,
                         uint8_t *ret_nibbles)
{
    for (int tap = 0; tap < taps; tap++, codes += channels)
        for (int c = 0; c < channels; c += LQ_NIBBLE_CODES, ret_nibbles += step) {
            unsigned nibble = 0;

            for (int r = 0; r < LQ_NIBBLE_CODES && c + r < channels; r++)
                nibble |= (unsigned)(codes[c + r] >> bit & 1) << r;
            *ret_nibbles = (uint8_t)nibble;
        }
}

enum { EIGHT = 8 };

/* Byte j of x[i] becomes byte i of x[j]. */
static void transpose_bytes(uint64_t x[EIGHT])
{
    static const uint64_t masks[] = {UINT64_C(0x00ff00ff00ff00ff), UINT64_C(0x0000ffff0000ffff),
                                     UINT64_C(0x00000000ffffffff)};

    for (int level = 2; level >= 0; level--)
        for (int i = 0, side = 1 << level; i < EIGHT; i++)
            if (!(i & side)) {
                uint64_t moved = (x[i] >> (side * 8) ^ x[i + side]) & masks[level];

                x[i + side] ^= moved;
                x[i] ^= moved << (side * 8);
            }
}

/* 16 nibbles of 8 lanes; a row that is not one of `rows` has zeros. */
static void deal_eight(const uint8_t *plane, size_t row_bytes, int rows, const uint8_t *row_of,
                       size_t step, uint8_t *ret_nibbles)
{
    const uint64_t low = UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t x[EIGHT] = {0};

    for (size_t i = 0; i < EIGHT; i++)
        if (row_of[i] < rows)
            memcpy(&x[i], plane + row_of[i] * row_bytes, sizeof(*x));
    transpose_bytes(x);
    for (size_t i = 0; i < EIGHT; i++, ret_nibbles += 2 * step) {
        uint64_t below = x[i] & low, above = x[i] >> LQ_NIBBLE_CODES & low;

        memcpy(ret_nibbles, &below, sizeof(below));
        memcpy(ret_nibbles + step, &above, sizeof(above));
    }
}

static void deal_rows(const uint8_t *plane, size_t row_bytes, int rows, int lanes, int length,
                      size_t step, uint8_t *ret_nibbles)
{
    for (int row = 0; row < rows; row++, plane += row_bytes) {
        uint8_t *to = ret_nibbles + lq_nibble_lane(lanes, row);

        for (int k = 0; k < length; k++, to += step)
            *to = k % 2 == 0 ? plane[k / 2] & 15 : plane[k / 2] >> LQ_NIBBLE_CODES;
    }
}

/* One plane of the rows of a panel, as the file has it: rows of whole nibbles are nibbles there
 * too. Eight lanes at a time, then what remains of the nibbles. */
static void deal_nibbles(const uint8_t *plane, size_t row_bytes, int rows, int lanes, int length,
                         size_t step, uint8_t *ret_nibbles)
{
    int dealt = lanes % EIGHT == 0 ? length / (2 * EIGHT) * (2 * EIGHT) : 0;
    uint8_t row_of[MAX_NIBBLE_LANES] = {0};

    for (int row = 0; row < lanes; row++)
        row_of[lq_nibble_lane(lanes, row)] = (uint8_t)row;
    for (int k = 0; k < dealt; k += 2 * EIGHT)
        for (int lane = 0; lane < lanes; lane += EIGHT)
            deal_eight(plane + k / 2, row_bytes, rows, row_of + lane, step,
                       ret_nibbles + (size_t)k * step + lane);
    deal_rows(plane + dealt / 2, row_bytes, rows, lanes, length - dealt, step,
              ret_nibbles + (size_t)dealt * step);
}

static void deal_panels(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                        int length, uint8_t *ret_nibbles)
{
    int bits = spec->attributes->bits, rows = paneling->columns, lanes = paneling->lanes;
    int vectors = lq_panels(rows, lanes) * bits;
    size_t row_bytes = ((size_t)length + 1) / 2;
    const uint8_t *codes = spec->params[LQ_PARAM_CODES]->data;

    for (int vector = 0; vector < vectors; vector++) {
        int row = vector / bits * lanes, count = rows - row < lanes ? rows - row : lanes;
        size_t at = lq_nibble_at(vectors, vector, lanes, length, 0);
        size_t step = lq_nibble_at(vectors, vector, lanes, length, 1) - at;
        size_t plane = (size_t)(vector % bits) * (size_t)rows + (size_t)row;

        deal_nibbles(codes + plane * row_bytes, row_bytes, count, lanes, length, step,
                     ret_nibbles + at);
    }
}

int lq_weights_nibbles(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                       int taps, int channels, uint8_t *ret_nibbles, int *ret_chunk)
{
    int bits = spec->attributes->bits, rows = paneling->columns, lanes = paneling->lanes;
    int bytes = (int)lq_nibble_bytes(channels), length = taps * bytes;
    int vectors = lq_panels(rows, lanes) * bits, all = taps * channels;
    uint8_t *codes;

    if (channels % LQ_NIBBLE_CODES == 0) {
        deal_panels(spec, paneling, length, ret_nibbles);
        *ret_chunk = longest_chunk(ret_nibbles, vectors, lanes, length);
        return LQ_OK;
    }
    codes = lq_alloc((size_t)all, 1);
    if (!codes)
        return LQ_ERR_MEMORY;
    for (int i = 0; i < rows * bits; i++) {
        int row = i / bits, bit = i % bits, vector = row / lanes * bits + bit;
        size_t at = lq_nibble_at(vectors, vector, lanes, length, 0);
        size_t step = lq_nibble_at(vectors, vector, lanes, length, 1) - at;

        if (bit == 0)
            lq_file_codes_unpack_row(spec->params[LQ_PARAM_CODES]->data, bits, rows, all, row, 0,
                                     all, codes);
        pack_nibbles(codes, taps, channels, bit, step,
                     ret_nibbles + at + lq_nibble_lane(lanes, row % lanes));
    }
    free(codes);
    *ret_chunk = longest_chunk(ret_nibbles, vectors, lanes, length);
    return LQ_OK;
}

/* Whether a column has all bits set in the group that starts here. */
static bool group_is_full(const uint8_t *nibbles, size_t step, int lanes)
{
    unsigned full = 0;

    for (int lane = 0; lane < lanes; lane++, nibbles++)
        full |= (nibbles[0] & nibbles[step] & nibbles[2 * step] & nibbles[3 * step]) == 15;
    return full;
}

/* Of a vector, the nibbles from..to - 1. */
static uint32_t full_groups(const uint8_t *nibbles, size_t step, int lanes, int run, int from,
                            int to)
{
    uint32_t full = 0;

    for (int k = from, left, group = 0; k < to; k += left) {
        left = run - k % run < to - k ? run - k % run : to - k;
        for (; left >= LQ_NIBBLE_GROUP; left -= LQ_NIBBLE_GROUP, k += LQ_NIBBLE_GROUP)
            full |= (uint32_t)group_is_full(nibbles + (size_t)k * step, step, lanes) << group++;
    }
    return full;
}

void lq_weights_full(const struct lq_paneling *paneling, int bits, int length, int run, int chunk,
                     const uint8_t *nibbles, uint32_t *ret_full)
{
    int lanes = paneling->lanes, vectors = lq_panels(paneling->columns, lanes) * bits;

    for (int vector = 0; vector < vectors; vector++) {
        size_t at = lq_nibble_at(vectors, vector, lanes, length, 0);
        size_t step = lq_nibble_at(vectors, vector, lanes, length, 1) - at;

        for (int from = 0; from < length; from += chunk)
            *ret_full++ = full_groups(nibbles + at, step, lanes, run, from,
                                      from + chunk < length ? from + chunk : length);
    }
}

void lq_weights_pairs(const struct lq_paneling *paneling, int bits, int length,
                      const uint8_t *nibbles, uint16_t *ret_pairs)
{
    int lanes = paneling->lanes, vectors = lq_panels(paneling->columns, lanes) * bits;

    for (int i = 0; i < paneling->columns * bits; i++) {
        int row = i / bits, vector = row / lanes * bits + i % bits;
        size_t at = lq_nibble_at(vectors, vector, lanes, length, 0) +
                    (size_t)lq_nibble_lane(lanes, row % lanes);
        size_t step = lq_nibble_at(vectors, vector, lanes, length, 1) -
                      lq_nibble_at(vectors, vector, lanes, length, 0);
        uint16_t *to = ret_pairs + (size_t)(i / 2) * (size_t)length;
        int unit = LQ_NIBBLE_PAIR << (i % 2 * LQ_NIBBLE_CODES);

        for (int k = 0; k < length; k++, at += step)
            to[k] = (uint16_t)((i % 2 == 0 ? 0 : to[k]) + nibbles[at] * unit);
    }
}
