/* tar.c - the files of a tar archive (POSIX ustar), found where they lie.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A header is a block of 512 bytes: name 100, mode 8, owner 8, group 8, size 12, time 12, checksum
 * 8, type 1, link 100, "ustar" 6, version 2, owner's name 32, group's name 32, device 16, prefix
 * 155. Numbers are octal digits. The file's bytes follow, filled up to whole blocks. Two blocks of
 * zeros end the archive; so does the end of the bytes.
 */
#include "codec/tar.h"

#include <stdio.h>
#include <string.h>

#include "codec/text.h"

enum {
    BLOCK = 512,
    NAME = 0,
    NAME_LENGTH = 100,
    SIZE = 124,
    SIZE_LENGTH = 12,
    CHECKSUM = 148,
    CHECKSUM_LENGTH = 8,
    TYPE = 156,
    MAGIC = 257,
    PREFIX = 345,
    PREFIX_LENGTH = 155
};

void tar_begin(struct tar *tar, const void *bytes, size_t size)
{
    tar->at = bytes;
    tar->end = tar->at + size;
}

/* Octal digits between blanks, a zero behind them. False: something else. */
static bool read_octal(const char *field, int length, uint64_t *ret_number)
{
    uint64_t number = 0;
    int at = 0, digits = 0;

    while (at < length && field[at] == ' ')
        at++;
    for (; at < length && field[at] >= '0' && field[at] <= '7'; at++, digits++)
        number = number << 3 | (uint64_t)(field[at] - '0');
    while (at < length && (field[at] == ' ' || field[at] == '\0'))
        at++;
    *ret_number = number;
    return digits > 0 && at == length;
}

static bool is_zero(const char *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

/* The sum of the header's bytes, with blanks where the checksum stands. */
static bool sum_is_right(const char *block)
{
    uint64_t wanted, sum = 0;

    for (int i = 0; i < BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_LENGTH ? ' ' : (uint8_t)block[i];
    return read_octal(block + CHECKSUM, CHECKSUM_LENGTH, &wanted) && wanted == sum;
}

static void read_name(const char *block, char *ret_name)
{
    int prefix = memcmp(block + MAGIC, "ustar\0", 6) == 0
                     ? (int)strnlen(block + PREFIX, PREFIX_LENGTH)
                     : 0; /* GNU's own form has times there */

    snprintf(ret_name, TAR_NAME_SIZE, "%.*s%s%.*s", prefix, block + PREFIX, prefix ? "/" : "",
             (int)strnlen(block + NAME, NAME_LENGTH), block + NAME);
}

/* Is there a name among the records "length key=value\n" of an extended header? */
static bool renames(const char *bytes, size_t size)
{
    return memmem(bytes, size, " path=", 6) || memmem(bytes, size, " size=", 6) ||
           memmem(bytes, size, " linkpath=", 10);
}

int tar_next(struct tar *tar, bool *ret_more, struct tar_file *ret_file, struct lq_error *error)
{
    for (;;) {
        struct tar_file file;
        const char *block = tar->at;
        size_t left = (size_t)(tar->end - tar->at);
        uint64_t size;
        char type;

        if (left == 0 || (left >= BLOCK && is_zero(block))) {
            *ret_more = false;
            return LQ_OK;
        }
        if (left < BLOCK || !sum_is_right(block))
            return error_set(error, LQ_ERR_FORMAT, "no tar archive, or a damaged one: %s",
                             left < BLOCK ? "it breaks off" : "a header's checksum is wrong");
        read_name(block, file.name);
        if (!read_octal(block + SIZE, SIZE_LENGTH, &size) || size > left - BLOCK)
            return error_set(error, LQ_ERR_FORMAT, "%.64s: its size is wrong, or it breaks off",
                             file.name);
        file.bytes = block + BLOCK;
        file.size = (size_t)size;
        type = block[TYPE];
        size = (size + BLOCK - 1) / BLOCK * BLOCK;
        tar->at = size > left - BLOCK ? tar->end : file.bytes + size;
        if (type == '0' || type == '\0') {
            *ret_more = true;
            *ret_file = file;
            return LQ_OK;
        }
        if (type != '5' && ((type != 'x' && type != 'g') || renames(file.bytes, file.size)))
            return error_set(error, LQ_ERR_UNSUPPORTED,
                             "%.64s: neither a file nor a folder, or its name is too long",
                             file.name);
    }
}
