/* test_arch.c - the built-in networks: their sizes, their files, their forms, their statistics.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/cpu.h"
#include "lq_model.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

static struct lq_engine *engine;

/* Multiply-accumulates and weights of convolutions and dense layers, without biases: as published
 * where the network is a common one, else summed by hand. */
static const struct {
    const char *arch;
    int size;
    char shortcut;
    int layers;
    int64_t macs, weights;
} facts[] = {
    {"alexnet", 67, 0, 8, 87737376, 25667616},
    {"vgg-variant", 32, 0, 13, 238919680, 37361440},
    {"vgg-small", 0, 0, 7, 607600640, 4656512},
    {"resnet-18", 0, 'B', 21, 1814073344, 11678912},
    {"resnet-18", 0, 'A', 18, 1814073344 - 3 * 6422528, 11678912 - 172032},
    {"resnet-34", 0, 0, 37, 3663761408, 21779648},
    {"resnet-50", 0, 0, 54, 4089184256, 25502912},
    {"densenet-121", 0, 0, 121, 2834161664, 7894208},
    {"googlenet-variant", 0, 0, 49, 3184490496, 12249792},
    {"resnet-20", 0, 0, 20, 40551040, 268336},
    {"resnet-20", 0, 'B', 22, 40551040 + 2 * 131072, 268336 + 512 + 2048},
    {"resnet-32", 0, 0, 32, 68862592, 461872},
    {"resnet-44", 0, 0, 44, 97174144, 655408},
    {"resnet-56", 0, 0, 56, 125485696, 848944},
};
enum { FACTS = sizeof(facts) / sizeof(*facts) };

START_TEST(sizes)
{
    struct lq_arch_options options = {
        .arch = facts[_i].arch, .shortcut = facts[_i].shortcut, .size = facts[_i].size};
    struct lq_graph *graph = NULL;
    int64_t macs = 0, weights = 0;
    int layers = 0;

    ck_assert_int_eq(lq_arch_build(&options, &graph, NULL), LQ_OK);
    for (int i = 0; i < graph->node_count; i++) {
        const struct lq_node *node = &graph->nodes[i];

        macs += lq_op_macs(node->kind, &node->attributes, &graph->values[node->inputs[0]].shape,
                           &graph->values[node->output].shape);
        if (!node->params[LQ_PARAM_WEIGHT])
            continue;
        layers++;
        weights += lq_shape_elements(&node->params[LQ_PARAM_WEIGHT]->shape);
    }
    ck_assert_int_eq(layers, facts[_i].layers);
    ck_assert_int_eq(macs, facts[_i].macs);
    ck_assert_int_eq(weights, facts[_i].weights);
    lq_graph_destroy(graph);
}
END_TEST

/* ------------------------------------------------------------------------------------------------
 * Quantized
 */

enum { IMAGES = 3, MAX_CLASSES = 1000 };

static void run(struct lq_model *model, enum lq_form form, int threads, const uint8_t *pixels,
                float *ret_logits)
{
    struct lq_session_options options = {threads, threads, form};
    struct lq_session *session = NULL;

    ck_assert_int_eq(lq_session_create(model, &options, &session, NULL), LQ_OK);
    ck_assert_int_eq(lq_session_run_pixels(session, pixels, IMAGES, ret_logits, NULL), LQ_OK);
    lq_session_destroy(session);
}

/* Patches of random colour. */
static uint8_t *random_pixels(int size)
{
    uint8_t *pixels = malloc((size_t)(IMAGES * size * size * 3)), colour[3] = {0};

    ck_assert_ptr_nonnull(pixels);
    for (int i = 0; i < IMAGES * size * size; i++)
        for (int c = 0; c < 3; c++) {
            if (i % 8 == 0)
                colour[c] = (uint8_t)rand();
            pixels[3 * i + c] = (uint8_t)(colour[c] / 2 + rand() % 128);
        }
    return pixels;
}

