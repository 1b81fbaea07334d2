/* reader.h - bounded reading of bytes that nobody vouches for.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_BASE_READER_H
#define LQ_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lq.h"

struct lq_reader {
    const uint8_t *bytes;
    size_t size, offset;
};

/* False, with the offset unmoved, where fewer bytes are left. */
bool lq_read_u8(struct lq_reader *reader, uint8_t *ret_value);
bool lq_read_u16(struct lq_reader *reader, bool big_endian, uint16_t *ret_value);
bool lq_read_u32(struct lq_reader *reader, bool big_endian, uint32_t *ret_value);
bool lq_read_u64(struct lq_reader *reader, bool big_endian, uint64_t *ret_value);
bool lq_read_skip(struct lq_reader *reader, size_t count);
/* Bytes from the current offset, without copying. */
bool lq_read_bytes(struct lq_reader *reader, size_t count, const uint8_t **ret_bytes);

/* A whole file in memory: mapped read-only where that works. Errors: LQ_ERR_IO, LQ_ERR_LIMIT (more
 * than max_bytes), LQ_ERR_INVALID (not a regular file). */
struct lq_file {
    const uint8_t *bytes;
    size_t size;
    bool mapped; /* false: a copy in memory */
};
int lq_file_map(const char *path, size_t max_bytes, struct lq_file *ret_file,
                struct lq_error *error) LQ_MUST_CHECK;
void lq_file_unmap(struct lq_file *file);
/* Its pages no longer count as this process's memory; those that are read again come from the file
 * again. Not those of a copy. */
void lq_file_release(const struct lq_file *file);

/* Replaces a file whole: temporary file in the same folder, fsync, rename, fsync of the folder.
 * `write` gets the open descriptor. */
int lq_file_replace(const char *path, int (*write)(void *context, int fd, struct lq_error *error),
                    void *context, struct lq_error *error) LQ_MUST_CHECK;
/* write(2) until everything is written. */
int lq_fd_write(int fd, const void *bytes, size_t size, struct lq_error *error) LQ_MUST_CHECK;

#endif
