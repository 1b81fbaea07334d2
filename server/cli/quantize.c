/* quantize.c - lqnet quantize: a float network becomes a quantized one, without training.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"bits", 'b', "W/A", "bits of weights and activations, 1..8 or float (required)"},
    {"calibrate", 'c', "DATA", "images to learn from (required; see lqnet help evaluate)"},
    {"output", 'o', "OUT.lq", "the file to write (required)"},
    {"grid", 0, "W/A", "sum of a snapped basis' integers; default 31/63, at least 2^bits - 1"},
    {"layer", 0, "NAME=W/A", "another setting for one layer, W/A:GW/GA with grids; repeatable"},
    {"quantizer", 0, "KIND", "learned (default) or even"},
    {"images", 0, "N", "images to look at; default 1000"},
    {"iterations", 0, "N", "alternations of each fit, at least 20; default 50"},
    {"batch-norm", 0, "HOW", "reestimate (default) or keep"},
    {"augmentation", 0, "LIST", "for re-estimation; default: what the model was trained with"},
    {"split", 0, "NAME", "part of DATA: train (default) or test"},
    {"seed", 0, "N", "of the augmentation; default 1"},
    {"threads", 0, "N", "default: one for each CPU"},
    {"json", 0, NULL, "print the report as JSON"},
    {NULL, 0, NULL, NULL}};

/* --layer NAME=W/A; names are copied, for they end at the last "=". */
static int read_layers(const struct cli_arguments *a, struct lq_layer_bits *layers)
{
    const char *text;

    for (int i = 0; (text = cli_value_at(a, "layer", i)); i++) {
        const char *equals = strrchr(text, '=');
        int status;

        if (!equals)
            return cli_fail(CLI_USAGE, "quantize: option --layer is '%s', expected NAME=W/A", text);
        layers[i].layer = strndup(text, (size_t)(equals - text));
        if (!layers[i].layer)
            return cli_fail(CLI_FAILED, "out of memory");
        status = cli_bits(a, "layer", equals + 1, &layers[i].bits);
        if (status != CLI_OK)
            return status;
    }
    return CLI_OK;
}

static int read_numbers(const struct cli_arguments *a, struct lq_quantize_options *o)
{
    int64_t iterations = 0, threads = 0, seed = 1;
    int status = cli_int(a, "images", 1, 1 << 24, &o->images);

    if (status == CLI_OK)
        status = cli_int(a, "iterations", 20, 100000, &iterations);
    if (status == CLI_OK)
        status = cli_int(a, "threads", 1, 64, &threads);
    if (status == CLI_OK)
        status = cli_int(a, "seed", 0, INT64_MAX, &seed);
    o->iterations = (int)iterations;
    o->threads = (int)threads;
    o->seed = (uint64_t)seed;
    return status;
}

static int read_options(const struct cli_arguments *a, struct lq_quantize_options *o,
                        enum lq_split *split)
{
    const char *bits = cli_value(a, "bits");
    static const char *const quantizers[] = {"learned", "even", NULL};
    static const char *const norms[] = {"reestimate", "keep", NULL};
    static const char *const splits[] = {"train", "test", NULL};
    int status, quantizer = 0, keep = 0, test = 0;

    if (!bits || !cli_value(a, "calibrate") || !cli_value(a, "output"))
        return cli_fail(CLI_USAGE, "quantize: options --bits, --calibrate and --output are needed");
    status = cli_grids(a, "grid", &o->bits);
    if (status == CLI_OK)
        status = cli_bits(a, "bits", bits, &o->bits);
    if (status == CLI_OK)
        status = cli_choice(a, "quantizer", quantizers, &quantizer);
    if (status == CLI_OK)
        status = cli_choice(a, "batch-norm", norms, &keep);
    if (status == CLI_OK)
        status = cli_choice(a, "split", splits, &test);
    if (status == CLI_OK)
        status = read_numbers(a, o);
    o->quantizer = (enum lq_quantizer_kind)quantizer;
    o->keep_batch_norm = keep;
    o->augmentation = cli_value(a, "augmentation");
    *split = test ? LQ_SPLIT_TEST : LQ_SPLIT_TRAIN;
    return status;
}

