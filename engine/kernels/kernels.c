/* kernels.c - fills the kernel table upward by tier.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include "lq.h"

int lq_kernels_init(struct lq_kernels *kernels, unsigned tiers)
{
    (void)tiers; /* no tier above C has kernels in this version */
    *kernels = (struct lq_kernels){
        .gemm_levels = lq_gemm_levels_c,
        .gemm_planes = lq_gemm_planes_c,
    };
    return LQ_CPU_C;
}
