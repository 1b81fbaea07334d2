/* arch.c - the paper's networks, a table each, and what turns a table into a graph.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "arch/arch.h"

#include <stdio.h>
#include <string.h>

#include "arch/builder.h"
#include "base/status.h"

enum kind {
    CONV,           /* name; channels, kernel, stride; padded */
    CONV_VALID,     /* the same without padding */
    FULL,           /* name; channels: a convolution whose kernel is the whole map */
    RELU,           /* no numbers */
    BN_RELU,        /* no numbers */
    MAX_POOL,       /* kernel, stride, padding */
    GROUP,          /* features, blocks, stride: basic residual blocks */
    BOTTLENECKS,    /* the same of bottlenecks */
    INCEPTION,      /* name; widths of the branches 1x1, 3x3, 5x5 */
    INCEPTION_POOL, /* the same, with a pool behind */
    DENSE_BLOCK,    /* layers of growth 32 */
    TRANSITION,     /* no numbers */
    GLOBAL_POOL,    /* no numbers */
    END             /* a dense layer to the classes follows */
};

struct item {
    const char *name;
    enum kind kind;
    int n[3];
};

/* A line is what stands between two pools, or one of the blocks.
 * clang-format would give every item a line of its own. */
/* clang-format off */
#define ACT {NULL, BN_RELU, {0}}
#define POOL(kernel, stride, pad) {NULL, MAX_POOL, {kernel, stride, pad}}
#define AVERAGE {NULL, GLOBAL_POOL, {0}}
#define LAST {NULL, END, {0}}

static const struct item alexnet[] = {
    {"conv1", CONV_VALID, {96, 11, 4}}, POOL(3, 2, 0), ACT,
    {"conv2", CONV, {256, 5, 1}}, POOL(3, 2, 0), ACT,
    {"conv3", CONV, {384, 3, 1}}, ACT,
    {"conv4", CONV, {384, 3, 1}}, ACT,
    {"conv5", CONV, {256, 3, 1}}, POOL(3, 2, 0), ACT,
    {"fc6", FULL, {4096}}, ACT,
    {"fc7", FULL, {4096}}, ACT, LAST};

static const struct item vgg_variant[] = {
    {"conv1", CONV, {96, 7, 2}}, {NULL, RELU, {0}}, POOL(2, 2, 0), ACT,
    {"conv2_1", CONV, {256, 3, 1}}, ACT,
    {"conv2_2", CONV, {256, 3, 1}}, ACT,
    {"conv2_3", CONV, {256, 3, 1}}, POOL(2, 2, 0), ACT,
    {"conv3_1", CONV, {512, 3, 1}}, ACT,
    {"conv3_2", CONV, {512, 3, 1}}, ACT,
    {"conv3_3", CONV, {512, 3, 1}}, POOL(2, 2, 0), ACT,
    {"conv4_1", CONV, {512, 3, 1}}, ACT,
    {"conv4_2", CONV, {512, 3, 1}}, ACT,
    {"conv4_3", CONV, {512, 3, 1}}, POOL(2, 2, 0), ACT,
    {"fc5", FULL, {4096}}, ACT,
    {"fc6", FULL, {4096}}, ACT, LAST};

static const struct item vgg_small[] = {
    {"conv0", CONV, {128, 3, 1}}, ACT, {"conv1", CONV, {128, 3, 1}}, POOL(2, 2, 0), ACT,
    {"conv2", CONV, {256, 3, 1}}, ACT, {"conv3", CONV, {256, 3, 1}}, POOL(2, 2, 0), ACT,
    {"conv4", CONV, {512, 3, 1}}, ACT, {"conv5", CONV, {512, 3, 1}}, POOL(2, 2, 0), ACT, LAST};

