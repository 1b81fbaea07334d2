/* lqfile_read.c - reads .lq files: header, tensors, what is known about the network.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is believed. The header's digest comes first, so what follows it sees either an
 * undamaged file or one that somebody has forged; both get the same checks.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "format/lqfile_internal.h"
#include "graph/name.h"

#define MAX_SHOWN 160 /* bytes of a text in a message */

const char *lq_lqfile_printable(const char *text)
{
    return lq_text_check("", text, MAX_SHOWN, NULL) == LQ_OK ? text : "(cannot be shown)";
}

int lq_lqfile_fail_json(struct lq_error *error, const json_error_t *json_error)
{
    /* Every mistake in a text has a reason; only running out of memory may have none. */
    if (json_error_code(json_error) == json_error_out_of_memory || !*json_error->text)
        return lq_fail_memory(error);
    return lq_fail(error, LQ_ERR_FORMAT, "%s", lq_lqfile_printable(json_error->text));
}

int lq_lqfile_read_text(const struct lq_lqfile_parser *parser, const char *key, json_t **ret_json)
{
    const json_t *text = json_object_get(parser->metadata, key);
    json_error_t json_error;
    json_t *json;
    int status;

    if (!text) {
        *ret_json = NULL;
        return LQ_OK;
    }
    json = json_loadb(json_string_value(text), json_string_length(text), JSON_REJECT_DUPLICATES,
                      &json_error);
    if (!json) {
        status = lq_lqfile_fail_json(parser->error, &json_error);
        lq_error_prefix(parser->error, "metadata '%s', byte %d", key, json_error.position);
        return status;
    }
    *ret_json = json;
    return LQ_OK;
}

int lq_lqfile_read_shape(const json_t *json, struct lq_shape *ret_shape, struct lq_error *error)
{
    struct lq_shape shape = {0, {0}};
    int status;

    if (!json_is_array(json))
        return lq_fail(error, LQ_ERR_FORMAT, "shape is no array");
    if (json_array_size(json) > LQ_MAX_RANK)
        return lq_fail(error, LQ_ERR_LIMIT, "shape has rank %zu, expected at most %d",
                       json_array_size(json), LQ_MAX_RANK);
    for (size_t axis = 0; axis < json_array_size(json); axis++) {
        const json_t *dim = json_array_get(json, axis);

        if (!json_is_integer(dim))
            return lq_fail(error, LQ_ERR_FORMAT, "dimension %zu is no integer", axis);
        if (json_integer_value(dim) < 1 || json_integer_value(dim) > LQ_MAX_DIM)
            return lq_fail(error, LQ_ERR_LIMIT, "dimension %zu is %lld, expected 1..%d", axis,
                           (long long)json_integer_value(dim), LQ_MAX_DIM);
        shape.dims[shape.rank++] = (int)json_integer_value(dim);
    }
    status = lq_shape_check(&shape, error);
    if (status == LQ_OK)
        *ret_shape = shape;
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * The header
 */

static int read_length(struct lq_lqfile_parser *parser)
{
    struct lq_reader reader = {parser->bytes, parser->size, 0};
    const size_t least = sizeof(LQ_LQFILE_START) - 1 + LQ_DIGEST_DIGITS;
    uint64_t length;

    if (!lq_read_u64(&reader, false, &length))
        return lq_fail(parser->error, LQ_ERR_FORMAT, "offset 0: the file ends after %zu bytes",
                       parser->size);
    if (length > parser->size - reader.offset)
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "offset 0: a header of %llu bytes, the file has %zu",
                       (unsigned long long)length, parser->size);
    if (length > LQ_MAX_HEADER_BYTES)
        return lq_fail(parser->error, LQ_ERR_LIMIT,
                       "offset 0: a header of %llu bytes, expected at most %zu",
                       (unsigned long long)length, LQ_MAX_HEADER_BYTES);
    if (length < least ||
        memcmp(parser->bytes + reader.offset, LQ_LQFILE_START, sizeof(LQ_LQFILE_START) - 1) != 0)
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "offset 8: no lqnet model: the header does not begin with '%s'",
                       LQ_LQFILE_START);
    parser->data_start = reader.offset + (size_t)length;
    if (parser->data_start % LQ_LQFILE_ALIGNMENT != 0)
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "offset 0: the data start at %zu, which is no multiple of %d",
                       parser->data_start, LQ_LQFILE_ALIGNMENT);
    return LQ_OK;
}

