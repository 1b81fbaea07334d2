/* metrics.c - the counters, for Prometheus.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "observe/metrics.h"
#include "reply.h"
#include "route.h"

void route_metrics(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct batcher_gauge batcher;
    struct text text = {0};

    (void)match;
    metrics_gauge_set(app->metrics, METRICS_GENERATIONS, registry_live_generations(app->registry));
    batcher_read(app->batcher, &batcher);
    metrics_gauge_set(app->metrics, METRICS_WORKERS, batcher.workers);
    metrics_gauge_set(app->metrics, METRICS_BUSY, batcher.busy);
    metrics_gauge_set(app->metrics, METRICS_WAITING, batcher.jobs);
    metrics_gauge_set(app->metrics, METRICS_WAITING_IMAGES, batcher.images);
    if (app->sampler)
        metrics_gauge_set(app->metrics, METRICS_SAMPLE_BYTES, sampler_bytes(app->sampler));
    metrics_gauge_set(app->metrics, METRICS_READY, app_is_ready(app));
    metrics_write(app->metrics, &text);
    http_reply(request, 200, METRICS_CONTENT_TYPE, &text);
}
