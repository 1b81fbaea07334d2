/* lqfile_write.c - writes .lq files.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * jansson keeps the order in which keys were set, so the same graph always gives the same bytes.
 * Its functions pass NULL on: a failed allocation anywhere shows at the end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/lqfile_internal.h"

#define JSON_STYLE (JSON_COMPACT | JSON_REAL_PRECISION(9)) /* 9 digits tell all floats apart */

struct item {
    const struct lq_node *node;
    enum lq_param param;
    const struct lq_tensor *tensor;
};

struct writer {
    const struct lq_graph *graph;
    struct item *items; /* all tensors, in the order of their data */
    size_t item_count;
    uint8_t *header; /* with its length in front */
    size_t header_bytes;
    char data_digest[LQ_DIGEST_DIGITS + 1];
};

/* ------------------------------------------------------------------------------------------------
 * Tensors
 */

/* Larger elements first: then each tensor is aligned to its element's size. enum lq_dtype is in
 * that order. */
static int collect_items(struct writer *writer, struct lq_error *error)
{
    const struct lq_graph *graph = writer->graph;

    writer->items = lq_alloc((size_t)graph->node_count * LQ_PARAM_COUNT, sizeof(*writer->items));
    if (!writer->items)
        return lq_fail_memory(error);
    for (int dtype = 0; dtype < LQ_DTYPE_COUNT; dtype++)
        for (int i = 0; i < graph->node_count; i++)
            for (int param = 0; param < LQ_PARAM_COUNT; param++) {
                const struct lq_tensor *tensor = graph->nodes[i].params[param];

                if (tensor && (int)tensor->dtype == dtype)
                    writer->items[writer->item_count++] =
                        (struct item){&graph->nodes[i], param, tensor};
            }
    return LQ_OK;
}

static int digest_data(struct writer *writer, struct lq_error *error)
{
    struct lq_piece *pieces = lq_alloc(writer->item_count, sizeof(*pieces));
    int status;

    if (!pieces)
        return lq_fail_memory(error);
    for (size_t i = 0; i < writer->item_count; i++)
        pieces[i] = (struct lq_piece){writer->items[i].tensor->data,
                                      lq_tensor_bytes(writer->items[i].tensor)};
    status = lq_lqfile_digest(pieces, writer->item_count, writer->data_digest, error);
    free(pieces);
    return status;
}

static json_t *shape_json(const struct lq_shape *shape)
{
    json_t *json = json_array();

    for (int axis = 0; axis < shape->rank; axis++)
        if (json_array_append_new(json, json_integer(shape->dims[axis])) != 0) {
            json_decref(json);
            return NULL;
        }
    return json;
}

static bool add_tensors(const struct writer *writer, json_t *header)
{
    json_int_t offset = 0;
    bool ok = true;

    for (size_t i = 0; i < writer->item_count && ok; i++) {
        const struct item *item = &writer->items[i];
        json_int_t end = offset + (json_int_t)lq_tensor_bytes(item->tensor);
        char name[LQ_MAX_TENSOR_NAME];

        lq_lqfile_tensor_name(item->node->name, item->param, name);
        ok =
            json_object_set_new(
                header, name,
                json_pack("{s:s,s:o,s:[I,I]}", "dtype", lq_dtype_text(item->tensor->dtype), "shape",
                          shape_json(&item->tensor->shape), "data_offsets", offset, end)) == 0;
        offset = end;
    }
    return ok;
}

/* ------------------------------------------------------------------------------------------------
 * The graph
 */

static json_t *ints_json(const int *values, int count)
{
    json_t *json;

    if (count == 1)
        return json_integer(values[0]);
    json = json_array();
    for (int i = 0; i < count; i++)
        if (json_array_append_new(json, json_integer(values[i])) != 0) {
            json_decref(json);
            return NULL;
        }
    return json;
}

static bool is_fallback(const struct lq_lqfile_field *field, const void *from)
{
    const int *values = from;
    int same = 0;

    switch (field->type) {
    case LQ_FIELD_INT:
        while (same < field->count && values[same] == (int)field->fallback)
            same++;
        return same == field->count;
    case LQ_FIELD_FLOAT: /* by bits: -0 is not 0 */
        return memcmp(from, &field->fallback, sizeof(float)) == 0;
    case LQ_FIELD_BOOL:
        return !*(const bool *)from;
    case LQ_FIELD_SHAPE:
        break;
    }
    return false;
}

