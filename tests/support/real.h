/* real.h - real networks and real images, where the variable LQ_DATA names a folder of them.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_REAL_H
#define TESTS_SUPPORT_REAL_H

#include "lq_learn.h"

/* The folder, or NULL after a message that SUITE skips its tests. */
const char *real_data(const char *suite);

/* A network and what two other inference engines make of it. */
struct real_network {
    const char *file, *images; /* $LQ_DATA/onnx/FILE.onnx, $LQ_DATA/IMAGES */
    struct lq_preprocess preprocess;
    double top1, top5; /* percent; top5 0: not known */
};
enum { REAL_RESNET20, REAL_RESNET56, REAL_RESNET56_EXPORT, REAL_GOOGLENET, REAL_SQUEEZENET };
#define REAL_COUNT (REAL_SQUEEZENET + 1)
extern const struct real_network real_networks[REAL_COUNT];

/* These end the test where they fail. */
struct lq_model *real_import(const struct lq_engine *engine, int network);
struct lq_dataset *real_images(const char *folder, enum lq_split split);
/* ResNet-20 quantized on CIFAR-10's training images. */
struct lq_model *real_quantize(const struct lq_engine *engine,
                               const struct lq_quantize_options *options);

#endif
