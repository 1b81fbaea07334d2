/* models.c - what is served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "reply.h"
#include "route.h"

static void write_item(const struct registry_item *item, struct text *json)
{
    text_string(json, "{\"name\":");
    text_json(json, item->name);
    text_printf(json, ",\"version\":\"%s\",\"state\":\"%s\"", item->version_text,
                registry_state_text(item->state));
    if (item->reason[0]) {
        text_string(json, ",\"reason\":");
        text_json(json, item->reason);
    }
    text_string(json, "}");
}

void route_model_list(struct app *app, struct http_request *request,
                      const struct route_match *match)
{
    struct lq_error error = {0};
    struct registry_item *items;
    struct text json = {0};
    int count;

    (void)match;
    if (registry_list(app->registry, NULL, &items, &count, &error) != LQ_OK) {
        reply_failure(request, &error);
        return;
    }
    text_string(&json, "{\"models\":[");
    for (int i = 0; i < count; i++) {
        text_string(&json, i ? "," : "");
        write_item(&items[i], &json);
    }
    text_string(&json, "]}");
    free(items);
    reply_json(request, 200, &json);
}

/* Those that answer, the highest first. */
static int write_versions(struct app *app, const char *name, struct text *json,
                          struct lq_error *error)
{
    struct registry_item *items = NULL;
    int count = 0, written = 0;
    int status = registry_list(app->registry, name, &items, &count, error);

    for (int i = 0; i < count; i++)
        if (items[i].generation) {
            text_string(json, written++ ? ",\"" : "\"");
            text_string(json, items[i].version_text);
            text_string(json, "\"");
        }
    free(items);
    return status;
}

static void write_dimensions(struct text *json, const int *sizes, int count)
{
    for (int i = 0; i < count; i++) {
        text_string(json, ",");
        text_int(json, sizes[i]);
    }
}

void route_model_metadata(struct app *app, struct http_request *request,
                          const struct route_match *match)
{
    const struct lq_model_info *info = &match->generation->info;
    struct lq_error error = {0};
    struct text json = {0};

    text_string(&json, "{\"name\":");
    text_json(&json, match->model);
    text_string(&json, ",\"versions\":[");
    if (write_versions(app, match->model, &json, &error) != LQ_OK) {
        text_free(&json);
        reply_failure(request, &error);
        return;
    }
    text_string(&json, "],\"platform\":\"lqnet_lq\",\"inputs\":[{\"name\":");
    text_json(&json, info->input_name);
    text_string(&json, ",\"datatype\":\"FP32\",\"shape\":[-1");
    write_dimensions(&json, (const int[]){info->channels, info->height, info->width}, 3);
    text_string(&json, "]}],\"outputs\":[{\"name\":");
    text_json(&json, info->output_name);
    text_string(&json, ",\"datatype\":\"FP32\",\"shape\":[-1");
    write_dimensions(&json, &info->classes, 1);
    text_string(&json, "]}],\"properties\":{\"input_datatypes\":\"FP32 UINT8 BYTES\"}}");
    reply_json(request, 200, &json);
}

void route_model_ready(struct app *app, struct http_request *request,
                       const struct route_match *match)
{
    bool ready = match->generation && atomic_load(&app->ready);
    struct text json = {0};

    text_string(&json, "{\"name\":");
    text_json(&json, match->model);
    text_printf(&json, ",\"ready\":%s}", ready ? "true" : "false");
    reply_json(request, ready ? 200 : 503, &json);
}
