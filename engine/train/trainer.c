/* trainer.c - trains a network: the loop over steps, epochs, checkpoints.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * All that decides the next step is the tape's numbers, the optimizer's velocity, the averages, and
 * the number of the step: the order of the images, their augmentation and the learning rate follow
 * from it. That is what a checkpoint holds.
 */
#include "train/trainer.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "train/loss.h"
#include "train/trainer_internal.h"

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int save_checkpoint(struct trainer *t)
{
    t->checkpoint.step = t->step;
    t->last_saved = now();
    return t->options->checkpoint
               ? lq_checkpoint_save(&t->checkpoint, t->options->checkpoint, t->error)
               : LQ_OK;
}

/* Tells the caller; LQ_ERR_CANCELLED after a checkpoint where he wants to stop. */
static int tell(struct trainer *t, enum lq_train_event_kind kind, double top1)
{
    const struct lq_train_options *o = t->options;
    double seconds = now() - t->started, images = t->progress[2] > 0 ? t->progress[2] : 1;
    int64_t done = t->step - t->started_at;
    struct lq_train_event event = {.kind = kind,
                                   .step = t->step,
                                   .steps = t->steps,
                                   .epoch = (t->step > 0 ? t->step - 1 : 0) / t->epoch_steps + 1,
                                   .loss = t->progress[0] / images,
                                   .accuracy = 100 * t->progress[1] / images,
                                   .top1 = top1,
                                   .bytes = lq_tape_bytes(t->tape),
                                   .images = t->epoch_steps * t->batch};
    int status;

    event.rate = lq_schedule_rate(&t->schedule, t->step > 0 ? t->step - 1 : 0);
    if (done > 0) {
        event.images_per_s = (double)(done * t->batch) / seconds;
        event.seconds_left = seconds / (double)done * (double)(t->steps - t->step);
    }
    event.layers = t->layers;
    event.layer_count = t->layer_count;
    if (!o->event || !o->event(o->context, &event))
        return LQ_OK;
    status = save_checkpoint(t);
    return status == LQ_OK
               ? lq_fail(t->error, LQ_ERR_CANCELLED, "cancelled at step %lld", (long long)t->step)
               : status;
}

/* A teacher who decides alone needs none. */
static int check_labels(const struct trainer *t, const int *labels)
{
    int least = t->teacher && t->options->distillation == 1 ? -1 : 0;

    for (int i = 0; i < t->batch; i++)
        if (labels[i] < least || labels[i] >= t->classes)
            return lq_fail(t->error, LQ_ERR_INVALID, "an image has class %d, the network has %d",
                           labels[i], t->classes);
    return LQ_OK;
}

static bool gradients_finite(struct lq_tape *tape)
{
    const float *gradients = lq_tape_gradients(tape);
    size_t count = lq_tape_numbers(tape);
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (double)gradients[i];
    return isfinite(sum);
}

static int fail_numeric(const struct trainer *t, const char *what)
{
    const char *node = lq_tape_bad_node(t->tape);

    return lq_fail(t->error, LQ_ERR_NUMERIC,
                   "step %lld: %s is not finite, first in '%.128s'; a lower learning rate may help",
                   (long long)t->step + 1, what, node ? node : "the loss");
}

static int take_step(struct trainer *t)
{
    const struct lq_train_options *o = t->options;
    struct lq_loss losses = {o->smoothing, o->distillation, o->temperature};
    struct lq_sgd sgd = {lq_schedule_rate(&t->schedule, t->step), o->momentum, o->decay,
                         !o->plain_momentum};
    const struct lq_batch *batch;
    const float *logits;
    int correct, status = lq_loader_next(t->loader, &batch, t->error);
    double loss;

    if (status == LQ_OK)
        status = check_labels(t, batch->labels);
    if (status == LQ_OK && t->teacher)
        status = lq_teacher_run(t->teacher, batch->input, t->batch, t->teacher_logits, t->error);
    if (status != LQ_OK)
        return status;
    lq_tape_forward(t->tape, batch->input, t->batch, LQ_TAPE_TRAIN, &logits);
    loss = lq_loss_run(&losses, logits, t->teacher ? t->teacher_logits : NULL, batch->labels,
                       t->batch, t->classes, t->d_logits, &correct);
    if (!isfinite(loss))
        return fail_numeric(t, "the loss");
    lq_tape_backward(t->tape, t->d_logits);
    if (!gradients_finite(t->tape))
        return fail_numeric(t, "a gradient");
    if (o->basis_rate > 0) /* before the weights that were encoded move */
        lq_tape_step_bases(t->tape, sgd.rate * o->basis_rate, o->momentum, o->decay);
    lq_sgd_step(&sgd, t->tape, t->velocity);
    if (t->average)
        lq_average_step(o->average, t->step, t->tape, t->average);
    t->step++;
    t->progress[0] += loss * t->batch;
    t->progress[1] += correct;
    t->progress[2] += t->batch;
    return LQ_OK;
}

