/* app.c - starts and stops everything the daemon owns.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "app.h"

#include "clock.h"
#include "log.h"
#include "route.h"

bool app_is_ready(const struct app *app)
{
    bool all = registry_count(app->registry) > 0, any = false;

    for (int i = 0; i < registry_count(app->registry); i++) {
        bool loaded = registry_at(app->registry, i)->model;

        all = all && loaded;
        any = any || loaded;
    }
    return atomic_load(&app->ready) && (app->config.strict_readiness ? all : any);
}

static void on_request(void *context, struct http_request *request)
{
    route_request(context, request);
}

static void release(struct app *app)
{
    batcher_stop(app->batcher); /* every request is replied to before the server ends */
    http_stop(app->http);
    registry_close(app->registry);
    lq_engine_destroy(app->engine);
}

static void log_listening(const struct app *app)
{
    struct log_line line;
    char host[64];
    int port;

    http_address(app->http, host, sizeof(host), &port);
    log_begin(&line, LOG_INFO, "listening");
    log_string(&line, "address", host);
    log_int(&line, "port", port);
    log_string(&line, "version", LQ_VERSION);
    log_string(&line, "cpu", lq_engine_cpu(app->engine));
    log_end(&line);
}

int app_start(struct app *app, struct lq_error *error)
{
    int status;

    atomic_init(&app->ready, false);
    log_set_level((enum log_level)log_level_from_name(app->config.log_level));
    status = lq_engine_create(config_cpu_mask(&app->config), &app->engine, error);
    if (status == LQ_OK)
        status = registry_open(app->engine, app->config.models, &app->registry, error);
    if (status == LQ_OK)
        status = batcher_start(&app->config, app->registry, &app->batcher, error);
    if (status == LQ_OK)
        status = http_start(&app->config, on_request, app, &app->http, error);
    if (status != LQ_OK) {
        release(app);
        return status;
    }
    log_listening(app); /* first: it tells the port to whoever started us */
    registry_log(app->registry);
    atomic_store(&app->ready, true);
    if (app_is_ready(app))
        log_message(LOG_INFO, "ready", "models served: %d", registry_count(app->registry));
    else
        log_message(LOG_WARNING, "not_ready", "%s",
                    registry_count(app->registry) == 0 ? "the folder of models holds none"
                                                       : "a model could not be loaded");
    return LQ_OK;
}

void app_stop(struct app *app)
{
    atomic_store(&app->ready, false);
    log_message(LOG_INFO, "draining", "no longer ready");
    clock_sleep_us(app->config.shutdown_delay_ms * 1000);
    http_drain(app->http, app->config.shutdown_timeout_ms * 1000);
    release(app);
    log_message(LOG_INFO, "stopped", "all requests are answered");
}
