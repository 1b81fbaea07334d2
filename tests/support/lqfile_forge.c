/* lqfile_forge.c - makes .lq files by hand, with right checksums around whatever is inside.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Written from the description in format/lqfile.h, not with the writer's code, so it is a second
 * opinion on the digests too.
 */
#include "support/lqfile_forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define START  "{\"__metadata__\":{\"xxh3_128_header\":\""
#define DATA   "\"xxh3_128\":\""
#define DIGITS 32

static uint8_t *alloc_aligned(size_t size)
{
    void *block = NULL;

    return posix_memalign(&block, 64, size ? size : 1) == 0 ? block : NULL;
}

static void put_digest(uint8_t *to, const void *bytes, size_t size)
{
    XXH128_canonical_t canonical;
    char text[DIGITS + 1];

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, size));
    for (size_t i = 0; i < DIGITS / 2; i++)
        snprintf(text + 2 * i, 3, "%02x", canonical.digest[i]);
    memcpy(to, text, DIGITS);
}

void lqfile_seal(uint8_t *bytes, size_t size)
{
    const size_t start = 8 + strlen(START);
    uint8_t *stated;
    uint64_t length;

    if (size < 8)
        return;
    memcpy(&length, bytes, 8);
    if (length > size - 8 || length < strlen(START) + DIGITS ||
        memcmp(bytes + 8, START, strlen(START)) != 0)
        return;
    stated = memmem(bytes + 8, (size_t)length, DATA, strlen(DATA));
    if (stated && (size_t)(stated - bytes) + strlen(DATA) + DIGITS <= 8 + (size_t)length)
        put_digest(stated + strlen(DATA), bytes + 8 + length, size - 8 - (size_t)length);
    memset(bytes + start, '0', DIGITS);
    put_digest(bytes + start, bytes, 8 + (size_t)length);
}

uint8_t *lqfile_wrap(const char *header, size_t header_size, const void *data, size_t data_size,
                     size_t *ret_size)
{
    size_t data_start = (8 + header_size + 63) / 64 * 64;
    uint64_t length = data_start - 8;
    uint8_t *bytes = alloc_aligned(data_start + data_size);

    if (!bytes)
        return NULL;
    memcpy(bytes, &length, 8);
    memset(bytes + 8, ' ', (size_t)length);
    memcpy(bytes + 8, header, header_size);
    if (data_size > 0)
        memcpy(bytes + data_start, data, data_size);
    lqfile_seal(bytes, data_start + data_size);
    *ret_size = data_start + data_size;
    return bytes;
}

uint8_t *lqfile_copy(const void *bytes, size_t size)
{
    uint8_t *copy = alloc_aligned(size);

    if (copy && size > 0)
        memcpy(copy, bytes, size);
    return copy;
}
