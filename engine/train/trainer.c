/* trainer.c - trains a network: the loop over steps, epochs, checkpoints.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * All that decides the next step is the tape's numbers, the optimizer's velocity, the averages, and
 * the number of the step: the order of the images, their augmentation and the learning rate follow
 * from it. That is what a checkpoint holds.
 */
#include "train/trainer.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"
#include "train/loader.h"
#include "train/loss.h"
#include "train/sgd.h"
#include "train/teacher.h"

#define AVERAGE_IMAGES 2000 /* that statistics are taken from for averaged weights */
#define MAX_MILESTONES 64
#define LOADER_THREADS 1

struct trainer {
    const struct lq_trainer_input *input;
    const struct lq_train_options *options;
    const struct lq_dataset *train, *test; /* test NULL: nothing is evaluated */
    struct lq_dataset *parts[2];           /* of the images, where some are held out */
    struct lq_tape *tape;
    struct lq_loader *loader;
    struct lq_loader_options loading;
    struct lq_teacher *teacher;
    struct lq_arena arena;
    float *velocity, *average; /* [numbers]; average NULL: none */
    float *d_logits, *teacher_logits;
    double *progress; /* of the epoch so far: sum of losses, right ones, images */
    struct lq_checkpoint checkpoint;
    char settings[512];
    int64_t milestones[MAX_MILESTONES];
    struct lq_schedule schedule;
    int64_t step, steps, epoch_steps;
    int batch, classes;
    struct lq_train_layer *layers; /* at the end */
    int layer_count;
    double started, last_saved; /* seconds; time spent on evaluation is taken off */
    int64_t started_at;         /* step */
    struct lq_error *error;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
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
        lq_tape_step_bases(t->tape, sgd.rate * o->basis_rate, o->momentum);
    lq_sgd_step(&sgd, t->tape, t->velocity);
    if (t->average)
        lq_average_step(o->average, t->step, t->tape, t->average);
    t->step++;
    t->progress[0] += loss * t->batch;
    t->progress[1] += correct;
    t->progress[2] += t->batch;
    return LQ_OK;
}

/* BatchNorm statistics of the tape's present values, over training images. */
static int estimate_statistics(struct trainer *t, int64_t images)
{
    struct lq_loader_options options = t->loading;
    struct lq_loader *loader;
    const struct lq_batch *batch;
    const float *logits;
    int status;

    options.seed = ~options.seed; /* other crops than those of training */
    status = lq_loader_create(&options, 0, &loader, t->error);
    if (status != LQ_OK)
        return status;
    for (int64_t done = 0; done < images && status == LQ_OK; done += t->batch) {
        status = lq_loader_next(loader, &batch, t->error);
        if (status == LQ_OK)
            lq_tape_forward(t->tape, batch->input, t->batch, LQ_TAPE_STATISTICS, &logits);
    }
    lq_tape_set_statistics(t->tape);
    lq_loader_destroy(loader);
    return status;
}

/* What estimate_statistics changes, kept aside: values and float arrays. */
static float *keep_state(const struct trainer *t, float *kept)
{
    struct lq_tape *tape = t->tape;
    size_t count = lq_tape_numbers(tape);

    if (kept)
        memcpy(kept, lq_tape_values(tape), count * sizeof(*kept));
    for (int i = 0; i < lq_tape_array_count(tape); i++) {
        const struct lq_tape_array *a = lq_tape_array(tape, i);

        if (kept && !a->doubles)
            memcpy(kept + count, a->data, a->count * sizeof(*kept));
        count += a->doubles ? 0 : a->count;
    }
    return kept ? kept : lq_alloc(count, sizeof(*kept));
}

static void restore_state(const struct trainer *t, const float *kept)
{
    struct lq_tape *tape = t->tape;
    size_t count = lq_tape_numbers(tape);

    memcpy(lq_tape_values(tape), kept, count * sizeof(*kept));
    for (int i = 0; i < lq_tape_array_count(tape); i++) {
        const struct lq_tape_array *a = lq_tape_array(tape, i);

        if (a->doubles)
            continue;
        memcpy(a->data, kept + count, a->count * sizeof(*kept));
        count += a->count;
    }
}

static int export_tape(struct trainer *t, bool final, struct lq_trained *ret_trained)
{
    struct lq_trained trained = {NULL, NULL};
    int status = lq_tape_export(t->tape, NULL, &trained.graph, t->error);

    if (status == LQ_OK && final && t->input->latent)
        status = lq_tape_export_latent(t->tape, t->input->latent, &trained.latent, t->error);
    if (status == LQ_OK)
        *ret_trained = trained;
    else
        lq_graph_destroy(trained.graph);
    return status;
}

