/* lqfile.h - the .lq model file: one network with all that is needed to run it.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A .lq file is a safetensors file, so any reader of that format can list and load its tensors. All
 * numbers are little-endian. XXH3-128 digests have seed 0 and are written as 32 lower-case
 * hexadecimal digits, the more significant 64 bits first (as `xxhsum -H2` prints them).
 *
 *   offset 0   u64: bytes of the header, N; 8 + N is a multiple of 64 and N at most 2^24
 *   offset 8   the header: a JSON object in UTF-8 without repeated keys, then spaces up to N bytes
 *   8 + N      the data: the tensors' elements one after another, without holes, to the file's end
 *
 * The header begins with exactly these bytes, in every version of the format:
 *   {"__metadata__":{"xxh3_128_header":"
 * followed by the 32 digits of the digest of all bytes before the data, these digits themselves
 * taken as 32 characters '0'. Whoever changes a byte of the header must renew it.
 *
 * Keys of the header
 *   "__metadata__"  below
 *   any other       a tensor: {"dtype":"F32"|"I32"|"I16"|"U8", "shape":[...], "data_offsets":[from,
 *                   to]}, offsets counted from the start of the data. Tensors appear in the order
 * of their data; each starts where the one before ends and at a multiple of its element's size.
 * (Writers put F32 first, then I32, I16, U8.) Rank 0 to 4.
 *
 * Keys of "__metadata__": all values are strings. Unknown keys are ignored; optional ones may be
 * left out.
 *   "xxh3_128_header"  the header's digest, first
 *   "format"           "lqnet"
 *   "format_version"   "1", a decimal integer; readers refuse a later one
 *   "xxh3_128"         the digest of the data
 *   "graph"            JSON object, below
 *   "name"             optional: of the model
 *   "labels"           optional: JSON array of strings, one for each number of the output
 *   "preprocess"       optional: JSON object {"resize":int, "mean":[3 numbers], "std":[3 numbers],
 *                      "scale":number}, the fields of struct lq_preprocess (lq.h)
 *   "provenance"       optional: JSON object of strings: how and from what the model was made; the
 *                      order counts
 *
 * "graph" is {"input":{"name":string, "shape":[height, width, channels]}, "nodes":[...]}. Nodes are
 * in an order in which they can run; the last one makes the network's output, and every other one
 * contributes to it. A node is an object of
 *   "name"     unique among nodes
 *   "op"       an operator's text (LQ_OP_LIST in ops/op.h)
 *   "inputs"   array of names of values: the graph's input or an earlier node's output. Left out:
 *              one input, the value made by the node before (the graph's input, for the first node)
 *   "output"   name of the value that it makes, unique among values. Left out: the node's name
 * and of its attributes:
 *   conv          kernel [h, w], stride [h, w] = [1, 1], dilation [h, w] = [1, 1],
 *                 pads [top, left, bottom, right] = [0, 0, 0, 0], out_channels, groups = 1,
 *                 bits = 0, grid = 0
 *   dense         out_channels, bits = 0, grid = 0
 *   batch_norm    epsilon
 *   clip          min, max: left out where unbounded
 *   concat        axis
 *   pad           before, after [h, w, c] = [0, 0, 0], value = 0
 *   slice         start [h, w, c] = [0, 0, 0], end [h, w, c], step [h, w, c] = [1, 1, 1]
 *   max_pool      kernel, stride, pads as conv, ceil_mode = false
 *   average_pool  as max_pool, count_include_pad = false
 *   lrn           size, alpha, beta, bias
 *   reshape       shape: array of 1 to 4 integers
 *   quantize      bits, grid
 * "= x" is the value of an attribute that is left out; writers leave out those that have it. What
 * attributes mean and which values are legal is said in ops/op.h. Floats are written with 9
 * significant digits, which is exact. An attribute that the operator does not have is an error.
 *
 * A node's parameters (LQ_PARAM_LIST in ops/op.h, with types and shapes) are the tensors called
 * "NODE.PARAM", for example "layer1.0.conv1.codes". Every tensor belongs to a node. Codes of
 * quantized weights are bit planes [bits][out_channels][bytes], a row of bytes holding one bit of
 * each of kernel_h * kernel_w * in_channels / groups weights in that order, least significant bit
 * first, unused bits zero (quant/pack.h). Code bit 1 stands for +1, 0 for -1; a weight is
 * sum over i of (+-1)_i * basis[channel][i], times scale[channel].
 */
#ifndef LQ_FORMAT_LQFILE_H
#define LQ_FORMAT_LQFILE_H

#include "graph/graph.h"

#define LQ_FILE_VERSION 1

/* Checks everything and builds a finished graph. file->bytes must be aligned to 64 bytes, as a
 * mapping is. Takes over the file on success, leaving *file empty: tensors point into it. Errors:
 * LQ_ERR_FORMAT (offset and reason), LQ_ERR_UNSUPPORTED, LQ_ERR_LIMIT, LQ_ERR_NUMERIC,
 * LQ_ERR_MEMORY. */
int lq_lqfile_parse(struct lq_file *file, struct lq_graph **ret_graph,
                    struct lq_error *error) LQ_MUST_CHECK;

/* Writes a finished graph: temporary file, fsync, rename. Tensors are named after the node that
 * uses them; one that several nodes share is written for each. The same graph gives the same bytes.
 * Errors: LQ_ERR_INVALID (not finished), LQ_ERR_LIMIT (a header above 2^24 bytes), LQ_ERR_IO,
 * LQ_ERR_MEMORY. */
int lq_lqfile_save(const struct lq_graph *graph, const char *path,
                   struct lq_error *error) LQ_MUST_CHECK;

#endif
