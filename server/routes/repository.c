/* repository.c - the model_repository extension: what could be served, load, unload.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdlib.h>

#include "reply.h"
#include "route.h"

#define MAX_BODY 65536 /* bytes of a body that says a name and a flag or two */

/* The body as a JSON object; none at all is an empty one. NULL: replied. */
static json_t *read_object(struct http_request *request)
{
    size_t size;
    const char *body = http_body(request, &size);
    json_error_t where;
    json_t *root;

    if (size == 0)
        return json_object();
    if (size > MAX_BODY) {
        reply_error(request, 413, "the body has %zu bytes, at most %d are read", size, MAX_BODY);
        return NULL;
    }
    root = json_loadb(body, size, JSON_REJECT_DUPLICATES, &where);
    if (json_is_object(root))
        return root;
    if (root)
        reply_error(request, 400, "the body is no JSON object");
    else
        reply_error(request, 400, "the body is no JSON: line %d, column %d: %s", where.line,
                    where.column, where.text);
    json_decref(root);
    return NULL;
}

static void write_item(const struct registry_item *item, struct text *json)
{
    text_string(json, "{\"name\":");
    text_json(json, item->name);
    text_printf(json, ",\"version\":\"%s\",\"state\":\"%s\",\"reason\":", item->version_text,
                registry_state_text(item->state));
    text_json(json, item->reason);
    text_string(json, "}");
}

void route_repository_index(struct app *app, struct http_request *request,
                            const struct route_match *match)
{
    json_t *root = read_object(request), *ready = json_object_get(root, "ready");
    struct lq_error error = {0};
    struct registry_item *items;
    struct text json = {0};
    int count, written = 0;

    (void)match;
    if (!root)
        return;
    if (ready && !json_is_boolean(ready)) {
        reply_error(request, 400, "ready: expected true or false");
    } else if (registry_list(app->registry, NULL, &items, &count, &error) != LQ_OK) {
        reply_failure(request, &error);
    } else {
        text_string(&json, "[");
        for (int i = 0; i < count; i++) {
            if (json_is_true(ready) && items[i].state != REGISTRY_READY)
                continue;
            text_string(&json, written++ ? "," : "");
            write_item(&items[i], &json);
        }
        text_string(&json, "]");
        free(items);
        reply_json(request, 200, &json);
    }
    json_decref(root);
}

/* On the loading thread. */
static void done(void *context, int status, const struct lq_error *error)
{
    struct http_request *request = context;
    struct text json = {0};

    if (status == LQ_OK) {
        text_string(&json, "{}");
        reply_json(request, 200, &json);
    } else if (status == LQ_ERR_IO) { /* of the operator's folder, not of the server */
        reply_error(request, 422, "%s", error->text);
    } else {
        reply_failure(request, error);
    }
}

static void change(struct app *app, struct http_request *request, enum registry_action action,
                   const char *name)
{
    json_t *root = read_object(request);
    json_t *parameters = json_object_get(root, "parameters");
    const char *refused = NULL;

    if (!root)
        return;
    /* a model's files come from its folder alone, and have no configuration beside them */
    for (void *at = json_object_iter(parameters); at; at = json_object_iter_next(parameters, at))
        if (!json_is_boolean(json_object_iter_value(at)))
            refused = json_object_iter_key(at);
    if (refused)
        reply_error(request, 400, "parameters.%.64s: models come from the folder alone", refused);
    else if (!registry_request(app->registry, action, name, done, request))
        reply_busy(request, app->config.retry_after_s, "too many models are to be loaded already");
    json_decref(root);
}

void route_repository_load(struct app *app, struct http_request *request,
                           const struct route_match *match)
{
    change(app, request, REGISTRY_LOAD, match->name);
}

void route_repository_unload(struct app *app, struct http_request *request,
                             const struct route_match *match)
{
    change(app, request, REGISTRY_UNLOAD, match->name);
}
