/* tape_export.c - the network as it has been trained so far; weights from another network.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "quant/pack.h"
#include "train/tape_internal.h"

struct exporting {
    const struct lq_tape *tape;
    const float *values;
    struct lq_graph *to;
    struct lq_error *error;
};

/* The tape's numbers of NODE.WHAT: a parameter or an array; NULL: there is none. */
static const void *find(const struct exporting *e, const struct lq_node *node, const char *what)
{
    const struct lq_tape *tape = e->tape;
    char name[2 * LQ_MAX_NAME];

    snprintf(name, sizeof(name), "%s.%s", node->name, what);
    for (int i = 0; i < tape->param_count; i++)
        if (strcmp(tape->params[i].name, name) == 0)
            return e->values + tape->params[i].offset;
    for (int i = 0; i < tape->array_count; i++)
        if (strcmp(tape->arrays[i].name, name) == 0)
            return tape->arrays[i].data;
    return NULL;
}

/* Integers, scale and codes of a layer's weights: tensors that wait to be filled. */
static int fill_weights(const struct exporting *e, const struct lq_node *node,
                        struct lq_tensor *const *tensors)
{
    int rows = node->attributes.out_channels, bits = node->attributes.bits;
    const float *latent = find(e, node, "weight"), *basis = find(e, node, "basis");
    int16_t *integers = (int16_t *)tensors[LQ_PARAM_BASIS]->data;
    const uint8_t *fixed = NULL;
    size_t length = 0;
    uint8_t *codes;

    for (int i = 0; i < e->tape->weight_quantizer_count; i++)
        if (e->tape->weight_quantizers[i]->node == node) {
            length = (size_t)e->tape->weight_quantizers[i]->length;
            fixed = e->tape->weight_quantizers[i]->codes;
        }
    codes = lq_alloc((size_t)rows * length, 1);
    if (!codes)
        return lq_fail_memory(e->error);
    for (int row = 0; row < rows; row++) {
        struct lq_snapped_basis snapped;
        struct lq_quantizer quantizer;

        lq_snap_basis(LQ_CODE_SIGNED, bits, basis + (size_t)row * (size_t)bits,
                      node->attributes.grid, NULL, &snapped);
        lq_quantizer_init_snapped(&quantizer, &snapped);
        memcpy(integers + (size_t)row * (size_t)bits, snapped.integers,
               (size_t)bits * sizeof(*integers));
        ((float *)tensors[LQ_PARAM_SCALE]->data)[row] = snapped.scale;
        for (size_t k = 0; k < length; k++)
            codes[(size_t)row * length + k] =
                (uint8_t)lq_quantizer_encode(&quantizer, latent[(size_t)row * length + k]);
    }
    if (fixed)
        memcpy(codes, fixed, (size_t)rows * length);
    lq_file_codes_pack(codes, bits, rows, (int64_t)length,
                       (uint8_t *)tensors[LQ_PARAM_CODES]->data);
    free(codes);
    return LQ_OK;
}

static void fill_basis(const struct exporting *e, const struct lq_node *node,
                       struct lq_tensor *const *tensors)
{
    struct lq_snapped_basis snapped;

    lq_snap_basis(LQ_CODE_UNSIGNED, node->attributes.bits, find(e, node, "basis"),
                  node->attributes.grid, NULL, &snapped);
    memcpy((int16_t *)tensors[LQ_PARAM_BASIS]->data, snapped.integers,
           (size_t)snapped.bits * sizeof(int16_t));
    *(float *)tensors[LQ_PARAM_SCALE]->data = snapped.scale;
}

