/* session.c - runs a program.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * As many images as there are threads, or a multiple: each thread computes whole images by itself,
 * with buffers of its own. Each of those that are left over is split, step by step.
 */
#include "graph/session.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/size.h"
#include "base/status.h"
#include "image/preprocess.h"

struct lq_runner {
    const struct lq_program *program;
    struct lq_pool *pool; /* NULL for one thread */
    int threads;
    uint8_t *buffers; /* [threads][buffer_bytes]: values */
    uint8_t *scratch; /* [threads][scratch_bytes] */
    size_t bytes, buffers_bytes, scratch_bytes;
    double *seconds;         /* [threads][steps], or NULL */
    lq_cancel_check *cancel; /* NULL: runs are never cancelled */
    void *cancel_context;
    lq_observe *observe;
    void *observe_context;
    int32_t *integers; /* room for the sums of the largest integer step, while observed */
};

struct batch {
    struct lq_runner *runner;
    const float *input; /* in `layout`, or */
    enum lq_layout layout;
    const uint8_t *pixels;
    float *output;
    size_t input_floats, output_floats; /* of one image */
    atomic_int bad;                     /* lowest image that holds no finite numbers */
    atomic_bool cancelled;
};

/* Zeros that take no memory before they are written to: what only the other kind of input needs
 * never does. NULL: out of memory. */
static uint8_t *map_zeros(size_t bytes)
{
    void *zeros = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return zeros == MAP_FAILED ? NULL : zeros;
}

static void unmap(uint8_t *zeros, size_t bytes)
{
    if (zeros)
        munmap(zeros, bytes);
}

int lq_runner_create(const struct lq_program *program, int threads, struct lq_runner **ret_runner,
                     struct lq_error *error)
{
    struct lq_runner *runner = lq_alloc(1, sizeof(*runner));
    int status = LQ_OK;

    if (!runner)
        return lq_fail_memory(error);
    *runner = (struct lq_runner){.program = program, .threads = threads};
    if (threads != 1)
        status = lq_pool_create(threads, &runner->pool, error);
    if (status == LQ_OK) {
        runner->buffers_bytes = (size_t)threads * program->buffer_bytes + 1;
        runner->scratch_bytes = (size_t)threads * program->scratch_bytes + 1;
        runner->buffers = map_zeros(runner->buffers_bytes);
        runner->scratch = map_zeros(runner->scratch_bytes);
        runner->bytes = sizeof(*runner) + runner->buffers_bytes + runner->scratch_bytes;
        if (!runner->buffers || !runner->scratch)
            status = lq_fail_memory(error);
    }
    if (status == LQ_OK)
        *ret_runner = runner;
    else
        lq_runner_destroy(runner);
    return status;
}

void lq_runner_destroy(struct lq_runner *runner)
{
    if (!runner)
        return;
    lq_pool_destroy(runner->pool);
    unmap(runner->buffers, runner->buffers_bytes);
    unmap(runner->scratch, runner->scratch_bytes);
    free(runner->integers);
    free(runner->seconds);
    free(runner);
}

size_t lq_runner_bytes(const struct lq_runner *runner)
{
    return runner->bytes;
}

void lq_runner_set_cancel(struct lq_runner *runner, lq_cancel_check *check, void *context)
{
    runner->cancel = check;
    runner->cancel_context = context;
}

int lq_runner_profile(struct lq_runner *runner, struct lq_error *error)
{
    size_t count = (size_t)runner->threads * (size_t)runner->program->step_count;

    if (!runner->seconds)
        runner->seconds = lq_alloc(count, sizeof(*runner->seconds));
    if (!runner->seconds)
        return lq_fail_memory(error);
    memset(runner->seconds, 0, count * sizeof(*runner->seconds));
    return LQ_OK;
}

double lq_runner_seconds(const struct lq_runner *runner, int step)
{
    double seconds = 0;

    for (int thread = 0; thread < runner->threads; thread++)
        seconds += runner->seconds[thread * runner->program->step_count + step];
    return seconds;
}

int lq_runner_observe(struct lq_runner *runner, lq_observe *observe, void *context,
                      struct lq_error *error)
{
    int64_t largest = 0;

    for (int i = 0; i < runner->program->step_count; i++) {
        const struct lq_step *step = &runner->program->steps[i];
        int64_t elements = lq_shape_elements(&step->output.shape);

        if (step->integer && elements > largest)
            largest = elements;
    }
    if (!runner->integers)
        runner->integers = lq_alloc((size_t)largest, sizeof(*runner->integers));
    if (!runner->integers)
        return lq_fail_memory(error);
    runner->observe = observe;
    runner->observe_context = context;
    return LQ_OK;
}

