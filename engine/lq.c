/* lq.c - binds the public door to the rooms.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "lq_learn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "base/status.h"
#include "format/lqfile.h"
#include "format/onnx.h"
#include "graph/session.h"
#include "image/preprocess.h"
#include "lq_model.h"
#include "train/evaluate.h"
#include "train/quantize.h"

#define MAX_MODEL_BYTES ((size_t)4 << 30)
#define MAX_BATCH       4096
#define MAX_THREADS     64
#define DEFAULT_BATCH   64
#define DEFAULT_IMAGES  1000

struct lq_engine {
    struct lq_kernels kernels;
    int tier;
};

struct lq_session {
    struct lq_model *model;
    const struct lq_program *program;
    struct lq_runner *runner;
    int max_batch;
    size_t input_floats, output_floats;
};

int lq_engine_create(unsigned cpu_mask, struct lq_engine **ret_engine, struct lq_error *error)
{
    struct lq_engine *engine = lq_alloc(1, sizeof(*engine));

    if (!engine)
        return lq_fail_memory(error);
    engine->tier = lq_kernels_init(&engine->kernels, lq_cpu_detect() & (cpu_mask | 1u << LQ_CPU_C));
    *ret_engine = engine;
    return LQ_OK;
}

void lq_engine_destroy(struct lq_engine *engine)
{
    free(engine);
}

const struct lq_kernels *lq_engine_kernels(const struct lq_engine *engine)
{
    return &engine->kernels;
}

const char *lq_engine_cpu(const struct lq_engine *engine)
{
    return lq_cpu_tier_name((enum lq_cpu_tier)engine->tier);
}

int lq_form_from_name(const char *name)
{
    static const char *const names[LQ_FORM_COUNT] = {"auto", "plain", "packed", "float"};

    for (int form = 0; form < LQ_FORM_COUNT; form++)
        if (strcmp(names[form], name) == 0)
            return form;
    return -1;
}

int lq_model_create(const struct lq_engine *engine, struct lq_graph *graph,
                    struct lq_model **ret_model, struct lq_error *error)
{
    struct lq_model *model = lq_alloc(1, sizeof(*model));

    if (!model) {
        lq_graph_destroy(graph);
        return lq_fail_memory(error);
    }
    atomic_init(&model->references, 1);
    pthread_mutex_init(&model->lock, NULL);
    model->engine = engine;
    model->graph = graph;
    *ret_model = model;
    return LQ_OK;
}

int lq_model_program(struct lq_model *model, enum lq_form form,
                     const struct lq_program **ret_program, struct lq_error *error)
{
    struct lq_lower_options options = {form, false, &model->engine->kernels};
    int status = LQ_OK;

    if ((int)form < 0 || form >= LQ_FORM_COUNT)
        return lq_fail(error, LQ_ERR_INVALID, "form %d", (int)form);
    pthread_mutex_lock(&model->lock);
    if (!model->programs[form])
        status = lq_program_create(model->graph, &options, &model->programs[form], error);
    if (status == LQ_OK)
        *ret_program = model->programs[form];
    pthread_mutex_unlock(&model->lock);
    return status;
}

static int open_file(const struct lq_engine *engine, struct lq_file *file,
                     struct lq_model **ret_model, struct lq_error *error)
{
    const struct lq_program *program;
    struct lq_graph *graph;
    struct lq_model *model;
    int status = lq_lqfile_parse(file, &graph, error);

    if (status != LQ_OK) {
        lq_file_unmap(file);
        return status;
    }
    status = lq_model_create(engine, graph, &model, error);
    if (status != LQ_OK)
        return status;
    status = lq_model_program(model, LQ_FORM_AUTO, &program, error); /* now, not at first use */
    if (status == LQ_OK)
        *ret_model = model;
    else
        lq_model_unref(model);
    return status;
}

int lq_model_open(const struct lq_engine *engine, const char *path, struct lq_model **ret_model,
                  struct lq_error *error)
{
    struct lq_file file;
    int status = lq_file_map(path, MAX_MODEL_BYTES, &file, error);

    if (status != LQ_OK)
        return status;
    status = open_file(engine, &file, ret_model, error);
    if (status != LQ_OK)
        lq_error_prefix(error, "%s", path);
    return status;
}

