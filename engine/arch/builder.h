/* builder.h - adds layers with random weights to a graph: the words that arch.c's tables use.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every function takes a value's index and gives that of the value it made, or a negative status.
 * A negative index is handed through, so calls can be nested and checked once. Nodes are named by
 * printf-style formats behind the builder's prefix.
 */
#ifndef LQ_ARCH_BUILDER_H
#define LQ_ARCH_BUILDER_H

#include "graph/graph.h"

struct lq_builder {
    struct lq_graph *graph;
    struct lq_error *error;
    uint64_t seed;
    bool fan_out;    /* He: fan of the outputs */
    char shortcut;   /* 'A' or 'B' */
    int layers;      /* convolutions and dense layers so far: each a random stream */
    char prefix[64]; /* "group1.block0." */
};

int lq_build_channels(const struct lq_builder *b, int value);

struct lq_build_conv {
    int out_channels, kernel, stride;
    bool valid; /* no padding */
};
int lq_build_conv(struct lq_builder *b, const char *name, int input,
                  const struct lq_build_conv *conv);
int lq_build_bn(struct lq_builder *b, const char *name, int input);
/* BN and ReLU: "name.bn", "name.relu". */
int lq_build_bn_relu(struct lq_builder *b, const char *name, int input);
int lq_build_relu(struct lq_builder *b, const char *name, int input);
int lq_build_max_pool(struct lq_builder *b, const char *name, int input, int kernel, int stride,
                      int pad);
int lq_build_average_pool(struct lq_builder *b, const char *name, int input, int size);
int lq_build_global_pool(struct lq_builder *b, const char *name, int input);
/* Channels of zeros behind the others, up to so many. */
int lq_build_pad_channels(struct lq_builder *b, const char *name, int input, int channels);
int lq_build_add(struct lq_builder *b, const char *name, int first, int second);
int lq_build_concat(struct lq_builder *b, const char *name, const int *inputs, int count);
/* A dense layer with a bias of zeros, on the flattened map. */
int lq_build_dense(struct lq_builder *b, const char *name, int input, int out_channels);

/* Blocks of several layers; they set the prefix. */
/* A group of pre-activation residual blocks, of two convolutions 3x3 or of a bottleneck with 4
 * times the features; ends in BN ReLU. The first block has the stride. */
struct lq_build_group {
    int features, blocks, stride;
    bool bottleneck;
};
int lq_build_residual_group(struct lq_builder *b, int index, int input,
                            const struct lq_build_group *group);
/* Branches 1x1, 3x3 and 5x5, concatenated, each BN ReLU; with pool 3x3/2 before it if pooled. */
struct lq_build_inception {
    const char *name;
    int width[3];
    bool pooled;
};
int lq_build_inception(struct lq_builder *b, int input, const struct lq_build_inception *block);
/* `layers` times 1x1 to 4 * growth, 3x3 to growth, concatenated in front of what was there. */
int lq_build_dense_block(struct lq_builder *b, int index, int input, int layers, int growth);
/* 1x1 to half the channels, average pool 2x2, BN ReLU. */
int lq_build_transition(struct lq_builder *b, int index, int input);

#endif
