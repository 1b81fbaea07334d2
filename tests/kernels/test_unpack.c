/* test_unpack.c - levels of weights from their codes, on every tier, at the edge of a page.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "support/guard.h"
#include "support/suite.h"
#include "support/tiers.h"

enum { LANES = LQ_UNPACK_LANES, MAX_PANELS = 3, MAX_LENGTH = 12 * LQ_UNPACK_LENGTH };

/* codes: one a byte, [panels * LANES][length]. */
static void expect_levels(const struct lq_codes *p, const uint8_t *codes, const int8_t *got,
                          int tier)
{
    size_t length = (size_t)p->length;

    for (size_t column = 0; column < (size_t)p->panels * LANES; column++)
        for (size_t k = 0; k < length; k++) {
            size_t panel = column / LANES, lane = column % LANES;
            int8_t level = p->levels[column * LQ_UNPACK_LEVELS + codes[column * length + k]];
            int8_t is = got[(panel * length + k / 4 * 4) * LANES + lane * 4 + k % 4];

            ck_assert_msg(is == level, "tier %s: level %zu of column %zu is %d, not %d",
                          lq_cpu_tier_name((enum lq_cpu_tier)tier), k, column, is, level);
        }
}

/* Loop test: what lanes, words and bits could be mixed up in shows with random codes and levels. */
START_TEST(tiers_agree)
{
    static uint8_t codes[MAX_PANELS * LANES * MAX_LENGTH];
    int panels = rand() % MAX_PANELS + 1;
    int length = (rand() % (MAX_LENGTH / LQ_UNPACK_LENGTH) + 1) * LQ_UNPACK_LENGTH;
    size_t columns = (size_t)panels * LANES, size = columns * (size_t)length;
    struct guarded packed = guard(size / LQ_UNPACK_WORDS);
    struct guarded levels = guard(columns * LQ_UNPACK_LEVELS);
    struct lq_codes problem = {panels, length, packed.bytes, (const int8_t *)levels.bytes};
    struct lq_kernels kernels;

    for (size_t i = 0; i < columns * LQ_UNPACK_LEVELS; i++)
        levels.bytes[i] = (uint8_t)rand();
    for (size_t i = 0; i < size; i++) {
        size_t column = i / (size_t)length, k = i % (size_t)length;
        size_t at = (column / LANES * (size_t)length + k / LQ_UNPACK_LENGTH * LQ_UNPACK_LENGTH) *
                        LANES / LQ_UNPACK_WORDS +
                    column % LANES * 4 + k % 4;

        codes[i] = (uint8_t)(rand() % LQ_UNPACK_LEVELS);
        packed.bytes[at] |= (uint8_t)(codes[i] << k % LQ_UNPACK_LENGTH / 4 * 2);
    }
    for (int tier = 0; tier < LQ_CPU_TIER_COUNT; tier++) {
        struct guarded got = guard(size);

        if (lq_kernels_init(&kernels, lq_cpu_detect() & ((2u << tier) - 1)) == tier) {
            kernels.unpack_codes(&problem, (int8_t *)got.bytes);
            expect_levels(&problem, codes, (const int8_t *)got.bytes, tier);
        }
        unguard(&got);
    }
    unguard(&packed);
    unguard(&levels);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("unpack");

    tiers_print();
    tcase_add_loop_test(tests, tiers_agree, 0, 50);
    return suite_main("unpack", tests);
}