int lq_model_open_memory(const struct lq_engine *engine, const void *bytes, size_t size,
                         struct lq_model **ret_model, struct lq_error *error)
{
    struct lq_file file = {NULL, size, false};
    void *copy;

    if (size == 0 || size > MAX_MODEL_BYTES)
        return lq_fail(error, LQ_ERR_FORMAT, "a model of %zu bytes", size);
    copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return lq_fail_memory(error);
    memcpy(copy, bytes, size);
    file.bytes = copy;
    return open_file(engine, &file, ret_model, error);
}

/* The file's name without folder and suffix. */
static int name_from_path(const char *path, char *ret_name, size_t size)
{
    const char *base = strrchr(path, '/');
    size_t length;

    base = base ? base + 1 : path;
    length = strrchr(base, '.') ? (size_t)(strrchr(base, '.') - base) : strlen(base);
    if (length == 0 || length >= size)
        return LQ_ERR_INVALID;
    memcpy(ret_name, base, length);
    ret_name[length] = '\0';
    return LQ_OK;
}

int lq_model_import_onnx(const struct lq_engine *engine, const char *path,
                         const struct lq_import_options *options, struct lq_model **ret_model,
                         struct lq_error *error)
{
    const char *base = strrchr(path, '/');
    char name[LQ_MAX_NAME];
    struct lq_entry entries[2] = {{"source", base ? base + 1 : path},
                                  {"augmentation", options->augmentation}};
    struct lq_meta meta = {.name = options->name,
                           .labels = (const char **)options->labels,
                           .label_count = options->label_count,
                           .preprocess = options->preprocess,
                           .provenance = entries,
                           .provenance_count = options->augmentation ? 2 : 1};
    struct lq_augmentation augmentation;
    struct lq_graph *graph;
    struct lq_file file;
    int status = LQ_OK;

    if (options->augmentation)
        status = lq_augmentation_parse(options->augmentation, &augmentation, error);
    if (status == LQ_OK && !meta.name) {
        if (name_from_path(path, name, sizeof(name)) == LQ_OK)
            meta.name = name;
        else
            meta.name = "network";
    }
    if (status == LQ_OK)
        status = lq_file_map(path, LQ_MAX_ONNX_BYTES, &file, error);
    if (status != LQ_OK)
        return status;
    status = lq_onnx_import(file.bytes, file.size, &meta, &graph, error);
    lq_file_unmap(&file);
    if (status != LQ_OK) {
        lq_error_prefix(error, "%s", path);
        return status;
    }
    return lq_model_create(engine, graph, ret_model, error);
}

int lq_model_save(const struct lq_model *model, const char *path, struct lq_error *error)
{
    return lq_lqfile_save(model->graph, path, error);
}

struct lq_model *lq_model_ref(struct lq_model *model)
{
    atomic_fetch_add(&model->references, 1);
    return model;
}

void lq_model_unref(struct lq_model *model)
{
    if (!model || atomic_fetch_sub(&model->references, 1) > 1)
        return;
    for (int form = 0; form < LQ_FORM_COUNT; form++)
        lq_program_destroy(model->programs[form]);
    lq_graph_destroy(model->graph);
    pthread_mutex_destroy(&model->lock);
    free(model);
}

int lq_model_with_provenance(const struct lq_model *model, const char *key, const char *value,
                             struct lq_model **ret_model, struct lq_error *error)
{
    struct lq_entry entry = {key, value};
    struct lq_graph *graph;
    int status = lq_graph_copy(model->graph, &entry, &graph, error);

    return status == LQ_OK ? lq_model_create(model->engine, graph, ret_model, error) : status;
}

int lq_session_create(struct lq_model *model, const struct lq_session_options *options,
                      struct lq_session **ret_session, struct lq_error *error)
{
    const struct lq_program *program = NULL;
    const struct lq_graph *graph = model->graph;
    struct lq_session *session;
    int status;

