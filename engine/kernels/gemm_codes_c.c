/* gemm_codes_c.c - products of levels in bytes by codes of 2 bits: the definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

/* Level k of a column, a lane of its panel. */
static int level(const struct lq_codes *codes, size_t column, size_t k)
{
    size_t panel = column / LQ_CODES_LANES, lane = column % LQ_CODES_LANES;
    size_t word = panel * (size_t)codes->length / LQ_CODES_LENGTH + k / LQ_CODES_LENGTH;
    int parts = codes->codes[word * LQ_CODES_BYTES + lane * 4 + k % 4];

    return codes->levels[column * LQ_CODES_LEVELS +
                         (parts >> k % LQ_CODES_LENGTH / 4 * 2 & (LQ_CODES_LEVELS - 1))];
}

void lq_gemm_codes_c(const struct lq_bytes *p, const struct lq_codes *codes, int8_t *scratch)
{
    size_t run = (size_t)p->rows.run;

    (void)scratch;
    for (int row = 0; row < p->rows.lines * p->rows.width; row++) {
        const uint8_t *a = p->a + lq_row_offset(&p->rows, row);

        for (int col = 0; col < p->n; col++) {
            int32_t sum = 0;

            for (size_t k = 0; k < (size_t)codes->length; k++)
                sum += a[k / run * p->rows.gap + k % run] * level(codes, (size_t)col, k);
            p->sums[(size_t)row * p->stride + (size_t)col] = sum;
        }
    }
}
