/* tape_layer.c - what the quantizers of a layer have learned.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>

#include "train/tape_internal.h"

/* x: relative to the top level; low: of the first bin. */
static void count(int64_t *bins, double x, double low)
{
    double at = (x - low) / (LQ_TRAIN_SPAN - low) * LQ_TRAIN_BINS;

    if (isfinite(at))
        bins[at < 0 ? 0 : at >= LQ_TRAIN_BINS ? LQ_TRAIN_BINS - 1 : (int)at]++;
}

static void describe_weights(const struct lq_tape *tape, const struct weight_quantizer *q,
                             struct lq_train_layer *layer)
{
    double error = 0, squares = 0;

    for (int row = 0; row < q->rows; row++) {
        struct lq_quantizer quantizer;
        size_t at = (size_t)row * (size_t)q->length;
        float top;

        lq_quantizer_init_snapped(&quantizer, &q->snapped[row]);
        top = quantizer.levels[(1 << q->bits) - 1];
        for (int level = 0; level < 1 << q->bits; level++)
            layer->weight_levels[level] += quantizer.levels[level] / top / (float)q->rows;
        for (size_t k = at; k < at + (size_t)q->length; k++) {
            double x = (double)tape->numbers_values[q->offset + k], y = (double)q->weights[k];

            error += (x - y) * (x - y);
            squares += x * x;
            count(layer->weight_bins, x / (double)top, -LQ_TRAIN_SPAN);
        }
    }
    layer->weight_error = squares > 0 ? error / squares : 0;
}

static void describe_activations(struct lq_tape *tape, const struct activation_quantizer *q,
                                 struct lq_train_layer *layer)
{
    int value = q->node->inputs[0];
    float top = q->quantizer.levels[(1 << q->bits) - 1];

    layer->bits.activation_bits = q->bits;
    layer->bits.activation_grid = q->grid;
    layer->activation_error = q->error;
    for (int level = 0; level < 1 << q->bits && top > 0; level++)
        layer->activation_levels[level] = q->quantizer.levels[level] / top;
    for (int image = 0; image < tape->count && top > 0; image++) {
        const float *y = lq_tape_image(tape, value, image);

        for (size_t i = 0; i < tape->values[value].elements; i++)
            count(layer->activation_bins, (double)(y[i] / top), 0);
    }
}

bool lq_tape_layer(struct lq_tape *tape, int index, struct lq_train_layer *ret_layer)
{
    const struct weight_quantizer *q;

    if (index >= tape->weight_quantizer_count)
        return false;
    if (index == 0) { /* as the bases stand, which may come from a checkpoint */
        lq_tape_quantize_weights(tape, false);
        lq_tape_snap_activations(tape);
    }
    q = tape->weight_quantizers[index];
    *ret_layer = (struct lq_train_layer){.bits = {q->bits, 0, q->grid, 0}};
    snprintf(ret_layer->name, sizeof(ret_layer->name), "%.127s", q->node->name);
    describe_weights(tape, q, ret_layer);
    for (int i = 0; i < tape->activation_quantizer_count; i++)
        if (tape->activation_quantizers[i]->node->output == q->node->inputs[0])
            describe_activations(tape, tape->activation_quantizers[i], ret_layer);
    return true;
}