    if (options->max_batch < 1 || options->max_batch > MAX_BATCH)
        return lq_fail(error, LQ_ERR_INVALID, "max_batch %d, expected 1..%d", options->max_batch,
                       MAX_BATCH);
    if (options->threads < 1 || options->threads > MAX_THREADS)
        return lq_fail(error, LQ_ERR_INVALID, "%d threads, expected 1..%d", options->threads,
                       MAX_THREADS);
    status = lq_model_program(model, options->form, &program, error);
    if (status != LQ_OK)
        return status;
    session = lq_alloc(1, sizeof(*session));
    if (!session)
        return lq_fail_memory(error);
    status = lq_runner_create(program, options->threads, &session->runner, error);
    if (status != LQ_OK) {
        free(session);
        return status;
    }
    session->model = lq_model_ref(model);
    session->program = program;
    session->max_batch = options->max_batch;
    session->input_floats = (size_t)lq_shape_elements(&graph->values[graph->input].shape);
    session->output_floats = (size_t)lq_graph_classes(graph);
    *ret_session = session;
    return LQ_OK;
}

void lq_session_destroy(struct lq_session *session)
{
    if (!session)
        return;
    lq_runner_destroy(session->runner);
    lq_model_unref(session->model);
    free(session);
}

size_t lq_session_bytes(const struct lq_session *session)
{
    return sizeof(*session) + lq_runner_bytes(session->runner);
}

/* Images at..at + count - 1 of a call: floats or pixels. */
struct images {
    const float *floats;
    enum lq_layout layout;
    const uint8_t *pixels;
};

static int run_piece(struct lq_session *session, const struct images *images, int at, int count,
                     float *ret_output, struct lq_error *error)
{
    size_t skipped = (size_t)at * session->input_floats;

    ret_output += (size_t)at * session->output_floats;
    if (images->pixels)
        return lq_runner_run_pixels(session->runner, images->pixels + skipped, count, ret_output,
                                    error);
    return lq_runner_run(session->runner, images->floats + skipped, images->layout, count,
                         ret_output, error);
}

static int run_pieces(struct lq_session *session, const struct images *images, int count,
                      float *ret_output, struct lq_error *error)
{
    for (int at = 0; at < count; at += session->max_batch) {
        int piece = count - at < session->max_batch ? count - at : session->max_batch;
        int status = run_piece(session, images, at, piece, ret_output, error);

        if (status != LQ_OK) {
            if (at > 0)
                lq_error_prefix(error, "after image %d", at);
            return status;
        }
    }
    return LQ_OK;
}

int lq_session_run(struct lq_session *session, const float *input, enum lq_layout layout, int count,
                   float *ret_output, struct lq_error *error)
{
    const struct images images = {.floats = input, .layout = layout};

    return run_pieces(session, &images, count, ret_output, error);
}

int lq_session_run_pixels(struct lq_session *session, const uint8_t *pixels, int count,
                          float *ret_output, struct lq_error *error)
{
    const struct images images = {.pixels = pixels};

    return run_pieces(session, &images, count, ret_output, error);
}

void lq_session_set_cancel(struct lq_session *session, lq_cancel_check *check, void *context)
{
    lq_runner_set_cancel(session->runner, check, context);
}

int lq_session_profile(struct lq_session *session, struct lq_error *error)
{
    return lq_runner_profile(session->runner, error);
}

int lq_session_step_count(const struct lq_session *session)
{
    return session->program->step_count;
}

void lq_session_step(const struct lq_session *session, int index, struct lq_step_info *ret_info)
{
    static const char *const stores[] = {
        [LQ_STORE_F32] = "floats",    [LQ_STORE_LEVELS] = "levels", [LQ_STORE_BYTES] = "bytes",
        [LQ_STORE_PLANES] = "planes", [LQ_STORE_HALVES] = "halves", [LQ_STORE_NIBBLES] = "nibbles"};
    const struct lq_step *step = &session->program->steps[index];
    struct lq_layer_info layer;

    lq_model_layer(session->model, step->node, &layer);
    *ret_info = (struct lq_step_info){.name = step->name,
                                      .op = layer.op,
                                      .store = stores[step->inputs[0].store],
                                      .macs = layer.macs,
                                      .seconds = lq_runner_seconds(session->runner, index)};
}

int lq_model_decode(const struct lq_model *model, const void *bytes, size_t size,
                    const struct lq_image_limits *limits, uint8_t *ret_pixels,
                    struct lq_error *error)
{
    const struct lq_graph *graph = model->graph;
    struct lq_image image = {0}, fitted = {0};
    int status = lq_image_decode(bytes, size, limits, &image, error);

