/* route.c - one table of what is served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "route.h"

#include <stdio.h>
#include <string.h>

#include "http/admit.h"
#include "reply.h"
#include "models/repository.h"

/* Paths without an extension of ours are the Open Inference Protocol, version 2. */
const struct route route_table[] = {
    {"GET", "/v2", route_server_metadata, AUTH_READ, false, "name, version, extensions"},
    {"GET", "/v2/", route_server_metadata, AUTH_READ, false, NULL},
    {"GET", "/openapi.json", route_openapi, AUTH_READ, false, "this description (OpenAPI 3)"},
    {"GET", "/v2/health/live", route_live, AUTH_OPEN, false, "200 while the process answers"},
    {"GET", "/v2/health/ready", route_ready, AUTH_OPEN, false,
     "200 when requests are welcome, else 503"},
    {"GET", "/metrics", route_metrics, AUTH_READ, false, "counters, in Prometheus' text format"},
    {"GET", "/v2/models", route_model_list, AUTH_READ, false, "models with version and state"},
    {"GET", "/v2/models/stats", route_stats, AUTH_READ, false, "what all models have done"},
    {"GET", "/v2/models/{model}", route_model_metadata, AUTH_READ, false, "inputs and outputs"},
    {"GET", "/v2/models/{model}/versions/{version}", route_model_metadata, AUTH_READ, false, NULL},
    {"GET", "/v2/models/{model}/ready", route_model_ready, AUTH_READ, true,
     "200 when loaded, else 503"},
    {"GET", "/v2/models/{model}/versions/{version}/ready", route_model_ready, AUTH_READ, true,
     NULL},
    {"GET", "/v2/models/{model}/config", route_model_config, AUTH_READ, false, "how it is served"},
    {"GET", "/v2/models/{model}/versions/{version}/config", route_model_config, AUTH_READ, false,
     NULL},
    {"GET", "/v2/models/{name}/stats", route_stats, AUTH_READ, false, "what a model has done"},
    {"GET", "/v2/models/{name}/versions/{version}/stats", route_stats, AUTH_READ, false, NULL},
    {"POST", "/v2/models/{model}/infer", route_infer, AUTH_INFER, false, "tensors in, tensors out"},
    {"POST", "/v2/models/{model}/versions/{version}/infer", route_infer, AUTH_INFER, false, NULL},
    {"POST", "/v2/models/{model}/classify", route_classify, AUTH_INFER, false,
     "JPEG or PNG files in, classes out; ?top_k=5"},
    {"POST", "/v2/models/{model}/versions/{version}/classify", route_classify, AUTH_INFER, false,
     NULL},
    {"POST", "/v2/repository/index", route_repository_index, AUTH_READ, false,
     "states of all models"},
    {"POST", "/v2/repository/models/{name}/load", route_repository_load, AUTH_ADMIN, false,
     "reads a model's files again"},
    {"POST", "/v2/repository/models/{name}/unload", route_repository_unload, AUTH_ADMIN, false,
     "stops serving a model"},
    {"POST", "/admin/models/{model}/finetune", route_finetune, AUTH_ADMIN, false,
     "starts a fine-tuning job"},
    {"POST", "/admin/models/{model}/rollback", route_rollback, AUTH_ADMIN, true,
     "an earlier version answers again"},
    {"GET", "/admin/models/{name}/history", route_history, AUTH_ADMIN, false,
     "what was decided about a model; ?before=ID"},
    {"GET", "/admin/models/{model}/uploads", route_uploads, AUTH_ADMIN, true,
     "pictures that were uploaded for a model"},
    {"POST", "/admin/models/{model}/uploads/{name}", route_upload, AUTH_ADMIN, false,
     "uploads labelled pictures"},
    {"DELETE", "/admin/models/{model}/uploads/{name}", route_upload_discard, AUTH_ADMIN, true,
     "removes an upload"},
    {"GET", "/admin/jobs", route_jobs, AUTH_ADMIN, false, "the newest jobs; ?before=ID"},
    {"GET", "/admin/jobs/{id}", route_job, AUTH_ADMIN, false, "a job"},
    {"DELETE", "/admin/jobs/{id}", route_job_cancel, AUTH_ADMIN, false, "cancels a job"},
    {"GET", "/admin/jobs/{id}/events", route_job_events, AUTH_ADMIN, false,
     "a job's events until it ends"},
    {"POST", "/admin/jobs/{id}/resume", route_job_resume, AUTH_ADMIN, false,
     "an interrupted job waits again"},
    {NULL, NULL, NULL, AUTH_OPEN, false, NULL},
};

/* Copies a segment of length bytes that must be a valid name. */
static bool take_name(const char *segment, size_t length, char *ret_name, size_t size)
{
    if (length >= size)
        return false;
    memcpy(ret_name, segment, length);
    ret_name[length] = '\0';
    return repository_name_is_valid(ret_name);
}

