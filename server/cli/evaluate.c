/* evaluate.c - lqnet evaluate: accuracy on a data set.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"split", 0, "NAME", "of a CIFAR folder: test (default) or train"},
    {"limit", 0, "N", "only the first N images"},
    {"batch", 0, "N", "images at once; default 64"},
    {"threads", 0, "N", "default: one for each CPU"},
    {"form", 0, "NAME", "how quantized layers compute: auto, plain, packed or float"},
    {"confusion", 0, NULL, "print the counts [true class][predicted class]"},
    {"record", 0, NULL, "write the accuracy into the model's provenance"},
    {"json", 0, NULL, "print JSON"},
    {NULL, 0, NULL, NULL}};

static int read_options(const struct cli_arguments *a, struct lq_evaluate_options *o,
                        enum lq_split *split)
{
    static const char *const splits[] = {"test", "train", NULL};
    const char *form = cli_value(a, "form");
    int train = 0;
    int64_t batch = 0, threads = 0;
    int status = cli_int(a, "limit", 1, INT64_MAX, &o->limit);

    if (status == CLI_OK)
        status = cli_int(a, "batch", 1, 4096, &batch);
    if (status == CLI_OK)
        status = cli_int(a, "threads", 1, 64, &threads);
    if (status == CLI_OK)
        status = cli_choice(a, "split", splits, &train);
    if (status != CLI_OK)
        return status;
    o->batch = (int)batch;
    o->threads = (int)threads;
    *split = train ? LQ_SPLIT_TRAIN : LQ_SPLIT_TEST;
    if (form && lq_form_from_name(form) < 0)
        return cli_fail(CLI_USAGE,
                        "evaluate: option --form is '%s', expected auto, plain, packed or float",
                        form);
    o->form = form ? (enum lq_form)lq_form_from_name(form) : LQ_FORM_AUTO;
    return CLI_OK;
}

static void print_confusion(const struct lq_model *model, const struct lq_evaluation *e)
{
    for (int row = 0; row < e->classes; row++) {
        const char *label = lq_model_label(model, row);

        printf("%-16.16s", label ? label : "");
        for (int col = 0; col < e->classes; col++)
            printf(" %5lld",
                   (long long)e->confusion[(size_t)row * (size_t)e->classes + (size_t)col]);
        putchar('\n');
    }
}

static int print_json(const struct lq_evaluation *e, bool confusion)
{
    json_t *root =
        json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", (json_int_t)e->count, "top1", e->top1,
                  "top5", e->top5, "images_per_s", e->images_per_s, "seconds", e->seconds);
    json_t *rows = confusion ? json_array() : NULL;
    int status = CLI_OK;

    for (int row = 0; rows && row < e->classes; row++) {
        json_t *counts = json_array();

        for (int col = 0; col < e->classes; col++)
            json_array_append_new(
                counts, json_integer(e->confusion[(size_t)row * (size_t)e->classes + (size_t)col]));
        json_array_append_new(rows, counts);
    }
    if (rows)
        json_object_set_new(root, "confusion", rows);
    if (!root || json_dumpf(root, stdout, JSON_REAL_PRECISION(9)) != 0)
        status = cli_fail(CLI_FAILED, "cannot print the result");
    putchar('\n');
    json_decref(root);
    return status;
}

/* Rewrites the model's file with one more line of provenance. */
static int record(const struct cli_arguments *a, const struct lq_model *model,
                  const struct lq_dataset *dataset, const struct lq_evaluation *e,
                  struct lq_error *error)
{
    struct lq_model *noted = NULL;
    char text[128];
    int status;

    snprintf(text, sizeof(text), "top-1 %.2f, top-5 %.2f on %lld images (%s)", e->top1, e->top5,
             (long long)e->count, lq_dataset_kind(dataset));
    status = lq_model_with_provenance(model, "accuracy", text, &noted, error);
    if (status == LQ_OK)
        status = lq_model_save(noted, a->operands[0], error);
    lq_model_unref(noted);
    return status;
}

static int print(const struct cli_arguments *a, const struct lq_model *model,
                 const struct lq_evaluation *e)
{
    bool confusion = cli_value(a, "confusion");

    if (cli_value(a, "json"))
        return print_json(e, confusion);
    if (confusion)
        print_confusion(model, e);
    printf("%lld images: top-1 %.2f %%, top-5 %.2f %%, %.1f images/s\n", (long long)e->count,
           e->top1, e->top5, e->images_per_s);
    return CLI_OK;
}

static int run(const struct cli_arguments *a)
{
    struct lq_evaluate_options o = {0};
    enum lq_split split = LQ_SPLIT_TEST;
    struct lq_model *model = NULL;
    struct lq_dataset *dataset = NULL;
    struct lq_evaluation evaluation = {0};
    struct cli_progress progress;
    struct lq_error error = {0};
    int status = read_options(a, &o, &split);

    if (status != CLI_OK)
        return status;
    cli_progress_init(&progress, "images", &o.progress);
    if (lq_model_open(a->engine, a->operands[0], &model, &error) != LQ_OK ||
        lq_dataset_open(a->operands[1], split, &dataset, &error) != LQ_OK ||
        lq_evaluate(model, dataset, &o, &evaluation, &error) != LQ_OK ||
        (cli_value(a, "record") && record(a, model, dataset, &evaluation, &error) != LQ_OK))
        status = CLI_FAILED;
    cli_progress_end(&progress);
    status = status == CLI_OK ? print(a, model, &evaluation) : cli_fail_error(&error);
    lq_evaluation_deinit(&evaluation);
    lq_dataset_close(dataset);
    lq_model_unref(model);
    return status;
}

const struct cli_command command_evaluate = {
    "evaluate",
    "NET.lq DATA",
    "measure accuracy on a data set",
    "DATA is a folder: CIFAR-10 in its binary form (data_batch_*.bin, test_batch.bin), or images "
    "beside\n"
    "a labels.txt of lines \"file class-index\", or one folder of images for each class.\n",
    2,
    2,
    options,
    run};