static int check_header_digest(const struct lq_lqfile_parser *parser)
{
    char digest[LQ_DIGEST_DIGITS + 1];
    int status = lq_lqfile_header_digest(parser->bytes, parser->data_start, digest, parser->error);

    if (status == LQ_OK &&
        memcmp(parser->bytes + LQ_LQFILE_DIGEST_POS, digest, LQ_DIGEST_DIGITS) != 0)
        status = lq_fail(parser->error, LQ_ERR_FORMAT,
                         "offset 0 to %zu: the header is damaged: its checksum is %s, stated "
                         "otherwise at offset %zu",
                         parser->data_start - 1, digest, LQ_LQFILE_DIGEST_POS);
    return status;
}

static int parse_header(struct lq_lqfile_parser *parser)
{
    json_error_t json_error;
    const char *key;
    json_t *value;

    parser->header =
        json_loadb((const char *)parser->bytes + LQ_LQFILE_LENGTH,
                   parser->data_start - LQ_LQFILE_LENGTH, JSON_REJECT_DUPLICATES, &json_error);
    if (!parser->header) {
        int status = lq_lqfile_fail_json(parser->error, &json_error);

        lq_error_prefix(parser->error, "offset %d", LQ_LQFILE_LENGTH + json_error.position);
        return status;
    }
    parser->metadata = json_object_get(parser->header, "__metadata__");
    json_object_foreach((json_t *)parser->metadata, key, value)
    {
        if (!json_is_string(value))
            return lq_fail(parser->error, LQ_ERR_FORMAT, "metadata '%s' is no string",
                           lq_lqfile_printable(key));
    }
    return LQ_OK;
}

/* A string of the metadata, "" where it is absent. */
static const char *metadata_string(const struct lq_lqfile_parser *parser, const char *key)
{
    const char *text = json_string_value(json_object_get(parser->metadata, key));

    return text ? text : "";
}

static int check_version(const struct lq_lqfile_parser *parser)
{
    const char *format = metadata_string(parser, "format");
    const char *text = metadata_string(parser, "format_version");
    size_t digits = strspn(text, "0123456789");

    if (strcmp(format, "lqnet") != 0)
        return lq_fail(parser->error, LQ_ERR_FORMAT, "metadata 'format' is '%s', expected 'lqnet'",
                       lq_lqfile_printable(format));
    if (digits == 0 || digits > 9 || text[digits] || text[0] == '0')
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "metadata 'format_version' is '%s', expected a positive integer",
                       lq_lqfile_printable(text));
    if (atoi(text) > LQ_FILE_VERSION)
        return lq_fail(parser->error, LQ_ERR_UNSUPPORTED,
                       "the file has format version %s, this program reads versions up to %d", text,
                       LQ_FILE_VERSION);
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Tensors
 */

/* Where a tensor's data are: right behind those of the tensor before. */
static int check_offsets(const struct lq_lqfile_parser *parser, json_int_t from, json_int_t to,
                         size_t expected, size_t bytes)
{
    size_t room = parser->size - parser->data_start;

    if (from < 0 || to < from)
        return lq_fail(parser->error, LQ_ERR_FORMAT, "data_offsets [%lld, %lld]", (long long)from,
                       (long long)to);
    if ((uint64_t)from != expected)
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "data_offsets start at %lld, %s the end of the tensor before it at %zu",
                       (long long)from, (uint64_t)from < expected ? "before" : "behind", expected);
    if ((uint64_t)(to - from) != bytes)
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "data_offsets hold %lld bytes, dtype and shape ask for %zu",
                       (long long)(to - from), bytes);
    if ((uint64_t)to > room)
        return lq_fail(parser->error, LQ_ERR_FORMAT,
                       "data_offsets end at %lld, the file's data at %zu", (long long)to, room);
    return LQ_OK;
}

