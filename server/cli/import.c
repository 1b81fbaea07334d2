/* import.c - lqnet import: a float ONNX network becomes a .lq file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define MAX_LABEL_FILE ((size_t)16 << 20)

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

/* Lines, in place; a last line may lack its end. */
static int split_lines(char *text, const char ***ret_lines, int *ret_count)
{
    size_t count = 0, at = 0;
    const char **lines;

    for (const char *c = text; *c; c++)
        count += *c == '\n' || c[1] == '\0';
    lines = calloc(count + 1, sizeof(*lines));
    if (!lines)
        return cli_fail(CLI_FAILED, "out of memory");
    for (char *line = text; *line; at++) {
        char *end = line + strcspn(line, "\n");
        bool more = *end == '\n';

        *end = '\0';
        if (end > line && end[-1] == '\r')
            end[-1] = '\0';
        lines[at] = line;
        line = end + more;
    }
    *ret_lines = lines;
    *ret_count = (int)at;
    return CLI_OK;
}

/* Behind "INDEX " at the start of a line, if that is the line's own index; else NULL. */
static const char *behind_index(const char *line, int index)
{
    char prefix[16];
    int length = snprintf(prefix, sizeof(prefix), "%d ", index);

    return strncmp(line, prefix, (size_t)length) == 0 ? line + length : NULL;
}

/* Behind a WordNet id "nDDDDDDDD ", if there is one. */
static const char *behind_wordnet(const char *label)
{
    int digits = 0;

    if (label[0] == 'n')
        while (digits < 8 && isdigit((unsigned char)label[1 + digits]))
            digits++;
    return digits == 8 && label[9] == ' ' ? label + 10 : label;
}

static void strip_indices(const char **lines, int count)
{
    for (int i = 0; i < count; i++)
        if (!behind_index(lines[i], i))
            return;
    for (int i = 0; i < count; i++)
        lines[i] = behind_wordnet(behind_index(lines[i], i));
}

static int read_options(const struct cli_arguments *a, struct lq_import_options *o)
{
    int64_t resize = 0;
    int status = cli_float(a, "scale", &o->preprocess.scale);

    if (status == CLI_OK)
        status = cli_triple(a, "mean", o->preprocess.mean);
    if (status == CLI_OK)
        status = cli_triple(a, "std", o->preprocess.std);
    if (status == CLI_OK)
        status = cli_int(a, "resize", 0, 65535, &resize);
    o->preprocess.resize = (int)resize;
    o->name = cli_value(a, "name");
    o->augmentation = cli_value(a, "augmentation");
    return status;
}

static int run(const struct cli_arguments *a)
{
    struct lq_import_options o = {.preprocess = {.std = {1, 1, 1}, .scale = (float)(1 / 255.0)}};
    const char *output = cli_value(a, "output"), *label_path = cli_value(a, "labels");
    const char **labels = NULL;
    char *text = NULL;
    size_t size;
    struct lq_model *model = NULL;
    struct lq_model_info info;
    struct lq_error error = {0};
    int status = read_options(a, &o);

    if (status == CLI_OK && !output)
        status = cli_fail(CLI_USAGE, "import: option --output is missing");
    if (status == CLI_OK && label_path)
        status = cli_read_file(label_path, MAX_LABEL_FILE, &text, &size);
    if (status == CLI_OK && text) {
        if (strlen(text) != size)
            status = cli_fail(CLI_FAILED, "%s: byte %zu is zero", label_path, strlen(text));
        else
            status = split_lines(text, &labels, &o.label_count);
    }
    if (status == CLI_OK && labels)
        strip_indices(labels, o.label_count);
    o.labels = labels;
    if (status == CLI_OK &&
        (lq_model_import_onnx(a->engine, a->operands[0], &o, &model, &error) != LQ_OK ||
         lq_model_save(model, output, &error) != LQ_OK))
        status = cli_fail_error(&error);
    if (status == CLI_OK) {
        lq_model_get_info(model, &info);
        printf("%s: %d layers, input %dx%dx%d, %d classes, %lld MMAC -> %s\n", info.name,
               info.layer_count, info.height, info.width, info.channels, info.classes,
               (long long)(info.macs / 1000000), output);
    }
    lq_model_unref(model);
    free(labels);
    free(text);
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
