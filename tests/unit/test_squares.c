/* test_squares.c - 3x3 convolutions by squares of results, against the definition.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "ops/conv_squares.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { MAX_SIDE = 17, MAX_IN = 160, MAX_OUT = 96, W_BITS = 3 };

struct problem {
    struct lq_map in, out;
    struct lq_attributes attributes;
    int16_t basis[MAX_OUT * W_BITS];
    uint8_t codes[MAX_OUT * W_BITS * ((9 * MAX_IN + 7) / 8)];
    float scale[MAX_OUT];
    uint8_t levels[MAX_SIDE * MAX_SIDE * MAX_IN];
    struct lq_snapped_basis input_basis;
};

/* Levels and weights are random, or as large as they may be. */
static void make(struct problem *p, int grid)
{
    bool extreme = below(3) == 0;
    int row_bytes;

    *p = (struct problem){
        .in = {1 + below(MAX_SIDE - 1), 1 + below(MAX_SIDE - 1), 32 + 16 * below(9)},
        .attributes = {.window = {3, 3, 1, 1, 1, 1, 1, 1, below(2), below(2)},
                       .out_channels = 32 + 32 * below(3),
                       .groups = 1,
                       .bits = W_BITS,
                       .grid = grid},
        .input_basis = {.bits = 6, .grid = LQ_POINT_LEVEL, .scale = 1}};
    p->out = (struct lq_map){p->in.height + p->attributes.window.pad_bottom - 1,
                             p->in.width + p->attributes.window.pad_right - 1,
                             p->attributes.out_channels};
    if (p->out.height == 0)
        p->out.height = (int)(p->attributes.window.pad_bottom = 1);
    if (p->out.width == 0)
        p->out.width = (int)(p->attributes.window.pad_right = 1);
    for (int bit = 0; bit < p->input_basis.bits; bit++)
        p->input_basis.integers[bit] = 1 << bit;
    for (int row = 0; row < p->out.channels; row++) {
        int16_t *basis = p->basis + (size_t)row * W_BITS;

        basis[0] = (int16_t)(1 + below(grid / 3));
        basis[1] = (int16_t)(1 + below(grid / 3));
        basis[2] = (int16_t)(grid - basis[0] - basis[1]);
        p->scale[row] = 1;
    }
    row_bytes = (9 * p->in.channels + 7) / 8;
    for (int i = 0; i < p->out.channels * W_BITS * row_bytes; i++)
        p->codes[i] = (uint8_t)(extreme ? -below(2) : below(256));
    for (int i = 0; i < p->in.height * p->in.width * p->in.channels; i++)
        p->levels[i] = (uint8_t)(extreme ? LQ_POINT_LEVEL * below(2) : below(LQ_POINT_LEVEL + 1));
}

static int weight(const struct problem *p, int row, int k)
{
    size_t row_bytes = ((size_t)p->in.channels * 9 + 7) / 8;
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

    for (int tap = 0; tap < 9; tap++) {
        int from_y = y - 1 + tap / 3, from_x = x - 1 + tap % 3;

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
    int out = p->out.channels, row_bytes = (9 * p->in.channels + 7) / 8;
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
    ck_assert(lq_squares_pay(kernels, &p->attributes, p->in, LQ_POINT_LEVEL));
    ck_assert_int_eq(lq_conv_integer_prepare(&arena, &spec, &step, NULL), LQ_OK);
    uint8_t *scratch = aligned_alloc(LQ_ALIGNMENT, step.scratch_bytes);
    struct lq_run run = {
        .inputs = {p->levels}, .output = floats, .scratch = scratch, .integers = ret_sums};
    step.run(&step, &run);
    free(scratch);
    free(floats);
    lq_arena_deinit(&arena);
}

/* A loop test's grid of weights: points fit bytes, or some do not. */
START_TEST(agrees_with_the_definition)
{
    static const int grids[] = {14, 31, LQ_SQUARE_GRID};
    static struct problem p;
    static int32_t sums[MAX_SIDE * MAX_SIDE * MAX_OUT];

    for (int trial = 0; trial < 6; trial++) {
        make(&p, grids[_i]);
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
            struct lq_kernels kernels;

            if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) != tier ||
                (kernels.square_pairs == 0 && tier != LQ_CPU_C))
                continue;
            kernels.square_pairs = 1;
            memset(sums, 0x5a, sizeof(sums));
            compute(&p, &kernels, sums);
            for (int at = 0; at < p.out.height * p.out.width * p.out.channels; at += 7) {
                int pixel = at / p.out.channels, row = at % p.out.channels;
                int32_t right = expected(&p, pixel / p.out.width, pixel % p.out.width, row);

                ck_assert_msg(sums[at] == right,
                              "%s, %dx%dx%d -> %d, grid %d: sum %d is %d, not %d",
                              lq_cpu_tier_name((enum lq_cpu_tier)tier), p.in.height, p.in.width,
                              p.in.channels, p.out.channels, grids[_i], at, sums[at], right);
            }
        }
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("squares");

    tiers_print();
    tcase_add_loop_test(tests, agrees_with_the_definition, 0, 3);
    return suite_main("squares", tests);
}
