/* calibrate.h - fits a network's batch normalizations and activation quantizers to images, without
 * labels and without gradients.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Node by node in the order they run, so that each sees what the nodes before it, fitted already,
 * make of the images: running means and variances become those of the images, blended with the old
 * ones; the basis of a quantizer takes QEM's alternations from where it stands, over the recorded
 * activations, and is snapped to its grid. Weights stay. (Statistics: Schneider et al. 2020,
 * "Improving robustness against common corruptions by covariate shift adaptation".)
 */
#ifndef LQ_TRAIN_CALIBRATE_H
#define LQ_TRAIN_CALIBRATE_H

#include "graph/graph.h"
#include "kernels/kernels.h"
#include "lq_learn.h"

struct lq_calibrate_input {
    const float *images; /* [count][height][width][channels]; released before the walk is over */
    int count, threads;
    const struct lq_kernels *kernels;
    unsigned steps; /* LQ_FINETUNE_STATISTICS, LQ_FINETUNE_BASES; 0: only measures */
    double blend;   /* part of the old statistics that is kept, 0..1 */
    /* After each node; true: cancel. May be NULL. */
    bool (*report)(void *context, int done, int total);
    void *context;
};

/* What a batch normalization or a quantizer saw, in the order of the nodes. */
struct lq_calibrated_node {
    int node;
    double before, after; /* a quantizer: relative squared error of its basis over the activations
                             as it stood and as it was left; a batch normalization: how far its
                             input lies from its statistics, struct lq_finetune_layer */
};

/* Changes the graph, which must be a copy of the caller's own (lq_graph_copy). ret_nodes: room for
 * the graph's nodes, or NULL; *ret_count of them are filled. Errors: LQ_ERR_NUMERIC (naming the
 * node), LQ_ERR_CANCELLED, LQ_ERR_MEMORY. */
int lq_calibrate_graph(struct lq_graph *graph, const struct lq_calibrate_input *input,
                       struct lq_calibrated_node *ret_nodes, int *ret_count,
                       struct lq_error *error) LQ_MUST_CHECK;

#endif
