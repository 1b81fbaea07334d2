/* onnx.c - imports a float network from ONNX: the file, its names, its attributes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "format/onnx.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "format/onnx_internal.h"

#define MIN_OPSET 7
#define MAX_OPSET 18
#define MAX_NODES 65536
#define MAX_NAMES (1 << 20)

void lq_onnx_error(struct lq_onnx *onnx, const struct lq_onnx_node *node, int status,
                   const char *format, ...)
{
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    lq_error_set(onnx->error, status, "node '%.64s' (%.32s): %s", node->name,
                 node->proto->op_type ? node->proto->op_type : "", text);
}

/* FNV-1a */
static size_t hash(const char *name)
{
    uint64_t state = UINT64_C(14695981039346656037);

    for (; *name; name++)
        state = (state ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return (size_t)(state ^ state >> 32);
}

static struct lq_onnx_value *slot(const struct lq_onnx *onnx, const char *name)
{
    size_t at = hash(name) & (onnx->table_size - 1);

    while (onnx->values[at].name && strcmp(onnx->values[at].name, name) != 0)
        at = (at + 1) & (onnx->table_size - 1);
    return &onnx->values[at];
}

struct lq_onnx_value *lq_onnx_find(const struct lq_onnx *onnx, const char *name)
{
    struct lq_onnx_value *found = slot(onnx, name);

    return found->name && (found->constant || found->value >= 0) ? found : NULL;
}

int lq_onnx_define(struct lq_onnx *onnx, const char *name, const struct lq_onnx_const *constant,
                   int value)
{
    struct lq_onnx_value *entry = slot(onnx, name);

    if (entry->name && (entry->constant || entry->value >= 0))
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "the value '%.64s' is made twice", name);
    entry->name = name;
    entry->constant = constant;
    entry->value = constant ? -1 : value;
    return LQ_OK;
}

/* Uses are counted before anything is defined: the entry waits with value -1. */
static void count_use(struct lq_onnx *onnx, const char *name)
{
    struct lq_onnx_value *entry = slot(onnx, name);

    if (!entry->name)
        *entry = (struct lq_onnx_value){name, NULL, -1, 0};
    entry->uses++;
}

static int create_table(struct lq_onnx *onnx)
{
    const Onnx__GraphProto *proto = onnx->proto;
    size_t names = proto->n_initializer + proto->n_input + proto->n_output;

    if (proto->n_node > MAX_NODES)
        return lq_fail(onnx->error, LQ_ERR_LIMIT, "%zu nodes, at most %d are read", proto->n_node,
                       MAX_NODES);
    for (size_t i = 0; i < proto->n_node; i++)
        names += proto->node[i]->n_input + proto->node[i]->n_output;
    if (names > MAX_NAMES)
        return lq_fail(onnx->error, LQ_ERR_LIMIT, "%zu names, at most %d are read", names,
                       MAX_NAMES);
    for (onnx->table_size = 64; onnx->table_size < 2 * names;)
        onnx->table_size *= 2;
    onnx->values = lq_arena_alloc(&onnx->arena, onnx->table_size, sizeof(*onnx->values));
    if (!onnx->values)
        return lq_fail_memory(onnx->error);
    for (size_t i = 0; i < proto->n_node; i++)
        for (size_t j = 0; j < proto->node[i]->n_input; j++)
            count_use(onnx, proto->node[i]->input[j]);
    for (size_t i = 0; i < proto->n_output; i++)
        count_use(onnx, proto->output[i]->name ? proto->output[i]->name : "");
    return LQ_OK;
}

const Onnx__AttributeProto *lq_onnx_attribute(const struct lq_onnx_node *node, const char *name)
{
    for (size_t i = 0; i < node->proto->n_attribute; i++)
        if (node->proto->attribute[i]->name && strcmp(node->proto->attribute[i]->name, name) == 0)
            return node->proto->attribute[i];
    return NULL;
}

static int check_type(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                      const Onnx__AttributeProto *attribute, int type)
{
    if ((int)attribute->type == type || attribute->type == 0)
        return LQ_OK;
    return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT, "attribute %.64s has type %d, expected %d",
                        attribute->name, (int)attribute->type, type);
}

int lq_onnx_int(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                int64_t fallback, int64_t *ret_value)
{
    const Onnx__AttributeProto *attribute = lq_onnx_attribute(node, name);

    *ret_value = attribute ? attribute->i : fallback;
    return attribute ? check_type(onnx, node, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)
                     : LQ_OK;
}

