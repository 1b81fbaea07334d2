/* values.c - codes of floats that are kept or added: thresholds of their own in each channel.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/values.h"

#include <math.h>
#include <string.h>

#include "base/status.h"

/* What is between x and its level. */
struct law {
    const struct lq_quantizer *quantizer;
    const struct lq_finish *finish; /* NULL: x is z */
};

static bool scales(const struct law *law)
{
    return law->finish && law->finish->next_scale;
}

static int level_of(const struct law *law, int channel, float x)
{
    const struct lq_finish *f = law->finish;

    if (scales(law))
        x = f->next_scale[channel] * x + f->next_shift[channel];
    if (f) {
        x = x < f->next.min ? f->next.min : x;
        x = x > f->next.max ? f->next.max : x;
    }
    return lq_quantizer_level(law->quantizer, x);
}

/* Floats in ascending order: 0 and -0 have the same place. */
static int64_t place_of(float x)
{
    int32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits >= 0 ? bits : INT32_MIN - (int64_t)bits;
}

static float float_at(int64_t place)
{
    int32_t bits = (int32_t)(place >= 0 ? place : INT32_MIN - place);
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Smallest t so that sign * x >= t means a level above `level`; NaN: no x has one. It is looked for
 * around where it would be without rounding. */
static float find_threshold(const struct law *law, int channel, float sign, int level)
{
    const int64_t first = place_of(-INFINITY), last = place_of(INFINITY);
    float guess = law->quantizer->thresholds[level];
    int64_t low, high, step;

    if (scales(law))
        guess =
            (guess - law->finish->next_shift[channel]) / fabsf(law->finish->next_scale[channel]);
    low = high = isfinite(guess) ? place_of(guess) : 0;
    for (step = 4; low > first && level_of(law, channel, sign * float_at(low)) > level; step *= 4)
        low = low - step > first ? low - step : first;
    for (step = 4; high < last && level_of(law, channel, sign * float_at(high)) <= level; step *= 4)
        high = high + step < last ? high + step : last;
    if (level_of(law, channel, sign * float_at(high)) <= level)
        return NAN;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;

        if (level_of(law, channel, sign * float_at(middle)) > level)
            high = middle;
        else
            low = middle + 1;
    }
    return float_at(low);
}

/* Of a channel, LQ_VALUE_LANES apart. */
static void put_factors(const struct lq_values *v, const struct law *law, const struct lq_finish *f,
                        int channel, float *factors)
{
    const size_t lanes = LQ_VALUE_LANES;
    int32_t offset = f->offset ? f->offset[channel] : 0;
    bool falls = scales(law) && f->next_scale[channel] < 0;
    uint32_t sign = falls ? UINT32_C(1) << 31 : 0;

    factors[0] = f->scale[channel];
    factors[lanes] = f->shift[channel];
    memcpy(&factors[2 * lanes], &offset, sizeof(offset));
    memcpy(&factors[3 * lanes], &sign, sizeof(sign));
    factors += LQ_VALUE_FACTORS * lanes;
    for (int level = 0; level < (1 << v->bits) - 1; level++, factors += lanes)
        *factors = find_threshold(law, channel, falls ? -1.f : 1.f, level);
    if (v->scales) {
        factors[0] = f->next_scale[channel];
        factors[lanes] = f->next_shift[channel];
    }
}

static bool fits(const struct lq_encoder *encoder)
{
    const struct lq_encode *encode = &encoder->encode;

    return encoder->kernels.finishes_codes && encoder->store != LQ_STORE_F32 &&
           encode->bits <= LQ_VALUE_BITS && encode->channels % LQ_VALUE_LANES == 0 &&
           (encode->form == LQ_CODE_BYTES || (encode->form == LQ_CODE_HALVES && encode->bits == 2 &&
                                              lq_codes_grow(encode->entries)));
}

/* Infinities that meet zeros are not. */
static bool is_monotonic(const struct law *law)
{
    const struct lq_finish *f = law->finish;

    for (int c = 0; scales(law) && c < f->channels; c++)
        if (f->next_scale[c] == 0 || !isfinite(f->next_scale[c]) || !isfinite(f->next_shift[c]))
            return false;
    return true;
}

int lq_values_init(struct lq_values *values, struct lq_arena *arena,
                   const struct lq_encoder *encoder, const struct lq_finish *finish,
                   bool keeps_next, struct lq_error *error)
{
    const struct law law = {&encoder->quantizer, keeps_next ? NULL : finish};
    const struct lq_encode *encode = &encoder->encode;
    size_t count = LQ_VALUE_FACTORS + ((size_t)1 << encode->bits) - 1;
    float *factors;

    *values = (struct lq_values){.channels = finish->channels,
                                 .bits = encode->bits,
                                 .form = encode->form,
                                 .scales = keeps_next && finish->next_scale,
                                 .first = finish->first,
                                 .added = finish->added,
                                 .next = {-INFINITY, INFINITY}};
    if (!fits(encoder) || !is_monotonic(&law))
        return LQ_OK;
    if (keeps_next)
        values->next = finish->next;
    memcpy(values->entries, encode->entries, sizeof(values->entries));
    values->block = (count + (values->scales ? 2 : 0)) * LQ_VALUE_LANES;
    factors = lq_arena_alloc(arena, (size_t)finish->channels / LQ_VALUE_LANES * values->block,
                             sizeof(*factors));
    if (!factors)
        return lq_fail_memory(error);
    values->factors = factors;
    for (int c = 0; c < finish->channels; c++)
        put_factors(values, &law, finish, c,
                    factors + (size_t)(c / LQ_VALUE_LANES) * values->block + c % LQ_VALUE_LANES);
    return LQ_OK;
}
