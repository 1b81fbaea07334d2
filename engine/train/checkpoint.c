/* checkpoint.c - the state of a training run in a safetensors file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/checkpoint.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/arena.h"
#include "base/size.h"
#include "base/status.h"

enum { LENGTH = 8, ALIGNMENT = 64, DIGEST = 32 };
#define MAX_BYTES        ((size_t)16 << 30)
#define MAX_HEADER_BYTES ((size_t)1 << 26)

static size_t entry_bytes(const struct lq_checkpoint_entry *entry)
{
    return entry->count * (entry->doubles ? sizeof(double) : sizeof(float));
}

static int digest_entries(const struct lq_checkpoint *checkpoint, const uint8_t *bytes,
                          char ret_digest[DIGEST + 1], struct lq_error *error)
{
    XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t hash;

    if (!state)
        return lq_fail_memory(error);
    XXH3_128bits_reset(state);
    for (int i = 0; i < checkpoint->entry_count; i++) {
        const struct lq_checkpoint_entry *entry = &checkpoint->entries[i];

        XXH3_128bits_update(state, bytes ? bytes : entry->data, entry_bytes(entry));
        bytes = bytes ? bytes + entry_bytes(entry) : NULL;
    }
    hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(ret_digest, DIGEST + 1, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64,
             (uint64_t)hash.low64);
    return LQ_OK;
}

struct file {
    const struct lq_checkpoint *checkpoint;
    uint8_t *header; /* with the length in front */
    size_t header_bytes;
};

static int build_header(struct file *file, struct lq_error *error)
{
    const struct lq_checkpoint *c = file->checkpoint;
    char digest[DIGEST + 1], step[32];
    int status = digest_entries(c, NULL, digest, error);
    json_t *root = json_object();
    size_t offset = 0, length;
    uint64_t size;
    char *text;

    if (status != LQ_OK) {
        json_decref(root);
        return status;
    }
    snprintf(step, sizeof(step), "%" PRId64, c->step);
    json_object_set_new(root, "__metadata__",
                        json_pack("{s:s, s:s, s:s, s:s, s:s}", "format", "lqnet-checkpoint",
                                  "format_version", "1", "xxh3_128", digest, "step", step,
                                  "settings", c->settings));
    for (int i = 0; i < c->entry_count; i++) {
        const struct lq_checkpoint_entry *entry = &c->entries[i];
        size_t end = offset + entry_bytes(entry);

        json_object_set_new(root, entry->name,
                            json_pack("{s:s, s:[I], s:[I, I]}", "dtype",
                                      entry->doubles ? "F64" : "F32", "shape",
                                      (json_int_t)entry->count, "data_offsets", (json_int_t)offset,
                                      (json_int_t)end));
        offset = end;
    }
    text = json_object_size(root) == (size_t)c->entry_count + 1 ? json_dumps(root, JSON_COMPACT)
                                                                : NULL;
    json_decref(root);
    length = text ? strlen(text) : 0;
    file->header_bytes = lq_size_round_up(LENGTH + length, ALIGNMENT);
    file->header = text ? malloc(file->header_bytes) : NULL;
    if (file->header) {
        size = file->header_bytes - LENGTH;
        memcpy(file->header, &size, LENGTH);
        memcpy(file->header + LENGTH, text, length);
        memset(file->header + LENGTH + length, ' ', file->header_bytes - LENGTH - length);
    }
    free(text);
    return file->header ? LQ_OK : lq_fail_memory(error);
}

static int write_file(void *context, int fd, struct lq_error *error)
{
    const struct file *file = context;
    int status = lq_fd_write(fd, file->header, file->header_bytes, error);

    for (int i = 0; i < file->checkpoint->entry_count && status == LQ_OK; i++) {
        const struct lq_checkpoint_entry *entry = &file->checkpoint->entries[i];

        status = lq_fd_write(fd, entry->data, entry_bytes(entry), error);
    }
    return status;
}

int lq_checkpoint_save(const struct lq_checkpoint *checkpoint, const char *path,
                       struct lq_error *error)
{
    struct file file = {checkpoint, NULL, 0};
    int status = build_header(&file, error);

    if (status == LQ_OK)
        status = lq_file_replace(path, write_file, &file, error);
    free(file.header);
    return status;
}

/* A string of the metadata, or "". */
static const char *metadata(const json_t *root, const char *key)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(root, "__metadata__"), key));

    return text ? text : "";
}

