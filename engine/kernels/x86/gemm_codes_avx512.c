/* gemm_codes_avx512.c - products of levels in bytes by codes of 2 bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/x86/codes.h"

void lq_gemm_codes_by(lq_gemm_bytes *gemm, const struct lq_bytes *bytes,
                      const struct lq_codes *codes, int8_t *scratch)
{
    const int step = LQ_CODES_PANELS * LQ_CODES_LANES;
    size_t panel_size = (size_t)codes->length * LQ_CODES_LANES;
    struct lq_bytes some = *bytes;

    some.w = scratch;
    for (int done = 0; done < bytes->n; done += step, some.sums += step) {
        some.n = bytes->n - done < step ? bytes->n - done : step;
        for (int column = 0; column < some.n; column += LQ_CODES_LANES) {
            struct lq_codes panel = lq_codes_from(codes, (size_t)done + (size_t)column);

            lq_codes_unpack(panel.codes, panel.levels, codes->length / LQ_CODES_LENGTH,
                            scratch + (size_t)(column / LQ_CODES_LANES) * panel_size);
        }
        gemm(&some);
    }
}

void lq_gemm_codes_avx512(const struct lq_bytes *bytes, const struct lq_codes *codes,
                          int8_t *scratch)
{
    lq_gemm_codes_by(lq_gemm_bytes_avx512, bytes, codes, scratch);
}
