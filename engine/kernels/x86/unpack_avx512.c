/* unpack_avx512.c - weights in bytes from their codes of 2 bits: VPSHUFB picks the levels.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

#include <immintrin.h>

void lq_unpack_codes_avx512(const struct lq_codes *p, int8_t *ret_w)
{
    /* a table of four lanes lies in each 128 bits: bits 2 and 3 of an index are the lane */
    const __m512i lane = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const __m512i low = _mm512_set1_epi8(LQ_UNPACK_LEVELS - 1);
    const __m512i *codes = (const void *)p->codes, *levels = (const void *)p->levels;
    __m512i *w = (void *)ret_w;

    for (int panel = 0; panel < p->panels; panel++, levels++)
        for (int k = 0; k < p->length; k += LQ_UNPACK_LENGTH) {
            __m512i words = *codes++;

            for (int i = 0; i < LQ_UNPACK_WORDS; i++) {
                /* (words & low) | lane */
                __m512i index = _mm512_ternarylogic_epi32(words, low, lane, 0xea);

                *w++ = _mm512_shuffle_epi8(*levels, index);
                words = _mm512_srli_epi16(words, 2);
            }
        }
}
