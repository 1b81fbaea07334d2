/* train_avx2.c - the loops of training, in vectors of 32 bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/train_loops.h"

void lq_train_kernels_avx2(struct lq_train_kernels *kernels)
{
    *kernels = loops;
}
