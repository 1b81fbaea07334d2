/* grid_fit.c - fits a basis on the grid of integers times one scale.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Snapping a learned basis rounds it, and on a coarse grid that can cost more than learning won
 * over evenly spaced levels. So the snapped basis is only a start: on the grid the error has
 * finitely many neighbours to look at (one integer one step up or down), each of which costs a few
 * binary searches in the sorted values.
 */
#include <float.h>
#include <string.h>

#include "quant/sorted.h"

#define SCALE_ROUNDS 4 /* of encoding and fitting the scale alone; it settles after one or two */
#define MAX_CLIMBS   64

struct point {
    struct lq_snapped_basis basis;
    double error;
};

static double error_of(const struct lq_sorted *sorted, const struct lq_snapped_basis *basis,
                       float *ret_best_scale)
{
    struct lq_qem_stats stats;
    struct lq_quantizer quantizer;
    double product = 0, square = 0;

    lq_quantizer_init_snapped(&quantizer, basis);
    lq_sorted_stats(sorted, &quantizer, &stats);
    for (int level = 0; level < 1 << basis->bits; level++) {
        double u = lq_code_level(basis, quantizer.codes[level]);

        product += u * stats.sums[level];
        square += u * u * stats.counts[level];
    }
    *ret_best_scale = product > 0 && product / square >= FLT_MIN && product / square <= FLT_MAX
                          ? (float)(product / square)
                          : basis->scale;
    return lq_qem_relative_error(&quantizer, &stats);
}

/* Least squares in the scale with the codes fixed, and encoding, by turns. */
static void fit_scale(const struct lq_sorted *sorted, struct point *point)
{
    struct lq_snapped_basis candidate = point->basis;

    for (int round = 0; round <= SCALE_ROUNDS; round++) {
        float scale;
        double error = error_of(sorted, &candidate, &scale);

        if (round == 0 || error < point->error) {
            point->basis = candidate;
            point->error = error;
        }
        candidate.scale = scale;
    }
}

static int sum_magnitudes(const struct lq_snapped_basis *basis)
{
    int sum = 0;

    for (int i = 0; i < basis->bits; i++)
        sum += basis->integers[i] < 0 ? -basis->integers[i] : basis->integers[i];
    return sum;
}

/* The best neighbour one step away, if it is better. */
static bool step(const struct lq_sorted *sorted, struct point *point)
{
    struct point best = *point;

    for (int i = 0; i < point->basis.bits; i++)
        for (int move = -1; move <= 1; move += 2) {
            struct point neighbour = *point;
            int sum;

            neighbour.basis.integers[i] = (int16_t)(neighbour.basis.integers[i] + move);
            sum = sum_magnitudes(&neighbour.basis);
            if (sum > point->basis.grid || sum == 0)
                continue;
            fit_scale(sorted, &neighbour);
            if (neighbour.error < best.error)
                best = neighbour;
        }
    if (!(best.error < point->error * (1 - 1e-9)))
        return false;
    *point = best;
    return true;
}

static void climb(const struct lq_sorted *sorted, bool even, struct point *point)
{
    fit_scale(sorted, point);
    for (int i = 0; !even && i < MAX_CLIMBS && step(sorted, point); i++)
        ;
}

/* 2^i times the largest factor that the grid allows: as fine as even levels can be. */
static void even_start(const struct lq_grid_fit *fit, const float *basis,
                       struct lq_snapped_basis *ret_basis)
{
    int factor = fit->grid / ((1 << fit->bits) - 1);

    *ret_basis =
        (struct lq_snapped_basis){fit->kind, fit->bits, fit->grid, {0}, basis[0] / (float)factor};
    if (!(ret_basis->scale >= FLT_MIN))
        ret_basis->scale = FLT_MIN;
    for (int i = 0; i < fit->bits; i++)
        ret_basis->integers[i] = (int16_t)(factor << i);
}

int lq_qem_fit_grid(const struct lq_grid_fit *fit, const float *values, int64_t n,
                    struct lq_snapped_basis *ret_basis, double *ret_relative_error,
                    struct lq_error *error)
{
    float even[LQ_MAX_BITS], learned[LQ_MAX_BITS];
    double relative;
    struct lq_sorted sorted;
    struct point best, other;
    int status =
        lq_even_fit(fit->kind, fit->bits, values, n, fit->iterations, even, &relative, error);

    if (status == LQ_OK && !fit->even)
        status =
            lq_qem_fit(fit->kind, fit->bits, values, n, fit->iterations, learned, &relative, error);
    if (status == LQ_OK)
        status = lq_sorted_init(&sorted, values, n, error);
    if (status != LQ_OK)
        return status;
    even_start(fit, even, &best.basis);
    climb(&sorted, fit->even, &best);
    if (!fit->even) {
        lq_snap_basis(fit->kind, fit->bits, learned, fit->grid, NULL, &other.basis);
        climb(&sorted, false, &other);
        if (other.error < best.error)
            best = other;
    }
    lq_sorted_deinit(&sorted);
    *ret_basis = best.basis;
    *ret_relative_error = best.error;
    return LQ_OK;
}

/* Alternation in the reals from a snapped basis, snapped again. */
static void alternate(const struct lq_sorted *sorted, const struct lq_grid_fit *fit,
                      struct lq_snapped_basis *basis)
{
    float learned[LQ_MAX_BITS];
    struct lq_quantizer quantizer;
    struct lq_qem_stats stats;

    lq_quantizer_init_snapped(&quantizer, basis);
    for (int turn = 0; turn < fit->iterations; turn++) {
        lq_sorted_stats(sorted, &quantizer, &stats);
        lq_qem_solve(&quantizer, &stats, learned);
        lq_quantizer_init(&quantizer, fit->kind, fit->bits, learned);
    }
    lq_snap_basis(fit->kind, fit->bits, quantizer.basis, fit->grid, NULL, basis);
}

int lq_qem_refine_grid(const struct lq_grid_fit *fit, const float *values, int64_t n,
                       struct lq_snapped_basis *basis, double *ret_relative_error,
                       struct lq_error *error)
{
    struct point old = {.basis = *basis}, best, other = {.basis = *basis};
    struct lq_sorted sorted;
    float scale;
    int status = lq_sorted_init(&sorted, values, n, error);

    if (status != LQ_OK)
        return status;
    old.error = error_of(&sorted, &old.basis, &scale);
    best = old;
    climb(&sorted, fit->even, &best);
    if (!fit->even) {
        alternate(&sorted, fit, &other.basis);
        climb(&sorted, false, &other);
        if (other.error < best.error)
            best = other;
    }
    lq_sorted_deinit(&sorted);
    if (!(best.error < old.error))
        best = old;
    *basis = best.basis;
    *ret_relative_error = best.error;
    return LQ_OK;
}