static int export_node(const struct exporting *e, const struct lq_node *node)
{
    struct lq_node_spec spec = {.name = node->name,
                                .kind = node->kind,
                                .attributes = node->attributes,
                                .input_count = node->input_count,
                                .output = e->tape->graph->values[node->output].name};
    struct lq_tensor *tensors[LQ_PARAM_COUNT] = {NULL};
    int value, status = LQ_OK;

    memcpy(spec.inputs, node->inputs, (size_t)node->input_count * sizeof(*node->inputs));
    for (int param = 0; param < LQ_PARAM_COUNT && status == LQ_OK; param++) {
        const void *data;

        if (!node->params[param])
            continue;
        status = lq_graph_copy_tensor(e->to, node->params[param], &tensors[param], e->error);
        spec.params[param] = tensors[param];
        data = node->params[param]->dtype == LQ_F32
                   ? find(e, node, lq_param_text((enum lq_param)param))
                   : NULL;
        if (status == LQ_OK && data)
            memcpy((void *)tensors[param]->data, data, lq_tensor_bytes(tensors[param]));
    }
    if (status == LQ_OK && node->params[LQ_PARAM_CODES])
        status = fill_weights(e, node, tensors);
    if (status == LQ_OK && node->kind == LQ_OP_QUANTIZE)
        fill_basis(e, node, tensors);
    return status == LQ_OK ? lq_graph_add_node(e->to, &spec, &value, e->error) : status;
}

int lq_tape_export(const struct lq_tape *tape, const float *values, struct lq_graph **ret_graph,
                   struct lq_error *error)
{
    const struct lq_graph *graph = tape->graph;
    const struct lq_value *input = &graph->values[graph->input];
    struct exporting e = {tape, values ? values : tape->numbers_values, NULL, error};
    int status = lq_graph_create(&e.to, error);

    if (status == LQ_OK)
        status = lq_graph_add_input(e.to, input->name, &input->shape, error);
    for (int i = 0; i < graph->node_count && status == LQ_OK; i++)
        status = export_node(&e, &graph->nodes[i]);
    if (status == LQ_OK)
        status = lq_graph_copy_meta(e.to, graph, error);
    if (status == LQ_OK)
        status = lq_graph_finish(e.to, graph->output, error);
    if (status == LQ_OK)
        *ret_graph = e.to;
    else
        lq_graph_destroy(e.to);
    return status;
}

int lq_tape_set_latent(struct lq_tape *tape, const struct lq_graph *from, struct lq_error *error)
{
    for (int i = 0; i < tape->weight_quantizer_count; i++) {
        const struct weight_quantizer *q = tape->weight_quantizers[i];
        int index = lq_graph_find_node(from, q->node->name);
        const struct lq_tensor *weight =
            index < 0 ? NULL : from->nodes[index].params[LQ_PARAM_WEIGHT];

        if (!weight || lq_shape_elements(&weight->shape) != (int64_t)q->rows * q->length)
            return lq_fail(error, LQ_ERR_INVALID,
                           "the float network has no layer '%.64s' of %d "
                           "channels with %d weights",
                           q->node->name, q->rows, q->length);
        memcpy(tape->numbers_values + q->offset, weight->data, lq_tensor_bytes(weight));
    }
    return LQ_OK;
}

int lq_tape_export_latent(const struct lq_tape *tape, const struct lq_graph *graph,
                          struct lq_graph **ret_graph, struct lq_error *error)
{
    struct exporting e = {tape, tape->numbers_values, NULL, error};
    int status = lq_graph_copy(graph, NULL, &e.to, error);

    for (int i = 0; status == LQ_OK && i < e.to->node_count; i++)
        for (int param = 0; status == LQ_OK && param < LQ_PARAM_COUNT; param++) {
            const struct lq_tensor *tensor = e.to->nodes[i].params[param];
            const void *data =
                tensor ? find(&e, &e.to->nodes[i], lq_param_text((enum lq_param)param)) : NULL;

            if (tensor && (!data || tensor->dtype != LQ_F32))
                status = lq_fail(error, LQ_ERR_INVALID, "node '%.64s' is not what was trained",
                                 e.to->nodes[i].name);
            else if (tensor) /* of a copy: its arena's */
                memcpy((void *)tensor->data, data, lq_tensor_bytes(tensor));
        }
    if (status == LQ_OK)
        *ret_graph = e.to;
    else
        lq_graph_destroy(e.to);
    return status;
}
