/* plan.c - where each value lives in a session's buffer.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A value lives from the step that makes it to the last one that reads it. In the order of birth
 * each value takes the place of one that is dead, or else the lowest room that no living value
 * occupies (first fit). Networks are narrow, so the result is close to the largest sum of values
 * alive at once. The sum at a block's end may take the place of its addend: a map that is read and
 * written once moves half as much memory. Where channels are joined with others again and again
 * (DenseNet), all of these maps lie in the last one: nothing is copied twice.
 */
#include "graph/plan.h"

#include <stdlib.h>

#include "base/size.h"
#include "base/status.h"

#define MAX_BYTES ((size_t)4 << 30) /* of one image's values and scratch */
#define MAX_TRIES 8                 /* of one value: there may be thousands */

struct life {
    int born, dies; /* steps */
    size_t offset, bytes;
    bool placed;
    int in;    /* the value in whose pixels its own lie; OPEN: if there is one, it may */
    size_t at; /* from how many floats on */
};

enum { OPEN = -1, FIXED = -2 };

static void find_lives(const struct lq_program *program, bool keep, struct life *lives)
{
    int input = program->graph->input, output = program->graph->output;
    struct lq_buffer image = {program->graph->values[input].shape, LQ_STORE_F32, 0};

    lives[input] = (struct life){-1, -1, 0, lq_buffer_bytes(&image), false, FIXED, 0};
    for (int i = 0; i < program->step_count; i++) {
        const struct lq_step *step = &program->steps[i];

        for (int j = 0; j < step->input_count; j++)
            lives[step->slots[j]].dies = i;
        lives[step->output_slot] = (struct life){
            i, keep ? program->step_count : i, 0, lq_buffer_bytes(&step->output), false, FIXED, 0};
        if (step->extra_slot >= 0)
            lives[step->extra_slot] = (struct life){
                i, keep ? program->step_count : i, 0, lq_buffer_bytes(&step->extra), false, FIXED,
                0};
    }
    if (keep)
        lives[input].dies = program->step_count;
    lives[output].dies = program->step_count;
}

static const struct lq_node *node_of(const struct lq_program *program, const struct lq_step *step)
{
    return &program->graph->nodes[step->node];
}

static bool joins_channels(const struct lq_program *program, const struct lq_step *step)
{
    return node_of(program, step)->kind == LQ_OP_CONCAT && step->output.shape.rank == 3 &&
           step->attributes->axis == 2;
}

/* What can lie in a wider map: joined channels that are joined with others once, and otherwise read
 * by steps that skip those. */
static void find_parts(const struct lq_program *program, struct life *lives)
{
    for (int i = 0; i < program->step_count; i++) {
        const struct lq_step *step = &program->steps[i];
        bool joins = joins_channels(program, step);
        bool skips = node_of(program, step)->kind == LQ_OP_QUANTIZE;

        for (int j = 0; j < step->input_count; j++) {
            int *in = &lives[step->slots[j]].in;

            if (joins && *in == OPEN)
                *in = step->output_slot;
            else if (!skips)
                *in = FIXED;
        }
        lives[step->output_slot].in = joins ? OPEN : FIXED;
    }
}

/* `whole` is not found in another one in turn; it lives as long as any of its parts. */
static void lie_in(struct life *part, int index, struct life *whole, size_t at)
{
    part->in = index;
    part->at = at;
    whole->born = whole->born < part->born ? whole->born : part->born;
    whole->dies = whole->dies > part->dies ? whole->dies : part->dies;
}

/* From the last step on, so that what a value lies in has its place already. */
static void join_parts(const struct lq_program *program, struct life *lives)
{
    for (int i = program->step_count - 1; i >= 0; i--) {
        const struct lq_step *step = &program->steps[i];
        const struct life *output = &lives[step->output_slot];
        int whole = output->in >= 0 ? output->in : step->output_slot;
        size_t at = output->at;

        for (int j = 0; j < step->input_count; j++) {
            struct life *part = &lives[step->slots[j]];

            if (part->in == step->output_slot)
                lie_in(part, whole, &lives[whole], at);
            at += (size_t)lq_shape_map(&step->inputs[j].shape).channels;
        }
    }
}

/* Floats from a pixel of the value to the next. */
static size_t pitch_of(const struct lq_program *program, const struct life *lives, int value)
{
    int in = lives[value].in >= 0 ? lives[value].in : value;

    return (size_t)lq_shape_map(&program->graph->values[in].shape).channels;
}

