/* weights.h - a layer's stored weights, decoded.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_WEIGHTS_H
#define LQ_OPS_WEIGHTS_H

#include "ops/step.h"

/* rows x length floats: the weights as they are stored, or level times scale where they are
 * quantized. */
void lq_weights_decode(const struct lq_step_spec *spec, int rows, int length, float *ret_weights);

/* Of quantized weights: integer levels [rows][length]. Errors: LQ_ERR_MEMORY. */
int lq_weights_levels(const struct lq_step_spec *spec, int rows, int length, int16_t *ret_levels,
                      struct lq_error *error) LQ_MUST_CHECK;

/* Of quantized weights: [rows][bits][taps * words of channels]. Errors: LQ_ERR_MEMORY. */
int lq_weights_planes(const struct lq_step_spec *spec, int rows, int taps, int channels,
                      uint32_t *ret_planes, struct lq_error *error) LQ_MUST_CHECK;

#endif
