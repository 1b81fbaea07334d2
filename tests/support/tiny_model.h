/* tiny_model.h - a small quantized network that has everything a model file can hold.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_SUPPORT_TINY_MODEL_H
#define TESTS_SUPPORT_TINY_MODEL_H

#include "graph/graph.h"

/* Input "input" 3x8x8; conv 3->8, batch_norm, relu; quantize 2 bits (grid 31), quantized conv 8->8
 * of 2 bits (grid 14), batch_norm, relu; global average, reshape, dense 8->4. All convolutions are
 * 3x3 with padding 1. Random weights from the seed. Four labels ("cat", "dog", "frog", "ship"),
 * name "tiny", preprocessing, two lines of provenance. Finished. */
int tiny_graph(uint64_t seed, struct lq_graph **ret_graph, struct lq_error *error) LQ_MUST_CHECK;

/* Saves tiny_graph(1). */
int tiny_model_write(const char *path, struct lq_error *error) LQ_MUST_CHECK;

#endif
