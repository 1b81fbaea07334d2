/* dataset_folder.c - folders of labelled images, opened.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * CIFAR files stay mapped; of other folders only names are kept, and images are read when asked
 * for.
 */
#include "train/dataset_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/reader.h"
#include "base/status.h"

#define CIFAR_CLASSES 10
#define MAX_LIST      ((size_t)1 << 30)

static char *join(struct lq_arena *arena, const char *folder, const char *name)
{
    size_t length = strlen(folder) + strlen(name) + 2;
    char *path = lq_arena_alloc(arena, length, 1);

    if (path)
        snprintf(path, length, "%s/%s", folder, name);
    return path;
}

/* A file; path NULL: out of memory. */
static int add_file(struct lq_dataset *d, const char *path, int64_t label, struct lq_error *error)
{
    const struct item item = {.name = path, .label = label};

    return path ? lq_dataset_add_item(d, &item, error) : lq_fail_memory(error);
}

static int open_cifar_file(struct lq_dataset *d, const char *path, struct lq_error *error)
{
    struct lq_file file = {0};
    int status = lq_file_map(path, MAX_LIST, &file, error);

    if (status != LQ_OK)
        return status;
    d->files[d->file_count++] = file;
    if (file.size == 0 || file.size % CIFAR_RECORD != 0)
        return lq_fail(error, LQ_ERR_FORMAT, "%s: %zu bytes, expected a multiple of %d", path,
                       file.size, CIFAR_RECORD);
    for (size_t at = 0; at < file.size; at += CIFAR_RECORD)
        if (file.bytes[at] >= CIFAR_CLASSES)
            return lq_fail(error, LQ_ERR_FORMAT, "%s: offset %zu: class %d, expected 0..%d", path,
                           at, file.bytes[at], CIFAR_CLASSES - 1);
    d->count += (int64_t)(file.size / CIFAR_RECORD);
    d->firsts[d->file_count] = d->count;
    return LQ_OK;
}

static bool exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

static int open_cifar(struct lq_dataset *d, const char *folder, enum lq_split split,
                      struct lq_error *error)
{
    char name[32];
    int status = LQ_OK;

    d->kind = KIND_CIFAR;
    d->classes = CIFAR_CLASSES;
    if (split == LQ_SPLIT_TEST) {
        char *path = join(&d->arena, folder, "test_batch.bin");

        return path ? open_cifar_file(d, path, error) : lq_fail_memory(error);
    }
    for (int i = 1; i <= CIFAR_FILES && status == LQ_OK; i++) {
        snprintf(name, sizeof(name), "data_batch_%d.bin", i);
        char *path = join(&d->arena, folder, name);

        if (!path)
            return lq_fail_memory(error);
        if (!exists(path))
            break;
        status = open_cifar_file(d, path, error);
    }
    if (status == LQ_OK && d->file_count == 0)
        status = lq_fail(error, LQ_ERR_NOT_FOUND, "%s: no data_batch_1.bin", folder);
    return status;
}

