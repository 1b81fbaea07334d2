/* uploads.c - labelled pictures that were uploaded for a model.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A file of an upload is MAGIC, then for each picture a struct record, its name and its bytes.
 */
#include "jobs/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/multipart.h"
#include "codec/tar.h"
#include "jobs/jobs.h"

#define MAGIC  "lqset 1\n"
#define SUFFIX ".set"
enum { PATH_SIZE = 2 * MODEL_NAME_SIZE + 16, MAGIC_SIZE = sizeof(MAGIC) - 1 };

struct record {
    int32_t label; /* -1: not known */
    uint32_t name_size;
    uint64_t size;
};

struct uploads {
    const struct config *config;
    int fd; /* of the folder */
};

static void name_file(const char *model, const char *name, char *ret_path)
{
    snprintf(ret_path, PATH_SIZE, "%s@%s" SUFFIX, model, name);
}

static int fail(const char *what, struct lq_error *error)
{
    int code = errno;

    return error_set(error, code == ENOENT ? LQ_ERR_NOT_FOUND : LQ_ERR_IO, "upload '%s': %s", what,
                     code == ENOENT ? "there is none of that name" : strerror(code));
}

int uploads_open(const struct config *config, struct uploads **ret_uploads, struct lq_error *error)
{
    struct uploads *uploads = calloc(1, sizeof(*uploads));
    char path[CONFIG_TEXT_SIZE + 16];

    if (!uploads)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    uploads->config = config;
    snprintf(path, sizeof(path), "%s/uploads", config->state);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        uploads->fd = -1;
    else
        uploads->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (uploads->fd < 0) {
        lq_error_set(error, LQ_ERR_IO, "state %s: %s", path, strerror(errno));
        free(uploads);
        return LQ_ERR_IO;
    }
    *ret_uploads = uploads;
    return LQ_OK;
}

void uploads_close(struct uploads *uploads)
{
    if (!uploads)
        return;
    close(uploads->fd);
    free(uploads);
}

/* ------------------------------------------------------------------------------------------------
 * A body, file by file
 */

struct source {
    bool tar;
    struct tar archive;
    struct multipart form;
};

struct picture {
    const char *bytes;
    size_t size;
    char name[TAR_NAME_SIZE], class[TAR_NAME_SIZE]; /* "": none */
};

static int begin(struct source *source, const struct jobs_order *order, struct lq_error *error)
{
    static const char tar[] = "application/x-tar";
    const char *type = order->type ? order->type : "";
    int status;

    source->tar = strncasecmp(type, tar, strlen(tar)) == 0;
    if (source->tar) {
        tar_begin(&source->archive, order->body, order->size);
        return LQ_OK;
    }
    status = multipart_begin(&source->form, type, order->body, order->size, error);
    if (status != LQ_ERR_UNSUPPORTED)
        return status;
    *error = (struct lq_error){0};
    return error_set(error, LQ_ERR_INVALID,
                     "Content-Type is '%.64s', expected application/x-tar or multipart/form-data",
                     type);
}

/* "./CLASS/FILE" -> CLASS, FILE. */
static int split_path(const char *path, struct picture *picture, struct lq_error *error)
{
    const char *slash;

    while (strncmp(path, "./", 2) == 0)
        path += 2;
    slash = strchr(path, '/');
    if (slash == path || (slash && (!slash[1] || strchr(slash + 1, '/'))))
        return error_set(error, LQ_ERR_INVALID, "%.128s: expected CLASS/FILE or FILE", path);
    snprintf(picture->class, sizeof(picture->class), "%.*s", slash ? (int)(slash - path) : 0, path);
    snprintf(picture->name, sizeof(picture->name), "%s", slash ? slash + 1 : path);
    return LQ_OK;
}

static int next_of_tar(struct source *source, bool *ret_more, struct picture *picture,
                       struct lq_error *error)
{
    struct tar_file file;
    int status = tar_next(&source->archive, ret_more, &file, error);

