/* avx512.h - AVX-512 on a CPU that lacks it: included in front of the kernels of tier avx512, so
 * that their logic is tested everywhere.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * SIMDe spells the intrinsics out in plain vectors; what its release in Debian 12 lacks is spelled
 * out here, lane by lane. Never to be compiled with AVX-512 enabled: SIMDe would then use it.
 */
#ifndef TESTS_KERNELS_SIMDE_AVX512_H
#define TESTS_KERNELS_SIMDE_AVX512_H

#ifdef __AVX512F__
#error "compiled for a CPU that has AVX-512"
#endif

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <string.h>

/* A vector's lanes, and back. */
#define LANES_OF(type, name, vector)                                                               \
    type name[sizeof(vector) / sizeof(type)];                                                      \
    memcpy(name, &(vector), sizeof(name))
#define VECTOR_OF(type, name, lanes)                                                               \
    type name;                                                                                     \
    memcpy(&(name), lanes, sizeof(name))

static inline void lanes_mask_storeu_epi32(void *to, unsigned mask, simde__m512i v)
{
    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy((char *)to + sizeof(*lanes) * (size_t)i, &lanes[i], sizeof(*lanes));
}

static inline void lanes_mask_storeu_ps(void *to, unsigned mask, simde__m512 v)
{
    lanes_mask_storeu_epi32(to, mask, simde_mm512_castps_si512(v));
}

