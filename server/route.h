/* route.h - one table of what is served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H

#include "app.h"

/* What the variable parts of a path were. */
struct route_match {
    char model[REGISTRY_MAX_NAME];
    char version[24];                   /* "" where the path has none */
    const struct registry_entry *entry; /* of the model, where the route names one: found, loaded */
};

typedef void route_handler(struct app *app, struct http_request *request,
                           const struct route_match *match);

struct route {
    const char *method; /* GET answers HEAD too */
    const char *path;   /* segments; {model} and {version} stand for any */
    route_handler *handler;
    bool unloaded; /* called for models that could not be opened as well */
    const char *doc;
};

/* Ends with a row without a path. */
extern const struct route route_table[];

/* Calls the handler, or replies 404, 405 (with Allow), or 503 for a model that is not ready. */
void route_request(struct app *app, struct http_request *request);

/* Does a path as it was sent fit a pattern? Fills *ret_match's texts. */
bool route_matches(const char *pattern, const char *path, struct route_match *ret_match);

/* routes/ */
route_handler route_server_metadata, route_live, route_ready, route_model_list,
    route_model_metadata, route_model_ready, route_infer, route_classify;

#endif
