/* tensor.h - element types, shapes, and constant tensors.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TENSOR_TENSOR_H
#define LQ_TENSOR_TENSOR_H

#include "lq.h"

/* X(name, text as safetensors spells it, bytes) */
#define LQ_DTYPE_LIST(X)                                                                           \
    X(LQ_F32, "F32", 4)                                                                            \
    X(LQ_I32, "I32", 4)                                                                            \
    X(LQ_I16, "I16", 2)                                                                            \
    X(LQ_U8, "U8", 1)

enum lq_dtype {
#define X(name, text, bytes) name,
    LQ_DTYPE_LIST(X)
#undef X
        LQ_DTYPE_COUNT
};

size_t lq_dtype_bytes(enum lq_dtype dtype);
const char *lq_dtype_text(enum lq_dtype dtype);
/* -1 where no type is spelled so. */
int lq_dtype_from_text(const char *text);

#define LQ_MAX_RANK 4
/* Of every dimension, of the elements of a tensor, and of a graph's buffers for one image. */
#define LQ_MAX_DIM      (1 << 24)
#define LQ_MAX_ELEMENTS (INT64_C(1) << 30)

/* The shape of ONE image's value inside a graph (the batch is not part of it), or of a constant.
 * Values of rank 3 are feature maps: height, width, channels. Other ranks are in plain row-major
 * order. */
struct lq_shape {
    int rank;
    int dims[LQ_MAX_RANK];
};

/* Product of the dimensions: 1 for rank 0. The shape must have passed lq_shape_check. */
int64_t lq_shape_elements(const struct lq_shape *shape);
/* Rank 0..4, dimensions 1..LQ_MAX_DIM, at most LQ_MAX_ELEMENTS. Errors: LQ_ERR_LIMIT. */
int lq_shape_check(const struct lq_shape *shape, struct lq_error *error) LQ_MUST_CHECK;
bool lq_shape_equal(const struct lq_shape *a, const struct lq_shape *b);
/* "32x32x16"; "scalar" for rank 0. Returns buffer. */
char *lq_shape_print(const struct lq_shape *shape, char *buffer, size_t size);
#define LQ_SHAPE_TEXT 64

/* A named constant. The data belong to the graph's arena or to the file it was mapped from. */
struct lq_tensor {
    const char *name;
    enum lq_dtype dtype;
    struct lq_shape shape;
    const void *data;
};

size_t lq_tensor_bytes(const struct lq_tensor *tensor);
/* Every element of an F32 tensor is finite. Errors: LQ_ERR_NUMERIC, naming tensor, index, value. */
int lq_tensor_check_finite(const struct lq_tensor *tensor, struct lq_error *error) LQ_MUST_CHECK;

#endif
