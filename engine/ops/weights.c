/* weights.c - a layer's stored weights, decoded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/weights.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "quant/pack.h"
#include "tensor/bitplanes.h"

/* Bit i of the code at (row, k) in the file form. */
static unsigned code_at(const uint8_t *packed, int bits, int rows, int length, int row, int k)
{
    size_t row_bytes = ((size_t)length + 7) / 8;
    unsigned code = 0;

    for (int bit = 0; bit < bits; bit++) {
        const uint8_t *plane = packed + ((size_t)bit * (size_t)rows + (size_t)row) * row_bytes;

        code |= (unsigned)(plane[k / 8] >> (k % 8) & 1) << bit;
    }
    return code;
}

void lq_weights_decode(const struct lq_step_spec *spec, int rows, int length, float *ret_weights)
{
    const struct lq_tensor *weight = spec->params[LQ_PARAM_WEIGHT];
    int bits = spec->attributes->bits;

    if (weight) {
        memcpy(ret_weights, weight->data, lq_tensor_bytes(weight));
        return;
    }
    const uint8_t *codes = spec->params[LQ_PARAM_CODES]->data;
    const int16_t *basis = spec->params[LQ_PARAM_BASIS]->data;
    const float *scale = spec->params[LQ_PARAM_SCALE]->data;
    for (int row = 0; row < rows; row++)
        for (int k = 0; k < length; k++) {
            int level = lq_code_level_raw(LQ_CODE_SIGNED, bits, basis + (size_t)row * (size_t)bits,
                                          code_at(codes, bits, rows, length, row, k));

            *ret_weights++ = (float)level * scale[row];
        }
}

size_t lq_paneling_columns(const struct lq_paneling *paneling)
{
    int panels = lq_panels(paneling->columns, paneling->lanes);

    return (size_t)paneling->groups * (size_t)panels * (size_t)paneling->lanes;
}

/* Where a row (an output channel) lies: its panel, and its lane there. */
struct place {
    size_t panel, lane;
};

static struct place place_of(const struct lq_paneling *paneling, int row)
{
    int group = row / paneling->columns, column = row % paneling->columns;
    int panels = lq_panels(paneling->columns, paneling->lanes);

    return (struct place){(size_t)(group * panels + column / paneling->lanes),
                          (size_t)(column % paneling->lanes)};
}

static void unpack_row(const struct lq_step_spec *spec, int rows, int length, int row,
                       uint8_t *ret_codes)
{
    lq_file_codes_unpack_row(spec->params[LQ_PARAM_CODES]->data, spec->attributes->bits, rows,
                             length, row, 0, length, ret_codes);
}

size_t lq_paneling_length(const struct lq_paneling *paneling, int length)
{
    size_t depth = (size_t)paneling->depth;

    return ((size_t)length + depth - 1) / depth * depth;
}

/* What lies in a lane of a panel that lies in the cache while its other lanes are filled. */
enum { SPAN = 1024 };

/* Words of 4 bytes or 2 int16_t, `step` levels apart. */
static void deal_bytes(const uint8_t *codes, int count, const int16_t *levels, size_t step,
                       int8_t *to)
{
    int whole = count / 4 * 4;

    for (int k = 0; k < whole; k += 4, to += step)
        for (int i = 0; i < 4; i++)
            to[i] = (int8_t)levels[codes[k + i]];
    for (int i = 0; whole + i < count; i++)
        to[i] = (int8_t)levels[codes[whole + i]];
}

static void deal_words(const uint8_t *codes, int count, const int16_t *levels, size_t step,
                       int16_t *to)
{
    int whole = count / 2 * 2;

    for (int k = 0; k < whole; k += 2, to += step)
        for (int i = 0; i < 2; i++)
            to[i] = levels[codes[k + i]];
    if (whole < count)
        to[0] = levels[codes[whole]];
}

/* The levels of a row's codes. */
static void row_levels(const struct lq_step_spec *spec, int row, int16_t ret_levels[LQ_MAX_LEVELS])
{
    int bits = spec->attributes->bits;
    const int16_t *basis = spec->params[LQ_PARAM_BASIS]->data;

    for (unsigned code = 0; code < 1u << bits; code++)
        ret_levels[code] = (int16_t)lq_code_level_raw(LQ_CODE_SIGNED, bits,
                                                      basis + (size_t)row * (size_t)bits, code);
}

void lq_weights_row(const struct lq_step_spec *spec, int rows, int length, int row,
                    int16_t *ret_levels)
{
    int16_t levels[LQ_MAX_LEVELS];

    row_levels(spec, row, levels);
    for (int from = 0, count; from < length; from += count) {
        uint8_t codes[SPAN];

        count = length - from < SPAN ? length - from : SPAN;
        lq_file_codes_unpack_row(spec->params[LQ_PARAM_CODES]->data, spec->attributes->bits, rows,
                                 length, row, from, count, codes);
        for (int k = 0; k < count; k++)
            *ret_levels++ = levels[codes[k]];
    }
}

