/* onnx_internal.h - what the files of the ONNX import share.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nodes are visited in order. A node whose inputs are all constant is folded (onnx_fold.c); the
 * others become nodes of the graph (onnx_ops.c) or, like Identity, just another name for their
 * input.
 */
#ifndef LQ_FORMAT_ONNX_INTERNAL_H
#define LQ_FORMAT_ONNX_INTERNAL_H

#include "graph/graph.h"
#include "onnx.pb-c.h"

#define LQ_ONNX_MAX_RANK 8
/* Stands for the number of images in constants made from shapes. */
#define LQ_ONNX_BATCH INT64_MIN

/* A constant: floats or integers, row-major, as in the file. */
struct lq_onnx_const {
    int rank;
    int64_t dims[LQ_ONNX_MAX_RANK];
    int64_t count;
    float *floats; /* one of the two is NULL */
    int64_t *integers;
};

/* What a name of the file stands for. */
struct lq_onnx_value {
    const char *name;
    const struct lq_onnx_const *constant; /* NULL: a value of the graph */
    int value;
    int uses; /* node inputs and graph outputs that name it */
};

struct lq_onnx {
    struct lq_arena arena; /* of everything but the graph */
    struct lq_graph *graph;
    const Onnx__GraphProto *proto;
    int opset;
    struct lq_onnx_value *values; /* hash table, open addressing; name NULL: free */
    size_t table_size;            /* a power of two */
    struct lq_error *error;
};

/* The node at hand with its inputs looked up: NULL where an optional input is left out. */
struct lq_onnx_node {
    const Onnx__NodeProto *proto;
    const char *name; /* its own, or that of its output */
    int input_count;
    const struct lq_onnx_value **inputs;
};

typedef int lq_onnx_function(struct lq_onnx *onnx, const struct lq_onnx_node *node);

/* One row for each operator that can be imported. */
struct lq_onnx_op {
    const char *type;
    lq_onnx_function *convert; /* with a runtime input; NULL: only constants */
    lq_onnx_function *fold;    /* with constants only; NULL: only runtime inputs */
    const char *attributes;    /* that are understood: words between blanks, " pads strides " */
};
extern const struct lq_onnx_op lq_onnx_ops[];

/* Declares what a name stands for. Errors: LQ_ERR_FORMAT if it is taken. */
int lq_onnx_define(struct lq_onnx *onnx, const char *name, const struct lq_onnx_const *constant,
                   int value) LQ_MUST_CHECK;
struct lq_onnx_value *lq_onnx_find(const struct lq_onnx *onnx, const char *name);

/* lq_fail with "node 'x' (Op): " in front. */
void lq_onnx_error(struct lq_onnx *onnx, const struct lq_onnx_node *node, int status,
                   const char *format, ...) LQ_PRINTF(4, 5);
#define lq_onnx_fail(onnx, node, status, ...)                                                      \
    (lq_onnx_error((onnx), (node), (status), __VA_ARGS__), (status))

/* Attributes; the fallback where the node has none. Errors: LQ_ERR_FORMAT for another type. */
int lq_onnx_int(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                int64_t fallback, int64_t *ret_value) LQ_MUST_CHECK;
int lq_onnx_float(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                  float fallback, float *ret_value) LQ_MUST_CHECK;
/* Up to max integers; *ret_count = -1 where there is none. */
int lq_onnx_ints(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name, int max,
                 int64_t *ret_values, int *ret_count) LQ_MUST_CHECK;
/* Points into the file's bytes, *ret_length long; *ret_length = 0 where there is none. */
int lq_onnx_string(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                   const char **ret_text, size_t *ret_length) LQ_MUST_CHECK;
const Onnx__AttributeProto *lq_onnx_attribute(const struct lq_onnx_node *node, const char *name);

/* Constants, made in the arena. */
int lq_onnx_const_create(struct lq_onnx *onnx, bool floats, int rank, const int64_t *dims,
                         struct lq_onnx_const **ret_constant) LQ_MUST_CHECK;
int lq_onnx_const_parse(struct lq_onnx *onnx, const Onnx__TensorProto *proto,
                        struct lq_onnx_const **ret_constant) LQ_MUST_CHECK;

/* Shape of a runtime value as ONNX states it: rank + 1 dimensions, the first LQ_ONNX_BATCH. */
int lq_onnx_shape(const struct lq_onnx *onnx, int value, int64_t *ret_dims);

/* What a node is converted with. The runtime value, or the constant (NULL where it is left out), at
 * input `at`; a constant of so many floats. */
int lq_onnx_runtime(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at,
                    int *ret_value) LQ_MUST_CHECK;
int lq_onnx_constant(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at,
                     const struct lq_onnx_const **ret_constant) LQ_MUST_CHECK;
int lq_onnx_floats(struct lq_onnx *onnx, const struct lq_onnx_node *node, int at, int64_t count,
                   const struct lq_onnx_const **ret_constant) LQ_MUST_CHECK;
/* Adds the node to the graph under its own names. */
int lq_onnx_add_node(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                     struct lq_node_spec *spec) LQ_MUST_CHECK;
/* A tensor "node.param" of these floats; NULL: the caller fills it in. */
int lq_onnx_add_floats(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *param,
                       struct lq_shape shape, const float *floats,
                       struct lq_tensor **ret_tensor) LQ_MUST_CHECK;
/* kernel: default of kernel_shape (from the weights), or NULL where the attribute must be there. */
int lq_onnx_window(struct lq_onnx *onnx, const struct lq_onnx_node *node, const int *kernel,
                   struct lq_window *ret_window) LQ_MUST_CHECK;

lq_onnx_function lq_onnx_convert_conv, lq_onnx_convert_gemm, lq_onnx_convert_matmul,
    lq_onnx_convert_batch_norm;
lq_onnx_function lq_onnx_fold_constant, lq_onnx_fold_shape, lq_onnx_fold_gather,
    lq_onnx_fold_squeeze, lq_onnx_fold_concat, lq_onnx_fold_reshape, lq_onnx_fold_slice,
    lq_onnx_fold_transpose, lq_onnx_fold_cast, lq_onnx_fold_constant_of_shape,
    lq_onnx_fold_arithmetic, lq_onnx_fold_identity;

#endif
