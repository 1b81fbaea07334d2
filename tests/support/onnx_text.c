/* onnx_text.c - ONNX files written down as text, for tests.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/onnx_text.h"

#include <check.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "onnx.pb-c.h"

enum { MAX_ITEMS = 512, MAX_LIST = 64 };

struct builder {
    struct lq_arena arena;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset;
    Onnx__OperatorSetIdProto *opsets[1];
    Onnx__NodeProto *nodes[MAX_ITEMS];
    Onnx__TensorProto *tensors[MAX_ITEMS];
    Onnx__ValueInfoProto *inputs[MAX_LIST], *outputs[MAX_LIST];
};

static void *make(struct builder *b, size_t count, size_t size)
{
    void *block = lq_arena_alloc(&b->arena, count ? count : 1, size);

    ck_assert_ptr_nonnull(block);
    return block;
}

static char *copy(struct builder *b, const char *text)
{
    char *result = lq_arena_strdup(&b->arena, text);

    ck_assert_ptr_nonnull(result);
    return result;
}

/* "a,b" in pieces; "()": none; a piece "-": empty. */
static int split(struct builder *b, const char *text, char **ret_items)
{
    char *rest = copy(b, text), *item;
    int count = 0;

    if (strcmp(text, "()") == 0)
        return 0;
    while ((item = strsep(&rest, ","))) {
        ck_assert_int_lt(count, MAX_LIST);
        ret_items[count++] = strcmp(item, "-") == 0 ? copy(b, "") : item;
    }
    return count;
}

static int type_of(const char *name)
{
    if (strcmp(name, "float") == 0)
        return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (strcmp(name, "int64") == 0)
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    if (strcmp(name, "int32") == 0)
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    ck_assert_msg(strcmp(name, "double") == 0, "type %s", name);
    return ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE;
}

static size_t read_dims(struct builder *b, const char *text, int64_t **ret_dims, size_t *ret_count)
{
    char *items[MAX_LIST];
    size_t elements = 1;

    *ret_count = (size_t)split(b, text, items);
    *ret_dims = make(b, *ret_count, sizeof(int64_t));
    for (size_t i = 0; i < *ret_count; i++) {
        (*ret_dims)[i] = strtoll(items[i], NULL, 10);
        elements *= (size_t)(*ret_dims)[i];
    }
    return elements > 1 << 20 ? 0 : elements; /* dims that lie get no values */
}

static void fill(struct builder *b, Onnx__TensorProto *tensor, size_t count, char *values, bool raw)
{
    float *floats = make(b, count, sizeof(float));
    int64_t *integers = make(b, count, sizeof(int64_t));
    const char *word = values ? strsep(&values, " ") : "0";

    for (size_t i = 0; i < count; i++) {
        floats[i] = strtof(word, NULL);
        integers[i] = strtoll(word, NULL, 10);
        if (values)
            word = strsep(&values, " ");
    }
    bool is_float = tensor->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    if (raw) {
        tensor->has_raw_data = true;
        tensor->raw_data.data = is_float ? (uint8_t *)floats : (uint8_t *)integers;
        tensor->raw_data.len = count * (is_float ? sizeof(float) : sizeof(int64_t));
    } else if (is_float) {
        tensor->n_float_data = count;
        tensor->float_data = floats;
    } else {
        tensor->n_int64_data = count;
        tensor->int64_data = integers;
    }
}

/* NAME TYPE DIMS VALUES */
static Onnx__TensorProto *read_tensor(struct builder *b, char **rest, bool raw)
{
    Onnx__TensorProto *tensor = make(b, 1, sizeof(*tensor));

    onnx__tensor_proto__init(tensor);
    tensor->name = strsep(rest, " ");
    tensor->has_data_type = true;
    tensor->data_type = type_of(strsep(rest, " "));
    size_t elements = read_dims(b, strsep(rest, " "), &tensor->dims, &tensor->n_dims);
    fill(b, tensor, elements, *rest, raw);
    return tensor;
}

/* NAME [TYPE DIMS] */
static Onnx__ValueInfoProto *read_value(struct builder *b, char **rest)
{
    Onnx__ValueInfoProto *value = make(b, 1, sizeof(*value));
    Onnx__TypeProto *type = make(b, 1, sizeof(*type));
    Onnx__TypeProto__Tensor *tensor = make(b, 1, sizeof(*tensor));
    Onnx__TensorShapeProto *shape = make(b, 1, sizeof(*shape));
    char *items[MAX_LIST];

    onnx__value_info_proto__init(value);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    value->name = strsep(rest, " ");
    if (!*rest)
        return value;
    value->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = type_of(strsep(rest, " "));
    if (strcmp(*rest, "-") == 0)
        return value;
    tensor->shape = shape;
    shape->n_dim = (size_t)split(b, *rest, items);
    shape->dim = make(b, shape->n_dim, sizeof(*shape->dim));
    for (size_t i = 0; i < shape->n_dim; i++) {
        Onnx__TensorShapeProto__Dimension *dim = make(b, 1, sizeof(*dim));

        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = isalpha((unsigned char)items[i][0])
                              ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                              : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (isalpha((unsigned char)items[i][0]))
            dim->dim_param = items[i];
        else
            dim->dim_value = strtoll(items[i], NULL, 10);
        shape->dim[i] = dim;
    }
    return value;
}

