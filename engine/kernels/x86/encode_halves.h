/* encode_halves.h - half words of codes by masks, for avx512.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Whoever passes a threshold passes those below it: the higher bit of a code that grows with the
 * level is the mask of the middle one, the lower bit is that of an odd number passed.
 */
#ifndef LQ_KERNELS_X86_ENCODE_HALVES_H
#define LQ_KERNELS_X86_ENCODE_HALVES_H

#include "kernels/kernels.h"

#include <immintrin.h>
#include <string.h>

/* middle: the values above the middle threshold; odd: those above an odd number of them. swapped:
 * the code of level 1 is 2. */
static inline void lq_store_half_word(bool swapped, __mmask16 middle, __mmask16 odd, uint8_t *to)
{
    memcpy(to + (swapped ? 0 : sizeof(middle)), &middle, sizeof(middle));
    memcpy(to + (swapped ? sizeof(odd) : 0), &odd, sizeof(odd));
}

#endif
