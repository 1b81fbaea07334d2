/* tar.h - the files of a tar archive (POSIX ustar), found where they lie.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Reads from memory, copies nothing, allocates nothing. What an archive may hold beside files and
 * folders (links, devices, names beyond 255 bytes) is refused; the headers that GNU tar and pax add
 * about times and owners are skipped. Any thread.
 */
#ifndef SERVER_TAR_H
#define SERVER_TAR_H

#include "lq.h"

#define TAR_NAME_SIZE 257 /* prefix, slash, name */

struct tar {
    const char *at, *end;
};

struct tar_file {
    char name[TAR_NAME_SIZE];
    const char *bytes;
    size_t size;
};

void tar_begin(struct tar *tar, const void *bytes, size_t size);
/* The next file; *ret_more false: the end has been reached. Errors: LQ_ERR_FORMAT (a checksum, a
 * number, an archive that is cut off), LQ_ERR_UNSUPPORTED (an entry that is neither file nor
 * folder, with its name). */
int tar_next(struct tar *tar, bool *ret_more, struct tar_file *ret_file,
             struct lq_error *error) LQ_MUST_CHECK;

#endif
