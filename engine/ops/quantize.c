/* quantize.c - floats to the codes of an activation quantizer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "ops/encoder.h"

static void quantize_row(const struct lq_step *step, const struct lq_run *run, int row)
{
    const struct lq_encoder *encoder = step->state;
    struct lq_map map = lq_shape_map(&step->output.shape);
    size_t pixel = (size_t)row * (size_t)map.width;

    lq_encoder_run(encoder, (struct lq_columns){0, map.channels},
                   (const float *)run->inputs[0] + pixel * step->pitches[0], step->pitches[0],
                   map.width, (uint8_t *)run->output + pixel * encoder->pixel_bytes);
}

static void quantize_run(const struct lq_step *step, const struct lq_run *run)
{
    lq_step_rows(step, run, quantize_row);
}

int lq_quantize_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                        struct lq_step *ret_step, struct lq_error *error)
{
    struct lq_encoder *encoder = lq_arena_alloc(arena, 1, sizeof(*encoder));

    if (!encoder)
        return lq_fail_memory(error);
    lq_encoder_init(encoder, spec->kernels, spec->output_basis, &spec->output);
    lq_step_init(ret_step, spec, quantize_run);
    ret_step->state = encoder;
    return LQ_OK;
}