static int end_epoch(struct trainer *t)
{
    int64_t epoch = t->step / t->epoch_steps;
    struct lq_trained trained;
    double top1 = -1, before = now();
    int status = LQ_OK;

    if (t->options->evaluate_every && epoch % t->options->evaluate_every == 0 &&
        t->step < t->steps && t->test) {
        status = lq_trainer_network(t, false, &trained);
        if (status == LQ_OK) {
            status = lq_trainer_evaluate(t, trained.graph, &top1);
            lq_graph_destroy(trained.graph);
        }
        t->started += now() - before;
    }
    if (status == LQ_OK)
        status = tell(t, LQ_TRAIN_EPOCH, top1);
    memset(t->progress, 0, 3 * sizeof(*t->progress));
    return status;
}

static int run_steps(struct trainer *t)
{
    int status = tell(t, LQ_TRAIN_STARTED, -1);

    while (t->step < t->steps && status == LQ_OK) {
        status = take_step(t);
        if (status == LQ_OK)
            status = tell(t, LQ_TRAIN_STEP, -1);
        if (status == LQ_OK && t->step % t->epoch_steps == 0)
            status = end_epoch(t);
        if (status == LQ_OK && t->options->checkpoint &&
            (now() - t->last_saved > 60 * t->options->checkpoint_minutes || t->step == t->steps)) {
            status = save_checkpoint(t);
            if (status == LQ_OK)
                status = tell(t, LQ_TRAIN_CHECKPOINT, -1);
        }
    }
    return status;
}

static int describe_layers(struct trainer *t)
{
    struct lq_train_layer layer;
    int count = 0;

    while (lq_tape_layer(t->tape, count, &layer))
        count++;
    t->layers = lq_arena_alloc(&t->arena, (size_t)count, sizeof(*t->layers));
    if (!t->layers)
        return lq_fail_memory(t->error);
    while (lq_tape_layer(t->tape, t->layer_count, &t->layers[t->layer_count]))
        t->layer_count++;
    return LQ_OK;
}

static int finish(struct trainer *t, struct lq_trained *ret_trained)
{
    struct lq_trained trained;
    double top1 = -1;
    int status = lq_trainer_network(t, true, &trained);

    if (status != LQ_OK)
        return status;
    if (t->test)
        status = lq_trainer_evaluate(t, trained.graph, &top1);
    if (status == LQ_OK)
        status = lq_trainer_add_provenance(t, &trained.graph);
    if (status == LQ_OK)
        status = lq_trainer_add_provenance(t, &trained.latent);
    if (status == LQ_OK)
        status = describe_layers(t);
    if (status == LQ_OK) {
        tell(t, LQ_TRAIN_FINISHED, top1);
        *ret_trained = trained;
    } else {
        lq_graph_destroy(trained.graph);
        lq_graph_destroy(trained.latent);
    }
    return status;
}

int lq_trainer_run(const struct lq_trainer_input *input, const struct lq_train_options *options,
                   struct lq_trained *ret_trained, struct lq_error *error)
{
    struct trainer t = {.input = input, .options = options, .error = error};
    int status = lq_trainer_prepare(&t);

    t.started = t.last_saved = now();
    t.started_at = t.step;
    if (status == LQ_OK)
        status = run_steps(&t);
    if (status == LQ_OK)
        status = finish(&t, ret_trained);
    lq_loader_destroy(t.loader);
    lq_teacher_destroy(t.teacher);
    lq_tape_destroy(t.tape);
    lq_dataset_close(t.parts[0]);
    lq_dataset_close(t.parts[1]);
    lq_arena_deinit(&t.arena);
    return status;
}