int lq_onnx_float(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                  float fallback, float *ret_value)
{
    const Onnx__AttributeProto *attribute = lq_onnx_attribute(node, name);

    *ret_value = attribute ? attribute->f : fallback;
    return attribute
               ? check_type(onnx, node, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)
               : LQ_OK;
}

int lq_onnx_ints(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name, int max,
                 int64_t *ret_values, int *ret_count)
{
    const Onnx__AttributeProto *attribute = lq_onnx_attribute(node, name);
    int status;

    *ret_count = -1;
    if (!attribute)
        return LQ_OK;
    status = check_type(onnx, node, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (status == LQ_OK && attribute->n_ints > (size_t)max)
        status = lq_onnx_fail(onnx, node, LQ_ERR_FORMAT,
                              "attribute %s has %zu numbers, expected at most %d", name,
                              attribute->n_ints, max);
    if (status != LQ_OK)
        return status;
    for (size_t i = 0; i < attribute->n_ints; i++)
        ret_values[i] = attribute->ints[i];
    *ret_count = (int)attribute->n_ints;
    return LQ_OK;
}

int lq_onnx_string(struct lq_onnx *onnx, const struct lq_onnx_node *node, const char *name,
                   const char **ret_text, size_t *ret_length)
{
    const Onnx__AttributeProto *attribute = lq_onnx_attribute(node, name);

    *ret_text = attribute ? (const char *)attribute->s.data : "";
    *ret_length = attribute ? attribute->s.len : 0;
    return attribute
               ? check_type(onnx, node, attribute, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING)
               : LQ_OK;
}

int lq_onnx_shape(const struct lq_onnx *onnx, int value, int64_t *ret_dims)
{
    const struct lq_shape *shape = &onnx->graph->values[value].shape;

    ret_dims[0] = LQ_ONNX_BATCH;
    for (int i = 0; i < shape->rank; i++)
        ret_dims[i + 1] = shape->dims[i];
    if (shape->rank == 3) { /* height, width, channels -> channels, height, width */
        ret_dims[1] = shape->dims[2];
        ret_dims[2] = shape->dims[0];
        ret_dims[3] = shape->dims[1];
    }
    return shape->rank + 1;
}

static int find_opset(struct lq_onnx *onnx, const Onnx__ModelProto *model)
{
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = model->opset_import[i];

        if (opset->domain && *opset->domain && strcmp(opset->domain, "ai.onnx") != 0)
            continue;
        if (opset->version < MIN_OPSET || opset->version > MAX_OPSET)
            return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED, "opset %lld, expected %d..%d",
                           (long long)opset->version, MIN_OPSET, MAX_OPSET);
        onnx->opset = (int)opset->version;
    }
    if (onnx->opset == 0)
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "no opset version is stated");
    return LQ_OK;
}

static int read_initializers(struct lq_onnx *onnx)
{
    for (size_t i = 0; i < onnx->proto->n_initializer; i++) {
        struct lq_onnx_const *constant;
        const char *name = onnx->proto->initializer[i]->name;
        int status = lq_onnx_const_parse(onnx, onnx->proto->initializer[i], &constant);

        if (status == LQ_OK)
            status = lq_onnx_define(onnx, name ? name : "", constant, -1);
        if (status != LQ_OK) {
            lq_error_prefix(onnx->error, "initializer '%.64s'", name ? name : "");
            return status;
        }
    }
    return LQ_OK;
}

/* One image's height, width, channels from N, C, H, W. */
static int read_image_shape(struct lq_onnx *onnx, const Onnx__ValueInfoProto *input,
                            struct lq_shape *ret_shape)
{
    const int order[4] = {-1, 2, 0, 1};
    const Onnx__TypeProto__Tensor *type;

    if (!input->type || input->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED, "input '%.64s' is no tensor", input->name);
    type = input->type->tensor_type;
    if (type->elem_type != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT)
        return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED,
                       "input '%.64s' has element type %d, expected float", input->name,
                       type->elem_type);
    if (!type->shape || type->shape->n_dim != 4)
        return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED,
                       "input '%.64s' has %zu dimensions, expected N,C,H,W", input->name,
                       type->shape ? type->shape->n_dim : 0);
    *ret_shape = (struct lq_shape){3, {0}};
    for (int i = 1; i < 4; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];

        if (dim->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE ||
            dim->dim_value < 1 || dim->dim_value > LQ_MAX_DIM)
            return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED,
                           "input '%.64s': dimension %d (of N,C,H,W) is not a fixed number from 1 "
                           "to %d",
                           input->name, i, LQ_MAX_DIM);
        ret_shape->dims[order[i]] = (int)dim->dim_value;
    }
    return LQ_OK;
}

