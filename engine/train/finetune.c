/* finetune.c - fits the quantizers of a network to the images that it meets.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "train/finetune.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "train/calibrate.h"
#include "train/walk.h"

#define MEASURED 256  /* images that layers are measured on, before and after */
#define MOST     8192 /* images to calibrate on */
#define AT_ONCE  64   /* images read between two looks at whether to go on */

struct finetuning {
    const struct lq_finetune_input *input;
    const struct lq_finetune_options *options;
    struct lq_dataset *images; /* the part that is used */
    struct lq_augmentation augmentation;
    float *calibration;        /* images, as augmented */
    struct lq_trained trained; /* the copy */
    bool labelled;             /* all images are */
    double distillation;       /* in force */
    struct lq_finetune_report report;
    const char *stage;
    double began; /* the stage, seconds */
    struct lq_error *error;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* images: how many the stage has looked at so far. True: cancel. */
static bool tell(const struct finetuning *f, int64_t done, int64_t total, double images)
{
    double seconds = now() - f->began;
    struct lq_finetune_event event = {
        .stage = f->stage, .done = done, .total = total, .loss = -1, .accuracy = -1};

    if (done > 0 && seconds > 0) {
        event.images_per_s = images / seconds;
        event.seconds_left = seconds / (double)done * (double)(total - done);
    }
    return f->options->event && f->options->event(f->options->context, &event);
}

static void begin(struct finetuning *f, const char *stage)
{
    f->stage = stage;
    f->began = now();
}

/* ------------------------------------------------------------------------------------------------
 * Images
 */

struct reading {
    const struct finetuning *f;
    const struct lq_augmentation *augmentation; /* NULL: none */
    int64_t first, count;                       /* of all that are read */
    float *images;
    size_t floats;        /* of an image */
    pthread_mutex_t lock; /* of the first failure */
    int status;
    struct lq_error error;
};

static void read_image(void *context, int at, int worker)
{
    struct reading *r = context;
    const struct lq_graph *graph = r->f->input->graph;
    int64_t i = r->first + at;
    struct lq_error error = {0};
    struct lq_rng rng;
    int status;

    (void)worker;
    lq_rng_init(&rng, r->f->options->seed, (uint64_t)i);
    status = lq_dataset_input(r->f->images, i * lq_dataset_count(r->f->images) / r->count,
                              &graph->meta.preprocess, graph->values[graph->input].shape.dims[2],
                              r->augmentation, &rng, r->images + (size_t)i * r->floats, &error);
    if (status == LQ_OK)
        return;
    pthread_mutex_lock(&r->lock);
    if (r->status == LQ_OK) {
        r->status = status;
        r->error = error;
    }
    pthread_mutex_unlock(&r->lock);
}

/* count images, evenly spread; the caller frees *ret_images. */
static int read_images(struct finetuning *f, int64_t count, bool augment, float **ret_images)
{
    const struct lq_graph *graph = f->input->graph;
    struct reading r = {.f = f,
                        .augmentation = augment ? &f->augmentation : NULL,
                        .count = count,
                        .floats = (size_t)lq_shape_elements(&graph->values[graph->input].shape)};
    struct lq_pool *pool = NULL;
    int status = lq_pool_create(f->options->threads, &pool, f->error);

    if (status != LQ_OK)
        return status;
    begin(f, "read");
    r.images = lq_alloc((size_t)count, r.floats * sizeof(float));
    pthread_mutex_init(&r.lock, NULL);
    if (!r.images)
        status = lq_fail_memory(f->error);
    for (r.first = 0; r.first < count && status == LQ_OK; r.first += AT_ONCE) {
        int64_t left = count - r.first;

        lq_pool_run(pool, left < AT_ONCE ? (int)left : AT_ONCE, read_image, &r);
        status = r.status;
        if (status != LQ_OK)
            lq_error_set(f->error, status, "%s", r.error.text);
        else if (tell(f, r.first + (left < AT_ONCE ? left : AT_ONCE), count, (double)r.first))
            status = lq_fail(f->error, LQ_ERR_CANCELLED, "cancelled");
    }
    pthread_mutex_destroy(&r.lock);
    lq_pool_destroy(pool);
    if (status == LQ_OK)
        *ret_images = r.images;
    else
        free(r.images);
    return status;
}

static int check_labels(const struct finetuning *f)
{
    int classes = lq_graph_classes(f->input->graph);
    bool needed = f->options->mode != LQ_FINETUNE_CALIBRATE && f->distillation < 1;

    for (int64_t i = 0; i < lq_dataset_count(f->images); i++) {
        int64_t label = lq_dataset_label(f->images, i);
        char name[256];

        if (label < classes && (label >= 0 || !needed))
            continue;
        lq_dataset_name(f->images, i, name, sizeof(name));
        if (label < 0)
            return lq_fail(f->error, LQ_ERR_INVALID, "%s: its class is not known", name);
        return lq_fail(f->error, LQ_ERR_INVALID, "%s: class %lld, the network has %d", name,
                       (long long)label, classes);
    }
    return LQ_OK;
}

/* ------------------------------------------------------------------------------------------------
 * Calibration
 */

struct walk_report {
    const struct finetuning *f;
    int count; /* images */
};

static bool on_node(void *context, int done, int total)
{
    const struct walk_report *report = context;

    return tell(report->f, done, total, (double)report->count * done / total);
}

static struct lq_calibrate_input calibrate_input(const struct finetuning *f, const float *images,
                                                 const struct walk_report *report)
{
    return (struct lq_calibrate_input){.images = images,
                                       .count = report->count,
                                       .threads = f->options->threads,
                                       .kernels = f->input->kernels,
                                       .report = on_node,
                                       .context = (void *)report};
}

/* Images whose maps fit the memory, at most `most`. */
static int64_t fitting(const struct finetuning *f, int64_t most)
{
    size_t image = (size_t)lq_walk_numbers(f->input->graph) * sizeof(float);
    int64_t fit = (int64_t)(f->options->memory / image);

    fit = fit > 1 ? fit : 1;
    return most < fit ? most : fit;
}

/* On augmented images, read once. */
static int calibrate(struct finetuning *f, struct lq_graph *graph, unsigned steps, double keep)
{
    int64_t count = lq_dataset_count(f->images);
    struct walk_report report = {f, (int)fitting(f, count < MOST ? count : MOST)};
    struct lq_calibrate_input input;
    int status = LQ_OK;

    if (!f->calibration)
        status = read_images(f, report.count, true, &f->calibration);
    if (status != LQ_OK)
        return status;
    begin(f, "calibrate");
    input = calibrate_input(f, f->calibration, &report);
    input.steps = steps;
    input.blend = keep;
    return lq_calibrate_graph(graph, &input, NULL, NULL, f->error);
}

/* Fills in `before`, or else `after`, of the report's layers. */
static int measure(struct finetuning *f, struct lq_graph *graph, bool after)
{
    int64_t count = lq_dataset_count(f->images);
    struct walk_report report = {f, (int)fitting(f, count < MEASURED ? count : MEASURED)};
    struct lq_finetune_report *r = &f->report;
    struct lq_calibrate_input input;
    struct lq_calibrated_node *nodes;
    double sum = 0;
    float *images;
    int norms = 0, status = read_images(f, report.count, false, &images);

    if (status != LQ_OK)
        return status;
    begin(f, "measure");
    input = calibrate_input(f, images, &report);
    nodes = lq_alloc((size_t)graph->node_count, sizeof(*nodes));
    if (!r->layers)
        r->layers = lq_alloc((size_t)graph->node_count, sizeof(*r->layers));
    status = nodes && r->layers
                 ? lq_calibrate_graph(graph, &input, nodes, &r->layer_count, f->error)
                 : lq_fail_memory(f->error);
    for (int i = 0; i < r->layer_count && status == LQ_OK; i++) {
        const struct lq_node *node = &graph->nodes[nodes[i].node];
        struct lq_finetune_layer *layer = &r->layers[i];

        snprintf(layer->name, sizeof(layer->name), "%.127s", node->name);
        layer->op = node->kind == LQ_OP_QUANTIZE ? "quantize" : "batch_norm";
        layer->bits = node->kind == LQ_OP_QUANTIZE ? node->attributes.bits : 0;
        *(after ? &layer->after : &layer->before) = nodes[i].before;
        sum += node->kind == LQ_OP_QUANTIZE ? 0 : nodes[i].before;
        norms += node->kind != LQ_OP_QUANTIZE;
    }
    r->shift[after] = norms ? sum / norms : 0;
    free(nodes);
    free(images);
    return status;
}

/* ------------------------------------------------------------------------------------------------
 * Training
 */

static bool on_train(void *context, const struct lq_train_event *e)
{
    struct finetuning *f = context;
    struct lq_finetune_event event = {.stage = "train",
                                      .done = e->step,
                                      .total = e->steps,
                                      .loss = e->loss,
                                      .accuracy = f->labelled ? e->accuracy : -1,
                                      .images_per_s = e->images_per_s,
                                      .seconds_left = e->seconds_left};

    if (e->kind == LQ_TRAIN_EPOCH)
        f->report.loss = e->loss;
    return f->options->event && f->options->event(f->options->context, &event);
}

/* A teacher of its own sees the same images, so it is calibrated too. */
static int make_teacher(struct finetuning *f, struct lq_graph **ret_graph)
{
    const struct lq_graph *from = f->input->teacher ? f->input->teacher : f->trained.graph;
    struct lq_graph *graph;
    int status = lq_graph_copy(from, NULL, &graph, f->error);

    if (status != LQ_OK)
        return status;
    if (f->input->teacher)
        status = calibrate(f, graph, LQ_FINETUNE_STATISTICS, f->options->keep);
    if (status == LQ_OK)
        *ret_graph = graph;
    else
        lq_graph_destroy(graph);
    return status;
}

static int run_trainer(struct finetuning *f, const struct lq_graph *teacher,
                       struct lq_trained *ret_trained)
{
    const struct lq_finetune_options *o = f->options;
    bool joint = o->mode == LQ_FINETUNE_JOINT;
    struct lq_train_options options = {.batch = o->batch,
                                       .epochs = o->epochs,
                                       .rate = o->rate,
                                       .curve = LQ_RATE_LINEAR,
                                       .basis_rate = o->basis_rate,
                                       .distillation = f->distillation,
                                       .temperature = o->temperature,
                                       .augmentation = o->augmentation,
                                       .seed = o->seed,
                                       .threads = o->threads,
                                       .event = on_train,
                                       .context = f};
    struct lq_trainer_input input = {.graph = f->trained.graph,
                                     .latent = joint ? f->input->latent : NULL,
                                     .teacher = teacher,
                                     .train = f->images,
                                     .kernels = f->input->kernels,
                                     .fixed_weights = !joint,
                                     .keeps_provenance = true};
    int status = lq_train_resolve(&options, &options, f->error);

