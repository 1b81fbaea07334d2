/* codes.h - weights in bytes from their codes of 2 bits: VPSHUFB picks the levels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_KERNELS_X86_CODES_H
#define LQ_KERNELS_X86_CODES_H

#include "kernels/kernels.h"

#include <immintrin.h>

/* `count` times LQ_CODES_BYTES of a panel's codes, by its levels; all are aligned. */
static inline __attribute__((always_inline)) void
lq_codes_unpack(const uint8_t *codes, const int8_t *levels, int count, int8_t *ret_w)
{
    /* a table of four lanes lies in each 128 bits: bits 2 and 3 of an index are the lane */
    const __m512i lane = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const __m512i low = _mm512_set1_epi8(LQ_CODES_LEVELS - 1);
    const __m512i table = _mm512_load_si512(levels);

    for (int i = 0; i < count; i++, codes += LQ_CODES_BYTES) {
        __m512i words = _mm512_load_si512(codes);

        for (int word = 0; word < LQ_CODES_WORDS; word++, ret_w += LQ_CODES_BYTES) {
            /* (words & low) | lane */
            __m512i index = _mm512_ternarylogic_epi32(words, low, lane, 0xea);

            _mm512_store_si512((void *)ret_w, _mm512_shuffle_epi8(table, index));
            words = _mm512_srli_epi16(words, 2);
        }
    }
}

/* All columns, LQ_CODES_PANELS panels after each other: they are unpacked, then multiplied. */
void lq_gemm_codes_by(lq_gemm_bytes *gemm, const struct lq_bytes *bytes,
                      const struct lq_codes *codes, int8_t *scratch);

#endif
