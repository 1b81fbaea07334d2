/* step.c - what all steps share.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/step.h"

#include "base/size.h"
#include "tensor/bitplanes.h"

struct lq_map lq_shape_map(const struct lq_shape *shape)
{
    if (shape->rank == 3)
        return (struct lq_map){shape->dims[0], shape->dims[1], shape->dims[2]};
    return (struct lq_map){1, 1, (int)lq_shape_elements(shape)};
}

size_t lq_buffer_bytes(const struct lq_buffer *buffer)
{
    struct lq_map map = lq_shape_map(&buffer->shape);
    size_t pixels = (size_t)map.height * (size_t)map.width;

    switch (buffer->store) {
    case LQ_STORE_LEVELS:
        return pixels * (size_t)map.channels * sizeof(int16_t);
    case LQ_STORE_BYTES:
        return pixels * (size_t)map.channels;
    case LQ_STORE_PLANES:
        return pixels * lq_pixel_words(map.channels, buffer->bits) * sizeof(uint32_t);
    case LQ_STORE_HALVES:
        return pixels * lq_half_words(map.channels) * sizeof(uint32_t);
    case LQ_STORE_NIBBLES:
        return pixels * lq_nibble_bytes(map.channels);
    case LQ_STORE_F32:
    default:
        return pixels * (size_t)map.channels * sizeof(float);
    }
}

struct lq_tiling lq_tile_rows(int height, int width)
{
    int rows = width >= LQ_TILE_PIXELS ? 1 : LQ_TILE_PIXELS / width;

    if (rows > height)
        rows = height;
    return (struct lq_tiling){rows, lq_ceil_div(height, rows)};
}

struct rows {
    const struct lq_step *step;
    const struct lq_run *run;
    lq_step_row *row;
};

static void run_row(void *context, int row, int worker)
{
    const struct rows *rows = context;

    (void)worker;
    rows->row(rows->step, rows->run, row);
}

void lq_step_rows(const struct lq_step *step, const struct lq_run *run, lq_step_row *row)
{
    bool small = lq_shape_elements(&step->output.shape) < LQ_MIN_PARALLEL_ELEMENTS;
    struct rows rows = {step, run, row};

    lq_pool_run(small ? NULL : run->pool, lq_shape_map(&step->output.shape).height, run_row, &rows);
}

void lq_step_init(struct lq_step *step, const struct lq_step_spec *spec, lq_step_function *run)
{
    *step = (struct lq_step){.name = spec->name,
                             .run = run,
                             .attributes = spec->attributes,
                             .output = spec->output,
                             .extra_slot = -1,
                             .input_count = spec->input_count};
    for (int i = 0; i < spec->input_count; i++) {
        step->inputs[i] = spec->inputs[i];
        step->pitches[i] = (size_t)lq_shape_map(&spec->inputs[i].shape).channels;
    }
    step->pitch = (size_t)lq_shape_map(&spec->output.shape).channels;
}
