/* op.c - operators by name; which parameters each takes; shape inference by kind.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/op.h"

#include <string.h>

#include "base/status.h"
#include "ops/infer.h"

static const char *const op_texts[LQ_OP_COUNT] = {
#define X(name, text) [name] = (text),
    LQ_OP_LIST(X)
#undef X
};

static const char *const param_texts[LQ_PARAM_COUNT] = {
#define X(name, text) [name] = (text),
    LQ_PARAM_LIST(X)
#undef X
};

static int find_text(const char *const *texts, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return i;
    return -1;
}

const char *lq_op_text(enum lq_op_kind kind)
{
    return (unsigned)kind < LQ_OP_COUNT ? op_texts[kind] : "unknown";
}

int lq_op_from_text(const char *text)
{
    return find_text(op_texts, LQ_OP_COUNT, text);
}

const char *lq_param_text(enum lq_param param)
{
    return param_texts[param];
}

int lq_param_from_text(const char *text)
{
    return find_text(param_texts, LQ_PARAM_COUNT, text);
}

/* Of one node: far more than any network has, and the sum over all nodes of a graph fits 64 bits.
 */
#define MAX_MACS (INT64_C(1) << 50)

#define BIT(param) (1u << LQ_PARAM_##param)

static const struct {
    lq_infer_function *infer;
    int min_inputs, max_inputs;
    unsigned params; /* that it may take */
} ops[LQ_OP_COUNT] = {
    [LQ_OP_CONV] = {lq_infer_conv, 1, 1,
                    BIT(WEIGHT) | BIT(BIAS) | BIT(CODES) | BIT(BASIS) | BIT(SCALE)},
    [LQ_OP_DENSE] = {lq_infer_dense, 1, 1,
                     BIT(WEIGHT) | BIT(BIAS) | BIT(CODES) | BIT(BASIS) | BIT(SCALE)},
    [LQ_OP_BATCH_NORM] = {lq_infer_batch_norm, 1, 1,
                          BIT(GAMMA) | BIT(BETA) | BIT(MEAN) | BIT(VARIANCE)},
    [LQ_OP_RELU] = {lq_infer_same, 1, 1, 0},
    [LQ_OP_CLIP] = {lq_infer_clip, 1, 1, 0},
    [LQ_OP_ADD] = {lq_infer_add, 2, LQ_MAX_INPUTS, 0},
    [LQ_OP_CONCAT] = {lq_infer_concat, 1, LQ_MAX_INPUTS, 0},
    [LQ_OP_PAD] = {lq_infer_pad, 1, 1, 0},
    [LQ_OP_SLICE] = {lq_infer_slice, 1, 1, 0},
    [LQ_OP_MAX_POOL] = {lq_infer_pool, 1, 1, 0},
    [LQ_OP_AVERAGE_POOL] = {lq_infer_pool, 1, 1, 0},
    [LQ_OP_GLOBAL_AVERAGE_POOL] = {lq_infer_global_pool, 1, 1, 0},
    [LQ_OP_LRN] = {lq_infer_lrn, 1, 1, 0},
    [LQ_OP_RESHAPE] = {lq_infer_reshape, 1, 1, 0},
    [LQ_OP_SOFTMAX] = {lq_infer_softmax, 1, 1, 0},
    [LQ_OP_QUANTIZE] = {lq_infer_quantize, 1, 1, BIT(BASIS) | BIT(SCALE)},
};

static int check_inputs(enum lq_op_kind kind, const struct lq_shape *inputs, int count,
                        struct lq_error *error)
{
    int min = ops[kind].min_inputs, max = ops[kind].max_inputs;

    if (count != min && min == max)
        return lq_fail(error, LQ_ERR_INVALID, "%d inputs, expected %d", count, min);
    if (count < min || count > max)
        return lq_fail(error, LQ_ERR_INVALID, "%d inputs, expected %d..%d", count, min, max);
    for (int i = 0; i < count; i++) {
        int status = lq_shape_check(&inputs[i], error);

        if (status != LQ_OK) {
            lq_error_prefix(error, "input %d", i);
            return status;
        }
    }
    return LQ_OK;
}

int lq_op_infer(enum lq_op_kind kind, const struct lq_attributes *attributes,
                const struct lq_shape *inputs, int input_count,
                const struct lq_tensor *const *params, struct lq_shape *ret_output,
                struct lq_error *error)
{
    struct lq_infer infer = {attributes, inputs, input_count, params, error};
    struct lq_shape output = {0, {0}};
    int status;

    if ((unsigned)kind >= LQ_OP_COUNT)
        return lq_fail(error, LQ_ERR_INVALID, "operator %d does not exist", (int)kind);
    status = check_inputs(kind, inputs, input_count, error);
    if (status != LQ_OK)
        return status;
    for (int param = 0; param < LQ_PARAM_COUNT; param++)
        if (params[param] && !(ops[kind].params >> param & 1))
            return lq_fail(error, LQ_ERR_INVALID, "takes no parameter '%s'", param_texts[param]);
    for (int param = 0; param < LQ_PARAM_COUNT; param++) {
        status = params[param] ? lq_tensor_check_finite(params[param], error) : LQ_OK;
        if (status != LQ_OK)
            return status;
    }
    status = ops[kind].infer(&infer, &output);
    if (status == LQ_OK) {
        status = lq_shape_check(&output, error);
        if (status != LQ_OK)
            lq_error_prefix(error, "output");
    }
    if (status == LQ_OK && lq_op_macs(kind, attributes, inputs, &output) > MAX_MACS)
        status = lq_fail(error, LQ_ERR_LIMIT, "more than %lld multiply-accumulates",
                         (long long)MAX_MACS);
    if (status == LQ_OK)
        *ret_output = output;
    return status;
}

int64_t lq_op_macs(enum lq_op_kind kind, const struct lq_attributes *attributes,
                   const struct lq_shape *inputs, const struct lq_shape *output)
{
    int64_t outputs = lq_shape_elements(output);

    if (kind == LQ_OP_CONV)
        return outputs * attributes->window.kernel_h * attributes->window.kernel_w *
               (inputs[0].dims[2] / attributes->groups);
    if (kind == LQ_OP_DENSE)
        return outputs * lq_shape_elements(&inputs[0]);
    return 0;
}
