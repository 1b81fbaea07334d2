/* epilogue.c - what follows the sums of an integer convolution: floats, or the next layer's codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/epilogue.h"

#include "base/status.h"

static float value_of(const struct lq_epilogue *e, int channel, int32_t sum)
{
    float y = e->scale[channel] * (float)sum + e->shift[channel];

    y = y < e->min ? e->min : y;
    return y > e->max ? e->max : y;
}

/* Smallest t in -bound..bound+1 so that sign * sum >= t means a level above `level`. */
static int32_t find_threshold(const struct lq_epilogue *e, int channel, int level, int32_t bound)
{
    int64_t low = -(int64_t)bound, high = (int64_t)bound + 1;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        float y = value_of(e, channel, (int32_t)(e->sign[channel] * middle));

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
    int32_t *sign = lq_arena_alloc(arena, (size_t)e->channels, sizeof(*sign));
    int32_t *thresholds = lq_arena_alloc(arena, (size_t)e->channels * (size_t)e->threshold_count,
                                         sizeof(*thresholds));

    if (!sign || !thresholds)
        return lq_fail_memory(error);
    e->sign = sign;
    e->thresholds = thresholds;
    for (int c = 0; c < e->channels; c++) {
        sign[c] = e->scale[c] < 0 ? -1 : 1;
        for (int level = 0; level < e->threshold_count; level++)
            *thresholds++ = find_threshold(e, c, level, bound);
    }
    return LQ_OK;
}

int lq_epilogue_init(struct lq_epilogue *epilogue, struct lq_arena *arena,
                     const struct lq_step_spec *spec, const double *scale, int32_t bound,
                     struct lq_error *error)
{
    int channels = lq_shape_map(&spec->output.shape).channels;
    float *scales = lq_arena_alloc(arena, (size_t)channels, sizeof(*scales));
    float *shifts = lq_arena_alloc(arena, (size_t)channels, sizeof(*shifts));

    if (!scales || !shifts)
        return lq_fail_memory(error);
    for (int c = 0; c < channels; c++) {
        scales[c] = (float)(scale[c] * (spec->scale ? spec->scale[c] : 1));
        shifts[c] = spec->shift ? (float)spec->shift[c] : 0;
    }
    *epilogue = (struct lq_epilogue){.channels = channels,
                                     .scale = scales,
                                     .shift = shifts,
                                     .min = spec->min,
                                     .max = spec->max,
                                     .encodes = spec->output_basis != NULL};
    if (!spec->output_basis)
        return LQ_OK;
    lq_encoder_init(&epilogue->encoder, spec->output_basis, &spec->output);
    epilogue->threshold_count = (1 << spec->output_basis->bits) - 1;
    return init_thresholds(epilogue, arena, bound, error);
}

size_t lq_epilogue_pixel_bytes(const struct lq_epilogue *epilogue)
{
    return epilogue->encodes ? epilogue->encoder.pixel_bytes
                             : (size_t)epilogue->channels * sizeof(float);
}

/* Thresholds are few up to 4 bits: counting them all needs no branch. */
static int count_thresholds(const int32_t *thresholds, int count, int32_t sum)
{
    int level = 0, low = 0, high = count;

    if (count < 16) {
        for (int i = 0; i < count; i++)
            level += thresholds[i] <= sum;
        return level;
    }
    while (low < high) {
        int middle = (low + high) / 2;

        if (thresholds[middle] <= sum)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void lq_epilogue_run(const struct lq_epilogue *epilogue, const int32_t *sums, int pixels,
                     uint8_t *levels, void *ret_output)
{
    size_t pixel_bytes = lq_epilogue_pixel_bytes(epilogue);
    uint8_t *output = ret_output;

    for (int pixel = 0; pixel < pixels; pixel++, output += pixel_bytes) {
        const int32_t *thresholds = epilogue->thresholds;
        float *values = (float *)(void *)output;

        for (int c = 0; c < epilogue->channels; c++, sums++) {
            if (!epilogue->encodes) {
                values[c] = value_of(epilogue, c, *sums);
                continue;
            }
            levels[c] = (uint8_t)count_thresholds(thresholds, epilogue->threshold_count,
                                                  epilogue->sign[c] * *sums);
            thresholds += epilogue->threshold_count;
        }
        if (epilogue->encodes)
            lq_encoder_write(&epilogue->encoder, levels, output);
    }
}
