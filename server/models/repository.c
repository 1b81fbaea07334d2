/* repository.c - the folder that models are kept in.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "models/repository.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/log.h"
#include "models/beneath.h"
#include "models/repository_private.h"

/* What a walk over the folder finds. */
struct found {
    struct repository_file *files;
    int count, room;
};

bool repository_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-");

    return length > 0 && length < MODEL_NAME_SIZE && !name[length] && name[0] != '.';
}

int repository_open(const char *folder, struct repository **ret_repository, struct lq_error *error)
{
    struct repository *repository = calloc(1, sizeof(*repository));

    if (!repository)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    snprintf(repository->folder, sizeof(repository->folder), "%s", folder);
    repository->fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (repository->fd < 0) {
        free(repository);
        return error_set(error, LQ_ERR_IO, "models %s: %s", folder, strerror(errno));
    }
    *ret_repository = repository;
    return LQ_OK;
}

void repository_close(struct repository *repository)
{
    if (!repository)
        return;
    close(repository->fd);
    free(repository);
}

/* ------------------------------------------------------------------------------------------------
 * Listing
 */

static bool add(struct found *found, const char *name, size_t length, int64_t version, bool flat)
{
    struct repository_file *file;

    if (found->count == found->room) {
        int room = found->room ? 2 * found->room : 16;
        struct repository_file *files = realloc(found->files, (size_t)room * sizeof(*files));

        if (!files)
            return false;
        found->files = files;
        found->room = room;
    }
    file = &found->files[found->count++];
    *file = (struct repository_file){.version = version, .flat = flat};
    memcpy(file->name, name, length);
    return true;
}

/* "17" -> 17; -1: not a version's number as it would be written. */
static int64_t parse_version(const char *text)
{
    char again[24];
    long long version;

    if (text[0] < '0' || text[0] > '9')
        return -1;
    version = strtoll(text, NULL, 10);
    snprintf(again, sizeof(again), "%lld", version);
    return strcmp(text, again) == 0 ? version : -1;
}

