/* rng.h - seeded random numbers: PCG32 (O'Neill 2014, pcg-random.org), the same on every machine.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_RNG_H
#define LQ_BASE_RNG_H

#include <stdint.h>

struct lq_rng {
    uint64_t state, stream;
};

/* Different streams of one seed are independent: one per worker, image, layer. */
void lq_rng_init(struct lq_rng *rng, uint64_t seed, uint64_t stream);
uint32_t lq_rng_u32(struct lq_rng *rng);
/* 0 <= n < bound, unbiased; bound > 0. */
uint32_t lq_rng_below(struct lq_rng *rng, uint32_t bound);
/* [0, 1) */
float lq_rng_uniform(struct lq_rng *rng);
/* Standard normal. */
float lq_rng_normal(struct lq_rng *rng);

#endif
