/* test_conv_pixels.c - the first convolution on pixels, against doubles, on every tier.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/conv_pixels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "ops/pixel_squares.h"
#include "support/suite.h"

enum { MAX_SIDE = 19, MAX_KERNEL = 7, MAX_OUT = 64 };

struct problem {
    struct lq_map in, out;
    struct lq_window window;
    struct lq_preprocess preprocess;
    float weights[MAX_OUT * MAX_KERNEL * MAX_KERNEL * 3];
    double scale[MAX_OUT], shift[MAX_OUT];
    uint8_t pixels[MAX_SIDE * MAX_SIDE * 3];
};

static void make(struct problem *p, struct lq_rng *rng)
{
    struct lq_window *w = &p->window;
    int channels = below(2) ? 3 : 1;

    *w = (struct lq_window){.kernel_h = 1 + below(MAX_KERNEL), .kernel_w = 1 + below(MAX_KERNEL)};
    w->stride_h = 1 + below(3);
    w->stride_w = 1 + below(3);
    w->dilation_h = w->dilation_w = 1;
    w->pad_top = below(w->kernel_h);
    w->pad_left = below(w->kernel_w);
    w->pad_bottom = below(w->kernel_h);
    w->pad_right = below(w->kernel_w);
    p->in = (struct lq_map){w->kernel_h + below(MAX_SIDE - MAX_KERNEL),
                            w->kernel_w + below(MAX_SIDE - MAX_KERNEL), channels};
    p->out.height = (p->in.height + w->pad_top + w->pad_bottom - w->kernel_h) / w->stride_h + 1;
    p->out.width = (p->in.width + w->pad_left + w->pad_right - w->kernel_w) / w->stride_w + 1;
    p->out.channels = below(2) ? 1 + below(MAX_OUT) : 32 * (1 + below(2)); /* of squares */
    p->preprocess = (struct lq_preprocess){.scale = 1 / 255.0f};
    for (int c = 0; c < 3; c++) {
        p->preprocess.mean[c] = 0.3f + 0.1f * (float)c;
        p->preprocess.std[c] = 0.2f + 0.03f * (float)c;
    }
    for (int i = 0; i < p->out.channels * w->kernel_h * w->kernel_w * channels; i++)
        p->weights[i] = below(8) ? lq_rng_normal(rng) : 0;
    for (int i = 0; i < w->kernel_h * w->kernel_w * channels; i++) /* the largest sums */
        p->weights[i] = p->weights[0] < 0 ? -1 : p->weights[i];
    if (below(2)) /* a channel of zeros */
        memset(p->weights, 0, sizeof(float) * (size_t)(w->kernel_h * w->kernel_w * channels));
    for (int c = 0; c < p->out.channels; c++) {
        p->scale[c] = lq_rng_normal(rng);
        p->shift[c] = lq_rng_normal(rng);
    }
    for (int i = 0; i < p->in.height * p->in.width * channels; i++)
        p->pixels[i] = (uint8_t)(below(4) ? below(256) : 255);
}

/* One output, and in *ret_bound how far rounded weights may move it. */
static double expected(const struct problem *p, int y, int x, int channel, double *ret_bound)
{
    const struct lq_window *w = &p->window;
    const struct lq_preprocess *pre = &p->preprocess;
    double sum = 0, largest = 0, pixels = 0, top = 8191;

    for (int i = 0; i < w->kernel_h; i++)
        for (int j = 0; j < w->kernel_w; j++) {
            int from_y = y * w->stride_h - w->pad_top + i;
            int from_x = x * w->stride_w - w->pad_left + j;
            bool on_image =
                from_y >= 0 && from_y < p->in.height && from_x >= 0 && from_x < p->in.width;
            double constant = 0;

            for (int c = 0; c < p->in.channels; c++) {
                size_t at =
                    (size_t)(((channel * w->kernel_h + i) * w->kernel_w + j) * p->in.channels + c);
                double weight = (double)p->weights[at] / (double)pre->std[c];
                double pixel =
                    on_image ? p->pixels[(from_y * p->in.width + from_x) * p->in.channels + c] : 0;

                if (on_image)
                    sum += weight * (pixel * (double)pre->scale - (double)pre->mean[c]);
                constant += weight * (double)pre->mean[c] / 255;
                largest = fmax(largest, fabs(weight * (double)pre->scale));
                pixels += pixel;
            }
            largest = fmax(largest, fabs(constant));
            pixels += on_image ? 255 : 0;
        }
    if (p->out.channels % 32 == 0) /* sums of nine may have to fit */
        top = 32767.0 / 9;
    *ret_bound = fabs(p->scale[channel]) * pixels * largest / top / 2 + 1e-6 * (1 + fabs(sum)) * 4;
    return p->scale[channel] * sum + p->shift[channel];
}

