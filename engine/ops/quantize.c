/* quantize.c - floats to the codes of an activation quantizer.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/status.h"
#include "ops/encoder.h"

static void quantize_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct lq_encoder *encoder = step->state;
    struct lq_map map = lq_shape_map(&step->output.shape);
    const float *input = run->inputs[0];
    uint8_t *output = run->output, *levels = run->scratch;

    for (int pixel = 0; pixel < map.height * map.width; pixel++) {
        for (int c = 0; c < map.channels; c++)
            levels[c] = (uint8_t)lq_quantizer_level(&encoder->quantizer, input[c]);
        lq_encoder_write(encoder, levels, output);
        input += map.channels;
        output += encoder->pixel_bytes;
    }
}

int lq_quantize_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                        struct lq_step *ret_step, struct lq_error *error)
{
    struct lq_encoder *encoder = lq_arena_alloc(arena, 1, sizeof(*encoder));

    if (!encoder)
        return lq_fail_memory(error);
    lq_encoder_init(encoder, spec->output_basis, &spec->output);
    lq_step_init(ret_step, spec, quantize_run);
    ret_step->state = encoder;
    ret_step->scratch_bytes =
        ((size_t)encoder->channels + LQ_ALIGNMENT - 1) & ~((size_t)LQ_ALIGNMENT - 1);
    return LQ_OK;
}