static int read_tensor(struct lq_lqfile_parser *parser, const char *name, const json_t *json,
                       size_t *offset, struct lq_tensor **ret_tensor)
{
    const char *dtype_text = "";
    char short_name[LQ_MAX_NAME];
    json_error_t json_error;
    json_t *dims = NULL;
    json_int_t from = 0, to = 0;
    struct lq_shape shape = {0, {0}};
    int dtype, status;

    if (json_unpack_ex((json_t *)json, &json_error, JSON_STRICT, "{s:s,s:o,s:[I,I]}", "dtype",
                       &dtype_text, "shape", &dims, "data_offsets", &from, &to) != 0)
        return lq_lqfile_fail_json(parser->error, &json_error);
    dtype = lq_dtype_from_text(dtype_text);
    if (dtype < 0)
        return lq_fail(parser->error, LQ_ERR_UNSUPPORTED, "dtype is '%s'",
                       lq_lqfile_printable(dtype_text));
    status = lq_lqfile_read_shape(dims, &shape, parser->error);
    if (status != LQ_OK)
        return status;
    struct lq_tensor tensor = {name, dtype, shape, NULL};
    status = check_offsets(parser, from, to, *offset, lq_tensor_bytes(&tensor));
    if (status != LQ_OK)
        return status;
    /* Only messages need the name now, and it may be longer than a node's. */
    memcpy(short_name, name, (size_t)lq_name_cut(name, LQ_MAX_NAME - 1));
    short_name[lq_name_cut(name, LQ_MAX_NAME - 1)] = 0;
    status =
        lq_graph_add_tensor(parser->graph, short_name, dtype, &shape,
                            parser->bytes + parser->data_start + from, ret_tensor, parser->error);
    if (status == LQ_OK)
        *offset = (size_t)to;
    return status;
}

static int add_tensor(struct lq_lqfile_parser *parser, const char *name, const json_t *json,
                      int index, size_t *offset)
{
    struct lq_tensor *tensor = NULL;
    int status = lq_text_check("tensor name", name, LQ_MAX_TENSOR_NAME, parser->error);

    if (status != LQ_OK) {
        lq_error_prefix(parser->error, "tensor %d", index);
        return status;
    }
    status = read_tensor(parser, name, json, offset, &tensor);
    if (status != LQ_OK) {
        lq_error_prefix(parser->error, "offset %zu: tensor '%.*s'", parser->data_start + *offset,
                        lq_name_cut(name, MAX_SHOWN), name);
        return status;
    }
    parser->tensors[index] = tensor;
    if (json_object_set_new(parser->tensor_indices, name, json_integer(index)) != 0)
        return lq_fail_memory(parser->error);
    return LQ_OK;
}

static int read_tensors(struct lq_lqfile_parser *parser)
{
    size_t offset = 0;
    int index = 0;
    const char *name;
    json_t *json;

    parser->tensors = lq_alloc(json_object_size(parser->header), sizeof(*parser->tensors));
    parser->tensor_indices = json_object();
    if (!parser->tensors || !parser->tensor_indices)
        return lq_fail_memory(parser->error);
    json_object_foreach(parser->header, name, json)
    {
        int status = LQ_OK;

        if (strcmp(name, "__metadata__") != 0)
            status = add_tensor(parser, name, json, index++, &offset);
        if (status != LQ_OK)
            return status;
    }
    if (offset != parser->size - parser->data_start)
        return lq_fail(parser->error, LQ_ERR_FORMAT, "offset %zu: %zu bytes behind the last tensor",
                       parser->data_start + offset, parser->size - parser->data_start - offset);
    return LQ_OK;
}

static int check_data_digest(const struct lq_lqfile_parser *parser)
{
    const struct lq_piece data = {parser->bytes + parser->data_start,
                                  parser->size - parser->data_start};
    const char *stated = metadata_string(parser, "xxh3_128");
    char digest[LQ_DIGEST_DIGITS + 1];
    int status = lq_lqfile_digest(&data, 1, digest, parser->error);

    if (status == LQ_OK && strcmp(stated, digest) != 0)
        status = lq_fail(parser->error, LQ_ERR_FORMAT,
                         "offset %zu to %zu: the data are damaged: their checksum is %s, stated "
                         "is '%s'",
                         parser->data_start, parser->size, digest, lq_lqfile_printable(stated));
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * What is known about the network
 */

static int set_labels(struct lq_lqfile_parser *parser, const json_t *json)
{
    size_t count = json_array_size(json);
    const char **labels;
    int status = LQ_OK;

    if (!json_is_array(json) || count > LQ_MAX_CLASSES)
        return lq_fail(parser->error, LQ_ERR_FORMAT, "expected an array of at most %d strings",
                       LQ_MAX_CLASSES);
    labels = lq_alloc(count, sizeof(*labels));
    if (!labels)
        return lq_fail_memory(parser->error);
    for (size_t i = 0; i < count && status == LQ_OK; i++) {
        labels[i] = json_string_value(json_array_get(json, i));
        if (!labels[i])
            status = lq_fail(parser->error, LQ_ERR_FORMAT, "label %zu is no string", i);
    }
    if (status == LQ_OK)
        status = lq_graph_set_labels(parser->graph, labels, (int)count, parser->error);
    free(labels);
    return status;
}

static int set_preprocess(struct lq_lqfile_parser *parser, const json_t *json)
{
    struct lq_preprocess *p = &parser->graph->meta.preprocess;
    double mean[3] = {0}, std[3] = {0}, scale = 0;
    json_int_t resize = 0;
    json_error_t json_error;

    if (json_unpack_ex((json_t *)json, &json_error, JSON_STRICT, "{s:I,s:[F,F,F],s:[F,F,F],s:F}",
                       "resize", &resize, "mean", &mean[0], &mean[1], &mean[2], "std", &std[0],
                       &std[1], &std[2], "scale", &scale) != 0)
        return lq_lqfile_fail_json(parser->error, &json_error);
    if (resize < 0 || resize > INT_MAX)
        return lq_fail(parser->error, LQ_ERR_FORMAT, "resize is %lld", (long long)resize);
    p->resize = (int)resize;
    for (int c = 0; c < 3; c++) { /* lq_graph_finish checks ranges */
        p->mean[c] = (float)mean[c];
        p->std[c] = (float)std[c];
    }
    p->scale = (float)scale;
    return LQ_OK;
}

static int set_provenance(struct lq_lqfile_parser *parser, const json_t *json)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json))
        return lq_fail(parser->error, LQ_ERR_FORMAT, "expected an object");
    json_object_foreach((json_t *)json, key, value)
    {
        int status;

        if (!json_is_string(value))
            return lq_fail(parser->error, LQ_ERR_FORMAT, "'%s' is no string",
                           lq_lqfile_printable(key));
        status =
            lq_graph_set_provenance(parser->graph, key, json_string_value(value), parser->error);
        if (status != LQ_OK)
            return status;
    }
    return LQ_OK;
}

