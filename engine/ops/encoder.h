/* encoder.h - stores quantized values: as dequantized floats, integer levels or codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_ENCODER_H
#define LQ_OPS_ENCODER_H

#include "ops/step.h"

struct lq_encoder {
    enum lq_store store;
    int channels;
    size_t pixel_bytes;
    struct lq_quantizer quantizer;
    struct lq_encode encode; /* without thresholds on sums: those are the epilogue's */
    struct lq_kernels kernels;
};

void lq_encoder_init(struct lq_encoder *encoder, const struct lq_kernels *kernels,
                     const struct lq_snapped_basis *basis, const struct lq_buffer *output);

/* values: pixels of floats, `pitch` floats apart. ret_pixels: where the first of them is stored,
 * these columns of it. */
void lq_encoder_run(const struct lq_encoder *encoder, struct lq_columns columns,
                    const float *values, size_t pitch, int pixels, void *ret_pixels);

#endif
