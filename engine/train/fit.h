/* fit.h - fits the snapped quantizers of one layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_FIT_H
#define LQ_TRAIN_FIT_H

#include "base/pool.h"
#include "quant/quantizer.h"
#include "lq_learn.h"

struct lq_fit_options {
    enum lq_quantizer_kind quantizer;
    int bits, grid; /* grid: in force, not 0 */
    int iterations;
    int64_t sample; /* at most about so many values are looked at, evenly spread over all; 0: a
                       million */
};

/* Learns a basis on the grid from n values (lq_qem_fit_grid). *ret_relative_error is that of the
 * snapped quantizer. Errors: LQ_ERR_NUMERIC, LQ_ERR_MEMORY. */
int lq_fit_basis(enum lq_code_kind kind, const struct lq_fit_options *options, const float *values,
                 int64_t n, struct lq_snapped_basis *ret_basis, double *ret_relative_error,
                 struct lq_error *error) LQ_MUST_CHECK;

/* Rows of weights (one output channel each), every one with a basis of its own. Fills codes (one a
 * byte) [rows][length], basis [rows][bits], scale [rows]. */
struct lq_fit_rows {
    const float *weights; /* [rows][length] */
    int rows, length;
    uint8_t *codes;
    int16_t *basis;
    float *scale;
};
/* *ret_relative_error is over all rows. Errors: LQ_ERR_NUMERIC (naming the row), LQ_ERR_MEMORY. */
int lq_fit_weights(const struct lq_fit_options *options, const struct lq_fit_rows *rows,
                   struct lq_pool *pool, double *ret_relative_error,
                   struct lq_error *error) LQ_MUST_CHECK;

/* Quicker, for many rows that are alike, as initial weights are: one basis is learned on a sample
 * of all rows, each divided by its root mean square; every row takes one alternation from there,
 * and is snapped. */
int lq_fit_weights_pooled(const struct lq_fit_options *options, const struct lq_fit_rows *rows,
                          struct lq_pool *pool, double *ret_relative_error,
                          struct lq_error *error) LQ_MUST_CHECK;

#endif
