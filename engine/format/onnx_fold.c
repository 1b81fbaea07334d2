/* onnx_fold.c - ONNX constants, and the operators that exporters put between them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Exporters write shapes and padding amounts as small programs over integers. They run here once,
 * at import, on values of a few elements; the number of images in them is LQ_ONNX_BATCH, which
 * moves through them unharmed and absorbs arithmetic.
 */
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/onnx_internal.h"

#define MAX_FOLDED 65536 /* elements of a result: shapes, not weights */

int lq_onnx_const_create(struct lq_onnx *onnx, bool floats, int rank, const int64_t *dims,
                         struct lq_onnx_const **ret_constant)
{
    struct lq_onnx_const *constant = lq_arena_alloc(&onnx->arena, 1, sizeof(*constant));

    if (!constant)
        return lq_fail_memory(onnx->error);
    if (rank < 0 || rank > LQ_ONNX_MAX_RANK)
        return lq_fail(onnx->error, LQ_ERR_LIMIT, "a constant of rank %d, expected at most %d",
                       rank, LQ_ONNX_MAX_RANK);
    constant->rank = rank;
    constant->count = 1;
    for (int i = 0; i < rank; i++) {
        constant->dims[i] = dims[i];
        if (dims[i] < 0 || !lq_i64_mul(constant->count, dims[i], &constant->count) ||
            constant->count > LQ_MAX_ELEMENTS)
            return lq_fail(onnx->error, LQ_ERR_LIMIT, "a constant's dimension %d is %lld", i,
                           (long long)dims[i]);
    }
    if (floats)
        constant->floats = lq_arena_alloc(&onnx->arena, (size_t)constant->count, sizeof(float));
    else
        constant->integers = lq_arena_alloc(&onnx->arena, (size_t)constant->count, sizeof(int64_t));
    if (!constant->floats && !constant->integers)
        return lq_fail_memory(onnx->error);
    *ret_constant = constant;
    return LQ_OK;
}

/* Elements come as raw little-endian bytes or in a typed list. */
static int copy_elements(struct lq_onnx *onnx, const Onnx__TensorProto *proto, size_t listed,
                         size_t bytes, int64_t count)
{
    if (proto->has_raw_data && proto->raw_data.len != (size_t)count * bytes)
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "%zu bytes of raw data for %lld elements of %zu",
                       proto->raw_data.len, (long long)count, bytes);
    if (!proto->has_raw_data && listed != (size_t)count)
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "%zu numbers for %lld elements", listed,
                       (long long)count);
    return LQ_OK;
}

static int fill_floats(struct lq_onnx *onnx, const Onnx__TensorProto *proto,
                       struct lq_onnx_const *constant)
{
    bool wide = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    size_t bytes = wide ? sizeof(double) : sizeof(float);
    int status = copy_elements(onnx, proto, wide ? proto->n_double_data : proto->n_float_data,
                               bytes, constant->count);

    for (int64_t i = 0; i < constant->count && status == LQ_OK; i++) {
        double number;

        if (!proto->has_raw_data) {
            constant->floats[i] = wide ? (float)proto->double_data[i] : proto->float_data[i];
        } else if (wide) {
            memcpy(&number, proto->raw_data.data + (size_t)i * bytes, bytes);
            constant->floats[i] = (float)number;
        } else {
            memcpy(&constant->floats[i], proto->raw_data.data + (size_t)i * bytes, bytes);
        }
    }
    return status;
}

static int fill_integers(struct lq_onnx *onnx, const Onnx__TensorProto *proto,
                         struct lq_onnx_const *constant)
{
    bool wide = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    size_t bytes = wide ? sizeof(int64_t) : sizeof(int32_t);
    int status = copy_elements(onnx, proto, wide ? proto->n_int64_data : proto->n_int32_data, bytes,
                               constant->count);

