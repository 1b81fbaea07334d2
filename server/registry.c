/* registry.c - the models that are served: those of a folder, opened at start.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "registry.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "text.h"

struct registry {
    struct registry_entry *entries;
    int count, room;
};

bool registry_name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789._-");

    return length > 0 && length < REGISTRY_MAX_NAME && !name[length] && name[0] != '.';
}

static int add(struct registry *registry, const struct lq_engine *engine, const char *name,
               int64_t version, const char *path, struct lq_error *error)
{
    struct registry_entry *entry;
    struct lq_error failure = {0};

    if (registry_find(registry, name, NULL))
        return error_set(error, LQ_ERR_INVALID, "%s: model '%s' is there twice", path, name);
    if (registry->count == registry->room) {
        int room = registry->room ? 2 * registry->room : 16;
        struct registry_entry *entries =
            realloc(registry->entries, (size_t)room * sizeof(*entries));

        if (!entries)
            return error_set(error, LQ_ERR_MEMORY, "out of memory");
        registry->entries = entries;
        registry->room = room;
    }
    entry = &registry->entries[registry->count];
    *entry = (struct registry_entry){.version = version, .index = registry->count++};
    snprintf(entry->name, sizeof(entry->name), "%s", name);
    snprintf(entry->path, sizeof(entry->path), "%s", path);
    snprintf(entry->version_text, sizeof(entry->version_text), "%lld", (long long)version);
    if (lq_model_open(engine, path, &entry->model, &failure) != LQ_OK)
        snprintf(entry->reason, sizeof(entry->reason), "%s", failure.text);
    return LQ_OK;
}

/* The highest number among a folder's entries, or -1. */
static int64_t highest_version(const char *folder)
{
    DIR *directory = opendir(folder);
    struct dirent *item;
    int64_t highest = -1;

    while (directory && (item = readdir(directory))) {
        char *end;
        long long version = strtoll(item->d_name, &end, 10);

        if (*end == '\0' && item->d_name[0] >= '0' && item->d_name[0] <= '9' && version > highest)
            highest = version;
    }
    if (directory)
        closedir(directory);
    return highest;
}

static int add_item(struct registry *registry, const struct lq_engine *engine, const char *folder,
                    const char *item, struct lq_error *error)
{
    size_t length = strlen(item);
    char path[PATH_MAX], name[REGISTRY_MAX_NAME];
    struct stat info;
    int64_t version;

    snprintf(path, sizeof(path), "%s/%s", folder, item);
    if (item[0] == '.' || stat(path, &info) != 0)
        return LQ_OK;
    if (S_ISREG(info.st_mode) && length > 3 && length - 3 < sizeof(name) &&
        strcmp(item + length - 3, ".lq") == 0) {
        snprintf(name, sizeof(name), "%.*s", (int)(length - 3), item);
        if (registry_name_is_valid(name))
            return add(registry, engine, name, 1, path, error);
        log_message(LOG_WARNING, "model_skipped", "%s: the name cannot stand in a URL", path);
        return LQ_OK;
    }
    if (!S_ISDIR(info.st_mode) || !registry_name_is_valid(item))
        return LQ_OK;
    version = highest_version(path);
    if (version < 0)
        return LQ_OK;
    if ((size_t)snprintf(path, sizeof(path), "%s/%s/%lld/model.lq", folder, item,
                         (long long)version) >= sizeof(path))
        return LQ_OK;
    return add(registry, engine, item, version, path, error);
}

int registry_open(const struct lq_engine *engine, const char *folder,
                  struct registry **ret_registry, struct lq_error *error)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    struct dirent **items = NULL;
    int count, status = LQ_OK;

    if (!registry)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    count = scandir(folder, &items, NULL, alphasort);
    if (count < 0)
        status = error_set(error, LQ_ERR_IO, "models %s: %s", folder, strerror(errno));
    for (int i = 0; i < count && status == LQ_OK; i++)
        status = add_item(registry, engine, folder, items[i]->d_name, error);
    for (int i = 0; i < count; i++)
        free(items[i]);
    free(items);
    if (status == LQ_OK)
        *ret_registry = registry;
    else
        registry_close(registry);
    return status;
}

void registry_log(const struct registry *registry)
{
    for (int i = 0; i < registry->count; i++) {
        const struct registry_entry *entry = &registry->entries[i];
        struct log_line line;

        log_begin(&line, entry->model ? LOG_INFO : LOG_ERROR,
                  entry->model ? "model_loaded" : "model_failed");
        log_string(&line, "model", entry->name);
        log_string(&line, "version", entry->version_text);
        log_string(&line, "path", entry->path);
        if (!entry->model)
            log_string(&line, "reason", entry->reason);
        log_end(&line);
    }
}

void registry_close(struct registry *registry)
{
    if (!registry)
        return;
    for (int i = 0; i < registry->count; i++)
        lq_model_unref(registry->entries[i].model);
    free(registry->entries);
    free(registry);
}

int registry_count(const struct registry *registry)
{
    return registry->count;
}

const struct registry_entry *registry_at(const struct registry *registry, int index)
{
    return &registry->entries[index];
}

const struct registry_entry *registry_find(const struct registry *registry, const char *name,
                                           const char *version)
{
    for (int i = 0; i < registry->count; i++)
        if (strcmp(registry->entries[i].name, name) == 0)
            return !version || strcmp(registry->entries[i].version_text, version) == 0
                       ? &registry->entries[i]
                       : NULL;
    return NULL;
}
