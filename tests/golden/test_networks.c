/* test_networks.c - real networks on real images, where LQ_DATA has them.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * The float figures are those of two other inference engines on the same files.
 */
#include "support/suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lq.h"

static struct lq_engine *engine;
static const char *data;

static const struct network {
    const char *file, *images;
    float mean[3], std[3], scale;
    int resize;
    double top1, top5; /* top5 0: not known */
    int64_t limit;
} networks[] = {
    {"resnet20-cifar10",
     "cifar-10-batches-bin",
     {.485f, .456f, .406f},
     {.229f, .224f, .225f},
     (float)(1 / 255.0),
     0,
     91.73,
     0,
     0},
    {"resnet56-cifar10",
     "cifar-10-batches-bin",
     {.485f, .456f, .406f},
     {.229f, .224f, .225f},
     (float)(1 / 255.0),
     0,
     93.39,
     0,
     0},
    {"resnet56-cifar10-torchexport",
     "cifar-10-batches-bin",
     {.485f, .456f, .406f},
     {.229f, .224f, .225f},
     (float)(1 / 255.0),
     0,
     93.39,
     0,
     0},
    {"googlenet-bvlc-imagenet",
     "imagenet-samples",
     {123, 117, 104},
     {1, 1, 1},
     1,
     256,
     73.6,
     91.2,
     0},
    {"squeezenet1.1-imagenet",
     "imagenet-samples",
     {123, 117, 104},
     {1, 1, 1},
     1,
     256,
     59.8,
     80.8,
     0},
};

static struct lq_model *import(const struct network *network)
{
    struct lq_import_options options = {
        .preprocess = {.resize = network->resize, .scale = network->scale},
        .augmentation = "crop4-black,flip"};
    struct lq_error error = {0};
    struct lq_model *model = NULL;
    char path[512];

    memcpy(options.preprocess.mean, network->mean, sizeof(network->mean));
    memcpy(options.preprocess.std, network->std, sizeof(network->std));
    snprintf(path, sizeof(path), "%s/onnx/%s.onnx", data, network->file);
    ck_assert_msg(lq_model_import_onnx(engine, path, &options, &model, &error) == LQ_OK, "%s",
                  error.text);
    return model;
}

static struct lq_dataset *open_images(const char *folder, enum lq_split split)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", data, folder);
    ck_assert_msg(lq_dataset_open(path, split, &dataset, &error) == LQ_OK, "%s", error.text);
    return dataset;
}

static struct lq_evaluation evaluate(struct lq_model *model, const struct lq_dataset *dataset,
                                     enum lq_form form, int64_t limit, int threads)
{
    struct lq_evaluate_options options = {.form = form, .limit = limit, .threads = threads};
    struct lq_evaluation evaluation;
    struct lq_error error = {0};

    ck_assert_msg(lq_evaluate(model, dataset, &options, &evaluation, &error) == LQ_OK, "%s",
                  error.text);
    return evaluation;
}

START_TEST(float_accuracy)
{
    const struct network *network = &networks[_i];
    struct lq_model *model = import(network);
    struct lq_dataset *dataset = open_images(network->images, LQ_SPLIT_TEST);
    struct lq_evaluation e = evaluate(model, dataset, LQ_FORM_AUTO, network->limit, 0);

    printf("%s: top-1 %.2f, top-5 %.2f\n", network->file, e.top1, e.top5);
    ck_assert_double_eq_tol(e.top1, network->top1, 0.1);
    if (network->top5 > 0)
        ck_assert_double_eq_tol(e.top5, network->top5, 0.1);
    lq_evaluation_deinit(&e);
    lq_dataset_close(dataset);
    lq_model_unref(model);
}
END_TEST

static struct lq_model *quantize(struct lq_model *model, struct lq_quantize_options *options)
{
    struct lq_dataset *dataset = open_images("cifar-10-batches-bin", LQ_SPLIT_TRAIN);
    struct lq_quantize_report report = {0};
    struct lq_model *quantized = NULL;
    struct lq_error error = {0};

    ck_assert_msg(lq_model_quantize(model, dataset, options, &quantized, &report, &error) == LQ_OK,
                  "%s", error.text);
    ck_assert_int_eq(report.layer_count, 18);
    lq_quantize_report_deinit(&report);
    lq_dataset_close(dataset);
    return quantized;
}

/* Without training, 8 bits lose less than 0.3 points. */
START_TEST(eight_bits)
{
    struct lq_model *model = import(&networks[0]);
    struct lq_quantize_options options = {
        .bits = {8, 8, 0, 0}, .images = 500, .iterations = 20, .keep_batch_norm = true};
    struct lq_model *quantized = quantize(model, &options);
    struct lq_dataset *dataset = open_images("cifar-10-batches-bin", LQ_SPLIT_TEST);
    struct lq_evaluation e = evaluate(quantized, dataset, LQ_FORM_AUTO, 0, 0);

    printf("resnet20 8/8: top-1 %.2f\n", e.top1);
    ck_assert_double_ge(e.top1, 91.73 - 0.3);
    lq_evaluation_deinit(&e);
    lq_dataset_close(dataset);
    lq_model_unref(quantized);
    lq_model_unref(model);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("networks");
    struct lq_error error = {0};

    data = getenv("LQ_DATA");
    if (!data || !*data) {
        puts("networks: skipped, LQ_DATA names no folder of data");
        tests = tcase_create("nothing");
        return suite_main("networks", tests);
    }
    if (lq_engine_create(LQ_CPU_ALL, &engine, &error) != LQ_OK)
        return 1;
    tcase_set_timeout(tests, 280);
    tcase_add_loop_test(tests, float_accuracy, 0, sizeof(networks) / sizeof(*networks));
    tcase_add_test(tests, eight_bits);
    return suite_main("networks", tests);
}
