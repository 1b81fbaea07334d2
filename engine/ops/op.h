/* op.h - the operators of a network: attributes, parameters, shape inference.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Operators are described here as a graph states them: what they mean, not how they are computed.
 * graph/lower.c turns them into steps (ops/step.h), which compute. Feature maps are height, width,
 * channels; attributes are in that order too. The batch is implicit everywhere.
 */
#ifndef LQ_OPS_OP_H
#define LQ_OPS_OP_H

#include "tensor/tensor.h"

/* X(name, text in files). The text is the file format: never change one. */
#define LQ_OP_LIST(X)                                                                              \
    X(LQ_OP_CONV, "conv")                                                                          \
    X(LQ_OP_DENSE, "dense")                                                                        \
    X(LQ_OP_BATCH_NORM, "batch_norm")                                                              \
    X(LQ_OP_RELU, "relu")                                                                          \
    X(LQ_OP_CLIP, "clip")                                                                          \
    X(LQ_OP_ADD, "add")                                                                            \
    X(LQ_OP_CONCAT, "concat")                                                                      \
    X(LQ_OP_PAD, "pad")                                                                            \
    X(LQ_OP_SLICE, "slice")                                                                        \
    X(LQ_OP_MAX_POOL, "max_pool")                                                                  \
    X(LQ_OP_AVERAGE_POOL, "average_pool")                                                          \
    X(LQ_OP_GLOBAL_AVERAGE_POOL, "global_average_pool")                                            \
    X(LQ_OP_LRN, "lrn")                                                                            \
    X(LQ_OP_RESHAPE, "reshape")                                                                    \
    X(LQ_OP_SOFTMAX, "softmax")                                                                    \
    X(LQ_OP_QUANTIZE, "quantize")

enum lq_op_kind {
#define X(name, text) name,
    LQ_OP_LIST(X)
#undef X
        LQ_OP_COUNT
};

/* A node's constant tensors. X(name, text in files).
 *   conv          weight F32 [out][kernel_h][kernel_w][in / groups]; bias F32 [out], optional.
 *                 Quantized: instead of weight, codes U8 (quant/pack.h, the file form),
 *                 basis I16 [out][weight_bits], scale F32 [out]
 *   dense         the same with weight [out][in]
 *   batch_norm    gamma, beta, mean, variance F32 [channels]
 *   quantize      basis I16 [bits], scale F32 [1] */
#define LQ_PARAM_LIST(X)                                                                           \
    X(LQ_PARAM_WEIGHT, "weight")                                                                   \
    X(LQ_PARAM_BIAS, "bias")                                                                       \
    X(LQ_PARAM_CODES, "codes")                                                                     \
    X(LQ_PARAM_BASIS, "basis")                                                                     \
    X(LQ_PARAM_SCALE, "scale")                                                                     \
    X(LQ_PARAM_GAMMA, "gamma")                                                                     \
    X(LQ_PARAM_BETA, "beta")                                                                       \
    X(LQ_PARAM_MEAN, "mean")                                                                       \
    X(LQ_PARAM_VARIANCE, "variance")

enum lq_param {
#define X(name, text) name,
    LQ_PARAM_LIST(X)
#undef X
        LQ_PARAM_COUNT
};

/* A window that slides over a feature map. */
struct lq_window {
    int kernel_h, kernel_w;
    int stride_h, stride_w;
    int dilation_h, dilation_w; /* 1: dense; pools have 1 */
    int pad_top, pad_left, pad_bottom, pad_right;
};

#define LQ_MAX_INPUTS 64 /* of a node: concat and add */

/* Every attribute of every operator. Unused ones are zero. */
struct lq_attributes {
    struct lq_window window;       /* conv, max_pool, average_pool */
    int out_channels;              /* conv, dense */
    int groups;                    /* conv */
    int bits;                      /* weight bits of conv and dense, 0: float; bits of quantize */
    int grid;                      /* of the snapped basis, where bits > 0 */
    bool ceil_mode;                /* pools: the last window may hang over the padded border */
    bool count_include_pad;        /* average_pool: divide by the kernel's size, padding included */
    float epsilon;                 /* batch_norm */
    float min, max;                /* clip; infinite where unbounded */
    int axis;                      /* concat: axis of one image's value */
    int before[3], after[3];       /* pad: height, width, channels, >= 0 */
    float value;                   /* pad */
    int start[3], end[3], step[3]; /* slice: 0 <= start < end <= dim, step >= 1 */
    int lrn_size;                  /* channels summed over */
    float alpha, beta, bias;       /* lrn: y = x / (bias + alpha / size * sum x^2)^beta */
    struct lq_shape shape; /* reshape: of one image. Elements keep the order that they have with
                              feature maps taken as channels, height, width, as in ONNX */
};

/* Text of a kind, as in files, and back (-1: unknown). */
const char *lq_op_text(enum lq_op_kind kind);
int lq_op_from_text(const char *text);
const char *lq_param_text(enum lq_param param);
int lq_param_from_text(const char *text);

/* Checks attributes, inputs' shapes and parameters against each other and gives the output's shape.
 * params[LQ_PARAM_COUNT] holds NULL where a parameter is absent. After this, every size a step
 * computes with is in range. Errors: LQ_ERR_INVALID (naming the attribute, or what does not fit),
 * LQ_ERR_LIMIT, LQ_ERR_NUMERIC. */
int lq_op_infer(enum lq_op_kind kind, const struct lq_attributes *attributes,
                const struct lq_shape *inputs, int input_count,
                const struct lq_tensor *const *params, struct lq_shape *ret_output,
                struct lq_error *error) LQ_MUST_CHECK;

/* Multiply-accumulates for one image. */
int64_t lq_op_macs(enum lq_op_kind kind, const struct lq_attributes *attributes,
                   const struct lq_shape *inputs, const struct lq_shape *output);

#endif
