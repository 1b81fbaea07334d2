/* network.c - what the commands that make networks share: labels, preprocessing, a last line.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define MAX_LABEL_FILE ((size_t)16 << 20)
#define FLOAT_BITS     32 /* as the literature writes float */

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

int cli_read_labels(const char *path, struct cli_labels *ret_labels)
{
    struct cli_labels labels = {0};
    size_t size = 0;
    int status = cli_read_file(path, MAX_LABEL_FILE, &labels.text, &size);

    if (status == CLI_OK && strlen(labels.text) != size)
        status = cli_fail(CLI_FAILED, "%s: byte %zu is zero", path, strlen(labels.text));
    if (status == CLI_OK)
        status = split_lines(labels.text, &labels.lines, &labels.count);
    if (status == CLI_OK) {
        strip_indices(labels.lines, labels.count);
        *ret_labels = labels;
    } else {
        cli_labels_deinit(&labels);
    }
    return status;
}

void cli_labels_deinit(struct cli_labels *labels)
{
    free(labels->lines);
    free(labels->text);
}

int cli_preprocess(const struct cli_arguments *a, struct lq_preprocess *preprocess)
{
    int64_t resize = preprocess->resize;
    int status = cli_float(a, "scale", &preprocess->scale);

    if (status == CLI_OK)
        status = cli_triple(a, "mean", preprocess->mean);
    if (status == CLI_OK)
        status = cli_triple(a, "std", preprocess->std);
    if (status == CLI_OK)
        status = cli_int(a, "resize", 0, 65535, &resize);
    preprocess->resize = (int)resize;
    return status;
}

/* "W/A", each a number or "float" (0); moves *text behind it. */
static bool read_pair(const char **text, int *first, int *second)
{
    int *values[2] = {first, second};

    for (int i = 0; i < 2; i++) {
        char *end;
        long number;

        if (strncmp(*text, "float", 5) == 0) {
            number = 0;
            end = (char *)*text + 5;
        } else {
            number = strtol(*text, &end, 10);
            if (end == *text || number < 0 || number > 65535)
                return false;
        }
        if (i == 0 && *end++ != '/')
            return false;
        *values[i] = (int)number;
        *text = end;
    }
    return true;
}

int cli_bits(const struct cli_arguments *a, const char *option, const char *text,
             struct lq_bits *bits)
{
    const char *at = text;
    bool read = read_pair(&at, &bits->weight_bits, &bits->activation_bits);

    if (read && *at == ':') {
        at++;
        read = read_pair(&at, &bits->weight_grid, &bits->activation_grid);
    }
    if (read && !*at) {
        bits->weight_bits %= FLOAT_BITS;
        bits->activation_bits %= FLOAT_BITS;
        return CLI_OK;
    }
    return cli_fail(CLI_USAGE,
                    "%s: option --%s is '%s', expected W/A or W/A:GW/GA, bits 1..8 or float",
                    a->command->name, option, text);
}

int cli_grids(const struct cli_arguments *a, const char *option, struct lq_bits *bits)
{
    const char *text = cli_value(a, option), *at = text;

    if (!text || (read_pair(&at, &bits->weight_grid, &bits->activation_grid) && !*at))
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: option --%s is '%s', expected W/A", a->command->name, option,
                    text);
}

int cli_choice(const struct cli_arguments *a, const char *option, const char *const *words,
               int *ret_index)
{
    const char *text = cli_value(a, option);
    char expected[128] = "";
    size_t used = 0;

    *ret_index = 0;
    if (!text)
        return CLI_OK;
    for (int i = 0; words[i]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *ret_index = i;
            return CLI_OK;
        }
        used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s",
                                 i == 0         ? ""
                                 : words[i + 1] ? ", "
                                                : " or ",
                                 words[i]);
    }
    return cli_fail(CLI_USAGE, "%s: option --%s is '%s', expected %s", a->command->name, option,
                    text, expected);
}

void cli_print_network(const struct lq_model *model, const char *path)
{
    struct lq_model_info info;

    lq_model_get_info(model, &info);
    printf("%s: %d layers, input %dx%dx%d, %d classes, %lld MMAC -> %s\n", info.name,
           info.layer_count, info.height, info.width, info.channels, info.classes,
           (long long)(info.macs / 1000000), path);
}
