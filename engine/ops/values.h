/* values.h - codes of floats that are kept or added: thresholds of their own in each channel.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The level of z = clamp(next_scale[c] * y + next_shift[c], next) is monotonic in y, so it can be
 * had from y alone, by comparing y with 2^K - 1 floats found once per channel by bisection of the
 * definition itself, rounding and all: z need not be made, nor y be stored and read again.
 */
#ifndef LQ_OPS_VALUES_H
#define LQ_OPS_VALUES_H

#include "ops/encoder.h"

/* factors are NULL where the kernels have no loop for it, or the level is not monotonic for
 * certain. keeps_next: z is kept, not y. Errors: LQ_ERR_MEMORY. */
int lq_values_init(struct lq_values *values, struct lq_arena *arena,
                   const struct lq_encoder *encoder, const struct lq_finish *finish,
                   bool keeps_next, struct lq_error *error) LQ_MUST_CHECK;

#endif
