/* compare.h - two networks on the same images, and whether one may take the other's place.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_COMPARE_H
#define LQ_TRAIN_COMPARE_H

#include "graph/lower.h"
#include "train/dataset.h"

/* As lq_compare, for programs; batch and threads are in force, not 0. */
int lq_compare_programs(const struct lq_program *old_program, const struct lq_program *new_program,
                        const struct lq_dataset *dataset, const struct lq_compare_options *options,
                        struct lq_comparison *ret_comparison, struct lq_error *error) LQ_MUST_CHECK;

/* The probability of at least `heads` heads of `tosses` of a fair coin. */
double lq_coin_tail(int64_t tosses, int64_t heads);

#endif
