/* conv_pixels.c - the first convolution of a quantized network, on pixels as they are.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The normalisation (pixel * scale - mean) / std is folded into the weights. A fourth channel that
 * is 255 on the image and 0 where padding is carries the means' share, so that padding stays what
 * it is for the float network, a normalised 0, and a tap on padding costs nothing special. The
 * folded weights of an output channel are rounded to integers of 15 bits times one scale, and split
 * as 128 * high + low, both within -64..64: two columns of the product of bytes that every tier
 * has. Its sums are exact; one thing is rounded, and only once, when the model is loaded.
 */
#include "ops/conv_pixels.h"

#include <math.h>
#include <stdlib.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/epilogue.h"
#include "ops/weights.h"
#include "ops/window.h"

enum {
    CHANNELS = LQ_PIXEL_CHANNELS,
    BASE = 128,
    TOP = BASE / 2 * BASE - 1, /* largest weight */
    MAX_TAPS = INT32_MAX / (TOP * 255 * CHANNELS)
};

struct state {
    struct lq_conv_geometry geometry;
    struct lq_kernels kernels;
    struct lq_rows rows;
    const int8_t *weights;
    size_t columns; /* of the high parts, filled up; the low ones follow */
    size_t parts_offset, sums_offset;
    struct lq_epilogue epilogue;
};

struct work {
    const struct lq_step *step;
    const struct lq_run *run;
};

static void combine(const int32_t *restrict parts, size_t columns, int channels, int pixels,
                    int32_t *restrict ret_sums)
{
    for (int pixel = 0; pixel < pixels; pixel++, parts += 2 * columns, ret_sums += channels)
        for (int c = 0; c < channels; c++)
            ret_sums[c] = BASE * parts[c] + parts[columns + (size_t)c];
}

static void run_tile(void *context, int tile, int worker)
{
    const struct work *work = context;
    const struct state *s = work->step->state;
    const struct lq_conv_geometry *g = &s->geometry;
    int first = tile * g->tiling.rows, last = first + g->tiling.rows;
    uint8_t *scratch = work->run->scratch + (size_t)worker * work->step->scratch_bytes;
    int32_t *parts = (int32_t *)(void *)(scratch + s->parts_offset);
    int32_t *sums = (int32_t *)(void *)(scratch + s->sums_offset);
    struct lq_rows rows = s->rows;

    if (last > g->out.height)
        last = g->out.height;
    int pixels = (last - first) * g->out.width;
    size_t before = (size_t)first * (size_t)g->out.width;
    lq_pad_lines(g, CHANNELS, work->run->inputs[0], first, last, scratch);
    rows.lines = last - first;
    s->kernels.gemm_bytes(&(struct lq_bytes){(int)s->columns + g->out.channels, rows, scratch,
                                             s->weights, parts, 2 * s->columns, 0});
    combine(parts, s->columns, g->out.channels, pixels, sums);
    lq_epilogue_run(&s->epilogue, sums, pixels,
                    (uint8_t *)work->run->output + before * lq_epilogue_pixel_bytes(&s->epilogue));
}

static void conv_pixels_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct state *state = step->state;
    struct work work = {step, run};

    lq_pool_run(run->pool, state->geometry.tiling.tiles, run_tile, &work);
}

/* Weights of one output channel for pixels 0..255 and the constant 255, [taps][CHANNELS]; the
 * largest magnitude. */
static double fold(const struct lq_preprocess *p, const float *weights, int taps, int channels,
                   double *ret_folded)
{
    double largest = 0;

    for (int tap = 0; tap < taps; tap++, weights += channels, ret_folded += CHANNELS) {
        double constant = 0;

        for (int c = 0; c < CHANNELS - 1; c++) {
            double w = c < channels ? (double)weights[c] / (double)p->std[c] : 0;

            ret_folded[c] = w * (double)p->scale;
            constant -= c < channels ? w * (double)p->mean[c] / 255 : 0;
        }
        ret_folded[CHANNELS - 1] = constant;
        for (int c = 0; c < CHANNELS; c++)
            largest = fmax(largest, fabs(ret_folded[c]));
    }
    return largest;
}

static void store(const struct state *s, int channel, size_t k, int weight, int8_t *weights)
{
    size_t lanes = (size_t)s->kernels.bytes_lanes, words = (size_t)s->geometry.taps;
    int low = ((weight + BASE / 2) & (BASE - 1)) - BASE / 2, high = (weight - low) / BASE;

    for (int part = 0; part < 2; part++) {
        size_t column = (size_t)channel + (size_t)part * s->columns;
        size_t word = (column / lanes * words + k / CHANNELS) * lanes + column % lanes;

        weights[word * CHANNELS + k % CHANNELS] = (int8_t)(part == 0 ? high : low);
    }
}

