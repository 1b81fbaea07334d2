/* normalize.c - local response normalization, softmax.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "ops/step.h"

/* y_c = x_c / (bias + alpha / size * sum of x^2 over `size` channels around c)^beta
 * (Krizhevsky et al. 2012, section 3.3, with ONNX's alpha / size). */
static void lrn_run(const struct lq_step *step, const struct lq_run *run)
{
    const struct lq_attributes *a = step->attributes;
    struct lq_map map = lq_shape_map(&step->output.shape);
    int before = (a->lrn_size - 1) / 2, after = a->lrn_size - 1 - before;
    const float *input = run->inputs[0];
    float *output = run->output;

    for (int pixel = 0; pixel < map.height * map.width; pixel++) {
        for (int c = 0; c < map.channels; c++) {
            int from = c < before ? 0 : c - before;
            int to = c + after < map.channels ? c + after : map.channels - 1;
            float squares = 0;

            for (int i = from; i <= to; i++)
                squares += input[i] * input[i];
            output[c] = input[c] / powf(a->bias + a->alpha / (float)a->lrn_size * squares, a->beta);
        }
        input += map.channels;
        output += map.channels;
    }
}

int lq_lrn_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                   struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, lrn_run);
    return LQ_OK;
}

/* Over the channels of each pixel; the largest is subtracted so that nothing overflows. */
static void softmax_run(const struct lq_step *step, const struct lq_run *run)
{
    struct lq_map map = lq_shape_map(&step->output.shape);
    const float *input = run->inputs[0];
    float *output = run->output;

    for (int pixel = 0; pixel < map.height * map.width; pixel++) {
        float largest = input[0];
        double sum = 0;

        for (int c = 1; c < map.channels; c++)
            largest = input[c] > largest ? input[c] : largest;
        for (int c = 0; c < map.channels; c++)
            sum += exp((double)input[c] - (double)largest);
        for (int c = 0; c < map.channels; c++)
            output[c] = (float)(exp((double)input[c] - (double)largest) / sum);
        input += map.channels;
        output += map.channels;
    }
}

int lq_softmax_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                       struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, softmax_run);
    return LQ_OK;
}
