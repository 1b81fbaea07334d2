/* epilogue.c - what follows the sums of an integer convolution: floats, or the next layer's codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/epilogue.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Floats that are finished, then encoded, while they are in the first cache. */
#define CHUNK_FLOATS 4096

static float clamp(float y, struct lq_clamp to)
{
    y = y < to.min ? to.min : y;
    return y > to.max ? to.max : y;
}

static float value_of(const struct lq_finish *f, int channel, int32_t sum)
{
    float y = (float)(f->offset ? sum + f->offset[channel] : sum);

    y = clamp(f->scale[channel] * y + f->shift[channel], f->first);
    if (f->next_scale)
        y = f->next_scale[channel] * y + f->next_shift[channel];
    return clamp(y, f->next);
}

/* Of what value_of does with growing sums. */
static int32_t sign_of(const struct lq_finish *f, int channel)
{
    bool falls = f->scale[channel] < 0;

    if (f->next_scale && f->next_scale[channel] < 0)
        falls = !falls;
    return falls ? -1 : 1;
}

/* Smallest t in -bound..bound+1 so that sign * sum >= t means a level above `level`. */
static int32_t find_threshold(const struct lq_epilogue *e, int channel, int32_t sign, int level,
                              int32_t bound)
{
    int64_t low = -(int64_t)bound, high = (int64_t)bound + 1;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        float y = value_of(&e->finish, channel, (int32_t)(sign * middle));

        if (lq_quantizer_level(&e->encoder.quantizer, y) > level)
            high = middle;
        else
            low = middle + 1;
    }
    return (int32_t)low;
}

static int init_thresholds(struct lq_epilogue *e, struct lq_arena *arena, int32_t bound,
                           struct lq_error *error)
{
    struct lq_encode *encode = &e->encoder.encode;
    int count = (1 << encode->bits) - 1;

    encode->stride = lq_size_round_up((size_t)encode->channels, LQ_MAX_LANES);
    int32_t *signs = lq_arena_alloc(arena, encode->stride, sizeof(*signs));
    int32_t *thresholds =
        lq_arena_alloc(arena, encode->stride * (size_t)count, sizeof(*thresholds));

    if (!signs || !thresholds)
        return lq_fail_memory(error);
    encode->signs = signs;
    encode->sum_thresholds = thresholds;
    for (int c = 0; c < encode->channels; c++) {
        signs[c] = sign_of(&e->finish, c);
        for (int level = 0; level < count; level++)
            thresholds[(size_t)level * encode->stride + (size_t)c] =
                find_threshold(e, c, signs[c], level, bound);
    }
    return LQ_OK;
}

static int init_signs(struct lq_epilogue *e, struct lq_arena *arena, struct lq_error *error)
{
    int channels = e->finish.channels;
    int32_t *signs;

    for (int c = 0; c < channels && !e->signs; c++)
        if (e->finish.scale[c] < 0) {
            signs = lq_arena_alloc(arena, (size_t)channels, sizeof(*signs));
            if (!signs)
                return lq_fail_memory(error);
            for (int i = 0; i < channels; i++)
                signs[i] = e->finish.scale[i] < 0 ? -1 : 1;
            e->signs = signs;
        }
    return LQ_OK;
}

static const float *floats_of(struct lq_arena *arena, int count, const double *factors,
                              const double *more)
{
    float *floats = lq_arena_alloc(arena, (size_t)count, sizeof(*floats));

    for (int i = 0; i < count && floats; i++)
        floats[i] = (float)((factors ? factors[i] : 0) * (more ? more[i] : 1));
    return floats;
}

int lq_epilogue_init(struct lq_epilogue *epilogue, struct lq_arena *arena,
                     const struct lq_step_spec *spec, const struct lq_sums *sums,
                     struct lq_error *error)
{
    int channels = lq_shape_map(&spec->output.shape).channels, status;
    struct lq_finish finish = {.channels = channels,
                               .scale = floats_of(arena, channels, sums->scale, spec->scale),
                               .shift = floats_of(arena, channels, spec->shift, NULL),
                               .first = {spec->min, spec->max},
                               .added = {spec->add_min, spec->add_max},
                               .next = {-INFINITY, INFINITY}};

