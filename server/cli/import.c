/* import.c - lqnet import: a float ONNX network becomes a .lq file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"output", 'o', "NET.lq", "the file to write (required)"},
    {"name", 0, "NAME", "the model's name; default: the file's name"},
    {"labels", 0, "FILE", "class names, one a line (see below)"},
    {"mean", 0, "R,G,B", "mean of the pixels, after --scale; default 0"},
    {"std", 0, "R,G,B", "what pixels are divided by, after the mean is taken off; default 1"},
    {"scale", 0, "X", "what pixels are multiplied by first; default 1/255"},
    {"resize", 0, "N",
     "resize the shorter side to N, then crop the middle; default 0: resize to fit"},
    {"augmentation", 0, "LIST", "how it was trained: crop4-black, crop4-mean, crop4-reflect, flip"},
    {NULL, 0, NULL, NULL}};

static int run(const struct cli_arguments *a)
{
    struct lq_import_options o = {.preprocess = {.std = {1, 1, 1}, .scale = (float)(1 / 255.0)},
                                  .name = cli_value(a, "name"),
                                  .augmentation = cli_value(a, "augmentation")};
    const char *output = cli_value(a, "output"), *label_path = cli_value(a, "labels");
    struct cli_labels labels = {0};
    struct lq_model *model = NULL;
    struct lq_error error = {0};
    int status = cli_preprocess(a, &o.preprocess);

    if (status == CLI_OK && !output)
        status = cli_fail(CLI_USAGE, "import: option --output is missing");
    if (status == CLI_OK && label_path)
        status = cli_read_labels(label_path, &labels);
    o.labels = labels.lines;
    o.label_count = labels.count;
    if (status == CLI_OK &&
        (lq_model_import_onnx(a->engine, a->operands[0], &o, &model, &error) != LQ_OK ||
         lq_model_save(model, output, &error) != LQ_OK))
        status = cli_fail_error(&error);
    if (status == CLI_OK)
        cli_print_network(model, output);
    lq_model_unref(model);
    cli_labels_deinit(&labels);
    return status;
}

const struct cli_command command_import = {"import",
                                           "NET.onnx",
                                           "make a .lq file of a float ONNX network",
                                           "A network's input is (pixel * scale - mean) / std, "
                                           "channels R, G, B. In a file of labels every\n"
                                           "line may start with its own number and a blank, as in "
                                           "\"0 tench\"; if all do, the numbers are\n"
                                           "taken off, and WordNet ids (n01440764) behind them.\n",
                                           1,
                                           1,
                                           options,
                                           run};
