/* tensor.c - element types, shapes, and constant tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

static const struct {
    const char *text;
    size_t bytes;
} dtypes[LQ_DTYPE_COUNT] = {
#define X(name, text, bytes) [name] = {text, bytes},
    LQ_DTYPE_LIST(X)
#undef X
};

size_t lq_dtype_bytes(enum lq_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *lq_dtype_text(enum lq_dtype dtype)
{
    return dtypes[dtype].text;
}

int lq_dtype_from_text(const char *text)
{
    for (int dtype = 0; dtype < LQ_DTYPE_COUNT; dtype++)
        if (strcmp(dtypes[dtype].text, text) == 0)
            return dtype;
    return -1;
}

int64_t lq_shape_elements(const struct lq_shape *shape)
{
    int64_t elements = 1;

    for (int axis = 0; axis < shape->rank; axis++)
        elements *= shape->dims[axis];
    return elements;
}

int lq_shape_check(const struct lq_shape *shape, struct lq_error *error)
{
    int64_t elements = 1;

    if (shape->rank < 0 || shape->rank > LQ_MAX_RANK)
        return lq_fail(error, LQ_ERR_LIMIT, "rank is %d, expected 0..%d", shape->rank, LQ_MAX_RANK);
    for (int axis = 0; axis < shape->rank; axis++) {
        int dim = shape->dims[axis];

        if (dim < 1 || dim > LQ_MAX_DIM)
            return lq_fail(error, LQ_ERR_LIMIT, "dimension %d is %d, expected 1..%d", axis, dim,
                           LQ_MAX_DIM);
        elements *= dim; /* both factors are checked: below 2^30 * 2^24 */
        if (elements > LQ_MAX_ELEMENTS)
            return lq_fail(error, LQ_ERR_LIMIT, "more than %lld elements",
                           (long long)LQ_MAX_ELEMENTS);
    }
    return LQ_OK;
}

bool lq_shape_equal(const struct lq_shape *a, const struct lq_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int axis = 0; axis < a->rank; axis++)
        if (a->dims[axis] != b->dims[axis])
            return false;
    return true;
}

char *lq_shape_print(const struct lq_shape *shape, char *buffer, size_t size)
{
    size_t used = 0;

    snprintf(buffer, size, "scalar");
    for (int axis = 0; axis < shape->rank && used < size; axis++)
        used +=
            (size_t)snprintf(buffer + used, size - used, axis ? "x%d" : "%d", shape->dims[axis]);
    return buffer;
}

size_t lq_tensor_bytes(const struct lq_tensor *tensor)
{
    return (size_t)lq_shape_elements(&tensor->shape) * lq_dtype_bytes(tensor->dtype);
}

int lq_tensor_check_finite(const struct lq_tensor *tensor, struct lq_error *error)
{
    const float *values = tensor->data;
    int64_t elements = lq_shape_elements(&tensor->shape);

    if (tensor->dtype != LQ_F32)
        return LQ_OK;
    for (int64_t i = 0; i < elements; i++)
        if (!isfinite(values[i]))
            return lq_fail(error, LQ_ERR_NUMERIC, "tensor '%s': element %lld is %f", tensor->name,
                           (long long)i, (double)values[i]);
    return LQ_OK;
}
