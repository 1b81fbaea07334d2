/* trainer.h - trains a network.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_TRAIN_TRAINER_H
#define LQ_TRAIN_TRAINER_H

#include "train/dataset.h"
#include "train/tape.h"

/* All are kept by reference. options: in force (lq_train_resolve). */
struct lq_trainer_input {
    const struct lq_graph *graph;
    const struct lq_graph *latent;  /* float network whose weights the quantized layers start from;
                                       NULL: their own */
    const struct lq_graph *teacher; /* NULL: none; of the same input size and classes */
    const struct lq_dataset *train, *test;
    const struct lq_kernels *kernels;
    bool fixed_weights;    /* struct lq_tape_options */
    bool keeps_provenance; /* nothing is added to the graph's */
};

/* Replaces what is 0 for a default, and checks the ranges. Errors: LQ_ERR_INVALID. */
int lq_train_resolve(const struct lq_train_options *options, struct lq_train_options *ret_options,
                     struct lq_error *error) LQ_MUST_CHECK;

/* Errors: those of lq_train. */
struct lq_trained {
    struct lq_graph *graph;
    struct lq_graph *latent; /* the float network behind it; NULL: the input had none */
};
int lq_trainer_run(const struct lq_trainer_input *input, const struct lq_train_options *options,
                   struct lq_trained *ret_trained, struct lq_error *error) LQ_MUST_CHECK;

/* A copy with random weights: normal, of variance 2 / (inputs of a dot product) for convolutions, 1
 * / (the same) for dense layers (He et al. 2015); biases 0; batch normalizations gamma 1, beta 0,
 * mean 0, variance 1. Errors: LQ_ERR_INVALID (quantized layers), LQ_ERR_MEMORY. */
int lq_randomise_graph(const struct lq_graph *graph, uint64_t seed, struct lq_graph **ret_graph,
                       struct lq_error *error) LQ_MUST_CHECK;

#endif
