/* new.c - lqnet new: one of the paper's networks, with random weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "cli/cli.h"

static const struct cli_option options[] = {
    {"output", 'o', "NET.lq", "the file to write (required)"},
    {"bits", 'b', "W/A", "bits of weights and activations, 1..8 or float; default float/float"},
    {"grid", 0, "W/A", "sum of a snapped basis' integers; default 31/63, at least 2^bits - 1"},
    {"quantizer", 0, "KIND", "learned (default) or even"},
    {"seed", 0, "N", "of the weights; default 1"},
    {"shortcut", 0, "A|B", "of a ResNet: average pool and zero channels, or convolution 1x1"},
    {"size", 0, "N", "height and width of the input; default: the network's own"},
    {"classes", 0, "N", "default: the network's own"},
    {"name", 0, "NAME", "the model's name; default: the network's"},
    {"labels", 0, "FILE", "class names, one a line (see lqnet help import)"},
    {"mean", 0, "R,G,B", "mean of the pixels, after --scale; default: CIFAR-10's or ImageNet's"},
    {"std", 0, "R,G,B", "what pixels are divided by, after the mean is taken off"},
    {"scale", 0, "X", "what pixels are multiplied by first"},
    {"resize", 0, "N", "resize the shorter side to N, then crop the middle; 0: resize to fit"},
    {"images", 0, "N", "random pictures to take statistics from; default 16"},
    {NULL, 0, NULL, NULL}};

static int read_numbers(const struct cli_arguments *a, struct lq_arch_options *o)
{
    int64_t seed = 1, size = 0, classes = 0, images = 0;
    int status = cli_int(a, "seed", 0, INT64_MAX, &seed);

    if (status == CLI_OK)
        status = cli_int(a, "size", 1, LQ_MAX_ARCH_SIZE, &size);
    if (status == CLI_OK)
        status = cli_int(a, "classes", 1, 1 << 20, &classes);
    if (status == CLI_OK)
        status = cli_int(a, "images", 1, 4096, &images);
    o->seed = (uint64_t)seed;
    o->size = (int)size;
    o->classes = (int)classes;
    o->images = (int)images;
    return status;
}

static int read_options(const struct cli_arguments *a, struct lq_arch_options *o)
{
    const char *bits = cli_value(a, "bits");
    static const char *const quantizers[] = {"learned", "even", NULL};
    static const char *const shortcuts[] = {"A", "B", NULL};
    int quantizer = 0, shortcut = 0;
    int status = read_numbers(a, o);

    if (status == CLI_OK && !cli_value(a, "output"))
        status = cli_fail(CLI_USAGE, "new: option --output is missing");
    if (status == CLI_OK)
        status = cli_grids(a, "grid", &o->bits);
    if (status == CLI_OK && bits)
        status = cli_bits(a, "bits", bits, &o->bits);
    if (status == CLI_OK)
        status = cli_choice(a, "quantizer", quantizers, &quantizer);
    if (status == CLI_OK)
        status = cli_choice(a, "shortcut", shortcuts, &shortcut);
    if (cli_value(a, "shortcut"))
        o->shortcut = *shortcuts[shortcut];
    o->quantizer = (enum lq_quantizer_kind)quantizer;
    o->name = cli_value(a, "name");
    return status;
}

/* The network's own preprocessing with what the options change. */
static int read_preprocess(const struct cli_arguments *a, struct lq_arch_options *o,
                           struct lq_preprocess *preprocess)
{
    static const char *const names[] = {"scale", "mean", "std", "resize"};
    bool given = false;
    struct lq_error error = {0};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        given = given || cli_value(a, names[i]);
    if (!given)
        return CLI_OK;
    if (lq_arch_preprocess(o, preprocess, &error) != LQ_OK)
        return cli_fail_error(&error);
    o->preprocess = preprocess;
    return cli_preprocess(a, preprocess);
}

static int run(const struct cli_arguments *a)
{
    struct lq_arch_options o = {.arch = a->operands[0]};
    struct cli_labels labels = {0};
    struct lq_preprocess preprocess;
    struct lq_model *model = NULL;
    struct lq_error error = {0};
    int status = read_options(a, &o);

    if (status == CLI_OK)
        status = read_preprocess(a, &o, &preprocess);
    if (status == CLI_OK && cli_value(a, "labels"))
        status = cli_read_labels(cli_value(a, "labels"), &labels);
    o.labels = labels.lines;
    o.label_count = labels.count;
    if (status == CLI_OK && (lq_model_create_arch(a->engine, &o, &model, &error) != LQ_OK ||
                             lq_model_save(model, cli_value(a, "output"), &error) != LQ_OK))
        status = cli_fail_error(&error);
    if (status == CLI_OK)
        cli_print_network(model, cli_value(a, "output"));
    lq_model_unref(model);
    cli_labels_deinit(&labels);
    return status;
}

const struct cli_command command_new = {
    "new",
    "NETWORK",
    "make one of the paper's networks, with random weights",
    "ImageNet (224x224; AlexNet 227x227): alexnet, vgg-variant, googlenet-variant, densenet-121,\n"
    "resnet-18, resnet-34, resnet-50 (shortcuts of type B). CIFAR-10 (32x32): vgg-small, "
    "resnet-20,\n"
    "resnet-32, resnet-44, resnet-56 (shortcuts of type A). The first convolution and the last "
    "layer\n"
    "stay float; BatchNorm statistics and the bases of activations come from random pictures.\n",
    1,
    1,
    options,
    run};
