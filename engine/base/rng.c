/* rng.c - PCG32: a 64-bit linear congruence whose top bits are permuted (XSH-RR, O'Neill 2014).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/rng.h"

#include <math.h>

void lq_rng_init(struct lq_rng *rng, uint64_t seed, uint64_t stream)
{
    *rng = (struct lq_rng){.stream = stream << 1 | 1};
    lq_rng_u32(rng);
    rng->state += seed;
    lq_rng_u32(rng);
}

uint32_t lq_rng_u32(struct lq_rng *rng)
{
    uint64_t old = rng->state;
    uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);

    rng->state = old * UINT64_C(6364136223846793005) + rng->stream;
    return mixed >> turn | mixed << (-turn & 31);
}

uint32_t lq_rng_below(struct lq_rng *rng, uint32_t bound)
{
    uint32_t rest = -bound % bound; /* 2^32 mod bound: these draws would favour low numbers */

    for (;;) {
        uint32_t draw = lq_rng_u32(rng);

        if (draw >= rest)
            return draw % bound;
    }
}

float lq_rng_uniform(struct lq_rng *rng)
{
    return (float)(lq_rng_u32(rng) >> 8) * 0x1p-24f;
}

float lq_rng_normal(struct lq_rng *rng)
{
    double radius = sqrt(-2 * log(1 - (double)lq_rng_uniform(rng))); /* Box and Muller */

    return (float)(radius * cos(2 * M_PI * lq_rng_uniform(rng)));
}
