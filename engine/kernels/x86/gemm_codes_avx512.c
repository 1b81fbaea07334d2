/* gemm_codes_avx512.c - products of levels in bytes by codes of 2 bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/x86/codes.h"

void lq_gemm_codes_by(lq_gemm_bytes *gemm, const struct lq_bytes *bytes,
                      const struct lq_codes *codes, int8_t *scratch)
{
    const int step = LQ_CODES_PANELS * LQ_CODES_LANES;
    size_t length = (size_t)codes->length, words = length / LQ_CODES_LENGTH;
    const uint8_t *panel = codes->codes;
    const int8_t *levels = codes->levels;
    struct lq_bytes some = *bytes;

    some.w = scratch;
    for (int done = 0; done < bytes->n; done += step, some.sums += step) {
        some.n = bytes->n - done < step ? bytes->n - done : step;
        for (int i = 0; i < lq_panels(some.n, LQ_CODES_LANES); i++) {
            lq_codes_unpack(panel, levels, (int)words,
                            scratch + (size_t)i * length * LQ_CODES_LANES);
            panel += words * LQ_CODES_BYTES;
            levels += (size_t)LQ_CODES_LANES * LQ_CODES_LEVELS;
        }
        gemm(&some);
    }
}

void lq_gemm_codes_avx512(const struct lq_bytes *bytes, const struct lq_codes *codes,
                          int8_t *scratch)
{
    lq_gemm_codes_by(lq_gemm_bytes_avx512, bytes, codes, scratch);
}
