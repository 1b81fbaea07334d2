/* weights.c - a layer's stored weights, decoded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/weights.h"

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

int lq_weights_levels(const struct lq_step_spec *spec, int rows, int length, int16_t *ret_levels,
                      struct lq_error *error)
{
    int bits = spec->attributes->bits;
    const int16_t *basis = spec->params[LQ_PARAM_BASIS]->data;
    uint8_t *codes = lq_alloc((size_t)rows * (size_t)length, 1);

    if (!codes)
        return lq_fail_memory(error);
    lq_file_codes_unpack(spec->params[LQ_PARAM_CODES]->data, bits, rows, length, codes);
    for (int row = 0; row < rows; row++) {
        int16_t levels[LQ_MAX_LEVELS];

        for (unsigned code = 0; code < 1u << bits; code++)
            levels[code] = (int16_t)lq_code_level_raw(LQ_CODE_SIGNED, bits,
                                                      basis + (size_t)row * (size_t)bits, code);
        for (int k = 0; k < length; k++) {
            size_t at = (size_t)row * (size_t)length + (size_t)k;

            ret_levels[at] = levels[codes[at]];
        }
    }
    free(codes);
    return LQ_OK;
}

int lq_weights_planes(const struct lq_step_spec *spec, int rows, int taps, int channels,
                      uint32_t *ret_planes, struct lq_error *error)
{
    int bits = spec->attributes->bits;
    size_t words = (size_t)lq_plane_words(channels), length = (size_t)taps * (size_t)channels;
    uint8_t *codes = lq_alloc((size_t)rows * length, 1);
    uint32_t *pixels = lq_alloc((size_t)taps * words * (size_t)bits, sizeof(*pixels));

    if (!codes || !pixels) {
        free(codes);
        free(pixels);
        return lq_fail_memory(error);
    }
    lq_file_codes_unpack(spec->params[LQ_PARAM_CODES]->data, bits, rows, (int64_t)length, codes);
    for (int row = 0; row < rows; row++) {
        lq_planes_pack(codes + (size_t)row * length, taps, channels, bits, pixels);
        for (size_t bit = 0; bit < (size_t)bits; bit++)
            for (size_t tap = 0; tap < (size_t)taps; tap++, ret_planes += words)
                memcpy(ret_planes, pixels + (tap * (size_t)bits + bit) * words,
                       words * sizeof(*pixels));
    }
    free(codes);
    free(pixels);
    return LQ_OK;
}
