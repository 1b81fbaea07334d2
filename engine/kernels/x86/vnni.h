/* vnni.h - AVX-512's products of neighbours, added to sums of 32 bits.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As assembly, because gcc 12 copies the sums to and fro around the intrinsics.
 */
#ifndef LQ_KERNELS_X86_VNNI_H
#define LQ_KERNELS_X86_VNNI_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* Of 0..255 and -128..127, four to a sum. */
static inline __attribute__((always_inline)) __m512i lq_add_bytes(__m512i sum, __m512i levels,
                                                                  __m512i weights)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(levels), "v"(weights));
    return sum;
#else
    return _mm512_dpbusd_epi32(sum, levels, weights);
#endif
}

/* Of 16 bits each, two to a sum. */
static inline __attribute__((always_inline)) __m512i lq_add_words(__m512i sum, __m512i a, __m512i b)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
#else
    return _mm512_dpwssd_epi32(sum, a, b);
#endif
}

/* `count` bytes in every lane, and zeros behind them. */
static inline __attribute__((always_inline)) __m512i lq_broadcast(const void *from, size_t count)
{
    int32_t word = 0;

    memcpy(&word, from, count);
    return _mm512_set1_epi32(word);
}

#endif
