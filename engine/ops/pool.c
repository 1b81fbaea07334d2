/* pool.c - maximum and average over windows of a feature map.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>

#include "base/size.h"
#include "ops/step.h"

/* The part of a window that lies on the map, and how many of its taps lie on the padded map (with
 * ceil_mode the last window may reach beyond that too). */
struct span {
    int from, to, padded;
};

static struct span window_span(int start, int kernel, int size, int pad_after)
{
    int end = start + kernel, limit = size + pad_after;
    struct span span = {start < 0 ? 0 : start, end > size ? size : end, 0};

    span.padded = (end > limit ? limit : end) - start;
    return span;
}

struct pooled {
    const float *input;
    int width, channels;
    struct span y, x;
};

typedef void reduce_function(const struct lq_step *step, const struct pooled *window,
                             float *output);

/* The windows of a row of output pixels. */
static void reduce_row(const struct lq_step *step, const struct lq_run *run, int y,
                       reduce_function *reduce)
{
    const struct lq_window *w = &step->attributes->window;
    struct lq_map in = lq_shape_map(&step->inputs[0].shape);
    struct lq_map out = lq_shape_map(&step->output.shape);
    struct pooled window = {
        .input = run->inputs[0],
        .width = in.width,
        .channels = in.channels,
        .y = window_span(y * w->stride_h - w->pad_top, w->kernel_h, in.height, w->pad_bottom)};
    float *output = (float *)run->output + (size_t)y * (size_t)out.width * (size_t)out.channels;

    for (int x = 0; x < out.width; x++, output += out.channels) {
        window.x = window_span(x * w->stride_w - w->pad_left, w->kernel_w, in.width, w->pad_right);
        reduce(step, &window, output);
    }
}

static void reduce_max(const struct lq_step *step, const struct pooled *window, float *output)
{
    (void)step;
    for (int c = 0; c < window->channels; c++)
        output[c] = -INFINITY;
    for (int y = window->y.from; y < window->y.to; y++)
        for (int x = window->x.from; x < window->x.to; x++) {
            const float *pixel = window->input + ((size_t)y * (size_t)window->width + (size_t)x) *
                                                     (size_t)window->channels;

            for (int c = 0; c < window->channels; c++)
                output[c] = pixel[c] > output[c] ? pixel[c] : output[c];
        }
}

/* Channels that are added up side by side. */
enum { TOGETHER = 16 };

/* Of `count` channels, at most TOGETHER, from the window's first one at `input` on. */
static inline void average_channels(const struct pooled *window, const float *input, int count,
                                    float taps, float *output)
{
    float sums[TOGETHER] = {0};

    for (int y = window->y.from; y < window->y.to; y++)
        for (int x = window->x.from; x < window->x.to; x++) {
            const float *pixel =
                input + ((size_t)y * (size_t)window->width + (size_t)x) * (size_t)window->channels;

            for (int c = 0; c < count; c++)
                sums[c] += pixel[c];
        }
    for (int c = 0; c < count; c++)
        output[c] = sums[c] / taps;
}

/* Channels from..to - 1; from is a multiple of TOGETHER. */
static void average(const struct pooled *window, int count, int from, int to, float *output)
{
    int c = from;

    for (; c + TOGETHER <= to; c += TOGETHER)
        average_channels(window, window->input + c, TOGETHER, (float)count, output + c);
    if (c < to)
        average_channels(window, window->input + c, to - c, (float)count, output + c);
}

static void reduce_average(const struct lq_step *step, const struct pooled *window, float *output)
{
    int count = (window->y.to - window->y.from) * (window->x.to - window->x.from);

    if (step->attributes->count_include_pad)
        count = window->y.padded * window->x.padded;
    average(window, count, 0, window->channels, output);
}

static void max_row(const struct lq_step *step, const struct lq_run *run, int row)
{
    reduce_row(step, run, row, reduce_max);
}

static void max_pool_run(const struct lq_step *step, const struct lq_run *run)
{
    lq_step_rows(step, run, max_row);
}

static void average_row(const struct lq_step *step, const struct lq_run *run, int row)
{
    reduce_row(step, run, row, reduce_average);
}

static void average_pool_run(const struct lq_step *step, const struct lq_run *run)
{
    lq_step_rows(step, run, average_row);
}

struct shares {
    const struct lq_step *step;
    const struct lq_run *run;
    int count;
};

/* A share of the channels: many were computed by the same thread. */
static void average_share(void *context, int item, int worker)
{
    const struct shares *shares = context;
    struct lq_map in = lq_shape_map(&shares->step->inputs[0].shape);
    struct pooled all = {shares->run->inputs[0],
                         in.width,
                         in.channels,
                         {0, in.height, in.height},
                         {0, in.width, in.width}};
    int parts = lq_ceil_div(in.channels, TOGETHER);
    int from = lq_share_start(parts, item, shares->count) * TOGETHER;
    int to = lq_share_start(parts, item + 1, shares->count) * TOGETHER;

    (void)worker;
    average(&all, in.height * in.width, from, to < in.channels ? to : in.channels,
            shares->run->output);
}

static void global_average_pool_run(const struct lq_step *step, const struct lq_run *run)
{
    bool small = lq_shape_elements(&step->inputs[0].shape) < LQ_MIN_PARALLEL_ELEMENTS;
    struct lq_pool *pool = small ? NULL : run->pool;
    struct shares shares = {step, run, lq_pool_threads(pool)};

    lq_pool_run(pool, shares.count, average_share, &shares);
}

int lq_max_pool_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                        struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, max_pool_run);
    return LQ_OK;
}

int lq_average_pool_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                            struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, average_pool_run);
    return LQ_OK;
}

int lq_global_average_pool_prepare(struct lq_arena *arena, const struct lq_step_spec *spec,
                                   struct lq_step *ret_step, struct lq_error *error)
{
    (void)arena;
    (void)error;
    lq_step_init(ret_step, spec, global_average_pool_run);
    return LQ_OK;
}
