/* limits.h - what a core can do at most: the inner instructions of the products, in L1, and nothing
 * else.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_BENCH_LIMITS_H
#define TESTS_BENCH_LIMITS_H

#include <stdint.h>

struct limit {
    const char *name;
    int tier;             /* enum lq_cpu_tier that has the instructions */
    const char *what;     /* they are */
    int64_t (*run)(void); /* gives the number of products that it computed: of bits for "lookup" and
                             "popcount", of numbers for the others, of cycles for "clock" */
};
/* Ended by a name of NULL. */
extern const struct limit limits_any[], limits_avx2[], limits_avxvnni[], limits_avx512[];

/* Keeps the compiler from computing anything ahead, and from moving it. */
#define LIMIT_KEEP(v) __asm__ volatile("" : "+x"(v))

#endif
