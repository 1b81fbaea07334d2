/* squares_c.c - transforms of Winograd's minimal filtering on levels, in what every CPU has.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/squares_loops.h"

void lq_squares_c(struct lq_squares *squares)
{
    *squares = loops;
}
