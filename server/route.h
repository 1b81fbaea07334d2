/* route.h - one table of what is served.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H

#include "app.h"

/* What the variable parts of a path were. */
struct route_match {
    char model[MODEL_NAME_SIZE];   /* {model}: looked up */
    char name[MODEL_NAME_SIZE];    /* {name}: of a model that may not be there */
    char version[24];              /* "" where the path has none */
    char id[24];                   /* {id}: letters and digits, as in a name */
    struct generation *generation; /* of the model, where the route names one: held until the
                                      handler returns, or longer by generation_ref */
};

typedef void route_handler(struct app *app, struct http_request *request,
                           const struct route_match *match);

struct route {
    const char *method; /* GET answers HEAD too */
    const char *path;   /* segments; {model}, {name}, {version}, {id}: any */
    route_handler *handler;
    enum auth_scope scope; /* that a token needs */
    bool unloaded;         /* called for models that do not answer as well, without a generation */
    const char *doc;
};

/* Ends with a row without a path. */
extern const struct route route_table[];

int route_count(void);
/* By a request's head: finds its route, or answers OPTIONS, or turns it away with 404, 405 (with
 * Allow), or as admit_request does. */
void route_admit(struct app *app, struct http_request *request);
/* Calls the handler, or replies 404 or 503 for a model that is not there or not ready. */
void route_request(struct app *app, struct http_request *request);

/* Does a path as it was sent fit a pattern? Fills *ret_match's texts. */
bool route_matches(const char *pattern, const char *path, struct route_match *ret_match);

/* Hands a job to the batcher; false: replied (503 with Retry-After where the queue is full, 504
 * where it is late already), and the job stays the caller's. */
bool route_submit(struct app *app, struct http_request *request, struct generation *generation,
                  struct batcher_job *job) LQ_MUST_CHECK;

/* routes/ */
route_handler route_server_metadata, route_live, route_ready, route_model_list,
    route_model_metadata, route_model_config, route_model_ready, route_stats, route_openapi,
    route_metrics, route_infer, route_classify, route_repository_index, route_repository_load,
    route_repository_unload, route_finetune, route_rollback, route_history, route_uploads,
    route_upload, route_upload_discard, route_jobs, route_job, route_job_cancel, route_job_events,
    route_job_resume;

#endif