/* Saved, opened, and computed in every integer form. */
static void check_forms(struct lq_model *model, const uint8_t *pixels)
{
    static float expected[IMAGES * MAX_CLASSES], got[IMAGES * MAX_CLASSES];
    struct lq_model *opened = NULL;
    struct lq_model_info info;
    char path[64];
    size_t bytes;

    lq_model_get_info(model, &info);
    bytes = sizeof(float) * IMAGES * (size_t)info.classes;
    run(model, LQ_FORM_PLAIN, 1, pixels, expected);
    for (int i = 0; i < IMAGES * info.classes; i++)
        ck_assert(isfinite(expected[i]));
    /* not dead: pictures are told apart */
    ck_assert_mem_ne(expected, expected + info.classes, sizeof(float) * (size_t)info.classes);
    snprintf(path, sizeof(path), "/tmp/lqnet-arch-%d.lq", (int)getpid());
    ck_assert_int_eq(lq_model_save(model, path, NULL), LQ_OK);
    ck_assert_int_eq(lq_model_open(engine, path, &opened, NULL), LQ_OK);
    unlink(path);
    run(opened, LQ_FORM_AUTO, 1, pixels, got);
    ck_assert_mem_eq(got, expected, bytes);
    run(opened, LQ_FORM_PACKED, 2, pixels, got);
    ck_assert_mem_eq(got, expected, bytes);
    lq_model_unref(opened);
}

static const struct {
    const char *arch;
    int size;
    char shortcut;
    struct lq_bits bits;
} quantized[] = {
    {"resnet-20", 0, 'A', {2, 2, 0, 0}},        {"resnet-20", 0, 'B', {1, 2, 14, 31}},
    {"resnet-32", 0, 0, {3, 3, 0, 0}},          {"resnet-56", 0, 0, {1, 1, 0, 0}},
    {"resnet-18", 64, 'A', {2, 2, 0, 0}},       {"densenet-121", 64, 0, {2, 2, 0, 0}},
    {"googlenet-variant", 64, 0, {2, 2, 0, 0}},
#ifndef SANITIZED /* where these would take minutes */
    {"resnet-18", 64, 'B', {1, 2, 0, 0}},       {"resnet-34", 64, 'B', {3, 3, 0, 0}},
    {"resnet-44", 0, 0, {4, 4, 0, 0}},          {"resnet-50", 64, 'B', {2, 2, 0, 0}},
    {"vgg-small", 0, 0, {2, 3, 0, 0}},          {"alexnet", 67, 0, {2, 2, 0, 0}},
    {"vgg-variant", 32, 0, {1, 2, 0, 0}},
#endif
};
enum { QUANTIZED = sizeof(quantized) / sizeof(*quantized) };

START_TEST(forms_agree)
{
    struct lq_arch_options options = {.arch = quantized[_i].arch,
                                      .size = quantized[_i].size,
                                      .shortcut = quantized[_i].shortcut,
                                      .bits = quantized[_i].bits,
                                      .images = 4,
                                      .seed = (uint64_t)rand()};
    struct lq_model *model = NULL;
    struct lq_model_info info;
    struct lq_error error = {0};
    uint8_t *pixels;

    ck_assert_msg(lq_model_create_arch(engine, &options, &model, &error) == LQ_OK, "%s",
                  error.text);
    lq_model_get_info(model, &info);
    ck_assert_int_gt(info.quantized_macs, info.macs / 2);
    pixels = random_pixels(info.height);
    check_forms(model, pixels);
    free(pixels);
    lq_model_unref(model);
}
END_TEST

/* One answer, whatever the tier, the batch and the number of threads. */
START_TEST(tiers_batches_and_threads_agree)
{
#ifdef SANITIZED
    enum { MANY = 9 };
#else
    enum { MANY = 64 };
#endif
    enum { PIXELS = 32 * 32 * 3, CLASSES = 10 };
    static const int batches[] = {1, 3, 8, 64};
    static uint8_t pixels[MANY * PIXELS];
    static float expected[MANY * CLASSES], got[MANY * CLASSES];
    struct lq_arch_options options = {.arch = "resnet-20", .bits = {_i, 2, 0, 0}, .images = 4};

    for (int i = 0; i < MANY * PIXELS; i++)
        pixels[i] = (uint8_t)(i % 3072 / 96 * 4 + rand() % 128);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct lq_engine *one = NULL;
        struct lq_model *model = NULL;

        if (!(lq_cpu_detect() >> tier & 1))
            continue;
        ck_assert_int_eq(lq_engine_create((2u << tier) - 1, &one, NULL), LQ_OK);
        ck_assert_int_eq(lq_model_create_arch(one, &options, &model, NULL), LQ_OK);
        for (int i = 0; i < 8; i += tier == LQ_CPU_C ? 7 : 1) { /* C takes its time */
            int batch = batches[i / 2];
            struct lq_session_options how = {batch, i % 2 + 1,
                                             i == 0 ? LQ_FORM_PLAIN : LQ_FORM_AUTO};
            struct lq_session *session = NULL;

            ck_assert_int_eq(lq_session_create(model, &how, &session, NULL), LQ_OK);
            ck_assert_int_eq(lq_session_run_pixels(session, pixels, MANY, got, NULL), LQ_OK);
            lq_session_destroy(session);
            if (tier == 0 && i == 0)
                memcpy(expected, got, sizeof(got));
            ck_assert_mem_eq(got, expected, sizeof(got));
        }
        lq_model_unref(model);
        lq_engine_destroy(one);
    }
}
END_TEST

