/* trainer_prepare.c - what a training starts from.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "train/trainer_internal.h"

static int choose_images(struct trainer *t)
{
    struct lq_dataset_selection selection = {.every = t->options->hold_out};
    int status = LQ_OK;

    t->train = t->input->train;
    t->test = t->input->test;
    for (int i = 0; i < 2 && selection.every && status == LQ_OK; i++) {
        selection.rest = i == 0;
        status = lq_dataset_select(t->input->train, &selection, &t->parts[i], t->error);
    }
    if (selection.every && status == LQ_OK) {
        t->train = t->parts[0];
        t->test = t->parts[1];
    }
    return status;
}

static int init_schedule(struct trainer *t)
{
    static const double usual[2] = {82.0 / 200, 123.0 / 200};
    const struct lq_train_options *o = t->options;
    int count = o->milestones ? o->milestone_count : 2;

    if (count > MAX_MILESTONES)
        return lq_fail(t->error, LQ_ERR_INVALID, "%d milestones, expected at most %d", count,
                       MAX_MILESTONES);
    t->epoch_steps = lq_loader_batches(t->loader);
    t->steps = t->epoch_steps * o->epochs;
    for (int i = 0; i < count; i++)
        t->milestones[i] = llrint(o->milestones ? o->milestones[i] * (double)t->epoch_steps
                                                : usual[i] * (double)t->steps);
    t->schedule = (struct lq_schedule){o->curve,      o->rate,
                                       t->steps,      llrint(o->warmup * (double)t->epoch_steps),
                                       t->milestones, count};
    return LQ_OK;
}

static int init_loading(struct trainer *t)
{
    const struct lq_graph *graph = t->input->graph;
    const struct lq_train_options *o = t->options;
    int status;

    t->loading = (struct lq_loader_options){
        .dataset = t->train,
        .batch = o->batch,
        .threads = lq_dataset_kind(t->train)[0] == 'c' ? 1 : o->threads, /* JPEG is slow */
        .seed = o->seed,
        .preprocess = &graph->meta.preprocess,
        .channels = graph->values[graph->input].shape.dims[2]};
    status = lq_augmentation_parse(o->augmentation, &t->loading.augmentation, t->error);
    if (status == LQ_OK)
        status = lq_loader_create(&t->loading, 0, &t->loader, t->error);
    if (status == LQ_OK) {
        t->batch = lq_loader_batch(t->loader);
        status = init_schedule(t);
    }
    return status;
}

static int init_tape(struct trainer *t)
{
    const struct lq_train_options *o = t->options;
    struct lq_tape_options options = {.batch = t->batch,
                                      .threads = o->threads,
                                      .kernels = t->input->kernels,
                                      .quantizer = o->quantizer,
                                      .basis_momentum = 0.9,
                                      .basis_gradients = o->basis_rate > 0,
                                      .fixed_weights = t->input->fixed_weights,
                                      .statistics_momentum = 0.9};
    int status = lq_tape_create(t->input->graph, &options, &t->tape, t->error);
    size_t numbers;

    if (status == LQ_OK && t->input->latent)
        status = lq_tape_set_latent(t->tape, t->input->latent, t->error);
    if (status != LQ_OK)
        return status;
    t->classes = lq_graph_classes(t->input->graph);
    numbers = lq_tape_numbers(t->tape);
    t->velocity = lq_arena_alloc(&t->arena, numbers, sizeof(float));
    t->d_logits = lq_arena_alloc(&t->arena, (size_t)t->batch * (size_t)t->classes, sizeof(float));
    t->progress = lq_arena_alloc(&t->arena, 3, sizeof(*t->progress));
    if (o->average > 0)
        t->average = lq_arena_alloc(&t->arena, numbers, sizeof(float));
    if (!t->velocity || !t->d_logits || !t->progress || (o->average > 0 && !t->average))
        return lq_fail_memory(t->error);
    if (t->average)
        memcpy(t->average, lq_tape_values(t->tape), numbers * sizeof(float));
    return LQ_OK;
}

