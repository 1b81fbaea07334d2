/* config.c - how a model is served (the model_configuration extension).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "reply.h"
#include "route.h"

static void write_key(const char *key, const char *value, const char *separator, struct text *json)
{
    text_string(json, separator);
    text_json(json, key);
    text_string(json, ":{\"string_value\":");
    text_json(json, value);
    text_string(json, "}");
}

/* Where the network comes from, and what it wants to see. */
static void write_parameters(const struct generation *generation, struct text *json)
{
    const struct lq_preprocess *see = &generation->info.preprocess;
    struct text value = {0};

    text_string(json, ",\"parameters\":{");
    text_printf(&value,
                "resize %d, crop %dx%d, pixel * %.9g, mean %.9g %.9g %.9g, std %.9g %.9g "
                "%.9g",
                see->resize, see->height, see->width, (double)see->scale, (double)see->mean[0],
                (double)see->mean[1], (double)see->mean[2], (double)see->std[0],
                (double)see->std[1], (double)see->std[2]);
    text_append(&value, "", 1);
    write_key("preprocess", value.failed ? "" : value.bytes, "", json);
    text_free(&value);
    for (int i = 0; i < generation->info.provenance_count; i++) {
        const char *key, *text;

        lq_model_provenance(generation->model, i, &key, &text);
        if (strcmp(key, "preprocess") != 0)
            write_key(key, text, ",", json);
    }
    text_string(json, "}");
}

void route_model_config(struct app *app, struct http_request *request,
                        const struct route_match *match)
{
    const struct lq_model_info *info = &match->generation->info;
    struct text json = {0};

    text_string(&json, "{\"name\":");
    text_json(&json, match->model);
    text_printf(&json,
                ",\"platform\":\"lqnet_lq\",\"backend\":\"lqnet\",\"max_batch_size\":%lld,"
                "\"input\":[{\"name\":",
                (long long)app->config.max_batch_request);
    text_json(&json, info->input_name);
    text_printf(&json,
                ",\"data_type\":\"TYPE_FP32\",\"format\":\"FORMAT_NCHW\",\"dims\":[%d,%d,%d]}],"
                "\"output\":[{\"name\":",
                info->channels, info->height, info->width);
    text_json(&json, info->output_name);
    text_printf(&json,
                ",\"data_type\":\"TYPE_FP32\",\"dims\":[%d]}],\"instance_group\":[{\"name\":",
                info->classes);
    text_json(&json, match->model);
    text_printf(&json,
                ",\"kind\":\"KIND_CPU\",\"count\":%d}],\"dynamic_batching\":"
                "{\"preferred_batch_size\":[%d],\"max_queue_delay_microseconds\":%lld,"
                "\"priority_levels\":%d,\"default_priority_level\":%d}",
                match->generation->worker_count, match->generation->max_batch,
                (long long)app->config.max_delay_us, PRIORITY_LOWEST, PRIORITY_DEFAULT);
    write_parameters(match->generation, &json);
    text_string(&json, "}");
    reply_json(request, 200, &json);
}
