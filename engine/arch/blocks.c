/* blocks.c - the blocks of layers that the paper's networks repeat.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdio.h>

#include "arch/builder.h"

static int conv(struct lq_builder *b, const char *name, int input, int out_channels, int kernel,
                int stride)
{
    const struct lq_build_conv shape = {out_channels, kernel, stride, false};

    return lq_build_conv(b, name, input, &shape);
}

/* ------------------------------------------------------------------------------------------------
 * Residual blocks
 */

static int shortcut(struct lq_builder *b, int input, int channels, int stride)
{
    if (input < 0 || lq_build_channels(b, input) == channels)
        return input;
    if (b->shortcut == 'B')
        return lq_build_bn(b, "shortcut.bn", conv(b, "shortcut", input, channels, 1, stride));
    if (stride > 1)
        input = lq_build_average_pool(b, "shortcut.pool", input, stride);
    return lq_build_pad_channels(b, "shortcut.pad", input, channels);
}

static int residual_block(struct lq_builder *b, int input, const struct lq_build_group *group,
                          bool first)
{
    int stride = first ? group->stride : 1, width = group->features;
    int channels = group->bottleneck ? 4 * width : width;
    int value = first ? input : lq_build_bn_relu(b, "pre", input);
    int start = first ? value : input; /* of the shortcut */

    if (group->bottleneck) { /* the stride is the 3x3's */
        value = lq_build_bn_relu(b, "conv1", conv(b, "conv1", value, width, 1, 1));
        value = lq_build_bn_relu(b, "conv2", conv(b, "conv2", value, width, 3, stride));
        value = lq_build_bn(b, "conv3.bn", conv(b, "conv3", value, channels, 1, 1));
    } else {
        value = lq_build_bn_relu(b, "conv1", conv(b, "conv1", value, width, 3, stride));
        value = lq_build_bn(b, "conv2.bn", conv(b, "conv2", value, width, 3, 1));
    }
    return lq_build_add(b, "sum", value, shortcut(b, start, channels, stride));
}

int lq_build_residual_group(struct lq_builder *b, int index, int input,
                            const struct lq_build_group *group)
{
    for (int i = 0; i < group->blocks; i++) {
        snprintf(b->prefix, sizeof(b->prefix), "group%d.block%d.", index, i);
        input = residual_block(b, input, group, i == 0);
    }
    snprintf(b->prefix, sizeof(b->prefix), "group%d.", index);
    return lq_build_bn_relu(b, "last", input);
}

/* ------------------------------------------------------------------------------------------------
 * Inception blocks
 */

int lq_build_inception(struct lq_builder *b, int input, const struct lq_build_inception *block)
{
    int branches[3] = {input, input, input};

    snprintf(b->prefix, sizeof(b->prefix), "inception%s.", block->name);
    for (int i = 0; i < 3; i++) {
        int kernel = 2 * i + 1;
        char name[32];

        if (i > 0) {
            snprintf(name, sizeof(name), "%dx%d_reduce", kernel, kernel);
            branches[i] =
                lq_build_bn_relu(b, name, conv(b, name, branches[i], block->width[i], 1, 1));
        }
        snprintf(name, sizeof(name), "%dx%d", kernel, kernel);
        branches[i] = conv(b, name, branches[i], block->width[i], kernel, 1);
        if (!block->pooled)
            branches[i] = lq_build_bn_relu(b, name, branches[i]);
    }
    input = lq_build_concat(b, "concat", branches, 3);
    if (!block->pooled)
        return input;
    return lq_build_bn_relu(b, "pool", lq_build_max_pool(b, "pool", input, 3, 2, 1));
}

/* ------------------------------------------------------------------------------------------------
 * Densely connected blocks
 */

int lq_build_dense_block(struct lq_builder *b, int index, int input, int layers, int growth)
{
    for (int i = 0; i < layers; i++) {
        int parts[2] = {input, input};

        snprintf(b->prefix, sizeof(b->prefix), "block%d.layer%d.", index, i);
        parts[0] = lq_build_bn_relu(b, "conv1", conv(b, "conv1", parts[0], 4 * growth, 1, 1));
        parts[0] = lq_build_bn_relu(b, "conv2", conv(b, "conv2", parts[0], growth, 3, 1));
        input = lq_build_concat(b, "concat", parts, 2);
    }
    return input;
}

int lq_build_transition(struct lq_builder *b, int index, int input)
{
    if (input < 0)
        return input;
    snprintf(b->prefix, sizeof(b->prefix), "transition%d.", index);
    input = conv(b, "conv", input, lq_build_channels(b, input) / 2, 1, 1);
    return lq_build_bn_relu(b, "pool", lq_build_average_pool(b, "pool", input, 2));
}