    if (status != LQ_OK || !*ret_more)
        return status;
    picture->bytes = file.bytes;
    picture->size = file.size;
    return split_path(file.name, picture, error);
}

static int next_of_form(struct source *source, bool *ret_more, struct picture *picture,
                        struct lq_error *error)
{
    struct multipart_part part;
    int status = multipart_next(&source->form, ret_more, &part, error);

    if (status != LQ_OK || !*ret_more)
        return status;
    if (!part.is_file)
        return error_set(error, LQ_ERR_INVALID, "field '%.64s' is no file", part.name);
    picture->bytes = part.bytes;
    picture->size = part.size;
    snprintf(picture->name, sizeof(picture->name), "%s", part.file_name);
    snprintf(picture->class, sizeof(picture->class), "%s",
             strcmp(part.name, "file") == 0 ? "" : part.name);
    return LQ_OK;
}

/* The class that a name stands for: a label, or else a number. */
static int find_class(const struct lq_model *model, const struct picture *picture,
                      int32_t *ret_label, struct lq_error *error)
{
    size_t length = strlen(picture->class);
    struct lq_model_info info;
    long number;

    *ret_label = -1;
    if (length == 0)
        return LQ_OK;
    lq_model_get_info(model, &info);
    for (int i = 0; i < info.label_count; i++)
        if (strcmp(lq_model_label(model, i), picture->class) == 0) {
            *ret_label = i;
            return LQ_OK;
        }
    number = length < 9 && strspn(picture->class, "0123456789") == length
                 ? strtol(picture->class, NULL, 10)
                 : -1;
    if (number < 0 || number >= info.classes)
        return error_set(error, LQ_ERR_INVALID, "%.128s: the model has no class '%.64s'",
                         picture->name, picture->class);
    *ret_label = (int32_t)number;
    return LQ_OK;
}

/* What is known of a body when it has been gone through. */
struct census {
    int64_t files, labelled, bytes;
};

static int check_picture(const struct config *config, const struct picture *picture,
                         struct lq_error *error)
{
    if (picture->size > (size_t)config->max_image_bytes)
        return error_set(error, LQ_ERR_LIMIT, "%.128s: %zu bytes are more than max_image_bytes",
                         picture->name, picture->size);
    if (lq_image_format(picture->bytes, picture->size) == LQ_IMAGE_UNKNOWN)
        return error_set(error, LQ_ERR_FORMAT, "%.128s is neither a JPEG nor a PNG file",
                         picture->name);
    return LQ_OK;
}

typedef bool write_picture(void *context, const struct record *record,
                           const struct picture *picture);

/* Through all files; each is handed to `write`, if it is given. */
static int walk(const struct config *config, const struct jobs_order *order,
                const struct lq_model *model, write_picture *write, void *context,
                struct census *ret_census, struct lq_error *error)
{
    struct source source;
    struct picture picture;
    bool more = true;
    int status = begin(&source, order, error);

