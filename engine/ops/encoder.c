/* encoder.c - stores quantized values: as dequantized floats, integer levels or codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/encoder.h"

#include <string.h>

void lq_encoder_init(struct lq_encoder *encoder, const struct lq_kernels *kernels,
                     const struct lq_snapped_basis *basis, const struct lq_buffer *output)
{
    int channels = lq_shape_map(&output->shape).channels;
    struct lq_buffer pixel = {{1, {channels}}, output->store, output->bits};
    enum lq_code_form form = output->store == LQ_STORE_PLANES    ? LQ_CODE_PLANES
                             : output->store == LQ_STORE_HALVES  ? LQ_CODE_HALVES
                             : output->store == LQ_STORE_NIBBLES ? LQ_CODE_NIBBLES
                             : output->store == LQ_STORE_BYTES   ? LQ_CODE_BYTES
                                                                 : LQ_CODE_LEVELS;
    bool codes = form != LQ_CODE_BYTES && form != LQ_CODE_LEVELS;

    *encoder =
        (struct lq_encoder){.store = output->store,
                            .channels = channels,
                            .pixel_bytes = lq_buffer_bytes(&pixel),
                            .encode = {.channels = channels, .bits = basis->bits, .form = form},
                            .kernels = *kernels};
    lq_quantizer_init_snapped(&encoder->quantizer, basis);
    for (int level = 0; level < 1 << basis->bits; level++) {
        uint8_t code = encoder->quantizer.codes[level];

        encoder->encode.entries[level] = codes ? code : lq_code_level(basis, code);
    }
    memcpy(encoder->encode.thresholds, encoder->quantizer.thresholds,
           (((size_t)1 << basis->bits) - 1) * sizeof(float));
}

void lq_encoder_run(const struct lq_encoder *encoder, struct lq_columns columns,
                    const float *values, size_t pitch, int pixels, void *ret_pixels)
{
    const struct lq_quantizer *quantizer = &encoder->quantizer;
    size_t channels = (size_t)encoder->channels;
    float *floats = ret_pixels;

    if (encoder->store != LQ_STORE_F32) {
        encoder->kernels.encode_floats(&encoder->encode, columns, values, pitch, pixels,
                                       ret_pixels);
        return;
    }
    for (int pixel = 0; pixel < pixels; pixel++, values += pitch, floats += channels)
        for (int c = columns.from; c < columns.to; c++)
            floats[c] = quantizer->levels[lq_quantizer_level(quantizer, values[c])];
}
