/* inspect.c - lqnet inspect: what a model file holds.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"bases", 0, NULL, "print the basis of every output channel too"},
    {"json", 0, NULL, "print JSON"},
    {NULL, 0, NULL, NULL}};

static void print_shape(char *text, size_t size, int rank, const int *dims)
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? "x%d" : "%d", dims[i]);
}

static void print_basis_row(const struct lq_layer_info *layer, int row)
{
    printf("    %4d: %.6g x (", row, (double)layer->basis_scale[row]);
    for (int i = 0; i < layer->basis_bits; i++)
        printf(i ? " %d" : "%d", layer->basis[row * layer->basis_bits + i]);
    puts(")");
}

static void print_layer(const struct lq_layer_info *layer, bool bases)
{
    char input[48], output[48], bits[16] = "";

    print_shape(input, sizeof(input), layer->input_rank, layer->input_dims);
    print_shape(output, sizeof(output), layer->output_rank, layer->output_dims);
    if (layer->weight_bits && layer->activation_bits)
        snprintf(bits, sizeof(bits), "%d/%d", layer->weight_bits, layer->activation_bits);
    else if (layer->weight_bits || layer->activation_bits)
        snprintf(bits, sizeof(bits), "%s%d", layer->weight_bits ? "w" : "a",
                 layer->weight_bits + layer->activation_bits);
    printf("%-34s %-20s %-12s %-12s %5s %10lld %10zu\n", layer->name, layer->op, input, output,
           bits, (long long)layer->macs, layer->parameter_bytes);
    if (layer->basis && (bases || layer->basis_rows == 1))
        for (int row = 0; row < layer->basis_rows; row++)
            print_basis_row(layer, row);
}

static void print_plain(const struct lq_model *model, const struct lq_model_info *info, bool bases)
{
    const struct lq_preprocess *p = &info->preprocess;

    printf("%s: input '%s' %dx%dx%d, output '%s' %d classes%s\n", info->name, info->input_name,
           info->height, info->width, info->channels, info->output_name, info->classes,
           info->label_count ? " (labelled)" : "");
    printf("input = (pixel * %g - (%g %g %g)) / (%g %g %g), ", (double)p->scale, (double)p->mean[0],
           (double)p->mean[1], (double)p->mean[2], (double)p->std[0], (double)p->std[1],
           (double)p->std[2]);
    if (p->resize)
        printf("shorter side resized to %d, middle cropped\n", p->resize);
    else
        puts("resized to fit");
    for (int i = 0; i < info->provenance_count; i++) {
        const char *key, *value;

        lq_model_provenance(model, i, &key, &value);
        printf("%s: %s\n", key, value);
    }
    printf("\n%-34s %-20s %-12s %-12s %5s %10s %10s\n", "layer", "operator", "input", "output",
           "bits", "MAC", "bytes");
    for (int i = 0; i < info->layer_count; i++) {
        struct lq_layer_info layer;

        lq_model_layer(model, i, &layer);
        print_layer(&layer, bases);
    }
    printf("\n%lld MAC, %lld of them (%.1f %%) on codes; %zu bytes of parameters\n",
           (long long)info->macs, (long long)info->quantized_macs,
           info->macs ? 100.0 * (double)info->quantized_macs / (double)info->macs : 0.0,
           info->parameter_bytes);
}

static json_t *shape_json(int rank, const int *dims)
{
    json_t *shape = json_array();

    for (int i = 0; i < rank; i++)
        json_array_append_new(shape, json_integer(dims[i]));
    return shape;
}

static json_t *layer_json(const struct lq_layer_info *layer, bool bases)
{
    json_t *root =
        json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:i, s:i, s:I, s:I}", "name", layer->name, "op",
                  layer->op, "input", shape_json(layer->input_rank, layer->input_dims), "output",
                  shape_json(layer->output_rank, layer->output_dims), "weight_bits",
                  layer->weight_bits, "activation_bits", layer->activation_bits, "weight_grid",
                  layer->weight_grid, "activation_grid", layer->activation_grid, "macs",
                  (json_int_t)layer->macs, "bytes", (json_int_t)layer->parameter_bytes);
    json_t *rows = layer->basis && (bases || layer->basis_rows == 1) ? json_array() : NULL;

    for (int row = 0; rows && row < layer->basis_rows; row++)
        json_array_append_new(rows,
                              json_pack("{s:f, s:o}", "scale", (double)layer->basis_scale[row],
                                        "integers", json_array()));
    for (int row = 0; rows && row < layer->basis_rows; row++)
        for (int i = 0; i < layer->basis_bits; i++)
            json_array_append_new(json_object_get(json_array_get(rows, (size_t)row), "integers"),
                                  json_integer(layer->basis[row * layer->basis_bits + i]));
    if (rows)
        json_object_set_new(root, "basis", rows);
    return root;
}

static int print_json(const struct lq_model *model, const struct lq_model_info *info, bool bases)
{
    json_t *layers = json_array(), *provenance = json_object();
    json_t *root =
        json_pack("{s:s, s:{s:s, s:[i,i,i]}, s:{s:s, s:i}, s:I, s:I, s:I, s:o, s:o}", "name",
                  info->name, "input", "name", info->input_name, "shape", info->height, info->width,
                  info->channels, "output", "name", info->output_name, "classes", info->classes,
                  "macs", (json_int_t)info->macs, "quantized_macs",
                  (json_int_t)info->quantized_macs, "parameter_bytes",
                  (json_int_t)info->parameter_bytes, "provenance", provenance, "layers", layers);
    int status = CLI_OK;

    for (int i = 0; i < info->provenance_count; i++) {
        const char *key, *value;

        lq_model_provenance(model, i, &key, &value);
        json_object_set_new(provenance, key, json_string(value));
    }
    for (int i = 0; i < info->layer_count; i++) {
        struct lq_layer_info layer;

        lq_model_layer(model, i, &layer);
        json_array_append_new(layers, layer_json(&layer, bases));
    }
    if (!root || json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) != 0)
        status = cli_fail(CLI_FAILED, "cannot print the model");
    putchar('\n');
    json_decref(root);
    return status;
}

static int run(const struct cli_arguments *a)
{
    struct lq_model *model = NULL;
    struct lq_model_info info;
    struct lq_error error = {0};
    int status = CLI_OK;

    if (lq_model_open(a->engine, a->operands[0], &model, &error) != LQ_OK)
        return cli_fail_error(&error);
    lq_model_get_info(model, &info);
    if (cli_value(a, "json"))
        status = print_json(model, &info, cli_value(a, "bases"));
    else
        print_plain(model, &info, cli_value(a, "bases"));
    lq_model_unref(model);
    return status;
}

const struct cli_command command_inspect = {
    "inspect", "NET.lq", "show layers, shapes, bits, bases, sizes", NULL, 1, 1, options, run};
