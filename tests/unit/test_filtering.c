/* test_filtering.c - convolutions of levels by Winograd's minimal filtering, squares or duos of
 * results, against the definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/conv_duos.h"
#include "ops/conv_squares.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { MAX_SIDE = 33, MAX_IN = 192, MAX_OUT = 96, W_BITS = 3, MAX_TAPS = 9 };

enum way { SQUARES, DUOS };

struct problem {
    enum way way;
    struct lq_map in, out;
    struct lq_attributes attributes;
    int16_t basis[MAX_OUT * W_BITS];
    uint8_t codes[MAX_OUT * W_BITS * ((MAX_TAPS * MAX_IN + 7) / 8)];
    float scale[MAX_OUT];
    int top;
    uint8_t levels[MAX_SIDE * MAX_SIDE * MAX_IN];
    struct lq_snapped_basis input_basis;
};

/* Of a map of `side` rows or columns, at least one. */
static int results(int side, int kernel, int stride, int before, int *after)
{
    int last = side + before + *after - kernel;

    if (last < 0)
        *after -= last;
    return last < 0 ? 1 : last / stride + 1;
}

static void make_map(struct problem *p)
{
    struct lq_window *w = &p->attributes.window;
    int bottom = below(2), right = below(2);

    *w = (struct lq_window){3, 3, 1, 1, 1, 1, 1, 1, 0, 0};
    p->attributes.out_channels = 32 + 32 * below(3);
    p->in = (struct lq_map){1 + below(MAX_SIDE - 1), 1 + below(MAX_SIDE - 1), 32 + 16 * below(9)};
    if (p->way == DUOS) {
        w->kernel_h = 1 + below(3);
        w->stride_h = 1 + below(2);
        w->pad_top = below(w->kernel_h);
        w->pad_left = below(3);
        p->attributes.out_channels = 16 + 16 * below(6);
        p->in.channels = 32 + 32 * below(5);
    }
    p->out = (struct lq_map){results(p->in.height, w->kernel_h, w->stride_h, w->pad_top, &bottom),
                             results(p->in.width, w->kernel_w, w->stride_w, w->pad_left, &right),
                             p->attributes.out_channels};
    w->pad_bottom = bottom;
    w->pad_right = right;
}

/* Of a row of weights. */
static int length_of(const struct problem *p)
{
    return p->attributes.window.kernel_h * 3 * p->in.channels;
}

/* Levels and weights are random, or as large as they may be. */
static void make(struct problem *p, enum way way, int grid, int a_bits)
{
    bool extreme = below(3) == 0;
    int row_bytes;

    *p = (struct problem){.way = way,
                          .attributes = {.groups = 1, .bits = W_BITS, .grid = grid},
                          .top = (1 << a_bits) - 1,
                          .input_basis = {.bits = a_bits, .grid = (1 << a_bits) - 1, .scale = 1}};
    make_map(p);
    for (int bit = 0; bit < a_bits; bit++)
        p->input_basis.integers[bit] = 1 << bit;
    for (int row = 0; row < p->out.channels; row++) {
        int16_t *basis = p->basis + (size_t)row * W_BITS;

        basis[0] = (int16_t)(1 + below(grid / 3));
        basis[1] = (int16_t)(1 + below(grid / 3));
        basis[2] = (int16_t)(grid - below(2) - basis[0] - basis[1]);
        p->scale[row] = 1;
    }
    row_bytes = (length_of(p) + 7) / 8;
    for (int i = 0; i < p->out.channels * W_BITS * row_bytes; i++)
        p->codes[i] = (uint8_t)(extreme ? -below(2) : below(256));
    for (int i = 0; i < p->in.height * p->in.width * p->in.channels; i++)
        p->levels[i] = (uint8_t)(extreme ? p->top * below(2) : below(p->top + 1));
}

static int weight(const struct problem *p, int row, int k)
{
    size_t row_bytes = ((size_t)length_of(p) + 7) / 8;
    int level = 0;

    for (int bit = 0; bit < W_BITS; bit++) {
        size_t at = (size_t)(bit * p->out.channels + row) * row_bytes + (size_t)k / 8;
        int16_t element = p->basis[row * W_BITS + bit];

        level += p->codes[at] >> k % 8 & 1 ? element : -element;
    }
    return level;
}

static int32_t expected(const struct problem *p, int y, int x, int row)
{
    int32_t sum = 0;
    const struct lq_window *w = &p->attributes.window;

    for (int tap = 0; tap < w->kernel_h * w->kernel_w; tap++) {
        int from_y = y * w->stride_h - w->pad_top + tap / w->kernel_w;
        int from_x = x - w->pad_left + tap % w->kernel_w;

        if (from_y < 0 || from_y >= p->in.height || from_x < 0 || from_x >= p->in.width)
            continue;
        const uint8_t *pixel =
            p->levels + (size_t)(from_y * p->in.width + from_x) * (size_t)p->in.channels;
        for (int c = 0; c < p->in.channels; c++)
            sum += pixel[c] * weight(p, row, tap * p->in.channels + c);
    }
    return sum;
}

