/* dataset.c - labelled images: those of folders, in memory, and parts of either.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "train/dataset_internal.h"

#define MAX_ITEMS (1 << 26)
#define MAX_NAME  256 /* of an image in memory */

int lq_dataset_add_item(struct lq_dataset *d, const struct item *item, struct lq_error *error)
{
    if (d->count == MAX_ITEMS)
        return lq_fail(error, LQ_ERR_LIMIT, "%s: more than %d images", item->name, MAX_ITEMS);
    if (d->count == d->item_room) {
        int64_t room = d->item_room ? 2 * d->item_room : 1024;
        struct item *items = realloc(d->items, (size_t)room * sizeof(*items));

        if (!items)
            return lq_fail_memory(error);
        d->items = items;
        d->item_room = room;
    }
    d->items[d->count++] = *item;
    if (item->label >= d->classes)
        d->classes = item->label + 1;
    return LQ_OK;
}

int lq_dataset_create(struct lq_dataset **ret_dataset, struct lq_error *error)
{
    struct lq_dataset *d = lq_alloc(1, sizeof(*d));

    if (!d)
        return lq_fail_memory(error);
    d->kind = KIND_MEMORY;
    *ret_dataset = d;
    return LQ_OK;
}

/* Takes bytes and name over as copies. */
static int add_bytes(struct lq_dataset *d, const char *name, const void *bytes, struct item *item,
                     struct lq_error *error)
{
    uint8_t *copy;

    if (d->kind != KIND_MEMORY || d->whole)
        return lq_fail(error, LQ_ERR_INVALID, "images are only added to data sets in memory");
    if (item->label < -1 || item->label >= DATASET_MAX_CLASSES)
        return lq_fail(error, LQ_ERR_INVALID, "%.128s: class %lld, expected 0..%d, or -1", name,
                       (long long)item->label, DATASET_MAX_CLASSES - 1);
    copy = lq_arena_alloc(&d->arena, item->size, 1);
    item->name = lq_arena_strndup(&d->arena, name, strnlen(name, MAX_NAME));
    if (!copy || !item->name)
        return lq_fail_memory(error);
    memcpy(copy, bytes, item->size);
    item->bytes = copy;
    return lq_dataset_add_item(d, item, error);
}

int lq_dataset_add_file(struct lq_dataset *dataset, const char *name, const void *bytes,
                        size_t size, int64_t label, struct lq_error *error)
{
    struct item item = {.label = label, .size = size};

    if (lq_image_format(bytes, size) == LQ_IMAGE_UNKNOWN)
        return lq_fail(error, LQ_ERR_FORMAT, "%.128s: neither JPEG nor PNG", name);
    if (size > LQ_IMAGE_LIMITS_DEFAULT.max_bytes)
        return lq_fail(error, LQ_ERR_LIMIT, "%.128s: %zu bytes, expected at most %zu", name, size,
                       LQ_IMAGE_LIMITS_DEFAULT.max_bytes);
    return add_bytes(dataset, name, bytes, &item, error);
}

int lq_dataset_add_pixels(struct lq_dataset *dataset, const uint8_t *pixels, int width, int height,
                          int64_t label, struct lq_error *error)
{
    struct item item = {.label = label, .width = width, .height = height};
    char name[32];

    if (width < 1 || height < 1 || width > LQ_IMAGE_MAX_SIDE || height > LQ_IMAGE_MAX_SIDE)
        return lq_fail(error, LQ_ERR_INVALID, "an image of %d x %d pixels", width, height);
    item.size = 3 * (size_t)width * (size_t)height;
    snprintf(name, sizeof(name), "image %lld", (long long)dataset->count);
    return add_bytes(dataset, name, pixels, &item, error);
}

int lq_dataset_select(const struct lq_dataset *dataset,
                      const struct lq_dataset_selection *selection, struct lq_dataset **ret_part,
                      struct lq_error *error)
{
    int64_t every = selection->every > 1 ? selection->every : 1;
    int64_t chosen = lq_dataset_count(dataset) / every;
    int64_t selected = selection->rest ? lq_dataset_count(dataset) - chosen : chosen;
    struct lq_dataset *part;

    if (selected < 1)
        return lq_fail(error, LQ_ERR_INVALID, "of %lld images, none is left",
                       (long long)lq_dataset_count(dataset));
    part = lq_alloc(1, sizeof(*part));
    if (!part)
        return lq_fail_memory(error);
    part->kind = dataset->kind;
    part->whole = dataset;
    part->classes = dataset->classes;
    part->selection = *selection;
    part->selection.every = (int)every;
    part->selected = part->count = selected;
    if (selection->limit > 0 && selection->limit < selected)
        part->count = selection->limit;
    *ret_part = part;
    return LQ_OK;
}

/* The data set that item *i of a part belongs to, and its number there. */
static const struct lq_dataset *resolve(const struct lq_dataset *d, int64_t *i)
{
    for (; d->whole; d = d->whole) {
        int64_t at = *i * d->selected / d->count; /* evenly spread */

        if (d->selection.rest)
            *i = at + at / (d->selection.every - 1);
        else
            *i = (at + 1) * d->selection.every - 1;
    }
    return d;
}

