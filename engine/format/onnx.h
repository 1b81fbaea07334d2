/* onnx.h - imports a float network from ONNX.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_FORMAT_ONNX_H
#define LQ_FORMAT_ONNX_H

#include "graph/graph.h"

/* Of the file: the largest that is read. */
#define LQ_MAX_ONNX_BYTES ((size_t)1 << 30)

/* Builds a finished graph from an ONNX file in memory (opset 7 to 18, one float input [N,C,H,W],
 * one output). meta: of the result; its name, labels, preprocess and provenance are copied. Errors:
 * LQ_ERR_FORMAT, LQ_ERR_UNSUPPORTED (naming node, operator and attribute), LQ_ERR_LIMIT,
 * LQ_ERR_NUMERIC, LQ_ERR_MEMORY. */
int lq_onnx_import(const void *bytes, size_t size, const struct lq_meta *meta,
                   struct lq_graph **ret_graph, struct lq_error *error) LQ_MUST_CHECK;

#endif