static json_t *field_json(const struct lq_lqfile_field *field, const void *from)
{
    switch (field->type) {
    case LQ_FIELD_INT:
        return ints_json(from, field->count);
    case LQ_FIELD_FLOAT:
        return json_real((double)*(const float *)from);
    case LQ_FIELD_BOOL:
        return json_boolean(*(const bool *)from);
    case LQ_FIELD_SHAPE:
        return shape_json(from);
    }
    return NULL;
}

static bool add_attributes(const struct lq_node *node, json_t *json)
{
    bool ok = true;

    for (int i = 0; i < lq_lqfile_field_count && ok; i++) {
        const struct lq_lqfile_field *field = &lq_lqfile_fields[i];
        const char *from = (const char *)&node->attributes + field->offset;

        if ((field->ops >> node->kind & 1) && (field->required || !is_fallback(field, from)))
            ok = json_object_set_new(json, field->name, field_json(field, from)) == 0;
    }
    return ok;
}

/* The value made by the node before is what a node reads unless it says otherwise: node i makes
 * value i + 1, so node i reads value i. */
static bool add_inputs(const struct lq_graph *graph, int index, json_t *json)
{
    const struct lq_node *node = &graph->nodes[index];
    json_t *inputs;

    if (node->input_count == 1 && node->inputs[0] == index)
        return true;
    inputs = json_array();
    for (int i = 0; i < node->input_count; i++)
        if (json_array_append_new(inputs, json_string(graph->values[node->inputs[i]].name)) != 0) {
            json_decref(inputs);
            return false;
        }
    return json_object_set_new(json, "inputs", inputs) == 0;
}

static json_t *node_json(const struct lq_graph *graph, int index)
{
    const struct lq_node *node = &graph->nodes[index];
    const char *output = graph->values[node->output].name;
    json_t *json = json_pack("{s:s,s:s}", "name", node->name, "op", lq_op_text(node->kind));
    bool ok = json && add_inputs(graph, index, json);

    if (ok && strcmp(output, node->name) != 0)
        ok = json_object_set_new(json, "output", json_string(output)) == 0;
    if (ok && add_attributes(node, json))
        return json;
    json_decref(json);
    return NULL;
}

static json_t *graph_json(const struct lq_graph *graph)
{
    const struct lq_value *input = &graph->values[graph->input];
    json_t *nodes = json_array();

    for (int i = 0; i < graph->node_count; i++)
        if (json_array_append_new(nodes, node_json(graph, i)) != 0) {
            json_decref(nodes);
            return NULL;
        }
    return json_pack("{s:{s:s,s:o},s:o}", "input", "name", input->name, "shape",
                     shape_json(&input->shape), "nodes", nodes);
}

/* ------------------------------------------------------------------------------------------------
 * Metadata
 */

static json_t *labels_json(const struct lq_meta *meta)
{
    json_t *json = json_array();

    for (int i = 0; i < meta->label_count; i++)
        if (json_array_append_new(json, json_string(meta->labels[i])) != 0) {
            json_decref(json);
            return NULL;
        }
    return json;
}

static json_t *preprocess_json(const struct lq_preprocess *p)
{
    return json_pack("{s:i,s:[f,f,f],s:[f,f,f],s:f}", "resize", p->resize, "mean",
                     (double)p->mean[0], (double)p->mean[1], (double)p->mean[2], "std",
                     (double)p->std[0], (double)p->std[1], (double)p->std[2], "scale",
                     (double)p->scale);
}

static json_t *provenance_json(const struct lq_meta *meta)
{
    json_t *json = json_object();

    for (int i = 0; i < meta->provenance_count; i++)
        if (json_object_set_new(json, meta->provenance[i].key,
                                json_string(meta->provenance[i].value)) != 0) {
            json_decref(json);
            return NULL;
        }
    return json;
}

