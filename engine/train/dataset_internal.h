/* dataset_internal.h - what the files of the data sets share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_DATASET_INTERNAL_H
#define LQ_TRAIN_DATASET_INTERNAL_H

#include "base/arena.h"
#include "base/reader.h"
#include "train/dataset.h"

#define DATASET_MAX_CLASSES (1 << 20)

#define CIFAR_SIDE   32
#define CIFAR_PLANE  (CIFAR_SIDE * CIFAR_SIDE)
#define CIFAR_RECORD (1 + 3 * CIFAR_PLANE)
#define CIFAR_FILES  64

enum kind { KIND_CIFAR, KIND_LIST, KIND_FOLDERS, KIND_MEMORY };

struct item {
    const char *name; /* of the file, read when the image is asked for, unless there are bytes: */
    int64_t label;    /* -1: not known */
    const uint8_t *bytes; /* a JPEG or PNG file; with a width: pixels [height][width][3] */
    size_t size;
    int width, height;
};

struct lq_dataset {
    enum kind kind;
    int64_t count, classes;
    struct lq_arena arena;
    struct lq_file files[CIFAR_FILES];
    int64_t firsts[CIFAR_FILES + 1]; /* item that each CIFAR file starts with */
    int file_count;
    struct item *items; /* of the other kinds */
    int64_t item_room;
    const struct lq_dataset *whole; /* what this is a part of; NULL: all above is its own */
    struct lq_dataset_selection selection;
    int64_t selected; /* items before the limit */
};

/* What the item points to must live as long as the data set. Errors: LQ_ERR_LIMIT, LQ_ERR_MEMORY.
 */
int lq_dataset_add_item(struct lq_dataset *dataset, const struct item *item,
                        struct lq_error *error) LQ_MUST_CHECK;

#endif
