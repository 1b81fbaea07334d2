/* train_c.c - the loops of training, for any CPU.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/train_loops.h"

void lq_train_kernels_c(struct lq_train_kernels *kernels)
{
    *kernels = loops;
}