static const struct item googlenet_variant[] = {
    {"conv1", CONV, {64, 7, 2}}, POOL(3, 2, 1), ACT,
    {"conv2_reduce", CONV, {192, 1, 1}}, ACT, {"conv2", CONV, {192, 3, 1}}, POOL(3, 2, 1), ACT,
    {"3a", INCEPTION, {96, 128, 32}}, {"3b", INCEPTION_POOL, {192, 192, 96}},
    {"4a", INCEPTION, {256, 208, 48}}, {"4b", INCEPTION, {224, 224, 64}},
    {"4c", INCEPTION, {192, 256, 64}}, {"4d", INCEPTION, {176, 288, 64}},
    {"4e", INCEPTION_POOL, {384, 320, 128}},
    {"5a", INCEPTION, {384, 320, 128}}, {"5b", INCEPTION, {512, 384, 128}}, AVERAGE, LAST};

static const struct item densenet_121[] = {
    {"conv1", CONV, {64, 7, 2}}, ACT, POOL(3, 2, 1),
    {NULL, DENSE_BLOCK, {6}}, {NULL, TRANSITION, {0}},
    {NULL, DENSE_BLOCK, {12}}, {NULL, TRANSITION, {0}},
    {NULL, DENSE_BLOCK, {24}}, {NULL, TRANSITION, {0}},
    {NULL, DENSE_BLOCK, {16}}, {"last", BN_RELU, {0}}, AVERAGE, LAST};

#define IMAGENET_RESNET(kind, a, b, c, d) { \
    {"conv0", CONV, {64, 7, 2}}, ACT, POOL(3, 2, 1), \
    {NULL, kind, {64, a, 1}}, {NULL, kind, {128, b, 2}}, {NULL, kind, {256, c, 2}}, \
    {NULL, kind, {512, d, 2}}, AVERAGE, LAST}
static const struct item resnet_18[] = IMAGENET_RESNET(GROUP, 2, 2, 2, 2);
static const struct item resnet_34[] = IMAGENET_RESNET(GROUP, 3, 4, 6, 3);
static const struct item resnet_50[] = IMAGENET_RESNET(BOTTLENECKS, 3, 4, 6, 3);

#define CIFAR_RESNET(n) { \
    {"conv0", CONV, {16, 3, 1}}, ACT, \
    {NULL, GROUP, {16, n, 1}}, {NULL, GROUP, {32, n, 2}}, {NULL, GROUP, {64, n, 2}}, AVERAGE, LAST}
static const struct item resnet_20[] = CIFAR_RESNET(3);
static const struct item resnet_32[] = CIFAR_RESNET(5);
static const struct item resnet_44[] = CIFAR_RESNET(7);
static const struct item resnet_56[] = CIFAR_RESNET(9);
/* clang-format on */

static const struct arch {
    struct lq_arch_info info;
    bool fan_out;
    const struct item *items;
} archs[] = {
    {{"alexnet", 227, 1000, 0}, false, alexnet},
    {{"vgg-variant", 224, 1000, 0}, false, vgg_variant},
    {{"googlenet-variant", 224, 1000, 0}, false, googlenet_variant},
    {{"densenet-121", 224, 1000, 0}, false, densenet_121},
    {{"resnet-18", 224, 1000, 'B'}, true, resnet_18},
    {{"resnet-34", 224, 1000, 'B'}, true, resnet_34},
    {{"resnet-50", 224, 1000, 'B'}, true, resnet_50},
    {{"vgg-small", 32, 10, 0}, false, vgg_small},
    {{"resnet-20", 32, 10, 'A'}, true, resnet_20},
    {{"resnet-32", 32, 10, 'A'}, true, resnet_32},
    {{"resnet-44", 32, 10, 'A'}, true, resnet_44},
    {{"resnet-56", 32, 10, 'A'}, true, resnet_56},
};
enum { ARCHS = sizeof(archs) / sizeof(*archs), CIFAR_CLASSES = 10, CIFAR_SIZE = 32, GROWTH = 32 };

const struct lq_arch_info *lq_arch_info(int index)
{
    return index >= 0 && index < ARCHS ? &archs[index].info : NULL;
}

/* A table on its way to a graph. */
struct state {
    struct lq_builder builder;
    const char *unit; /* the last named item */
    int blocks;       /* groups, dense blocks so far */
};

