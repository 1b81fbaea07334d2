/* test_epilogue.c - thresholds on sums and floats give the level that the float definition gives.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "support/suite.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "ops/epilogue.h"

enum { CHANNELS = 48, BOUND = 3000 };

/* Every sum that can occur, random scales of both signs and zero, 1 to 8 bits. */
START_TEST(thresholds_are_the_definition)
{
    struct lq_arena arena = {0};
    struct lq_epilogue epilogue;
    struct lq_snapped_basis basis = {LQ_CODE_UNSIGNED, _i, 255, {0}, 0.05f};
    struct lq_kernels kernels;
    struct lq_step_spec spec = {
        .min = 0, .max = INFINITY, .output_basis = &basis, .kernels = &kernels};
    double scale[CHANNELS], after[CHANNELS], shift[CHANNELS];
    int32_t offset[CHANNELS];
    struct lq_sums meaning = {scale, offset, BOUND};
    struct lq_rng rng;

    lq_rng_init(&rng, (uint64_t)rand(), (uint64_t)_i);
    for (int i = 0; i < _i; i++)
        basis.integers[i] = (int16_t)((1 << i) - (int)lq_rng_below(&rng, 2));
    for (int c = 0; c < CHANNELS; c++) {
        scale[c] = 0.01;
        offset[c] = (int32_t)lq_rng_below(&rng, 200) - 100;
        after[c] = c == 0 ? 0 : (double)lq_rng_normal(&rng);
        shift[c] = 4 * (double)lq_rng_normal(&rng);
    }
    lq_kernels_init(&kernels, lq_cpu_detect());
    spec.scale = after;
    spec.shift = shift;
    spec.output = (struct lq_buffer){{1, {CHANNELS}}, LQ_STORE_LEVELS, _i};
    ck_assert_int_eq(lq_epilogue_init(&epilogue, &arena, &spec, &meaning, NULL), LQ_OK);
    for (int32_t sum = -BOUND; sum <= BOUND; sum++) {
        int32_t sums[CHANNELS];
        int16_t got[CHANNELS];
        struct lq_run run = {.output = got};

        for (int c = 0; c < CHANNELS; c++)
            sums[c] = sum;
        lq_epilogue_run(&epilogue, &run, (struct lq_columns){0, CHANNELS}, 0, sums, 1);
        for (int c = 0; c < CHANNELS; c++) {
            float y =
                fmaxf((float)(scale[c] * after[c]) * (float)(sum + offset[c]) + (float)shift[c], 0);

            ck_assert_int_eq(got[c], lq_code_level(&basis, (unsigned)lq_quantizer_encode(
                                                               &epilogue.encoder.quantizer, y)));
        }
    }
    lq_arena_deinit(&arena);
}
END_TEST

enum { PIXELS = 64, NEAR = 6 };

/* Floats of which y or z is made: around each level's end, and some that are anywhere. */
static float some_addend(const struct lq_epilogue *e, int pixel, int c)
{
    const struct lq_quantizer *q = &e->encoder.quantizer;
    int level = pixel / NEAR;
    float x;

    if (level >= (1 << e->encoder.encode.bits) - 1)
        return pixel % 9 == 0   ? INFINITY
               : pixel % 9 == 1 ? -INFINITY
               : pixel % 9 == 2 ? -0.f
                                : (float)(rand() % 20001 - 10000) / 999;
    x = q->thresholds[level];
    if (e->finish.next_scale)
        x = (x - e->finish.next_shift[c]) / e->finish.next_scale[c];
    for (int i = 0; i < pixel % NEAR; i++)
        x = nextafterf(x, level % 2 ? INFINITY : -INFINITY);
    return x;
}

