/* graph.h - a network as a directed acyclic graph of operators, and what is known about it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A graph is built front to back: a node may only use values that exist already, so cycles cannot
 * be stated, and each node is checked and its output's shape inferred as it is added. It has one
 * input (a feature map) and one output (a vector, or a 1x1 map). A finished graph is immutable.
 *
 * Everything a graph points to lives in its arena or in a file mapping that it owns.
 */
#ifndef LQ_GRAPH_GRAPH_H
#define LQ_GRAPH_GRAPH_H

#include "base/arena.h"
#include "base/reader.h"
#include "ops/op.h"

#define LQ_MAX_NODES   4096
#define LQ_MAX_NAME    256 /* bytes of a node's, value's, tensor's or label's name, with the zero */
#define LQ_MAX_CLASSES (1 << 20)

struct lq_value {
    const char *name;
    struct lq_shape shape;
    int producer;  /* node index; -1: the graph's input */
    int consumers; /* how many node inputs read it */
};

struct lq_node {
    const char *name;
    enum lq_op_kind kind;
    struct lq_attributes attributes;
    int input_count;
    int *inputs; /* value indices */
    int output;  /* value index */
    const struct lq_tensor *params[LQ_PARAM_COUNT];
};

struct lq_entry {
    const char *key, *value;
};

/* What is known about a network beside its arithmetic. */
struct lq_meta {
    const char *name;
    int label_count; /* 0, or the number of classes */
    const char **labels;
    struct lq_preprocess preprocess; /* height and width 0: taken from the graph's input */
    int provenance_count;
    struct lq_entry *provenance; /* unique keys */
};

struct lq_graph {
    struct lq_arena arena;
    struct lq_file file; /* that tensors' data may point into; unmapped with the graph */
    struct lq_value *values;
    struct lq_node *nodes; /* in an order in which they can run */
    int value_count, node_count;
    int input, output; /* value indices; output -1 until lq_graph_finish */
    struct lq_meta meta;
};

/* Errors: LQ_ERR_MEMORY. */
int lq_graph_create(struct lq_graph **ret_graph, struct lq_error *error) LQ_MUST_CHECK;
void lq_graph_destroy(struct lq_graph *graph);

/* The graph's input: the first value. shape: height, width, channels (1 or 3 channels). */
int lq_graph_add_input(struct lq_graph *graph, const char *name, const struct lq_shape *shape,
                       struct lq_error *error) LQ_MUST_CHECK;

/* A constant. data NULL: zeroed memory from the arena, to be filled in through
 * (void *)ret_tensor->data before the node that uses it is added. data not NULL is not copied and
 * must live as long as the graph (its arena, its file). */
int lq_graph_add_tensor(struct lq_graph *graph, const char *name, enum lq_dtype dtype,
                        const struct lq_shape *shape, const void *data,
                        struct lq_tensor **ret_tensor, struct lq_error *error) LQ_MUST_CHECK;

/* What a node is made from; copied. */
struct lq_node_spec {
    const char *name; /* unique among nodes */
    enum lq_op_kind kind;
    struct lq_attributes attributes;
    int inputs[LQ_MAX_INPUTS]; /* value indices */
    int input_count;
    const struct lq_tensor *params[LQ_PARAM_COUNT];
    const char *output; /* name of the value it makes, unique; NULL: the node's name */
};
/* Errors: those of lq_op_infer, with the node's name in front; LQ_ERR_INVALID for a name used twice
 * or an input that does not exist. */
int lq_graph_add_node(struct lq_graph *graph, const struct lq_node_spec *spec, int *ret_value,
                      struct lq_error *error) LQ_MUST_CHECK;

/* Value or node index by name, or -1. */
int lq_graph_find_value(const struct lq_graph *graph, const char *name);
int lq_graph_find_node(const struct lq_graph *graph, const char *name);

/* Names the output, drops nodes that it does not depend on, and checks the whole with its meta
 * data: labels against classes, preprocessing against the input. */
int lq_graph_finish(struct lq_graph *graph, int output, struct lq_error *error) LQ_MUST_CHECK;

/* meta setters: copies into the arena. Errors: LQ_ERR_LIMIT, LQ_ERR_INVALID (not UTF-8, control
 * characters), LQ_ERR_MEMORY. */
int lq_graph_set_name(struct lq_graph *graph, const char *name,
                      struct lq_error *error) LQ_MUST_CHECK;
int lq_graph_set_labels(struct lq_graph *graph, const char *const *labels, int count,
                        struct lq_error *error) LQ_MUST_CHECK;
int lq_graph_set_provenance(struct lq_graph *graph, const char *key, const char *value,
                            struct lq_error *error) LQ_MUST_CHECK;
/* NULL where the key is absent. */
const char *lq_graph_provenance(const struct lq_graph *graph, const char *key);

/* Deep copies: of one constant; of name, labels, preprocessing and provenance (before the copy is
 * finished); of a finished graph, with one more (or one changed) line of provenance if not NULL. */
int lq_graph_copy_tensor(struct lq_graph *to, const struct lq_tensor *from,
                         struct lq_tensor **ret_tensor, struct lq_error *error) LQ_MUST_CHECK;
int lq_graph_copy_meta(struct lq_graph *to, const struct lq_graph *from,
                       struct lq_error *error) LQ_MUST_CHECK;
int lq_graph_copy(const struct lq_graph *from, const struct lq_entry *extra,
                  struct lq_graph **ret_graph, struct lq_error *error) LQ_MUST_CHECK;

/* Numbers in one output row. */
int lq_graph_classes(const struct lq_graph *graph);

#endif
