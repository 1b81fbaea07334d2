/* health.c - lqnet health: does a server answer, and does it want requests?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "cli/client.h"

static const struct cli_option options[] = {
    CLIENT_OPTIONS,
    {"live", 0, NULL, "ask whether it answers at all, not whether it is ready"},
    {NULL, 0, NULL, NULL}};

static int run(const struct cli_arguments *a)
{
    const char *url = a->operand_count ? a->operands[0] : CLIENT_URL;
    const struct client_request request = {
        .method = "GET", .path = cli_value(a, "live") ? "/v2/health/live" : "/v2/health/ready"};
    struct client_reply reply;
    int status = client_ask(a, url, &request, &reply);

    if (status != CLI_OK)
        return status;
    free(reply.bytes);
    if (reply.status != 200)
        return cli_fail(CLI_FAILED, "%s: %s (HTTP status %d)", url,
                        reply.status == 503 ? "not ready" : "no server of ours", reply.status);
    return CLI_OK;
}

const struct cli_command command_health = {
    .name = "health",
    .operands = "[URL]",
    .summary = "exit status 0 if a server is ready",
    .details = "URL is http://..., https://... or unix:PATH, and " CLIENT_URL " by default.\n"
               "Says nothing where all is well: made for containers and scripts.\n",
    .min_operands = 0,
    .max_operands = 1,
    .options = options,
    .run = run,
};