void lq_weights_levels(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                       int length, void *ret_levels)
{
    int bits = spec->attributes->bits, rows = paneling->groups * paneling->columns;
    size_t step = (size_t)paneling->lanes * (size_t)paneling->depth;
    size_t panel_size = lq_paneling_length(paneling, length) * (size_t)paneling->lanes;

    for (int first = 0, last; first < rows; first = last) {
        int column = first % paneling->columns, left = paneling->columns - column;

        last = first + (left < paneling->lanes ? left : paneling->lanes);
        for (int from = 0; from < length; from += SPAN)
            for (int row = first; row < last; row++) {
                struct place place = place_of(paneling, row);
                size_t at = place.panel * panel_size + (size_t)paneling->depth * place.lane +
                            (size_t)(from / paneling->depth) * step;
                int count = length - from < SPAN ? length - from : SPAN;
                uint8_t codes[SPAN];
                int16_t levels[LQ_MAX_LEVELS];

                row_levels(spec, row, levels);
                lq_file_codes_unpack_row(spec->params[LQ_PARAM_CODES]->data, bits, rows, length,
                                         row, from, count, codes);
                if (paneling->depth == 2)
                    deal_words(codes, count, levels, step, (int16_t *)ret_levels + at);
                else
                    deal_bytes(codes, count, levels, step, (int8_t *)ret_levels + at);
            }
    }
}

/* Sums of products in 16 bits, two in each lane: what is positive, and what is negative. */
struct lane_sums {
    int32_t above[2 * LQ_MAX_LANES], below[2 * LQ_MAX_LANES];
};

/* Whether products of `words` words of a panel with levels up to `top` stay within int16_t. */
static bool piece_fits(const int8_t *levels, int lanes, int words, int top)
{
    struct lane_sums sums;
    int largest = 0;

    memset(&sums, 0, sizeof(sums));
    for (int word = 0; word < words; word++)
        for (int i = 0; i < 2 * lanes; i++, levels += 2) {
            sums.above[i] += (levels[0] > 0 ? levels[0] : 0) + (levels[1] > 0 ? levels[1] : 0);
            sums.below[i] -= (levels[0] < 0 ? levels[0] : 0) + (levels[1] < 0 ? levels[1] : 0);
        }
    for (int i = 0; i < 2 * lanes; i++) {
        largest = sums.above[i] > largest ? sums.above[i] : largest;
        largest = sums.below[i] > largest ? sums.below[i] : largest;
    }
    return largest * top <= INT16_MAX;
}

static bool pieces_fit(const struct lq_paneling *paneling, const int8_t *levels, int words, int run,
                       int piece, int top)
{
    size_t panels = lq_paneling_columns(paneling) / (size_t)paneling->lanes;

    for (size_t panel = 0; panel < panels; panel++)
        for (int from = 0, count; from < words; from += count) {
            count = run - from % run < piece ? run - from % run : piece;
            if (!piece_fits(levels, paneling->lanes, count, top))
                return false;
            levels += (size_t)count * (size_t)paneling->lanes * (size_t)paneling->depth;
        }
    return true;
}

int lq_weights_piece(const struct lq_paneling *paneling, const int8_t *levels, int length, int run,
                     int top)
{
    static const int pieces[] = {48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1};
    int words = (int)(lq_paneling_length(paneling, length) / (size_t)paneling->depth);

    run = run < length ? run / paneling->depth : words; /* of several, words are whole */
    for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
        if (pieces_fit(paneling, levels, words, run, pieces[i], top))
            return pieces[i];
    return 0;
}

/* Codes of a row side by side, to their lane. */
static void deal_codes(const uint8_t *codes, int count, uint8_t *to)
{
    for (int k = 0; k < count; k += LQ_CODES_LENGTH, to += LQ_CODES_BYTES) {
        uint32_t words[LQ_CODES_WORDS], all = 0;

        memcpy(words, codes + k, sizeof(words));
        for (int i = 0; i < LQ_CODES_WORDS; i++)
            all |= words[i] << 2 * i;
        memcpy(to, &all, sizeof(all));
    }
}

void lq_weights_codes(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                      int length, uint8_t *ret_codes, int8_t *ret_levels)
{
    int bits = spec->attributes->bits, rows = paneling->columns;
    const int16_t *basis = spec->params[LQ_PARAM_BASIS]->data;
    size_t panel_size = (size_t)length / LQ_CODES_WORDS * LQ_CODES_LANES;

    for (int row = 0; row < rows; row++) {
        struct place place = place_of(paneling, row);
        uint8_t *to = ret_codes + place.panel * panel_size + 4 * place.lane;
        int8_t *levels = ret_levels + (size_t)row * LQ_CODES_LEVELS;

        for (unsigned code = 0; code < 1u << bits; code++)
            levels[code] = (int8_t)lq_code_level_raw(LQ_CODE_SIGNED, bits,
                                                     basis + (size_t)row * (size_t)bits, code);
        for (int from = 0, count; from < length; from += count) {
            uint8_t codes[SPAN];

            count = length - from < SPAN ? length - from : SPAN;
            lq_file_codes_unpack_row(spec->params[LQ_PARAM_CODES]->data, bits, rows, length, row,
                                     from, count, codes);
            deal_codes(codes, count, to + (size_t)from / LQ_CODES_WORDS * LQ_CODES_LANES);
        }
    }
}

