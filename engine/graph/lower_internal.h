/* lower_internal.h - what the parts of lowering share; for lower.c, chain.c and store.c only.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_GRAPH_LOWER_INTERNAL_H
#define LQ_GRAPH_LOWER_INTERNAL_H

#include "graph/lower.h"

struct lq_lowering {
    struct lq_program *program;
    const struct lq_graph *graph;
    const struct lq_lower_options *options;
    struct lq_buffer *buffers; /* of each value */
    int *reader;               /* of each value: the last node that reads it, or -1 */
    bool *taken; /* nodes that have a step, be it an earlier one's that takes them over */
    bool *ready; /* values that earlier steps have stored */
    struct lq_error *error;
};

static inline bool lq_node_is_layer(const struct lq_node *node)
{
    return node->kind == LQ_OP_CONV || node->kind == LQ_OP_DENSE;
}

static inline bool lq_node_is_clamp(const struct lq_node *node)
{
    return node->kind == LQ_OP_RELU || node->kind == LQ_OP_CLIP;
}

/* store.c: fills l->buffers and l->reader. */
void lq_lowering_choose_buffers(struct lq_lowering *l);

/* What is put together for one step: a node, the head, and those behind it that it takes over. */
struct lq_chain {
    struct lq_step_spec spec;
    struct lq_buffer inputs[LQ_MAX_INPUTS];
    double *scale, *shift, *next_scale, *next_shift;
    struct lq_snapped_basis input_basis, output_basis;
    bool *taken;       /* nodes, where those that the step takes over are marked */
    int last;          /* node whose value the step makes */
    int addend, extra; /* values, or -1 */
};

/* Errors: LQ_ERR_MEMORY; deinit it all the same. */
int lq_chain_init(struct lq_lowering *l, const struct lq_node *head,
                  struct lq_chain *chain) LQ_MUST_CHECK;
void lq_chain_deinit(struct lq_chain *chain);

/* more: what only integer convolutions take over, too. Errors: LQ_ERR_MEMORY. */
int lq_chain_take_over(struct lq_lowering *l, const struct lq_node *head, bool more,
                       struct lq_chain *chain) LQ_MUST_CHECK;

/* The value that an addition behind this integer convolution adds, if nothing but that keeps the
 * convolution from taking it over that the value is not stored yet; else -1. */
int lq_chain_missing(const struct lq_lowering *l, const struct lq_node *head);

#endif
