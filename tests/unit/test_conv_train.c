/* test_conv_train.c - float convolutions of training against their definition in double, on random
 * shapes, with every tier and number of threads.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "ops/conv_train.h"
#include "support/suite.h"

/* One layer and its values; results of one tier and pool. */
struct layer {
    struct lq_attributes attributes;
    struct lq_shape in, out;
    int batch, group_in;
    size_t x_count, y_count, w_count;
    float *x, *w, *y, *d_y, *d_x, *d_w;
};

static float *values(size_t count)
{
    float *v = malloc(count * sizeof(*v));

    for (size_t i = 0; i < count; i++)
        v[i] = (float)(rand() % 2001 - 1000) / 1000.0f;
    return v;
}

static int out_size(int in, int kernel, int stride, int dilation, int pads)
{
    return (in + pads - (kernel - 1) * dilation - 1) / stride + 1;
}

static void fill(struct layer *l, int in_h, int in_w, int in_channels)
{
    struct lq_window *w = &l->attributes.window;
    int out_h = out_size(in_h, w->kernel_h, w->stride_h, w->dilation_h, w->pad_top + w->pad_bottom);
    int out_w = out_size(in_w, w->kernel_w, w->stride_w, w->dilation_w, w->pad_left + w->pad_right);

    l->in = (struct lq_shape){3, {in_h, in_w, in_channels}};
    l->out = (struct lq_shape){3, {out_h, out_w, l->attributes.out_channels}};
    l->group_in = in_channels / l->attributes.groups;
    l->x_count = (size_t)(l->batch * in_h * in_w * in_channels);
    l->y_count = (size_t)(l->batch * out_h * out_w * l->attributes.out_channels);
    l->w_count = (size_t)(l->attributes.out_channels * w->kernel_h * w->kernel_w * l->group_in);
    l->x = values(l->x_count);
    l->w = values(l->w_count);
    l->d_y = values(l->y_count);
    l->y = values(l->y_count);
    l->d_x = values(l->x_count);
    l->d_w = values(l->w_count);
}

/* winograd: such as are computed that way, where they are not too small. */
static void make_layer(struct layer *l, bool winograd)
{
    int groups = below(3) == 0 && !winograd ? below(3) + 1 : 1;
    struct lq_window *w = &l->attributes.window;
    int in_h, in_w;

    memset(l, 0, sizeof(*l));
    l->attributes.groups = groups;
    l->attributes.out_channels = groups * (below(40) + 1);
    l->batch = below(12) + 1;
    *w = (struct lq_window){.kernel_h = below(4) + 1,
                            .kernel_w = below(4) + 1,
                            .stride_h = below(3) + 1,
                            .stride_w = below(3) + 1,
                            .dilation_h = below(3) == 0 ? below(3) + 1 : 1,
                            .dilation_w = below(3) == 0 ? below(3) + 1 : 1,
                            .pad_top = below(3),
                            .pad_left = below(3),
                            .pad_bottom = below(3),
                            .pad_right = below(3)};
    if (winograd) {
        w->kernel_h = w->kernel_w = 3;
        w->stride_h = w->stride_w = w->dilation_h = w->dilation_w = 1;
    }
    in_h = (w->kernel_h - 1) * w->dilation_h + 1 + below(9);
    in_w = (w->kernel_w - 1) * w->dilation_w + 1 + below(9);
    fill(l, in_h, in_w, groups * (below(20) + 1 + 8 * winograd));
}

static void free_layer(struct layer *l)
{
    free(l->x);
    free(l->w);
    free(l->y);
    free(l->d_y);
    free(l->d_x);
    free(l->d_w);
}

/* One product of the definition: indices of x, w and y that belong together. */
typedef void visit_product(void *context, size_t x, size_t w, size_t y);

