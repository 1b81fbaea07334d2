/* epilogue.c - what follows the sums of an integer convolution: floats, or the next layer's codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/epilogue.h"

#include "base/size.h"
#include "base/status.h"

static float value_of(const struct lq_scaling *s, int channel, int32_t sum)
{
    float y = s->scale[channel] * (float)sum + s->shift[channel];

    y = y < s->min ? s->min : y;
    return y > s->max ? s->max : y;
}

/* Smallest t in -bound..bound+1 so that sign * sum >= t means a level above `level`. */
static int32_t find_threshold(const struct lq_epilogue *e, int channel, int32_t sign, int level,
                              int32_t bound)
{
    int64_t low = -(int64_t)bound, high = (int64_t)bound + 1;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        float y = value_of(&e->scaling, channel, (int32_t)(sign * middle));

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
        signs[c] = e->scaling.scale[c] < 0 ? -1 : 1;
        for (int level = 0; level < count; level++)
            thresholds[(size_t)level * encode->stride + (size_t)c] =
                find_threshold(e, c, signs[c], level, bound);
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
    *epilogue = (struct lq_epilogue){.scaling = {channels, scales, shifts, spec->min, spec->max},
                                     .encodes = spec->output_basis != NULL,
                                     .kernels = *spec->kernels};
    if (!spec->output_basis)
        return LQ_OK;
    lq_encoder_init(&epilogue->encoder, spec->kernels, spec->output_basis, &spec->output);
    return init_thresholds(epilogue, arena, bound, error);
}

size_t lq_epilogue_pixel_bytes(const struct lq_epilogue *epilogue)
{
    return epilogue->encodes ? epilogue->encoder.pixel_bytes
                             : (size_t)epilogue->scaling.channels * sizeof(float);
}

void lq_epilogue_run(const struct lq_epilogue *epilogue, const int32_t *sums, int pixels,
                     void *ret_output)
{
    if (epilogue->encodes && epilogue->encoder.store != LQ_STORE_F32) {
        epilogue->kernels.encode_sums(&epilogue->encoder.encode, sums, pixels, ret_output);
        return;
    }
    epilogue->kernels.scale_sums(&epilogue->scaling, sums, pixels, ret_output);
    if (epilogue->encodes) /* each float is read before it is written */
        lq_encoder_run(&epilogue->encoder, ret_output, pixels, ret_output);
}
