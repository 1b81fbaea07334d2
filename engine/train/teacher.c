/* teacher.c - a network whose answers another one learns.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/teacher.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "graph/session.h"
#include "train/tape.h"

/* Images at a time: the maps of a whole batch would take as much memory as the student's. */
#define PIECE 16

struct lq_teacher {
    const struct lq_preprocess *from, *to;
    int channels, classes;
    size_t pixels;        /* of an image */
    float *input;         /* [PIECE][pixels][channels] */
    struct lq_tape *tape; /* of a float network, whose convolutions are fast; NULL: the runner */
    struct lq_program *program;
    struct lq_runner *runner;
};

static bool is_float(const struct lq_graph *graph)
{
    for (int i = 0; i < graph->node_count; i++)
        if (graph->nodes[i].attributes.bits)
            return false;
    return true;
}

static int check(const struct lq_graph *graph, const struct lq_graph *student,
                 struct lq_error *error)
{
    const struct lq_node *last = &graph->nodes[graph->values[graph->output].producer];

    if (!lq_shape_equal(&graph->values[graph->input].shape,
                        &student->values[student->input].shape) ||
        lq_graph_classes(graph) != lq_graph_classes(student))
        return lq_fail(error, LQ_ERR_INVALID,
                       "the teacher has another input size or other classes");
    if (last->kind == LQ_OP_SOFTMAX)
        return lq_fail(error, LQ_ERR_UNSUPPORTED, "the teacher ends in a softmax");
    return LQ_OK;
}

/* Its program's floats are exact enough. */
static int create_runner(struct lq_teacher *t, const struct lq_graph *graph, int threads,
                         const struct lq_kernels *kernels, struct lq_error *error)
{
    struct lq_lower_options options = {LQ_FORM_AUTO, false, kernels};
    int status = lq_program_create(graph, &options, &t->program, error);

    return status == LQ_OK ? lq_runner_create(t->program, threads, &t->runner, error) : status;
}

static int create_tape(struct lq_teacher *t, const struct lq_graph *graph, int threads,
                       const struct lq_kernels *kernels, struct lq_error *error)
{
    struct lq_tape_options options = {
        .batch = PIECE, .threads = threads, .kernels = kernels, .forward_only = true};

    return lq_tape_create(graph, &options, &t->tape, error);
}

int lq_teacher_create(const struct lq_graph *graph, const struct lq_graph *student, int threads,
                      const struct lq_kernels *kernels, struct lq_teacher **ret_teacher,
                      struct lq_error *error)
{
    const struct lq_shape *shape = &graph->values[graph->input].shape;
    int status = check(graph, student, error);
    struct lq_teacher *t;

    if (status != LQ_OK)
        return status;
    t = lq_alloc(1, sizeof(*t));
    if (!t)
        return lq_fail_memory(error);
    t->from = &student->meta.preprocess;
    t->to = &graph->meta.preprocess;
    t->channels = shape->dims[2];
    t->pixels = (size_t)shape->dims[0] * (size_t)shape->dims[1];
    t->classes = lq_graph_classes(graph);
    t->input = lq_alloc(PIECE * t->pixels * (size_t)t->channels, sizeof(*t->input));
    if (!t->input) {
        lq_teacher_destroy(t);
        return lq_fail_memory(error);
    }
    status = is_float(graph) ? create_tape(t, graph, threads, kernels, error) : LQ_ERR_UNSUPPORTED;
    if (status == LQ_ERR_UNSUPPORTED)
        status = create_runner(t, graph, threads, kernels, error);
    if (status == LQ_OK)
        *ret_teacher = t;
    else
        lq_teacher_destroy(t);
    return status;
}

void lq_teacher_destroy(struct lq_teacher *t)
{
    if (!t)
        return;
    lq_runner_destroy(t->runner);
    lq_program_destroy(t->program);
    lq_tape_destroy(t->tape);
    free(t->input);
    free(t);
}

/* The student's normalised input as the teacher's. */
static void normalise(const struct lq_teacher *t, const float *input, size_t pixels)
{
    const struct lq_preprocess *from = t->from, *to = t->to;
    float *output = t->input;

    for (size_t pixel = 0; pixel < pixels; pixel++)
        for (int c = 0; c < t->channels; c++) {
            float value = *input++ * from->std[c] + from->mean[c];

            *output++ = (value / from->scale * to->scale - to->mean[c]) / to->std[c];
        }
}

int lq_teacher_run(struct lq_teacher *t, const float *input, int count, float *ret_logits,
                   struct lq_error *error)
{
    size_t classes = (size_t)t->classes, elements = t->pixels * (size_t)t->channels;
    int status = LQ_OK;

    for (int done = 0; done < count && status == LQ_OK; done += PIECE) {
        int some = count - done < PIECE ? count - done : PIECE;
        float *to = ret_logits + (size_t)done * classes;
        const float *logits;

        normalise(t, input + (size_t)done * elements, (size_t)some * t->pixels);
        if (t->tape) {
            lq_tape_forward(t->tape, t->input, some, LQ_TAPE_EVALUATE, &logits);
            memcpy(to, logits, (size_t)some * classes * sizeof(*to));
        } else {
            status = lq_runner_run(t->runner, t->input, LQ_NHWC, some, to, error);
        }
    }
    return status;
}
