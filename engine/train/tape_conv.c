/* tape_conv.c - convolutions and dense layers.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "quant/pack.h"
#include "train/tape_internal.h"

struct conv {
    const struct lq_shape *input, *output;
    int channels;
    int64_t pixels;
    size_t weight, bias, length; /* offsets; numbers of the weights */
    bool biased;
    size_t conv_scratch; /* bytes; the gradient of the weights lies behind it */
    const struct weight_quantizer *quantizer; /* NULL: float weights */
};

static void init_call(const struct lq_tape *tape, const struct op *op, const struct span *span,
                      struct lq_conv_train *ret_conv, struct lq_conv_work *ret_work)
{
    const struct conv *c = op->state;

    lq_conv_train_init(ret_conv, &op->node->attributes, c->input, c->output, span->count,
                       tape->options.kernels);
    *ret_work = (struct lq_conv_work){.scratch = tape->scratch +
                                                 (size_t)span->worker * tape->scratch_bytes};
}

static const float *weights_of(const struct lq_tape *tape, const struct conv *c)
{
    return c->quantizer ? c->quantizer->weights : tape->numbers_values + c->weight;
}

static void conv_forward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct conv *c = op->state;
    const float *bias = tape->numbers_values + c->bias;
    float *y = lq_tape_data(tape, op->output, span);
    struct lq_conv_train conv;
    struct lq_conv_work work;

    init_call(tape, op, span, &conv, &work);
    lq_conv_forward(&conv, &work, lq_tape_data(tape, op->inputs[0], span), weights_of(tape, c), y);
    for (int64_t pixel = 0; c->biased && pixel < span->count * c->pixels; pixel++)
        for (int i = 0; i < c->channels; i++)
            *y++ += bias[i];
}

static void conv_backward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct conv *c = op->state;
    const float *d_y = lq_tape_gradient(tape, op->output, span);
    float *lane = tape->lane_gradients + (size_t)span->lane * tape->numbers;
    struct lq_conv_train conv;
    struct lq_conv_work work;
    float *d_w;

    init_call(tape, op, span, &conv, &work);
    d_w = span->opens ? lane + c->weight : (float *)((uint8_t *)work.scratch + c->conv_scratch);
    lq_conv_backward_weight(&conv, &work, lq_tape_data(tape, op->inputs[0], span), d_y, d_w);
    for (size_t i = 0; !span->opens && i < c->length; i++)
        lane[c->weight + i] += d_w[i];
    if (op->gives[0]) {
        work.add = op->adds[0];
        lq_conv_backward_input(&conv, &work, d_y, weights_of(tape, c),
                               lq_tape_gradient(tape, op->inputs[0], span));
    }
    for (int64_t pixel = 0; c->biased && pixel < span->count * c->pixels; pixel++)
        for (int i = 0; i < c->channels; i++)
            lane[c->bias + (size_t)i] += *d_y++;
}

/* Weights of a quantized layer, as they are decoded. */
static int decode(struct lq_tape *tape, const struct lq_node *node, size_t rows, size_t length,
                  float *ret_weights)
{
    int bits = node->attributes.bits;
    const int16_t *basis = node->params[LQ_PARAM_BASIS]->data;
    const float *scale = node->params[LQ_PARAM_SCALE]->data;
    uint8_t *codes = lq_arena_alloc(&tape->arena, rows * length, 1);

    if (!codes)
        return lq_fail_memory(tape->error);
    lq_file_codes_unpack(node->params[LQ_PARAM_CODES]->data, bits, (int)rows, (int64_t)length,
                         codes);
    for (size_t row = 0; row < rows; row++)
        for (size_t k = 0; k < length; k++)
            ret_weights[row * length + k] =
                (float)lq_code_level_raw(LQ_CODE_SIGNED, bits, basis + row * (size_t)bits,
                                         codes[row * length + k]) *
                scale[row];
    return LQ_OK;
}

static int add_weights(struct lq_tape *tape, const struct lq_node *node, struct conv *c)
{
    const struct lq_tensor *weight = node->params[LQ_PARAM_WEIGHT];
    const struct lq_tensor *bias = node->params[LQ_PARAM_BIAS];
    size_t rows = (size_t)c->channels;
    struct weight_quantizer *quantizer;
    int status = lq_tape_add_param(tape, node, LQ_PARAM_WEIGHT, c->length, true,
                                   weight ? weight->data : NULL, &c->weight);

    if (status == LQ_OK && !weight) {
        status = decode(tape, node, rows, c->length / rows, tape->numbers_values + c->weight);
        if (status == LQ_OK)
            status = lq_tape_add_weight_quantizer(tape, node, c->weight, &quantizer);
        if (status == LQ_OK)
            c->quantizer = quantizer;
    }
    c->biased = bias != NULL;
    if (status == LQ_OK && bias)
        status = lq_tape_add_param(tape, node, LQ_PARAM_BIAS, rows, false, bias->data, &c->bias);
    return status;
}

int lq_tape_add_conv(struct lq_tape *tape, const struct lq_node *node)
{
    const struct lq_graph *graph = tape->graph;
    struct op *op = lq_tape_add_op(tape, node, sizeof(struct conv));
    struct lq_conv_train conv;
    struct lq_map map;
    struct conv *c;
    size_t scratch;
    int most = lq_ceil_div(tape->options.batch, LANES);

    if (!op)
        return LQ_ERR_MEMORY;
    c = op->state;
    c->input = &graph->values[node->inputs[0]].shape;
    c->output = &graph->values[node->output].shape;
    lq_conv_train_init(&conv, &node->attributes, c->input, c->output, most, tape->options.kernels);
    map = lq_shape_map(c->output);
    c->channels = map.channels;
    c->pixels = (int64_t)map.height * map.width;
    c->length = (size_t)map.channels * (size_t)conv.geometry.length;
    c->conv_scratch = lq_size_round_up(lq_conv_train_scratch(&conv, 1), LQ_ALIGNMENT);
    scratch = c->conv_scratch + lq_size_round_up(c->length * sizeof(float), LQ_ALIGNMENT);
    if (scratch > tape->scratch_bytes)
        tape->scratch_bytes = scratch;
    op->forward = conv_forward;
    op->backward = conv_backward;
    return add_weights(tape, node, c);
}
