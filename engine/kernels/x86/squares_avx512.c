/* squares_avx512.c - transforms of Winograd's minimal filtering on levels, in vectors of 64 bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/squares_loops.h"

void lq_squares_avx512(struct lq_squares *squares)
{
    *squares = loops;
}