    for (int64_t i = 0; i < constant->count && status == LQ_OK; i++) {
        int32_t narrow;

        if (!proto->has_raw_data) {
            constant->integers[i] = wide ? proto->int64_data[i] : proto->int32_data[i];
        } else if (wide) {
            memcpy(&constant->integers[i], proto->raw_data.data + (size_t)i * bytes, bytes);
        } else {
            memcpy(&narrow, proto->raw_data.data + (size_t)i * bytes, bytes);
            constant->integers[i] = narrow;
        }
    }
    return status;
}

int lq_onnx_const_parse(struct lq_onnx *onnx, const Onnx__TensorProto *proto,
                        struct lq_onnx_const **ret_constant)
{
    bool floats = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
                  proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
    bool integers = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
                    proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    struct lq_onnx_const *constant;
    int64_t count = 1;
    int status;

    if (!floats && !integers)
        return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED,
                       "element type %d (float, double, int32 and int64 are read)",
                       proto->data_type);
    if (proto->n_external_data > 0 ||
        proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
        return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED, "its data are in another file");
    /* Before memory is asked for: the file must hold at least a byte for each element. */
    size_t held = proto->raw_data.len + proto->n_float_data + proto->n_double_data +
                  proto->n_int64_data + proto->n_int32_data;
    for (size_t i = 0; i < proto->n_dims; i++)
        if (proto->dims[i] < 0 || !lq_i64_mul(count, proto->dims[i], &count) ||
            (uint64_t)count > held)
            return lq_fail(onnx->error, LQ_ERR_FORMAT,
                           "dimension %zu is %lld, more than the file has data for", i,
                           (long long)proto->dims[i]);
    status = lq_onnx_const_create(onnx, floats, proto->n_dims > 64 ? 64 : (int)proto->n_dims,
                                  proto->dims, &constant);
    if (status == LQ_OK)
        status = floats ? fill_floats(onnx, proto, constant) : fill_integers(onnx, proto, constant);
    if (status == LQ_OK)
        *ret_constant = constant;
    return status;
}

static int define(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                  const struct lq_onnx_const *constant)
{
    return lq_onnx_define(onnx, node->proto->output[0], constant, -1);
}

/* Input `at` as a constant of integers (or of anything). */
static int need(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at, bool integers,
                const struct lq_onnx_const **ret_constant)
{
    const struct lq_onnx_value *input = at < node->input_count ? node->inputs[at] : NULL;

    if (!input || !input->constant || (integers && !input->constant->integers))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input %d is no constant%s", at,
                            integers ? " of integers" : "");
    if (input->constant->count > MAX_FOLDED)
        return lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "input %d is too large to be folded", at);
    *ret_constant = input->constant;
    return LQ_OK;
}

int lq_onnx_fold_constant(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const Onnx__AttributeProto *value = lq_onnx_attribute(node, "value");
    const Onnx__AttributeProto *one_int = lq_onnx_attribute(node, "value_int");
    const Onnx__AttributeProto *ints = lq_onnx_attribute(node, "value_ints");
    const Onnx__AttributeProto *one_float = lq_onnx_attribute(node, "value_float");
    const Onnx__AttributeProto *floats = lq_onnx_attribute(node, "value_floats");
    struct lq_onnx_const *constant = NULL;
    int status;

    if (value && value->t) {
        status = lq_onnx_const_parse(onnx, value->t, &constant);
        if (status != LQ_OK)
            lq_error_prefix(onnx->error, "node '%.64s' (Constant)", node->name);
    } else if (one_int || one_float) {
        status = lq_onnx_const_create(onnx, one_float != NULL, 0, NULL, &constant);
        if (status == LQ_OK && one_int)
            constant->integers[0] = one_int->i;
        else if (status == LQ_OK)
            constant->floats[0] = one_float->f;
    } else if (ints || floats) {
        int64_t count = (int64_t)(ints ? ints->n_ints : floats->n_floats);

        status = lq_onnx_const_create(onnx, floats != NULL, 1, &count, &constant);
        for (int64_t i = 0; i < count && status == LQ_OK; i++) {
            if (ints)
                constant->integers[i] = ints->ints[i];
            else
                constant->floats[i] = floats->floats[i];
        }
    } else {
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "it has no value that can be read");
    }
    return status == LQ_OK ? define(onnx, node, constant) : status;
}

