/* admit.c - may this request come in?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "http/admit.h"

#include <stdio.h>

#include "reply.h"

static bool refuse_token(struct http_request *request, enum auth_answer answer,
                         enum auth_scope scope)
{
    const char *name = auth_scope_name(scope);
    char challenge[96];

    if (answer == AUTH_FORBIDDEN) {
        http_count_rejection(request, METRICS_REJECTED_FORBIDDEN);
        snprintf(challenge, sizeof(challenge),
                 "Bearer realm=\"lqnet\", error=\"insufficient_scope\", scope=\"%s\"", name);
        http_add_header(request, "WWW-Authenticate", challenge);
        reply_error(request, 403, "the token lacks the scope %s", name);
        return false;
    }
    http_count_rejection(request, METRICS_REJECTED_UNAUTHORIZED);
    http_add_header(request, "WWW-Authenticate",
                    answer == AUTH_MISSING ? "Bearer realm=\"lqnet\""
                                           : "Bearer realm=\"lqnet\", error=\"invalid_token\"");
    reply_error(request, 401, "a token with the scope %s is needed: Authorization: Bearer TOKEN",
                name);
    return false;
}

static bool refuse_place(struct http_request *request, const char *why)
{
    http_count_rejection(request, METRICS_REJECTED_FORBIDDEN);
    reply_error(request, 403, "%s", why);
    return false;
}

static bool refuse_client(struct http_request *request, int64_t wait_ns, const char *why)
{
    long long whole = wait_ns / 1000000000 + 1;
    char seconds[24];

    snprintf(seconds, sizeof(seconds), "%lld", whole);
    http_add_header(request, "Retry-After", seconds);
    reply_error(request, 429, "%s", why);
    return false;
}

static bool admit_connection(struct http_request *request)
{
    if (!http_has_too_many_connections(request))
        return true;
    http_count_rejection(request, METRICS_REJECTED_CLIENT_CONNECTIONS);
    http_close(request);
    return refuse_client(request, 0, "too many connections from your address");
}

bool admit_client(struct http_request *request)
{
    int64_t wait_ns;

    if (!admit_connection(request))
        return false;
    wait_ns = http_wait_ns(request);
    if (wait_ns == 0)
        return true;
    http_count_rejection(request, METRICS_REJECTED_RATE_LIMIT);
    http_delay(request);
    return refuse_client(request, wait_ns, "too many requests from your address");
}

bool admit_request(struct app *app, struct http_request *request, enum auth_scope scope)
{
    char name[AUTH_NAME_SIZE];
    enum auth_answer answer;

    if (scope == AUTH_OPEN) /* probes know no rate */
        return admit_connection(request);
    if (!admit_client(request))
        return false;
    if (scope == AUTH_ADMIN && !http_is_admin(request))
        return refuse_place(request, "this is for the admin, at the address admin_listen");
    if (!app->auth && scope == AUTH_ADMIN && !http_is_local(request))
        return refuse_place(request, "this is for the admin: lqnetd was started without tokens");
    if (!app->auth)
        return true;
    answer = auth_check(app->auth, http_header(request, "Authorization"), scope, name);
    if (name[0])
        http_set_token(request, name);
    return answer == AUTH_GRANTED || refuse_token(request, answer, scope);
}
