/* lower.h - turns a graph into steps.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LQ_GRAPH_LOWER_H
#define LQ_GRAPH_LOWER_H

#include "graph/graph.h"
#include "ops/step.h"

struct lq_lower_options {
    enum lq_form form;
    bool separate; /* a step for every node: nothing is taken over, so that every value can be seen
                    */
    const struct lq_kernels *kernels;
};

/* A graph made ready to run on this CPU. Immutable; points into the graph, which must outlive it.
 */
struct lq_program {
    struct lq_arena arena;
    const struct lq_graph *graph;
    struct lq_step *steps;
    int step_count;
    struct lq_step *pixel_step; /* takes the place of the first steps where the input is pixels
                                   (ops/conv_pixels.h); NULL: they are normalised */
    int pixel_skips;            /* how many steps those are */
    size_t scratch_bytes;       /* the largest of all steps */
    size_t *offsets;     /* of each value in a session's buffer; LQ_NO_OFFSET: never stored */
    size_t buffer_bytes; /* of all values of one image, those sharing room that can */
};
#define LQ_NO_OFFSET ((size_t)-1)

/* Errors: LQ_ERR_MEMORY, LQ_ERR_LIMIT. */
int lq_program_create(const struct lq_graph *graph, const struct lq_lower_options *options,
                      struct lq_program **ret_program, struct lq_error *error) LQ_MUST_CHECK;
/* A program of one node's step alone, on floats (no offsets are planned): to run a graph node by
 * node while it is built. */
int lq_program_create_node(const struct lq_graph *graph, int node, const struct lq_kernels *kernels,
                           struct lq_program **ret_program, struct lq_error *error) LQ_MUST_CHECK;
void lq_program_destroy(struct lq_program *program);

/* The snapped basis of a quantize node. */
void lq_node_basis(const struct lq_node *node, struct lq_snapped_basis *ret_basis);

#endif
