/* lqfile_graph.c - reads the graph of a .lq file, node by node.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/status.h"
#include "format/lqfile_internal.h"
#include "graph/name.h"

#define MAX_SHOWN 64 /* bytes of a name in a message */

/* A node while it is read. */
struct reading {
    struct lq_lqfile_parser *parser;
    json_t *values; /* name -> index, of all values made so far */
    const json_t *json;
    const char *output; /* NULL: the node's name */
    struct lq_node_spec spec;
    struct lq_error *error;
};

/* ------------------------------------------------------------------------------------------------
 * Attributes
 */

static int read_int(const json_t *json, int *ret_value, struct lq_error *error)
{
    json_int_t value = json_integer_value(json);

    if (!json_is_integer(json))
        return lq_fail(error, LQ_ERR_FORMAT, "expected an integer");
    if (value < INT_MIN || value > INT_MAX)
        return lq_fail(error, LQ_ERR_FORMAT, "%lld does not fit 32 bits", (long long)value);
    *ret_value = (int)value;
    return LQ_OK;
}

static int read_ints(const json_t *json, int count, int *ret_values, struct lq_error *error)
{
    int status = LQ_OK;

    if (count == 1)
        return read_int(json, ret_values, error);
    if (!json_is_array(json) || json_array_size(json) != (size_t)count)
        return lq_fail(error, LQ_ERR_FORMAT, "expected an array of %d integers", count);
    for (int i = 0; i < count && status == LQ_OK; i++)
        status = read_int(json_array_get(json, (size_t)i), &ret_values[i], error);
    return status;
}

static int read_float(const json_t *json, float *ret_value, struct lq_error *error)
{
    double value = json_number_value(json);

    if (!json_is_number(json))
        return lq_fail(error, LQ_ERR_FORMAT, "expected a number");
    if (fabs(value) > (double)3.40282347e+38f)
        return lq_fail(error, LQ_ERR_NUMERIC, "%g does not fit a 32-bit float", value);
    *ret_value = (float)value;
    return LQ_OK;
}

static int read_field(const struct lq_lqfile_field *field, const json_t *json,
                      struct lq_attributes *attributes, struct lq_error *error)
{
    void *to = (char *)attributes + field->offset;

    switch (field->type) {
    case LQ_FIELD_INT:
        return read_ints(json, field->count, to, error);
    case LQ_FIELD_FLOAT:
        return read_float(json, to, error);
    case LQ_FIELD_SHAPE:
        return lq_lqfile_read_shape(json, to, error);
    case LQ_FIELD_BOOL:
        if (!json_is_boolean(json))
            return lq_fail(error, LQ_ERR_FORMAT, "expected true or false");
        *(bool *)to = json_is_true(json);
    }
    return LQ_OK;
}

static void set_fallback(const struct lq_lqfile_field *field, struct lq_attributes *attributes)
{
    char *to = (char *)attributes + field->offset;

    if (field->type == LQ_FIELD_FLOAT)
        *(float *)(void *)to = field->fallback;
    for (int i = 0; field->type == LQ_FIELD_INT && i < field->count; i++)
        ((int *)(void *)to)[i] = (int)field->fallback;
}

/* Fields that the operator has: all that are required, each of its type. */
static int read_attributes(struct reading *reading)
{
    struct lq_attributes *attributes = &reading->spec.attributes;

    for (int i = 0; i < lq_lqfile_field_count; i++) {
        const struct lq_lqfile_field *field = &lq_lqfile_fields[i];
        const json_t *json = json_object_get(reading->json, field->name);
        int status = LQ_OK;

        if (!(field->ops >> reading->spec.kind & 1))
            continue;
        if (json)
            status = read_field(field, json, attributes, reading->error);
        else if (field->required)
            status = lq_fail(reading->error, LQ_ERR_FORMAT, "is missing");
        else
            set_fallback(field, attributes);
        if (status != LQ_OK) {
            lq_error_prefix(reading->error, "attribute %s", field->name);
            return status;
        }
    }
    return LQ_OK;
}

