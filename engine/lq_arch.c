/* lq_arch.c - the door to the built-in networks.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "arch/arch.h"
#include "base/rng.h"
#include "base/status.h"
#include "lq_model.h"
#include "train/quantize.h"

#define DEFAULT_IMAGES 16
#define MAX_IMAGES     4096
#define PATCH          16 /* pixels */

/* A random picture: patches of random colour, and noise, so that statistics taken from it are those
 * of something between a photograph and noise. */
static void draw(struct lq_rng *rng, const struct lq_preprocess *p, int size, float *ret_image)
{
    int patches = (size + PATCH - 1) / PATCH;
    uint8_t row[3 * (LQ_MAX_ARCH_SIZE / PATCH + 1)] = {0};

    for (int y = 0; y < size; y++) {
        for (int i = 0; y % PATCH == 0 && i < 3 * patches; i++)
            row[i] = (uint8_t)lq_rng_u32(rng);
        for (int x = 0; x < size; x++)
            for (int c = 0; c < 3; c++) {
                int pixel = row[3 * (x / PATCH) + c] + (int)lq_rng_below(rng, 65) - 32;

                pixel = pixel < 0 ? 0 : pixel > 255 ? 255 : pixel;
                *ret_image++ = ((float)pixel * p->scale - p->mean[c]) / p->std[c];
            }
    }
}

/* Copies the float network with everything that is taken from data. */
static int calibrate(const struct lq_engine *engine, const struct lq_arch_options *options,
                     const struct lq_graph *graph, struct lq_graph **ret_graph,
                     struct lq_error *error)
{
    int size = graph->values[graph->input].shape.dims[0];
    size_t floats = (size_t)size * (size_t)size * 3;
    struct lq_quantize_options quantize = {.bits = options->bits, .quantizer = options->quantizer};
    struct lq_quantize_report report = {0};
    struct lq_quantize_input input = {.count = options->images ? options->images : DEFAULT_IMAGES,
                                      .threads =
                                          options->threads ? options->threads : lq_cpu_count(),
                                      .kernels = lq_engine_kernels(engine),
                                      .untrained = true};
    struct lq_rng rng;
    float *images;
    int status;

    if (input.count < 1 || input.count > MAX_IMAGES)
        return lq_fail(error, LQ_ERR_INVALID, "%d images, expected 1..%d", input.count, MAX_IMAGES);
    images = lq_alloc((size_t)input.count * floats, sizeof(*images));
    if (!images)
        return lq_fail_memory(error);
    lq_rng_init(&rng, options->seed, UINT64_C(1) << 32); /* no layer's stream */
    for (int i = 0; i < input.count; i++)
        draw(&rng, &graph->meta.preprocess, size, images + (size_t)i * floats);
    input.images = images;
    status = lq_quantize_graph(graph, &input, &quantize, ret_graph, &report, error);
    lq_quantize_report_deinit(&report);
    free(images);
    return status;
}

int lq_model_create_arch(const struct lq_engine *engine, const struct lq_arch_options *options,
                         struct lq_model **ret_model, struct lq_error *error)
{
    struct lq_graph *graph, *calibrated;
    int status = lq_arch_build(options, &graph, error);

    if (status != LQ_OK)
        return status;
    status = calibrate(engine, options, graph, &calibrated, error);
    lq_graph_destroy(graph);
    return status == LQ_OK ? lq_model_create(engine, calibrated, ret_model, error) : status;
}