    if (status == LQ_OK)
        status = lq_preprocess_fit(&graph->meta.preprocess, &image, &fitted, error);
    if (status == LQ_OK)
        status = lq_preprocess_pixels(graph->values[graph->input].shape.dims[2], &fitted,
                                      ret_pixels, error);
    lq_image_deinit(&fitted);
    lq_image_deinit(&image);
    return status;
}

int lq_evaluate(struct lq_model *model, const struct lq_dataset *dataset,
                const struct lq_evaluate_options *options, struct lq_evaluation *ret_evaluation,
                struct lq_error *error)
{
    struct lq_evaluate_options resolved = *options;
    const struct lq_program *program;
    int status = lq_model_program(model, options->form, &program, error);

    if (status != LQ_OK)
        return status;
    if (resolved.batch == 0)
        resolved.batch = DEFAULT_BATCH;
    if (resolved.threads == 0)
        resolved.threads = lq_cpu_count() > MAX_THREADS ? MAX_THREADS : lq_cpu_count();
    if (resolved.batch < 1 || resolved.batch > MAX_BATCH)
        return lq_fail(error, LQ_ERR_INVALID, "batch %d, expected 1..%d", resolved.batch,
                       MAX_BATCH);
    return lq_evaluate_program(program, dataset, &resolved, ret_evaluation, error);
}

/* Calibration images, evenly spread over the data set. */
static int load_images(const struct lq_graph *graph, const struct lq_dataset *dataset,
                       const struct lq_quantize_options *options, int count, float *ret_images,
                       struct lq_error *error)
{
    const struct lq_shape *shape = &graph->values[graph->input].shape;
    const char *text =
        options->augmentation ? options->augmentation : lq_graph_provenance(graph, "augmentation");
    size_t floats = (size_t)lq_shape_elements(shape);
    struct lq_augmentation augmentation;
    bool augment = text && !options->keep_batch_norm;
    int status = augment ? lq_augmentation_parse(text, &augmentation, error) : LQ_OK;

    for (int i = 0; i < count && status == LQ_OK; i++) {
        struct lq_rng rng;

        lq_rng_init(&rng, options->seed, (uint64_t)i);
        status = lq_dataset_input(
            dataset, i * lq_dataset_count(dataset) / count, &graph->meta.preprocess, shape->dims[2],
            augment ? &augmentation : NULL, &rng, ret_images + (size_t)i * floats, error);
    }
    return status;
}

int lq_model_quantize(struct lq_model *model, const struct lq_dataset *dataset,
                      const struct lq_quantize_options *options, struct lq_model **ret_model,
                      struct lq_quantize_report *ret_report, struct lq_error *error)
{
    const struct lq_graph *graph = model->graph;
    struct lq_quantize_input input = {.kernels = &model->engine->kernels,
                                      .threads = options->threads};
    int64_t count = options->images ? options->images : DEFAULT_IMAGES;
    int64_t limit = lq_quantize_image_limit(graph);
    struct lq_graph *quantized;
    float *images;
    int status;

    if (input.threads == 0)
        input.threads = lq_cpu_count() > MAX_THREADS ? MAX_THREADS : lq_cpu_count();
    if (count > lq_dataset_count(dataset))
        count = lq_dataset_count(dataset);
    input.count = (int)(count > limit ? limit : count);
    if (input.count < 1)
        return lq_fail(error, LQ_ERR_INVALID, "%lld calibration images, expected at least one",
                       (long long)count);
    images =
        lq_alloc((size_t)input.count,
                 (size_t)lq_shape_elements(&graph->values[graph->input].shape) * sizeof(float));
    if (!images)
        return lq_fail_memory(error);
    input.images = images;
    status = load_images(graph, dataset, options, input.count, images, error);
    if (status == LQ_OK)
        status = lq_quantize_graph(graph, &input, options, &quantized, ret_report, error);
    free(images);
    if (status != LQ_OK)
        return status;
    status = lq_model_create(model->engine, quantized, ret_model, error);
    if (status != LQ_OK)
        lq_quantize_report_deinit(ret_report);
    return status;
}

void lq_quantize_report_deinit(struct lq_quantize_report *report)
{
    free(report->layers);
    *report = (struct lq_quantize_report){0};
}
