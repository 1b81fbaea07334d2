/* stats.c - what models have done (the statistics extension).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "route.h"

static void write_sum(const char *name, const struct stats_sum *sum, struct text *json)
{
    text_printf(json, "\"%s\":{\"count\":%llu,\"ns\":%llu}", name, (unsigned long long)sum->count,
                (unsigned long long)sum->ns);
}

static void write_batch(const struct stats_batch *batch, struct text *json)
{
    text_printf(json, "{\"batch_size\":%d,", batch->images);
    write_sum("compute_input", &batch->input, json);
    text_string(json, ",");
    write_sum("compute_infer", &batch->infer, json);
    text_string(json, ",");
    write_sum("compute_output", &batch->output, json);
    text_string(json, "}");
}

static void write_values(const struct registry_item *item, const struct stats_values *values,
                         struct text *json)
{
    static const char *const stages[] = {
#define X(name, doc) #name,
        STATS_STAGE_LIST(X)
#undef X
    };

    text_string(json, "{\"name\":");
    text_json(json, item->name);
    text_printf(json,
                ",\"version\":\"%s\",\"last_inference\":%lld,\"inference_count\":%llu,"
                "\"execution_count\":%llu,\"inference_stats\":{",
                item->version_text, (long long)values->last_inference_ms,
                (unsigned long long)values->inference_count,
                (unsigned long long)values->execution_count);
    for (int i = 0; i < STATS_STAGE_COUNT; i++) {
        text_append(json, ",", i > 0);
        write_sum(stages[i], &values->stages[i], json);
    }
    text_string(json, "},\"batch_stats\":[");
    for (int i = 0; i < values->batch_count; i++) {
        text_append(json, ",", i > 0);
        write_batch(&values->batches[i], json);
    }
    text_string(json, "]}");
}

/* One version, if it has ever been loaded; false: it has not. */
static bool write_item(struct registry *registry, const struct registry_item *item,
                       const char *separator, struct text *json)
{
    struct stats *stats = registry_stats(registry, item->name, item->version_text);
    struct stats_values values;

    if (!stats)
        return false;
    if (!stats_read(stats, &values)) {
        json->failed = true;
        return false;
    }
    text_string(json, separator);
    write_values(item, &values, json);
    stats_values_deinit(&values);
    return true;
}

void route_stats(struct app *app, struct http_request *request, const struct route_match *match)
{
    const char *name = match->name[0] ? match->name : NULL, *version = match->version;
    struct lq_error error = {0};
    struct registry_item *items = NULL;
    struct text json = {0};
    int count = 0, found = 0, written = 0;

    if (registry_list(app->registry, name, &items, &count, &error) != LQ_OK) {
        reply_failure(request, &error);
        return;
    }
    text_string(&json, "{\"model_stats\":[");
    for (int i = 0; i < count; i++) {
        if (version[0] && strcmp(version, items[i].version_text) != 0)
            continue;
        found++;
        written += write_item(app->registry, &items[i], written ? "," : "", &json);
    }
    text_string(&json, "]}");
    free(items);
    if (found > 0 || !name) {
        reply_json(request, 200, &json);
        return;
    }
    text_free(&json);
    if (count == 0)
        reply_error(request, 404, "no model '%s'", name);
    else
        reply_error(request, 404, "no version '%s' of model '%s'", version, name);
}
