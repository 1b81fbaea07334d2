/* meta.c - what is known about a network beside its arithmetic.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/status.h"
#include "graph/graph.h"
#include "graph/name.h"

int lq_graph_set_name(struct lq_graph *graph, const char *name, struct lq_error *error)
{
    int status = lq_name_check("model name", name, error);

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
        int status = lq_name_check("label", labels[i], error);

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
    int at = 0, status = lq_name_check("provenance key", key, error);

    if (status == LQ_OK)
        status = lq_text_check("provenance value", value, MAX_PROVENANCE_VALUE, error);
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
