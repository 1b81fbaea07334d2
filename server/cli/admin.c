/* admin.c - lqnet admin: which models a server has; loads and unloads them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client.h"

static const struct cli_option options[] = {
    CLIENT_OPTIONS,
    {"url", 0, "URL", "http://..., https://... or unix:PATH; default " CLIENT_URL},
    {"json", 0, NULL, "print what the server replies"},
    {NULL, 0, NULL, NULL}};

/* What a reply that is not 200 says. */
static int fail_reply(const char *url, const struct client_reply *reply)
{
    json_t *root = json_loads(reply->body, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "error"));
    int status = cli_fail(CLI_FAILED, "%s: %s (HTTP status %d)", url,
                          text ? text : "no server of ours", reply->status);

    json_decref(root);
    return status;
}

static const char *text_of(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));

    return text ? text : "";
}

static int print_index(const struct client_reply *reply)
{
    json_t *root = json_loads(reply->body, 0, NULL);
    const json_t *item;
    size_t i;

    if (!json_is_array(root)) {
        json_decref(root);
        return cli_fail(CLI_FAILED, "the server's reply is no list of models");
    }
    printf("%-32s %-8s %-12s %s\n", "model", "version", "state", "reason");
    json_array_foreach(root, i, item)
        printf("%-32s %-8s %-12s %s\n", text_of(item, "name"), text_of(item, "version"),
               text_of(item, "state"), text_of(item, "reason"));
    json_decref(root);
    return CLI_OK;
}

/* Names hold nothing that a path would have to escape. */
static bool is_name(const char *name)
{
    return name[0] && name[0] != '.' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789._-")] == '\0';
}

static int make_path(const struct cli_arguments *a, char *ret_path, size_t size)
{
    const char *action = a->operands[0], *model = a->operand_count > 1 ? a->operands[1] : NULL;
    bool index = strcmp(action, "index") == 0;

    if (!index && strcmp(action, "load") != 0 && strcmp(action, "unload") != 0)
        return cli_fail(CLI_USAGE, "admin: '%s' is not index, load or unload", action);
    if (index != !model)
        return cli_fail(CLI_USAGE, "admin: %s %s", action,
                        index ? "takes no model" : "needs the name of a model");
    if (model && (!is_name(model) || strlen(model) + 64 > size))
        return cli_fail(CLI_USAGE, "admin: '%.64s' is no model's name", model);
    if (index)
        snprintf(ret_path, size, "/v2/repository/index");
    else
        snprintf(ret_path, size, "/v2/repository/models/%s/%s", model, action);
    return CLI_OK;
}

static int run(const struct cli_arguments *a)
{
    const char *url = cli_value(a, "url") ? cli_value(a, "url") : CLIENT_URL;
    struct client_reply reply;
    char path[256];
    int status = make_path(a, path, sizeof(path));

    if (status == CLI_OK)
        status = client_ask(a, url, path, "{}", &reply);
    if (status != CLI_OK)
        return status;
    if (reply.status != 200)
        status = fail_reply(url, &reply);
    else if (cli_value(a, "json"))
        puts(reply.body);
    else if (a->operand_count == 1)
        status = print_index(&reply);
    free(reply.bytes);
    return status;
}

const struct cli_command command_admin = {
    .name = "admin",
    .operands = "index | load MODEL | unload MODEL",
    .summary = "lists, loads and unloads a server's models",
    .details = "The server loads a model's newest files before the old ones stop answering.\n"
               "load and unload want the address of admin_listen, and a token with the scope\n"
               "admin where the server has tokens. Loading takes time: see --timeout.\n",
    .min_operands = 1,
    .max_operands = 2,
    .options = options,
    .run = run,
};
