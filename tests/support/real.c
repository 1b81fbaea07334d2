/* real.c - real networks and real images, where the variable LQ_DATA names a folder of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/real.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define CIFAR                                                                                      \
    {                                                                                              \
        .mean = {.485f, .456f, .406f}, .std = {.229f, .224f, .225f}, .scale = (float)(1 / 255.0)   \
    }
#define IMAGENET                                                                                   \
    {                                                                                              \
        .mean = {123, 117, 104}, .std = {1, 1, 1}, .scale = 1, .resize = 256                       \
    }

const struct real_network real_networks[REAL_COUNT] = {
    {"resnet20-cifar10", "cifar-10-batches-bin", CIFAR, 91.73, 0},
    {"resnet56-cifar10", "cifar-10-batches-bin", CIFAR, 93.39, 0},
    {"resnet56-cifar10-torchexport", "cifar-10-batches-bin", CIFAR, 93.39, 0},
    {"googlenet-bvlc-imagenet", "imagenet-samples", IMAGENET, 73.6, 91.2},
    {"squeezenet1.1-imagenet", "imagenet-samples", IMAGENET, 59.8, 80.8},
};

const char *real_data(const char *suite)
{
    const char *data = getenv("LQ_DATA");

    if (data && *data)
        return data;
    printf("%s: skipped, LQ_DATA names no folder of data\n", suite);
    return NULL;
}

struct lq_model *real_import(const struct lq_engine *engine, int network)
{
    struct lq_import_options options = {.preprocess = real_networks[network].preprocess,
                                        .augmentation = "crop4-black,flip"};
    struct lq_error error = {0};
    struct lq_model *model = NULL;
    char path[512];

    snprintf(path, sizeof(path), "%s/onnx/%s.onnx", getenv("LQ_DATA"), real_networks[network].file);
    ck_assert_msg(lq_model_import_onnx(engine, path, &options, &model, &error) == LQ_OK, "%s",
                  error.text);
    return model;
}

struct lq_dataset *real_images(const char *folder, enum lq_split split)
{
    struct lq_dataset *dataset = NULL;
    struct lq_error error = {0};
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", getenv("LQ_DATA"), folder);
    ck_assert_msg(lq_dataset_open(path, split, &dataset, &error) == LQ_OK, "%s", error.text);
    return dataset;
}

struct lq_model *real_quantize(const struct lq_engine *engine,
                               const struct lq_quantize_options *options)
{
    struct lq_model *model = real_import(engine, REAL_RESNET20), *quantized = NULL;
    struct lq_dataset *dataset = real_images("cifar-10-batches-bin", LQ_SPLIT_TRAIN);
    struct lq_quantize_report report = {0};
    struct lq_error error = {0};

    ck_assert_msg(lq_model_quantize(model, dataset, options, &quantized, &report, &error) == LQ_OK,
                  "%s", error.text);
    ck_assert_int_eq(report.layer_count, 18);
    lq_quantize_report_deinit(&report);
    lq_dataset_close(dataset);
    lq_model_unref(model);
    return quantized;
}