/* One tensor is where and what the entry says. */
static int check_entry(const json_t *root, const struct lq_checkpoint_entry *entry, size_t offset,
                       struct lq_error *error)
{
    const json_t *tensor = json_object_get(root, entry->name);
    const json_t *shape = json_object_get(tensor, "shape");
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    const char *dtype = json_string_value(json_object_get(tensor, "dtype"));
    size_t end = offset + entry_bytes(entry);

    if (!tensor)
        return lq_fail(error, LQ_ERR_INVALID, "it has no '%.64s': it is of another network",
                       entry->name);
    if (!dtype || strcmp(dtype, entry->doubles ? "F64" : "F32") != 0 ||
        json_array_size(shape) != 1 ||
        json_integer_value(json_array_get(shape, 0)) != (json_int_t)entry->count)
        return lq_fail(error, LQ_ERR_INVALID,
                       "its '%.64s' is not %zu numbers: it is of another network", entry->name,
                       entry->count);
    if (json_array_size(offsets) != 2 ||
        json_integer_value(json_array_get(offsets, 0)) != (json_int_t)offset ||
        json_integer_value(json_array_get(offsets, 1)) != (json_int_t)end)
        return lq_fail(error, LQ_ERR_FORMAT, "'%.64s' is not at %zu", entry->name, offset);
    return LQ_OK;
}

static int check(const struct lq_checkpoint *c, const json_t *root, const uint8_t *data,
                 size_t size, struct lq_error *error)
{
    char digest[DIGEST + 1];
    size_t offset = 0;
    int status;

    if (strcmp(metadata(root, "format"), "lqnet-checkpoint") != 0 ||
        strcmp(metadata(root, "format_version"), "1") != 0)
        return lq_fail(error, LQ_ERR_FORMAT, "it is no checkpoint of version 1");
    if (strcmp(metadata(root, "settings"), c->settings) != 0)
        return lq_fail(error, LQ_ERR_INVALID, "it was made with other settings: %.180s; not %.180s",
                       metadata(root, "settings"), c->settings);
    for (int i = 0; i < c->entry_count; i++) {
        status = check_entry(root, &c->entries[i], offset, error);
        if (status != LQ_OK)
            return status;
        offset += entry_bytes(&c->entries[i]);
    }
    if (json_object_size(root) != (size_t)c->entry_count + 1)
        return lq_fail(error, LQ_ERR_INVALID, "it holds more tensors: it is of another network");
    if (offset != size)
        return lq_fail(error, LQ_ERR_FORMAT, "%zu bytes of data, expected %zu", size, offset);
    status = digest_entries(c, data, digest, error);
    if (status == LQ_OK && strcmp(digest, metadata(root, "xxh3_128")) != 0)
        return lq_fail(error, LQ_ERR_FORMAT, "the data's digest is wrong: it is damaged");
    return status;
}

static int read_file(struct lq_checkpoint *c, const struct lq_file *file, struct lq_error *error)
{
    const uint8_t *data;
    uint64_t length;
    json_t *root;
    char *end;
    int status;
    int64_t step;

    if (file->size < LENGTH)
        return lq_fail(error, LQ_ERR_FORMAT, "%zu bytes are no checkpoint", file->size);
    memcpy(&length, file->bytes, LENGTH);
    if (length > MAX_HEADER_BYTES || length > file->size - LENGTH)
        return lq_fail(error, LQ_ERR_FORMAT, "a header of %" PRIu64 " bytes", length);
    root = json_loadb((const char *)file->bytes + LENGTH, (size_t)length, JSON_REJECT_DUPLICATES,
                      NULL);
    if (!root)
        return lq_fail(error, LQ_ERR_FORMAT, "its header is no JSON");
    data = file->bytes + LENGTH + length;
    status = check(c, root, data, file->size - LENGTH - (size_t)length, error);
    step = strtoll(metadata(root, "step"), &end, 10);
    if (status == LQ_OK && (step < 0 || *end || !*metadata(root, "step")))
        status = lq_fail(error, LQ_ERR_FORMAT, "its step is no number");
    json_decref(root);
    if (status != LQ_OK)
        return status;
    for (int i = 0; i < c->entry_count; i++) {
        memcpy(c->entries[i].data, data, entry_bytes(&c->entries[i]));
        data += entry_bytes(&c->entries[i]);
    }
    c->step = step;
    return LQ_OK;
}

int lq_checkpoint_load(struct lq_checkpoint *checkpoint, const char *path, struct lq_error *error)
{
    struct lq_file file;
    int status = lq_file_map(path, MAX_BYTES, &file, error);

    if (status != LQ_OK)
        return status;
    status = read_file(checkpoint, &file, error);
    lq_file_unmap(&file);
    if (status != LQ_OK)
        lq_error_prefix(error, "%s", path);
    return status;
}