static void each_tap(const struct layer *l, int image, const int out[3], visit_product *visit,
                     void *context)
{
    const struct lq_window *w = &l->attributes.window;
    int in_h = l->in.dims[0], in_w = l->in.dims[1], in_c = l->in.dims[2];
    int group = out[2] / (l->out.dims[2] / l->attributes.groups);
    size_t y_at =
        (size_t)(((image * l->out.dims[0] + out[0]) * l->out.dims[1] + out[1]) * l->out.dims[2] +
                 out[2]);

    for (int i = 0; i < w->kernel_h; i++)
        for (int j = 0; j < w->kernel_w; j++) {
            int y = out[0] * w->stride_h - w->pad_top + i * w->dilation_h;
            int x = out[1] * w->stride_w - w->pad_left + j * w->dilation_w;

            for (int c = 0; c < l->group_in && y >= 0 && y < in_h && x >= 0 && x < in_w; c++)
                visit(context,
                      (size_t)(((image * in_h + y) * in_w + x) * in_c + group * l->group_in + c),
                      (size_t)(((out[2] * w->kernel_h + i) * w->kernel_w + j) * l->group_in + c),
                      y_at);
        }
}

static void each_product(const struct layer *l, visit_product *visit, void *context)
{
    int out[3];

    for (int image = 0; image < l->batch; image++)
        for (out[0] = 0; out[0] < l->out.dims[0]; out[0]++)
            for (out[1] = 0; out[1] < l->out.dims[1]; out[1]++)
                for (out[2] = 0; out[2] < l->out.dims[2]; out[2]++)
                    each_tap(l, image, out, visit, context);
}

struct expected {
    const struct layer *layer;
    double *y, *d_x, *d_w;
};

static void add_product(void *context, size_t x, size_t w, size_t y)
{
    struct expected *e = context;
    const struct layer *l = e->layer;

    e->y[y] += (double)l->x[x] * (double)l->w[w];
    e->d_x[x] += (double)l->d_y[y] * (double)l->w[w];
    e->d_w[w] += (double)l->d_y[y] * (double)l->x[x];
}

static void compare(const char *what, const float *got, const double *expected, size_t count,
                    double tolerance)
{
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)got[i] - expected[i]) <= tolerance,
                      "%s: %zu of %zu: got %g, not %g", what, i, count, (double)got[i],
                      expected[i]);
}

static void run_layer(struct layer *l, const struct lq_kernels *kernels, int threads, bool add)
{
    struct lq_conv_train conv;
    struct lq_pool *pool = NULL;
    struct lq_conv_work work = {.add = add};

    lq_conv_train_init(&conv, &l->attributes, &l->in, &l->out, l->batch, kernels);
    size_t bytes = lq_conv_train_scratch(&conv, threads);
    ck_assert_int_eq(lq_pool_create(threads, &pool, NULL), LQ_OK);
    work.pool = pool;
    work.scratch = aligned_alloc(LQ_ALIGNMENT, bytes);
    memset(work.scratch, 0xff, bytes); /* NaN: whatever is read was written before */
    lq_conv_forward(&conv, &work, l->x, l->w, l->y);
    memset(work.scratch, 0xff, bytes);
    lq_conv_backward_input(&conv, &work, l->d_y, l->w, l->d_x);
    memset(work.scratch, 0xff, bytes);
    lq_conv_backward_weight(&conv, &work, l->x, l->d_y, l->d_w);
    free(work.scratch);
    lq_pool_destroy(pool);
}

static void check_definition(struct layer *l, const struct lq_kernels *kernels)
{
    struct expected e = {l, calloc(l->y_count, sizeof(double)), calloc(l->x_count, sizeof(double)),
                         calloc(l->w_count, sizeof(double))};
    bool add = below(2);

    for (size_t i = 0; i < l->x_count && add; i++)
        e.d_x[i] = (double)l->d_x[i];
    each_product(l, add_product, &e);
    run_layer(l, kernels, 1, add);
    compare("y", l->y, e.y, l->y_count, 1e-3);
    compare("d_x", l->d_x, e.d_x, l->x_count, 1e-3);
    compare("d_w", l->d_w, e.d_w, l->w_count, 1e-3);
    free(e.y);
    free(e.d_x);
    free(e.d_w);
}