static void compute(const struct problem *p, const struct lq_kernels *kernels, float *ret_output)
{
    struct lq_arena arena = {0};
    struct lq_attributes attributes = {
        .window = p->window, .out_channels = p->out.channels, .groups = 1};
    struct lq_tensor weight = {.data = (void *)(uintptr_t)p->weights, .dtype = LQ_F32};
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {[LQ_PARAM_WEIGHT] = &weight};
    struct lq_buffer input = {{3, {p->in.height, p->in.width, p->in.channels}}, LQ_STORE_F32, 0};
    struct lq_step_spec spec = {
        .name = "stem",
        .attributes = &attributes,
        .params = params,
        .inputs = &input,
        .input_count = 1,
        .kernels = kernels,
        .scale = p->scale,
        .shift = p->shift,
        .min = -INFINITY,
        .max = INFINITY,
        .own = {3, {p->out.height, p->out.width, p->out.channels}},
        .output = {{3, {p->out.height, p->out.width, p->out.channels}}, LQ_STORE_F32, 0}};
    struct lq_step step = {0};

    weight.shape = (struct lq_shape){
        4, {p->out.channels, p->window.kernel_h, p->window.kernel_w, p->in.channels}};
    ck_assert(lq_conv_pixels_fits(&spec));
    ck_assert_int_eq(lq_conv_pixels_prepare(&arena, &spec, &p->preprocess, &step, NULL), LQ_OK);
    uint8_t *scratch = aligned_alloc(64, step.scratch_bytes);
    struct lq_run run = {.inputs = {p->pixels}, .output = ret_output, .scratch = scratch};
    step.run(&step, &run);
    free(scratch);
    lq_arena_deinit(&arena);
}

START_TEST(agrees_with_doubles)
{
    static struct problem p;
    static float first[MAX_SIDE * 2 * MAX_SIDE * 2 * MAX_OUT],
        other[MAX_SIDE * 2 * MAX_SIDE * 2 * MAX_OUT];
    struct lq_kernels kernels;
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), (uint64_t)_i);
    make(&p, &rng);
    size_t count = (size_t)(p.out.height * p.out.width * p.out.channels);
    lq_kernels_init(&kernels, 1u << LQ_CPU_C);
    compute(&p, &kernels, first);
    for (size_t i = 0; i < count; i++) {
        int channel = (int)i % p.out.channels, pixel = (int)i / p.out.channels;
        double bound, y = expected(&p, pixel / p.out.width, pixel % p.out.width, channel, &bound);

        ck_assert_msg(fabs((double)first[i] - y) <= bound, "pixel %d, channel %d: %g for %g +- %g",
                      pixel, channel, (double)first[i], y, bound);
    }
    for (int tier = 1; tier < LQ_CPU_TIER_COUNT; tier++) {
        lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1));
        compute(&p, &kernels, other);
        ck_assert_mem_eq(other, first, count * sizeof(float));
    }
}
END_TEST

/* What the README says: windows of 3x3 to 7x7 pixels of three channels, stride 1 or 2. */
START_TEST(makes_squares)
{
    int kernel = 3 + _i / 2, stride = 1 + _i % 2;
    struct lq_conv_geometry geometry = {
        .in = {32, 32, 3},
        .out = {16, 16, 32},
        .window = {.kernel_h = kernel, .kernel_w = kernel, .stride_h = stride, .stride_w = stride},
        .taps = kernel * kernel,
        .length = 3 * kernel * kernel};
    struct lq_pixel_plan plan;

    ck_assert(lq_pixel_plan_init(&plan, &geometry, 8191));
    ck_assert_int_le(plan.down.count * plan.across.count, 3 * geometry.taps);
    if (kernel == 7 && stride == 2)
        ck_assert_int_eq(plan.down.count * plan.across.count, 100);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("conv_pixels");

    tcase_add_loop_test(tests, agrees_with_doubles, 0, 400);
    tcase_add_loop_test(tests, makes_squares, 0, 10);
    return suite_main("conv_pixels", tests);
}
