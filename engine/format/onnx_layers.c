/* onnx_layers.c - ONNX operators with weights become nodes of the graph.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/status.h"
#include "format/onnx_internal.h"

static int add_bias(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at, int channels,
                    struct lq_node_spec *spec)
{
    const struct lq_onnx_const *bias;
    struct lq_tensor *tensor;
    int status = lq_onnx_constant(onnx, node, at, &bias);

    if (status != LQ_OK || !bias)
        return status;
    status = lq_onnx_floats(onnx, node, at, channels, &bias);
    if (status == LQ_OK)
        status = lq_onnx_add_floats(onnx, node, "bias", (struct lq_shape){1, {channels}},
                                    bias->floats, &tensor);
    if (status == LQ_OK)
        spec->params[LQ_PARAM_BIAS] = tensor;
    return status;
}

/* [out][in][taps] -> [out][taps][in] */
static void turn_weights(const float *from, int out, int in, int taps, float *to)
{
    for (size_t o = 0; o < (size_t)out; o++)
        for (size_t tap = 0; tap < (size_t)taps; tap++)
            for (size_t i = 0; i < (size_t)in; i++)
                *to++ = from[(o * (size_t)in + i) * (size_t)taps + tap];
}

int lq_onnx_convert_conv(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_node_spec spec = {.kind = LQ_OP_CONV, .input_count = 1};
    const struct lq_onnx_const *weights;
    struct lq_tensor *tensor;
    int64_t groups;
    int status = lq_onnx_runtime(onnx, node, 0, &spec.inputs[0]);

    if (status == LQ_OK)
        status = lq_onnx_constant(onnx, node, 1, &weights);
    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "group", 1, &groups);
    if (status != LQ_OK)
        return status;
    if (!weights || !weights->floats || weights->rank != 4 || weights->count < 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "weights are missing or not of rank 4");
    if (groups < 1 || groups > LQ_MAX_DIM)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "attribute group is %lld",
                            (long long)groups);
    int dims[4];
    for (int i = 0; i < 4; i++)
        dims[i] = (int)weights->dims[i]; /* their product is at most LQ_MAX_ELEMENTS */
    status = lq_onnx_window(onnx, node, dims + 2, &spec.attributes.window);
    if (status == LQ_OK)
        status = lq_onnx_add_floats(onnx, node, "weight",
                                    (struct lq_shape){4, {dims[0], dims[2], dims[3], dims[1]}},
                                    NULL, &tensor);
    if (status == LQ_OK)
        status = add_bias(onnx, node, 2, dims[0], &spec);
    if (status != LQ_OK)
        return status;
    turn_weights(weights->floats, dims[0], dims[1], dims[2] * dims[3], (float *)tensor->data);
    spec.params[LQ_PARAM_WEIGHT] = tensor;
    spec.attributes.out_channels = dims[0];
    spec.attributes.groups = (int)groups;
    return lq_onnx_add_node(onnx, node, &spec);
}

/* y = alpha * x b + beta * c, with b as [out][in] or [in][out]. */
static int add_dense(struct lq_onnx *onnx, const struct lq_onnx_node *node, bool out_first,
                     float alpha, struct lq_node_spec *spec)
{
    const struct lq_onnx_const *weights;
    struct lq_tensor *tensor;
    int status = lq_onnx_constant(onnx, node, 1, &weights);

    if (status != LQ_OK)
        return status;
    if (!weights || !weights->floats || weights->rank != 2 || weights->count < 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "weights are missing or not of rank 2");
    int out = (int)weights->dims[out_first ? 0 : 1], in = (int)weights->dims[out_first ? 1 : 0];
    status =
        lq_onnx_add_floats(onnx, node, "weight", (struct lq_shape){2, {out, in}}, NULL, &tensor);
    if (status != LQ_OK)
        return status;
    float *to = (float *)tensor->data;
    for (size_t o = 0; o < (size_t)out; o++)
        for (size_t i = 0; i < (size_t)in; i++)
            *to++ = alpha * weights->floats[out_first ? o * (size_t)in + i : i * (size_t)out + o];
    spec->kind = LQ_OP_DENSE;
    spec->input_count = 1;
    spec->attributes.out_channels = out;
    spec->params[LQ_PARAM_WEIGHT] = tensor;
    return lq_onnx_runtime(onnx, node, 0, &spec->inputs[0]);
}

