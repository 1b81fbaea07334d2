/* reader.c - bounded reading of bytes; files in memory; replacing files whole.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

bool lq_read_bytes(struct lq_reader *reader, size_t count, const uint8_t **ret_bytes)
{
    if (count > reader->size - reader->offset)
        return false;
    *ret_bytes = reader->bytes + reader->offset;
    reader->offset += count;
    return true;
}

bool lq_read_skip(struct lq_reader *reader, size_t count)
{
    const uint8_t *ignored;

    return lq_read_bytes(reader, count, &ignored);
}

static bool read_number(struct lq_reader *reader, int bytes, bool big_endian, uint64_t *ret_value)
{
    const uint8_t *from;
    uint64_t value = 0;

    if (!lq_read_bytes(reader, (size_t)bytes, &from))
        return false;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | from[big_endian ? i : bytes - 1 - i];
    *ret_value = value;
    return true;
}

bool lq_read_u8(struct lq_reader *reader, uint8_t *ret_value)
{
    uint64_t value;

    if (!read_number(reader, 1, false, &value))
        return false;
    *ret_value = (uint8_t)value;
    return true;
}

bool lq_read_u16(struct lq_reader *reader, bool big_endian, uint16_t *ret_value)
{
    uint64_t value;

    if (!read_number(reader, 2, big_endian, &value))
        return false;
    *ret_value = (uint16_t)value;
    return true;
}

bool lq_read_u32(struct lq_reader *reader, bool big_endian, uint32_t *ret_value)
{
    uint64_t value;

    if (!read_number(reader, 4, big_endian, &value))
        return false;
    *ret_value = (uint32_t)value;
    return true;
}

bool lq_read_u64(struct lq_reader *reader, bool big_endian, uint64_t *ret_value)
{
    return read_number(reader, 8, big_endian, ret_value);
}

static int fail_errno(struct lq_error *error, const char *path, const char *what)
{
    int status = errno == ENOMEM ? LQ_ERR_MEMORY : errno == ENOENT ? LQ_ERR_NOT_FOUND : LQ_ERR_IO;

    return lq_fail(error, status, "%s: cannot %s: %s", path, what, strerror(errno));
}

int lq_file_map(const char *path, size_t max_bytes, struct lq_file *ret_file,
                struct lq_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int status = LQ_OK;
    struct stat info;
    void *bytes = NULL;

    if (fd < 0)
        return fail_errno(error, path, "open");
    if (fstat(fd, &info) != 0)
        status = fail_errno(error, path, "read");
    else if (!S_ISREG(info.st_mode))
        status = lq_fail(error, LQ_ERR_INVALID, "%s: not a regular file", path);
    else if ((uint64_t)info.st_size > max_bytes)
        status = lq_fail(error, LQ_ERR_LIMIT, "%s: %lld bytes, at most %zu are read", path,
                         (long long)info.st_size, max_bytes);
    else if (info.st_size > 0) {
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = fail_errno(error, path, "map");
    }
    if (status == LQ_OK)
        *ret_file = (struct lq_file){bytes, (size_t)info.st_size, true};
    close(fd);
    return status;
}

void lq_file_unmap(struct lq_file *file)
{
    if (file->bytes)
        munmap((void *)file->bytes, file->size);
    *file = (struct lq_file){0};
}

void lq_file_release(const struct lq_file *file)
{
    if (file->mapped && file->bytes)
        madvise((void *)file->bytes, file->size, MADV_DONTNEED);
}

int lq_fd_write(int fd, const void *bytes, size_t size, struct lq_error *error)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        ssize_t written = write(fd, from, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return lq_fail(error, LQ_ERR_IO, "cannot write: %s", strerror(errno));
        from += written;
        size -= (size_t)written;
    }
    return LQ_OK;
}

/* A rename is only durable once its folder is. */
static int sync_folder(const char *path, struct lq_error *error)
{
    char *copy = strdup(path);
    int fd, status = LQ_OK;

    if (!copy)
        return lq_fail_memory(error);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        status = fail_errno(error, path, "flush the folder");
    if (fd >= 0)
        close(fd);
    free(copy);
    return status;
}

int lq_file_replace(const char *path,
                    int (*write_to)(void *context, int fd, struct lq_error *error), void *context,
                    struct lq_error *error)
{
    char *temporary = NULL;
    mode_t mask = umask(0);
    int fd, status;

    umask(mask);
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return lq_fail_memory(error);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        status = fail_errno(error, path, "create a temporary file beside it");
        free(temporary);
        return status;
    }
    status = write_to(context, fd, error);
    if (status != LQ_OK)
        lq_error_prefix(error, "%s", path);
    if (status == LQ_OK && (fchmod(fd, 0666 & ~mask) != 0 || fsync(fd) != 0))
        status = fail_errno(error, path, "flush");
    close(fd);
    if (status == LQ_OK && rename(temporary, path) != 0)
        status = fail_errno(error, path, "replace");
    if (status == LQ_OK)
        status = sync_folder(path, error);
    else
        unlink(temporary);
    free(temporary);
    return status;
}
