/* graph.c - a network as a directed acyclic graph, built front to back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "graph/name.h"

/* Arrays grow in the arena by doubling: what they outgrow is at most as large as what they have. */
static void *grow(struct lq_arena *arena, void *array, int count, size_t size)
{
    void *larger;

    if (count != 0 && (count < 16 || (count & (count - 1)) != 0))
        return array;
    larger = lq_arena_alloc(arena, count ? 2 * (size_t)count : 16, size);
    if (larger && count)
        memcpy(larger, array, (size_t)count * size);
    return larger;
}

int lq_graph_create(struct lq_graph **ret_graph, struct lq_error *error)
{
    struct lq_graph *graph = lq_alloc(1, sizeof(*graph));

    if (!graph)
        return lq_fail_memory(error);
    graph->output = -1;
    *ret_graph = graph;
    return LQ_OK;
}

void lq_graph_destroy(struct lq_graph *graph)
{
    if (!graph)
        return;
    lq_arena_deinit(&graph->arena);
    lq_file_unmap(&graph->file);
    free(graph);
}

int lq_graph_find_value(const struct lq_graph *graph, const char *name)
{
    for (int i = 0; i < graph->value_count; i++)
        if (strcmp(graph->values[i].name, name) == 0)
            return i;
    return -1;
}

int lq_graph_find_node(const struct lq_graph *graph, const char *name)
{
    for (int i = 0; i < graph->node_count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0)
            return i;
    return -1;
}

/* The tables of values and nodes are final once the graph is finished. */
static int check_open(const struct lq_graph *graph, struct lq_error *error)
{
    return graph->output < 0 ? LQ_OK : lq_fail(error, LQ_ERR_INVALID, "the graph is finished");
}

static int add_value(struct lq_graph *graph, const char *name, const struct lq_shape *shape,
                     int producer, struct lq_error *error)
{
    struct lq_value *values =
        grow(&graph->arena, graph->values, graph->value_count, sizeof(*values));
    char *copy = lq_arena_strdup(&graph->arena, name);

    if (!values || !copy)
        return lq_fail_memory(error);
    graph->values = values;
    values[graph->value_count++] = (struct lq_value){copy, *shape, producer, 0};
    return LQ_OK;
}

int lq_graph_add_input(struct lq_graph *graph, const char *name, const struct lq_shape *shape,
                       struct lq_error *error)
{
    int status = lq_name_check("input name", name, error);

    if (status != LQ_OK)
        return status;
    status = lq_shape_check(shape, error);
    if (status != LQ_OK) {
        lq_error_prefix(error, "input '%s'", name);
        return status;
    }
    if (graph->value_count > 0)
        return lq_fail(error, LQ_ERR_INVALID, "input '%s' is not the first value", name);
    if (shape->rank != 3 || (shape->dims[2] != 1 && shape->dims[2] != 3))
        return lq_fail(error, LQ_ERR_UNSUPPORTED,
                       "input '%s' is no image of 1 or 3 channels (rank %d, last dimension %d)",
                       name, shape->rank, shape->rank > 0 ? shape->dims[shape->rank - 1] : 0);
    return add_value(graph, name, shape, -1, error);
}

int lq_graph_add_tensor(struct lq_graph *graph, const char *name, enum lq_dtype dtype,
                        const struct lq_shape *shape, const void *data,
                        struct lq_tensor **ret_tensor, struct lq_error *error)
{
    struct lq_tensor *tensor;
    int status = lq_name_check("tensor name", name, error);

    if (status != LQ_OK)
        return status;
    status = lq_shape_check(shape, error);
    if (status != LQ_OK) {
        lq_error_prefix(error, "tensor '%s'", name);
        return status;
    }
    if ((uintptr_t)data % lq_dtype_bytes(dtype) != 0)
        return lq_fail(error, LQ_ERR_INVALID, "tensor '%s': data are not aligned to %zu bytes",
                       name, lq_dtype_bytes(dtype));
    tensor = lq_arena_alloc(&graph->arena, 1, sizeof(*tensor));
    if (!tensor)
        return lq_fail_memory(error);
    *tensor = (struct lq_tensor){lq_arena_strdup(&graph->arena, name), dtype, *shape, data};
    if (!data)
        tensor->data = lq_arena_alloc(&graph->arena, 1, lq_tensor_bytes(tensor));
    if (!tensor->name || !tensor->data)
        return lq_fail_memory(error);
    *ret_tensor = tensor;
    return LQ_OK;
}

/* Sums of a quantized layer must fit 32 bits, whatever the codes; thresholds lie up to one above.
 */
static int check_sums(const struct lq_graph *graph, const struct lq_node_spec *spec,
                      struct lq_error *error)
{
    const struct lq_value *input = &graph->values[spec->inputs[0]];
    int producer = input->producer, input_grid;
    const struct lq_tensor *codes = spec->params[LQ_PARAM_CODES];
    const struct lq_attributes *a = &spec->attributes;
    int64_t length;