/* The network as it would be kept if this were the end. The run goes on as if it had not been. */
static int export_network(struct trainer *t, bool final, struct lq_trained *ret_trained)
{
    int64_t images = final ? t->options->reestimate : 0;
    float *kept;
    int status = LQ_OK;

    if (t->average && images == 0)
        images = AVERAGE_IMAGES;
    if (images == 0)
        return export_tape(t, final, ret_trained);
    kept = keep_state(t, NULL);
    if (!kept)
        return lq_fail_memory(t->error);
    keep_state(t, kept);
    if (t->average)
        memcpy(lq_tape_values(t->tape), t->average, lq_tape_numbers(t->tape) * sizeof(float));
    status = estimate_statistics(t, images);
    if (status == LQ_OK)
        status = export_tape(t, final, ret_trained);
    restore_state(t, kept);
    free(kept);
    return status;
}

/* By the engine's own session, on the network as it would be served. */
static int evaluate(struct trainer *t, const struct lq_graph *graph, double *ret_top1)
{
    const struct lq_train_options *o = t->options;
    struct lq_evaluate_options options = {.batch = 64, .threads = o->threads};
    struct lq_lower_options lower = {LQ_FORM_AUTO, false, t->input->kernels};
    struct lq_evaluation evaluation;
    struct lq_program *program;
    int status = lq_program_create(graph, &lower, &program, t->error);

    if (status != LQ_OK)
        return status;
    status = lq_evaluate_program(program, t->test, &options, &evaluation, t->error);
    lq_program_destroy(program);
    if (status != LQ_OK)
        return status;
    *ret_top1 = evaluation.top1;
    lq_evaluation_deinit(&evaluation);
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
        status = export_network(t, false, &trained);
        if (status == LQ_OK) {
            status = evaluate(t, trained.graph, &top1);
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

/* One line about how the network was trained. */
static void describe(const struct trainer *t, char *text, size_t size)
{
    static const char *const curves[] = {"steps", "linear", "cosine"};
    const struct lq_train_options *o = t->options;

    snprintf(text, size,
             "batch %d, seed %llu, %lld images, %d epochs, rate %g %s, warm-up %g, momentum %g%s, "
             "decay %g, bases %g, smoothing %g, average %g, distillation %g at %g, %s, %s levels",
             t->batch, (unsigned long long)o->seed, (long long)lq_loader_images(t->loader),
             o->epochs, o->rate, curves[o->curve], o->warmup, o->momentum,
             o->plain_momentum ? "" : " Nesterov", o->decay, o->basis_rate, o->smoothing,
             o->average, o->teacher ? o->distillation : 0, o->temperature, o->augmentation,
             o->quantizer == LQ_QUANTIZER_UNIFORM ? "uniform" : "learned");
}

/* A copy that says how it was trained, in place of the graph, which is destroyed. */
static int add_provenance(const struct trainer *t, struct lq_graph **graph)
{
    const struct lq_entry entries[] = {{"trained", t->settings},
                                       {"augmentation", t->options->augmentation}};
    int status = LQ_OK;

    for (int i = 0; i < 2 && *graph && !t->input->keeps_provenance && status == LQ_OK; i++) {
        struct lq_graph *copy;

        status = lq_graph_copy(*graph, &entries[i], &copy, t->error);
        if (status == LQ_OK) {
            lq_graph_destroy(*graph);
            *graph = copy;
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
    int status = export_network(t, true, &trained);

    if (status != LQ_OK)
        return status;
    if (t->test)
        status = evaluate(t, trained.graph, &top1);
    if (status == LQ_OK)
        status = add_provenance(t, &trained.graph);
    if (status == LQ_OK)
        status = add_provenance(t, &trained.latent);
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

int lq_trainer_run(const struct lq_trainer_input *input, const struct lq_train_options *options,
                   struct lq_trained *ret_trained, struct lq_error *error)
{
    struct trainer t = {.input = input, .options = options, .error = error};
    int status = choose_images(&t);

    if (status == LQ_OK)
        status = init_loading(&t);
    if (status == LQ_OK)
        status = init_tape(&t);
    if (status == LQ_OK && input->teacher)
        status = init_teacher(&t);
    if (status == LQ_OK) {
        describe(&t, t.settings, sizeof(t.settings));
        status = init_checkpoint(&t);
    }
    if (status == LQ_OK)
        status = resume(&t);
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
