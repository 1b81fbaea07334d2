/* finish_codes_avx512.c - sums of a layer to floats and codes at once, 16 channels a vector.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Floats that are kept are not read once more, and those that are not kept are not even made: the
 * next layer's scale is in the thresholds.
 */
#include "kernels/x86/encode_halves.h"

#include <stdbool.h>

enum { LANES = LQ_VALUE_LANES };

static inline __m512 clamp(__m512 y, struct lq_clamp to)
{
    return _mm512_min_ps(_mm512_set1_ps(to.max), _mm512_max_ps(_mm512_set1_ps(to.min), y));
}

/* x. plain: nothing is clamped, and x is y. */
static inline __attribute__((always_inline)) __m512
value_of(const struct lq_values *v, const int thresholds, const bool plain, const float *factors,
         const int32_t *sums, const float *addend)
{
    const float *next = factors + (size_t)(LQ_VALUE_FACTORS + thresholds) * LANES;
    __m512i sum =
        _mm512_add_epi32(_mm512_loadu_si512(sums), _mm512_loadu_si512(factors + (size_t)2 * LANES));
    __m512 x = _mm512_mul_ps(_mm512_loadu_ps(factors), _mm512_cvtepi32_ps(sum));

    x = _mm512_add_ps(x, _mm512_loadu_ps(factors + LANES));
    if (!plain)
        x = clamp(x, v->first);
    if (addend)
        x = _mm512_add_ps(x, _mm512_loadu_ps(addend));
    if (plain)
        return x;
    if (addend)
        x = clamp(x, v->added);
    if (v->scales)
        x = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(next), x), _mm512_loadu_ps(next + LANES));
    return clamp(x, v->next);
}

static inline __mmask16 passed(__m512 x, const float *thresholds)
{
    return _mm512_cmp_ps_mask(x, _mm512_loadu_ps(thresholds), _CMP_GE_OQ);
}

/* A half word of codes of 2 bits that grow. */
static inline __attribute__((always_inline)) void store_half(bool swapped, __m512 x,
                                                             const float *thresholds, uint8_t *to)
{
    __mmask16 middle = passed(x, thresholds + LANES);
    __m512 next = _mm512_mask_blend_ps(middle, _mm512_loadu_ps(thresholds),
                                       _mm512_loadu_ps(thresholds + (size_t)2 * LANES));

    lq_store_half_word(swapped, middle, _mm512_cmp_ps_mask(x, next, _CMP_GE_OQ), to);
}

/* entries: [count + 1]. */
static inline __attribute__((always_inline)) void
store_bytes(const __m512i *entries, int count, __m512 x, const float *thresholds, uint8_t *to)
{
    __m512i entry = entries[0];

    for (int i = 0; i < count; i++, thresholds += LANES)
        entry = _mm512_mask_mov_epi32(entry, passed(x, thresholds), entries[i + 1]);
    _mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8(entry));
}

/* Values of one pixel after the other, or of the same channels of each. */
struct way {
    size_t step, code_step; /* from a vector to the next one */
    size_t turn;            /* floats of factors until they start again; 0: always the same */
};

/* `count` vectors. */
static inline __attribute__((always_inline)) void
finish_vectors(const struct lq_values *given, const int bits, const bool halves, const bool plain,
               const struct way *way, const float *factors, const int32_t *sums,
               const float *addend, float *ret_x, size_t count, uint8_t *codes)
{
    const struct lq_values v = *given; /* what is stored cannot change it */
    const int thresholds = (1 << bits) - 1;
    const float *start = factors, *end = factors + way->turn;
    const size_t block = way->turn > 0 ? v.block : 0, step = way->step, code_step = way->code_step;
    const bool swapped = v.entries[1] == 2;
    __m512i entries[1 << LQ_VALUE_BITS];

    for (int i = 0; i <= thresholds; i++)
        entries[i] = _mm512_set1_epi32(v.entries[i]);
    for (size_t at = 0; at < count * step; at += step, codes += code_step) {
        const float *of_thresholds = factors + (size_t)LQ_VALUE_FACTORS * LANES;
        __m512 x = value_of(&v, thresholds, plain, factors, sums + at, addend ? addend + at : NULL);

        if (ret_x)
            _mm512_storeu_ps(ret_x + at, x);
        x = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x),
                                                 _mm512_loadu_si512(factors + (size_t)3 * LANES)));
        if (halves)
            store_half(swapped, x, of_thresholds, codes);
        else
            store_bytes(entries, thresholds, x, of_thresholds, codes);
        factors += block;
        factors = factors == end ? start : factors;
    }
}

static void finish(const struct lq_values *v, const struct way *way, size_t from,
                   const int32_t *sums, const float *addend, float *ret_x, size_t count,
                   uint8_t *codes)
{
    bool plain = !lq_clamps(v->first) && !lq_clamps(v->added) && !lq_clamps(v->next) && !v->scales;
    const float *factors = v->factors + from / LANES * v->block;

    sums += from;
    addend = addend ? addend + from : NULL;
    ret_x = ret_x ? ret_x + from : NULL;
    codes += v->form == LQ_CODE_HALVES ? from / 4 : from;
    if (v->form == LQ_CODE_HALVES && plain)
        finish_vectors(v, 2, true, true, way, factors, sums, addend, ret_x, count, codes);
    else if (v->form == LQ_CODE_HALVES)
        finish_vectors(v, 2, true, false, way, factors, sums, addend, ret_x, count, codes);
    else if (v->bits == 2 && plain)
        finish_vectors(v, 2, false, true, way, factors, sums, addend, ret_x, count, codes);
    else if (v->bits == 2)
        finish_vectors(v, 2, false, false, way, factors, sums, addend, ret_x, count, codes);
    else if (v->bits == 3 && plain)
        finish_vectors(v, 3, false, true, way, factors, sums, addend, ret_x, count, codes);
    else if (v->bits == 4 && plain)
        finish_vectors(v, 4, false, true, way, factors, sums, addend, ret_x, count, codes);
    else
        finish_vectors(v, v->bits, false, plain, way, factors, sums, addend, ret_x, count, codes);
}

/* All columns in order; parts of them one by one, as lq_finish_sums_avx512 does. */
void lq_finish_codes_avx512(const struct lq_values *v, struct lq_columns columns,
                            const int32_t *sums, const float *addend, int pixels, float *ret_x,
                            size_t pixel_bytes, void *ret_codes)
{
    size_t channels = (size_t)v->channels, from = (size_t)columns.from, to = (size_t)columns.to;
    struct way in_order = {LANES, v->form == LQ_CODE_HALVES ? LANES / 4 : LANES,
                           channels / LANES * v->block};
    struct way by_column = {channels, pixel_bytes, 0};

    if (to - from == channels)
        finish(v, &in_order, 0, sums, addend, ret_x, (size_t)pixels * (channels / LANES),
               ret_codes);
    else
        for (; from < to; from += LANES)
            finish(v, &by_column, from, sums, addend, ret_x, (size_t)pixels, ret_codes);
}