void lq_dataset_close(struct lq_dataset *dataset)
{
    if (!dataset)
        return;
    for (int i = 0; i < dataset->file_count; i++)
        lq_file_unmap(&dataset->files[i]);
    free(dataset->items);
    lq_arena_deinit(&dataset->arena);
    free(dataset);
}

int64_t lq_dataset_count(const struct lq_dataset *dataset)
{
    return dataset->count;
}

int64_t lq_dataset_classes(const struct lq_dataset *dataset)
{
    return dataset->classes;
}

const char *lq_dataset_kind(const struct lq_dataset *dataset)
{
    static const char *const kinds[] = {"cifar10", "list", "folders", "memory"};

    return kinds[dataset->kind];
}

static const uint8_t *cifar_record(const struct lq_dataset *d, int64_t i)
{
    int file = 0;

    while (i >= d->firsts[file + 1])
        file++;
    return d->files[file].bytes + (i - d->firsts[file]) * CIFAR_RECORD;
}

int64_t lq_dataset_label(const struct lq_dataset *dataset, int64_t i)
{
    const struct lq_dataset *d = resolve(dataset, &i);

    for (const struct lq_dataset *part = dataset; part->whole; part = part->whole)
        if (part->selection.hidden)
            return -1;
    return d->kind == KIND_CIFAR ? cifar_record(d, i)[0] : d->items[i].label;
}

bool lq_dataset_labelled(const struct lq_dataset *dataset)
{
    for (int64_t i = 0; i < dataset->count; i++)
        if (lq_dataset_label(dataset, i) < 0)
            return false;
    return true;
}

void lq_dataset_name(const struct lq_dataset *dataset, int64_t i, char *ret_name, size_t size)
{
    const struct lq_dataset *d = resolve(dataset, &i);

    if (d->kind == KIND_CIFAR)
        snprintf(ret_name, size, "image %lld", (long long)i);
    else
        snprintf(ret_name, size, "%s", d->items[i].name);
}

static int cifar_image(const uint8_t *planes, struct lq_image *image, struct lq_error *error)
{
    int status = lq_image_init(CIFAR_SIDE, CIFAR_SIDE, image, error);

    for (int at = 0; at < 3 * CIFAR_PLANE && status == LQ_OK; at++)
        image->pixels[3 * (at % CIFAR_PLANE) + at / CIFAR_PLANE] = planes[at];
    return status;
}

static int item_image(const struct item *item, const struct lq_image_limits *limits,
                      struct lq_image *image, struct lq_error *error)
{
    struct lq_file file = {item->bytes, item->size, false};
    int status;

    if (item->width) {
        status = lq_image_init(item->width, item->height, image, error);
        if (status == LQ_OK)
            memcpy(image->pixels, item->bytes, item->size);
        return status;
    }
    if (!item->bytes) {
        status = lq_file_map(item->name, limits->max_bytes, &file, error);
        if (status != LQ_OK)
            return status;
    }
    status = lq_image_decode(file.bytes, file.size, limits, image, error);
    if (!item->bytes)
        lq_file_unmap(&file);
    if (status != LQ_OK)
        lq_error_prefix(error, "%s", item->name);
    return status;
}

int lq_dataset_image(const struct lq_dataset *dataset, int64_t i,
                     const struct lq_image_limits *limits, struct lq_image *ret_image,
                     struct lq_error *error)
{
    const struct lq_image_limits defaults = LQ_IMAGE_LIMITS_DEFAULT;
    const struct lq_dataset *d = resolve(dataset, &i);
    struct lq_image image = {0};
    int status = d->kind == KIND_CIFAR
                     ? cifar_image(cifar_record(d, i) + 1, &image, error)
                     : item_image(&d->items[i], limits ? limits : &defaults, &image, error);

    if (status == LQ_OK)
        *ret_image = image;
    return status;
}

int lq_dataset_input(const struct lq_dataset *dataset, int64_t i,
                     const struct lq_preprocess *preprocess, int channels,
                     const struct lq_augmentation *augmentation, struct lq_rng *rng,
                     float *ret_nhwc, struct lq_error *error)
{
    struct lq_image image = {0}, fitted = {0};
    int status = lq_dataset_image(dataset, i, NULL, &image, error);

    if (status == LQ_OK)
        status = lq_preprocess_fit(preprocess, &image, &fitted, error);
    if (status == LQ_OK && augmentation)
        status = lq_augmentation_apply(augmentation, preprocess, rng, &fitted, error);
    if (status == LQ_OK)
        status = lq_preprocess_normalise(preprocess, channels, &fitted, ret_nhwc, error);
    lq_image_deinit(&fitted);
    lq_image_deinit(&image);
    return status;
}

int lq_dataset_pixels(const struct lq_dataset *dataset, int64_t i,
                      const struct lq_preprocess *preprocess, int channels, uint8_t *ret_nhwc,
                      struct lq_error *error)
{
    struct lq_image image = {0}, fitted = {0};
    int status = lq_dataset_image(dataset, i, NULL, &image, error);

    if (status == LQ_OK)
        status = lq_preprocess_fit(preprocess, &image, &fitted, error);
    if (status == LQ_OK)
        status = lq_preprocess_pixels(channels, &fitted, ret_nhwc, error);
    lq_image_deinit(&fitted);
    lq_image_deinit(&image);
    return status;
}
