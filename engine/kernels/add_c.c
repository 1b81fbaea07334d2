/* add_c.c - sums of floats, clamped.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

void lq_add_floats_c(const float *a, const float *b, size_t count, float min, float max, float *ret)
{
    for (size_t i = 0; i < count; i++) {
        float y = a[i] + b[i];

        y = y < min ? min : y;
        ret[i] = y > max ? max : y;
    }
}