/* Older files list initializers among the inputs too. */
static int read_input(struct lq_onnx *onnx)
{
    const Onnx__ValueInfoProto *input = NULL;
    struct lq_shape shape;
    int status;

    for (size_t i = 0; i < onnx->proto->n_input; i++) {
        const Onnx__ValueInfoProto *candidate = onnx->proto->input[i];

        if (!candidate->name || lq_onnx_find(onnx, candidate->name))
            continue;
        if (input)
            return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED,
                           "two inputs, '%.64s' and '%.64s', expected one", input->name,
                           candidate->name);
        input = candidate;
    }
    if (!input)
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "the graph has no input");
    status = read_image_shape(onnx, input, &shape);
    if (status == LQ_OK)
        status = lq_graph_add_input(onnx->graph, input->name, &shape, onnx->error);
    return status == LQ_OK ? lq_onnx_define(onnx, input->name, NULL, 0) : status;
}

static int check_attributes(struct lq_onnx *onnx, const struct lq_onnx_node *node,
                            const struct lq_onnx_op *op)
{
    for (size_t i = 0; i < node->proto->n_attribute; i++) {
        const char *name = node->proto->attribute[i]->name;
        char word[64];

        snprintf(word, sizeof(word), " %.60s ", name ? name : "");
        if (!strstr(op->attributes, word))
            return lq_onnx_fail(onnx, node, LQ_ERR_UNSUPPORTED, "attribute '%.60s'",
                                name ? name : "");
    }
    return LQ_OK;
}

static const struct lq_onnx_op *find_op(const char *type)
{
    for (const struct lq_onnx_op *op = lq_onnx_ops; op->type; op++)
        if (strcmp(op->type, type) == 0)
            return op;
    return NULL;
}

/* Looks up a node's inputs; *ret_constant: none of them is a runtime value. */
static int find_inputs(struct lq_onnx *onnx, struct lq_onnx_node *node, bool *ret_constant)
{
    const Onnx__NodeProto *proto = node->proto;

    *ret_constant = true;
    node->input_count = (int)proto->n_input;
    node->inputs = lq_arena_alloc(&onnx->arena, proto->n_input, sizeof(*node->inputs));
    if (!node->inputs)
        return lq_fail_memory(onnx->error);
    for (size_t i = 0; i < proto->n_input; i++) {
        if (!*proto->input[i])
            continue; /* left out */
        node->inputs[i] = lq_onnx_find(onnx, proto->input[i]);
        if (!node->inputs[i])
            return lq_onnx_fail(onnx, node, LQ_ERR_FORMAT,
                                "input '%.64s' is made by no node before", proto->input[i]);
        *ret_constant = *ret_constant && node->inputs[i]->constant;
    }
    return LQ_OK;
}

static int import_node(struct lq_onnx *onnx, const Onnx__NodeProto *proto)
{
    struct lq_onnx_node node = {.proto = proto, .name = proto->name};
    const struct lq_onnx_op *op = find_op(proto->op_type ? proto->op_type : "");
    bool constant = true;
    int status;

    if (!node.name || !*node.name)
        node.name = proto->n_output > 0 ? proto->output[0] : "";
    if (proto->domain && *proto->domain && strcmp(proto->domain, "ai.onnx") != 0)
        return lq_onnx_fail(onnx, &node, LQ_ERR_UNSUPPORTED, "operator domain '%.64s'",
                            proto->domain);
    if (!op)
        return lq_onnx_fail(onnx, &node, LQ_ERR_UNSUPPORTED, "the operator is not supported");
    if (proto->n_output < 1 || !*proto->output[0])
        return lq_onnx_fail(onnx, &node, LQ_ERR_FORMAT, "it has no output");
    for (size_t i = 1; i < proto->n_output; i++)
        if (slot(onnx, proto->output[i])->uses > 0)
            return lq_onnx_fail(onnx, &node, LQ_ERR_UNSUPPORTED, "output %zu ('%.64s') is used", i,
                                proto->output[i]);
    status = check_attributes(onnx, &node, op);
    if (status == LQ_OK)
        status = find_inputs(onnx, &node, &constant);
    if (status != LQ_OK)
        return status;
    if (constant || !op->convert) {
        if (op->fold)
            return op->fold(onnx, &node);
        return lq_onnx_fail(onnx, &node, LQ_ERR_UNSUPPORTED, "all its inputs are constant");
    }
    return op->convert(onnx, &node);
}

