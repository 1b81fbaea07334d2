/* metrics.c - the counters, for Prometheus.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "metrics.h"
#include "reply.h"
#include "route.h"

void route_metrics(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct text text = {0};

    (void)match;
    metrics_gauge_set(app->metrics, METRICS_READY, app_is_ready(app));
    metrics_write(app->metrics, &text);
    http_reply(request, 200, METRICS_CONTENT_TYPE, &text);
}
