/* conv_pixels.h - the first convolution of a quantized network, on pixels as they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_OPS_CONV_PIXELS_H
#define LQ_OPS_CONV_PIXELS_H

#include "ops/step.h"

/* Its input, LQ_STORE_BYTES: the pixels as they are given, one to three channels. */

/* Whether a float convolution of normalised pixels can be computed from the pixels. */
bool lq_conv_pixels_fits(const struct lq_step_spec *spec);

/* spec: as for lq_conv_float_prepare. Errors: LQ_ERR_MEMORY. */
int lq_conv_pixels_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                           const struct lq_preprocess *preprocess, struct lq_step *ret_step,
                           struct lq_error *error) LQ_MUST_CHECK;

#endif
