/* winograd_avx2.c - transforms of Winograd's minimal filtering, in vectors of 32 bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/winograd_loops.h"

void lq_winograd_avx2(struct lq_winograd *winograd)
{
    *winograd = loops;
}