static inline void lanes_mask_storeu_epi16(void *to, unsigned mask, simde__m256i v)
{
    LANES_OF(int16_t, lanes, v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy((char *)to + sizeof(*lanes) * (size_t)i, &lanes[i], sizeof(*lanes));
}

static inline void lanes_mask_cvtepi32_storeu_epi8(void *to, unsigned mask, simde__m512i v)
{
    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            ((uint8_t *)to)[i] = (uint8_t)lanes[i];
}

static inline simde__m512i lanes_maskz_loadu_epi32(unsigned mask, const void *from)
{
    int32_t lanes[16] = {0};

    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy(&lanes[i], (const char *)from + sizeof(*lanes) * (size_t)i, sizeof(*lanes));
    VECTOR_OF(simde__m512i, v, lanes);
    return v;
}

static inline simde__m512 lanes_maskz_loadu_ps(unsigned mask, const void *from)
{
    return simde_mm512_castsi512_ps(lanes_maskz_loadu_epi32(mask, from));
}

static inline simde__m512i lanes_i32gather_epi32(simde__m512i at, const void *from, int scale)
{
    LANES_OF(int32_t, lanes, at);
    for (int i = 0; i < 16; i++)
        memcpy(&lanes[i], (const char *)from + (ptrdiff_t)lanes[i] * scale, sizeof(*lanes));
    VECTOR_OF(simde__m512i, v, lanes);
    return v;
}

static inline simde__m512 lanes_i32gather_ps(simde__m512i at, const void *from, int scale)
{
    return simde_mm512_castsi512_ps(lanes_i32gather_epi32(at, from, scale));
}

static inline simde__m512 lanes_cvtepi32_ps(simde__m512i v)
{
    float floats[16];

    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        floats[i] = (float)lanes[i];
    VECTOR_OF(simde__m512, result, floats);
    return result;
}

static inline simde__m512i lanes_cvtepu8_epi16(simde__m256i v)
{
    uint16_t words[32];

    LANES_OF(uint8_t, lanes, v);
    for (int i = 0; i < 32; i++)
        words[i] = lanes[i];
    VECTOR_OF(simde__m512i, result, words);
    return result;
}

static inline simde__m512i lanes_srai_epi32(simde__m512i v, unsigned count)
{
    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        lanes[i] >>= count;
    VECTOR_OF(simde__m512i, result, lanes);
    return result;
}

static inline simde__m256i lanes_cvtepi32_epi16(simde__m512i v)
{
    int16_t halves[16];

    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        halves[i] = (int16_t)lanes[i];
    VECTOR_OF(simde__m256i, result, halves);
    return result;
}

static inline simde__m128i lanes_cvtepi32_epi8(simde__m512i v)
{
    uint8_t bytes[16];

    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        bytes[i] = (uint8_t)lanes[i];
    VECTOR_OF(simde__m128i, result, bytes);
    return result;
}

static inline simde__m256 lanes_extractf32x8_ps(simde__m512 v, int half)
{
    LANES_OF(float, lanes, v);
    VECTOR_OF(simde__m256, result, lanes + half * 8);
    return result;
}

static inline unsigned lanes_movepi32_mask(simde__m512i v)
{
    unsigned result = 0;

    LANES_OF(int32_t, lanes, v);
    for (int i = 0; i < 16; i++)
        result |= (unsigned)(lanes[i] < 0) << i;
    return result;
}

static inline unsigned lanes_mask_test_epi32_mask(unsigned mask, simde__m512i a, simde__m512i b)
{
    unsigned result = 0;

    LANES_OF(uint32_t, x, a);
    LANES_OF(uint32_t, y, b);
    for (int i = 0; i < 16; i++)
        result |= (unsigned)((x[i] & y[i]) != 0) << i;
    return result & mask;
}

static inline simde__m512i lanes_popcnt_epi16(simde__m512i v)
{
    LANES_OF(uint16_t, lanes, v);
    for (int i = 0; i < 32; i++)
        lanes[i] = (uint16_t)__builtin_popcount(lanes[i]);
    VECTOR_OF(simde__m512i, result, lanes);
    return result;
}

#undef _mm512_cvtepi32_epi8
#define _mm512_cvtepi32_epi8 lanes_cvtepi32_epi8
#undef _mm512_madd_epi16 /* SIMDe's own has too many parameters */
#define _mm512_madd_epi16 simde_mm512_madd_epi16
#undef _mm512_mask_cmple_epi32_mask /* nor does it call this one right */
#define _mm512_mask_cmple_epi32_mask(mask, a, b)                                                   \
    ((simde__mmask16)((mask)&simde_mm512_cmple_epi32_mask(a, b)))
#undef _mm512_mask_cmp_ps_mask
#define _mm512_mask_cmp_ps_mask(mask, a, b, how)                                                   \
    ((simde__mmask16)((mask)&simde_mm512_cmp_ps_mask(a, b, how)))
#undef _mm512_popcnt_epi16
#define _mm512_popcnt_epi16 lanes_popcnt_epi16
#undef _mm512_mask_storeu_epi32
#define _mm512_mask_storeu_epi32 lanes_mask_storeu_epi32
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps lanes_mask_storeu_ps
#undef _mm256_mask_storeu_epi16
#define _mm256_mask_storeu_epi16 lanes_mask_storeu_epi16
#undef _mm512_mask_cvtepi32_storeu_epi8
#define _mm512_mask_cvtepi32_storeu_epi8 lanes_mask_cvtepi32_storeu_epi8
#undef _mm512_maskz_loadu_epi32
#define _mm512_maskz_loadu_epi32 lanes_maskz_loadu_epi32
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps lanes_maskz_loadu_ps
#undef _mm512_i32gather_epi32
#define _mm512_i32gather_epi32 lanes_i32gather_epi32
#undef _mm512_i32gather_ps
#define _mm512_i32gather_ps lanes_i32gather_ps
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps lanes_cvtepi32_ps
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16 lanes_cvtepi32_epi16
#undef _mm512_cvtepu8_epi16
#define _mm512_cvtepu8_epi16 lanes_cvtepu8_epi16
#undef _mm512_srai_epi32
#define _mm512_srai_epi32 lanes_srai_epi32
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps lanes_extractf32x8_ps
#undef _mm512_movepi32_mask
#define _mm512_movepi32_mask lanes_movepi32_mask
#undef _mm512_mask_test_epi32_mask
#define _mm512_mask_test_epi32_mask lanes_mask_test_epi32_mask

#endif