static Onnx__AttributeProto *read_attribute(struct builder *b, char *word)
{
    Onnx__AttributeProto *attribute = make(b, 1, sizeof(*attribute));
    char *value = strchr(word, '=');

    ck_assert_msg(value, "attribute %s", word);
    *value++ = '\0';
    onnx__attribute_proto__init(attribute);
    attribute->name = word;
    attribute->has_type = true;
    if (value[0] == '[') {
        value[strlen(value) - 1] = '\0';
        attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        read_dims(b, value[1] ? value + 1 : "()", &attribute->ints, &attribute->n_ints);
    } else if (isdigit((unsigned char)value[0]) || value[0] == '-') {
        bool is_float = strchr(value, '.');

        attribute->type = is_float ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
                                   : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        attribute->has_f = is_float;
        attribute->has_i = !is_float;
        attribute->f = strtof(value, NULL);
        attribute->i = strtoll(value, NULL, 10);
    } else {
        attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        attribute->has_s = true;
        attribute->s = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
    }
    return attribute;
}

static Onnx__NodeProto *new_node(struct builder *b, const char *op)
{
    Onnx__NodeProto *node = make(b, 1, sizeof(*node));

    onnx__node_proto__init(node);
    node->op_type = copy(b, op);
    node->attribute = make(b, MAX_LIST, sizeof(*node->attribute));
    node->input = make(b, MAX_LIST, sizeof(*node->input));
    node->output = make(b, MAX_LIST, sizeof(*node->output));
    ck_assert_uint_lt(b->graph.n_node, MAX_ITEMS);
    b->nodes[b->graph.n_node++] = node;
    return node;
}

static void read_node(struct builder *b, const char *op, char **rest)
{
    Onnx__NodeProto *node = new_node(b, op);
    char *word;

    node->n_input = (size_t)split(b, strsep(rest, " "), node->input);
    node->n_output = (size_t)split(b, strsep(rest, " "), node->output);
    while ((word = strsep(rest, " "))) {
        if (strncmp(word, "name=", 5) == 0)
            node->name = word + 5;
        else if (strncmp(word, "domain=", 7) == 0)
            node->domain = word + 7;
        else
            node->attribute[node->n_attribute++] = read_attribute(b, word);
    }
}

static void read_constant(struct builder *b, char **rest)
{
    Onnx__NodeProto *node = new_node(b, "Constant");
    Onnx__AttributeProto *attribute = make(b, 1, sizeof(*attribute));

    onnx__attribute_proto__init(attribute);
    attribute->name = copy(b, "value");
    attribute->has_type = true;
    attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
    attribute->t = read_tensor(b, rest, false);
    node->attribute[node->n_attribute++] = attribute;
    node->output[node->n_output++] = attribute->t->name;
}

static void read_line(struct builder *b, char *line)
{
    char *rest = line;
    const char *word = strsep(&rest, " ");

    if (strcmp(word, "opset") == 0) {
        b->opset.has_version = true;
        b->opset.version = strtoll(rest, NULL, 10);
        b->model.n_opset_import = 1;
    } else if (strcmp(word, "input") == 0) {
        b->inputs[b->graph.n_input++] = read_value(b, &rest);
    } else if (strcmp(word, "output") == 0) {
        b->outputs[b->graph.n_output++] = read_value(b, &rest);
    } else if (strcmp(word, "tensor") == 0 || strcmp(word, "raw") == 0) {
        b->tensors[b->graph.n_initializer++] = read_tensor(b, &rest, word[0] == 'r');
    } else if (strcmp(word, "const") == 0) {
        read_constant(b, &rest);
    } else {
        read_node(b, word, &rest);
    }
}

uint8_t *onnx_from_text(const char *text, size_t *ret_size)
{
    struct builder *b = calloc(1, sizeof(*b));
    char *rest, *line;
    uint8_t *bytes;

    ck_assert_ptr_nonnull(b);
    onnx__model_proto__init(&b->model);
    onnx__graph_proto__init(&b->graph);
    onnx__operator_set_id_proto__init(&b->opset);
    b->opsets[0] = &b->opset;
    b->model.opset_import = b->opsets;
    b->model.graph = &b->graph;
    b->graph.node = b->nodes;
    b->graph.initializer = b->tensors;
    b->graph.input = b->inputs;
    b->graph.output = b->outputs;
    rest = copy(b, text);
    while ((line = strsep(&rest, "\n")))
        if (*line)
            read_line(b, line);
    *ret_size = onnx__model_proto__get_packed_size(&b->model);
    bytes = malloc(*ret_size + 1);
    ck_assert_ptr_nonnull(bytes);
    onnx__model_proto__pack(&b->model, bytes);
    lq_arena_deinit(&b->arena);
    free(b);
    return bytes;
}
