/* admin_jobs.c - lqnet admin: fine-tuning jobs, history, uploads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/admin.h"

enum { BAR = 30, MAX_UPLOAD = 1 << 30 };
#define LOOK_NS 500000000 /* between looks at a job that runs */

/* ------------------------------------------------------------------------------------------------
 * What is sent
 */

static int take_json(json_t *root, char **ret_body, size_t *ret_size)
{
    *ret_body = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!*ret_body)
        return cli_fail(CLI_FAILED, "out of memory");
    *ret_size = strlen(*ret_body);
    return CLI_OK;
}

/* folder:NAME, upload:NAME or sample. */
static int set_source(json_t *object, const char *option, const char *value)
{
    if (strncmp(value, "folder:", 7) == 0)
        json_object_set_new(object, "folder", json_string(value + 7));
    else if (strncmp(value, "upload:", 7) == 0)
        json_object_set_new(object, "upload", json_string(value + 7));
    else if (strcmp(value, "sample") == 0)
        json_object_set_new(object, "sample", json_true());
    else
        return cli_fail(CLI_USAGE, "--%s: '%.64s' is none of folder:NAME, upload:NAME and sample",
                        option, value);
    return CLI_OK;
}

/* What is JSON is that; anything else is a text. */
static json_t *read_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    return value ? value : json_string(text);
}

static int set_options(const struct cli_arguments *a, json_t *object)
{
    for (int i = 0; i < cli_count(a, "set"); i++) {
        const char *pair = cli_value_at(a, "set", i), *equals = strchr(pair, '=');
        char key[64];

        if (!equals || equals == pair || (size_t)(equals - pair) >= sizeof(key))
            return cli_fail(CLI_USAGE, "--set: '%.64s' is not KEY=VALUE", pair);
        snprintf(key, sizeof(key), "%.*s", (int)(equals - pair), pair);
        json_object_set_new(object, key, read_value(equals + 1));
    }
    return CLI_OK;
}

/* A member from an option, where that is given. */
static void set_number(const struct cli_arguments *a, const char *option, json_t *object,
                       const char *key)
{
    if (cli_value(a, option))
        json_object_set_new(object, key, read_value(cli_value(a, option)));
}

static int fill_request(const struct cli_arguments *a, json_t *data, json_t *guard, json_t *opts)
{
    int status;

    if (!cli_value(a, "data"))
        return cli_fail(CLI_USAGE, "finetune: --data is missing: folder:NAME, upload:NAME, sample");
    status = set_source(data, "data", cli_value(a, "data"));
    set_number(a, "limit", data, "limit");
    if (status == CLI_OK && cli_value(a, "guard"))
        status = set_source(guard, "guard", cli_value(a, "guard"));
    set_number(a, "hold-out", guard, "hold_out");
    set_number(a, "bound", guard, "bound");
    if (cli_value(a, "dry-run"))
        json_object_set_new(guard, "dry_run", json_true());
    if (cli_value(a, "canary")) {
        json_t *canary = json_object();

        set_number(a, "canary", canary, "share");
        set_number(a, "canary-images", canary, "images");
        json_object_set_new(guard, "canary", canary);
    }
    return status == CLI_OK ? set_options(a, opts) : status;
}

int admin_finetune_body(const struct cli_arguments *a, char **ret_body, size_t *ret_size,
                        const char **ret_type)
{
    const char *mode = cli_value(a, "mode");
    json_t *data = json_object(), *guard = json_object(), *opts = json_object();
    json_t *root = json_pack("{s:s,s:o,s:o,s:o}", "mode", mode ? mode : "calibrate", "data", data,
                             "guard", guard, "options", opts);
    int status = root ? fill_request(a, data, guard, opts) : cli_fail(CLI_FAILED, "out of memory");

    (void)ret_type;
    if (status == CLI_OK)
        return take_json(root, ret_body, ret_size);
    json_decref(root);
    return status;
}

int admin_rollback_body(const struct cli_arguments *a, char **ret_body, size_t *ret_size,
                        const char **ret_type)
{
    (void)ret_type;
    return take_json(a->operand_count > 2 ? json_pack("{s:s}", "version", a->operands[2])
                                          : json_object(),
                     ret_body, ret_size);
}

int admin_upload_body(const struct cli_arguments *a, char **ret_body, size_t *ret_size,
                      const char **ret_type)
{
    *ret_type = "application/x-tar";
    return cli_read_file(a->operands[3], MAX_UPLOAD, ret_body, ret_size);
}

/* ------------------------------------------------------------------------------------------------
 * What is shown
 */

static double number_of(const json_t *item, const char *key)
{
    return json_number_value(json_object_get(item, key));
}

static void print_figures(const json_t *job)
{
    const json_t *figures = json_object_get(job, "figures");
    const json_t *guard = json_object_get(figures, "guard");
    const json_t *layer;
    size_t i;

    if (json_object_get(guard, "accuracy_before"))
        printf("accuracy   %.2f %% before, %.2f %% after, on %.0f images\n",
               number_of(guard, "accuracy_before"), number_of(guard, "accuracy_after"),
               number_of(guard, "labelled"));
    if (guard)
        printf("agreement  %.0f of %.0f images; confidence %.2f %% before, %.2f %% after\n",
               number_of(guard, "agreed"), number_of(guard, "images"),
               number_of(guard, "confidence_before"), number_of(guard, "confidence_after"));
    if (json_array_size(json_object_get(figures, "layers")))
        printf("%-40s %-12s %10s %10s\n", "layer", "kind", "before", "after");
    json_array_foreach(json_object_get(figures, "layers"), i, layer)
        printf("%-40s %-12s %10.4g %10.4g\n", admin_text(layer, "name"), admin_text(layer, "op"),
               number_of(layer, "before"), number_of(layer, "after"));
}

