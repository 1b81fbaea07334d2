/* networks.h - small networks with random weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_NETWORKS_H
#define TESTS_SUPPORT_NETWORKS_H

#include "base/rng.h"
#include "graph/graph.h"

/* w_bits and a_bits of both: 0 and 0 for a network of floats. */

/* 3x12x10 input, float stem, then: quantized 3x3 convolutions of w_bits/a_bits (the second with
 * stride 2, groups and a negative gamma), a residual addition, concat, pool, dense, 5 classes. */
struct lq_graph *network_create(struct lq_rng *rng, int w_bits, int a_bits);

/* 3x20x18 input, float stem with a max pool, then pre-activation blocks as the paper has them: with
 * an identity shortcut, with one that starts behind the activation and is computed last, with a
 * quantized one; a max pool behind a quantized convolution before
 * and behind batch normalization; global pool, dense, 5 classes. */
struct lq_graph *network_preactivated(struct lq_rng *rng, int w_bits, int a_bits);

/* 3x7x5 input, float stem, then layers of 64, 72, 72 and 405 columns whose lines no two threads can
 * share evenly: a residual block, a convolution that makes codes and one that makes floats, a dense
 * layer; dense, 5 classes. Each has more than a million products. */
struct lq_graph *network_uneven(struct lq_rng *rng, int w_bits, int a_bits);

#endif