/* Rounds the weights; scale[c] is what their integers stand for. */
static int init_weights(struct state *s, struct lq_arena *arena, const struct lq_step_spec *spec,
                        const struct lq_preprocess *preprocess, int channels, double *ret_scale,
                        struct lq_error *error)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t length = (size_t)g->length, row = (size_t)g->taps * (size_t)channels;
    int8_t *bytes = lq_arena_alloc(arena, 2 * s->columns * length, sizeof(*bytes));
    float *weights = lq_alloc((size_t)g->out.channels * row, sizeof(*weights));
    double *folded = lq_alloc(length, sizeof(*folded));
    int status = bytes && weights && folded ? LQ_OK : lq_fail_memory(error);

    if (status == LQ_OK)
        lq_weights_decode(spec, g->out.channels, (int)row, weights);
    for (int c = 0; c < g->out.channels && status == LQ_OK; c++) {
        double largest = fold(preprocess, weights + (size_t)c * row, g->taps, channels, folded);

        ret_scale[c] = largest > 0 ? largest / TOP : 1;
        for (size_t k = 0; k < length; k++)
            store(s, c, k, (int)lround(folded[k] / ret_scale[c]), bytes);
    }
    s->weights = bytes;
    free(folded);
    free(weights);
    return status;
}

static void init_rows(struct state *s)
{
    const struct lq_conv_geometry *g = &s->geometry;
    size_t line = (size_t)lq_padded_width(g) * CHANNELS;

    s->rows = (struct lq_rows){.width = g->out.width,
                               .runs = g->window.kernel_h,
                               .run = g->window.kernel_w * CHANNELS,
                               .line = (size_t)g->window.stride_h * line,
                               .step = (size_t)g->window.stride_w * CHANNELS,
                               .gap = line};
}

bool lq_conv_pixels_fits(const struct lq_step_spec *spec)
{
    const struct lq_window *w = &spec->attributes->window;
    int channels = lq_shape_map(&spec->inputs[0].shape).channels;

    return w->kernel_h > 0 && spec->attributes->groups == 1 && w->dilation_h == 1 &&
           w->dilation_w == 1 && channels < CHANNELS && w->kernel_h * w->kernel_w <= MAX_TAPS &&
           spec->kernels->bytes_bound >= 255 * (BASE / 2);
}

int lq_conv_pixels_prepare(struct lq_arena *arena, const struct lq_step_spec *float_spec,
                           const struct lq_preprocess *preprocess, struct lq_step *ret_step,
                           struct lq_error *error)
{
    struct state *s = lq_arena_alloc(arena, 1, sizeof(*s));
    struct lq_buffer input = float_spec->inputs[0];
    struct lq_step_spec spec = *float_spec;
    int channels = lq_shape_map(&input.shape).channels, status;
    double *scale;

    if (!s)
        return lq_fail_memory(error);
    input.shape.dims[2] = CHANNELS;
    input.store = LQ_STORE_BYTES;
    spec.inputs = &input;
    lq_conv_geometry_init(&s->geometry, &spec);
    const struct lq_conv_geometry *g = &s->geometry;
    s->kernels = *spec.kernels;
    s->columns = lq_size_round_up((size_t)g->out.channels, (size_t)s->kernels.bytes_lanes);
    init_rows(s);
    scale = lq_alloc((size_t)g->out.channels, sizeof(*scale));
    status = scale ? init_weights(s, arena, &spec, preprocess, channels, scale, error)
                   : lq_fail_memory(error);
    if (status == LQ_OK)
        status = lq_epilogue_init(&s->epilogue, arena, &spec, scale, g->taps * CHANNELS * TOP * 255,
                                  error);
    free(scale);
    if (status != LQ_OK)
        return status;
    lq_step_init(ret_step, &spec, conv_pixels_run);
    ret_step->state = s;
    size_t tile = (size_t)g->tiling.rows * (size_t)g->out.width * sizeof(int32_t);
    s->parts_offset = lq_size_round_up((size_t)lq_padded_lines(g, g->tiling.rows) *
                                           (size_t)lq_padded_width(g) * CHANNELS,
                                       LQ_ALIGNMENT);
    s->sums_offset = s->parts_offset + lq_size_round_up(tile * 2 * s->columns, LQ_ALIGNMENT);
    ret_step->scratch_bytes =
        s->sums_offset + lq_size_round_up(tile * (size_t)g->out.channels, LQ_ALIGNMENT);
    return LQ_OK;
}
