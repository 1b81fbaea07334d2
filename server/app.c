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
    return atomic_load(&app->ready) && registry_is_ready(app->registry);
}

static void on_request(void *context, struct http_request *request)
{
    route_request(context, request);
}

static void release(struct app *app)
{
    batcher_stop(app->batcher); /* every request is replied to before the server ends */
    registry_stop(app->registry);
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

static void log_readiness(const struct app *app)
{
    if (app_is_ready(app))
        log_message(LOG_INFO, "ready", "generations served: %d",
                    registry_live_generations(app->registry));
    else
        log_message(LOG_WARNING, "not_ready", "%s",
                    registry_live_generations(app->registry) == 0
                        ? "no model is loaded"
                        : "a model that is required could not be loaded");
}

int app_start(struct app *app, struct lq_error *error)
{
    int status;

    atomic_init(&app->ready, false);
    log_set_level((enum log_level)log_level_from_name(app->config.log_level));
    status = lq_engine_create(config_cpu_mask(&app->config), &app->engine, error);
    if (status == LQ_OK)
        status = registry_open(app->engine, &app->config, &app->registry, error);
    if (status == LQ_OK)
        status = batcher_start(&app->config, &app->batcher, error);
    if (status == LQ_OK)
        status = http_start(&app->config, on_request, app, &app->http, error);
    if (status != LQ_OK) {
        release(app);
        return status;
    }
    log_listening(app); /* it tells the port to whoever started us */
    atomic_store(&app->ready, true);
    log_readiness(app);
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
