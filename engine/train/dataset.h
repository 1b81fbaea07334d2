/* dataset.h - the images of data sets (lq.h), decoded and brought to a network's input.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_DATASET_H
#define LQ_TRAIN_DATASET_H

#include "image/preprocess.h"
#include "lq_learn.h"
#include "train/augment.h"

/* The file that item i comes from, or a text that tells it apart, for messages. */
void lq_dataset_name(const struct lq_dataset *dataset, int64_t i, char *ret_name, size_t size);

/* Decoded pixels of item i. Any thread. Errors: those of lq_image_decode with the file's path in
 * front, LQ_ERR_NOT_FOUND, LQ_ERR_IO, LQ_ERR_INVALID (not a regular file). */
int lq_dataset_image(const struct lq_dataset *dataset, int64_t i,
                     const struct lq_image_limits *limits, struct lq_image *ret_image,
                     struct lq_error *error) LQ_MUST_CHECK;

/* The same, brought to a network's input: fitted, augmented (unless NULL) with random numbers from
 * rng, normalised. ret_nhwc: [height][width][channels]. */
int lq_dataset_input(const struct lq_dataset *dataset, int64_t i,
                     const struct lq_preprocess *preprocess, int channels,
                     const struct lq_augmentation *augmentation, struct lq_rng *rng,
                     float *ret_nhwc, struct lq_error *error) LQ_MUST_CHECK;

/* Fitted only: pixels as lq_session_run_pixels takes them. */
int lq_dataset_pixels(const struct lq_dataset *dataset, int64_t i,
                      const struct lq_preprocess *preprocess, int channels, uint8_t *ret_nhwc,
                      struct lq_error *error) LQ_MUST_CHECK;

#endif