/* Gemm's third input: a number for all outputs, or one for each; times beta. */
static int add_gemm_bias(struct lq_onnx *onnx, const struct lq_onnx_node *node, float beta,
                         struct lq_node_spec *spec)
{
    const struct lq_onnx_const *c;
    int out = spec->attributes.out_channels, status = lq_onnx_constant(onnx, node, 2, &c);
    struct lq_tensor *tensor;

    if (status != LQ_OK || !c)
        return status;
    if (!c->floats || (c->count != out && c->count != 1) || c->rank > 2 ||
        (c->rank == 2 && c->dims[0] != 1))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "input 2 has %lld elements, expected %d or one", (long long)c->count,
                            out);
    status = lq_onnx_add_floats(onnx, node, "bias", (struct lq_shape){1, {out}}, NULL, &tensor);
    for (int i = 0; i < out && status == LQ_OK; i++)
        ((float *)tensor->data)[i] = beta * c->floats[c->count == 1 ? 0 : i];
    if (status == LQ_OK)
        spec->params[LQ_PARAM_BIAS] = tensor;
    return status;
}

int lq_onnx_convert_gemm(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_node_spec spec = {0};
    int64_t trans_a, trans_b;
    float alpha, beta;
    int status = lq_onnx_int(onnx, node, "transA", 0, &trans_a);

    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "transB", 0, &trans_b);
    if (status == LQ_OK)
        status = lq_onnx_float(onnx, node, "alpha", 1, &alpha);
    if (status == LQ_OK)
        status = lq_onnx_float(onnx, node, "beta", 1, &beta);
    if (status == LQ_OK && trans_a != 0)
        status = lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute transA is %lld",
                              (long long)trans_a);
    if (status == LQ_OK)
        status = add_dense(onnx, node, trans_b != 0, alpha, &spec);
    if (status == LQ_OK)
        status = add_gemm_bias(onnx, node, beta, &spec);
    return status == LQ_OK ? lq_onnx_add_node(onnx, node, &spec) : status;
}

int lq_onnx_convert_matmul(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_node_spec spec = {0};
    int status = add_dense(onnx, node, false, 1, &spec);

    return status == LQ_OK ? lq_onnx_add_node(onnx, node, &spec) : status;
}

int lq_onnx_convert_batch_norm(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const enum lq_param params[4] = {LQ_PARAM_GAMMA, LQ_PARAM_BETA, LQ_PARAM_MEAN,
                                     LQ_PARAM_VARIANCE};
    struct lq_node_spec spec = {.kind = LQ_OP_BATCH_NORM, .input_count = 1};
    int64_t training, spatial;
    int status = lq_onnx_runtime(onnx, node, 0, &spec.inputs[0]);

    if (status == LQ_OK)
        status = lq_onnx_float(onnx, node, "epsilon", 1e-5f, &spec.attributes.epsilon);
    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "training_mode", 0, &training);
    if (status == LQ_OK)
        status = lq_onnx_int(onnx, node, "spatial", 1, &spatial);
    if (status != LQ_OK)
        return status;
    if (training != 0 || spatial != 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "attribute training_mode is %lld, spatial is %lld", (long long)training,
                            (long long)spatial);
    const struct lq_shape *in = &onnx->graph->values[spec.inputs[0]].shape;
    int channels = in->dims[in->rank - 1];
    for (int i = 0; i < 4; i++) {
        const struct lq_onnx_const *floats;
        struct lq_tensor *tensor;

        status = lq_onnx_floats(onnx, node, i + 1, channels, &floats);
        if (status == LQ_OK)
            status = lq_onnx_add_floats(onnx, node, lq_param_text(params[i]),
                                        (struct lq_shape){1, {channels}}, floats->floats, &tensor);
        if (status != LQ_OK)
            return status;
        spec.params[params[i]] = tensor;
    }
    return lq_onnx_add_node(onnx, node, &spec);
}
