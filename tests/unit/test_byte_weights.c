/* test_byte_weights.c - products of bytes by weights that are kept as levels or as codes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "ops/byte_weights.h"
#include "quant/pack.h"
#include "support/suite.h"
#include "support/tiers.h"

/* COLUMNS of LENGTH levels are more than those that are always kept as levels. */
enum { ROWS = 21, COLUMNS = 376, MAX_COLUMNS = COLUMNS + 15, LENGTH = 1440, MAX_BITS = 3 };

/* A layer, one row after another, and its sums by the definition. */
struct layer {
    int columns, length, bits;
    uint8_t codes[MAX_COLUMNS * LENGTH], packed[MAX_BITS * MAX_COLUMNS * LENGTH / 8];
    int16_t basis[MAX_COLUMNS * MAX_BITS];
    uint8_t a[ROWS * LENGTH];
    int32_t expected[ROWS][MAX_COLUMNS];
};

static void make_layer(struct layer *l, int columns, int length, int bits)
{
    int16_t levels[1 << MAX_BITS];

    memset(l, 0, sizeof(*l));
    l->columns = columns;
    l->length = length;
    l->bits = bits;
    for (int i = 0; i < columns * length; i++)
        l->codes[i] = (uint8_t)((unsigned)rand() & ((1u << bits) - 1));
    for (int i = 0; i < columns * bits; i++)
        l->basis[i] = (int16_t)(rand() % 83 - 41);
    for (int i = 0; i < ROWS * length; i++)
        l->a[i] = (uint8_t)(rand() % 64);
    lq_file_codes_pack(l->codes, bits, columns, length, l->packed);
    for (int column = 0; column < columns; column++) {
        for (unsigned code = 0; code < 1u << bits; code++)
            levels[code] =
                (int16_t)lq_code_level_raw(LQ_CODE_SIGNED, bits, l->basis + column * bits, code);
        for (int row = 0; row < ROWS; row++)
            for (int k = 0; k < length; k++)
                l->expected[row][column] +=
                    l->a[row * length + k] * levels[l->codes[column * length + k]];
    }
}

/* Columns from..to-1 by all rows: they are right, and no others are written. */
static void expect_sums(const struct layer *l, const struct lq_byte_weights *w, int from, int to)
{
    static int32_t sums[ROWS][MAX_COLUMNS];
    uint8_t *scratch = lq_alloc(w->scratch_bytes, 1);
    struct lq_bytes product = {
        .n = to - from,
        .rows = {1, ROWS, 1, l->length, 0, (size_t)l->length, 0},
        .a = l->a,
        .sums = &sums[0][from],
        .stride = MAX_COLUMNS,
    };

    ck_assert_ptr_nonnull(scratch);
    memset(sums, 0x5a, sizeof(sums));
    lq_byte_weights_multiply(w, 0, from, &product, scratch);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < MAX_COLUMNS; column++)
            ck_assert_int_eq(sums[row][column],
                             column >= from && column < to ? l->expected[row][column] : 0x5a5a5a5a);
    free(scratch);
}

static void expect_layer(const struct layer *l, const struct lq_kernels *kernels, bool keeps_codes)
{
    struct lq_tensor tensor = {.dtype = LQ_U8, .data = (void *)l->packed};
    struct lq_tensor bases = {.dtype = LQ_I16, .data = (void *)l->basis};
    struct lq_attributes attributes = {.bits = l->bits};
    const struct lq_tensor *params[LQ_PARAM_COUNT] = {
        [LQ_PARAM_CODES] = &tensor, [LQ_PARAM_BASIS] = &bases};
    const struct lq_snapped_basis input = {.bits = 2, .integers = {21, 42}};
    struct lq_step_spec spec = {
        .attributes = &attributes, .params = params, .kernels = kernels, .input_basis = &input};
    struct lq_paneling paneling = {
        .groups = 1, .columns = l->columns, .lanes = kernels->bytes_lanes, .depth = 4};
    struct lq_arena arena = {0};
    struct lq_byte_weights w;
    int part = rand() % (l->columns / 32) * 32;

    ck_assert_int_eq(lq_byte_weights_init(&w, &arena, &spec, &paneling, l->length, l->length, NULL),
                     LQ_OK);
    ck_assert_int_eq(w.levels == NULL, keeps_codes);
    expect_sums(l, &w, 0, l->columns);
    expect_sums(l, &w, part, l->columns);
    expect_sums(l, &w, part, part + 32);
    lq_arena_deinit(&arena);
}

/* Loop test: bits 1 .. 3. Where weights are many, of up to two bits, and fill words of codes, they
 * are kept as codes on tiers that unpack them; the sums are the same, of all columns and of some.
 */
START_TEST(layers_agree)
{
    static struct layer layer;
    static const struct {
        int columns, length;
        bool suits;
    } cases[] = {{COLUMNS, LENGTH, true}, {COLUMNS, LENGTH - 4, false}, {64, LENGTH, false}};
    struct lq_kernels kernels;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        make_layer(&layer, cases[i].columns + rand() % 16, cases[i].length, _i);
        for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++)
            if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) == tier)
                expect_layer(&layer, &kernels, cases[i].suits && _i <= 2 && kernels.prefers_codes);
    }
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("byte_weights");

    tiers_print();
    tcase_add_loop_test(tests, layers_agree, 1, MAX_BITS + 1);
    return suite_main("byte_weights", tests);
}
