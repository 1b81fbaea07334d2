/* fit.c - fits the snapped quantizers of one layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/fit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "quant/qem.h"

#define MAX_SAMPLE   ((int64_t)1 << 20)
#define SCALE_ROUNDS 5 /* of fitting the scale alone; it hardly moves after the first */

/* Counts by code, as lq_snap_basis weighs them. */
static int count_codes(const struct lq_quantizer *quantizer, const float *values, int64_t n,
                       double *ret_counts, struct lq_error *error)
{
    struct lq_qem_stats stats = {{0}, {0}, 0};
    int status = lq_qem_add(quantizer, values, n, &stats, error);

    for (int level = 0; level < 1 << quantizer->bits; level++)
        ret_counts[quantizer->codes[level]] = stats.counts[level];
    return status;
}

/* Least squares in the scale with the codes fixed: s = <u, x> / <u, u>, u the integer levels. Keeps
 * the scale with the least error. */
static int refine_scale(struct lq_snapped_basis *basis, const float *values, int64_t n,
                        double *ret_relative_error, struct lq_error *error)
{
    struct lq_snapped_basis candidate = *basis;
    double best = -1;

    for (int round = 0; round <= SCALE_ROUNDS; round++) {
        struct lq_qem_stats stats = {{0}, {0}, 0};
        struct lq_quantizer quantizer;
        double product = 0, square = 0, relative;
        int status;

        lq_quantizer_init_snapped(&quantizer, &candidate);
        status = lq_qem_add(&quantizer, values, n, &stats, error);
        if (status != LQ_OK)
            return status;
        relative = lq_qem_relative_error(&quantizer, &stats);
        if (best < 0 || relative < best) {
            best = relative;
            *basis = candidate;
        }
        for (int level = 0; level < 1 << basis->bits; level++) {
            double u = lq_code_level(&candidate, quantizer.codes[level]);

            product += u * stats.sums[level];
            square += u * u * stats.counts[level];
        }
        if (!(product > 0) || !((float)(product / square) > 0))
            break;
        candidate.scale = (float)(product / square);
    }
    *ret_relative_error = best;
    return LQ_OK;
}

static int fit_values(enum lq_code_kind kind, const struct lq_fit_options *options,
                      const float *values, int64_t n, struct lq_snapped_basis *ret_basis,
                      double *ret_relative_error, struct lq_error *error)
{
    struct lq_snapped_basis snapped;
    struct lq_quantizer quantizer;
    double counts[LQ_MAX_LEVELS], relative;
    float basis[LQ_MAX_BITS];
    int status = options->quantizer == LQ_QUANTIZER_UNIFORM
                     ? lq_uniform_fit(kind, options->bits, values, n, options->iterations, basis,
                                      &relative, error)
                     : lq_qem_fit(kind, options->bits, values, n, options->iterations, basis,
                                  &relative, error);

    if (status != LQ_OK)
        return status;
    lq_quantizer_init(&quantizer, kind, options->bits, basis);
    status = count_codes(&quantizer, values, n, counts, error);
    if (status != LQ_OK)
        return status;
    lq_snap_basis(kind, options->bits, basis, options->grid, counts, &snapped);
    status = refine_scale(&snapped, values, n, &relative, error);
    if (status != LQ_OK)
        return status;
    *ret_basis = snapped;
    *ret_relative_error = relative;
    return LQ_OK;
}

int lq_fit_basis(enum lq_code_kind kind, const struct lq_fit_options *options, const float *values,
                 int64_t n, struct lq_snapped_basis *ret_basis, double *ret_relative_error,
                 struct lq_error *error)
{
    int64_t stride = n / MAX_SAMPLE | 1; /* odd: it visits all channels of a power of two */
    int64_t count = (n + stride - 1) / stride;
    float *sample;
    int status;

    if (stride == 1)
        return fit_values(kind, options, values, n, ret_basis, ret_relative_error, error);
    sample = lq_alloc((size_t)count, sizeof(*sample));
    if (!sample)
        return lq_fail_memory(error);
    for (int64_t i = 0; i < count; i++)
        sample[i] = values[i * stride];
    status = fit_values(kind, options, sample, count, ret_basis, ret_relative_error, error);
    free(sample);
    return status;
}

struct rows_work {
    const struct lq_fit_options *options;
    const struct lq_fit_rows *rows;
    pthread_mutex_t lock; /* of what follows */
    int status;
    struct lq_error *error;
    double error_squares, squares;
};

static void fit_row(void *context, int row, int worker)
{
    struct rows_work *work = context;
    const struct lq_fit_rows *rows = work->rows;
    const float *weights = rows->weights + (size_t)row * (size_t)rows->length;
    uint8_t *codes = rows->codes + (size_t)row * (size_t)rows->length;
    int bits = work->options->bits;
    struct lq_snapped_basis basis;
    struct lq_quantizer quantizer;
    struct lq_error error = {0};
    double relative, squares = 0;
    int status =
        fit_values(LQ_CODE_SIGNED, work->options, weights, rows->length, &basis, &relative, &error);

    (void)worker;
    if (status == LQ_OK) {
        lq_quantizer_init_snapped(&quantizer, &basis);
        memcpy(rows->basis + (size_t)row * (size_t)bits, basis.integers,
               (size_t)bits * sizeof(*rows->basis));
        rows->scale[row] = basis.scale;
        for (int k = 0; k < rows->length; k++) {
            codes[k] = (uint8_t)lq_quantizer_encode(&quantizer, weights[k]);
            squares += (double)weights[k] * weights[k];
        }
    }
    pthread_mutex_lock(&work->lock);
    if (status != LQ_OK && work->status == LQ_OK) {
        lq_error_prefix(&error, "output channel %d", row);
        work->status = lq_fail(work->error, status, "%s", error.text);
    } else if (status == LQ_OK) {
        work->error_squares += relative * squares;
        work->squares += squares;
    }
    pthread_mutex_unlock(&work->lock);
}

int lq_fit_weights(const struct lq_fit_options *options, const struct lq_fit_rows *rows,
                   struct lq_pool *pool, double *ret_relative_error, struct lq_error *error)
{
    struct rows_work work = {.options = options, .rows = rows, .error = error};

    pthread_mutex_init(&work.lock, NULL);
    lq_pool_run(pool, rows->rows, fit_row, &work);
    pthread_mutex_destroy(&work.lock);
    if (work.status == LQ_OK)
        *ret_relative_error = work.squares > 0 ? work.error_squares / work.squares : 0;
    return work.status;
}
