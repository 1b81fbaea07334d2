/* test_codes.c - products of bytes by weights in codes, of every tier, on random windows and
 * extreme levels, at the edge of a page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/guard.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { LANES = LQ_CODES_LANES, MAX_COLUMNS = 100, MAX_LENGTH = 1200 };

struct problem {
    struct lq_bytes bytes;
    struct lq_codes codes;
    uint8_t code[MAX_COLUMNS][MAX_LENGTH]; /* one a byte */
    struct guarded a, packed, levels;
};

/* Windows that may overlap, of one line or several with room between them. */
static void make_rows(struct problem *p)
{
    struct lq_rows *rows = &p->bytes.rows;
    int unit, most;

    rows->runs = below(4) + 1;
    unit = rows->runs % 4 == 0 ? 4 : rows->runs % 2 == 0 ? 8 : LQ_CODES_LENGTH;
    most = MAX_LENGTH / rows->runs / unit;
    rows->run = (below(3) ? below(most < 20 ? most : 20) + 1 : most) * unit;
    rows->lines = below(5) + 1;
    rows->width = below(3) ? below(20) + 1 : below(90) + 1;
    rows->step = (size_t)(below(2) ? rows->run : below(rows->run / 4) * 4 + 4);
    rows->gap = rows->step * (size_t)(rows->width - 1 + below(3)) + (size_t)rows->run;
    rows->line = below(2) ? rows->gap : rows->gap * (size_t)rows->runs;
    if (below(4) == 0) /* lines of whole pixels, one behind the other */
        rows->line = rows->step * (size_t)(rows->width + below(4));
    size_t size = lq_row_offset(rows, rows->lines * rows->width - 1) +
                  (size_t)(rows->runs - 1) * rows->gap + (size_t)rows->run;
    p->a = guard(size);
    for (size_t i = 0; i < size; i++)
        p->a.bytes[i] = (uint8_t)(below(4) ? rand() : 255);
    p->bytes.a = p->a.bytes;
}

static void make_weights(struct problem *p)
{
    int8_t *levels;
    size_t length = (size_t)p->bytes.rows.runs * (size_t)p->bytes.rows.run;

    p->bytes.n = below(2) ? below(MAX_COLUMNS) + 1 : (below(MAX_COLUMNS / 32) + 1) * 32;
    size_t columns = (size_t)lq_panels(p->bytes.n, LANES) * LANES; /* of whole panels */
    p->packed = guard(columns * length / LQ_CODES_WORDS);
    p->levels = guard(columns * LQ_CODES_LEVELS);
    levels = (int8_t *)p->levels.bytes;
    for (size_t i = 0; i < (size_t)p->bytes.n * LQ_CODES_LEVELS; i++)
        levels[i] = (int8_t)(below(4) ? below(255) - 127 : below(2) ? 127 : -127);
    for (size_t column = 0; column < (size_t)p->bytes.n; column++)
        for (size_t k = 0; k < length; k++) {
            size_t word = column / LANES * (length / LQ_CODES_LENGTH) + k / LQ_CODES_LENGTH;

            p->code[column][k] = (uint8_t)below(LQ_CODES_LEVELS);
            p->packed.bytes[word * LQ_CODES_BYTES + column % LANES * 4 + k % 4] |=
                (uint8_t)(p->code[column][k] << k % LQ_CODES_LENGTH / 4 * 2);
        }
    p->codes = (struct lq_codes){(int)length, p->packed.bytes, levels};
}

static int32_t expected(const struct problem *p, int row, int col)
{
    const struct lq_rows *rows = &p->bytes.rows;
    const uint8_t *a = p->bytes.a + lq_row_offset(rows, row);
    int32_t sum = 0;

    for (int k = 0; k < p->codes.length; k++)
        sum += a[(size_t)(k / rows->run) * rows->gap + (size_t)(k % rows->run)] *
               p->codes.levels[col * LQ_CODES_LEVELS + p->code[col][k]];
    return sum;
}

/* Sums are where they belong, and nothing else was written. */
static void run_tier(struct problem *p, const struct lq_kernels *kernels, int tier,
                     const int32_t *sums)
{
    const struct lq_rows *rows = &p->bytes.rows;
    int m = rows->lines * rows->width, stride = p->bytes.n + below(3);
    size_t count = (size_t)(m - 1) * (size_t)stride + (size_t)p->bytes.n;
    struct guarded got = guard(count * sizeof(int32_t));
    struct guarded scratch = guard((size_t)LQ_CODES_PANELS * LANES * (size_t)p->codes.length);

    memset(got.bytes, 0x5a, count * sizeof(int32_t));
    p->bytes.sums = as_ints(&got);
    p->bytes.stride = (size_t)stride;
    kernels->gemm_codes(&p->bytes, &p->codes, (int8_t *)scratch.bytes);
    for (size_t i = 0; i < count; i++) {
        int row = (int)(i / (size_t)stride), col = (int)(i % (size_t)stride);
        int32_t sum = col < p->bytes.n ? sums[row * p->bytes.n + col] : 0x5a5a5a5a;

        ck_assert_msg(as_ints(&got)[i] == sum,
                      "tier %s, %d lines of %d, %d runs of %d, step %zu, %d columns: sum %d,%d is "
                      "%d, not %d",
                      lq_cpu_tier_name((enum lq_cpu_tier)tier), rows->lines, rows->width,
                      rows->runs, rows->run, rows->step, p->bytes.n, row, col, as_ints(&got)[i],
                      sum);
    }
    unguard(&got);
    unguard(&scratch);
}

/* Loop test. */
START_TEST(tiers_agree)
{
    static struct problem p;
    struct lq_kernels kernels;

    memset(&p, 0, sizeof(p));
    make_rows(&p);
    make_weights(&p);
    int m = p.bytes.rows.lines * p.bytes.rows.width;
    struct guarded sums = guard((size_t)(m * p.bytes.n) * sizeof(int32_t));
    for (int row = 0; row < m; row++)
        for (int col = 0; col < p.bytes.n; col++)
            as_ints(&sums)[row * p.bytes.n + col] = expected(&p, row, col);
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++)
        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) == tier)
            run_tier(&p, &kernels, tier, as_ints(&sums));
    unguard(&sums);
    unguard(&p.a);
    unguard(&p.packed);
    unguard(&p.levels);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("codes");

    tiers_print();
    tcase_add_loop_test(tests, tiers_agree, 0, 100);
    return suite_main("codes", tests);
}
