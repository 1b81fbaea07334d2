/* guard.h - memory whose end is noticed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_GUARD_H
#define TESTS_SUPPORT_GUARD_H

#include <stddef.h>
#include <stdint.h>

/* `size` zero bytes right in front of a page that may not be touched. */
struct guarded {
    uint8_t *map, *bytes;
    size_t length;
};
struct guarded guard(size_t size);
void unguard(struct guarded *guarded);

static inline float *as_floats(const struct guarded *guarded)
{
    return (float *)(void *)guarded->bytes;
}

static inline int32_t *as_ints(const struct guarded *guarded)
{
    return (int32_t *)(void *)guarded->bytes;
}

#endif
