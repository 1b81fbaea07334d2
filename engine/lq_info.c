/* lq_info.c - what the public door tells about a model, and predictions.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <string.h>

#include "lq_model.h"

static bool is_layer(const struct lq_node *node)
{
    return node->kind == LQ_OP_CONV || node->kind == LQ_OP_DENSE;
}

/* The quantize node that a layer reads from, or NULL. */
static const struct lq_node *input_quantizer(const struct lq_graph *graph,
                                             const struct lq_node *node)
{
    int producer = graph->values[node->inputs[0]].producer;

    if (!is_layer(node) || producer < 0 || graph->nodes[producer].kind != LQ_OP_QUANTIZE)
        return NULL;
    return &graph->nodes[producer];
}

static int64_t node_macs(const struct lq_graph *graph, const struct lq_node *node)
{
    struct lq_shape inputs[1] = {graph->values[node->inputs[0]].shape};

    return is_layer(node) ? lq_op_macs(node->kind, &node->attributes, inputs,
                                       &graph->values[node->output].shape)
                          : 0;
}

static size_t node_bytes(const struct lq_node *node)
{
    size_t bytes = 0;

    for (int param = 0; param < LQ_PARAM_COUNT; param++)
        bytes += node->params[param] ? lq_tensor_bytes(node->params[param]) : 0;
    return bytes;
}

/* Is the last thing that happens to the output a softmax, whatever reshapes it afterwards? */
static bool ends_in_softmax(const struct lq_graph *graph)
{
    int producer = graph->values[graph->output].producer;

    while (producer >= 0 && graph->nodes[producer].kind == LQ_OP_RESHAPE)
        producer = graph->values[graph->nodes[producer].inputs[0]].producer;
    return producer >= 0 && graph->nodes[producer].kind == LQ_OP_SOFTMAX;
}

void lq_model_get_info(const struct lq_model *model, struct lq_model_info *ret_info)
{
    const struct lq_graph *graph = model->graph;
    const struct lq_value *input = &graph->values[graph->input];

    *ret_info = (struct lq_model_info){.name = graph->meta.name ? graph->meta.name : "",
                                       .input_name = input->name,
                                       .output_name = graph->values[graph->output].name,
                                       .channels = input->shape.dims[2],
                                       .height = input->shape.dims[0],
                                       .width = input->shape.dims[1],
                                       .classes = lq_graph_classes(graph),
                                       .output_is_probability = ends_in_softmax(graph),
                                       .label_count = graph->meta.label_count,
                                       .preprocess = graph->meta.preprocess,
                                       .layer_count = graph->node_count,
                                       .provenance_count = graph->meta.provenance_count};
    for (int i = 0; i < graph->node_count; i++) {
        const struct lq_node *node = &graph->nodes[i];

        ret_info->macs += node_macs(graph, node);
        if (is_layer(node) && node->attributes.bits > 0 && input_quantizer(graph, node))
            ret_info->quantized_macs += node_macs(graph, node);
        ret_info->parameter_bytes += node_bytes(node);
    }
}

const char *lq_model_label(const struct lq_model *model, int index)
{
    if (index < 0 || index >= model->graph->meta.label_count)
        return NULL;
    return model->graph->meta.labels[index];
}

void lq_model_provenance(const struct lq_model *model, int index, const char **ret_key,
                         const char **ret_value)
{
    *ret_key = model->graph->meta.provenance[index].key;
    *ret_value = model->graph->meta.provenance[index].value;
}

void lq_model_layer(const struct lq_model *model, int index, struct lq_layer_info *ret_info)
{
    const struct lq_graph *graph = model->graph;
    const struct lq_node *node = &graph->nodes[index];
    const struct lq_node *quantizer = input_quantizer(graph, node);
    const struct lq_shape *in = &graph->values[node->inputs[0]].shape;
    const struct lq_shape *out = &graph->values[node->output].shape;
    struct lq_layer_info info = {.name = node->name,
                                 .op = lq_op_text(node->kind),
                                 .input_rank = in->rank,
                                 .output_rank = out->rank,
                                 .kernel_h = node->attributes.window.kernel_h,
                                 .kernel_w = node->attributes.window.kernel_w,
                                 .macs = node_macs(graph, node),
                                 .parameter_bytes = node_bytes(node)};

    memcpy(info.input_dims, in->dims, sizeof(info.input_dims));
    memcpy(info.output_dims, out->dims, sizeof(info.output_dims));
    if (is_layer(node)) {
        info.weight_bits = node->attributes.bits;
        info.weight_grid = node->attributes.grid;
    }
    if (quantizer || node->kind == LQ_OP_QUANTIZE) {
        const struct lq_node *source = quantizer ? quantizer : node;

        info.activation_bits = source->attributes.bits;
        info.activation_grid = source->attributes.grid;
    }
    if (node->params[LQ_PARAM_BASIS]) {
        info.basis = node->params[LQ_PARAM_BASIS]->data;
        info.basis_scale = node->params[LQ_PARAM_SCALE]->data;
        info.basis_bits = node->attributes.bits;
        info.basis_rows = node->params[LQ_PARAM_SCALE]->shape.dims[0];
    }
    *ret_info = info;
}

/* Does class a come before class b? */
static bool before(const float *output, int a, int b)
{
    return output[a] > output[b] || (output[a] == output[b] && a < b);
}

int lq_model_top_k(const struct lq_model *model, const float *output, int top_k,
                   struct lq_prediction *ret_predictions)
{
    int classes = lq_graph_classes(model->graph), count = 0;
    bool probability = ends_in_softmax(model->graph);
    double sum = 0;

    if (top_k > classes)
        top_k = classes;
    if (top_k < 1)
        return 0;
    for (int c = 0; c < classes; c++) {
        int at = count < top_k ? count++ : top_k;

        if (at == top_k && !before(output, c, ret_predictions[top_k - 1].index))
            continue;
        for (at = at == top_k ? top_k - 1 : at;
             at > 0 && before(output, c, ret_predictions[at - 1].index); at--)
            ret_predictions[at] = ret_predictions[at - 1];
        ret_predictions[at].index = c;
    }
    double largest = output[ret_predictions[0].index];
    for (int c = 0; c < classes; c++)
        sum += exp((double)output[c] - largest);
    for (int i = 0; i < count; i++) {
        double y = output[ret_predictions[i].index];

        ret_predictions[i].probability = (float)(probability ? y : exp(y - largest) / sum);
    }
    return count;
}