int lq_weights_planes(const struct lq_step_spec *spec, const struct lq_paneling *paneling, int taps,
                      int channels, uint32_t *ret_planes, struct lq_error *error)
{
    int rows = paneling->groups * paneling->columns;
    size_t bits = (size_t)spec->attributes->bits, lanes = (size_t)paneling->lanes;
    size_t words = (size_t)lq_plane_words(channels), length = (size_t)taps * (size_t)channels;
    uint8_t *codes = lq_alloc(length, 1);
    uint32_t *pixels = lq_alloc((size_t)taps * words * bits, sizeof(*pixels));

    if (!codes || !pixels) {
        free(codes);
        free(pixels);
        return lq_fail_memory(error);
    }
    for (int row = 0; row < rows; row++) {
        struct place place = place_of(paneling, row);
        uint32_t *to = ret_planes + place.panel * (size_t)taps * words * bits * lanes + place.lane;

        unpack_row(spec, rows, (int)length, row, codes);
        lq_planes_pack(codes, taps, channels, (int)bits, pixels);
        for (size_t at = 0; at < (size_t)taps * words; at++)
            for (size_t bit = 0; bit < bits; bit++)
                to[(at * bits + bit) * lanes] = pixels[at * bits + bit];
    }
    free(codes);
    free(pixels);
    return LQ_OK;
}

/* The planes of the rows of a panel, as the file has them: where channels fill half words, 16 bits
 * there are one here. */
static void deal_halves(const uint8_t *codes, size_t row_bytes, size_t plane_bytes, size_t bits,
                        size_t lanes, size_t rows, uint32_t *ret_halves)
{
    for (size_t at = 0; at < row_bytes; at += sizeof(uint16_t))
        for (size_t bit = 0; bit < bits; bit++, ret_halves += lanes)
            for (size_t row = 0; row < rows; row++) {
                const uint8_t *half = codes + bit * plane_bytes + row * row_bytes + at;

                ret_halves[row] = (uint32_t)(half[0] | half[1] << 8) * 0x10001u;
            }
}

static int pack_halves(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                       int taps, int channels, uint32_t *ret_halves, struct lq_error *error)
{
    size_t bits = (size_t)spec->attributes->bits, lanes = (size_t)paneling->lanes;
    size_t words = lq_half_words(channels), planes = (size_t)lq_plane_words(channels);
    size_t length = (size_t)taps * (size_t)channels;
    uint8_t *codes = lq_alloc(length, 1);
    uint32_t *pixels = lq_alloc((size_t)taps * planes * bits, sizeof(*pixels));

    if (!codes || !pixels) {
        free(codes);
        free(pixels);
        return lq_fail_memory(error);
    }
    for (int row = 0; row < paneling->columns; row++) {
        struct place place = place_of(paneling, row);
        uint32_t *to = ret_halves + place.panel * (size_t)taps * words * bits * lanes + place.lane;

        unpack_row(spec, paneling->columns, (int)length, row, codes);
        lq_planes_pack(codes, taps, channels, (int)bits, pixels);
        for (size_t at = 0; at < (size_t)taps * words; at++)
            for (size_t bit = 0; bit < bits; bit++, to += lanes) {
                size_t tap = at / words, half = at % words;
                uint32_t word = pixels[(tap * planes + half / 2) * bits + bit];

                *to = (word >> half % 2 * LQ_HALF_CODES & 0xffffu) * 0x10001u;
            }
    }
    free(codes);
    free(pixels);
    return LQ_OK;
}

int lq_weights_halves(const struct lq_step_spec *spec, const struct lq_paneling *paneling, int taps,
                      int channels, uint32_t *ret_halves, struct lq_error *error)
{
    size_t bits = (size_t)spec->attributes->bits, lanes = (size_t)paneling->lanes;
    size_t rows = (size_t)paneling->columns;
    size_t row_bytes = (size_t)taps * (size_t)channels / 8, plane_bytes = rows * row_bytes;
    const uint8_t *codes = spec->params[LQ_PARAM_CODES]->data;

    if (channels % LQ_HALF_CODES != 0)
        return pack_halves(spec, paneling, taps, channels, ret_halves, error);
    for (size_t row = 0; row < rows; row += lanes) {
        size_t left = rows - row < lanes ? rows - row : lanes;

        deal_halves(codes + row * row_bytes, row_bytes, plane_bytes, bits, lanes, left,
                    ret_halves + row * row_bytes / sizeof(uint16_t) * bits);
    }
    return LQ_OK;
}

void lq_weights_basis(const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                      int32_t *ret_basis)
{
    int rows = paneling->groups * paneling->columns;
    size_t bits = (size_t)spec->attributes->bits, lanes = (size_t)paneling->lanes;
    const int16_t *basis = spec->params[LQ_PARAM_BASIS]->data;

    for (int row = 0; row < rows; row++) {
        struct place place = place_of(paneling, row);

        for (size_t bit = 0; bit < bits; bit++)
            ret_basis[(place.panel * bits + bit) * lanes + place.lane] = *basis++;
    }
}