int lq_onnx_fold_identity(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    if (node->input_count < 1 || !node->inputs[0])
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "it has no input");
    return lq_onnx_define(onnx, node->proto->output[0], node->inputs[0]->constant,
                          node->inputs[0]->value);
}

/* Shape of a runtime value, too: the table sends both here. */
int lq_onnx_fold_shape(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    int64_t dims[LQ_ONNX_MAX_RANK], rank;
    struct lq_onnx_const *constant;
    int status;

    if (node->input_count != 1 || !node->inputs[0])
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "expected one input");
    if (node->inputs[0]->constant) {
        rank = node->inputs[0]->constant->rank;
        memcpy(dims, node->inputs[0]->constant->dims, sizeof(dims));
    } else {
        rank = lq_onnx_shape(onnx, node->inputs[0]->value, dims);
    }
    status = lq_onnx_const_create(onnx, false, 1, &rank, &constant);
    if (status != LQ_OK)
        return status;
    memcpy(constant->integers, dims, (size_t)rank * sizeof(*dims));
    return define(onnx, node, constant);
}

int lq_onnx_fold_gather(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *data = NULL, *indices = NULL;
    struct lq_onnx_const *result;
    int64_t axis;
    int status = lq_onnx_int(onnx, node, "axis", 0, &axis);

    if (status == LQ_OK)
        status = need(onnx, node, 0, true, &data);
    if (status == LQ_OK)
        status = need(onnx, node, 1, true, &indices);
    if (status != LQ_OK)
        return status;
    if (data->rank != 1 || (axis != 0 && axis != -1))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute axis is %lld of rank %d",
                            (long long)axis, data->rank);
    status = lq_onnx_const_create(onnx, false, indices->rank, indices->dims, &result);
    for (int64_t i = 0; i < indices->count && status == LQ_OK; i++) {
        int64_t at =
            indices->integers[i] < 0 ? indices->integers[i] + data->count : indices->integers[i];

        if (at < 0 || at >= data->count)
            return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "index %lld of %lld",
                                (long long)indices->integers[i], (long long)data->count);
        result->integers[i] = data->integers[at];
    }
    return status == LQ_OK ? define(onnx, node, result) : status;
}

/* The same elements under other dimensions. */
static int define_as(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                     const struct lq_onnx_const *data, int rank, const int64_t *dims)
{
    struct lq_onnx_const *result;
    int status = lq_onnx_const_create(onnx, data->floats != NULL, rank, dims, &result);

    if (status != LQ_OK)
        return status;
    if (result->count != data->count)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "%lld elements become %lld",
                            (long long)data->count, (long long)result->count);
    if (data->floats)
        memcpy(result->floats, data->floats, (size_t)data->count * sizeof(float));
    else
        memcpy(result->integers, data->integers, (size_t)data->count * sizeof(int64_t));
    return define(onnx, node, result);
}

/* Squeeze and Unsqueeze of scalars and lists: all that shape programs hold. */
int lq_onnx_fold_squeeze(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *data = NULL;
    int64_t dims[1];
    bool squeeze = strcmp(node->proto->op_type, "Squeeze") == 0;
    int status = need(onnx, node, 0, false, &data);

    if (status != LQ_OK)
        return status;
    dims[0] = data->count;
    if (data->rank > 1 || (squeeze && data->count != 1) || (!squeeze && data->rank != 0))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input of rank %d", data->rank);
    return define_as(onnx, node, data, squeeze ? 0 : 1, dims);
}

int lq_onnx_fold_concat(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    struct lq_onnx_const *result;
    int64_t count = 0, at = 0;
    int status = LQ_OK;

    for (int i = 0; i < node->input_count; i++) {
        const struct lq_onnx_const *part = NULL;

        status = need(onnx, node, i, true, &part);
        if (status != LQ_OK)
            return status;
        if (part->rank != 1)
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input %d of rank %d", i,
                                part->rank);
        count += part->count;
    }
    status = count > MAX_FOLDED
                 ? lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "%lld elements", (long long)count)
                 : lq_onnx_const_create(onnx, false, 1, &count, &result);
    if (status != LQ_OK)
        return status;
    for (int i = 0; i < node->input_count; i++) {
        const struct lq_onnx_const *part = node->inputs[i]->constant;

        memcpy(result->integers + at, part->integers, (size_t)part->count * sizeof(int64_t));
        at += part->count;
    }
    return define(onnx, node, result);
}