static void print_table(const struct lq_quantize_report *report)
{
    printf("%-32s %5s %9s  %9s %9s %9s\n", "layer", "W/A", "grids", "weights", "input", "output");
    for (int i = 0; i < report->layer_count; i++) {
        const struct lq_quantize_layer *l = &report->layers[i];
        char bits[16], grids[24];

        snprintf(bits, sizeof(bits), "%d/%d", l->bits.weight_bits, l->bits.activation_bits);
        snprintf(grids, sizeof(grids), "%d/%d", l->bits.weight_grid, l->bits.activation_grid);
        printf("%-32s %5s %9s  %9.5f %9.5f %9.5f\n", l->name, bits, grids, l->weight_error,
               l->activation_error, l->output_error);
    }
    puts("(relative squared errors of the quantized weights, of the quantized input, and of the\n"
         "layer's output against the float network's)");
}

static int print_json(const struct lq_quantize_report *report)
{
    json_t *layers = json_array(), *root = json_pack("{s:o}", "layers", layers);
    int status = CLI_OK;

    for (int i = 0; i < report->layer_count; i++) {
        const struct lq_quantize_layer *l = &report->layers[i];

        json_array_append_new(layers,
                              json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:f}", "name", l->name,
                                        "weight_bits", l->bits.weight_bits, "activation_bits",
                                        l->bits.activation_bits, "weight_grid", l->bits.weight_grid,
                                        "activation_grid", l->bits.activation_grid, "weight_error",
                                        l->weight_error, "activation_error", l->activation_error,
                                        "output_error", l->output_error));
    }
    if (!root || json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0)
        status = cli_fail(CLI_FAILED, "cannot print the report");
    putchar('\n');
    json_decref(root);
    return status;
}

static int quantize(const struct cli_arguments *a, struct lq_quantize_options *o,
                    enum lq_split split)
{
    struct lq_model *model = NULL, *quantized = NULL;
    struct lq_dataset *dataset = NULL;
    struct lq_quantize_report report = {0};
    struct cli_progress progress;
    struct lq_error error = {0};
    int status = CLI_OK;

    cli_progress_init(&progress, "layers", &o->progress);
    if (lq_model_open(a->engine, a->operands[0], &model, &error) != LQ_OK ||
        lq_dataset_open(cli_value(a, "calibrate"), split, &dataset, &error) != LQ_OK ||
        lq_model_quantize(model, dataset, o, &quantized, &report, &error) != LQ_OK ||
        lq_model_save(quantized, cli_value(a, "output"), &error) != LQ_OK)
        status = CLI_FAILED;
    cli_progress_end(&progress);
    if (status != CLI_OK)
        cli_fail_error(&error);
    else if (cli_value(a, "json"))
        status = print_json(&report);
    else
        print_table(&report);
    lq_quantize_report_deinit(&report);
    lq_model_unref(quantized);
    lq_dataset_close(dataset);
    lq_model_unref(model);
    return status;
}

static int run(const struct cli_arguments *a)
{
    struct lq_quantize_options o = {0};
    enum lq_split split = LQ_SPLIT_TEST;
    int count = cli_count(a, "layer");
    struct lq_layer_bits *layers = calloc((size_t)count + 1, sizeof(*layers));
    int status = read_options(a, &o, &split);

    if (!layers)
        return cli_fail(CLI_FAILED, "out of memory");
    if (status == CLI_OK)
        status = read_layers(a, layers);
    o.layers = layers;
    o.layer_count = count;
    if (status == CLI_OK)
        status = quantize(a, &o, split);
    for (int i = 0; i < count; i++)
        free((char *)layers[i].layer);
    free(layers);
    return status;
}

const struct cli_command command_quantize = {
    "quantize",
    "NET.lq",
    "quantize a float network, without training",
    "The first and the last layer stay float unless a --layer says otherwise. Without training, 4 "
    "bits\n"
    "lose about a point and 2 bits most of the accuracy.\n",
    1,
    1,
    options,
    run};
