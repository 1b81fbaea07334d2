/* encoder.c - stores quantized values: level indices -> floats, integer levels or bit planes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/encoder.h"

#include <string.h>

#include "tensor/bitplanes.h"

void lq_encoder_init(struct lq_encoder *encoder, const struct lq_snapped_basis *basis,
                     const struct lq_buffer *output)
{
    struct lq_buffer pixel = {
        {1, {lq_shape_map(&output->shape).channels}}, output->store, output->bits};

    *encoder = (struct lq_encoder){.store = output->store,
                                   .channels = pixel.shape.dims[0],
                                   .bits = basis->bits,
                                   .pixel_bytes = lq_buffer_bytes(&pixel)};
    lq_quantizer_init_snapped(&encoder->quantizer, basis);
    for (int level = 0; level < 1 << basis->bits; level++)
        encoder->integers[level] = (int16_t)lq_code_level(basis, encoder->quantizer.codes[level]);
}

static void write_planes(const struct lq_encoder *encoder, const uint8_t *levels, uint32_t *planes)
{
    memset(planes, 0, encoder->pixel_bytes);
    for (int c = 0; c < encoder->channels; c++) {
        unsigned code = encoder->quantizer.codes[levels[c]];
        uint32_t *word = planes + c / LQ_WORD_BITS * encoder->bits;

        for (int bit = 0; bit < encoder->bits; bit++)
            word[bit] |= (code >> bit & 1) << (c % LQ_WORD_BITS);
    }
}

void lq_encoder_write(const struct lq_encoder *encoder, const uint8_t *levels, void *ret_pixel)
{
    float *values = ret_pixel;
    int16_t *integers = ret_pixel;

    switch (encoder->store) {
    case LQ_STORE_F32:
        for (int c = 0; c < encoder->channels; c++)
            values[c] = encoder->quantizer.levels[levels[c]];
        break;
    case LQ_STORE_LEVELS:
        for (int c = 0; c < encoder->channels; c++)
            integers[c] = encoder->integers[levels[c]];
        break;
    case LQ_STORE_PLANES:
        write_planes(encoder, levels, ret_pixel);
        break;
    }
}