START_TEST(test_definition)
{
    for (int round = 0; round < 60; round++) {
        struct lq_kernels kernels;
        struct layer l;

        lq_kernels_init(&kernels, round % 2 ? lq_cpu_detect() : 1u << LQ_CPU_C);
        make_layer(&l, round % 3 == 0);
        check_definition(&l, &kernels);
        free_layer(&l);
    }
}
END_TEST

/* Same bits from every tier and number of threads. */
static void check_same(struct layer *l)
{
    struct lq_kernels kernels;
    float *y = malloc(l->y_count * sizeof(float)), *d_x = malloc(l->x_count * sizeof(float));
    float *d_w = malloc(l->w_count * sizeof(float));

    lq_kernels_init(&kernels, 1u << LQ_CPU_C);
    run_layer(l, &kernels, 1, false);
    memcpy(y, l->y, l->y_count * sizeof(float));
    memcpy(d_x, l->d_x, l->x_count * sizeof(float));
    memcpy(d_w, l->d_w, l->w_count * sizeof(float));
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1));
        run_layer(l, &kernels, tier % 3 + 1, false);
        ck_assert_mem_eq(y, l->y, l->y_count * sizeof(float));
        ck_assert_mem_eq(d_x, l->d_x, l->x_count * sizeof(float));
        ck_assert_mem_eq(d_w, l->d_w, l->w_count * sizeof(float));
    }
    free(y);
    free(d_x);
    free(d_w);
}

START_TEST(test_same_bits)
{
    for (int round = 0; round < 60; round++) {
        struct layer l;

        make_layer(&l, round % 3 == 0);
        check_same(&l);
        free_layer(&l);
    }
}
END_TEST

/* Shapes whose maps and weights are cut into several pieces and blocks. */
START_TEST(test_large)
{
    static const struct {
        int batch, size, in, out, kernel, stride, pad;
    } shapes[] = {{3, 40, 40, 33, 3, 1, 1}, {2, 57, 16, 24, 3, 2, 1}, {40, 8, 64, 64, 3, 1, 1},
                  {40, 1, 64, 10, 1, 1, 0}, {5, 9, 350, 20, 1, 2, 0}, {1, 61, 3, 64, 7, 2, 3},
                  {2, 30, 50, 17, 5, 1, 2}, {33, 4, 33, 40, 2, 2, 0}};

    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        struct lq_kernels kernels;
        struct layer l = {.batch = shapes[i].batch};
        int kernel = shapes[i].kernel, stride = shapes[i].stride, pad = shapes[i].pad;

        l.attributes.groups = 1;
        l.attributes.out_channels = shapes[i].out;
        l.attributes.window =
            (struct lq_window){kernel, kernel, stride, stride, 1, 1, pad, pad, pad, pad};
        fill(&l, shapes[i].size, shapes[i].size, shapes[i].in);
        lq_kernels_init(&kernels, lq_cpu_detect());
        check_definition(&l, &kernels);
        check_same(&l);
        free_layer(&l);
    }
}
END_TEST