/* Copies one image into the buffer, channels last; false where a number is not finite. */
static bool load_image(const struct batch *batch, const float *image, float *ret_input)
{
    const struct lq_graph *graph = batch->runner->program->graph;
    struct lq_map map = lq_shape_map(&graph->values[graph->input].shape);
    size_t pixels = (size_t)map.height * (size_t)map.width, channels = (size_t)map.channels;
    bool finite = true;

    for (size_t i = 0; i < batch->input_floats; i++)
        finite = finite && isfinite(image[i]);
    if (batch->layout == LQ_NHWC || channels == 1) {
        memcpy(ret_input, image, batch->input_floats * sizeof(float));
        return finite;
    }
    for (size_t c = 0; c < channels; c++)
        for (size_t pixel = 0; pixel < pixels; pixel++)
            ret_input[pixel * channels + c] = image[c * pixels + pixel];
    return finite;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* One thread that is told so stops the others. */
static bool is_cancelled(struct batch *batch)
{
    struct lq_runner *runner = batch->runner;

    if (!runner->cancel)
        return false;
    if (!atomic_load(&batch->cancelled) && runner->cancel(runner->cancel_context))
        atomic_store(&batch->cancelled, true);
    return atomic_load(&batch->cancelled);
}

/* pixels: what the first step takes instead of its input, or NULL. False: cancelled. */
static bool run_steps(struct batch *batch, const uint8_t *pixels, int worker, struct lq_pool *pool)
{
    struct lq_runner *runner = batch->runner;
    uint8_t *values = runner->buffers + (size_t)worker * runner->program->buffer_bytes;
    uint8_t *scratch = runner->scratch + (size_t)worker * runner->program->scratch_bytes;
    const struct lq_program *program = runner->program;
    int next;

    for (int i = 0; i < program->step_count; i = next) {
        const struct lq_step *step = pixels && i == 0 ? program->pixel_step : &program->steps[i];

        if (is_cancelled(batch))
            return false;
        next = pixels && i == 0 ? program->pixel_skips : i + 1;
        struct lq_run run = {.output = values + program->offsets[step->output_slot],
                             .pool = pool,
                             .scratch = scratch,
                             .scratch_pitch = program->scratch_bytes,
                             .integers =
                                 runner->observe && step->integer ? runner->integers : NULL};

        for (int j = 0; j < step->input_count; j++)
            run.inputs[j] = values + program->offsets[step->slots[j]];
        if (pixels && i == 0)
            run.inputs[0] = pixels;
        if (step->extra_slot >= 0)
            run.extra = (float *)(void *)(values + program->offsets[step->extra_slot]);
        double start = runner->seconds ? now() : 0;
        step->run(step, &run);
        if (runner->seconds)
            runner->seconds[worker * program->step_count + i] += now() - start;
        if (runner->observe)
            runner->observe(runner->observe_context, step, run.output, run.integers);
    }
    return true;
}

static void run_image(struct batch *batch, int image, int worker, struct lq_pool *pool)
{
    struct lq_runner *runner = batch->runner;
    const struct lq_program *program = runner->program;
    uint8_t *values = runner->buffers + (size_t)worker * program->buffer_bytes;
    const struct lq_graph *graph = program->graph;
    struct lq_map map = lq_shape_map(&graph->values[graph->input].shape);
    float *input = (float *)(void *)(values + program->offsets[graph->input]);
    const uint8_t *pixels = NULL;
    int bad = atomic_load(&batch->bad);

    if (atomic_load(&batch->cancelled))
        return;
    if (batch->pixels && program->pixel_step) {
        pixels = batch->pixels + (size_t)image * batch->input_floats;
    } else if (batch->pixels) {
        lq_preprocess_floats(&graph->meta.preprocess, map.channels,
                             batch->pixels + (size_t)image * batch->input_floats,
                             (size_t)map.height * (size_t)map.width, input);
    } else if (!load_image(batch, batch->input + (size_t)image * batch->input_floats, input)) {
        while (image < bad && !atomic_compare_exchange_weak(&batch->bad, &bad, image))
            ;
        return;
    }
    if (!run_steps(batch, pixels, worker, pool))
        return;
    memcpy(batch->output + (size_t)image * batch->output_floats,
           values + program->offsets[graph->output], batch->output_floats * sizeof(float));
}

static void run_item(void *context, int item, int worker)
{
    run_image(context, item, worker, NULL);
}

static int run_batch(struct batch *batch, int count, struct lq_error *error)
{
    struct lq_runner *runner = batch->runner;
    const struct lq_graph *graph = runner->program->graph;
    int whole;

    batch->input_floats = (size_t)lq_shape_elements(&graph->values[graph->input].shape);
    batch->output_floats = (size_t)lq_graph_classes(graph);
    atomic_init(&batch->bad, count);
    atomic_init(&batch->cancelled, false);
    whole = count / runner->threads * runner->threads;
    lq_pool_run(runner->pool, whole, run_item, batch);
    for (int image = whole; image < count; image++)
        run_image(batch, image, 0, runner->pool);
    if (atomic_load(&batch->cancelled))
        return lq_fail(error, LQ_ERR_CANCELLED, "cancelled");
    int bad = atomic_load(&batch->bad);
    if (bad < count)
        return lq_fail(error, LQ_ERR_NUMERIC, "input image %d holds a NaN or an infinity", bad);
    return LQ_OK;
}

int lq_runner_run(struct lq_runner *runner, const float *input, enum lq_layout layout, int count,
                  float *ret_output, struct lq_error *error)
{
    struct batch batch = {.runner = runner, .input = input, .layout = layout, .output = ret_output};

    return run_batch(&batch, count, error);
}

int lq_runner_run_pixels(struct lq_runner *runner, const uint8_t *pixels, int count,
                         float *ret_output, struct lq_error *error)
{
    struct batch batch = {.runner = runner, .pixels = pixels, .output = ret_output};

    return run_batch(&batch, count, error);
}
