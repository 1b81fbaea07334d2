/* classify.c - lqnet classify: what is in these pictures?
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define MAX_TOP_K 1000

static const struct cli_option options[] = {
    {"top-k", 'k', "N", "how many classes to tell; default 5"},
    {"json", 0, NULL, "print one JSON object a line"},
    {NULL, 0, NULL, NULL}};

static void print_plain(const char *path, const struct lq_model *model,
                        const struct lq_prediction *predictions, int count)
{
    printf("%s\n", path);
    for (int i = 0; i < count; i++) {
        const char *label = lq_model_label(model, predictions[i].index);

        printf("  %6.2f %%  %4d  %s\n", 100 * (double)predictions[i].probability,
               predictions[i].index, label ? label : "");
    }
}

static void print_json(const char *path, const struct lq_model *model,
                       const struct lq_prediction *predictions, int count)
{
    json_t *list = json_array();

    for (int i = 0; i < count; i++) {
        const char *label = lq_model_label(model, predictions[i].index);
        json_t *entry = json_pack("{s:i, s:f}", "index", predictions[i].index, "probability",
                                  (double)predictions[i].probability);

        if (label)
            json_object_set_new(entry, "label", json_string(label));
        json_array_append_new(list, entry);
    }
    json_t *root = json_pack("{s:s%, s:o}", "file", path, strlen(path), "predictions", list);
    if (root)
        json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

/* What one picture needs. */
struct classifier {
    struct lq_model *model;
    struct lq_session *session;
    uint8_t *input;
    float *output;
    struct lq_prediction predictions[MAX_TOP_K];
    int top_k;
    bool json;
};

static int classify(struct classifier *c, const char *path)
{
    const struct lq_image_limits limits = LQ_IMAGE_LIMITS_DEFAULT;
    struct lq_error error = {0};
    char *bytes;
    size_t size;
    int status = cli_read_file(path, limits.max_bytes, &bytes, &size);

    if (status != CLI_OK)
        return status;
    status = lq_model_decode(c->model, bytes, size, &limits, c->input, &error);
    free(bytes);
    if (status == LQ_OK)
        status = lq_session_run_pixels(c->session, c->input, 1, c->output, &error);
    if (status != LQ_OK)
        return cli_fail(CLI_FAILED, "%s: %s", path, error.text);
    int count = lq_model_top_k(c->model, c->output, c->top_k, c->predictions);
    if (c->json)
        print_json(path, c->model, c->predictions, count);
    else
        print_plain(path, c->model, c->predictions, count);
    return CLI_OK;
}

static int open_model(const struct cli_arguments *a, struct classifier *c)
{
    const struct lq_session_options single = {1, 1, LQ_FORM_AUTO};
    struct lq_model_info info;
    struct lq_error error = {0};

    if (lq_model_open(a->engine, a->operands[0], &c->model, &error) != LQ_OK ||
        lq_session_create(c->model, &single, &c->session, &error) != LQ_OK)
        return cli_fail_error(&error);
    lq_model_get_info(c->model, &info);
    c->input =
        calloc((size_t)info.height * (size_t)info.width * (size_t)info.channels, sizeof(*c->input));
    c->output = calloc((size_t)info.classes, sizeof(*c->output));
    return c->input && c->output ? CLI_OK : cli_fail(CLI_FAILED, "out of memory");
}

static int run(const struct cli_arguments *a)
{
    struct classifier *c = calloc(1, sizeof(*c));
    int64_t top_k = 5;
    int status = cli_int(a, "top-k", 1, MAX_TOP_K, &top_k);

    if (!c)
        return cli_fail(CLI_FAILED, "out of memory");
    c->top_k = (int)top_k;
    c->json = cli_value(a, "json");
    if (status == CLI_OK)
        status = open_model(a, c);
    /* a bad picture does not keep the others from being told */
    for (int i = 1; i < a->operand_count && (status == CLI_OK || c->session); i++) {
        int one = classify(c, a->operands[i]);

        status = one != CLI_OK ? one : status;
    }
    lq_session_destroy(c->session);
    lq_model_unref(c->model);
    free(c->input);
    free(c->output);
    free(c);
    return status;
}

const struct cli_command command_classify = {
    "classify", "NET.lq IMAGE...", "tell what JPEG or PNG pictures show", NULL, 2, 1 << 20, options,
    run};