/* An attribute that is not understood would change what the network means. */
static int check_keys(const struct reading *reading)
{
    static const char *const common[] = {"name", "op", "inputs", "output"};
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)reading->json, key, value)
    {
        bool known = lq_lqfile_field_find(reading->spec.kind, key) != NULL;

        for (size_t i = 0; i < sizeof(common) / sizeof(common[0]) && !known; i++)
            known = strcmp(key, common[i]) == 0;
        if (!known)
            return lq_fail(reading->error, LQ_ERR_UNSUPPORTED, "unknown attribute '%s'",
                           lq_lqfile_printable(key));
    }
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Inputs and parameters
 */

static int find_input(const struct reading *reading, const json_t *json, int *ret_value)
{
    const char *name = json_string_value(json);
    const json_t *index = name ? json_object_get(reading->values, name) : NULL;

    if (!name)
        return lq_fail(reading->error, LQ_ERR_FORMAT, "inputs: expected an array of strings");
    if (!index)
        return lq_fail(reading->error, LQ_ERR_FORMAT, "no value '%s' is made before it",
                       lq_lqfile_printable(name));
    *ret_value = (int)json_integer_value(index);
    return LQ_OK;
}

static int read_inputs(struct reading *reading, const json_t *inputs)
{
    struct lq_node_spec *spec = &reading->spec;
    int status = LQ_OK;

    if (!inputs) {
        spec->inputs[0] = reading->parser->graph->value_count - 1;
        spec->input_count = 1;
        return LQ_OK;
    }
    if (!json_is_array(inputs) || json_array_size(inputs) > LQ_MAX_INPUTS)
        return lq_fail(reading->error, LQ_ERR_FORMAT, "inputs: expected an array of at most %d",
                       LQ_MAX_INPUTS);
    spec->input_count = (int)json_array_size(inputs);
    for (int i = 0; i < spec->input_count && status == LQ_OK; i++)
        status = find_input(reading, json_array_get(inputs, (size_t)i), &spec->inputs[i]);
    return status;
}

/* Every tensor called after the node is its parameter; whether it has such a one and all that it
 * needs, lq_op_infer knows. */
static void take_params(struct reading *reading)
{
    struct lq_lqfile_parser *parser = reading->parser;
    char name[LQ_MAX_TENSOR_NAME];

    for (int param = 0; param < LQ_PARAM_COUNT; param++) {
        lq_lqfile_tensor_name(reading->spec.name, param, name);
        const json_t *index = json_object_get(parser->tensor_indices, name);

        if (!index)
            continue;
        reading->spec.params[param] = parser->tensors[json_integer_value(index)];
        json_object_del(parser->tensor_indices, name);
    }
}

/* ------------------------------------------------------------------------------------------------
 * Nodes
 */

/* Name and operator: from here on messages can name the node. */
static int read_names(struct reading *reading, json_t **ret_inputs)
{
    const char *op = NULL;
    json_error_t json_error;
    int kind, status;

    if (json_unpack_ex((json_t *)reading->json, &json_error, 0, "{s:s,s:s,s?s,s?o}", "name",
                       &reading->spec.name, "op", &op, "output", &reading->output, "inputs",
                       ret_inputs) != 0)
        return lq_lqfile_fail_json(reading->error, &json_error);
    status = lq_name_check("name", reading->spec.name, reading->error);
    if (status != LQ_OK)
        return status;
    kind = lq_op_from_text(op);
    if (kind < 0)
        return lq_fail(reading->error, LQ_ERR_UNSUPPORTED, "'%.*s': unknown operator '%s'",
                       lq_name_cut(reading->spec.name, MAX_SHOWN), reading->spec.name,
                       lq_lqfile_printable(op));
    reading->spec.kind = kind;
    reading->spec.output = reading->output;
    return LQ_OK;
}

static int read_body(struct reading *reading, const json_t *inputs)
{
    int status = read_inputs(reading, inputs);

    if (status == LQ_OK)
        status = check_keys(reading);
    if (status == LQ_OK)
        status = read_attributes(reading);
    if (status != LQ_OK)
        lq_error_prefix(reading->error, "node '%.*s' (%s)",
                        lq_name_cut(reading->spec.name, MAX_SHOWN), reading->spec.name,
                        lq_op_text(reading->spec.kind));
    return status;
}