bool route_matches(const char *pattern, const char *path, struct route_match *ret_match)
{
    struct route_match match = {.model = "", .version = ""};

    while (*pattern == '/' && *path == '/') {
        size_t want = strcspn(++pattern, "/"), got = strcspn(++path, "/");
        bool fits;

        if (strncmp(pattern, "{model}", want) == 0 && want == 7)
            fits = take_name(path, got, match.model, sizeof(match.model));
        else if (strncmp(pattern, "{name}", want) == 0 && want == 6)
            fits = take_name(path, got, match.name, sizeof(match.name));
        else if (strncmp(pattern, "{version}", want) == 0 && want == 9)
            fits = take_name(path, got, match.version, sizeof(match.version));
        else if (strncmp(pattern, "{id}", want) == 0 && want == 4)
            fits = take_name(path, got, match.id, sizeof(match.id));
        else
            fits = want == got && memcmp(pattern, path, want) == 0;
        if (!fits)
            return false;
        pattern += want;
        path += got;
    }
    if (*pattern || *path)
        return false;
    *ret_match = match;
    return true;
}

/* Looks the model up, if the route names one; false: replied. */
static bool find_model(struct app *app, struct http_request *request, const struct route *route,
                       struct route_match *match)
{
    struct lq_error error = {0};
    int status;

    if (match->name[0])
        http_set_model(request, match->name);
    if (!match->model[0])
        return true;
    http_set_model(request, match->model);
    status =
        registry_acquire(app->registry, match->model, match->version[0] ? match->version : NULL,
                         &match->generation, &error);
    if (status == LQ_OK || (status == LQ_ERR_UNSUPPORTED && route->unloaded))
        return true;
    if (status != LQ_ERR_NOT_FOUND)
        http_count_rejection(request, METRICS_REJECTED_NOT_READY);
    reply_error(request, status == LQ_ERR_NOT_FOUND ? 404 : 503, "%s", error.text);
    return false;
}

static void reply_full(struct app *app, struct http_request *request)
{
    http_count_rejection(request, METRICS_REJECTED_QUEUE_FULL);
    http_delay(request);
    reply_busy(request, app->config.retry_after_s, "the queue is full");
}

bool route_submit(struct app *app, struct http_request *request, struct generation *generation,
                  struct batcher_job *job)
{
    switch (batcher_submit(app->batcher, generation, job)) {
    case BATCHER_ACCEPTED:
        return true;
    case BATCHER_TOO_LATE:
        reply_end(request, BATCHER_LATE, NULL);
        return false;
    default:
        reply_full(app, request);
        return false;
    }
}

static void list_method(char *allow, size_t size, const char *method)
{
    size_t used = strlen(allow);

    if (!strstr(allow, method))
        snprintf(allow + used, size - used, "%s%s", used ? ", " : "",
                 strcmp(method, "GET") == 0 ? "GET, HEAD" : method);
}

int route_count(void)
{
    return (int)(sizeof(route_table) / sizeof(*route_table)) - 1;
}

/* No route has this method; `allow`: those that the path has. */
static void reply_without_route(struct http_request *request, char *allow, size_t size)
{
    bool options = strcmp(http_method(request), "OPTIONS") == 0;

    if (options && strcmp(http_path(request), "*") == 0)
        snprintf(allow, size, "GET, HEAD, POST, DELETE");
    if (!allow[0]) {
        reply_error(request, 404, "no such path");
        return;
    }
    list_method(allow, size, "OPTIONS");
    http_add_header(request, "Allow", allow);
    if (options)
        http_reply(request, 204, NULL, NULL);
    else
        reply_error(request, 405, "%.32s is not allowed here, but %s", http_method(request), allow);
}

/* Where a model's queue is full, its requests are turned away by their heads, before their bodies
 * take memory. If there is room still when the body has come, batcher_submit sees. */
static void admit_work(struct app *app, struct http_request *request,
                       const struct route_match *match)
{
    struct generation *generation;

    if (registry_acquire(app->registry, match->model, match->version[0] ? match->version : NULL,
                         &generation, NULL) != LQ_OK)
        return; /* find_model says why */
    if (batcher_is_full(app->batcher, generation)) {
        http_set_model(request, match->model);
        reply_full(app, request);
    }
    generation_unref(generation);
}

void route_admit(struct app *app, struct http_request *request)
{
    const char *method = http_method(request);
    char allow[64] = "";

    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (const struct route *route = route_table; route->path; route++) {
        struct route_match match;

        if (!route_matches(route->path, http_path(request), &match))
            continue;
        if (strcmp(route->method, method) == 0) {
            http_set_route(request, (int)(route - route_table));
            if (admit_request(app, request, route->scope) && route->scope == AUTH_INFER)
                admit_work(app, request, &match);
            return;
        }
        list_method(allow, sizeof(allow), route->method);
    }
    if (admit_client(request))
        reply_without_route(request, allow, sizeof(allow));
}

void route_request(struct app *app, struct http_request *request)
{
    const struct route *route = &route_table[http_route(request)];
    struct route_match match;

    if (!route_matches(route->path, http_path(request), &match))
        return; /* it did when the route was set */
    if (find_model(app, request, route, &match))
        route->handler(app, request, &match);
    generation_unref(match.generation);
}
