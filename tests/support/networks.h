/* networks.h - small networks with random weights.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_NETWORKS_H
#define TESTS_SUPPORT_NETWORKS_H

#include "base/rng.h"
#include "graph/graph.h"

/* 3x12x10 input, float stem, then: quantized 3x3 convolutions of w_bits/a_bits (the second with
 * stride 2, groups and a negative gamma), a residual addition, concat, pool, dense, 5 classes. */
struct lq_graph *network_create(struct lq_rng *rng, int w_bits, int a_bits);

#endif
