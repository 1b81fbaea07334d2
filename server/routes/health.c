/* health.c - is the server there, and does it want requests?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "reply.h"
#include "route.h"

void route_server_metadata(struct app *app, struct http_request *request,
                           const struct route_match *match)
{
    struct text json = {0};

    (void)app;
    (void)match;
    text_string(&json, "{\"name\":\"lqnet\",\"version\":\"" LQ_VERSION
                       "\",\"extensions\":[\"binary_tensor_data\",\"classification\","
                       "\"model_configuration\",\"model_repository\",\"schedule_policy\","
                       "\"statistics\"]}");
    reply_json(request, 200, &json);
}

void route_live(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct text json = {0};

    (void)app;
    (void)match;
    text_string(&json, "{\"live\":true}");
    reply_json(request, 200, &json);
}

void route_ready(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct text json = {0};
    bool ready = app_is_ready(app);

    (void)match;
    text_printf(&json, "{\"ready\":%s}", ready ? "true" : "false");
    reply_json(request, ready ? 200 : 503, &json);
}
