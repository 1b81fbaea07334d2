/* client.h - asks a running lqnetd: one request, one connection.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Small on purpose: libcurl would bring 19 more libraries into an image, and each command of lqnet
 * would take 60 ms more to start.
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "cli/cli.h"

#define CLIENT_URL "http://127.0.0.1:8080"

/* Options that a command which asks a server has. */
#define CLIENT_OPTIONS                                                                             \
    {"ca", 0, "FILE", "PEM file of certificates to trust, for https; default: the system's"},      \
        {"insecure", 0, NULL, "do not verify the server's certificate"},                           \
        {"token-file", 0, "FILE", "file whose first line is a token"},                             \
    {                                                                                              \
        "timeout", 0, "SECONDS", "for the whole request; default 5"                                \
    }

struct client_reply {
    int status;       /* of HTTP */
    char *bytes;      /* all of the reply; freed with free */
    const char *body; /* in it; ends with a zero */
};

struct client_request {
    const char *method, *path;
    const char *type, *body; /* NULL: none */
    size_t size;
};

/* Sends one request to `url` (http://HOST[:PORT], https://HOST[:PORT] or unix:PATH), with the
 * options above. CLI_OK: there is a reply, whatever its status. CLI_FAILED: there is none;
 * CLI_USAGE: the URL or an option is wrong; stderr says so. */
int client_ask(const struct cli_arguments *arguments, const char *url,
               const struct client_request *request, struct client_reply *ret_reply);

#endif
