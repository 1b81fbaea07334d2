/* loader.h - training batches, read and augmented ahead by threads of their own.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Which images make a batch, in which order, and how each is augmented follow from the seed, the
 * epoch and the place in it alone, so training can go on from any batch. An epoch is a permutation
 * of the images; what is left after the last full batch is left out.
 */
#ifndef LQ_TRAIN_LOADER_H
#define LQ_TRAIN_LOADER_H

#include "train/dataset.h"

struct lq_loader_options {
    const struct lq_dataset *dataset;
    int batch;
    int threads; /* that read, 1..64 */
    uint64_t seed;
    const struct lq_preprocess *preprocess;
    int channels;
    struct lq_augmentation augmentation;
};

struct lq_batch {
    float *input; /* [batch][height][width][channels] */
    int *labels;
};

struct lq_loader;

/* Starts to read batch `first`. Errors: LQ_ERR_MEMORY, LQ_ERR_INVALID (no images). */
int lq_loader_create(const struct lq_loader_options *options, int64_t first,
                     struct lq_loader **ret_loader, struct lq_error *error) LQ_MUST_CHECK;
void lq_loader_destroy(struct lq_loader *loader);
/* Images of an epoch, full batches or not; and the batches of an epoch, at least 1. */
int64_t lq_loader_images(const struct lq_loader *loader);
int64_t lq_loader_batches(const struct lq_loader *loader);
/* Images of a batch: options->batch, or all there are where those are fewer. */
int lq_loader_batch(const struct lq_loader *loader);

/* The next batch, valid until the call after. Errors: those of reading an image. */
int lq_loader_next(struct lq_loader *loader, const struct lq_batch **ret_batch,
                   struct lq_error *error) LQ_MUST_CHECK;

#endif
