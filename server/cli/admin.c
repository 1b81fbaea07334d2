/* admin.c - lqnet admin: which models a server has, loads and unloads them; fine-tuning jobs.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "cli/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_option options[] = {
    CLIENT_OPTIONS,
    {"url", 0, "URL", "http://..., https://... or unix:PATH; default " CLIENT_URL},
    {"json", 0, NULL, "print what the server replies"},
    {"mode", 0, "MODE", "of finetune: calibrate (default), quantizers or joint"},
    {"data", 0, "DATA", "folder:NAME (of data_root), upload:NAME, or sample: what it was asked"},
    {"limit", 0, "N", "take only so many images of it"},
    {"guard", 0, "DATA", "folder:NAME or upload:NAME; default: every fifth image is held out"},
    {"hold-out", 0, "N", "hold out every N-th image"},
    {"bound", 0, "POINTS", "that may be lost; default 0.2"},
    {"dry-run", 0, NULL, "decide, but publish nothing"},
    {"canary", 0, "SHARE", "of the live pictures that the new model is shown first, 0.001 to 1"},
    {"canary-images", 0, "N", "how many of them; default 1000"},
    {"set", 0, "KEY=VALUE", "an option of the job: epochs, rate ...; may be repeated"},
    {"detach", 0, NULL, "do not wait for the job's end"},
    {NULL, 0, NULL, NULL}};

const char *admin_text(const json_t *item, const char *key)
{
    const char *text = json_string_value(json_object_get(item, key));

    return text ? text : "";
}

static int print_index(const struct cli_arguments *a, const json_t *root)
{
    const json_t *item;
    size_t i;

    (void)a;
    if (!json_is_array(root))
        return cli_fail(CLI_FAILED, "the server's reply is no list of models");
    printf("%-32s %-8s %-12s %s\n", "model", "version", "state", "reason");
    json_array_foreach(root, i, item)
        printf("%-32s %-8s %-12s %s\n", admin_text(item, "name"), admin_text(item, "version"),
               admin_text(item, "state"), admin_text(item, "reason"));
    return CLI_OK;
}

static const struct admin_action actions[] = {
    {"index", "", "POST", "/v2/repository/index", 0, 0, NULL, print_index},
    {"load", "MODEL", "POST", "/v2/repository/models/%1/load", 1, 1, NULL, NULL},
    {"unload", "MODEL", "POST", "/v2/repository/models/%1/unload", 1, 1, NULL, NULL},
    {"finetune", "MODEL", "POST", "/admin/models/%1/finetune", 1, 1, admin_finetune_body,
     admin_follow},
    {"jobs", "", "GET", "/admin/jobs", 0, 0, NULL, admin_print_jobs},
    {"job", "ID", "GET", "/admin/jobs/%1", 1, 1, NULL, admin_print_job},
    {"follow", "ID", "GET", "/admin/jobs/%1", 1, 1, NULL, admin_follow},
    {"cancel", "ID", "DELETE", "/admin/jobs/%1", 1, 1, NULL, admin_follow},
    {"resume", "ID", "POST", "/admin/jobs/%1/resume", 1, 1, NULL, admin_follow},
    {"history", "MODEL", "GET", "/admin/models/%1/history", 1, 1, NULL, admin_print_history},
    {"rollback", "MODEL [VERSION]", "POST", "/admin/models/%1/rollback", 1, 2, admin_rollback_body,
     admin_print_decision},
    {"upload", "MODEL NAME FILE.tar", "POST", "/admin/models/%1/uploads/%2", 3, 3,
     admin_upload_body, NULL},
    {"uploads", "MODEL", "GET", "/admin/models/%1/uploads", 1, 1, NULL, admin_print_uploads},
    {"discard", "MODEL NAME", "DELETE", "/admin/models/%1/uploads/%2", 2, 2, NULL, NULL},
};
enum { ACTIONS = sizeof(actions) / sizeof(*actions) };

static const char *url_of(const struct cli_arguments *a)
{
    return cli_value(a, "url") ? cli_value(a, "url") : CLIENT_URL;
}

/* What a reply that is not 2xx says. */
static int fail_reply(const char *url, const struct client_reply *reply, const json_t *root)
{
    const char *text = json_string_value(json_object_get(root, "error"));

    return cli_fail(CLI_FAILED, "%s: %s (HTTP status %d)", url, text ? text : "no server of ours",
                    reply->status);
}