/* Share of values that take each level of each quantizer, for pictures that the statistics were not
 * taken from: no level of two bits is left out, and none takes nearly all. */
START_TEST(levels_are_used)
{
    struct lq_arch_options options = {.arch = "resnet-20", .bits = {2, 2, 0, 0}, .seed = 5};
    struct lq_model *model = NULL;
    const struct lq_node *node;
    int weights = 0;

    ck_assert_int_eq(lq_model_create_arch(engine, &options, &model, NULL), LQ_OK);
    for (int i = 0; i < model->graph->node_count; i++) {
        int counts[4] = {0}, rows, length;

        node = &model->graph->nodes[i];
        if (!node->params[LQ_PARAM_CODES])
            continue;
        const struct lq_shape *shape = &node->params[LQ_PARAM_CODES]->shape;
        const uint8_t *codes = node->params[LQ_PARAM_CODES]->data;
        rows = shape->dims[1];
        length = shape->dims[2] * 8; /* no row has a rest */
        for (int k = 0; k < rows * length; k++)
            counts[(codes[k / 8] >> k % 8 & 1) | (codes[(rows * length + k) / 8] >> k % 8 & 1)
                                                     << 1]++;
        for (int level = 0; level < 4; level++)
            ck_assert_int_gt(counts[level], rows * length / 10);
        weights++;
    }
    ck_assert_int_eq(weights, 18);
    lq_model_unref(model);
}
END_TEST

/* After calibration every batch normalization gives values of mean 0 and variance 1 on pictures of
 * the same kind, so that no activation dies or saturates: a second network of the same weights that
 * is calibrated on other pictures has nearly the same statistics. */
START_TEST(statistics_are_sensible)
{
    struct lq_arch_options options = {.arch = "resnet-18", .size = 96, .seed = 3, .images = 16};
    struct lq_arch_options other = options;
    struct lq_model *models[2] = {NULL, NULL};

    other.images = 24;
    ck_assert_int_eq(lq_model_create_arch(engine, &options, &models[0], NULL), LQ_OK);
    ck_assert_int_eq(lq_model_create_arch(engine, &other, &models[1], NULL), LQ_OK);
    for (int i = 0; i < models[0]->graph->node_count; i++) {
        const struct lq_node *a = &models[0]->graph->nodes[i], *b = &models[1]->graph->nodes[i];
        double ratio = 0;

        if (a->kind != LQ_OP_BATCH_NORM)
            continue;
        int channels = a->params[LQ_PARAM_MEAN]->shape.dims[0];
        for (int c = 0; c < channels; c++) {
            float variance = ((const float *)a->params[LQ_PARAM_VARIANCE]->data)[c];

            ck_assert_float_gt(variance, 1e-3f);
            ratio += (double)(((const float *)b->params[LQ_PARAM_VARIANCE]->data)[c] / variance);
        }
        ck_assert_double_gt(ratio / channels, 0.7);
        ck_assert_double_lt(ratio / channels, 1.4);
    }
    lq_model_unref(models[0]);
    lq_model_unref(models[1]);
}
END_TEST

static bool same_weights(const struct lq_model *a, const struct lq_model *b)
{
    const struct lq_tensor *x = a->graph->nodes[0].params[LQ_PARAM_WEIGHT];
    const struct lq_tensor *y = b->graph->nodes[0].params[LQ_PARAM_WEIGHT];

    return memcmp(x->data, y->data, lq_tensor_bytes(x)) == 0;
}