static int set_meta(struct lq_onnx *onnx, const struct lq_meta *meta)
{
    struct lq_graph *graph = onnx->graph;
    int status = lq_graph_set_name(graph, meta->name ? meta->name : "network", onnx->error);

    if (status == LQ_OK)
        status = lq_graph_set_labels(graph, meta->labels, meta->label_count, onnx->error);
    for (int i = 0; i < meta->provenance_count && status == LQ_OK; i++)
        status = lq_graph_set_provenance(graph, meta->provenance[i].key, meta->provenance[i].value,
                                         onnx->error);
    graph->meta.preprocess = meta->preprocess;
    return status;
}

/* The output keeps the file's name even where the node that named it was dropped. */
static int finish(struct lq_onnx *onnx)
{
    const struct lq_onnx_value *output;
    const char *name;

    if (onnx->proto->n_output != 1 || !onnx->proto->output[0]->name)
        return lq_fail(onnx->error, LQ_ERR_UNSUPPORTED, "%zu outputs, expected one",
                       onnx->proto->n_output);
    name = onnx->proto->output[0]->name;
    output = lq_onnx_find(onnx, name);
    if (!output || output->constant)
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "output '%.64s' is made by no node", name);
    if (output->value > 0 && lq_graph_find_value(onnx->graph, name) < 0) {
        char *copy = lq_arena_strdup(&onnx->graph->arena, name);

        if (!copy)
            return lq_fail_memory(onnx->error);
        onnx->graph->values[output->value].name = copy;
    }
    return lq_graph_finish(onnx->graph, output->value, onnx->error);
}

static int import_model(struct lq_onnx *onnx, const Onnx__ModelProto *model,
                        const struct lq_meta *meta)
{
    int status = find_opset(onnx, model);

    if (status != LQ_OK)
        return status;
    if (!model->graph)
        return lq_fail(onnx->error, LQ_ERR_FORMAT, "the file holds no graph");
    onnx->proto = model->graph;
    status = lq_graph_create(&onnx->graph, onnx->error);
    if (status == LQ_OK)
        status = create_table(onnx);
    if (status == LQ_OK)
        status = set_meta(onnx, meta);
    if (status == LQ_OK)
        status = read_initializers(onnx);
    if (status == LQ_OK)
        status = read_input(onnx);
    for (size_t i = 0; i < onnx->proto->n_node && status == LQ_OK; i++)
        status = import_node(onnx, onnx->proto->node[i]);
    return status == LQ_OK ? finish(onnx) : status;
}

/* A few bytes can ask for many: what the parser may take is bounded by the file's size. */
struct budget {
    size_t left;
};

static void *budget_alloc(void *context, size_t size)
{
    struct budget *budget = context;

    if (size > budget->left)
        return NULL;
    budget->left -= size;
    return malloc(size);
}

static void budget_free(void *context, void *block)
{
    (void)context;
    free(block);
}

int lq_onnx_import(const void *bytes, size_t size, const struct lq_meta *meta,
                   struct lq_graph **ret_graph, struct lq_error *error)
{
    struct budget budget = {64 * size < ((size_t)16 << 20) ? 64 * size
                                                           : 8 * size + ((size_t)16 << 20)};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &budget};
    struct lq_onnx onnx = {.error = error};
    Onnx__ModelProto *model = NULL;
    int status;

    if (size > 0 && size <= LQ_MAX_ONNX_BYTES)
        model = onnx__model_proto__unpack(&allocator, size, bytes);
    if (!model)
        return lq_fail(error, LQ_ERR_FORMAT, "not an ONNX file, or a damaged one (%zu bytes)",
                       size);
    status = import_model(&onnx, model, meta);
    if (status == LQ_ERR_INVALID) { /* of a graph; here the file is to blame */
        status = LQ_ERR_FORMAT;
        if (error)
            error->status = status;
    }
    if (status == LQ_OK)
        *ret_graph = onnx.graph;
    else
        lq_graph_destroy(onnx.graph);
    onnx__model_proto__free_unpacked(model, &allocator);
    lq_arena_deinit(&onnx.arena);
    return status;
}
