/* qem.c - learns a quantizer's basis by alternating encoding and least squares.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The paper (section 3.2, algorithm 1) looks for the basis v and the codes B that minimize
 * |B^T v - x|^2 over the data x, by turns: with v fixed, every x takes its nearest level (eq. 5);
 * with B fixed, v = (B B^T)^-1 B x (eq. 7). Neither turn can raise the error, so it converges, to a
 * local optimum that depends on where it starts.
 *
 * A level's code is the same for all the values that take it, so both matrices are sums over
 * levels, not over values: B B^T = sum_l n_l e_l e_l^T and B x = sum_l s_l e_l, with n_l values
 * that sum to s_l. That is all a turn needs of the data (struct lq_qem_stats). One-shot fits go
 * further: the values are sorted once and their prefix sums kept, and a turn then costs one binary
 * search per threshold, whatever the number of values.
 */
#include "quant/qem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "quant/sorted.h"

#define RIDGE 1e-4 /* of the authors' code */

int lq_qem_add(const struct lq_quantizer *quantizer, const float *values, int64_t n,
               struct lq_qem_stats *stats, struct lq_error *error)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return lq_fail(error, LQ_ERR_NUMERIC, "value %lld is %f", (long long)i,
                           (double)values[i]);
    for (int64_t i = 0; i < n; i++) {
        int level = lq_quantizer_level(quantizer, values[i]);

        stats->counts[level] += 1;
        stats->sums[level] += values[i];
        stats->sum_squares += (double)values[i] * values[i];
    }
    return LQ_OK;
}

/* Bit i of a code as the number that multiplies basis value i. */
static double code_bit(const struct lq_quantizer *quantizer, int level, int i)
{
    int bit = quantizer->codes[level] >> i & 1;

    return quantizer->kind == LQ_CODE_SIGNED ? 2 * bit - 1 : bit;
}

/* Solves a x = b for a symmetric positive definite a (lower half, row stride LQ_MAX_BITS) in place
 * by Cholesky; false where a pivot falls below `least`. */
static bool solve_cholesky(int n, double (*a)[LQ_MAX_BITS], double *b, double least)
{
    for (int row = 0; row < n; row++) {
        for (int col = 0; col <= row; col++) {
            for (int k = 0; k < col; k++)
                a[row][col] -= a[row][k] * a[col][k];
            if (col < row)
                a[row][col] /= a[col][col];
        }
        if (!(a[row][row] > least))
            return false;
        a[row][row] = sqrt(a[row][row]);
    }
    for (int row = 0; row < n; row++) {
        for (int k = 0; k < row; k++)
            b[row] -= a[row][k] * b[k];
        b[row] /= a[row][row];
    }
    for (int row = n - 1; row >= 0; row--) {
        for (int k = row + 1; k < n; k++)
            b[row] -= a[k][row] * b[k];
        b[row] /= a[row][row];
    }
    return true;
}

/* The normal equations with a ridge towards the old basis. */
static bool solve_ridge(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats,
                        double ridge, double *ret_basis)
{
    double a[LQ_MAX_BITS][LQ_MAX_BITS] = {{0}}, trace = 0;
    int bits = quantizer->bits;

    for (int i = 0; i < bits; i++)
        ret_basis[i] = ridge * quantizer->basis[i];
    for (int level = 0; level < 1 << bits; level++)
        for (int row = 0; row < bits; row++) {
            double e = code_bit(quantizer, level, row);

            ret_basis[row] += stats->sums[level] * e;
            for (int col = 0; col <= row; col++)
                a[row][col] += stats->counts[level] * e * code_bit(quantizer, level, col);
        }
    for (int i = 0; i < bits; i++) {
        trace += a[i][i];
        a[i][i] += ridge;
    }
    /* Pivots this small against the diagonal are rounding noise of an exact zero. */
    return solve_cholesky(bits, a, ret_basis, ridge > 0 ? 0 : 1e-10 * trace / bits);
}

void lq_qem_solve(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats,
                  float *ret_basis)
{
    double basis[LQ_MAX_BITS] = {0}, count = 0;
    bool solved;

    for (int level = 0; level < 1 << quantizer->bits; level++)
        count += stats->counts[level];
    if (quantizer->kind == LQ_CODE_SIGNED)
        solved = solve_ridge(quantizer, stats, RIDGE, basis);
    else
        solved = solve_ridge(quantizer, stats, 0, basis) ||
                 solve_ridge(quantizer, stats, RIDGE * count, basis);
    for (int i = 0; i < quantizer->bits; i++)
        ret_basis[i] = solved && count > 0 && isfinite((float)basis[i]) ? (float)basis[i]
                                                                        : quantizer->basis[i];
}

double lq_qem_relative_error(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats)
{
    double squares = stats->sum_squares;

    if (!(stats->sum_squares > 0))
        return 0;
    for (int level = 0; level < 1 << quantizer->bits; level++) {
        double y = quantizer->levels[level];

        squares += y * (stats->counts[level] * y - 2 * stats->sums[level]);
    }
    return squares > 0 ? squares / stats->sum_squares : 0;
}