int lq_onnx_fold_reshape(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *data = NULL, *shape = NULL;
    int64_t dims[LQ_ONNX_MAX_RANK], known = 1;
    int status = need(onnx, node, 0, false, &data), open = -1;

    if (status == LQ_OK)
        status = need(onnx, node, 1, true, &shape);
    if (status != LQ_OK)
        return status;
    if (shape->count > LQ_ONNX_MAX_RANK)
        return lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "%lld dimensions", (long long)shape->count);
    for (int i = 0; i < shape->count; i++) {
        dims[i] = shape->integers[i];
        if (dims[i] == -1 && open < 0)
            open = i;
        else if (dims[i] < 1 || dims[i] > MAX_FOLDED)
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "dimension %lld",
                                (long long)dims[i]);
        else if (!lq_i64_mul(known, dims[i], &known))
            return lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "the shape is too large");
    }
    if (open >= 0)
        dims[open] = data->count / known;
    return define_as(onnx, node, data, (int)shape->count, dims);
}

/* Along axis 0 only, with a step of any sign: how exporters turn lists of pads around. */
int lq_onnx_fold_slice(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *data = NULL, *part[5] = {NULL};
    struct lq_onnx_const *result;
    int64_t start, end, step = 1, count = 0, dims[LQ_ONNX_MAX_RANK], row = 1;
    int status = need(onnx, node, 0, true, &data);

    for (int i = 1; i < 5 && i < node->input_count && status == LQ_OK; i++)
        if (node->inputs[i])
            status = need(onnx, node, i, true, &part[i]);
    if (status != LQ_OK)
        return status;
    if (!part[1] || !part[2] || part[1]->count != 1 || part[2]->count != 1 || data->rank < 1 ||
        (part[3] && (part[3]->count != 1 || part[3]->integers[0] != 0)) ||
        (part[4] && part[4]->count != 1))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED,
                            "a slice of constants other than along axis 0");
    memcpy(dims, data->dims, sizeof(dims));
    for (int i = 1; i < data->rank; i++)
        row *= dims[i];
    start = part[1]->integers[0];
    end = part[2]->integers[0];
    if (part[4])
        step = part[4]->integers[0];
    if (step == 0 || step < -MAX_FOLDED || step > MAX_FOLDED)
        return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "step %lld", (long long)step);
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? dims[0] : dims[0] - 1;
    start = start < 0 ? (start < -dims[0] ? low : start + dims[0]) : start;
    end = end < 0 ? (end < -dims[0] ? low : end + dims[0]) : end;
    start = start < low ? low : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    if (step > 0 ? end > start : end < start)
        count = step > 0 ? (end - start - 1) / step + 1 : (start - end - 1) / -step + 1;
    dims[0] = count;
    status = lq_onnx_const_create(onnx, false, data->rank, dims, &result);
    for (int64_t i = 0; i < count && status == LQ_OK; i++)
        memcpy(result->integers + i * row, data->integers + (start + i * step) * row,
               (size_t)row * sizeof(int64_t));
    return status == LQ_OK ? define(onnx, node, result) : status;
}

int lq_onnx_fold_transpose(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *data = NULL;
    struct lq_onnx_const *result;
    int64_t perm[2] = {1, 0}, dims[2];
    int count, status = need(onnx, node, 0, true, &data);

    if (status == LQ_OK)
        status = lq_onnx_ints(onnx, node, "perm", 2, perm, &count);
    if (status != LQ_OK)
        return status;
    if (data->rank != 2 || perm[0] != 1 || perm[1] != 0)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "input of rank %d", data->rank);
    dims[0] = data->dims[1];
    dims[1] = data->dims[0];
    status = lq_onnx_const_create(onnx, false, 2, dims, &result);
    for (int64_t i = 0; i < data->count && status == LQ_OK; i++)
        result->integers[i % dims[0] * dims[1] + i / dims[0]] = data->integers[i];
    return status == LQ_OK ? define(onnx, node, result) : status;
}

