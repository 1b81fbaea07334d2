/* conv_float.c - convolutions and dense layers on floats.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The scale of what follows (batch normalization) is multiplied into the weights, its shift becomes
 * the bias. Rows of output pixels are unrolled tile by tile and multiplied by BLAS; tiles have the
 * same shape whatever the batch and the number of threads, so the product rounds the same way. An
 * output of one pixel is a product with one vector: each number of it is summed by itself, in an
 * order that the kernel's contract fixes.
 */
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "ops/gemm.h"
#include "ops/weights.h"
#include "ops/window.h"

struct state {
    struct lq_conv_geometry geometry;
    const float *weights; /* [out][length] */
    const float *bias;    /* [out] */
    float min, max;
    lq_dense_floats *dense_floats;
};

/* Rows of a product with one vector that a thread takes at once. */
#define DENSE_ROWS 64

struct work {
    const struct lq_step *step;
    const struct lq_run *run;
};

static void finish(const struct state *state, int pixels, float *output)
{
    int channels = state->geometry.out.channels;

    for (int pixel = 0; pixel < pixels; pixel++, output += channels)
        for (int c = 0; c < channels; c++) {
            float y = output[c] + state->bias[c];

            y = y < state->min ? state->min : y;
            output[c] = y > state->max ? state->max : y;
        }
}

static void run_tile(void *context, int tile, int worker)
{
    const struct work *work = context;
    const struct state *state = work->step->state;
    const struct lq_conv_geometry *g = &state->geometry;
    int first = tile * g->tiling.rows, last = first + g->tiling.rows;
    float *rows = (float *)(work->run->scratch + (size_t)worker * work->run->scratch_pitch);
    const float *input = work->run->inputs[0];
    float *output =
        (float *)work->run->output + (size_t)first * (size_t)g->out.width * (size_t)g->out.channels;

    if (last > g->out.height)
        last = g->out.height;
    int pixels = (last - first) * g->out.width;
    for (int group = 0; group < g->groups; group++) {
        struct lq_pixel_layout layout = {.pixel_bytes = (size_t)g->in.channels * sizeof(float),
                                         .offset = (size_t)(group * g->group_in) * sizeof(float),
                                         .part_bytes = (size_t)g->group_in * sizeof(float)};
        const float *from = rows;
        int stride = g->length;

        if (g->pointwise) {
            from = input + (size_t)first * (size_t)g->in.width * (size_t)g->in.channels +
                   (size_t)(group * g->group_in);
            stride = g->in.channels;
        } else {
            lq_unroll(g, &layout, input, first, last, rows);
        }
        lq_gemm_float(pixels, g->group_out, g->length, from, stride,
                      state->weights + (size_t)(group * g->group_out) * (size_t)g->length,
                      output + (size_t)group * (size_t)g->group_out, g->out.channels);
    }
    finish(state, pixels, output);
}

static void run_dense_rows(void *context, int item, int worker)
{
    const struct work *work = context;
    const struct state *state = work->step->state;
    const struct lq_conv_geometry *g = &state->geometry;
    int first = item * DENSE_ROWS, rows = g->out.channels - first;
    float *output = (float *)work->run->output + first;

    (void)worker;
    rows = rows < DENSE_ROWS ? rows : DENSE_ROWS;
    state->dense_floats(state->weights + (size_t)first * (size_t)g->length, work->run->inputs[0],
                        rows, g->length, output);
    for (int row = 0; row < rows; row++) {
        float y = output[row] + state->bias[first + row];

        y = y < state->min ? state->min : y;
        output[row] = y > state->max ? state->max : y;
    }
}

static void dense_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct state *state = step->state;
    struct work work = {step, run};

    lq_pool_run(run->pool, lq_ceil_div(state->geometry.out.channels, DENSE_ROWS), run_dense_rows,
                &work);
}

static void conv_float_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct state *state = step->state;
    struct work work = {step, run};

    lq_pool_run(run->pool, state->geometry.tiling.tiles, run_tile, &work);
}

/* The stored weights where they are what is computed with, else a copy: decoded, scaled. */
static const float *scaled_weights(struct lq_arena *arena, const struct lq_step_spec *spec,
                                   int rows, int length)
{
    const struct lq_tensor *stored = spec->params[LQ_PARAM_WEIGHT];
    bool scaled = false;
    float *weights;

    for (int c = 0; c < rows && spec->scale; c++)
        scaled = scaled || spec->scale[c] != 1;
    if (stored && !scaled)
        return stored->data;
    weights = lq_arena_alloc(arena, (size_t)rows * (size_t)length, sizeof(*weights));
    if (!weights)
        return NULL;
    lq_weights_decode(spec, rows, length, weights);
    for (int c = 0; c < rows && scaled; c++)
        for (int k = 0; k < length; k++) {
            float *w = &weights[(size_t)c * (size_t)length + (size_t)k];

            *w = (float)(*w * spec->scale[c]);
        }
    return weights;
}

int lq_conv_float_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                          struct lq_step *ret_step, struct lq_error *error)
{
    struct state *state = lq_arena_alloc(arena, 1, sizeof(*state));
    size_t channels = (size_t)lq_shape_map(&spec->own).channels, tile_floats;
    float *bias = lq_arena_alloc(arena, channels, sizeof(*bias));

    if (!state || !bias)
        return lq_fail_memory(error);
    lq_conv_geometry_init(&state->geometry, spec);
    const struct lq_conv_geometry *g = &state->geometry;
    state->weights = scaled_weights(arena, spec, g->out.channels, g->length);
    if (!state->weights)
        return lq_fail_memory(error);
    for (size_t c = 0; c < channels && spec->shift; c++)
        bias[c] = (float)spec->shift[c];
    state->bias = bias;
    state->min = spec->min;
    state->max = spec->max;
    state->dense_floats = spec->kernels->dense_floats;
    bool dense = g->pointwise && g->groups == 1 && g->out.height * g->out.width == 1;
    lq_step_init(ret_step, spec, dense ? dense_run : conv_float_run);
    ret_step->state = state;
    if (dense)
        return LQ_OK;
    lq_gemm_init();
    tile_floats = (size_t)g->tiling.rows * (size_t)g->out.width * (size_t)g->length;
    ret_step->scratch_bytes =
        g->pointwise ? 0 : lq_size_round_up(tile_floats * sizeof(float), LQ_ALIGNMENT);
    return LQ_OK;
}
