/* finetune.h - fits the quantizers of a network to the images that it meets.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_FINETUNE_H
#define LQ_TRAIN_FINETUNE_H

#include "train/dataset.h"
#include "train/trainer.h"

/* All are kept by reference. */
struct lq_finetune_input {
    const struct lq_graph *graph;
    const struct lq_graph *teacher; /* NULL: the graph as calibrated */
    const struct lq_graph *latent;  /* NULL unless the mode needs it */
    const struct lq_dataset *dataset;
    const struct lq_kernels *kernels;
};

/* Replaces what is 0 for a default, and checks the ranges. Errors: LQ_ERR_INVALID. */
int lq_finetune_resolve(const struct lq_finetune_options *options, const struct lq_graph *graph,
                        struct lq_finetune_options *ret_options,
                        struct lq_error *error) LQ_MUST_CHECK;

/* options: in force; what names models in them is not looked at. ret_trained->latent: NULL unless
 * the mode trains it. Errors: those of lq_finetune. */
int lq_finetune_graph(const struct lq_finetune_input *input,
                      const struct lq_finetune_options *options, struct lq_trained *ret_trained,
                      struct lq_finetune_report *ret_report, struct lq_error *error) LQ_MUST_CHECK;

#endif
