/* finish.c - finishes a graph: drops what is not needed, checks the whole.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "graph/graph.h"

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

/* Every pixel must become a finite number. */
static int check_channel(const struct lq_preprocess *p, int channel, struct lq_error *error)
{
    float mean = p->mean[channel], std = p->std[channel];

    if (isfinite(mean) && isfinite(std) && std > 0 && isfinite((0 - mean) / std) &&
        isfinite((255 * p->scale - mean) / std))
        return LQ_OK;
    return lq_fail(error, LQ_ERR_INVALID,
                   "preprocess mean %g, std %g of channel %d: expected finite, std more than 0",
                   (double)mean, (double)std, channel);
}

#define MAX_RESIZE 65536

static int check_preprocess(const struct lq_graph *graph, struct lq_preprocess *ret_checked,
                            struct lq_error *error)
{
    struct lq_preprocess p = graph->meta.preprocess;
    const struct lq_shape *input = &graph->values[graph->input].shape;
    bool stated = p.scale != 0;

    for (int c = 0; c < 3; c++)
        stated = stated || p.mean[c] != 0 || p.std[c] != 0;
    if (!stated) {
        p.scale = (float)(1 / 255.0);
        p.std[0] = p.std[1] = p.std[2] = 1;
    }
    p.height = input->dims[0];
    p.width = input->dims[1];
    if (p.resize < 0 || p.resize > MAX_RESIZE)
        return lq_fail(error, LQ_ERR_INVALID, "preprocess resize is %d, expected 0..%d", p.resize,
                       MAX_RESIZE);
    if (!isfinite(p.scale) || p.scale <= 0)
        return lq_fail(error, LQ_ERR_INVALID, "preprocess scale is %g, expected more than 0",
                       (double)p.scale);
    for (int c = 0; c < input->dims[2]; c++) {
        int status = check_channel(&p, c, error);

        if (status != LQ_OK)
            return status;
    }
    for (int c = input->dims[2]; c < 3; c++) { /* unused */
        p.mean[c] = 0;
        p.std[c] = 1;
    }
    *ret_checked = p;
    return LQ_OK;
}

int lq_graph_classes(const struct lq_graph *graph)
{
    return (int)lq_shape_elements(&graph->values[graph->output].shape);
}

static int check_output(const struct lq_graph *graph, int output, struct lq_error *error)
{
    char text[LQ_SHAPE_TEXT];

    if (output < 1 || output >= graph->value_count)
        return lq_fail(error, LQ_ERR_INVALID, "the graph has no output");
    const struct lq_value *value = &graph->values[output];
    bool vector = value->shape.rank == 1 || (value->shape.rank == 3 && value->shape.dims[0] == 1 &&
                                             value->shape.dims[1] == 1);
    int64_t classes = lq_shape_elements(&value->shape);
    if (!vector || classes > LQ_MAX_CLASSES)
        return lq_fail(error, LQ_ERR_UNSUPPORTED,
                       "output '%s' is %s, expected a vector of at most %d classes", value->name,
                       lq_shape_print(&value->shape, text, sizeof(text)), LQ_MAX_CLASSES);
    if (graph->meta.label_count != 0 && graph->meta.label_count != classes)
        return lq_fail(error, LQ_ERR_INVALID, "%d labels for %lld classes", graph->meta.label_count,
                       (long long)classes);
    return LQ_OK;
}

int lq_graph_finish(struct lq_graph *graph, int output, struct lq_error *error)
{
    bool *needed = lq_alloc((size_t)graph->node_count, sizeof(*needed));
    int *renumbered = lq_alloc((size_t)graph->value_count, sizeof(*renumbered));
    struct lq_preprocess preprocess;
    int status = LQ_OK;

    if (!needed || !renumbered)
        status = lq_fail_memory(error);
    if (status == LQ_OK)
        status =
            graph->output < 0 ? LQ_OK : lq_fail(error, LQ_ERR_INVALID, "the graph is finished");
    if (status == LQ_OK)
        status = check_output(graph, output, error);
    if (status == LQ_OK)
        status = check_preprocess(graph, &preprocess, error);
    if (status == LQ_OK) {
        mark_needed(graph, output, needed);
        compact(graph, needed, renumbered);
        graph->output = renumbered[output];
        graph->meta.preprocess = preprocess;
    }
    free(needed);
    free(renumbered);
    return status;
}