static void print_summary(const json_t *job)
{
    printf("job %.0f of %s: %s%s%s\n", number_of(job, "id"), admin_text(job, "model"),
           admin_text(job, "state"), admin_text(job, "reason")[0] ? ": " : "",
           admin_text(job, "reason"));
    if (admin_text(job, "version")[0])
        printf("version    %s, from %s\n", admin_text(job, "version"),
               admin_text(job, "base_version"));
}

int admin_print_job(const struct cli_arguments *a, const json_t *root)
{
    const json_t *line;
    size_t i;

    (void)a;
    print_summary(root);
    if (admin_text(root, "asked_by")[0])
        printf("asked by   %s\n", admin_text(root, "asked_by"));
    printf("created    %s\n", admin_text(root, "created"));
    if (admin_text(root, "ended")[0])
        printf("ended      %s\n", admin_text(root, "ended"));
    print_figures(root);
    json_array_foreach(json_object_get(root, "log"), i, line)
        printf("log        %s\n", json_string_value(line));
    return CLI_OK;
}

int admin_print_jobs(const struct cli_arguments *a, const json_t *root)
{
    const json_t *job;
    size_t i;

    (void)a;
    printf("%-6s %-24s %-12s %-12s %-24s %s\n", "job", "model", "state", "asked by", "created",
           "reason");
    json_array_foreach(json_object_get(root, "jobs"), i, job)
        printf("%-6.0f %-24s %-12s %-12s %-24s %s\n", number_of(job, "id"),
               admin_text(job, "model"), admin_text(job, "state"), admin_text(job, "asked_by"),
               admin_text(job, "created"), admin_text(job, "reason"));
    return CLI_OK;
}

int admin_print_decision(const struct cli_arguments *a, const json_t *root)
{
    (void)a;
    printf("%s: version %s, from %s: %s\n", admin_text(root, "decision"),
           admin_text(root, "version"), admin_text(root, "from_version"),
           admin_text(root, "reason"));
    return CLI_OK;
}

int admin_print_history(const struct cli_arguments *a, const json_t *root)
{
    const json_t *decision;
    size_t i;

    (void)a;
    printf("%-24s %-9s %-6s %-6s %-12s %s\n", "at", "decision", "from", "to", "asked by", "reason");
    json_array_foreach(json_object_get(root, "history"), i, decision)
        printf("%-24s %-9s %-6s %-6s %-12s %s\n", admin_text(decision, "at"),
               admin_text(decision, "decision"), admin_text(decision, "from_version"),
               admin_text(decision, "version"), admin_text(decision, "asked_by"),
               admin_text(decision, "reason"));
    return CLI_OK;
}

int admin_print_uploads(const struct cli_arguments *a, const json_t *root)
{
    const json_t *upload;
    size_t i;

    (void)a;
    json_array_foreach(json_object_get(root, "uploads"), i, upload)
        printf("%-32s %12.0f bytes\n", admin_text(upload, "name"), number_of(upload, "bytes"));
    return CLI_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Following
 */

static bool has_ended(const json_t *job)
{
    const char *state = admin_text(job, "state");

    return strcmp(state, "queued") != 0 && strcmp(state, "running") != 0 &&
           strcmp(state, "evaluating") != 0;
}

/* A line that renews itself on a terminal; elsewhere a line for each new stage. */
static void show_progress(const json_t *job, char *last, size_t size)
{
    const json_t *progress = json_object_get(job, "progress");
    double done = number_of(progress, "done"), total = number_of(progress, "total");
    const char *stage = progress ? admin_text(progress, "stage") : "";
    int filled = total > 0 ? (int)(BAR * (done < total ? done / total : 1)) : 0;

    if (!isatty(STDERR_FILENO)) {
        char now[96];

        snprintf(now, sizeof(now), "%.20s %.60s", admin_text(job, "state"), stage);
        if (strcmp(now, last) != 0)
            fprintf(stderr, "%s\n", now);
        snprintf(last, size, "%s", now);
        return;
    }
    fprintf(stderr, "\r%-10s %-10s [%.*s%*s] %.0f of %.0f, %.3g a second, %.0f s left\033[K",
            admin_text(job, "state"), stage, filled, "##############################", BAR - filled,
            "", done, total, number_of(progress, "rate"), number_of(progress, "seconds_left"));
    *last = '\0';
}

int admin_follow(const struct cli_arguments *a, const json_t *root)
{
    char path[64], last[96] = "";
    const struct client_request request = {.method = "GET", .path = path};
    const struct timespec pause = {0, LOOK_NS};
    json_t *job = json_incref((json_t *)root);
    int status = CLI_OK;

    snprintf(path, sizeof(path), "/admin/jobs/%.0f", number_of(root, "id"));
    while (!cli_value(a, "detach") && !has_ended(job) && status == CLI_OK) {
        json_t *next = NULL;

        show_progress(job, last, sizeof(last));
        nanosleep(&pause, NULL);
        status = admin_ask(a, &request, &next, NULL);
        if (status == CLI_OK) {
            json_decref(job);
            job = next;
        }
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (status == CLI_OK && has_ended(job)) {
        print_summary(job);
        print_figures(job);
    } else if (status == CLI_OK) {
        print_summary(job);
    }
    if (status == CLI_OK && has_ended(job) && strcmp(a->operands[0], "cancel") != 0 &&
        strcmp(admin_text(job, "state"), "published") != 0)
        status = CLI_FAILED;
    json_decref(job);
    return status;
}
