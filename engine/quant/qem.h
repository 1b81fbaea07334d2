/* qem.h - learns a quantizer's basis (QEM, paper section 3.2 and algorithm 1).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_QUANT_QEM_H
#define LQ_QUANT_QEM_H

#include "quant/quantizer.h"

/* What one alternation needs of the data: per level, how many values took it and their sum. One
 * pass over the values; passes over parts can be added up. sum_squares is for the error only. */
struct lq_qem_stats {
    double counts[LQ_MAX_LEVELS];
    double sums[LQ_MAX_LEVELS];
    double sum_squares;
};

/* Encodes n values with the quantizer and adds them to *stats. Errors: LQ_ERR_NUMERIC for NaN or
 * infinity (names the index). */
int lq_qem_add(const struct lq_quantizer *quantizer, const float *values, int64_t n,
               struct lq_qem_stats *stats, struct lq_error *error) LQ_MUST_CHECK;

/* The least-squares basis for fixed codes: v = (B B^T)^-1 B x. For weights with a ridge of 1e-4 on
 * the diagonal of B B^T and 1e-4 * v_old on B x, as in the authors' code; for activations the same
 * ridge relative to the mean diagonal is added only where B B^T is singular to working precision
 * (codes that no value takes), so that v_old decides in the directions the data say nothing about.
 * Solved by Cholesky in double. With no values at all the basis stays as it is. */
void lq_qem_solve(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats,
                  float *ret_basis);

/* The same for evenly spaced levels v_i = 2^i s, where only the scale s is learned. */
void lq_even_solve(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats,
                   float *ret_basis);

/* Mean squared error of the quantizer's own levels over the values counted in *stats, divided by
 * their mean square (0 where all values are 0). */
double lq_qem_relative_error(const struct lq_quantizer *quantizer,
                             const struct lq_qem_stats *stats);

/* Starting bases of the authors' code. Weights: v_i = 2^i * 0.6745 * sqrt(2 / fan) / 2^(K-1), with
 * fan = kernel_h * kernel_w * out_channels; activations: v_i = 2^i * 2 * 0.6745 / (2^K - 1). */
void lq_qem_init_weights(int bits, int64_t fan, float *ret_basis);
void lq_qem_init_activations(int bits, float *ret_basis);

/* One-shot learning on n values: `iterations` alternations from a start scaled to the data, keeping
 * the best. Several starts are tried (the authors', scaled to the data's spread, and even levels
 * up to several quantiles) since the alternation only finds a local optimum. A constant or all-zero
 * channel is represented exactly where the code allows it. Errors: LQ_ERR_NUMERIC. */
int lq_qem_fit(enum lq_code_kind kind, int bits, const float *values, int64_t n, int iterations,
               float *ret_basis, double *ret_relative_error, struct lq_error *error) LQ_MUST_CHECK;

/* Even levels, v_i = 2^i * s: the scale s with the least squared error on the values, found by
 * alternating encoding and least squares in s from several starts. Errors: LQ_ERR_NUMERIC. */
int lq_even_fit(enum lq_code_kind kind, int bits, const float *values, int64_t n, int iterations,
                float *ret_basis, double *ret_relative_error, struct lq_error *error) LQ_MUST_CHECK;

/* Fits a basis on the grid itself. From each start (learned or even bases, snapped) it climbs:
 * the scale is fitted by least squares, then single integers are moved by one as long as that
 * lowers the squared error. With `even` the integers stay 2^i times a common factor and only the
 * scale is fitted. Errors: LQ_ERR_NUMERIC, LQ_ERR_MEMORY. */
struct lq_grid_fit {
    enum lq_code_kind kind;
    int bits, grid; /* grid: in force, at least 2^bits - 1 */
    int iterations; /* of the alternation that finds the starts */
    bool even;
};
int lq_qem_fit_grid(const struct lq_grid_fit *fit, const float *values, int64_t n,
                    struct lq_snapped_basis *ret_basis, double *ret_relative_error,
                    struct lq_error *error) LQ_MUST_CHECK;

/* The same from one start, the basis as it stands, so that it moves no further than the values ask
 * for. The fit's kind, bits and grid are those of the basis. */
int lq_qem_refine_grid(const struct lq_grid_fit *fit, const float *values, int64_t n,
                       struct lq_snapped_basis *basis, double *ret_relative_error,
                       struct lq_error *error) LQ_MUST_CHECK;

/* Moving average of a basis with the zero-debiasing of TensorFlow 1's
 * assign_moving_average(zero_debias=True): after the first update the value equals the first
 * estimate, so the initial basis only decides the first encoding. Start from {0}. */
struct lq_basis_average {
    double biased[LQ_MAX_BITS];
    double weight; /* 1 - momentum^updates */
};
/* momentum: 0.9 in the paper's code. Writes the debiased average to ret_basis. */
void lq_basis_average_update(struct lq_basis_average *average, int bits, const float *estimate,
                             double momentum, float *ret_basis);

#endif