static DIR *open_folder(const struct repository *repository, const char *path)
{
    int fd = beneath_open(repository->fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (!folder && fd >= 0)
        close(fd);
    return folder;
}

/* NAME/VERSION/ of one name. */
static bool list_versions(const struct repository *repository, const char *name,
                          struct found *found)
{
    DIR *folder = open_folder(repository, name);
    struct dirent *item;
    bool room = true;

    while (folder && room && (item = readdir(folder))) {
        int64_t version = parse_version(item->d_name);

        if (version >= 0)
            room = add(found, name, strlen(name), version, false);
    }
    if (folder)
        closedir(folder);
    return room;
}

static bool list_item(const struct repository *repository, const char *item, struct found *found)
{
    size_t length = strlen(item);
    char name[MODEL_NAME_SIZE];

    if (length <= 3 || strcmp(item + length - 3, ".lq") != 0)
        return !repository_name_is_valid(item) || list_versions(repository, item, found);
    if (length - 3 < sizeof(name)) {
        memcpy(name, item, length - 3);
        name[length - 3] = '\0';
        if (repository_name_is_valid(name))
            return add(found, name, length - 3, 1, true);
    }
    log_message(LOG_WARNING, "model_skipped", "%s/%s: the name cannot stand in a URL",
                repository->folder, item);
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct repository_file *x = a, *y = b;
    int names = strcmp(x->name, y->name);

    return names ? names : (x->version > y->version) - (x->version < y->version);
}

int repository_list(struct repository *repository, struct repository_file **ret_files,
                    int *ret_count, struct lq_error *error)
{
    DIR *folder = open_folder(repository, ".");
    struct found found = {NULL, 0, 0};
    struct dirent *item;
    bool room = true;

    if (!folder)
        return error_set(error, LQ_ERR_IO, "models %s: %s", repository->folder, strerror(errno));
    while (room && (item = readdir(folder)))
        room = item->d_name[0] == '.' || list_item(repository, item->d_name, &found);
    closedir(folder);
    if (!room) {
        free(found.files);
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    }
    if (found.count > 1)
        qsort(found.files, (size_t)found.count, sizeof(*found.files), compare);
    *ret_files = found.files;
    *ret_count = found.count;
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Reading
 */

void repository_path(const struct repository_file *file, char *ret_path, size_t size)
{
    if (file->flat)
        snprintf(ret_path, size, "%s.lq", file->name);
    else
        snprintf(ret_path, size, "%s/%lld/%s", file->name, (long long)file->version,
                 file->latent ? REPOSITORY_LATENT : REPOSITORY_MODEL);
}

/* The file, open, and its stamp. */
static int open_file(const struct repository *repository, const struct repository_file *file,
                     int *ret_fd, struct repository_stamp *ret_stamp, struct lq_error *error)
{
    char path[REPOSITORY_PATH_SIZE];
    struct stat info;
    int fd, status = LQ_OK;

    repository_path(file, path, sizeof(path));
    fd = beneath_open(repository->fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(error, errno == ENOENT ? LQ_ERR_NOT_FOUND : LQ_ERR_IO,
                         "cannot open %s: %s", path,
                         errno == EXDEV ? "it leads out of the folder" : strerror(errno));
    if (fstat(fd, &info) != 0)
        status = error_set(error, LQ_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = error_set(error, LQ_ERR_IO, "%s is not a regular file", path);
    if (status != LQ_OK) {
        close(fd);
        return status;
    }
    *ret_stamp = (struct repository_stamp){info.st_dev, info.st_ino, info.st_size, info.st_mtim,
                                           info.st_ctim};
    *ret_fd = fd;
    return LQ_OK;
}

int repository_stamp(struct repository *repository, const struct repository_file *file,
                     struct repository_stamp *ret_stamp, struct lq_error *error)
{
    int fd, status = open_file(repository, file, &fd, ret_stamp, error);

    if (status == LQ_OK)
        close(fd);
    return status;
}

static bool times_equal(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool repository_stamps_equal(const struct repository_stamp *a, const struct repository_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           times_equal(&a->modified, &b->modified) && times_equal(&a->changed, &b->changed);
}

/* Fewer bytes than `size`: it is being written. */
static int read_whole(int fd, uint8_t *bytes, size_t size, struct lq_error *error)
{
    size_t got = 0;

    while (got < size) {
        ssize_t piece = read(fd, bytes + got, size - got);

        if (piece < 0 && errno == EINTR)
            continue;
        if (piece < 0)
            return error_set(error, LQ_ERR_IO, "cannot read: %s", strerror(errno));
        if (piece == 0)
            return error_set(error, LQ_ERR_FORMAT, "the file shrank while it was read");
        got += (size_t)piece;
    }
    return LQ_OK;
}

int repository_bytes(struct repository *repository, const struct repository_file *file,
                     struct repository_bytes *ret_bytes, struct repository_stamp *ret_stamp,
                     struct lq_error *error)
{
    struct repository_bytes bytes = {NULL, 0};
    struct repository_stamp stamp;
    int fd, status = open_file(repository, file, &fd, &stamp, error);

    if (status != LQ_OK)
        return status;
    bytes.size = (size_t)stamp.size;
    bytes.bytes = mmap(NULL, bytes.size ? bytes.size : 1, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes.bytes == MAP_FAILED) {
        close(fd);
        return error_set(error, LQ_ERR_MEMORY, "no memory for a file of %zu bytes", bytes.size);
    }
    status = read_whole(fd, bytes.bytes, bytes.size, error);
    close(fd);
    if (status != LQ_OK) {
        repository_bytes_free(&bytes);
        return status;
    }
    *ret_bytes = bytes;
    *ret_stamp = stamp;
    return LQ_OK;
}

void repository_bytes_free(struct repository_bytes *bytes)
{
    if (bytes->bytes)
        munmap(bytes->bytes, bytes->size ? bytes->size : 1);
    bytes->bytes = NULL;
}

int repository_read(struct repository *repository, const struct repository_file *file,
                    const struct lq_engine *engine, struct lq_model **ret_model,
                    struct repository_stamp *ret_stamp, struct lq_error *error)
{
    struct repository_bytes bytes;
    struct repository_stamp stamp;
    int status = repository_bytes(repository, file, &bytes, &stamp, error);

    if (status != LQ_OK)
        return status;
    status = lq_model_open_memory(engine, bytes.bytes, bytes.size, ret_model, error);
    repository_bytes_free(&bytes);
    if (status == LQ_OK)
        *ret_stamp = stamp;
    return status;
}

int repository_latent(struct repository *repository, const char *name, int64_t version,
                      struct repository_bytes *ret_bytes, struct lq_error *error)
{
    struct repository_file file = {.version = version, .latent = true};
    struct repository_stamp stamp;
    struct lq_error failure = {0};
    int status;

    *ret_bytes = (struct repository_bytes){NULL, 0};
    snprintf(file.name, sizeof(file.name), "%s", name);
    status = repository_bytes(repository, &file, ret_bytes, &stamp, &failure);
    if (status == LQ_OK || status == LQ_ERR_NOT_FOUND)
        return LQ_OK;
    return error_set(error, status, "%s", failure.text);
}

int repository_content(struct repository *repository, const char *name, int64_t version,
                       struct repository_content *ret_content, struct lq_error *error)
{
    struct repository_content content = {{NULL, 0}, {NULL, 0}};
    struct repository_stamp stamp;
    struct repository_file *files;
    int count, found = -1, status = repository_list(repository, &files, &count, error);

    if (status != LQ_OK)
        return status;
    for (int i = 0; i < count; i++)
        if (strcmp(files[i].name, name) == 0 && files[i].version == version)
            found = i;
    status = found < 0 ? error_set(error, LQ_ERR_NOT_FOUND, "no version %lld of model '%s'",
                                   (long long)version, name)
                       : repository_bytes(repository, &files[found], &content.model, &stamp, error);
    if (status == LQ_OK)
        status = repository_latent(repository, name, version, &content.latent, error);
    free(files);
    if (status == LQ_OK)
        *ret_content = content;
    else
        repository_content_free(&content);
    return status;
}

void repository_content_free(struct repository_content *content)
{
    repository_bytes_free(&content->model);
    repository_bytes_free(&content->latent);
}
