/* gradient.c - derivatives of elementwise operators, softmax and LRN; the table of all.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/gradient.h"

#include <math.h>

static lq_backward *const functions[LQ_OP_COUNT] = {
    [LQ_OP_RELU] = lq_relu_backward,
    [LQ_OP_CLIP] = lq_clip_backward,
    [LQ_OP_ADD] = lq_add_backward,
    [LQ_OP_CONCAT] = lq_concat_backward,
    [LQ_OP_PAD] = lq_pad_backward,
    [LQ_OP_SLICE] = lq_slice_backward,
    [LQ_OP_RESHAPE] = lq_reshape_backward,
    [LQ_OP_MAX_POOL] = lq_max_pool_backward,
    [LQ_OP_AVERAGE_POOL] = lq_average_pool_backward,
    [LQ_OP_GLOBAL_AVERAGE_POOL] = lq_global_average_pool_backward,
    [LQ_OP_LRN] = lq_lrn_backward,
    [LQ_OP_SOFTMAX] = lq_softmax_backward,
};

lq_backward *lq_op_backward(enum lq_op_kind kind)
{
    return functions[kind];
}

void lq_relu_backward(const struct lq_gradient *g)
{
    int64_t elements = lq_shape_elements(&g->output_shape);

    for (int64_t i = 0; g->d_inputs[0] && i < elements; i++)
        g->d_inputs[0][i] += g->output[i] > 0 ? g->d_output[i] : 0;
}

void lq_clip_backward(const struct lq_gradient *g)
{
    int64_t elements = lq_shape_elements(&g->output_shape);
    float min = g->attributes->min, max = g->attributes->max;

    for (int64_t i = 0; g->d_inputs[0] && i < elements; i++) {
        float x = g->inputs[0][i];

        g->d_inputs[0][i] += x > min && x < max ? g->d_output[i] : 0;
    }
}

void lq_add_backward(const struct lq_gradient *g)
{
    int64_t elements = lq_shape_elements(&g->output_shape);

    for (int input = 0; input < g->input_count; input++)
        for (int64_t i = 0; g->d_inputs[input] && i < elements; i++)
            g->d_inputs[input][i] += g->d_output[i];
}

/* y_i = exp(x_i) / sum: dx_i = y_i (dy_i - sum_j dy_j y_j), over the channels of each pixel. */
void lq_softmax_backward(const struct lq_gradient *g)
{
    struct lq_map map = lq_shape_map(&g->output_shape);

    for (int pixel = 0; g->d_inputs[0] && pixel < map.height * map.width; pixel++) {
        size_t at = (size_t)pixel * (size_t)map.channels;
        const float *y = g->output + at, *dy = g->d_output + at;
        double sum = 0;

        for (int c = 0; c < map.channels; c++)
            sum += (double)dy[c] * (double)y[c];
        for (int c = 0; c < map.channels; c++)
            g->d_inputs[0][at + (size_t)c] += (float)((double)y[c] * ((double)dy[c] - sum));
    }
}

/* The size window around channel c. */
struct around {
    int from, to;
};

static struct around channels_around(int c, int before, int after, int channels)
{
    return (struct around){c < before ? 0 : c - before,
                           c + after < channels ? c + after : channels - 1};
}

/* y_c = x_c s_c^-beta with s_c = bias + alpha / size * sum of x^2 around c, so
 * dx_j = dy_j s_j^-beta - 2 beta alpha / size x_j * sum of dy_c x_c s_c^(-beta - 1) over those c
 * that have j around them. */
static void lrn_pixel(const struct lq_attributes *a, int channels, const float *x, const float *dy,
                      float *dx)
{
    int before = (a->lrn_size - 1) / 2, after = a->lrn_size - 1 - before;
    double ratio = (double)a->alpha / a->lrn_size;

    for (int j = 0; j < channels; j++) {
        struct around readers = channels_around(j, after, before, channels);
        double own = 0, others = 0;

        for (int c = readers.from; c <= readers.to; c++) {
            struct around read = channels_around(c, before, after, channels);
            double s = 0;

            for (int i = read.from; i <= read.to; i++)
                s += (double)x[i] * (double)x[i];
            s = (double)a->bias + ratio * s;
            others += (double)dy[c] * (double)x[c] * pow(s, -(double)a->beta - 1);
            own = c == j ? (double)dy[j] * pow(s, -(double)a->beta) : own;
        }
        dx[j] += (float)(own - 2 * (double)a->beta * ratio * (double)x[j] * others);
    }
}

void lq_lrn_backward(const struct lq_gradient *g)
{
    struct lq_map map = lq_shape_map(&g->output_shape);

    for (int pixel = 0; g->d_inputs[0] && pixel < map.height * map.width; pixel++) {
        size_t at = (size_t)pixel * (size_t)map.channels;

        lrn_pixel(g->attributes, map.channels, g->inputs[0] + at, g->d_output + at,
                  g->d_inputs[0] + at);
    }
}