int admin_ask(const struct cli_arguments *a, const struct client_request *request,
              json_t **ret_root, char **ret_bytes)
{
    const char *url = url_of(a);
    struct client_reply reply;
    json_t *root;
    int status = client_ask(a, url, request, &reply);

    if (status != CLI_OK)
        return status;
    root = json_loads(reply.body, 0, NULL);
    if (reply.status / 100 != 2)
        status = fail_reply(url, &reply, root);
    else if (!root)
        status = cli_fail(CLI_FAILED, "%s: the reply is no JSON", url);
    else if (ret_bytes && !(*ret_bytes = strdup(reply.body)))
        status = cli_fail(CLI_FAILED, "out of memory");
    free(reply.bytes);
    if (status == CLI_OK)
        *ret_root = root;
    else
        json_decref(root);
    return status;
}

/* Names hold nothing that a path would have to escape. */
static bool is_name(const char *name)
{
    return name[0] && name[0] != '.' && strlen(name) < 128 &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                             "0123456789._-")] == '\0';
}

static int find_action(const struct cli_arguments *a, const struct admin_action **ret_action)
{
    const char *name = a->operands[0];
    int given = a->operand_count - 1;
    const struct admin_action *action = NULL;

    for (int i = 0; i < ACTIONS && !action; i++)
        if (strcmp(actions[i].name, name) == 0)
            action = &actions[i];
    if (!action)
        return cli_fail(CLI_USAGE, "admin: '%s' is nothing that can be asked; see lqnet help admin",
                        name);
    if (given < action->min || given > action->max)
        return cli_fail(CLI_USAGE, "admin: expected %s%s%s", name, action->operands[0] ? " " : "",
                        action->operands);
    *ret_action = action;
    return CLI_OK;
}

/* Puts the operands into the action's path. */
static int make_path(const struct cli_arguments *a, const struct admin_action *action,
                     char *ret_path, size_t size)
{
    size_t length = 0;

    for (const char *at = action->path; *at; at++) {
        const char *operand = *at == '%' ? a->operands[*++at - '0'] : NULL;

        if (operand && !is_name(operand))
            return cli_fail(CLI_USAGE, "admin: '%.64s' is no name", operand);
        length += (size_t)(operand ? snprintf(ret_path + length, size - length, "%s", operand)
                                   : snprintf(ret_path + length, size - length, "%c", *at));
    }
    return CLI_OK;
}

static int run(const struct cli_arguments *a)
{
    const struct admin_action *action;
    char path[512], *body = NULL, *bytes = NULL;
    struct client_request request = {.path = path};
    json_t *root = NULL;
    int status = find_action(a, &action);

    if (status == CLI_OK)
        status = make_path(a, action, path, sizeof(path));
    if (status != CLI_OK)
        return status;
    request.method = action->method;
    if (action->body)
        status = action->body(a, &body, &request.size, &request.type);
    if (status == CLI_OK && !action->body && strcmp(action->method, "POST") == 0) {
        body = strdup("{}");
        request.size = body ? 2 : 0;
    }
    request.body = body;
    if (status == CLI_OK)
        status = admin_ask(a, &request, &root, &bytes);
    if (status == CLI_OK && cli_value(a, "json"))
        puts(bytes);
    else if (status == CLI_OK && action->print)
        status = action->print(a, root);
    json_decref(root);
    free(bytes);
    free(body);
    return status;
}

const struct cli_command command_admin = {
    .name = "admin",
    .operands = "ACTION [OPERAND]...",
    .summary = "a server's models and its fine-tuning jobs",
    .details =
        "index                     lists models\n"
        "load MODEL                reads a model's newest files\n"
        "unload MODEL              stops serving it\n"
        "finetune MODEL            starts a job and shows it until it ends\n"
        "jobs, job ID              lists jobs, shows one\n"
        "follow ID, cancel ID      shows it until it ends; cancels it\n"
        "resume ID                 goes on with one that was interrupted\n"
        "history MODEL             what was decided about a model\n"
        "rollback MODEL [VERSION]  lets an earlier version answer again, or the last one before\n"
        "upload MODEL NAME FILE    pictures, as a tar archive of CLASS/FILE\n"
        "uploads MODEL             lists uploads\n"
        "discard MODEL NAME        removes one\n"
        "\n"
        "All but index want the address of admin_listen, and a token with the scope admin where\n"
        "the server has tokens. Loading takes time: see --timeout.\n"
        "exit status of finetune, follow and resume: 0 if the new model was published\n",
    .min_operands = 1,
    .max_operands = 4,
    .options = options,
    .run = run,
};
