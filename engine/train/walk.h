/* walk.h - runs a graph node by node, each for all images at once.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * So a node can be changed by what it is about to see. Quantized layers compute in floats on the
 * very levels that are served. A value is kept while a node still reads it.
 */
#ifndef LQ_TRAIN_WALK_H
#define LQ_TRAIN_WALK_H

#include "base/pool.h"
#include "graph/graph.h"
#include "kernels/kernels.h"

/* Numbers that are kept at most for one image, each counted once. */
int64_t lq_walk_numbers(const struct lq_graph *graph);

/* One node of a graph. */
struct lq_walk_node {
    const struct lq_graph *graph;
    int node;
    int count; /* of images */
    const struct lq_kernels *kernels;
    struct lq_pool *pool;
    bool quick; /* by the kernels of training, whose convolutions round more coarsely */
};
/* inputs: the node's, output: its value, [count][elements]. Errors: those of
 * lq_program_create_node. */
int lq_walk_run_node(const struct lq_walk_node *node, const float *const *inputs, float *output,
                     struct lq_error *error) LQ_MUST_CHECK;

/* Moments by channel of [pixels][channels] of each image, in double: the same for any number of
 * threads. ret_mean, ret_variance: [channels]. Errors: LQ_ERR_MEMORY. */
struct lq_walk_maps {
    const float *values;
    int count; /* of images */
    int64_t pixels;
    int channels;
};
int lq_walk_moments(const struct lq_walk_maps *maps, struct lq_pool *pool, double *ret_mean,
                    double *ret_variance, struct lq_error *error) LQ_MUST_CHECK;

#endif
