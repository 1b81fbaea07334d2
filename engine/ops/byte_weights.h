/* byte_weights.h - weights of products of bytes, as levels or as codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As levels, weights of 2 bits take four times the memory of their codes. Where they are many they
 * are kept as codes and become levels in passing: that takes less than to fetch the levels from
 * beyond the cache, and leaves caches and memory to others.
 */
#ifndef LQ_OPS_BYTE_WEIGHTS_H
#define LQ_OPS_BYTE_WEIGHTS_H

#include "ops/weights.h"

struct lq_byte_weights {
    struct lq_paneling paneling;
    size_t length;         /* of a column of levels, filled up */
    const int8_t *levels;  /* [panels][length / 4][lanes][4], or NULL: */
    struct lq_codes codes; /* of all panels */
    int piece;             /* of struct lq_bytes */
    size_t scratch_bytes;  /* that a product needs */
    lq_gemm_bytes *gemm_bytes;
    lq_gemm_codes *gemm_codes;
};

/* length: of a row of levels, in runs of `run`. Errors: LQ_ERR_MEMORY. */
int lq_byte_weights_init(struct lq_byte_weights *w, struct lq_arena *arena,
                         const struct lq_step_spec *spec, const struct lq_paneling *paneling,
                         int length, int run, struct lq_error *error) LQ_MUST_CHECK;

/* The product of columns from `column` of a group on, the first one of a panel; what *product says
 * of weights is filled in. scratch: aligned to LQ_ALIGNMENT. */
void lq_byte_weights_multiply(const struct lq_byte_weights *w, int group, int column,
                              struct lq_bytes *product, uint8_t *scratch);

#endif
