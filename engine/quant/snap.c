/* snap.c - snaps a learned basis to integers times one scale.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The grid bounds sum |n_i|, so that the outermost level is at most grid * scale. A scale a little
 * below top / grid would let the rounded integers overshoot the grid; a factor f between 0.85 and 1
 * on the number of grid steps that the top level takes leaves room for rounding, and the factor
 * whose levels lie closest to the learned ones wins.
 */
#include "quant/quantizer.h"

#include <float.h>
#include <math.h>

enum { FACTORS = 30 };

static int sum_magnitudes(const struct lq_snapped_basis *snapped)
{
    int sum = 0;

    for (int i = 0; i < snapped->bits; i++)
        sum += snapped->integers[i] < 0 ? -snapped->integers[i] : snapped->integers[i];
    return sum;
}

/* Squared error of the snapped levels against the learned ones, code by code. */
static double snap_error(const struct lq_snapped_basis *snapped, const float *basis,
                         const double *weights)
{
    double error = 0;

    for (unsigned code = 0; code < 1u << snapped->bits; code++) {
        double level = (double)lq_code_level(snapped, code) * snapped->scale, learned = 0;

        for (int i = 0; i < snapped->bits; i++) {
            if (code >> i & 1)
                learned += basis[i];
            else if (snapped->kind == LQ_CODE_SIGNED)
                learned -= basis[i];
        }
        error += (weights ? weights[code] : 1) * (level - learned) * (level - learned);
    }
    return error;
}

void lq_snap_basis(enum lq_code_kind kind, int bits, const float *basis, int grid,
                   const double *weights, struct lq_snapped_basis *ret_snapped)
{
    struct lq_snapped_basis best = {kind, bits, grid, {0}, FLT_MIN};
    double top = 0, best_error = INFINITY;

    for (int i = 0; i < bits; i++) {
        top += fabs((double)basis[i]);
        best.integers[i] = (int16_t)(1 << i); /* stands where the basis is all zeros */
    }
    for (int at = 0; at <= FACTORS; at++) {
        struct lq_snapped_basis candidate = {kind, bits, grid, {0}, 0};
        double steps = grid * (0.85 + 0.15 * at / FACTORS), error;

        candidate.scale = (float)(top / steps);
        if (!(candidate.scale >= FLT_MIN) || !isfinite(candidate.scale))
            continue;
        for (int i = 0; i < bits; i++)
            candidate.integers[i] = (int16_t)lrint(basis[i] * steps / top);
        error = snap_error(&candidate, basis, weights);
        if (sum_magnitudes(&candidate) <= grid && sum_magnitudes(&candidate) > 0 &&
            error < best_error) {
            best_error = error;
            best = candidate;
        }
    }
    *ret_snapped = best;
}
