/* evaluate.h - accuracy of a network on a data set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_EVALUATE_H
#define LQ_TRAIN_EVALUATE_H

#include "graph/lower.h"
#include "train/dataset.h"

/* As lq_evaluate, for a program; options->form is not looked at, and batch and threads are in
 * force, not 0. */
int lq_evaluate_program(const struct lq_program *program, const struct lq_dataset *dataset,
                        const struct lq_evaluate_options *options,
                        struct lq_evaluation *ret_evaluation, struct lq_error *error) LQ_MUST_CHECK;

#endif
