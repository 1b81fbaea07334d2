/* encoder.h - stores quantized values: level indices -> floats, integer levels or bit planes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_ENCODER_H
#define LQ_OPS_ENCODER_H

#include "ops/step.h"

struct lq_encoder {
    enum lq_store store;
    int channels, bits;
    size_t pixel_bytes;
    struct lq_quantizer quantizer;
    int16_t integers[LQ_MAX_LEVELS]; /* of each level */
};

void lq_encoder_init(struct lq_encoder *encoder, const struct lq_snapped_basis *basis,
                     const struct lq_buffer *output);

/* Writes one pixel: levels[channels] are indices of the quantizer's sorted levels. */
void lq_encoder_write(const struct lq_encoder *encoder, const uint8_t *levels, void *ret_pixel);

#endif
