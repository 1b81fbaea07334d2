/* size.h - arithmetic on sizes that reports overflow.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_SIZE_H
#define LQ_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *result = a * b, a + b; false on overflow (*result is then meaningless). */
static inline bool lq_size_mul(size_t a, size_t b, size_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

static inline bool lq_size_add(size_t a, size_t b, size_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

static inline bool lq_i64_mul(int64_t a, int64_t b, int64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

/* Smallest multiple of `multiple` (a power of two) that is >= value. */
static inline size_t lq_size_round_up(size_t value, size_t multiple)
{
    return (value + multiple - 1) & ~(multiple - 1);
}

static inline int lq_ceil_div(int value, int divisor)
{
    return (value + divisor - 1) / divisor;
}

#endif
