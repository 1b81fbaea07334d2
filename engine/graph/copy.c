/* copy.c - a deep copy of a graph.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "graph/graph.h"

static int copy_node(struct lq_graph *to, const struct lq_graph *from, const struct lq_node *node,
                     struct lq_error *error)
{
    struct lq_node_spec spec = {.name = node->name,
                                .kind = node->kind,
                                .attributes = node->attributes,
                                .input_count = node->input_count,
                                .output = from->values[node->output].name};
    int value = -1;

    for (int i = 0; i < node->input_count; i++)
        spec.inputs[i] = node->inputs[i]; /* values are numbered alike: nothing is dropped */
    for (int param = 0; param < LQ_PARAM_COUNT; param++) {
        struct lq_tensor *tensor = NULL;
        int status;

        if (!node->params[param])
            continue;
        status = lq_graph_copy_tensor(to, node->params[param], &tensor, error);
        if (status != LQ_OK)
            return status;
        spec.params[param] = tensor;
    }
    return lq_graph_add_node(to, &spec, &value, error);
}

int lq_graph_copy_tensor(struct lq_graph *to, const struct lq_tensor *from,
                         struct lq_tensor **ret_tensor, struct lq_error *error)
{
    int status =
        lq_graph_add_tensor(to, from->name, from->dtype, &from->shape, NULL, ret_tensor, error);

    if (status == LQ_OK)
        memcpy((void *)(*ret_tensor)->data, from->data, lq_tensor_bytes(from));
    return status;
}

int lq_graph_copy_meta(struct lq_graph *to, const struct lq_graph *from, struct lq_error *error)
{
    const struct lq_meta *meta = &from->meta;
    int status = meta->name ? lq_graph_set_name(to, meta->name, error) : LQ_OK;

    if (status == LQ_OK)
        status = lq_graph_set_labels(to, meta->labels, meta->label_count, error);
    for (int i = 0; i < meta->provenance_count && status == LQ_OK; i++)
        status =
            lq_graph_set_provenance(to, meta->provenance[i].key, meta->provenance[i].value, error);
    to->meta.preprocess = meta->preprocess;
    return status;
}

int lq_graph_copy(const struct lq_graph *from, const struct lq_entry *extra,
                  struct lq_graph **ret_graph, struct lq_error *error)
{
    const struct lq_value *input = &from->values[from->input];
    struct lq_graph *to = NULL;
    int status = lq_graph_create(&to, error);

    if (status == LQ_OK)
        status = lq_graph_add_input(to, input->name, &input->shape, error);
    for (int i = 0; i < from->node_count && status == LQ_OK; i++)
        status = copy_node(to, from, &from->nodes[i], error);
    if (status == LQ_OK)
        status = lq_graph_copy_meta(to, from, error);
    if (status == LQ_OK && extra)
        status = lq_graph_set_provenance(to, extra->key, extra->value, error);
    if (status == LQ_OK)
        status = lq_graph_finish(to, from->output, error);
    if (status == LQ_OK)
        *ret_graph = to;
    else
        lq_graph_destroy(to);
    return status;
}
