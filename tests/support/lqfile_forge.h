/* lqfile_forge.h - makes .lq files by hand, with right checksums around whatever is inside.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_LQFILE_FORGE_H
#define TESTS_SUPPORT_LQFILE_FORGE_H

#include <stddef.h>
#include <stdint.h>

/* A file of this header text and these data: length, padding to 64 bytes, digests. To be freed with
 * free(); aligned to 64 bytes and exactly *ret_size long, so that sanitizers see a step beyond.
 * NULL when out of memory. */
uint8_t *lqfile_wrap(const char *header, size_t header_size, const void *data, size_t data_size,
                     size_t *ret_size);

/* Renews both digests of a file where they are; does nothing to bytes that are no such file. */
void lqfile_seal(uint8_t *bytes, size_t size);

/* A copy, aligned and sized as above. */
uint8_t *lqfile_copy(const void *bytes, size_t size);

#endif
