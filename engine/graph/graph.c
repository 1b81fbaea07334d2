/* graph.c - a network as a directed acyclic graph, built front to back.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "graph/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

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

/* Length of the UTF-8 sequence at text, or 0: overlong, surrogate, truncated, out of range. */
static int utf8_length(const unsigned char *text)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int length = text[0] < 0x80 ? 1 : (text[0] >> 5) == 6 ? 2 : (text[0] >> 4) == 14 ? 3 : 4;
    uint32_t point = length == 1 ? text[0] : text[0] & (0x7fu >> length);

    if (length == 4 && (text[0] >> 3) != 30)
        return 0;
    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return length;
}

/* Text that may be printed and logged: UTF-8 without control characters. */
static int check_text(const char *what, const char *text, size_t limit, struct lq_error *error)
{
    size_t length = strlen(text);

    if (length >= limit)
        return lq_fail(error, LQ_ERR_LIMIT, "%s of %zu bytes, expected less than %zu", what, length,
                       limit);
    for (size_t at = 0; at < length;) {
        unsigned char byte = (unsigned char)text[at];
        int step = utf8_length((const unsigned char *)text + at);

        if (step == 0 || byte < 0x20 || byte == 0x7f)
            return lq_fail(error, LQ_ERR_INVALID, "%s: byte %zu is 0x%02x, expected UTF-8 text",
                           what, at, byte);
        at += (size_t)step;
    }
    return LQ_OK;
}