/* A line "file name, blank, class". The name is the line up to its last blank. */
static int parse_line(struct lq_dataset *d, const char *folder, char *line, struct lq_error *error)
{
    char *end = line + strlen(line), *blank, *rest;
    long long label;

    while (end > line && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
        *--end = '\0';
    if (end == line || *line == '#')
        return LQ_OK;
    blank = end;
    while (blank > line && blank[-1] != ' ' && blank[-1] != '\t')
        blank--;
    if (blank == line)
        return lq_fail(error, LQ_ERR_FORMAT, "no blank between file name and class");
    errno = 0;
    label = strtoll(blank, &rest, 10);
    if (*rest || errno || label < 0 || label >= DATASET_MAX_CLASSES)
        return lq_fail(error, LQ_ERR_FORMAT, "class '%.32s', expected 0..%d", blank,
                       DATASET_MAX_CLASSES - 1);
    while (blank > line && (blank[-1] == ' ' || blank[-1] == '\t'))
        *--blank = '\0';
    if (!*line)
        return lq_fail(error, LQ_ERR_FORMAT, "no file name before the class");
    if (strchr(line, '/') || strcmp(line, "..") == 0 || strcmp(line, ".") == 0)
        return lq_fail(error, LQ_ERR_INVALID, "file name '%.64s' leaves the folder", line);
    return add_file(d, join(&d->arena, folder, line), label, error);
}

static int open_list(struct lq_dataset *d, const char *folder, const char *path,
                     struct lq_error *error)
{
    struct lq_file file;
    int line_number = 1, status = lq_file_map(path, MAX_LIST, &file, error);
    char *text;

    if (status != LQ_OK)
        return status;
    d->kind = KIND_LIST;
    text = lq_arena_strndup(&d->arena, file.bytes ? (const char *)file.bytes : "", file.size);
    if (text && strlen(text) != file.size)
        status = lq_fail(error, LQ_ERR_FORMAT, "%s: offset %zu: a zero byte", path, strlen(text));
    lq_file_unmap(&file);
    if (!text)
        return lq_fail_memory(error);
    for (char *line = text; *line && status == LQ_OK; line_number++) {
        char *end = line + strcspn(line, "\n");
        bool more = *end == '\n';

        *end = '\0';
        status = parse_line(d, folder, line, error);
        if (status != LQ_OK)
            lq_error_prefix(error, "%s: line %d", path, line_number);
        line = end + more;
    }
    return status;
}

/* By suffix, whatever its case. */
static bool is_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return name[0] != '.' && dot &&
           (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 ||
            strcasecmp(dot, ".png") == 0);
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void free_entries(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static int add_class(struct lq_dataset *d, const char *folder, int64_t label,
                     struct lq_error *error)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, compare_entries), status = LQ_OK;

    if (count < 0)
        return lq_fail(error, LQ_ERR_IO, "%s: cannot list: %s", folder, strerror(errno));
    for (int i = 0; i < count && status == LQ_OK; i++)
        if (is_image_name(entries[i]->d_name))
            status = add_file(d, join(&d->arena, folder, entries[i]->d_name), label, error);
    free_entries(entries, count);
    return status;
}

static int open_folders(struct lq_dataset *d, const char *folder, struct lq_error *error)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, compare_entries), status = LQ_OK;
    int64_t label = 0;

    if (count < 0)
        return lq_fail(error, errno == ENOENT ? LQ_ERR_NOT_FOUND : LQ_ERR_IO, "%s: cannot list: %s",
                       folder, strerror(errno));
    d->kind = KIND_FOLDERS;
    for (int i = 0; i < count && status == LQ_OK; i++) {
        struct stat info;
        char *path = join(&d->arena, folder, entries[i]->d_name);

        if (!path)
            status = lq_fail_memory(error);
        else if (entries[i]->d_name[0] != '.' && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            status = add_class(d, path, label++, error);
    }
    free_entries(entries, count);
    if (status == LQ_OK && d->count == 0)
        status = lq_fail(error, LQ_ERR_NOT_FOUND,
                         "%s: no CIFAR files, no labels.txt, and no folders of JPEG or PNG images",
                         folder);
    return status;
}

int lq_dataset_open(const char *path, enum lq_split split, struct lq_dataset **ret_dataset,
                    struct lq_error *error)
{
    struct lq_dataset *d = lq_alloc(1, sizeof(*d));
    char *test, *train, *list;
    int status;

    if (!d)
        return lq_fail_memory(error);
    test = join(&d->arena, path, "test_batch.bin");
    train = join(&d->arena, path, "data_batch_1.bin");
    list = join(&d->arena, path, "labels.txt");
    if (!test || !train || !list)
        status = lq_fail_memory(error);
    else if (exists(test) || exists(train))
        status = open_cifar(d, path, split, error);
    else if (exists(list))
        status = open_list(d, path, list, error);
    else
        status = open_folders(d, path, error);
    if (status == LQ_OK && d->count == 0)
        status = lq_fail(error, LQ_ERR_FORMAT, "%s: no images", path);
    if (status == LQ_OK)
        *ret_dataset = d;
    else
        lq_dataset_close(d);
    return status;
}
