/* sorted.h - values in ascending order, so that a quantizer's statistics cost a few searches.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_QUANT_SORTED_H
#define LQ_QUANT_SORTED_H

#include "quant/qem.h"

/* Values in ascending order with prefix sums: sums[i] = values[0] + ... + values[i-1]. */
struct lq_sorted {
    int64_t n;
    float *values;
    double *sums;
    double sum_squares;
};

/* Errors: LQ_ERR_NUMERIC (names the index), LQ_ERR_MEMORY. */
int lq_sorted_init(struct lq_sorted *sorted, const float *values, int64_t n,
                   struct lq_error *error) LQ_MUST_CHECK;
void lq_sorted_deinit(struct lq_sorted *sorted);

/* What lq_qem_add would count: one binary search for each threshold. */
void lq_sorted_stats(const struct lq_sorted *sorted, const struct lq_quantizer *quantizer,
                     struct lq_qem_stats *ret_stats);

#endif