    *ret_census = (struct census){0, 0, MAGIC_SIZE};
    while (status == LQ_OK) {
        struct record record = {-1, 0, 0};

        status = source.tar ? next_of_tar(&source, &more, &picture, error)
                            : next_of_form(&source, &more, &picture, error);
        if (status != LQ_OK || !more)
            break;
        status = check_picture(config, &picture, error);
        if (status == LQ_OK)
            status = find_class(model, &picture, &record.label, error);
        record.name_size = (uint32_t)strlen(picture.name);
        record.size = picture.size;
        if (status == LQ_OK && write && !write(context, &record, &picture))
            status = error_set(error, LQ_ERR_IO, "upload '%s': %s", order->name, strerror(errno));
        ret_census->files++;
        ret_census->labelled += record.label >= 0;
        ret_census->bytes +=
            (int64_t)sizeof(record) + (int64_t)record.name_size + (int64_t)record.size;
    }
    if (status == LQ_OK && ret_census->files == 0)
        status = error_set(error, LQ_ERR_INVALID, "there is no file in it");
    if (status == LQ_OK && ret_census->labelled && ret_census->labelled < ret_census->files)
        status = error_set(error, LQ_ERR_INVALID,
                           "%lld of %lld files have a class: expected all of them, or none",
                           (long long)ret_census->labelled, (long long)ret_census->files);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * The folder
 */

/* MODEL@NAME.set of this model (NULL: any); its name, or NULL. */
static const char *match(const char *file, const char *model, char *name)
{
    const char *at = strchr(file, '@');
    size_t length = strlen(file), suffix = strlen(SUFFIX);

    if (!at || length < suffix || strcmp(file + length - suffix, SUFFIX) != 0)
        return NULL;
    if (model && (strlen(model) != (size_t)(at - file) || memcmp(model, file, strlen(model)) != 0))
        return NULL;
    snprintf(name, MODEL_NAME_SIZE, "%.*s", (int)(length - suffix - (size_t)(at + 1 - file)),
             at + 1);
    return name;
}

static DIR *open_folder(const struct uploads *uploads)
{
    int fd = openat(uploads->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);

    if (!folder && fd >= 0)
        close(fd);
    return folder;
}

static int64_t size_of(const struct uploads *uploads, const char *file)
{
    struct stat info;

    return fstatat(uploads->fd, file, &info, AT_SYMLINK_NOFOLLOW) == 0 ? info.st_size : 0;
}

/* Bytes of all uploads but this one. */
static int64_t bytes_beside(const struct uploads *uploads, const char *but)
{
    DIR *folder = open_folder(uploads);
    struct dirent *item;
    int64_t bytes = 0;

    while (folder && (item = readdir(folder)))
        if (strcmp(item->d_name, but) != 0)
            bytes += item->d_name[0] == '.' ? 0 : size_of(uploads, item->d_name);
    if (folder)
        closedir(folder);
    return bytes;
}

static bool write_record(void *context, const struct record *record, const struct picture *picture)
{
    FILE *file = context;

    return fwrite(record, sizeof(*record), 1, file) == 1 &&
           fwrite(picture->name, 1, record->name_size, file) == record->name_size &&
           fwrite(picture->bytes, 1, picture->size, file) == picture->size;
}

static int write_set(const struct uploads *uploads, const struct jobs_order *order,
                     const struct lq_model *model, const char *path, struct lq_error *error)
{
    static const char made[] = ".new";
    int fd = openat(uploads->fd, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    struct census census;
    int status;

    if (!file) {
        status = fail(order->name, error);
        if (fd >= 0)
            close(fd);
        return status;
    }
    status = fwrite(MAGIC, MAGIC_SIZE, 1, file) == 1
                 ? walk(uploads->config, order, model, write_record, file, &census, error)
                 : fail(order->name, error);
    if (status == LQ_OK && (fflush(file) != 0 || fsync(fd) != 0))
        status = fail(order->name, error);
    if (fclose(file) != 0 && status == LQ_OK)
        status = fail(order->name, error);
    if (status == LQ_OK &&
        (renameat(uploads->fd, made, uploads->fd, path) != 0 || fsync(uploads->fd) != 0))
        status = fail(order->name, error);
    if (status != LQ_OK)
        unlinkat(uploads->fd, made, 0);
    return status;
}

int uploads_put(struct uploads *uploads, const struct jobs_order *order,
                const struct lq_model *model, struct text *json, struct lq_error *error)
{
    char path[PATH_SIZE];
    struct census census;
    int64_t beside;
    int status = walk(uploads->config, order, model, NULL, NULL, &census, error);

    if (status != LQ_OK)
        return status;
    name_file(order->model, order->name, path);
    beside = bytes_beside(uploads, path);
    if (beside + census.bytes > uploads->config->upload_bytes)
        return error_set(error, LQ_ERR_LIMIT,
                         "%lld bytes beside %lld of other uploads are more than upload_bytes, %lld",
                         (long long)census.bytes, (long long)beside,
                         (long long)uploads->config->upload_bytes);
    status = write_set(uploads, order, model, path, error);
    if (status != LQ_OK)
        return status;
    text_string(json, "{\"name\":");
    text_json(json, order->name);
    text_printf(json, ",\"files\":%lld,\"labelled\":%s,\"bytes\":%lld}", (long long)census.files,
                census.labelled ? "true" : "false", (long long)census.bytes);
    return LQ_OK;
}

int uploads_list(struct uploads *uploads, const char *model, struct text *json,
                 struct lq_error *error)
{
    DIR *folder = open_folder(uploads);
    char name[MODEL_NAME_SIZE];
    struct dirent *item;
    int count = 0;

    if (!folder)
        return error_set(error, LQ_ERR_IO, "uploads: %s", strerror(errno));
    text_string(json, "{\"uploads\":[");
    while ((item = readdir(folder))) {
        if (!match(item->d_name, model, name))
            continue;
        text_string(json, count++ ? ",{\"name\":" : "{\"name\":");
        text_json(json, name);
        text_printf(json, ",\"bytes\":%lld}", (long long)size_of(uploads, item->d_name));
    }
    text_string(json, "]}");
    closedir(folder);
    return LQ_OK;
}

int uploads_check(const struct uploads *uploads, const char *model, const char *name,
                  struct lq_error *error)
{
    char path[PATH_SIZE];

    name_file(model, name, path);
    return faccessat(uploads->fd, path, R_OK, AT_EACCESS) == 0 ? LQ_OK : fail(name, error);
}

int uploads_remove(struct uploads *uploads, const char *model, const char *name,
                   struct lq_error *error)
{
    char path[PATH_SIZE];

    name_file(model, name, path);
    return unlinkat(uploads->fd, path, 0) == 0 ? LQ_OK : fail(name, error);
}

/* ------------------------------------------------------------------------------------------------
 * Reading
 */

static int add_all(const char *bytes, size_t size, const char *what, struct lq_dataset *dataset,
                   struct lq_error *error)
{
    const char *at = bytes + MAGIC_SIZE, *end = bytes + size;
    int status = LQ_OK;

    if (size < MAGIC_SIZE || memcmp(bytes, MAGIC, MAGIC_SIZE) != 0)
        return error_set(error, LQ_ERR_FORMAT, "upload '%s' is damaged", what);
    while (at < end && status == LQ_OK) {
        char name[TAR_NAME_SIZE];
        struct record record;
        size_t left = (size_t)(end - at) - sizeof(record);

        if ((size_t)(end - at) < sizeof(record))
            return error_set(error, LQ_ERR_FORMAT, "upload '%s' is damaged", what);
        memcpy(&record, at, sizeof(record));
        if (record.name_size >= sizeof(name) || record.name_size > left ||
            record.size > left - record.name_size)
            return error_set(error, LQ_ERR_FORMAT, "upload '%s' is damaged", what);
        at += sizeof(record);
        memcpy(name, at, record.name_size);
        name[record.name_size] = '\0';
        at += record.name_size;
        status = lq_dataset_add_file(dataset, name, at, (size_t)record.size, record.label, error);
        at += record.size;
    }
    return status;
}

int uploads_read(const struct uploads *uploads, const char *model, const char *name,
                 struct lq_dataset **ret_dataset, struct lq_error *error)
{
    char path[PATH_SIZE];
    struct lq_dataset *dataset = NULL;
    struct stat info;
    void *bytes = MAP_FAILED;
    int fd, status;

    name_file(model, name, path);
    fd = openat(uploads->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail(name, error);
    if (fstat(fd, &info) == 0 && info.st_size > 0)
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        close(fd);
        return error_set(error, LQ_ERR_IO, "upload '%s' cannot be read", name);
    }
    close(fd);
    status = lq_dataset_create(&dataset, error);
    if (status == LQ_OK)
        status = add_all(bytes, (size_t)info.st_size, name, dataset, error);
    munmap(bytes, (size_t)info.st_size);
    if (status == LQ_OK)
        *ret_dataset = dataset;
    else
        lq_dataset_close(dataset);
    return status;
}