static void set_pitches(struct lq_program *program, const struct life *lives)
{
    for (int i = 0; i < program->step_count; i++) {
        struct lq_step *step = &program->steps[i];

        for (int j = 0; j < step->input_count; j++)
            step->pitches[j] = pitch_of(program, lives, step->slots[j]);
        step->pitch = pitch_of(program, lives, step->output_slot);
    }
}

/* A placed value, but for `except`, that `life` meets where it lies; NULL: there is none. */
static const struct life *met(const struct life *lives, int count, const struct life *life,
                              const struct life *except)
{
    for (int i = 0; i < count; i++) {
        const struct life *other = &lives[i];
        bool together = other->placed && other->born <= life->dies && life->born <= other->dies;

        if (other != except && together && life->offset < other->offset + other->bytes &&
            other->offset < life->offset + life->bytes)
            return other;
    }
    return NULL;
}

/* Lowest offset at which `life` meets no placed value that lives at the same time. */
static void place(const struct life *lives, int count, struct life *life)
{
    const struct life *other;

    life->offset = 0;
    while ((other = met(lives, count, life, NULL)))
        life->offset = other->offset + other->bytes;
    life->placed = true;
}

/* The value that died last, before number `before` of the steps, of those that `life` has room in;
 * NULL: there is none. */
static const struct life *last_dead(const struct life *lives, int count, const struct life *life,
                                    int before)
{
    const struct life *last = NULL;

    for (int i = 0; i < count; i++)
        if (lives[i].placed && lives[i].dies < before && lives[i].bytes >= life->bytes &&
            (!last || lives[i].dies > last->dies))
            last = &lives[i];
    return last;
}

/* In the middle of a dead value: what a thread makes of it lies where its part of the other was, in
 * the cache of its core. False: there is no room in the last ones. */
static bool inherit(const struct life *lives, int count, struct life *life)
{
    const struct life *dead;
    int before = life->born;

    for (int tries = 0; tries < MAX_TRIES; tries++, before = dead->dies) {
        dead = last_dead(lives, count, life, before);
        if (!dead)
            return false;
        life->offset = dead->offset + (dead->bytes - life->bytes) / 2 / LQ_ALIGNMENT * LQ_ALIGNMENT;
        life->placed = met(lives, count, life, NULL) == NULL;
        if (life->placed)
            return true;
    }
    return false;
}

/* Where the addend lies that nobody reads after the step which makes the value; false: not there.
 */
static bool replace(const struct lq_program *program, const struct life *lives, int value,
                    struct life *life)
{
    const struct lq_step *step = life->born < 0 ? NULL : &program->steps[life->born];
    const struct life *addend;

    if (!step || !step->replaces || step->extra_slot != value || step->slots[0] == step->slots[1])
        return false;
    addend = &lives[step->slots[1]];
    if (!addend->placed || addend->dies != life->born || addend->born < 0 ||
        addend->bytes != life->bytes)
        return false;
    life->offset = addend->offset;
    life->placed = met(lives, program->graph->value_count, life, addend) == NULL;
    return life->placed;
}

int lq_plan_buffers(struct lq_program *program, bool keep, struct lq_error *error)
{
    int count = program->graph->value_count;
    struct life *lives = lq_alloc((size_t)count, sizeof(*lives));

    program->offsets = lq_arena_alloc(&program->arena, (size_t)count, sizeof(size_t));
    if (!lives || !program->offsets) {
        free(lives);
        return lq_fail_memory(error);
    }
    find_lives(program, keep, lives);
    if (!keep) {
        find_parts(program, lives);
        join_parts(program, lives);
    }
    for (int i = 0; i < count; i++) {
        struct life *life = &lives[i];

        program->offsets[i] = LQ_NO_OFFSET;
        if (life->bytes == 0 || life->in >= 0)
            continue; /* taken over: never stored; or in another */
        life->bytes = lq_size_round_up(life->bytes, LQ_ALIGNMENT);
        if (!replace(program, lives, i, life) && !inherit(lives, count, life))
            place(lives, count, life);
        program->offsets[i] = life->offset;
        if (life->offset + life->bytes > program->buffer_bytes)
            program->buffer_bytes = life->offset + life->bytes;
    }
    set_pitches(program, lives);
    for (int i = 0; i < count; i++)
        if (lives[i].in >= 0)
            program->offsets[i] = program->offsets[lives[i].in] + lives[i].at * sizeof(float);
    free(lives);
    if (program->buffer_bytes + program->scratch_bytes > MAX_BYTES)
        return lq_fail(error, LQ_ERR_LIMIT, "one image needs %zu bytes of memory, at most %zu",
                       program->buffer_bytes + program->scratch_bytes, MAX_BYTES);
    return LQ_OK;
}
