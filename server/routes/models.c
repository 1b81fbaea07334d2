/* models.c - what is served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reply.h"
#include "route.h"

void route_model_list(struct app *app, struct http_request *request,
                      const struct route_match *match)
{
    struct text json = {0};

    (void)match;
    text_string(&json, "{\"models\":[");
    for (int i = 0; i < registry_count(app->registry); i++) {
        const struct registry_entry *entry = registry_at(app->registry, i);

        text_printf(&json, "%s{\"name\":", i ? "," : "");
        text_json(&json, entry->name);
        text_printf(&json, ",\"version\":\"%s\",\"state\":\"%s\"", entry->version_text,
                    entry->model ? "READY" : "UNAVAILABLE");
        if (!entry->model) {
            text_string(&json, ",\"reason\":");
            text_json(&json, entry->reason);
        }
        text_string(&json, "}");
    }
    text_string(&json, "]}");
    reply_json(request, 200, &json);
}

void route_model_metadata(struct app *app, struct http_request *request,
                          const struct route_match *match)
{
    struct lq_model_info info;
    struct text json = {0};

    (void)app;
    lq_model_get_info(match->entry->model, &info);
    text_string(&json, "{\"name\":");
    text_json(&json, match->entry->name);
    text_printf(&json, ",\"versions\":[\"%s\"],\"platform\":\"lqnet_lq\",\"inputs\":[{\"name\":",
                match->entry->version_text);
    text_json(&json, info.input_name);
    text_printf(&json, ",\"datatype\":\"FP32\",\"shape\":[-1,%d,%d,%d]}],\"outputs\":[{\"name\":",
                info.channels, info.height, info.width);
    text_json(&json, info.output_name);
    text_printf(&json, ",\"datatype\":\"FP32\",\"shape\":[-1,%d]}]}", info.classes);
    reply_json(request, 200, &json);
}

void route_model_ready(struct app *app, struct http_request *request,
                       const struct route_match *match)
{
    bool ready = match->entry->model && atomic_load(&app->ready);
    struct text json = {0};

    text_string(&json, "{\"name\":");
    text_json(&json, match->entry->name);
    text_printf(&json, ",\"ready\":%s}", ready ? "true" : "false");
    reply_json(request, ready ? 200 : 503, &json);
}