/* Sets a string that holds JSON text; frees json. */
static bool set_text(json_t *metadata, const char *key, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_STYLE) : NULL;
    bool ok = text && json_object_set_new(metadata, key, json_string(text)) == 0;

    free(text);
    json_decref(json);
    return ok;
}

static json_t *metadata_json(const struct writer *writer)
{
    const struct lq_meta *meta = &writer->graph->meta;
    char version[16];
    json_t *json;
    bool ok;

    snprintf(version, sizeof(version), "%d", LQ_FILE_VERSION);
    json = json_pack("{s:s,s:s,s:s,s:s}", "xxh3_128_header", "00000000000000000000000000000000",
                     "format", "lqnet", "format_version", version, "xxh3_128", writer->data_digest);
    ok = json != NULL;
    if (ok && meta->name)
        ok = json_object_set_new(json, "name", json_string(meta->name)) == 0;
    ok = ok && set_text(json, "graph", graph_json(writer->graph));
    if (ok && meta->label_count > 0)
        ok = set_text(json, "labels", labels_json(meta));
    ok = ok && set_text(json, "preprocess", preprocess_json(&meta->preprocess));
    if (ok && meta->provenance_count > 0)
        ok = set_text(json, "provenance", provenance_json(meta));
    if (ok)
        return json;
    json_decref(json);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------
 * The whole
 */

/* Lays out length, text and padding, and puts the digest in. */
static int finish_header(struct writer *writer, const char *text, struct lq_error *error)
{
    size_t length = strlen(text);
    char digest[LQ_DIGEST_DIGITS + 1];
    uint64_t stated;
    int status;

    writer->header_bytes = lq_size_round_up(LQ_LQFILE_LENGTH + length, LQ_LQFILE_ALIGNMENT);
    stated = writer->header_bytes - LQ_LQFILE_LENGTH;
    if (stated > LQ_MAX_HEADER_BYTES)
        return lq_fail(error, LQ_ERR_LIMIT, "a header of %zu bytes, expected at most %zu",
                       (size_t)stated, LQ_MAX_HEADER_BYTES);
    writer->header = lq_alloc(writer->header_bytes, 1);
    if (!writer->header)
        return lq_fail_memory(error);
    memset(writer->header, ' ', writer->header_bytes);
    memcpy(writer->header, &stated, sizeof(stated));
    memcpy(writer->header + LQ_LQFILE_LENGTH, text, length);
    status = lq_lqfile_header_digest(writer->header, writer->header_bytes, digest, error);
    if (status == LQ_OK)
        memcpy(writer->header + LQ_LQFILE_DIGEST_POS, digest, LQ_DIGEST_DIGITS);
    return status;
}

static int build_header(struct writer *writer, struct lq_error *error)
{
    json_t *header = json_object();
    char *text = NULL;
    int status;

    if (json_object_set_new(header, "__metadata__", metadata_json(writer)) == 0 &&
        add_tensors(writer, header))
        text = json_dumps(header, JSON_STYLE);
    status = text ? finish_header(writer, text, error) : lq_fail_memory(error);
    free(text);
    json_decref(header);
    return status;
}

static int write_file(void *context, int fd, struct lq_error *error)
{
    const struct writer *writer = context;
    int status = lq_fd_write(fd, writer->header, writer->header_bytes, error);

    for (size_t i = 0; i < writer->item_count && status == LQ_OK; i++)
        status = lq_fd_write(fd, writer->items[i].tensor->data,
                             lq_tensor_bytes(writer->items[i].tensor), error);
    return status;
}

int lq_lqfile_save(const struct lq_graph *graph, const char *path, struct lq_error *error)
{
    struct writer writer = {.graph = graph};
    int status;

    if (graph->output < 0)
        return lq_fail(error, LQ_ERR_INVALID, "%s: the graph is not finished", path);
    status = collect_items(&writer, error);
    if (status == LQ_OK)
        status = digest_data(&writer, error);
    if (status == LQ_OK)
        status = build_header(&writer, error);
    if (status == LQ_OK)
        status = lq_file_replace(path, write_file, &writer, error);
    free(writer.items);
    free(writer.header);
    return status;
}
