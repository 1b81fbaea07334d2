/* openapi.c - the description of the interface for machines.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "openapi.h"
#include "reply.h"

void route_openapi(struct app *app, struct http_request *request, const struct route_match *match)
{
    struct text json = {0};

    (void)app;
    (void)match;
    openapi_write(&json);
    reply_compressed(request, 200, &json);
}
