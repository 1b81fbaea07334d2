/* tar_forge.h - makes tar archives, right and wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_TAR_FORGE_H
#define TESTS_SUPPORT_TAR_FORGE_H

#include <stddef.h>

enum { TAR_BLOCK = 512 };

/* Start from {0}; free bytes. */
struct archive {
    char *bytes;
    size_t size;
};

/* Adds an entry of this type ('0': a file); its header, until the next one is added. */
char *tar_forge_add(struct archive *archive, const char *name, char type, const void *bytes,
                    size_t size);
/* Makes a changed header's checksum right again. */
void tar_forge_sign(char *header);

#endif