    if (spec->goes_on)
        finish.next = (struct lq_clamp){spec->next_min, spec->next_max};
    if (spec->next_scale) {
        finish.next_scale = floats_of(arena, channels, spec->next_scale, NULL);
        finish.next_shift = floats_of(arena, channels, spec->next_shift, NULL);
    }
    if (sums->offset) {
        int32_t *offset = lq_arena_alloc(arena, (size_t)channels, sizeof(*offset));

        if (!offset)
            return lq_fail_memory(error);
        memcpy(offset, sums->offset, (size_t)channels * sizeof(*offset));
        finish.offset = offset;
    }
    if (!finish.scale || !finish.shift ||
        (spec->next_scale && (!finish.next_scale || !finish.next_shift)))
        return lq_fail_memory(error);
    *epilogue = (struct lq_epilogue){.finish = finish,
                                     .adds = spec->adds,
                                     .goes_on = spec->goes_on,
                                     .keeps_next = spec->keeps_next,
                                     .encodes = spec->output_basis != NULL,
                                     .kernels = *spec->kernels};
    status = init_signs(epilogue, arena, error);
    if (status != LQ_OK || !epilogue->encodes)
        return status;
    lq_encoder_init(&epilogue->encoder, spec->kernels, spec->output_basis, &spec->output);
    epilogue->by_sums =
        !spec->adds && !spec->keeps && !spec->keeps_next && spec->output.store != LQ_STORE_F32;
    if (epilogue->by_sums)
        return init_thresholds(epilogue, arena, sums->bound, error);
    return lq_values_init(&epilogue->values, arena, &epilogue->encoder, &finish, spec->keeps_next,
                          error);
}

/* Pixels of one chunk, as lq_epilogue_run. Encoded floats take the place of the sums they are made
 * of. */
static void run_chunk(const struct lq_epilogue *e, const struct lq_run *run,
                      struct lq_columns columns, size_t first, int32_t *sums, int pixels)
{
    size_t at = first * (size_t)e->finish.channels;
    const float *addend = e->adds ? (const float *)run->inputs[1] + at : NULL;
    float *extra = run->extra ? run->extra + at : NULL, *next = (float *)(void *)sums;

    if (!e->encodes) {
        float *output = (float *)run->output + at;

        e->kernels.finish_sums(&e->finish, columns, sums, addend, pixels,
                               e->goes_on ? extra : output, e->goes_on ? output : NULL);
        return;
    }
    if (e->keeps_next) {
        next = extra;
        extra = NULL;
    }
    e->kernels.finish_sums(&e->finish, columns, sums, addend, pixels, extra, next);
    lq_encoder_run(&e->encoder, columns, next, (size_t)e->finish.channels, pixels,
                   (uint8_t *)run->output + first * e->encoder.pixel_bytes);
}

void lq_epilogue_run(const struct lq_epilogue *e, const struct lq_run *run,
                     struct lq_columns columns, size_t first, int32_t *sums, int pixels)
{
    int channels = e->finish.channels, chunk = CHUNK_FLOATS / (columns.to - columns.from);

    if (e->by_sums) {
        e->kernels.encode_sums(&e->encoder.encode, columns, sums, pixels,
                               (uint8_t *)run->output + first * e->encoder.pixel_bytes);
        return;
    }
    if (e->values.factors) {
        size_t at = first * (size_t)channels;

        e->kernels.finish_codes(&e->values, columns, sums,
                                e->adds ? (const float *)run->inputs[1] + at : NULL, pixels,
                                run->extra ? run->extra + at : NULL, e->encoder.pixel_bytes,
                                (uint8_t *)run->output + first * e->encoder.pixel_bytes);
        return;
    }
    if (chunk < 1)
        chunk = 1;
    for (int at = 0; at < pixels; at += chunk)
        run_chunk(e, run, columns, first + (size_t)at, sums + (size_t)at * (size_t)channels,
                  pixels - at < chunk ? pixels - at : chunk);
}
