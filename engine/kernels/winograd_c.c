/* winograd_c.c - transforms of Winograd's minimal filtering, in what every CPU has.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/winograd_loops.h"

void lq_winograd_c(struct lq_winograd *winograd)
{
    *winograd = loops;
}