    return status == LQ_OK ? lq_trainer_run(&input, &options, ret_trained, f->error) : status;
}

static int train(struct finetuning *f)
{
    struct lq_graph *teacher = NULL;
    struct lq_trained trained;
    int status = LQ_OK;

    if (f->distillation > 0)
        status = make_teacher(f, &teacher);
    begin(f, "train");
    if (status == LQ_OK)
        status = run_trainer(f, teacher, &trained);
    lq_graph_destroy(teacher);
    if (status != LQ_OK)
        return status;
    lq_graph_destroy(f->trained.graph);
    f->trained = trained;
    return calibrate(f, f->trained.graph, LQ_FINETUNE_STATISTICS, 0);
}

/* ------------------------------------------------------------------------------------------------
 * The whole
 */

static int add_provenance(struct finetuning *f)
{
    static const char *const steps[] = {"", "statistics", "bases", "statistics and bases"};
    const struct lq_finetune_options *o = f->options;
    struct lq_entry entry = {"finetuned", NULL};
    struct lq_graph **graphs[] = {&f->trained.graph, &f->trained.latent}, *copy;
    char text[320];
    bool decoded = o->mode == LQ_FINETUNE_JOINT && !f->input->latent;
    int length = snprintf(text, sizeof(text), "%s%s, %lld images, %s, seed %llu, %s, keep %g",
                          lq_finetune_mode_name(o->mode), decoded ? " from decoded weights" : "",
                          (long long)f->report.images, o->augmentation, (unsigned long long)o->seed,
                          steps[o->steps], o->keep);
    int status = LQ_OK;

    if (o->mode != LQ_FINETUNE_CALIBRATE && length < (int)sizeof(text))
        snprintf(text + length, sizeof(text) - (size_t)length,
                 ", %d epochs, batch %d, rate %g, bases %g, distillation %g at %g", o->epochs,
                 o->batch, o->rate, o->basis_rate, f->distillation, o->temperature);
    entry.value = text;
    for (int i = 0; i < 2 && status == LQ_OK; i++) {
        if (!*graphs[i])
            continue;
        status = lq_graph_copy(*graphs[i], &entry, &copy, f->error);
        if (status == LQ_OK) {
            lq_graph_destroy(*graphs[i]);
            *graphs[i] = copy;
        }
    }
    return status;
}

static int start(struct finetuning *f)
{
    const struct lq_finetune_options *o = f->options;
    const struct lq_dataset_selection selection = {.limit = o->images};
    int status = lq_dataset_select(f->input->dataset, &selection, &f->images, f->error);

    if (status != LQ_OK)
        return status;
    f->report.images = lq_dataset_count(f->images);
    f->labelled = lq_dataset_labelled(f->images);
    f->distillation = o->distillation > 0 ? o->distillation : f->labelled ? 0 : 1;
    status = check_labels(f);
    if (status == LQ_OK)
        status = lq_augmentation_parse(o->augmentation, &f->augmentation, f->error);
    if (status == LQ_OK)
        status = lq_graph_copy(f->input->graph, NULL, &f->trained.graph, f->error);
    return status;
}

int lq_finetune_graph(const struct lq_finetune_input *input,
                      const struct lq_finetune_options *options, struct lq_trained *ret_trained,
                      struct lq_finetune_report *ret_report, struct lq_error *error)
{
    struct finetuning f = {
        .input = input, .options = options, .report = {.loss = -1}, .error = error};
    double started = now();
    int status = start(&f);

    if (status == LQ_OK)
        status = measure(&f, f.trained.graph, false);
    if (status == LQ_OK)
        status = calibrate(&f, f.trained.graph, options->steps, options->keep);
    if (status == LQ_OK && options->mode != LQ_FINETUNE_CALIBRATE)
        status = train(&f);
    if (status == LQ_OK)
        status = measure(&f, f.trained.graph, true);
    if (status == LQ_OK)
        status = add_provenance(&f);
    lq_dataset_close(f.images);
    free(f.calibration);
    f.report.seconds = now() - started;
    if (status == LQ_OK) {
        *ret_trained = f.trained;
        *ret_report = f.report;
    } else {
        lq_graph_destroy(f.trained.graph);
        lq_graph_destroy(f.trained.latent);
        free(f.report.layers);
    }
    return status;
}

void lq_finetune_report_deinit(struct lq_finetune_report *report)
{
    free(report->layers);
    *report = (struct lq_finetune_report){.loss = -1};
}
