/* elementwise.c - batch normalization, ReLU, clip; addition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/status.h"
#include "ops/step.h"

struct state {
    const float *scale, *shift; /* [channels], or NULL: only clamped */
    float min, max;
    lq_add_floats *add_floats;
};

static inline float clamp(float y, float min, float max)
{
    y = y < min ? min : y;
    return y > max ? max : y;
}

static int prepare(struct lq_arena *arena, const struct lq_step_spec *spec, lq_step_function *run,
                   struct lq_step *ret_step, struct lq_error *error)
{
    size_t channels = (size_t)lq_shape_map(&spec->output.shape).channels;
    struct state *state = lq_arena_alloc(arena, 1, sizeof(*state));
    float *scale = lq_arena_alloc(arena, channels, sizeof(*scale));
    float *shift = lq_arena_alloc(arena, channels, sizeof(*shift));

    if (!state || !scale || !shift)
        return lq_fail_memory(error);
    *state =
        (struct state){.min = spec->min, .max = spec->max, .add_floats = spec->kernels->add_floats};
    if (spec->scale) {
        for (size_t c = 0; c < channels; c++) {
            scale[c] = (float)spec->scale[c];
            shift[c] = (float)spec->shift[c];
        }
        state->scale = scale;
        state->shift = shift;
    }
    lq_step_init(ret_step, spec, run);
    ret_step->state = state;
    return LQ_OK;
}

static size_t row_elements(const struct lq_step *step)
{
    struct lq_map map = lq_shape_map(&step->output.shape);

    return (size_t)map.width * (size_t)map.channels;
}

static void affine_row(const struct lq_step *step, const struct lq_run *run, int row)
{
    const struct state *state = step->state;
    struct lq_map map = lq_shape_map(&step->output.shape);
    size_t start = (size_t)row * row_elements(step);
    const float *input = (const float *)run->inputs[0] + start;
    float *output = (float *)run->output + start;

    for (int pixel = 0; pixel < map.width; pixel++) {
        for (int c = 0; c < map.channels; c++) {
            float y = state->scale ? state->scale[c] * input[c] + state->shift[c] : input[c];

            output[c] = clamp(y, state->min, state->max);
        }
        input += map.channels;
        output += map.channels;
    }
}

static void affine_run(const struct lq_step *step, const struct lq_run *run)
{
    lq_step_rows(step, run, affine_row);
}

int lq_affine_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                      struct lq_step *ret_step, struct lq_error *error)
{
    return prepare(arena, spec, affine_run, ret_step, error);
}

/* Inputs are added from left to right; only the last sum is clamped. */
static void add_row(const struct lq_step *step, const struct lq_run *run, int row)
{
    const struct state *state = step->state;
    size_t elements = row_elements(step), start = (size_t)row * elements;
    const float *sum = (const float *)run->inputs[0] + start;
    float *output = (float *)run->output + start;

    for (int input = 1; input < step->input_count; input++) {
        bool last = input == step->input_count - 1;

        state->add_floats(sum, (const float *)run->inputs[input] + start, elements,
                          last ? state->min : -INFINITY, last ? state->max : INFINITY, output);
        sum = output;
    }
}

static void add_run(const struct lq_step *step, const struct lq_run *run)
{
    lq_step_rows(step, run, add_row);
}

int lq_add_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                   struct lq_step *ret_step, struct lq_error *error)
{
    return prepare(arena, spec, add_run, ret_step, error);
}