static int read_node(struct lq_lqfile_parser *parser, json_t *values, const json_t *json,
                     int *ret_value)
{
    struct reading reading = {
        .parser = parser, .values = values, .json = json, .error = parser->error};
    json_t *inputs = NULL;
    int value = -1, status = read_names(&reading, &inputs);

    if (status != LQ_OK) {
        lq_error_prefix(parser->error, "node %d", parser->graph->node_count);
        return status;
    }
    status = read_body(&reading, inputs);
    if (status != LQ_OK)
        return status;
    take_params(&reading);
    status = lq_graph_add_node(parser->graph, &reading.spec, &value, parser->error);
    if (status != LQ_OK)
        return status;
    if (json_object_set_new(values, parser->graph->values[value].name, json_integer(value)) != 0)
        return lq_fail_memory(parser->error);
    *ret_value = value;
    return LQ_OK;
}

static int read_input(struct lq_lqfile_parser *parser, json_t *values, const json_t *json)
{
    const char *name = NULL;
    struct lq_shape shape = {0, {0}};
    json_error_t json_error;
    json_t *dims = NULL;
    int status;

    if (json_unpack_ex((json_t *)json, &json_error, JSON_STRICT, "{s:s,s:o}", "name", &name,
                       "shape", &dims) != 0)
        return lq_lqfile_fail_json(parser->error, &json_error);
    status = lq_lqfile_read_shape(dims, &shape, parser->error);
    if (status == LQ_OK)
        status = lq_graph_add_input(parser->graph, name, &shape, parser->error);
    if (status == LQ_OK && json_object_set_new(values, name, json_integer(0)) != 0)
        status = lq_fail_memory(parser->error);
    return status;
}

static int read_nodes(struct lq_lqfile_parser *parser, json_t *values, const json_t *json,
                      int *ret_output)
{
    json_error_t json_error;
    json_t *input = NULL, *nodes = NULL;
    int status;

    if (json_unpack_ex((json_t *)json, &json_error, JSON_STRICT, "{s:o,s:o}", "input", &input,
                       "nodes", &nodes) != 0)
        return lq_lqfile_fail_json(parser->error, &json_error);
    if (!json_is_array(nodes))
        return lq_fail(parser->error, LQ_ERR_FORMAT, "nodes is no array");
    status = read_input(parser, values, input);
    if (status != LQ_OK) {
        lq_error_prefix(parser->error, "input");
        return status;
    }
    for (size_t i = 0; i < json_array_size(nodes) && status == LQ_OK; i++)
        status = read_node(parser, values, json_array_get(nodes, i), ret_output);
    return status;
}

/* A tensor that nobody reads is a mistake, or something that is smuggled along. */
static int check_all_taken(const struct lq_lqfile_parser *parser)
{
    const char *name = json_object_iter_key(json_object_iter(parser->tensor_indices));

    if (!name)
        return LQ_OK;
    return lq_fail(parser->error, LQ_ERR_FORMAT, "tensor '%.*s' is not a parameter of any node",
                   lq_name_cut(name, MAX_SHOWN), name);
}

int lq_lqfile_read_graph(struct lq_lqfile_parser *parser, int *ret_output)
{
    json_t *json = NULL, *values = json_object();
    int status = values ? LQ_OK : lq_fail_memory(parser->error);

    if (status == LQ_OK)
        status = lq_lqfile_read_text(parser, "graph", &json);
    if (status == LQ_OK && !json)
        status = lq_fail(parser->error, LQ_ERR_FORMAT, "there is no metadata 'graph'");
    else if (status == LQ_OK) {
        status = read_nodes(parser, values, json, ret_output);
        if (status != LQ_OK)
            lq_error_prefix(parser->error, "metadata 'graph'");
    }
    json_decref(values);
    json_decref(json);
    return status == LQ_OK ? check_all_taken(parser) : status;
}