/* Floats that are kept, y or z, and the codes of z. */
static void expect_values(const struct lq_epilogue *e, const struct lq_snapped_basis *basis,
                          bool keeps_next)
{
    int32_t sums[PIXELS * CHANNELS] = {0};
    float addend[PIXELS * CHANNELS], kept[PIXELS * CHANNELS];
    uint8_t codes[PIXELS * CHANNELS];
    struct lq_run run = {.inputs = {NULL, addend}, .output = codes, .extra = kept};

    for (int i = 0; i < PIXELS * CHANNELS; i++)
        addend[i] = some_addend(e, i / CHANNELS, i % CHANNELS);
    lq_epilogue_run(e, &run, (struct lq_columns){0, CHANNELS}, 0, sums, PIXELS);
    for (int i = 0; i < PIXELS * CHANNELS; i++) {
        int c = i % CHANNELS;
        float y = addend[i] + e->finish.shift[c], z = y;

        if (e->finish.next_scale)
            z = e->finish.next_scale[c] * y + e->finish.next_shift[c];
        z = z < 0 ? 0 : z;
        ck_assert_float_eq(kept[i], keeps_next ? z : y);
        ck_assert_msg(codes[i] == lq_code_level(basis, (unsigned)lq_quantizer_encode(
                                                           &e->encoder.quantizer, z)),
                      "%a, of %a, scale %a: level %d", z, y,
                      e->finish.next_scale ? e->finish.next_scale[c] : 1, codes[i]);
    }
}

/* Loop test: bits. Next scales of both signs, also so small or large that z has few values. */
START_TEST(thresholds_of_floats_are_the_definition)
{
    for (int way = 0; way < 8; way++) {
        bool keeps_next = way & 1, scales = way & 2, ties = way & 4;
        struct lq_arena arena = {0};
        struct lq_epilogue epilogue;
        struct lq_snapped_basis basis = {LQ_CODE_UNSIGNED, _i, 63, {7, 13, 20, 23}, 0.05f};
        struct lq_kernels kernels;
        double scale[CHANNELS], shift[CHANNELS], next_scale[CHANNELS], next_shift[CHANNELS];
        struct lq_step_spec spec = {.min = -INFINITY,
                                    .max = INFINITY,
                                    .adds = true,
                                    .keeps = !keeps_next,
                                    .keeps_next = keeps_next,
                                    .goes_on = true,
                                    .add_min = -INFINITY,
                                    .add_max = INFINITY,
                                    .next_max = INFINITY,
                                    .next_scale = scales ? next_scale : NULL,
                                    .next_shift = scales ? next_shift : NULL,
                                    .shift = shift,
                                    .output_basis = &basis,
                                    .output = {{1, {CHANNELS}}, LQ_STORE_BYTES, _i},
                                    .kernels = &kernels};
        struct lq_sums meaning = {scale, NULL, BOUND};

        for (int c = 0; c < CHANNELS; c++) {
            scale[c] = 1;
            shift[c] = c % 3 ? 0 : rand() % 100 / 37.;
            next_scale[c] = (rand() % 2 * 2 - 1) * (rand() % 1000 + 1) / 300.;
            if (ties)
                next_scale[c] *= c % 4 == 0 ? 1e-30 : c % 4 == 1 ? 1e30 : 1;
            next_shift[c] = (rand() % 2001 - 1000) / 700.;
        }
        lq_kernels_init(&kernels, 1u << LQ_CPU_C);
        kernels.finishes_codes = true;
        ck_assert_int_eq(lq_epilogue_init(&epilogue, &arena, &spec, &meaning, NULL), LQ_OK);
        ck_assert_ptr_nonnull(epilogue.values.factors);
        expect_values(&epilogue, &basis, keeps_next);
        lq_arena_deinit(&arena);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("epilogue");

    tcase_add_loop_test(tests, thresholds_are_the_definition, 1, LQ_MAX_BITS + 1);
    tcase_add_loop_test(tests, thresholds_of_floats_are_the_definition, 1, LQ_VALUE_BITS + 1);
    return suite_main("epilogue", tests);
}