int lq_onnx_fold_cast(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *data = NULL;
    int64_t to;
    int status = lq_onnx_int(onnx, node, "to", 0, &to);

    if (status == LQ_OK)
        status = need(onnx, node, 0, false, &data);
    if (status != LQ_OK)
        return status;
    bool same = data->floats ? to == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                             : to == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ||
                                   to == ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    if (!same)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute to is %lld", (long long)to);
    return lq_onnx_fold_identity(onnx, node);
}

int lq_onnx_fold_constant_of_shape(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const Onnx__AttributeProto *value = lq_onnx_attribute(node, "value");
    const struct lq_onnx_const *shape = NULL;
    struct lq_onnx_const *fill = NULL, *result;
    int64_t count = 1;
    int status = need(onnx, node, 0, true, &shape);

    if (status == LQ_OK && value && value->t)
        status = lq_onnx_const_parse(onnx, value->t, &fill);
    if (status != LQ_OK)
        return status;
    for (int64_t i = 0; i < shape->count; i++)
        if (shape->integers[i] < 0 || !lq_i64_mul(count, shape->integers[i], &count) ||
            count > MAX_FOLDED)
            return lq_onnx_fail(onnx, node, LQ_ERR_LIMIT, "dimension %lld",
                                (long long)shape->integers[i]);
    if (fill && (fill->count != 1 || !fill->integers))
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute value is no integer");
    status = lq_onnx_const_create(onnx, false, (int)(shape->count > 64 ? 64 : shape->count),
                                  shape->integers, &result);
    for (int64_t i = 0; i < count && status == LQ_OK; i++)
        result->integers[i] = fill ? fill->integers[0] : 0;
    return status == LQ_OK ? define(onnx, node, result) : status;
}

/* False where the result leaves 64 bits, or would divide by zero. */
static bool combine(char op, int64_t a, int64_t b, int64_t *ret_value)
{
    if (a == LQ_ONNX_BATCH || b == LQ_ONNX_BATCH) {
        *ret_value = LQ_ONNX_BATCH;
        return true;
    }
    switch (op) {
    case 'A':
        return !__builtin_add_overflow(a, b, ret_value);
    case 'S':
        return !__builtin_sub_overflow(a, b, ret_value);
    case 'M':
        return !__builtin_mul_overflow(a, b, ret_value);
    default:
        if (b == 0)
            return false;
        *ret_value = a / b;
        return true;
    }
}

/* Add, Sub, Mul, Div of integers: equal counts, or one of them a single number. */
int lq_onnx_fold_arithmetic(struct lq_onnx *onnx, const struct lq_onnx_node *node)
{
    const struct lq_onnx_const *a = NULL, *b = NULL, *shape;
    struct lq_onnx_const *result;
    int status = need(onnx, node, 0, true, &a);

    if (status == LQ_OK)
        status = need(onnx, node, 1, true, &b);
    if (status != LQ_OK)
        return status;
    if (a->count != b->count && a->count != 1 && b->count != 1)
        return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "%lld and %lld elements",
                            (long long)a->count, (long long)b->count);
    shape = a->count > b->count || (a->count == b->count && a->rank >= b->rank) ? a : b;
    status = lq_onnx_const_create(onnx, false, shape->rank, shape->dims, &result);
    for (int64_t i = 0; i < shape->count && status == LQ_OK; i++)
        if (!combine(node->proto->op_type[0], a->integers[a->count == 1 ? 0 : i],
                     b->integers[b->count == 1 ? 0 : i], &result->integers[i]))
            return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "element %lld leaves 64 bits",
                                (long long)i);
    return status == LQ_OK ? define(onnx, node, result) : status;
}