static struct lq_tensor tensor(void *data, enum lq_dtype dtype, struct lq_shape shape)
{
    return (struct lq_tensor){.data = data, .dtype = dtype, .shape = shape};
}

static void compute(struct problem *p, const struct lq_kernels *kernels, int32_t *ret_sums)
{
    int out = p->out.channels, row_bytes = (length_of(p) + 7) / 8;
    struct lq_tensor codes =
        tensor(p->codes, LQ_U8, (struct lq_shape){3, {W_BITS, out, row_bytes}});
    struct lq_tensor basis = tensor(p->basis, LQ_I16, (struct lq_shape){2, {out, W_BITS}});
    struct lq_tensor scale = tensor(p->scale, LQ_F32, (struct lq_shape){1, {out}});
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {
        [LQ_PARAM_CODES] = &codes, [LQ_PARAM_BASIS] = &basis, [LQ_PARAM_SCALE] = &scale};
    struct lq_buffer input = {
        {3, {p->in.height, p->in.width, p->in.channels}}, LQ_STORE_BYTES, p->input_basis.bits};
    struct lq_shape map = {3, {p->out.height, p->out.width, out}};
    double ones[MAX_OUT], zeros[MAX_OUT] = {0};
    struct lq_step_spec spec = {.name = "conv",
                                .attributes = &p->attributes,
                                .params = params,
                                .inputs = &input,
                                .input_count = 1,
                                .input_basis = &p->input_basis,
                                .kernels = kernels,
                                .scale = ones,
                                .shift = zeros,
                                .min = -INFINITY,
                                .max = INFINITY,
                                .own = map,
                                .output = {map, LQ_STORE_F32, 0}};
    struct lq_arena arena = {0};
    struct lq_step step = {0};
    float *floats = malloc(sizeof(*floats) * MAX_SIDE * MAX_SIDE * MAX_OUT);

    for (int c = 0; c < MAX_OUT; c++)
        ones[c] = 1;
    if (p->way == SQUARES)
        ck_assert(lq_squares_pay(kernels, &p->attributes, p->in, p->top));
    else
        ck_assert(lq_duos_pay(kernels, &p->attributes, p->in, p->top));
    ck_assert_int_eq(lq_conv_integer_prepare(&arena, &spec, &step, NULL), LQ_OK);
    uint8_t *scratch = aligned_alloc(LQ_ALIGNMENT, step.scratch_bytes);
    struct lq_run run = {
        .inputs = {p->levels}, .output = floats, .scratch = scratch, .integers = ret_sums};
    step.run(&step, &run);
    free(scratch);
    free(floats);
    lq_arena_deinit(&arena);
}

/* The table of a tier, asked for one way; whether there are kernels for it. */
static bool table_of(int tier, enum way way, struct lq_kernels *ret)
{
    if (lq_kernels_init(ret, lq_cpu_detect() & ((2u << tier) - 1)) != tier ||
        (way == SQUARES && ret->square_pairs == 0 && tier != LQ_CPU_C))
        return false;
    ret->square_pairs = way == SQUARES;
    ret->duo_excess = way == DUOS ? 100 : -1;
    return true;
}

/* Some of them. */
static void expect_sums(const struct problem *p, int tier, const int32_t *sums)
{
    int count = p->out.height * p->out.width * p->out.channels;

    for (int at = 0; at < count; at += 7 + 2 * below(count / 2000 + 1)) {
        int pixel = at / p->out.channels, row = at % p->out.channels;
        int32_t right = expected(p, pixel / p->out.width, pixel % p->out.width, row);

        ck_assert_msg(
            sums[at] == right, "%s, %s, %dx%dx%d -> %d, %d lines, grid %d: sum %d is %d, not %d",
            lq_cpu_tier_name((enum lq_cpu_tier)tier), p->way == SQUARES ? "squares" : "duos",
            p->in.height, p->in.width, p->in.channels, p->out.channels,
            p->attributes.window.kernel_h, p->attributes.grid, at, sums[at], right);
    }
}

/* A loop test's way, grid of weights and bits of activations: as large as they may be, too.
 * Squares' points fit bytes, or some do not. */
START_TEST(agrees_with_the_definition)
{
    static const struct {
        enum way way;
        int grid, a_bits;
    } cases[] = {{SQUARES, 14, 6}, {SQUARES, 31, 6}, {SQUARES, LQ_SQUARE_GRID, 6},
                 {DUOS, 31, 6},    {DUOS, 41, 7},    {DUOS, LQ_DUO_GRID, 6}};
    static struct problem p;
    static int32_t sums[MAX_SIDE * MAX_SIDE * MAX_OUT];

    for (int trial = 0; trial < 6; trial++) {
        make(&p, cases[_i].way, cases[_i].grid, cases[_i].a_bits);
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels;

            if (!table_of(tier, p.way, &kernels))
                continue;
            memset(sums, 0x5a, sizeof(sums));
            compute(&p, &kernels, sums);
            expect_sums(&p, tier, sums);
        }
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("filtering");

    tiers_print();
    tcase_add_loop_test(tests, agrees_with_the_definition, 0, 6);
    return suite_main("filtering", tests);
}
