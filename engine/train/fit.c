/* fit.c - fits the snapped quantizers of one layer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/fit.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "quant/qem.h"

#define MAX_SAMPLE ((int64_t)1 << 20)

static int fit_values(enum lq_code_kind kind, const struct lq_fit_options *options,
                      const float *values, int64_t n, struct lq_snapped_basis *ret_basis,
                      double *ret_relative_error, struct lq_error *error)
{
    struct lq_grid_fit fit = {kind, options->bits, options->grid, options->iterations,
                              options->quantizer == LQ_QUANTIZER_EVEN};

    return lq_qem_fit_grid(&fit, values, n, ret_basis, ret_relative_error, error);
}

int lq_fit_basis(enum lq_code_kind kind, const struct lq_fit_options *options, const float *values,
                 int64_t n, struct lq_snapped_basis *ret_basis, double *ret_relative_error,
                 struct lq_error *error)
{
    int64_t limit = options->sample ? options->sample : MAX_SAMPLE;
    int64_t stride = n / limit | 1; /* odd: it visits all channels of a power of two */
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
    const struct lq_snapped_basis *pooled; /* of rows with a root mean square of 1; NULL: none */
    pthread_mutex_t lock;                  /* of what follows */
    int status;
    struct lq_error *error;
    double error_squares, squares;
};

static double root_mean_square(const float *values, int64_t n)
{
    double squares = 0;

    for (int64_t i = 0; i < n; i++)
        squares += (double)values[i] * values[i];
    return sqrt(squares / (double)n);
}

/* One alternation from the pooled basis, scaled to the row. */
static int fit_from_pooled(const struct rows_work *work, const float *weights,
                           struct lq_snapped_basis *ret_basis, double *ret_relative_error,
                           struct lq_error *error)
{
    const struct lq_snapped_basis *pooled = work->pooled;
    double spread = root_mean_square(weights, work->rows->length);
    struct lq_qem_stats stats = {{0}, {0}, 0}, after = {{0}, {0}, 0};
    struct lq_quantizer quantizer;
    float basis[LQ_MAX_BITS];
    int status;

    for (int i = 0; i < pooled->bits; i++)
        basis[i] = (float)(pooled->integers[i] * (double)pooled->scale * spread);
    lq_quantizer_init(&quantizer, pooled->kind, pooled->bits, basis);
    status = lq_qem_add(&quantizer, weights, work->rows->length, &stats, error);
    if (status != LQ_OK)
        return status;
    lq_qem_solve(&quantizer, &stats, basis);
    lq_snap_basis(pooled->kind, pooled->bits, basis, pooled->grid, NULL, ret_basis);
    lq_quantizer_init_snapped(&quantizer, ret_basis);
    status = lq_qem_add(&quantizer, weights, work->rows->length, &after, error);
    if (status == LQ_OK)
        *ret_relative_error = lq_qem_relative_error(&quantizer, &after);
    return status;
}

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
    int status = work->pooled ? fit_from_pooled(work, weights, &basis, &relative, &error)
                              : fit_values(LQ_CODE_SIGNED, work->options, weights, rows->length,
                                           &basis, &relative, &error);

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

static int fit_rows(const struct lq_fit_options *options, const struct lq_fit_rows *rows,
                    const struct lq_snapped_basis *pooled, struct lq_pool *pool,
                    double *ret_relative_error, struct lq_error *error)
{
    struct rows_work work = {.options = options, .rows = rows, .pooled = pooled, .error = error};

    pthread_mutex_init(&work.lock, NULL);
    lq_pool_run(pool, rows->rows, fit_row, &work);
    pthread_mutex_destroy(&work.lock);
    if (work.status == LQ_OK)
        *ret_relative_error = work.squares > 0 ? work.error_squares / work.squares : 0;
    return work.status;
}

int lq_fit_weights(const struct lq_fit_options *options, const struct lq_fit_rows *rows,
                   struct lq_pool *pool, double *ret_relative_error, struct lq_error *error)
{
    return fit_rows(options, rows, NULL, pool, ret_relative_error, error);
}

int lq_fit_weights_pooled(const struct lq_fit_options *options, const struct lq_fit_rows *rows,
                          struct lq_pool *pool, double *ret_relative_error, struct lq_error *error)
{
    int64_t n = (int64_t)rows->rows * rows->length;
    int64_t limit = options->sample ? options->sample : MAX_SAMPLE;
    int64_t stride = n / limit | 1, count = (n + stride - 1) / stride;
    float *sample = lq_alloc((size_t)count, sizeof(*sample));
    struct lq_snapped_basis pooled;
    int64_t row = -1;
    double spread = 0;
    int status;

    if (!sample)
        return lq_fail_memory(error);
    for (int64_t i = 0; i < count; i++) {
        if (i * stride / rows->length != row) {
            row = i * stride / rows->length;
            spread = root_mean_square(rows->weights + row * rows->length, rows->length);
        }
        sample[i] = spread > 0 ? (float)(rows->weights[i * stride] / spread) : 0;
    }
    status = fit_values(LQ_CODE_SIGNED, options, sample, count, &pooled, ret_relative_error, error);
    free(sample);
    return status == LQ_OK ? fit_rows(options, rows, &pooled, pool, ret_relative_error, error)
                           : status;
}
