/* shuffle.c - operators that only move floats: concat, pad, slice, reshape.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "ops/step.h"

/* Inputs side by side along an axis: for every index before the axis, a run of each input. These
 * are the indices from..to-1 of `outer`. */
static void concat(const struct lq_step *step, const struct lq_run *run, size_t from, size_t to,
                   size_t outer)
{
    size_t whole = (size_t)lq_shape_elements(&step->output.shape) / outer;
    float *output = (float *)run->output + from * whole;

    for (size_t index = from; index < to; index++)
        for (int i = 0; i < step->input_count; i++) {
            size_t length = (size_t)lq_shape_elements(&step->inputs[i].shape) / outer;

            memcpy(output, (const float *)run->inputs[i] + index * length, length * sizeof(float));
            output += length;
        }
}

/* The channels of pixels from..to-1. An input may lie in the output already. */
static void concat_pixels(const struct lq_step *step, const struct lq_run *run, size_t from,
                          size_t to)
{
    float *output = (float *)run->output + from * step->pitch;

    for (int i = 0; i < step->input_count; i++) {
        size_t length = (size_t)step->inputs[i].shape.dims[2];
        size_t pitch = step->pitches[i];
        const float *input = (const float *)run->inputs[i] + from * pitch;

        if (input != output)
            for (size_t pixel = 0; pixel < to - from; pixel++)
                memcpy(output + pixel * step->pitch, input + pixel * pitch, length * sizeof(float));
        output += length;
    }
}

/* Of a map, along any axis but the first. */
static void concat_row(const struct lq_step *step, const struct lq_run *run, int row)
{
    struct lq_map map = lq_shape_map(&step->output.shape);
    size_t y = (size_t)row, width = (size_t)map.width;

    if (step->attributes->axis == 2)
        concat_pixels(step, run, y * width, (y + 1) * width);
    else
        concat(step, run, y, y + 1, (size_t)map.height);
}

static void concat_run(const struct lq_step *step, const struct lq_run *run)
{
    size_t outer = 1;

    if (step->output.shape.rank == 3 && step->attributes->axis > 0) {
        lq_step_rows(step, run, concat_row);
        return;
    }
    for (int i = 0; i < step->attributes->axis; i++)
        outer *= (size_t)step->output.shape.dims[i];
    concat(step, run, 0, outer, outer);
}

int lq_concat_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                      struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, concat_run);
    return LQ_OK;
}

static void pad_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct lq_attributes *a = step->attributes;
    struct lq_map in = lq_shape_map(&step->inputs[0].shape);
    struct lq_map out = lq_shape_map(&step->output.shape);
    const float *input = run->inputs[0];
    float *output = run->output;
    size_t elements = (size_t)lq_shape_elements(&step->output.shape);

    for (size_t i = 0; i < elements; i++)
        output[i] = a->value;
    for (int y = 0; y < in.height; y++)
        for (int x = 0; x < in.width; x++, input += in.channels) {
            size_t pixel =
                (size_t)(y + a->before[0]) * (size_t)out.width + (size_t)(x + a->before[1]);

            memcpy(output + pixel * (size_t)out.channels + a->before[2], input,
                   (size_t)in.channels * sizeof(float));
        }
}

int lq_pad_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                   struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, pad_run);
    return LQ_OK;
}

static void slice_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct lq_attributes *a = step->attributes;
    struct lq_map in = lq_shape_map(&step->inputs[0].shape);
    struct lq_map out = lq_shape_map(&step->output.shape);
    float *output = run->output;

    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < out.width; x++) {
            size_t pixel = (size_t)(a->start[0] + y * a->step[0]) * (size_t)in.width +
                           (size_t)(a->start[1] + x * a->step[1]);
            const float *input =
                (const float *)run->inputs[0] + pixel * (size_t)in.channels + a->start[2];

            for (int c = 0; c < out.channels; c++)
                *output++ = input[(size_t)c * (size_t)a->step[2]];
        }
}

int lq_slice_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                     struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, slice_run);
    return LQ_OK;
}

/* Elements in the order of a reshape: maps are read channel by channel, though pixel by pixel they
 * lie. */
struct cursor {
    size_t pixels, channels; /* of other shapes: all, and 1 */
    size_t pixel, at;
};

static struct cursor cursor_of(const struct lq_shape *shape)
{
    struct cursor c = {.pixels = (size_t)lq_shape_elements(shape), .channels = 1};

    if (shape->rank == 3) {
        c.channels = (size_t)shape->dims[2];
        c.pixels /= c.channels;
    }
    return c;
}

static inline size_t next(struct cursor *c)
{
    size_t at = c->at;

    c->at += c->channels;
    if (++c->pixel == c->pixels) {
        c->pixel = 0;
        c->at -= c->pixels * c->channels - 1;
    }
    return at;
}

static void reshape_run(const struct lq_step *step, const struct lq_run *run)
{
    size_t elements = (size_t)lq_shape_elements(&step->output.shape);
    struct cursor from = cursor_of(&step->inputs[0].shape), to = cursor_of(&step->output.shape);
    const float *input = run->inputs[0];
    float *output = run->output;

    if (to.channels > 1) {
        for (size_t i = 0; i < elements; i++)
            output[next(&to)] = input[next(&from)];
        return;
    }
    for (size_t c = 0; c < from.channels; c++) /* the usual case: a map becomes a row */
        for (size_t pixel = 0; pixel < from.pixels; pixel++)
            *output++ = input[pixel * from.channels + c];
}

int lq_reshape_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                       struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, reshape_run);
    return LQ_OK;
}
