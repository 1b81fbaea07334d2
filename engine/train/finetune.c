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

#define MEASURED 256 /* images that layers are measured on, before and after */
#define AT_ONCE  64  /* images read between two looks at whether to go on */

struct finetuning {
    const struct lq_finetune_input *input;
    const struct lq_finetune_options *options;
    struct lq_dataset *images; /* the part that is used */
    struct lq_augmentation augmentation;
    struct lq_graph *graph; /* the copy */
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

    for (int64_t i = 0; i < lq_dataset_count(f->images); i++) {
        int64_t label = lq_dataset_label(f->images, i);
        char name[256];

        if (label < classes)
            continue;
        lq_dataset_name(f->images, i, name, sizeof(name));
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

static int calibrate(struct finetuning *f, struct lq_graph *graph)
{
    const struct lq_finetune_options *o = f->options;
    int64_t count = lq_dataset_count(f->images);
    struct walk_report report = {f, (int)fitting(f, count)};
    struct lq_calibrate_input input;
    float *images;
    int status = read_images(f, report.count, true, &images);

    if (status != LQ_OK)
        return status;
    begin(f, "calibrate");
    input = calibrate_input(f, images, &report);
    input.steps = o->steps;
    input.blend = o->keep;
    status = lq_calibrate_graph(graph, &input, NULL, NULL, f->error);
    free(images);
    f->report.images = report.count;
    return status;
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
 * The whole
 */

static int add_provenance(struct finetuning *f, struct lq_graph **graph)
{
    const struct lq_finetune_options *o = f->options;
    struct lq_entry entry = {"finetuned", NULL};
    struct lq_graph *copy;
    char text[320];
    int status;

    snprintf(text, sizeof(text), "%s, %lld images, %s, seed %llu, %s%s%s, keep %g",
             lq_finetune_mode_name(o->mode), (long long)f->report.images, o->augmentation,
             (unsigned long long)o->seed, o->steps & LQ_FINETUNE_STATISTICS ? "statistics" : "",
             o->steps == 3 ? " and " : "", o->steps & LQ_FINETUNE_BASES ? "bases" : "", o->keep);
    entry.value = text;
    status = lq_graph_copy(*graph, &entry, &copy, f->error);
    if (status == LQ_OK) {
        lq_graph_destroy(*graph);
        *graph = copy;
    }
    return status;
}

static int start(struct finetuning *f)
{
    const struct lq_finetune_options *o = f->options;
    const struct lq_dataset_selection selection = {.limit = o->images};
    int status = lq_dataset_select(f->input->dataset, &selection, &f->images, f->error);

    if (status == LQ_OK)
        status = check_labels(f);
    if (status == LQ_OK)
        status = lq_augmentation_parse(o->augmentation, &f->augmentation, f->error);
    if (status == LQ_OK)
        status = lq_graph_copy(f->input->graph, NULL, &f->graph, f->error);
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
        status = measure(&f, f.graph, false);
    if (status == LQ_OK)
        status = calibrate(&f, f.graph);
    if (status == LQ_OK && options->mode != LQ_FINETUNE_CALIBRATE)
        status =
            lq_fail(error, LQ_ERR_UNSUPPORTED, "mode '%s'", lq_finetune_mode_name(options->mode));
    if (status == LQ_OK)
        status = measure(&f, f.graph, true);
    if (status == LQ_OK)
        status = add_provenance(&f, &f.graph);
    lq_dataset_close(f.images);
    f.report.seconds = now() - started;
    if (status == LQ_OK) {
        *ret_trained = (struct lq_trained){.graph = f.graph};
        *ret_report = f.report;
    } else {
        lq_graph_destroy(f.graph);
        free(f.report.layers);
    }
    return status;
}

void lq_finetune_report_deinit(struct lq_finetune_report *report)
{
    free(report->layers);
    *report = (struct lq_finetune_report){.loss = -1};
}
