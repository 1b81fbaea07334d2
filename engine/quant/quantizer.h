/* quantizer.h - a quantizer: basis -> levels -> thresholds; encode and decode.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A code of K bits e_0..e_{K-1} stands for the level sum_i v_i e_i (paper eq. 4), where v is the
 * basis. For weights e_i is -1 or +1 (bit 0 or 1), for activations 0 or 1. Levels are sorted in
 * ascending order together with their codes; thresholds are the midpoints of neighbouring levels; x
 * takes level l where thresholds[l-1] < x <= thresholds[l] (eq. 5: strict x > t moves up). Among
 * equal levels the one with the lower index in the sorted order is never left by equality, and ties
 * in the sort go to the lower code, so the order is the same on every machine.
 */
#ifndef LQ_QUANT_QUANTIZER_H
#define LQ_QUANT_QUANTIZER_H

#include "lq.h"

#define LQ_MAX_BITS   8
#define LQ_MAX_LEVELS (1 << LQ_MAX_BITS)

enum lq_code_kind {
    LQ_CODE_SIGNED,  /* bits mean -1 and +1: weights */
    LQ_CODE_UNSIGNED /* bits mean 0 and 1: activations */
};

struct lq_quantizer {
    enum lq_code_kind kind;
    int bits;                        /* K, 1..LQ_MAX_BITS */
    float basis[LQ_MAX_BITS];        /* v */
    float levels[LQ_MAX_LEVELS];     /* 2^K, ascending */
    uint8_t codes[LQ_MAX_LEVELS];    /* the code of each level */
    float thresholds[LQ_MAX_LEVELS]; /* 2^K - 1 midpoints */
};

/* A snapped basis: basis[i] = integers[i] * scale, sum |integers[i]| <= grid. */
struct lq_snapped_basis {
    enum lq_code_kind kind;
    int bits, grid;
    int16_t integers[LQ_MAX_BITS];
    float scale; /* > 0 */
};

/* The largest level of an unsigned one. */
static inline int lq_snapped_largest(const struct lq_snapped_basis *basis)
{
    int largest = 0;

    for (int bit = 0; bit < basis->bits; bit++)
        largest += basis->integers[bit] > 0 ? basis->integers[bit] : 0;
    return largest;
}

/* Derives levels, codes and thresholds from a basis of finite numbers, of any sign and order. */
void lq_quantizer_init(struct lq_quantizer *quantizer, enum lq_code_kind kind, int bits,
                       const float *basis);
/* The same for a snapped basis: level = (sum of signed integers, exact) * scale, one rounding. */
void lq_quantizer_init_snapped(struct lq_quantizer *quantizer,
                               const struct lq_snapped_basis *snapped);

/* Index of x's level in 0..2^K-1. x must not be NaN; infinities take the outermost levels. */
int lq_quantizer_level(const struct lq_quantizer *quantizer, float x);
/* Code of x. */
static inline int lq_quantizer_encode(const struct lq_quantizer *quantizer, float x)
{
    return quantizer->codes[lq_quantizer_level(quantizer, x)];
}

/* The integer level of a code under a snapped basis: value = level * scale. */
int lq_code_level(const struct lq_snapped_basis *snapped, unsigned code);
/* The same for raw arrays; kind as above. */
int lq_code_level_raw(enum lq_code_kind kind, int bits, const int16_t *integers, unsigned code);

/* The grid in force: `grid`, or the default (31 weights, 63 activations) where it is 0, never below
 * 2^bits - 1. */
int lq_grid_or_default(enum lq_code_kind kind, int bits, int grid);
#define LQ_MAX_GRID 4095

/* Snaps a learned basis to integers times one scale: of the scales top / (grid f), about 30
 * factors f of the grid from 0.85 to 1, the one whose levels have the least squared error against
 * the learned ones, each weighted by weights[code] (its count; NULL: all equal). sum |n_i| <= grid
 * holds afterwards. A basis of zeros snaps to integers 2^i and the smallest normal scale. */
void lq_snap_basis(enum lq_code_kind kind, int bits, const float *basis, int grid,
                   const double *weights, struct lq_snapped_basis *ret_snapped);

#endif