static int build_group(struct state *s, int value, const struct item *item)
{
    const struct lq_build_group group = {item->n[0], item->n[1], item->n[2],
                                         item->kind == BOTTLENECKS};

    return lq_build_residual_group(&s->builder, s->blocks++, value, &group);
}

static int build_inception(struct state *s, int value, const struct item *item)
{
    const struct lq_build_inception block = {
        item->name, {item->n[0], item->n[1], item->n[2]}, item->kind == INCEPTION_POOL};

    return lq_build_inception(&s->builder, value, &block);
}

static int build_conv(struct state *s, int value, const struct item *item)
{
    const struct lq_shape *shape = &s->builder.graph->values[value].shape;
    struct lq_build_conv conv = {item->n[0], item->n[1], item->n[2], item->kind != CONV};

    if (item->kind == FULL) {
        conv.kernel = shape->dims[0];
        conv.stride = 1;
    }
    return lq_build_conv(&s->builder, item->name, value, &conv);
}

static int build_item(struct state *s, int value, const struct item *item)
{
    struct lq_builder *b = &s->builder;
    const int *n = item->n;
    char name[32];

    b->prefix[0] = '\0';
    s->unit = item->name ? item->name : s->unit;
    snprintf(name, sizeof(name), "%s.pool", s->unit);
    switch (item->kind) {
    case CONV:
    case CONV_VALID:
    case FULL:
        return build_conv(s, value, item);
    case RELU:
        return lq_build_relu(b, "relu", value);
    case BN_RELU:
        return lq_build_bn_relu(b, s->unit, value);
    case MAX_POOL:
        return lq_build_max_pool(b, name, value, n[0], n[1], n[2]);
    case GROUP:
    case BOTTLENECKS:
        return build_group(s, value, item);
    case INCEPTION:
    case INCEPTION_POOL:
        return build_inception(s, value, item);
    case DENSE_BLOCK:
        return lq_build_dense_block(b, s->blocks++, value, n[0], GROWTH);
    case TRANSITION:
        return lq_build_transition(b, s->blocks - 1, value);
    case GLOBAL_POOL:
        return lq_build_global_pool(b, "global_pool", value);
    case END:
        break;
    }
    return value;
}

/* ------------------------------------------------------------------------------------------------
 * What is known beside the arithmetic
 */

static const char *const cifar_labels[CIFAR_CLASSES] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

/* Mean and standard deviation of the training images' channels. */
static const struct lq_preprocess cifar_preprocess = {.mean = {0.4914f, 0.4822f, 0.4465f},
                                                      .std = {0.2470f, 0.2435f, 0.2616f},
                                                      .scale = (float)(1 / 255.0)};
static const struct lq_preprocess imagenet_preprocess = {
    .mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}, .scale = (float)(1 / 255.0)};

static struct lq_preprocess preprocess(const struct lq_arch_options *options,
                                       const struct arch *arch)
{
    struct lq_preprocess p = arch->info.size == CIFAR_SIZE ? cifar_preprocess : imagenet_preprocess;

    if (arch->info.size != CIFAR_SIZE)
        p.resize = options->size * 8 / 7; /* 256 for 224, as usual */
    return options->preprocess ? *options->preprocess : p;
}

static int set_meta(struct lq_graph *graph, const struct lq_arch_options *options,
                    const struct arch *arch, struct lq_error *error)
{
    bool cifar = arch->info.size == CIFAR_SIZE;
    const char *const *labels = options->labels;
    int count = options->label_count, status;
    char text[128];

    if (!labels && cifar && options->classes == CIFAR_CLASSES) {
        labels = cifar_labels;
        count = CIFAR_CLASSES;
    }
    graph->meta.preprocess = preprocess(options, arch);
    snprintf(text, sizeof(text), "%s%s%.1s, random weights, seed %llu", arch->info.name,
             arch->info.shortcut ? ", shortcuts of type " : "",
             arch->info.shortcut ? &options->shortcut : "", (unsigned long long)options->seed);
    status = lq_graph_set_name(graph, options->name ? options->name : arch->info.name, error);
    if (status == LQ_OK && labels)
        status = lq_graph_set_labels(graph, labels, count, error);
    return status == LQ_OK ? lq_graph_set_provenance(graph, "source", text, error) : status;
}

