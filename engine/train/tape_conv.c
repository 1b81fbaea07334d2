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
    bool learns;                              /* the weights, or their bases */
    const struct weight_quantizer *quantizer; /* NULL: float weights */
    struct lq_conv_train all;                 /* of a lane's images */
    float *packed[2];                         /* weights, for forward and backward */
    float *sums;                              /* [LANES][lq_conv_sums_floats] */
    size_t part_floats;
    double *bias_sums; /* [LANES][channels] */
};

static void init_call(const struct lq_tape *tape, const struct op *op, const struct span *span,
                      struct lq_conv_train *ret_conv, struct lq_conv_work *ret_work)
{
    const struct conv *c = op->state;

    lq_conv_train_init(ret_conv, &op->node->attributes, c->input, c->output, span->count,
                       tape->options.kernels);
    *ret_work = (struct lq_conv_work){
        .scratch = tape->scratch + (size_t)span->worker * tape->scratch_bytes, .packed = true};
}

static void conv_begin(struct lq_tape *tape, struct op *op)
{
    const struct conv *c = op->state;
    const float *w = c->quantizer ? c->quantizer->weights : tape->numbers_values + c->weight;

    lq_conv_pack(&c->all, false, w, c->packed[0]);
    if (op->gives[0] && tape->mode == LQ_TAPE_TRAIN)
        lq_conv_pack(&c->all, true, w, c->packed[1]);
}

static void conv_forward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct conv *c = op->state;
    const float *bias = tape->numbers_values + c->bias;
    float *y = lq_tape_data(tape, op->output, span);
    struct lq_conv_train conv;
    struct lq_conv_work work;

    init_call(tape, op, span, &conv, &work);
    lq_conv_forward(&conv, &work, lq_tape_data(tape, op->inputs[0], span), c->packed[0], y);
    for (int64_t pixel = 0; c->biased && pixel < span->count * c->pixels; pixel++)
        for (int i = 0; i < c->channels; i++)
            *y++ += bias[i];
}

static void conv_backward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct conv *c = op->state;
    const float *d_y = lq_tape_gradient(tape, op->output, span);
    double *bias = c->bias_sums + (size_t)span->part * (size_t)c->channels;
    struct lq_conv_train conv;
    struct lq_conv_work work;

    init_call(tape, op, span, &conv, &work);
    work.add = !span->opens;
    if (c->learns)
        lq_conv_add_sums(&conv, &work, lq_tape_data(tape, op->inputs[0], span), d_y,
                         c->sums + (size_t)span->part * c->part_floats);
    if (op->gives[0]) {
        work.add = op->adds[0];
        lq_conv_backward_input(&conv, &work, d_y, c->packed[1],
                               lq_tape_gradient(tape, op->inputs[0], span));
    }
    for (int i = 0; c->biased && span->opens && i < c->channels; i++)
        bias[i] = 0;
    for (int64_t pixel = 0; c->biased && pixel < span->count * c->pixels; pixel++)
        for (int i = 0; i < c->channels; i++)
            bias[i] += (double)*d_y++;
}

static void conv_end(struct lq_tape *tape, struct op *op)
{
    const struct conv *c = op->state;
    int parts = lq_tape_parts(tape);

    if (c->learns)
        lq_conv_finish_sums(&c->all, c->sums, parts, tape->gradients + c->weight);
    for (int i = 0; c->biased && i < c->channels; i++) {
        double sum = 0;

        for (int part = 0; part < parts; part++)
            sum += c->bias_sums[part * c->channels + i];
        tape->gradients[c->bias + (size_t)i] = (float)sum;
    }
}

/* Weights of a quantized layer, as they are decoded. */
static int decode(struct lq_tape *tape, const struct lq_node *node, size_t rows, size_t length,
                  uint8_t **ret_codes, float *ret_weights)
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
    *ret_codes = codes;
    return LQ_OK;
}

static int add_weights(struct lq_tape *tape, const struct lq_node *node, struct conv *c)
{
    const struct lq_tensor *weight = node->params[LQ_PARAM_WEIGHT];
    const struct lq_tensor *bias = node->params[LQ_PARAM_BIAS];
    size_t rows = (size_t)c->channels;
    struct weight_quantizer *quantizer;
    uint8_t *codes;
    int status = lq_tape_add_param(tape, node, LQ_PARAM_WEIGHT, c->length, true,
                                   weight ? weight->data : NULL, &c->weight);

    if (status == LQ_OK && !weight) {
        status =
            decode(tape, node, rows, c->length / rows, &codes, tape->numbers_values + c->weight);
        if (status == LQ_OK)
            status = lq_tape_add_weight_quantizer(tape, node, c->weight, &quantizer);
        if (status == LQ_OK)
            c->quantizer = quantizer;
        if (status == LQ_OK && tape->options.fixed_weights)
            quantizer->codes = codes;
    }
    c->learns = !weight || !tape->options.fixed_weights;
    c->biased = bias != NULL;
    if (status == LQ_OK && bias)
        status = lq_tape_add_param(tape, node, LQ_PARAM_BIAS, rows, false, bias->data, &c->bias);
    return status;
}

static int reserve(struct lq_tape *tape, struct conv *c)
{
    struct lq_arena *arena = &tape->arena;
    size_t scratch = lq_size_round_up(lq_conv_part_scratch(&c->all), LQ_ALIGNMENT);

    if (scratch > tape->scratch_bytes)
        tape->scratch_bytes = scratch;
    c->packed[0] = lq_arena_alloc(arena, lq_conv_packed_floats(&c->all, false), sizeof(float));
    if (c->packed[0] && tape->options.forward_only)
        return LQ_OK;
    c->part_floats = lq_conv_sums_floats(&c->all);
    c->packed[1] = lq_arena_alloc(arena, lq_conv_packed_floats(&c->all, true), sizeof(float));
    c->sums = lq_arena_alloc(arena, LANES * c->part_floats, sizeof(float));
    c->bias_sums = lq_arena_alloc(arena, LANES * (size_t)c->channels, sizeof(double));
    return c->packed[0] && c->packed[1] && c->sums && c->bias_sums ? LQ_OK
                                                                   : lq_fail_memory(tape->error);
}

int lq_tape_add_conv(struct lq_tape *tape, const struct lq_node *node)
{
    const struct lq_graph *graph = tape->graph;
    struct op *op = lq_tape_add_op(tape, node, sizeof(struct conv));
    int status, most = lq_ceil_div(tape->options.batch, LANES);
    struct lq_map map;
    struct conv *c;

    if (!op)
        return LQ_ERR_MEMORY;
    c = op->state;
    c->input = &graph->values[node->inputs[0]].shape;
    c->output = &graph->values[node->output].shape;
    lq_conv_train_init(&c->all, &node->attributes, c->input, c->output, most,
                       tape->options.kernels);
    map = lq_shape_map(c->output);
    c->channels = map.channels;
    c->pixels = (int64_t)map.height * map.width;
    c->length = (size_t)map.channels * (size_t)c->all.geometry.length;
    op->begin = conv_begin;
    op->forward = conv_forward;
    op->backward = conv_backward;
    op->end = conv_end;
    status = reserve(tape, c);
    return status == LQ_OK ? add_weights(tape, node, c) : status;
}
