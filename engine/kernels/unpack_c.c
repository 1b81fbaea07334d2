/* unpack_c.c - weights in bytes from their codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/kernels.h"

void lq_unpack_codes_c(const struct lq_codes *p, int8_t *ret_w)
{
    const size_t table = (size_t)LQ_UNPACK_LANES * LQ_UNPACK_LEVELS;
    const uint8_t *codes = p->codes;
    const int8_t *levels = p->levels;

    for (int panel = 0; panel < p->panels; panel++, levels += table)
        for (int k = 0; k < p->length; k += LQ_UNPACK_LENGTH, codes += LQ_UNPACK_BYTES)
            for (int i = 0; i < LQ_UNPACK_WORDS; i++)
                for (size_t at = 0; at < LQ_UNPACK_BYTES; at++) {
                    size_t code = codes[at] >> 2 * i & (LQ_UNPACK_LEVELS - 1);

                    *ret_w++ = levels[at / 4 * LQ_UNPACK_LEVELS + code];
                }
}