static int read_meta(struct lq_lqfile_parser *parser)
{
    static const struct {
        const char *key;
        int (*set)(struct lq_lqfile_parser *parser, const json_t *json);
    } parts[] = {
        {"labels", set_labels}, {"preprocess", set_preprocess}, {"provenance", set_provenance}};
    const json_t *name = json_object_get(parser->metadata, "name");
    int status = LQ_OK;

    if (name)
        status = lq_graph_set_name(parser->graph, json_string_value(name), parser->error);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && status == LQ_OK; i++) {
        json_t *json = NULL;

        status = lq_lqfile_read_text(parser, parts[i].key, &json);
        if (status == LQ_OK && json) {
            status = parts[i].set(parser, json);
            if (status != LQ_OK)
                lq_error_prefix(parser->error, "metadata '%s'", parts[i].key);
        }
        json_decref(json);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * The whole
 */

static int read_network(struct lq_lqfile_parser *parser)
{
    int node_count, output = -1, status = lq_lqfile_read_graph(parser, &output);

    if (status == LQ_OK)
        status = read_meta(parser);
    if (status != LQ_OK)
        return status;
    node_count = parser->graph->node_count;
    status = lq_graph_finish(parser->graph, output, parser->error);
    if (status == LQ_OK && parser->graph->node_count != node_count)
        status =
            lq_fail(parser->error, LQ_ERR_FORMAT, "%d of %d nodes do not contribute to the output",
                    node_count - parser->graph->node_count, node_count);
    return status;
}

static int read_file(struct lq_lqfile_parser *parser)
{
    int status = read_length(parser);

    if (status == LQ_OK)
        status = check_header_digest(parser);
    if (status == LQ_OK)
        status = parse_header(parser);
    if (status == LQ_OK)
        status = check_version(parser);
    if (status == LQ_OK)
        status = lq_graph_create(&parser->graph, parser->error);
    if (status == LQ_OK)
        status = read_tensors(parser);
    if (status == LQ_OK)
        status = check_data_digest(parser);
    return status == LQ_OK ? read_network(parser) : status;
}

int lq_lqfile_parse(struct lq_file *file, struct lq_graph **ret_graph, struct lq_error *error)
{
    struct lq_lqfile_parser parser = {.bytes = file->bytes, .size = file->size, .error = error};
    int status = read_file(&parser);

    free(parser.tensors);
    json_decref(parser.tensor_indices);
    json_decref(parser.header);
    if (status != LQ_OK) {
        lq_graph_destroy(parser.graph);
        if (status != LQ_ERR_INVALID)
            return status;
        if (error && error->status == LQ_ERR_INVALID) /* of a graph; here the file is to blame */
            error->status = LQ_ERR_FORMAT;
        return LQ_ERR_FORMAT;
    }
    parser.graph->file = *file;
    *file = (struct lq_file){0};
    *ret_graph = parser.graph;
    return LQ_OK;
}
