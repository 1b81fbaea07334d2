/* arch.h - the paper's networks, built in: float graphs with random weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * What is common to all of them:
 *   - A convolution has no bias where batch normalization follows. Weights are normal with the
 *     variance 2 / fan (He), fan = kernel_h * kernel_w * out_channels in ResNets, in_channels in
 * the others, as in the authors' code. Every layer draws from a stream of its own, so that a
 * layer's weights depend on the seed and its number alone.
 *   - Batch normalization starts at gamma 1, beta 0, mean 0, variance 1, with epsilon 1e-5.
 *   - Padding is (kernel - 1) / 2 on every side, of windows with a stride too.
 *   - Quantizers sit at the inputs of convolutions and dense layers, so they are no part of the
 * float network: train/quantize.h and the trainer put them there, one for each value that is read.
 *
 * ResNets are pre-activation networks, those for CIFAR (He's depths and widths) too: a block is
 * (BN ReLU) conv BN ReLU conv BN plus shortcut, the sum is float; the first block of a group starts
 * without BN ReLU, for what stands before it (the stem, the group's last BN ReLU) ends in one. A
 * shortcut that changes the shape is of type A: average pool 2x2, zero channels appended, float
 * (CIFAR's default, He's choice there); or of type B: convolution 1x1 and BN (ImageNet's default),
 * which shares the quantizer of the block's first convolution.
 */
#ifndef LQ_ARCH_ARCH_H
#define LQ_ARCH_ARCH_H

#include "graph/graph.h"
#include "lq_learn.h"

/* Builds and finishes the float network, with name, labels and preprocessing; provenance "source"
 * tells architecture, shortcut and seed. Errors: those of lq_model_create_arch. */
int lq_arch_build(const struct lq_arch_options *options, struct lq_graph **ret_graph,
                  struct lq_error *error) LQ_MUST_CHECK;

#endif
