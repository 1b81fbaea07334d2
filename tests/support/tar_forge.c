/* tar_forge.c - makes tar archives, right and wrong.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/tar_forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tar_forge_sign(char *header)
{
    unsigned sum = 0;

    memset(header + 148, ' ', 8);
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
}

char *tar_forge_add(struct archive *archive, const char *name, char type, const void *bytes,
                    size_t size)
{
    size_t room = TAR_BLOCK + (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
    char *header;

    archive->bytes = realloc(archive->bytes, archive->size + room);
    header = archive->bytes + archive->size;
    memset(header, 0, room);
    snprintf(header, 100, "%s", name);
    snprintf(header + 124, 12, "%011o", (unsigned)size);
    header[156] = type;
    memcpy(header + 257, "ustar\00000", 8);
    if (size)
        memcpy(header + TAR_BLOCK, bytes, size);
    tar_forge_sign(header);
    archive->size += room;
    return header;
}