void lq_qem_init_weights(int bits, int64_t fan, float *ret_basis)
{
    double unit = 0.6745 * sqrt(2.0 / (double)fan) / (double)(1 << (bits - 1));

    for (int i = 0; i < bits; i++)
        ret_basis[i] = (float)(unit * (1 << i));
}

void lq_qem_init_activations(int bits, float *ret_basis)
{
    for (int i = 0; i < bits; i++)
        ret_basis[i] = (float)(2 * 0.6745 / ((1 << bits) - 1) * (1 << i));
}

void lq_basis_average_update(struct lq_basis_average *average, int bits, const float *estimate,
                             double momentum, float *ret_basis)
{
    average->weight = momentum * average->weight + (1 - momentum);
    for (int i = 0; i < bits; i++) {
        average->biased[i] = momentum * average->biased[i] + (1 - momentum) * estimate[i];
        ret_basis[i] = (float)(average->biased[i] / average->weight);
    }
}

/* One turn of the alternation: a new basis from the data that the quantizer has encoded. */
typedef void solve_function(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats,
                            float *ret_basis);

/* Evenly spaced levels leave one unknown, the scale: v_i = s 2^i, s = <u, x> / <u, u> with u the
 * integer level of each value. */
void lq_even_solve(const struct lq_quantizer *quantizer, const struct lq_qem_stats *stats,
                   float *ret_basis)
{
    double product = 0, square = 0;

    for (int level = 0; level < 1 << quantizer->bits; level++) {
        double u = 0;

        for (int i = 0; i < quantizer->bits; i++)
            u += code_bit(quantizer, level, i) * (1 << i);
        product += u * stats->sums[level];
        square += u * u * stats->counts[level];
    }
    for (int i = 0; i < quantizer->bits; i++)
        ret_basis[i] = square > 0 ? (float)(product / square * (1 << i)) : quantizer->basis[i];
}

/* The best fit found so far. */
struct fit {
    float basis[LQ_MAX_BITS];
    double error;
};

static void alternate(const struct lq_sorted *sorted, enum lq_code_kind kind, int bits,
                      const float *start, int iterations, solve_function *solve, struct fit *best)
{
    struct lq_quantizer quantizer;
    float basis[LQ_MAX_BITS];

    memcpy(basis, start, (size_t)bits * sizeof(*basis));
    for (int turn = 0; turn <= iterations; turn++) {
        struct lq_qem_stats stats;
        double error;

        lq_quantizer_init(&quantizer, kind, bits, basis);
        lq_sorted_stats(sorted, &quantizer, &stats);
        error = lq_qem_relative_error(&quantizer, &stats);
        if (error < best->error) {
            best->error = error;
            memcpy(best->basis, basis, sizeof(best->basis));
        }
        solve(&quantizer, &stats, basis);
    }
}

/* Starts: even levels whose top is a fraction of the largest magnitude. A heavy tail wants a low
 * one, many bits a high one. */
static const double top_fractions[] = {1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.12};

static int fit(enum lq_code_kind kind, int bits, const float *values, int64_t n, int iterations,
               solve_function *solve, struct fit *ret_fit, struct lq_error *error)
{
    struct lq_sorted sorted;
    struct fit best = {{0}, INFINITY};
    double largest = 0;
    int status = lq_sorted_init(&sorted, values, n, error);

    if (status != LQ_OK)
        return status;
    if (n > 0)
        largest = fmax(fabs((double)sorted.values[0]), fabs((double)sorted.values[n - 1]));
    if (!(largest > 0))
        largest = 1e-6; /* nothing to fit: any small basis represents zeros as well as it can */
    for (size_t at = 0; at < sizeof(top_fractions) / sizeof(*top_fractions); at++) {
        float start[LQ_MAX_BITS] = {0};

        for (int i = 0; i < bits; i++)
            start[i] = (float)(largest * top_fractions[at] / ((1 << bits) - 1) * (1 << i));
        alternate(&sorted, kind, bits, start, iterations, solve, &best);
    }
    lq_sorted_deinit(&sorted);
    *ret_fit = best;
    return LQ_OK;
}

int lq_qem_fit(enum lq_code_kind kind, int bits, const float *values, int64_t n, int iterations,
               float *ret_basis, double *ret_relative_error, struct lq_error *error)
{
    struct fit best;
    int status = fit(kind, bits, values, n, iterations, lq_qem_solve, &best, error);

    if (status != LQ_OK)
        return status;
    memcpy(ret_basis, best.basis, (size_t)bits * sizeof(*ret_basis));
    *ret_relative_error = best.error;
    return LQ_OK;
}

int lq_even_fit(enum lq_code_kind kind, int bits, const float *values, int64_t n, int iterations,
                float *ret_basis, double *ret_relative_error, struct lq_error *error)
{
    struct fit best;
    int status = fit(kind, bits, values, n, iterations, lq_even_solve, &best, error);

    if (status != LQ_OK)
        return status;
    memcpy(ret_basis, best.basis, (size_t)bits * sizeof(*ret_basis));
    *ret_relative_error = best.error;
    return LQ_OK;
}