START_TEST(seeds_and_meta)
{
    struct lq_arch_options options = {.arch = "resnet-20", .seed = 1, .images = 1};
    const struct lq_preprocess own = {.scale = 1, .mean = {1, 2, 3}, .std = {4, 5, 6}};
    struct lq_model *first = NULL, *again = NULL, *other = NULL;
    struct lq_model_info info;

    ck_assert_int_eq(lq_model_create_arch(engine, &options, &first, NULL), LQ_OK);
    options.bits = (struct lq_bits){3, 2, 0, 0}; /* the same float weights below */
    ck_assert_int_eq(lq_model_create_arch(engine, &options, &again, NULL), LQ_OK);
    options.seed = 2;
    options.classes = 7;
    options.preprocess = &own;
    options.name = "mine";
    ck_assert_int_eq(lq_model_create_arch(engine, &options, &other, NULL), LQ_OK);
    ck_assert(same_weights(first, again));
    ck_assert(!same_weights(first, other));
    lq_model_get_info(first, &info);
    ck_assert_str_eq(info.name, "resnet-20");
    ck_assert_int_eq(info.label_count, 10);
    ck_assert_int_eq(info.quantized_macs, 0);
    ck_assert_str_eq(lq_model_label(first, 9), "truck");
    ck_assert_float_eq(info.preprocess.std[0], 0.2470f);
    lq_model_get_info(other, &info);
    ck_assert_str_eq(info.name, "mine");
    ck_assert_int_eq(info.classes, 7);
    ck_assert_int_eq(info.label_count, 0);
    ck_assert_float_eq(info.preprocess.std[2], 6);
    lq_model_unref(first);
    lq_model_unref(again);
    lq_model_unref(other);
}
END_TEST

START_TEST(refusals)
{
    const struct {
        struct lq_arch_options options;
        int status;
        const char *text;
    } cases[] = {
        {{.arch = "resnet-19"}, LQ_ERR_NOT_FOUND, "resnet-18, resnet-34"},
        {{.arch = "vgg-small", .shortcut = 'A'}, LQ_ERR_INVALID, "no shortcuts"},
        {{.arch = "resnet-20", .shortcut = 'C'}, LQ_ERR_INVALID, "'C'"},
        {{.arch = "resnet-20", .size = -1}, LQ_ERR_INVALID, "size -1"},
        {{.arch = "resnet-20", .size = LQ_MAX_ARCH_SIZE + 1}, LQ_ERR_INVALID, "1025"},
        {{.arch = "resnet-20", .classes = -1}, LQ_ERR_INVALID, "-1 classes"},
        {{.arch = "resnet-20", .classes = 1 << 30}, LQ_ERR_LIMIT, ""},
        {{.arch = "alexnet", .size = 66}, LQ_ERR_INVALID, "pool"},
        {{.arch = "resnet-20", .bits = {9, 2, 0, 0}}, LQ_ERR_INVALID, "bits 9"},
        {{.arch = "resnet-20", .bits = {2, 2, 2, 0}}, LQ_ERR_INVALID, "grid 2"},
        {{.arch = "resnet-20", .images = -1}, LQ_ERR_INVALID, "-1 images"},
        {{.arch = "resnet-20", .label_count = 1, .labels = (const char *const[]){"x"}},
         LQ_ERR_INVALID,
         "1 labels for 10"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct lq_model *model = NULL;
        struct lq_error error = {0};

        ck_assert_msg(lq_model_create_arch(engine, &cases[i].options, &model, &error) ==
                              cases[i].status &&
                          strstr(error.text, cases[i].text),
                      "case %zu: %d %s", i, error.status, error.text);
        ck_assert_ptr_null(model);
    }
    ck_assert_ptr_null(lq_arch_info(-1));
    ck_assert_ptr_null(lq_arch_info(12));
    ck_assert_str_eq(lq_arch_info(11)->name, "resnet-56");
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("arch");

    if (lq_engine_create(LQ_CPU_ALL, &engine, NULL) != LQ_OK)
        return 1;
    tcase_add_loop_test(tests, sizes, 0, FACTS);
    tcase_add_loop_test(tests, forms_agree, 0, QUANTIZED);
#ifdef SANITIZED
    tcase_add_loop_test(tests, tiers_batches_and_threads_agree, 2, 3);
#else
    tcase_add_loop_test(tests, tiers_batches_and_threads_agree, 1, 4);
#endif
    tcase_add_test(tests, levels_are_used);
    tcase_add_test(tests, statistics_are_sensible);
    tcase_add_test(tests, seeds_and_meta);
    tcase_add_test(tests, refusals);
    return suite_main("arch", tests);
}