    if (!codes || producer < 0 || graph->nodes[producer].kind != LQ_OP_QUANTIZE)
        return LQ_OK;
    length = spec->kind == LQ_OP_DENSE ? input->shape.dims[0]
                                       : (int64_t)a->window.kernel_h * a->window.kernel_w *
                                             (input->shape.dims[2] / a->groups);
    input_grid = graph->nodes[producer].attributes.grid;
    if (length * a->grid > (INT32_MAX - 1) / input_grid)
        return lq_fail(error, LQ_ERR_LIMIT,
                       "dot products of %lld with grids %d (weights) and %d (activations) exceed "
                       "32 bits",
                       (long long)length, a->grid, input_grid);
    return LQ_OK;
}

static int check_spec(const struct lq_graph *graph, const struct lq_node_spec *spec,
                      const char *output, struct lq_error *error)
{
    int status = lq_name_check("value name", output, error);

    if (status != LQ_OK)
        return status;
    if (graph->node_count >= LQ_MAX_NODES)
        return lq_fail(error, LQ_ERR_LIMIT, "more than %d nodes", LQ_MAX_NODES);
    if (lq_graph_find_node(graph, spec->name) >= 0)
        return lq_fail(error, LQ_ERR_INVALID, "the name is used twice");
    if (lq_graph_find_value(graph, output) >= 0)
        return lq_fail(error, LQ_ERR_INVALID, "the value '%s' is made twice", output);
    if (spec->input_count < 0 || spec->input_count > LQ_MAX_INPUTS)
        return lq_fail(error, LQ_ERR_LIMIT, "%d inputs, expected at most %d", spec->input_count,
                       LQ_MAX_INPUTS);
    for (int i = 0; i < spec->input_count; i++)
        if (spec->inputs[i] < 0 || spec->inputs[i] >= graph->value_count)
            return lq_fail(error, LQ_ERR_INVALID, "input %d does not exist (value %d of %d)", i,
                           spec->inputs[i], graph->value_count);
    return LQ_OK;
}

static int infer_spec(const struct lq_graph *graph, const struct lq_node_spec *spec,
                      struct lq_shape *ret_shape, struct lq_error *error)
{
    struct lq_shape shapes[LQ_MAX_INPUTS];
    int status;

    for (int i = 0; i < spec->input_count; i++)
        shapes[i] = graph->values[spec->inputs[i]].shape;
    status = lq_op_infer(spec->kind, &spec->attributes, shapes, spec->input_count, spec->params,
                         ret_shape, error);
    return status == LQ_OK ? check_sums(graph, spec, error) : status;
}

static int append_node(struct lq_graph *graph, const struct lq_node_spec *spec,
                       struct lq_error *error)
{
    struct lq_node *nodes = grow(&graph->arena, graph->nodes, graph->node_count, sizeof(*nodes));
    int *inputs = lq_arena_alloc(&graph->arena, (size_t)spec->input_count, sizeof(*inputs));
    char *name = lq_arena_strdup(&graph->arena, spec->name);

    if (!nodes || !inputs || !name)
        return lq_fail_memory(error);
    graph->nodes = nodes;
    for (int i = 0; i < spec->input_count; i++)
        inputs[i] = spec->inputs[i];
    nodes[graph->node_count] = (struct lq_node){.name = name,
                                                .kind = spec->kind,
                                                .attributes = spec->attributes,
                                                .input_count = spec->input_count,
                                                .inputs = inputs,
                                                .output = graph->value_count};
    memcpy(nodes[graph->node_count].params, spec->params, sizeof(spec->params));
    return LQ_OK;
}

#define MAX_SHOWN 64 /* bytes of a node's name in messages */

int lq_graph_add_node(struct lq_graph *graph, const struct lq_node_spec *spec, int *ret_value,
                      struct lq_error *error)
{
    const char *output = spec->output ? spec->output : spec->name;
    struct lq_shape shape = {0, {0}};
    int status = check_open(graph, error);

    if (status == LQ_OK)
        status = lq_name_check("node name", spec->name, error);
    if (status != LQ_OK) {
        lq_error_prefix(error, "node %d (%s)", graph->node_count, lq_op_text(spec->kind));
        return status;
    }
    status = check_spec(graph, spec, output, error);
    if (status == LQ_OK)
        status = infer_spec(graph, spec, &shape, error);
    if (status != LQ_OK) {
        lq_error_prefix(error, "node '%.*s' (%s)", lq_name_cut(spec->name, MAX_SHOWN), spec->name,
                        lq_op_text(spec->kind));
        return status;
    }
    status = append_node(graph, spec, error);
    if (status == LQ_OK)
        status = add_value(graph, output, &shape, graph->node_count, error);
    if (status != LQ_OK)
        return status;
    for (int i = 0; i < spec->input_count; i++)
        graph->values[spec->inputs[i]].consumers++;
    *ret_value = graph->nodes[graph->node_count++].output;
    return LQ_OK;
}