/* ------------------------------------------------------------------------------------------------
 */

static int find_arch(const char *name, const struct arch **ret_arch, struct lq_error *error)
{
    char known[256] = "";

    for (int i = 0; i < ARCHS; i++) {
        if (strcmp(archs[i].info.name, name) == 0) {
            *ret_arch = &archs[i];
            return LQ_OK;
        }
        snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "",
                 archs[i].info.name);
    }
    return lq_fail(error, LQ_ERR_NOT_FOUND, "no architecture '%.64s'; there are %s", name, known);
}

/* Fills in what is left to the architecture. */
static int resolve(struct lq_arch_options *options, const struct arch *arch, struct lq_error *error)
{
    const struct lq_arch_info *info = &arch->info;

    options->size = options->size ? options->size : info->size;
    options->classes = options->classes ? options->classes : info->classes;
    if (options->shortcut && !info->shortcut)
        return lq_fail(error, LQ_ERR_INVALID, "%s has no shortcuts", info->name);
    options->shortcut = options->shortcut ? options->shortcut : info->shortcut;
    if (options->shortcut && options->shortcut != 'A' && options->shortcut != 'B')
        return lq_fail(error, LQ_ERR_INVALID, "shortcut is '%c', expected A or B",
                       options->shortcut);
    if (options->size < 0 || options->size > LQ_MAX_ARCH_SIZE || options->classes < 0)
        return lq_fail(error, LQ_ERR_INVALID,
                       "size %d, %d classes; expected at most %d, and more than 0", options->size,
                       options->classes, LQ_MAX_ARCH_SIZE);
    return LQ_OK;
}

static int build(const struct lq_arch_options *options, const struct arch *arch,
                 struct lq_graph *graph, struct lq_error *error)
{
    struct state s = {.builder = {.graph = graph,
                                  .error = error,
                                  .seed = options->seed,
                                  .fan_out = arch->fan_out,
                                  .shortcut = options->shortcut},
                      .unit = ""};
    const struct lq_shape input = {3, {options->size, options->size, 3}};
    int value, status = lq_graph_add_input(graph, "input", &input, error);

    if (status == LQ_OK)
        status = set_meta(graph, options, arch, error);
    value = status == LQ_OK ? graph->input : status;
    for (const struct item *item = arch->items; item->kind != END && value >= 0; item++)
        value = build_item(&s, value, item);
    s.builder.prefix[0] = '\0';
    value = lq_build_dense(&s.builder, "linear", value, options->classes);
    return value < 0 ? value : lq_graph_finish(graph, value, error);
}

int lq_arch_build(const struct lq_arch_options *options, struct lq_graph **ret_graph,
                  struct lq_error *error)
{
    struct lq_arch_options resolved = *options;
    const struct arch *arch = NULL;
    struct lq_graph *graph = NULL;
    int status = find_arch(options->arch, &arch, error);

    if (status == LQ_OK)
        status = resolve(&resolved, arch, error);
    if (status == LQ_OK)
        status = lq_graph_create(&graph, error);
    if (status == LQ_OK)
        status = build(&resolved, arch, graph, error);
    if (status == LQ_OK)
        *ret_graph = graph;
    else
        lq_graph_destroy(graph);
    return status;
}

int lq_arch_preprocess(const struct lq_arch_options *options, struct lq_preprocess *ret_preprocess,
                       struct lq_error *error)
{
    struct lq_arch_options resolved = *options;
    const struct arch *arch = NULL;
    int status = find_arch(options->arch, &arch, error);

    if (status == LQ_OK)
        status = resolve(&resolved, arch, error);
    if (status == LQ_OK)
        *ret_preprocess = preprocess(&resolved, arch);
    return status;
}
