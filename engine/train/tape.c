/* tape.c - runs a network's operations forwards and backwards over a batch.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "train/tape_internal.h"

static float *rows_of(const struct lq_tape *tape, const struct value *value, float *data,
                      bool local, const struct span *span)
{
    size_t first = local ? (size_t)span->worker * (size_t)tape->largest_group : (size_t)span->first;

    return data + first * value->elements;
}

float *lq_tape_data(const struct lq_tape *tape, int value, const struct span *span)
{
    const struct value *v = &tape->values[value];

    return rows_of(tape, v, v->data, v->local_data, span);
}

float *lq_tape_gradient(const struct lq_tape *tape, int value, const struct span *span)
{
    const struct value *v = &tape->values[value];

    return rows_of(tape, v, v->gradient, v->local_gradient, span);
}

/* Local values of the operations first..last. */
static void make_again(struct lq_tape *tape, int first, int last, const struct span *span)
{
    for (int i = first; i <= last; i++) {
        struct op *op = &tape->ops[i];

        if (op->again && tape->values[op->output].local_data)
            op->again(tape, op, span);
    }
}

const float *lq_tape_image(struct lq_tape *tape, int value, int image)
{
    const struct value *v = &tape->values[value];
    const struct segment *s = &tape->forward[v->made];
    struct span span = {.first = image, .count = 1};

    if (v->local_data)
        make_again(tape, s->first, s->last, &span);
    return lq_tape_data(tape, value, &span);
}

struct pass {
    struct lq_tape *tape;
    const struct segment *segment;
    bool backward;
};

static void run_lane(void *context, int lane, int worker)
{
    const struct pass *pass = context;
    struct lq_tape *tape = pass->tape;
    const struct segment *s = pass->segment;
    int first = (int)((int64_t)tape->count * lane / LANES);
    int end = (int)((int64_t)tape->count * (lane + 1) / LANES);

    for (int at = first; at < end; at += s->group) {
        struct span span = {.first = at, .lane = lane, .worker = worker, .opens = at == first};

        span.count = end - at < s->group ? end - at : s->group;
        span.part = tape->count >= LANES ? lane : first; /* fewer: one image each */
        if (pass->backward) {
            make_again(tape, s->last, s->first, &span);
            for (int i = s->first; i >= s->last; i--)
                if (tape->ops[i].backward)
                    tape->ops[i].backward(tape, &tape->ops[i], &span);
        } else {
            for (int i = s->first; i <= s->last; i++)
                tape->ops[i].forward(tape, &tape->ops[i], &span);
        }
    }
}

int lq_tape_parts(const struct lq_tape *tape)
{
    return tape->count < LANES ? tape->count : LANES;
}

static void begin_op(void *context, int index, int worker)
{
    struct lq_tape *tape = context;

    (void)worker;
    if (tape->ops[index].begin)
        tape->ops[index].begin(tape, &tape->ops[index]);
}

static void end_op(void *context, int index, int worker)
{
    struct lq_tape *tape = context;

    (void)worker;
    if (tape->ops[index].end)
        tape->ops[index].end(tape, &tape->ops[index]);
}

void lq_tape_forward(struct lq_tape *tape, const float *input, int count, enum lq_tape_mode mode,
                     const float **ret_logits)
{
    tape->values[tape->graph->input].data = (float *)input;
    tape->input = input;
    tape->count = count;
    tape->mode = mode;
    lq_tape_quantize_weights(tape, mode == LQ_TAPE_TRAIN);
    lq_tape_snap_activations(tape);
    lq_pool_run(tape->pool, tape->op_count, begin_op, tape);
    for (int i = 0; i < tape->forward_count; i++) {
        struct pass pass = {tape, &tape->forward[i], false};
        struct op *last = &tape->ops[tape->forward[i].last];

        lq_pool_run(tape->pool, LANES, run_lane, &pass);
        if (last->after_forward)
            last->after_forward(tape, last);
    }
    lq_tape_move_activations(tape);
    tape->statistics_passes += mode == LQ_TAPE_STATISTICS;
    *ret_logits = tape->values[tape->logits].data;
}

void lq_tape_backward(struct lq_tape *tape, const float *d_logits)
{
    struct value *logits = &tape->values[tape->logits];

    memcpy(logits->gradient, d_logits, (size_t)tape->count * logits->elements * sizeof(float));
    for (int i = 0; i < tape->backward_count; i++) {
        struct pass pass = {tape, &tape->backward[i], true};
        struct op *last = &tape->ops[tape->backward[i].last];

        lq_pool_run(tape->pool, LANES, run_lane, &pass);
        if (last->after_backward)
            last->after_backward(tape, last);
    }
    lq_pool_run(tape->pool, tape->op_count, end_op, tape);
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static bool finite_value(struct lq_tape *tape, int value)
{
    for (int image = 0; image < tape->count; image++)
        if (!all_finite(lq_tape_image(tape, value, image), tape->values[value].elements))
            return false;
    return true;
}

const char *lq_tape_bad_node(struct lq_tape *tape)
{
    for (int i = 0; i < tape->op_count; i++)
        if (tape->ops[i].output >= 0 && !finite_value(tape, tape->ops[i].output))
            return tape->ops[i].node->name;
    for (int i = tape->param_count - 1; i >= 0; i--)
        if (!all_finite(tape->gradients + tape->params[i].offset, tape->params[i].count))
            return tape->params[i].name;
    return NULL;
}

int lq_tape_param_count(const struct lq_tape *tape)
{
    return tape->param_count;
}

const struct lq_tape_param *lq_tape_param(const struct lq_tape *tape, int index)
{
    return &tape->params[index];
}

size_t lq_tape_numbers(const struct lq_tape *tape)
{
    return tape->numbers;
}

float *lq_tape_values(struct lq_tape *tape)
{
    return tape->numbers_values;
}

float *lq_tape_gradients(struct lq_tape *tape)
{
    return tape->gradients;
}

int lq_tape_array_count(const struct lq_tape *tape)
{
    return tape->array_count;
}

const struct lq_tape_array *lq_tape_array(const struct lq_tape *tape, int index)
{
    return &tape->arrays[index];
}

size_t lq_tape_bytes(const struct lq_tape *tape)
{
    return tape->arena.total_bytes;
}

void lq_tape_destroy(struct lq_tape *tape)
{
    if (!tape)
        return;
    lq_pool_destroy(tape->pool);
    for (int i = 0; i < tape->program_count; i++)
        lq_program_destroy(tape->programs[i]);
    lq_arena_deinit(&tape->arena);
    free(tape);
}
