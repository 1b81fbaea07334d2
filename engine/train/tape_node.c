/* tape_node.c - operators without parameters: the engine's own steps forwards.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <string.h>

#include "base/status.h"
#include "train/tape_internal.h"

struct plain {
    const struct lq_step *step;
    lq_backward *backward;
    struct lq_gradient gradient; /* shapes */
};

static void plain_forward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct plain *plain = op->state;
    struct lq_run run = {.scratch = tape->scratch + (size_t)span->worker * tape->scratch_bytes};

    for (int i = 0; i < span->count; i++) {
        for (int j = 0; j < op->input_count; j++)
            run.inputs[j] = lq_tape_data(tape, op->inputs[j], span) +
                            (size_t)i * tape->values[op->inputs[j]].elements;
        run.output =
            lq_tape_data(tape, op->output, span) + (size_t)i * tape->values[op->output].elements;
        plain->step->run(plain->step, &run);
    }
}

static void plain_backward(struct lq_tape *tape, struct op *op, const struct span *span)
{
    const struct plain *plain = op->state;
    struct lq_gradient g = plain->gradient;
    size_t out = tape->values[op->output].elements;

    for (int j = 0; j < op->input_count; j++)
        if (op->gives[j] && !op->adds[j])
            memset(lq_tape_gradient(tape, op->inputs[j], span), 0,
                   (size_t)span->count * tape->values[op->inputs[j]].elements * sizeof(float));
    for (size_t i = 0; i < (size_t)span->count; i++) {
        g.output = lq_tape_data(tape, op->output, span) + i * out;
        g.d_output = lq_tape_gradient(tape, op->output, span) + i * out;
        for (int j = 0; j < op->input_count; j++) {
            size_t skip = i * tape->values[op->inputs[j]].elements;

            g.inputs[j] = lq_tape_data(tape, op->inputs[j], span) + skip;
            g.d_inputs[j] =
                op->gives[j] ? lq_tape_gradient(tape, op->inputs[j], span) + skip : NULL;
        }
        plain->backward(&g);
    }
}

int lq_tape_add_plain(struct lq_tape *tape, const struct lq_node *node)
{
    const struct lq_graph *graph = tape->graph;
    struct op *op = lq_tape_add_op(tape, node, sizeof(struct plain));
    struct lq_program *program;
    struct plain *plain;
    int status;

    if (!op)
        return LQ_ERR_MEMORY;
    plain = op->state;
    plain->backward = lq_op_backward(node->kind);
    if (!plain->backward)
        return lq_fail(tape->error, LQ_ERR_UNSUPPORTED, "operator '%s' cannot be trained",
                       lq_op_text(node->kind));
    status = lq_program_create_node(graph, (int)(node - graph->nodes), tape->options.kernels,
                                    &program, tape->error);
    if (status != LQ_OK)
        return status;
    tape->programs[tape->program_count++] = program;
    plain->step = &program->steps[0];
    if (plain->step->scratch_bytes > tape->scratch_bytes)
        tape->scratch_bytes = plain->step->scratch_bytes;
    plain->gradient.attributes = &node->attributes;
    plain->gradient.input_count = node->input_count;
    for (int i = 0; i < node->input_count; i++)
        plain->gradient.input_shapes[i] = graph->values[node->inputs[i]].shape;
    plain->gradient.output_shape = graph->values[node->output].shape;
    op->forward = plain_forward;
    op->backward = plain_backward;
    return LQ_OK;
}
