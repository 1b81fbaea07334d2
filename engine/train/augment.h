/* augment.h - random changes of training images that keep their class.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_AUGMENT_H
#define LQ_TRAIN_AUGMENT_H

#include "base/rng.h"
#include "image/decode.h"

enum lq_border { LQ_BORDER_BLACK, LQ_BORDER_MEAN, LQ_BORDER_REFLECT };

struct lq_augmentation {
    int crop; /* pixels of border that is put around the image before it is cropped at random */
    enum lq_border border;
    bool flip;
};

/* Of a list as lq.h describes it. Errors: LQ_ERR_INVALID, naming the word. */
int lq_augmentation_parse(const char *text, struct lq_augmentation *ret_augmentation,
                          struct lq_error *error) LQ_MUST_CHECK;

/* In place. The colour of a mean border is taken from preprocess. Errors: LQ_ERR_MEMORY. */
int lq_augmentation_apply(const struct lq_augmentation *augmentation,
                          const struct lq_preprocess *preprocess, struct lq_rng *rng,
                          struct lq_image *image, struct lq_error *error) LQ_MUST_CHECK;

#endif