static int check_name(const char *what, const char *name, struct lq_error *error)
{
    if (!name || !*name)
        return lq_fail(error, LQ_ERR_INVALID, "%s is empty", what);
    return check_text(what, name, LQ_MAX_NAME, error);
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
    int status = check_name("input name", name, error);

    if (status == LQ_OK)
        status = lq_shape_check(shape, error);
    if (status != LQ_OK)
        return status;
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
    int status = check_name("tensor name", name, error);

    if (status == LQ_OK)
        status = lq_shape_check(shape, error);
    if (status != LQ_OK)
        return status;
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

/* Sums of a quantized layer must fit 32 bits, whatever the codes. */
static int check_sums(const struct lq_graph *graph, const struct lq_node_spec *spec,
                      struct lq_error *error)
{
    int producer = graph->values[spec->inputs[0]].producer;
    const struct lq_tensor *codes = spec->params[LQ_PARAM_CODES];
    const struct lq_attributes *a = &spec->attributes;
    int64_t length;

    if (!codes || producer < 0 || graph->nodes[producer].kind != LQ_OP_QUANTIZE)
        return LQ_OK;
    length = spec->kind == LQ_OP_DENSE
                 ? graph->values[spec->inputs[0]].shape.dims[0]
                 : (int64_t)a->window.kernel_h * a->window.kernel_w *
                       (graph->values[spec->inputs[0]].shape.dims[2] / a->groups);
    int input_grid = graph->nodes[producer].attributes.grid;
    if (length * a->grid > INT32_MAX / input_grid - 1)
        return lq_fail(error, LQ_ERR_LIMIT,
                       "dot products of %lld with grids %d (weights) and %d (activations) exceed "
                       "32 bits",
                       (long long)length, a->grid, input_grid);
    return LQ_OK;
}

static int check_spec(const struct lq_graph *graph, const struct lq_node_spec *spec,
                      const char *output, struct lq_error *error)
{
    int status = check_name("node name", spec->name, error);

    if (status == LQ_OK)
        status = check_name("value name", output, error);
    if (status != LQ_OK)
        return status;
    if (graph->node_count >= LQ_MAX_NODES)
        return lq_fail(error, LQ_ERR_LIMIT, "more than %d nodes", LQ_MAX_NODES);
    if (lq_graph_find_node(graph, spec->name) >= 0)
        return lq_fail(error, LQ_ERR_INVALID, "the name '%s' is used twice", spec->name);
    if (lq_graph_find_value(graph, output) >= 0)
        return lq_fail(error, LQ_ERR_INVALID, "the value '%s' is made twice", output);
    if (spec->input_count < 0 || spec->input_count > LQ_MAX_INPUTS)
        return lq_fail(error, LQ_ERR_LIMIT, "%d inputs, expected at most %d", spec->input_count,
                       LQ_MAX_INPUTS);
    for (int i = 0; i < spec->input_count; i++)
        if (spec->inputs[i] < 0 || spec->inputs[i] >= graph->value_count)
            return lq_fail(error, LQ_ERR_INVALID, "input %d does not exist", i);
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
    for (int i = 0; i < spec->input_count; i++) {
        inputs[i] = spec->inputs[i];
        graph->values[inputs[i]].consumers++;
    }
    nodes[graph->node_count] = (struct lq_node){.name = name,
                                                .kind = spec->kind,
                                                .attributes = spec->attributes,
                                                .input_count = spec->input_count,
                                                .inputs = inputs,
                                                .output = graph->value_count};
    memcpy(nodes[graph->node_count].params, spec->params, sizeof(spec->params));
    return LQ_OK;
}

int lq_graph_add_node(struct lq_graph *graph, const struct lq_node_spec *spec, int *ret_value,
                      struct lq_error *error)
{
    const char *output = spec->output ? spec->output : spec->name;
    struct lq_shape shape = {0, {0}};
    int status = check_spec(graph, spec, output, error);

    if (status == LQ_OK)
        status = infer_spec(graph, spec, &shape, error);
    if (status != LQ_OK) {
        lq_error_prefix(error, "node '%.64s' (%s)", spec->name ? spec->name : "",
                        lq_op_text(spec->kind));
        return status;
    }
    status = append_node(graph, spec, error);
    if (status == LQ_OK)
        status = add_value(graph, output, &shape, graph->node_count, error);
    if (status != LQ_OK)
        return status;
    *ret_value = graph->nodes[graph->node_count++].output;
    return LQ_OK;
}

/* Marks the nodes that the output depends on. */
static void mark_needed(const struct lq_graph *graph, int output, bool *needed)
{
    int last = graph->values[output].producer;

    memset(needed, 0, (size_t)graph->node_count * sizeof(*needed));
    if (last >= 0)
        needed[last] = true;
    for (int i = last; i >= 0; i--)
        for (int j = 0; needed[i] && j < graph->nodes[i].input_count; j++) {
            int producer = graph->values[graph->nodes[i].inputs[j]].producer;

            if (producer >= 0)
                needed[producer] = true;
        }
}

/* Drops the other nodes and their values; a node's value always has the node's index + 1. */
static void compact(struct lq_graph *graph, const bool *needed, int *renumbered)
{
    int nodes = 0;

    renumbered[0] = 0;
    graph->values[0].consumers = 0;
    for (int i = 0; i < graph->node_count; i++) {
        if (!needed[i])
            continue;
        struct lq_node node = graph->nodes[i];
        struct lq_value value = graph->values[node.output];

        renumbered[node.output] = nodes + 1;
        for (int j = 0; j < node.input_count; j++) {
            node.inputs[j] = renumbered[node.inputs[j]];
            graph->values[node.inputs[j]].consumers++;
        }
        node.output = nodes + 1;
        value.producer = nodes;
        value.consumers = 0;
        graph->values[nodes + 1] = value;
        graph->nodes[nodes++] = node;
    }
    graph->node_count = nodes;
    graph->value_count = nodes + 1;
}

static int check_preprocess(struct lq_graph *graph, struct lq_error *error)
{
    struct lq_preprocess *p = &graph->meta.preprocess;
    const struct lq_shape *input = &graph->values[0].shape;

    if (p->scale == 0 && p->std[0] == 0 && p->std[1] == 0 && p->std[2] == 0)
        *p = (struct lq_preprocess){
            .resize = p->resize, .std = {1, 1, 1}, .scale = (float)(1 / 255.0)};
    p->height = input->dims[0];
    p->width = input->dims[1];
    if (p->resize < 0 || p->resize > 65535)
        return lq_fail(error, LQ_ERR_INVALID, "preprocess resize is %d, expected 0..65535",
                       p->resize);
    if (!isfinite(p->scale) || p->scale <= 0)
        return lq_fail(error, LQ_ERR_INVALID, "preprocess scale is %g, expected more than 0",
                       (double)p->scale);
    for (int c = 0; c < 3; c++)
        if (!isfinite(p->mean[c]) || !isfinite(p->std[c]) || p->std[c] <= 0)
            return lq_fail(error, LQ_ERR_INVALID,
                           "preprocess mean %g, std %g of channel %d: expected finite, std more "
                           "than 0",
                           (double)p->mean[c], (double)p->std[c], c);
    return LQ_OK;
}

int lq_graph_classes(const struct lq_graph *graph)
{
    return (int)lq_shape_elements(&graph->values[graph->output].shape);
}

int lq_graph_finish(struct lq_graph *graph, int output, struct lq_error *error)
{
    bool *needed = lq_arena_alloc(&graph->arena, (size_t)graph->node_count, sizeof(*needed));
    int *renumbered = lq_arena_alloc(&graph->arena, (size_t)graph->value_count, sizeof(int));
    char text[LQ_SHAPE_TEXT];

    if (!needed || !renumbered)
        return lq_fail_memory(error);
    if (output < 1 || output >= graph->value_count)
        return lq_fail(error, LQ_ERR_INVALID, "the graph has no output");
    const struct lq_shape *shape = &graph->values[output].shape;
    if (!(shape->rank == 1 || (shape->rank == 3 && shape->dims[0] == 1 && shape->dims[1] == 1)) ||
        lq_shape_elements(shape) > LQ_MAX_CLASSES)
        return lq_fail(
            error, LQ_ERR_UNSUPPORTED, "output '%s' is %s, expected a vector of at most %d classes",
            graph->values[output].name, lq_shape_print(shape, text, sizeof(text)), LQ_MAX_CLASSES);
    mark_needed(graph, output, needed);
    compact(graph, needed, renumbered);
    graph->output = renumbered[output];
    if (graph->meta.label_count != 0 && graph->meta.label_count != lq_graph_classes(graph))
        return lq_fail(error, LQ_ERR_INVALID, "%d labels for %d classes", graph->meta.label_count,
                       lq_graph_classes(graph));
    return check_preprocess(graph, error);
}

int lq_graph_set_name(struct lq_graph *graph, const char *name, struct lq_error *error)
{
    int status = check_name("model name", name, error);

    if (status != LQ_OK)
        return status;
    graph->meta.name = lq_arena_strdup(&graph->arena, name);
    return graph->meta.name ? LQ_OK : lq_fail_memory(error);
}

int lq_graph_set_labels(struct lq_graph *graph, const char *const *labels, int count,
                        struct lq_error *error)
{
    const char **copies;

    if (count < 0 || count > LQ_MAX_CLASSES)
        return lq_fail(error, LQ_ERR_LIMIT, "%d labels, expected at most %d", count,
                       LQ_MAX_CLASSES);
    copies = lq_arena_alloc(&graph->arena, (size_t)count, sizeof(*copies));
    if (!copies)
        return lq_fail_memory(error);
    for (int i = 0; i < count; i++) {
        int status = check_name("label", labels[i], error);

        if (status != LQ_OK) {
            lq_error_prefix(error, "label %d", i);
            return status;
        }
        copies[i] = lq_arena_strdup(&graph->arena, labels[i]);
        if (!copies[i])
            return lq_fail_memory(error);
    }
    graph->meta.labels = copies;
    graph->meta.label_count = count;
    return LQ_OK;
}

#define MAX_PROVENANCE       64
#define MAX_PROVENANCE_VALUE 4096

int lq_graph_set_provenance(struct lq_graph *graph, const char *key, const char *value,
                            struct lq_error *error)
{
    struct lq_meta *meta = &graph->meta;
    int at = 0, status = check_name("provenance key", key, error);

    if (status == LQ_OK)
        status = check_text("provenance value", value, MAX_PROVENANCE_VALUE, error);
    if (status != LQ_OK)
        return status;
    if (!meta->provenance)
        meta->provenance = lq_arena_alloc(&graph->arena, MAX_PROVENANCE, sizeof(*meta->provenance));
    if (!meta->provenance)
        return lq_fail_memory(error);
    while (at < meta->provenance_count && strcmp(meta->provenance[at].key, key) != 0)
        at++;
    if (at == MAX_PROVENANCE)
        return lq_fail(error, LQ_ERR_LIMIT, "more than %d lines of provenance", MAX_PROVENANCE);
    struct lq_entry entry = {lq_arena_strdup(&graph->arena, key),
                             lq_arena_strdup(&graph->arena, value)};
    if (!entry.key || !entry.value)
        return lq_fail_memory(error);
    meta->provenance[at] = entry;
    if (at == meta->provenance_count)
        meta->provenance_count++;
    return LQ_OK;
}

const char *lq_graph_provenance(const struct lq_graph *graph, const char *key)
{
    for (int i = 0; i < graph->meta.provenance_count; i++)
        if (strcmp(graph->meta.provenance[i].key, key) == 0)
            return graph->meta.provenance[i].value;
    return NULL;
}