/* In parts: the same bits for every image as in a whole batch, and the same sums. */
static void check_parts(struct layer *l, const struct lq_kernels *kernels)
{
    struct lq_conv_train conv;
    struct lq_conv_work work = {.packed = true};
    size_t x = l->x_count / (size_t)l->batch, y = l->y_count / (size_t)l->batch;
    float *got_y = malloc(l->y_count * sizeof(float)), *got_x = malloc(l->x_count * sizeof(float));
    double *expected = calloc(l->w_count, sizeof(*expected));
    float *packed[2], *sums;
    int count;

    run_layer(l, kernels, 1, false);
    for (size_t i = 0; i < l->w_count; i++)
        expected[i] = (double)l->d_w[i];
    lq_conv_train_init(&conv, &l->attributes, &l->in, &l->out, 1, kernels);
    sums = malloc(2 * lq_conv_sums_floats(&conv) * sizeof(float));
    for (int backward = 0; backward < 2; backward++) {
        packed[backward] = malloc(lq_conv_packed_floats(&conv, backward) * sizeof(float));
        lq_conv_pack(&conv, backward, l->w, packed[backward]);
    }
    for (int first = 0, part = 0; first < l->batch; first += count, part++) {
        float *to = sums + (size_t)(part % 2) * lq_conv_sums_floats(&conv);

        count = below(l->batch - first) + 1;
        if (part == 0 && count == l->batch) /* at least two parts */
            count--;
        lq_conv_train_init(&conv, &l->attributes, &l->in, &l->out, count, kernels);
        work.scratch = aligned_alloc(LQ_ALIGNMENT, lq_conv_part_scratch(&conv));
        work.add = false;
        lq_conv_forward(&conv, &work, l->x + (size_t)first * x, packed[0],
                        got_y + (size_t)first * y);
        lq_conv_backward_input(&conv, &work, l->d_y + (size_t)first * y, packed[1],
                               got_x + (size_t)first * x);
        work.add = part > 1;
        lq_conv_add_sums(&conv, &work, l->x + (size_t)first * x, l->d_y + (size_t)first * y, to);
        free(work.scratch);
    }
    ck_assert_mem_eq(got_y, l->y, l->y_count * sizeof(float));
    ck_assert_mem_eq(got_x, l->d_x, l->x_count * sizeof(float));
    lq_conv_finish_sums(&conv, sums, 2, l->d_w);
    compare("d_w in parts", l->d_w, expected, l->w_count, 1e-3);
    free(packed[0]);
    free(packed[1]);
    free(sums);
    free(got_y);
    free(got_x);
    free(expected);
}

START_TEST(test_parts)
{
    for (int round = 0; round < 80; round++) {
        struct lq_kernels kernels;
        struct layer l;

        lq_kernels_init(&kernels, lq_cpu_detect());
        do {
            make_layer(&l, round % 2);
            if (l.batch < 2)
                free_layer(&l);
        } while (l.batch < 2);
        check_parts(&l, &kernels);
        free_layer(&l);
    }
}
END_TEST

/* A dense node has no window; the input's shape does not matter. */
START_TEST(test_dense)
{
    struct lq_kernels kernels;
    struct layer l = {.batch = 7};

    l.attributes = (struct lq_attributes){
        .out_channels = 10, .groups = 1, .window = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0}};
    fill(&l, 1, 1, 24);
    l.attributes = (struct lq_attributes){.out_channels = 10};
    lq_kernels_init(&kernels, lq_cpu_detect());
    l.in = (struct lq_shape){3, {2, 3, 4}};
    l.out = (struct lq_shape){1, {10}};
    run_layer(&l, &kernels, 2, false);
    l.in = (struct lq_shape){3, {1, 1, 24}};
    l.out = (struct lq_shape){3, {1, 1, 10}};
    l.attributes.window = (struct lq_window){1, 1, 1, 1, 1, 1, 0, 0, 0, 0};
    l.attributes.groups = 1;
    float *y = malloc(l.y_count * sizeof(float));
    memcpy(y, l.y, l.y_count * sizeof(float));
    check_definition(&l, &kernels);
    ck_assert_mem_eq(y, l.y, l.y_count * sizeof(float));
    free(y);
    free_layer(&l);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("conv_train");

    tcase_add_test(tests, test_definition);
    tcase_add_test(tests, test_same_bits);
    tcase_add_test(tests, test_large);
    tcase_add_test(tests, test_parts);
    tcase_add_test(tests, test_dense);
    return suite_main("conv_train", tests);
}
