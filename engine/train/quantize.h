/* quantize.h - quantizes a trained float network without training it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_QUANTIZE_H
#define LQ_TRAIN_QUANTIZE_H

#include "graph/graph.h"
#include "kernels/kernels.h"
#include "lq_learn.h"

/* images: [count][height][width][channels] inputs of the network, seen with the augmentation that
 * batch normalization is to be re-estimated under. threads: in force, not 0. As many of the images
 * are used as fit lq_quantize_image_limit. Provenance and labels are copied; "quantized" is added.
 * Errors: those of lq_model_quantize. */
struct lq_quantize_input {
    const float *images;
    int count;
    int threads;
    const struct lq_kernels *kernels;
    bool untrained; /* the weights are random: every batch normalization is estimated, fits are
                       coarse (lq_fit_weights_pooled), nothing is compared with the float network */
};
int lq_quantize_graph(const struct lq_graph *graph, const struct lq_quantize_input *input,
                      const struct lq_quantize_options *options, struct lq_graph **ret_graph,
                      struct lq_quantize_report *ret_report, struct lq_error *error) LQ_MUST_CHECK;

/* How many images' values can be held at once, in about 4 GiB. */
int64_t lq_quantize_image_limit(const struct lq_graph *graph);

#endif
