/* test_epilogue.c - thresholds on sums give the level that the float definition gives.
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

enum { CHANNELS = 24, BOUND = 3000 };

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

int main(void)
{
    TCase *tests = tcase_create("epilogue");

    tcase_add_loop_test(tests, thresholds_are_the_definition, 1, LQ_MAX_BITS + 1);
    return suite_main("epilogue", tests);
}
