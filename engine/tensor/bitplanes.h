/* bitplanes.h - geometry of packed bit planes.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A pixel of `channels` codes of `bits` bits each is stored as 32-bit words [word][bits]: bit (c %
 * 32) of word c / 32, plane j, is bit j of the code of channel c. Unused high bits of the last word
 * are zero. So a pixel of padding is all zero words, and an im2col row is a copy of whole pixels:
 * again [word][bits].
 */
#ifndef LQ_TENSOR_BITPLANES_H
#define LQ_TENSOR_BITPLANES_H

#include <stddef.h>
#include <stdint.h>

#define LQ_WORD_BITS 32

/* Words of one plane of one pixel. */
static inline int lq_plane_words(int channels)
{
    return (channels + LQ_WORD_BITS - 1) / LQ_WORD_BITS;
}

/* Words of one pixel, all planes. */
static inline size_t lq_pixel_words(int channels, int bits)
{
    return (size_t)lq_plane_words(channels) * (size_t)bits;
}

#endif
