/* app.h - everything the daemon owns.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef SERVER_APP_H
#define SERVER_APP_H

#include <stdatomic.h>

#include "http/auth.h"
#include "infer/batcher.h"
#include "http/http.h"
#include "jobs/jobs.h"
#include "observe/metrics.h"
#include "models/registry.h"

struct app {
    struct config config;
    struct metrics *metrics;
    struct auth *auth; /* NULL: no tokens are asked for */
    struct lq_engine *engine;
    struct registry *registry;
    struct sampler *sampler; /* NULL where there are no jobs */
    struct batcher *batcher;
    struct jobs *jobs; /* NULL: `state` is not set */
    struct http_server *http;
    atomic_bool ready; /* false again once it is to end */
};

/* Opens the models, starts workers and server. On failure everything is undone. */
int app_start(struct app *app, struct lq_error *error) LQ_MUST_CHECK;
/* Reads tokens and certificates again, then looks for new, changed and vanished models; on the
 * loading thread, while requests go on. */
void app_reload(struct app *app);
/* Not ready, then the accepted requests are finished, then all ends. */
void app_stop(struct app *app);
/* May load balancers send requests? */
bool app_is_ready(const struct app *app);

#endif
