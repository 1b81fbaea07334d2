/* predict.h - what networks answer to the images of a data set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_PREDICT_H
#define LQ_TRAIN_PREDICT_H

#include "graph/lower.h"
#include "train/dataset.h"

#define LQ_PREDICT_PROGRAMS 2

struct lq_predict {
    const struct lq_program *programs[LQ_PREDICT_PROGRAMS]; /* of one input size and resizing */
    int program_count;
    const struct lq_dataset *dataset;
    int64_t count;      /* of images, the first ones */
    int batch, threads; /* in force, not 0 */
    const char *stage;
    struct lq_progress progress;
    /* Called for each image, in order; outputs: a row of each program. */
    int (*see)(void *context, int64_t item, const float *const *outputs, struct lq_error *error);
    void *context;
};
/* Errors: those of decoding and of `see`, LQ_ERR_INVALID (no images), LQ_ERR_CANCELLED,
 * LQ_ERR_MEMORY. */
int lq_predict_run(const struct lq_predict *predict, struct lq_error *error) LQ_MUST_CHECK;

/* The class with the highest output, the lower one among equals. */
int lq_predict_class(const float *output, int classes);

#endif
