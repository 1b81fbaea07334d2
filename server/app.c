/* app.c - starts and stops everything the daemon owns.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "app.h"

#include <stdlib.h>

#include "clock.h"
#include "observe/log.h"
#include "notify.h"
#include "route.h"
#include "sandbox.h"

bool app_is_ready(const struct app *app)
{
    return atomic_load(&app->ready) && registry_is_ready(app->registry);
}

static void admit(void *context, struct http_request *request)
{
    route_admit(context, request);
}

static void handle(void *context, struct http_request *request)
{
    route_request(context, request);
}

static int create_metrics(struct metrics **ret_metrics, struct lq_error *error)
{
    int count = route_count(), status;
    const char **paths = calloc((size_t)count, sizeof(*paths));

    if (!paths)
        return error_set(error, LQ_ERR_MEMORY, "out of memory");
    for (int i = 0; i < count; i++)
        paths[i] = route_table[i].path;
    status = metrics_create(paths, count, ret_metrics, error);
    free(paths);
    return status;
}

static void release(struct app *app)
{
    jobs_stop(app->jobs);       /* a version that is being published needs the registry */
    batcher_stop(app->batcher); /* every request is replied to before the server ends */
    registry_stop(app->registry);
    http_stop(app->http); /* until then, requests come and ask those that are stopped */
    jobs_close(app->jobs);
    batcher_close(app->batcher);
    sampler_destroy(app->sampler);
    registry_close(app->registry);
    lq_engine_destroy(app->engine);
    auth_close(app->auth);
    metrics_destroy(app->metrics);
}

static void log_listening(const struct app *app, bool admin)
{
    struct log_line line;
    char host[CONFIG_TEXT_SIZE];
    int port;

    if (!http_address(app->http, admin, host, sizeof(host), &port))
        return;
    log_begin(&line, LOG_INFO, admin ? "listening_admin" : "listening");
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

static int start_jobs(struct app *app, struct lq_error *error)
{
    const struct jobs_setup setup = {.config = &app->config,
                                     .engine = app->engine,
                                     .registry = app->registry,
                                     .metrics = app->metrics,
                                     .sampler = app->sampler,
                                     .work = &work_engine};

    return app->sampler ? jobs_open(&setup, &app->jobs, error) : LQ_OK;
}

/* It is a second wall: a kernel without it is no reason not to serve. */
static void enter_sandbox(const struct config *config)
{
    struct lq_error error = {0};

    if (config->sandbox && sandbox_enter(&error) != LQ_OK)
        log_message(LOG_WARNING, "no_sandbox", "%s", error.text);
}

int app_start(struct app *app, struct lq_error *error)
{
    struct http_service service = {admit, handle, app, NULL};
    int status;

    atomic_init(&app->ready, false);
    log_set_level((enum log_level)log_level_from_name(app->config.log_level));
    status = create_metrics(&app->metrics, error);
    service.metrics = app->metrics;
    if (status == LQ_OK && app->config.tokens[0])
        status = auth_open(app->config.tokens, &app->auth, error);
    if (status == LQ_OK)
        status = http_open(&app->config, &service, &app->http, error);
    if (status == LQ_OK && app->config.user[0])
        status = sandbox_drop_user(app->config.user, error);
    if (status == LQ_OK)
        status = lq_engine_create(config_cpu_mask(&app->config), &app->engine, error);
    if (status == LQ_OK)
        status = registry_open(app->engine, &app->config, app->metrics, &app->registry, error);
    if (status == LQ_OK && app->config.state[0])
        status = sampler_create(&app->config, &app->sampler, error);
    if (status == LQ_OK)
        status = batcher_start(&app->config, &app->batcher, error);
    if (status == LQ_OK) {
        batcher_set_brackets(app->batcher, http_hold_replies, http_release_replies);
        if (app->sampler)
            batcher_set_tap(app->batcher, sampler_see, app->sampler);
        status = start_jobs(app, error);
    }
    if (status == LQ_OK)
        enter_sandbox(&app->config);
    if (status == LQ_OK)
        status = http_serve(app->http, error);
    if (status != LQ_OK) {
        release(app);
        return status;
    }
    log_listening(app, false); /* it tells the port to whoever started us */
    log_listening(app, true);
    atomic_store(&app->ready, true);
    log_readiness(app);
    notify_ready();
    return LQ_OK;
}

static void on_reloaded(void *context, int status, const struct lq_error *error)
{
    if (status == LQ_OK)
        log_readiness(context);
    else
        log_message(LOG_ERROR, "reload_failed", "%s", error->text);
    notify_ready();
}

/* What was there before stays where the new one is wrong. */
static void count_reload(struct app *app, const char *what, int status,
                         const struct lq_error *error)
{
    metrics_count(app->metrics, status == LQ_OK ? METRICS_RELOADS : METRICS_RELOAD_FAILURES, 1);
    if (status == LQ_OK)
        log_message(LOG_INFO, "reloaded", "%s", what);
    else
        log_message(LOG_ERROR, "reload_failed", "%s: %s; those from before stay", what,
                    error->text);
}

static void reload_secrets(struct app *app)
{
    struct lq_error error = {0};

    if (app->auth)
        count_reload(app, "tokens", auth_reload(app->auth, &error), &error);
    error = (struct lq_error){0};
    if (app->config.tls_cert[0])
        count_reload(app, "certificate", http_reload(app->http, &error), &error);
}

void app_reload(struct app *app)
{
    reload_secrets(app);
    log_message(LOG_INFO, "reloading", "looking for new, changed and vanished models");
    notify_reloading();
    if (!registry_request(app->registry, REGISTRY_SCAN, NULL, on_reloaded, app)) {
        log_message(LOG_WARNING, "reload_failed", "too many models are to be loaded already");
        notify_ready();
    }
}

void app_stop(struct app *app)
{
    notify_stopping();
    atomic_store(&app->ready, false);
    log_message(LOG_INFO, "draining", "no longer ready");
    clock_sleep_us(app->config.shutdown_delay_ms * 1000);
    jobs_stop(app->jobs); /* whoever listens to a job would never end */
    http_drain(app->http, app->config.shutdown_timeout_ms * 1000);
    release(app);
    log_message(LOG_INFO, "stopped", "all requests are answered");
}