static int init_teacher(struct trainer *t)
{
    const struct lq_trainer_input *input = t->input;

    t->teacher_logits =
        lq_arena_alloc(&t->arena, (size_t)t->batch * (size_t)t->classes, sizeof(float));
    if (!t->teacher_logits)
        return lq_fail_memory(t->error);
    return lq_teacher_create(input->teacher, input->graph, t->options->threads, input->kernels,
                             &t->teacher, t->error);
}

/* One line about how the network was trained. */
static void describe(const struct trainer *t, char *text, size_t size)
{
    static const char *const curves[] = {"steps", "linear", "cosine"};
    static const char *const quantizers[] = {"learned", "even", "uniform"};
    const struct lq_train_options *o = t->options;

    snprintf(text, size,
             "batch %d, seed %llu, %lld images, %d epochs, rate %g %s, warm-up %g, momentum %g%s, "
             "decay %g, bases %g, smoothing %g, average %g, distillation %g at %g, %s, %s levels",
             t->batch, (unsigned long long)o->seed, (long long)lq_loader_images(t->loader),
             o->epochs, o->rate, curves[o->curve], o->warmup, o->momentum,
             o->plain_momentum ? "" : " Nesterov", o->decay, o->basis_rate, o->smoothing,
             o->average, o->teacher ? o->distillation : 0, o->temperature, o->augmentation,
             quantizers[o->quantizer]);
}

static void add_entry(struct trainer *t, const char *prefix, const char *name, bool doubles,
                      size_t count, void *data)
{
    struct lq_checkpoint_entry *entry = &t->checkpoint.entries[t->checkpoint.entry_count++];

    snprintf(entry->name, sizeof(entry->name), "%s/%s", prefix, name);
    entry->doubles = doubles;
    entry->count = count;
    entry->data = data;
}

static int init_checkpoint(struct trainer *t)
{
    struct lq_tape *tape = t->tape;
    int arrays = lq_tape_array_count(tape), params = lq_tape_param_count(tape);

    t->checkpoint.entries = lq_arena_alloc(&t->arena, (size_t)arrays + 3 * (size_t)params + 1,
                                           sizeof(*t->checkpoint.entries));
    if (!t->checkpoint.entries)
        return lq_fail_memory(t->error);
    add_entry(t, "run", "progress", true, 3, t->progress);
    for (int doubles = 1; doubles >= 0; doubles--)
        for (int i = 0; i < arrays; i++) {
            const struct lq_tape_array *a = lq_tape_array(tape, i);

            if (a->doubles == (doubles == 1))
                add_entry(t, "state", a->name, a->doubles, a->count, a->data);
        }
    for (int i = 0; i < params; i++) {
        const struct lq_tape_param *p = lq_tape_param(tape, i);

        add_entry(t, "value", p->name, false, p->count, lq_tape_values(tape) + p->offset);
        add_entry(t, "velocity", p->name, false, p->count, t->velocity + p->offset);
        if (t->average)
            add_entry(t, "average", p->name, false, p->count, t->average + p->offset);
    }
    t->checkpoint.settings = t->settings;
    return LQ_OK;
}

/* From a checkpoint, if there is one; the loader starts over there. */
static int resume(struct trainer *t)
{
    int status;

    if (!t->options->resume || access(t->options->checkpoint, F_OK) != 0)
        return LQ_OK;
    status = lq_checkpoint_load(&t->checkpoint, t->options->checkpoint, t->error);
    if (status != LQ_OK)
        return status;
    t->step = t->checkpoint.step;
    if (t->step > t->steps)
        return lq_fail(t->error, LQ_ERR_FORMAT, "%s: step %lld of %lld", t->options->checkpoint,
                       (long long)t->step, (long long)t->steps);
    lq_loader_destroy(t->loader);
    t->loader = NULL;
    return lq_loader_create(&t->loading, t->step, &t->loader, t->error);
}

int lq_trainer_prepare(struct trainer *t)
{
    int status = choose_images(t);

    if (status == LQ_OK)
        status = init_loading(t);
    if (status == LQ_OK)
        status = init_tape(t);
    if (status == LQ_OK && t->input->teacher)
        status = init_teacher(t);
    if (status == LQ_OK) {
        describe(t, t->settings, sizeof(t->settings));
        status = init_checkpoint(t);
    }
    return status == LQ_OK ? resume(t) : status;
}
